"""The goals, and the table that says which of them are met."""

from collections.abc import Mapping, Sequence
from typing import Any

RIVALS = ("naive", "node", "floor")

_Budgets = tuple[float | None, float | None, float | None]

# (row, the measurements it is made of: the worst counts, the ratio allowed to each rival)
_WARM: tuple[tuple[str, tuple[str, ...], _Budgets], ...] = (
    ("warm, new token, <= 1 KB body", ("new token, 0", "new token, 1 KB"), (0.60, 1.30, None)),
    ("warm, token seen before, <= 1 KB", ("seen token, 0", "seen token, 1 KB"), (0.25, 0.50, None)),
    ("64 KB body, token seen before", ("seen token, 64 KB",), (0.25, 0.65, None)),
    ("1 MB body with JSON in and out", ("seen token, 1 MB, with JSON",), (0.30, 0.40, 1.15)),
)
_COLD: tuple[tuple[str, str, str, _Budgets], ...] = (
    ("cold start to first answer, 0 ms round trip", "0 ms", "from_spawn", (0.20, 0.60, None)),
    ("cold start to first answer, 20 ms round trips", "20 ms", "from_spawn", (0.28, 0.60, None)),
    ("  the same without the interpreter's start, 0 ms", "0 ms", "from_first_line", (None, None, None)),
    ("  the same without the interpreter's start, 20 ms", "20 ms", "from_first_line", (None, None, None)),
    ("imports", "0 ms", "imports", (None, None, None)),
    ("peak memory", "0 ms", "peak_mb", (0.60, 0.60, None)),
)

Row = dict[str, Any]


def judge(warm: Mapping[str, Any], cold: Mapping[str, Any]) -> list[Row]:
    """Return every row: its ratios beside its budgets, and whether they are met.

    Args:
        warm: By scenario: ``ratios`` to each rival, ``us`` by contestant.
        cold: By round trip and figure: ``ratios`` to each rival, ``values`` by contestant.
    """
    rows = []
    for name, parts, budgets in _WARM:
        worst = {rival: max(warm[part]["ratios"][rival]["median"] for part in parts) for rival in RIVALS}
        rows.append(_row(name, worst, budgets, f"{warm[parts[-1]]['us']['gateway']['median']:g} us"))
    for name, trip, figure, budgets in _COLD:
        measured = cold[trip][figure]
        ratios = {rival: ratio["median"] for rival, ratio in measured["ratios"].items()}
        unit = "MB" if figure == "peak_mb" else "ms"
        rows.append(_row(name, ratios, budgets, f"{measured['values']['gateway']['median']:g} {unit}"))
    return rows


def _row(name: str, ratios: Mapping[str, float], budgets: Sequence[float | None], gateway: str) -> Row:
    cells = {
        rival: {"ratio": ratios[rival], "budget": budget, "met": budget is None or ratios[rival] <= budget}
        for rival, budget in zip(RIVALS, budgets, strict=True)
        if rival in ratios
    }
    return {"name": name, "gateway": gateway, "cells": cells, "met": all(cell["met"] for cell in cells.values())}


def lines(result: Mapping[str, Any]) -> list[str]:
    """Return the report as lines of text."""
    return [*_table(result["rows"]), "", *_absolute(result), "", *_growth(result), "", *_other(result)]


def _table(rows: Sequence[Row]) -> list[str]:
    text = [f"{'the gateway, as a share of':<50}{'naive':>18}{'node':>18}{'floor':>18}  gateway itself"]
    for row in rows:
        cells = "".join(f"{_cell(row['cells'].get(rival)):>18}" for rival in RIVALS)
        text.append(f"{row['name']:<50}{cells}  {row['gateway']:<12}{'' if row['met'] else 'MISSED'}")
    return text


def _cell(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return ""
    if cell["budget"] is None:
        return f"{cell['ratio']:.2f}         "
    return f"{shown(cell)} {'<=' if cell['met'] else '> '} {cell['budget']:.2f}"


def shown(cell: Mapping[str, Any]) -> str:
    """Write a ratio with as many digits as it takes to see whether it meets its goal."""
    text = f"{cell['ratio']:.2f}"
    return text if cell["met"] or float(text) > cell["budget"] else f"{cell['ratio']:.3f}"


def _absolute(result: Mapping[str, Any]) -> list[str]:
    names = ("gateway", *RIVALS)
    text = [f"{'median [quartiles]':<50}" + "".join(f"{name:>24}" for name in names)]
    sections = [
        *((name, "us", measured["us"]) for name, measured in result["warm"].items()),
        *((f"awslambdaric: {name}", "us", values) for name, values in result["lambda"].items()),
        *(
            (f"cold, {trip} round trips: {figure}", "", measured["values"])
            for trip, figures in result["cold"].items()
            for figure, measured in figures.items()
        ),
    ]
    for name, unit, values in sections:
        cells = "".join(f"{_spread(values.get(contestant)):>24}" for contestant in names)
        text.append(f"{name + (', ' + unit if unit else ''):<50}{cells}")
    return text


def _spread(value: Mapping[str, float] | None) -> str:
    return f"{value['median']:.1f} [{value['q1']:.1f}, {value['q3']:.1f}]" if value else ""


def _growth(result: Mapping[str, Any]) -> list[str]:
    text = ["growth of the gateway (doubling: what twice as much multiplies the time by)"]
    for case in result["growth"]:
        steps = ", ".join(f"{amount}: {us:g}" for amount, us in case["us"].items())
        verdict = "" if case["linear"] else "  SUPERLINEAR"
        text.append(
            f"  {case['name']:<22} {case['us_per_unit']:>9.3f} us per {case['unit']:<7} x{case['doubling']:<5} ({steps}){verdict}"
        )
    return text


def _other(result: Mapping[str, Any]) -> list[str]:
    memory, body = result["memory"], result["per_body_byte"]
    over = f"memory over {memory['requests']:,} requests"
    return [
        f"{over}: {memory['mb_after_a_tenth']} MB after a tenth, {memory['mb_at_the_end']} MB at the end",
        f"each further MB of body costs {body['ratio']:.2f} times base64 and SHA-256 alone (at most 1.15)",
        f"bundle: {result['bundle_mb']:.2f} MB zipped (at most 6)",
    ]
