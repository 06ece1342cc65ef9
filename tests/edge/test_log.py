"""edge/cognito_edge/log.py: one JSON line for each request with what contract C8 names, and never a secret."""

import hashlib
import io
import json
import sys
import time

import pytest
from cognito_edge.fetch import Client
from cognito_edge.gateway import Gateway
from cognito_edge.key_source import KeySource
from cognito_edge.log import RequestLog, failed_refresh, hash_of, write
from cognito_edge.parameter_source import ParameterSource
from cognito_edge.text import iso8601_ms
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import headers_of, make_event
from tests.support.gateways import CREDENTIALS, make_settings, make_system
from tests.support.keys_and_tokens import NOW, Pool

POOL = Pool()
SUB = POOL.id_claims()["sub"]


def test_a_forwarded_request_is_one_line_with_every_field(gateway):
    """Contract C8: time, request id, decision, rule, method, path, client, a hash of the user, times, caches."""
    event = make_event(token=POOL.id_token(), method="POST", body=b"{}")
    gateway(event, now=NOW + 0.25)
    [line] = gateway.lines
    assert "\n" not in line
    entry = json.loads(line)
    steps = entry.pop("ms")
    assert list(steps) == ["configuration", "rule", "keys", "token", "sign"]
    assert all(isinstance(value, float) and 0 <= value < 60_000 for value in steps.values())
    assert entry == {
        "time": "2026-09-21T14:13:20.250Z",
        "request_id": event["Records"][0]["cf"]["config"]["requestId"],
        "method": "POST",
        "path": "/api/whoami",
        "rule": "default",
        "client_id": POOL.client_id,
        "sub_hash": hashlib.sha256(SUB.encode()).hexdigest()[:16],
        "decision": "forward",
        "status": None,
        "cache": {"configuration": "miss", "keys": "miss", "tokens": "miss"},
    }


def test_a_refusal_is_one_line_with_its_code(gateway):
    """What was decided, and why; the steps end where the request did."""
    gateway(token=POOL.id_token(exp=NOW))
    [entry] = gateway.log
    assert (entry["decision"], entry["code"], entry["status"]) == ("refuse", "expired", 401)
    assert "reason" not in entry
    assert "token" not in entry["ms"]


def test_a_failure_is_an_error_with_its_reason(aws, gateway):
    """An outage is told apart from a refusal, and the reason stands in the log alone."""
    aws.ssm.mode = "error"
    gateway(token=POOL.id_token())
    assert [entry.get("event", entry.get("decision")) for entry in gateway.log] == ["refresh_failed", "error"]
    assert "GetParameters answered 500" in gateway.log[1]["reason"]


def test_a_bug_is_logged_by_its_place_and_never_by_its_message(aws, monkeypatch):
    """An exception's message could hold anything, a token included."""
    system = make_system()

    def fail(*_args, **_kwargs):
        raise RuntimeError("secret-in-the-message")

    monkeypatch.setattr("cognito_edge.gateway.sign", fail)
    result = system(token=POOL.id_token())
    assert result["status"] == "500"
    assert "secret-in-the-message" not in json.dumps(result) + "".join(system.lines)
    assert system.log[-1]["reason"].startswith("RuntimeError at test_log.py:")
    assert (system.log[-1]["decision"], system.log[-1]["code"]) == ("error", "internal_error")


def test_cache_states_tell_what_was_read(aws, gateway):
    """Hit, miss and stale, for the configuration, the keys and the token."""
    token = POOL.id_token(exp=NOW + 9_000)
    for now in (NOW, NOW + 1, NOW + 100):
        gateway(token=token, now=now)
    aws.ssm.mode = aws.cognito.mode = "error"
    gateway(token=token, now=NOW + 5_000)
    assert [entry["cache"] for entry in gateway.log if "cache" in entry] == [
        {"configuration": "miss", "keys": "miss", "tokens": "miss"},
        {"configuration": "hit", "keys": "hit", "tokens": "hit"},
        {"configuration": "miss", "keys": "hit", "tokens": "hit"},
        {"configuration": "stale", "keys": "stale", "tokens": "hit"},
    ]


def test_the_rule_is_named_by_its_place(aws):
    """An operator who has to explain a 403 finds the rule in the document."""
    aws.policy = {
        "version": 1,
        "routes": [
            {"path": "/public/*", "allow": "anyone"},
            {"path": "/admin/*", "methods": ["GET"]},
            {"path": "/admin/*", "methods": ["POST"], "groups": ["admins"]},
        ],
        "cors": {"allow_origins": ["*"]},
    }
    system = make_system()
    preflight = {"origin": "https://a.example", "access-control-request-method": "POST"}
    system(uri="/public/x", token="x.y.z")
    system(uri="/admin/x", method="POST", token=POOL.id_token())
    system(uri="/admin/x", method="PUT", token=POOL.id_token())
    system(uri="/admin/x", method="OPTIONS", headers=preflight)
    system(uri="/other")
    seen = [(entry.get("rule"), entry["decision"], entry.get("code"), entry["status"]) for entry in system.log]
    assert seen == [
        ("routes[0] /public/*", "forward", None, None),
        ("routes[2] /admin/*", "refuse", "missing_group", 403),
        ("/admin/*", "refuse", "method_not_allowed", 405),
        (None, "preflight", None, 204),
        ("default", "refuse", "missing_token", 401),
    ]
    assert system.log[0]["ignored_token"] == "malformed_token"
    system(uri="/public/x")
    assert "ignored_token" not in system.log[-1]


@pytest.mark.parametrize("value", [5, None, True, ["/a"], {"a": "b"}, 1.5])
@pytest.mark.parametrize("field", ["method", "uri"])
def test_a_broken_event_has_its_line(gateway, field, value):
    """Whatever stands where a text should be."""
    event = make_event()
    event["Records"][0]["cf"]["request"][field] = value
    gateway(event)
    assert len(gateway.log) == 1
    assert gateway.log[0]["decision"] in ("error", "refuse")


def test_no_secret_is_ever_in_a_line(aws, gateway):
    """Tokens, signatures, credentials, bodies, queries, names and addresses: none of them, decided any way."""
    secrets = {
        "email": "jane@example.com",
        "username": "jane",
        "sub": SUB,
        "query": "query-secret",
        "body": "body-secret",
        "header": "header-secret",
        "cookie": "cookie-secret",
        "secret key": CREDENTIALS.secret_access_key,
        "session token": CREDENTIALS.session_token,
        "access key id": CREDENTIALS.access_key_id,
    }
    headers = {"cookie": "session=cookie-secret", "x-custom": "header-secret", "x-cognito-sub": "header-secret"}
    tokens = [
        POOL.id_token(),
        POOL.id_token(exp=NOW),
        POOL.access_token(),
        POOL.id_token()[:-1],
        "opaque-secret-token",
    ]
    signatures = []
    for token in tokens:
        secrets |= {f"part {part[:4]}": part for part in token.split(".") if len(part) > 10}
        for query in ("a=query-secret", "a=%zz&b=query-secret", "X-Amz-Date=query-secret", "=query-secret"):
            result = gateway(
                make_event(method="POST", token=token, headers=headers, body=b"body-secret", querystring=query)
            )
            signatures.append(headers_of(result).get("authorization", "").rpartition("Signature=")[2])
    log = "".join(gateway.lines)
    assert [name for name, secret in secrets.items() if secret in log] == []
    assert [signature for signature in signatures if signature and signature in log] == []
    assert any(signatures)


def test_the_path_is_cut_and_cannot_break_the_line(gateway):
    """However long a path and whatever it holds, the line stays one line of bounded length."""
    for uri in ("/" + "a" * 8_000, "/\n\r\u2028\u2029\x00\x1b[31m", '/"}{"', "/\ud800", "/%0a%0d" * 1_000):
        gateway(uri=uri)
    for line in gateway.lines:
        assert len(line) < 4_000
        assert line.isascii()
        assert line.isprintable()
    assert len(gateway.log[0]["path"]) == 512


def test_users_are_known_by_a_hash():
    """16 hex digits of SHA-256: enough to follow one user through a log, and not who they are."""
    assert hash_of(SUB) == hashlib.sha256(SUB.encode()).hexdigest()[:16]
    assert hash_of("\u00e9") != hash_of("e")


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (NOW, "2026-09-21T14:13:20.000Z"),
        (NOW + 0.5, "2026-09-21T14:13:20.500Z"),
        (NOW + 0.0625, "2026-09-21T14:13:20.062Z"),
    ],
)
def test_times_are_iso_8601_in_utc_with_milliseconds(now, text):
    """The one time by which the request was judged."""
    assert iso8601_ms(now) == text


def test_times_are_utc_wherever_the_process_runs(monkeypatch):
    """A local time zone changes nothing."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    assert iso8601_ms(NOW) == "2026-09-21T14:13:20.000Z"
    monkeypatch.undo()
    time.tzset()


def test_a_failed_refresh_is_a_line_of_its_own():
    """What could not be read, why, when, and that it is an error; a long reason is cut."""
    assert json.loads(failed_refresh("keys", "why", NOW)) == {
        "time": "2026-09-21T14:13:20.000Z",
        "level": "ERROR",
        "event": "refresh_failed",
        "what": "keys",
        "reason": "why",
    }
    assert len(failed_refresh("keys", "x" * 100_000, NOW)) < 2_200


def test_lines_go_to_standard_output(capsys):
    """Where Lambda collects them, each ended by one newline."""
    write('{"a":1}')
    write('{"b":2}')
    assert capsys.readouterr().out == '{"a":1}\n{"b":2}\n'


class Broken(io.StringIO):
    def __init__(self, error):
        super().__init__()
        self._error = error

    def write(self, text):
        raise self._error


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), ValueError("I/O operation on closed file"), BrokenPipeError()]
)
def test_a_log_that_cannot_be_written_stops_no_request(aws, monkeypatch, error):
    """A full disk or a closed pipe is no reason to refuse anyone."""
    monkeypatch.setattr(sys, "stdout", Broken(error))
    write("line")
    settings = make_settings()
    client = Client(timeout_s=0.5, max_answer_bytes=100_000)
    gateway = Gateway(
        settings,
        load_configuration=ParameterSource(client, settings).load,
        load_keys=KeySource(client).load,
        credentials=lambda: CREDENTIALS,
    )
    assert "status" not in gateway.handle(make_event(token=POOL.id_token()), NOW)


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_any_text_makes_one_line_of_json(request_id, path, rule, reason):
    """Whatever the fields hold, a line is one printable line, and reads back as it was."""
    log = RequestLog(NOW)
    log.facts |= {"request_id": request_id, "path": path, "rule": rule, "reason": reason}
    line = log.line()
    assert line.isascii()
    assert line.isprintable()
    entry = json.loads(line)
    assert (entry["request_id"], entry["path"], entry["rule"], entry["reason"]) == (request_id, path, rule, reason)
