"""The hosted UI's front: the sign-in pages and OAuth endpoints of the emulated user pool, on an origin of their own.

On AWS the hosted UI has a domain of its own. Here it has a port of its own, in front of the emulator, which refuses
browsers: only the paths of ``LoginFront`` get through, and only what a browser has business to send or see with them.

Named fakes, where the emulator has nothing:

* ``POST /oauth2/revoke`` (RFC 7009), by way of the emulator's RevokeToken call.
* The metadata of an OAuth authorisation server (``emulator/oauth_metadata.py``).
* ``GET /login`` with a client id, which on AWS shows the same page as ``/oauth2/authorize``.
* ``GET /`` and ``GET /login`` without parameters say what this is.
"""

import asyncio
import base64
import contextlib
import functools
import hmac
import html
import json
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import parse_qs, unquote

from botocore.exceptions import BotoCoreError, ClientError
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from cognito_edge_local.hosts import answers_to
from cognito_edge_local.web import read_body, routed

from . import oauth_metadata
from .calls import call

_MAX_BODY_BYTES = 64 * 1024
_REQUEST_HEADERS = frozenset({b"accept", b"authorization", b"content-type"})
# For single-page apps, which call these from their own origin; no cookie takes part, so ``*`` gives nothing away.
# Source: https://docs.aws.amazon.com/cognito/latest/developerguide/token-endpoint.html
_CORS_PATHS = frozenset({"/oauth2/token", "/oauth2/userInfo", "/oauth2/revoke"}) | oauth_metadata.PATHS
_FOR_APPS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, POST, OPTIONS",
    "access-control-allow-headers": "authorization, content-type",
    "access-control-max-age": "600",
    "x-content-type-options": "nosniff",
}
_FOR_PAGES = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    # With no-referrer, browsers would send ``Origin: null`` with the form, which is refused below.
    "referrer-policy": "same-origin",
}

_WELCOME = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>Sign-in, local</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:42em;margin:4em auto;padding:0 1em}code{background:#eee;padding:2px 4px}</style>
<h1>Sign-in of the local gateway</h1>
<p>This stands in for the Amazon Cognito hosted UI. An app sends people here with its own parameters; there is nothing
to see without them.</p>
<p>For a token, run <code>python scripts/get_token.py --local</code> in the project's folder. The demo user's name and
password are in <code>%s</code>.</p>
"""


class LoginFront:
    """The sign-in front's app."""

    def __init__(
        self,
        *,
        port: int,
        emulator_url: str,
        cognito: Any,
        user_pool_id: str,
        outputs_file: str,
        console: Callable[[str], None],
        names: Collection[str] = (),
    ) -> None:
        """Connect nothing yet.

        Args:
            port: The loopback port that it is served on.
            emulator_url: The emulator's endpoint.
            cognito: A boto3 client of the emulator's ``cognito-idp``.
            user_pool_id: The pool of the clients that may revoke.
            outputs_file: Where people find the demo user, for the welcome page.
            console: Takes one line a request: method, path and status, never a query or a body.
            names: Host names to answer to besides the loopback names.
        """
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._names = names
        self._emulator_url = emulator_url
        self._cognito = cognito
        self._user_pool_id = user_pool_id
        self._console = console
        metadata = JSONResponse(
            oauth_metadata.document(issuer=self.url, jwks_uri=f"{emulator_url}/{user_pool_id}/.well-known/jwks.json")
        )
        self._welcome = HTMLResponse(_WELCOME % html.escape(outputs_file))

        def passed_on(path: str, *methods: str) -> Route:
            return Route(path, functools.partial(self._pass_on, path), methods=methods)

        self._app = routed(
            [
                Route("/", self._welcome, methods=["GET"]),
                Route("/login", self._login, methods=["GET", "POST"]),
                passed_on("/oauth2/authorize", "GET"),
                passed_on("/oauth2/token", "POST"),
                passed_on("/oauth2/userInfo", "GET", "POST"),
                passed_on("/logout", "GET"),
                Route("/oauth2/revoke", self._revoke, methods=["POST"]),
                *(Route(path, metadata, methods=["GET"]) for path in oauth_metadata.PATHS),
            ],
            lambda text, status, headers: PlainTextResponse(f"{text}\n", status, headers),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope)
        refusal = self._refusal(request)
        for_apps = refusal is None and scope["path"] in _CORS_PATHS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_FOR_APPS if for_apps else _FOR_PAGES)
                self._console(f"sign-in: {request.method} {scope['path']!r} {message['status']}")
            await send(message)

        preflight = Response(status_code=204) if for_apps and request.method == "OPTIONS" else None
        await (refusal or preflight or self._app)(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not hosts[0]:
            return PlainTextResponse("A request has one Host header.\n", 400)
        if not answers_to(hosts[0].encode("latin-1"), self._port, self._names):
            text = "This server does not have the name in Host; make run RUN_ARGS='--allow-host NAME' adds one.\n"
            return PlainTextResponse(text, 403)
        # Login CSRF: no page of another origin may submit the form, and so sign a person in as another.
        foreign = set(request.headers.getlist("origin")) - {f"http://{hosts[0]}"}
        if foreign and request.method == "POST" and request.scope["path"] not in _CORS_PATHS:
            return PlainTextResponse("The sign-in form is sent from its own page only.\n", 403)
        return None

    async def _login(self, request: Request) -> Response:
        """Show the form or take it; on AWS this path takes the parameters of ``/oauth2/authorize`` too."""
        if request.method == "POST":
            return await self._pass_on("/login", request)
        return await self._pass_on("/oauth2/authorize", request) if request.query_params else self._welcome

    async def _pass_on(self, path: str, request: Request) -> Response:
        """Ask the emulator, as a program would: without the browser's headers, under the emulator's own Host."""
        query = request.scope["query_string"]
        answer = await call(
            self._emulator_url,
            "POST" if request.method == "POST" else "GET",  # and GET for HEAD
            path.encode() + (b"?" + query if query else b""),
            [(name, value) for name, value in request.headers.raw if name in _REQUEST_HEADERS],
            await read_body(request, _MAX_BODY_BYTES),
        )
        location = answer.headers.get("location", "")
        if location == self._emulator_url or location.startswith(f"{self._emulator_url}/"):
            answer.headers["location"] = self.url + location.removeprefix(self._emulator_url)
        return answer

    async def _revoke(self, request: Request) -> Response:
        body = await read_body(request, _MAX_BODY_BYTES)
        form = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
        # RFC 6749 §3.2: "Request and response parameters MUST NOT be included more than once."
        if any(len(values) > 1 for values in form.values()):
            return _oauth_error("invalid_request", "a parameter is there twice")
        basic = _basic_credentials(request.headers.get("authorization"))
        return await asyncio.to_thread(self._revoked, {name: value for name, (value,) in form.items()}, basic)

    def _revoked(self, form: dict[str, str], basic: tuple[str, str] | None) -> Response:
        """Revoke a refresh token and what came of it (RFC 7009 §2); the emulator lacks this endpoint.

        Source: https://docs.aws.amazon.com/cognito/latest/developerguide/revocation-endpoint.html
        """
        token = form.get("token", "")
        client_id, secret = basic or (form.get("client_id", ""), form.get("client_secret", ""))
        try:
            client = self._cognito.describe_user_pool_client(UserPoolId=self._user_pool_id, ClientId=client_id or "-")
        except ClientError:
            return _invalid_client(with_challenge=basic is not None)
        except BotoCoreError:
            return PlainTextResponse("The emulator did not answer.\n", 503)
        details = client["UserPoolClient"]
        if not hmac.compare_digest(details.get("ClientSecret", "").encode(), secret.encode()):
            return _invalid_client(with_challenge=basic is not None)
        if not token:
            return _oauth_error("invalid_request", "token is missing")
        if details.get("EnableTokenRevocation") is False:
            return _oauth_error("invalid_request", "token revocation is off for this client")
        if _token_use(token) in {"id", "access"}:
            return _oauth_error("unsupported_token_type", "only refresh tokens can be revoked")
        arguments = {"Token": token, "ClientId": client_id} | ({"ClientSecret": secret} if secret else {})
        try:
            # RFC 7009 §2.2: "invalid tokens do not cause an error response since the client cannot handle such an
            # error in a reasonable way."
            with contextlib.suppress(ClientError):
                self._cognito.revoke_token(**arguments)
        except BotoCoreError:
            return PlainTextResponse("The emulator did not answer; the token is still valid.\n", 503)
        return Response(headers={"cache-control": "no-store"})


def _oauth_error(error: str, description: str, status: int = 400, **headers: str) -> Response:
    document = {"error": error, "error_description": description}
    return JSONResponse(document, status, {"cache-control": "no-store", **headers})


def _invalid_client(*, with_challenge: bool) -> Response:
    # RFC 6749 §5.2: 401 with a challenge only "if the client attempted to authenticate via the Authorization header".
    description = "no such client, or its secret is wrong"
    if with_challenge:
        return _oauth_error("invalid_client", description, 401, **{"www-authenticate": "Basic"})
    return _oauth_error("invalid_client", description)


def _basic_credentials(header: str | None) -> tuple[str, str] | None:
    """Read client id and secret from HTTP Basic (RFC 6749 §2.3.1); None without the header."""
    if header is None:
        return None
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return unquote(name), unquote(secret)


def _token_use(token: str) -> str | None:
    """Say what a JWT calls itself, unverified: only to tell the wrong kind of token from a refresh token."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    return claims.get("token_use") if isinstance(claims, dict) else None
