"""Signature Version 4 from the server's side: judge one signed request by its wire bytes, strictly.

Source: IAM User Guide, "Create a signed AWS API request" and "Troubleshoot Signature Version 4 signing" (the messages);
Lambda Developer Guide, "Invoking Lambda function URLs". Nothing is shared with the signer in ``edge/``: two programs
that share a canonicaliser agree about their mistakes.

AWS does not publish what a function URL does with ``//``, dot segments, a literal ``+``, ``;``, lower-case escapes or a
name without ``=``. Each of these has two plausible readings (``Reading``); a request is accepted only if every reading
gives the same canonical request, so that what passes here passes under any of them.
"""

import calendar
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes

from .principals import Credential
from .wire import WireRequest

ALGORITHM = b"AWS4-HMAC-SHA256"
WINDOW_S = 300
"""A request must arrive within five minutes of its timestamp, either way (AWS re:Post, "signature expired")."""

INVALID_SIGNATURE = "InvalidSignatureException"
INCOMPLETE_SIGNATURE = "IncompleteSignatureException"
ACCESS_DENIED = "AccessDeniedException"

MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
INVALID_TOKEN = "The security token included in the request is invalid."

UNSIGNED_BY_DESIGN = frozenset({b"x-amz-cf-id"})
"""``x-amz-*`` headers that CloudFront adds after signing; every other one has to be signed."""
_ONCE = (b"host", b"authorization", b"x-amz-date", b"x-amz-security-token", b"x-amz-content-sha256")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}")
_AMZ_DATE = re.compile(rb"[0-9]{8}T[0-9]{6}Z")


class SignatureRefusedError(Exception):
    """The request is not admitted; carries AWS's answer for the caller and the full reason for the console.

    Attributes:
        error_type: What goes into ``x-amzn-ErrorType``.
        message: AWS's wording, safe to send.
        why: What exactly is wrong and what to do, for the console; holds no secret.
        authorization: The parsed header, where it could be parsed: material for a diagnosis.
        credential: The key's owner, where known: likewise.
    """

    def __init__(
        self,
        error_type: str,
        message: str,
        why: str,
        *,
        authorization: "Authorization | None" = None,
        credential: Credential | None = None,
    ) -> None:
        super().__init__(why)
        self.error_type = error_type
        self.message = message
        self.why = why
        self.authorization = authorization
        self.credential = credential


@dataclass(frozen=True, slots=True)
class Authorization:
    """An ``Authorization: AWS4-HMAC-SHA256`` header in its parts.

    Attributes:
        access_key_id: The first part of the credential.
        date: The scope's day, ``YYYYMMDD``.
        region: The scope's region.
        service: The scope's service.
        signed_headers: Lower-case names in the order of the header.
        signature: 64 lower-case hex digits.
    """

    access_key_id: str
    date: bytes
    region: bytes
    service: bytes
    signed_headers: tuple[bytes, ...]
    signature: bytes = field(repr=False)

    @property
    def scope(self) -> bytes:
        """The credential scope: ``date/region/service/aws4_request``."""
        return b"/".join((self.date, self.region, self.service, b"aws4_request"))


@dataclass(frozen=True, slots=True)
class VerifiedCaller:
    """Who signed the request; only ``verify`` makes one.

    Attributes:
        credential: The key that signed.
        signed_headers: What the signature covers, lower-case.
    """

    credential: Credential
    signed_headers: tuple[bytes, ...]


# --- the Authorization header -----------------------------------------------------------------------------------------


def parse_authorization(value: bytes) -> Authorization:
    """Take an ``Authorization`` header apart.

    Args:
        value: The header's value, ``AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`` in any order.

    Raises:
        SignatureRefusedError: A part is missing, doubled, unknown or malformed.

    Source: IAM User Guide, "Elements of an AWS API request signature"; the messages are AWS's.
    """
    algorithm, _, rest = value.partition(b" ")
    if algorithm != ALGORITHM:
        raise _incomplete(
            f"Unsupported AWS 'algorithm': '{show(algorithm)}' (only AWS4-HMAC-SHA256 for now). ",
            f"the algorithm must be AWS4-HMAC-SHA256, not {show(algorithm)!r}",
        )
    parts: dict[bytes, bytes] = {}
    for part in rest.split(b","):
        key, equals, content = part.strip(b" ").partition(b"=")
        if not equals or key in parts or key not in {b"Credential", b"SignedHeaders", b"Signature"}:
            raise _incomplete(
                "Invalid key=value pair (missing equal-sign) in Authorization header.",
                f"{show(key)!r} is not one of Credential=, SignedHeaders= and Signature=, each exactly once",
            )
        parts[key] = content
    missing = [name for name in ("Credential", "Signature", "SignedHeaders") if not parts.get(name.encode())]
    if missing:
        raise _incomplete(
            " ".join(f"Authorization header requires '{name}' parameter." for name in missing)
            + " Authorization=AWS4-HMAC-SHA256",
            f"the Authorization header lacks {', '.join(missing)}",
        )
    credential = parts[b"Credential"].split(b"/")
    if len(credential) != 5 or not re.fullmatch(rb"\w{1,128}", credential[0]):
        raise _incomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
            f"the credential has {len(credential)} parts, or a malformed access key id",
        )
    if credential[4] != b"aws4_request":
        raise SignatureRefusedError(
            INVALID_SIGNATURE,
            f"Credential should be scoped with a valid terminator: 'aws4_request', not '{show(credential[4])}'. ",
            "the credential scope does not end in aws4_request",
        )
    signed_headers = tuple(parts[b"SignedHeaders"].split(b";"))
    if list(signed_headers) != sorted(set(signed_headers)) or any(
        not re.fullmatch(rb"[!#$%&'*+\-.^_`|~0-9a-z]+", name) for name in signed_headers
    ):
        raise _incomplete(
            "SignedHeaders must be lower case, sorted and unique.",
            f"SignedHeaders must be lower case, sorted and unique, not {show(parts[b'SignedHeaders'])!r}",
        )
    if not re.fullmatch(rb"[0-9a-f]{64}", parts[b"Signature"]):
        raise _incomplete(
            "Signature must be 64 hexadecimal digits.", "the signature must be 64 lower-case hexadecimal digits"
        )
    return Authorization(
        access_key_id=credential[0].decode("ascii"),
        date=credential[1],
        region=credential[2],
        service=credential[3],
        signed_headers=signed_headers,
        signature=parts[b"Signature"],
    )


def _incomplete(message: str, why: str) -> SignatureRefusedError:
    return SignatureRefusedError(INCOMPLETE_SIGNATURE, message, why)


def show(value: bytes) -> str:
    r"""Return wire bytes as printable ASCII: no terminal escape of a caller's reaches the console.

    >>> show(b"a\x1b[31m\xff")
    'a\\x1b[31m\\xff'
    """
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in value)


# --- readings ---------------------------------------------------------------------------------------------------------

Reading = frozenset[str]
"""The axes on which a reading departs from the documented one; empty is the documented reading."""

DOCUMENTED: Reading = frozenset()


def _raw_pairs(query: bytes) -> list[bytes]:
    return query.split(b"&") if query else []


def _has_dot_segment(path: bytes) -> bool:
    return any(unquote_to_bytes(segment) in {b".", b".."} for segment in path.split(b"/"))


def _escapes_differ(query: bytes) -> bool:
    return any(
        escape != escape.upper() or unquote_to_bytes(escape)[0] in _UNRESERVED for escape in _ESCAPE.findall(query)
    )


def _broken_escape(target: bytes) -> bool:
    return b"%" in _ESCAPE.sub(b"", target)


def _not_utf8(query: bytes) -> bool:
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        return True
    return False


def _inner_blanks(request: WireRequest, signed: tuple[bytes, ...]) -> bool:
    return any(re.search(rb"[ \t]{2,}|\t", value) for name in signed for value in request.values(name))


AXES: dict[str, tuple[str, Callable[[WireRequest, tuple[bytes, ...]], bool]]] = {
    "slashes": ("'//' in the path: kept, or merged", lambda r, _: b"//" in r.path),
    "dots": ("dot segments in the path: kept, or removed", lambda r, _: _has_dot_segment(r.path)),
    "path-hex": (
        "lower-case escapes in the path: kept, or upper-cased",
        lambda r, _: any(escape != escape.upper() for escape in _ESCAPE.findall(r.path)),
    ),
    "path-escape": (
        "a '%' in the path that begins no escape: a literal '%', or an error",
        lambda r, _: _broken_escape(r.path),
    ),
    "plus": ("'+' in the query: a space, or a plus", lambda r, _: b"+" in r.query),
    "semicolon": ("';' in the query: data, or a separator", lambda r, _: b";" in r.query),
    "bare-name": (
        "a name without '=' in the query: written with '=', or without",
        lambda r, _: any(pair and b"=" not in pair for pair in _raw_pairs(r.query)),
    ),
    "empty-pair": ("an empty pair in the query: dropped, or kept", lambda r, _: b"" in _raw_pairs(r.query)),
    "empty-name": (
        "an empty name in the query: kept, or dropped",
        lambda r, _: any(pair.startswith(b"=") for pair in _raw_pairs(r.query)),
    ),
    "escapes": (
        "escapes in the query that a strict encoder writes otherwise: re-encoded, or kept",
        lambda r, _: _escapes_differ(r.query),
    ),
    "utf-8": ("escapes in the query that are not UTF-8: bytes, or replaced", lambda r, _: _not_utf8(r.query)),
    "query-escape": (
        "a '%' in the query that begins no escape: a literal '%', or an error",
        lambda r, _: _broken_escape(r.query),
    ),
    "blanks": ("runs of blanks inside a signed header: one space, or kept", _inner_blanks),
}
"""Where servers may read a request differently: what the axis is, and whether a request touches it."""


def axes_of(request: WireRequest, signed_headers: tuple[bytes, ...]) -> list[str]:
    """Return the axes on which this request has more than one reading.

    Args:
        request: What was on the wire.
        signed_headers: Lower-case names.
    """
    return [axis for axis, (_, touches) in AXES.items() if touches(request, signed_headers)]


# --- canonical request ------------------------------------------------------------------------------------------------


def canonical_path(path: bytes, reading: Reading = DOCUMENTED, service: str = "lambda") -> bytes:
    """Return the canonical path: the wire path, every segment URI-encoded once more; for S3 as it is.

    "URI-encode each path segment twice", except for Amazon S3; the wire path is already encoded once.

    >>> canonical_path(b"/a%20b/(c)*!'")
    b'/a%2520b/%28c%29%2A%21%27'
    """
    if "path-hex" in reading:
        path = _ESCAPE.sub(lambda escape: escape[0].upper(), path)
    if "dots" in reading:
        path = _without_dots(path)
    if "slashes" in reading:
        path = re.sub(rb"/{2,}", b"/", path)
    return quote(path, safe="/-._~%" if service == "s3" else "/-._~").encode()


def _without_dots(path: bytes) -> bytes:
    """Remove dot segments, RFC 3986 section 5.2.4, escaped dots included."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for position, segment in enumerate(segments):
        plain = unquote_to_bytes(segment)
        last = position == len(segments) - 1
        if plain == b"..":
            del kept[-1:]
        if plain not in {b".", b".."}:
            kept.append(segment)
        elif last:
            kept.append(b"")
    return b"/" + b"/".join(kept)


def canonical_pairs(query: bytes, reading: Reading = DOCUMENTED) -> list[tuple[bytes, bytes | None]]:
    """Return the query's names and values, decoded and strictly encoded again, in their order.

    Args:
        query: The raw query.
        reading: How to read it; the value is None for a name that stays without ``=``.
    """
    if "semicolon" in reading:
        query = query.replace(b";", b"&")
    pairs: list[tuple[bytes, bytes | None]] = []
    for pair in _raw_pairs(query):
        name, equals, value = pair.partition(b"=")
        if not pair and "empty-pair" not in reading:
            continue
        if pair and not name and "empty-name" in reading:
            continue
        bare = not equals and "bare-name" in reading
        pairs.append((_encoded(name, reading), None if bare else _encoded(value, reading)))
    return pairs


def _encoded(part: bytes, reading: Reading) -> bytes:
    if "plus" not in reading:
        part = part.replace(b"+", b" ")
    if "escapes" in reading:
        # Escapes as they came, everything between them encoded.
        between = _ESCAPE.split(part)
        escapes = [*_ESCAPE.findall(part), b""]
        return b"".join(
            quote(text, safe="-._~").encode() + escape for text, escape in zip(between, escapes, strict=True)
        )
    decoded = unquote_to_bytes(part)
    if "utf-8" in reading:
        decoded = decoded.decode(errors="replace").encode()
    return quote(decoded, safe="-._~").encode()


def canonical_query(query: bytes, reading: Reading = DOCUMENTED) -> bytes:
    """Return the canonical query: decoded, strictly encoded, sorted by name and then by value.

    >>> canonical_query(b"b=2&a=%2f&b=1&flag")
    b'a=%2F&b=1&b=2&flag='
    """
    ordered = sorted(canonical_pairs(query, reading), key=lambda pair: (pair[0], pair[1] or b""))
    return b"&".join(name if value is None else name + b"=" + value for name, value in ordered)


def canonical_headers(
    request: WireRequest, signed_headers: tuple[bytes, ...], reading: Reading = DOCUMENTED
) -> list[tuple[bytes, bytes]]:
    """Return the signed headers and their canonical values: trimmed, blanks collapsed, repeated ones joined by commas.

    Args:
        request: What was on the wire.
        signed_headers: Lower-case names, sorted.
        reading: How to read it.
    """

    def canonical(value: bytes) -> bytes:
        value = value.strip(b" \t")
        return value if "blanks" in reading else re.sub(rb"[ \t]+", b" ", value)

    return [(name, b",".join(canonical(value) for value in request.values(name))) for name in signed_headers]


def join_canonical(
    *, method: bytes, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]], payload_hash: bytes
) -> bytes:
    """Put a canonical request together.

    Args:
        method: As sent.
        path: Canonical.
        query: Canonical.
        headers: Canonical, sorted.
        payload_hash: Hex.

    Source: IAM User Guide, "Step 1: Create a canonical request".
    """
    lines = [method, path, query, *(name + b":" + value for name, value in headers), b""]
    return b"\n".join([*lines, b";".join(name for name, _ in headers), payload_hash])


def canonical_request(
    request: WireRequest, signed_headers: tuple[bytes, ...], reading: Reading = DOCUMENTED, service: str = "lambda"
) -> bytes:
    """Return the canonical request under one reading; the payload hash is that of the body's own bytes."""
    return join_canonical(
        method=request.method,
        path=canonical_path(request.path, reading, service),
        query=canonical_query(request.query, reading),
        headers=canonical_headers(request, signed_headers, reading),
        payload_hash=request.body_sha256,
    )


def signature(canonical: bytes, *, secret_access_key: str, amz_date: bytes, scope: bytes) -> bytes:
    """Return the signature of a canonical request, 64 lower-case hex digits.

    Args:
        canonical: The canonical request.
        secret_access_key: The caller's.
        amz_date: ``x-amz-date``.
        scope: ``date/region/service/aws4_request``.

    Source: IAM User Guide, "Step 3: Create a string to sign" and "Step 4: Calculate the signature".
    """
    string_to_sign = b"\n".join([ALGORITHM, amz_date, scope, hashlib.sha256(canonical).hexdigest().encode()])
    key = b"AWS4" + secret_access_key.encode()
    for part in scope.split(b"/"):
        key = hmac.digest(key, part, "sha256")
    return hmac.digest(key, string_to_sign, "sha256").hex().encode()


# --- the judgement ----------------------------------------------------------------------------------------------------


def verify(
    request: WireRequest,
    *,
    lookup: Callable[[str], Credential | None],
    region: str,
    service: str,
    now: float,
) -> VerifiedCaller:
    """Return who signed the request.

    Steps, in the order in which AWS reports:
        1. The headers that may come once come once; the Authorization header is well-formed.
        2. ``x-amz-date`` is well-formed and within five minutes of now.
        3. ``host`` and every ``x-amz-*`` header are signed, and every signed header is there.
        4. The scope is this day, region and service.
        5. The key exists, and the session token is its own.
        6. The payload hash, where stated, is the body's.
        7. Every reading gives one canonical request.
        8. The signature is that request's.

    Args:
        request: What was on the wire.
        lookup: Finds the credential of an access key id.
        region: The function URL's, or the bucket's.
        service: ``lambda``, or ``s3``, which canonicalises paths differently.
        now: Seconds since the epoch.

    Raises:
        SignatureRefusedError: The first step that fails.
    """
    for name in _ONCE:  # (1)
        if len(request.values(name)) > 1:
            raise _incomplete(f"'{name.decode()}' must not be repeated.", f"header {name.decode()} came twice")
    authorization = parse_authorization(request.header(b"authorization") or b"")
    amz_date = _check_date(request, now)  # (2)
    _check_signed_headers(request, authorization)  # (3)
    _check_scope(authorization, amz_date, region, service)  # (4)
    credential = _known_key(request, lookup(authorization.access_key_id), authorization.access_key_id)  # (5)
    _check_payload_hash(request, authorization, credential)  # (6)

    def mismatch(why: str) -> SignatureRefusedError:
        return SignatureRefusedError(
            INVALID_SIGNATURE, MISMATCH, why, authorization=authorization, credential=credential
        )

    canonical = canonical_request(request, authorization.signed_headers, service=service)
    differing = [  # (7)
        AXES[axis][0]
        for axis in axes_of(request, authorization.signed_headers)
        if axis in {"path-escape", "query-escape"}
        or canonical_request(request, authorization.signed_headers, frozenset({axis}), service) != canonical
    ]
    if differing:
        raise mismatch(
            "readings differ: servers may canonicalise this request differently, so a signature of it holds by luck. "
            + "; ".join(differing)
        )
    expected = signature(  # (8)
        canonical,
        secret_access_key=credential.secret_access_key,
        amz_date=amz_date,
        scope=authorization.scope,
    )
    if not hmac.compare_digest(expected, authorization.signature):
        raise mismatch("the signature is not that of the request on the wire")
    return VerifiedCaller(credential=credential, signed_headers=authorization.signed_headers)


def _check_date(request: WireRequest, now: float) -> bytes:
    amz_date = request.header(b"x-amz-date")
    if amz_date is None:
        raise _incomplete(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
            "Authorization=AWS4-HMAC-SHA256",
            "the x-amz-date header is missing",
        )
    sent = _seconds(amz_date)
    if sent is None:
        raise _incomplete(
            f"Date must be in ISO-8601 'basic format'. Got '{show(amz_date)}'. "
            "See http://en.wikipedia.org/wiki/ISO_8601",
            f"x-amz-date must read YYYYMMDDTHHMMSSZ, not {show(amz_date)!r}",
        )
    if sent < now - WINDOW_S:
        raise SignatureRefusedError(
            INVALID_SIGNATURE,
            f"Signature expired: {show(amz_date)} is now earlier than {_basic(now - WINDOW_S)} ({_basic(now)} - 5 min.)",
            f"x-amz-date lies {now - sent:.0f} s back, more than {WINDOW_S}: the time must be read for each request, "
            "not when the function starts",
        )
    if sent > now + WINDOW_S:
        raise SignatureRefusedError(
            INVALID_SIGNATURE,
            f"Signature not yet current: {show(amz_date)} is still later than {_basic(now + WINDOW_S)} "
            f"({_basic(now)} + 5 min.)",
            f"x-amz-date lies {sent - now:.0f} s ahead, more than {WINDOW_S}: the caller's clock is wrong",
        )
    return amz_date


def _seconds(amz_date: bytes) -> int | None:
    if not _AMZ_DATE.fullmatch(amz_date):
        return None
    try:
        return calendar.timegm(time.strptime(amz_date.decode(), "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return None


def _basic(seconds: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


def _check_signed_headers(request: WireRequest, authorization: Authorization) -> None:
    signed = set(authorization.signed_headers)
    if b"host" not in signed:
        raise SignatureRefusedError(
            INVALID_SIGNATURE,
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
            "host is not signed",
        )
    for name in request.names():
        # "only the host and any x-amz-* headers are required" to be signed (IAM User Guide); what CloudFront adds
        # after the signing cannot be, and requests through CloudFront are admitted.
        if name.startswith(b"x-amz-") and name not in signed | UNSIGNED_BY_DESIGN:
            raise SignatureRefusedError(
                INVALID_SIGNATURE,
                f"'{show(name)}' must be a 'SignedHeader' in the AWS Authorization.",
                f"header {show(name)} came unsigned: sign it, or drop what a viewer sent under x-amz-*",
            )
    absent = sorted(signed - set(request.names()))
    if absent:
        raise SignatureRefusedError(
            INVALID_SIGNATURE, MISMATCH, f"signed headers that did not arrive: {', '.join(map(show, absent))}"
        )


def _check_scope(authorization: Authorization, amz_date: bytes, region: str, service: str) -> None:
    problems = []
    if authorization.region != region.encode():
        problems.append(f"Credential should be scoped to a valid region, not '{show(authorization.region)}'. ")
    if authorization.service != service.encode():
        problems.append(f"Credential should be scoped to correct service: '{service}'. ")
    if authorization.date != amz_date[:8]:
        problems.append(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{show(authorization.date)}' != '{show(amz_date[:8])}', from '{show(amz_date)}'."
        )
    if problems:
        raise SignatureRefusedError(
            INVALID_SIGNATURE,
            "".join(problems),
            f"the scope is {show(authorization.scope)}, it must be "
            f"{show(amz_date[:8])}/{region}/{service}/aws4_request (the URL's region, not the signer's)",
        )


def _known_key(request: WireRequest, credential: Credential | None, access_key_id: str) -> Credential:
    if credential is None:
        raise SignatureRefusedError(INVALID_SIGNATURE, INVALID_TOKEN, f"the access key {access_key_id} is unknown")
    token = request.header(b"x-amz-security-token")
    if credential.session_token is None:
        fits = token is None
        why = "the key is a long-term one, and x-amz-security-token came with it"
    else:
        fits = token is not None and hmac.compare_digest(token, credential.session_token.encode())
        why = (
            "the key is temporary, and x-amz-security-token did not come with it"
            if token is None
            else "x-amz-security-token is not the session's own"
        )
    if not fits:
        raise SignatureRefusedError(INVALID_SIGNATURE, INVALID_TOKEN, why)
    return credential


def _check_payload_hash(request: WireRequest, authorization: Authorization, credential: Credential) -> None:
    stated = request.header(b"x-amz-content-sha256")
    if stated is None or hmac.compare_digest(stated, request.body_sha256):
        return
    if stated == b"UNSIGNED-PAYLOAD" or stated.startswith(b"STREAMING-"):
        # "Lambda doesn't support unsigned payloads." (CloudFront Developer Guide, OAC for Lambda function URLs)
        why = f"x-amz-content-sha256 is {show(stated)}: Lambda takes no unsigned or chunk-signed payload"
    else:
        why = (
            f"x-amz-content-sha256 states {show(stated)}, the body of {len(request.body)} bytes that arrived has "
            f"{show(request.body_sha256)}"
        )
    raise SignatureRefusedError(INVALID_SIGNATURE, MISMATCH, why, authorization=authorization, credential=credential)
