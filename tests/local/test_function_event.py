"""The payload-2.0 event against AWS's captures, and a function's payload as an HTTP answer, each rule broken once."""

import base64
import json
import re

import pytest
from cognito_edge_local.origins.function_event import (
    MAX_ANSWER_BYTES,
    InvalidAnswerError,
    build_event,
    http_answer,
    new_trace_id,
)
from cognito_edge_local.origins.wire import WireRequest

from tests.local.door_support import CREDENTIAL

HOST = "2cxn22odiwguak4feg4jtt7cwm0ziblr.lambda-url.us-west-2.on.aws"
JSON_HEADERS = ((b"content-type", b"application/json"),)


def event_of(
    *, method=b"GET", path=b"/", query=b"", headers=(), body=b"", source_ip="68.8.83.18", now=1783711146.671
) -> dict:
    request = WireRequest(method, path, query, tuple(headers), body)
    return build_event(
        request,
        url_host=HOST,
        account_id="856369053181",
        credential=CREDENTIAL,
        source_ip=source_ip,
        request_id="d16a6b55-dea9-4b23-8499-eb85c3d2d904",
        trace_id="Root=1-6a5145aa-290a323a5de9a2e0636377d4",
        now=now,
    )


def test_event_equals_the_live_capture():
    """The captured request of 2026-07-10 gives the captured event, but for the authorizer, which AWS_IAM fills."""
    body = '{"message":"hello from the public internet","unicode":"lambda-λ"}'
    query = "repeat=one&repeat=two&redirect=https%3A%2F%2Fexample.com%2Fa%2Fb&literalPlus=a+b&encodedPlus=a%2Bb&empty="
    event = event_of(
        method=b"POST",
        path=b"/capture/space%20value",
        query=query.encode(),
        headers=(
            (b"host", HOST.encode()),
            (b"user-agent", b"curl/8.7.1"),
            (b"accept", b"*/*"),
            (b"content-type", b"application/json"),
            (b"cookie", b"session=abc123; theme=dark"),
            (b"x-voker-probe", b"first"),
            (b"x-voker-probe", b"second"),
            (b"content-length", b"66"),
        ),
        body=body.encode(),
    )
    assert event == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/capture/space%20value",
        "rawQueryString": query,
        "cookies": ["session=abc123", "theme=dark"],
        "headers": {
            "accept": "*/*",
            "content-length": "66",
            "content-type": "application/json",
            "cookie": "session=abc123; theme=dark",
            "host": HOST,
            "user-agent": "curl/8.7.1",
            "x-amzn-tls-cipher-suite": "TLS_AES_128_GCM_SHA256",
            "x-amzn-tls-version": "TLSv1.3",
            "x-amzn-trace-id": "Root=1-6a5145aa-290a323a5de9a2e0636377d4",
            "x-forwarded-for": "68.8.83.18",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
            "x-voker-probe": "first,second",
        },
        "queryStringParameters": {
            "empty": "",
            "encodedPlus": "a+b",
            "literalPlus": "a b",
            "redirect": "https://example.com/a/b",
            "repeat": "one,two",
        },
        "requestContext": {
            "accountId": "856369053181",
            "apiId": "2cxn22odiwguak4feg4jtt7cwm0ziblr",
            "authorizer": {
                "iam": {
                    "accessKey": CREDENTIAL.access_key_id,
                    "accountId": CREDENTIAL.account_id,
                    "callerId": "AROAEXAMPLEEXAMPLE000:us-east-1.edge",
                    "cognitoIdentity": None,
                    "principalOrgId": None,
                    "userArn": CREDENTIAL.principal_arn,
                    "userId": "AROAEXAMPLEEXAMPLE000:us-east-1.edge",
                }
            },
            "domainName": HOST,
            "domainPrefix": "2cxn22odiwguak4feg4jtt7cwm0ziblr",
            "http": {
                "method": "POST",
                "path": "/capture/space value",
                "protocol": "HTTP/1.1",
                "sourceIp": "68.8.83.18",
                "userAgent": "curl/8.7.1",
            },
            "requestId": "d16a6b55-dea9-4b23-8499-eb85c3d2d904",
            "routeKey": "$default",
            "stage": "$default",
            "time": "10/Jul/2026:19:19:06 +0000",
            "timeEpoch": 1783711146671,
        },
        "body": body,
        "isBase64Encoded": False,
    }


def test_absent_parts_are_left_out_as_in_aws_iam_captures():
    """Without query, cookies or body those keys are missing, not null."""
    assert event_of().keys() == {
        "version",
        "routeKey",
        "rawPath",
        "rawQueryString",
        "headers",
        "requestContext",
        "isBase64Encoded",
    }


def test_authorization_and_hop_by_hop_headers_end_at_the_door():
    """The signature does not reach the function; the date, token and hash do, as AWS's captures show."""
    names = ("authorization", "connection", "te", "transfer-encoding", "upgrade", "expect")
    kept = ("x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "via")
    headers = event_of(headers=[(name.encode(), b"x") for name in (*names, *kept)])["headers"]
    assert not headers.keys() & set(names)
    assert headers.keys() >= set(kept)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [(None, "10.0.0.9"), (b"203.0.113.7", "203.0.113.7"), (b"1.2.3.4, 203.0.113.7", "1.2.3.4, 203.0.113.7")],
)
def test_forwarded_for_is_what_was_sent_or_the_caller(sent, expected):
    """Lambda's front end does not append CloudFront's address."""
    headers = [(b"x-forwarded-for", sent)] if sent else []
    assert event_of(headers=headers, source_ip="10.0.0.9")["headers"]["x-forwarded-for"] == expected


def test_header_bytes_that_are_not_utf8_still_make_an_event():
    """Old clients send Latin-1; nothing is lost and nothing fails."""
    assert event_of(headers=[(b"x-name", b"Ren\xe9"), (b"x-utf8", "é".encode())])["headers"]["x-name"] == "René"


def test_forwarded_proto_and_port_cannot_be_brought_along():
    """What the caller says of the transport is replaced."""
    headers = event_of(headers=[(b"x-forwarded-proto", b"http"), (b"x-forwarded-port", b"80")])["headers"]
    assert (headers["x-forwarded-proto"], headers["x-forwarded-port"]) == ("https", "443")


def test_a_bare_query_name_has_an_empty_value():
    """``flag`` and ``flag=`` are the same parameter."""
    assert event_of(query=b"flag&x=1")["queryStringParameters"] == {"flag": "", "x": "1"}


def test_utf8_in_the_path_is_decoded_in_the_context_alone():
    """The rawPath stays encoded; http.path is decoded."""
    event = event_of(path=b"/caf%C3%A9%2Fx")
    assert (event["rawPath"], event["requestContext"]["http"]["path"]) == ("/caf%C3%A9%2Fx", "/café/x")


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("text/plain", True),
        ("text/csv; charset=utf-8", True),
        ("application/xml", True),
        ("application/javascript", True),
        ("application/x-www-form-urlencoded", False),
        ("application/octet-stream", False),
        ("multipart/form-data; boundary=x", False),
        ("application/problem+json", False),
        (None, False),
    ],
)
def test_bodies_are_text_by_content_type_alone(content_type, text):
    """The split that was observed on AWS; everything else is base64."""
    headers = [(b"content-type", content_type.encode())] if content_type else []
    event = event_of(headers=headers, body=b"a=1")
    assert event["isBase64Encoded"] is not text
    assert (event["body"].encode() if text else base64.b64decode(event["body"])) == b"a=1"


def test_a_text_body_that_is_not_utf8_loses_no_byte():
    """It is base64 rather than replaced characters."""
    event = event_of(headers=JSON_HEADERS, body=b"\xff\xfe")
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == b"\xff\xfe"


def test_trace_ids_are_made_or_carried_on():
    """A caller's trace stays the root; Lambda's own comes before it."""
    bare = WireRequest(b"GET", b"/", b"", (), b"")
    traced = WireRequest(b"GET", b"/", b"", ((b"x-amzn-trace-id", b"Root=1-abc-def"),), b"")
    assert re.fullmatch(r"Root=1-6a5145aa-[0-9a-f]{24}", new_trace_id(bare, 1783711146.6))
    assert re.fullmatch(r"Self=1-6a5145aa-[0-9a-f]{24};Root=1-abc-def", new_trace_id(traced, 1783711146.6))


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b'"Hello, world!"', b'{"message": "Hello, world!"}', b"null", b"[1, 2]", b"3"])
def test_a_payload_without_status_is_the_body_of_a_200(payload):
    """The guide's inferred format: 200, application/json, and the payload as it is (15 bytes for the quoted string)."""
    answer = http_answer(payload)
    assert (answer.status, answer.headers, answer.body) == (200, ((b"content-type", b"application/json"),), payload)


def test_the_guides_custom_answer():
    """Status, headers, several cookies and body go out as documented."""
    answer = http_answer(
        json.dumps(
            {
                "statusCode": 201,
                "headers": {"Content-Type": "text/plain", "My-Custom-Header": "Custom Value", "x-n": 7},
                "body": "höi",
                "cookies": ["Cookie_1=Value1; Expires=21 Oct 2021 07:48 GMT", "Cookie_2=Value2; Max-Age=78000"],
                "isBase64Encoded": False,
            }
        ).encode()
    )
    assert answer.status == 201
    assert answer.headers == (
        (b"Content-Type", b"text/plain"),
        (b"My-Custom-Header", b"Custom Value"),
        (b"x-n", b"7"),
        (b"set-cookie", b"Cookie_1=Value1; Expires=21 Oct 2021 07:48 GMT"),
        (b"set-cookie", b"Cookie_2=Value2; Max-Age=78000"),
    )
    assert answer.body == "höi".encode()


def test_binary_answers_are_decoded():
    """isBase64Encoded gives the bytes."""
    payload = {"statusCode": 200, "body": base64.b64encode(b"\x00\xff").decode(), "isBase64Encoded": True}
    assert http_answer(json.dumps(payload).encode()).body == b"\x00\xff"


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body_lose_it(status):
    """A body there would break the connection's framing."""
    assert http_answer(json.dumps({"statusCode": status, "body": "x"}).encode()).body == b""


def test_headers_that_belong_to_the_transport_are_remapped():
    """As API Gateway and function URLs do, www-authenticate included."""
    payload = {"statusCode": 401, "headers": {"WWW-Authenticate": "Bearer", "Content-Length": "9", "x-ok": "1"}}
    names = [name for name, _ in http_answer(json.dumps(payload).encode()).headers]
    assert names == [
        b"x-amzn-Remapped-WWW-Authenticate",
        b"x-amzn-Remapped-Content-Length",
        b"x-ok",
        b"content-type",
    ]


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"<html>", "not JSON"),
        (b"\xff", "not JSON"),
        (b'{"statusCode": "200"}', "statusCode"),
        (b'{"statusCode": true}', "statusCode"),
        (b'{"statusCode": 600}', "statusCode"),
        (b'{"statusCode": 199}', "statusCode"),
        (b'{"statusCode": 200, "headers": []}', "headers must be an object"),
        (b'{"statusCode": 200, "headers": {"a": ["x"]}}', "header a: a value must be a string"),
        (b'{"statusCode": 200, "headers": {"a": "x\\r\\nset-cookie: b=1"}}', "line break"),
        (b'{"statusCode": 200, "headers": {"a b": "x"}}', "not a header name"),
        (b'{"statusCode": 200, "cookies": "a=1"}', "cookies must be a list"),
        (b'{"statusCode": 200, "cookies": [1, null]}', "cookies: a value must be a string"),
        (b'{"statusCode": 200, "body": {"a": 1}}', "body must be a string, not dict"),
        (b'{"statusCode": 200, "isBase64Encoded": "yes"}', "isBase64Encoded must be"),
        (b'{"statusCode": 200, "body": "*", "isBase64Encoded": true}', "not base64"),
        (b'"' + b"x" * MAX_ANSWER_BYTES + b'"', "Lambda allows"),
    ],
)
def test_answers_of_another_form_are_refused_and_explained(payload, words):
    """Each rule of the payload broken once; the message says which."""
    with pytest.raises(InvalidAnswerError, match=re.escape(words)):
        http_answer(payload)
