"""One JSON line for each request, and one for each failed refresh (contract C8)  shell.

Never a token, a signature, a key, a body or a query string; a user only by a hash.
"""

import hashlib
import json
import sys
import time
from functools import lru_cache
from time import monotonic, perf_counter

from .parameters import Configuration

_ENCODER = json.JSONEncoder(separators=(",", ":"))
_quote = json.encoder.encode_basestring_ascii

# The longest path and the longest reason that a line repeats. Characters.
MAX_PATH = 512
MAX_REASON = 1_000


class Trail:
    """What happened to one request, step by step; a class because it grows while the request walks.

    Attributes:
        began: When the request came, on the clock of ``time.monotonic``.
        request_id: CloudFront's id; "" until the event has been read, as with everything that follows.
        method: HTTP method.
        path: The path, canonical as soon as that is known.
        rule: The pattern of the group of rules, then the rule that decides.
        user: What ``user_fields`` says of a token that was verified.
        decision: ``forward``, ``refuse``, ``error``, ``preflight`` or ``metadata``.
        status: The status of an answer that the edge gives itself.
        more: What few lines say: ``code``, ``reason``, ``ignored_token``, ``claims_omitted``.
        configuration: What the request was judged by, once that is known.
        configuration_state: Whether it was fresh as kept ("hit"), read just now ("miss") or "stale".
        keys_state: The same of the pool's keys.
        tokens_state: Whether the token was verified before ("hit") or just now ("miss").
    """

    __slots__ = (
        "_last",
        "_steps",
        "began",
        "configuration",
        "configuration_state",
        "decision",
        "keys_state",
        "method",
        "more",
        "path",
        "request_id",
        "rule",
        "status",
        "tokens_state",
        "user",
    )

    def __init__(self) -> None:
        self.request_id = self.method = self.path = self.rule = self.user = self.decision = ""
        self.configuration_state = self.keys_state = self.tokens_state = ""
        self.status: int | None = None
        self.more: dict[str, str | bool] | None = None
        self.configuration: Configuration | None = None
        self._steps = ""
        self._last = perf_counter()
        self.began = monotonic()

    def step(self, name: str) -> None:
        """Note that a step has ended, and how long it took."""
        now = perf_counter()
        self._steps += f',"{name}":{(now - self._last) * 1000:.3f}'
        self._last = now

    def note(self, name: str, value: str | bool) -> None:  # noqa: FBT001  a field of the line, not a switch
        """Note what few lines say."""
        self.more = {**(self.more or {}), name: value}

    def line(self, now: float) -> str:
        """Write the line. Absent facts have no field; the times are milliseconds from the end of the step before.

        Args:
            now: When the request came, seconds since the epoch.
        """
        # Put together by hand: json.dumps would take longer than verifying a token that was seen before.
        request = rule = more = cache = ""
        if self.request_id:
            request = f'"request_id":{_json(self.request_id)},"method":{_json(self.method)},"path":{_json(self.path)},'
        if self.rule:
            rule = f'"rule":{_quote(self.rule)},'
        if self.more:
            more = _ENCODER.encode(self.more)[1:-1] + ","
        if self.configuration_state:
            cache = f'"configuration":"{self.configuration_state}"'
        if self.keys_state:
            cache += f',"keys":"{self.keys_state}"'
        if self.tokens_state:
            cache += f',"tokens":"{self.tokens_state}"'
        return (
            f'{{"time":"{timestamp(now)}",{request}{rule}{self.user}{more}"decision":"{self.decision}",'
            f'"status":{self.status or "null"},"ms":{{{self._steps[1:]}}},"cache":{{{cache}}}}}'
        )


def _json(value: str) -> str:
    """Write a text of the event, or, should the event be broken, whatever stands in its place."""
    return _quote(value) if isinstance(value, str) else _ENCODER.encode(value)


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


def user_fields(client_id: str, sub: str) -> str:
    """Return what a line says of a user, and of the app client that the token is for: a piece of JSON."""
    return f'"client_id":{_quote(client_id)},"sub_hash":"{hash_of(sub)}",'


def hash_of(sub: str) -> str:
    """Return what stands for a user in the log: 16 hex digits of SHA-256."""
    return hashlib.sha256(sub.encode("utf-8")).hexdigest()[:16]


def write(line: str) -> None:
    """Write a line where Lambda collects it. A log that cannot be written never stops a request."""
    try:
        sys.stdout.write(line + "\n")
    except (OSError, ValueError):
        return
