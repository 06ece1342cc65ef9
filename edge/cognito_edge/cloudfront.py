"""CloudFront's origin-request event <-> what the gateway works with.

Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-event-structure.html

The event's own request is changed in place and returned: a request rebuilt from parts loses its read-only headers, and
CloudFront answers 502 to a function that "tried to delete" one.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import ConfigurationUnavailableError
from .target import Target

# CGI, FastCGI and WSGI servers make variables of header names and write "_" for other characters: they would read
# ``x.cognito.groups`` as the gateway's, and ``SCRIPT_NAME`` as their own. nginx drops such names by default, too.
_PLAIN_NAME = re.compile(r"[a-z0-9-]+")

# What the gateway says itself, or has judged. Some server or framework believes each of these, as the word of a proxy in
# front of it.
_DROPPED = frozenset({"authorization", "forwarded", "script-name", "path-info"})
_DROPPED_PREFIXES = (
    # who calls: our own; ALB, Lambda Web Adapter; oauth2-proxy; Envoy; Apache, Authelia, Kubernetes; Grafana; Kong;
    # Cloudflare Access; Google IAP; Azure; nginx
    *("x-cognito-", "x-amz-", "x-amzn-oidc-", "x-amzn-mtls-", "x-amzn-request-context", "x-amzn-lambda-context"),
    *("x-auth-request-", "x-envoy-", "remote-", "x-remote-", "x-webauth-", "x-consumer-", "x-authenticated-"),
    *("cf-access-", "x-goog-iap-", "x-goog-authenticated-", "x-ms-client-principal", "ssl-client-", "x-ssl-client-"),
    # which method, path and host are meant
    *("x-forwarded-", "x-original-", "x-rewrite-", "x-override-", "x-http-", "x-method-override"),
    *("x-script-name", "x-host", "proxy"),
)
# CloudFront's own. It never shows them to a function, which may not change them.
_KEPT_PREFIXES = ("x-amz-cf-", "proxy-authenticate", "proxy-authorization", "proxy-connection")
# Common headers that are never dropped; skips the call to ``is_dropped``.
_KEPT = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "cache-control", "content-length", "content-type", "cookie"),
        *("host", "origin", "referer", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "user-agent", "via"),
        *("x-forwarded-for", "x-forwarded-proto"),
    }
)
# https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
_FUNCTION_URL_HOST = re.compile(r"[a-z0-9-]+\.lambda-url\.([a-z0-9-]+)\.on\.aws")


class Request:
    """One origin-request event, which is changed in place when the request is sent on.

    Attributes:
        method: HTTP method.
        uri: Raw path.
        querystring: Raw query without ``?``.
        request_id: CloudFront's id of the request.
        distribution_domain: For example ``d111111abcdef8.cloudfront.net``.
        origin_domain: The function URL's host.
        origin_path: Prefix that CloudFront puts before ``uri`` on the wire.
    """

    __slots__ = (
        "_request",
        "distribution_domain",
        "method",
        "origin_domain",
        "origin_path",
        "querystring",
        "request_id",
        "uri",
    )

    def __init__(self, event: Mapping[str, Any]) -> None:
        """Read the event.

        Raises:
            KeyError, TypeError, IndexError, AttributeError: It is no origin-request event of a custom origin.
        """
        cf = event["Records"][0]["cf"]
        config = cf["config"]
        request = cf["request"]
        origin = request["origin"]["custom"]
        self._request: dict[str, Any] = request
        self.request_id: str = config["requestId"]
        self.distribution_domain: str = config["distributionDomainName"]
        self.method: str = request["method"]
        self.uri: str = request["uri"]
        self.querystring: str = request.get("querystring") or ""
        self.origin_domain: str = origin["domainName"]
        self.origin_path: str = origin.get("path") or ""

    def header(self, name: str) -> str | None:
        """Return the first value of a header, or None; *name* in lower case."""
        values = self._request["headers"].get(name)
        return values[0]["value"] if values else None

    def header_values(self, name: str) -> list[str]:
        """Return every value of a header; *name* in lower case."""
        return [item["value"] for item in self._request["headers"].get(name, ())]

    @property
    def body(self) -> Mapping[str, Any]:
        """The event's body object; empty when the trigger exposes none."""
        return self._request.get("body") or {}

    @property
    def origin_region(self) -> str:
        """The region in the function URL's host, ``<id>.lambda-url.<region>.on.aws``.

        Never ``AWS_REGION``, which is the region that the edge runs in.

        Raises:
            ConfigurationUnavailableError: The origin is no function URL.
        """
        host = _FUNCTION_URL_HOST.fullmatch(self.origin_domain)
        if host is None:
            raise ConfigurationUnavailableError(
                "The gateway is not set up for this path. Nothing is wrong with your request.",
                internal=f"the origin {self.origin_domain!r} is no function URL (<id>.lambda-url.<region>.on.aws)",
            )
        return host[1]

    def send_on(self, target: Target, host: str, added: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """Change the event's request into the one that CloudFront sends to the origin, and return it.

        Args:
            target: The canonical target.
            host: ``x-forwarded-host``: what the viewer called this gateway.
            added: (name, value) of the headers that the gateway states; names in lower case.
        """
        request = self._request
        headers = request["headers"]
        for name in [name for name in headers if name not in _KEPT and is_dropped(name)]:
            del headers[name]
        headers["host"] = [{"key": "host", "value": self.origin_domain}]
        headers["x-forwarded-host"] = [{"key": "x-forwarded-host", "value": host}]
        for name, value in added:
            headers[name] = [{"key": name, "value": value}]
        request["uri"] = target.path
        request["querystring"] = target.query
        body = request.get("body")
        if body:
            # "If you access the request body as read-only, CloudFront sends the full original request body to the
            # origin", and ignores data and encoding. Returning a megabyte would only cost time.
            body["action"] = "read-only"
            body["data"] = ""
        return request


def is_dropped(name: str) -> bool:
    """Say whether a viewer's header ends at the edge, by its name in any case (contract C7).

    >>> is_dropped("X.Cognito-Groups"), is_dropped("x-amz-date"), is_dropped("x-amz-cf-id"), is_dropped("accept")
    (True, True, False, False)
    """
    lower = name.lower()
    if _PLAIN_NAME.fullmatch(lower) is None:
        return True
    if lower in _KEPT or lower.startswith(_KEPT_PREFIXES):
        return False
    return lower in _DROPPED or lower.startswith(_DROPPED_PREFIXES)


def response(status: int, description: str, headers: Iterable[tuple[str, str]], body: str = "") -> dict[str, Any]:
    """Build a generated response, which CloudFront sends to the viewer instead of asking the origin.

    Args:
        status: HTTP status code.
        description: Reason phrase.
        headers: (name, value); no name twice.
        body: Text; at most 1 MB with the headers.
    """
    result: dict[str, Any] = {
        "status": str(status),
        "statusDescription": description,
        "headers": {name.lower(): [{"key": name, "value": value}] for name, value in headers},
    }
    if body:
        result["body"] = body
        result["bodyEncoding"] = "text"
    return result
