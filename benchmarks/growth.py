"""What more of something costs the gateway, and whether memory stays flat."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .contestants import Contestant, Worker
from .material import Files, UserPool, event, random_body

_CALLS = 16
_WARM_UPS = 3
# What doubling a thing may multiply the time by. Linear is 2; the rest is noise and cache misses.
_LINEAR = 2.6
ROUTES = (1, 20, 200)
_CACHED = (1, 200, 1_900)  # the cache holds 2,000
_SIZES = (1, 2, 4, 8)


@dataclass(frozen=True)
class Case:
    """A thing that grows: each step is (how much, events' file, tokens' file, the policy to ask for)."""

    name: str
    unit: str
    steps: tuple[tuple[float, str, str, str], ...]


def cases(files: Files, pool: UserPool, seen: str, rounds: int) -> Iterator[Case]:
    """Write the files of every case, and return the cases."""
    plain = files.event("plain", event())
    needed = (rounds + _WARM_UPS) * _CALLS  # so that no token comes twice

    def case(name: str, unit: str, sizes: tuple[float, ...], make: Callable[[Any], bytes]) -> Case:
        steps = ((size, files.event(f"{name} {size}", make(size)), seen, "default") for size in sizes)
        return Case(name, unit, tuple(steps))

    def token_case(name: str, unit: str, sizes: tuple[float, ...], claims: Callable[[Any], dict[str, object]]) -> Case:
        lists = {size: [pool.token(100_000 + i, **claims(size)) for i in range(needed)] for size in sizes}
        steps = ((size, plain, files.tokens(f"{name} {size}", tokens), "default") for size, tokens in lists.items())
        return Case(name, unit, tuple(steps))

    yield case("body", "MB", (0.125, 0.25, 0.5, 1), lambda mb: event(body=random_body(int(mb * 1_048_576))))
    yield Case("routes in the policy", "route", tuple((n, plain, seen, f"routes-{n}") for n in ROUTES))
    yield case("headers", "header", (15, 30, 60), lambda n: event(headers={f"X-Header-{i}": "value" for i in range(n)}))
    yield case("plain query", "KB", _SIZES, lambda kb: event(query="&".join(["name=value"] * (kb * 92))))
    yield case("escaped query", "KB", _SIZES, lambda kb: event(query="&".join(["%c3%a9=%2f"] * (kb * 92))))
    yield case("deep path", "KB", _SIZES, lambda kb: event(uri="/api" + "/abc" * (kb * 253)))
    yield case("escaped path", "KB", _SIZES, lambda kb: event(uri="/api" + "/a%2Fb;c" * (kb * 126)))
    yield token_case(
        "groups in a new token", "group", (62, 125, 250, 500),
        lambda n: {"cognito:groups": ["users", *(f"group-{i}" for i in range(n - 1))]},
    )  # fmt: skip
    yield token_case(
        "new token", "KB", (2, 4, 8, 16), lambda kb: {"custom:padding": "x" * int((kb * 1024 - 1220) * 0.75)}
    )


def measure(
    gateway: Contestant, variables: Callable[[str], Mapping[str, str]], case: Case, rounds: int
) -> dict[str, Any]:
    """Return microseconds at each step, the cost of one more unit, and whether doubling at most doubles."""
    workers = {policy: Worker(gateway, variables(policy)) for policy in {step[3] for step in case.steps}}
    times: dict[float, list[float]] = {step[0]: [] for step in case.steps}
    for number in range(rounds + _WARM_UPS):
        for amount, event_file, tokens, policy in case.steps:
            worker = workers[policy]
            worker.used = number * _CALLS
            took = worker.run(event_file, tokens, calls=_CALLS)["ns"]
            if number >= _WARM_UPS:
                times[amount].append(took)
    for worker in workers.values():
        worker.close()
    return _judge(case.name, case.unit, times)


def measure_cache(
    gateway: Contestant, variables: Mapping[str, str], files: Files, tokens: list[str], rounds: int
) -> Any:
    """Return the same for a look-up among more and more cached tokens."""
    plain = files.event("plain", event())
    times: dict[float, list[float]] = {}
    for count in _CACHED:
        listed = files.tokens(f"cached {count}", tokens[:count])
        worker = Worker(gateway, variables)
        worker.run(plain, listed, calls=count)
        times[count] = [worker.run(plain, listed, calls=_CALLS)["ns"] for _ in range(rounds + _WARM_UPS)]
        times[count] = times[count][_WARM_UPS:]
        worker.close()
    return _judge("cached tokens", "entry", times)


def measure_memory(
    gateway: Contestant, variables: Mapping[str, str], files: Files, tokens: str, requests: int
) -> dict[str, float]:
    """Return the memory held after a tenth of *requests* and after all, each with a path, query and header of its own."""
    changing = event(uri="/api/items/@N@", query="number=@N@", headers={"X-Number-@N@": "@N@"})
    file = files.event("changing", changing)
    worker = Worker(gateway, variables)
    batch = max(1, min(500, requests // 20))
    held = [worker.run(file, tokens, calls=batch)["kb"] / 1024 for _ in range(requests // batch)]
    worker.close()
    return {
        "requests": requests,
        "mb_after_a_tenth": round(held[len(held) // 10], 1),
        "mb_at_the_end": round(held[-1], 1),
    }


def _judge(name: str, unit: str, times: dict[float, list[float]]) -> dict[str, Any]:
    # The fastest round of each: this is about the work, and not about what else the machine does.
    fastest = {amount: round(min(values) / 1000, 2) for amount, values in times.items()}
    amounts = sorted(fastest)
    least, most = amounts[0], amounts[-1]
    # From the last step but one, scaled to a doubling; a fixed cost below both only makes it smaller.
    grew = fastest[most] / fastest[amounts[-2]]
    factor = grew ** (math.log(2) / math.log(most / amounts[-2]))
    return {
        "name": name,
        "unit": unit,
        "us": {f"{amount:g}": fastest[amount] for amount in amounts},
        "us_per_unit": round((fastest[most] - fastest[least]) / (most - least), 3),
        "doubling": round(factor, 2),
        "linear": factor <= _LINEAR,
    }
