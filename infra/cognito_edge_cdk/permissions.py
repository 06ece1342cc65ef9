"""The edge role's permissions, and who may call the functions behind the gateway.

With ``signing="sigv4"`` the edge role may call the function URLs (``grant_edge_role``). With ``signing="oac"`` the
functions admit CloudFront on behalf of the gateway's distribution instead (``admit_distribution``). In both modes the
functions are told whose ``x-cognito-*`` headers they may believe (``introduce_gateway``).
"""

from collections.abc import Sequence
from typing import Final, cast

import aws_cdk as cdk
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from .findings import acknowledge
from .origins import is_elsewhere

CLOUDFRONT: Final = "cloudfront.amazonaws.com"


def edge_role(scope: Construct, *, role_name: str | None, signing: str) -> iam.Role:
    """Make the role that the edge function runs under.

    Args:
        scope: The gateway.
        role_name: Its name; None lets CloudFormation make one up.
        signing: ``sigv4`` or ``oac``.
    """
    # Both services assume it: Lambda runs the function, and the edge service replicates it.
    # Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-edge-permissions.html
    return iam.Role(
        scope,
        "EdgeRole",
        role_name=role_name,
        description="Runs the edge function: reads its three parameters, and invokes the functions behind it"
        if signing == "sigv4"
        else "Runs the edge function: reads its three parameters",
        assumed_by=iam.CompositePrincipal(
            iam.ServicePrincipal("lambda.amazonaws.com"),
            iam.ServicePrincipal("edgelambda.amazonaws.com"),
        ),
    )


def grant_edge_role(
    scope: Construct,
    role: iam.Role,
    *,
    edge_function: lambda_.Function,
    parameter_arns: Sequence[str],
    called_urls: Sequence[lambda_.FunctionUrl],
) -> iam.Policy:
    """Grant the edge role exactly what the edge function needs.

    The policy is separate, and its ARNs are spelt out: the function would wait for the role's default policy, and a client
    whose callback is the distribution's address would then close a circle of references.

    Args:
        scope: The gateway.
        role: The edge role.
        edge_function: Writes its logs under this role.
        parameter_arns: The SSM parameters that it reads.
        called_urls: The function URLs that it signs requests for; none in mode ``oac``, where CloudFront calls.
    """
    stack = cdk.Stack.of(scope)
    log_group = stack.format_arn(
        service="logs",
        # Replicas log in the region in which they run.
        region="*",
        resource="log-group",
        arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        resource_name=f"/aws/lambda/us-east-1.{edge_function.function_name}",
    )
    policy = iam.Policy(
        scope,
        "EdgePermissions",
        roles=[role],
        statements=[
            iam.PolicyStatement(
                sid="ReadParameters",
                # One call reads all three. GetParameter and GetParametersByPath are other permissions.
                actions=["ssm:GetParameters"],
                resources=list(parameter_arns),
            ),
            *(_call_statements([function_arn(scope, url) for url in called_urls]) if called_urls else ()),
            iam.PolicyStatement(
                sid="WriteLogs",
                actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                # The group itself, and its streams.
                resources=[log_group, f"{log_group}:*"],
            ),
        ],
    )
    function_id = stack.get_logical_id(cast("lambda_.CfnFunction", edge_function.node.default_child))
    finding = (
        f"AwsSolutions-IAM5[Resource::arn:aws:logs:*:<AWS::AccountId>:log-group:/aws/lambda/us-east-1.<{function_id}>"
    )
    reason = "one log group, but in every region where CloudFront may run the function, and any stream in it"
    acknowledge(policy, {f"{finding}]": reason, f"{finding}:*]": reason})
    return policy


def _call_statements(function_arns: list[str]) -> list[iam.PolicyStatement]:
    # Function URLs have required both permissions since October 2025. Without the conditions the role could call a URL
    # of auth type NONE, and could invoke the function directly with a forged event.
    # Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
    return [
        iam.PolicyStatement(
            sid="CallFunctionUrls",
            actions=["lambda:InvokeFunctionUrl"],
            resources=function_arns,
            conditions={"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}},
        ),
        iam.PolicyStatement(
            sid="InvokeThroughFunctionUrls",
            actions=["lambda:InvokeFunction"],
            resources=function_arns,
            conditions={"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
        ),
    ]


def admit_distribution(
    scope: Construct, distribution: cloudfront.Distribution, urls: Sequence[lambda_.FunctionUrl]
) -> None:
    """Let CloudFront call these URLs on behalf of *distribution*, and of no other.

    A permission belongs to the function, so it stands in the function's region. If that is another region than the
    gateway's, the permission gets a third stack: neither of the other two could be deployed first.

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
        # Function URLs have required both permissions since October 2025. SourceArn names this one distribution: without
        # it, any AWS customer's distribution could lead here, and CloudFront would sign its requests.
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


def introduce_gateway(url: lambda_.FunctionUrl, *, role_name: str | None, distribution_id: str) -> None:
    """Tell the function behind a URL whose ``x-cognito-*`` headers to believe (``backend/identity.py``).

    Args:
        url: The function's URL; nothing happens if this app does not make the function.
        role_name: The edge role's name, where the edge function signs.
        distribution_id: The distribution's id, or ``*``, where CloudFront signs.
    """
    function = url.node.scope
    if not isinstance(function, lambda_.Function):
        return
    # The stack's own account is the gateway's: functions in other accounts are refused.
    account = cdk.Stack.of(function).account
    function.add_environment("EDGE_ACCOUNT_ID", account)
    if role_name is not None:
        function.add_environment("EDGE_ROLE_NAME", role_name)
    else:
        arn = f"arn:aws:cloudfront::{account}:distribution/{distribution_id}"
        function.add_environment("EDGE_DISTRIBUTION_ARN", arn)


def physical_name(url: lambda_.FunctionUrl) -> str | None:
    """Return the literal name of the URL's function; None if CloudFormation makes one up."""
    function = url.node.scope
    resource = function.node.default_child if isinstance(function, lambda_.Function) else None
    name = resource.function_name if isinstance(resource, lambda_.CfnFunction) else None
    return None if name is None or cdk.Token.is_unresolved(name) else name


def function_arn(scope: Construct, url: lambda_.FunctionUrl) -> str:
    """Return the ARN that permissions name: the function's, or that of the alias that the URL is on.

    The ARN of a function in another region is literal except for the account: a reference would tie the stacks together.
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
