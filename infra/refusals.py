"""What ``EdgeGateway`` refuses at synthesis, since it would fail at deploy or be unsafe.

Every message says what was found, why it is refused, and what to change.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import aws_cdk as cdk
import jsii
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_lambda as lambda_
from constructs import IConstruct, IValidation

# Settings that the construct writes itself, and what to use in their place.
_CONSTRUCTS_OWN = {
    "parameter_prefix": "parameter_prefix=…",
    "parameter_region": "the stack's region",
    "policy_required": "nothing: it is always true",
    "domain_name": "domain_name=…",
}
_LOOPBACK = re.compile(r"http://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]+)?(?:/.*)?")
_WEB_ACL = re.compile(r"arn:aws:wafv2:us-east-1:[0-9]{12}:global/webacl/[^/]+/[^/]+")

# A CloudFront limit for functions at the edge, whatever the event.
# Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html
_MAX_TIMEOUT_S = 30


class Refused(ValueError):  # noqa: N818 - reads as what happened: "Refused: the function URL …"
    """The app would fail at deploy, or be unsafe; the message says what to change."""


def check_region(stack: cdk.Stack) -> None:
    """Refuse a stack outside us-east-1, where Lambda@Edge functions have to be made."""
    region = "no region of its own" if cdk.Token.is_unresolved(stack.region) else stack.region
    if region != "us-east-1":
        raise Refused(
            f"EdgeGateway stands in stack {stack.stack_name}, which has {region}: CloudFront takes edge functions from "
            "us-east-1 only; give the stack env=Environment(region='us-east-1')",
        )


def check_literal(parameter_prefix: str, settings: Mapping[str, object] | None) -> None:
    """Refuse CDK tokens in what goes into the bundle, and settings that the construct sets itself."""
    own = [name for name in _CONSTRUCTS_OWN if name in (settings or {})]
    if own:
        instead = "; ".join(f"{name} (use {_CONSTRUCTS_OWN[name]})" for name in own)
        raise Refused(f"settings that the construct writes itself: {instead}; remove them there")
    for name, value in {"parameter_prefix": parameter_prefix, **(settings or {})}.items():
        if cdk.Token.is_unresolved(value):
            raise Refused(
                f"{name} is a CDK token: the edge bundle is built now, and what the token stands for is known only at "
                "deploy; give a literal value",
            )


def check_function_urls(functions: Mapping[str, lambda_.FunctionUrl]) -> None:
    """Refuse function URLs that anybody may call, or that add CORS headers of their own."""
    if not functions:
        raise Refused(
            "functions is empty: name at least one function URL, such as {'/api/*': function.add_function_url(…)}"
        )
    for pattern, url in functions.items():
        faults = _url_faults(url)
        if faults:
            raise Refused(f"functions[{pattern!r}]: {'; '.join(faults)}")


def check_user_pool(user_pool: cognito.IUserPool, *, self_sign_up: bool) -> None:
    """Refuse a pool, as far as it is made in this app, in which strangers may register."""
    resource = user_pool.node.default_child
    if self_sign_up or not isinstance(resource, cognito.CfnUserPool):
        return
    config = _resolved(resource, resource.admin_create_user_config) or {}
    if config.get("allowAdminCreateUserOnly") is not True:
        raise Refused(
            f"user pool {user_pool.node.path} lets strangers sign themselves up, so that a valid token would mean "
            "anybody; set self_sign_up_enabled=False on the pool, or, if that is meant, self_sign_up=True here",
        )


def check_clients(clients: Sequence[cognito.IUserPoolClient]) -> None:
    """Refuse clients, as far as they are made in this app, that send codes over plain HTTP to another machine."""
    if not clients:
        raise Refused("clients is empty: name at least one app client whose tokens count")
    for client in clients:
        resource = client.node.default_child
        if not isinstance(resource, cognito.CfnUserPoolClient):
            continue
        for url in _resolved(resource, resource.callback_ur_ls) or []:
            if isinstance(url, str) and url.startswith("http://") and not _LOOPBACK.fullmatch(url):
                raise Refused(
                    f"app client {client.node.path} has the callback {url}: authorisation codes would travel in the "
                    "clear; use https, or http on localhost, 127.0.0.1 or [::1]",
                )


def check_domain(domain_name: str | None, certificate: acm.ICertificate | None) -> None:
    """Refuse a domain name without a certificate, and the other way round."""
    if domain_name and certificate is None:
        raise Refused(f"domain_name={domain_name!r} has no certificate; give certificate=…, made in us-east-1")
    if certificate is not None and not domain_name:
        raise Refused(
            "certificate=… without domain_name: CloudFront would use it for no host; give domain_name=… as well"
        )


def check_web_acl(web_acl_arn: str | None) -> None:
    """Refuse a web ACL that CloudFront cannot use."""
    if web_acl_arn is None or cdk.Token.is_unresolved(web_acl_arn) or _WEB_ACL.fullmatch(web_acl_arn):
        return
    raise Refused(
        f"web_acl_arn={web_acl_arn!r} is no WAFv2 web ACL of scope CLOUDFRONT (arn:aws:wafv2:us-east-1:…:global/webacl/…); "
        "a REGIONAL or Classic one cannot be attached to a distribution: make it in us-east-1 with scope CLOUDFRONT",
    )


def _url_faults(url: lambda_.FunctionUrl) -> list[str]:
    resource = url.node.default_child
    if not isinstance(resource, lambda_.CfnUrl):
        return []
    faults = []
    if resource.auth_type != "AWS_IAM":
        faults.append(
            f"the function URL {url.node.path} has auth type {resource.auth_type}, so that anybody could walk around the "
            "gateway; set auth_type=FunctionUrlAuthType.AWS_IAM",
        )
    if resource.cors is not None:
        faults.append(
            f"the function URL {url.node.path} has CORS of its own, which doubles the headers of the gateway's answers; "
            "remove cors=… there",
        )
    return faults


def _resolved(scope: IConstruct, value: Any) -> Any:
    return cdk.Stack.of(scope).resolve(value)


@jsii.implements(IValidation)
class AtSynthesis:
    """What can still be changed after the construct was made, looked at when the app is synthesised.

    A class because CDK calls it back (``node.add_validation``).
    """

    def __init__(
        self,
        edge_function: lambda_.Function,
        urls: Sequence[lambda_.FunctionUrl],
    ) -> None:
        self._edge_function = edge_function
        self._urls = urls

    def validate(self) -> list[str]:
        """Return a sentence for every fault."""
        return [
            *(fault for url in self._urls for fault in _url_faults(url)),
            *self._edge_function_faults(),
        ]

    def _edge_function_faults(self) -> list[str]:
        resource = self._edge_function.node.default_child
        if not isinstance(resource, lambda_.CfnFunction):
            return []
        faults = []
        architectures = _resolved(resource, resource.architectures) or ["x86_64"]
        if architectures != ["x86_64"]:
            faults.append(f"the edge function is built for {architectures}; Lambda@Edge runs x86_64 only")
        for what, value in (
            ("layers", resource.layers),
            ("a VPC", resource.vpc_config),
            ("environment variables", resource.environment),
            ("a dead-letter queue", resource.dead_letter_config),
        ):
            if _resolved(resource, value):
                faults.append(f"the edge function has {what}, which Lambda@Edge does not support; remove it")
        timeout_s = _resolved(resource, resource.timeout)
        if isinstance(timeout_s, int | float) and timeout_s > _MAX_TIMEOUT_S:
            faults.append(
                f"the edge function's timeout is {timeout_s:g} s; Lambda@Edge allows {_MAX_TIMEOUT_S} s at most"
            )
        return faults
