"""Each documented rule for the function's result, broken once on purpose, and its accepted twin at the boundary."""

import base64
import contextlib
import copy

import pytest
from cognito_edge_local.cloudfront.forwarding import OriginRequest, ViewerRequest, origin_request
from cognito_edge_local.cloudfront.origin_request_event import origin_request_event
from cognito_edge_local.cloudfront.result_rules import GeneratedResponse, judge
from cognito_edge_local.cloudfront.rules import RuleViolationError
from cognito_edge_local.lambda_runtime.runtime_api import EdgeFunctionError
from hypothesis import given
from hypothesis import strategies as st

from tests.local.twin_rig import GUARDED, changes, distribution, send

MEGABYTE = 1_048_576
# Read-only headers that the viewer sends in these tests; the function sees these and Via.
SENT = [(b"If-None-Match", b'"x"'), (b"Accept-Encoding", b"gzip"), (b"X-Mine", b"1")]


def header(name, *values):
    return lambda request: request["headers"].__setitem__(name, [{"key": name, "value": value} for value in values])


def without(name):
    return lambda request: request["headers"].__delitem__(name)


def put(**fields):
    return lambda request: request.update(fields)


def body(**fields):
    return lambda request: request["body"].update(fields)


def custom(**fields):
    return lambda request: request["origin"]["custom"].update(fields)


def entries(name, value):
    return lambda request: request["headers"].__setitem__(name, value)


def drop(name):
    return lambda request: {key: value for key, value in request.items() if key != name}


REQUEST_RULES = [
    # rule, what breaks it, what just does not
    ("read-only-header", without("via"), without("x-mine")),
    ("read-only-header", without("accept-encoding"), without("x-forwarded-for")),
    ("read-only-header", header("if-none-match", '"y"'), header("if-none-match", '"x"')),
    ("read-only-header", header("content-length", "3"), header("content-length", "4")),
    ("read-only-header", header("transfer-encoding", "chunked"), header("x-transfer-encoding", "chunked")),
    ("read-only-header", header("cdn-loop", "x"), header("cdn-loops", "x")),
    ("read-only-header", header("if-none-match", '"x"', '"x"'), header("x-mine", "1", "1")),
    ("disallowed-header", header("connection", "close"), header("x-connection", "close")),
    ("disallowed-header", header("x-amz-cf-id", "x"), header("x-amz-date", "x")),
    ("disallowed-header", header("x-edge-anything", "x"), header("x-edg", "x")),
    ("disallowed-header", header("x-cache", "x"), header("x-cached", "x")),
    ("disallowed-header", header("x-real-ip", "1"), header("x-forwarded-host", "h")),
    ("disallowed-header", header("cloudfront-viewer-cert-pem", "x"), header("cloudfront-viewer-country", "x")),
    ("header-name", header("x mine", "1"), header("x_mine!", "1")),
    ("header-name", header("", "1"), header("x", "1")),
    ("header-name-case", header("X-New", "1"), header("x-new", "1")),
    (
        "header-key",
        entries("x-new", [{"key": "X-Old", "value": "1"}]),
        entries("x-new", [{"key": "X-New", "value": "1"}]),
    ),
    ("header-key", entries("k", [{"key": "\u212a", "value": "1"}]), entries("k", [{"key": "K", "value": "1"}])),
    ("header-value", header("x-new", "a\r\nb: c"), header("x-new", "a\tb")),
    ("header-value", header("x-new", "a\x00"), header("x-new", "é \u2028")),
    ("header-entries", entries("x-new", "1"), entries("x-new", [{"value": "1"}])),
    ("header-entries", entries("x-new", [{"key": "x-new", "value": 1}]), entries("x-new", [])),
    ("headers-object", put(headers=[]), put()),
    ("uri-slash", put(uri="x"), put(uri="/")),
    ("uri-slash", put(uri=""), put(uri="//")),
    ("uri-slash", drop("uri"), drop("clientIp")),
    ("uri-characters", put(uri="/a b"), put(uri="/a%20b")),
    ("uri-characters", put(uri="/a\n"), put(uri="/a%0A")),
    ("uri-characters", put(uri="/a?b"), put(uri="/a%3Fb")),
    ("uri-characters", put(uri="/a#b"), put(uri="/a%23b")),
    ("query-characters", put(querystring="a b"), put(querystring="a+b%20c")),
    ("query-characters", put(querystring="a#b"), put(querystring="a%23b?c")),
    ("query-characters", put(querystring="a\x7f"), put(querystring="a%7F")),
    ("query-string", put(querystring=None), put(querystring="")),
    ("uri-length", put(uri="/" + "x" * 8189, querystring="qq"), put(uri="/" + "x" * 8188, querystring="qq")),
    ("uri-length", put(uri="/" + "é" * 4096, querystring=""), put(uri="/" + "é" * 4095, querystring="")),
    ("read-only-field", put(method="PUT"), put(method="POST")),
    ("read-only-field", put(clientIp="192.0.2.1"), put(clientIp="127.0.0.1")),
    ("read-only-field", body(inputTruncated=True), body(inputTruncated=False)),
    ("body-object", put(body="data"), put(body=None)),
    ("body-action", body(action="append"), body(action="read-only", data="!", encoding="?")),
    ("body-encoding", body(action="replace", encoding="utf-8"), body(action="replace", encoding="text", data="x")),
    ("body-encoding", body(action="replace", data=1), body(action="replace", data="")),
    ("base64", body(action="replace", data="x"), body(action="replace", data="eA==")),
    (
        "body-size",
        body(action="replace", encoding="text", data="x" * (MEGABYTE + 1)),
        body(action="replace", encoding="text", data="x" * MEGABYTE),
    ),
    (
        "body-size",
        body(action="replace", data=base64.b64encode(b"x" * (MEGABYTE + 3)).decode()),
        body(action="replace", data=base64.b64encode(b"x" * MEGABYTE).decode()),
    ),
    ("origin", put(origin={}), drop("origin")),
    ("origin", put(origin={"custom": None}), put()),
    ("origin-domain", custom(domainName=""), custom(path="/x")),
    ("origin-domain", custom(domainName="example.com:443"), custom(port=8443)),
    ("origin-domain", custom(domainName="127.0.0.1"), custom(protocol="http")),
    ("origin-domain", custom(domainName="a" * 254), custom(sslProtocols=["TLSv1.2", "TLSv1.1"])),
    ("origin-path", custom(path="x"), custom(path="/x")),
    ("origin-path", custom(path="/x/"), custom(path="")),
    ("origin-path", custom(path="/" + "x" * 255), custom(path="/" + "x" * 254)),
    ("origin-path", custom(path="/a b"), custom(path="/a%20b")),
    ("origin-port", custom(port=1023), custom(port=1024)),
    ("origin-port", custom(port=79), custom(port=80)),
    ("origin-number", custom(port=65_536), custom(port=65_535)),
    ("origin-number", custom(readTimeout=121), custom(readTimeout=120, responseCompletionTimeout=120)),
    ("origin-number", custom(keepaliveTimeout=0), custom(keepaliveTimeout=1)),
    ("origin-number", custom(responseCompletionTimeout=4), custom(responseCompletionTimeout=6)),
    ("origin-number", custom(port=True), custom(port=443)),
    ("origin-protocol", custom(protocol="match-viewer"), custom(protocol="https")),
    ("origin-protocol", custom(sslProtocols=["TLSv9"]), custom(sslProtocols=["TLSv1.2"])),
    (
        "custom-header",
        custom(customHeaders={"x-amz-date": [{"value": "x"}]}),
        custom(customHeaders={"x-date": [{"value": "x"}]}),
    ),
    (
        "custom-header",
        custom(customHeaders={"x-mine": [{"value": "x"}]}),
        custom(customHeaders={"x-yours": [{"value": "x"}]}),
    ),
    ("custom-header", custom(customHeaders={"host": [{"value": "x"}]}), custom(customHeaders={})),
    ("unicode", put(uri="/\ud800"), put(uri="/\U0001f510")),
]


def label(value):
    return value if isinstance(value, str) else ""


@pytest.mark.parametrize(("rule", "breaks", "keeps"), REQUEST_RULES, ids=label)
def test_rule_for_requests(rule, breaks, keeps):
    """Broken: 502 that names the rule on both sides, nothing reaches the origin. Kept: 200."""
    reply, rig = send("POST", b"/", SENT, b"body", function=changes(breaks))
    assert reply.status == 502
    assert f"\n{rule}: ".encode() in reply.body
    assert rig.console[1].startswith(f"  {rule}: ")
    assert rig.origin.arrived == []
    reply, rig = send("POST", b"/", SENT, b"body", function=changes(keeps))
    assert (reply.status, rig.console[1:]) == (200, [])
    assert len(rig.origin.arrived) == 1


def test_read_only_violation_reads_as_on_aws():
    """The words that people search for: the page's and the log's."""
    reply, rig = send("GET", b"/", function=changes(without("via")))
    assert b"The function tried to add, delete, or change a read-only header." in reply.body
    assert rig.console[1].endswith("the function tried to delete read-only header, headerName : via")


def test_values_of_headers_are_not_on_the_console():
    """A violation names the header; what it holds may be a token."""
    breaks = header("x-new", "s3cret\r\n")
    reply, rig = send("GET", b"/", function=changes(breaks))
    assert b"s3cret" not in reply.raw
    assert "s3cret" not in "".join(rig.console)


def test_a_token_in_the_path_is_not_on_the_console():
    """People paste it into the wrong place."""
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJlc2lnbmF0dXJl"
    _, rig = send("GET", f"/x/{token}".encode())
    assert rig.console[0].startswith("GET /x/[masked, ")
    assert "c2lnbmF0" not in "".join(rig.console)


def test_replacing_a_body_needs_the_include_body_option():
    """Without it the function may not put one there."""
    function = GUARDED.edge_function.__class__(GUARDED.edge_function.arn, include_body=False)
    replaces = put(body={"action": "replace", "encoding": "text", "data": "x"})
    reply, _ = send("POST", b"/", [], b"y", function=changes(replaces), view=distribution(edge_function=function))
    assert b"body-not-included" in reply.body


def answers(**response):
    async def function(_event):
        return {"status": "200"} | response

    return function


def head(**headers):
    return {name.replace("_", "-"): [{"value": value}] for name, value in headers.items()}


RESPONSE_RULES = [
    ("response-status", {"status": 200}, {"status": "200"}),
    ("response-status", {"status": "199"}, {"status": "599"}),
    ("response-status", {"status": "600"}, {"status": "401"}),
    ("response-status", {"status": "OK"}, {"statusDescription": "Fine"}),
    ("response-status", {"statusDescription": "a\nb"}, {"statusDescription": ""}),
    ("disallowed-header", {"headers": head(connection="close")}, {"headers": head(www_authenticate="Bearer")}),
    ("disallowed-header", {"headers": head(x_cache="x")}, {"headers": head(x_cached="x")}),
    ("read-only-header", {"headers": head(content_length="0")}, {"headers": head(content_type="text/plain")}),
    ("read-only-header", {"headers": head(transfer_encoding="chunked")}, {"headers": head(cache_control="no-store")}),
    ("header-value", {"headers": head(location="/\r\n")}, {"headers": head(location="/%0D%0A")}),
    ("body-encoding", {"body": b"x".hex, "bodyEncoding": "text"}, {"body": "x", "bodyEncoding": "text"}),
    ("body-encoding", {"body": "x", "bodyEncoding": "gzip"}, {"body": "eA==", "bodyEncoding": "base64"}),
    ("base64", {"body": "eA", "bodyEncoding": "base64"}, {"body": "", "bodyEncoding": "base64"}),
    ("response-body", {"status": "204", "body": "x"}, {"status": "204", "body": ""}),
    ("response-size", {"body": "x" * (MEGABYTE + 1)}, {"body": "x" * MEGABYTE}),
    (
        "response-size",
        {"body": "x" * (MEGABYTE - 5), "headers": head(x_a="123")},
        {"body": "x" * (MEGABYTE - 6), "headers": head(x_a="123")},
    ),
]


@pytest.mark.parametrize(("rule", "breaks", "keeps"), RESPONSE_RULES, ids=label)
def test_rule_for_generated_responses(rule, breaks, keeps):
    """Broken: 502 that names the rule. Kept: the function's answer, and the origin is not asked."""
    reply, rig = send("GET", b"/", function=answers(**breaks))
    assert reply.status == 502
    assert f"\n{rule}: ".encode() in reply.body
    assert rig.console[1].startswith(f"  {rule}: ")
    reply, rig = send("GET", b"/", function=answers(**keeps))
    assert reply.status == int(keeps.get("status", "200"))
    assert reply.values("x-cache") == ["LambdaGeneratedResponse from cloudfront"]
    assert rig.origin.arrived == []


@pytest.mark.parametrize("result", [None, [], "text", 5])
def test_result_must_be_an_object(result):
    """A function that forgets to return gets CloudFront's word for it."""

    async def function(_event):
        return result

    reply, _ = send(function=function)
    assert reply.status == 502
    assert b"result-object" in reply.body


def test_generated_response_arrives_as_written():
    """Status, repeated headers, binary body; CloudFront's own headers added."""
    cookies = {"set-cookie": [{"key": "Set-Cookie", "value": "a=1"}, {"key": "Set-Cookie", "value": "b=2"}]}
    response = {"status": "401", "headers": cookies, "body": "AP8=", "bodyEncoding": "base64"}
    reply, rig = send("GET", b"/", function=answers(**response))
    assert (reply.status, reply.body) == (401, b"\x00\xff")
    assert reply.values("set-cookie") == ["a=1", "b=2"]
    assert reply.values("content-length") == ["2"]
    assert reply.values("server") == ["CloudFront"]
    assert rig.console[0].endswith("ms edge")


def test_generated_response_to_head_has_no_body():
    """The length stays, the bytes do not come."""
    reply, _ = send("HEAD", b"/", function=answers(body="hello"))
    assert reply.values("content-length") == ["5"]
    assert reply.body == b""


def test_failed_function_is_503_and_named():
    """An exception, crash or timeout of the function; its message is on the page and on the console."""

    async def fails(_event):
        raise EdgeFunctionError("Runtime.ImportModuleError", "No module named 'boto3'")

    reply, rig = send(function=fails)
    assert reply.status == 503
    assert b"LambdaExecutionError: Runtime.ImportModuleError: No module named 'boto3'" in reply.body
    assert "LambdaExecutionError" in rig.console[1]
    assert rig.origin.arrived == []


def test_origin_changed_to_one_that_nobody_knows_is_502():
    """A function may send a request elsewhere, but not to a name that does not resolve here."""
    reply, _ = send(function=changes(custom(domainName="elsewhere.example.com")))
    assert reply.status == 502
    assert b"NonS3OriginDnsError: elsewhere.example.com" in reply.body


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PLACES = [
    (),
    ("uri",),
    ("querystring",),
    ("method",),
    ("headers",),
    ("headers", "x-new"),
    ("body",),
    ("body", "action"),
    ("body", "encoding"),
    ("body", "data"),
    ("origin",),
    ("origin", "custom"),
    ("origin", "custom", "customHeaders"),
    ("origin", "custom", "domainName"),
    ("origin", "custom", "path"),
    ("origin", "custom", "port"),
    ("origin", "custom", "protocol"),
    ("origin", "custom", "sslProtocols"),
    ("status",),
    ("statusDescription",),
    ("bodyEncoding",),
]


@given(place=st.sampled_from(PLACES), junk=JSON, generated=st.booleans())
def test_no_result_brings_the_twin_down(place, junk, generated):
    """Whatever JSON a function puts wherever: it passes or it breaks a rule with a name, and is never a fault."""
    viewer = ViewerRequest("POST", b"/", b"q", ((b"content-length", b"1"),), "127.0.0.1", 1)
    sent = origin_request(viewer, GUARDED)
    event = origin_request_event(view=distribution(), request_id="id", viewer=viewer, request=sent, body=b"x")
    result = copy.deepcopy(event["Records"][0]["cf"]["request"])
    result["body"]["action"] = "replace"
    if generated:
        result = {"status": "200", "body": "x", "headers": {}}
    if place:
        *parents, last = place
        target = result
        for parent in parents:
            target = target.setdefault(parent, {})
        if isinstance(target, dict):
            target[last] = junk
    else:
        result = junk
    with contextlib.suppress(RuleViolationError):
        assert isinstance(judge(result, event, sent), OriginRequest | GeneratedResponse)
