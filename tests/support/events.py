"""Origin-request events as CloudFront builds them, and readers of what the handler returns."""

import base64
import json
import uuid

ORIGIN = "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-west-3.on.aws"
DISTRIBUTION = "d111111abcdef8.cloudfront.net"


def make_event(
    *,
    method: str = "GET",
    uri: str = "/api/whoami",
    querystring: str = "",
    token: str | None = None,
    headers: dict[str, str | list[str]] | None = None,
    body: bytes | None = None,
    truncated: bool = False,
    origin: str = ORIGIN,
    origin_path: str = "",
) -> dict:
    """Build an origin-request event as CloudFront does behind AllViewerExceptHostHeader with the body included."""
    pairs: dict[str, str | list[str]] = {
        "host": origin,
        "user-agent": "curl/8.5.0",
        "accept": "*/*",
        "x-forwarded-for": "198.51.100.7",
        "via": "2.0 0123456789abcdef.cloudfront.net (CloudFront)",
        "accept-encoding": "gzip",
        "cloudfront-viewer-country": "DE",
    }
    if token is not None:
        pairs["authorization"] = f"Bearer {token}"
    if body is not None:
        pairs["content-length"] = str(len(body))
    pairs.update(headers or {})
    return {
        "Records": [
            {
                "cf": {
                    "config": {
                        "distributionDomainName": DISTRIBUTION,
                        "distributionId": "EDFDVBD6EXAMPLE",
                        "eventType": "origin-request",
                        "requestId": f"req-{uuid.uuid4().hex}",
                    },
                    "request": {
                        "clientIp": "198.51.100.7",
                        "headers": {
                            name: [
                                {"key": name.title(), "value": v}
                                for v in ([value] if isinstance(value, str) else value)
                            ]
                            for name, value in pairs.items()
                        },
                        "method": method,
                        "uri": uri,
                        "querystring": querystring,
                        "body": {
                            "inputTruncated": truncated,
                            "action": "read-only",
                            "encoding": "base64",
                            "data": base64.b64encode((body or b"")[:1_048_576]).decode(),
                        },
                        "origin": {
                            "custom": {
                                "customHeaders": {},
                                "domainName": origin,
                                "keepaliveTimeout": 5,
                                "path": origin_path,
                                "port": 443,
                                "protocol": "https",
                                "readTimeout": 30,
                                "responseCompletionTimeout": 30,
                                "sslProtocols": ["TLSv1.2"],
                            }
                        },
                    },
                }
            }
        ]
    }


def headers_of(result: dict) -> dict[str, str]:
    """Return a request's or response's headers as (lower-case name, values joined by ', ')."""
    return {name: ", ".join(item["value"] for item in items) for name, items in result["headers"].items()}


def problem_of(result: dict) -> dict:
    """Return the problem document of a refusal."""
    return json.loads(result["body"])


def is_forwarded(result: dict) -> bool:
    """Say whether a result is a request that CloudFront sends on, rather than a response."""
    return "status" not in result
