"""AWS Signature Version 4: the specification's four stages, each public  pure.

Source: IAM user guide, "Create a signed AWS API request"
(https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).

Only an allow-list of headers is ever signed: what CloudFront adds, rewrites or drops after the edge function (``via``,
``x-forwarded-for``, ``accept-encoding``, ``user-agent``, ``te``, …) would break the signature now and then.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from .percent import escapes, percent_encode

ALGORITHM = "AWS4-HMAC-SHA256"

_UNRESERVED_PATH = re.compile(r"[A-Za-z0-9._~/-]*")
_PATH_ESCAPES = escapes(b"/")

# What SHA-256 takes in at a time, and so the length of an HMAC's padded key.
_BLOCK_BYTES = 64

# SHA-256 of no bytes.
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Credentials(NamedTuple):
    """AWS credentials; only the access key id shows in ``repr``."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return f"Credentials(access_key_id={self.access_key_id!r}, ...)"


class CanonicalHeaders(NamedTuple):
    """Headers as a canonical request lists them.

    Attributes:
        lines: ``name:value`` of each and a line feed, in the order of their names.
        names: The names in that order, joined by ``;``.
    """

    lines: str
    names: str


NO_HEADERS = CanonicalHeaders("", "")


def canonical_uri(path: str) -> str:
    """Encode the wire path once more, as every service but S3 wants it.

    Args:
        path: The path as sent: escapes and RFC 3986 pchar only, no ``//``, no dot segments.

    >>> canonical_uri("/a%20b/(c)~")
    '/a%2520b/%28c%29~'
    """
    return path if _UNRESERVED_PATH.fullmatch(path) else percent_encode(path.encode(), _PATH_ESCAPES)


def canonical_query_string(query: str) -> str:
    """Sort a strictly encoded query by name, then value.

    Args:
        query: ``name=value`` pairs joined by ``&``, every byte but the unreserved ones escaped in upper case.

    >>> canonical_query_string("b=1&a-b=1&a=2&a=1")
    'a=1&a=2&a-b=1&b=1'
    """
    if "&" not in query:
        return query
    pairs = [pair.partition("=") for pair in query.split("&")]
    pairs.sort()
    return "&".join([name + "=" + value for name, _, value in pairs])


def canonical_headers(headers: Iterable[tuple[str, str]]) -> CanonicalHeaders:
    r"""Sort headers by name, and trim their values.

    Args:
        headers: (name, value); names in lower case, each once.

    >>> canonical_headers([("x-b", " two  words "), ("host", "h")])
    CanonicalHeaders(lines='host:h\nx-b:two words\n', names='host;x-b')
    """
    ordered = sorted(headers)
    # "Trim(value)": no space around a value, none doubled within.
    lines = [f"{name}:{' '.join(value.split()) if ' ' in value else value}\n" for name, value in ordered]
    return CanonicalHeaders("".join(lines), ";".join([name for name, _ in ordered]))


def canonical_request(method: str, path: str, query: str, headers: CanonicalHeaders, payload_hash: str) -> str:
    """Stage 1: everything that the signature covers.

    Args:
        method: HTTP method.
        path: The path as sent (see ``canonical_uri``).
        query: The query as sent (see ``canonical_query_string``).
        headers: Every header to sign.
        payload_hash: Lower-case hex SHA-256 of the body.
    """
    return f"{method}\n{canonical_uri(path)}\n{canonical_query_string(query)}\n{headers.lines}\n{headers.names}\n{payload_hash}"


def string_to_sign(amz_date: str, scope: str, request: str) -> str:
    """Stage 2: bind the canonical request to a time and a scope.

    Args:
        amz_date: ``YYYYMMDD'T'HHMMSS'Z'``.
        scope: ``YYYYMMDD/region/service/aws4_request``.
        request: The canonical request.
    """
    return f"{ALGORITHM}\n{amz_date}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"


@lru_cache(maxsize=16)
def signing_key(secret_access_key: str, date: str, region: str, service: str) -> bytes:
    """Stage 3: derive the key for one day, region and service; kept, since it changes once a day.

    Args:
        secret_access_key: The secret half of the credentials.
        date: ``YYYYMMDD``.
        region: For example ``eu-west-1``.
        service: For example ``lambda``.
    """
    key = ("AWS4" + secret_access_key).encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def signature(key: bytes, to_sign: str) -> str:
    """Stage 4: return the lower-case hex signature, HMAC-SHA256 under *key*."""
    inner, outer = _keyed(key)
    inner, outer = inner.copy(), outer.copy()
    inner.update(to_sign.encode())
    outer.update(inner.digest())
    return outer.hexdigest()


@lru_cache(maxsize=16)
def _keyed(key: bytes) -> "tuple[hashlib._Hash, hashlib._Hash]":
    """Return HMAC's two hashes, which have taken in the padded key and nothing else (RFC 2104 §2).

    Copies of them take less than half as long as ``hmac.digest``, which begins with the key each time.
    """
    padded = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in padded)) for pad in (0x36, 0x5C))
    return inner, outer


def format_amz_date(now: int) -> str:
    """Write whole seconds since the epoch as SigV4 does.

    >>> format_amz_date(1_440_938_160)
    '20150830T123600Z'
    """
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


class Stamp(NamedTuple):
    """What all requests of one second have in common.

    Attributes:
        headers: The headers to add: the date, and the session token if there is one.
        canonical: The same as the signature covers them.
        amz_date: The date.
        scope: ``YYYYMMDD/region/service/aws4_request``.
        key: The signing key.
        credential: The access key id and the scope.
    """

    headers: tuple[tuple[str, str], ...]
    canonical: CanonicalHeaders
    amz_date: str
    scope: str
    key: bytes
    credential: str

    def __repr__(self) -> str:
        return f"Stamp({self.amz_date})"


@lru_cache(maxsize=8)
def stamp(credentials: Credentials, region: str, service: str, now: int) -> Stamp:
    """Prepare to sign at *now*, whole seconds since the epoch."""
    amz_date = format_amz_date(now)
    date = amz_date[:8]
    headers = [("x-amz-date", amz_date)]
    if credentials.session_token:
        headers.append(("x-amz-security-token", credentials.session_token))
    scope = f"{date}/{region}/{service}/aws4_request"
    key = signing_key(credentials.secret_access_key, date, region, service)
    credential = f"{credentials.access_key_id}/{scope}"
    return Stamp(tuple(headers), canonical_headers(headers), amz_date, scope, key, credential)


def sign(
    *,
    method: str,
    path: str,
    query: str,
    headers: CanonicalHeaders,
    last: CanonicalHeaders = NO_HEADERS,
    payload_hash: str,
    credentials: Credentials,
    region: str,
    service: str,
    now: float,
) -> list[tuple[str, str]]:
    """Sign a request and return the headers to add: the date, the token if there is one, and ``authorization``.

    Args:
        method: HTTP method.
        path: The path as sent.
        query: The query as sent.
        headers: Headers to sign, ``host`` among them, whose names all come before ``x-amz-date``.
        last: Further headers to sign, whose names all come after ``x-amz-security-token``.
        payload_hash: Lower-case hex SHA-256 of the body.
        credentials: Whose request it is.
        region: The called service's region.
        service: Its signing name.
        now: Seconds since the epoch; the receiver allows five minutes.
    """
    prepared = stamp(credentials, region, service, int(now))
    middle = prepared.canonical
    names = f"{headers.names};{middle.names};{last.names}" if last.names else f"{headers.names};{middle.names}"
    covered = CanonicalHeaders(headers.lines + middle.lines + last.lines, names)
    request = canonical_request(method, path, query, covered, payload_hash)
    value = signature(prepared.key, string_to_sign(prepared.amz_date, prepared.scope, request))
    authorization = f"{ALGORITHM} Credential={prepared.credential}, SignedHeaders={names}, Signature={value}"
    return [*prepared.headers, ("authorization", authorization)]
