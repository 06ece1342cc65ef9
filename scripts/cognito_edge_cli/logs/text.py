"""Log lines for people: aligned columns, and the whole story of one request."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import click

from cognito_edge_cli.console import as_typed, printable

from .lines import Line

_COLOURS = {2: "green", 3: "blue", 4: "yellow", 5: "red"}
_TOLD = frozenset({"time", "request_id", "method", "path", "decision", "code", "status", "rule", "ms", "cache"})
MAX_WIDTH = 48
"""The widest that alignment makes a column; longer values push the rest of their own line aside."""


@dataclass
class Layout:
    """How lines are written: the columns' widths, which only ever grow, so that later lines stay in line.

    Attributes:
        regions: Whether the region is shown.
        colour: Whether the status is coloured.
    """

    regions: bool = False
    colour: bool = False
    _widths: dict[str, int] = field(default_factory=dict)

    def fit(self, lines: Iterable[Line]) -> None:
        """Make the columns wide enough for *lines*."""
        for line in lines:
            for name, value in self._columns(line):
                self._widths[name] = min(MAX_WIDTH, max(self._widths.get(name, 0), len(value)))

    def write(self, line: Line) -> str:
        """Return a line for people."""
        self.fit([line])
        parts = [f"{value:<{self._widths[name]}}" for name, value in self._columns(line)]
        if line.fields is None:
            return "  ".join([*parts, printable(line.text)]).rstrip()
        if self.colour and "status" in (names := [name for name, _ in self._columns(line)]):
            at = names.index("status")
            parts[at] = click.style(parts[at], fg=_COLOURS.get(_status(line.fields) // 100))
        return "  ".join([*parts, *_rest(line.fields)]).rstrip()

    def _columns(self, line: Line) -> list[tuple[str, str]]:
        columns = [("time", stamp(line.time_ms))]
        if self.regions:
            columns.append(("region", line.region))
        if line.fields is None:
            return columns
        fields = line.fields
        if "event" in fields and "decision" not in fields:
            told = f"{fields['event']} {fields.get('what', '')}: {fields.get('reason', '')}"
            return [
                *columns,
                ("status", "---"),
                ("outcome", printable(fields.get("level", ""))),
                ("event", printable(told)),
            ]
        outcome = str(fields.get("code") or fields.get("decision"))
        # The function gives a forwarded request its status; the edge does not know it.
        status = "->" if fields.get("decision") == "forward" else str(fields.get("status") or "---")
        return [
            *columns,
            ("status", printable(status)),
            ("outcome", printable(outcome)),
            ("method", printable(fields.get("method", ""))),
            ("path", printable(fields.get("path", ""))),
            ("rule", printable(fields.get("rule", ""))),
            ("user", printable(fields.get("sub_hash", "-"))),
            ("total", f"{total_ms(fields):>7.1f} ms"),
        ]


def _status(fields: Mapping[str, Any]) -> int:
    status = fields.get("status")
    return status if isinstance(status, int) else 200 if fields.get("decision") == "forward" else 0


def _rest(fields: Mapping[str, Any]) -> list[str]:
    if "decision" not in fields:
        return []
    steps = " ".join(f"{printable(name)}={printable(ms)}" for name, ms in _mapping(fields.get("ms")).items())
    cache = " ".join(f"{printable(name)}:{printable(state)}" for name, state in _mapping(fields.get("cache")).items())
    more = " ".join(
        f"{printable(name)}={printable(value)}"
        for name, value in fields.items()
        if name not in _TOLD and name not in {"sub_hash", "client_id"}
    )
    return [
        part
        for part in (f"({steps})", f"[{cache}]" if cache else "", more, printable(fields.get("request_id", "")))
        if part
    ]


def stamp(time_ms: int) -> str:
    """Return a time as the log writes it.

    >>> stamp(1_700_000_000_250)
    '2023-11-14T22:13:20.250Z'
    """
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"


def total_ms(fields: Mapping[str, Any]) -> float:
    """Return the milliseconds of all steps together."""
    return float(sum(ms for ms in _mapping(fields.get("ms")).values() if isinstance(ms, (int, float))))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


# --- the story of one request -------------------------------------------------------------------------------------------


def story(request_id: str, lines: Sequence[Line], trace: Mapping[str, Any] | None) -> list[str]:
    """Return the whole story of one request: what the edge's log says, and what the local system saw beside it.

    Args:
        request_id: Which one.
        lines: Its lines, the oldest first; CloudFront may run the function more than once for a request that it retries.
        trace: The local system's record; None for deployed stacks, and where it has none.
    """
    told = [f"Request {printable(request_id)}"]
    code = None
    for line in lines:
        if line.fields is None:
            told.append(f"  {stamp(line.time_ms)}  {printable(line.text)}")
            continue
        told += _facts(line, line.fields)
        code = line.fields.get("code", code)
    if trace is not None:
        told += ["", *_way(trace)]
    if code is not None:
        told += [
            "",
            as_typed(f"What {printable(code)} means and what to do: cognito-edge doctor --code {printable(code)}"),
        ]
    return told


def _facts(line: Line, fields: Mapping[str, Any]) -> list[str]:
    decision = str(fields.get("decision", fields.get("event", "")))
    if fields.get("code"):
        decision += f": {fields['code']}"
    if fields.get("status"):
        decision += f", answered with {fields['status']}"
    elif fields.get("decision") == "forward":
        decision += ": signed and sent on to the function URL"
    cache = _mapping(fields.get("cache"))
    steps = ", ".join(f"{name} {ms} ms" for name, ms in _mapping(fields.get("ms")).items())
    facts = {
        "time": stamp(line.time_ms),
        "region": line.region,
        "request": f"{fields.get('method', '')} {fields.get('path', '')}".strip(),
        "decision": decision,
        "reason": fields.get("reason"),
        "rule": fields.get("rule"),
        "user": f"{fields['sub_hash']} (hash of sub)" if fields.get("sub_hash") else None,
        "client": fields.get("client_id"),
        "steps": f"{steps}; {total_ms(fields):.1f} ms in all" if steps else None,
        "caches": ", ".join(f"{name} {state}" for name, state in cache.items()),
    }
    facts |= {name: value for name, value in fields.items() if name not in _TOLD | {"sub_hash", "client_id", "reason"}}
    return [f"  {name:<9} {printable(value)}" for name, value in facts.items() if value]


def _way(trace: Mapping[str, Any]) -> list[str]:
    steps = [step for step in trace.get("steps", []) if isinstance(step, dict)]
    told = ["Its way through the local system:"]
    widths = {
        name: max((len(str(step.get(name, ""))) for step in steps), default=0) for name in ("where", "what", "verdict")
    }
    for step in steps:
        ms = f"{step['ms']:>10.3f} ms" if isinstance(step.get("ms"), (int, float)) else ""
        columns = "  ".join(printable(f"{step.get(name, '')!s:<{width}}") for name, width in widths.items())
        told.append(f"  {columns}  {ms}".rstrip())
    door = _mapping(trace.get("door"))
    for title, text in (("Why", trace.get("problem")), ("Why the function URL refused", door.get("why"))):
        if text:
            told += ["", f"{title}:", *(f"  {printable(part)}".rstrip() for part in str(text).split("\n"))]
    canonical = door.get("canonical_request")
    if isinstance(canonical, list):
        told += ["", "Canonical request, as the function URL computed it (secrets masked):"]
        told += [f"  {printable(part)}".rstrip() for part in canonical]
    if trace.get("status") is not None:
        told += ["", f"Answer: {trace['status']} from {printable(trace.get('answered_by', ''))}, {trace.get('ms')} ms"]
    return told
