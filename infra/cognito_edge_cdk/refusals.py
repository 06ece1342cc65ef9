"""Arguments of ``EdgeGateway`` that would fail at deploy or be unsafe, and are refused.

Every message says what was found, why it is refused, and what to change. ``template_rules.py`` checks the templates, for
what is changed after the construct was made.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_lambda as lambda_
from constructs import IConstruct

from .permissions import physical_name
from .template_rules import client_faults, function_url_faults, user_pool_faults

# Settings that the construct writes itself, and what to use in their place.
_CONSTRUCTS_OWN = {
    "parameter_prefix": "parameter_prefix=…",
    "parameter_region": "parameters_in=…, or the gateway's own stack",
    "policy_required": "nothing: it is always true",
    "domain_name": "domain_name=…",
    "signing": "signing=…",
}
_DISTRIBUTION_ID = re.compile(r"E[A-Z0-9]{7,20}")
_WEB_ACL = re.compile(r"arn:aws:wafv2:us-east-1:[0-9]{12}:global/webacl/[^/]+/[^/]+")


class Refused(ValueError):  # noqa: N818 - CDK prints the name before the message: "Refused: functions['/*']: …"
    """The app would fail at deploy or be unsafe; the message says what to change."""


def check_region(stack: cdk.Stack) -> None:
    """Refuse a stack outside us-east-1: Lambda@Edge functions have to be made there."""
    region = "no region of its own" if cdk.Token.is_unresolved(stack.region) else stack.region
    if region != "us-east-1":
        raise Refused(
            f"EdgeGateway is in stack {stack.stack_name}, which has {region}: CloudFront takes edge functions from "
            "us-east-1 only; give the stack env=Environment(region='us-east-1')",
        )


def check_literal(parameter_prefix: str, settings: Mapping[str, object] | None) -> None:
    """Refuse CDK tokens in the bundle's settings, and settings that the construct writes itself."""
    own = [name for name in _CONSTRUCTS_OWN if name in (settings or {})]
    if own:
        instead = "; ".join(f"{name} (use {_CONSTRUCTS_OWN[name]})" for name in own)
        raise Refused(f"settings that the construct writes itself: {instead}; remove them there")
    for name, value in {"parameter_prefix": parameter_prefix, **(settings or {})}.items():
        if cdk.Token.is_unresolved(value):
            raise Refused(
                f"{name} is a CDK token: the edge bundle is built now, and the token's value is known only at deploy; give "
                "a literal value",
            )


def check_signing(signing: str, distribution_id: str | None) -> None:
    """Refuse an unknown signing mode, a distribution id that is not literal, and one that the mode would not use."""
    if signing not in ("sigv4", "oac"):
        raise Refused(
            f"signing={signing!r}: expected 'sigv4' (the edge function signs) or 'oac' (CloudFront signs); "
            "docs/adr/0006-signing-modes.md says when to take which"
        )
    if distribution_id is None:
        return
    if signing != "oac":
        raise Refused("distribution_id=… is for signing='oac', where the backend compares it; remove it")
    if cdk.Token.is_unresolved(distribution_id) or not _DISTRIBUTION_ID.fullmatch(distribution_id):
        raise Refused(
            f"distribution_id={distribution_id!r}: expected the literal id of the deployed distribution, such as "
            "E2EXAMPLE1234 (output DistributionId); a reference would close a circle; leave it out on the first deploy"
        )


def check_elsewhere(
    scope: IConstruct, functions: Mapping[str, lambda_.FunctionUrl], *, signing: str, edge_role_name: str | None
) -> None:
    """Refuse functions in other stacks or accounts that cannot know the gateway without a circle of references."""
    if edge_role_name is not None and cdk.Token.is_unresolved(edge_role_name):
        raise Refused("edge_role_name is a CDK token: other stacks have to know the name in advance; give a literal")
    own = cdk.Stack.of(scope)
    for pattern, url in functions.items():
        home = cdk.Stack.of(url)
        where = f"functions[{pattern!r}]: function {url.node.scope.node.path if url.node.scope else url.node.path}"
        known = not cdk.Token.is_unresolved(home.account) and not cdk.Token.is_unresolved(own.account)
        if known and home.account != own.account:
            raise Refused(
                f"{where} is in account {home.account}, the gateway in {own.account}: its URL would have to admit the "
                "role of a foreign account; put both into one account"
            )
        if home.region == own.region and home.node.path == own.node.path:
            continue
        if cdk.Token.is_unresolved(home.region):
            raise Refused(
                f"{where} is in stack {home.stack_name} without a region; give that stack env=Environment(region=…)"
            )
        if home.region != own.region and physical_name(url) is None:
            raise Refused(
                f"{where} is in {home.region} and has no name of its own, so that policies in {own.region} cannot refer to "
                "it; give the function function_name=…"
            )
        if signing == "sigv4" and edge_role_name is None:
            raise Refused(
                f"{where} is in another stack ({home.stack_name}), which has to know the edge role's name before the role "
                "exists; give EdgeGateway edge_role_name=…, a name that is unique in the account"
            )


def check_parameters_in(stack: cdk.Stack, user_pool: cognito.IUserPool) -> None:
    """Refuse a stack for the parameters that has no region, or is in another region than the pool of this app."""
    if cdk.Token.is_unresolved(stack.region):
        raise Refused(
            f"parameters_in={stack.stack_name} has no region: the edge function has to know where to read; give that stack "
            "env=Environment(region=…)"
        )
    resource = user_pool.node.default_child
    if isinstance(resource, cognito.CfnUserPool) and cdk.Stack.of(resource).region != stack.region:
        raise Refused(
            f"user pool {user_pool.node.path} is made in {cdk.Stack.of(resource).region}, the parameters that name it in "
            f"{stack.region}; give parameters_in=… the pool's stack"
        )


def check_function_urls(functions: Mapping[str, lambda_.FunctionUrl]) -> None:
    """Refuse function URLs that anyone may call, or that add CORS headers of their own."""
    if not functions:
        raise Refused(
            "functions is empty: name at least one function URL, such as {'/api/*': function.add_function_url(…)}"
        )
    for pattern, url in functions.items():
        resource = url.node.default_child
        if isinstance(resource, lambda_.CfnUrl):
            properties = {"AuthType": resource.auth_type, "Cors": resource.cors is not None}
            _refuse(f"functions[{pattern!r}]", function_url_faults(properties, url.node.path))


def check_pool_and_clients(
    user_pool: cognito.IUserPool | None, clients: Sequence[cognito.IUserPoolClient] | None
) -> None:
    """Refuse a pool without clients, and clients without their pool."""
    if (user_pool is None) != (clients is None):
        given, missing = ("clients", "user_pool") if user_pool is None else ("user_pool", "clients")
        raise Refused(
            f"{given}=… without {missing}: tokens count by pool and client; give both, or neither to have a pool made"
        )


def check_user_pool(user_pool: cognito.IUserPool, *, self_sign_up: bool) -> None:
    """Refuse a pool of this app in which strangers may register; pools made elsewhere cannot be looked at."""
    resource = user_pool.node.default_child
    if self_sign_up or not isinstance(resource, cognito.CfnUserPool):
        return
    config = _resolved(resource, resource.admin_create_user_config) or {}
    properties = {
        "AdminCreateUserConfig": {"AllowAdminCreateUserOnly": config.get("allowAdminCreateUserOnly")},
    }
    _refuse("user_pool", user_pool_faults(properties, user_pool.node.path))


def check_clients(clients: Sequence[cognito.IUserPoolClient]) -> None:
    """Refuse an empty list, and clients of this app that send codes over plain HTTP to another machine."""
    if not clients:
        raise Refused("clients is empty: name at least one app client whose tokens count")
    for client in clients:
        resource = client.node.default_child
        if isinstance(resource, cognito.CfnUserPoolClient):
            properties = {"CallbackURLs": _resolved(resource, resource.callback_ur_ls)}
            _refuse("clients", client_faults(properties, client.node.path))


def check_domain(domain_name: str | None, certificate: acm.ICertificate | None) -> None:
    """Refuse a domain name without a certificate, and a certificate without a domain name."""
    if domain_name and certificate is None:
        raise Refused(f"domain_name={domain_name!r} has no certificate; give certificate=…, made in us-east-1")
    if certificate is not None and not domain_name:
        raise Refused(
            "certificate=… without domain_name: CloudFront would not use it for any host; give domain_name=… as well"
        )


def check_web_acl(web_acl_arn: str | None) -> None:
    """Refuse a literal ARN that is not a web ACL for CloudFront."""
    if web_acl_arn is None or cdk.Token.is_unresolved(web_acl_arn) or _WEB_ACL.fullmatch(web_acl_arn):
        return
    raise Refused(
        f"web_acl_arn={web_acl_arn!r} is no WAFv2 web ACL of scope CLOUDFRONT (arn:aws:wafv2:us-east-1:…:global/webacl/…); "
        "a REGIONAL or Classic one cannot be attached to a distribution: make it in us-east-1 with scope CLOUDFRONT",
    )


def check_site(functions: Mapping[str, lambda_.FunctionUrl]) -> None:
    """Refuse a function that takes every path beside a site: one of the two would never get a request."""
    everything = sorted({"*", "/*"} & functions.keys())
    if everything:
        raise Refused(
            f"site=… and functions[{everything[0]!r}]: both take the paths that nothing else matches; give the function a "
            "narrower pattern, such as '/api/*', or leave the site out"
        )


def _refuse(argument: str, faults: Iterable[str]) -> None:
    found = list(faults)
    if found:
        raise Refused(f"{argument}: {'; '.join(found)}")


def _resolved(scope: IConstruct, value: Any) -> Any:
    return cdk.Stack.of(scope).resolve(value)
