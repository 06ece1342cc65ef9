"""Percent-encoding (RFC 3986 §2.1), without importing ``urllib.parse``."""

import re
from binascii import unhexlify

_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"  # RFC 3986 §2.3
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")

Escapes = dict[int, str]


def escapes(kept: bytes = b"") -> Escapes:
    """Return what to write for each byte: the unreserved ones and those in *kept* stand for themselves."""
    plain = _UNRESERVED + kept
    return {byte: f"%{byte:02X}" for byte in range(256) if byte not in plain}


def percent_encode(data: bytes, to: Escapes) -> str:
    """Write bytes as ASCII.

    Args:
        data: Any bytes; of a text, its UTF-8.
        to: What ``escapes`` returned.

    >>> percent_encode("a b/\u00e9".encode(), escapes(b"/"))
    'a%20b/%C3%A9'
    """
    return data.decode("latin-1").translate(to)


def percent_decode(data: bytes) -> bytes:
    """Undo every escape; a ``%`` that begins none stays.

    >>> percent_decode(b"a%20b%2")
    b'a b%2'
    """
    return _ESCAPE.sub(lambda match: unhexlify(match[1]), data) if b"%" in data else data
