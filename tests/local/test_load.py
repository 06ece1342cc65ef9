"""benchmarks/load.py: that it finds what it is there to find, on a stand-in for the system that can be told to fail."""

import base64
import contextlib
import hashlib
import itertools
import json
import os
import subprocess
import sys
import threading
import urllib.parse
import uuid
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks import load
from tests.support.fakes import wait_until

RATE = 300
SECONDS = 0.5


class StandIn:
    """Answers as the gateway and the functions behind it do, but for one thing, which `fault` names."""

    def __init__(self, fault=""):
        self.books = {}
        stand_in, numbers = self, itertools.count(1)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def _answer(self, status, document=None):
                body = b"" if document is None else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _any(self):
                sent = self.rfile.read(int(self.headers.get("content-length", 0)))
                parts = urllib.parse.urlsplit(self.path)
                token = (self.headers.get("authorization") or "").removeprefix("Bearer ")
                if fault == "drops" and next(numbers) % 20 == 0:
                    self.close_connection = True
                elif fault == "refuses" and next(numbers) % 20 == 0:
                    self._answer(503, {"code": "keys_unavailable"})
                elif not token:
                    self._answer(401, {"code": "missing_token"})
                elif parts.path == "/api/whoami":
                    sub = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["sub"]
                    self._answer(200, {"sub": "somebody else" if fault == "mixes up users" else sub})
                elif parts.path.startswith("/api/echo"):
                    self._answer(200, stand_in.echo(sent, parts.query, fault))
                else:
                    self._answer(*stand_in.book(self.command, parts, sent, fault))

            def do_GET(self):
                self._any()

            def do_POST(self):
                self._any()

            def do_DELETE(self):
                self._any()

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def echo(self, sent, query, fault):
        received = sent[:-1] if fault == "cuts bodies" else sent
        pairs = [list(pair) for pair in urllib.parse.parse_qsl(query, keep_blank_values=fault != "drops empty values")]
        body = base64.b64encode(received).decode()
        return {
            "body": body,
            "body_encoding": "base64",
            "body_sha256": hashlib.sha256(received).hexdigest(),
            "query": pairs,
        }

    def book(self, method, parts, sent, fault):
        book_id = parts.path.rpartition("/")[2]
        if method == "POST":
            book_id = uuid.uuid4().hex
            self.books[book_id] = {**json.loads(sent), "id": book_id}
            return 201, self.books[book_id]
        if method == "DELETE":
            del self.books[book_id]
            return 204, None
        if book_id != "books":
            return 200, self.books[book_id]
        # Pages of three, so that there are several.
        ids = sorted(self.books)[1 if fault == "loses a book" else 0 :]
        start = int(dict(urllib.parse.parse_qsl(parts.query)).get("cursor", 0))
        following = start + (2 if fault == "shows a book twice" else 3)
        return 200, {
            "books": [self.books[one] for one in ids[start : start + 3]],
            "next": str(following) if following < len(ids) else None,
        }

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def sign_in():
    """A token that no signature protects: the stand-in believes everything."""
    claims = json.dumps({"sub": "jane", "jti": uuid.uuid4().hex}).encode()
    return f"h.{base64.urlsafe_b64encode(claims).rstrip(b'=').decode()}.s"


def loaded(fault="", *, books=True):
    """Put half a second of load on a stand-in; the result, the faults found, and the sender."""
    with contextlib.closing(StandIn(fault)) as stand_in:
        sender = load.Sender(stand_in.url, sign_in, books=books)
        with contextlib.closing(sender):
            result = load.drive(sender, rate=RATE, seconds=SECONDS)
            return result, load.faults(result, seconds=SECONDS) + sender.lost_books(), sender


class TestLoad:
    def test_a_system_without_a_fault_is_found_to_have_none(self):
        """Every kind of turn was taken, at the rate that was asked for."""
        result, found, sender = loaded()
        assert found == []
        assert set(result.turns) == set(load.MIX)
        assert sum(result.turns.values()) == result.planned == len(result.latencies)
        assert abs(sender.requests - RATE * SECONDS) < 40
        assert sender.kept_books

    def test_without_books_there_are_none(self):
        """On systems that have no such function."""
        result, found, _ = loaded(books=False)
        assert found == []
        assert set(result.turns) == set(load.MIX) - {"book"}

    @pytest.mark.parametrize(
        ("fault", "says"),
        [
            ("drops", "no answer"),
            ("refuses", "expected 200, not 503"),
            ("mixes up users", "sub: expected 'jane', not 'somebody else'"),
            ("cuts bodies", "body_sha256: expected"),
            ("drops empty values", "query: expected"),
            ("loses a book", "is there 0 times"),
            ("shows a book twice", "is there 2 times"),
        ],
    )
    def test_a_fault_is_found_and_named(self, fault, says):
        """One in twenty is enough, and so is one at all."""
        _, found, _ = loaded(fault)
        assert [text for text in found if says in text], found


class TestSchedule:
    def test_a_turn_that_never_ended_is_a_fault(self):
        """Nothing lost."""
        result = load.Result(Counter({"json": 98}), [0.1], Counter(), 10, 0, planned=100)
        assert load.faults(result, seconds=10) == ["2 of 100 turns have no outcome"]

    @pytest.mark.parametrize(("ended_s", "count"), [(20.0, 0), (20.1, 1)])
    def test_ten_seconds_are_granted_to_the_last_turn(self, ended_s, count):
        """Both sides of the boundary."""
        result = load.Result(Counter({"json": 100}), [0.1], Counter(), ended_s, 0, planned=100)
        assert len(load.faults(result, seconds=10)) == count


def course(early, late):
    """Samples of a process over 100 s: *early* MB until 60 s, *late* MB afterwards."""
    return [(float(at), early if at < 60 else late) for at in range(100)]


class TestMemory:
    @pytest.mark.parametrize(("late", "grew"), [(118.0, False), (118.1, True)])
    def test_a_process_may_grow_by_ten_percent_and_eight_megabytes(self, late, grew):
        """100 MB may become 118."""
        found = load.growth_faults({1: course(100.0, late)}, {1: "edge"}, 100)
        assert bool(found) is grew
        assert not found or "edge (1) grew from 100.0 to 118.1 MB" in found[0]

    def test_what_happens_while_it_warms_up_is_no_growth(self):
        """The first fifth."""
        samples = [(float(at), 10.0 if at < 20 else 100.0) for at in range(100)]
        assert load.growth_faults({1: samples}, {1: "edge"}, 100) == []

    def test_workers_that_come_and_go_are_judged_by_their_mean(self):
        """None of them lives long enough to be compared with itself."""
        samples = {pid: [(float(at), 30.0 + pid) for at in range(pid * 10, pid * 10 + 10)] for pid in range(10)}
        names = dict.fromkeys(samples, "worker")
        assert load.growth_faults(samples, names, 100) == []
        grown = {pid: [(at, megabytes + 5 * pid) for at, megabytes in taken] for pid, taken in samples.items()}
        assert load.growth_faults(grown, names, 100) == ["worker: its processes grew from 45.0 to 81.0 MB on average"]

    def test_processes_that_pile_up_are_a_fault(self):
        """However small each is."""
        samples = {pid: [(1.0, 1.0)] for pid in range(load._MOST_PROCESSES + 1)}
        assert "there were 151 processes at once" in load.growth_faults(samples, dict.fromkeys(samples, "w"), 100)[0]

    def test_no_samples_are_a_fault(self):
        """Nobody looked is not nothing grew."""
        assert load.growth_faults({}, {}, 100) == ["nobody looked at the memory"]

    def test_it_watches_a_process_and_its_children(self):
        """This one, and one that it starts."""
        waits = "import sys; sys.stdin.read()"
        child = subprocess.Popen([sys.executable, "-c", waits], stdin=subprocess.PIPE)
        try:
            with load.Watch(os.getpid()) as watch:
                assert wait_until(lambda: child.pid in watch.samples, seconds=20)
        finally:
            child.communicate()
        for pid in (os.getpid(), child.pid):
            assert watch.samples[pid]
            assert all(1 < megabytes < 10_000 for _, megabytes in watch.samples[pid])

    @pytest.mark.parametrize(
        ("command", "name"),
        [
            ("/x/python -m local --port 0", "local"),
            ("/x/python -I -S /x/local/guard.py 5 /y/python /z/program.py", "guard.py program.py"),
            ("/usr/lib/node", "node"),
        ],
        ids=["module", "guard", "program"],
    )
    def test_processes_have_short_names(self, command, name):
        """What is run, and not by what."""
        assert load.short(command) == name


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--seconds", "1"], "--seconds 2 at least"),
        (["--rate", "0"], "--rate has to be above 0"),
        (["--state-dir", "nowhere"], "no system runs there; start it with: make run"),
    ],
    ids=["too-short", "no-rate", "no-system"],
)
def test_wrong_options_are_refused(arguments, says, capsys):
    """Before anything is started."""
    with pytest.raises(SystemExit) as ended:
        load.main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err
