"""Where OAuth clients learn how to sign in: protected resource metadata (RFC 9728)."""

import json
from collections.abc import Collection
from typing import Any

from .cloudfront import Request, response
from .errors import MethodNotAllowedError
from .parameters import Configuration
from .settings import Settings

WELL_KNOWN = "/.well-known/oauth-protected-resource"

# A client asks once for each sign-in. A change of pools shows within this time.
MAX_AGE_S = 300


def metadata_paths(settings: Settings) -> Collection[str]:
    """Return the paths at which the metadata is served: the resource's own, and the host's.

    "inserting a well-known URI string into the protected resource's resource identifier between the host component and
    the path" (RFC 9728 §3.1); clients that know only the host ask without a path.
    """
    if settings.resource is None:
        return ()
    _, path = _split(settings.resource)
    # Clients differ in whether they keep a final slash.
    return frozenset(known + slash for known in (WELL_KNOWN, WELL_KNOWN + path) for slash in ("", "/"))


def metadata_url(settings: Settings) -> str | None:
    """Return what ``resource_metadata`` in a challenge points to (RFC 9728 §5.1), or None."""
    if settings.resource is None:
        return None
    origin, path = _split(settings.resource)
    return f"{origin}{WELL_KNOWN}{path}"


def _split(resource: str) -> tuple[str, str]:
    """Return a resource's origin, and its path without final slashes; ``settings.py`` admits nothing else."""
    scheme, _, rest = resource.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host}", (slash + path).rstrip("/")


def metadata(request: Request, settings: Settings, configuration: Configuration) -> dict[str, Any]:
    """Answer a request for the metadata: public, and readable by pages of any origin.

    Raises:
        MethodNotAllowedError: Anything but GET, HEAD and a preflight.
    """
    headers = [
        ("Access-Control-Allow-Origin", "*"),
        ("Cache-Control", f"public, max-age={MAX_AGE_S}"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if request.method == "OPTIONS":
        allow = [("Access-Control-Allow-Methods", "GET, HEAD"), ("Access-Control-Allow-Headers", "*")]
        return response(204, "No Content", headers + allow)
    if request.method not in ("GET", "HEAD"):
        raise MethodNotAllowedError(f"{request.method} is not allowed here; GET is.", allow=("GET", "HEAD", "OPTIONS"))
    routes = [route for rules in configuration.policy.rules for route in rules.routes]
    scopes = sorted({scope for route in routes for scope in route.scopes})
    document: dict[str, Any] = {
        "resource": settings.resource,
        "authorization_servers": list(settings.authorization_servers or _issuers(configuration)),
        "bearer_methods_supported": ["header"],
    }
    if scopes:
        document["scopes_supported"] = scopes
    return response(200, "OK", [*headers, ("Content-Type", "application/json")], json.dumps(document))


def _issuers(configuration: Configuration) -> list[str]:
    """Return one issuer of each trusted pool, the gateway's own first."""
    pools = dict.fromkeys((configuration.pool, *configuration.pools_by_issuer.values()))
    # Both of Cognito's forms serve the same discovery document; the shorter one is every pool's default.
    return [min(pool.issuers, key=len) for pool in pools]
