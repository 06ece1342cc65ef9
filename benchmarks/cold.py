"""Cold starts: a fresh process for every sample, from the moment it is started to the first answer."""

import json
import subprocess
import time
from collections.abc import Mapping, Sequence

from .contestants import Contestant
from .correctness import WrongAnswerError
from .warm import LambdaRuntime

Sample = dict[str, float]


def measure(
    contestants: Sequence[Contestant], variables: Mapping[str, str], event: bytes, rounds: int
) -> dict[str, list[Sample]]:
    """Return the samples of each contestant; the first start, which fills the page cache and writes .pyc, is not one."""
    result: dict[str, list[Sample]] = {contestant.name: [] for contestant in contestants}
    for number in range(rounds + 1):
        for contestant in contestants:
            sample = _start(contestant, variables, event)
            if number:
                result[contestant.name].append(sample)
    return result


def _start(contestant: Contestant, variables: Mapping[str, str], event: bytes) -> Sample:
    """Start once; milliseconds, and the most memory held in MB.

    ``from_spawn`` counts from before the process exists, the interpreter's own start included; ``from_first_line`` from
    the first line that runs in it; ``imports`` is the part of that until the handler is loaded.
    """
    spawned = time.monotonic_ns()
    process = contestant.start("cold", variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    output, _ = process.communicate(event)
    report = json.loads(output.splitlines()[-1])
    if "status" in report["result"]:
        raise WrongAnswerError(f"{contestant.name} refused its first request: {report['result']}")
    return {
        "from_spawn": (report["answered"] - spawned) / 1e6,
        "from_first_line": (report["answered"] - report["started"]) / 1e6,
        "imports": (report["imported"] - report["started"]) / 1e6,
        "peak_mb": report["peak_kb"] / 1024,
    }


async def measure_lambda(
    contestants: Sequence[Contestant], variables: Mapping[str, str], event: bytes, rounds: int
) -> dict[str, list[float]]:
    """Return milliseconds from starting awslambdaric to the first result, by contestant."""
    result: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    for number in range(rounds + 1):
        for contestant in contestants:
            runtime = LambdaRuntime(contestant, variables)
            await runtime.start()
            await runtime.invoke(event)
            took_ms = (time.monotonic_ns() - runtime.spawned) / 1e6
            await runtime.stop()
            if number:
                result[contestant.name].append(took_ms)
    return result
