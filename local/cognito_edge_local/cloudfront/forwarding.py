"""What CloudFront makes of a viewer's request before the edge function sees it: filtered, completed, addressed.

Sources: ``cloudfront/rules.py`` (ORIGIN), the pages on cache and origin request policies, and
https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_OriginRequestPolicyHeadersConfig.html
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from . import rules
from .behaviors import Behavior, Origin, Selection

Header = tuple[bytes, bytes]

# The hop that the function sees and the one that is added behind it: a signature over Via breaks, as it does on AWS
# now and then (jetbridge/cdk-nextjs#265).
EDGE_HOP = "local-edge.cloudfront.net (CloudFront)"
REGIONAL_HOP = "local-regional.cloudfront.net (CloudFront)"

# Forwarded without being listed in any policy: framing and type of the body, validators, ranges.
_ALWAYS_FORWARDED = frozenset(
    {
        "content-encoding",
        "content-length",
        "content-type",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "range",
        "transfer-encoding",
        "via",
        "x-forwarded-for",
    }
)


@dataclass(frozen=True, slots=True)
class ViewerRequest:
    """A request as it arrived.

    Attributes:
        path: Raw target up to the first ``?``.
        query: Raw target after it.
        headers: Names lower-case (as in HTTP/2), values raw, in order, repeats kept.
        client_ip: The viewer's address.
        http_version: Such as ``1.1``.
    """

    method: str
    path: bytes
    query: bytes
    headers: tuple[Header, ...] = field(repr=False)  # bearer tokens
    client_ip: str
    client_port: int
    http_version: str = "1.1"

    def values(self, name: bytes) -> list[bytes]:
        """Every value of a header, in order."""
        return [value for key, value in self.headers if key == name]


@dataclass(frozen=True, slots=True)
class OriginRequest:
    """A request as CloudFront would send it to the origin, before or after the function.

    Attributes:
        uri: Raw path without the origin's own path, as in the event's ``uri``.
        headers: What a function may see, in order.
        hidden: Headers that go to the origin although functions cannot see them.
        body: What the function put in the body's place; None: the viewer's own, all of it.
    """

    method: str
    uri: bytes
    query: bytes
    headers: tuple[Header, ...] = field(repr=False)
    hidden: tuple[Header, ...] = field(repr=False)
    origin: Origin
    body: bytes | None = field(default=None, repr=False)

    @property
    def target(self) -> bytes:
        """The request target on the wire, byte for byte."""
        return self.origin.path.encode() + self.uri + (b"?" + self.query if self.query else b"")


def origin_request(viewer: ViewerRequest, behavior: Behavior, default_root_object: str = "") -> OriginRequest:
    """Build the request that the origin-request event shows.

    Steps:
        1. Take away what CloudFront never forwards, and what neither policy forwards.
        2. Add what CloudFront adds before the function runs.
        3. Set apart what functions cannot see.
    """
    origin = behavior.origin
    wanted = list(_forwarded(viewer, behavior))  # (1)
    names = {name for name, _ in wanted}
    wanted = [header for header in wanted if header[0] not in {b"x-forwarded-for", b"via", b"host"}]  # (2)
    viewers_host = viewer.values(b"host") if b"host" in names else []
    host = viewers_host[0] if viewers_host else origin.domain_name.encode()
    forwarded_for = b", ".join([*viewer.values(b"x-forwarded-for"), viewer.client_ip.encode()])
    via = b", ".join([*viewer.values(b"via"), f"{viewer.http_version} {EDGE_HOP}".encode()])
    added = [
        (b"Host", host),
        (b"X-Forwarded-For", forwarded_for),
        (b"Via", via),
        *_cloudfront_headers(viewer, behavior),
    ]
    if b"user-agent" not in names and not _forwards(behavior, "user-agent"):
        added.append((b"User-Agent", b"Amazon CloudFront"))
    # "If the viewer request has the header already, CloudFront overwrites it" with the origin's custom header.
    replaced = {name.lower() for name, _ in added} | {name.lower().encode() for name, _ in origin.custom_headers}
    complete = [*added, *(header for header in wanted if header[0] not in replaced)]
    visible = tuple(header for header in complete if not rules.is_disallowed(header[0].decode("latin-1")))  # (3)
    hidden = tuple(header for header in complete if rules.is_disallowed(header[0].decode("latin-1")))
    uri = viewer.path
    if uri == b"/" and default_root_object:
        uri += default_root_object.encode()
    return OriginRequest(viewer.method, uri, _query(viewer.query, behavior), visible, hidden, origin)


def _forwarded(viewer: ViewerRequest, behavior: Behavior) -> Iterator[Header]:
    for name, value in viewer.headers:
        text = name.decode("latin-1")
        if rules.is_removed_from_viewer_request(text):
            continue
        if text == "cookie":
            if kept := _cookies(value, behavior):
                yield name, kept
        elif text == "authorization":
            if _forwards_authorization(viewer.method, behavior):
                yield name, value
        elif text == "accept-encoding" and (behavior.cache_policy.gzip or behavior.cache_policy.brotli):
            if normalized := _accept_encoding(value, behavior):
                yield name, normalized
        elif _forwards(behavior, text) or text in _ALWAYS_FORWARDED:
            yield name, value


def _selections(behavior: Behavior, kind: str) -> list[Selection]:
    policy = behavior.origin_request_policy
    chosen: list[Selection] = [getattr(behavior.cache_policy, kind)]
    return [*chosen, getattr(policy, kind)] if policy else chosen


def _forwards(behavior: Behavior, header: str) -> bool:
    return any(selection.takes(header) for selection in _selections(behavior, "headers"))


def _forwards_authorization(method: str, behavior: Behavior) -> bool:
    # It cannot be listed in an origin request policy: only a policy that starts from all viewer headers, or the cache
    # key, brings it to the origin. Otherwise GET and HEAD lose it, and OPTIONS where its answers are cached.
    everything = [selection for selection in _selections(behavior, "headers") if selection.every]
    if any(selection.takes("authorization") for selection in [*everything, behavior.cache_policy.headers]):
        return True
    return method not in {"GET", "HEAD"} and not (method == "OPTIONS" and "OPTIONS" in behavior.cached_methods)


def _accept_encoding(value: bytes, behavior: Behavior) -> bytes:
    # With compression in the cache policy the header is normalised and always forwarded; with neither gzip nor Brotli
    # it is "the same as any other HTTP header" (API_ParametersInCacheKeyAndForwardedToOrigin).
    offered = {coding.split(b";")[0].strip().lower() for coding in value.split(b",")}
    policy = behavior.cache_policy
    codings = [b"br"] * (policy.brotli and b"br" in offered) + [b"gzip"] * (policy.gzip and b"gzip" in offered)
    return b",".join(codings)


def _cookies(value: bytes, behavior: Behavior) -> bytes:
    selections = _selections(behavior, "cookies")
    if any(selection.kind == "all" for selection in selections):
        return value
    pairs = [pair.strip() for pair in value.split(b";")]
    return b"; ".join(pair for pair in pairs if _takes(selections, pair.partition(b"=")[0]))


def _query(query: bytes, behavior: Behavior) -> bytes:
    selections = _selections(behavior, "queries")
    if any(selection.kind == "all" for selection in selections):
        return query
    return b"&".join(pair for pair in query.split(b"&") if _takes(selections, pair.partition(b"=")[0]))


def _takes(selections: Iterable[Selection], name: bytes) -> bool:
    return any(selection.takes(name.decode("latin-1")) for selection in selections)


def _cloudfront_headers(viewer: ViewerRequest, behavior: Behavior) -> Iterator[Header]:
    """Yield the CloudFront-* headers that the policies ask for, with values that a loopback viewer may have.

    AllViewerExceptHostHeader, hence ``allExcept``, adds them too (page "Managed origin request policies", 2026).
    """
    agent = b" ".join(viewer.values(b"user-agent")).lower()
    phone = b"mobile" in agent
    values: dict[str, bytes] = {
        "CloudFront-Forwarded-Proto": b"https",
        "CloudFront-Is-Android-Viewer": _flag(b"android" in agent),
        "CloudFront-Is-Desktop-Viewer": _flag(not phone),
        "CloudFront-Is-IOS-Viewer": _flag(b"iphone" in agent or b"ipad" in agent),
        "CloudFront-Is-Mobile-Viewer": _flag(phone),
        "CloudFront-Is-SmartTV-Viewer": b"false",
        "CloudFront-Is-Tablet-Viewer": b"false",
        "CloudFront-Viewer-Address": f"{viewer.client_ip}:{viewer.client_port}".encode(),
        "CloudFront-Viewer-ASN": b"64496",  # reserved for documentation (RFC 5398)
        "CloudFront-Viewer-Country": b"ZZ",  # ISO 3166: user-assigned
        "CloudFront-Viewer-Http-Version": viewer.http_version.encode(),
        "CloudFront-Viewer-TLS": b"TLSv1.3:TLS_AES_128_GCM_SHA256:sessionResumed",
    }
    for name, value in values.items():
        for selection in _selections(behavior, "headers"):
            listed = (
                selection.kind in {"whitelist", "allViewerAndWhitelistCloudFront"} and name.lower() in selection.names
            )
            if listed or (selection.kind == "allExcept" and selection.takes(name.lower())):
                yield name.encode(), value
                break


def _flag(value: bool) -> bytes:  # noqa: FBT001 - it writes a bool down
    return b"true" if value else b"false"


def wire_headers(request: OriginRequest, request_id: str) -> list[Header]:
    """Return all that goes to the origin, after the function: hop headers added, framing made to fit the body."""
    headers = list(request.headers)
    if request.body is not None:
        headers = [header for header in headers if header[0].lower() not in {b"content-length", b"transfer-encoding"}]
        headers.append((b"Content-Length", str(len(request.body)).encode()))
    # A second cache, the regional one, lies between the edge and the origin.
    hop = f"1.1 {REGIONAL_HOP}".encode()
    headers = [(name, value + b", " + hop) if name.lower() == b"via" else (name, value) for name, value in headers]
    custom = [(name.encode(), value.encode()) for name, value in request.origin.custom_headers]
    return [
        *headers,
        *request.hidden,
        *custom,
        (b"X-Amz-Cf-Id", request_id.encode()),
        (b"Connection", b"Keep-Alive"),
    ]
