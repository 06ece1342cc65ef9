"""The trace page's server: each request's whole way, live, for this machine's developer and nobody else.

It listens on a loopback port of its own. What may be fetched without the secret is the page itself, which says nothing;
the requests want the secret that each start makes anew, as a bearer token.

* The secret stands in the fragment of the printed address, which browsers never send. Not in a cookie: cookies know no
  ports, so every other server on 127.0.0.1 would be sent it, the gateway first.
* A name rebound to 127.0.0.1 carries its own `Host` and is refused; so is what a page of another origin sends.
* Nothing answers CORS; the page runs under a CSP without inline code, and may not be framed.

    GET /                  the page: page/index.html, page.js, page.css, icon.svg
    GET /requests          summaries of all requests that are kept, oldest first
    GET /request?id=ID     one record
    GET /live?after=N      the same summaries as JSON lines, those that changed after version N and then each new one
"""

import asyncio
import contextlib
import hmac
import json
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cognito_edge_local.launcher import ports
from cognito_edge_local.launcher.state_folder import open_private

from .book import MAX_REQUESTS, TraceBook
from .record import Record

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

FILE_NAME = "trace.json"
MAX_STREAMS = 16
_SECRET_BYTES = 32
_PAGE = Path(__file__).with_name("page")
_FILES = {
    "/": ("index.html", b"text/html; charset=utf-8"),
    "/page.js": ("page.js", b"text/javascript; charset=utf-8"),
    "/page.css": ("page.css", b"text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", b"image/svg+xml"),
}
_CSP = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    b"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", _CSP),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


class TraceEndpoint:
    """The ASGI app; a class for its secret, and because streams under way have to be ended before the server stops."""

    def __init__(self, *, port: int, book: TraceBook) -> None:
        """Make a new secret.

        Args:
            port: The loopback port that it is served on.
            book: The requests.
        """
        self.url = f"http://{ports.HOST}:{port}"
        self.secret = secrets.token_urlsafe(_SECRET_BYTES)
        self._own_host = f"{ports.HOST}:{port}".encode()
        self._credentials = f"Bearer {self.secret}".encode()
        self._book = book
        self._streams: set[asyncio.Task[None]] = set()
        self._closing = False
        self._files = {path: ((_PAGE / name).read_bytes(), kind) for path, (name, kind) in _FILES.items()}

    @property
    def page(self) -> str:
        """The address to open, with the secret where browsers keep it to themselves."""
        return f"{self.url}/#{self.secret}"

    @contextlib.contextmanager
    def published(self, folder: Path) -> Iterator[None]:
        """Tell this user's programs where it is and what it wants, for the length of a `with` block."""
        path = folder / FILE_NAME
        with os.fdopen(open_private(path), "w", encoding="utf-8") as file:
            json.dump({"url": self.url, "secret": self.secret, "page": self.page}, file)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)

    async def close(self) -> None:
        """End every stream, and take no more: a server that stops would wait for them."""
        self._closing = True
        for task in list(self._streams):
            task.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await _json(send, *refusal)
        elif scope["path"] in self._files:
            await _answer(send, HTTPStatus.OK, *self._files[scope["path"]])
        elif scope["path"] == "/requests":
            await _json(send, HTTPStatus.OK, {"requests": self._book.summaries(), "limit": MAX_REQUESTS})
        elif scope["path"] == "/request":
            record = self._book.get(_parameter(scope, "id"))
            gone = {"error": f"No such request among the last {MAX_REQUESTS} of this run."}
            await _json(send, *((HTTPStatus.NOT_FOUND, gone) if record is None else (HTTPStatus.OK, record)))
        elif scope["path"] == "/live":
            await self._live(scope, receive, send)
        else:
            await _json(send, HTTPStatus.NOT_FOUND, {"error": "Only /, /requests, /request and /live are here."})

    def _refusal(self, scope: Scope) -> tuple[int, Record] | None:
        headers = scope["headers"]

        def values(wanted: bytes) -> list[bytes]:
            return [value for name, value in headers if name == wanted]

        if values(b"host") != [self._own_host]:
            return HTTPStatus.MISDIRECTED_REQUEST, {"error": f"This is {self.url}; Host names another server."}
        if scope["method"] not in ("GET", "HEAD"):
            return HTTPStatus.METHOD_NOT_ALLOWED, {"error": "Only GET is taken here."}
        # A page's own GETs have no Origin, so whatever has one comes from elsewhere.
        if values(b"origin"):
            return HTTPStatus.FORBIDDEN, {"error": "Other pages are not answered here."}
        if set(values(b"sec-fetch-site")) - {b"same-origin", b"none"}:
            # A link in some other page may lead to the page, which says nothing without the secret; a frame may not.
            followed = values(b"sec-fetch-mode") == [b"navigate"] and values(b"sec-fetch-dest") == [b"document"]
            if not (followed and scope["path"] == "/"):
                return HTTPStatus.FORBIDDEN, {"error": "Other pages are not answered here."}
        if scope["path"] in self._files:
            return None
        given = values(b"authorization")
        if len(given) != 1 or not hmac.compare_digest(given[0], self._credentials):
            return HTTPStatus.UNAUTHORIZED, {"error": f"Send `Authorization: Bearer SECRET`; it is in {FILE_NAME}."}
        return None

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._closing or len(self._streams) >= MAX_STREAMS:
            await _json(send, HTTPStatus.SERVICE_UNAVAILABLE, {"error": f"At most {MAX_STREAMS} pages at once."})
            return
        after = _parameter(scope, "after")
        number = int(after) if after.isascii() and after.isdigit() and len(after) < 16 else 0
        writing = asyncio.create_task(self._write_changes(send, number))
        self._streams.add(writing)
        leaving = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writing, leaving):
                task.cancel()
            await asyncio.gather(writing, leaving, return_exceptions=True)
            self._streams.discard(writing)
        with contextlib.suppress(OSError):
            await send({"type": "http.response.body", "body": b""})

    async def _write_changes(self, send: Send, after: int) -> None:
        headers = [(b"content-type", b"application/x-ndjson"), *_HEADERS]
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})
        hello = {"limit": MAX_REQUESTS, "version": self._book.version}
        await send({"type": "http.response.body", "body": json.dumps(hello).encode() + b"\n", "more_body": True})
        # A client that remembers more than we ever had watched the run before this one.
        async for summary in self._book.changes(after if after <= self._book.version else 0):
            await send({"type": "http.response.body", "body": json.dumps(summary).encode() + b"\n", "more_body": True})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _parameter(scope: Scope, name: str) -> str:
    values: list[str] = parse_qs(scope["query_string"].decode("latin-1")).get(name, [""])
    return values[0]


async def _json(send: Send, status: int, document: Record) -> None:
    await _answer(send, status, json.dumps(document).encode() + b"\n", b"application/json")


async def _answer(send: Send, status: int, body: bytes, content_type: bytes) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
