"""edge/cognito_edge/handler.py: Lambda's entry. It never raises: any event, any settings file, any context gets an answer."""

import copy
import importlib
import json
import subprocess
import sys
import time
from pathlib import Path

import cognito_edge.handler
import pytest
from cognito_edge.handler import build, handler
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.events import headers_of, is_forwarded, make_event, problem_of
from tests.support.fake_aws import PREFIX, FakeAws
from tests.support.gateways import REGION, make_system
from tests.support.keys_and_tokens import NOW, Pool, b64url
from tests.support.waiting import wait_until

POOL = Pool()
GOOD = {"parameter_prefix": PREFIX, "parameter_region": REGION}
ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings_file(tmp_path):
    """Write settings.json and return its path."""

    def write(content):
        file = tmp_path / "settings.json"
        file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return file

    return write


# --- settings.json --------------------------------------------------------------------------------------------------


def test_a_good_file_makes_a_gateway_that_works(aws, settings_file, capsys):
    """The file, the environment, SSM, the keys: a valid token passes, and its line is on standard output."""
    gateway = build(settings_file(GOOD))
    now = time.time()
    assert is_forwarded(gateway.handle(make_event(token=POOL.id_token(now)), now))
    assert json.loads(capsys.readouterr().out)["decision"] == "forward"


def test_keys_that_a_cold_start_asked_for_are_not_taken_for_those_of_a_later_request(aws, settings_file, capsys):
    """The first request needed none; the pool has rotated since: the withdrawn key is gone, and the new one works."""
    aws.policy = {"version": 1, "routes": [{"path": "/health", "allow": "anyone"}]}
    gateway = build(settings_file({**GOOD, "expected_user_pool_id": POOL.pool_id}))
    assert is_forwarded(gateway.handle(make_event(uri="/health"), NOW))
    assert wait_until(lambda: aws.cognito.requests)
    rotated = Pool(id_kid="rotated")
    aws.jwks[POOL.pool_id] = rotated.jwks()
    later = NOW + 7_200
    assert problem_of(gateway.handle(make_event(token=POOL.id_token(later)), later))["code"] == "unknown_key"
    assert is_forwarded(gateway.handle(make_event(token=rotated.id_token(later)), later))


def test_the_files_values_are_used(aws, settings_file, capsys):
    """A prefix, a limit and a domain of the file are the gateway's."""
    gateway = build(settings_file({**GOOD, "max_token_bytes": 600, "domain_name": "app.example.com"}))
    result = gateway.handle(make_event(token=POOL.id_token()), NOW)
    assert "A token may have 600 bytes" in problem_of(result)["detail"]
    assert 'realm="app.example.com"' in headers_of(result)["www-authenticate"]
    assert json.loads(aws.ssm.requests[0][2])["Names"][0] == f"{PREFIX}/user-pool-id"


def test_unknown_settings_are_ignored_at_run_time(aws, settings_file, capsys):
    """An older version reads a newer file."""
    gateway = build(settings_file({**GOOD, "sessions": {"cookie": "x"}, "surprise": ["y"]}))
    assert is_forwarded(gateway.handle(make_event(token=POOL.id_token()), NOW))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"a":1,"a":2}', "names a member twice"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"parameter_prefix":' + b"9" * 5_000 + b"}", "not valid JSON"),
        ({}, "parameter_prefix: required, and absent; parameter_region: required, and absent"),
        ({"parameter_prefix": PREFIX}, "parameter_region: required, and absent"),
        ({**GOOD, "parameter_prefix": "gateway"}, "must be an SSM path"),
        ({**GOOD, "cooldown_s": "10"}, "cooldown_s: must be a number"),
        ({**GOOD, "cooldown_s": None}, "cooldown_s: must be a number"),
        ({**GOOD, "parameter_region": "${Token[AWS.Region.4]}"}, "must be a region"),
    ],
)
def test_a_broken_file_is_a_503_that_the_log_explains(aws, settings_file, capsys, content, reason):
    """No one is let in, everyone gets an answer, and the log names the fault. No server is asked."""
    gateway = build(settings_file(content))
    for token in (None, POOL.id_token()):
        result = gateway.handle(make_event(token=token), NOW)
        assert result["status"] == "503"
        assert problem_of(result)["code"] == "configuration_unavailable"
        assert int(headers_of(result)["retry-after"]) >= 1
        assert reason not in json.dumps(result)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(f"settings.json: {reason}" in line["reason"] or reason in line["reason"] for line in lines)
    assert (aws.ssm.calls, aws.cognito.calls) == (0, 0)


@pytest.mark.parametrize("kind", ["missing", "a folder"])
def test_a_file_that_cannot_be_read_is_a_503(tmp_path, capsys, kind):
    """A bundle without its file answers all the same."""
    file = tmp_path / "settings.json"
    if kind == "a folder":
        file.mkdir()
    assert build(file).handle(make_event(), NOW)["status"] == "503"
    assert "settings.json: " in capsys.readouterr().out


def test_a_broken_file_costs_no_time(settings_file, capsys):
    """A thousand requests are answered at once, with no attempt to reach anyone."""
    gateway = build(settings_file({}))
    assert {gateway.handle(make_event(), NOW + second)["status"] for second in range(1_000)} == {"503"}


# --- the module -----------------------------------------------------------------------------------------------------


def test_the_module_reads_settings_beside_the_package():
    """Bundle layout: settings.json lies next to the folder edge/."""
    assert Path(cognito_edge.handler.__file__).parents[1] / "settings.json" == Path(cognito_edge.handler.SETTINGS_FILE)


def test_importing_the_handler_asks_no_server_anything():
    """Cold start: no network call, no clock and no crypto at import; those wait for the first request."""
    code = (
        "import socket, sys, time\n"
        "def forbidden(*args, **kwargs): raise AssertionError('asked at import')\n"
        "socket.socket.connect = socket.getaddrinfo = time.time = forbidden\n"
        "import cognito_edge.handler\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('jose', 'cryptography', 'boto3', 'botocore')]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_time_is_read_at_each_request(aws, settings_file, monkeypatch, capsys):
    """A frozen environment that wakes up an hour later signs with the new time."""
    monkeypatch.setattr(cognito_edge.handler, "_gateway", build(settings_file(GOOD)))
    for now in (NOW, NOW + 3_600):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        result = handler(make_event(token=POOL.id_token(now)), None)
        assert headers_of(result)["x-amz-date"] == time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


def test_the_contexts_content_does_not_matter(aws, settings_file, monkeypatch, capsys):
    """Lambda's context is not looked at."""
    monkeypatch.setattr(cognito_edge.handler, "_gateway", build(settings_file(GOOD)))
    for context in (None, object(), {}, 1):
        assert handler(make_event(), context)["status"] == "401"


def test_the_handler_module_can_be_loaded_without_a_settings_file(capsys):
    """The repository has none, and so the module itself is the broken case: it loads, and answers 503."""
    module = importlib.reload(cognito_edge.handler)
    assert module.handler(make_event(), None)["status"] == "503"
    assert "settings.json" in capsys.readouterr().out


# --- any event ------------------------------------------------------------------------------------------------------

MALFORMED = [
    None,
    True,
    0,
    1.5,
    "",
    "event",
    [],
    {},
    {"Records": None},
    {"Records": []},
    {"Records": {}},
    {"Records": [None]},
    {"Records": [{}]},
    {"Records": [{"cf": None}]},
    {"Records": [{"cf": {}}]},
    {"Records": [{"cf": {"config": {}, "request": {}}}]},
    {"version": "2.0", "rawPath": "/", "requestContext": {"http": {"method": "GET"}}},
    {"httpMethod": "GET", "path": "/"},
]


@pytest.mark.parametrize("event", MALFORMED, ids=repr)
def test_what_is_no_origin_request_event_is_answered(event, capsys):
    """handler(None, None) and its like: a response, and a line in the log."""
    result = handler(event, None)
    assert result["status"] in ("500", "503")
    assert problem_of(result)["request_id"] == ""
    assert len(problem_of(result)["detail"]) > 10
    entry = json.loads(capsys.readouterr().out)
    assert (entry["decision"], entry["code"]) == ("error", "internal_error")
    assert "cloudfront.py" in entry["reason"]


def test_a_token_that_is_no_unicode_text_is_malformed(gateway):
    """JSON can carry half a surrogate pair."""
    result = gateway(headers={"authorization": "Bearer \ud800.x.y"})
    assert (result["status"], problem_of(result)["code"]) == ("401", "malformed_token")


@pytest.mark.parametrize(("length", "shown"), [(80, "x" * 80), (81, "x" * 79 + "~")])
def test_what_a_caller_sent_is_quoted_up_to_80_characters(gateway, length, shown):
    """It travels in a header, and is for a person to recognise."""
    claims = {"alg": "RS256", "kid": "x" * length}
    token = ".".join(b64url(json.dumps(part).encode()) for part in (claims, Pool().id_claims())) + "." + "A" * 342
    assert f"kid '{shown}' names" in problem_of(gateway(token=token))["detail"]


def test_an_s3_origin_is_answered(gateway):
    """A behavior that was attached to a bucket by mistake gets a 500 with the place in the log, and no crash."""
    event = make_event()
    request = event["Records"][0]["cf"]["request"]
    request["origin"] = {"s3": {"domainName": "bucket.s3.amazonaws.com", "authMethod": "none", "path": ""}}
    assert gateway(event)["status"] == "500"


def places(node):
    """Yield (container, key) of everything inside an event."""
    for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
        yield node, key
        if isinstance(value, (dict, list)):
            yield from places(value)


REPLACEMENTS = [
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "x",
    "\u00e9\x00\r\n",
    [],
    {},
    [None],
    [[]],
    [{}],
    ["x"],
    {"value": 1},
    [{"value": None}],
]
POLICY = {
    "version": 1,
    "routes": [{"path": "/public/*", "allow": "anyone"}],
    "cors": {"allow_origins": ["https://app.example.com"]},
}


@pytest.fixture(scope="module")
def ready():
    """A gateway that has read its configuration, with CORS, so that refusals read the event as well."""
    fake = FakeAws(POOL)
    fake.policy = POLICY
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", fake.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        system = make_system()
        assert is_forwarded(system(token=POOL.id_token()))
        yield system
    fake.close()


def full_event(**changes):
    """Make an event in which every header that the gateway reads is there."""
    headers = {
        "origin": "https://app.example.com",
        "access-control-request-method": "GET",
        "x-amz-content-sha256": "0" * 64,
        "accept": "text/html",
    }
    return make_event(**{"token": POOL.id_token(), "headers": headers, "body": b"{}", **changes})


def check_answered(system, event, written):
    """Hold one answer to the contract: a request or a response, and one line."""
    result = system.gateway.handle(event, NOW)
    assert isinstance(result, dict), written
    if not is_forwarded(result):
        assert result["status"] in ("204", "400", "401", "405", "413", "500", "503"), written
        json.dumps(result)
    return result


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
@pytest.mark.parametrize("uri", ["/api/x", "/public/x", "/api/%zz"])
def test_an_event_with_any_one_part_missing_is_answered(ready, method, uri):
    """Each part of the event is left out in turn, on every path through the gateway."""
    count = sum(1 for _ in places(full_event()))
    assert count > 60
    for number in range(count):
        event = full_event(method=method, uri=uri)
        container, key = list(places(event))[number]
        del container[key]
        check_answered(ready, event, f"without {key!r}")


@pytest.mark.parametrize("uri", ["/api/x", "/public/x", "/api/%zz"])
@pytest.mark.parametrize("value", REPLACEMENTS, ids=repr)
def test_an_event_with_any_one_part_of_another_type_is_answered(ready, uri, value):
    """Each part is replaced in turn by what it cannot be; also where a refusal is being written."""
    count = sum(1 for _ in places(full_event()))
    for number in range(count):
        event = full_event(uri=uri)
        container, key = list(places(event))[number]
        container[key] = copy.deepcopy(value)
        check_answered(ready, event, f"{key!r} is {value!r}")


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)


@given(event=JSON)
@settings(max_examples=300)
def test_any_json_is_answered(ready, event):
    """Whatever Lambda could hand over."""
    assert check_answered(ready, event, event)["status"] == "500"


@given(data=st.data())
@settings(max_examples=300)
def test_any_changes_to_an_event_are_answered(ready, data):
    """Several parts at once become any JSON; without a token nothing but the public path is sent on."""
    event = make_event(headers={"origin": "https://app.example.com", "accept": "text/html"})
    for _ in range(data.draw(st.integers(1, 5))):
        found = list(places(event))
        if not found:
            break
        container, key = found[data.draw(st.integers(0, len(found) - 1))]
        container[key] = data.draw(JSON)
    result = check_answered(ready, event, event)
    assert not is_forwarded(result) or result["uri"].lower().startswith("/public")


@given(
    uri=st.text(max_size=40),
    querystring=st.text(max_size=40),
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", ""]),
    name=st.sampled_from(["authorization", "accept", "origin", "content-length", "x-amz-content-sha256", "host"]),
    values=st.lists(st.text(max_size=40), max_size=3),
)
@settings(max_examples=300)
def test_any_text_in_a_well_formed_event_is_answered_and_never_a_500(ready, uri, querystring, method, name, values):
    """What a viewer can choose, chosen freely: the answer is for the viewer, and never an internal error."""
    event = make_event(uri=uri, querystring=querystring, method=method, headers={name: values})
    result = check_answered(ready, event, event)
    assert is_forwarded(result) or result["status"] != "500"
