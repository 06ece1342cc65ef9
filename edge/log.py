"""One JSON line for each request, and one for each failed refresh (contract C8)  shell.

Never a token, a signature, a key, a body or a query string; a user only by a hash.
"""

import hashlib
import json
import sys
import time
from functools import lru_cache
from typing import Any

from .parameters import Configuration

_ENCODER = json.JSONEncoder(separators=(",", ":"))

# The longest path and the longest reason that a line repeats. Characters.
MAX_PATH = 512
MAX_REASON = 1_000


class Trail:
    """What happened to one request, step by step; a class because it grows while the request walks.

    Attributes:
        fields: What the line will say.
        cache: Whether the configuration, the keys and the token were fresh as kept, read just now, or stale.
        configuration: What the request was judged by, once that is known.
    """

    __slots__ = ("_last", "_steps", "cache", "configuration", "fields")

    def __init__(self) -> None:
        self.configuration: Configuration | None = None
        self.fields: dict[str, Any] = {}
        self.cache: dict[str, str] = {}
        self._steps: dict[str, float] = {}
        self._last = time.perf_counter()

    def step(self, name: str) -> None:
        """Note that a step has ended, and how long it took."""
        now = time.perf_counter()
        self._steps[name] = round((now - self._last) * 1000, 3)
        self._last = now

    def line(self, now: float) -> str:
        """Write the line.

        Args:
            now: When the request came, seconds since the epoch.
        """
        return _ENCODER.encode({"time": timestamp(now), **self.fields, "ms": self._steps, "cache": self.cache})


def timestamp(now: float) -> str:
    """Write a time with milliseconds, ISO 8601, UTC.

    >>> timestamp(1_700_000_000.25)
    '2023-11-14T22:13:20.250Z'
    """
    return f"{_second(int(now))}.{int(now * 1000) % 1000:03d}Z"


@lru_cache(maxsize=2)
def _second(now: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))


def failed_refresh(what: str, reason: str, now: float) -> str:
    """Write the line that says why something could not be read; whether an old value serves on shows in the requests'."""
    return _ENCODER.encode(
        {
            "time": timestamp(now),
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
