"""``backend/handler.py``: its answers, who gets them, and what they never hold."""

import base64
import hashlib
import json
import subprocess
import sys
import urllib.parse

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend import handler as module
from tests.support.backend_events import (
    ACCOUNT_ID,
    ISSUER,
    REQUEST_ID,
    ROLE_NAME,
    SESSION_TOKEN,
    identity_headers,
    make_event,
)

ALL_METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
OTHER_ARN = f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/SomebodyElse/session"

# Targets as they may come over the wire. powertools' own placeholders match few of them.
PATHS_BELOW = [
    "/",
    "/a",
    "/a/",
    "/a/b/c",
    "/a//b",
    "//",
    "/a%20b",
    "/a%2Fb",
    "/%2F",
    "/%2e%2e",
    "/%25",
    "/%2561",
    "/%00",
    "/%0A",
    "/%0D%0A",
    "/%C3%A4",
    "/%FF%FE",
    "/(c)*!'",
    "/[x]",
    "/{y}",
    "/<z>",
    "/~",
    "/a;v=1",
    "/a:b@c",
    "/a,b",
    "/a=b&c",
    "/a+b",
    "/$",
    "/%",
    "/%zz",
    '/"',
    "/`",
    "/\\",
    "/|",
    "/^",
    "/a b",
    "/ä",
    "/日本語",
    "/\n",
    "/a\nb",
    "/a\r\n",
    "/🔑",
    "/http://example.com/",
    "/../whoami",
    "/.",
    "/whoami",
    "/api/whoami",
    "/" + "x" * 8000,
]


@pytest.fixture(autouse=True)
def configured(monkeypatch):
    """Tell the function which role to believe, as the template does."""
    monkeypatch.setenv("EDGE_ACCOUNT_ID", ACCOUNT_ID)
    monkeypatch.setenv("EDGE_ROLE_NAME", ROLE_NAME)


def call(**request):
    """Return status, headers by lower-case name, and the body's JSON (None for an empty body)."""
    answer = module.handler(make_event(**request), None)
    return read_answer(answer)


def read_answer(answer):
    # What Lambda does with it first.
    answer = json.loads(json.dumps(answer))
    assert answer.get("isBase64Encoded") is False
    headers = {name.lower(): value for name, value in answer["headers"].items()}
    return answer["statusCode"], headers, json.loads(answer["body"]) if answer["body"] else None


def echo(**request):
    status, _, document = call(**{"path": "/api/echo", **request})
    assert status == 200
    return document


def assert_problem(answer, status, code):
    got_status, headers, document = answer
    assert got_status == status
    assert headers["content-type"] == "application/problem+json"
    assert headers["cache-control"] == "no-store"
    assert document["status"] == status
    assert document["code"] == code
    assert document["request_id"] == REQUEST_ID
    assert set(document) == {"type", "title", "status", "detail", "code", "request_id"}


# --- whoami ----------------------------------------------------------------------------------------------------------


def test_whoami_names_the_verified_caller():
    """Everything the gateway verified is there."""
    status, headers, document = call(headers=identity_headers())
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert document == {
        "anonymous": False,
        "sub": "a3e4f5a6-1234-5678-9abc-def012345678",
        "username": "ada",
        "email": "ada@example.com",
        "groups": ["admins", "readers"],
        "scopes": ["openid", "tools/call"],
        "client_id": "1h57kf5cpq17m0eml12EXAMPLE",
        "token_use": "id",
        "issuer": ISSUER,
        "claims": {"sub": "a3e4f5a6-1234-5678-9abc-def012345678", "email_verified": True},
    }


def test_whoami_says_that_a_caller_is_anonymous():
    """On a route that the policy opens to anyone, the answer names no one."""
    assert call() == (200, call()[1], {"anonymous": True})


def test_one_caller_s_identity_does_not_reach_the_next():
    """The process answers many callers and remembers none."""
    assert call(headers=identity_headers(username="ada"))[2]["username"] == "ada"
    assert call(headers=identity_headers(username="grace"))[2]["username"] == "grace"
    assert call()[2] == {"anonymous": True}


@pytest.mark.parametrize("method", [method for method in ALL_METHODS if method not in {"GET", "HEAD"}])
def test_whoami_takes_get_and_head_alone(method):
    """Another method gets 405 and the list of those that work."""
    answer = call(method=method)
    assert_problem(answer, 405, "method_not_allowed")
    assert answer[1]["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/api/whoami", "/api/echo", "/api/echo/x", "/api/none"])
def test_head_has_get_s_status_and_headers_and_no_body(path):
    """A body after HEAD would break the connection, unless a server on the way removed it."""
    get_status, get_headers, _ = call(path=path)
    assert call(path=path, method="HEAD") == (get_status, get_headers, None)


# --- who gets in -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/whoami", "/api/echo", "/api/echo/x", "/", "/api/none"])
@pytest.mark.parametrize("user_arn", [OTHER_ARN, None])
@pytest.mark.parametrize("headers", [identity_headers(), {}])
def test_who_did_not_come_through_the_gateway_gets_403(path, user_arn, headers, capsys):
    """Another principal of the account learns neither the paths nor the expected role."""
    answer = call(path=path, user_arn=user_arn, headers=headers)
    assert_problem(answer, 403, "untrusted_caller")
    assert ROLE_NAME not in json.dumps(answer[2])
    assert ROLE_NAME in capsys.readouterr().out


@pytest.mark.parametrize("name", ["EDGE_ACCOUNT_ID", "EDGE_ROLE_NAME"])
def test_without_configuration_nobody_gets_in(name, monkeypatch, capsys):
    """A function deployed without its two variables is closed, and its log says what is missing."""
    monkeypatch.delenv(name)
    assert_problem(call(headers=identity_headers()), 403, "untrusted_caller")
    assert name in capsys.readouterr().out


def test_a_malformed_identity_is_our_fault_and_nobody_s_identity():
    """The gateway signed something it should not have: 500, not a guess."""
    assert_problem(call(headers=identity_headers(groups="a,%ZZ")), 500, "internal_error")


# --- the router ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/api",
        "/api/",
        "/api/whoami/",
        "/api/whoami/x",
        "/api/echoes",
        "/api/echo%2Fx",
        "/API/ECHO",
        "/x/api/echo",
        "/api/who.mi",
    ],
)
def test_another_path_is_404(path):
    """Only whole paths match, in the case they are written in."""
    assert_problem(call(path=path), 404, "not_found")


@pytest.mark.parametrize("below", PATHS_BELOW)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_the_echo_answers_below_its_path_whatever_stands_there(below, method):
    """No character of a path loses the request."""
    document = echo(path=f"/api/echo{below}", method=method)
    assert document["raw_path"] == f"/api/echo{below}"
    assert document["path"] == urllib.parse.unquote(f"/api/echo{below}")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text())
def test_the_echo_answers_for_any_text_below_its_path(below):
    """The same holds for arbitrary paths."""
    assert echo(path=f"/api/echo/{below}")["raw_path"] == f"/api/echo/{below}"


@pytest.mark.parametrize("method", ALL_METHODS)
def test_the_echo_takes_every_method_that_cloudfront_forwards(method):
    """All seven arrive; only HEAD has no body to show it."""
    status, _, document = call(path="/api/echo", method=method)
    assert status == 200
    assert document is None if method == "HEAD" else document["method"] == method


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "CONNECT"])
def test_the_echo_refuses_methods_that_cloudfront_does_not_forward(method):
    """They cannot have come through the gateway's distribution."""
    answer = call(path="/api/echo/x", method=method)
    assert_problem(answer, 405, "method_not_allowed")
    assert answer[1]["allow"].split(", ") == ALL_METHODS


@pytest.mark.parametrize("stage", ["$default", "prod", None])
def test_a_stage_is_never_cut_off_the_path(stage):
    """Function URLs have no stages; an event that names one, or leaves it out, is routed all the same."""
    event = make_event(path="/api/whoami")
    event["requestContext"]["stage"] = stage
    if stage is None:
        del event["requestContext"]["stage"]
    assert read_answer(module.handler(event, None))[0] == 200


# --- the echo --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "pairs"),
    [
        ("", []),
        ("a=1", [["a", "1"]]),
        ("b=2&a=1&b=1", [["b", "2"], ["a", "1"], ["b", "1"]]),
        ("flag=", [["flag", ""]]),
        ("flag", [["flag", ""]]),
        ("q=a%20b&p=a+b&l=a%2Bb", [["q", "a b"], ["p", "a b"], ["l", "a+b"]]),
        ("%5Bx%5D=%C3%A4", [["[x]", "ä"]]),
        ("x=%2526", [["x", "%26"]]),
        ("a=1;b=2", [["a", "1;b=2"]]),
        ("x=1,2&x=3", [["x", "1,2"], ["x", "3"]]),
    ],
)
def test_the_query_is_shown_raw_and_as_ordered_pairs(raw, pairs):
    """Order and repetition, which Lambda's own parameters lose, are kept."""
    document = echo(query=raw)
    assert document["raw_query"] == raw
    assert document["query"] == pairs


@pytest.mark.parametrize(
    ("body", "shown", "encoding", "raw"),
    [
        (None, "", "text", b""),
        ("", "", "text", b""),
        (b"", "", "text", b""),
        ('{"a": "ä"}', '{"a": "ä"}', "text", '{"a": "ä"}'.encode()),
        (b'{"a": 1}', '{"a": 1}', "text", b'{"a": 1}'),
        (b"line\r\nline\n\0", "line\r\nline\n\0", "text", b"line\r\nline\n\0"),
        (b"\xff\x00\xfe", "/wD+", "base64", b"\xff\x00\xfe"),
        (b"\xc3", "ww==", "base64", b"\xc3"),
        ("\ufefftext".encode(), "\ufefftext", "text", b"\xef\xbb\xbftext"),
    ],
)
def test_the_body_is_shown_with_its_size_and_hash(body, shown, encoding, raw):
    """Text as text, bytes as base64, and the hash of the bytes that were sent."""
    document = echo(method="POST", body=body)
    assert document["body"] == shown
    assert document["body_encoding"] == encoding
    assert document["body_bytes"] == len(raw)
    assert document["body_sha256"] == hashlib.sha256(raw).hexdigest()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary())
def test_any_bytes_come_back_as_they_were_sent(raw):
    """No byte is lost between the event and the answer."""
    document = echo(method="PUT", body=raw)
    shown = document["body"]
    assert (shown.encode() if document["body_encoding"] == "text" else base64.b64decode(shown)) == raw
    assert document["body_sha256"] == hashlib.sha256(raw).hexdigest()


def test_a_body_of_64_kib_is_shown_and_one_byte_more_is_not():
    """A long body is known by its size and hash."""
    limit = 64 * 1024
    assert echo(method="POST", body=b"x" * limit)["body"] == "x" * limit
    longer = echo(method="POST", body=b"x" * (limit + 1))
    assert (longer["body"], longer["body_encoding"]) == (None, "omitted")
    assert longer["body_bytes"] == limit + 1
    assert longer["body_sha256"] == hashlib.sha256(b"x" * (limit + 1)).hexdigest()


@pytest.mark.parametrize("raw", [b"\x00" * 64 * 1024, b"\xff" * 64 * 1024, "ä".encode() * 32 * 1024])
def test_the_longest_answer_fits_into_lambda_s_limit(raw):
    """Six characters of JSON for one byte stay far under 6 MB."""
    answer = module.handler(make_event(method="POST", path="/api/echo", body=raw, headers=identity_headers()), None)
    assert len(json.dumps(answer)) < 3_000_000


def test_the_identity_is_part_of_the_echo():
    """One request shows what arrived, and whose it is."""
    assert echo(headers=identity_headers())["identity"]["username"] == "ada"
    assert echo()["identity"] == {"anonymous": True}


SECRET_HEADERS = {
    "authorization": "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/hush",
    "proxy-authorization": "Basic hush",
    "x-amz-security-token": "hush",
    "x-api-key": "hush",
    "x-id-token": "hush",
    "x-csrf-token": "hush",
    "origin-authorization": "Bearer hush",
    "x-client-secret": "hush",
    "x-session-id": "hush",
    "X-Password": "hush",
    "cookie": "session=hush",
}


def test_no_credential_is_echoed():
    """The role's session token, above all, does not leave the function; the header's name does."""
    document = echo(headers=SECRET_HEADERS, cookies=["session=hush; x", "theme=hush", "bare"])
    text = json.dumps(document)
    assert "hush" not in text
    assert SESSION_TOKEN not in text
    assert document["headers_withheld"] == sorted(SECRET_HEADERS)
    assert not set(SECRET_HEADERS) & set(document["headers"])
    assert document["cookie_names"] == ["session", "theme", "bare"]


def test_every_other_header_is_echoed():
    """What the gateway added and what the viewer sent can be looked at."""
    sent = {**identity_headers(), "accept": "*/*", "content-type": "text/plain", "x-custom": "a, b"}
    headers = echo(headers=sent)["headers"]
    assert {name: headers[name] for name in sent} == sent
    assert headers["x-amz-content-sha256"]


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        {},
        None,
        [],
        "event",
        {"requestContext": None},
        {"requestContext": {"requestId": 1}},
        {"version": "1.0", "httpMethod": "GET", "path": "/api/whoami"},
        {"requestContext": {"http": None, "requestId": "x"}, "rawPath": "/api/whoami"},
        {"requestContext": {"http": {"method": 7}}, "rawPath": "/api/whoami"},
        {"requestContext": {"http": {"method": "GET"}}, "rawPath": None},
    ],
)
def test_an_event_that_is_none_is_a_plain_500(event):
    """For any event of a direct Invoke, the answer is ours and holds no traceback."""
    status, headers, document = read_answer(module.handler(event, None))
    assert status == 500
    assert headers["content-type"] == "application/problem+json"
    assert document["code"] == "internal_error"
    assert "Error" not in document["detail"]


def test_a_fault_in_a_route_is_a_500_whose_reason_stands_in_the_log(capsys):
    """The caller gets the request id, the operator the traceback."""
    event = {
        **make_event(method="POST", path="/api/echo", headers=identity_headers()),
        "body": "!",
        "isBase64Encoded": True,
    }
    answer = read_answer(module.handler(event, None))
    assert_problem(answer, 500, "internal_error")
    assert "base64" not in json.dumps(answer[2])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (error,) = [line for line in lines if line["message"] == "internal_error"]
    assert error["request_id"] == REQUEST_ID
    assert "binascii.Error" in error["traceback"]


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"headers": SECRET_HEADERS},
        {"user_arn": OTHER_ARN},
        {"headers": identity_headers(email="ada@%ZZ")},
        {"path": "/api/echo", "query": "password=hush"},
        {"path": "/api/echo", "method": "POST", "body": "hush"},
        {"path": "/none"},
    ],
)
def test_the_log_is_json_lines_without_secrets(request_, capsys):
    """Never the event, a token, a query or a body."""
    module.handler(make_event(**request_), None)
    out = capsys.readouterr().out
    assert SESSION_TOKEN not in out
    assert "hush" not in out
    assert "ASIA" not in out
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["request_id"] for line in lines] == [REQUEST_ID] * len(lines)
    assert sum(line["message"] == "request" for line in lines) == 1


def test_powertools_development_mode_prints_nothing(capfd):
    """POWERTOOLS_DEV would print every event, session token included; the resolver ignores it."""
    script = (
        "import json, sys; from backend.handler import handler; "
        "print('status', handler(json.loads(sys.argv[1]), None)['statusCode'])"
    )
    environment = {"POWERTOOLS_DEV": "true", "EDGE_ACCOUNT_ID": ACCOUNT_ID, "EDGE_ROLE_NAME": ROLE_NAME}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, json.dumps(make_event())], check=True, env=environment
    )
    out, err = capfd.readouterr()
    assert out.splitlines()[-1] == "status 200"
    assert SESSION_TOKEN not in out + err
