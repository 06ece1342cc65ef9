"""The control endpoint: turns the knobs of `emulator/faults.py`, for whoever can read `control.json` and nobody else.

It listens on a loopback port of its own and wants a secret that each start makes anew. No web page gets in: a browser's
headers are refused, a name rebound to 127.0.0.1 carries its own `Host`, and nothing answers a CORS preflight.

    GET /faults     how the knobs stand
    POST /faults    {"jwks": "down"}: turn some of them
"""

import contextlib
import hmac
import json
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from cognito_edge_local.launcher import ports
from cognito_edge_local.launcher.state_folder import open_private

from .faults import FaultError, Faults

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

FILE_NAME = "control.json"
_PATH = "/faults"
_MAX_BODY_BYTES = 4096
_SECRET_BYTES = 32


class ControlEndpoint:
    """The ASGI app; a class for its secret."""

    def __init__(self, *, port: int, faults: Faults) -> None:
        """Make a new secret.

        Args:
            port: The loopback port that it is served on.
            faults: The knobs.
        """
        self.url = f"http://{ports.HOST}:{port}"
        self.secret = secrets.token_urlsafe(_SECRET_BYTES)
        self._own_host = f"{ports.HOST}:{port}".encode()
        self._credentials = f"Bearer {self.secret}".encode()
        self._faults = faults

    @contextlib.contextmanager
    def published(self, folder: Path) -> Iterator[None]:
        """Tell this user's programs where it is and what it wants, for the length of a `with` block."""
        path = folder / FILE_NAME
        with os.fdopen(open_private(path), "w", encoding="utf-8") as file:
            json.dump({"url": self.url, "secret": self.secret}, file)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        status, document = self._refusal(scope) or await self._answer(scope, receive)
        body = json.dumps(document, indent=1).encode() + b"\n"
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _refusal(self, scope: Scope) -> tuple[int, dict[str, Any]] | None:
        headers = scope["headers"]
        if [value for name, value in headers if name == b"host"] != [self._own_host]:
            return HTTPStatus.MISDIRECTED_REQUEST, {"error": f"This is {self.url}; Host names another server."}
        if any(name == b"origin" or name.startswith(b"sec-fetch-") for name, _ in headers):
            return HTTPStatus.FORBIDDEN, {"error": "Programs are answered here, web pages are not."}
        given = [value for name, value in headers if name == b"authorization"]
        if len(given) != 1 or not hmac.compare_digest(given[0], self._credentials):
            return HTTPStatus.UNAUTHORIZED, {"error": f"Send `Authorization: Bearer SECRET`; it is in {FILE_NAME}."}
        return None

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, dict[str, Any]]:
        if scope["path"] != _PATH:
            return HTTPStatus.NOT_FOUND, {"error": f"Only {_PATH} is here."}
        if scope["method"] == "GET":
            return HTTPStatus.OK, self._faults.report()
        if scope["method"] != "POST":
            return HTTPStatus.METHOD_NOT_ALLOWED, {"error": f"{_PATH} takes GET and POST."}
        try:
            changes = json.loads(await _read_body(receive))
            if not isinstance(changes, dict):
                raise FaultError('Expected a JSON object such as {"jwks": "down"}.')
            return HTTPStatus.OK, await self._faults.apply(changes)
        except (ValueError, RecursionError) as error:  # a FaultError is a ValueError, and so is what is no JSON
            return HTTPStatus.BAD_REQUEST, {"error": str(error)}


async def _read_body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > _MAX_BODY_BYTES:
            raise FaultError(f"At most {_MAX_BODY_BYTES} bytes are taken here.")
        if not message.get("more_body"):
            return bytes(body)
