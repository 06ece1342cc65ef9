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
"""

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


async def _refuse(send: Send) -> None:
    body = b"The emulator answers programs on this machine, not web pages or other host names.\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    # By name: the launcher's environment, where this file is linted and type-checked, has no ministack.
    ministack: Any = importlib.import_module("ministack.app")
    # `main` serves the module's global `app`; nothing else in it is touched.
    ministack.app = ProgramsOnly(KeyRotation(ministack.app))
    ministack.main()
