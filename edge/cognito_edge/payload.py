"""The body's SHA-256, also where the edge cannot see the body."""

import hashlib
import re

import pybase64

from .cloudfront import Request
from .errors import BodyTooLargeError, MalformedRequestError
from .sigv4 import EMPTY_SHA256
from .text import excerpt

_SHA256_HEX = re.compile(r"[0-9A-Fa-f]{64}")

# Methods whose body CloudFront shows to an edge function. For others (DELETE: anomalyco/sst#6427) only the headers show
# that the request has one.
_EXPOSED = frozenset({"POST", "PUT", "PATCH"})


def payload_hash(request: Request) -> str:
    """Return the lower-case hex SHA-256 of the body that CloudFront will send to the origin.

    Where the edge sees the whole body, the hash is made over its bytes, never over text. Where it does not, the viewer's
    ``x-amz-content-sha256`` is signed: CloudFront sends the whole body on, and Lambda checks it against that hash.

    Raises:
        BodyTooLargeError: The edge does not see it all, and the viewer sent no hash.
        MalformedRequestError: CloudFront's own encoding of the body cannot be read.
    """
    body = request.body
    data = body.get("data")
    if body.get("inputTruncated"):
        return _viewers_hash(request, "the body is larger than the 1 MB that the edge can see")
    if not data:
        if _is_announced(request):
            return _viewers_hash(request, f"the edge cannot see the body of a {request.method} request")
        return EMPTY_SHA256
    try:
        raw = data.encode("utf-8") if body.get("encoding") == "text" else pybase64.b64decode(data, validate=True)
    except ValueError:  # UnicodeEncodeError is one
        raise MalformedRequestError("The body reached the edge in an encoding that it cannot read.") from None
    return hashlib.sha256(raw).hexdigest()


def _is_announced(request: Request) -> bool:
    """Say whether the headers promise a body that the event does not show."""
    length = request.header("content-length")
    if length is not None:
        return length.strip() != "0"
    return request.method not in _EXPOSED and request.header("transfer-encoding") is not None


def _viewers_hash(request: Request, reason: str) -> str:
    values = request.header_values("x-amz-content-sha256")
    if len(values) == 1 and _SHA256_HEX.fullmatch(values[0].strip()):
        return values[0].strip().lower()
    came = f"it was sent {len(values)} times" if len(values) > 1 else f"it is {excerpt(values[0])}" if values else ""
    raise BodyTooLargeError(
        f"Send the body's SHA-256 as 64 hex digits in the header x-amz-content-sha256{' (' + came + ')' if came else ''}: "
        f"{reason}, so it cannot make the hash itself. With a shell: "
        "curl -H x-amz-content-sha256:$(sha256sum <FILE | cut -c1-64) --data-binary @FILE ..."
    )
