"""What the gateway costs a month, against the other ways to put a Cognito login in front of a Lambda function.

``python -m benchmarks.cost`` prints the tables of docs/cost.md; ``--write`` puts them, and the chart, into docs/. Every price
stands in ``PRICES`` with the page that it was read from and the date that the page gives; every assumption about the traffic
stands in ``TRAFFIC``. US East (N. Virginia), US dollars, without taxes.
"""

import argparse
import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .chart import _text as text

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "cost.md"
CHART = ROOT / "docs" / "cost.svg"
READ = "2026-11-21"
HOURS = 730
GB = 1e9
MILLION = 1e6


@dataclasses.dataclass(frozen=True)
class Price:
    """A price as a page states it.

    Attributes:
        what: What is paid for.
        tiers: (up to this much a month, dollars a unit), the last without an end. A free allowance is a tier at 0.
        unit: Of the amount.
        source: The page.
        stated: The date that the page gives for it.
    """

    what: str
    tiers: tuple[tuple[float, float], ...]
    unit: str
    source: str
    stated: str

    def of(self, amount: float, *, free: bool = True) -> float:
        """Return dollars for an amount a month; without *free*, free allowances are left out."""
        dollars, below = 0.0, 0.0
        tiers = self.tiers if free else tuple(tier for tier in self.tiers if tier[1] > 0)
        for end, rate in tiers:
            dollars += max(0.0, min(amount, end) - below) * rate
            below = min(amount, end)
        return dollars

    @property
    def text(self) -> str:
        """Write it for the table."""
        parts, below = [], 0.0
        for end, rate in self.tiers:
            price = "free" if rate == 0 else f"${rate:.10f}".rstrip("0").rstrip(".")
            if price.count(".") and len(price.partition(".")[2]) == 1:
                price += "0"
            parts.append(f"{price} up to {_amount(end)}" if math.isfinite(end) else price)
            below = end
        assert math.isinf(below)
        return ", then ".join(parts)


def _flat(rate: float) -> tuple[tuple[float, float], ...]:
    return ((math.inf, rate),)


_CLOUDFRONT = "https://aws.amazon.com/cloudfront/pricing/"
_LAMBDA = "https://aws.amazon.com/lambda/pricing/"
_API_WHITEPAPER = "https://docs.aws.amazon.com/whitepapers/latest/best-practices-api-gateway-private-apis-integration/cost-optimization.html"
_ELB = "https://aws.amazon.com/elasticloadbalancing/pricing/"
_COGNITO = "https://aws.amazon.com/cognito/pricing/"
_EDGE = "https://awsnegotiations.com/cloudfront-functions-pricing.html"
_CLOUDWATCH = "https://cloudburn.io/blog/amazon-cloudwatch-pricing"

PRICES: Mapping[str, Price] = {
    "cloudfront requests": Price(
        "CloudFront, HTTPS requests (North America)", ((10, 0.0), (math.inf, 1.00)), "million", _CLOUDFRONT, "2026"
    ),
    "cloudfront out": Price(
        "CloudFront, to viewers",
        ((1_000, 0.0), (11_000, 0.085), (51_000, 0.080), (math.inf, 0.060)),
        "GB",
        _CLOUDFRONT,
        "2026-09-05",
    ),
    "cloudfront to origin": Price("CloudFront, bodies to the origin", _flat(0.020), "GB", _CLOUDFRONT, "undated"),
    "edge requests": Price("Lambda@Edge, requests", _flat(0.60), "million", _EDGE, "2026-05"),
    "edge seconds": Price("Lambda@Edge, duration", _flat(0.00005001), "GB-second", _EDGE, "2026-05"),
    "lambda requests": Price("Lambda, requests", ((1, 0.0), (math.inf, 0.20)), "million", _LAMBDA, "2026-09-20"),
    "lambda seconds": Price(
        "Lambda, duration (x86)", ((400_000, 0.0), (math.inf, 0.0000166667)), "GB-second", _LAMBDA, "2026-09-20"
    ),
    "logs": Price(
        "CloudWatch Logs, taken in", ((5, 0.0), (10_005, 0.50), (math.inf, 0.25)), "GB", _CLOUDWATCH, "2026-02"
    ),
    "http api": Price("API Gateway HTTP API", ((300, 1.00), (math.inf, 0.90)), "million", _API_WHITEPAPER, "undated"),
    "rest api": Price(
        "API Gateway REST API",
        ((333, 3.50), (1_000, 2.80), (20_000, 2.38), (math.inf, 1.51)),
        "million",
        _API_WHITEPAPER,
        "undated",
    ),
    "internet out": Price(
        "from a region to the internet",
        ((100, 0.0), (10_100, 0.09), (50_100, 0.085), (math.inf, 0.07)),
        "GB",
        "https://www.apigatewaycost.com/aws",
        "2026",
    ),
    "alb hours": Price("Application Load Balancer", _flat(0.0225), "hour", _ELB, "2026-09-20"),
    "alb lcu": Price("Application Load Balancer, capacity units", _flat(0.008), "LCU-hour", _ELB, "2026-09-20"),
    "ipv4": Price(
        "public IPv4 address",
        _flat(0.005),
        "hour",
        "https://github.com/ChiefGyk3D/Clouds-Against-Humanity/wiki/Provider-AWS-Cost-Lesson",
        "2026-10-16",
    ),
    "users": Price(
        "Cognito Essentials, active users", ((10_000, 0.0), (math.inf, 0.015)), "user", _COGNITO, "2026-09-20"
    ),
    "users lite": Price(
        "Cognito Lite, active users",
        ((10_000, 0.0), (100_000, 0.0055), (1_000_000, 0.0046), (math.inf, 0.00325)),
        "user",
        _COGNITO,
        "2026-09-20",
    ),
    "waf": Price("WAF, a web ACL", _flat(5.00), "month", "https://c3x.dev/blog/aws-waf-cost-explained/", "2026"),
    "waf rules": Price(
        "WAF, a rule or group of AWS's", _flat(1.00), "month", "https://c3x.dev/blog/aws-waf-cost-explained/", "2026"
    ),
    "waf requests": Price(
        "WAF, requests", _flat(0.60), "million", "https://c3x.dev/blog/aws-waf-cost-explained/", "2026"
    ),
    "metrics": Price("CloudWatch, a metric of one's own", _flat(0.30), "month", _CLOUDWATCH, "2026-02"),
    "alarms": Price("CloudWatch, a metric that an alarm watches", _flat(0.10), "month", _CLOUDWATCH, "2026-02"),
}
"""Read on ``READ``. SSM's standard parameters are free at standard throughput (docs of Systems Manager)."""


@dataclasses.dataclass(frozen=True)
class Traffic:
    """What every way has to carry.

    Attributes:
        request_bytes: Of a request's body. The headers of requests are free everywhere.
        response_bytes: Of an answer, headers included.
        backend_ms: What the function behind bills for a request.
        backend_mb: Its memory.
        requests_per_user: Requests of one active user a month.
        requests_per_connection: How many requests come over one connection; a load balancer counts connections.
        edge_ms: What a warm edge function bills. Measured on the development machine: 0.8 ms in Lambda's runtime client
            with a new token and 1 KB (benchmarks/results/reference.json, "lambda"); at 512 MB Lambda gives 0.29 of a CPU, so
            2.7 ms, billed as 3.
        edge_cold_ms: What a cold start bills: 0.23 s with 20 ms round trips, likewise over 0.29.
        edge_cold_share: How many requests in one meet a cold start.
        edge_mb: The edge function's memory.
        edge_log_bytes: Of the edge's log for a request: our line, 380, and Lambda's START, END and REPORT, with 26 bytes
            that CloudWatch adds to each of the four.
    """

    request_bytes: int = 1_000
    response_bytes: int = 5_000
    backend_ms: int = 10
    backend_mb: int = 512
    requests_per_user: int = 1_000
    requests_per_connection: int = 5
    edge_ms: int = 3
    edge_cold_ms: int = 800
    edge_cold_share: float = 0.001
    edge_mb: int = 512
    edge_log_bytes: int = 800


TRAFFIC = Traffic()
SIZES = (100_000, 10_000_000, 1_000_000_000)
PARTS = ("front door", "edge function", "its log", "transfer", "backend")
WAYS: Mapping[str, str] = {
    "gateway": "this gateway",
    "oac": "OAC alone, no login",
    "http": "HTTP API, JWT authorizer",
    "rest": "REST API, Cognito authorizer",
    "alb": "ALB, Cognito action",
}


def cost(way: str, requests: float, *, free: bool = True, traffic: Traffic = TRAFFIC) -> dict[str, float]:
    """Return dollars a month by part, without the users.

    Args:
        way: A key of ``WAYS``.
        requests: A month.
        free: Take off the allowances that do not end after a year.
        traffic: What is carried.
    """

    def price(name: str, amount: float) -> float:
        return PRICES[name].of(amount, free=free)

    millions = requests / MILLION
    sent_gb, received_gb = requests * traffic.response_bytes / GB, requests * traffic.request_bytes / GB
    result = dict.fromkeys(PARTS, 0.0)
    result["backend"] = price("lambda requests", millions) + price(
        "lambda seconds", requests * traffic.backend_ms / 1000 * traffic.backend_mb / 1024
    )
    if way in ("gateway", "oac"):
        result["front door"] = price("cloudfront requests", millions)
        result["transfer"] = price("cloudfront out", sent_gb) + price("cloudfront to origin", received_gb)
    else:
        result["transfer"] = price("internet out", sent_gb)
    if way == "gateway":
        billed_ms = traffic.edge_ms + traffic.edge_cold_share * traffic.edge_cold_ms
        seconds = requests * billed_ms / 1000 * traffic.edge_mb / 1024
        result["edge function"] = price("edge requests", millions) + price("edge seconds", seconds)
        result["its log"] = price("logs", requests * traffic.edge_log_bytes / GB)
    elif way in ("http", "rest"):
        result["front door"] = price(f"{way} api", millions)
    elif way == "alb":
        # The dimension that is used most decides. A Lambda target's gigabyte counts two and a half times.
        per_second = requests / (HOURS * 3600)
        units = max(per_second / traffic.requests_per_connection / 25, (sent_gb + received_gb) / HOURS / 0.4)
        result["front door"] = price("alb hours", HOURS) + price("alb lcu", units * HOURS)
        result["front door"] += price("ipv4", 2 * HOURS)  # one in each of two availability zones
    return result


def waf_cost(requests: float, rules: int = 3) -> float:
    """Return dollars a month for the firewall as ``waf=on`` makes it: rate, and two of AWS's groups."""
    return PRICES["waf"].of(1) + PRICES["waf rules"].of(rules) + PRICES["waf requests"].of(requests / MILLION)


def monitoring_cost(metrics: int = 7, codes: int = 5, watched: int = 9) -> float:
    """Return dollars a month for one region of ``monitor_regions``.

    Args:
        metrics: Those of infra/example/alarms.py that have no dimension.
        codes: How many codes are seen in a month; each is a metric of its own.
        watched: Metrics that alarms watch; the share of refusals takes two.
    """
    return PRICES["metrics"].of(metrics + codes) + PRICES["alarms"].of(watched)


# CloudFront's flat-rate plans: requests a month that are included, and dollars. They contain a web ACL, but not Lambda@Edge.
# Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/flat-rate-pricing-plan.html, as of 2026-09-05
PLANS = {"Free": (1e6, 0.0), "Pro": (10e6, 15.0), "Business": (125e6, 200.0), "Premium": (1.25e9, 2_250.0)}


def plan_for(requests: float) -> tuple[str, float]:
    """Return the smallest flat-rate plan with so many requests a month, and its price."""
    return next((name, dollars) for name, (included, dollars) in PLANS.items() if requests <= included)


def tables() -> str:
    """Return the part of docs/cost.md that is computed."""
    lines = ["### Per million requests, at list prices", ""]
    lines += _table(
        ["", *PARTS, "together"],
        [
            [name, *(_dollars(value) for value in parts.values()), f"**{_dollars(sum(parts.values()))}**"]
            for way, name in WAYS.items()
            if way != "alb" and (parts := cost(way, MILLION, free=False))
        ],
    )
    alb = cost("alb", 1_000 * MILLION, free=False)
    fixed = PRICES["alb hours"].of(HOURS) + PRICES["ipv4"].of(2 * HOURS)
    each = (sum(alb.values()) - fixed) / 1_000
    lines += [
        "",
        f"A load balancer costs {_dollars(fixed)} a month before the first request, and {_dollars(each)} for a million.",
    ]
    lines += ["", "### Per month, at three sizes", ""]
    rows = []
    for way, name in WAYS.items():
        rows.append([name, *(_dollars(sum(cost(way, size).values())) for size in SIZES)])
    rows.append(["", *("" for _ in SIZES)])
    users = [size / TRAFFIC.requests_per_user for size in SIZES]
    rows.append(["Cognito users, the same for all", *(_dollars(PRICES["users"].of(count)) for count in users)])
    rows.append(["… on the Lite plan", *(_dollars(PRICES["users lite"].of(count)) for count in users)])
    rows.append(["`waf=on`", *(_dollars(waf_cost(size)) for size in SIZES)])
    doors = [cost("gateway", size) for size in SIZES]
    rows.append(
        [
            "CloudFront and `waf=on`, pay as you go",
            *(
                _dollars(one["front door"] + one["transfer"] + waf_cost(size))
                for one, size in zip(doors, SIZES, strict=True)
            ),
        ]
    )
    plans = [plan_for(size) for size in SIZES]
    rows.append(
        ["… or a flat-rate plan in place of both", *(f"{_dollars(dollars)} ({name})" for name, dollars in plans)]
    )
    rows.append(["`monitor_regions`, each region", *(_dollars(monitoring_cost()) for _ in SIZES)])
    lines += _table(["requests a month", *(_amount(size) for size in SIZES)], rows)
    lines += ["", "### The prices", ""]
    lines += _table(
        ["what", "dollars", "for one", "page", "as of"],
        [[one.what, one.text, one.unit, f"[{_site(one.source)}]({one.source})", one.stated] for one in PRICES.values()],
    )
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    marks = ["---", *("---:" for _ in head[1:])]
    return ["| " + " | ".join(row) + " |" for row in (head, marks, *rows)]


def _dollars(value: float) -> str:
    return f"${value:,.2f}" if value < 1_000 else f"${value:,.0f}"


def _amount(value: float) -> str:
    return f"{value:,.0f}"


def _site(address: str) -> str:
    return address.partition("://")[2].partition("/")[0]


# --- the chart ------------------------------------------------------------------------------------------------------

_COLOURS = {
    "front door": "#6c9ecb",
    "edge function": "#d9622b",
    "its log": "#e9a97f",
    "transfer": "#b8bec7",
    "backend": "#4d5866",
}
_LEFT, _WIDTH, _BAR = 220, 520, 18


def draw() -> str:
    """Return the chart: a panel for each size, bars by part."""
    parts = [text(16, 26, "Dollars a month, Cognito's users not counted", 16, weight="700")]
    x = 16.0
    for name, colour in _COLOURS.items():
        parts.append(f'<rect x="{x:.0f}" y="42" width="11" height="11" fill="{colour}"/>')
        parts.append(text(x + 16, 52, name, 11))
        x += 40 + 6.0 * len(name)
    y = 80
    for size in SIZES:
        costs = {way: cost(way, size) for way in WAYS}
        most = max(sum(one.values()) for one in costs.values())
        parts.append(text(16, y, f"{_amount(size)} requests a month", 13, weight="600"))
        y += 10
        for way, one in costs.items():
            parts.append(text(_LEFT - 10, y + 12, WAYS[way], 11, anchor="end"))
            at = float(_LEFT)
            for name, value in one.items():
                width = value / most * _WIDTH
                if width >= 0.05:
                    parts.append(
                        f'<rect x="{at:.1f}" y="{y}" width="{width:.1f}" height="{_BAR - 4}" fill="{_COLOURS[name]}"/>'
                    )
                at += width
            parts.append(text(at + 6, y + 11, _dollars(sum(one.values())), 11))
            y += _BAR
        y += 28
    height = y - 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="860" height="{height}" viewBox="0 0 860 {height}" '
        'font-family="system-ui, sans-serif" role="img" aria-labelledby="title">\n'
        '<title id="title">Dollars a month for each way, at three sizes</title>\n'
        f'<rect width="860" height="{height}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


BEGIN, END = "<!-- computed by benchmarks/cost.py -->\n", "<!-- computed until here -->\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables, or write them into docs/."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="put tables and chart into docs/cost.md and docs/cost.svg")
    options = parser.parse_args(argv)
    if not options.write:
        print(tables(), end="")
        return 0
    before, _, rest = DOCUMENT.read_text("utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(before + BEGIN + tables() + END + after, "utf-8")
    CHART.write_text(draw(), "utf-8")
    print(f"wrote {DOCUMENT.relative_to(ROOT)} and {CHART.relative_to(ROOT)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
