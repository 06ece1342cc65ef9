"""Measures the gateway's real bundle against the usual Python, a Node.js peer and the bare primitives.

One run on one machine: every contestant in a process of its own, its answers checked, rounds interleaved, medians with
quartiles. Ratios are medians of the rounds' own ratios, so that what else the machine does hits both sides.
"""

import argparse
import asyncio
import datetime as dt
import io
import json
import os
import platform
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import chart, cold, docs_table, growth, rows, warm
from .contestants import NODE, ROOT, Worker, build, environment, floor_configuration
from .correctness import check_forwarded, check_refused
from .endpoints import Authority, Endpoints
from .material import POLICY, Files, UserPool, event, random_body, routes_policy
from .statistic import ratio, summary

RESULTS = Path(__file__).resolve().parent / "results"
VERSION = ".".join(platform.python_version_tuple()[:2])
BODIES = {"0": 0, "1 KB": 1_024, "64 KB": 65_536, "1 MB": 1_048_576}
# More than the 2,000 that the gateway remembers: used in turn, each is forgotten before it comes again.
NEW_TOKENS = 3_000
SEEN_TOKENS = 32
# The scenarios that are also sent through awslambdaric.
UNDER_LAMBDA = ("new token, 1 KB", "seen token, 1 KB", "seen token, 1 MB")


class Bench:
    """One run, whose parts share keys, files, servers and contestants."""

    def __init__(self, folder: Path, rounds: int) -> None:
        self.rounds = rounds
        self.contestants = build(ROOT / "dist" / "bench")
        self.pool = UserPool()
        self.files = Files(folder)
        self._authority = Authority(folder)
        policies = {"default": POLICY, **{f"routes-{count}": routes_policy(count) for count in growth.ROUTES}}
        self._near, self._far = (
            Endpoints(self._authority, round_trip_s=round_trip_s, jwks=self.pool.jwks, policies=policies)
            for round_trip_s in (0, 0.02)
        )
        self._floor = floor_configuration(self.files, self.pool)
        self.new_tokens = [self.pool.token(number) for number in range(NEW_TOKENS)]
        self.tokens = {
            "new": self.files.tokens("new", self.new_tokens),
            "seen": self.files.tokens("seen", [self.pool.token(50_000 + number) for number in range(SEEN_TOKENS)]),
        }
        self.bodies = {name: random_body(size) for name, size in BODIES.items()}
        self.events = {name: self.files.event(f"body {name}", event(body=body)) for name, body in self.bodies.items()}

    def variables(self, policy: str = "default", *, far: bool = False) -> dict[str, str]:
        """Return a contestant's environment, next to SSM and Cognito or 20 ms away from them."""
        endpoint = (self._far if far else self._near).url(policy)
        return environment(endpoint, self._authority, self._floor)

    def check(self, workers: Sequence[Worker]) -> None:
        """Check every contestant's answers.

        Raises:
            WrongAnswerError: One is wrong, and there is nothing to measure.
        """
        wrong = {name: self.files.tokens(name, [token]) for name, token in self.pool.wrong_tokens().items()}
        for worker in workers:
            for _ in range(2):  # a new token, then the same one
                for name, body in self.bodies.items():
                    sent = json.loads(Path(self.events[name]).read_bytes())["Records"][0]["cf"]["request"]
                    check_forwarded(worker.answer(self.events[name], self.tokens["seen"]), sent, body)
            for name, tokens in wrong.items():
                check_refused(name, worker.answer(self.events["0"], tokens))

    def warm(self) -> dict[str, Any]:
        """Return microseconds per request, and ratios, by scenario."""
        workers = [Worker(contestant, self.variables()) for contestant in self.contestants.values()]
        self.check(workers)
        result = {}
        for scenario in warm.scenarios(self.events, self.tokens):
            times = warm.measure(workers, scenario, self.rounds)
            result[scenario.name] = {
                "us": {name: summary(values, 1000) for name, values in times.items()},
                "ratios": {rival: ratio(times["gateway"], times[rival]) for rival in rows.RIVALS},
            }
        for worker in workers:
            worker.close()
        return result

    def cold(self) -> dict[str, Any]:
        """Return milliseconds, megabytes and ratios of cold starts, by round trip and figure."""
        competing = [contestant for name, contestant in self.contestants.items() if name != "floor"]
        result: dict[str, Any] = {}
        for trip, far in (("0 ms", False), ("20 ms", True)):
            samples = cold.measure(competing, self.variables(far=far), self._first_event(), self.rounds)
            by_figure = {
                figure: {name: [sample[figure] for sample in taken] for name, taken in samples.items()}
                for figure in samples["gateway"][0]
            }
            python = [self.contestants[name] for name in ("gateway", "naive")]
            by_figure["under awslambdaric"] = asyncio.run(
                cold.measure_lambda(python, self.variables(far=far), self._first_event(), max(5, self.rounds // 3))
            )
            result[trip] = {
                figure: {
                    "values": {name: summary(values) for name, values in taken.items()},
                    "ratios": {rival: ratio(taken["gateway"], taken[rival]) for rival in taken if rival != "gateway"},
                }
                for figure, taken in by_figure.items()
            }
        return result

    def under_lambda(self) -> dict[str, Any]:
        """Return microseconds per round trip through awslambdaric, by scenario."""
        python = [self.contestants[name] for name in ("gateway", "naive", "floor")]
        chosen = [s for s in warm.scenarios(self.events, self.tokens) if s.name in UNDER_LAMBDA]
        # Ten times the rounds: each is one request, among other processes' work, and scatters.
        times = asyncio.run(warm.measure_lambda(python, self.variables(), chosen, 10 * self.rounds))
        return {
            scenario: {name: summary(values, 1000) for name, values in taken.items()}
            for scenario, taken in times.items()
        }

    def growth(self) -> list[dict[str, Any]]:
        """Return what more of something costs."""
        rounds = max(5, self.rounds // 2)
        gateway = self.contestants["gateway"]
        result = [
            growth.measure(gateway, self.variables, case, rounds)
            for case in growth.cases(self.files, self.pool, self.tokens["seen"], rounds)
        ]
        result.append(growth.measure_cache(gateway, self.variables(), self.files, self.new_tokens, rounds))
        return result

    def memory(self, requests: int) -> dict[str, float]:
        """Return the gateway's memory over many requests."""
        gateway = self.contestants["gateway"]
        return growth.measure_memory(gateway, self.variables(), self.files, self.tokens["new"], requests)

    def profile(self) -> list[str]:
        """Return where the gateway's time goes, for people who work on it."""
        worker = Worker(self.contestants["gateway"], self.variables())
        text = []
        for name, tokens in self.tokens.items():
            worker.run(self.events["1 KB"], tokens, calls=100)
            text += [f"--- {name} token, 1 KB", worker.profile(self.events["1 KB"], tokens, calls=1_000)]
        worker.close()
        return text

    def _first_event(self) -> bytes:
        return Path(self.events["1 KB"]).read_bytes().replace(b"@TOKEN@", self.new_tokens[0].encode())


def per_body_byte(warm_result: Mapping[str, Any]) -> dict[str, float]:
    """Return what the megabyte between no body and 1 MB costs the gateway, against the floor's base64 and SHA-256."""

    def cost(name: str) -> float:
        large, none = (float(warm_result[f"seen token, {size}"]["us"][name]["median"]) for size in ("1 MB", "0"))
        return large - none

    return {name: cost(name) for name in ("gateway", "floor")} | {"ratio": cost("gateway") / cost("floor")}


def zipped_mb(bundle: Path) -> float:
    """Return the bundle's size as Lambda counts it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(bundle.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(bundle))
    return len(packed.getvalue()) / 1_000_000


def conditions(rounds: int) -> list[str]:
    """Say what was measured, on what, and how."""
    node = os.popen(f"{NODE} --version").read().strip()
    model = platform.processor()
    if (cpuinfo := Path("/proc/cpuinfo")).exists():
        names = (line.partition(": ")[2] for line in cpuinfo.read_text().splitlines() if line.startswith("model name"))
        model = next(names, model)
    date = dt.datetime.now(dt.UTC).date().isoformat()
    return [
        f"{date}, {os.cpu_count()} cores of {model or platform.machine()}, CPython {platform.python_version()}, Node.js {node}.",
        f"Medians of {rounds} interleaved rounds, one process per contestant; every answer checked against botocore first.",
        "Warm: time inside the handler, a round's fastest batch of three. The gateway's includes its policy, its identity headers",
        "and its log line, which the others do not have.",
        "Cold: from starting the process, interpreter included, to the first answer; SSM and Cognito over TLS 1.3 on loopback,",
        "each TCP handshake, TLS handshake and request delayed by the round trip. Memory: the most held by then.",
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark, print the table and write the results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__.splitlines()[0],
        epilog="example: python -m benchmarks --rounds 15 --profile",
    )
    parser.add_argument("--rounds", type=int, default=41, help="interleaved rounds (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a smoke run: five rounds; its figures mean little")
    parser.add_argument("--long", action="store_true", help="watch the memory over a million requests")
    parser.add_argument(
        "--reference",
        action="store_true",
        help=f"write {docs_table.reference(VERSION).relative_to(ROOT)} as well, and docs/bench.svg on CPython {docs_table.DEPLOYED}",
    )
    parser.add_argument("--profile", action="store_true", help="only print where the gateway's warm time goes")
    options = parser.parse_args(argv)
    rounds = 5 if options.quick else max(2, options.rounds)

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bench = Bench(Path(folder), rounds)
        if options.profile:
            print(*bench.profile(), sep="\n")
            return 0
        result = _measure(bench, requests=1_000_000 if options.long else 2_000 if options.quick else 50_000)
    print()
    print(*rows.lines(result), sep="\n")
    data, picture = json.dumps(result, indent=1) + "\n", chart.draw(result)
    written = {RESULTS / "latest.json": data, RESULTS / "latest.svg": picture}
    if options.reference:
        written[docs_table.reference(VERSION)] = data
        if VERSION == docs_table.DEPLOYED:
            written[ROOT / "docs" / "bench.svg"] = picture
    RESULTS.mkdir(exist_ok=True)
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


def _measure(bench: Bench, *, requests: int) -> dict[str, Any]:
    start = time.monotonic()

    def say(what: str) -> None:
        print(f"bench: {time.monotonic() - start:4.0f} s  {what}", file=sys.stderr, flush=True)

    say("warm requests")
    result: dict[str, Any] = {"conditions": conditions(bench.rounds), "warm": bench.warm()}
    say("warm requests under awslambdaric")
    result["lambda"] = bench.under_lambda()
    say("cold starts")
    result["cold"] = bench.cold()
    say("growth")
    result["growth"] = bench.growth()
    say(f"memory over {requests:,} requests")
    result["memory"] = bench.memory(requests)
    say("done")
    result["rows"] = rows.judge(result["warm"], result["cold"])
    result["per_body_byte"] = per_body_byte(result["warm"])
    result["bundle_mb"] = zipped_mb(ROOT / "dist" / "bench" / "gateway")
    return result


if __name__ == "__main__":
    sys.exit(main())
