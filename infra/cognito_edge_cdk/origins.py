"""One function URL as an origin of the gateway: its host, CloudFront's way of signing, and who may come in.

The function may live in another region than the distribution. Two stacks then refer to each other without a cycle: the
gateway's reads the URL's host from an output of the function's, and everything the function's stack needs to know about
the gateway (role name, account) is a literal.
"""

from collections.abc import Sequence
from typing import Final, cast

import aws_cdk as cdk
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

CLOUDFRONT: Final = "cloudfront.amazonaws.com"


def is_elsewhere(scope: Construct, url: lambda_.FunctionUrl) -> bool:
    """Say whether the function lives in another region than *scope*."""
    return cdk.Stack.of(scope).region != cdk.Stack.of(url).region


def function_origin(
    scope: Construct, url: lambda_.FunctionUrl, access_control: cloudfront.CfnOriginAccessControl | None
) -> cloudfront.IOrigin:
    """Return the origin.

    Args:
        scope: The gateway.
        url: The function's URL.
        access_control: How CloudFront signs; None where the edge function does.
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
    # The host, not the URL: taking it apart on this side would nest intrinsics in a way that cfn-lint rejects.
    output = cdk.CfnOutput(
        home,
        f"Host{cdk.Names.unique_id(url)}"[-200:],
        value=cdk.Fn.select(2, cdk.Fn.split("/", url.url)),
        description="Read by the gateway's stack",
    )
    cdk.Stack.of(scope).add_stack_dependency(home)
    return cdk.Fn.get_stack_output(home.stack_name, home.get_logical_id(output), region=home.region)


def origin_access_control(scope: Construct, construct_id: str) -> cloudfront.CfnOriginAccessControl:
    """Make the setting by which CloudFront signs requests to function URLs."""
    return cloudfront.CfnOriginAccessControl(
        scope,
        construct_id,
        origin_access_control_config=cloudfront.CfnOriginAccessControl.OriginAccessControlConfigProperty(
            # Unique in the account.
            name=cdk.Names.unique_resource_name(scope, max_length=64),
            description="Signs for the function URLs behind the Cognito gateway",
            origin_access_control_origin_type="lambda",
            # Not no-override: a viewer who sends an Authorization would decide whether CloudFront signs.
            signing_behavior="always",
            signing_protocol="sigv4",
        ),
    )


def physical_name(url: lambda_.FunctionUrl) -> str | None:
    """Return the name that was given to the URL's function; None if CloudFormation is to make one up."""
    function = url.node.scope
    resource = function.node.default_child if isinstance(function, lambda_.Function) else None
    name = resource.function_name if isinstance(resource, lambda_.CfnFunction) else None
    return None if name is None or cdk.Token.is_unresolved(name) else name


def function_arn(scope: Construct, url: lambda_.FunctionUrl) -> str:
    """Return what policies have to name: the function, or the alias that the URL is on.

    For a function in another region it is literal but for the account: a reference would tie the stacks together.
    """
    name = physical_name(url)
    if not is_elsewhere(scope, url) or name is None:
        return url.function_arn
    return cdk.Stack.of(scope).format_arn(
        service="lambda",
        region=cdk.Stack.of(url).region,
        resource="function",
        arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        resource_name=name,
    )


def admit_distribution(
    scope: Construct, distribution: cloudfront.Distribution, urls: Sequence[lambda_.FunctionUrl]
) -> None:
    """Let CloudFront, on behalf of *distribution* alone, call these URLs.

    In the function's own region: a permission is part of the function. Where that is another region, the permissions
    stand in a third stack, since neither of the two could be deployed before the other.

    Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-restricting-access-to-lambda.html
    """
    stack = cdk.Stack.of(scope)
    for number, url in enumerate(urls):
        place: Construct = scope
        distribution_id = distribution.distribution_id
        if is_elsewhere(scope, url):
            place = _access_stack(scope, cdk.Stack.of(url).region)
            distribution_id = _distribution_id_from_elsewhere(scope, distribution)
        source_arn = stack.format_arn(
            service="cloudfront", region="", resource="distribution", resource_name=distribution_id
        )
        # Function URLs want both since October 2025. SourceArn is what ties them to this one distribution: without it any
        # distribution in the world could be pointed here and have its requests signed.
        lambda_.CfnPermission(
            place,
            f"CallUrl{number}",
            action="lambda:InvokeFunctionUrl",
            function_name=function_arn(scope, url),
            principal=CLOUDFRONT,
            source_arn=source_arn,
        )
        lambda_.CfnPermission(
            place,
            f"InvokeThroughUrl{number}",
            action="lambda:InvokeFunction",
            function_name=function_arn(scope, url),
            principal=CLOUDFRONT,
            source_arn=source_arn,
            invoked_via_function_url=True,
        )


def _access_stack(scope: Construct, region: str) -> cdk.Stack:
    stack = cdk.Stack.of(scope)
    parent = cast("Construct", stack.node.scope)  # an app or a stage; every stack stands in one
    construct_id = f"{stack.node.id}Access-{scope.node.id}-{region}"
    found = parent.node.try_find_child(construct_id)
    if isinstance(found, cdk.Stack):
        return found
    made = cdk.Stack(
        parent,
        construct_id,
        stack_name=f"{stack.stack_name}-{scope.node.id}-access-{region}",
        env=cdk.Environment(account=None if cdk.Token.is_unresolved(stack.account) else stack.account, region=region),
        description=f"Lets the distribution of stack {stack.stack_name} call functions in {region}",
        analytics_reporting=False,
    )
    made.add_stack_dependency(stack)
    return made


def _distribution_id_from_elsewhere(scope: Construct, distribution: cloudfront.Distribution) -> str:
    stack = cdk.Stack.of(scope)
    name = f"Id{cdk.Names.unique_id(distribution)}"[-200:]
    output = stack.node.try_find_child(name)
    if not isinstance(output, cdk.CfnOutput):
        output = cdk.CfnOutput(
            stack, name, value=distribution.distribution_id, description="Read by the stack that lets it call functions"
        )
    return cdk.Fn.get_stack_output(stack.stack_name, stack.get_logical_id(output), region=stack.region)
