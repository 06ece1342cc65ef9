"""A protected function of the example: ``backend/`` behind a function URL that accepts signed requests only."""

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from cognito_edge_cdk.bundling.assemble import cached
from cognito_edge_cdk.bundling.recipe import backend_recipe
from cognito_edge_cdk.findings import acknowledge
from constructs import Construct


class Backend(Construct):
    """The function, its URL, its log group, and a role that may write to that log group and do nothing else.

    Attributes:
        function: The Lambda function.
        url: Its function URL; hand it to ``EdgeGateway``.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        handler: str = "backend.handler.handler",
        description: str = "The example's API: whoami and echo",
        bytecode: str = "auto",
        function_name: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Make the function.

        Args:
            scope: The stack.
            construct_id: The id within *scope*.
            handler: The Python function that Lambda calls; the example's functions all have the same bundle.
            description: The function's description in the console.
            bytecode: What compiles the bundle: ``auto``, ``none``, or the path of a CPython 3.13.
            function_name: A literal name, which stacks in other regions can use; None lets CloudFormation make one up.
            environment: Variables besides those that ``EdgeGateway`` sets.
        """
        super().__init__(scope, construct_id)
        log_group = logs.LogGroup(
            self,
            "Logs",
            retention=logs.RetentionDays.ONE_MONTH,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        role = iam.Role(
            self,
            "Role",
            description="Runs the backend function: writes its logs",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
        )
        log_group.grant_write(role)
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=function_name,
            description=description,
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.X86_64,
            handler=handler,
            code=lambda_.Code.from_asset(str(cached(backend_recipe(bytecode=bytecode)))),
            role=role,
            timeout=cdk.Duration.seconds(15),
            memory_size=512,
            log_group=log_group,
            environment=dict(environment or {}),
        )
        acknowledge(
            self.function, {"AwsSolutions-L1": "the same runtime as the edge function's, whose bundle is tested for it"}
        )
        self.url = self.function.add_function_url(
            # Anyone could call a URL of type NONE, past the gateway.
            auth_type=lambda_.FunctionUrlAuthType.AWS_IAM,
            # No CORS here: the gateway adds the headers, and browsers refuse doubled ones.
            invoke_mode=lambda_.InvokeMode.BUFFERED,
        )
