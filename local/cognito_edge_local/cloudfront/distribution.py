"""The edge twin: plays CloudFront by the book for each request, with the real edge function in the middle.

It enforces every documented limit and header rule that one machine can enforce, before the function and after it; a
broken rule is an error answer that names the rule, on the console too. ``docs/unknowns.md`` says what it cannot show.

Differences on purpose:

* Plain HTTP on loopback counts as the HTTPS that the real viewer protocol policy asks for, and the event says ``https``.
* Origins are reached over plain HTTP on loopback, wherever ``resolve`` says their domain is.
* Nothing is cached, collapsed, retried or compressed; each request is a miss.
* Error pages are plain text, so that a person who uses curl can read them.
"""

import asyncio
import contextlib
import copy
import email.utils
import re
import secrets
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from cognito_edge_local.hosts import answers_to
from cognito_edge_local.lambda_runtime.runtime_api import EdgeFunctionError
from cognito_edge_local.launcher.console import without_tokens

from . import rules
from .behaviors import Behavior, DistributionError, DistributionView
from .forwarding import EDGE_HOP, Header, OriginRequest, ViewerRequest, origin_request, wire_headers
from .origin_client import OriginError, OriginExchange, OriginTimeoutError
from .origin_request_event import origin_request_event
from .response_headers import apply_policy
from .result_rules import GeneratedResponse, judge
from .rules import RuleViolationError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_POP = b"LOCAL1-P1"
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")
_REPLACED_IN_RESPONSES = frozenset({b"x-cache", b"x-amz-cf-pop", b"x-amz-cf-id", b"via"})


@dataclass(slots=True)
class Exchange:
    """What happened to one request, for observers such as a trace page.

    It holds the viewer's token, the edge role's session token and the body as they were: an observer redacts before it
    shows or keeps anything.

    Attributes:
        request_id: CloudFront's.
        started_at: Seconds since the epoch.
        viewer: As it arrived.
        pattern: Path pattern of the behavior it fell to; empty when it was refused before.
        event: What the function was given; None when it did not run.
        result: What it returned, as it was.
        sent: What went to the origin, and its headers on the wire.
        status: Of the answer to the viewer; 0 when the viewer left.
        answered_by: ``origin``, ``edge`` (the function) or ``cloudfront`` (an error of the twin).
        problem: The rule or error in full; empty without one.
    """

    request_id: str
    started_at: float
    viewer: ViewerRequest = field(repr=False)
    pattern: str = ""
    event: dict[str, Any] | None = field(default=None, repr=False)
    result: Any = field(default=None, repr=False)
    sent: OriginRequest | None = field(default=None, repr=False)
    wire_headers: list[Header] = field(default_factory=list, repr=False)
    status: int = 0
    response_headers: list[Header] = field(default_factory=list, repr=False)
    answered_by: str = "cloudfront"
    problem: str = ""
    duration_ms: float = 0


class _RefusedError(Exception):
    """CloudFront answers in the origin's place."""

    def __init__(self, status: int, rule: str, sentence: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.status = status
        self.rule = rule
        self.sentence = sentence
        self.detail = detail


class _ViewerGoneError(Exception):
    """The viewer closed the connection."""


class _ViewerBody:
    """The viewer's body: the function sees its beginning, all of it is streamed on; it is never kept as a whole."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._seen: list[bytes] = []
        self._complete = False

    async def beginning(self, size: int) -> bytes:
        """Read until *size* bytes are there, or the body ends; what was read is still part of ``chunks``."""
        seen = 0
        while not self._complete and seen < size:
            self._seen.append(await self._next())
            seen += len(self._seen[-1])
        return b"".join(self._seen)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the whole body."""
        while self._seen or not self._complete:
            if chunk := self._seen.pop(0) if self._seen else await self._next():
                yield chunk

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise _ViewerGoneError
        self._complete = not message.get("more_body", False)
        return bytes(message.get("body", b""))

    async def until_the_viewer_leaves(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


class EdgeTwin:
    """ASGI application that answers as the distribution would.

    Serve it with ``uvicorn.Config(twin, **uvicorn_settings())``: other settings change targets on their way in.
    """

    def __init__(
        self,
        *,
        config: DistributionView,
        invoke: Callable[[dict[str, Any]], Awaitable[Any]],
        resolve: Callable[[str], tuple[str, int]],
        console: Callable[[str], None],
        observe: Callable[[Exchange], None] | None = None,
        sign: Callable[[OriginRequest, list[Header]], list[Header]] | None = None,
        names: Iterable[str] = (),
    ) -> None:
        """Set up the twin.

        Args:
            config: The distribution, from ``read_distribution``.
            invoke: Runs the edge function; raises ``EdgeFunctionError`` when it fails.
            resolve: Origin domain to loopback host and port; raises ``LookupError`` for a domain it does not know.
            console: Takes one line per request, and one for each broken rule.
            observe: Takes every exchange once it is over.
            sign: What CloudFront itself signs with (``cloudfront/oac.py``); needed if an origin has an access control.
            names: Host names to answer to besides the distribution's own and the loopback names.

        Raises:
            DistributionError: It is needed, and not there.
        """
        if sign is None and any(behavior.origin.signed for behavior in config.behaviors):
            raise DistributionError("An origin has an access control, and the twin was given nothing to sign with.")
        self._sign = sign
        self._view = config
        self._names = frozenset(name.lower() for name in (config.domain_name, *config.aliases, *names))
        self._invoke = invoke
        self._resolve = resolve
        self._console = console
        self._observe = observe

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        viewer = ViewerRequest(
            method=scope["method"],
            path=scope["raw_path"],
            query=scope["query_string"],
            headers=tuple(scope["headers"]),
            client_ip=scope["client"][0],
            client_port=scope["client"][1],
            http_version=scope["http_version"],
        )
        # 56 characters that end in "==", as CloudFront's.
        exchange = Exchange(secrets.token_urlsafe(41)[:54] + "==", time.time(), viewer)
        started = time.perf_counter()
        try:
            await self._answer(exchange, scope["server"][1], _ViewerBody(receive), _Reply(exchange, send))
        except _ViewerGoneError:
            exchange.problem = "the viewer closed the connection"
        except Exception:
            exchange.problem = f"a fault of the edge twin itself:\n{traceback.format_exc()}"
            raise
        finally:
            exchange.duration_ms = (time.perf_counter() - started) * 1000
            self._report(exchange)

    async def _answer(self, exchange: Exchange, port: int, body: _ViewerBody, reply: "_Reply") -> None:
        """Take one request through CloudFront.

        Steps:
            1. Refuse other hosts, and what CloudFront refuses before it looks at any behavior.
            2. Choose the behavior; refuse what the behavior does not take.
            3. Build what would go to the origin, as the policies say.
            4. Let the edge function see it, and judge what it returned.
            5. Send the request on, and stream the answer back.
        """
        viewer = exchange.viewer
        try:
            self._check_host(viewer, port)  # (1)
            _check_viewer_request(viewer)
            behavior = self._view.behavior_for(viewer.path)  # (2)
            exchange.pattern = behavior.pattern
            _check_method(viewer, behavior)
            request = origin_request(viewer, behavior, self._view.default_root_object)  # (3)
            # "CloudFront resolves the origin's domain before the function runs": a dummy host never gets that far.
            self._address(request.origin.domain_name)
            if behavior.edge_function:  # (4)
                exchange.result = await self._run_function(exchange, behavior, request, body)
                outcome = judge(exchange.result, exchange.event or {}, request)
                if isinstance(outcome, GeneratedResponse):
                    exchange.answered_by = "edge"
                    await reply.generated(outcome, behavior)
                    return
                request = outcome
            await self._forward(exchange, behavior, request, body, reply)  # (5)
        except (_RefusedError, RuleViolationError) as error:
            await reply.error(error.status, error.rule, error.sentence, error.detail)
        except OriginError as error:
            rule = "OriginTimeout" if isinstance(error, OriginTimeoutError) else "OriginConnectError"
            await reply.error(
                error.status, rule, "CloudFront wasn't able to get an answer from the origin.", str(error)
            )

    def _check_host(self, viewer: ViewerRequest, port: int) -> None:
        """Refuse a request for another host: CloudFront finds the distribution by this header.

        Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/http-403-permission-denied.html

        Raises:
            _RefusedError: 400 or 403.
        """
        hosts = viewer.values(b"host")
        if len(hosts) != 1 or not hosts[0]:
            raise _RefusedError(400, "BadRequest", "Bad request.", "a request has one Host header")
        if not answers_to(hosts[0], port, self._names):
            # The viewer, which may be a page of that name, learns no other name.
            detail = "Host is not a name of this gateway; make run RUN_ARGS='--allow-host NAME' adds one"
            raise _RefusedError(403, "UnknownHost", "Bad request. We can't connect to the server for this app.", detail)

    async def _run_function(
        self, exchange: Exchange, behavior: Behavior, request: OriginRequest, body: _ViewerBody
    ) -> Any:
        shown: bytes | None = None
        if behavior.edge_function and behavior.edge_function.include_body:
            exposed = request.method in rules.METHODS_WITH_EXPOSED_BODY
            shown = await body.beginning(rules.MAX_EXPOSED_BODY_BYTES + 1) if exposed else b""
        exchange.event = origin_request_event(
            view=self._view, request_id=exchange.request_id, viewer=exchange.viewer, request=request, body=shown
        )
        try:
            # A copy: the result is judged against the event as it was, also where no process lies between.
            return await self._invoke(copy.deepcopy(exchange.event))
        except EdgeFunctionError as error:
            sentence = "The Lambda function associated with the CloudFront distribution failed (LambdaExecutionError)."
            raise _RefusedError(503, "LambdaExecutionError", sentence, str(error)) from error

    def _address(self, domain: str) -> tuple[str, int]:
        try:
            return self._resolve(domain)
        except LookupError:
            detail = f"{domain} is not an origin that this machine knows"
            sentence = "CloudFront wasn't able to resolve the origin domain name."
            raise _RefusedError(502, "NonS3OriginDnsError", sentence, detail) from None

    async def _forward(
        self, exchange: Exchange, behavior: Behavior, request: OriginRequest, body: _ViewerBody, reply: "_Reply"
    ) -> None:
        origin = request.origin
        host, port = self._address(origin.domain_name)
        exchange.sent = request
        exchange.wire_headers = wire_headers(request, exchange.request_id)
        if origin.signed and self._sign is not None:
            exchange.wire_headers = self._sign(request, exchange.wire_headers)
        exchange.answered_by = "origin"
        try:
            async with asyncio.timeout(origin.completion_timeout_s):
                connection = await OriginExchange.open(
                    host,
                    port,
                    connect_timeout_s=origin.connection_timeout_s,
                    attempts=origin.connection_attempts,
                    read_timeout_s=origin.read_timeout_s,
                )
                async with connection:
                    await connection.send_head(request.method, request.target, exchange.wire_headers)
                    # A replaced body stands in for the viewer's, which stays unread.
                    outgoing = body.chunks() if request.body is None else _one(request.body)
                    upwards = asyncio.create_task(_send_body_then_watch(connection, outgoing, body))
                    downwards = asyncio.create_task(reply.relayed(connection, behavior))
                    await _first_of(downwards, upwards)
        except TimeoutError:
            seconds = origin.completion_timeout_s
            raise OriginTimeoutError(f"the answer was not complete after {seconds} s") from None

    def _report(self, exchange: Exchange) -> None:
        viewer = exchange.viewer
        path = without_tokens(_UNPRINTABLE.sub("?", viewer.path.decode("latin-1")))
        status = exchange.status or "---"
        by = exchange.answered_by
        if by == "origin" and exchange.sent:
            by = f"{'edge, ' if exchange.event else ''}origin {exchange.sent.origin.domain_name}"
        self._console(f"{viewer.method} {path} {status} {exchange.duration_ms:.0f} ms {by}")
        if exchange.problem:
            self._console(f"  {exchange.problem}")
        if self._observe is not None:
            self._observe(exchange)


class _Reply:
    """The answer to the viewer; what it can still say depends on what it has sent already."""

    def __init__(self, exchange: Exchange, send: Send) -> None:
        self._exchange = exchange
        self._send = send

    async def relayed(self, connection: OriginExchange, behavior: Behavior) -> None:
        """Stream the origin's answer on, chunk by chunk as it comes."""
        response = await connection.response()
        hop_by_hop = rules.HOP_BY_HOP_RESPONSE | _named_by_connection(response.headers)
        headers = [header for header in response.headers if header[0].decode("latin-1") not in hop_by_hop]
        cache = b"Error from cloudfront" if response.status >= 400 else b"Miss from cloudfront"
        await self._start(response.status, headers, behavior, cache)
        try:
            async for chunk in connection.body():
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        except OriginError as error:
            # Too late for another status. Leaving the answer unfinished makes the server close the connection, which is
            # how the viewer learns that it is cut short.
            self._exchange.problem = f"the answer was cut short: {error}"
            return
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def generated(self, response: GeneratedResponse, behavior: Behavior) -> None:
        """Send the function's own answer."""
        headers = [(name.lower(), value) for name, value in response.headers]
        if response.status not in {204, 304}:
            headers.append((b"content-length", str(len(response.body)).encode()))
        await self._start(response.status, headers, behavior, b"LambdaGeneratedResponse from cloudfront")
        body = b"" if self._exchange.viewer.method == "HEAD" else response.body
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def error(self, status: int, rule: str, sentence: str, detail: str) -> None:
        """Answer in CloudFront's place; names the rule to the viewer and on the console."""
        self._exchange.problem = f"{rule}: {detail}"
        if self._exchange.status:
            return
        self._exchange.answered_by = "cloudfront"
        page = (
            f"{status} ERROR: The request could not be satisfied.\n{sentence}\n{rule}: {detail}\n\n"
            f"Generated by cloudfront (the local edge twin). Request ID: {self._exchange.request_id}\n"
        ).encode()
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(page)).encode()),
            # The rest of the request may never have been read.
            (b"connection", b"close"),
        ]
        await self._start(status, headers, None, b"Error from cloudfront")
        body = b"" if self._exchange.viewer.method == "HEAD" else page
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _start(self, status: int, headers: list[Header], behavior: Behavior | None, cache: bytes) -> None:
        exchange = self._exchange
        vias = [value for name, value in headers if name == b"via"]
        headers = [header for header in headers if header[0] not in _REPLACED_IN_RESPONSES]
        if behavior and behavior.response_headers:
            headers = apply_policy(headers, behavior.response_headers, exchange.viewer)
        names = {name for name, _ in headers}
        if b"date" not in names:
            headers.append((b"date", email.utils.formatdate(usegmt=True).encode()))
        if b"server" not in names:
            headers.append((b"server", b"CloudFront"))
        headers += [
            (b"via", b", ".join([*vias, f"1.1 {EDGE_HOP}".encode()])),
            (b"x-cache", cache),
            (b"x-amz-cf-pop", _POP),
            (b"x-amz-cf-id", exchange.request_id.encode()),
        ]
        exchange.status, exchange.response_headers = status, headers
        await self._send({"type": "http.response.start", "status": status, "headers": headers})


def _check_viewer_request(viewer: ViewerRequest) -> None:
    """Refuse what no behavior would take.

    Raises:
        _RefusedError: 400, 414 or 494.
    """
    target = viewer.path + (b"?" + viewer.query if viewer.query else b"")
    if not viewer.path.startswith(b"/") or b"#" in target:
        detail = "the request target must be a path that begins with a slash, without a fragment"
        raise _RefusedError(400, "BadRequest", "Bad request.", detail)
    if len(target) > rules.MAX_URL_BYTES:
        detail = f"the URL has {len(target)} bytes; {rules.MAX_URL_BYTES} are allowed"
        raise _RefusedError(414, "UrlLength", "Bad request: the URL is too long.", detail)
    for name, value in viewer.headers:
        if _CONTROL.search(value):
            detail = f"the header {name.decode('latin-1')} has a control character, which no field value may have (RFC 9110 §5.5)"
            raise _RefusedError(400, "BadRequest", "Bad request.", detail)
    request_line = len(viewer.method) + 1 + len(target) + len(" HTTP/1.1\r\n")
    size = request_line + sum(len(name) + len(value) + len(": \r\n") for name, value in viewer.headers)
    if size > rules.MAX_REQUEST_BYTES:
        detail = f"request line and headers have {size} bytes; {rules.MAX_REQUEST_BYTES} are allowed"
        raise _RefusedError(494, "RequestHeaderLength", "Request header too large.", detail)


def _check_method(viewer: ViewerRequest, behavior: Behavior) -> None:
    """Refuse methods that the behavior does not take, and GETs with a body.

    Raises:
        _RefusedError: 403.
    """
    if viewer.method not in behavior.allowed_methods:
        sentence = (
            "This distribution is not configured to allow the HTTP request method that was used for this request."
        )
        allowed = ", ".join(sorted(behavior.allowed_methods))
        raise _RefusedError(403, "AllowedMethods", sentence, f"behavior {behavior.pattern} allows {allowed}")
    # "If a viewer GET request includes a body, CloudFront returns an HTTP status code 403 (Forbidden)."
    length = viewer.values(b"content-length")
    announced = viewer.values(b"transfer-encoding") or any(value.strip(b"0") for value in length)
    if viewer.method == "GET" and announced:
        raise _RefusedError(403, "GetWithBody", "Bad request.", "a GET request must not have a body")


def _named_by_connection(headers: tuple[Header, ...]) -> set[str]:
    listed = b",".join(value for name, value in headers if name == b"connection")
    return {name.strip().lower() for name in listed.decode("latin-1").split(",")}


async def _one(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body


async def _send_body_then_watch(connection: OriginExchange, chunks: AsyncIterator[bytes], body: _ViewerBody) -> None:
    """Send the body on, then wait for the viewer to leave: an endless answer must not be read on without a viewer.

    Raises:
        _ViewerGoneError: Always, in the end.
    """
    await connection.send_body(chunks)
    await body.until_the_viewer_leaves()
    raise _ViewerGoneError


async def _first_of(answer: "asyncio.Task[None]", other: "asyncio.Task[None]") -> None:
    """Wait for either task, end the other, and raise what the finished one raised; the answer's error wins."""
    try:
        await asyncio.wait({answer, other}, return_when=asyncio.FIRST_COMPLETED)
        (answer if answer.done() else other).result()
    finally:
        for task in (answer, other):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
