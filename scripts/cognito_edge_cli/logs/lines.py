"""Log lines of the edge function: read, choose, merge in the order of time.

The format is contract C8 (docs/contracts.md): one JSON object a line for each request (``decision``), one for each failed refresh (``event``).
"""

import heapq
import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import click

_SPAN = re.compile(r"(\d{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SUB_HASH = re.compile(r"[0-9a-f]{16}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log.

    Attributes:
        time_ms: When, in milliseconds since the epoch: what the line itself says, or else when it was written.
        region: AWS region of the log, or ``local``.
        source: Which line of that log it is; no two of a region have the same.
        text: The line as it is.
        fields: What it says; None if it is not one of the gateway's own.
    """

    time_ms: int
    region: str
    source: str
    text: str
    fields: Mapping[str, Any] | None = field(hash=False)


def parse(text: str, *, region: str, source: str, written_ms: int) -> Line:
    """Return a line; one that the gateway did not write (START, REPORT, a traceback) has no fields.

    Args:
        text: The line; its end is taken off.
        region: Where it was found.
        source: Which one it is there.
        written_ms: When it was written.
    """
    text = text.rstrip("\r\n")
    fields: Any = None
    if text.startswith("{"):
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            fields = None
    ours = (
        isinstance(fields, dict) and isinstance(fields.get("time"), str) and ("decision" in fields or "event" in fields)
    )
    time_ms = written_ms
    if ours:
        try:
            time_ms = milliseconds(datetime.fromisoformat(fields["time"]))
        except (ValueError, OverflowError):
            time_ms = written_ms
    return Line(time_ms, region, source, text, fields if ours else None)


def milliseconds(moment: datetime) -> int:
    """Return a time in milliseconds since the epoch; one without a zone is UTC, as everything in the log is."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round((aware - datetime.fromtimestamp(0, UTC)) / timedelta(milliseconds=1))


def moment_ms(text: str, now_ms: int) -> int:
    """Return what ``15m``, ``2h`` (before now) or an ISO 8601 time means, in milliseconds since the epoch.

    >>> moment_ms("15m", 1_000_000), moment_ms("1970-01-01T00:01", 0), moment_ms("1970-01-01T01:00+01:00", 0)
    (100000, 60000, 0)

    Raises:
        click.BadParameter: It is neither.
    """
    span = _SPAN.fullmatch(text.strip().lower())
    if span:
        return now_ms - int(span[1]) * _SECONDS[span[2]] * 1000
    try:
        return milliseconds(datetime.fromisoformat(text.strip()))
    except ValueError:
        raise click.BadParameter(
            f"expected a span such as 15m, 2h or 3d, or a time such as 2026-11-21T13:00 (UTC unless it says otherwise), "
            f"not {text!r}"
        ) from None


def is_sub_hash(text: str) -> bool:
    """Return whether *text* is what the log calls a user."""
    return _SUB_HASH.fullmatch(text) is not None


def is_sub(text: str) -> bool:
    """Return whether *text* has the form of a ``sub``, which Cognito makes a UUID."""
    return _UUID.fullmatch(text.lower()) is not None


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which lines are wanted; every condition that is given has to be met.

    Attributes:
        request_id: CloudFront's.
        sub_hash: What the log calls the user.
        code: Code of a refusal; ``ignored_token`` counts.
        decision: forward, refuse, error, preflight or metadata.
        since_ms: The first millisecond; None: from the beginning.
        until_ms: The first one that is no longer wanted; None: no end.
        everything: Also lines that the gateway did not write.
    """

    request_id: str | None = None
    sub_hash: str | None = None
    code: str | None = None
    decision: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    everything: bool = False

    def takes(self, line: Line) -> bool:
        """Return whether *line* is wanted."""
        if self.since_ms is not None and line.time_ms < self.since_ms:
            return False
        if self.until_ms is not None and line.time_ms >= self.until_ms:
            return False
        wanted = self._fields()
        if line.fields is None:
            # Only a quoted request id says which request such a line belongs to.
            return self.everything and (not wanted or (self.request_id is not None and self.request_id in line.text))
        found = dict(line.fields)
        if self.code is not None and found.get("ignored_token") == self.code:
            found["code"] = self.code
        return all(found.get(name) == value for name, value in wanted.items())

    def _fields(self) -> dict[str, str]:
        fields = {
            "request_id": self.request_id,
            "sub_hash": self.sub_hash,
            "code": self.code,
            "decision": self.decision,
        }
        return {name: value for name, value in fields.items() if value is not None}

    @property
    def terms(self) -> tuple[str, ...]:
        """Texts that every wanted line has, for a search that cannot read fields."""
        return tuple(self._fields().values())


class Merged:
    """The newest lines of several logs, each once, in the order of time; it keeps no more of them than are wanted."""

    def __init__(self, limit: int = 0) -> None:
        """Begin empty.

        Args:
            limit: How many lines are kept, the newest; 0: all.
        """
        self._limit = limit
        self._heap: list[tuple[int, str, int, Line]] = []
        self._seen: set[tuple[str, str]] = set()
        self._count = 0

    def add(self, lines: Iterable[Line]) -> None:
        """Take lines in; one that is there already is the same line, found by two searches."""
        for line in lines:
            key = (line.region, line.source)
            if key in self._seen:
                continue
            self._seen.add(key)
            self._count += 1
            # Lines of one log and one millisecond stay in the order in which they came.
            entry = (line.time_ms, line.region, self._count, line)
            if self._limit and len(self._heap) >= self._limit:
                # Found again, it would be older than all that is kept, and fall out at once.
                gone = heapq.heappushpop(self._heap, entry)[-1]
                self._seen.discard((gone.region, gone.source))
            else:
                heapq.heappush(self._heap, entry)

    @property
    def lines(self) -> list[Line]:
        """What is kept, the oldest first."""
        return [entry[-1] for entry in sorted(self._heap)]

    @property
    def left_out(self) -> int:
        """How many older lines there were beyond the limit."""
        return self._count - len(self._heap)


class Seen:
    """Which lines were shown already, for as long as a search can find them again."""

    def __init__(self, limit: int = 50_000) -> None:
        self._keys: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._limit = limit

    def new(self, lines: Iterable[Line]) -> list[Line]:
        """Return those that were not shown yet, and count them as shown."""
        fresh = []
        for line in lines:
            key = (line.region, line.source)
            if key in self._keys:
                self._keys.move_to_end(key)
                continue
            self._keys[key] = None
            fresh.append(line)
            if len(self._keys) > self._limit:
                self._keys.popitem(last=False)
        return fresh
