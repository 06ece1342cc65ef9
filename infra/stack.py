"""The example: users, one protected function, and the gateway between them, in one region or two."""

from typing import Final

import aws_cdk as cdk
from constructs import Construct, Node

from .backend import Backend
from .gateway import DEFAULT_PARAMETER_PREFIX, EdgeGateway
from .identity import Identity

STACK_NAME: Final = "CognitoEdgeGateway"
REGION: Final = "us-east-1"

# Names that both stacks of a two-region deployment know without asking each other. Unique in the account.
_FUNCTION_NAME: Final = "cognito-edge-gateway-api"
_EDGE_ROLE_NAME: Final = "cognito-edge-gateway-edge"

CONTEXT: Final = (
    "parameter_prefix",
    "login_prefix",
    "login_branding",
    "signing",
    "distribution_id",
    "backend_region",
    "cognito_region",
    "bytecode",
)
"""What ``cdk.json`` or ``--context`` may say; see ``docs/deploy.md``."""


def build(app: cdk.App) -> "CognitoEdgeGatewayStack":
    """Make the example's stacks, and return the one in us-east-1.

    With ``backend_region`` (and ``cognito_region``, which is either that or us-east-1) a second stack holds what lives
    there. It knows nothing of the first, which reads its outputs.
    """
    backend_region = _context(app.node, "backend_region") or REGION
    cognito_region = _context(app.node, "cognito_region") or REGION
    if cognito_region not in (REGION, backend_region):
        raise ValueError(
            f"context cognito_region={cognito_region}: expected {REGION} or the backend's region ({backend_region}); users "
            "in a third region would take a third stack for nothing"
        )
    far = None
    if backend_region != REGION:
        far = cdk.Stack(
            app,
            f"{STACK_NAME}Backend",
            env=cdk.Environment(region=backend_region),
            description="The protected function behind the Cognito gateway",
        )
    return CognitoEdgeGatewayStack(app, far=far, far_identity=cognito_region != REGION)


class CognitoEdgeGatewayStack(cdk.Stack):
    """Everything that ``make run`` emulates and ``make deploy`` deploys, or all of it that has to be in us-east-1.

    A class because it is a CDK stack. The region is fixed, for the edge function's sake; the account is whichever deploys.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str = STACK_NAME,
        *,
        far: cdk.Stack | None = None,
        far_identity: bool = False,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            env=cdk.Environment(region=REGION),
            description="Amazon Cognito in front of Lambda function URLs, verified and signed at CloudFront's edge",
        )
        bytecode = _context(self.node, "bytecode") or "auto"
        identity = Identity(
            far if far and far_identity else self,
            "Identity",
            login_prefix=_context(self.node, "login_prefix"),
            branding=_context(self.node, "login_branding") != "none",
        )
        api = Backend(far or self, "Api", bytecode=bytecode, function_name=_FUNCTION_NAME if far else None)
        gateway = EdgeGateway(
            self,
            "Gateway",
            functions={"/api/*": api.url},
            user_pool=identity.user_pool,
            clients=[identity.client],
            parameter_prefix=_context(self.node, "parameter_prefix") or DEFAULT_PARAMETER_PREFIX,
            # The parameters name the pool, so they stand where it does.
            parameters_in=far if far_identity else None,
            signing=_context(self.node, "signing") or "sigv4",
            distribution_id=_context(self.node, "distribution_id"),
            edge_role_name=_EDGE_ROLE_NAME if far else None,
            bytecode=bytecode,
        )
        gateway.add_outputs(self)
        cdk.CfnOutput(self, "LoginUrl", value=identity.login_url, description="Base of Cognito's managed login")
        cdk.CfnOutput(
            self,
            "FunctionUrlApi",
            value=api.url.url,
            description="The protected function's own address, which refuses unsigned requests",
        )


def _context(node: Node, key: str) -> str | None:
    value = node.try_get_context(key)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"context {key}: expected a string, not {value!r}")
    return value or None
