"""Invoke the emulator's functions through Lambda's Invoke API, many at a time."""

import asyncio
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from . import process as emulator

MAX_CONCURRENT = 32
_READ_TIMEOUT_S = 905.0  # a function may take 15 minutes; the emulator ends it


class InvokeError(Exception):
    """The Invoke API refused the call or did not answer; the function is not at fault."""


class EmulatorInvoker:
    """Invokes functions as the emulator's root user, by boto3 in a pool of threads.

    A client of our own on pooled connections saved 0.9 of 9 ms a call, which is not worth the code.
    """

    def __init__(self, endpoint_url: str, key: emulator.RootKey = emulator.PUBLIC_KEY) -> None:
        """Keep the endpoint; nothing is connected yet.

        Args:
            endpoint_url: The emulator's.
            key: Its root user's.
        """
        self._lambda = emulator.root_client(
            "lambda", endpoint_url, key=key, max_connections=MAX_CONCURRENT, read_timeout_s=_READ_TIMEOUT_S
        )
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT, thread_name_prefix="invoke")

    async def invoke(self, function_name: str, event: Mapping[str, Any]) -> tuple[bytes, str | None]:
        """Invoke a function and wait for its answer.

        Args:
            function_name: Name or ARN.
            event: The event, JSON-serialisable.

        Returns:
            The payload it returned, and the kind of function error ("Unhandled") or None.

        Raises:
            InvokeError: The API did not run it.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._invoke, function_name, event)

    def _invoke(self, function_name: str, event: Mapping[str, Any]) -> tuple[bytes, str | None]:
        try:
            answer = self._lambda.invoke(
                FunctionName=function_name, Payload=json.dumps(event, separators=(",", ":")).encode()
            )
            return answer["Payload"].read(), answer.get("FunctionError")
        except (ClientError, BotoCoreError) as error:
            raise InvokeError(f"invoking {function_name}: {error}") from error

    def close(self) -> None:
        """Let the threads end; calls under way are left to themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._lambda.close()
