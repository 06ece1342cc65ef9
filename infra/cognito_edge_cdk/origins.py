"""Function URLs as origins of the distribution.

A function may be in another region than the distribution. The gateway's stack then reads the URL's host from an output of
the function's stack. The function's stack never refers to the gateway's, so that the two do not depend on each other.
"""

import aws_cdk as cdk
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_lambda as lambda_
from constructs import Construct


def is_elsewhere(scope: Construct, url: lambda_.FunctionUrl) -> bool:
    """Say whether the function is in another region than *scope*."""
    return cdk.Stack.of(scope).region != cdk.Stack.of(url).region


def function_origin(
    scope: Construct, url: lambda_.FunctionUrl, access_control: cloudfront.CfnOriginAccessControl | None
) -> cloudfront.IOrigin:
    """Return the origin of one function URL.

    Args:
        scope: The gateway.
        url: The function's URL.
        access_control: Makes CloudFront sign the requests. None where the edge function signs: CloudFront would replace
            that signature by its own.
    """
    control_id = access_control.attr_id if access_control else None
    if not is_elsewhere(scope, url):
        return origins.FunctionUrlOrigin(url, origin_access_control_id=control_id)
    return origins.HttpOrigin(
        _host_from_elsewhere(scope, url),
        protocol_policy=cloudfront.OriginProtocolPolicy.HTTPS_ONLY,
        origin_ssl_protocols=[cloudfront.OriginSslPolicy.TLS_V1_2],
        origin_access_control_id=control_id,
    )


def _host_from_elsewhere(scope: Construct, url: lambda_.FunctionUrl) -> str:
    home = cdk.Stack.of(url)
    # The output holds the host, not the URL: cfn-lint rejects the nested intrinsics that would take a URL apart here.
    output = cdk.CfnOutput(
        home,
        f"Host{cdk.Names.unique_id(url)}"[-200:],
        value=cdk.Fn.select(2, cdk.Fn.split("/", url.url)),
        description="Read by the gateway's stack",
    )
    cdk.Stack.of(scope).add_stack_dependency(home)
    return cdk.Fn.get_stack_output(home.stack_name, home.get_logical_id(output), region=home.region)


def origin_access_control(scope: Construct, construct_id: str) -> cloudfront.CfnOriginAccessControl:
    """Make the origin access control with which CloudFront signs requests to function URLs."""
    return cloudfront.CfnOriginAccessControl(
        scope,
        construct_id,
        origin_access_control_config=cloudfront.CfnOriginAccessControl.OriginAccessControlConfigProperty(
            # Unique in the account.
            name=cdk.Names.unique_resource_name(scope, max_length=64),
            description="Signs for the function URLs behind the Cognito gateway",
            origin_access_control_origin_type="lambda",
            # With no-override, a viewer who sends an Authorization header would decide whether CloudFront signs.
            signing_behavior="always",
            signing_protocol="sigv4",
        ),
    )
