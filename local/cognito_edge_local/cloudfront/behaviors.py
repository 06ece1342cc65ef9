"""A distribution as CloudFront's API describes it: origins, behaviors, policies; and which behavior a path falls to.

``read_distribution`` reads it back through the API, so that the twin plays what was deployed, not what was intended.
"""

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from mypy_boto3_cloudfront import CloudFrontClient

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_NUMBERED_VERSION = re.compile(r"arn:aws[a-z-]*:lambda:us-east-1:\d{12}:function:[\w-]+:[1-9]\d*")


class DistributionError(Exception):
    """The distribution cannot be played, or would not be safe as a gateway; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which names of a kind (headers, cookies, query parameters) a policy forwards.

    Attributes:
        kind: The API's word: ``none``, ``whitelist``, ``all``, ``allExcept``; for headers also ``allViewer`` and
            ``allViewerAndWhitelistCloudFront``.
        names: As listed; header names lower-cased.
    """

    kind: str = "none"
    names: frozenset[str] = frozenset()

    @property
    def every(self) -> bool:
        """Whether it starts from all that the viewer sent."""
        return self.kind.startswith("all")

    def takes(self, name: str) -> bool:
        """Whether the viewer's *name* is forwarded.

        >>> Selection("allExcept", frozenset({"host"})).takes("host")
        False
        """
        match self.kind:
            case "none":
                return False
            case "whitelist":
                return name in self.names
            case "allExcept":
                return name not in self.names
            case _:
                return True


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """The part of a cache policy that the twin needs; it caches nothing itself."""

    name: str
    min_ttl_s: int
    default_ttl_s: int
    max_ttl_s: int
    gzip: bool
    brotli: bool
    headers: Selection
    cookies: Selection
    queries: Selection

    @property
    def caches(self) -> bool:
        """Whether an answer may ever be served without asking the origin, and so without the edge function."""
        return (self.min_ttl_s, self.default_ttl_s, self.max_ttl_s) != (0, 0, 0)


@dataclass(frozen=True, slots=True)
class OriginRequestPolicy:
    """What of the viewer's request goes to the origin beyond the cache key."""

    name: str
    headers: Selection
    cookies: Selection
    queries: Selection


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a behavior's requests go; the fields of the event's ``origin`` object, and the connection's settings.

    Attributes:
        custom_headers: Name and value as configured.
        completion_timeout_s: Response completion timeout; None: no limit.
        signed: Whether CloudFront signs the requests itself (origin access control for function URLs and buckets).
    """

    kind: Literal["custom", "s3"]
    domain_name: str
    path: str = ""
    custom_headers: tuple[tuple[str, str], ...] = ()
    protocol: Literal["http", "https"] = "https"
    port: int = 443
    ssl_protocols: tuple[str, ...] = ("TLSv1.2",)
    read_timeout_s: float = 30
    keepalive_timeout_s: int = 5
    completion_timeout_s: float | None = None
    connection_timeout_s: float = 10
    connection_attempts: int = 3
    signed: bool = False


@dataclass(frozen=True, slots=True)
class EdgeFunction:
    """An origin-request association."""

    arn: str
    include_body: bool


@dataclass(frozen=True)
class Behavior:
    """One cache behavior.

    Attributes:
        pattern: Path pattern; ``*`` for the default behavior.
        response_headers: ``ResponseHeadersPolicyConfig`` as the API gives it; see ``cloudfront/response_headers.py``.
    """

    pattern: str
    origin: Origin
    allowed_methods: frozenset[str]
    cache_policy: CachePolicy
    cached_methods: frozenset[str] = frozenset({"GET", "HEAD"})
    origin_request_policy: OriginRequestPolicy | None = None
    response_headers: Mapping[str, Any] | None = None
    edge_function: EdgeFunction | None = None

    @cached_property
    def _matcher(self) -> re.Pattern[bytes]:
        # "*" is 0 or more characters, "?" exactly one; case matters; the leading slash is optional in the pattern.
        wildcards = {"*": ".*", "?": "."}
        parts = [wildcards.get(char) or re.escape(char) for char in "/" + self.pattern.lstrip("/")]
        return re.compile("".join(parts).encode() if self.pattern != "*" else b".*", re.DOTALL)

    def matches(self, normalized_path: bytes) -> bool:
        """Whether a path, already normalised, falls to this behavior."""
        return self._matcher.fullmatch(normalized_path) is not None


@dataclass(frozen=True, slots=True)
class DistributionView:
    """All that the twin knows of a distribution.

    Attributes:
        behaviors: In the order in which they are tried; the default behavior is the last.
        aliases: Its alternate domain names.
        not_played: A sentence for each thing that the real distribution does and the twin does not.
    """

    distribution_id: str
    domain_name: str
    behaviors: tuple[Behavior, ...]
    default_root_object: str = ""
    not_played: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what would make the gateway unsafe, or what CloudFront itself would refuse to deploy.

        Raises:
            DistributionError: A behavior with the edge function is cacheable; an association is impossible at the
                edge; two behaviors name different functions, of which the twin could run only one.
        """
        guarded = [(behavior, behavior.edge_function) for behavior in self.behaviors if behavior.edge_function]
        for behavior, function in guarded:
            if behavior.cache_policy.caches:
                raise DistributionError(
                    f"Behavior {behavior.pattern} runs the origin-request function, but its cache policy "
                    f"{behavior.cache_policy.name} lets CloudFront keep answers: one user's answer would be served to "
                    "every other viewer without the token check. Use Managed-CachingDisabled."
                )
            if not _NUMBERED_VERSION.fullmatch(function.arn):
                raise DistributionError(
                    f"Behavior {behavior.pattern} names {function.arn}. Lambda@Edge takes a numbered version of a "
                    "function in us-east-1, neither $LATEST nor an alias."
                )
        arns = sorted({function.arn for _, function in guarded})
        if len(arns) > 1:
            raise DistributionError(f"The twin runs one edge function; the distribution names {', '.join(arns)}.")

    def behavior_for(self, raw_path: bytes) -> Behavior:
        """Return the first behavior whose pattern matches the normalised path."""
        normalized = normalize_path(raw_path)
        return next(behavior for behavior in self.behaviors if behavior.matches(normalized))


def normalize_path(raw_path: bytes) -> bytes:
    """Normalise a path for the choice of the behavior; the raw path is what goes on.

    "CloudFront normalizes URI paths consistent with RFC 3986 and then matches the path with the correct cache behavior.
    Once the cache behavior is matched, CloudFront sends the raw URI path to the origin."

    >>> normalize_path(b"/a/b/..//c/%2e/%61")
    b'/a/c/a'

    Source: DownloadDistValuesCacheBehavior.html, "Path normalization"; RFC 3986 §6.2.2.
    """

    def decoded(match: re.Match[bytes]) -> bytes:
        value = int(match[1], 16)
        return bytes([value]) if value in _UNRESERVED else match[0].upper()

    path = re.sub(rb"%([0-9A-Fa-f]{2})", decoded, raw_path)
    kept: list[bytes] = []
    segments = re.sub(rb"/{2,}", b"/", path).split(b"/")[1:]
    for position, segment in enumerate(segments):
        last = position == len(segments) - 1
        if segment in {b".", b".."}:
            if segment == b".." and kept:
                kept.pop()
            if last:
                kept.append(b"")
        else:
            kept.append(segment)
    return b"/" + b"/".join(kept)


def read_distribution(client: "CloudFrontClient", distribution_id: str) -> DistributionView:
    """Read a distribution and the policies it names through the CloudFront API.

    Args:
        client: boto3's CloudFront client, or one with its ``get_…`` methods.
        distribution_id: The distribution's id.

    Raises:
        DistributionError: See ``DistributionView``; or something is used that the twin cannot play at all.
    """
    answer: Mapping[str, Any] = client.get_distribution(Id=distribution_id)["Distribution"]
    config: Mapping[str, Any] = answer["DistributionConfig"]
    signed = {origin["Id"] for origin in _items(config.get("Origins")) if _is_signed(client, origin)}
    origins = {
        origin["Id"]: dataclasses.replace(_origin(origin), signed=origin["Id"] in signed)
        for origin in _items(config.get("Origins"))
    }
    ordered = [*_items(config.get("CacheBehaviors")), config["DefaultCacheBehavior"]]
    return DistributionView(
        distribution_id=answer["Id"],
        domain_name=answer["DomainName"],
        behaviors=tuple(_behavior(client, behavior, origins) for behavior in ordered),
        default_root_object=(config.get("DefaultRootObject") or "").lstrip("/"),
        not_played=tuple(_not_played(config, ordered, signed)),
        aliases=tuple(_items(config.get("Aliases"))),
    )


def _behavior(client: "CloudFrontClient", config: Mapping[str, Any], origins: Mapping[str, Origin]) -> Behavior:
    pattern = config.get("PathPattern", "*")
    target = config["TargetOriginId"]
    if target not in origins:
        raise DistributionError(
            f"Behavior {pattern} targets {target}, which is not an origin; origin groups are not played."
        )
    if not (cache_policy_id := config.get("CachePolicyId")):
        raise DistributionError(f"Behavior {pattern} has no cache policy; the twin does not play ForwardedValues.")
    origin_request = response_headers = None
    if policy_id := config.get("OriginRequestPolicyId"):
        answer = client.get_origin_request_policy(Id=policy_id)
        origin_request = _origin_request_policy(answer["OriginRequestPolicy"]["OriginRequestPolicyConfig"])
    if policy_id := config.get("ResponseHeadersPolicyId"):
        reply = client.get_response_headers_policy(Id=policy_id)
        response_headers = reply["ResponseHeadersPolicy"]["ResponseHeadersPolicyConfig"]
    methods = config.get("AllowedMethods") or {}
    return Behavior(
        pattern=pattern,
        origin=origins[target],
        allowed_methods=frozenset(_items(methods)) or frozenset({"GET", "HEAD"}),
        cached_methods=frozenset(_items(methods.get("CachedMethods"))) or frozenset({"GET", "HEAD"}),
        cache_policy=_cache_policy(client.get_cache_policy(Id=cache_policy_id)["CachePolicy"]["CachePolicyConfig"]),
        origin_request_policy=origin_request,
        response_headers=response_headers,
        edge_function=next(
            (
                EdgeFunction(association["LambdaFunctionARN"], bool(association.get("IncludeBody")))
                for association in _items(config.get("LambdaFunctionAssociations"))
                if association["EventType"] == "origin-request"
            ),
            None,
        ),
    )


def _is_signed(client: "CloudFrontClient", origin: Mapping[str, Any]) -> bool:
    """Whether CloudFront signs every request to this function URL or bucket; other access controls are not played."""
    if not (control_id := origin.get("OriginAccessControlId")):
        return False
    answer = client.get_origin_access_control(Id=control_id)["OriginAccessControl"]["OriginAccessControlConfig"]
    how = (answer["OriginAccessControlOriginType"], answer["SigningBehavior"], answer["SigningProtocol"])
    kind = "lambda" if origin.get("CustomOriginConfig") else "s3"
    return how == (kind, "always", "sigv4")


def _origin(config: Mapping[str, Any]) -> Origin:
    custom = config.get("CustomOriginConfig")
    headers = tuple((item["HeaderName"], item["HeaderValue"]) for item in _items(config.get("CustomHeaders")))
    path = config.get("OriginPath") or ""
    attempts = config.get("ConnectionAttempts", 3)
    timeout_s = config.get("ConnectionTimeout", 10)
    completion = config.get("ResponseCompletionTimeout")
    if custom is None:
        return Origin(
            kind="s3",
            domain_name=config["DomainName"],
            path=path,
            custom_headers=headers,
            connection_timeout_s=timeout_s,
            connection_attempts=attempts,
            completion_timeout_s=completion,
        )
    # "match-viewer" is https: viewers of the real distribution come over HTTPS (see cloudfront/distribution.py).
    plain = custom.get("OriginProtocolPolicy") == "http-only"
    return Origin(
        kind="custom",
        domain_name=config["DomainName"],
        path=path,
        custom_headers=headers,
        protocol="http" if plain else "https",
        port=int(custom.get("HTTPPort", 80) if plain else custom.get("HTTPSPort", 443)),
        ssl_protocols=tuple(_items(custom.get("OriginSslProtocols"))) or ("TLSv1.2",),
        read_timeout_s=custom.get("OriginReadTimeout", 30),
        keepalive_timeout_s=custom.get("OriginKeepaliveTimeout", 5),
        completion_timeout_s=completion,
        connection_timeout_s=timeout_s,
        connection_attempts=attempts,
    )


def _cache_policy(config: Mapping[str, Any]) -> CachePolicy:
    key = config.get("ParametersInCacheKeyAndForwardedToOrigin") or {}
    return CachePolicy(
        name=config["Name"],
        # The API's own defaults for what a configuration leaves out: a day, and a year.
        min_ttl_s=int(config.get("MinTTL", 0)),
        default_ttl_s=int(config.get("DefaultTTL", 86_400)),
        max_ttl_s=int(config.get("MaxTTL", 31_536_000)),
        gzip=bool(key.get("EnableAcceptEncodingGzip")),
        brotli=bool(key.get("EnableAcceptEncodingBrotli")),
        headers=_selection(key.get("HeadersConfig"), "HeaderBehavior", "Headers"),
        cookies=_selection(key.get("CookiesConfig"), "CookieBehavior", "Cookies"),
        queries=_selection(key.get("QueryStringsConfig"), "QueryStringBehavior", "QueryStrings"),
    )


def _origin_request_policy(config: Mapping[str, Any]) -> OriginRequestPolicy:
    return OriginRequestPolicy(
        name=config["Name"],
        headers=_selection(config.get("HeadersConfig"), "HeaderBehavior", "Headers"),
        cookies=_selection(config.get("CookiesConfig"), "CookieBehavior", "Cookies"),
        queries=_selection(config.get("QueryStringsConfig"), "QueryStringBehavior", "QueryStrings"),
    )


def _selection(config: Mapping[str, Any] | None, kind: str, names: str) -> Selection:
    if not config:
        return Selection()
    listed = _items(config.get(names))
    # Header names compare without case; cookies and query parameters with it.
    return Selection(config[kind], frozenset(name.lower() if names == "Headers" else name for name in listed))


def _items(container: Mapping[str, Any] | None) -> list[Any]:
    """Return the list inside the API's ``{"Quantity": n, "Items": […]}``; ``Items`` is absent when n is 0."""
    return list((container or {}).get("Items") or [])


def _not_played(
    config: Mapping[str, Any], behaviors: Iterable[Mapping[str, Any]], signed: Collection[str]
) -> Iterable[str]:
    if _items(config.get("CustomErrorResponses")):
        yield "custom error responses (CloudFront would replace the status and body of error answers)"
    if config.get("WebACLId"):
        yield "the web ACL (WAF)"
    restriction = ((config.get("Restrictions") or {}).get("GeoRestriction") or {}).get("RestrictionType", "none")
    if restriction != "none":
        yield "geographic restrictions"
    for origin in _items(config.get("Origins")):
        if origin.get("OriginAccessControlId") and origin["Id"] not in signed:
            yield f"origin access control (CloudFront would sign the requests to {origin['DomainName']})"
    for behavior in behaviors:
        yield from (f"{what} of behavior {behavior.get('PathPattern', '*')}" for what in _not_played_of(behavior))


def _not_played_of(behavior: Mapping[str, Any]) -> Iterable[str]:
    for association in _items(behavior.get("FunctionAssociations")):
        yield f"the CloudFront Function at {association['EventType']}"
    for association in _items(behavior.get("LambdaFunctionAssociations")):
        if association["EventType"] != "origin-request":
            yield f"the Lambda@Edge function at {association['EventType']}"
    if any((behavior.get(key) or {}).get("Enabled") for key in ("TrustedKeyGroups", "TrustedSigners")):
        yield "signed URLs and cookies"
