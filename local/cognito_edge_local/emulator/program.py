"""The emulator's own program: ministack behind checks that keep web pages and other users of the machine out.

It runs in the emulator's environment (``.venv-emulator``), not in the launcher's.

ministack answers every CORS preflight with ``*``, and the key of its root user is a public constant. Without these checks
any web page open in the developer's browser, and any other user of the machine, could sign requests with that key, create
a function and run it: code of a stranger's choice on the laptop. Two rules shut web pages out, and affect no program:

* ``Host`` must be a loopback name with a port: a name rebound to 127.0.0.1 (DNS rebinding) carries its own name. It may be
  another port, since ``emulator/faults.py`` passes on what the edge has signed, ``Host`` included.
* ``Origin`` and ``Sec-Fetch-Site`` must be absent: a browser adds at least one of them to every request that a page of
  another origin can cause on a loopback address, except to a rebound name, which the first rule refuses.

``peer.py`` refuses other users' connections before a byte is read. Where the system does not tell whose a connection is, the
launcher starts this program with the argument ``by-key`` and a root key that is new and random at each start, and
``KeyHoldersOnly`` refuses calls without it.

The hosted UI, which browsers do use, has a port of its own (``emulator/hosted_ui.py``).

Two calls are our own: ``POST /_gateway/rotate-keys/<pool id>`` lets a user pool forget its signing keys, and
``GET /_gateway/proof/<nonce>`` proves to the launcher that this is the emulator which it has started, and not a program of
another user that was at the port first.

One named fake, ``remember_sign_ins``: what a refreshed token says of the sign-in that it comes from.
"""

import functools
import hashlib
import hmac
import importlib
import importlib.util
import os
import re
import secrets
import sys
from collections.abc import Awaitable, Callable, Container, MutableMapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_BROWSER_HEADERS = frozenset({b"origin", b"sec-fetch-site"})
_LOOPBACK_HOST = re.compile(rb"(?:127\.0\.0\.1|localhost):[0-9]{1,5}")
_CREDENTIAL = re.compile(rb"AWS4-HMAC-SHA256 Credential=([A-Za-z0-9]+)/")
_BY_KEY = "by-key"
# ministack decides by method and path alone about these, before it looks for a service.
_OAUTH_CALLS = frozenset(
    {
        ("GET", "/oauth2/authorize"),
        ("POST", "/login"),
        ("POST", "/oauth2/token"),
        ("GET", "/oauth2/userInfo"),
        ("POST", "/oauth2/userInfo"),
        ("GET", "/logout"),
    }
)
_PUBLIC_PATH = re.compile(
    r"/[\w-]+/\.well-known/(?:jwks\.json|openid-configuration)|/_ministack/ready|/_gateway/proof/[0-9a-f]{32}", re.ASCII
)
_PROOF_PATH = "/_gateway/proof/"
_ROTATE_KEYS_PATH = "/_gateway/rotate-keys/"
_REFRESH = "TokenGeneration_RefreshTokens"
"""What ministack calls the issue of tokens for a refresh token (Cognito's trigger source)."""


class ProgramsOnly:
    """ASGI middleware that keeps web pages and other host names out."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what comes from this user's own programs; refuse the rest."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and self._admits(scope["headers"])):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await _answer(
                send, 403, b"The emulator answers programs on this machine, not web pages or other host names.\n"
            )
        # A WebSocket that is neither accepted nor passed on is closed by the server with 403.

    @staticmethod
    def _admits(headers: list[tuple[bytes, bytes]]) -> bool:
        hosts = [value for name, value in headers if name == b"host"]
        return (
            len(hosts) == 1
            and _LOOPBACK_HOST.fullmatch(hosts[0]) is not None
            and not any(name in _BROWSER_HEADERS for name, _ in headers)
        )


class KeyHoldersOnly:
    """ASGI middleware that wants a key of this start for every call that AWS wants a key for.

    The root key is a secret here, its id alone included, since ministack does not check root's signature. It takes ``test``,
    no key at all and any account's number for root as well, so those are refused. The keys of temporary credentials are
    let through, since ministack checks their signature. URLs signed in advance are refused.
    """

    def __init__(self, app: App, *, root_key: str, sessions: Container[str], unsigned: Container[str]) -> None:
        """Wrap an app.

        Args:
            app: ministack's.
            root_key: The root user's access key id.
            sessions: The access key ids of the temporary credentials that STS has issued so far.
            unsigned: Cognito's operations that are called without credentials.
        """
        self._app = app
        self._root_key = root_key.encode()
        self._sessions = sessions
        self._unsigned = unsigned

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what has the key of this start or does not need it."""
        if scope["type"] != "http" or self._has_key(scope) or self._needs_no_key(scope):
            await self._app(scope, receive, send)
        else:
            await _answer(send, 403, b"The emulator wants the access key of this start; it is in outputs.json.\n")

    def _has_key(self, scope: Scope) -> bool:
        found = [_CREDENTIAL.match(value) for value in _values(scope, b"authorization")]
        if len(found) != 1 or found[0] is None:
            return False
        key = found[0][1]
        return hmac.compare_digest(key, self._root_key) or key.decode("ascii") in self._sessions

    def _needs_no_key(self, scope: Scope) -> bool:
        """Say whether AWS takes the call without credentials.

        ministack finds the service by several parts of a request. Parts that could make it another call are refused.
        """
        call = (scope["method"], scope["path"])
        authorization = _values(scope, b"authorization")
        targets = [value.decode("latin-1") for value in _values(scope, b"x-amz-target")]
        if call == ("POST", "/"):
            service, _, operation = targets[0].partition(".") if len(targets) == 1 else ("", "", "")
            return (
                service == "AWSCognitoIdentityProviderService"
                and operation in self._unsigned
                and _values(scope, b"content-type") == [b"application/x-amz-json-1.1"]
                and not authorization
                and not scope["query_string"]
            )
        if targets or any(value.startswith(b"AWS") for value in authorization) or len(authorization) > 1:
            return False
        if call in _OAUTH_CALLS:
            return True
        public = _PUBLIC_PATH.fullmatch(scope["path"]) is not None
        return public and scope["method"] == "GET" and not authorization and not scope["query_string"]


class OwnCalls:
    """ASGI middleware that adds the two calls of our own."""

    def __init__(self, app: App, *, proof_key: str) -> None:
        """Wrap an app.

        Args:
            app: ministack's.
            proof_key: What the launcher has told this process alone.
        """
        self._app = app
        self._proof_key = proof_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the proof of this start; pass on all else."""
        call = scope["method"] if scope["type"] == "http" else ""
        if call == "GET" and scope["path"].startswith(_PROOF_PATH):
            nonce = scope["path"].removeprefix(_PROOF_PATH).encode()
            await _answer(send, 200, hmac.new(self._proof_key, nonce, hashlib.sha256).hexdigest().encode())
        elif call == "POST" and scope["path"].startswith(_ROTATE_KEYS_PATH):
            cognito: Any = importlib.import_module("ministack.services.cognito")
            # The keys' files and the cache of them; new ones are made when they are next needed.
            cognito._drop_pool_keys(scope["path"].removeprefix(_ROTATE_KEYS_PATH))  # noqa: SLF001 - the pinned version has no other way
            await _answer(send, 204, b"")
        else:
            await self._app(scope, receive, send)


def remember_sign_ins(cognito: Any) -> None:
    """Make refreshed tokens say what Cognito's say of the sign-in: its time, and the user's groups.

    ministack writes the present time into ``auth_time`` of every token, so that a cut-off by ``signed_in_before`` would never
    end a session that goes on refreshing; and it leaves ``cognito:groups`` out when a token of the hosted UI is refreshed at
    ``/oauth2/token``. On AWS ``auth_time`` stays that of the sign-in, and the groups are those of the moment. ``origin_jti``,
    which ministack keeps over refreshes as AWS does, tells which sign-in a token comes from.

    Both faults are mended in the two functions that make a token: every kind of sign-in and refresh passes there.

    Args:
        cognito: ministack's module of that name; changed in place.
    """
    signed_in_at: dict[str, int] = {}  # by origin_jti; as long as the process, a few bytes for each sign-in
    make, sign = cognito._fake_token, cognito._signed_jwt  # noqa: SLF001 - the pinned version has no other way

    @functools.wraps(make)
    def make_with_groups(sub: str, pool_id: str, *args: Any, **options: Any) -> str:
        if options.get("trigger_source") == _REFRESH and options.get("groups") is None:
            pool = cognito._get_pool_unscoped(pool_id) or {}  # noqa: SLF001 - the same
            user = pool.get("_users", {}).get(options.get("username"), {})
            options["groups"] = list(user.get("_groups", []))
        token: str = make(sub, pool_id, *args, **options)
        return token

    @functools.wraps(sign)
    def sign_with_the_time_of_the_sign_in(claims: dict[str, Any], *args: Any, **options: Any) -> str:
        if "auth_time" in claims and "origin_jti" in claims:
            # Atomic, and the first token of a sign-in decides: its access and ID token may fall into different seconds.
            claims = {**claims, "auth_time": signed_in_at.setdefault(claims["origin_jti"], claims["auth_time"])}
        token: str = sign(claims, *args, **options)
        return token

    cognito._fake_token = make_with_groups  # noqa: SLF001 - the same
    cognito._signed_jwt = sign_with_the_time_of_the_sign_in  # noqa: SLF001 - the same


def unguessable_credentials(lambda_runtime: Any) -> None:
    """Make the credentials of functions' roles a secret of this start.

    ministack derives them from the ARNs of function and role alone, so that whoever knows those could sign as the function.

    Args:
        lambda_runtime: ministack's module of that name, which hashes nothing else; changed in place.
    """
    secret = secrets.token_bytes(32)
    lambda_runtime.hashlib = SimpleNamespace(sha256=lambda message: hmac.new(secret, message, hashlib.sha256))


def own_user_only(config: Any, peer: Any) -> None:
    """Let the server accept connections of this user's programs alone.

    Args:
        config: hypercorn's class of that name; changed in place.
        peer: The module ``peer.py``.
    """
    create = config.create_sockets

    @functools.wraps(create)
    def create_own_user_sockets(self: Any) -> Any:
        made = create(self)
        # ministack serves TLS and QUIC, on other sockets, only when it is told to.
        made.insecure_sockets[:] = [peer.OwnUserListener.of(sock) for sock in made.insecure_sockets]
        return made

    config.create_sockets = create_own_user_sockets


def _load_peer() -> Any:
    """Import ``peer.py`` by its path: its folder must not get onto this process's import path."""
    spec: Any = importlib.util.spec_from_file_location("peer", Path(__file__).parents[1] / "peer.py")
    peer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peer)
    return peer


def _values(scope: Scope, wanted: bytes) -> list[bytes]:
    return [value for name, value in scope["headers"] if name == wanted]


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers if body else []})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Run ministack behind the checks."""
    by_key = sys.argv[1:] == [_BY_KEY]
    del sys.argv[1:]  # ministack reads them as well
    # By name: the launcher's environment, where this file is linted and type-checked, has no ministack.
    ministack: Any = importlib.import_module("ministack.app")
    remember_sign_ins(importlib.import_module("ministack.services.cognito"))
    app: App = OwnCalls(ministack.app, proof_key=os.environ.pop("GATEWAY_PROOF_KEY"))
    if by_key:
        unguessable_credentials(importlib.import_module("ministack.core.lambda_runtime"))
        app = KeyHoldersOnly(
            app,
            root_key=os.environ["AWS_ACCESS_KEY_ID"],
            sessions=importlib.import_module("ministack.services.sts")._sessions,  # noqa: SLF001 - as above
            unsigned=importlib.import_module("ministack.core.iam_actions").unsigned_operations("cognito-idp"),
        )
    else:
        own_user_only(importlib.import_module("hypercorn.config").Config, _load_peer())
    # ministack's ``main`` serves the module's global ``app``.
    ministack.app = ProgramsOnly(app)
    ministack.main()


if __name__ == "__main__":
    main()
