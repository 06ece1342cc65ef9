"""Medians with their spread, and ratios of rounds that ran side by side."""

from collections.abc import Sequence
from statistics import median, quantiles


def summary(values: Sequence[float], unit: float = 1, digits: int = 2) -> dict[str, float]:
    """Return median and quartiles of *values*, divided by *unit*."""
    low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else (values[0],) * 3
    named = {"median": median(values), "q1": low, "q3": high}
    return {name: round(value / unit, digits) for name, value in named.items()}


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Return the median of the rounds' ratios: what disturbs a round disturbs both sides of it."""
    return summary([a / b for a, b in zip(ours, theirs, strict=True)], digits=3)
