"""Response headers policies: what CloudFront takes out of an answer and adds to it on the way to the viewer.

Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/understanding-response-headers-policies.html
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from .forwarding import Header, ViewerRequest

_ALL_METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
_CORS_PREFIX = b"access-control-"


def apply_policy(headers: list[Header], policy: Mapping[str, Any], viewer: ViewerRequest) -> list[Header]:
    """Return the headers as the viewer gets them.

    Steps, in the documented order ("CloudFront removes the headers first and then adds"):
        1. Remove.
        2. CORS, on requests with an ``Origin`` only.
        3. Security headers and custom headers, each with its own override.

    Args:
        headers: Of the origin's or the function's answer; names lower-case.
        policy: ``ResponseHeadersPolicyConfig`` in the API's form.
        viewer: The request that is answered.
    """
    removed = {item["Header"].lower().encode() for item in _items(policy.get("RemoveHeadersConfig"))}  # (1)
    headers = [header for header in headers if header[0] not in removed]
    if cors := policy.get("CorsConfig"):  # (2)
        if cors.get("OriginOverride"):
            headers = [header for header in headers if not header[0].startswith(_CORS_PREFIX)]
        there = {name for name, _ in headers}
        added = [header for header in _cors(cors, viewer) if header[0] not in there or header[0] == b"vary"]
        headers = _without_second_vary([*headers, *added])
    for name, value, override in _fixed(policy):  # (3)
        present = any(key == name for key, _ in headers)
        if present and not override:
            continue
        headers = [*(header for header in headers if header[0] != name), (name, value)]
    return headers


def _cors(cors: Mapping[str, Any], viewer: ViewerRequest) -> Iterator[Header]:
    origins = viewer.values(b"origin")
    if not origins:
        return
    origin = origins[0].decode("latin-1")
    allowed = _items(cors.get("AccessControlAllowOrigins"))
    credentials = bool(cors.get("AccessControlAllowCredentials"))
    if "*" in allowed and not credentials:
        yield b"access-control-allow-origin", b"*"
    elif any(_origin_matches(origin, pattern) for pattern in allowed):
        yield b"access-control-allow-origin", origins[0]
        yield b"vary", b"Origin"
    else:
        return
    if credentials:
        yield b"access-control-allow-credentials", b"true"
    if exposed := _items(cors.get("AccessControlExposeHeaders")):
        yield b"access-control-expose-headers", ",".join(exposed).encode()
    if viewer.method == "OPTIONS" and viewer.values(b"access-control-request-method"):
        methods = _items(cors.get("AccessControlAllowMethods"))
        yield b"access-control-allow-methods", ", ".join(_ALL_METHODS if "ALL" in methods else methods).encode()
        if names := _items(cors.get("AccessControlAllowHeaders")):
            yield b"access-control-allow-headers", ", ".join(names).encode()
        if (max_age := cors.get("AccessControlMaxAgeSec")) is not None:
            yield b"access-control-max-age", str(max_age).encode()


def _origin_matches(origin: str, pattern: str) -> bool:
    """Whether an allowed origin, with or without scheme, ``*`` at most as its leftmost label, admits *origin*."""
    if "://" not in pattern and pattern != "*":
        origin = origin.partition("://")[2]
    return fnmatchcase(origin, pattern.replace("[", "[[]"))


def _without_second_vary(headers: list[Header]) -> list[Header]:
    vary = [value for name, value in headers if name == b"vary"]
    fields = [field.strip() for value in vary for field in value.split(b",")]
    if not vary:
        return headers
    unique = {field.lower(): field for field in reversed(fields)}
    ordered = [unique[key] for key in dict.fromkeys(field.lower() for field in fields)]
    return [*(header for header in headers if header[0] != b"vary"), (b"vary", b", ".join(ordered))]


def _fixed(policy: Mapping[str, Any]) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yield name, value and override of the security and custom headers."""
    security = policy.get("SecurityHeadersConfig") or {}
    for key, name, value in (
        ("ContentSecurityPolicy", "content-security-policy", "ContentSecurityPolicy"),
        ("FrameOptions", "x-frame-options", "FrameOption"),
        ("ReferrerPolicy", "referrer-policy", "ReferrerPolicy"),
    ):
        if setting := security.get(key):
            yield name.encode(), str(setting[value]).encode(), bool(setting.get("Override"))
    if setting := security.get("ContentTypeOptions"):
        yield b"x-content-type-options", b"nosniff", bool(setting.get("Override"))
    if setting := security.get("StrictTransportSecurity"):
        value = f"max-age={setting['AccessControlMaxAgeSec']}"
        value += "; includeSubDomains" if setting.get("IncludeSubdomains") else ""
        value += "; preload" if setting.get("Preload") else ""
        yield b"strict-transport-security", value.encode(), bool(setting.get("Override"))
    if setting := security.get("XSSProtection"):
        value = "1" if setting.get("Protection") else "0"
        value += "; mode=block" if setting.get("ModeBlock") else ""
        value += f"; report={setting['ReportUri']}" if setting.get("ReportUri") else ""
        yield b"x-xss-protection", value.encode(), bool(setting.get("Override"))
    for item in _items(policy.get("CustomHeadersConfig")):
        yield item["Header"].lower().encode(), item.get("Value", "").encode(), bool(item.get("Override"))


def _items(container: Mapping[str, Any] | None) -> list[Any]:
    return list((container or {}).get("Items") or [])
