"""The hosted UI's front: the sign-in pages and OAuth endpoints of the emulated user pool, on an origin of their own.

On AWS the hosted UI has a domain of its own. Here it has a port of its own, in front of the emulator, which refuses
browsers: only the paths of `_PROXIED` get through, and only what a browser has business to send or see with them.

Named fakes, where the emulator has nothing:

* `POST /oauth2/revoke` (RFC 7009), by way of the emulator's RevokeToken call.
* The metadata of an OAuth authorisation server (`emulator/oauth_metadata.py`).
* `GET /login` with a client id, which on AWS shows the same page as `/oauth2/authorize`.
* `GET /` and `GET /login` without parameters say what this is.
"""

import asyncio
import base64
import binascii
import contextlib
import hmac
import html
import json
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote

import httpcore
from botocore.exceptions import BotoCoreError, ClientError

from cognito_edge_local.hosts import answers_to

from . import oauth_metadata

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_MAX_BODY_BYTES = 64 * 1024
_TIMEOUT_S = 15.0

_PROXIED: dict[tuple[str, str], str] = {
    ("GET", "/oauth2/authorize"): "/oauth2/authorize",
    ("GET", "/login"): "/oauth2/authorize",  # AWS: the login endpoint takes the same parameters
    ("POST", "/login"): "/login",
    ("POST", "/oauth2/token"): "/oauth2/token",
    ("GET", "/oauth2/userInfo"): "/oauth2/userInfo",
    ("POST", "/oauth2/userInfo"): "/oauth2/userInfo",
    ("GET", "/logout"): "/logout",
}
"""What is passed on: method and path here, path there. Nothing else of the emulator can be reached through this port."""

_REQUEST_HEADERS = frozenset({b"accept", b"authorization", b"content-type"})
_RESPONSE_HEADERS = frozenset(
    {b"cache-control", b"content-type", b"location", b"pragma", b"set-cookie", b"www-authenticate"}
)
# For single-page apps, which call these from their own origin; no cookie takes part, so `*` gives nothing away.
# Source: https://docs.aws.amazon.com/cognito/latest/developerguide/token-endpoint.html
_CORS_PATHS = frozenset({"/oauth2/token", "/oauth2/userInfo", "/oauth2/revoke"}) | oauth_metadata.PATHS
_CORS: Headers = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-allow-headers", b"authorization, content-type"),
    (b"access-control-max-age", b"600"),
]
_PAGE_SECURITY: Headers = [
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    # Not no-referrer: browsers would then send `Origin: null` with the form, which is refused below.
    (b"referrer-policy", b"same-origin"),
]
_HTML = b"text/html; charset=utf-8"

_WELCOME = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>Sign-in, local</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:42em;margin:4em auto;padding:0 1em}code{background:#eee;padding:2px 4px}</style>
<h1>Sign-in of the local gateway</h1>
<p>This stands in for the Amazon Cognito hosted UI. An app sends people here with its own parameters; there is nothing
to see without them.</p>
<p>For a token, run <code>python scripts/get_token.py --local</code> in the project's folder. The demo user's name and
password are in <code>%s</code>.</p>
"""


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    query: bytes
    headers: Headers
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        found = [value for key, value in self.headers if key == name]
        return found[0] if len(found) == 1 else None


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Headers
    body: bytes = b""


class LoginFront:
    """The ASGI app. A class for its connections to the emulator and for what it knows of the pool."""

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
            cognito: A boto3 client of the emulator's `cognito-idp`.
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
        self._metadata = oauth_metadata.document(
            issuer=self.url, jwks_uri=f"{emulator_url}/{user_pool_id}/.well-known/jwks.json"
        )
        self._welcome = (_WELCOME % html.escape(outputs_file)).encode()
        self._console = console
        self._connections = httpcore.ConnectionPool(max_connections=16, keepalive_expiry=5.0, retries=1)

    def close(self) -> None:
        """Close the connections to the emulator."""
        self._connections.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        body = await _read_body(receive)
        request = _Request(scope["method"], scope["path"], scope["query_string"], scope["headers"], body or b"")
        if body is None:
            answer = _text(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"At most {_MAX_BODY_BYTES} bytes are taken here.")
        else:
            answer = await self._answer(request)
        self._console(f"sign-in: {request.method} {request.path!r} {answer.status}")
        headers = [*answer.headers, (b"content-length", str(len(answer.body)).encode())]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else answer.body})

    async def _answer(self, request: _Request) -> _Answer:
        host = request.header(b"host")
        if not host:
            return _text(HTTPStatus.BAD_REQUEST, "A request has one Host header.")
        if not answers_to(host, self._port, self._names):
            return _text(
                HTTPStatus.FORBIDDEN, "Host is no name of this server; make run RUN_ARGS='--allow-host NAME' adds one."
            )
        cors = _CORS if request.path in _CORS_PATHS else []
        if request.method == "OPTIONS" and cors:
            return _Answer(HTTPStatus.NO_CONTENT, cors)
        # Login CSRF: no page of another origin may submit the form, and so sign somebody in as somebody else.
        origin = request.header(b"origin")
        if not cors and request.method == "POST" and origin not in (None, b"http://" + host):
            return _text(HTTPStatus.FORBIDDEN, "The sign-in form is sent from its own page only.")
        if (request.method, request.path) == ("POST", "/oauth2/revoke"):
            answer = await asyncio.to_thread(self._revoke, request)
        elif request.method in {"GET", "HEAD"} and self._is_welcome(request):
            answer = _Answer(HTTPStatus.OK, [(b"content-type", _HTML)], self._welcome)
        elif request.method in {"GET", "HEAD"} and request.path in oauth_metadata.PATHS:
            answer = _Answer(HTTPStatus.OK, [(b"content-type", b"application/json")], self._metadata)
        else:
            path = _PROXIED.get((request.method, request.path))
            if path is None:
                return self._not_here(request)
            answer = await asyncio.to_thread(self._pass_on, request, path)
        return _Answer(answer.status, [*answer.headers, *(cors or _PAGE_SECURITY)], answer.body)

    @staticmethod
    def _is_welcome(request: _Request) -> bool:
        return request.path == "/" or (request.path == "/login" and not request.query)

    def _not_here(self, request: _Request) -> _Answer:
        methods = sorted({method for method, path in _PROXIED if path == request.path})
        if request.path == "/oauth2/revoke":
            methods = ["POST"]
        elif request.path in oauth_metadata.PATHS:
            methods = ["GET"]
        if methods:
            answer = _text(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.path} takes {', '.join(methods)}.")
            return _Answer(answer.status, [*answer.headers, (b"allow", ", ".join(methods).encode())], answer.body)
        known = sorted({path for _, path in _PROXIED} | {"/oauth2/revoke"} | oauth_metadata.PATHS)
        return _text(HTTPStatus.NOT_FOUND, f"Nothing here. The hosted UI has {', '.join(known)}.")

    def _pass_on(self, request: _Request, path: str) -> _Answer:
        """Ask the emulator, as a program would: without the browser's headers, under the emulator's own Host."""
        url = self._emulator_url.encode() + path.encode()
        if request.query:
            url += b"?" + request.query
        headers = [(name, value) for name, value in request.headers if name in _REQUEST_HEADERS]
        limits = dict.fromkeys(("connect", "read", "write", "pool"), _TIMEOUT_S)
        try:
            found = self._connections.request(
                request.method, url, headers=headers, content=request.body, extensions={"timeout": limits}
            )
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            return _text(HTTPStatus.BAD_GATEWAY, f"The emulator did not answer: {type(error).__name__}.")
        kept = [(name.lower(), value) for name, value in found.headers if name.lower() in _RESPONSE_HEADERS]
        return _Answer(found.status, [(name, self._own_location(name, value)) for name, value in kept], found.content)

    def _own_location(self, name: bytes, value: bytes) -> bytes:
        """Keep a redirect that the emulator aims at itself on this origin."""
        theirs = self._emulator_url.encode()
        if name == b"location" and (value == theirs or value.startswith(theirs + b"/")):
            return self.url.encode() + value[len(theirs) :]
        return value

    def _revoke(self, request: _Request) -> _Answer:
        """Revoke a refresh token and what came of it (RFC 7009 §2); the emulator lacks this endpoint.

        Source: https://docs.aws.amazon.com/cognito/latest/developerguide/revocation-endpoint.html
        """
        form = parse_qs(request.body.decode("utf-8", "replace"), keep_blank_values=True)
        # RFC 6749 §3.2: "Request and response parameters MUST NOT be included more than once."
        if any(len(values) > 1 for values in form.values()):
            return _oauth_error("invalid_request", "a parameter is there twice")
        token, client_id = form.get("token", [""])[0], form.get("client_id", [""])[0]
        basic = _basic_credentials(request.header(b"authorization"))
        if basic is not None:
            client_id, secret = basic
        else:
            secret = form.get("client_secret", [""])[0]
        try:
            client = self._cognito.describe_user_pool_client(UserPoolId=self._user_pool_id, ClientId=client_id or "-")
        except ClientError:
            return _invalid_client(with_challenge=basic is not None)
        except BotoCoreError:
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, "The emulator did not answer.")
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
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, "The emulator did not answer; the token is still valid.")
        return _Answer(HTTPStatus.OK, [(b"cache-control", b"no-store")])


async def _read_body(receive: Receive) -> bytes | None:
    """Return the request's body; None if it is longer than anything here has use for."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > _MAX_BODY_BYTES:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _text(status: HTTPStatus, text: str) -> _Answer:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff")]
    return _Answer(status, headers, f"{text}\n".encode())


def _oauth_error(error: str, description: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> _Answer:
    body = json.dumps({"error": error, "error_description": description}).encode()
    return _Answer(status, [(b"content-type", b"application/json"), (b"cache-control", b"no-store")], body)


def _invalid_client(*, with_challenge: bool) -> _Answer:
    # RFC 6749 §5.2: 401 with a challenge only "if the client attempted to authenticate via the Authorization header".
    if not with_challenge:
        return _oauth_error("invalid_client", "no such client, or its secret is wrong")
    answer = _oauth_error("invalid_client", "no such client, or its secret is wrong", HTTPStatus.UNAUTHORIZED)
    return _Answer(answer.status, [*answer.headers, (b"www-authenticate", b"Basic")], answer.body)


def _basic_credentials(header: bytes | None) -> tuple[str, str] | None:
    """Read client id and secret from HTTP Basic (RFC 6749 §2.3.1); None without the header."""
    if header is None:
        return None
    scheme, _, value = header.decode("latin-1").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return unquote(name), unquote(secret)


def _token_use(token: str) -> str | None:
    """Say what a JWT calls itself, unverified: only to tell the wrong kind of token from a refresh token."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return None
    return claims.get("token_use") if isinstance(claims, dict) else None
