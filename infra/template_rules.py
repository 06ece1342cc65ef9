"""What ``EdgeGateway`` looks at once more in the synthesised templates: whatever was changed after it was made.

Behaviours that somebody adds to the distribution, L1 properties, escape hatches: CDK, cfn-lint and cdk-nag say nothing
about most of this, and the deployment would fail, or the gateway would be walked around. The rules are pure functions of
a template; ``TemplateRules`` is what CDK calls.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aws_cdk as cdk
import jsii

Resource = Mapping[str, Any]

CACHING_DISABLED: Final = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
ALL_VIEWER_EXCEPT_HOST_HEADER: Final = "b689b0a8-53d0-40ab-baf2-68738e2966ac"

# A CloudFront limit for functions at the edge, whatever the event.
# Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html
_MAX_TIMEOUT_S: Final = 30

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


def edge_function_faults(function: Resource) -> Iterator[str]:
    """Yield what the edge does not take of a Lambda function: CDK says nothing, and the deployment fails."""
    properties = function["Properties"]
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


def function_url_faults(url: Resource, path: str) -> Iterator[str]:
    """Yield what must not be of a function URL behind the gateway.

    Args:
        url: The ``AWS::Lambda::Url``.
        path: How the app calls it.
    """
    properties = url["Properties"]
    if properties.get("AuthType") != "AWS_IAM":
        yield (
            f"the function URL {path} has auth type {properties.get('AuthType')}, so that anybody could walk around the "
            "gateway; set auth_type=FunctionUrlAuthType.AWS_IAM"
        )
    if properties.get("Cors"):
        yield (
            f"the function URL {path} has CORS of its own, which doubles the headers of the gateway's answers; remove "
            "cors=… there, and give cors=Cors(…) to EdgeGateway"
        )


def user_pool_faults(pool: Resource, path: str) -> Iterator[str]:
    """Yield what lets strangers in."""
    config = pool["Properties"].get("AdminCreateUserConfig") or {}
    if config.get("AllowAdminCreateUserOnly") is not True:
        yield (
            f"user pool {path} lets strangers sign themselves up, so that a valid token would mean anybody; set "
            "self_sign_up_enabled=False on the pool, or, if that is meant, self_sign_up=True on EdgeGateway"
        )


def client_faults(client: Resource, path: str) -> Iterator[str]:
    """Yield callbacks to which authorisation codes would travel in the clear."""
    for url in client["Properties"].get("CallbackURLs") or []:
        if isinstance(url, str) and url.startswith("http://") and not _LOOPBACK.fullmatch(url):
            yield (
                f"app client {path} has the callback {url}: authorisation codes would travel in the clear; use https, or "
                "http on localhost, 127.0.0.1 or [::1]"
            )


def distribution_faults(distribution: Resource, *, version: str, access_control: str | None) -> Iterator[str]:
    """Yield what would open the gateway, or break it, in a distribution.

    An origin is the gateway's if any behaviour that runs the edge function leads to it, or if CloudFront signs for it.
    Other behaviours (a static site in a bucket) are their owner's business.

    Args:
        distribution: The ``AWS::CloudFront::Distribution``.
        version: Logical id of the edge function's version.
        access_control: Logical id of the origin access control; None where the edge function signs.
    """
    config = distribution["Properties"]["DistributionConfig"]
    behaviours = [("*", config["DefaultCacheBehavior"])]
    behaviours += [(one["PathPattern"], one) for one in config.get("CacheBehaviors") or []]
    signed_by_cloudfront = {
        origin["Id"]: origin["OriginAccessControlId"]
        for origin in config.get("Origins") or []
        if origin.get("OriginAccessControlId")
    }
    ours = {"Fn::GetAtt": [access_control, "Id"]} if access_control else None
    guarded = {one["TargetOriginId"] for _, one in behaviours if _runs(one, version)}
    guarded |= {name for name, control in signed_by_cloudfront.items() if control == ours}
    for pattern, behaviour in behaviours:
        if behaviour["TargetOriginId"] in guarded:
            yield from _behaviour_faults(pattern, behaviour, version)
    for origin_id in sorted(guarded):
        control = signed_by_cloudfront.get(origin_id)
        if ours is None and control is not None:
            yield (
                f"origin {origin_id} has an origin access control, but signing='sigv4': CloudFront would put its own "
                "signature in place of the edge function's; remove the origin access control, or give signing='oac'"
            )
        if ours is not None and control != ours:
            yield (
                f"origin {origin_id} lacks the gateway's origin access control, but signing='oac': nobody would sign, and "
                "the function URL would refuse every request; leave the origin as EdgeGateway made it, or give signing='sigv4'"
            )


def _runs(behaviour: Resource, version: str) -> bool:
    associations = behaviour.get("LambdaFunctionAssociations") or []
    return any(association.get("LambdaFunctionARN") == {"Ref": version} for association in associations)


def _behaviour_faults(pattern: str, behaviour: Resource, version: str) -> Iterator[str]:
    associations = [
        association
        for association in behaviour.get("LambdaFunctionAssociations") or []
        if association.get("EventType") == "origin-request"
    ]
    if not any(association.get("LambdaFunctionARN") == {"Ref": version} for association in associations):
        yield (
            f"behaviour {pattern} leads to a function behind the gateway without running the edge function at "
            "origin-request, so that no token is checked there; give the path to EdgeGateway in functions={…}"
        )
    elif not all(association.get("IncludeBody") is True for association in associations):
        yield (
            f"behaviour {pattern} does not show the body to the edge function, so that requests with one cannot be signed; "
            "set include_body=True"
        )
    if behaviour.get("CachePolicyId") != CACHING_DISABLED or behaviour.get("ForwardedValues"):
        yield (
            f"behaviour {pattern} is cacheable: a cached answer skips the token check and goes to whoever asks next; use "
            "CachePolicy.CACHING_DISABLED"
        )
    if behaviour.get("OriginRequestPolicyId") != ALL_VIEWER_EXCEPT_HOST_HEADER:
        yield (
            f"behaviour {pattern} has another origin request policy than ALL_VIEWER_EXCEPT_HOST_HEADER: function URLs "
            "refuse the viewer's Host, and without all other headers Authorization never arrives; use that one"
        )
    if behaviour.get("ViewerProtocolPolicy") != "https-only":
        yield (
            f"behaviour {pattern} takes plain HTTP ({behaviour.get('ViewerProtocolPolicy')}): tokens would travel in the "
            "clear, also in a request that is then redirected; use ViewerProtocolPolicy.HTTPS_ONLY"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The parts of one gateway, as constructs: their logical ids are settled only at synthesis.

    Attributes:
        distribution: Its distribution.
        edge_function: Its edge function.
        version: The version that the behaviours run.
        access_control: Its origin access control; None where the edge function signs.
        urls: The function URLs behind it, wherever their stacks are.
        pools: The user pool, if the app makes it and nobody asked for self-sign-up.
        clients: Its clients, as far as the app makes them.
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
    """CDK's way to look at what was synthesised.

    A class because CDK calls it back. It raises where others report a violation: a violation can be acknowledged, and
    an open gateway is nothing to acknowledge.
    """

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    @property
    def name(self) -> str:
        """What CDK calls it."""
        return "EdgeGateway"

    @property
    def version(self) -> None:
        """None: it comes with the construct."""

    @property
    def rule_ids(self) -> None:
        """None: its rules are never reported one by one."""

    def validate(self, context: cdk.IPolicyValidationContext) -> cdk.PolicyValidationPluginReport:
        """Look at every part.

        Raises:
            ValueError: Naming every fault, each with what to change.
        """
        paths = {Path(path).name: Path(path) for path in context.template_paths}
        faults = list(self._faults(paths))
        if faults:
            raise ValueError("; ".join(faults))
        return cdk.PolicyValidationPluginReport(success=True, violations=[])

    def _faults(self, paths: Mapping[str, Path]) -> Iterator[str]:
        watched = self._watched
        if function := _find(paths, watched.edge_function):
            yield from edge_function_faults(function)
        for constructs, rule in (
            (watched.urls, function_url_faults),
            (watched.pools, user_pool_faults),
            (watched.clients, client_faults),
        ):
            for construct in constructs:
                if resource := _find(paths, construct):
                    yield from rule(resource, (construct.node.scope or construct).node.path)
        if distribution := _find(paths, watched.distribution):
            control = watched.access_control
            yield from distribution_faults(
                distribution,
                version=_logical_id(watched.version),
                access_control=_logical_id(control) if control else None,
            )


def _logical_id(resource: cdk.CfnResource) -> str:
    return str(cdk.Stack.of(resource).resolve(resource.logical_id))


def _find(paths: Mapping[str, Path], resource: cdk.CfnResource) -> Resource | None:
    """Return a resource as it stands in its template; None if this run does not synthesise its stack."""
    path = paths.get(cdk.Stack.of(resource).template_file)
    if path is None:
        return None
    found: Resource | None = json.loads(path.read_bytes())["Resources"].get(_logical_id(resource))
    return found
