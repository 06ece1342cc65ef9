"""The trace's memory: the last requests, each put together from what the twin, the edge's log and the door saw of it."""

import asyncio
import json
import secrets
from collections import OrderedDict
from collections.abc import AsyncGenerator

from cognito_edge_local.cloudfront.distribution import Exchange
from cognito_edge_local.origins.function_url import Visit

from .record import (
    Record,
    direct_call_summary,
    event_of_line,
    parts_of_exchange,
    parts_of_line,
    parts_of_visit,
    step,
)

MAX_REQUESTS = 200
"""How many requests are kept, in memory alone; the oldest make room."""
_MAX_LINE_CHARS = 64 * 1024
_SUMMARY = (
    "id",
    "number",
    "version",
    "time",
    "method",
    "path",
    "status",
    "code",
    "decision",
    "answered_by",
    "ms",
    "open",
    "door_refused",
)


class TraceBook:
    """The last requests. Their parts arrive in any order, and readers wait for changes; all in one event loop."""

    def __init__(self, *, limit: int = MAX_REQUESTS) -> None:
        """Begin empty.

        Args:
            limit: How many requests are kept.
        """
        self._limit = limit
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._numbers = 0
        self.version = 0
        self._waiting: set[asyncio.Event] = set()
        self._ended = False

    def __len__(self) -> int:
        return len(self._records)

    def take_exchange(self, exchange: Exchange) -> None:
        """Note what the twin saw; the request is over."""
        found = parts_of_exchange(exchange)
        record = self._record(exchange.request_id)
        path = record.get("path") or found["path"]  # the edge's is the canonical one
        self._update(exchange.request_id, {**found, "path": path, "open": False})

    def take_line(self, line: str) -> None:
        """Note a line of the edge function's log; the console takes care of what is not a JSON object."""
        if len(line) > _MAX_LINE_CHARS or not line.startswith("{"):
            return
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            return
        request_id = fields.get("request_id")
        if isinstance(request_id, str) and 0 < len(request_id) <= 200:
            found = parts_of_line(fields)
            if "time" in self._records.get(request_id, {}):
                del found["time"]  # the edge's clock may be wrong on purpose
            self._update(request_id, found)
        else:
            self._update(f"event-{secrets.token_hex(8)}", {**event_of_line(fields), "open": False})

    def take_visit(self, visit: Visit) -> None:
        """Note what the door saw. A call that did not come through CloudFront is a request of its own."""
        door = parts_of_visit(visit)
        came_by = visit.request.header(b"x-amz-cf-id") if visit.request else None
        request_id = came_by.decode("latin-1") if came_by and len(came_by) <= 200 else ""
        if not request_id or "door" in self._records.get(request_id, {}):
            request_id = f"direct-{visit.request_id}"
            self._update(request_id, {**direct_call_summary(visit), "open": False})
        self._update(request_id, {"door": door, "door_refused": bool(visit.why)})

    def _record(self, request_id: str) -> Record:
        if request_id not in self._records:
            self._numbers += 1
            self._records[request_id] = {"id": request_id, "number": self._numbers, "open": True}
            while len(self._records) > self._limit:
                self._records.popitem(last=False)
        return self._records[request_id]

    def _update(self, request_id: str, parts: Record) -> None:
        record = self._record(request_id)
        for name, value in parts.items():
            if value is not None or name not in record:
                record[name] = value
        self.version += 1
        record["version"] = self.version
        self._wake_readers()

    def get(self, request_id: str) -> Record | None:
        """Return a request's record with its way as one list of steps; None if it is not kept."""
        record = self._records.get(request_id)
        return None if record is None else {**record, "steps": _way(record)}

    def summaries(self, after: int = 0) -> list[Record]:
        """Return what a list shows of each request that changed after a version, in the order of the changes."""
        changed = [record for record in self._records.values() if record["version"] > after]
        return [
            {name: record.get(name) for name in _SUMMARY}
            for record in sorted(changed, key=lambda found: found["version"])
        ]

    async def changes(self, after: int) -> AsyncGenerator[Record, None]:
        """Yield summaries as they change, from those that changed after a version on, until ``end_changes``."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            while not self._ended:
                event.clear()
                for summary in self.summaries(after):
                    after = summary["version"]
                    yield summary
                if self.version == after:
                    await event.wait()
        finally:
            self._waiting.discard(event)

    def end_changes(self) -> None:
        """Let every reader of ``changes`` come to its end."""
        self._ended = True
        self._wake_readers()

    def _wake_readers(self) -> None:
        for event in self._waiting:
            event.set()


def _way(record: Record) -> list[Record]:
    """Return the steps of a request in the order in which it takes them."""
    twin, edge, door = (record.get(name) for name in ("cloudfront", "edge", "door"))
    steps = [*(twin or [])[:1], *(edge["steps"] if edge else []), *(twin or [])[1:], *(door["steps"] if door else [])]
    if record.get("status") is not None:
        by = record.get("answered_by", "")
        steps.append(step(by, f"answers {record['status']}", "answered", record.get("ms"), "in all"))
    return steps
