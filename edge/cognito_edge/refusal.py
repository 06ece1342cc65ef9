"""A refusal -> the response that explains it: problem+json, or a page for a person (RFC 9457, RFC 6750 §3)."""

import json
from collections.abc import Sequence
from typing import Any

from .cloudfront import Request, response
from .errors import AuthenticationError, AuthorizationError, GatewayError, MethodNotAllowedError, UnavailableError

# RFC 9457 §3.1.1 wants a URI that names the problem. docs/refusals.md explains each.
PROBLEM_TYPE = "urn:cognito-edge-gateway:problem:"

_REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    405: "Method Not Allowed",
    413: "Content Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<h1>{title}</h1>
<p>{detail}</p>
<p>Status {status}, code <code>{code}</code>, request <code>{request_id}</code></p>
</html>
"""


def refuse(
    error: GatewayError,
    request: Request | None,
    *,
    host: str,
    resource_metadata: str | None,
    cors: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Build the response to a refused request.

    Args:
        error: Why.
        request: The request, or None if not even that could be read.
        host: What the viewer called this gateway: the name of the protection space.
        resource_metadata: Where OAuth clients learn how to sign in, or None.
        cors: CORS headers to add.
    """
    request_id = request.request_id if request is not None else ""
    headers = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
    if isinstance(error, (AuthenticationError, AuthorizationError)):
        headers.append(("WWW-Authenticate", challenge(error, host, resource_metadata)))
    if isinstance(error, UnavailableError):
        headers.append(("Retry-After", str(error.retry_after_s)))
    if isinstance(error, MethodNotAllowedError):
        headers.append(("Allow", ", ".join(error.allow)))
    headers += cors

    if request is not None and _prefers_html(request):
        headers += [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
            ("Referrer-Policy", "no-referrer"),
        ]
        body = _page(error, request_id)
    else:
        headers.append(("Content-Type", "application/problem+json"))
        body = json.dumps(
            {
                "type": PROBLEM_TYPE + error.code,
                "title": error.title,
                "status": error.status,
                "detail": str(error),
                "code": error.code,
                "request_id": request_id,
            }
        )
    return response(error.status, _REASONS[error.status], headers, body)


def _page(error: GatewayError, request_id: str) -> str:
    """Write the refusal for a person; every value is escaped."""
    import html  # noqa: PLC0415  few requests need it

    return _PAGE.format(
        title=html.escape(error.title),
        detail=html.escape(str(error)),
        status=error.status,
        code=html.escape(error.code),
        request_id=html.escape(request_id),
    )


def challenge(error: AuthenticationError | AuthorizationError, realm: str, resource_metadata: str | None = None) -> str:
    """Write the ``WWW-Authenticate`` header. RFC 6750 §3.

    "If the request lacks any authentication information …, the resource server SHOULD NOT include an error code or other
    error information." (§3.1)
    """
    parameters = [("realm", realm)]
    if error.oauth_error is not None:
        parameters += [("error", error.oauth_error), ("error_description", str(error))]
    if isinstance(error, AuthorizationError) and error.scope is not None:
        parameters.append(("scope", error.scope))
    if resource_metadata is not None:  # RFC 9728 §5.1
        parameters.append(("resource_metadata", resource_metadata))
    return "Bearer " + ", ".join(f'{name}="{_quotable(value)}"' for name, value in parameters)


def _quotable(text: str) -> str:
    """Keep to the characters that both a quoted-string and RFC 6750's error_description allow."""
    return "".join(character if " " <= character <= "~" and character not in '"\\' else "'" for character in text)


def _prefers_html(request: Request) -> bool:
    """Say whether a GET or HEAD would rather have a page than JSON. RFC 9110 §12.5.1."""
    if request.method not in ("GET", "HEAD"):
        return False
    accept = ",".join(request.header_values("accept"))
    html_quality, json_quality = (
        _quality(accept, "text", ("html",)),
        _quality(accept, "application", ("problem+json", "json")),
    )
    return html_quality > json_quality


def _quality(accept: str, kind: str, subtypes: Sequence[str]) -> float:
    """Return the weight that *accept* gives to the best of some media types; the most specific range counts."""
    best: dict[str, tuple[int, float]] = {}
    for item in accept.lower().split(",")[:64]:
        media_range, *parameters = (part.strip() for part in item.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = min(1.0, max(0.0, float(parameter[2:])))
                except ValueError:
                    quality = 0.0
        for subtype in subtypes:
            rank = {f"{kind}/{subtype}": 3, f"{kind}/*": 2, "*/*": 1}.get(media_range, 0)
            if rank > best.get(subtype, (0, 0.0))[0]:
                best[subtype] = (rank, quality)
    return max((quality for _, quality in best.values()), default=0.0)
