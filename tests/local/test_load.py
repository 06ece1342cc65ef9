"""benchmarks/load.py: that it finds what it is there to find, on a stand-in for the system that can be told to fail."""

import base64
import contextlib
import hashlib
import itertools
import json
import os
import subprocess
import sys
import urllib.parse
import uuid
from collections import Counter

import pytest

from benchmarks import load
from tests.support.http_fake import Answer, HttpFake, json_answer
from tests.support.waiting import wait_until

RATE = 300
SECONDS = 0.5


class StandIn(HttpFake):
    """Answers as the gateway and the functions behind it do, but for one thing, which ``fault`` names."""

    def __init__(self, fault=""):
        self.books = {}
        self.fault = fault
        self.received = []
        self._numbers = itertools.count(1)
        super().__init__(self._answer)

    def _answer(self, asked):
        self.received.append(asked)
        if self.fault in ("drops", "refuses") and next(self._numbers) % 20 == 0:
            return None if self.fault == "drops" else json_answer({"code": "keys_unavailable"}, 503)
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        if not token:
            return json_answer({"code": "missing_token"}, 401)
        if asked.path == "/api/whoami":
            sub = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["sub"]
            return json_answer({"sub": "someone else" if self.fault == "mixes up users" else sub})
        return self._echo(asked) if asked.path.startswith("/api/echo") else self._book(asked)

    def _echo(self, asked):
        received = asked.body[:-1] if self.fault == "cuts bodies" else asked.body
        query = asked.target.partition("?")[2]
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=self.fault != "drops empty values")
        return json_answer(
            {
                "body": base64.b64encode(received).decode(),
                "body_encoding": "base64",
                "body_sha256": hashlib.sha256(received).hexdigest(),
                "query": pairs,
            }
        )

    def _book(self, asked):
        book_id = asked.path.rpartition("/")[2]
        if asked.method == "POST":
            book_id = uuid.uuid4().hex
            self.books[book_id] = {**json.loads(asked.body), "id": book_id}
            return json_answer(self.books[book_id], 201)
        if asked.method == "DELETE":
            del self.books[book_id]
            return Answer(204)
        if book_id != "books":
            return json_answer(self.books[book_id])
        # Pages of three, so that there are several.
        ids = sorted(self.books)[1 if self.fault == "loses a book" else 0 :]
        start = int(asked.query.get("cursor", 0))
        following = start + (2 if self.fault == "shows a book twice" else 3)
        return json_answer(
            {
                "books": [self.books[one] for one in ids[start : start + 3]],
                "next": str(following) if following < len(ids) else None,
            }
        )


def sign_in():
    """A token without a signature: the stand-in believes everything."""
    claims = json.dumps({"sub": "jane", "jti": uuid.uuid4().hex}).encode()
    return f"h.{base64.urlsafe_b64encode(claims).rstrip(b'=').decode()}.s"


def loaded(fault="", *, books=True):
    """Put half a second of load on a stand-in; the turns, the faults found, the sender, and what the stand-in received."""
    with StandIn(fault) as stand_in, contextlib.closing(load.Sender(stand_in.url, sign_in, books=books)) as sender:
        turns = load.drive(sender, rate=RATE, seconds=SECONDS)
        received = list(stand_in.received)
        return turns, load.faults(turns, seconds=SECONDS) + sender.lost_books(), sender, received


class TestLoad:
    def test_a_system_without_a_fault_is_found_to_have_none(self):
        """Every kind of turn was taken, at the rate that was asked for, and every turn has an outcome."""
        turns, found, sender, received = loaded()
        kinds = Counter(turn.kind for turn in turns)
        assert found == []
        assert set(kinds) == set(load.MIX)
        assert abs(len(received) - RATE * SECONDS) < 40
        assert sender.kept_books

    def test_without_books_there_are_none(self):
        """On systems that have no such function."""
        turns, found, *_ = loaded(books=False)
        assert found == []
        assert {turn.kind for turn in turns} == set(load.MIX) - {"book"}

    @pytest.mark.parametrize(
        ("fault", "says"),
        [
            ("drops", "no answer"),
            ("refuses", "expected 200, not 503"),
            ("mixes up users", "sub: expected 'jane', not 'someone else'"),
            ("cuts bodies", "body_sha256: expected"),
            ("drops empty values", "query: expected"),
            ("loses a book", "is there 0 times"),
            ("shows a book twice", "is there 2 times"),
        ],
    )
    def test_a_fault_is_found_and_named(self, fault, says):
        """One in twenty is enough, and so is one at all."""
        _, found, *_ = loaded(fault)
        assert [text for text in found if says in text], found


@pytest.mark.parametrize(("ended_s", "count"), [(20.0, 0), (20.1, 1)])
def test_ten_seconds_are_granted_to_the_last_turn(ended_s, count):
    """Both sides of the boundary."""
    turns = [load.Turn("json", "", 0.0, 0.1, 5.0), load.Turn("json", "", 0.0, 0.1, ended_s)]
    assert len(load.faults(turns, seconds=10)) == count


def course(early, late):
    """Snapshots over 100 s of one process: *early* MB until 60 s, *late* MB afterwards."""
    return [(float(at), {1: ("edge", early if at < 60 else late)}) for at in range(100)]


class TestMemory:
    @pytest.mark.parametrize(
        ("late", "found"),
        [(118.0, []), (118.1, ["edge grew from 100.0 to 118.1 MB"])],
    )
    def test_a_process_may_grow_by_ten_percent_and_eight_megabytes(self, late, found):
        """100 MB may become 118."""
        assert load.growth_faults(course(100.0, late), 100) == found

    def test_what_happens_while_it_warms_up_is_no_growth(self):
        """The first fifth."""
        snapshots = [(float(at), {1: ("edge", 10.0 if at < 20 else 100.0)}) for at in range(100)]
        assert load.growth_faults(snapshots, 100) == []

    @pytest.mark.parametrize(("each", "found"), [(1, []), (6, ["worker grew from 45.0 to 81.0 MB"])])
    def test_workers_that_come_and_go_are_judged_by_their_mean(self, each, found):
        """None of them lives long enough to be compared with itself."""
        snapshots = [(float(at), {at // 10: ("worker", 30.0 + each * (at // 10))}) for at in range(100)]
        assert load.growth_faults(snapshots, 100) == found

    @pytest.mark.parametrize(
        ("late", "found"),
        [
            (64.0, ["edge (0) grew from 50.0 to 64.0 MB"]),
            (110.0, ["edge grew from 50.0 to 65.0 MB", "edge (0) grew from 50.0 to 110.0 MB"]),
        ],
        ids=["too-little-for-the-mean", "enough-for-the-mean"],
    )
    def test_one_process_of_four_that_grows_is_found(self, late, found):
        """By itself, however little it adds to the mean."""
        table = dict.fromkeys(range(4), ("edge", 50.0))
        snapshots = [(float(at), {**table, 0: ("edge", 50.0 if at < 60 else late)}) for at in range(100)]
        assert load.growth_faults(snapshots, 100) == found

    def test_processes_that_pile_up_are_a_fault(self):
        """However small each is."""
        table = dict.fromkeys(range(load.MOST_PROCESSES + 1), ("w", 1.0))
        assert "there were 151 processes at once" in load.growth_faults([(1.0, table)], 100)[0]

    def test_no_samples_are_a_fault(self):
        """Without them a growth would not be seen."""
        assert load.growth_faults([], 100) == ["there is no sample of the memory"]

    def test_it_watches_a_process_and_its_children(self):
        """This one, and one that it starts."""
        waits = "import sys; sys.stdin.read()"
        child = subprocess.Popen([sys.executable, "-c", waits], stdin=subprocess.PIPE)
        try:
            with load.watching(os.getpid()) as snapshots:
                assert wait_until(lambda: any(child.pid in table for _, table in snapshots), seconds=20)
        finally:
            child.communicate()
        (table, *_) = [table for _, table in snapshots if child.pid in table]
        for pid in (os.getpid(), child.pid):
            assert 1 < table[pid][1] < 10_000

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
