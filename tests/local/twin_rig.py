"""The edge twin on a real uvicorn, between a raw client and raw origins, all on loopback; the function is a coroutine."""

import asyncio
import contextlib
import functools
import io
from dataclasses import dataclass, field, replace
from http.client import HTTPResponse

import uvicorn
from cognito_edge_local.cloudfront.behaviors import (
    Behavior,
    CachePolicy,
    DistributionView,
    EdgeFunction,
    Origin,
    OriginRequestPolicy,
    Selection,
)
from cognito_edge_local.cloudfront.distribution import EdgeTwin
from cognito_edge_local.cloudfront.raw_target import uvicorn_settings
from uvicorn.server import ServerState

URL_HOST = "abc123.lambda-url.eu-west-1.on.aws"
HOST = b"x"
"""A name that the twin is told to answer to; requests come with it."""
ALL_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"})
CACHING_DISABLED = CachePolicy(
    "Managed-CachingDisabled",
    0,
    0,
    0,
    gzip=False,
    brotli=False,
    headers=Selection(),
    cookies=Selection(),
    queries=Selection(),
)
ALL_VIEWER_EXCEPT_HOST = OriginRequestPolicy(
    "Managed-AllViewerExceptHostHeader",
    headers=Selection("allExcept", frozenset({"host"})),
    cookies=Selection("all"),
    queries=Selection("all"),
)
GUARDED = Behavior(
    pattern="*",
    origin=Origin(kind="custom", domain_name=URL_HOST, read_timeout_s=5),
    allowed_methods=ALL_METHODS,
    cache_policy=CACHING_DISABLED,
    origin_request_policy=ALL_VIEWER_EXCEPT_HOST,
    edge_function=EdgeFunction("arn:aws:lambda:us-east-1:000000000000:function:edge:1", include_body=True),
)


def distribution(*behaviors, **changes):
    """A distribution with these behaviors, or with the gateway's one, changed as said."""
    chosen = behaviors or (replace(GUARDED, **changes),)
    return DistributionView("E2EXAMPLE", "d111111abcdef8.cloudfront.net", chosen)


@dataclass
class Arrived:
    """A request as the origin's socket got it."""

    head: bytes
    body: bytes

    @property
    def request_line(self):
        return self.head.split(b"\r\n")[0]

    @property
    def headers(self):
        lines = self.head.split(b"\r\n")[1:]
        return [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines if line)]

    def values(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class Reply:
    """An answer as the viewer's socket got it."""

    status: int
    headers: list
    body: bytes
    raw: bytes

    def values(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]


class RawOrigin:
    """An HTTP server that records the exact bytes and answers with the exact bytes it is told."""

    def __init__(self, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"):
        self.answer = answer
        self.arrived = []
        self._tasks = []

    async def start(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = self._server.sockets[0].getsockname()

    async def stop(self):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self._tasks.append(asyncio.current_task())
        with (
            contextlib.closing(writer),
            contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError),
        ):
            head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
            request = Arrived(head, b"")
            self.arrived.append(request)
            if lengths := request.values(b"content-length"):
                request.body = await reader.readexactly(int(lengths[0]))
            elif request.values(b"transfer-encoding"):
                while size := int(await reader.readuntil(b"\r\n"), 16):
                    request.body += (await reader.readexactly(size + 2))[:-2]
                await reader.readuntil(b"\r\n")
            if callable(self.answer):
                await self.answer(reader, writer)
            else:
                writer.write(self.answer)
                await writer.drain()


async def passes(event):
    """The edge function that returns the request as it is."""
    return event["Records"][0]["cf"]["request"]


def changes(change):
    """An edge function that returns the request after ``change(request)``, or what that returns."""

    async def function(event):
        request = event["Records"][0]["cf"]["request"]
        result = change(request)
        return request if result is None else result

    return function


@dataclass
class Rig:
    """Everything a test looks at."""

    origin: RawOrigin
    port: int = 0
    console: list = field(default_factory=list)
    exchanges: list = field(default_factory=list)
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    events: list = field(default_factory=list)

    @property
    def request_event(self):
        """The request in the event that the function got."""
        (event,) = self.events
        return event["Records"][0]["cf"]["request"]

    @property
    def arrived(self):
        (request,) = self.origin.arrived
        return request

    async def raw(self, request):
        """Send these bytes, read until the twin closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        raw = b""
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65536):
                raw += chunk
        writer.close()
        return raw

    async def send(self, method="GET", target=b"/", headers=(), body=b"", hosts=(HOST,)):
        """Send a request; gives the parsed answer."""
        lines = [method.encode() + b" " + target + b" HTTP/1.1", *(b"Host: " + host for host in hosts)]
        lines += [b"Connection: close"]
        lines += [name + b": " + value for name, value in headers]
        if body and not any(name.lower() == b"transfer-encoding" for name, _ in headers):
            lines.append(b"Content-Length: %d" % len(body))
        raw = await self.raw(b"\r\n".join([*lines, b"", b""]) + body)
        return parse(raw, method)


def parse(raw, method="GET"):
    class Socket:
        def makefile(self, _mode):
            return io.BytesIO(raw)

    response = HTTPResponse(Socket(), method=method)
    response.begin()
    headers = [(name.lower(), value) for name, value in response.getheaders()]
    return Reply(response.status, headers, response.read(), raw)


def twin(scenario, *, function=passes, view=None, origin=None, resolve=None, names=("x",)):
    """Run ``scenario(rig)`` against a twin of *view* whose edge function is *function*."""

    async def main():
        backend = origin or RawOrigin()
        await backend.start()
        rig = Rig(backend)

        async def invoke(event):
            rig.events.append(event)
            return await function(event)

        app = EdgeTwin(
            config=view or distribution(),
            invoke=invoke,
            resolve=resolve or (lambda domain: {URL_HOST: backend.address}[domain]),
            console=rig.console.append,
            observe=lambda exchange: (rig.exchanges.append(exchange), rig.finished.set()),
            names=names,
        )
        # uvicorn's protocol on a plain asyncio server: its own supervisor takes 0.2 s to notice that it should stop.
        config = uvicorn.Config(app, **uvicorn_settings())
        config.load()
        state = ServerState()
        protocol = functools.partial(config.http_protocol_class, config=config, server_state=state, app_state={})
        server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
        rig.port = server.sockets[0].getsockname()[1]
        try:
            return await scenario(rig), rig
        finally:
            server.close()
            for connection in list(state.connections):
                connection.shutdown()
            if state.tasks:
                await asyncio.wait(state.tasks, timeout=5)
            await backend.stop()

    return asyncio.run(main())


def send(method="GET", target=b"/", headers=(), body=b"", **options):
    """Send one request through a twin; gives the answer and the rig."""
    return twin(lambda rig: rig.send(method, target, headers, body), **options)
