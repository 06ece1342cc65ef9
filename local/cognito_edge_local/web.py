"""What the small HTTP servers share: bounded bodies, answers to what is not there, the guard of the private ones."""

import contextlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Message, Receive, Scope, Send

from .launcher import ports
from .launcher.state_folder import open_private

_SECRET_BYTES = 32
_PRIVATE_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class BodyError(ValueError):
    """A request's body is not taken; the message says why."""


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Return a request's body.

    Raises:
        BodyError: It is longer than *max_bytes*, or the caller left in the middle of it.
    """
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                raise BodyError(f"At most {max_bytes} bytes are taken here.")
    except ClientDisconnect:
        raise BodyError("The body ended too early.") from None
    return bytes(body)


def routed(routes: Sequence[BaseRoute], refuse: Callable[[str, int, Mapping[str, str] | None], Response]) -> Starlette:
    """Return an app of these routes.

    Args:
        routes: Their paths are taken as they are: a slash more or less is another path.
        refuse: Makes the answer to what goes wrong, from a sentence, a status and headers.
    """

    async def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these alone
        sentence, headers = error.detail, error.headers
        if error.status_code == 404:
            sentence = f"Not here. This server has {', '.join(sorted(route.path for route in request.app.routes))}."
        elif error.status_code == 405 and headers:
            allowed = ", ".join(sorted(headers["Allow"].split(", ")))  # Starlette has them as a set
            sentence, headers = f"{request.scope['path']} takes {allowed}.", {"Allow": allowed}
        return refuse(sentence, error.status_code, headers)

    async def on_body_error(_request: Request, error: Exception) -> Response:
        return refuse(str(error), 413, None)

    app = Starlette(routes=routes, exception_handlers={HTTPException: on_http_error, BodyError: on_body_error})
    app.router.redirect_slashes = False
    return app


def json_answer(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON document in ASCII, for people to read."""
    return Response(json.dumps(document, indent=1) + "\n", status, headers, "application/json")


class PrivateServer:
    """A server for this user's programs: they send a secret that each start makes anew.

    It listens on a loopback port of its own. A name rebound to 127.0.0.1 carries its own ``Host`` and is refused; so is what a
    web page of another origin sends. No answer has CORS headers, so that a browser shows such a page nothing.
    """

    def __init__(
        self,
        routes: Sequence[BaseRoute],
        *,
        port: int,
        file_name: str,
        is_foreign_page: Callable[[Request], bool],
        public: Collection[str] = (),
    ) -> None:
        """Make a new secret.

        Args:
            routes: What is served.
            port: The loopback port that it is served on.
            file_name: The file that tells this user's programs the address and the secret.
            is_foreign_page: Says whether a web page sent a request that is not this server's own.
            public: Paths that are answered without the secret.
        """
        self.url = f"http://{ports.HOST}:{port}"
        self.secret = secrets.token_urlsafe(_SECRET_BYTES)
        self._file_name = file_name
        self._is_foreign_page = is_foreign_page
        self._public = public
        self._app = routed(routes, lambda text, status, headers: json_answer({"error": text}, status, headers))

    @property
    def told(self) -> dict[str, str]:
        """What this user's programs are told."""
        return {"url": self.url, "secret": self.secret}

    @contextlib.contextmanager
    def published(self, folder: Path) -> Iterator[None]:
        """Tell this user's programs, for the length of a ``with`` block."""
        path = folder / self._file_name
        with os.fdopen(open_private(path), "w", encoding="utf-8") as file:
            json.dump(self.told, file)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_privately(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_PRIVATE_HEADERS)
            await send(message)

        app = self._refusal(Request(scope)) or self._app
        await app(scope, receive, send_privately)

    def _refusal(self, request: Request) -> Response | None:
        headers = request.headers
        if headers.getlist("host") != [self.url.removeprefix("http://")]:
            return json_answer({"error": f"This is {self.url}; Host names another server."}, 421)
        if self._is_foreign_page(request):
            return json_answer({"error": "Web pages of other origins are not answered here."}, 403)
        if request.scope["path"] not in self._public and not self._has_secret(headers.getlist("authorization")):
            return json_answer({"error": f"Send `Authorization: Bearer SECRET`; it is in {self._file_name}."}, 401)
        return None

    def _has_secret(self, given: list[str]) -> bool:
        return len(given) == 1 and hmac.compare_digest(given[0].encode("latin-1"), f"Bearer {self.secret}".encode())
