"""The tables of goals in docs/performance.md: printed from results/reference-*.json, so that no figure is typed.

``python -m benchmarks.docs_table --write`` puts them between the marks of the document.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .rows import RIVALS, shown

ROOT: Final = Path(__file__).resolve().parent.parent
# The CPython that Lambda runs, and the oldest that the gateway takes: what is compared and what is not depends on it.
DEPLOYED: Final = "3.13"
OLDEST: Final = "3.11"
DOCUMENT: Final = ROOT / "docs" / "performance.md"
BEGIN: Final = "<!-- bench:begin -->"
END: Final = "<!-- bench:end -->"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables, or write them into the document.

    Returns:
        0; 1 if the document lacks its marks.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.docs_table",
        description=(__doc__ or "").partition("\n")[0],
        epilog="example: python -m benchmarks.docs_table --write",
    )
    parser.add_argument("--write", action="store_true", help=f"write them into {DOCUMENT.relative_to(ROOT)}")
    options = parser.parse_args(argv)
    text = tables()
    if not options.write:
        print(text, end="")
        return 0
    document = DOCUMENT.read_text(encoding="utf-8")
    try:
        DOCUMENT.write_text(with_block(document, text), encoding="utf-8")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def reference(version: str) -> Path:
    """Return where the checked-in run of a version of CPython is kept."""
    return ROOT / "benchmarks" / "results" / f"reference-{version}.json"


def tables() -> str:
    """Return what stands in the document: the table of the deployed interpreter, then that of the oldest."""
    deployed, oldest = (table(json.loads(reference(version).read_bytes())) for version in (DEPLOYED, OLDEST))
    return (
        f"**CPython {DEPLOYED}**, which Lambda runs:\n\n{deployed}\n"
        f"**CPython {OLDEST}**, the oldest that the gateway takes:\n\n{oldest}"
    )


def table(result: Mapping[str, Any]) -> str:
    """Return the rows as a Markdown table, under the conditions of the run.

    Args:
        result: What a reference run holds.
    """
    lines = ["| | the gateway | of naive | of node | of the floor | |", "|---|---:|---:|---:|---:|---|"]
    for row in result["rows"]:
        cells = " | ".join(_cell(row["cells"].get(rival)) for rival in RIVALS)
        name = row["name"].strip().replace("<=", "≤")
        lines.append(
            f"| {name} | {row['gateway'].replace(' us', ' µs')} | {cells} | {'' if row['met'] else 'missed'} |"
        )
    memory = result["memory"]
    others = (
        f"Each further megabyte of body costs {result['per_body_byte']['ratio']:.2f} times what base64 and SHA-256 alone cost "
        f"(at most 1.15). Memory after {memory['requests']:,} requests: {memory['mb_at_the_end']} MB, after a tenth of them "
        f"{memory['mb_after_a_tenth']} MB. The bundle has {result['bundle_mb']:.1f} MB zipped (at most 6). {_under_lambda(result)}"
    )
    lines += ["", others, "", *(f"> {line}" for line in result["conditions"])]
    return "\n".join(lines) + "\n"


def _under_lambda(result: Mapping[str, Any]) -> str:
    """Say what a whole round trip through Lambda's runtime client takes, where the processor's caches are not warm."""
    scenario = "seen token, 1 KB"
    took = {name: f"{value['median']:.0f} µs" for name, value in result["lambda"][scenario].items()}
    return (
        f"Through awslambdaric, one request at a time and other processes in between, a seen token takes {took['gateway']}, "
        f"naive {took['naive']}, the floor {took['floor']}."
    )


def block(document: str) -> str:
    """Return what stands between the document's marks.

    Raises:
        ValueError: They are not there, once each and in this order.
    """
    before, first, rest = document.partition(f"{BEGIN}\n")
    inside, second, after = rest.partition(f"{END}\n")
    if not (first and second) or BEGIN in before + inside + after or END in before + after:
        raise ValueError(f"expected one {BEGIN} and one {END} behind it, each on a line of its own")
    return inside


def with_block(document: str, text: str) -> str:
    """Return the document with another text between its marks.

    Raises:
        ValueError: As ``block``.
    """
    old = block(document)
    return document.replace(f"{BEGIN}\n{old}{END}\n", f"{BEGIN}\n{text}{END}\n")


def _cell(cell: Mapping[str, Any] | None) -> str:
    """Return a ratio beside its goal; bold where it is missed."""
    if cell is None:
        return ""
    if cell["budget"] is None:
        return f"{cell['ratio']:.2f}"
    text = shown(cell)
    return f"{text if cell['met'] else f'**{text}**'} (≤ {cell['budget']:.2f})"


if __name__ == "__main__":
    raise SystemExit(main())
