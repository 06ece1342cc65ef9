"""``EdgeGateway``: a Cognito login in front of function URLs, as one construct for any CDK app in Python.

It makes the edge function with its role, the three SSM parameters that the function reads, and the distribution; and a
user pool, if none is given. What would fail at deploy, or be unsafe, is refused at synthesis with a sentence that says
what to change (``refusals.py``, ``template_rules.py``).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_ssm as ssm
from cognito_edge_cdk.bundling.assemble import cached
from cognito_edge_cdk.bundling.recipe import edge_recipe
from constructs import Construct, IConstruct

from . import refusals
from .cors import Cors, response_headers_policy
from .findings import acknowledge
from .identity import Identity
from .origins import admit_distribution, function_arn, function_origin, origin_access_control
from .site import Site
from .template_rules import TemplateRules, Watched

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
        edge_role: The role that the edge function runs, and in mode sigv4 signs, under.
        user_pool: Whose users may call.
        clients: The app clients whose tokens count.
        identity: The pool, client and login that were made here; None if they were given.
        url: Where viewers call, ``https://<host>`` without a slash at the end.
        parameter_prefix: Where the SSM parameters live.
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
                ``{"/api/*": url}``; the more special ones first. Paths that match none go to ``"/*"``, or to the first one
                if there is no ``"/*"``: no path leaves the gateway out, unless there is a *site*. The functions may be in
                other stacks and regions.
            user_pool: Whose users may call; also one that another stack made. None makes a pool with one client.
            clients: App clients of that pool whose tokens count; to be given with *user_pool*, and only then.
            parameter_prefix: SSM path of this gateway's three parameters; each gateway of an account needs its own.
            parameters_in: The stack in which the parameters stand, in any region; None for the gateway's own. A pool
                that is made in another region wants its own stack here.
            settings: Further entries of ``settings.json`` (see ``edge/cognito_edge/settings.py``); literal values, no CDK tokens.
            signing: Who signs the requests: ``sigv4`` (the edge function; recommended) or ``oac`` (CloudFront, afterwards).
                See ``docs/adr/0006-signing-modes.md``.
            distribution_id: With ``oac``, the id that the first deployment gave the distribution: functions then believe
                this one alone, and not any of the account's. It cannot be referred to without a circle.
            edge_role_name: A name for the edge role, unique in the account; needed with ``sigv4`` if a function is in
                another stack. None lets CloudFormation make one up.
            cors: Pages of which origins may read the answers; None for no page of another origin.
            self_sign_up: Accept a pool in which strangers may register themselves.
            domain_name: The viewers' host name, if not the distribution's own; needs *certificate*.
            certificate: A certificate for it, in us-east-1.
            web_acl_arn: A WAFv2 web ACL of scope CLOUDFRONT.
            site: A public site that answers all paths that no pattern of *functions* matches, without a token and without
                the edge function; None leaves no path open.
            bytecode: What compiles the edge bundle: ``auto``, ``none``, or the path of a CPython 3.13.

        Raises:
            Refused: When something would fail at deploy or be unsafe; the message says what to change.
            ValueError: When a setting is unknown or wrong; the message names every fault.
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
        # What belongs to this gateway but may stand in another region.
        settled = self if parameters_in is None else Construct(parameters_in, f"{cdk.Names.unique_id(self)}Settings")
        self.identity: Identity | None = None
        if user_pool is None or clients is None:
            self.identity = Identity(settled, "Identity")
            user_pool, clients = self.identity.user_pool, [self.identity.client]
        self.user_pool, self.clients = user_pool, tuple(clients)
        refusals.check_user_pool(user_pool, self_sign_up=self_sign_up)
        refusals.check_clients(clients)
        refusals.check_parameters_in(cdk.Stack.of(settled), user_pool)
        refusals.check_domain(domain_name, certificate)
        refusals.check_web_acl(web_acl_arn)
        if site is not None:
            refusals.check_site(functions)

        self.parameter_prefix = parameter_prefix
        self.parameter_region = cdk.Stack.of(settled).region
        self.signing = signing
        self._functions = dict(functions)
        # One URL may stand behind several patterns.
        self._urls = list({url.node.path: url for url in functions.values()}.values())
        parameters = self._parameters(settled)
        self.edge_role = self._role(edge_role_name)
        self.edge_function = self._edge_function(
            {
                **_expected_pool(self.user_pool),
                **(settings or {}),
                "parameter_prefix": parameter_prefix,
                "parameter_region": self.parameter_region,
                # Without it a deleted policy parameter would turn every rule and cut-off into "any ID token".
                "policy_required": True,
                # The default is left out: bundles of both ages then have one hash.
                **({"signing": signing} if signing != "sigv4" else {}),
                **({"domain_name": domain_name} if domain_name else {}),
            },
            bytecode,
        )
        permissions = self._permissions(parameters)
        access_control = origin_access_control(self, "AccessControl") if signing == "oac" else None
        self.distribution = self._distribution(
            access_control,
            metadata=bool((settings or {}).get("resource")),
            cors=cors,
            domain_name=domain_name,
            certificate=certificate,
            web_acl_arn=web_acl_arn,
            site=site,
        )
        # The first viewer must not meet a function that may not sign yet, or has nothing to read.
        self.distribution.node.add_dependency(permissions)
        if parameters_in is not None and parameters_in.node.path != stack.node.path:
            stack.add_stack_dependency(parameters_in)
        if access_control is not None:
            admit_distribution(self, self.distribution, self._urls)
        self.url = f"https://{domain_name or self.distribution.distribution_domain_name}"
        for url in self._urls:
            self._introduce_to(url, distribution_id=distribution_id, role_name=edge_role_name)
        self._watch(access_control, self_sign_up=self_sign_up)

    def add_outputs(self, scope: Construct) -> None:
        """Make the stack outputs that ``scripts/`` and ``make deploy`` read.

        Args:
            scope: The stack itself: their names have no prefix.
        """
        outputs = {
            "GatewayUrl": (self.url, "Where the gateway answers"),
            "DistributionId": (self.distribution.distribution_id, "The CloudFront distribution"),
            "UserPoolId": (self.user_pool.user_pool_id, "The pool whose users may call"),
            "ClientId": (self.clients[0].user_pool_client_id, "The app client that scripts/get_token.py signs in with"),
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

    def _role(self, name: str | None) -> iam.Role:
        # Both are needed: Lambda runs the function, and the edge service replicates it.
        # Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-edge-permissions.html
        return iam.Role(
            self,
            "EdgeRole",
            role_name=name,
            description="Runs the edge function: reads its three parameters, and invokes the functions behind it"
            if self.signing == "sigv4"
            else "Runs the edge function: reads its three parameters",
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
            handler="cognito_edge.handler.handler",
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

    def _permissions(self, parameters: Sequence[str]) -> iam.Policy:
        """Give the role what the function needs, to the letter.

        A policy of its own, and ARNs spelt out: the function would wait for the role's default policy, so that a client
        whose callback is the distribution's address would close a circle.
        """
        stack = cdk.Stack.of(self)
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
                    resources=list(parameters),
                ),
                *self._invoke_statements(),
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

    def _invoke_statements(self) -> list[iam.PolicyStatement]:
        if self.signing == "oac":
            return []  # CloudFront calls, by the functions' own permissions; this role has no business there
        arns = [function_arn(self, url) for url in self._urls]
        # Function URLs want both since October 2025. Each condition matters: without them the role could call a URL that
        # asks for no signature, and could invoke the function past its URL with an event of its own.
        # Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
        return [
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
        ]

    def _distribution(
        self,
        access_control: cloudfront.CfnOriginAccessControl | None,
        *,
        metadata: bool,
        cors: Cors | None,
        domain_name: str | None,
        certificate: acm.ICertificate | None,
        web_acl_arn: str | None,
        site: Site | None,
    ) -> cloudfront.Distribution:
        gateway = cloudfront.EdgeLambda(
            function_version=self.edge_function.current_version,
            event_type=cloudfront.LambdaEdgeEventType.ORIGIN_REQUEST,
            # The signature covers the body's hash.
            include_body=True,
        )

        headers_policy = response_headers_policy(self, "Cors", cors) if cors else None

        def behaviour(
            origin: cloudfront.IOrigin, *, headers: cloudfront.ResponseHeadersPolicy | None = headers_policy
        ) -> cloudfront.BehaviorOptions:
            return cloudfront.BehaviorOptions(
                origin=origin,
                edge_lambdas=[gateway],
                # A cached answer skips the origin-request event, and with it the token check: one user would be given
                # what another asked for.
                cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
                # Everything but Host, which a function URL needs to be its own. Brings Authorization along.
                origin_request_policy=cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
                response_headers_policy=headers,
                allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
                # Not redirect-to-https: a client that was redirected has sent its token in the clear already, and,
                # following the redirect, would never notice.
                viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
                # Compression is for cached objects; CloudFront does none with caching off.
                compress=False,
            )

        # In mode sigv4 no origin access control: it would replace the signature by CloudFront's own.
        by_url = {url.node.path: function_origin(self, url, access_control) for url in self._urls}
        behaviours = {pattern: behaviour(by_url[url.node.path]) for pattern, url in self._functions.items()}
        if site is not None:
            default = site.behaviour()
        elif "/*" in behaviours:
            default = behaviours.pop("/*")
        else:
            default = next(iter(behaviours.values()))
        if metadata:
            # Answered by the edge function, for pages of any origin: CORS for some would overwrite that. A behaviour of
            # its own, so that it stays whatever becomes of the default one. The origin is never asked.
            any_origin = next(iter(by_url.values()))
            behaviours.setdefault("/.well-known/oauth-protected-resource*", behaviour(any_origin, headers=None))
        distribution = cloudfront.Distribution(
            self,
            "Distribution",
            comment="Cognito login in front of function URLs",
            default_behavior=default,
            additional_behaviors=behaviours,
            default_root_object="index.html" if site is not None else None,
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

    def _introduce_to(self, url: lambda_.FunctionUrl, *, distribution_id: str | None, role_name: str | None) -> None:
        """Tell the function behind a URL whose ``x-cognito-*`` headers to believe (``backend/identity.py``)."""
        function = url.node.scope
        if not isinstance(function, lambda_.Function):
            return
        # Its own stack's account is the gateway's: functions in other accounts are refused.
        account = cdk.Stack.of(function).account
        function.add_environment("EDGE_ACCOUNT_ID", account)
        if self.signing == "oac":
            # The function is made before the distribution, so its id can only be written in once it is known. Until then
            # any distribution of the account counts here, and the permission's SourceArn says which may come.
            arn = f"arn:aws:cloudfront::{account}:distribution/{distribution_id or '*'}"
            function.add_environment("EDGE_DISTRIBUTION_ARN", arn)
        else:
            function.add_environment("EDGE_ROLE_NAME", role_name or self.edge_role.role_name)

    def _watch(self, access_control: cloudfront.CfnOriginAccessControl | None, *, self_sign_up: bool) -> None:
        """Have the parts looked at again in the templates: much can be changed after this construct was made."""

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
            urls=resources(self._urls),
            pools=[] if self_sign_up else resources([self.user_pool]),
            clients=resources(self.clients),
        )
        stage = cdk.Stage.of(self)
        if stage is not None:
            cdk.Validations.of(stage).add_plugins(cast("cdk.IPolicyValidationPlugin", TemplateRules(watched)))


def _expected_pool(user_pool: cognito.IUserPool) -> dict[str, str]:
    """Return the setting that lets a cold start ask for the pool's keys at once, where the pool is known at synth."""
    pool_id = user_pool.user_pool_id
    return {} if cdk.Token.is_unresolved(pool_id) else {"expected_user_pool_id": pool_id}
