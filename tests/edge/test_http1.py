"""edge/cognito_edge/http1.py: requests that nothing can split, and answers read as the standard library reads them."""

import http.client
import io
import itertools

import pytest
from cognito_edge.http1 import AnswerReader, HttpError, write_request
from hypothesis import example, given
from hypothesis import strategies as st

MAX_BODY = 1_000


def read(*pieces, closed=False, max_body=MAX_BODY):
    """Feed *pieces*, and the end of the connection after them if it is *closed*."""
    reader = AnswerReader(max_body)
    for piece in pieces:
        reader.feed(piece)
    if closed and not reader.complete:
        reader.feed(b"")
    return reader


class Wire:
    """As much of a socket as the standard library's reader asks for."""

    def __init__(self, data):
        self._data = data

    def makefile(self, _mode):
        return io.BytesIO(self._data)


def by_the_standard_library(data):
    """Return status and body as http.client reads them."""
    response = http.client.HTTPResponse(Wire(data), method="GET")
    response.begin()
    return response.status, response.read()


# --- requests -------------------------------------------------------------------------------------------------------


def test_a_request_is_its_line_its_headers_and_its_body():
    """The length is said where there is a body, and nowhere else."""
    assert write_request("POST", "/x?y", {"Host": "h", "a": "b c"}, b"body") == (
        b"POST /x?y HTTP/1.1\r\nHost: h\r\na: b c\r\nContent-Length: 4\r\n\r\nbody"
    )
    assert b"Content-Length" not in write_request("GET", "/", {"Host": "h"}, b"")


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET /", "/", {}),
        ("", "/", {}),
        ("GET", "", {}),
        ("GET", "x", {}),
        ("GET", "/a b", {}),
        ("GET", "/a\r\nX: y", {}),
        ("GET", "/\u00e9", {}),
        ("GET", "/", {"x:y": "z"}),
        ("GET", "/", {"": "z"}),
        ("GET", "/", {"x\n": "z"}),
        ("GET", "/", {"x": "a\r\nY: z"}),
        ("GET", "/", {"x": "a\n"}),
        ("GET", "/", {"x": " a"}),
        ("GET", "/", {"x": "a "}),
        ("GET", "/", {"x": ""}),
        ("GET", "/", {"x": "\u00e9"}),
        ("GET", "/", {"x": "a\0"}),
    ],
)
def test_what_would_end_a_line_early_is_not_sent(method, target, headers):
    """Whatever the environment's endpoint says, a request stays one request."""
    with pytest.raises(HttpError, match=r"can(not)? be sent"):
        write_request(method, target, headers, b"")


def test_a_refused_header_is_named_and_not_shown():
    """Headers hold signatures."""
    with pytest.raises(HttpError, match="'authorization'") as caught:
        write_request("GET", "/", {"authorization": "secret\n"}, b"")
    assert "secret" not in str(caught.value)


# --- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status", "body", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, b"", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", 200, b"{}", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}", 200, b"{}", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 404 \r\nContent-Length: 1\r\n\r\nx", 404, b"x", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nX: y\r\n\r\n", 200, b"{}", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}", True),
    ],
)
def test_answers_are_read_however_they_come(data, status, body, reusable):
    """At once and byte by byte: the same answer, complete at its last byte and not before; the other reader agrees."""
    assert by_the_standard_library(data) == (status, body)
    reader = AnswerReader(MAX_BODY)
    for at in range(len(data)):
        assert not reader.complete
        reader.feed(data[at : at + 1])
    for done in (read(data), reader):
        assert (done.complete, done.status, done.body, done.reusable) == (True, status, body, reusable)


@pytest.mark.parametrize("status", [100, 102, 103, 199])
def test_whatever_comes_before_the_answer_is_passed_over(status):
    """Any 1xx except 101, of which the standard library knows only one."""
    interim = b"HTTP/1.1 %d Soon\r\nLink: x\r\n\r\n" % status
    assert (read(interim).status, read(interim).complete) == (0, False)
    done = read(interim * 3 + b"HTTP/1.1 503 No\r\nContent-Length: 1\r\n\r\nx")
    assert (done.status, done.body, done.reusable) == (503, b"x", True)


def test_200_is_an_answer():
    """The first status that is no interim one ends the exchange."""
    done = read(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n")
    assert (done.complete, done.status) == (True, 200)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"])
def test_a_body_without_a_length_ends_with_the_connection(head):
    """Then, and not before."""
    assert not read(head + b"{}").complete
    done = read(head + b"{", b"}", closed=True)
    assert (done.complete, done.body, done.reusable) == (True, b"{}", False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
def test_a_connection_that_ends_early_is_no_answer(data):
    """A part of the keys, or of the policy, does not count."""
    with pytest.raises(HttpError, match="in the middle of an answer" if data else "without an answer"):
        read(*([data] if data else []), closed=True)


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX Y: z\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: y\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 103 Hints\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ],
)
def test_an_answer_that_could_be_read_in_two_ways_is_none(data):
    """Garbage, two lengths, folded headers, an upgrade that was not asked for: refused as soon as it is seen."""
    with pytest.raises(HttpError, match="is no HTTP"):
        read(data)


def test_the_body_is_bounded():
    """At the length that was given, accept and refuse."""
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    assert len(read(head + b"x" * MAX_BODY, closed=True).body) == MAX_BODY
    with pytest.raises(HttpError, match="longer than 1000 bytes"):
        read(head + b"x" * (MAX_BODY + 1))


def test_a_head_of_100_headers_is_read_and_of_one_more_is_not():
    """However short they are."""
    assert read(b"HTTP/1.1 204 OK\r\n" + b"X: y\r\n" * 100 + b"\r\n").complete
    with pytest.raises(HttpError, match="head is too long"):
        read(b"HTTP/1.1 204 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n")


def head_of(length, body):
    """Make the head of an answer with a body of *body* bytes, of exactly *length* bytes."""
    return (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX: " % body).ljust(length - 4, b"y") + b"\r\n\r\n"


@pytest.mark.parametrize("size", [1, 1_000, 100_000], ids="in pieces of {} bytes".format)
@pytest.mark.parametrize(("max_body", "most"), [(0, 65_536), (1_000, 66_536)])
def test_the_longest_head_is_read_and_one_byte_more_is_not(max_body, most, size):
    """65,536 bytes, and as many again as a body may have: chunks and trailers count as well."""

    def fed(head):
        return read(*(head[at : at + size] for at in range(0, len(head), size)), b"x" * max_body, max_body=max_body)

    assert fed(head_of(most, max_body)).complete
    with pytest.raises(HttpError, match="head is too long"):
        fed(head_of(most + 1, max_body))


def test_an_endless_head_is_cut_off():
    """It is not kept: when it ends is unknown."""
    with pytest.raises(HttpError, match="head is too long"):
        read(b"HTTP/1.1 200 OK\r\nX: ", *[b"y" * 1_000] * 1_000)


@pytest.mark.parametrize(
    "excess", [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\ny", b"HTTP/1.1 200", b"garbage", b"\0"]
)
def test_what_comes_in_excess_is_nobodys_answer(excess):
    """The answer is what its length says; the connection is not used again."""
    done = read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" + excess)
    assert (done.complete, done.status, done.body, done.reusable) == (True, 200, b"{}", False)


@given(
    status=st.integers(200, 599).filter(lambda status: status not in (204, 304)),
    headers=st.lists(st.tuples(st.from_regex(r"X-[A-Za-z0-9-]{1,10}", fullmatch=True), st.text("ab 1:;", max_size=9))),
    body=st.binary(max_size=MAX_BODY),
    how=st.sampled_from(["length", "chunked", "close"]),
    cuts=st.lists(st.integers(0, 2_000), max_size=6),
)
def test_any_answer_is_read_as_the_standard_library_reads_it(status, headers, body, how, cuts):
    """Whatever its framing, and wherever it is cut."""
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value.strip()}" for name, value in headers)]
    lines += {"length": [f"Content-Length: {len(body)}"], "chunked": ["Transfer-Encoding: chunked"]}.get(how, [])
    framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:]) if part) + b"0\r\n\r\n"
    data = "\r\n".join([*lines, "", ""]).encode() + (framed if how == "chunked" else body)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    done = read(*(data[a:b] for a, b in itertools.pairwise(edges) if b > a), closed=True)
    assert (done.status, done.body) == by_the_standard_library(data) == (status, body)
    assert done.reusable == (how != "close")


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=30), st.sampled_from([b"HTTP/1.1 ", b"200", b"\r\n", b": "]))))
@example([b"HTTP/1.1 200 OK\r\n\r\n", b"\0"])
def test_any_bytes_are_an_answer_or_an_http_error(pieces):
    """No other exception, whatever a server sends."""
    try:
        done = read(*pieces, closed=True)
    except HttpError:
        return
    assert done.complete
    assert 200 <= done.status <= 999
