"""Path and query in canonical form: the one that is judged, signed and sent.

Every plausible reading of SigV4 maps it to the same string, so that no server behind the gateway computes another signature.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from .errors import MalformedUrlError
from .percent import escapes, percent_decode, percent_encode
from .readings import PLAIN_PATH, Reading, plausible_readings
from .text import excerpt

# "URI + query string" of an edge function's answer: fewer than 8,192 characters. CloudFront: restrictions on all edge
# functions. Whether "?" counts is not said, so it does here.
MAX_TARGET_CHARACTERS = 8_191

# Anyone may ask for any path, so only short ones are remembered.
MAX_REMEMBERED_CHARACTERS = 128


class Target(NamedTuple):
    """What a request asks for, in the one form that is judged, signed and sent.

    Attributes:
        path: Canonical path (the event's ``uri``).
        query: Canonical query, in the order sent, without ``?``.
        readings: Every plausible reading of the path, the one that counts first.
    """

    path: str
    query: str
    readings: tuple[Reading, ...]


def canonical_target(uri: str, querystring: str) -> Target:
    """Put a request's target into canonical form.

    Args:
        uri: The event's ``uri``: the raw path, with or without escapes.
        querystring: The event's ``querystring``, without ``?``.

    Raises:
        MalformedUrlError: The URL cannot be read; the message says which part, where and why.
        AmbiguousPathError: Servers could read the path in dangerously different ways.
    """
    if not querystring and len(uri) <= MAX_REMEMBERED_CHARACTERS and PLAIN_PATH.fullmatch(uri):
        return _plain_target(uri)
    query = canonical_query(querystring)
    path = canonical_path(uri)
    check_length(path, query)
    return Target(path, query, plausible_readings(path))


@lru_cache(maxsize=256)
def _plain_target(path: str) -> Target:
    """Return the target of a path that is canonical already. Most requests ask for one that was asked for lately."""
    return Target(path, "", plausible_readings(path))


# A query that is canonical already and escapes nothing.
_PLAIN_QUERY = re.compile(r"[A-Za-z0-9._~-]+=[A-Za-z0-9._~-]*(?:&[A-Za-z0-9._~-]+=[A-Za-z0-9._~-]*)*")

# pchar = unreserved / pct-encoded / sub-delims / ":" / "@"   RFC 3986 §3.3
_NOT_PCHAR = re.compile(rb"[^A-Za-z0-9._~!$&'()*+,;=:@/%-]")
_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}")
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SLASHES = re.compile(rb"//+")


# RFC 3986 §2.3: only unreserved characters stand for themselves in a query.
_STRICT = escapes()


def canonical_path(uri: str) -> str:
    """Return the path as it is matched, signed and sent.

    Bytes that are no RFC 3986 pchar are escaped, as is a ``:`` before a ``/``; escapes get upper-case hex, ``//`` becomes
    ``/``. Legal escapes stay as they are: the backend decides what ``%2F`` means.

    Args:
        uri: The event's ``uri``: the raw path, with or without escapes.

    Raises:
        MalformedUrlError: A ``%`` that begins no escape, text that is no Unicode, or no leading slash.

    >>> canonical_path("/caf\u00e9//a b%2fc")
    '/caf%C3%A9/a%20b%2Fc'
    """
    if PLAIN_PATH.fullmatch(uri):
        return uri
    if uri == "":
        return "/"
    if not uri.startswith("/"):
        raise MalformedUrlError(f"The URL's path has to begin with '/'; it is {excerpt(uri)}.")
    data = _encode(uri, "path")
    if broken := _BROKEN_ESCAPE.search(data):
        raise MalformedUrlError(_broken("path", data, broken.start()))
    data = _NOT_PCHAR.sub(lambda match: b"%%%02X" % match[0][0], data)
    data = _ESCAPE.sub(lambda match: match[0].upper(), data)
    # Some readers of a request target take "x:/" for the beginning of a URL (awscrt does, and cannot sign it).
    return _SLASHES.sub(b"/", data).replace(b":/", b"%3A/").decode("ascii")


def canonical_query(querystring: str) -> str:
    """Return the query as it is signed and sent: form-decoded to bytes and encoded again, strictly.

    Order and duplicates are kept, ``flag`` becomes ``flag=``, empty pairs go, ``+`` and ``%20`` are both a space.

    Args:
        querystring: The event's ``querystring``, without ``?``.

    Raises:
        MalformedUrlError: A broken escape, bytes that are not UTF-8, an empty name, or a parameter of SigV4's own.

    >>> canonical_query("q=a+b&q=%c3%a9&flag&&x[0]=1")
    'q=a%20b&q=%C3%A9&flag=&x%5B0%5D=1'
    """
    if not querystring:
        return ""
    if not _PLAIN_QUERY.fullmatch(querystring):
        data = _encode(querystring, "query")
        if broken := _BROKEN_ESCAPE.search(data):
            raise MalformedUrlError(_broken("query", data, broken.start()))
        querystring = "&".join(_canonical_pair(pair) for pair in data.split(b"&") if pair)
    # A signature or token in the query would compete with the gateway's: SigV4 reads X-Amz-* from either place.
    if "x-amz-" in querystring.lower():
        for pair in querystring.split("&"):
            if pair.lower().startswith("x-amz-"):
                name = pair.partition("=")[0]
                raise MalformedUrlError(
                    f"The query may not have a parameter named {excerpt(name)}: X-Amz-* belongs to the gateway's own "
                    "signature."
                )
    return querystring


def _canonical_pair(pair: bytes) -> str:
    """Form-decode one ``name=value`` and encode it strictly."""
    name, _, value = pair.replace(b"+", b" ").partition(b"=")
    if not name:
        raise MalformedUrlError(
            f"The query has a parameter without a name: {excerpt(pair.decode('latin-1'))}. Write name=value."
        )
    return f"{_strict(name)}={_strict(value)}"


def _strict(data: bytes) -> str:
    decoded = percent_decode(data)
    try:
        decoded.decode("utf-8")
    except UnicodeDecodeError:
        shown = excerpt(data.decode("latin-1"))
        raise MalformedUrlError(f"The query holds escapes that are not UTF-8: {shown}.") from None
    return percent_encode(decoded, _STRICT)


def check_length(path: str, query: str) -> None:
    """Refuse a target that CloudFront would not send on.

    Raises:
        MalformedUrlError: The canonical target is longer than an edge function may return.
    """
    length = len(path) + len(query) + (1 if query else 0)
    if length > MAX_TARGET_CHARACTERS:
        raise MalformedUrlError(
            f"The URL is too long: path and query may have {MAX_TARGET_CHARACTERS} characters once every special "
            f"character is percent-encoded, and have {length}."
        )


def _encode(text: str, part: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedUrlError(f"The URL's {part} is not Unicode text.") from None


def _broken(part: str, data: bytes, at: int) -> str:
    shown = excerpt(data[at : at + 3].decode("latin-1"))
    return f"The URL's {part} has {shown} at byte {at}, which is no escape: write %25 for a percent sign."
