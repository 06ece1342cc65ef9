"""One JSON line for each request, and one for each failed refresh (contract C8).

Never a token, a signature, a key, a body or a query string; a user only by a hash.
"""

import hashlib
import json
import sys
from time import perf_counter_ns

from .text import iso8601_ms

_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False)

# The longest path and the longest reason that a line repeats, in characters.
MAX_PATH = 512
MAX_REASON = 1_000


class RequestLog:
    """Collects what a request's line says.

    Attributes:
        facts: The line's fields in their order; a fact that is absent has no field.
        cache: Whether ``configuration`` and ``keys`` were fresh ("hit"), read just now ("miss") or "stale", and whether the
            token (``tokens``) was verified before ("hit") or just now ("miss").
    """

    __slots__ = ("_last_ns", "_milliseconds", "cache", "facts")

    def __init__(self, now: float) -> None:
        """Begin a line.

        Args:
            now: When the request came, seconds since the epoch.
        """
        self.facts: dict[str, object] = {"time": iso8601_ms(now)}
        self.cache: dict[str, str] = {}
        self._milliseconds: dict[str, float] = {}
        self._last_ns = perf_counter_ns()

    def step(self, name: str) -> None:
        """Note that a step has ended, and how long it took since the one before."""
        now_ns = perf_counter_ns()
        self._milliseconds[name] = (now_ns - self._last_ns) // 1000 / 1000
        self._last_ns = now_ns

    def line(self) -> str:
        """Write the line."""
        return _ENCODER.encode({**self.facts, "ms": self._milliseconds, "cache": self.cache})


def failed_refresh(what: str, reason: str, now: float) -> str:
    """Write the line that says why something could not be read. Requests' lines show whether an old value serves on."""
    return _ENCODER.encode(
        {
            "time": iso8601_ms(now),
            "level": "ERROR",
            "event": "refresh_failed",
            "what": what,
            "reason": reason[:MAX_REASON],
        }
    )


def hash_of(sub: str) -> str:
    """Return what stands for a user in the log: 16 hex digits of SHA-256."""
    return hashlib.sha256(sub.encode("utf-8")).hexdigest()[:16]


def write(line: str) -> None:
    """Write a line where Lambda collects it. A log that cannot be written never stops a request."""
    try:
        sys.stdout.write(line + "\n")
    except (OSError, ValueError):
        return
