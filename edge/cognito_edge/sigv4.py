"""AWS Signature Version 4: the specification's four stages, each public.

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
    """Stage 3: derive the key for one day, region and service. Kept: it changes once a day.

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
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


def format_amz_date(now: int) -> str:
    """Write whole seconds since the epoch as SigV4 does.

    >>> format_amz_date(1_440_938_160)
    '20150830T123600Z'
    """
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


def sign(
    *,
    method: str,
    path: str,
    query: str,
    headers: Iterable[tuple[str, str]],
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
        headers: (name, value) of every header to sign, ``host`` among them; names in lower case, each once.
        payload_hash: Lower-case hex SHA-256 of the body.
        credentials: Whose request it is.
        region: The called service's region.
        service: Its signing name.
        now: Seconds since the epoch; the receiver allows five minutes.
    """
    amz_date = format_amz_date(int(now))
    date = amz_date[:8]
    added = [("x-amz-date", amz_date)]
    if credentials.session_token:
        added.append(("x-amz-security-token", credentials.session_token))
    covered = canonical_headers([*headers, *added])
    request = canonical_request(method, path, query, covered, payload_hash)
    scope = f"{date}/{region}/{service}/aws4_request"
    key = signing_key(credentials.secret_access_key, date, region, service)
    value = signature(key, string_to_sign(amz_date, scope, request))
    credential = f"{credentials.access_key_id}/{scope}"
    authorization = f"{ALGORITHM} Credential={credential}, SignedHeaders={covered.names}, Signature={value}"
    return [*added, ("authorization", authorization)]
