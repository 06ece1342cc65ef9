"""benchmarks/cost.py: the figures of docs/cost.md are what it computes, and what the page says of them holds."""

import re

import pytest

from benchmarks import cost
from benchmarks.cost import BEGIN, CHART, DOCUMENT, END, PRICES, SIZES, WAYS, Price


def total(way, requests, **options):
    return sum(cost.cost(way, requests, **options).values())


def test_the_page_has_the_computed_tables():
    """Whoever changes a price or an assumption runs `python -m benchmarks.cost --write`."""
    computed = DOCUMENT.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    assert computed == cost.tables()


def test_the_chart_is_the_computed_one():
    """One bar for each way and size."""
    assert CHART.read_text("utf-8") == cost.draw()
    labels = re.findall(r">([^<]+)</text>", cost.draw())
    assert [labels.count(name) for name in WAYS.values()] == [len(SIZES)] * len(WAYS)


@pytest.mark.parametrize(
    ("amount", "dollars"), [(0, 0), (10, 0), (11, 2), (20, 20), (21, 21), (120, 120)], ids=lambda value: f"{value:g}"
)
def test_tiers_are_paid_each_at_its_own_rate(amount, dollars):
    """Ten free, ten at two dollars, the rest at one; both sides of each boundary."""
    assert Price("", ((10, 0.0), (20, 2.0), (float("inf"), 1.0)), "", "", "").of(amount) == dollars


def test_without_the_free_allowance_the_first_unit_costs():
    """List prices."""
    assert Price("", ((10, 0.0), (float("inf"), 2.0)), "", "", "").of(1, free=False) == 2


def test_a_million_requests_is_what_the_arithmetic_says():
    """Done by hand once, from the list prices alone."""
    parts = cost.cost("gateway", 1e6, free=False)
    assert parts["front door"] == pytest.approx(1.00)
    assert parts["edge function"] == pytest.approx(0.60 + 1e6 * 0.0038 * 0.5 * 0.00005001)
    assert parts["its log"] == pytest.approx(0.8 * 0.50)
    assert parts["transfer"] == pytest.approx(5 * 0.085 + 1 * 0.02)
    assert parts["backend"] == pytest.approx(0.20 + 1e6 * 0.010 * 0.5 * 0.0000166667)
    # A load balancer at a thousand million: gigabytes decide, not connections.
    alb = cost.cost("alb", 1e9)["front door"]
    assert alb == pytest.approx(730 * 0.0225 + 730 * 2 * 0.005 + 6_000 / 0.4 * 0.008)


def test_what_the_page_says_first_is_so():
    """Dearer than an HTTP API, cheaper than a REST API, dearer than a load balancer from fifteen million on."""
    assert 1.0 < total("gateway", 1e6, free=False) - total("http", 1e6, free=False) < 1.2
    assert 0.6 < total("gateway", 1e6, free=False) / total("rest", 1e6, free=False) < 0.7
    assert total("gateway", 10e6) < min(total(way, 10e6) for way in ("http", "rest", "alb"))
    assert total("gateway", 15e6) < total("alb", 15e6)
    assert total("gateway", 20e6) > total("alb", 20e6)
    users = PRICES["users"].of(SIZES[-1] / cost.TRAFFIC.requests_per_user)
    assert users > max(total(way, SIZES[-1]) for way in WAYS)


def test_every_price_names_its_page_and_its_date():
    """And ends with a tier that has no end."""
    for price in PRICES.values():
        assert price.source.startswith("https://")
        assert price.stated
        assert price.tiers[-1][0] == float("inf")


def test_printing_writes_nothing(capsys):
    """Only --write does."""
    before = DOCUMENT.stat().st_mtime_ns
    assert cost.main([]) == 0
    assert capsys.readouterr().out == cost.tables()
    assert DOCUMENT.stat().st_mtime_ns == before
