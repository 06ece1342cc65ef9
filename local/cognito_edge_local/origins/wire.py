"""What one HTTP request was on the wire: method, raw target, headers and body, as bytes and nothing decoded."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class WireRequest:
    """One request, byte for byte.

    The signature check, the diagnosis and the event look at the same bytes: two decoders that disagree are the commonest
    cause of "signature does not match".

    Attributes:
        method: As sent, e.g. ``b"GET"``.
        path: The raw target up to the first ``?``; begins with ``/``.
        query: The raw target after the first ``?``; empty without one.
        headers: Names lower-cased, values without surrounding blanks, in the order of arrival.
        body: All of it, after transfer decoding and nothing else.
    """

    method: bytes
    path: bytes
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    body: bytes = field(repr=False)

    def values(self, name: bytes) -> list[bytes]:
        """Return every value of one header, in order.

        Args:
            name: Lower-case header name.
        """
        return [value for key, value in self.headers if key == name]

    def header(self, name: bytes) -> bytes | None:
        """Return a header's values joined with a comma, or None where it was not sent.

        Args:
            name: Lower-case header name.
        """
        values = self.values(name)
        return b",".join(values) if values else None

    def names(self) -> Iterator[bytes]:
        """Yield each header name once, in the order of first arrival."""
        return iter(dict.fromkeys(name for name, _ in self.headers))

    @cached_property
    def body_sha256(self) -> bytes:
        """Lower-case hex SHA-256 of the body's bytes."""
        return hashlib.sha256(self.body).hexdigest().encode()
