"""The origin's side of the edge twin: answers stream back untouched, failures become CloudFront's statuses."""

import asyncio
import socket

import pytest

from tests.local.twin_rig import GUARDED, URL_HOST, RawOrigin, distribution, parse, send, twin

ALL = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]


def answering(answer, *, method="GET", headers=(), **changes):
    return send(method, b"/", headers, origin=RawOrigin(answer), view=distribution(**changes))


def test_answer_comes_back_untouched():
    """Status, repeated headers and binary body pass; CloudFront's own headers are added."""
    answer = (
        b"HTTP/1.1 201 Created\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nServer: Backend\r\n"
        b"Content-Type: application/octet-stream\r\nContent-Length: 4\r\nX-Cache: Hit from elsewhere\r\n\r\n\x00\xff\r\n"
    )
    reply, rig = answering(answer)
    assert (reply.status, reply.body) == (201, b"\x00\xff\r\n")
    assert reply.values("set-cookie") == ["a=1; Path=/", "b=2"]
    assert reply.values("server") == ["Backend"]
    assert reply.values("x-cache") == ["Miss from cloudfront"]
    assert reply.values("via") == ["1.1 local-edge.cloudfront.net (CloudFront)"]
    assert reply.values("x-amz-cf-pop") == ["LOCAL1-P1"]
    assert reply.values("x-amz-cf-id") == [rig.exchanges[0].request_id]


@pytest.mark.parametrize(("status", "cache"), [(399, "Miss"), (400, "Error"), (403, "Error"), (500, "Error")])
def test_error_statuses_of_the_origin_are_marked(status, cache):
    """X-Cache tells an answer from an error; the body is the origin's either way."""
    reply, _ = answering(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nno" % status)
    assert (reply.status, reply.body) == (status, b"no")
    assert reply.values("x-cache") == [f"{cache} from cloudfront"]


def test_hop_by_hop_headers_end_at_the_twin():
    """Connection and what it names, Keep-Alive, Upgrade belong to one connection (RFC 9110 §7.6.1)."""
    reply, _ = answering(
        b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\n"
        b"X-End: 1\r\nContent-Length: 0\r\n\r\n"
    )
    assert reply.values("x-hop") == reply.values("keep-alive") == reply.values("upgrade") == []
    assert reply.values("x-end") == ["1"]


def test_first_byte_passes_before_the_last_is_made():
    """Streaming: the origin goes on only after the viewer has its first chunk."""
    got_first = asyncio.Event()

    async def stream(_reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await writer.drain()
        await got_first.wait()
        writer.write(b"4\r\nlast\r\n0\r\n\r\n")
        await writer.drain()

    async def scenario(rig):
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        raw = await reader.readuntil(b"first")
        got_first.set()
        raw += await reader.read()
        writer.close()
        return parse(raw)

    reply, _ = twin(scenario, origin=RawOrigin(stream))
    assert reply.body == b"firstlast"


def test_request_body_streams_as_well():
    """What lies beyond the exposed megabyte reaches the origin while the viewer still sends."""
    begun = asyncio.Event()

    async def watch(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2_000_000)
        begun.set()
        await reader.readexactly(4)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()
        return head

    async def scenario(rig):
        server = await asyncio.start_server(watch, "127.0.0.1", 0)
        rig.origin.address = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2000004\r\n\r\n")
        writer.write(b"x" * 2_000_000)
        await begun.wait()
        writer.write(b"last")
        raw = await reader.read()
        writer.close()
        server.close()
        return parse(raw)

    reply, _ = twin(scenario)
    assert reply.body == b"ok"


def test_answer_before_the_body_was_read_gets_through():
    """An origin that refuses early need not take a large body first."""

    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        while await reader.read(65536):
            pass
        writer.close()

    async def scenario(rig):
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        rig.origin.address = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(b"DELETE / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        raw = await reader.readuntil(b"\r\n\r\nno")
        writer.close()
        server.close()
        return raw

    raw, _ = twin(scenario)
    assert raw.startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("status", [204, 304])
def test_status_without_body_has_none(status):
    """No body and no chunked framing on 204 and 304; the connection stays usable."""
    reply, _ = answering(b'HTTP/1.1 %d X\r\nETag: "x"\r\n\r\n' % status)
    assert (reply.status, reply.body) == (status, b"")
    assert reply.values("transfer-encoding") == []
    assert reply.values("etag") == ['"x"']


def test_head_keeps_the_length_and_has_no_body():
    """The origin's Content-Length describes what GET would have."""
    reply, _ = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n", method="HEAD")
    assert reply.values("content-length") == ["12345"]
    assert reply.body == b""


def test_informational_answers_are_skipped():
    """103 Early Hints is not the answer."""
    reply, _ = answering(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert (reply.status, reply.body) == (200, b"ok")


def test_body_that_ends_with_the_connection_is_passed_on():
    """HTTP/1.0 style framing."""
    reply, _ = answering(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
    assert reply.body == b"until the end"


# --- failures ---


def test_unreachable_origin_is_502():
    """Nothing listens where the domain resolves to."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    reply, rig = send(resolve=lambda _domain: address)
    assert reply.status == 502
    assert b"OriginConnectError: cannot connect to 127.0.0.1:" in reply.body
    assert "OriginConnectError" in rig.console[1]


@pytest.mark.parametrize("answer", [b"", b"no http at all\r\n\r\n"], ids=["closed", "garbage"])
def test_origin_without_a_usable_answer_is_502(answer):
    """A connection closed early, or bytes that are not HTTP."""
    reply, _ = answering(answer)
    assert reply.status == 502


def test_origin_that_does_not_answer_in_time_is_504():
    """The origin's read timeout."""

    async def silent(reader, _writer):
        await reader.read()

    origin = GUARDED.origin.__class__(kind="custom", domain_name=URL_HOST, read_timeout_s=0.2)
    reply, rig = answering(silent, origin=origin)
    assert reply.status == 504
    assert rig.console[1] == "  OriginTimeout: nothing came from the origin for 0.2 s"


def test_answer_over_the_completion_timeout_is_504():
    """The overall limit counts although every single packet is in time."""

    async def dribble(_reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(100):
            writer.write(b"X-%d: x\r\n" % number)
            await writer.drain()
            await asyncio.sleep(0.05)

    origin = GUARDED.origin.__class__(kind="custom", domain_name=URL_HOST, completion_timeout_s=0.3)
    reply, _ = answering(dribble, origin=origin)
    assert reply.status == 504
    assert b"not complete after 0.3 s" in reply.body


def test_answer_that_breaks_off_is_not_made_to_look_whole():
    """Too late for a 502: the viewer's connection ends before the announced length."""

    async def scenario(rig):
        return await rig.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    raw, rig = twin(scenario, origin=RawOrigin(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"))
    assert raw.endswith(b"\r\n\r\nhalf")
    assert rig.exchanges[0].problem.startswith("the answer was cut short: ")


# --- response headers policies ---


def cors(**changes):
    config = {
        "AccessControlAllowOrigins": {"Items": ["https://app.example.com", "*.example.org"]},
        "AccessControlAllowHeaders": {"Items": ["authorization"]},
        "AccessControlAllowMethods": {"Items": ["ALL"]},
        "AccessControlAllowCredentials": False,
        "AccessControlExposeHeaders": {"Items": ["x-a", "x-b"]},
        "AccessControlMaxAgeSec": 600,
        "OriginOverride": True,
    }
    return {"CorsConfig": config | changes}


PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
OWN_CORS = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: null\r\nVary: Accept\r\n\r\n"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (b"https://app.example.com", True),
        (b"https://app.example.com.evil", False),
        (b"http://app.example.com", False),
        (b"https://sub.example.org", True),
        (b"https://example.org", False),
    ],
)
def test_cors_of_the_policy_names_allowed_origins_only(origin, allowed):
    """The allowed origin is echoed, with Vary; any other gets nothing."""
    reply, _ = answering(PLAIN, headers=[(b"Origin", origin)], response_headers=cors())
    assert reply.values("access-control-allow-origin") == [origin.decode()] * allowed
    assert reply.values("access-control-expose-headers") == ["x-a,x-b"] * allowed
    assert reply.values("vary") == ["Origin"] * allowed
    assert reply.values("access-control-allow-methods") == []


def test_cors_headers_come_only_with_an_origin():
    """A request without an origin gets no CORS headers."""
    reply, _ = answering(PLAIN, response_headers=cors())
    assert [name for name, _ in reply.headers if name.startswith("access-control-")] == []


@pytest.mark.parametrize(("override", "value"), [(True, "https://app.example.com"), (False, "null")])
def test_cors_override(override, value):
    """On: the policy's header in place of the origin's. Off: the origin's stays. Never both."""
    headers = [(b"Origin", b"https://app.example.com")]
    reply, _ = answering(OWN_CORS, headers=headers, response_headers=cors(OriginOverride=override))
    assert reply.values("access-control-allow-origin") == [value]


def test_preflight_gets_methods_headers_and_age():
    """Only OPTIONS with Access-Control-Request-Method is a preflight."""
    headers = [(b"Origin", b"https://app.example.com"), (b"Access-Control-Request-Method", b"PUT")]
    reply, _ = answering(PLAIN, method="OPTIONS", headers=headers, response_headers=cors())
    assert reply.values("access-control-allow-methods") == [", ".join(ALL)]
    assert reply.values("access-control-allow-headers") == ["authorization"]
    assert reply.values("access-control-max-age") == ["600"]


@pytest.mark.parametrize(("credentials", "value"), [(False, "*"), (True, "https://x.example")])
def test_any_origin(credentials, value):
    """A star for every origin; with credentials a star is not allowed, so the origin is named."""
    policy = cors(AccessControlAllowOrigins={"Items": ["*"]}, AccessControlAllowCredentials=credentials)
    reply, _ = answering(PLAIN, headers=[(b"Origin", b"https://x.example")], response_headers=policy)
    assert reply.values("access-control-allow-origin") == [value]
    assert reply.values("access-control-allow-credentials") == ["true"] * credentials


def test_remove_then_add_with_override():
    """Removal comes first; each added header has its own override."""
    policy = {
        "RemoveHeadersConfig": {"Items": [{"Header": "X-Powered-By"}, {"Header": "Server"}]},
        "CustomHeadersConfig": {
            "Items": [
                {"Header": "X-Kept", "Value": "policy", "Override": False},
                {"Header": "X-Replaced", "Value": "policy", "Override": True},
                {"Header": "X-New", "Override": False},
            ]
        },
        "SecurityHeadersConfig": {
            "StrictTransportSecurity": {"AccessControlMaxAgeSec": 9, "IncludeSubdomains": True, "Override": True},
            "ContentTypeOptions": {"Override": True},
            "FrameOptions": {"FrameOption": "DENY", "Override": True},
            "ReferrerPolicy": {"ReferrerPolicy": "no-referrer", "Override": True},
            "ContentSecurityPolicy": {"ContentSecurityPolicy": "default-src 'none'", "Override": False},
            "XSSProtection": {"Protection": True, "ModeBlock": True, "Override": True},
        },
    }
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Powered-By: x\r\nServer: x\r\nX-Kept: origin\r\nX-Replaced: origin\r\n"
        b"Content-Security-Policy: origin\r\n\r\n"
    )
    reply, _ = answering(answer, response_headers=policy)
    assert reply.values("x-powered-by") == []
    assert reply.values("server") == ["CloudFront"]
    assert reply.values("x-kept") == ["origin"]
    assert reply.values("x-replaced") == ["policy"]
    assert reply.values("x-new") == [""]
    assert reply.values("strict-transport-security") == ["max-age=9; includeSubDomains"]
    assert reply.values("x-content-type-options") == ["nosniff"]
    assert reply.values("x-frame-options") == ["DENY"]
    assert reply.values("referrer-policy") == ["no-referrer"]
    assert reply.values("content-security-policy") == ["origin"]
    assert reply.values("x-xss-protection") == ["1; mode=block"]


def test_policy_applies_to_the_functions_own_answers():
    """A refusal that the edge generates gets the CORS headers too, or a browser could not read it."""

    async def refuses(_event):
        return {"status": "401", "headers": {"www-authenticate": [{"value": "Bearer"}]}}

    headers = [(b"Origin", b"https://app.example.com")]
    reply, _ = send("GET", b"/", headers, function=refuses, view=distribution(response_headers=cors()))
    assert reply.values("access-control-allow-origin") == ["https://app.example.com"]
