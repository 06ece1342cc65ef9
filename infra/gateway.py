"""``EdgeGateway``: a Cognito login in front of function URLs, as one construct for any CDK app in Python.

It makes the edge function with its role, the three SSM parameters that the function reads, and the distribution. What
would fail at deploy, or be unsafe, is refused at synthesis with a sentence that says what to change (``refusals.py``).
"""

from collections.abc import Mapping, Sequence
from typing import Final, cast

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from . import refusals
from .assemble import cached
from .bundle import edge_recipe
from .findings import acknowledge

DEFAULT_PARAMETER_PREFIX: Final = "/cognito-edge-gateway"

INITIAL_POLICY: Final = '{"version": 1, "routes": [{"path": "/*"}]}'
"""What ``P/policy`` is created with: every path wants a valid ID token.

One constant, whatever the construct is given: CloudFormation writes a parameter only when its resource changes, so a
redeploy never undoes what ``scripts/policy.py`` wrote since.
"""

# The handler ends every request within 5 s by itself; the rest is for the start of a new environment.
_TIMEOUT_S = 10

# Lambda gives CPU in proportion to memory (a whole vCPU at 1,769 MB). The function needs about 40 MB, but at 128 MB a
# cold start's 0.1 s of CPU time would take more than a second, and 1 MB bodies 20 ms. A request costs the same number of
# GB-seconds either way; below 1 ms, which is the least that is billed, more memory would only cost more.
_MEMORY_MB = 512


class EdgeGateway(Construct):
    """A distribution that lets nobody reach the functions behind it without a Cognito token.

    A class because it is a CDK construct: it owns resources, and other stacks refer to them.

    Attributes:
        distribution: The CloudFront distribution.
        edge_function: The Lambda@Edge function. Its versions are kept when they are replaced.
        edge_role: The role that the edge function signs under.
        url: Where viewers call, ``https://<host>`` without a slash at the end.
        parameter_prefix: Where the SSM parameters live.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        functions: Mapping[str, lambda_.FunctionUrl],
        user_pool: cognito.IUserPool,
        clients: Sequence[cognito.IUserPoolClient],
        parameter_prefix: str = DEFAULT_PARAMETER_PREFIX,
        settings: Mapping[str, object] | None = None,
        self_sign_up: bool = False,
        domain_name: str | None = None,
        certificate: acm.ICertificate | None = None,
        web_acl_arn: str | None = None,
        bytecode: str = "auto",
    ) -> None:
        """Put a login in front of *functions*.

        Args:
            scope: A stack in us-east-1, or a construct in one.
            construct_id: The id within *scope*.
            functions: Function URLs (auth type ``AWS_IAM``, no CORS of their own) by CloudFront path pattern, such as
                ``{"/api/*": url}``. Paths that match none go to ``"/*"``, or to the first one if there is no ``"/*"``:
                no path leaves the gateway out.
            user_pool: Whose users may call; also one that another stack made.
            clients: App clients of that pool whose tokens count.
            parameter_prefix: SSM path of this gateway's three parameters; each gateway of an account needs its own.
            settings: Further entries of ``settings.json`` (see ``edge/settings.py``); literal values, no CDK tokens.
            self_sign_up: Accept a pool in which strangers may register themselves.
            domain_name: The viewers' host name, if not the distribution's own; needs *certificate*.
            certificate: A certificate for it, in us-east-1.
            web_acl_arn: A WAFv2 web ACL of scope CLOUDFRONT.
            bytecode: What compiles the edge bundle: ``auto``, ``none``, or the path of a CPython 3.13.

        Raises:
            Refused: When something would fail at deploy or be unsafe; the message says what to change.
            ValueError: When a setting is unknown or wrong; the message names every fault.
        """
        super().__init__(scope, construct_id)
        stack = cdk.Stack.of(self)
        refusals.check_region(stack)
        refusals.check_literal(parameter_prefix, settings)
        refusals.check_function_urls(functions)
        refusals.check_user_pool(user_pool, self_sign_up=self_sign_up)
        refusals.check_clients(clients)
        refusals.check_domain(domain_name, certificate)
        refusals.check_web_acl(web_acl_arn)

        # A log group that CDK made for the edge function would stay empty: replicas write to
        # /aws/lambda/us-east-1.<name>.
        self.node.set_context("@aws-cdk/aws-lambda:useCdkManagedLogGroup", False)
        self.parameter_prefix = parameter_prefix
        parameters = self._parameters(user_pool, clients)
        self.edge_role = self._role()
        self.edge_function = self._edge_function(
            {
                **(settings or {}),
                "parameter_prefix": parameter_prefix,
                "parameter_region": stack.region,
                # Without it a deleted policy parameter would turn every rule and cut-off into "any ID token".
                "policy_required": True,
                **({"domain_name": domain_name} if domain_name else {}),
            },
            bytecode,
        )
        permissions = self._permissions(parameters, list(functions.values()))
        self.distribution = self._distribution(
            functions,
            domain_name=domain_name,
            certificate=certificate,
            web_acl_arn=web_acl_arn,
        )
        # The first viewer must not meet a function that may not sign yet.
        self.distribution.node.add_dependency(permissions)
        self.url = f"https://{domain_name or self.distribution.distribution_domain_name}"
        for url in functions.values():
            self._introduce_to(url)
        self.node.add_validation(refusals.AtSynthesis(self.edge_function, tuple(functions.values())))

    def _parameters(self, user_pool: cognito.IUserPool, clients: Sequence[cognito.IUserPoolClient]) -> list[str]:
        """Make the three parameters, and return their names."""
        values = {
            "user-pool-id": ("UserPoolIdParameter", user_pool.user_pool_id),
            "client-id": ("ClientIdParameter", ",".join(client.user_pool_client_id for client in clients)),
            "policy": ("PolicyParameter", INITIAL_POLICY),
        }
        for name, (construct_id, value) in values.items():
            ssm.StringParameter(
                self,
                construct_id,
                parameter_name=f"{self.parameter_prefix}/{name}",
                string_value=value,
            )
        return [f"{self.parameter_prefix}/{name}" for name in values]

    def _role(self) -> iam.Role:
        # Both are needed: Lambda runs the function, and the edge service replicates it.
        # Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-edge-permissions.html
        return iam.Role(
            self,
            "EdgeRole",
            description="Runs the edge function: reads its three parameters, and invokes the functions behind it",
            assumed_by=iam.CompositePrincipal(
                iam.ServicePrincipal("lambda.amazonaws.com"),
                iam.ServicePrincipal("edgelambda.amazonaws.com"),
            ),
        )

    def _edge_function(self, settings: Mapping[str, object], bytecode: str) -> lambda_.Function:
        function = lambda_.Function(
            self,
            "EdgeFunction",
            description="Verifies Cognito tokens and signs requests for function URLs (Lambda@Edge, origin-request)",
            runtime=lambda_.Runtime.PYTHON_3_13,
            # Lambda@Edge takes no arm64; CDK would say nothing, and the deployment would fail.
            architecture=lambda_.Architecture.X86_64,
            handler="edge.handler.handler",
            code=lambda_.Code.from_asset(str(cached(edge_recipe(settings, bytecode=bytecode)))),
            role=self.edge_role,
            timeout=cdk.Duration.seconds(_TIMEOUT_S),
            memory_size=_MEMORY_MB,
            # CloudFront removes replicas hours after the last distribution let go of them, and until then no version
            # can be deleted: a stack that tried would fail. Earlier versions also are what a rollback goes back to.
            current_version_options=lambda_.VersionOptions(removal_policy=cdk.RemovalPolicy.RETAIN),
        )
        function.apply_removal_policy(cdk.RemovalPolicy.RETAIN)
        acknowledge(
            function,
            {
                "AwsSolutions-L1": "the newest runtime that Lambda@Edge is documented to take; later ones may fail at deploy"
            },
        )
        return function

    def _permissions(self, parameters: Sequence[str], urls: Sequence[lambda_.FunctionUrl]) -> iam.Policy:
        """Give the role what the function needs, to the letter.

        A policy of its own, and ARNs spelt out: the function would wait for the role's default policy, so that a client
        whose callback is the distribution's address would close a circle.
        """
        stack = cdk.Stack.of(self)
        arns = [url.function_arn for url in urls]
        log_group = stack.format_arn(
            service="logs",
            # Replicas log in the region where they run, whichever that is.
            region="*",
            resource="log-group",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
            resource_name=f"/aws/lambda/us-east-1.{self.edge_function.function_name}",
        )
        policy = iam.Policy(
            self,
            "EdgePermissions",
            roles=[self.edge_role],
            statements=[
                iam.PolicyStatement(
                    sid="ReadParameters",
                    # One call reads all three. GetParameter and GetParametersByPath are other permissions.
                    actions=["ssm:GetParameters"],
                    resources=[
                        stack.format_arn(service="ssm", resource="parameter", resource_name=name.removeprefix("/"))
                        for name in parameters
                    ],
                ),
                # Function URLs want both since October 2025. Each condition matters: without them the role could call a
                # URL that asks for no signature, and could invoke the function past its URL with an event of its own.
                # Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
                iam.PolicyStatement(
                    sid="CallFunctionUrls",
                    actions=["lambda:InvokeFunctionUrl"],
                    resources=arns,
                    conditions={"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}},
                ),
                iam.PolicyStatement(
                    sid="InvokeThroughFunctionUrls",
                    actions=["lambda:InvokeFunction"],
                    resources=arns,
                    conditions={"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
                ),
                iam.PolicyStatement(
                    sid="WriteLogs",
                    actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                    # The group itself, and its streams.
                    resources=[log_group, f"{log_group}:*"],
                ),
            ],
        )
        function_id = stack.get_logical_id(cast("lambda_.CfnFunction", self.edge_function.node.default_child))
        finding = (
            "AwsSolutions-IAM5[Resource::arn:aws:logs:*:<AWS::AccountId>:log-group:"
            f"/aws/lambda/us-east-1.<{function_id}>"
        )
        reason = "one log group, but in every region where CloudFront may run the function, and any stream in it"
        acknowledge(policy, {f"{finding}]": reason, f"{finding}:*]": reason})
        return policy

    def _distribution(
        self,
        functions: Mapping[str, lambda_.FunctionUrl],
        *,
        domain_name: str | None,
        certificate: acm.ICertificate | None,
        web_acl_arn: str | None,
    ) -> cloudfront.Distribution:
        gateway = cloudfront.EdgeLambda(
            function_version=self.edge_function.current_version,
            event_type=cloudfront.LambdaEdgeEventType.ORIGIN_REQUEST,
            # The signature covers the body's hash.
            include_body=True,
        )

        def behaviour(origin: cloudfront.IOrigin) -> cloudfront.BehaviorOptions:
            return cloudfront.BehaviorOptions(
                origin=origin,
                edge_lambdas=[gateway],
                # A cached answer skips the origin-request event, and with it the token check: one user would be given
                # what another asked for.
                cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
                # Everything but Host, which a function URL needs to be its own. Brings Authorization along.
                origin_request_policy=cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
                allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
                # Not redirect-to-https: a client that was redirected has sent its token in the clear already, and,
                # following the redirect, would never notice.
                viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
                # Compression is for cached objects; CloudFront does none with caching off.
                compress=False,
            )

        # No origin access control: it would replace the signature by CloudFront's own.
        by_url = {url.node.path: origins.FunctionUrlOrigin(url) for url in functions.values()}
        behaviours = {pattern: behaviour(by_url[url.node.path]) for pattern, url in functions.items()}
        default = behaviours.pop("/*", None) or next(iter(behaviours.values()))
        distribution = cloudfront.Distribution(
            self,
            "Distribution",
            comment="Cognito login in front of function URLs",
            default_behavior=default,
            additional_behaviors=behaviours,
            http_version=cloudfront.HttpVersion.HTTP2_AND_3,
            domain_names=[domain_name] if domain_name else None,
            certificate=certificate,
            # *.cloudfront.net has CloudFront's certificate, and with it a security policy that nobody can choose.
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

    def _introduce_to(self, url: lambda_.FunctionUrl) -> None:
        """Tell the function behind a URL whose ``x-cognito-*`` headers to believe (``backend/identity.py``)."""
        function = url.node.scope
        if isinstance(function, lambda_.Function):
            function.add_environment("EDGE_ACCOUNT_ID", cdk.Stack.of(self).account)
            function.add_environment("EDGE_ROLE_NAME", self.edge_role.role_name)
