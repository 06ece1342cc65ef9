"""``make load``: 50 requests a second for two minutes on a running local system: no error, nothing lost, nothing grows.

It starts a local system of its own on free ports (or takes a running one: ``--state-dir DIR``) and sends turns on a fixed
schedule, whether earlier ones are answered or not. It compares every answer with what was sent, counts the books at the end,
and watches the memory of every process meanwhile. The exit code is 0 only if it found no fault.
"""

import argparse
import base64
import contextlib
import hashlib
import json
import math
import os
import random
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
from typing import Any, NamedTuple

import urllib3

from tests.support import running_system

WORKERS = 32  # the local system invokes as many functions at once
REQUEST_LIMIT_S = 30.0
MOST_LATE_S = 10.0  # the last turn may end this long after the schedule
MOST_PROCESSES = 150  # the system's own dozen, and for each call at once a worker, or the one before it about to end
GROWTH_SHARE, GROWTH_MB = 0.10, 8.0
# Turns in a hundred, and requests of those that have several: a book is made, read and, but for every tenth, deleted.
MIX = {"seen token": 30, "new token": 10, "json": 25, "64 KB": 10, "query": 10, "no token": 5, "book": 10}
REQUESTS = {"book": 2.9}


class WrongAnswerError(Exception):
    """An answer is not what was asked for; the message says what was expected and what came."""


class Sender:
    """Sends turns and checks the answers."""

    def __init__(self, url: str, sign_in: Callable[[], str], *, books: bool) -> None:
        """Sign in once.

        Args:
            url: The gateway's, http.
            sign_in: Returns a new ID token.
            books: Whether the system has ``/api/books``.
        """
        self._pool = urllib3.connection_from_url(url, maxsize=WORKERS, timeout=REQUEST_LIMIT_S, retries=False)
        self._sign_in = sign_in
        self.token = sign_in()
        self.mix = {kind: share for kind, share in MIX.items() if books or kind != "book"}
        self.kept_books: list[str] = []
        self.close = self._pool.close

    def turn(self, number: int) -> str:
        """Take a turn, and return its kind. The number decides everything about it."""
        chance = random.Random(number)
        kind = chance.choices(list(self.mix), list(self.mix.values()))[0]
        match kind:
            case "seen token":
                self._whoami(self.token)
            case "new token":
                self._whoami(self._sign_in())
            case "json":
                self._echo(json.dumps({"number": number, "text": "ü" * 500}).encode(), "application/json")
            case "64 KB":
                self._echo(chance.randbytes(64 * 1024), "application/octet-stream")
            case "query":
                pairs = [("n", str(number)), ("q", "a b+c&d=é/~*'"), ("q", ""), (f"k[{number % 7}]", "1")]
                answer = self._call("GET", "/api/echo/a,b;c?" + urllib.parse.urlencode(pairs))
                _same("query", answer["query"], [list(pair) for pair in pairs])
            case "no token":
                _same("code", self._call("GET", "/api/whoami", token="", expect=401)["code"], "missing_token")
            case "book":
                self._book(number)
        return kind

    def _whoami(self, token: str) -> None:
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        _same("sub", self._call("GET", "/api/whoami", token=token)["sub"], claims["sub"])

    def _echo(self, sent: bytes, content_type: str) -> None:
        answer = self._call("POST", "/api/echo", body=sent, content_type=content_type)
        _same("body_sha256", answer["body_sha256"], hashlib.sha256(sent).hexdigest())
        echoed = answer["body"].encode() if answer["body_encoding"] == "text" else base64.b64decode(answer["body"])
        _same("body", hashlib.sha256(echoed).hexdigest(), answer["body_sha256"])

    def _book(self, number: int) -> None:
        book = {"title": f"Book {number}", "author": "Ä. Nonymous", "year": 2000 + number % 26, "notes": "n" * 200}
        book_id = self._call("POST", "/api/books", body=json.dumps(book).encode(), expect=201)["id"]
        read = self._call("GET", f"/api/books/{book_id}")
        _same("book", {key: read[key] for key in book}, book)
        if number % 10 == 0:
            self.kept_books.append(book_id)
        else:
            self._call("DELETE", f"/api/books/{book_id}", expect=204)

    def lost_books(self) -> list[str]:
        """Read all pages, and say which of the books that were kept are not there exactly once."""
        seen: Counter[str] = Counter()
        target: str | None = "/api/books?limit=100"
        try:
            while "book" in self.mix and target:
                page = self._call("GET", target)
                seen.update(book["id"] for book in page["books"])
                target = page["next"] and "/api/books?" + urllib.parse.urlencode({"limit": 100, "cursor": page["next"]})
        except WrongAnswerError as error:
            return [f"the books cannot be counted: {error}"]
        return [f"book {book_id} is there {seen[book_id]} times" for book_id in self.kept_books if seen[book_id] != 1]

    def _call(
        self,
        method: str,
        target: str,
        *,
        token: str | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        expect: int = 200,
    ) -> Any:
        """Return the answer's JSON; *token* is the sender's own unless said, and "" sends none."""
        token = self.token if token is None else token
        headers = {"content-type": content_type, **({"authorization": f"Bearer {token}"} if token else {})}
        what = f"{method} {target.partition('?')[0]}"
        try:
            answer = self._pool.urlopen(method, target, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise WrongAnswerError(f"{what}: no answer: {type(error).__name__}") from error
        if answer.status != expect:
            raise WrongAnswerError(f"{what}: expected {expect}, not {answer.status}: {answer.data[:150]!r}")
        return json.loads(answer.data) if answer.data else None


def _same(what: str, came: object, expected: object) -> None:
    if came != expected:
        raise WrongAnswerError(f"{what}: expected {expected!r}, not {came!r}"[:500])


class Turn(NamedTuple):
    """What came of a turn: its kind if it ended well, else the error. Times are in seconds.

    Attributes:
        late_s: How long after it was due it began. A schedule that cannot be kept shows here.
        latency_s: From when it was due to its end.
        ended_s: Its end, from the start of the schedule.
    """

    kind: str
    error: str
    late_s: float
    latency_s: float
    ended_s: float


def drive(sender: Sender, *, rate: float, seconds: float) -> list[Turn]:
    """Take turns for *seconds*, on a schedule of *rate* requests a second that waits for no answer."""
    requests = sum(share * REQUESTS.get(kind, 1) for kind, share in sender.mix.items())
    # One in a hundred more: chance decides the mix, and it shall not be less than was asked for.
    count = math.ceil(1.01 * rate * seconds * sum(sender.mix.values()) / requests)
    start = time.monotonic()

    def take(number: int, due: float) -> Turn:
        late_s = time.monotonic() - due
        kind = error = ""
        try:
            kind = sender.turn(number)
        except Exception as problem:  # noqa: BLE001  whatever happened is an answer that did not come
            error = f"{type(problem).__name__}: {problem}"
        end = time.monotonic()
        return Turn(kind, error, late_s, end - due, end - start)

    turns = []
    with ThreadPoolExecutor(WORKERS) as pool:
        for number in range(count):
            due = start + seconds * number / count
            time.sleep(max(0.0, due - time.monotonic()))
            turns.append(pool.submit(take, number, due))
    return [turn.result() for turn in turns]


def faults(turns: Sequence[Turn], *, seconds: float) -> list[str]:
    """Say what of a run is not as it should be; nothing if all is well."""
    errors = Counter(turn.error for turn in turns if turn.error)
    found = [f"{count} times {error}" for error, count in errors.most_common(10)]
    late_s = max(turn.ended_s for turn in turns) - seconds
    if late_s > MOST_LATE_S:
        found.append(f"the last turn ended {late_s:.1f} s after the schedule did; the system cannot keep up")
    return found


# Seconds since the start, and by process id: name and resident MB.
Snapshot = tuple[float, Mapping[int, tuple[str, float]]]


@contextlib.contextmanager
def watching(pid: int) -> Iterator[list[Snapshot]]:
    """Look at the memory of a process and of all its descendants, twice a second, from a thread of its own."""
    snapshots: list[Snapshot] = []
    start, end = time.monotonic(), threading.Event()

    def look() -> None:
        while not end.wait(0.5):
            snapshots.append((time.monotonic() - start, family(pid, processes())))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield snapshots
    finally:
        end.set()
        thread.join()


def processes() -> dict[int, tuple[int, float, str]]:
    """List all processes: parent, resident MB, command line."""
    table = {}
    if sys.platform != "linux":
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,rss=,args="], capture_output=True, text=True, check=True)
        for pid, parent, kilobytes, command in (line.split(None, 3) for line in listed.stdout.splitlines()):
            table[int(pid)] = (int(parent), int(kilobytes) / 1024, command)
        return table
    for folder in Path("/proc").glob("[0-9]*"):  # proc(5); ``ps`` may not be installed
        with contextlib.suppress(OSError, IndexError):  # it has just ended
            parent = (folder / "stat").read_bytes().rpartition(b")")[2].split()[1]
            pages = int((folder / "statm").read_bytes().split()[1])
            if command := (folder / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace"):
                table[int(folder.name)] = (int(parent), pages * os.sysconf("SC_PAGE_SIZE") / 2**20, command)
    return table


def family(root: int, table: Mapping[int, tuple[int, float, str]]) -> dict[int, tuple[str, float]]:
    """Return a process and its descendants: short name and resident MB."""
    pids = {root}
    while more := {pid for pid, (parent, _, _) in table.items() if parent in pids} - pids:
        pids |= more
    return {pid: (short(table[pid][2]), table[pid][1]) for pid in pids if pid in table}


def short(command: str) -> str:
    """Name a process by its program's own words, less the interpreter, its options, and folders."""
    words = command.split()
    names = [Path(word).name for word in words if word.endswith(".py")]
    names += [words[at + 1] for at, word in enumerate(words[:-1]) if word == "-m"]
    return " ".join(names) or Path(words[0]).name


def growth(snapshots: Sequence[Snapshot], seconds: float) -> dict[str, tuple[float, float]]:
    """Return the MB of each series that has both, in the second fifth of a run and in its last fifth: medians."""
    early: dict[str, list[float]] = {}
    late: dict[str, list[float]] = {}
    for at, found in snapshots:
        fifth = early if 0.2 * seconds <= at < 0.4 * seconds else late if 0.8 * seconds <= at < seconds else {}
        for name, megabytes in series(found):
            fifth.setdefault(name, []).append(megabytes)
    return {
        name: (statistics.median(early[name]), statistics.median(late[name])) for name in sorted(early.keys() & late)
    }


def series(found: Mapping[int, tuple[str, float]]) -> Iterator[tuple[str, float]]:
    """Yield of each name the mean of its processes, in MB, and where there are several also each, as "name (pid)"."""
    for name in {name for name, _ in found.values()}:
        sizes = {pid: megabytes for pid, (other, megabytes) in found.items() if other == name}
        yield name, statistics.fmean(sizes.values())
        if len(sizes) > 1:
            yield from ((f"{name} ({pid})", megabytes) for pid, megabytes in sizes.items())


def growth_faults(snapshots: Sequence[Snapshot], seconds: float) -> list[str]:
    """Say which processes grew, and whether they pile up.

    Each process that lives in both fifths is judged. Workers come and go with the calls, so the mean of those of one name
    is judged too. Either may be 10 % and 8 MB more in the last fifth of a run than in the second; the first is for warming
    up. The rest is for the allocator, which gives little back, and for the emulator, which holds CloudWatch's logs in
    memory: 3 to 4 KB a request, 13 MB in two minutes. A leak of one 64 KB body in ten requests would be 20 MB.
    """
    if not snapshots:
        return ["there is no sample of the memory"]
    found = [
        f"{name} grew from {early:.1f} to {late:.1f} MB"
        for name, (early, late) in growth(snapshots, seconds).items()
        if late > early * (1 + GROWTH_SHARE) + GROWTH_MB
    ]
    if (most := max(len(table) for _, table in snapshots)) > MOST_PROCESSES:
        found.append(f"there were {most} processes at once; expected {MOST_PROCESSES} at most")
    return found


def sign_in_with(outputs: Mapping[str, Any]) -> Callable[[], str]:
    """Return what signs the demo user in, each time for a new ID token."""
    pool = urllib3.PoolManager(maxsize=WORKERS, timeout=REQUEST_LIMIT_S)
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": "AWSCognitoIdentityProviderService.InitiateAuth",
    }
    password = {"USERNAME": outputs["username"], "PASSWORD": outputs["password"]}
    call = {"ClientId": outputs["client_id"], "AuthFlow": "USER_PASSWORD_AUTH", "AuthParameters": password}

    def sign_in() -> str:
        answer = pool.request("POST", outputs["aws_endpoint_url"], body=json.dumps(call), headers=headers)
        if answer.status != 200:
            raise WrongAnswerError(f"sign-in: expected 200, not {answer.status}: {answer.data[:150]!r}")
        return str(answer.json()["AuthenticationResult"]["IdToken"])

    return sign_in


def run(state: Path, rate: float, seconds: float) -> int:
    """Put the load on a running system, print the figures, and return the exit code."""
    outputs = json.loads((state / "outputs.json").read_bytes())
    pid = json.loads((state / "lock").read_bytes())["pid"]
    print(f"load: {rate:g} requests a second for {seconds:g} s on {outputs['gateway_url']}", file=sys.stderr)
    books = "books" in outputs["function_urls"]
    with contextlib.closing(Sender(outputs["gateway_url"], sign_in_with(outputs), books=books)) as sender:
        # Caches fill and the emulator's workers start. Errors count, but for those of the rising rates, where the emulator
        # starts a process for each call at once.
        found = [f"while warming up, {fault}" for fault in faults(drive(sender, rate=2, seconds=15), seconds=15)]
        for share in (0.2, 0.4, 0.6, 0.8, 1.0):
            drive(sender, rate=rate * share, seconds=4)
        with watching(pid) as snapshots:
            turns = drive(sender, rate=rate, seconds=seconds)
        found += faults(turns, seconds=seconds) + sender.lost_books() + growth_faults(snapshots, seconds)
    kinds = Counter(turn.kind for turn in turns if turn.kind)
    sent = sum(count * REQUESTS.get(kind, 1) for kind, count in kinds.items()) / seconds
    counts = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    cuts = [1000 * cut for cut in statistics.quantiles((turn.latency_s for turn in turns), n=100)]
    late = 1000 * max(turn.late_s for turn in turns)
    print(f"{sent:.1f} requests a second for {seconds:g} s in {kinds.total():,} turns: {counts}")
    print(
        f"ms from when a turn was due to its end: median {cuts[49]:.0f}, p90 {cuts[89]:.0f}, p99 {cuts[98]:.0f}", end=""
    )
    print(f"; begun {late:.0f} late at most\nresident MB of a process in the second and in the last fifth of the run:")
    for name, pair in growth(snapshots, seconds).items():
        print("  {:7.1f} {:7.1f}".format(*pair), f" {name}")
    print(*(f"FAULT: {fault}\n" for fault in found), sep="", end="")
    print("load: not as it should be" if found else "load: no error, nothing lost, nothing grew")
    return 1 if found else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the load, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second (default: %(default)g)")
    parser.add_argument("--seconds", type=float, default=120.0, help="for how long (default: %(default)g)")
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="a running system's; default: start one")
    options = parser.parse_args(argv)
    if options.rate <= 0 or options.seconds < 2:
        parser.error("--rate has to be above 0, --seconds 2 at least: memory is compared between fifths of the run")
    if options.state_dir is not None:
        if not (options.state_dir / "outputs.json").is_file():
            parser.error(f"{options.state_dir} has no outputs.json: no system runs there; start it with: make run")
        return run(options.state_dir, options.rate, options.seconds)
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        try:
            with running_system.running(Path(folder)) as system:
                return run(system.state_dir, options.rate, options.seconds)
        finally:
            running_system.wait_for_the_ended()


if __name__ == "__main__":
    sys.exit(main())
