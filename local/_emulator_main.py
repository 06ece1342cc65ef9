"""The emulator's own program: ministack behind a check that keeps web pages out.

Runs in the emulator's environment (`.venv-emulator`), not in the launcher's.

ministack answers every CORS preflight with `*`, and the key of its root user is a public constant. Without this check
any web page open in the developer's browser could sign requests with that key, create a function and run it: code of a
stranger's choice on the laptop. Two rules shut that out, and no program is affected by either:

* `Host` must be a loopback name with a port: a name rebound to 127.0.0.1 (DNS rebinding) carries its own name. It may be
  another port, since `local/faults.py` passes on what the edge has signed, `Host` included.
* `Origin` and `Sec-Fetch-Site` must be absent: a browser adds at least one of them to every request that a page of
  another origin can cause on a loopback address, except to a rebound name, which the first rule refuses.

The hosted UI, which browsers do use, has a port of its own (`local/login.py`).

One call is our own: `POST /_gateway/rotate-keys/<pool id>` lets a user pool forget its signing keys.

One named fake, `remember_sign_ins`: what a refreshed token says of the sign-in that it comes from.
"""

import functools
import importlib
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_BROWSER_HEADERS = frozenset({b"origin", b"sec-fetch-site"})
_LOOPBACK_HOST = re.compile(rb"(?:127\.0\.0\.1|localhost):[0-9]{1,5}")
_ROTATE_KEYS_PATH = "/_gateway/rotate-keys/"
_REFRESH = "TokenGeneration_RefreshTokens"
"""What ministack calls the issue of tokens for a refresh token (Cognito's trigger source)."""


class ProgramsOnly:
    """ASGI middleware; a class because it holds what it wraps."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and self._admits(scope["headers"])):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await _refuse(send)
        # A WebSocket that is neither accepted nor passed on is closed by the server with 403.

    @staticmethod
    def _admits(headers: list[tuple[bytes, bytes]]) -> bool:
        hosts = [value for name, value in headers if name == b"host"]
        return (
            len(hosts) == 1
            and _LOOPBACK_HOST.fullmatch(hosts[0]) is not None
            and not any(name in _BROWSER_HEADERS for name, _ in headers)
        )


class KeyRotation:
    """ASGI middleware that adds the one call of our own; a class because it holds what it wraps."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_ROTATE_KEYS_PATH) or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        cognito: Any = importlib.import_module("ministack.services.cognito")
        # The keys' files and the cache of them; new ones are made when they are next needed.
        cognito._drop_pool_keys(scope["path"].removeprefix(_ROTATE_KEYS_PATH))  # noqa: SLF001 - the pinned version has no other way
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def remember_sign_ins(cognito: Any) -> None:
    """Make refreshed tokens say what Cognito's say of the sign-in: its time, and the user's groups.

    ministack writes the present time into `auth_time` of every token, so that a cut-off by `signed_in_before` would never
    end a session that goes on refreshing; and it leaves `cognito:groups` out when a token of the hosted UI is refreshed at
    `/oauth2/token`. On AWS `auth_time` stays that of the sign-in, and the groups are those of the moment. `origin_jti`,
    which ministack keeps over refreshes as AWS does, tells which sign-in a token comes from.

    Both faults are cured where every kind of sign-in and refresh passes, at the two functions that make a token.

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


async def _refuse(send: Send) -> None:
    body = b"The emulator answers programs on this machine, not web pages or other host names.\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    # By name: the launcher's environment, where this file is linted and type-checked, has no ministack.
    ministack: Any = importlib.import_module("ministack.app")
    remember_sign_ins(importlib.import_module("ministack.services.cognito"))
    # `main` serves the module's global `app`; nothing else in it is touched.
    ministack.app = ProgramsOnly(KeyRotation(ministack.app))
    ministack.main()
