"""The rows as an SVG chart: how long each contestant takes, as a share of what naive takes."""

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

_COLOURS = {"naive": "#b8bec7", "node": "#6c9ecb", "gateway": "#d9622b", "floor": "#4d5866"}
_LABELS = {
    "naive": "naive: boto3, python-jose, requests",
    "node": "Node.js: aws-jwt-verify, @smithy/signature-v4",
    "gateway": "this gateway",
    "floor": "floor: bare primitives",
}
_LEFT, _WIDTH, _BAR, _GAP, _TOP = 320, 480, 13, 18, 76


def draw(result: Mapping[str, Any]) -> str:
    """Return the chart.

    Args:
        result: What ``rows.judge`` returned, with the run's ``conditions``.
    """
    y = _TOP
    parts = []
    for row in result["rows"]:
        if row["name"].startswith(" "):
            continue
        shares = _shares(row)
        middle = y + len(shares) * _BAR / 2 + 4
        parts.append(_text(_LEFT - 12, middle, row["name"], 11, anchor="end", weight="600"))
        for name, share in shares.items():
            width = max(1.0, min(share, 1.35) * _WIDTH / 1.35)
            parts.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR - 2}" fill="{_COLOURS[name]}"/>')
            parts.append(_text(_LEFT + width + 5, y + 9, f"{share:.2f}", size=10))
            y += _BAR
        y += _GAP
    for number, line in enumerate(result["conditions"]):
        parts.append(_text(16, y + 6 + 15 * number, line, size=11, fill="#57606a"))
    height = y + 15 * len(result["conditions"]) + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="860" height="{height}" viewBox="0 0 860 {height}" '
        'font-family="system-ui, sans-serif" role="img" aria-labelledby="title">\n'
        '<title id="title">Time and memory per request, as a share of the usual Python</title>\n'
        f'<rect width="860" height="{height}" fill="#ffffff"/>\n'
        + "\n".join(
            [_text(16, 26, "Time and memory, as a share of the usual Python (less is better)", 16, weight="700")]
        )
        + "\n"
        + "\n".join([*_legend(), *parts])
        + "\n</svg>\n"
    )


def _shares(row: Mapping[str, Any]) -> dict[str, float]:
    """Return each contestant's share of naive, from the gateway's ratio to each."""
    cells = row["cells"]
    gateway = cells["naive"]["ratio"]
    shares = {"naive": 1.0}
    if "node" in cells:
        shares["node"] = gateway / cells["node"]["ratio"]
    shares["gateway"] = gateway
    if "floor" in cells:
        shares["floor"] = gateway / cells["floor"]["ratio"]
    return shares


def _legend() -> list[str]:
    parts, x = [], 16.0
    for name, label in _LABELS.items():
        parts.append(f'<rect x="{x:.0f}" y="44" width="11" height="11" fill="{_COLOURS[name]}"/>')
        parts.append(_text(x + 16, 54, label, size=11))
        x += 34 + 6.0 * len(label)
    return parts


def _text(
    x: float, y: float, text: str, size: int = 12, *, anchor: str = "start", weight: str = "400", fill: str = "#1f2328"
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{fill}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'
