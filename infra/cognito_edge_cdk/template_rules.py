"""Rules that the synthesised templates have to keep, so that code after ``EdgeGateway`` cannot open or break it.

Code may add behaviors to the distribution, change L1 properties, and use escape hatches. CDK, cfn-lint and cdk-nag say
nothing about most of this; the deployment would fail, or requests would get past the gateway. Each rule is a pure function
that yields faults; ``TemplateRules`` is the plugin that CDK calls. ``ways_past.py`` has the rules about other resources than
the gateway's own.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aws_cdk as cdk
import jsii

from .references import CUSTOM, Place, Stage, Template, having, leads_to, place_of, read_templates, references, texts
from .ways_past import Inside, functions_of, other_distribution_faults, other_url_faults, permission_faults

Resource = Mapping[str, Any]

CACHING_DISABLED: Final = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
ALL_VIEWER_EXCEPT_HOST_HEADER: Final = "b689b0a8-53d0-40ab-baf2-68738e2966ac"

# CloudFront's limit for edge functions, whatever the event.
# Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html
_MAX_TIMEOUT_S: Final = 30

# The calls by which a CloudFront function chooses the origin of a request.
# Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/helper-functions-origin-modification.html
_CHOOSERS: Final = ("selectRequestOriginById", "updateRequestOrigin", "createRequestOriginGroup")

# The origin types of an origin access control, except function URLs.
# Source: https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_OriginAccessControlConfig.html
_OTHER_ORIGINS: Final = ("s3", "mediastore", "mediapackagev2")

_LOOPBACK: Final = re.compile(r"http://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]+)?(?:/.*)?")

# Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-at-edge-function-restrictions.html
_UNSUPPORTED: Final = {
    "Layers": "layers",
    "VpcConfig": "a VPC",
    "Environment": "environment variables",
    "DeadLetterConfig": "a dead-letter queue",
    "TracingConfig": "X-Ray tracing",
    "FileSystemConfigs": "a file system",
    "KmsKeyArn": "a KMS key",
    "SnapStart": "SnapStart",
}


def edge_function_faults(properties: Resource) -> Iterator[str]:
    """Yield the properties that Lambda@Edge does not support: CDK accepts them, and the deployment fails."""
    architectures = properties.get("Architectures") or ["x86_64"]
    if architectures != ["x86_64"]:
        yield f"the edge function is built for {', '.join(architectures)}; Lambda@Edge runs x86_64 only: remove the change"
    if properties.get("PackageType", "Zip") != "Zip":
        yield "the edge function is a container image, which Lambda@Edge does not support; leave it a zip archive"
    for name, what in _UNSUPPORTED.items():
        if properties.get(name):
            yield f"the edge function has {what}, which Lambda@Edge does not support; remove it"
    timeout_s = properties.get("Timeout", 3)
    if not isinstance(timeout_s, int | float) or timeout_s > _MAX_TIMEOUT_S:
        yield f"the edge function's timeout is {timeout_s} s; Lambda@Edge allows {_MAX_TIMEOUT_S} s at most"


def function_url_faults(properties: Resource, path: str) -> Iterator[str]:
    """Yield what would open a function URL behind the gateway, or double its CORS headers.

    Args:
        properties: Of the ``AWS::Lambda::Url``.
        path: Its construct path, for messages.
    """
    if properties.get("AuthType") != "AWS_IAM":
        yield (
            f"the function URL {path} has auth type {properties.get('AuthType')}, so that anyone could call it past the "
            "gateway; set auth_type=FunctionUrlAuthType.AWS_IAM"
        )
    if properties.get("Cors"):
        yield (
            f"the function URL {path} has CORS of its own, which doubles the headers of the gateway's answers; remove "
            "cors=… there, and give cors=Cors(…) to EdgeGateway"
        )


def user_pool_faults(properties: Resource, path: str) -> Iterator[str]:
    """Yield that strangers may register themselves.

    Args:
        properties: Of the ``AWS::Cognito::UserPool``.
        path: Its construct path, for messages.
    """
    config = properties.get("AdminCreateUserConfig") or {}
    if config.get("AllowAdminCreateUserOnly") is not True:
        yield (
            f"user pool {path} lets strangers sign themselves up, so that anyone could get a valid token; set "
            "self_sign_up_enabled=False on the pool, or, if that is meant, self_sign_up=True on EdgeGateway"
        )


def client_faults(properties: Resource, path: str) -> Iterator[str]:
    """Yield callbacks to which authorisation codes would travel in the clear.

    Args:
        properties: Of the ``AWS::Cognito::UserPoolClient``.
        path: Its construct path, for messages.
    """
    for url in properties.get("CallbackURLs") or []:
        if isinstance(url, str) and url.startswith("http://") and not _LOOPBACK.fullmatch(url):
            yield (
                f"app client {path} has the callback {url}: authorisation codes would travel in the clear; use https, or "
                "http on localhost, 127.0.0.1 or [::1]"
            )


def distribution_faults(
    distribution: Place, stage: Stage, *, version: str, access_control: str | None, urls: Collection[str]
) -> Iterator[str]:
    """Yield what would open or break the gateway in its own distribution.

    An origin is the gateway's if it leads to a function URL behind the gateway, whatever its name, or if a behavior that
    runs the edge function leads to it. Other behaviors, such as a static site's, are refused only if CloudFront might sign
    for a function behind the gateway.

    Args:
        distribution: The gateway's.
        stage: All templates.
        version: Logical id of the edge function's version.
        access_control: Logical id of the origin access control; None where the edge function signs.
        urls: The function URLs behind the gateway, by ``Place.reference``.
    """
    here, config = distribution.template, distribution.properties
    behaviors, origins, groups = (list(having(key, config)) for key in ("TargetOriginId", "DomainName", "Members"))
    ours = {Place(here, access_control).reference} if access_control else set()

    def each(value: Any) -> set[str]:
        return texts(value, here, stage)

    def targets(behavior: Resource) -> set[str]:
        # An origin group leads to each of its members. Lambda@Edge runs for every member that CloudFront tries.
        # Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/high_availability_origin_failover.html
        named = each(behavior["TargetOriginId"])
        return named.union(*(each(group["Members"]) for group in groups if each(group.get("Id")) & named))

    guarded = {
        name
        for origin in origins
        if leads_to(origin["DomainName"], here, stage) & set(urls)
        for name in each(origin.get("Id"))
    }
    guarded = guarded.union(*(targets(one) for one in behaviors if _runs(_associations(one), version)))
    if any(having("Fn::Transform", config)):
        yield "the gateway's distribution holds an Fn::Transform: where it leads is decided at deploy; write it out"
    for behavior in behaviors:
        # If a parameter decides the target, it may be any origin.
        if targets(behavior) & guarded or any(map(references, targets(behavior))):
            yield from _behavior_faults(behavior, version)
        elif access_control:
            yield from _chooser_faults(behavior, here, stage)
    for origin in origins:
        if each(origin.get("Id")) & guarded:
            yield from _control_faults(origin, each(origin.get("OriginAccessControlId")) - {""}, ours)
        else:
            yield from _unknown_origin_faults(origin, here, stage)


def _runs(associations: Iterable[Resource], version: str) -> bool:
    return any(association.get("LambdaFunctionARN") == {"Ref": version} for association in associations)


def _associations(behavior: Resource) -> list[Resource]:
    """Return the edge functions that a behavior runs unconditionally."""
    found = behavior.get("LambdaFunctionAssociations")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _control_faults(origin: Resource, controls: Collection[str], ours: Collection[str]) -> Iterator[str]:
    if controls and not ours:
        yield (
            f"origin {origin.get('Id')} has an origin access control, but signing='sigv4': CloudFront would put its own "
            "signature in place of the edge function's; remove the origin access control, or give signing='oac'"
        )
    if ours and controls != ours:
        yield (
            f"origin {origin.get('Id')} lacks the gateway's origin access control, but signing='oac': without one the "
            "requests are not signed, and another one is for other requests than the gateway's; leave the origin as "
            "EdgeGateway made it, or give signing='sigv4'"
        )


def _unknown_origin_faults(origin: Resource, here: Template, stage: Stage) -> Iterator[str]:
    """Yield an origin that may be a function behind the gateway, and for which CloudFront would sign unchecked requests."""
    control = texts(origin.get("OriginAccessControlId"), here, stage) - {""}
    hosts = sorted(host for host in texts(origin["DomainName"], here, stage) if _may_be_a_function(host, stage))
    if hosts and any(_signs_for_functions(one, stage) for one in control):
        yield (
            f"origin {origin.get('Id')} leads to {hosts[0]}, with an origin access control for function URLs and without the "
            "edge function: the construct cannot see that this is no function behind the gateway, for which CloudFront would "
            "sign unchecked requests; refer to a function URL of this app, or put the origin into another distribution"
        )


def _may_be_a_function(host: str, stage: Stage) -> bool:
    found = [place_of(reference, stage) for reference in references(host)]
    return ".lambda-url." in host or any(place is None or place.type.startswith(CUSTOM) for place in found)


def _signs_for_functions(control: str, stage: Stage) -> bool:
    """Say whether an origin access control may be one for function URLs."""
    place = place_of(control, stage)
    if place is None or place.type != "AWS::CloudFront::OriginAccessControl":
        return True
    kinds = having("OriginAccessControlOriginType", place.properties)
    return any(kind["OriginAccessControlOriginType"] not in _OTHER_ORIGINS for kind in kinds)


def _chooser_faults(behavior: Resource, here: Template, stage: Stage) -> Iterator[str]:
    """Yield a CloudFront function that may send requests to a function behind the gateway, past the edge function."""
    for reference in sorted(leads_to(behavior.get("FunctionAssociations"), here, stage)):
        place = place_of(reference, stage)
        code = texts(place.properties.get("FunctionCode"), place.template, stage) if place else set()
        if calls := [call for call in _CHOOSERS if any(call in text for text in code)]:
            yield (
                f"behavior {_pattern(behavior)} does not run the edge function, and its CloudFront function calls {calls[0]}: "
                "with signing='oac' CloudFront would sign requests that it sends to a function behind the gateway; remove the "
                "call, or give signing='sigv4'"
            )


def _pattern(behavior: Resource) -> str:
    return str(behavior.get("PathPattern", "*"))


def _behavior_faults(behavior: Resource, version: str) -> Iterator[str]:
    pattern = _pattern(behavior)
    associations = [one for one in _associations(behavior) if one.get("EventType") == "origin-request"]
    if not _runs(associations, version):
        yield (
            f"behavior {pattern} leads to a function behind the gateway without running the edge function at "
            "origin-request, so that no token is checked there; give the path to EdgeGateway in functions={…}"
        )
        return  # functions={…} sets the rest right as well
    if not all(association.get("IncludeBody") is True for association in associations):
        yield (
            f"behavior {pattern} does not show the body to the edge function, so that requests with one cannot be signed; "
            "set include_body=True"
        )
    if behavior.get("CachePolicyId") != CACHING_DISABLED or behavior.get("ForwardedValues"):
        yield (
            f"behavior {pattern} is cacheable: a cached answer skips the token check and goes to anyone who asks next; use "
            "CachePolicy.CACHING_DISABLED"
        )
    if behavior.get("OriginRequestPolicyId") != ALL_VIEWER_EXCEPT_HOST_HEADER:
        yield (
            f"behavior {pattern} has another origin request policy than ALL_VIEWER_EXCEPT_HOST_HEADER: function URLs "
            "refuse the viewer's Host, and the edge function needs all other headers, Authorization above all; use that one"
        )
    if behavior.get("ViewerProtocolPolicy") != "https-only":
        yield (
            f"behavior {pattern} takes plain HTTP ({behavior.get('ViewerProtocolPolicy')}): tokens would travel in the "
            "clear, also in a request that is then redirected; use ViewerProtocolPolicy.HTTPS_ONLY"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The parts of one gateway, as constructs: their logical ids are final only at synthesis.

    Attributes:
        distribution: Its distribution.
        edge_function: Its edge function.
        version: The version that the behaviors run.
        access_control: Its origin access control; None where the edge function signs.
        urls: The function URLs behind it, in whichever stacks.
        pools: The user pool, if this app makes it and ``self_sign_up`` is False.
        clients: Those of its clients that this app makes.
    """

    distribution: cdk.CfnResource
    edge_function: cdk.CfnResource
    version: cdk.CfnResource
    access_control: cdk.CfnResource | None
    urls: Sequence[cdk.CfnResource]
    pools: Sequence[cdk.CfnResource]
    clients: Sequence[cdk.CfnResource]


@jsii.implements(cdk.IPolicyValidationPlugin)
class TemplateRules:
    """The validation plugin with which CDK checks one gateway in the synthesised templates.

    It raises instead of reporting violations, because a violation can be acknowledged, and an open gateway must not be.
    """

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    @property
    def name(self) -> str:
        """Its name in CDK's reports."""
        return "EdgeGateway"

    @property
    def version(self) -> None:
        """None: it has the construct's version."""

    @property
    def rule_ids(self) -> None:
        """None: it reports no single rules."""

    def validate(self, context: cdk.IPolicyValidationContext) -> cdk.PolicyValidationPluginReport:
        """Check every part.

        Raises:
            ValueError: There are faults; the message names each, and what to change.
        """
        faults = list(self._faults(read_templates(context.template_paths)))
        if faults:
            raise ValueError("; ".join(faults))
        return cdk.PolicyValidationPluginReport(success=True, violations=[])

    def _faults(self, stage: Stage) -> Iterator[str]:
        watched = self._watched
        parts = (watched.distribution, watched.edge_function, *watched.urls, *watched.pools, *watched.clients)
        found = {part: place for part in parts if (place := _find(stage, part))}
        if lost := [part.node.path for part in parts if part not in found]:
            yield (
                f"no template of the gateway's stage holds {', '.join(lost)}, so that the construct cannot check it; put it "
                "into a stack of that stage (of nested stacks, only CDK's default synthesizer says where they are)"
            )
            return
        yield from edge_function_faults(found[watched.edge_function].properties)
        for constructs, rule in (
            (watched.urls, function_url_faults),
            (watched.pools, user_pool_faults),
            (watched.clients, client_faults),
        ):
            for construct in constructs:
                yield from rule(found[construct].properties, _path(construct))
        control = watched.access_control
        urls = {found[url]: _path(url) for url in watched.urls}
        inside = Inside(
            distribution=found[watched.distribution],
            path=_path(watched.distribution),
            urls={place.reference: path for place, path in urls.items()},
            functions={
                function: path
                for place, path in urls.items()
                for function in functions_of(place.properties.get("TargetFunctionArn"), place.template, stage)
            },
        )
        yield from distribution_faults(
            inside.distribution,
            stage,
            version=_logical_id(watched.version),
            access_control=_logical_id(control) if control else None,
            urls=inside.urls,
        )
        for past in (other_distribution_faults, other_url_faults, permission_faults):
            yield from past(stage, inside)


def _path(construct: cdk.CfnResource) -> str:
    return (construct.node.scope or construct).node.path


def _logical_id(resource: cdk.CfnResource) -> str:
    return str(cdk.Stack.of(resource).resolve(resource.logical_id))


def _find(stage: Stage, resource: cdk.CfnResource) -> Place | None:
    """Return the resource in its template; None if no template holds it."""
    file = cdk.Stack.of(resource).template_file
    found = (Place(template, _logical_id(resource)) for template in stage if template.file == file)
    return next((place for place in found if place.type), None)
