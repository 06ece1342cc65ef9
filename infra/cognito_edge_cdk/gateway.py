"""``EdgeGateway``: a Cognito login in front of Lambda function URLs, as one construct for any CDK app in Python."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_ssm as ssm
from cognito_edge_cdk.bundling.edge_folder import edge_folder
from constructs import Construct, IConstruct

from . import permissions, refusals
from .cors import Cors
from .distribution import gateway_distribution
from .findings import acknowledge
from .identity import Identity
from .origins import origin_access_control
from .site import Site
from .template_rules import TemplateRules, Watched

DEFAULT_PARAMETER_PREFIX: Final = "/cognito-edge-gateway"

INITIAL_POLICY: Final = '{"version": 1, "routes": [{"path": "/*"}]}'
"""The first value of ``P/policy``: every path needs a valid ID token.

It never depends on an argument: CloudFormation writes a parameter only when its resource changes, so a redeploy does not
undo what ``cognito-edge policy`` wrote since.
"""

# The handler ends every request within 5 s; the rest is for the start of a new environment.
_TIMEOUT_S = 10

# Lambda gives CPU in proportion to memory (a whole vCPU at 1,769 MB). The function needs about 40 MB, but at 128 MB a
# cold start's 0.1 s of CPU time would take more than a second, and 1 MB bodies 20 ms. A request costs the same number of
# GB-seconds either way; below 1 ms, which is the least that is billed, more memory would only cost more.
_MEMORY_MB = 512


class EdgeGateway(Construct):
    """A CloudFront distribution that lets a request reach your functions only with a valid Cognito token.

    ::

        url = function.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)
        gateway = EdgeGateway(stack, "Login", functions={"/*": url})
        gateway.add_outputs(stack)

    The stack has to be in us-east-1, where CloudFront takes edge functions from; functions and user pool may be elsewhere.
    The construct makes, in this order:

    1. a user pool, an app client and Cognito's login page, unless you pass a pool of your own;
    2. three SSM parameters that the edge function reads: the pool's id, the client ids, and the policy, which says who may
       call which path (``docs/policy.md``). You change the policy without a deployment;
    3. the edge role, the edge function (Lambda@Edge at origin-request) and its permissions. The function verifies the
       token, applies the policy, adds the caller's identity as ``x-cognito-*`` headers, and signs the request (SigV4);
    4. the distribution, which runs the edge function on every path, except those of a public ``site``.

    Your functions get two environment variables, from which ``backend/identity.py`` (copy it) knows whose ``x-cognito-*``
    headers to believe.

    Set-ups that would fail at deploy or be unsafe are refused when the app is synthesised, and the message says what to
    change: arguments here (``refusals.py``), and later changes in the templates (``template_rules.py``).

    Attributes:
        distribution: The CloudFront distribution.
        edge_function: The Lambda@Edge function. Its versions are kept when they are replaced.
        edge_role: The role that the edge function runs under. In mode ``sigv4`` it signs with that role's credentials.
        user_pool: The pool whose users may call.
        clients: The app clients whose tokens count.
        identity: The pool, client and login that were made here; None if you passed your own.
        url: Where viewers call, ``https://<host>`` without a slash at the end.
        parameter_prefix: SSM path of the three parameters.
        parameter_region: Region of the three parameters.
        signing: ``sigv4`` or ``oac``.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        functions: Mapping[str, lambda_.FunctionUrl],
        user_pool: cognito.IUserPool | None = None,
        clients: Sequence[cognito.IUserPoolClient] | None = None,
        parameter_prefix: str = DEFAULT_PARAMETER_PREFIX,
        parameters_in: cdk.Stack | None = None,
        settings: Mapping[str, object] | None = None,
        signing: str = "sigv4",
        distribution_id: str | None = None,
        edge_role_name: str | None = None,
        cors: Cors | None = None,
        self_sign_up: bool = False,
        domain_name: str | None = None,
        certificate: acm.ICertificate | None = None,
        web_acl_arn: str | None = None,
        site: Site | None = None,
        bytecode: str = "auto",
    ) -> None:
        """Put a login in front of *functions*.

        Args:
            scope: A stack in us-east-1, or a construct in one.
            construct_id: The id within *scope*.
            functions: Function URLs (auth type ``AWS_IAM``, no CORS of their own) by CloudFront path pattern, such as
                ``{"/api/*": url}``; the narrower patterns first. Paths that match no pattern go to ``"/*"``, or to the first
                URL if there is no ``"/*"``: no path leaves the gateway out, unless there is a *site*. The functions may be in
                other stacks and regions.
            user_pool: The pool whose users may call; another stack may have made it. None makes a pool with one client.
            clients: App clients of that pool whose tokens count. Give both *user_pool* and *clients*, or neither.
            parameter_prefix: SSM path of this gateway's three parameters; each gateway of an account needs its own.
            parameters_in: The stack that gets the parameters, in any region; None for the gateway's own. If this app makes
                the pool in another region, give the pool's stack.
            settings: Further entries of ``settings.json`` (see ``edge/cognito_edge/settings.py``); literal values, no CDK
                tokens.
            signing: Who signs the requests: ``sigv4`` (the edge function; recommended) or ``oac`` (CloudFront, afterwards).
                See ``docs/adr/0006-signing-modes.md``.
            distribution_id: With ``oac``, the literal id that the first deployment gave the distribution: functions then
                believe this distribution alone, instead of any of the account that their permissions admit.
            edge_role_name: A name for the edge role, unique in the account; required with ``sigv4`` if a function is in
                another stack. None lets CloudFormation make one up.
            cors: Origins of the pages that may read the answers; None for pages of this origin alone.
            self_sign_up: Accept a pool in which strangers may register themselves.
            domain_name: The viewers' host name, if not the distribution's own; requires *certificate*.
            certificate: A certificate for *domain_name*, in us-east-1.
            web_acl_arn: A WAFv2 web ACL of scope CLOUDFRONT.
            site: A public site that answers all paths that no pattern of *functions* matches, without a token and without
                the edge function; None leaves no path open.
            bytecode: What compiles the edge bundle: ``auto``, ``none``, or the path of a CPython 3.13.

        Raises:
            Refused: Something would fail at deploy or be unsafe; the message says what to change.
            ValueError: A setting is unknown or wrong; the message names every fault.
        """
        super().__init__(scope, construct_id)
        stack = cdk.Stack.of(self)
        # A log group that CDK made for the edge function would stay empty: replicas write to
        # /aws/lambda/us-east-1.<name>.
        self.node.set_context("@aws-cdk/aws-lambda:useCdkManagedLogGroup", False)
        refusals.check_region(stack)
        refusals.check_literal(parameter_prefix, settings)
        refusals.check_signing(signing, distribution_id)
        refusals.check_function_urls(functions)
        refusals.check_elsewhere(self, functions, signing=signing, edge_role_name=edge_role_name)
        refusals.check_pool_and_clients(user_pool, clients)

        # Pool and parameters may be in another region than the rest.
        pool_scope = self if parameters_in is None else Construct(parameters_in, f"{cdk.Names.unique_id(self)}Settings")
        self.identity: Identity | None = None
        if user_pool is None or clients is None:
            self.identity = Identity(pool_scope, "Identity")
            user_pool, clients = self.identity.user_pool, [self.identity.client]
        self.user_pool, self.clients = user_pool, tuple(clients)
        refusals.check_user_pool(user_pool, self_sign_up=self_sign_up)
        refusals.check_clients(clients)
        refusals.check_parameters_in(cdk.Stack.of(pool_scope), user_pool)
        refusals.check_domain(domain_name, certificate)
        refusals.check_web_acl(web_acl_arn)
        if site is not None:
            refusals.check_site(functions)

        self.signing = signing
        self.parameter_prefix = parameter_prefix
        self.parameter_region = cdk.Stack.of(pool_scope).region
        # One URL may be behind several patterns.
        urls = list({url.node.path: url for url in functions.values()}.values())

        parameter_arns = self._parameters(pool_scope)
        self.edge_role = permissions.edge_role(self, role_name=edge_role_name, signing=signing)
        self.edge_function = self._edge_function(
            {
                **_expected_pool(user_pool),
                **(settings or {}),
                "parameter_prefix": parameter_prefix,
                "parameter_region": self.parameter_region,
                # Otherwise a deleted policy parameter would turn every rule and cut-off into "any ID token".
                "policy_required": True,
                # The default is left out, so that bundles of older and newer versions have the same hash.
                **({"signing": signing} if signing != "sigv4" else {}),
                **({"domain_name": domain_name} if domain_name else {}),
            },
            bytecode,
        )
        edge_permissions = permissions.grant_edge_role(
            self,
            self.edge_role,
            edge_function=self.edge_function,
            parameter_arns=parameter_arns,
            called_urls=urls if signing == "sigv4" else (),
        )
        access_control = origin_access_control(self, "AccessControl") if signing == "oac" else None
        self.distribution = gateway_distribution(
            self,
            edge_function=self.edge_function,
            functions=functions,
            urls=urls,
            access_control=access_control,
            site=site,
            cors=cors,
            metadata=bool((settings or {}).get("resource")),
            domain_name=domain_name,
            certificate=certificate,
            web_acl_arn=web_acl_arn,
        )
        # The first viewer would otherwise meet a function that may not read or call anything yet.
        self.distribution.node.add_dependency(edge_permissions)
        if parameters_in is not None and parameters_in.node.path != stack.node.path:
            stack.add_stack_dependency(parameters_in)
        if signing == "oac":
            permissions.admit_distribution(self, self.distribution, urls)
        self.url = f"https://{domain_name or self.distribution.distribution_domain_name}"
        for url in urls:
            permissions.introduce_gateway(
                url,
                role_name=(edge_role_name or self.edge_role.role_name) if signing == "sigv4" else None,
                # A function is made before the distribution, so a reference to the id would close a circle.
                distribution_id=distribution_id or "*",
            )
        self._watch(access_control, urls, self_sign_up=self_sign_up)

    def add_outputs(self, scope: Construct) -> None:
        """Make the stack outputs that ``scripts/`` and ``make deploy`` read.

        Args:
            scope: The stack itself, so that the outputs' names have no prefix.
        """
        outputs = {
            "GatewayUrl": (self.url, "Where the gateway answers"),
            "DistributionId": (self.distribution.distribution_id, "The CloudFront distribution"),
            "UserPoolId": (self.user_pool.user_pool_id, "The pool whose users may call"),
            "ClientId": (self.clients[0].user_pool_client_id, "The app client that `cognito-edge token` signs in with"),
            "ParameterPrefix": (self.parameter_prefix, "SSM path of the gateway's parameters"),
            "Region": (self.parameter_region, "Region of the parameters"),
            "EdgeFunctionVersionArn": (
                self.edge_function.current_version.edge_arn,
                "The version that the distribution uses",
            ),
            "EdgeRoleArn": (self.edge_role.role_arn, "The role that the edge function runs under"),
        }
        if self.identity is not None:
            outputs["LoginUrl"] = (self.identity.login_url, "Base of Cognito's managed login")
        for name, (value, description) in outputs.items():
            cdk.CfnOutput(scope, name, value=value, description=description)

    def _parameters(self, scope: Construct) -> list[str]:
        """Make the three parameters, and return their ARNs."""
        values = {
            "user-pool-id": ("UserPoolIdParameter", self.user_pool.user_pool_id),
            "client-id": ("ClientIdParameter", ",".join(client.user_pool_client_id for client in self.clients)),
            "policy": ("PolicyParameter", INITIAL_POLICY),
        }
        for name, (construct_id, value) in values.items():
            ssm.StringParameter(
                scope,
                construct_id,
                parameter_name=f"{self.parameter_prefix}/{name}",
                string_value=value,
            )
        return [
            cdk.Stack.of(self).format_arn(
                service="ssm",
                region=self.parameter_region,
                resource="parameter",
                resource_name=f"{self.parameter_prefix}/{name}".removeprefix("/"),
            )
            for name in values
        ]

    def _edge_function(self, settings: Mapping[str, object], bytecode: str) -> lambda_.Function:
        function = lambda_.Function(
            self,
            "EdgeFunction",
            description="Verifies Cognito tokens and signs requests for function URLs (Lambda@Edge, origin-request)",
            runtime=lambda_.Runtime.PYTHON_3_13,
            # Lambda@Edge does not run arm64. CDK would say nothing, and the deployment would fail.
            architecture=lambda_.Architecture.X86_64,
            handler="cognito_edge.handler.handler",
            code=lambda_.Code.from_asset(str(edge_folder(settings, bytecode=bytecode))),
            role=self.edge_role,
            timeout=cdk.Duration.seconds(_TIMEOUT_S),
            memory_size=_MEMORY_MB,
            # CloudFront deletes replicas some hours after the last distribution let go of them. Until then no version can
            # be deleted, and a stack that tried would fail. A rollback also needs the earlier versions.
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

    def _watch(
        self,
        access_control: cloudfront.CfnOriginAccessControl | None,
        urls: Iterable[lambda_.FunctionUrl],
        *,
        self_sign_up: bool,
    ) -> None:
        """Have the template rules check these parts, which code may still change after this construct."""

        def resources(constructs: Iterable[IConstruct]) -> list[cdk.CfnResource]:
            children = [construct.node.default_child for construct in constructs]
            return [child for child in children if isinstance(child, cdk.CfnResource)]

        (distribution,) = resources([self.distribution])
        (edge_function,) = resources([self.edge_function])
        (version,) = resources([self.edge_function.current_version])
        watched = Watched(
            distribution=distribution,
            edge_function=edge_function,
            version=version,
            access_control=access_control,
            urls=resources(urls),
            pools=[] if self_sign_up else resources([self.user_pool]),
            clients=resources(self.clients),
        )
        stage = cdk.Stage.of(self)
        if stage is not None:
            cdk.Validations.of(stage).add_plugins(cast("cdk.IPolicyValidationPlugin", TemplateRules(watched)))


def _expected_pool(user_pool: cognito.IUserPool) -> dict[str, str]:
    """Return the setting with which a cold start fetches the pool's keys at once, if the id is known at synth."""
    pool_id = user_pool.user_pool_id
    return {} if cdk.Token.is_unresolved(pool_id) else {"expected_user_pool_id": pool_id}
