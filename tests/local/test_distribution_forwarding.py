"""What the edge twin makes of the viewer's request: policies, added and removed headers, the event, the wire."""

import base64
from dataclasses import replace

import pytest
from cognito_edge_local.cloudfront.behaviors import CachePolicy, Origin, OriginRequestPolicy, Selection

from tests.local.twin_rig import (
    ALL_VIEWER_EXCEPT_HOST,
    CACHING_DISABLED,
    GUARDED,
    HOST,
    URL_HOST,
    changes,
    distribution,
    send,
)

MEGABYTE = 1_048_576


def event_values(rig, name):
    return [entry["value"] for entry in rig.request_event["headers"].get(name, [])]


def policy(headers=None, cookies=None, queries=None):
    return OriginRequestPolicy("test", headers or Selection(), cookies or Selection(), queries or Selection())


def test_event_has_every_documented_field():
    """The event's shape, field by field, for a custom origin."""
    _, rig = send("POST", b"/a%20b?x=1", [(b"X-One", b"1")], b"\x00\xff")
    (event,) = rig.events
    assert list(event) == ["Records"]
    cf = event["Records"][0]["cf"]
    request_id = cf["config"].pop("requestId")
    assert cf["config"] == {
        "distributionDomainName": "d111111abcdef8.cloudfront.net",
        "distributionId": "E2EXAMPLE",
        "eventType": "origin-request",
    }
    assert len(request_id) == 56
    assert rig.arrived.values(b"x-amz-cf-id") == [request_id.encode()]
    request = cf["request"]
    assert set(request) == {"body", "clientIp", "headers", "method", "origin", "querystring", "uri"}
    assert request["clientIp"] == "127.0.0.1"
    assert (request["method"], request["uri"], request["querystring"]) == ("POST", "/a%20b", "x=1")
    assert request["body"] == {"inputTruncated": False, "action": "read-only", "encoding": "base64", "data": "AP8="}
    assert request["origin"] == {
        "custom": {
            "customHeaders": {},
            "domainName": URL_HOST,
            "keepaliveTimeout": 5,
            "path": "",
            "port": 443,
            "protocol": "https",
            "readTimeout": 5,
            "responseCompletionTimeout": 5,
            "sslProtocols": ["TLSv1.2"],
        }
    }
    assert request["headers"]["x-one"] == [{"key": "x-one", "value": "1"}]


def test_repeated_headers_stay_apart():
    """The event has one entry per value, in order; so has the wire."""
    _, rig = send("GET", b"/", [(b"X-Two", b"1"), (b"X-Other", b"x"), (b"x-two", b"2")])
    assert event_values(rig, "x-two") == ["1", "2"]
    assert rig.arrived.values(b"x-two") == [b"1", b"2"]


def test_host_is_the_origins_under_the_policy_for_function_urls():
    """Managed-AllViewerExceptHostHeader: the origin's own domain in the event and on the wire."""
    _, rig = send()
    assert event_values(rig, "host") == [URL_HOST]
    assert rig.arrived.values(b"host") == [URL_HOST.encode()]


@pytest.mark.parametrize("kind", ["allViewer", "whitelist"])
def test_host_is_the_viewers_where_the_policy_forwards_it(kind):
    """Managed-AllViewer breaks function URLs just like this."""
    chosen = policy(Selection(kind, frozenset({"host"})))
    _, rig = send(view=distribution(origin_request_policy=chosen))
    assert rig.arrived.values(b"host") == [HOST]


@pytest.mark.parametrize(
    ("method", "headers", "forwarded"),
    [
        ("GET", Selection("allExcept", frozenset({"host"})), True),
        ("GET", Selection("allViewer"), True),
        ("GET", Selection("allViewerAndWhitelistCloudFront", frozenset({"cloudfront-viewer-country"})), True),
        ("GET", Selection("allExcept", frozenset({"authorization"})), False),
        ("GET", Selection("whitelist", frozenset({"authorization"})), False),
        ("GET", Selection("none"), False),
        ("HEAD", Selection("none"), False),
        ("POST", Selection("none"), True),
        ("OPTIONS", Selection("none"), True),
    ],
)
def test_authorization_is_forwarded_only_with_all_viewer_headers(method, headers, forwarded):
    """It cannot be listed; without all headers GET and HEAD lose it."""
    view = distribution(origin_request_policy=policy(headers))
    _, rig = send(method, b"/", [(b"Authorization", b"Bearer t")], view=view)
    assert event_values(rig, "authorization") == ["Bearer t"] * forwarded


def test_options_loses_authorization_where_its_answers_are_cached():
    """A cached OPTIONS is treated like a GET."""
    view = distribution(origin_request_policy=None, cached_methods=frozenset({"GET", "HEAD", "OPTIONS"}))
    _, rig = send("OPTIONS", b"/", [(b"Authorization", b"Bearer t")], view=view)
    assert event_values(rig, "authorization") == []


@pytest.mark.parametrize(
    "name",
    [
        b"Expect",
        b"Keep-Alive",
        b"Proxy-Authorization",
        b"Proxy-Connection",
        b"TE",
        b"Trailer",
        b"X-Edge-Anything",
        b"X-Forwarded-Proto",
        b"X-Real-IP",
        b"X-Amz-Cf-Id",
    ],
)
def test_header_that_cloudfront_removes_reaches_nobody(name):
    """Neither the function nor the origin sees what the viewer sent under these names."""
    _, rig = send("GET", b"/", [(name, b"from-the-viewer")])
    assert event_values(rig, name.decode().lower()) == []
    assert b"from-the-viewer" not in rig.arrived.head


@pytest.mark.parametrize("name", [b"X-Cache", b"X-Amzn-RequestId", b"X-Accel-Redirect", b"Client-Cert"])
def test_disallowed_header_is_not_exposed_but_may_reach_the_origin(name):
    """What functions cannot see they cannot delete: the backend has to live with it."""
    _, rig = send("GET", b"/", [(name, b"from-the-viewer")])
    assert event_values(rig, name.decode().lower()) == []
    assert rig.arrived.values(name) == [b"from-the-viewer"]


def test_hop_headers_differ_between_the_function_and_the_wire():
    """Via grows after the function, Connection and X-Amz-Cf-Id are added: none of them can be part of a signature."""
    _, rig = send("GET", b"/", [(b"Via", b"1.0 proxy")])
    (via,) = event_values(rig, "via")
    assert via == "1.0 proxy, 1.1 local-edge.cloudfront.net (CloudFront)"
    assert rig.arrived.values(b"via") == [f"{via}, 1.1 local-regional.cloudfront.net (CloudFront)".encode()]
    assert event_values(rig, "x-amz-cf-id") == event_values(rig, "connection") == []
    assert rig.arrived.values(b"connection") == [b"Keep-Alive"]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([], "127.0.0.1"),
        ([b"192.0.2.1"], "192.0.2.1, 127.0.0.1"),
        ([b"192.0.2.1, 198.51.100.7"], "192.0.2.1, 198.51.100.7, 127.0.0.1"),
        ([b"192.0.2.1", b"198.51.100.7"], "192.0.2.1, 198.51.100.7, 127.0.0.1"),
        ([b"127.0.0.1"], "127.0.0.1, 127.0.0.1"),
        ([b"admin"], "admin, 127.0.0.1"),
    ],
    ids=repr,
)
def test_viewers_address_is_appended_once_to_what_it_says_of_itself(sent, expected):
    """One header, the same in the event and on the wire; its last address is the only one that cannot be made up.

    Source: RequestAndResponseBehaviorCustomOrigin.html, "Client IP addresses".
    """
    _, rig = send("GET", b"/", [(b"X-Forwarded-For", value) for value in sent])
    assert event_values(rig, "x-forwarded-for") == [expected]
    assert rig.arrived.values(b"x-forwarded-for") == [expected.encode()]


def test_user_agent_is_cloudfronts_unless_the_policy_forwards_it():
    """Without a policy that takes it the origin sees CloudFront."""
    agent = [(b"User-Agent", b"curl/8")]
    _, rig = send("GET", b"/", agent, view=distribution(origin_request_policy=None))
    assert event_values(rig, "user-agent") == ["Amazon CloudFront"]
    _, rig = send("GET", b"/", agent)
    assert event_values(rig, "user-agent") == ["curl/8"]


@pytest.mark.parametrize(
    ("gzip", "brotli", "offered", "forwarded"),
    [
        (False, False, "gzip, deflate, br, zstd", ["gzip, deflate, br, zstd"]),
        (True, True, "gzip, deflate, br;q=0.5, zstd", ["br,gzip"]),
        (True, False, "gzip, br", ["gzip"]),
        (False, True, "gzip, br", ["br"]),
        (True, True, "deflate", []),
    ],
)
def test_accept_encoding_is_normalised_where_the_cache_policy_compresses(gzip, brotli, offered, forwarded):
    """With both flags off it is a header like any other (the API reference's words)."""
    view = distribution(cache_policy=replace(CACHING_DISABLED, gzip=gzip, brotli=brotli))
    _, rig = send("GET", b"/", [(b"Accept-Encoding", offered.encode())], view=view)
    assert event_values(rig, "accept-encoding") == forwarded


def test_cloudfront_headers_come_with_the_policy_and_not_from_the_viewer():
    """AllViewerExceptHostHeader adds them; what the viewer sent under the same name is replaced."""
    _, rig = send("GET", b"/", [(b"CloudFront-Viewer-Country", b"XX")])
    assert event_values(rig, "cloudfront-viewer-country") == ["ZZ"]
    assert event_values(rig, "cloudfront-forwarded-proto") == ["https"]
    listed = policy(Selection("allViewerAndWhitelistCloudFront", frozenset({"cloudfront-viewer-address"})))
    _, rig = send(view=distribution(origin_request_policy=listed))
    names = [name for name in rig.request_event["headers"] if name.startswith("cloudfront-")]
    assert names == ["cloudfront-viewer-address"]


@pytest.mark.parametrize(
    ("selection", "cookie", "query"),
    [
        (Selection("all"), [" a=1;b=2; c"], "a=1&b=2&a=%33&c"),
        (Selection("none"), [], ""),
        (Selection("whitelist", frozenset({"a"})), ["a=1"], "a=1&a=%33"),
        (Selection("allExcept", frozenset({"a"})), ["b=2; c"], "b=2&c"),
    ],
)
def test_cookies_and_queries_follow_their_own_selections(selection, cookie, query):
    """Each kind is filtered by name; what is kept is kept as it was sent."""
    chosen = replace(ALL_VIEWER_EXCEPT_HOST, cookies=selection, queries=selection)
    view = distribution(origin_request_policy=chosen)
    _, rig = send("GET", b"/?a=1&b=2&a=%33&c", [(b"Cookie", b"a=1;b=2; c")], view=view)
    assert event_values(rig, "cookie") == [value.strip() for value in cookie]
    assert rig.request_event["querystring"] == query


def test_cache_key_is_forwarded_too():
    """What a cache policy lists goes to the origin without an origin request policy."""
    listed = Selection("whitelist", frozenset({"x-key"}))
    cache = CachePolicy(
        "c", 0, 0, 0, gzip=False, brotli=False, headers=listed, cookies=Selection(), queries=Selection()
    )
    view = distribution(cache_policy=cache, origin_request_policy=None)
    _, rig = send("GET", b"/?q=1", [(b"X-Key", b"k"), (b"X-Other", b"o"), (b"Content-Type", b"t")], view=view)
    assert event_values(rig, "x-key") == ["k"]
    assert event_values(rig, "x-other") == []
    assert event_values(rig, "content-type") == ["t"]
    assert rig.request_event["querystring"] == ""


def test_origins_custom_headers_are_sent_and_replace_the_viewers():
    """The function sees them under the origin, and only there."""
    origin = replace(GUARDED.origin, custom_headers=(("X-Secret", "configured"),))
    _, rig = send("GET", b"/", [(b"x-secret", b"forged")], view=distribution(origin=origin))
    assert event_values(rig, "x-secret") == []
    shown = rig.request_event["origin"]["custom"]["customHeaders"]
    assert shown == {"x-secret": [{"key": "X-Secret", "value": "configured"}]}
    assert rig.arrived.values(b"x-secret") == [b"configured"]


def test_origin_path_is_put_before_the_uri_on_the_wire_only():
    """A signature has to cover origin.path + uri."""
    origin = Origin(kind="custom", domain_name=URL_HOST, path="/stage")
    _, rig = send("GET", b"/x?q", view=distribution(origin=origin))
    assert rig.request_event["uri"] == "/x"
    assert rig.request_event["origin"]["custom"]["path"] == "/stage"
    assert rig.arrived.request_line == b"GET /stage/x?q HTTP/1.1"


# --- the body ---


@pytest.mark.parametrize(("size", "truncated"), [(MEGABYTE, False), (MEGABYTE + 1, True), (3 * MEGABYTE, True)])
def test_body_is_truncated_for_the_function_and_whole_for_the_origin(size, truncated):
    """The function sees at most 1,048,576 raw bytes; read-only sends everything on, whatever ``data`` says."""
    body = bytes(range(256)) * (size // 256) + b"!" * (size % 256)

    def empties(request):
        request["body"]["data"] = ""

    _, rig = send("POST", b"/", [], body, function=changes(empties))
    shown = rig.events[0]["Records"][0]["cf"]["request"]["body"]
    assert shown["inputTruncated"] is truncated
    assert rig.arrived.body == body
    _, rig = send("POST", b"/", [], body)
    assert base64.b64decode(rig.request_event["body"]["data"]) == body[:MEGABYTE]


@pytest.mark.parametrize(
    ("method", "shown"), [("POST", b"body"), ("PUT", b"body"), ("PATCH", b"body"), ("DELETE", b""), ("OPTIONS", b"")]
)
def test_body_is_exposed_for_some_methods_and_forwarded_for_all(method, shown):
    """DELETE's body is not exposed although Content-Length announces one (anomalyco/sst#6427)."""
    _, rig = send(method, b"/", [], b"body")
    assert base64.b64decode(rig.request_event["body"]["data"]) == shown
    assert event_values(rig, "content-length") == ["4"]
    assert rig.arrived.body == b"body"


def test_chunked_body_stays_chunked():
    """Transfer-Encoding is forwarded; the function sees the decoded bytes."""
    chunks = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    _, rig = send("POST", b"/", [(b"Transfer-Encoding", b"chunked")], chunks)
    assert base64.b64decode(rig.request_event["body"]["data"]) == b"abcde"
    assert rig.arrived.values(b"transfer-encoding") == [b"chunked"]
    assert rig.arrived.body == b"abcde"


def test_without_include_body_the_event_has_none_and_the_origin_gets_it():
    """No ``body`` key at all."""
    function = replace(GUARDED.edge_function, include_body=False)
    _, rig = send("POST", b"/", [], b"body", view=distribution(edge_function=function))
    assert "body" not in rig.request_event
    assert rig.arrived.body == b"body"


@pytest.mark.parametrize(
    ("encoding", "data", "sent"),
    [("base64", "AP8=", b"\x00\xff"), ("text", "é", "é".encode()), ("text", "", b"")],
)
def test_replaced_body_goes_on_in_place_of_the_viewers(encoding, data, sent):
    """``replace`` sends the function's body, with a length that fits."""

    def replaces(request):
        request["body"] = {"action": "replace", "encoding": encoding, "data": data}

    _, rig = send("POST", b"/", [], b"the viewer's body", function=changes(replaces))
    assert rig.arrived.body == sent
    assert rig.arrived.values(b"content-length") == [str(len(sent)).encode()]


# --- text and bytes ---


def test_unchanged_values_keep_their_bytes_and_changed_ones_become_utf8():
    """ISO-8859-1 bytes come back as they were unless the function touches the field."""
    headers = [(b"X-Kept", b"caf\xe9"), (b"X-Changed", b"caf\xe9")]

    def change(request):
        assert request["headers"]["x-kept"][0]["value"] == "café"
        request["headers"]["x-changed"][0]["value"] += "!"
        request["querystring"] += "&n=ü"

    _, rig = send("GET", b"/caf\xe9?q=\xe9", headers, function=changes(change))
    assert rig.arrived.request_line == b"GET /caf\xe9?q=\xc3\xa9&n=\xc3\xbc HTTP/1.1"
    assert rig.arrived.values(b"x-kept") == [b"caf\xe9"]
    assert rig.arrived.values(b"x-changed") == ["café!".encode()]


def test_function_may_change_target_headers_and_origin():
    """What the documentation allows arrives as the function wrote it; a header without ``key`` gets initial capitals."""

    def change(request):
        request["uri"] = "/new%2Fpath"
        request["querystring"] = "x=1&x=2"
        request["headers"]["authorization"] = [{"key": "Authorization", "value": "AWS4-HMAC-SHA256 …"}]
        request["headers"]["x-cognito-sub"] = [{"value": "me"}]
        request["headers"].pop("user-agent", None)
        request["origin"]["custom"]["path"] = "/stage"

    headers = [(b"Authorization", b"Bearer t"), (b"User-Agent", b"curl")]
    _, rig = send("GET", b"/old?y", headers, function=changes(change))
    assert rig.arrived.request_line == b"GET /stage/new%2Fpath?x=1&x=2 HTTP/1.1"
    assert rig.arrived.values(b"authorization") == ["AWS4-HMAC-SHA256 …".encode()]
    assert b"X-Cognito-Sub: me" in rig.arrived.head
    assert rig.arrived.values(b"user-agent") == []


def test_observer_sees_the_whole_exchange():
    """What a trace page needs: the request as it came, event, result, what was sent, what was answered."""
    _, rig = send("GET", b"/x?secret=1", [(b"Authorization", b"Bearer t0ken")])
    (exchange,) = rig.exchanges
    assert exchange.viewer.path == b"/x"
    assert exchange.event == rig.events[0]
    assert exchange.result["uri"] == "/x"
    assert exchange.sent.target == b"/x?secret=1"
    assert (b"Connection", b"Keep-Alive") in exchange.wire_headers
    assert (exchange.status, exchange.answered_by, exchange.problem) == (200, "origin", "")
    assert exchange.duration_ms > 0
    assert "t0ken" not in repr(exchange)
