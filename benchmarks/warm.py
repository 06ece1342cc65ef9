"""Warm requests: every contestant in a long-lived process, rounds interleaved, one batch of calls at a time."""

import asyncio
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cognito_edge_local.lambda_runtime.runtime_api import Invocation, RuntimeApi

from .contestants import Contestant, Worker

# Calls in a batch, the same for everyone: enough to work out of warm CPU caches (the first few, untimed, fill them; see
# child.py), few enough to fit between two time slices of other processes. A round's figure is the fastest of its
# batches, the one that was disturbed least.
_CALLS = {"0": 24, "1 KB": 24, "64 KB": 12, "1 MB": 3}
_BATCHES = 3
_WARM_UP_CALLS = 200
_NODE_WARM_UP_CALLS = 2_000  # V8 optimises by and by
_LAMBDA_WARM_UPS = 5


@dataclass(frozen=True)
class Scenario:
    """One kind of request.

    Attributes:
        token: ``new`` or ``seen``.
        body: 0, 1 KB, 64 KB or 1 MB.
        with_json: Parse the event and serialise the result as well, as the runtime does.
        event: The event's file.
        tokens: The token list's file.
    """

    token: str
    body: str
    with_json: bool
    event: str
    tokens: str

    def read(self) -> tuple[bytes, list[bytes]]:
        """Return the event, with a place for the token, and the tokens."""
        return Path(self.event).read_bytes(), Path(self.tokens).read_bytes().split(b"\n")

    @property
    def name(self) -> str:
        return f"{self.token} token, {self.body}{', with JSON' if self.with_json else ''}"


def scenarios(events: Mapping[str, str], tokens: Mapping[str, str]) -> Iterator[Scenario]:
    """Return every combination of token, body and JSON."""
    for with_json in (False, True):
        for token, token_file in tokens.items():
            for body, event_file in events.items():
                yield Scenario(token, body, with_json, event_file, token_file)


def measure(workers: Sequence[Worker], scenario: Scenario, rounds: int) -> dict[str, list[float]]:
    """Return nanoseconds per request, round by round, by contestant."""
    calls = _CALLS[scenario.body]
    for worker in workers:
        warm_up = _NODE_WARM_UP_CALLS if worker.name == "node" else _WARM_UP_CALLS
        for _ in range(warm_up // 24):
            _run(worker, scenario, calls)
    result: dict[str, list[float]] = {worker.name: [] for worker in workers}
    for number in range(rounds):
        for turn in range(len(workers)):
            worker = workers[(number + turn) % len(workers)]  # so that no contestant always follows the same one
            result[worker.name].append(min(_run(worker, scenario, calls) for _ in range(_BATCHES)))
    return result


def _run(worker: Worker, scenario: Scenario, calls: int) -> float:
    return worker.run(scenario.event, scenario.tokens, calls=calls, json_too=scenario.with_json)["ns"]


class LambdaRuntime:
    """A Python contestant under awslambdaric: the process, and its Runtime API."""

    def __init__(self, contestant: Contestant, variables: Mapping[str, str]) -> None:
        self.name = contestant.name
        self._contestant = contestant
        self._variables = variables
        self._number = 0
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  lives until stop()
        self._api = RuntimeApi()
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        await self._api.start()
        variables = {**self._variables, "AWS_LAMBDA_RUNTIME_API": self._api.address}
        self.spawned = time.monotonic_ns()
        self._process = self._contestant.start("lambda", variables, stdout=self._log, stderr=subprocess.STDOUT)

    async def invoke(self, event: bytes) -> bytes:
        self._number += 1
        deadline_ms = int(time.time() * 1000) + 30_000
        arn = "arn:aws:lambda:us-east-1:123456789012:function:edge:1"
        invocation = Invocation(f"request-{self._number}", event, deadline_ms, arn, "Root=1-0-0;Sampled=0")
        try:
            return await asyncio.wait_for(self._api.invoke(invocation), 30)
        except TimeoutError:
            self._log.seek(0)
            said = self._log.read().decode(errors="replace")[-2_000:]
            status = self._process.poll() if self._process is not None else None
            raise RuntimeError(f"{self.name}, exit status {status}, answered nothing: {said}") from None

    async def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._log.close()
        await self._api.stop()


async def measure_lambda(
    contestants: Sequence[Contestant],
    variables: Mapping[str, str],
    chosen: Sequence[Scenario],
    rounds: int,
) -> dict[str, dict[str, list[float]]]:
    """Return nanoseconds per round trip through awslambdaric, by scenario and contestant."""
    runtimes = [LambdaRuntime(contestant, variables) for contestant in contestants]
    result: dict[str, dict[str, list[float]]] = {}
    try:
        for runtime in runtimes:
            await runtime.start()
        for scenario in chosen:
            times = result[scenario.name] = await _round_trips(runtimes, scenario, rounds + _LAMBDA_WARM_UPS)
            for values in times.values():
                del values[:_LAMBDA_WARM_UPS]
    finally:
        for runtime in runtimes:
            await runtime.stop()
    return result


async def _round_trips(runtimes: Sequence[LambdaRuntime], scenario: Scenario, rounds: int) -> dict[str, list[float]]:
    template, tokens = scenario.read()
    times: dict[str, list[float]] = {runtime.name: [] for runtime in runtimes}
    for number in range(rounds):
        event = template.replace(b"@TOKEN@", tokens[number % len(tokens)])
        for runtime in runtimes:
            start = time.perf_counter_ns()
            await runtime.invoke(event)
            times[runtime.name].append(time.perf_counter_ns() - start)
    return times
