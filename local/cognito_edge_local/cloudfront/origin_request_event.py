"""The origin-request event that CloudFront hands to the edge function, field by field as documented.

Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-event-structure.html
"""

import base64
from typing import Any

from . import rules
from .behaviors import DistributionView, Origin
from .forwarding import Header, OriginRequest, ViewerRequest


def text_of(raw: bytes) -> str:
    """Decode as CloudFront does for functions: as UTF-8, or else as ISO-8859-1.

    Source: edge-function-restrictions-all.html, "Text and encoding".
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def origin_request_event(
    *,
    view: DistributionView,
    request_id: str,
    viewer: ViewerRequest,
    request: OriginRequest,
    body: bytes | None,
) -> dict[str, Any]:
    """Build the event.

    Args:
        view: The distribution.
        request_id: CloudFront's id of this request.
        viewer: The request as it arrived.
        request: What CloudFront is about to send to the origin.
        body: The viewer's body, whole or at least one byte more than is exposed; empty for methods whose body is
            not exposed; None without "include body", and then the event has no ``body`` at all.
    """
    shown: dict[str, Any] = {
        "clientIp": viewer.client_ip,
        "headers": _headers(request.headers),
        "method": request.method,
        "origin": _origin(request.origin),
        "querystring": text_of(request.query),
        "uri": text_of(request.uri),
    }
    if body is not None:
        shown["body"] = {
            "inputTruncated": len(body) > rules.MAX_EXPOSED_BODY_BYTES,
            "action": "read-only",
            "encoding": "base64",
            "data": base64.b64encode(body[: rules.MAX_EXPOSED_BODY_BYTES]).decode("ascii"),
        }
    config = {
        "distributionDomainName": view.domain_name,
        "distributionId": view.distribution_id,
        "eventType": "origin-request",
        "requestId": request_id,
    }
    return {"Records": [{"cf": {"config": config, "request": shown}}]}


def _headers(headers: tuple[Header, ...]) -> dict[str, list[dict[str, str]]]:
    grouped: dict[str, list[dict[str, str]]] = {}
    for raw_name, value in headers:
        name = raw_name.decode("latin-1")
        grouped.setdefault(name.lower(), []).append({"key": name, "value": text_of(value)})
    return grouped


def _origin(origin: Origin) -> dict[str, Any]:
    custom_headers = _headers(tuple((name.encode(), value.encode()) for name, value in origin.custom_headers))
    if origin.kind == "s3":
        return {
            "s3": {
                "authMethod": "none",
                "customHeaders": custom_headers,
                "domainName": origin.domain_name,
                "path": origin.path,
                "region": "us-east-1",
            }
        }
    fields: dict[str, Any] = {
        "customHeaders": custom_headers,
        "domainName": origin.domain_name,
        "keepaliveTimeout": origin.keepalive_timeout_s,
        "path": origin.path,
        "port": origin.port,
        "protocol": origin.protocol,
        "readTimeout": origin.read_timeout_s,
        # Documented as a number not below readTimeout; without one configured, there is no overall limit.
        "responseCompletionTimeout": origin.completion_timeout_s or origin.read_timeout_s,
        "sslProtocols": list(origin.ssl_protocols),
    }
    return {"custom": fields}
