"""The viewer's side of the edge twin: what CloudFront refuses, which behavior it chooses, what of the target it keeps."""

import asyncio
import subprocess
from dataclasses import replace

import pytest
from cognito_edge_local.cloudfront.behaviors import DistributionView, normalize_path
from cognito_edge_local.hosts import answers_to

from tests.local.twin_rig import GUARDED, HOST, URL_HOST, RawOrigin, distribution, send, twin

ODD_TARGETS = [
    b"/plain?a=1&b=2",
    b"/%zz?%",
    b"/a%20b%2Fc/%c3%a9?x=%2B+",
    b"//double//slash/../dots/./?q",
    b'/[x]{y}|"^\\`<>?[0]={1}|"^\\`<>',
    "/é/ü?ö=ß".encode(),
    b"/\xff\xfe?\x80=\x81",
    b"/`C3`A9?`60",
    b"/a;b=c:@!$&'()*+,=~?a=b?c=/d",
    b"//evil@example.com:80/x",
]


@pytest.mark.parametrize("target", ODD_TARGETS, ids=repr)
def test_target_reaches_the_origin_byte_for_byte(target):
    """Nothing between the viewer's socket and the origin's decodes, normalises or escapes the target."""
    reply, rig = send("GET", target)
    assert reply.status == 200
    assert rig.arrived.request_line == b"GET " + target + b" HTTP/1.1"


def test_target_survives_being_cut_into_packets():
    """Non-ASCII bytes are taken in whatever pieces the request line comes."""
    target = "/é?ü".encode()

    async def scenario(rig):
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        for byte in b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()
        writer.close()

    _, rig = twin(scenario)
    assert rig.arrived.request_line == b"GET " + target + b" HTTP/1.1"


def test_second_request_of_a_connection_is_taken_as_raw_as_the_first():
    """Keep-alive changes nothing about the target."""

    async def scenario(rig):
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        for target in (b"/\xc3\xa9", b"/\xff"):
            writer.write(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\nok")
        writer.close()

    _, rig = twin(scenario)
    assert [request.request_line for request in rig.origin.arrived] == [
        b"GET /\xc3\xa9 HTTP/1.1",
        b"GET /\xff HTTP/1.1",
    ]


def ask(host, *, target=b"/", **options):
    """Send a request under a name, ``{port}`` being the twin's; gives the answer and the rig."""

    async def scenario(rig):
        return await rig.send("GET", target, hosts=[host.replace("{port}", str(rig.port)).encode()])

    return twin(scenario, **options)


KNOWN = [
    "127.0.0.1:{port}",
    "localhost:{port}",
    "LOCALHOST:{port}",
    "my.test",
    "My.Test:{port}",
    "d111111abcdef8.cloudfront.net",
    "d111111abcdef8.cloudfront.net:{port}",
    "www.example.com",
    "deep.sub.example.org",
]
UNKNOWN = [
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1",
    "localhost",
    "localhost:1",
    "my.test:1",
    "localhost:{port}.evil.example",
    "localhost.:{port}",
    "127.1:{port}",
    "2130706433:{port}",
    "0x7f.0.0.1:{port}",
    "[::1]:{port}",
    "localhost:",
    "localhost:{port}, evil.example",
    "user@localhost:{port}",
    "not-my.test",
    "my.test.evil.example",
    "d111111abcdef8.cloudfront.net.evil.example",
    "d222222abcdef8.cloudfront.net",
    "example.org",
    "evilexample.org",
]


@pytest.mark.parametrize("host", KNOWN)
def test_own_names_are_answered(host):
    """The loopback names with the port, the distribution's own name, its aliases, and what the twin was told."""
    view = replace(distribution(), aliases=("www.example.com", "*.example.org"))
    reply, _ = ask(host, view=view, names=("my.test",))
    assert reply.status == 200


@pytest.mark.parametrize("host", UNKNOWN)
def test_other_hosts_get_cloudfronts_403_before_anything_runs(host):
    """A name rebound to 127.0.0.1 reads nothing: no function, no origin, no name that would have been right."""
    view = replace(distribution(), aliases=("www.example.com", "*.example.org"))
    reply, rig = ask(host, view=view, names=("my.test",))
    assert reply.status == 403
    assert reply.values("x-cache") == ["Error from cloudfront"]
    assert reply.values("server") == ["CloudFront"]
    assert rig.events == rig.origin.arrived == []
    assert not [name for name in ("my.test", "example.org", "d111111", "localhost") if name.encode() in reply.body]


def test_other_hosts_do_not_get_the_site_either():
    """A behavior without the edge function, such as the page's, is as shut as the others."""
    site = replace(GUARDED, edge_function=None)
    assert ask("evil.example", view=distribution(site))[0].status == 403
    assert ask("localhost:{port}", view=distribution(site))[0].status == 200


def test_port_80_may_be_left_out():
    """It is what browsers do."""
    assert answers_to(b"localhost", 80, ()) is True
    assert answers_to(b"localhost", 8080, ()) is False


@pytest.mark.parametrize("hosts", [[], [b""], [HOST, HOST], [HOST, b"evil.example"]], ids=repr)
def test_no_host_or_two_are_400(hosts):
    """RFC 9112 §3.2; CloudFront would not know which distribution is meant."""

    async def scenario(rig):
        return await rig.send(hosts=hosts)

    reply, rig = twin(scenario)
    assert reply.status == 400
    assert rig.events == rig.origin.arrived == []


def test_old_request_without_a_host_is_400():
    """HTTP/1.0 has no Host; the twin's server lets it through."""

    async def scenario(rig):
        return await rig.raw(b"GET / HTTP/1.0\r\n\r\n")

    raw, rig = twin(scenario)
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert rig.events == []


@pytest.mark.parametrize("target", [b"/a b", b"/\x01", b"/a\tb", b"/\x7f", b"/a#b", b"/a?b#c", b"*", b"a/b"], ids=repr)
def test_malformed_target_is_400(target):
    """Controls, spaces, fragments and what does not begin with a slash end at the edge."""
    reply, rig = send("GET", target)
    assert reply.status == 400
    assert rig.origin.arrived == []


@pytest.mark.parametrize("value", [b"a\x01b", b"\x7f", b"\x1fa"], ids=repr)
def test_control_character_in_a_header_is_400(value):
    """It would be the edge function's own answer that is refused later on: 502, without the reason."""
    reply, rig = send("GET", b"/", headers=[(b"x-a", value)])
    assert reply.status == 400
    assert b"x-a" in reply.body
    assert rig.origin.arrived == []


@pytest.mark.parametrize("value", [b"a\tb", b"\xc3\xa9"], ids=repr)
def test_tabs_and_bytes_beyond_ascii_in_a_header_pass(value):
    """Both are field content."""
    reply, _ = send("GET", b"/", headers=[(b"x-a", value)])
    assert reply.status == 200


@pytest.mark.usefixtures("curl")
def test_curl_path_as_is():
    """The client that people test with gets its bytes through, dot segments and UTF-8 included."""

    async def scenario(rig):
        url = f"http://127.0.0.1:{rig.port}/a/../%2E%2E//x?q=[1]&r=ö"  # of a path, 8.23 escapes UTF-8 in upper case
        command = ["curl", "-sS", "--globoff", "--path-as-is", url]
        return await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)

    done, rig = twin(scenario)
    assert done.stdout == b"ok"
    assert rig.arrived.request_line == "GET /a/../%2E%2E//x?q=[1]&r=ö HTTP/1.1".encode()


@pytest.mark.parametrize(("size", "status"), [(8192, 200), (8193, 414)])
def test_url_over_8192_bytes_is_414(size, status):
    """The URL limit, on both sides of it."""
    result = {"uri": "/short", "querystring": ""}

    async def shortens(event):
        return event["Records"][0]["cf"]["request"] | result

    reply, _ = send("GET", b"/" + b"x" * (size - 1), function=shortens)
    assert reply.status == status
    assert (b"8192 are allowed" in reply.body) == (status == 414)


@pytest.mark.parametrize(("size", "status"), [(32_768, 200), (32_769, 494), (200_000, 494)])
def test_request_over_32768_bytes_is_494(size, status):
    """Request line and headers together, on both sides of the limit, and far beyond what servers usually take."""
    fixed = len(b"GET / HTTP/1.1\r\nHost: " + HOST + b"\r\nConnection: close\r\nX-Filler: \r\n")
    reply, _ = send("GET", b"/", [(b"X-Filler", b"x" * (size - fixed))])
    assert reply.status == status


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ([(b"Content-Length", b"0")], b"", 200),
        ([], b"x", 403),
        ([(b"Transfer-Encoding", b"chunked")], b"1\r\nx\r\n0\r\n\r\n", 403),
    ],
)
def test_get_with_a_body_is_403(headers, body, status):
    """CloudFront refuses it before the function runs; a length of zero means no body."""
    reply, rig = send("GET", b"/", headers, body)
    assert reply.status == status
    assert len(rig.events) == (status == 200)


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 403), ("BREW", 403)])
def test_method_outside_the_behavior_is_403(method, status):
    """Only what the behavior allows gets in; the answer says what that is."""
    reply, rig = send(method, view=distribution(allowed_methods=frozenset({"GET", "HEAD"})))
    assert reply.status == status
    assert len(rig.events) == (status == 200)
    assert (b"allows GET, HEAD" in reply.body) == (status == 403)


def test_refusal_looks_like_cloudfront_and_names_the_rule():
    """An error page has CloudFront's headers, the request id and the rule; the console has the rule too."""
    reply, rig = send("GET", b"/", body=b"x")
    assert reply.values("x-cache") == ["Error from cloudfront"]
    assert reply.values("server") == ["CloudFront"]
    request_id = reply.values("x-amz-cf-id")[0]
    assert request_id.encode() in reply.body
    assert b"GetWithBody: a GET request must not have a body" in reply.body
    assert rig.console[1] == "  GetWithBody: a GET request must not have a body"


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        (b"/a/b/..", b"/a/"),
        (b"/a//b", b"/a/b"),
        (b"/a/./b", b"/a/b"),
        (b"/../a", b"/a"),
        (b"/%61dmin", b"/admin"),
        (b"/%2e%2e/x", b"/x"),
        (b"/a%2fb", b"/a%2Fb"),
        (b"/", b"/"),
        (b"//", b"/"),
        (b"/a/", b"/a/"),
        (b"/\xc3\xa9", b"/\xc3\xa9"),
    ],
)
def test_path_is_normalised_for_the_choice_of_the_behavior(raw, normal):
    """RFC 3986 §6.2.2, and merged slashes, as the page on path normalisation says."""
    assert normalize_path(raw) == normal


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        (b"/api/x", "/api/*"),
        (b"/api/", "/api/*"),
        (b"/api", "*"),
        (b"/API/x", "*"),
        (b"/static/../api/x", "/api/*"),
        (b"//api//x", "/api/*"),
        (b"/%61pi/x", "/api/*"),
        (b"/img1.png", "img?.png"),
        (b"/img12.png", "*"),
        (b"/api/../x", "*"),
        (b"/a.b+c", "/a.b+c"),
        (b"/aXb+c", "*"),
    ],
)
def test_first_matching_pattern_wins_and_the_raw_path_is_forwarded(path, pattern):
    """``*`` and ``?``, case, order; what the origin gets is what the viewer sent."""
    behaviors = [replace(GUARDED, pattern=one) for one in ("/api/*", "img?.png", "/a.b+c", "*")]
    reply, rig = send("GET", path, view=distribution(*behaviors))
    assert reply.status == 200
    assert rig.exchanges[0].pattern == pattern
    assert rig.arrived.request_line == b"GET " + path + b" HTTP/1.1"


@pytest.mark.parametrize(("path", "uri"), [(b"/", "/index.html"), (b"/x", "/x"), (b"//", "//")])
def test_default_root_object(path, uri):
    """It stands for the bare slash only."""
    plain = distribution()
    view = DistributionView(plain.distribution_id, plain.domain_name, plain.behaviors, "index.html")
    _, rig = send("GET", path, view=view)
    assert rig.request_event["uri"] == uri


def test_console_line_has_no_query_and_no_controls():
    """One line per request: method, path, status, time, who answered. Queries may hold secrets."""
    reply, rig = send("GET", b"/p\xc3\xa9?token=secret")
    assert reply.status == 200
    (line,) = rig.console
    assert line.startswith("GET /p?? 200 ")
    assert line.endswith(f"ms edge, origin {URL_HOST}")
    assert "secret" not in line


def test_behavior_without_function_goes_straight_to_the_origin():
    """A public behavior, such as one for a static site, runs no function."""
    reply, rig = send("GET", b"/x", view=distribution(edge_function=None))
    assert reply.status == 200
    assert rig.events == []
    assert rig.console[0].endswith(f"ms origin {URL_HOST}")


def test_unresolvable_origin_is_502_before_the_function_runs():
    """CloudFront resolves the configured domain first; a dummy host never reaches the function."""
    reply, rig = send(resolve=lambda domain: {}[domain])
    assert reply.status == 502
    assert b"NonS3OriginDnsError" in reply.body
    assert rig.events == []


def test_viewer_that_leaves_in_the_middle_of_its_body_ends_the_exchange():
    """An abandoned upload neither hangs nor reaches the function as if it were whole."""

    async def scenario(rig):
        _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        writer.close()
        await rig.finished.wait()

    _, rig = twin(scenario)
    assert rig.events == []
    assert rig.exchanges[0].problem == "the viewer closed the connection"


def test_viewer_that_leaves_ends_an_answer_without_end():
    """An endless stream is not read on without a viewer: the origin's connection is closed too."""
    closed = asyncio.Event()

    async def endless(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await writer.drain()
        await reader.read()
        closed.set()

    async def scenario(rig):
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"data: 1\n\n")
        writer.close()
        await closed.wait()
        await rig.finished.wait()

    _, rig = twin(scenario, origin=RawOrigin(endless))
    assert rig.exchanges[0].status == 200


def test_fault_of_the_twin_is_500_and_on_the_console():
    """A bug here is not to be mistaken for a rule of CloudFront, nor to pass in silence."""

    async def breaks(_event):
        raise ZeroDivisionError

    reply, rig = send(function=breaks)
    assert reply.status == 500
    assert rig.console[1].startswith("  a fault of the edge twin itself:\nTraceback")
    assert "ZeroDivisionError" in rig.console[1]
