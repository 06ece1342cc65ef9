"""The distribution and its behaviors: on every path but a public site's, the edge function runs and nothing is cached."""

from collections.abc import Collection, Mapping

from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from .cors import Cors, response_headers_policy
from .findings import acknowledge
from .origins import function_origin
from .site import Site


def gateway_distribution(
    scope: Construct,
    *,
    edge_function: lambda_.Function,
    functions: Mapping[str, lambda_.FunctionUrl],
    urls: Collection[lambda_.FunctionUrl],
    access_control: cloudfront.CfnOriginAccessControl | None,
    site: Site | None,
    cors: Cors | None,
    metadata: bool,
    domain_name: str | None,
    certificate: acm.ICertificate | None,
    web_acl_arn: str | None,
) -> cloudfront.Distribution:
    """Make the distribution.

    Args:
        scope: The gateway.
        edge_function: Runs at origin-request, in its current version.
        functions: Function URLs by CloudFront path pattern.
        urls: The same, each once.
        access_control: Makes CloudFront sign; None where the edge function signs.
        site: Answers the paths that no pattern matches; without one a function does.
        cors: Adds CORS headers to the functions' answers.
        metadata: Whether the edge function serves RFC 9728 metadata.
        domain_name: As ``EdgeGateway``'s, like all that follow.
        certificate: In us-east-1.
        web_acl_arn: Of a WAFv2 web ACL.
    """
    edge_lambda = cloudfront.EdgeLambda(
        function_version=edge_function.current_version,
        event_type=cloudfront.LambdaEdgeEventType.ORIGIN_REQUEST,
        # The signature covers the body's hash.
        include_body=True,
    )
    headers_policy = response_headers_policy(scope, "Cors", cors) if cors else None
    origins = {url.node.path: function_origin(scope, url, access_control) for url in urls}
    behaviors = {
        pattern: _behavior(origins[url.node.path], edge_lambda, headers_policy) for pattern, url in functions.items()
    }
    if site is not None:
        default = site.behavior()
    elif "/*" in behaviors:
        default = behaviors.pop("/*")
    else:
        default = next(iter(behaviors.values()))
    if metadata:
        # The edge function answers with CORS for pages of any origin, which the headers policy would overwrite. So the
        # path has a behavior of its own, whatever the default one is. The origin is never asked.
        any_origin = next(iter(origins.values()))
        behaviors.setdefault("/.well-known/oauth-protected-resource*", _behavior(any_origin, edge_lambda, None))
    distribution = cloudfront.Distribution(
        scope,
        "Distribution",
        comment="Cognito login in front of function URLs",
        default_behavior=default,
        additional_behaviors=behaviors,
        default_root_object="index.html" if site is not None else None,
        http_version=cloudfront.HttpVersion.HTTP2_AND_3,
        domain_names=[domain_name] if domain_name else None,
        certificate=certificate,
        # CloudFront fixes the security policy of *.cloudfront.net, which has CloudFront's own certificate.
        minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021 if certificate else None,
        web_acl_id=web_acl_arn,
    )
    acknowledge(
        distribution,
        {
            "AwsSolutions-CFR1": "who may call is decided by the login, not by the country",
            "AwsSolutions-CFR2": "a web ACL is charged monthly; web_acl_arn attaches one",
            "AwsSolutions-CFR3": "the edge function logs one line for every request, without the query strings and "
            "addresses that access logs would keep",
            "AwsSolutions-CFR4": "without a certificate of one's own CloudFront fixes the policy; with one it is TLS 1.2",
        },
    )
    return distribution


def _behavior(
    origin: cloudfront.IOrigin, edge_lambda: cloudfront.EdgeLambda, headers: cloudfront.ResponseHeadersPolicy | None
) -> cloudfront.BehaviorOptions:
    return cloudfront.BehaviorOptions(
        origin=origin,
        edge_lambdas=[edge_lambda],
        # A cached answer skips the origin-request event, and with it the token check: one user would get what another
        # asked for.
        cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
        # Forwards every header, Authorization included, except Host: a function URL needs its own.
        origin_request_policy=cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
        response_headers_policy=headers,
        allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
        # Not redirect-to-https: a redirected client has already sent its token in the clear, and would not notice.
        viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
        # CloudFront compresses cached objects only.
        compress=False,
    )
