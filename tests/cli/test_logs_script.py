"""scripts/logs.py: every region's lines once and in order, the chosen ones only, live, and a request's whole story."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import click
import pytest
from cognito_edge_cli import stack
from cognito_edge_cli.logs.cloudwatch import EdgeLogs, Reading, all_regions
from cognito_edge_cli.logs.lines import Line, Merged, Seen, Selection, moment_ms, parse
from cognito_edge_cli.logs.local import LogFile, trace_of
from cognito_edge_cli.logs.text import Layout, stamp
from cognito_edge_cli.main import main
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fake_cloudwatch_logs import FakeLogs, Region
from tests.support.fake_cognito import USERNAME, FakeCognito
from tests.support.running_system import PROJECT, default_signals

FUNCTION = "Edge-1A2B3C"
GROUP = f"/aws/lambda/us-east-1.{FUNCTION}"
VERSION_ARN = f"arn:aws:lambda:us-east-1:111122223333:function:{FUNCTION}:7"
SUB = "0ec4474b-1111-4222-8333-444455556666"
SUB_HASH = hashlib.sha256(SUB.encode()).hexdigest()[:16]
NOW = int(time.time() * 1000)
RUNTIME = "START RequestId: 8f5d Version: 7\n"


def entry(ago_s=60.0, request_id="r1==", **fields):
    """A line as edge/cognito_edge/log.py writes it."""
    known = {
        "time": stamp(NOW - int(ago_s * 1000)),
        "request_id": request_id,
        "method": "GET",
        "path": "/api/x",
        "rule": "routes[0] /*",
        "decision": "forward",
        "status": None,
        "ms": {"configuration": 0.01, "rule": 0.02, "token": 0.2, "sign": 0.1},
        "cache": {"configuration": "hit"},
    }
    return json.dumps({**known, **fields}, separators=(",", ":"))


def refusal(ago_s=60.0, request_id="r1==", code="expired", **fields):
    return entry(ago_s, request_id, decision="refuse", code=code, status=401, **fields)


# --- merging: pure ------------------------------------------------------------------------------------------------------

LINES = st.lists(
    st.tuples(st.integers(0, 20), st.sampled_from(["eu-west-1", "us-east-1", "ap-south-1"]), st.integers(0, 30)),
    unique_by=lambda drawn: drawn[1:],
    max_size=40,
).map(
    lambda drawn: [Line(time_ms, region, str(source), f"{region} {source}", None) for time_ms, region, source in drawn]
)


@given(LINES, st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_merging_loses_nothing_repeats_nothing_and_keeps_the_order(lines, rng):
    """However the regions' pages come in, and with every overlap between two searches."""
    searches = [rng.sample(lines, rng.randint(0, len(lines))) for _ in range(3)] + [lines]
    rng.shuffle(searches)
    merged = Merged()
    for search in searches:
        merged.add(search)
    assert sorted(merged.lines, key=lambda line: (line.region, line.source)) == sorted(
        lines, key=lambda line: (line.region, line.source)
    )
    assert [line.time_ms for line in merged.lines] == sorted(line.time_ms for line in lines)
    assert merged.left_out == 0


@given(LINES, st.integers(1, 12))
@settings(max_examples=80, deadline=None)
def test_limit_keeps_the_newest(lines, limit):
    """What falls out is older than, or as old as, everything that stays; and it is counted."""
    merged = Merged(limit)
    merged.add(lines)
    kept = [line.time_ms for line in merged.lines]
    assert kept == sorted(line.time_ms for line in lines)[-limit:]
    assert merged.left_out == max(0, len(lines) - limit)


@given(st.lists(st.integers(0, 5), max_size=30))
def test_lines_of_one_millisecond_stay_in_their_order(times):
    """A traceback's lines make sense in one order only."""
    lines = [Line(time_ms, "local", str(at), "", None) for at, time_ms in enumerate(sorted(times))]
    merged = Merged()
    merged.add(lines)
    assert merged.lines == lines


def test_rounds_of_following_show_each_line_once():
    """Each round looks back over the last one; memory of what was shown is bounded."""
    seen = Seen(limit=3)
    lines = [Line(at, "r", str(at), "", None) for at in range(4)]
    assert seen.new(lines[:2]) == lines[:2]
    assert seen.new(lines[:4]) == lines[2:]
    assert seen.new(lines[1:]) == []
    assert len(seen._keys) == 3


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        (entry(), True),
        (json.dumps({"time": "2026-11-21T00:00:00.000Z", "event": "refresh_failed"}), True),
        (RUNTIME, False),
        ('{"decision": "forward"}', False),
        ('{"broken', False),
        ("[1]", False),
        ("{" * 50_000, False),
        ("", False),
    ],
    ids=["request", "event", "runtime", "no time", "broken", "list", "deep", "empty"],
)
def test_only_the_gateways_own_lines_have_fields(text, ours):
    """Whatever else a log has is text, and has the time at which it was written."""
    line = parse(text, region="r", source="s", written_ms=7)
    assert (line.fields is not None) == ours
    assert ours or line.time_ms == 7


@pytest.mark.parametrize("text", ["soon", "15", "m15", "1w", "-5m", "2026-13-01", "99999999m", ""])
def test_what_is_no_time_is_told(text):
    """With the forms that are."""
    with pytest.raises(click.BadParameter, match="15m, 2h or 3d"):
        moment_ms(text, NOW)


def test_times_without_a_zone_are_utc():
    """As the log's own are."""
    at_noon = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp() * 1000
    for text in ("2026-11-21T12:00", "2026-11-21T12:00Z", "2026-11-21 14:00+02:00"):
        assert moment_ms(text, NOW) == at_noon


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        ({}, {"a", "b", "c"}),
        ({"request_id": "a"}, {"a"}),
        ({"code": "expired"}, {"b", "c"}),
        ({"decision": "refuse"}, {"b"}),
        ({"sub_hash": SUB_HASH}, {"a"}),
        ({"code": "expired", "request_id": "a"}, set()),
        ({"since_ms": NOW - 60_000}, {"b", "c"}),
        ({"until_ms": NOW - 60_000}, {"a"}),
    ],
)
def test_conditions_choose(selection, wanted):
    """All that are given have to be met; a token that a public path ignored counts under its code."""
    lines = [
        entry(90, "a", sub_hash=SUB_HASH),
        refusal(60, "b"),
        entry(30, "c", ignored_token="expired"),
        RUNTIME,
    ]
    parsed = [parse(text, region="r", source=str(at), written_ms=NOW) for at, text in enumerate(lines)]
    assert {line.fields["request_id"] for line in parsed if Selection(**selection).takes(line)} == wanted


def test_nothing_in_a_line_commands_the_terminal():
    """Paths come from viewers: escape sequences and reversed text are written out."""
    line = parse(entry(path="/\x1b[2J\u202egnp.exe\n"), region="r", source="s", written_ms=0)
    written = Layout().write(line)
    assert written.isprintable()
    assert "\\x1b[2J\\u202egnp.exe\\n" in written


def test_columns_are_aligned():
    """The eye finds the second path where it found the first."""
    texts = [refusal(), entry(path="/api/a-much-longer-path"), refusal(code="insufficient_scope", method="DELETE")]
    lines = [parse(text, region="r", source=str(at), written_ms=0) for at, text in enumerate(texts)]
    layout = Layout()
    layout.fit(lines)
    written = [layout.write(line) for line in lines]
    assert len({text.index("/api/") for text in written}) == 1
    assert len({text.index("routes[0]") for text in written}) == 1
    assert "(configuration=0.01 rule=0.02 token=0.2 sign=0.1)" in written[0]


# --- deployed: two regions and more -----------------------------------------------------------------------------------


@pytest.fixture
def aws(monkeypatch):
    """CloudWatch Logs of all regions, and the stack."""
    for name, value in (
        ("ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("SECRET_ACCESS_KEY", "secret"),
        ("DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with FakeLogs(GROUP) as fake, FakeCognito() as cognito:
        cognito.stack_outputs["CognitoEdgeGateway"] = {
            "EdgeFunctionVersionArn": VERSION_ARN,
            "UserPoolId": cognito.user_pool_id,
            "ClientId": cognito.client_id,
            "LoginUrl": cognito.url,
            "ParameterPrefix": "/p",
        }
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", fake.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", cognito.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", cognito.url)
        fake.cognito = cognito
        yield fake


@pytest.fixture
def run(capsys):
    """Run the script: (exit status, lines on stdout, stderr)."""

    def run(*argv):
        status = main(["logs", *argv])
        captured = capsys.readouterr()
        return status, captured.out.splitlines(), captured.err

    return run


TWO = ("--regions", "eu-west-1,us-east-1", "--function", FUNCTION)


def test_lines_of_all_regions_are_one_log(aws, run):
    """A viewer in Dublin and one in Virginia; who looks need not know which region served whom."""
    for ago, region in ((50, "us-east-1"), (40, "eu-west-1"), (30, "us-east-1"), (20, "sa-east-1")):
        aws.write(region, entry(ago, f"{region}-{ago}"), NOW - ago * 1000)
    status, out, err = run("--json")
    assert status == 0
    assert [json.loads(text)["request_id"] for text in out] == [
        "us-east-1-50",
        "eu-west-1-40",
        "us-east-1-30",
        "sa-east-1-20",
    ]
    assert {region for region, _ in aws.requests} == set(all_regions())
    assert "not read" not in err


def test_regions_are_shown_to_people(aws, run):
    """Which region a line is from tells which edge served it."""
    aws.write("eu-west-1", entry(), NOW)
    _, out, _ = run(*TWO)
    assert out[0].split()[1:4] == ["eu-west-1", "->", "forward"]


def test_pages_are_read_to_the_end(aws, run):
    """Seven lines on pages of three, every other page empty."""
    for number in range(7):
        aws.write("eu-west-1", entry(60 - number, f"r{number}"), NOW)
    _, out, _ = run(*TWO, "--json")
    assert [json.loads(text)["request_id"] for text in out] == [f"r{number}" for number in range(7)]


def test_limit_says_what_it_left_out(aws, run):
    """The newest are shown, and the message says how to see the others."""
    for number in range(7):
        aws.write("eu-west-1", entry(60 - number, f"r{number}"), NOW)
    _, out, err = run(*TWO, "--json", "--limit", "2")
    assert [json.loads(text)["request_id"] for text in out] == ["r5", "r6"]
    assert "The newest 2 of 7 lines are shown." in err
    assert "--limit N (0: all)" in err


def test_regions_that_refuse_are_named(aws, run):
    """Never in silence: the line that one looks for may be there."""
    aws.write("eu-west-1", entry(), NOW)
    aws.regions["us-east-1"] = Region(refusal="AccessDeniedException")
    aws.regions["ap-east-1"] = Region(refusal="UnrecognizedClientException")
    aws.regions["af-south-1"] = Region(refusal="UnrecognizedClientException")
    status, out, err = run("--regions", "af-south-1,ap-east-1,eu-west-1,us-east-1", "--function", FUNCTION, "--json")
    assert (status, len(out)) == (0, 1)
    assert "not read, AccessDeniedException: us-east-1\n" in err
    assert "the account has not enabled the region" in err
    assert "af-south-1, ap-east-1" in err


def test_no_region_at_all_is_a_failure(aws, run):
    """Nothing was read, so nothing can be said about what is in the logs."""
    for region in ("eu-west-1", "us-east-1"):
        aws.regions[region] = Region(refusal="ExpiredTokenException")
    status, out, err = run(*TWO)
    assert (status, out) == (1, [])
    assert "No region could be read" in err
    assert "ExpiredTokenException: eu-west-1, us-east-1" in err


def test_function_without_any_log_is_told(aws, run):
    """The group comes into being with the first request."""
    status, out, err = run(*TWO)
    assert (status, out) == (0, [])
    assert f"No region has the log group {GROUP}" in err


def test_runtimes_own_lines_are_kept_out_unless_asked_for(aws, run):
    """START and REPORT say little; a traceback says much, and is one --all away."""
    aws.write("eu-west-1", RUNTIME, NOW - 60_000)
    aws.write("eu-west-1", entry(), NOW - 59_000)
    assert len(run(*TWO)[1]) == 1
    out = run(*TWO, "--all")[1]
    assert len(out) == 2
    assert any("START RequestId: 8f5d" in text for text in out)


def test_search_is_narrowed_at_the_server_and_checked_here(aws, run):
    """A term filter finds the word anywhere in a line; what is printed has it in the right field."""
    aws.write("eu-west-1", refusal(50, "right=="), NOW)
    aws.write("eu-west-1", entry(40, "wrong==", path="/expired"), NOW)
    _, out, _ = run(*TWO, "--code", "expired", "--decision", "refuse", "--json")
    assert [json.loads(text)["request_id"] for text in out] == ["right=="]
    assert {data["filterPattern"] for _, data in aws.requests} == {'"expired" "refuse"'}


@pytest.mark.parametrize("who", [SUB, SUB_HASH, USERNAME])
def test_user_is_found_by_name_sub_or_hash(aws, run, who):
    """The log has a hash; people have names."""
    aws.cognito.users[USERNAME].sub = SUB
    aws.write("eu-west-1", entry(sub_hash=SUB_HASH), NOW)
    aws.write("eu-west-1", entry(request_id="other==", sub_hash="0" * 16), NOW)
    _, out, _ = run(*TWO, "--user", who, "--json")
    assert [json.loads(text)["request_id"] for text in out] == ["r1=="]


def test_hash_is_the_edges_own():
    """Both sides write it down; this holds them together."""
    from cognito_edge.log import hash_of

    assert hash_of(SUB) == SUB_HASH


def test_unknown_user_is_told(aws, run):
    """With the way that still works for deleted users."""
    status, _, err = run(*TWO, "--user", "nobody")
    assert status == 1
    assert "There is no user nobody" in err
    assert "by their sub" in err


def test_request_id_tells_the_whole_story(aws, run):
    """One command, from the id in a refusal: what, who, when, where, why, and where to read on."""
    aws.write("us-east-1", entry(request_id="other=="), NOW)
    aws.write("eu-west-1", refusal(7200, "GDfDLb-_==", sub_hash=SUB_HASH, reason="key k1"), NOW - 7_200_000)
    status, out, _ = run(*TWO, "--request-id", "GDfDLb-_==")
    told = "\n".join(out)
    assert status == 0
    assert out[0] == "Request GDfDLb-_=="
    for fact in (
        "region    eu-west-1",
        "request   GET /api/x",
        "refuse: expired, answered with 401",
        "reason    key k1",
    ):
        assert fact in told
    assert "token 0.2 ms" in told
    assert f"user      {SUB_HASH}" in told
    assert out[-1].endswith("cognito-edge doctor --code expired")
    assert "other==" not in told


@pytest.mark.parametrize("begins", ["-", "--", "-f", "--local"])
def test_request_id_may_begin_like_an_option(aws, run, begins):
    """One of CloudFront's in 64 does: their alphabet is base64url's."""
    request_id = f"{begins:x<54}=="
    aws.write("us-east-1", refusal(60, request_id), NOW)
    status, out, _ = run(*TWO, "--request-id", request_id)
    assert (status, out[0]) == (0, f"Request {request_id}")


def test_unknown_request_fails_and_says_why_that_may_be(aws, run):
    """Too early, too old, or never at the edge."""
    status, out, err = run(*TWO, "--request-id", "unknown==")
    assert (status, out) == (1, [])
    assert "--since" in err


def test_function_can_be_named_without_a_stack(aws, run):
    """For stacks of one's own that have no outputs for the scripts."""
    aws.cognito.stack_outputs.clear()
    aws.write("eu-west-1", entry(), NOW)
    for name in (FUNCTION, f"us-east-1.{FUNCTION}"):
        assert len(run("--regions", "eu-west-1", "--function", name)[1]) == 1
    status, _, err = run("--regions", "eu-west-1")
    assert status == 1
    assert "There is no stack CognitoEdgeGateway" in err


def test_following_shows_each_new_line_once_and_finds_new_regions(aws):
    """Late and out of order, in a region that had no group when it began."""
    clock = [NOW]
    rounds = iter([
        lambda: aws.write("eu-west-1", entry(5, "one=="), NOW),
        lambda: aws.write("eu-west-1", entry(9, "late=="), NOW - 9000),
        lambda: (aws.write("us-east-1", entry(1, "new region=="), NOW), clock.__setitem__(0, NOW + 31_000)),
    ])  # fmt: skip

    def sleep(_seconds):
        next(rounds)()

    edge_logs = EdgeLogs(GROUP, ["eu-west-1", "us-east-1"], sleep=sleep, now_ms=lambda: clock[0])
    aws.write("eu-west-1", entry(60, "shown=="), NOW - 60_000)
    merged, seen = Merged(), Seen()
    reading = edge_logs.read(Selection(), merged)
    assert reading == Reading({"eu-west-1"}, {})
    seen.new(merged.lines)
    following = edge_logs.follow(Selection(), seen, reading)
    found = [[line.fields["request_id"] for line in next(following)] for _ in range(3)]
    assert found == [["one=="], ["late=="], ["new region=="]]


@pytest.mark.parametrize(
    "argv",
    [
        ["--follow", "--until", "1m"],
        ["--all", "--code", "expired"],
        ["--local", "--regions", "eu-west-1"],
        ["--local", "--region", "eu-west-1"],
        ["--page"],
        ["--limit", "-1"],
        ["--since", "soon"],
        ["--since", "1h", "--until", "2h"],
        ["--request-id", 'a"b'],
        ["--request-id", "--local"],
        ["--request-id"],
        ["--decision", "maybe"],
    ],
    ids=" ".join,
)
def test_contradictory_options_are_wrong_usage(argv, capsys):
    """Status 2 before anything is called."""
    assert main(["logs", *argv]) == 2
    assert "Error: " in capsys.readouterr().err


def test_unknown_region_is_wrong_usage(aws, capsys):
    """A misspelt region would be a region without the group, in silence."""
    assert main(["logs", "--regions", "eu-wset-1"]) == 2
    assert "eu-wset-1" in capsys.readouterr().err


# --- the local system ---------------------------------------------------------------------------------------------------


@pytest.fixture
def local(monkeypatch, tmp_path):
    """The local system's folder, with its log."""
    monkeypatch.setattr(stack, "LOCAL_FOLDER", tmp_path)
    log = tmp_path / "edge.log"
    log.write_text(refusal(90, "a==") + "\nTraceback (most recent call last):\n" + entry(80, "b==") + "\n")
    return log


def test_local_log_is_read_as_it_is(local, run):
    """Everything since the system's start, also when that has ended."""
    status, out, _ = run("--local", "--json")
    assert status == 0
    assert [json.loads(text)["request_id"] for text in out] == ["a==", "b=="]
    out = run("--local", "--all")[1]
    assert "Traceback" in out[1]  # behind the line that it came after
    assert len(out) == 3


def test_local_story_without_the_system_says_what_is_missing(local, run):
    """The log alone, and why there is no more."""
    status, out, err = run("--local", "--request-id", "a==")
    assert status == 0
    assert "--code expired" in out[-1]
    assert "What CloudFront and the function URL saw is not known" in err
    assert run("--local", "--request-id", "unknown==")[0] == 1


def test_no_local_log_says_what_to_do(monkeypatch, tmp_path, run):
    """With the folder where it was looked for."""
    monkeypatch.setattr(stack, "LOCAL_FOLDER", tmp_path)
    for options in ((), ("--page",)):
        status, _, err = run("--local", *options)
        assert status == 1
        assert "make run" in err
        assert str(tmp_path) in err


def follow(log, steps):
    """Follow a file while *steps* happen to it, one before each round; gives each round's request ids."""
    todo = iter(steps)

    def sleep(_seconds):
        next(todo)()

    file = LogFile(log)
    file.read()
    rounds = file.follow(Selection(), sleep)
    return [[line.fields["request_id"] for line in next(rounds)] for _ in steps]


def append(log, text):
    def write():
        with log.open("a") as file:
            file.write(text)

    return write


def test_following_a_file_shows_lines_when_they_are_complete(local):
    """Half a line waits for its other half."""
    new = entry(1, "new==")
    steps = [
        append(local, new[:30]),
        append(local, new[30:]),
        append(local, "\n"),
        append(local, entry(1, "two==") + "\n"),
    ]
    assert follow(local, steps) == [[], [], ["new=="], ["two=="]]


@pytest.mark.parametrize("length", ["shorter", "as long", "longer"])
def test_following_survives_a_restart_of_the_system(local, length):
    """Each start empties the file; what is in it then is new, even if it has grown past the old place meanwhile."""
    lines = [entry(10 - at, f"{length}{at}==") for at in range({"shorter": 1, "as long": 2, "longer": 9}[length])]
    size = local.stat().st_size
    content = "\n".join(lines) + "\n"
    if length == "as long":
        lines[1] = lines[1][:-1] + ',"pad":"' + "x" * (size - len(content) - 9) + '"}'
        content = "\n".join(lines) + "\n"
        assert len(content) == size
    expected = [f"{length}{at}==" for at in range(len(lines))]
    assert follow(local, [lambda: local.write_text(content), lambda: None]) == [expected, []]


def test_following_survives_rotation_and_absence(local, tmp_path):
    """Another file in its place begins anew; none at all is waited for."""
    other = tmp_path / "other"
    other.write_text(entry(1, "rotated==") + "\n")
    steps = [local.unlink, lambda: other.replace(local), append(local, entry(1, "then==") + "\n")]
    assert follow(local, steps) == [[], ["rotated=="], ["then=="]]


def test_followed_from_a_shell_until_interrupted(local):
    """The whole script with a real file: what is there, what is appended, and Ctrl-C is the way to end it."""
    command = [
        sys.executable,
        str(PROJECT / "scripts" / "logs.py"),
        "--local",
        "--follow",
        "--json",
        "--code",
        "expired",
    ]
    process = subprocess.Popen(
        command,
        env={**os.environ, "GATEWAY_STATE_DIR": str(local.parent)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=default_signals,  # noqa: PLW1509  three calls of signal() and nothing else
    )
    with process:
        assert json.loads(process.stdout.readline())["request_id"] == "a=="
        append(local, entry(2, "other==") + "\n" + refusal(1, "new==") + "\n")()
        assert json.loads(process.stdout.readline())["request_id"] == "new=="
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert "Traceback" not in process.stderr.read()


def test_trace_of_a_stopped_system_is_none(tmp_path):
    """A file that a killed run left behind leads nowhere, and that is no error."""
    assert trace_of(tmp_path, "r") is None
    (tmp_path / "trace.json").write_text('{"url": "http://127.0.0.1:9", "secret": "s", "page": "p"}')
    assert trace_of(tmp_path, "r") is None
    (tmp_path / "trace.json").write_text("[]")
    assert trace_of(tmp_path, "r") is None
