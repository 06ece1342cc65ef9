"""The example's stacks: users, two protected functions, a public site, and the gateway in front, in one region or two."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cognito as cognito
from cognito_edge_cdk.gateway import DEFAULT_PARAMETER_PREFIX, EdgeGateway
from cognito_edge_cdk.identity import CALLBACK_URLS, LOGOUT_URLS, Identity
from cognito_edge_cdk.site import Site
from constructs import Construct, Node

from . import alarms, waf
from .backend import Backend
from .books import Books

STACK_NAME: Final = "CognitoEdgeGateway"
REGION: Final = "us-east-1"

# Literal names, so that the two stacks of a two-region deployment know them without references. Unique in the account.
_FUNCTION_NAME: Final = "cognito-edge-gateway-api"
_BOOKS_FUNCTION_NAME: Final = "cognito-edge-gateway-books"
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
    "books_removal",
    *waf.CONTEXT,
    *alarms.CONTEXT,
)
"""The context keys that ``cdk.json`` and ``--context`` may set; see ``docs/settings.md``."""


def build(app: cdk.App) -> "CognitoEdgeGatewayStack":
    """Make the example's stacks, and return the one in us-east-1.

    With ``backend_region`` a second stack holds the functions, and with ``cognito_region`` (that region or us-east-1) the
    users too. It never refers to the first stack, which reads its outputs.

    Raises:
        ValueError: A context value is wrong; the message says what is expected.
    """
    backend_region = _context(app.node, "backend_region") or REGION
    cognito_region = _context(app.node, "cognito_region") or REGION
    if cognito_region not in (REGION, backend_region):
        raise ValueError(
            f"context cognito_region={cognito_region}: expected {REGION} or the backend's region ({backend_region}); users "
            "in a third region would need a third stack"
        )
    far = None
    if backend_region != REGION:
        far = cdk.Stack(
            app,
            f"{STACK_NAME}Backend",
            env=cdk.Environment(region=backend_region),
            description="The protected functions behind the Cognito gateway",
        )
    monitored = alarms.from_context({key: _context(app.node, key) for key in alarms.CONTEXT})
    stack = CognitoEdgeGatewayStack(app, far=far, far_identity=cognito_region != REGION)
    if monitored is not None:
        alarms.monitor(
            stack,
            monitored,
            function_name=stack.gateway.edge_function.function_name,
            distribution_id=stack.gateway.distribution.distribution_id,
            firewall=waf.from_context({key: _context(app.node, key) for key in waf.CONTEXT}) is not None,
        )
    return stack


class CognitoEdgeGatewayStack(cdk.Stack):
    """Everything that ``make run`` emulates and ``make deploy`` deploys, less what another region's stack holds.

    The stack is in us-east-1, for the edge function's sake, and in the account that deploys.
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
        books = Books(
            far or self,
            "Books",
            bytecode=bytecode,
            function_name=_BOOKS_FUNCTION_NAME if far else None,
            removal_policy=_removal_policy(_context(self.node, "books_removal")),
        )
        region = (far or self).region if far_identity else self.region
        # Only a stack in the pool's region can refer to the login; elsewhere the policy names every login of that region.
        login = f"https://*.auth.{region}.amazoncognito.com" if far_identity else identity.login_url
        site = Site(self, "Site", connect_to=[f"https://cognito-idp.{region}.amazonaws.com", login])
        firewall = waf.from_context({key: _context(self.node, key) for key in waf.CONTEXT})
        self.gateway = gateway = EdgeGateway(
            self,
            "Gateway",
            functions={"/api/books*": books.backend.url, "/api/*": api.url},
            user_pool=identity.user_pool,
            clients=[identity.client],
            parameter_prefix=_context(self.node, "parameter_prefix") or DEFAULT_PARAMETER_PREFIX,
            # The parameters name the pool, so they are in its region.
            parameters_in=far if far_identity else None,
            signing=_context(self.node, "signing") or "sigv4",
            distribution_id=_context(self.node, "distribution_id"),
            edge_role_name=_EDGE_ROLE_NAME if far else None,
            web_acl_arn=waf.WebAcl(self, "Firewall", firewall).arn if firewall else None,
            site=site,
            bytecode=bytecode,
        )
        if not far_identity:
            _let_pages_sign_in(identity, gateway.url)
        gateway.add_outputs(self)
        cdk.CfnOutput(self, "LoginUrl", value=identity.login_url, description="Base of Cognito's managed login")
        cdk.CfnOutput(
            self,
            "FunctionUrlApi",
            value=api.url.url,
            description="The protected function's own address, which refuses unsigned requests",
        )
        cdk.CfnOutput(
            self, "FunctionUrlBooks", value=books.backend.url.url, description="The books' own address, likewise"
        )
        # In the table's own stack: a reference from another region would need a physical name.
        cdk.CfnOutput(
            far or self, "BooksTable", value=books.table.table_name, description="The table that the books are in"
        )
        cdk.CfnOutput(
            self, "SiteBucket", value=site.bucket.bucket_name, description="Where scripts/website.py puts the site"
        )


def _let_pages_sign_in(identity: Identity, url: str) -> None:
    """Let the login send people back to the site, as well as to a terminal.

    A pool in another region is deployed before the site has an address; ``docs/example.md`` says what to do then.
    """
    client = identity.client.node.default_child
    if isinstance(client, cognito.CfnUserPoolClient):
        client.callback_ur_ls = [*CALLBACK_URLS, f"{url}/"]
        client.logout_ur_ls = [*LOGOUT_URLS, f"{url}/"]


def _removal_policy(choice: str | None) -> cdk.RemovalPolicy:
    """Return what happens to the books' table when the stack is deleted."""
    choices = {None: cdk.RemovalPolicy.RETAIN, "retain": cdk.RemovalPolicy.RETAIN, "destroy": cdk.RemovalPolicy.DESTROY}
    if choice not in choices:
        raise ValueError(f"context books_removal={choice}: expected retain (the default) or destroy")
    return choices[choice]


def _context(node: Node, key: str) -> str | None:
    value = node.try_get_context(key)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"context {key}: expected a string, not {value!r}")
    return value or None
