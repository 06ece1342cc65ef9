"""The running door, called over a socket by two independent signers: who gets in, what everyone else is told."""

import asyncio
import base64
import dataclasses
import hashlib
import json
import os
import re

import pytest
import requests
from cognito_edge_local.origins.function_event import MAX_EVENT_BYTES
from cognito_edge_local.origins.function_url import FORBIDDEN, FunctionUrlDoor, server_config
from cognito_edge_local.origins.principals import PolicyReadError, StaticCredentials, StaticPolicies
from cognito_edge_local.origins.sigv4 import INVALID_TOKEN, MISMATCH

from tests.local.door_support import (
    ACCOUNT,
    BOTH,
    CREDENTIAL,
    FUNCTION_ARN,
    REGION,
    URL_HOST,
    Signed,
    error_of,
    exchange,
    running_door,
    sign_awscrt,
    sign_botocore,
)


@pytest.fixture(scope="module")
def served():
    with running_door() as running:
        yield running


@pytest.fixture
def door(served):
    """The door as after its start."""
    served.reset()
    return served


ACCESS_DENIED = (403, "AccessDeniedException", {"Message": FORBIDDEN})
SIGNATURE_MISMATCH = (403, "InvalidSignatureException", {"message": MISMATCH})


# --- in ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [sign_botocore, sign_awscrt])
@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/api/whoami", b""),
        ("HEAD", "/api/whoami", b""),
        ("GET", "/caf%C3%A9/(x)!?b=2&a=1&a=%20%2B&q%5B0%5D=%F0%9F%98%80", b""),
        ("POST", "/api/echo", b'{"a": 1}'),
        ("DELETE", "/api/echo", bytes(range(256))),
        ("PUT", "/api/echo?x=", os.urandom(1024 * 1024)),
    ],
    ids=["get", "head", "awkward", "json", "binary", "1 MiB"],
)
def test_correctly_signed_requests_reach_the_function(door, sign, method, target, body):
    """Both signers' requests pass, and the function sees their target and bytes."""
    answer = door.send(sign(method, target, body))
    assert (answer.status, answer.body) == (200, b"" if method == "HEAD" else b"ok"), door.last_words
    (event,) = door.events
    path, _, query = target.partition("?")
    assert (event["rawPath"], event["rawQueryString"]) == (path, query)
    assert base64.b64decode(event.get("body", "")) == body
    assert not door.said


def test_the_doors_own_loopback_address_is_a_host_too(door):
    """A developer may sign for 127.0.0.1 and call the door directly; the function sees the URL's own name."""
    for name in ("127.0.0.1", "localhost"):
        assert door.send(sign_botocore("GET", "/", host=f"{name}:{door.port}")).status == 200
    assert {event["headers"]["host"] for event in door.events} == {URL_HOST}


def test_requests_library_with_its_own_framing_gets_in(door):
    """An everyday HTTP client, chunked transfer included, is served."""
    body = b"chunk" * 1000
    signed = sign_botocore("POST", "/api/echo", body, host=f"127.0.0.1:{door.port}")
    answer = requests.post(
        f"http://127.0.0.1:{door.port}/api/echo",
        data=iter([body[:100], body[100:]]),
        headers=signed.headers,
        timeout=10,
    )
    assert answer.status_code == 200, door.last_words
    assert base64.b64decode(door.events[0]["body"]) == body


def test_event_names_the_caller_and_carries_no_signature(door):
    """The function learns who called from authorizer.iam; the Authorization header stays at the door."""
    door.send(sign_botocore("GET", "/"))
    (event,) = door.events
    iam = event["requestContext"]["authorizer"]["iam"]
    assert (iam["userArn"], iam["accessKey"]) == (CREDENTIAL.principal_arn, CREDENTIAL.access_key_id)
    assert "authorization" not in event["headers"]
    assert event["headers"]["x-amz-content-sha256"] == hashlib.sha256(b"").hexdigest()
    assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"


def test_forwarded_headers_do_not_change_the_source_address(door):
    """The server must not believe X-Forwarded-For of callers on loopback."""
    door.send(sign_botocore("GET", "/", headers={"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http"}))
    (event,) = door.events
    assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"
    assert event["headers"]["x-forwarded-for"] == "203.0.113.9"


# --- out: signature ---------------------------------------------------------------------------------------------------


def test_unsigned_requests_get_access_denied(door):
    """AWS's first 403: capital Message, AccessDeniedException."""
    assert error_of(exchange(door.port, "GET", "/", [("Host", URL_HOST)])) == ACCESS_DENIED
    bearer = [("Host", URL_HOST), ("Authorization", "Bearer abc.def.ghi")]
    assert error_of(exchange(door.port, "GET", "/", bearer)) == ACCESS_DENIED
    assert not door.events
    assert "not signed" in door.last_words
    assert "abc.def.ghi" not in door.last_words


def test_presigned_requests_are_refused_by_name(door):
    """Query signatures are not served, and the console says so."""
    answer = exchange(door.port, "GET", "/?X-Amz-Algorithm=x&X-Amz-Signature=y", [("Host", URL_HOST)])
    assert error_of(answer) == ACCESS_DENIED
    assert "presigned" in door.last_words


def test_a_wrong_secret_gets_invalid_signature(door):
    """AWS's second 403: lower-case message, InvalidSignatureException; the console shows what was to be signed."""
    wrong = dataclasses.replace(CREDENTIAL, secret_access_key="another")
    assert error_of(door.send(sign_botocore("GET", "/api?a=1", credential=wrong))) == SIGNATURE_MISMATCH
    assert not door.events
    assert "no usual mistake" in door.last_words
    assert "secret access key" in door.last_words


def test_an_unknown_key_gets_awss_words(door):
    """As traced on AWS: InvalidSignatureException with the token message."""
    stranger = dataclasses.replace(CREDENTIAL, access_key_id="ASIANOBODYNOBODY0000")
    assert error_of(door.send(sign_botocore("GET", "/", credential=stranger))) == (
        403,
        "InvalidSignatureException",
        {"message": INVALID_TOKEN},
    )


def test_a_stale_request_gets_signature_expired(door):
    """Ten minutes late: expired, with the three times."""
    door.clock_offset_s = 600
    status, error_type, body = error_of(door.send(sign_botocore("GET", "/")))
    assert (status, error_type) == (403, "InvalidSignatureException")
    assert re.fullmatch(
        r"Signature expired: \d{8}T\d{6}Z is now earlier than \d{8}T\d{6}Z \(\d{8}T\d{6}Z - 5 min\.\)", body["message"]
    )


def test_another_region_in_the_scope_is_refused(door):
    """The region is the URL's, not the signer's own."""
    status, _, body = error_of(door.send(sign_botocore("GET", "/", region="eu-west-1")))
    assert status == 403
    assert body["message"].startswith("Credential should be scoped to a valid region")


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "/api/whoamI?a=1"},
        {"target": "/api/whoami?a=3"},
        {"body": b"bodx"},
        {"headers": {"x-cognito-sub": "user-2"}},
        {"method": "PUT"},
    ],
    ids=["path", "query", "body", "signed header", "method"],
)
def test_a_single_change_on_the_way_is_refused(door, changes):
    """One bit of path, query, body, signed header or method: 403, and the function does not run."""
    signed = sign_botocore("POST", "/api/whoami?a=1", b"body", headers={"x-cognito-sub": "user-1"})
    if "headers" in changes:
        changes = {"headers": signed.headers | changes["headers"]}
    assert error_of(door.send(dataclasses.replace(signed, **changes))) == SIGNATURE_MISMATCH
    assert not door.events


@pytest.mark.parametrize("target", ["/a//b", "/a/../b", "/?q=a+b", "/?flag", "/a%2fb"])
def test_requests_with_several_readings_are_refused_by_name(door, target):
    """The strict door hides nothing: what AWS may read otherwise is a mismatch here, and the console says why."""
    assert error_of(door.send(sign_botocore("GET", target))) == SIGNATURE_MISMATCH
    assert "readings differ" in door.last_words


# --- out: target ------------------------------------------------------------------------------------------------------


def test_raw_brackets_in_the_query_get_access_denied(door):
    """As AWS_IAM URLs answer, before any signature is looked at; encoded ones are fine."""
    assert error_of(door.send(Signed("GET", "/?q[]=1", {"Host": URL_HOST}))) == ACCESS_DENIED
    assert "%5B" in door.last_words
    assert door.send(sign_awscrt("GET", "/?q%5B%5D=1")).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "127.0.0.1", f"{URL_HOST}.evil.example", ""])
def test_other_hosts_are_no_function_url(door, host):
    """A rebound name, another port or the viewer's host: what AWS says of a host that is not a function URL's."""
    signed = sign_botocore("GET", "/", host=host or URL_HOST)
    answer = door.send(dataclasses.replace(signed, headers=signed.headers | {"host": host}))
    assert error_of(answer) == (403, "AccessDeniedException", {"Message": None})
    assert f"Host must be {URL_HOST}" in door.last_words


@pytest.mark.parametrize("target", ["http://evil.example/", "/a#b", "*"])
def test_targets_in_other_forms_are_bad_requests(door, target):
    """An absolute target or a fragment reaches the door as it was sent, and is refused."""
    assert exchange(door.port, "GET", target, [("Host", URL_HOST)]).status == 400


@pytest.mark.parametrize("target", [b"/caf\xc3\xa9", b"/a\x01b", b"/a b"])
def test_bytes_that_no_target_may_hold_are_bad_requests(door, target):
    """The server refuses raw non-ASCII, control characters and spaces."""
    assert exchange(door.port, "GET", target, [("Host", URL_HOST)]).status == 400
    assert not door.events


# --- out: permissions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [0, 1], ids=["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"])
def test_both_permissions_are_needed(door, missing):
    """Either one alone gets AWS's first 403, and the console names the other."""
    door.identity = [statement for index, statement in enumerate(BOTH) if index != missing]
    assert error_of(door.send(sign_botocore("GET", "/"))) == ACCESS_DENIED
    assert f"allows {BOTH[missing]['Action']} on {FUNCTION_ARN}" in door.last_words
    assert not door.events


def test_one_actions_condition_does_not_serve_the_other(door):
    """Each action knows its own condition key alone."""
    door.identity = [{**statement, "Action": "lambda:Invoke*"} for statement in BOTH[:1]]
    assert error_of(door.send(sign_botocore("GET", "/"))) == ACCESS_DENIED


def test_the_resource_policy_suffices_in_one_account(door):
    """Same account: either side may grant."""
    door.identity = []
    door.resource = [
        {**statement, "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/edge-role"}} for statement in BOTH
    ]
    assert door.send(sign_botocore("GET", "/")).status == 200


def test_a_deny_in_the_resource_policy_wins(door):
    """Explicit Deny, whatever the role may do."""
    door.resource = [
        {"Sid": "NoBody", "Effect": "Deny", "Principal": "*", "Action": "lambda:InvokeFunction", "Resource": "*"}
    ]
    assert error_of(door.send(sign_botocore("GET", "/"))) == ACCESS_DENIED
    assert "denied by statement 'NoBody' of the resource policy" in door.last_words


def test_the_signature_is_judged_before_the_permissions(door):
    """As on AWS: a bad signature of a caller without permission is a signature error."""
    door.identity = []
    wrong = dataclasses.replace(CREDENTIAL, secret_access_key="another")
    assert error_of(door.send(sign_botocore("GET", "/", credential=wrong))) == SIGNATURE_MISMATCH


def test_what_the_evaluator_does_not_know_is_said_even_when_access_is_given(door):
    """A statement that could not be evaluated never passes in silence."""
    door.identity = [*BOTH, {**BOTH[0], "Sid": "Dated", "Condition": {"DateLessThan": {"aws:SourceIp": "2030"}}}]
    assert door.send(sign_botocore("GET", "/")).status == 200
    assert "'Dated'" in door.last_words
    assert "allows nothing" in door.last_words


def test_unreadable_policies_are_an_outage_and_not_a_refusal(door):
    """Neither access nor 403."""
    door.policy_failure = PolicyReadError("policies of role edge-role could not be read: refused")
    assert error_of(door.send(sign_botocore("GET", "/"))) == (
        500,
        "ServiceException",
        {"Message": "Internal Server Error"},
    )
    assert "could not be read" in door.last_words
    assert not door.events


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_text_of_five_point_nine_megabytes_fits_and_six_does_not(door):
    """Lambda's limit counts the event's JSON: 6 MB of text do not fit, a little less does."""
    text = {"content-type": "text/plain"}
    body = b"x" * 5_900_000
    assert door.send(sign_botocore("POST", "/", body, headers=text)).status == 200
    assert len(door.events[0]["body"]) == len(body)
    over = door.send(sign_botocore("POST", "/", b"x" * MAX_EVENT_BYTES, headers=text))
    assert error_of(over) == (
        413,
        "RequestTooLargeException",
        {"Message": "Request must be smaller than 6291456 bytes for the InvokeFunction operation"},
    )


def test_binary_bodies_grow_by_a_third_before_they_are_measured(door):
    """4.7 MB of binary fit; 4.8 MB are over 6 MB as base64."""
    assert door.send(sign_botocore("POST", "/", bytes(4_700_000))).status == 200
    assert door.send(sign_botocore("POST", "/", bytes(4_800_000))).status == 413
    assert len(door.events) == 1


def test_a_body_over_the_limit_is_refused_without_being_kept(door):
    """Read to its end, so that the caller gets the answer; hashed and stored it is not."""
    answer = exchange(door.port, "POST", "/", [("Host", URL_HOST)], bytes(MAX_EVENT_BYTES + 1))
    assert answer.status == 413


# --- answers ----------------------------------------------------------------------------------------------------------


def test_the_functions_answer_reaches_the_caller(door):
    """Status, headers, several cookies and bytes, plus Lambda's two ids."""
    door.payload = json.dumps(
        {
            "statusCode": 418,
            "headers": {"content-type": "image/gif", "x-own": "1"},
            "cookies": ["a=1; Secure", "b=2"],
            "body": base64.b64encode(b"GIF\x00").decode(),
            "isBase64Encoded": True,
        }
    ).encode()
    answer = door.send(sign_botocore("GET", "/"))
    assert (answer.status, answer.body, answer.header("content-type")) == (418, b"GIF\x00", "image/gif")
    assert [value for name, value in answer.headers if name.lower() == "set-cookie"] == ["a=1; Secure", "b=2"]
    assert answer.header("x-amzn-RequestId") == door.events[0]["requestContext"]["requestId"]
    assert answer.header("X-Amzn-Trace-Id").startswith(door.events[0]["headers"]["x-amzn-trace-id"])
    assert answer.header("server") is None


def test_a_bare_value_is_a_json_200(door):
    """A payload without statusCode is the body."""
    door.payload = b'{"message": "OK"}'
    answer = door.send(sign_botocore("GET", "/"))
    assert (answer.status, answer.body, answer.header("content-type")) == (200, door.payload, "application/json")


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body_keep_the_connection_in_step(door, status):
    """A body that the status forbids is dropped, whatever the function returned."""
    door.payload = json.dumps({"statusCode": status, "body": "never"}).encode()
    answer = door.send(sign_botocore("GET", "/"))
    assert (answer.status, answer.body) == (status, b"")


@pytest.mark.parametrize(
    ("payload", "function_error", "words"),
    [
        (b'{"errorMessage": "boom", "errorType": "ValueError"}', "Unhandled", "boom"),
        (b'{"statusCode": "abc"}', None, "statusCode"),
        (b"<html>", None, "not JSON"),
    ],
)
def test_failed_functions_and_broken_answers_are_502(door, payload, function_error, words):
    """The caller learns nothing but that; the console learns why."""
    door.payload, door.function_error = payload, function_error
    answer = door.send(sign_botocore("GET", "/"))
    assert (answer.status, answer.body) == (502, b"Internal Server Error")
    assert words in door.last_words


def test_an_invoker_that_fails_is_502(door):
    """Whatever goes wrong between door and function ends in an answer."""
    door.failure = ConnectionResetError("emulator gone")
    answer = door.send(sign_botocore("GET", "/"))
    assert (answer.status, answer.body) == (502, b"Internal Server Error")
    assert "ConnectionResetError: emulator gone" in door.last_words


# --- console ----------------------------------------------------------------------------------------------------------


def test_no_secret_is_ever_printed(door):
    """Session token, secret key and signature stay off the console, whichever way a request fails."""
    signed = sign_botocore("POST", "/api?a=1", b"x", headers={"cookie": "s=very-secret"})
    door.send(dataclasses.replace(signed, target="/other"))
    door.send(dataclasses.replace(signed, headers=signed.headers | {"X-Amz-Security-Token": "foreign-token"}))
    door.identity = []
    door.send(signed)
    signature = signed.headers["Authorization"].rpartition("=")[2]
    secrets = (CREDENTIAL.secret_access_key, CREDENTIAL.session_token, signature, "foreign-token", "very-secret")
    assert len(door.said) == 3
    for secret in secrets:
        assert secret not in door.last_words


def test_console_text_holds_no_terminal_escape(door):
    """What a caller sends is printed as printable ASCII."""
    exchange(door.port, "GET", "/", [("Host", URL_HOST), ("X-Amz-Date", "\x1b[31mred")])
    exchange(door.port, "GET", "/", [("Host", "a\x1b]0;title")])
    assert "\x1b" not in door.last_words


# --- server -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def unserved():
    """A door that no server serves; its function must not be reached."""
    return FunctionUrlDoor(
        function_name="api",
        function_arn=FUNCTION_ARN,
        region=REGION,
        account_id=ACCOUNT,
        url_host=URL_HOST,
        credentials=StaticCredentials(),
        policies=StaticPolicies(),
        invoke=None,
        console=lambda _: None,
    )


def test_server_settings_leave_the_wire_alone(unserved):
    """The settings that the door relies on are set: h11, no proxy headers, loopback, no websockets."""
    config = server_config(unserved, port=0)
    assert (config.host, config.http, config.ws, config.proxy_headers) == ("127.0.0.1", "h11", "none", False)


def converse(door, scope, *messages):
    """Call the door as a server would, and return what it sent."""
    incoming, sent = iter(messages), []

    async def receive():
        return next(incoming)

    async def send(message):
        sent.append(message)

    asyncio.run(door(scope, receive, send))
    return sent


def test_the_door_takes_part_in_start_and_stop(unserved):
    """ASGI's lifespan messages are answered, for servers that send them."""
    sent = converse(unserved, {"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_websockets_get_no_answer(unserved):
    """A function URL has none."""
    assert converse(unserved, {"type": "websocket"}) == []


def test_a_caller_that_leaves_in_the_middle_of_the_body_runs_nothing(unserved):
    """Half a body is never a request."""
    scope = {"type": "http", "method": "POST", "raw_path": b"/", "query_string": b"", "headers": []}
    sent = converse(
        unserved, scope, {"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}
    )
    assert sent[0]["status"] == 400
