"""CORS for what the edge itself answers: preflights and refusals (Fetch standard, "CORS protocol").

The backend's answers get theirs from a CloudFront response headers policy: an origin-request function never sees them.
"""

from typing import Any

from .cloudfront import Request, response
from .policy import METHODS, Cors

# What a page's code may read of a refusal beside the few headers that are always readable.
_EXPOSED = "WWW-Authenticate, Retry-After, Allow"


def is_preflight(request: Request) -> bool:
    """Say whether a browser asks for permission to call. It never sends a token with that question."""
    return (
        request.method == "OPTIONS"
        and request.header("origin") is not None
        and request.header("access-control-request-method") is not None
    )


def preflight(request: Request, cors: Cors) -> dict[str, Any]:
    """Answer a preflight. An origin that is not allowed gets no header that permits anything.

    The methods are the same for every path: the page has proved nothing yet, and learns nothing of the rules.
    """
    headers = _origin_headers(cors, request.header("origin"))
    if len(headers) > 1:
        headers += [
            ("Access-Control-Allow-Methods", ", ".join(METHODS)),
            ("Access-Control-Allow-Headers", ", ".join(cors.allow_headers)),
            ("Access-Control-Max-Age", str(cors.max_age_s)),
        ]
    return response(204, "No Content", [("Cache-Control", "no-store"), *headers])


def refusal_headers(cors: Cors | None, origin: str | None) -> list[tuple[str, str]]:
    """Return the headers that let an allowed page read a refusal."""
    if cors is None:
        return []
    headers = _origin_headers(cors, origin)
    if len(headers) > 1:
        headers.append(("Access-Control-Expose-Headers", _EXPOSED))
    return headers


def _origin_headers(cors: Cors, origin: str | None) -> list[tuple[str, str]]:
    # Tokens travel in a header that pages set themselves. Cookies do not count, so credentials are never allowed, and "*"
    # stays harmless.
    headers = [("Vary", "Origin")]
    if origin is not None and (origin in cors.allow_origins or "*" in cors.allow_origins):
        headers.append(("Access-Control-Allow-Origin", origin if origin in cors.allow_origins else "*"))
    return headers
