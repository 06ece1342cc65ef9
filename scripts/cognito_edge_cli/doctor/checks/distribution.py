"""Checks of the doctor: the distribution and its behaviors: the edge function runs where it has to; no answer is cached."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cognito_edge_cli.doctor.report import Probe, Verdict, failed, passed, warned
from cognito_edge_cli.doctor.system import Document, System, UnseenError, url_region
from cognito_edge_cli.stack import DEFAULT_REGION

CACHING_DISABLED: Final = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
ALL_VIEWER_EXCEPT_HOST_HEADER: Final = "b689b0a8-53d0-40ab-baf2-68738e2966ac"
_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"})
_NUMBERED: Final = re.compile(r"arn:aws[a-z-]*:lambda:us-east-1:\d{12}:function:[\w-]+:[1-9]\d*")
_S3_HOST: Final = re.compile(r".+\.s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?")


@dataclass(frozen=True)
class Behavior:
    """One cache behavior.

    Attributes:
        pattern: Its path pattern; ``*`` for the default one.
        config: As CloudFront's API gives it.
        origin: The origin it leads to.
        associations: Its Lambda@Edge associations.
        edge_function: ARN, without version, of the gateway's edge function; "" where the stack does not say.
    """

    pattern: str
    config: Document
    origin: Document
    associations: tuple[Document, ...]
    edge_function: str

    @property
    def leads_to_url(self) -> bool:
        """Whether its origin is a function URL."""
        return url_region(self.origin.get("DomainName", "")) is not None

    @property
    def is_site(self) -> bool:
        """Whether its origin is a bucket."""
        return "S3OriginConfig" in self.origin or bool(_S3_HOST.fullmatch(self.origin.get("DomainName", "")))

    @property
    def ours(self) -> tuple[Document, ...]:
        """The associations with the gateway's edge function, whatever their event."""
        return tuple(
            association
            for association in self.associations
            if self.edge_function and association["LambdaFunctionARN"].rpartition(":")[0] == self.edge_function
        )

    @property
    def guarded(self) -> bool:
        """Whether it is the gateway's: it leads to a function URL, or runs the edge function."""
        return self.leads_to_url or bool(self.ours)

    @property
    def origin_request(self) -> Document | None:
        """The origin-request association with the edge function, or None."""
        return next((one for one in self.ours if one.get("EventType") == "origin-request"), None)


def behaviors(system: System) -> list[Behavior]:
    """Return the distribution's behaviors in the order in which CloudFront tries them."""
    config = system.distribution["DistributionConfig"]
    origins = {origin["Id"]: origin for origin in config.get("Origins", {}).get("Items", [])}
    for group in config.get("OriginGroups", {}).get("Items", []):
        origins[group["Id"]] = origins.get(group["Members"]["Items"][0]["OriginId"], {})
    edge_function = system.outputs.get("EdgeFunctionVersionArn", "").rpartition(":")[0]
    listed = [(one["PathPattern"], one) for one in config.get("CacheBehaviors", {}).get("Items", [])]
    return [
        Behavior(
            pattern,
            behavior,
            origins.get(behavior["TargetOriginId"], {}),
            tuple(behavior.get("LambdaFunctionAssociations", {}).get("Items", [])),
            edge_function,
        )
        for pattern, behavior in [*listed, ("*", config["DefaultCacheBehavior"])]
    ]


def _guarded(system: System) -> list[Behavior]:
    found = [behavior for behavior in behaviors(system) if behavior.guarded]
    if not found:
        raise UnseenError("no behavior leads to a function URL or runs the edge function", "see behavior.function")
    return found


# --- distribution -------------------------------------------------------------------------------------------------------


def _enabled(system: System) -> Iterator[Verdict]:
    distribution = system.distribution
    if distribution["DistributionConfig"].get("Enabled") is True:
        yield passed(f"{distribution['Id']}, {distribution.get('DomainName')}")
    else:
        yield failed(
            f"{distribution['Id']} is switched off: CloudFront answers no request",
            f"switch it on in the console (Distributions, {distribution['Id']}, Enable)",
        )


def _replicated(system: System) -> Iterator[Verdict]:
    distribution = system.distribution
    if distribution.get("Status") == "Deployed":
        yield passed("Deployed: every edge location has this configuration")
    else:
        yield warned(
            f"status {distribution.get('Status')}: some locations still have the configuration from before, and its version"
            " of the edge function",
            "wait, about five minutes: "
            + system.aws(f"cloudfront wait distribution-deployed --id {distribution['Id']}", DEFAULT_REGION),
        )


def _errors(system: System) -> Iterator[Verdict]:
    """Custom error responses apply to the whole distribution: one for the site changes the API's answers as well."""
    responses = system.distribution["DistributionConfig"].get("CustomErrorResponses", {}).get("Items", [])
    for response in responses:
        code, page = response["ErrorCode"], response.get("ResponsePagePath")
        if page:
            yield failed(
                f"every {code} is replaced by {page}, the API's and the gateway's as well: programs get a page where they"
                " expect the reason",
                f"remove the custom error response for {code}; give a site its fallback by a CloudFront function on its own"
                " behavior (cognito_edge_cdk.Site has one)",
                subject=str(code),
            )
        else:
            # "If you're using the CachingDisabled managed cache policy, CloudFront won't cache these status codes".
            # Source: CloudFront Developer Guide, HTTPStatusCodes.html
            yield warned(
                f"{code}s may be kept for {response.get('ErrorCachingMinTTL', 10)} s where a behavior caches: somebody who"
                " was refused stays refused after the cause is gone",
                f"remove the custom error response for {code}, or set its error caching minimum TTL to 0",
                subject=str(code),
            )
    if not responses:
        yield passed("no custom error responses")


# --- behaviors ---------------------------------------------------------------------------------------------------------


def _function(system: System) -> Iterator[Verdict]:
    system.output("EdgeFunctionVersionArn")
    found = behaviors(system)
    for behavior in found:
        yield _runs(behavior, system)
    if not any(behavior.guarded for behavior in found):
        yield failed(
            "no behavior runs the edge function: nothing here asks for a token",
            f"give its paths to EdgeGateway in functions={{…}}; {system.again}",
        )


def _runs(behavior: Behavior, system: System) -> Verdict:
    pattern, host = behavior.pattern, behavior.origin.get("DomainName", "an unknown origin")
    where = ", ".join(sorted({str(one.get("EventType")) for one in behavior.ours}))
    if behavior.origin_request is not None and where == "origin-request":
        return passed(f"the edge function runs at origin-request, before {host}", subject=pattern)
    if behavior.guarded:
        found = (
            f"the edge function runs at {where}, and has to run at origin-request only: elsewhere it cannot sign for the"
            " function URL"
            if behavior.ours
            else "no edge function runs at origin-request: no token is checked, and requests reach the function URL unsigned"
        )
        return failed(
            f"leads to {host}, but {found}",
            f"give the path to EdgeGateway in functions={{…}}; {system.again}",
            subject=pattern,
        )
    if behavior.is_site:
        private = behavior.origin.get("OriginAccessControlId") or behavior.origin.get("S3OriginConfig", {}).get(
            "OriginAccessIdentity"
        )
        if private:
            return passed("public site: a bucket behind an origin access control; no token is asked", subject=pattern)
        return warned(
            f"public site in {host} without an origin access control: the bucket has to be public for that",
            "close the bucket, and give the origin an origin access control (cognito_edge_cdk.Site does)",
            subject=pattern,
        )
    return warned(
        f"leads to {host} without the gateway: no token is asked there",
        "if that is not meant, put the path behind the gateway: functions={…} of EdgeGateway",
        subject=pattern,
    )


def _body(system: System) -> Iterator[Verdict]:
    for behavior in _guarded(system):
        association = behavior.origin_request
        if association is None:
            continue  # said by behavior.function
        if association.get("IncludeBody") is True:
            yield passed("the body is shown to the edge function", subject=behavior.pattern)
        else:
            yield failed(
                "the body is not shown to the edge function (IncludeBody is off): it signs the hash of an empty one, and"
                " Lambda refuses every request that has a body (403, 'The request signature we calculated does not match')",
                f"set include_body=True on the association; {system.again}",
                subject=behavior.pattern,
            )


def _version(system: System) -> Iterator[Verdict]:
    deployed = system.output("EdgeFunctionVersionArn")
    for behavior in _guarded(system):
        for association in behavior.ours:
            arn = association["LambdaFunctionARN"]
            if not _NUMBERED.fullmatch(arn):
                yield failed(
                    f"{arn} is no numbered version in us-east-1, which is all that Lambda@Edge runs",
                    f"run the numbered version {deployed}; {system.again}",
                    subject=behavior.pattern,
                )
            elif arn != deployed:
                yield failed(
                    f"version {arn.rpartition(':')[2]} runs, and version {deployed.rpartition(':')[2]} is the one that was"
                    " deployed: the association was changed by hand, or rolled back",
                    f"if no rollback is meant, run {deployed}; {system.again}",
                    subject=behavior.pattern,
                )
            else:
                yield passed(f"version {arn.rpartition(':')[2]}, the deployed one", subject=behavior.pattern)


def _caching(system: System) -> Iterator[Verdict]:
    for behavior in _guarded(system):
        policy_id = behavior.config.get("CachePolicyId")
        fix = f"use the managed policy CachingDisabled ({CACHING_DISABLED}); {system.again}"
        if policy_id == CACHING_DISABLED:
            yield passed("CachingDisabled", subject=behavior.pattern)
            continue
        danger = "a cached answer skips the token check and goes to whoever asks next"
        if policy_id is None:
            yield failed(f"legacy cache settings (ForwardedValues): {danger}", fix, subject=behavior.pattern)
            continue
        policy = _cache_policy(system, policy_id)
        longest = [policy.get(name, 0) for name in ("MinTTL", "DefaultTTL", "MaxTTL")]
        if any(longest):
            shown = ", ".join(f"{number} s" for number in longest)
            yield failed(
                f"the cache policy {policy.get('Name', policy_id)} keeps answers (minimum, default, maximum: {shown}):"
                f" {danger}",
                fix,
                subject=behavior.pattern,
            )
        else:
            yield passed(f"{policy.get('Name', policy_id)}, which keeps nothing", subject=behavior.pattern)


def _cache_policy(system: System, policy_id: str) -> Document:
    client = system.client("cloudfront", DEFAULT_REGION)
    return system.once(
        f"cache policy {policy_id}",
        lambda: client.get_cache_policy(Id=policy_id)["CachePolicy"]["CachePolicyConfig"],
    )


def _forwarding(system: System) -> Iterator[Verdict]:
    for behavior in _guarded(system):
        policy_id = behavior.config.get("OriginRequestPolicyId")
        name, lacks = "AllViewerExceptHostHeader", ""
        if policy_id is None:
            name, lacks = "none", "Authorization never arrives, so that everybody gets 401 missing_token"
        elif policy_id != ALL_VIEWER_EXCEPT_HOST_HEADER:
            policy = _origin_request_policy(system, policy_id)
            name, lacks = str(policy.get("Name", policy_id)), _lacks(policy)
        if lacks:
            yield failed(
                f"the origin request policy is {name}: {lacks}",
                f"use the managed policy AllViewerExceptHostHeader ({ALL_VIEWER_EXCEPT_HOST_HEADER}); {system.again}",
                subject=behavior.pattern,
            )
        else:
            yield passed(name, subject=behavior.pattern)


def _origin_request_policy(system: System, policy_id: str) -> Document:
    client = system.client("cloudfront", DEFAULT_REGION)
    return system.once(
        f"origin request policy {policy_id}",
        lambda: client.get_origin_request_policy(Id=policy_id)["OriginRequestPolicy"]["OriginRequestPolicyConfig"],
    )


def _lacks(policy: Document) -> str:
    """Say what a policy does not forward, or forwards and must not; "" if it is as good as the managed one."""
    headers = policy.get("HeadersConfig", {})
    kind = headers.get("HeaderBehavior", "none")
    names = {name.lower() for name in headers.get("Headers", {}).get("Items", [])}
    if kind.startswith("allViewer") or (kind == "whitelist" and "host" in names):
        return "it forwards the viewer's Host, which function URLs refuse (403)"
    if kind == "none" or (kind == "whitelist" and "authorization" not in names):
        return "Authorization never arrives, so that everybody gets 401 missing_token"
    if kind == "allExcept" and "authorization" in names:
        return "it leaves out Authorization, so that everybody gets 401 missing_token"
    if kind == "allExcept" and "host" not in names:
        return "it forwards the viewer's Host, which function URLs refuse (403)"
    if policy.get("QueryStringsConfig", {}).get("QueryStringBehavior", "none") != "all":
        return "it drops query strings, so that backends do not see them"
    if kind == "whitelist":
        return "it forwards only some headers, so that Content-Type and others are missing at the backend"
    return ""


def _https(system: System) -> Iterator[Verdict]:
    for behavior in _guarded(system):
        protocol = behavior.config.get("ViewerProtocolPolicy")
        if protocol == "https-only":
            yield passed("https-only", subject=behavior.pattern)
        else:
            yield failed(
                f"{protocol}: plain HTTP is taken, so that tokens travel in the clear, also in a request that is then"
                " redirected",
                f"use ViewerProtocolPolicy.HTTPS_ONLY; {system.again}",
                subject=behavior.pattern,
            )


def _methods(system: System) -> Iterator[Verdict]:
    for behavior in _guarded(system):
        allowed = set(behavior.config.get("AllowedMethods", {}).get("Items", []))
        if missing := sorted(_METHODS - allowed):
            yield warned(
                f"{', '.join(missing)} not allowed: CloudFront answers them with a 403 of its own, which says nothing",
                f"use AllowedMethods.ALLOW_ALL and restrict methods in the policy, where the refusal explains itself;"
                f" {system.again}",
                subject=behavior.pattern,
            )
        else:
            yield passed("all seven", subject=behavior.pattern)


PROBES: Final = (
    Probe("distribution.enabled", "a distribution that is switched on", _enabled),
    Probe("distribution.replicated", "its configuration at every edge location", _replicated),
    Probe("distribution.errors", "no custom error responses, which would replace or keep refusals", _errors),
    Probe("behavior.function", "the edge function at origin-request on every path to a function URL", _function),
    Probe("behavior.version", "the numbered version that was deployed last", _version),
    Probe("behavior.body", "the body included in the edge function's event", _body),
    Probe("behavior.caching", "caching off: the managed policy CachingDisabled, or one like it", _caching),
    Probe(
        "behavior.forwarding",
        "the managed origin request policy AllViewerExceptHostHeader, or one like it",
        _forwarding,
    ),
    Probe("behavior.https", "HTTPS only", _https),
    Probe("behavior.methods", "all seven methods allowed", _methods),
)
