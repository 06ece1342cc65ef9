"""Lambda's Runtime API for one execution environment: a loopback HTTP server that hands out events, takes results.

Events carry bearer tokens. Only this user's programs can connect (``peer.py``), and every path begins with a secret that
only the environment's own process is told, so that no other program takes its events.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import asyncio
import hmac
import json
import secrets
from dataclasses import dataclass
from http import HTTPStatus

from cognito_edge_local.launcher import ports
from cognito_edge_local.launcher.ports import PortRequest

_PREFIX = "/2018-06-01/runtime/"
_SECRET_BYTES = 16
_MAX_HEAD_BYTES = 64 * 1024
# An invocation may answer 6 MB synchronously (Lambda quotas); the extra kilobyte is the envelope Lambda allows itself.
MAX_RESULT_BYTES = 6 * 1024 * 1024 + 1024
# Bodies over this are cut off unread: no error report is longer, no result may be.
_MAX_BODY_BYTES = 4 * MAX_RESULT_BYTES


class EdgeFunctionError(Exception):
    """The edge function failed: it raised, crashed, ran out of time, or answered more than Lambda takes.

    Attributes:
        error_type: Lambda's name for it, such as ``Runtime.ExitError``, or the exception's class name.
        message: What went wrong, in Lambda's words where it has some.
    """

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(f"{error_type}: {message}")
        self.error_type = error_type
        self.message = message


@dataclass(frozen=True, slots=True)
class Invocation:
    """One event on its way to the function, with what Lambda says about it in headers."""

    request_id: str
    event: bytes
    deadline_ms: int
    function_arn: str
    trace_id: str


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    too_large: bool


class RuntimeApi:
    """The Runtime API as one environment sees it, on a port of its own.

    Attributes:
        ready: Set once the function's module is loaded and the runtime asks for its first event.
    """

    def __init__(self) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._server: asyncio.Server | None = None
        self._next: asyncio.Queue[Invocation] = asyncio.Queue()
        self._current: tuple[str, asyncio.Future[bytes]] | None = None
        self._polling = False
        self._connections: set[asyncio.Task[None]] = set()
        self._secret_path = f"/{secrets.token_hex(_SECRET_BYTES)}"
        self._host = ""

    @property
    def address(self) -> str:
        """``host:port/secret``, for AWS_LAMBDA_RUNTIME_API; ``lambda_runtime/child.py`` makes awslambdaric use it."""
        return f"{self._host}{self._secret_path}"

    async def start(self) -> None:
        """Listen on a free loopback port."""
        sock = ports.listen(PortRequest(0, "an edge environment's Runtime API", ""))
        self._host = f"{ports.HOST}:{sock.getsockname()[1]}"
        self._server = await asyncio.start_server(self._serve, sock=sock, limit=_MAX_HEAD_BYTES)

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is None:
            return
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    def invoke(self, invocation: Invocation) -> asyncio.Future[bytes]:
        """Give the function its next event.

        Returns:
            What the function answers, as the bytes it sent; fails with ``EdgeFunctionError``.
        """
        result: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._current = (invocation.request_id, result)
        self._next.put_nowait(invocation)
        return result

    def fail(self, error: EdgeFunctionError) -> None:
        """Let all who wait for this environment know that it is gone."""
        waiting = [self.ready] + ([self._current[1]] if self._current else [])
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # those who wait get it; without them asyncio would warn

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None  # noqa: S101 - asyncio runs every connection in a task
        self._connections.add(connection)
        try:
            while (request := await self._read(reader)) is not None:
                status, headers, body = await self._answer(request)
                # One write, so that no part of an answer waits for the acknowledgement of another.
                writer.write(_response(status, headers, body))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # the runtime went away or does not speak HTTP; the process's end tells the rest
        except asyncio.CancelledError:
            pass  # stop() ends connections that wait for an event; the task is over either way
        finally:
            self._connections.discard(connection)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> _Request | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        request_line, *lines = head[:-4].decode("latin-1").split("\r\n")
        method, path, _version = request_line.split(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))  # the runtime client always says how long
        if length > _MAX_BODY_BYTES:
            raise ValueError
        body = await reader.readexactly(length)
        return _Request(method, path, headers, body, len(body) > MAX_RESULT_BYTES)

    async def _answer(self, request: _Request) -> tuple[HTTPStatus, dict[str, str], bytes]:
        # A web page that guessed the port would send Origin or Sec-Fetch-*; one that rebound its own name to 127.0.0.1
        # would send that name as Host.
        from_a_page = "origin" in request.headers or any(name.startswith("sec-fetch-") for name in request.headers)
        given, path = request.path[: len(self._secret_path)], request.path[len(self._secret_path) :]
        has_secret = hmac.compare_digest(given.encode("latin-1"), self._secret_path.encode())
        if from_a_page or request.headers.get("host") != self._host or not has_secret:
            return _error(HTTPStatus.FORBIDDEN, "InvalidClient")
        match request.method, path.removeprefix(_PREFIX).split("/"):
            case "GET", ["invocation", "next"]:
                return await self._hand_out()
            case "POST", ["invocation", request_id, "response"]:
                return self._take_result(request_id, request)
            case "POST", ["invocation", request_id, "error"]:
                return self._take_error(request_id, request)
            case "POST", ["init", "error"]:
                self.fail(_function_error(request))
                return HTTPStatus.ACCEPTED, {}, b'{"status":"OK"}'
            case _:
                return _error(HTTPStatus.NOT_FOUND, "UnknownPath")

    async def _hand_out(self) -> tuple[HTTPStatus, dict[str, str], bytes]:
        if self._polling:
            return _error(HTTPStatus.FORBIDDEN, "InvalidStateTransition")
        self._polling = True
        try:
            if not self.ready.done():
                self.ready.set_result(None)
            invocation = await self._next.get()
        finally:
            self._polling = False
        return (
            HTTPStatus.OK,
            {
                "Content-Type": "application/json",
                "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": invocation.function_arn,
                "Lambda-Runtime-Trace-Id": invocation.trace_id,
            },
            invocation.event,
        )

    def _take_result(self, request_id: str, request: _Request) -> tuple[HTTPStatus, dict[str, str], bytes]:
        result = self._claim(request_id)
        if result is None:
            return _error(HTTPStatus.BAD_REQUEST, "InvalidRequestID")
        if request.too_large:
            size = len(request.body)
            result.set_exception(
                EdgeFunctionError(
                    "Function.ResponseSizeTooLarge",
                    f"Response payload size ({size} bytes) exceeded maximum allowed payload size "
                    f"({MAX_RESULT_BYTES} bytes).",
                )
            )
            return _error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "RequestEntityTooLarge")
        result.set_result(request.body)
        return HTTPStatus.ACCEPTED, {}, b'{"status":"OK"}'

    def _take_error(self, request_id: str, request: _Request) -> tuple[HTTPStatus, dict[str, str], bytes]:
        result = self._claim(request_id)
        if result is None:
            return _error(HTTPStatus.BAD_REQUEST, "InvalidRequestID")
        result.set_exception(_function_error(request))
        return HTTPStatus.ACCEPTED, {}, b'{"status":"OK"}'

    def _claim(self, request_id: str) -> asyncio.Future[bytes] | None:
        if self._current is None or self._current[0] != request_id or self._current[1].done():
            return None
        result = self._current[1]
        self._current = None
        return result


def _function_error(request: _Request) -> EdgeFunctionError:
    try:
        report = json.loads(request.body)
    except ValueError:
        report = None
    if not isinstance(report, dict):
        report = {}
    kind = report.get("errorType") or request.headers.get("lambda-runtime-function-error-type") or "Runtime.Unknown"
    return EdgeFunctionError(str(kind), str(report.get("errorMessage") or "the function gave no message"))


def _error(status: HTTPStatus, kind: str) -> tuple[HTTPStatus, dict[str, str], bytes]:
    body = json.dumps({"errorMessage": status.phrase, "errorType": kind}).encode()
    return status, {"Content-Type": "application/json"}, body


def _response(status: HTTPStatus, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
