"""Fuzz the HTTP reader: any bytes are an answer within its bounds, or an HttpError, wherever they are cut.

Run: ``make fuzz``
"""

from tests.fuzz.engine import expect, instrumented, run

with instrumented():
    from cognito_edge.http1 import AnswerReader, HttpError

MAX_BODY = 100
SEEDS = (
    b"\0HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"\7HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nX: y\r\n\r\n",
    b"\11HTTP/1.0 503 No\r\nConnection: keep-alive\r\n\r\n{}",
    b"\40HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    b"\60HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    b"\1HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
)
WORDS = (
    *(b"HTTP/1.1 ", b"HTTP/1.0 ", b"\r\n", b"\r\n\r\n", b"Content-Length: ", b"Transfer-Encoding: ", b"chunked"),
    *(b"Connection: ", b"close", b"keep-alive", b"Upgrade: h2c", b"100", b"101", b"204", b"304", b"0\r\n\r\n"),
)

Outcome = tuple[int, bytes, bool] | None


def target(data: bytes) -> None:
    """Read the bytes at once, and again in two pieces; the first byte says where the cut is."""
    at, answer = (data[0] if data else 0), data[1:]
    outcome = read([answer])
    assert read([answer[:at], answer[at:]]) == outcome
    if outcome is not None:
        status, body, reusable = outcome
        assert 200 <= status <= 999
        assert len(body) <= MAX_BODY
        assert answer.count(body) or b"chunked" in answer.lower()
        # A connection is used again only where the answer itself says where it ends.
        assert (
            not reusable or status in (204, 304) or b"content-length" in answer.lower() or b"chunked" in answer.lower()
        )


def read(pieces: list[bytes]) -> Outcome:
    """Return what was read: status, body, and whether the connection may carry more; None for no answer."""
    reader = AnswerReader(MAX_BODY)
    try:
        for piece in pieces:
            if piece:
                reader.feed(piece)
        if not reader.complete:
            reader.feed(b"")
    except HttpError as error:
        expect(str(error))
        return None
    return reader.status, reader.body, reader.reusable


if __name__ == "__main__":
    run(target, SEEDS, WORDS)
