"""A signature that does not match: AWS's canonical request against ours, the first difference marked."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Final

# "The Canonical String for this request should have been\n'GET\n/…'\n\nThe String-to-Sign should have been\n…"
_CANONICAL: Final = re.compile(
    r"The Canonical String for this request should have been\s*'(?P<text>.*?)'\s*(?:\n|\Z)", re.DOTALL
)
_SECRET: Final = re.compile(r"(?P<name>x-amz-security-token|authorization|cookie|x-cognito-[\w-]+):(?P<value>.*)")
_WIDTH: Final = 150


def canonical_of(message: str) -> list[str]:
    """Return the lines of the canonical request in AWS's answer; an empty list if it holds none, as most of function URLs'."""
    found = _CANONICAL.search(message)
    return found["text"].split("\n") if found else []


def compared(theirs: Sequence[str], ours: Sequence[str]) -> str:
    """Lay two canonical requests one below the other, line by line, and mark the first difference.

    Args:
        theirs: AWS's, from what arrived.
        ours: What was signed, or should have been.
    """
    rows = []
    marked = False
    for number in range(max(len(theirs), len(ours))):
        left = theirs[number] if number < len(theirs) else "(no such line)"
        right = ours[number] if number < len(ours) else "(no such line)"
        shown_left, shown_right = masked(left), masked(right)
        if left == right:
            rows.append(f"    {_cut(shown_left)}")
            continue
        rows += [
            f"{'  ' if marked else '> '}AWS {_cut(shown_left)}",
            f"{'  ' if marked else '> '}we  {_cut(shown_right)}",
        ]
        if not marked:
            at = _first_difference(shown_left, shown_right)
            rows.append(f"      {' ' * min(at, _WIDTH)}^ first difference: line {number + 1}, character {at + 1}")
        marked = True
    if not marked:
        rows.append("  the two are the same: the key is another one, or the request changed on its way")
    return "\n".join(rows)


def masked(line: str) -> str:
    """Return a header line without its secret; the digest tells two values apart.

    >>> masked("host:example.com")
    'host:example.com'
    """
    found = _SECRET.fullmatch(line)
    if found is None:
        return line
    value = found["value"]
    return f"{found['name']}:(masked: {len(value)} characters, {hashlib.sha256(value.encode()).hexdigest()[:8]})"


def masked_text(lines: Iterable[str]) -> str:
    """Mask every secret in an explanation that shows headers in columns."""
    hidden = re.compile(r"((?:x-amz-security-token|authorization|cookie|x-cognito-[\w-]+):)\S.*")
    return "\n".join(hidden.sub(r"\1(masked)", line) for line in lines)


def _cut(line: str) -> str:
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"


def _first_difference(left: str, right: str) -> int:
    pairs = zip(left, right, strict=False)
    return next((at for at, (one, other) in enumerate(pairs) if one != other), min(len(left), len(right)))
