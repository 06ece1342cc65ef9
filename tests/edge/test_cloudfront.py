"""edge/cognito_edge/cloudfront.py: the event in, the same event out with what the gateway states; headers that stay as they are."""

import copy
import json

import pytest
from cognito_edge.cloudfront import Request, is_dropped, response
from cognito_edge.errors import ConfigurationUnavailableError
from cognito_edge.target import Target

from tests.support.events import DISTRIBUTION, ORIGIN, headers_of, is_forwarded, make_event
from tests.support.gateways import CREDENTIALS, make_offline_system
from tests.support.keys_and_tokens import Pool
from tests.support.reference_signers import assert_every_reference_agrees, wire_form

# platform-facts, section 2: "add/change/delete → 502".
READ_ONLY = (
    "accept-encoding",
    "cdn-loop",
    "content-length",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "transfer-encoding",
    "via",
)
# The same section: not exposed, and a function that adds one gets a 502. Two stand for the families with a "*".
DISALLOWED = (
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "trailer",
    "upgrade",
    "x-accel-buffering",
    "x-accel-charset",
    "x-accel-limit-rate",
    "x-accel-redirect",
    "x-amz-cf-id",
    "x-amz-cf-pop",
    "x-amzn-auth",
    "x-amzn-cf-billing",
    "x-amzn-cf-id",
    "x-amzn-cf-xff",
    "x-amzn-errortype",
    "x-amzn-fle-profile",
    "x-amzn-header-count",
    "x-amzn-header-order",
    "x-amzn-lambda-integration-tag",
    "x-amzn-requestid",
    "x-cache",
    "x-edge-location",
    "x-forwarded-proto",
    "x-real-ip",
    "cloudfront-viewer-cert-pem",
    "client-cert",
    "client-cert-chain",
)
# docs/contracts.md: what may be signed, and nothing else.
SIGNED = {"host", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"}


@pytest.fixture(scope="module")
def system():
    """A gateway with keys and parameters at hand, and a public path."""
    return make_offline_system(
        {"version": 1, "routes": [{"path": "/public/*", "allow": "anyone"}, {"path": "/*", "token_use": ["id"]}]}
    )


@pytest.fixture(scope="module")
def token():
    """An ID token with groups."""
    return Pool().id_token(**{"cognito:groups": ["a", "b,c"]})


@pytest.fixture
def forward(system, token):
    """Send a request that starts valid with some headers, and return event and result."""

    def send(headers: dict | None = None, **changes: object) -> tuple[dict, dict]:
        event = make_event(**{"token": token, "headers": headers or {}, **changes})
        before = copy.deepcopy(event["Records"][0]["cf"]["request"])
        result = system(event)
        assert is_forwarded(result), result
        return before, result

    return send


# --- reading the event ------------------------------------------------------------------------------------------------


def test_the_event_is_read_by_its_documented_names():
    """Every field that the gateway needs, from where CloudFront puts it."""
    event = make_event(method="PUT", uri="/a", querystring="b=c", origin_path="/v1", headers={"x-a": ["1", "2"]})
    request = Request(event)
    assert (request.method, request.uri, request.querystring) == ("PUT", "/a", "b=c")
    assert (request.origin_domain, request.origin_path) == (ORIGIN, "/v1")
    assert request.distribution_domain == DISTRIBUTION
    assert request.request_id == event["Records"][0]["cf"]["config"]["requestId"]
    assert request.header("x-a") == "1"
    assert request.header_values("x-a") == ["1", "2"]
    assert request.header("x-b") is None
    assert request.header_values("x-b") == []


@pytest.mark.parametrize("querystring", [None, "", "absent"])
def test_no_query_is_an_empty_one(querystring):
    """The field is empty without a query; absent and null are read alike."""
    event = make_event()
    request = event["Records"][0]["cf"]["request"]
    if querystring == "absent":
        del request["querystring"]
    else:
        request["querystring"] = querystring
    assert Request(event).querystring == ""


@pytest.mark.parametrize("path", [None, "", "absent"])
def test_no_origin_path_is_an_empty_one(path):
    """Likewise."""
    event = make_event()
    custom = event["Records"][0]["cf"]["request"]["origin"]["custom"]
    if path == "absent":
        del custom["path"]
    else:
        custom["path"] = path
    assert Request(event).origin_path == ""


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        [],
        {"Records": []},
        {"Records": [{"cf": {}}]},
        {"Records": [{"cf": {"config": {}, "request": {}}}]},
        {
            "Records": [
                {"cf": {"config": {"requestId": "r", "distributionDomainName": "d"}, "request": {"origin": {"s3": {}}}}}
            ]
        },
    ],
)
def test_what_is_no_origin_request_event_is_a_500_and_no_exception(system, event):
    """Contract C6: the handler never raises, not even at what CloudFront never sends."""
    assert system.gateway.handle(event, 0)["status"] == "500"


@pytest.mark.parametrize(
    ("domain", "region"),
    [
        (ORIGIN, "eu-west-3"),
        ("a.lambda-url.us-east-1.on.aws", "us-east-1"),
        ("a.lambda-url.us-gov-west-1.on.aws", "us-gov-west-1"),
        ("a.lambda-url.ap-southeast-7.on.aws", "ap-southeast-7"),
    ],
)
def test_the_region_is_that_of_the_function_urls_host(monkeypatch, domain, region):
    """Never AWS_REGION, which is where the edge happens to run."""
    monkeypatch.setenv("AWS_REGION", "sa-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "sa-east-1")
    assert Request(make_event(origin=domain)).origin_region == region


@pytest.mark.parametrize(
    "domain",
    [
        *(
            "example.com",
            "bucket.s3.eu-west-1.amazonaws.com",
            "lambda-url.eu-west-1.on.aws",
            "a.lambda-url.eu-west-1",
            "",
        ),
        *("a.lambda-url.eu-west-1.evil.example", "a.lambda-url.eu-west-1.on.aws.evil.example", "a.lambda-url..on.aws"),
        *("a.b.lambda-url.eu-west-1.on.aws", "a.lambda-url.eu-west-1.on.aws\n"),
    ],
)
def test_an_origin_that_is_no_function_url_is_a_fault_of_the_set_up(system, token, domain):
    """503, with the host in the log alone: nothing is wrong with the request."""
    with pytest.raises(ConfigurationUnavailableError):
        _ = Request(make_event(origin=domain)).origin_region
    assert system(token=token, origin=domain)["status"] == "503"


# --- headers that stay as they are ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", READ_ONLY)
@pytest.mark.parametrize("values", [["x"], ["x", "y"]])
def test_read_only_headers_come_back_as_they_were(forward, name, values):
    """CloudFront answers 502 to a function that adds, deletes or changes one."""
    values = ["0", "0"][: len(values)] if name == "content-length" else values
    before, result = forward({name: values}, method="POST")
    assert result["headers"][name] == before["headers"][name]


def test_read_only_headers_that_did_not_come_are_not_added(forward):
    """The other half: nothing of the sort is made up."""
    before, result = forward()
    assert [name for name in READ_ONLY if name in result["headers"]] == [
        name for name in READ_ONLY if name in before["headers"]
    ]


def test_disallowed_headers_are_never_added(forward):
    """Whatever is signed or stated, none of CloudFront's disallowed names is among it."""
    _, result = forward()
    assert not set(DISALLOWED) & set(result["headers"])


@pytest.mark.parametrize("name", DISALLOWED)
def test_disallowed_headers_are_left_alone_were_they_ever_there(name):
    """They are not exposed; should one be, it is CloudFront's own business."""
    assert not is_dropped(name)


def test_no_read_only_header_is_ever_dropped():
    """Deleting one is a 502 as well."""
    assert not [name for name in READ_ONLY if is_dropped(name)]


def test_everything_else_comes_back_untouched_and_in_place(forward):
    """The event's own request is changed in place: fields that the gateway does not know stay as they are."""
    event = make_event(token=Pool().id_token(), origin_path="/v1")
    request = event["Records"][0]["cf"]["request"]
    request["origin"]["custom"]["somethingNew"] = {"a": 1}
    request["somethingElse"] = "x"
    before = copy.deepcopy(request)
    result = make_offline_system()(event)
    assert result is request
    for field in ("clientIp", "method", "origin", "somethingElse"):
        assert result[field] == before[field]
    assert {"inputTruncated", "encoding"} <= result["body"].keys()


def test_the_result_is_json(forward):
    """Lambda's runtime writes it as JSON."""
    _, result = forward({"x-a": "é"})
    assert json.loads(json.dumps(result)) == result


# --- headers that the viewer may send ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("accept", ["text/html", "application/json"]),
        ("cookie", ["a=1", "b=2"]),
        ("x-custom", ["1", "1", "1"]),
        ("content-type", ["application/json"]),
        ("user-agent", ["curl/8"]),
        ("te", ["trailers"]),
        ("x-forwarded-for", ["203.0.113.7, 198.51.100.7"]),
        ("x-amzn-trace-id", ["Root=1-67891233-abcdef012345678912345678"]),
        ("x-amazon-something", ["1"]),
        ("x-cognito", ["1"]),
        ("xcognito-sub", ["1"]),
        ("x-forwarded-proto", ["https"]),
        ("x-authorization", ["1"]),
        ("x-api-key", ["1"]),
        ("x-goog-api-key", ["1"]),
        ("x-request-id", ["1"]),
        ("x-ghost", ["1"]),
        ("mcp-session-id", ["1"]),
        ("if-match", ["*"]),
        ("cloudfront-viewer-country", ["DE"]),
        ("traceparent", ["00-1-1-01"]),
        ("origin", ["https://app.example.com"]),
        ("x-empty", [""]),
    ],
)
def test_other_headers_survive_with_their_repeats_keys_and_order(forward, name, values):
    """Each value of a repeated header is an entry of its own, as it was."""
    before, result = forward({name: values})
    assert result["headers"][name] == before["headers"][name]
    assert [item["value"] for item in result["headers"][name]] == values


@pytest.mark.parametrize(
    "name",
    [
        "x-cognito-sub",
        "X-Cognito-Groups",
        "x_cognito_groups",
        "X_COGNITO_GROUPS",
        "x-cognito_groups",
        "x_cognito-claims",
        "x-cognito-",
        "x-cognito-anything-new",
        "x-amz-date",
        "X-Amz-Security-Token",
        "x_amz_security_token",
        "x-amz-source-arn",
        "x-amz-source-account",
        "x-amz-meta-a",
        "x-amz-",
        "x_amz_cf_id",
        "x-amz_cf-id",
        "authorization",
        "Authorization",
        "forwarded",
        "Forwarded",
        "x-forwarded-host",
        "x_forwarded_host",
        "X-Forwarded_Host",
        # who calls, as proxies say it
        *("x-amzn-oidc-data", "X-Amzn-Oidc-Identity", "x-amzn-mtls-clientcert-subject", "x-amzn-request-context"),
        *(
            "x-amzn-lambda-context",
            "x-auth-request-user",
            "x-auth-request-groups",
            "x-envoy-original-path",
            "remote-user",
        ),
        *(
            "Remote-Groups",
            "x-remote-user",
            "x-remote-group",
            "x-webauth-user",
            "x-consumer-username",
            "x-forwarded-user",
        ),
        *("x-authenticated-userid", "cf-access-authenticated-user-email", "x-goog-iap-jwt-assertion"),
        *("x-goog-authenticated-user-email", "x-ms-client-principal", "x-ms-client-principal-id", "ssl-client-verify"),
        *("x-ssl-client-dn", "x-forwarded-client-cert", "x-forwarded-groups", "x-forwarded-access-token"),
        # which method, path and host are meant
        *("x-http-method-override", "x-http-method", "x-method-override", "x-override-url", "x-original-url"),
        *(
            "x-original-uri",
            "x-original-host",
            "x-original-method",
            "x-rewrite-url",
            "x-forwarded-prefix",
            "x-forwarded-uri",
        ),
        *("x-forwarded-port", "x-forwarded-server", "x-forwarded-scheme", "x-forwarded-ssl", "x-forwarded-path"),
        *("x-script-name", "script-name", "path-info", "x-host", "x-http-host-override", "proxy", "proxy-host"),
    ],
)
def test_headers_that_end_at_the_edge_are_dropped_in_any_case_and_with_underscores(name):
    """Only the gateway says who calls, and nothing says another method, path or host than the one that was judged."""
    assert is_dropped(name)


@pytest.mark.parametrize(
    "name",
    [
        "accept",
        "x-cognito",
        "cognito-sub",
        "x-amzn-trace-id",
        "x-amazon",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-amz-cf-id",
        "x-api-key",
        "x-authorization",
        "x-real-ip",
        "script",
        "remote",
        "x-method",
    ],
)
def test_headers_that_are_only_like_them_are_kept(name):
    """The accepting half."""
    assert not is_dropped(name)


@pytest.mark.parametrize("route", ["/api/whoami", "/public/x"])
@pytest.mark.parametrize("signed_in", [True, False])
@pytest.mark.parametrize(
    "form", ["x-cognito-groups", "X-Cognito-Groups", "x_cognito_groups", "X_COGNITO_SUB", "x-cognito-new"]
)
def test_a_viewers_identity_headers_reach_nobody_on_any_route(system, token, route, signed_in, form):
    """Public routes included, with a token and without."""
    result = system(uri=route, token=token if signed_in else None, headers={form: ["admins", "root"]})
    if not is_forwarded(result):
        assert (route, signed_in, result["status"]) == ("/api/whoami", False, "401")
        return
    assert "admins" not in json.dumps(result["headers"])
    assert "root" not in json.dumps(result["headers"])


def test_an_anonymous_request_on_a_public_path_carries_no_identity_and_is_signed(system):
    """No x-cognito-* at all, and the same signature rules."""
    result = system(uri="/public/x")
    assert not [name for name in result["headers"] if name.startswith("x-cognito")]
    assert_every_reference_agrees(wire_form(result))


@pytest.mark.parametrize(
    "name", ["x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "x-amz-source-arn", "x_amz_date"]
)
def test_a_viewers_sigv4_headers_are_dropped_or_replaced(forward, name):
    """Unsigned ones break the signature, spoofed ones look like AWS's own."""
    _, result = forward({name: ["spoofed", "twice"]})
    assert "spoofed" not in json.dumps(result)
    assert "twice" not in json.dumps(result)


def test_the_viewers_token_ends_at_the_edge(forward, token):
    """What leaves carries the gateway's signature in its place."""
    _, result = forward()
    assert token not in json.dumps(result)
    (item,) = result["headers"]["authorization"]
    assert item["value"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")


@pytest.mark.parametrize("sent", [{}, {"x-forwarded-host": "evil.example", "forwarded": "host=evil.example"}])
@pytest.mark.parametrize(("domain", "host"), [(None, DISTRIBUTION), ("app.example.com", "app.example.com")])
def test_the_forwarded_host_is_ours(token, sent, domain, host):
    """From the configured domain or else the distribution's; never from the viewer."""
    result = make_offline_system(domain_name=domain)(token=token, headers=sent)
    assert result["headers"]["x-forwarded-host"] == [{"key": "x-forwarded-host", "value": host}]
    assert "forwarded" not in result["headers"]
    assert "evil" not in json.dumps(result)


def test_the_viewers_address_is_kept(forward):
    """x-forwarded-for is CloudFront's and not signed; the backend needs it."""
    _, result = forward({"x-forwarded-for": "203.0.113.7, 198.51.100.7"})
    assert headers_of(result)["x-forwarded-for"] == "203.0.113.7, 198.51.100.7"


@pytest.mark.parametrize("host", ["app.example.com", DISTRIBUTION, ORIGIN, ["a", "b"]])
def test_host_is_always_the_function_urls(forward, host):
    """Whatever an origin request policy forwards: a function URL answers only to its own name."""
    _, result = forward({"host": host})
    assert result["headers"]["host"] == [{"key": "host", "value": ORIGIN}]


# --- what is signed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["via", "x-forwarded-for", "accept-encoding", "content-length", "user-agent", "te", "x-amzn-trace-id"]
)
@pytest.mark.parametrize("value", ["0", "17"])
def test_what_cloudfront_changes_on_the_way_is_never_signed(forward, name, value):
    """Their values change after the function, and the signature must not (jetbridge/cdk-nextjs#265, mhart/aws4#155)."""
    if name == "content-length":
        value = "0"
    _, result = forward({name: value})
    assert name not in wire_form(result).signed_names


def test_nothing_but_the_allow_list_is_signed(forward):
    """host, three x-amz headers and the identity; whatever else a viewer sends."""
    _, result = forward(
        {"x-custom": "1", "content-type": "a/b", "cookie": "c=d", "traceparent": "00-1-1-01", "range": "bytes=0-"}
    )
    names = set(wire_form(result).signed_names)
    assert names >= SIGNED
    assert all(name.startswith("x-cognito-") for name in names - SIGNED)


def test_every_identity_header_is_signed(forward):
    """A backend that checks nothing but IAM still knows that the gateway wrote them."""
    _, result = forward()
    identity = {name for name in result["headers"] if name.startswith("x-cognito-")}
    assert identity >= {"x-cognito-sub", "x-cognito-groups", "x-cognito-claims"}
    assert identity <= set(wire_form(result).signed_names)


def test_the_origins_own_path_is_signed_and_not_repeated_in_the_uri(forward):
    """CloudFront puts origin.custom.path before the uri on the wire."""
    _, result = forward(origin_path="/v1", uri="/a")
    assert result["uri"] == "/a"
    wire = wire_form(result)
    assert wire.path == "/v1/a"
    assert_every_reference_agrees(wire)


def test_the_signing_region_is_the_urls(forward):
    """Scope: this day, the URL's region, lambda."""
    _, result = forward(origin="x.lambda-url.ap-south-2.on.aws")
    assert "/20260921/ap-south-2/lambda/aws4_request" in headers_of(result)["authorization"]
    assert_every_reference_agrees(wire_form(result))


def test_the_session_token_goes_out_as_a_header_of_its_own(forward):
    """And is signed; a viewer's own is gone."""
    _, result = forward({"x-amz-security-token": "theirs"})
    assert result["headers"]["x-amz-security-token"] == [
        {"key": "x-amz-security-token", "value": CREDENTIALS.session_token}
    ]


def test_canonical_target_replaces_what_came(forward):
    """What is sent is what was signed."""
    _, result = forward(uri="//caf\u00e9//x", querystring="b=1&&a=+&flag")
    assert (result["uri"], result["querystring"]) == ("/caf%C3%A9/x", "b=1&a=%20&flag=")


def test_send_on_states_its_headers_once_over_whatever_was_there():
    """Every value of a header that the gateway states is the gateway's."""
    event = make_event(headers={"x-thing": ["1", "2"]})
    result = Request(event).send_on(Target("/t", "q=", ()), "host.example", [("x-thing", "3")])
    assert result["headers"]["x-thing"] == [{"key": "x-thing", "value": "3"}]
    assert (result["uri"], result["querystring"]) == ("/t", "q=")


# --- generated responses ----------------------------------------------------------------------------------------------


def test_a_generated_response_has_the_documented_shape():
    """Status a string, lower-case names with their keys, body as text."""
    assert response(418, "Teapot", [("X-A", "1"), ("Content-Type", "text/plain")], "é") == {
        "status": "418",
        "statusDescription": "Teapot",
        "headers": {
            "x-a": [{"key": "X-A", "value": "1"}],
            "content-type": [{"key": "Content-Type", "value": "text/plain"}],
        },
        "body": "é",
        "bodyEncoding": "text",
    }


def test_a_response_without_a_body_has_no_body_at_all():
    """A 204 with a body is an error to CloudFront."""
    assert response(204, "No Content", []).keys() == {"status", "statusDescription", "headers"}


@pytest.mark.parametrize("action", ["read-only", "replace", None])
def test_the_returned_body_is_read_only_whatever_the_event_said(action):
    """With "replace" and empty data CloudFront would send an empty body under the signature of a full one."""
    event = make_event(method="POST", body=b"abc", token=Pool().id_token())
    body = event["Records"][0]["cf"]["request"]["body"]
    if action is None:
        del body["action"]
    else:
        body["action"] = action
    result = make_offline_system()(event)
    assert (result["body"]["action"], result["body"]["data"]) == ("read-only", "")
