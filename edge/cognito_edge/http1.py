"""HTTP/1.1 on the wire: one request written, one answer read.

llhttp parses, which is Node.js's own parser, by way of httptools.
"""

import re
from collections.abc import Mapping

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

# What an answer may have at most beside its content: bytes of head, framing and trailers (as many again as content is allowed, for
# small chunks), and headers.
MAX_HEAD_BYTES = 65_536
MAX_HEADERS = 100

_TARGET = re.compile(r"/[!-~]*")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # token   RFC 9110 §5.6.2
_VALUE = re.compile(r"[!-~]+(?: +[!-~]+)*")


class HttpError(Exception):
    """A request that cannot be written, or an answer that cannot be read. The message says why and holds nothing secret."""


def write_request(method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    r"""Return a request's bytes.

    Args:
        method: HTTP method.
        target: Path, with ``?`` and the query if there is one.
        headers: Without ``Content-Length``, which is added to a request with a body.
        body: Content; none if empty.

    Raises:
        HttpError: Something in it would end its line, or its header, early.

    >>> write_request("GET", "/x?y", {"Host": "h"}, b"")
    b'GET /x?y HTTP/1.1\r\nHost: h\r\n\r\n'
    """
    if not _NAME.fullmatch(method) or not _TARGET.fullmatch(target):
        raise HttpError(f"{method!r} {target!r} is no method and target that can be sent")
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise HttpError(f"the header {name!r} has a name or a value that cannot be sent")
    lines = [f"{method} {target} HTTP/1.1", *[f"{name}: {value}" for name, value in headers.items()]]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


class AnswerReader:
    """Reads one answer, whose bytes come in pieces.

    Attributes:
        status: The status, once the head has come.
        complete: Whether all of it has come.
        reusable: Whether the connection may carry another request: the server keeps it open, and nothing came in excess.
    """

    def __init__(self, max_body_bytes: int) -> None:
        """Expect an answer with a body of at most *max_body_bytes* bytes."""
        self.status = 0
        self.complete = False
        self.reusable = False
        self._max_body_bytes = max_body_bytes
        self._received = self._headers = self._length = 0
        self._bounded = False
        self._pieces: list[bytes] = []
        self._parser = HttpResponseParser(self)

    @property
    def body(self) -> bytes:
        """The content; any encoding of it is the caller's to undo."""
        return b"".join(self._pieces)

    def feed(self, data: bytes) -> None:
        """Read on.

        Args:
            data: What came next; empty when the server has closed the connection.

        Raises:
            HttpError: It is no HTTP, is too long, or ended early.
        """
        if not data:
            self._end()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self.complete:  # else it is what came in excess, which ``on_message_begin`` has seen
                raise HttpError(f"the answer is no HTTP: {error.__context__ or error}") from None
        if self._length > self._max_body_bytes:
            raise HttpError(f"the answer is longer than {self._max_body_bytes} bytes")
        if self._headers > MAX_HEADERS or self._received - self._length > MAX_HEAD_BYTES + self._max_body_bytes:
            raise HttpError("the answer's head is too long")

    def _end(self) -> None:
        """Take the end of the connection, which ends only a body whose length was not announced."""
        if self.status and not self._bounded:
            self.complete = True
        if not self.complete:
            what = "in the middle of an answer" if self._received else "without an answer"
            raise HttpError(f"the connection ended {what}")

    def on_message_begin(self) -> None:
        """Take the parser's word that an answer begins."""
        if self.complete:
            self.reusable = False

    def on_header(self, name: bytes, _value: bytes) -> None:
        """Take a header, or a trailer, from the parser."""
        self._headers += 1
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._bounded = True

    def on_headers_complete(self) -> None:
        """Take the parser's word that the head has ended."""
        if not self.complete:
            status = self._parser.get_status_code()
            if status < 200 and self._bounded:  # "MUST NOT send": RFC 9110 §8.6, RFC 9112 §6.1
                raise HttpError("an interim answer with content")
            self.status = status if status >= 200 else 0  # 1xx: the answer is still to come   RFC 9110 §15.2

    def on_body(self, data: bytes) -> None:
        """Take a piece of the content from the parser."""
        if not self.complete:
            self._length += len(data)
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        """Take the parser's word that the answer has ended."""
        if self.status and not self.complete:
            self.complete = True
            self.reusable = self._parser.should_keep_alive()
