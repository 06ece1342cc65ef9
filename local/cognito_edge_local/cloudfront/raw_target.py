"""Lets uvicorn pass request targets on byte for byte, non-ASCII bytes included, as CloudFront takes them.

h11 and httptools both refuse non-ASCII bytes in a target (RFC 9112 has none), and httptools also cuts at ``#`` and rewrites
absolute forms. Browsers escape such bytes, but curl sends ``?q=é`` as it is typed, CloudFront passes it on, and the signature
has to survive it. So, before h11 sees a request line, every byte over 0x7F (and the escape sign itself) is written as
a backtick and two hex digits, and the application gets the original back.
"""

import re
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope

_NEEDS_ESCAPE = re.compile(rb"[`\x80-\xff]")
_ESCAPE = re.compile(rb"`([0-9A-F]{2})")
# Triple escapes of a target of 8,192 bytes and a full set of headers have to fit, or the twin could not answer 414/494.
_MAX_HEAD_BYTES = 1024 * 1024


class RawTargetProtocol(H11Protocol):
    """uvicorn's h11 protocol with an ASGI scope whose ``raw_path`` and ``query_string`` are the viewer's own bytes.

    Controls and spaces stay refused with 400, as CloudFront refuses them.
    A pipelined request (real clients send none) keeps h11's own rule, that is 400 for non-ASCII bytes.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app = _with_original_target(self.app)
        self._request_line_complete = False

    def data_received(self, data: bytes) -> None:
        """Escape what belongs to a request line, then let h11 have it."""
        if self.conn.their_state is h11.IDLE and not self._request_line_complete:
            request_line, newline, rest = data.partition(b"\n")
            self._request_line_complete = bool(newline)
            data = _NEEDS_ESCAPE.sub(lambda match: b"`%02X" % match[0][0], request_line) + newline + rest
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._request_line_complete = False


def _with_original_target(app: "ASGI3Application") -> "ASGI3Application":
    async def unescaped(scope: "Scope", receive: "ASGIReceiveCallable", send: "ASGISendCallable") -> None:
        if scope["type"] == "http":
            scope["raw_path"] = _original(scope["raw_path"])
            scope["query_string"] = _original(scope["query_string"])
        await app(scope, receive, send)

    return unescaped


def _original(escaped: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), escaped)


def uvicorn_settings() -> dict[str, Any]:
    """Return the arguments of ``uvicorn.Config`` under which the edge twin sees, and sends, what is on the wire."""
    return {
        "http": RawTargetProtocol,
        "h11_max_incomplete_event_size": _MAX_HEAD_BYTES,
        "ws": "none",
        "lifespan": "off",
        "proxy_headers": False,
        "server_header": False,
        "date_header": False,
        "log_config": None,
        # The twin says on its own console what uvicorn would: answers cut short, faults of its own.
        "log_level": "critical",
        "access_log": False,
    }
