"""``make load``: 50 requests a second for two minutes on a running local system: no error, nothing lost, nothing grows.

``python -m benchmarks.load`` starts a local system of its own on free ports (or takes a running one: ``--state-dir DIR``) and
sends turns on a fixed schedule, whether earlier ones are answered or not: tokens seen before and new ones, small JSON
bodies, 64 KB of random bytes, awkward queries, calls without a token, and books where the system has them. Every answer is
compared with what was sent. Meanwhile it watches the memory of every process of the system.

The exit code is 0 only if every answer was right, every book that should be there at the end is there once, the schedule was
kept, and no process grew (``growth_faults`` says what that means, and why).
"""

import argparse
import base64
import contextlib
import dataclasses
import hashlib
import http.client
import json
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import boto3
from botocore import UNSIGNED
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[1]
RATE = 50.0
SECONDS = 120.0
# As many at once as the local system invokes functions at once.
WORKERS = 32
LARGE_BODY = 64 * 1024
# What may be said about the schedule: the last turn may end this long after it was due. Seconds.
MOST_LATE_S = 10.0
# How much a process may grow between the second and the last fifth of the run.
GROWTH_SHARE = 0.10
GROWTH_MB = 8.0
# Turns in a hundred. A turn is one request, or three with books: one made, read and deleted.
MIX = {"seen token": 30, "new token": 10, "json": 25, "64 KB": 10, "query": 10, "no token": 5, "book": 10}
_REQUESTS_OF_A_BOOK = 2.9
# Processes that a system of two functions may have: its own dozen, and for each call at once a worker in the emulator, or
# the one before it that is about to end.
_MOST_PROCESSES = 150
_START_LIMIT_S = 90.0
_STOP_LIMIT_S = 30.0
_REQUEST_LIMIT_S = 30.0

Answer = tuple[int, Mapping[str, str], bytes]


class WrongAnswerError(Exception):
    """An answer is not what was asked for; the message says what was expected and what came."""


class Sender:
    """Sends turns and checks the answers. A class because it keeps connections, one for each thread, and the tokens."""

    def __init__(self, url: str, sign_in: Callable[[], str], *, books: bool) -> None:
        """Sign in once.

        Args:
            url: The gateway's, http.
            sign_in: Returns a new ID token.
            books: Whether the system has ``/api/books``.
        """
        parts = urllib.parse.urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._sign_in = sign_in
        self._local = threading.local()
        self._connections: list[http.client.HTTPConnection] = []
        self.token = sign_in()
        self.mix = {kind: share for kind, share in MIX.items() if books or kind != "book"}
        self.requests = 0
        self.kept_books: set[str] = set()
        self._lock = threading.Lock()

    def turn(self, number: int) -> str:
        """Take a turn, and return its kind. The number decides everything about it.

        Raises:
            WrongAnswerError: An answer was wrong.
            OSError: There was none.
        """
        chance = random.Random(number)
        kind = chance.choices(list(self.mix), list(self.mix.values()))[0]
        turns: dict[str, Callable[[], None]] = {
            "seen token": lambda: self._whoami(self.token),
            "new token": lambda: self._whoami(self._sign_in()),
            "json": lambda: self._echo(json.dumps({"number": number, "text": "ü" * 500}).encode(), "application/json"),
            "64 KB": lambda: self._echo(chance.randbytes(LARGE_BODY), "application/octet-stream"),
            "query": lambda: self._query(number),
            "no token": self._no_token,
            "book": lambda: self._book(number),
        }
        turns[kind]()
        return kind

    def _whoami(self, token: str) -> None:
        _, _, body = self._call("GET", "/api/whoami", token=token, expect=200)
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        _same("sub", json.loads(body)["sub"], claims["sub"])

    def _echo(self, sent: bytes, content_type: str) -> None:
        headers = {"content-type": content_type}
        _, _, body = self._call("POST", "/api/echo", token=self.token, body=sent, headers=headers, expect=200)
        answer = json.loads(body)
        _same("body_sha256", answer["body_sha256"], hashlib.sha256(sent).hexdigest())
        echoed = answer["body"].encode() if answer["body_encoding"] == "text" else base64.b64decode(answer["body"])
        _same("body", hashlib.sha256(echoed).hexdigest(), answer["body_sha256"])

    def _query(self, number: int) -> None:
        pairs = [("n", str(number)), ("q", "a b+c&d=é/~*'"), ("q", ""), (f"k[{number % 7}]", "1")]
        target = "/api/echo/a,b;c?" + urllib.parse.urlencode(pairs)
        _, _, body = self._call("GET", target, token=self.token, expect=200)
        _same("query", json.loads(body)["query"], [list(pair) for pair in pairs])

    def _no_token(self) -> None:
        _, _, body = self._call("GET", "/api/whoami", token=None, expect=401)
        _same("code", json.loads(body)["code"], "missing_token")

    def _book(self, number: int) -> None:
        """Make a book, read it back, and delete it again; every tenth stays, to be counted at the end."""
        book = {"title": f"Book {number}", "author": "Ä. Nonymous", "year": 2000 + number % 26, "notes": "n" * 200}
        headers = {"content-type": "application/json"}
        _, _, made = self._call(
            "POST", "/api/books", token=self.token, body=json.dumps(book).encode(), headers=headers, expect=201
        )
        book_id = json.loads(made)["id"]
        target = f"/api/books/{book_id}"
        _, _, read = self._call("GET", target, token=self.token, expect=200)
        _same("book", {key: json.loads(read)[key] for key in book}, book)
        if number % 10 == 0:
            with self._lock:
                self.kept_books.add(book_id)
        else:
            self._call("DELETE", target, token=self.token, expect=204)

    def lost_books(self) -> list[str]:
        """Read all pages, and say which of the books that were kept are not there exactly once."""
        seen: Counter[str] = Counter()
        cursor: str | None = ""
        try:
            while "book" in self.mix and cursor is not None:
                query = urllib.parse.urlencode({"limit": 100, **({"cursor": cursor} if cursor else {})})
                _, _, body = self._call("GET", f"/api/books?{query}", token=self.token, expect=200)
                page = json.loads(body)
                seen.update(book["id"] for book in page["books"])
                cursor = page["next"]
        except WrongAnswerError as error:
            return [f"the books cannot be counted: {error}"]
        return [f"book {book_id} is there {seen[book_id]} times" for book_id in self.kept_books if seen[book_id] != 1]

    def _call(
        self,
        method: str,
        target: str,
        *,
        token: str | None,
        expect: int,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        connection = self._connection()
        sent = {**(headers or {}), **({"authorization": f"Bearer {token}"} if token else {})}
        with self._lock:
            self.requests += 1
        try:
            connection.request(method, target, body=body, headers=sent)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise WrongAnswerError(f"{method} {target.partition('?')[0]}: no answer: {type(error).__name__}") from error
        if response.status != expect:
            text = content[:300].decode(errors="replace")
            raise WrongAnswerError(
                f"{method} {target.partition('?')[0]}: expected {expect}, not {response.status}: {text}"
            )
        return response.status, dict(response.getheaders()), content

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(*self._address, timeout=_REQUEST_LIMIT_S)
            self._local.connection = connection
            with self._lock:
                self._connections.append(connection)
        return connection

    def close(self) -> None:
        """Close every connection."""
        for connection in self._connections:
            connection.close()


def _reason(content: bytes) -> str:
    """Return a problem's code, or the first words of whatever else it is."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(content)["code"])
    return " ".join(content.decode(errors="replace").split())[:120].partition(" Request ID")[0]


def _same(what: str, came: object, expected: object) -> None:
    if came != expected:
        raise WrongAnswerError(f"{what}: expected {expected!r}, not {came!r}"[:500])


@dataclasses.dataclass
class Result:
    """What came of a run.

    Attributes:
        turns: How many of each kind ended well.
        latencies: Of each turn, from when it was due to its end. Seconds.
        errors: What went wrong, and how often.
        seconds: From the first turn's time to the last turn's end.
        late_s: How long after it was due the latest turn began. A schedule that cannot be kept shows here.
        planned: How many turns there should have been.
    """

    turns: Counter[str]
    latencies: list[float]
    errors: Counter[str]
    seconds: float
    late_s: float
    planned: int = 0


def planned_turns(sender: Sender, *, rate: float, seconds: float) -> int:
    """Return how many turns make *rate* requests a second."""
    each = {kind: _REQUESTS_OF_A_BOOK if kind == "book" else 1.0 for kind in sender.mix}
    mean = sum(share * each[kind] for kind, share in sender.mix.items()) / sum(sender.mix.values())
    # One in a hundred more: chance decides the mix, and it shall not be less than was asked for.
    return math.ceil(1.01 * rate * seconds / mean)


def drive(sender: Sender, *, rate: float, seconds: float) -> Result:
    """Take turns on a schedule that waits for nobody.

    Args:
        sender: Takes them.
        rate: Requests a second.
        seconds: For how long turns begin.
    """
    turns = planned_turns(sender, rate=rate, seconds=seconds)
    result = Result(Counter(), [], Counter(), 0.0, 0.0)
    lock = threading.Lock()
    start = time.monotonic()

    def take(number: int, due: float) -> None:
        late = time.monotonic() - due
        kind = error = None
        try:
            kind = sender.turn(number)
        except Exception as problem:  # noqa: BLE001  whatever happened is an answer that did not come
            error = f"{type(problem).__name__}: {problem}"
        with lock:
            result.late_s = max(result.late_s, late)
            result.latencies.append(time.monotonic() - due)
            if kind is not None:
                result.turns[kind] += 1
            if error is not None:
                result.errors[error] += 1

    with ThreadPoolExecutor(WORKERS) as pool:
        for number in range(turns):
            due = start + seconds * number / turns
            time.sleep(max(0.0, due - time.monotonic()))
            pool.submit(take, number, due)
    result.seconds = time.monotonic() - start
    result.planned = turns
    return result


def warm_up(sender: Sender, *, rate: float) -> list[str]:
    """Let caches fill and the emulator's workers start, first one turn after the other, then at rising rates.

    A laptop that is asked for everything at once by a system that just started is measured as a laptop. Turns that fail
    here, too, are faults, but for those of the rising rates: the emulator starts a process for each call at once.
    """
    found = drive(sender, rate=2, seconds=15).errors
    for share in (0.2, 0.4, 0.6, 0.8, 1.0):
        drive(sender, rate=rate * share, seconds=4)
    return [f"while warming up, {count} times {error}" for error, count in found.most_common(10)]


def faults(result: Result, *, seconds: float) -> list[str]:
    """Say what of a run is not as it should be; nothing if all is well."""
    found = [f"{count} times {error}" for error, count in result.errors.most_common(10)]
    ended = sum(result.turns.values()) + sum(result.errors.values())
    if ended != result.planned:
        found.append(f"{result.planned - ended} of {result.planned} turns have no outcome")
    if result.seconds > seconds + MOST_LATE_S:
        found.append(
            f"the last turn ended {result.seconds - seconds:.1f} s after the schedule did; the system cannot keep up"
        )
    return found


# --- memory ---------------------------------------------------------------------------------------------------------

Samples = Mapping[int, Sequence[tuple[float, float]]]


class Watch:
    """Looks at the resident memory of a process and of all its descendants, twice a second, from a thread of its own."""

    def __init__(self, pid: int) -> None:
        self.names: dict[int, str] = {}
        self.samples: dict[int, list[tuple[float, float]]] = {}
        self._pid = pid
        self._start = time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(0.5):
            at = time.monotonic() - self._start
            for pid, (name, megabytes) in family(self._pid, processes()).items():
                self.names[pid] = name
                self.samples.setdefault(pid, []).append((at, megabytes))


def processes() -> dict[int, tuple[int, float, str]]:
    """List all processes: parent, resident MB, command line."""
    if Path("/proc/self/stat").exists():  # Linux, where `ps` may not be installed
        return dict(filter(None, map(_process, Path("/proc").glob("[0-9]*"))))
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,rss=,args="], capture_output=True, text=True, check=True
    ).stdout
    table = {}
    for line in listed.splitlines():
        pid, parent, kilobytes, command = line.split(None, 3)
        table[int(pid)] = (int(parent), int(kilobytes) / 1024, command)
    return table


def _process(folder: Path) -> tuple[int, tuple[int, float, str]] | None:
    """Read one process from /proc (proc(5)); None if it has just ended, or has no program."""
    try:
        parent = int(folder.joinpath("stat").read_bytes().rpartition(b")")[2].split()[1])
        pages = int(folder.joinpath("statm").read_bytes().split()[1])
        words = folder.joinpath("cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except (OSError, IndexError):
        return None
    command = b" ".join(words).decode(errors="replace")
    return (int(folder.name), (parent, pages * os.sysconf("SC_PAGE_SIZE") / 2**20, command)) if command else None


def family(root: int, table: Mapping[int, tuple[int, float, str]]) -> dict[int, tuple[str, float]]:
    """Return a process and its descendants: short name and resident MB."""
    pids = {root}
    while more := {pid for pid, (parent, _, _) in table.items() if parent in pids} - pids:
        pids |= more
    return {pid: (short(table[pid][2]), table[pid][1]) for pid in sorted(pids) if pid in table}


def short(command: str) -> str:
    """Name a process by its program's own words, less the interpreter, its options, and folders.

    >>> short("/x/.venv/bin/python -I -S /x/local/guard.py 5 /x/python -m cognito_edge_local.lambda_runtime.child a b c")
    'guard.py cognito_edge_local.lambda_runtime.child'
    >>> short("/x/python -m local --port 0")
    'local'
    """
    words = command.split()
    names = [Path(word).name for word in words if word.endswith(".py")]
    names += [words[at + 1] for at, word in enumerate(words[:-1]) if word == "-m"]
    return " ".join(names) or Path(words[0]).name


def growth(samples: Sequence[tuple[float, float]], seconds: float) -> tuple[float, float] | None:
    """Return the median MB of the second fifth of a run and of its last fifth; None for what did not live in both."""
    early = [megabytes for at, megabytes in samples if 0.2 * seconds <= at < 0.4 * seconds]
    late = [megabytes for at, megabytes in samples if 0.8 * seconds <= at < seconds]
    return (statistics.median(early), statistics.median(late)) if early and late else None


def growth_faults(samples: Samples, names: Mapping[int, str], seconds: float) -> list[str]:
    """Say which processes grew, and whether they pile up.

    A process may hold 10 % and 8 MB more in the last fifth of a run than it did in the second. The first fifth is for warming
    up: pools, caches and the emulator's workers fill then. The rest is for the allocator, which gives little back, and
    for what the emulator keeps of each call: it holds CloudWatch's logs in memory, and grew by 3 to 4 KB a request when this
    was written, 13 MB here. (Five times as long a run would therefore find it guilty.) A leak of one 64 KB body in ten
    requests would be 20 MB. Workers come and go with the calls at once, and so do their numbers; those of one name
    are judged by their mean as well, and all together may not be more than the calls at once explain.
    """
    found = []
    means: dict[str, dict[float, list[float]]] = {}
    counts: Counter[float] = Counter()
    for pid, taken in samples.items():
        if (pair := growth(taken, seconds)) and _grew(pair):
            found.append(f"{names[pid]} ({pid}) grew from {pair[0]:.1f} to {pair[1]:.1f} MB")
        for at, megabytes in taken:
            means.setdefault(names[pid], {}).setdefault(at, []).append(megabytes)
            counts[at] += 1
    for name, by_time in means.items():
        pair = growth([(at, statistics.fmean(values)) for at, values in sorted(by_time.items())], seconds)
        if pair and _grew(pair):
            found.append(f"{name}: its processes grew from {pair[0]:.1f} to {pair[1]:.1f} MB on average")
    if not counts:
        found.append("nobody looked at the memory")
    elif (most := max(counts.values())) > _MOST_PROCESSES:
        found.append(f"there were {most} processes at once; expected {_MOST_PROCESSES} at most")
    return found


def _grew(pair: tuple[float, float]) -> bool:
    return pair[1] > pair[0] * (1 + GROWTH_SHARE) + GROWTH_MB


# --- the system -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def local_system() -> Iterator[Path]:
    """Start a local system on free ports; its state folder, which goes with it."""
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        state = Path(folder) / "state"
        free = [part for option in ("", "login-", "emulator-", "function-url-") for part in (f"--{option}port", "0")]
        with (Path(folder) / "launcher.log").open("w+b") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "local", *free, "--state-dir", str(state)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                give_up = time.monotonic() + _START_LIMIT_S
                while not (state / "outputs.json").is_file():
                    if process.poll() is not None or time.monotonic() > give_up:
                        log.seek(0)
                        raise RuntimeError(f"the local system did not start:\n{log.read().decode(errors='replace')}")
                    time.sleep(0.05)
                yield state
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                try:
                    process.wait(_STOP_LIMIT_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def sign_in_with(outputs: Mapping[str, Any]) -> Callable[[], str]:
    """Return what signs the demo user in, each time for a new ID token."""
    cognito = boto3.client(
        "cognito-idp",
        endpoint_url=outputs["aws_endpoint_url"],
        region_name=outputs["region"],
        config=Config(signature_version=UNSIGNED, max_pool_connections=WORKERS),
    )

    def sign_in() -> str:
        answer = cognito.initiate_auth(
            ClientId=outputs["client_id"],
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": outputs["username"], "PASSWORD": outputs["password"]},
        )
        return str(answer["AuthenticationResult"]["IdToken"])

    return sign_in


def run(state: Path, *, rate: float, seconds: float) -> int:
    """Put the load on a running system, print the figures, and return the exit code."""
    outputs = json.loads((state / "outputs.json").read_bytes())
    pid = json.loads((state / "lock").read_bytes())["pid"]
    sender = Sender(outputs["gateway_url"], sign_in_with(outputs), books="books" in outputs["function_urls"])
    print(
        f"load: {rate:g} requests a second for {seconds:g} s on {outputs['gateway_url']}", file=sys.stderr, flush=True
    )
    with contextlib.closing(sender):
        found = warm_up(sender, rate=rate)
        before = sender.requests
        with Watch(pid) as watch:
            result = drive(sender, rate=rate, seconds=seconds)
            requests = sender.requests - before
        found += faults(result, seconds=seconds)
        found += sender.lost_books()
    found += growth_faults(watch.samples, watch.names, seconds)
    print(*figures(result, watch, requests, seconds), sep="\n")
    print(*(f"FAULT: {fault}\n" for fault in found), sep="", end="")
    print("load: not as it should be" if found else "load: no error, nothing lost, nothing grew")
    return 1 if found else 0


def figures(result: Result, watch: Watch, requests: int, seconds: float) -> list[str]:
    """Return what to print about a run."""
    cuts = statistics.quantiles(result.latencies, n=100) if len(result.latencies) > 1 else [0.0] * 99
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in result.turns.most_common())
    most, late = max(result.latencies), result.late_s
    shown = [
        f"{name} {value * 1000:.0f}" for name, value in {"median": cuts[49], "p90": cuts[89], "p99": cuts[98]}.items()
    ]
    lines = [
        f"{sum(result.turns.values()):,} turns ({kinds}): {requests:,} requests, {requests / seconds:.1f} a second for {seconds:g} s",
        f"ms from when a turn was due to its end: {', '.join(shown)}, most {most * 1000:.0f}; begun {late * 1000:.0f} late at most",
        "resident MB of one process in the second and in the last fifth of the run, the one that grew most of each name:",
    ]
    by_name: dict[str, list[tuple[float, float]]] = {}
    for pid, taken in watch.samples.items():
        if pair := growth(taken, seconds):
            by_name.setdefault(watch.names[pid], []).append(pair)
    for name, pairs in by_name.items():
        early, end = max(pairs, key=lambda pair: pair[1] - pair[0])
        lines.append(f"  {early:7.1f} {end:7.1f}  {len(pairs):3} x {name}")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Run the load, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m benchmarks.load --seconds 10 --state-dir .local",
    )
    parser.add_argument("--rate", type=float, default=RATE, help="requests a second (default: %(default)g)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for how long (default: %(default)g)")
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="a running system's; default: start one")
    options = parser.parse_args(argv)
    if options.rate <= 0 or options.seconds < 2:
        parser.error("--rate has to be above 0, --seconds 2 at least: memory is compared between fifths of the run")
    if options.state_dir is not None:
        if not (options.state_dir / "outputs.json").is_file():
            parser.error(f"{options.state_dir} has no outputs.json: no system runs there; start it with: make run")
        return run(options.state_dir, rate=options.rate, seconds=options.seconds)
    with local_system() as state:
        return run(state, rate=options.rate, seconds=options.seconds)


if __name__ == "__main__":
    sys.exit(main())
