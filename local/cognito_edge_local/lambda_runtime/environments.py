"""Runs the edge bundle as Lambda would: with the real awslambdaric, in processes that hold only the bundle.

An *environment* is one process with its own Runtime API. It serves one request at a time; further ones are started
when all are busy, up to a maximum. As at the edge, the function has no packages but its own, no environment variables but
Lambda's reserved ones, and no more time or memory than configured.

Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

import asyncio
import contextlib
import json
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from cognito_edge_local.launcher import processes

from .runtime_api import EdgeFunctionError, Invocation, RuntimeApi

_CHILD = Path(__file__).with_name("child.py")
# The edge runs in the Region nearest the viewer, under AWS_REGION of that Region: a function that takes it for the
# Region of its parameters or of its origin has to fail here too.
_EDGE_REGION = "eu-central-1"
_MAX_LOG_LINE_BYTES = 256 * 1024  # Lambda's own limit for one log event
_LOG_DRAIN_S = 1.0

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime; at the edge no
# others can be set. AWS_ENDPOINT_URL* are the SDKs' own and the local system's one addition (contract C4 of docs/contracts.md).
_CALLER_MAY_SET = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_LOG_FORMAT",
        "AWS_LAMBDA_LOG_LEVEL",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    }
)
_CALLER_MAY_SET_PREFIX = "AWS_ENDPOINT_URL"

Environment = Mapping[str, str] | Callable[[], Mapping[str, str]]


class EdgeRuntime:
    """A pool of execution environments for one function."""

    def __init__(
        self,
        *,
        bundle: Path,
        runtime_client: Path,
        python: str,
        environment: Environment,
        log: Callable[[str], None],
        handler: str = "cognito_edge.handler.handler",
        function_arn: str = "arn:aws:lambda:us-east-1:000000000000:function:edge:1",
        timeout_s: float = 30,
        memory_mb: int = 128,
        max_environments: int = 4,
    ) -> None:
        """Describe the pool; nothing is started yet.

        Args:
            bundle: Folder of the function's code; its working folder and LAMBDA_TASK_ROOT.
            runtime_client: Folder that holds awslambdaric, as ``pip install --target`` makes it.
            python: Interpreter to run it with; its site-packages are out of the function's reach.
            environment: Credentials, AWS_ENDPOINT_URL* and the like, or a cheap callable that gives them. As on AWS an
                environment keeps what it was started with: when a callable's answer changes, idle environments are
                replaced before the next request.
            log: Takes each line that the function prints or logs.
            handler: Module path and function, as in Lambda's configuration.
            function_arn: Version ARN of the function; gives its name and version.
            timeout_s: Seconds a request may take, the start of a new environment included.
            memory_mb: Megabytes a process may ever have held resident (measured on Linux only).
            max_environments: How many requests run at once; further ones wait.

        Raises:
            ValueError: ``environment`` has a variable that cannot exist at the edge.
        """
        self._bundle = bundle.resolve()
        self._runtime_client = runtime_client.resolve()
        self._python = python
        self._environment = environment if callable(environment) else lambda: environment
        self._log = log
        self._handler = handler
        self._function_arn = function_arn
        self._timeout_s = timeout_s
        self._memory_mb = memory_mb
        self._slots = asyncio.Semaphore(max_environments)
        self._idle: list[_ExecutionEnvironment] = []
        self._all: set[_ExecutionEnvironment] = set()
        self._clock_shift_s = 0.0
        self._generation = 0
        self._variables()

    async def start(self) -> None:
        """Start one environment and wait until the function's module is loaded.

        Raises:
            EdgeFunctionError: The module could not be loaded; the message says why.
        """
        self._idle.append(await self._new_environment())

    async def restart(self, *, clock_shift_s: float = 0.0) -> None:
        """Begin again with one fresh environment, as after a deployment; requests under way end in the old ones.

        Args:
            clock_shift_s: By how much the fresh ones' clock (``time.time``) is wrong.

        Raises:
            EdgeFunctionError: The function's module could not be loaded.
        """
        self._clock_shift_s = clock_shift_s
        self._generation += 1
        old, self._idle = self._idle, []
        await asyncio.gather(*(self._discard(environment) for environment in old))
        await self.start()

    async def stop(self) -> None:
        """End every environment; requests under way fail."""
        await asyncio.gather(*(environment.stop() for environment in self._all))
        self._all.clear()
        self._idle.clear()

    async def invoke(self, event: dict[str, Any]) -> Any:
        """Run the function on *event*.

        Returns:
            What it returned, after JSON.

        Raises:
            EdgeFunctionError: It raised, could not be loaded, crashed, answered more than 6 MB, took too long or too
                much memory.
        """
        request_id = str(uuid.uuid4())
        payload = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        async with self._slots:
            try:
                async with asyncio.timeout(self._timeout_s):
                    deadline_ms = int((time.time() + self._timeout_s) * 1000)
                    async with self._environment_for_one_request() as environment:
                        answer = await environment.invoke(request_id, payload, deadline_ms)
            except TimeoutError:
                message = f"RequestId: {request_id} Error: Task timed out after {self._timeout_s:.2f} seconds"
                raise EdgeFunctionError("Sandbox.Timedout", message) from None
        try:
            return json.loads(answer)
        except ValueError as error:
            raise EdgeFunctionError("Runtime.MarshalError", f"the function's answer is not JSON: {error}") from error

    @contextlib.asynccontextmanager
    async def _environment_for_one_request(self) -> "AsyncIterator[_ExecutionEnvironment]":
        environment = await self._take()
        reusable = False
        try:
            yield environment
            reusable = True
        except EdgeFunctionError as error:
            # A function that raised keeps its environment, as on Lambda.
            reusable = error.error_type not in {"Function.ResponseSizeTooLarge", "Runtime.OutOfMemory"}
            raise
        finally:
            if reusable and environment.alive and environment.generation == self._generation:
                self._idle.append(environment)
            else:
                await self._discard(environment)

    async def _take(self) -> "_ExecutionEnvironment":
        variables = self._variables()
        while self._idle:
            environment = self._idle.pop()
            if environment.alive and environment.variables == variables:
                return environment
            await self._discard(environment)
        return await self._new_environment()

    async def _discard(self, environment: "_ExecutionEnvironment") -> None:
        self._all.discard(environment)
        await environment.stop()

    async def _new_environment(self) -> "_ExecutionEnvironment":
        environment = _ExecutionEnvironment(
            variables=self._variables(),
            generation=self._generation,
            function_arn=self._function_arn,
            memory_mb=self._memory_mb,
            log=self._log,
        )
        self._all.add(environment)
        try:
            arguments = [str(self._bundle), str(self._runtime_client), self._handler, str(self._clock_shift_s)]
            # -I -S: no site-packages, no PYTHON* variables, no script folder on the path.
            await environment.start([self._python, "-I", "-S", str(_CHILD), *arguments])
        except BaseException:
            await self._discard(environment)
            raise
        return environment

    def _variables(self) -> dict[str, str]:
        """Return all that the process gets: Lambda's reserved variables, then what the caller may set."""
        given = dict(self._environment())
        for name in given:
            if name not in _CALLER_MAY_SET and not name.startswith(_CALLER_MAY_SET_PREFIX):
                raise ValueError(
                    f"{name} cannot be set for an edge function: Lambda@Edge has no environment variables except "
                    "Lambda's reserved ones. Put configuration into settings.json or into the parameters."
                )
        *_, name, version = self._function_arn.split(":")
        edge_name = f"us-east-1.{name}"  # every Region's replica is named after the Region of the original
        return {
            "AWS_DEFAULT_REGION": _EDGE_REGION,
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self._memory_mb),
            "AWS_LAMBDA_FUNCTION_NAME": edge_name,
            "AWS_LAMBDA_FUNCTION_VERSION": version,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{edge_name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": "local",
            "AWS_REGION": _EDGE_REGION,
            "LAMBDA_RUNTIME_DIR": str(self._runtime_client),
            "LAMBDA_TASK_ROOT": str(self._bundle),
            "LANG": "en_US.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin/:/bin",
            "TZ": ":UTC",
            "_HANDLER": self._handler,
            **given,
        }


class _ExecutionEnvironment:
    """One process that runs the function, and the Runtime API that feeds it."""

    def __init__(
        self,
        *,
        variables: dict[str, str],
        generation: int,
        function_arn: str,
        memory_mb: int,
        log: Callable[[str], None],
    ) -> None:
        self.variables = variables
        self.generation = generation
        self._function_arn = function_arn
        self._memory_mb = memory_mb
        self._log = log
        self._api = RuntimeApi()
        self._process: asyncio.subprocess.Process | None = None
        self._lifeline: int | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, command: list[str]) -> None:
        """Start the process and wait until it asks for its first event."""
        await self._api.start()
        self._process, self._lifeline = await processes.start_under_guard(
            command,
            grace_s=0,
            environment={**self.variables, "AWS_LAMBDA_RUNTIME_API": self._api.address},
            output=asyncio.subprocess.PIPE,
        )
        self._tasks = [asyncio.create_task(self._pass_on_log()), asyncio.create_task(self._watch())]
        await asyncio.shield(self._api.ready)

    async def invoke(self, request_id: str, event: bytes, deadline_ms: int) -> bytes:
        trace_id = f"Root=1-{deadline_ms // 1000:08x}-{uuid.uuid4().hex[:24]};Sampled=0"
        answer = await self._api.invoke(Invocation(request_id, event, deadline_ms, self._function_arn, trace_id))
        peak_mb = self._peak_memory_mb()
        if peak_mb > self._memory_mb:
            raise EdgeFunctionError(
                "Runtime.OutOfMemory",
                f"RequestId: {request_id} Error: Runtime exited with error: signal: killed. It had held "
                f"{peak_mb:.0f} MB; {self._memory_mb} MB are configured.",
            )
        return answer

    async def stop(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        if self._process is not None:
            await self._process.wait()
        if self._tasks:
            # The function's last lines often explain its end.
            await asyncio.wait(self._tasks, timeout=_LOG_DRAIN_S)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._api.stop()

    async def _watch(self) -> None:
        assert self._process is not None  # noqa: S101 - started before this task
        code = await self._process.wait()
        # The guard reports a signal as shells do.
        how = f"signal: {signal.Signals(code - 128).name}" if code > 128 else f"exit status {code}"
        self._api.fail(EdgeFunctionError("Runtime.ExitError", f"Runtime exited with error: {how}"))

    async def _pass_on_log(self) -> None:
        assert self._process is not None  # noqa: S101 - started before this task
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        pending = b""
        while chunk := await self._process.stdout.read(64 * 1024):
            *lines, pending = (pending + chunk).split(b"\n")
            if len(pending) > _MAX_LOG_LINE_BYTES:
                lines, pending = [*lines, pending], b""
            for line in lines:
                self._log_lines(line)
        if pending:
            self._log_lines(pending)

    def _log_lines(self, raw: bytes) -> None:
        # awslambdaric joins the lines of a traceback with CR and indents them with no-break spaces, for CloudWatch.
        for line in raw.decode("utf-8", "replace").replace("\u00a0", " ").split("\r"):
            if line:
                self._log(line)

    def _peak_memory_mb(self) -> float:
        assert self._process is not None  # noqa: S101 - only called during an invocation
        guard = self._process.pid
        try:
            function = Path(f"/proc/{guard}/task/{guard}/children").read_text(encoding="ascii").split()[0]
            status = Path(f"/proc/{function}/status").read_text(encoding="ascii", errors="replace")
        except (OSError, IndexError):
            return 0  # not Linux, or gone already
        peak_kb = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")), "0")
        return int(peak_kb) / 1024
