"""The example: users, one protected function, and the gateway between them, in one stack in us-east-1."""

from typing import Final

import aws_cdk as cdk
from constructs import Construct

from .backend import Backend
from .gateway import DEFAULT_PARAMETER_PREFIX, EdgeGateway
from .identity import Identity

STACK_NAME: Final = "CognitoEdgeGateway"
REGION: Final = "us-east-1"


class CognitoEdgeGatewayStack(cdk.Stack):
    """Everything that ``make run`` emulates and ``make deploy`` deploys.

    A class because it is a CDK stack. The region is fixed, for the edge function's sake; the account is whichever deploys.

    Context (``cdk.json`` or ``--context``): ``parameter_prefix``, ``login_prefix`` (first label of the login's host name),
    ``bytecode`` (``auto``, ``none``, or the path of a CPython 3.13).
    """

    def __init__(self, scope: Construct, construct_id: str = STACK_NAME) -> None:
        super().__init__(
            scope,
            construct_id,
            env=cdk.Environment(region=REGION),
            description="Amazon Cognito in front of Lambda function URLs, verified and signed at CloudFront's edge",
        )
        bytecode = self._context("bytecode") or "auto"
        identity = Identity(self, "Identity", login_prefix=self._context("login_prefix"))
        api = Backend(self, "Api", bytecode=bytecode)
        gateway = EdgeGateway(
            self,
            "Gateway",
            functions={"/api/*": api.url},
            user_pool=identity.user_pool,
            clients=[identity.client],
            parameter_prefix=self._context("parameter_prefix") or DEFAULT_PARAMETER_PREFIX,
            bytecode=bytecode,
        )
        # What scripts/ and local/ read.
        outputs = {
            "GatewayUrl": (gateway.url, "Where the gateway answers"),
            "DistributionId": (gateway.distribution.distribution_id, "The CloudFront distribution"),
            "UserPoolId": (identity.user_pool.user_pool_id, "The pool whose users may call"),
            "ClientId": (identity.client.user_pool_client_id, "The app client that scripts/get_token.py signs in with"),
            "LoginUrl": (identity.login_url, "Base of Cognito's managed login"),
            "ParameterPrefix": (gateway.parameter_prefix, "SSM path of the gateway's parameters"),
            "Region": (REGION, "Region of the parameters and the pool"),
            "EdgeFunctionVersionArn": (
                gateway.edge_function.current_version.edge_arn,
                "The version that the distribution uses",
            ),
            "EdgeRoleArn": (gateway.edge_role.role_arn, "The role that signs"),
            "FunctionUrlApi": (api.url.url, "The protected function's own address, which refuses unsigned requests"),
        }
        for name, (value, description) in outputs.items():
            cdk.CfnOutput(self, name, value=value, description=description)

    def _context(self, key: str) -> str | None:
        value = self.node.try_get_context(key)
        if value is not None and not isinstance(value, str):
            raise TypeError(f"context {key}: expected a string, not {value!r}")
        return value or None
