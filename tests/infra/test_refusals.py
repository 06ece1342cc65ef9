"""The construct refuses what would fail at deploy or be unsafe, and says what to change."""

import aws_cdk as cdk
import pytest
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as cloudfront_origins
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Match, Template
from cognito_edge_cdk.cors import Cors
from cognito_edge_cdk.gateway import EdgeGateway
from cognito_edge_cdk.refusals import Refused

ACCOUNT = "123456789012"
WEB_ACL = f"arn:aws:wafv2:us-east-1:{ACCOUNT}:global/webacl/shield/0a1b2c"


class OtherApp:
    """An adopter's app with a function and a pool, about to attach the gateway; valid until a test breaks one thing."""

    def __init__(self, *, region="us-east-1", account=None, pool=None, client=None, url=None, **stack):
        self.app = cdk.App(analytics_reporting=False, builtin_cloud_formation_validation=False)
        self.stack = cdk.Stack(self.app, "Theirs", env=cdk.Environment(region=region, account=account), **stack)
        self.function = lambda_.Function(
            self.stack,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline("def handler(event, context): pass"),
        )
        self.url = self.function.add_function_url(**{"auth_type": lambda_.FunctionUrlAuthType.AWS_IAM, **(url or {})})
        self.pool = cognito.UserPool(self.stack, "Pool", **{"self_sign_up_enabled": False, **(pool or {})})
        self.client = self.pool.add_client("Client", **(client or {}))

    def attach(self, **changes):
        arguments = {
            "functions": {"/api/*": self.url},
            "user_pool": self.pool,
            "clients": [self.client],
            "bytecode": "none",
        }
        return EdgeGateway(self.stack, "Gateway", **{**arguments, **changes})

    def template(self):
        return Template.from_stack(self.stack)

    def refused_at_synthesis(self, capfd):
        """Synthesise, and return CDK's reason for refusing; feature flags decide where it prints it."""
        with pytest.raises(RuntimeError) as refused:
            self.app.synth()
        return str(refused.value) + capfd.readouterr().err


def callbacks(*urls):
    return {"o_auth": cognito.OAuthSettings(callback_urls=list(urls))}


def certificate(stack):
    return acm.Certificate.from_certificate_arn(stack, "Cert", f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/a")


def test_another_app_attaches_it_with_three_lines():
    """Own function, foreign pool with two clients, two path patterns: one behavior each, all behind the gateway."""
    theirs = OtherApp()
    pool = cognito.UserPool.from_user_pool_id(theirs.stack, "Foreign", "us-east-1_Foreign")
    clients = [
        cognito.UserPoolClient.from_user_pool_client_id(theirs.stack, f"Foreign{name}", name) for name in ("one", "two")
    ]
    theirs.attach(functions={"/api/*": theirs.url, "/*": theirs.url}, user_pool=pool, clients=clients)
    template = theirs.template()
    template.has_resource_properties("AWS::SSM::Parameter", {"Value": "us-east-1_Foreign"})
    template.has_resource_properties("AWS::SSM::Parameter", {"Value": "one,two"})
    template.has_resource_properties(
        "AWS::CloudFront::Distribution",
        {"DistributionConfig": {"CacheBehaviors": [Match.object_like({"PathPattern": "/api/*"})]}},
    )
    template.has_resource_properties(
        "AWS::Lambda::Function",
        {"Environment": {"Variables": {"EDGE_ROLE_NAME": Match.any_value(), "EDGE_ACCOUNT_ID": Match.any_value()}}},
    )


def test_the_policy_parameter_is_the_same_whatever_else_is_given():
    """Settings, domain, web ACL: nothing may make CloudFormation write over the live policy."""

    def policy(**changes):
        theirs = OtherApp()
        if "domain_name" in changes:
            changes["certificate"] = certificate(theirs.stack)
        theirs.attach(**changes)
        found = theirs.template().find_resources(
            "AWS::SSM::Parameter", {"Properties": {"Name": "/cognito-edge-gateway/policy"}}
        )
        assert len(found) == 1
        return found

    assert policy() == policy(settings={"keys_lifetime_s": 60}, domain_name="api.example.com", web_acl_arn=WEB_ACL)


def test_a_domain_gets_its_certificate_and_tls_1_2():
    """With an own certificate the minimum can be chosen, and it is TLS 1.2."""
    theirs = OtherApp()
    gateway = theirs.attach(domain_name="api.example.com", certificate=certificate(theirs.stack), web_acl_arn=WEB_ACL)
    assert gateway.url == "https://api.example.com"
    theirs.template().has_resource_properties(
        "AWS::CloudFront::Distribution",
        {
            "DistributionConfig": {
                "Aliases": ["api.example.com"],
                "ViewerCertificate": Match.object_like({"MinimumProtocolVersion": "TLSv1.2_2021"}),
                "WebACLId": WEB_ACL,
            },
        },
    )


def test_a_client_that_calls_back_to_the_distribution_closes_no_circle():
    """Client -> distribution -> function is fine as long as the function does not wait for the client's parameter."""
    theirs = OtherApp()
    gateway = theirs.attach()
    theirs.client.node.default_child.callback_ur_ls = [f"{gateway.url}/callback"]
    theirs.template().resource_count_is("AWS::CloudFront::Distribution", 1)


@pytest.mark.parametrize("region", ["eu-west-1", None])
def test_a_stack_outside_us_east_1_is_refused(region):
    """CloudFront takes edge functions from us-east-1 only; a stack with no region might be deployed anywhere."""
    with pytest.raises(Refused, match="Environment\\(region='us-east-1'\\)"):
        OtherApp(region=region).attach()


def test_a_function_url_without_signatures_is_refused():
    """Anyone could call it past the gateway."""
    theirs = OtherApp(url={"auth_type": lambda_.FunctionUrlAuthType.NONE})
    with pytest.raises(Refused, match=r"'/api/\*'.*auth type NONE.*FunctionUrlAuthType.AWS_IAM"):
        theirs.attach()


def test_a_function_url_with_cors_is_refused():
    """Two sources of CORS double the headers, and browsers then refuse every answer."""
    theirs = OtherApp(url={"cors": lambda_.FunctionUrlCorsOptions(allowed_origins=["https://app.example.com"])})
    with pytest.raises(Refused, match="remove cors="):
        theirs.attach()


@pytest.mark.parametrize("argument", ["functions", "clients"])
def test_an_empty_gateway_is_refused(argument):
    """Without a function there is nothing to protect, and without a client no token counts."""
    with pytest.raises(Refused, match=f"{argument} is empty"):
        OtherApp().attach(**{argument: {} if argument == "functions" else []})


def test_self_sign_up_is_refused_unless_asked_for_by_name():
    """With it, anyone can get a valid token."""
    with pytest.raises(Refused, match="self_sign_up_enabled=False"):
        OtherApp(pool={"self_sign_up_enabled": True}).attach()
    assert OtherApp(pool={"self_sign_up_enabled": True}).attach(self_sign_up=True).url


@pytest.mark.parametrize(
    "url",
    [
        "http://app.example.com/callback",
        "http://localhost.example.com/",
        "http://127.0.0.1.example.com/",
        "http://10.0.0.1/",
    ],
)
def test_a_plain_http_callback_is_refused(url):
    """Authorisation codes would travel in the clear."""
    with pytest.raises(Refused, match="in the clear"):
        OtherApp(client=callbacks(url)).attach()


@pytest.mark.parametrize(
    "url",
    ["https://app.example.com/callback", "http://localhost:3000/callback", "http://127.0.0.1/", "http://[::1]:8976/"],
)
def test_https_and_loopback_callbacks_are_taken(url):
    """RFC 8252 section 8.3: loopback stays on the machine."""
    assert OtherApp(client=callbacks(url)).attach().url


@pytest.mark.parametrize(
    "changes", [{"parameter_prefix": cdk.Aws.STACK_NAME}, {"settings": {"cooldown_s": cdk.Aws.REGION}}]
)
def test_tokens_in_settings_are_refused(changes):
    """The bundle is built now; a token's value is known only at deploy."""
    with pytest.raises(Refused, match=r"is a CDK token.*literal"):
        OtherApp().attach(**changes)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("policy_required", False),
        ("parameter_prefix", "/other"),
        ("parameter_region", "eu-west-1"),
        ("domain_name", "a.b"),
    ],
)
def test_settings_that_the_construct_writes_are_refused(name, value):
    """``policy_required``, for one, cannot be turned off by a setting."""
    with pytest.raises(Refused, match=f"writes itself: {name}"):
        OtherApp().attach(settings={name: value})


def test_unknown_settings_are_refused_at_synthesis():
    """At run time it would be too late."""
    with pytest.raises(ValueError, match="polcy_required: unknown setting"):
        OtherApp().attach(settings={"polcy_required": True})


def test_a_domain_without_certificate_is_refused_and_the_other_way_round():
    """CloudFront refuses a domain without a certificate, and ignores a certificate without a domain."""
    with pytest.raises(Refused, match=r"no certificate"):
        OtherApp().attach(domain_name="api.example.com")
    theirs = OtherApp()
    with pytest.raises(Refused, match="give domain_name"):
        theirs.attach(certificate=certificate(theirs.stack))


@pytest.mark.parametrize(
    "arn",
    [
        f"arn:aws:wafv2:us-east-1:{ACCOUNT}:regional/webacl/shield/0a1b2c",
        f"arn:aws:wafv2:eu-west-1:{ACCOUNT}:global/webacl/shield/0a1b2c",
        "0a1b2c",
    ],
)
def test_a_web_acl_of_the_wrong_kind_is_refused(arn):
    """CDK and cfn-lint let it pass, and the deployment fails."""
    with pytest.raises(Refused, match="scope CLOUDFRONT"):
        OtherApp().attach(web_acl_arn=arn)


def _arm(function):
    function.node.default_child.architectures = ["arm64"]


def _layer(function):
    function.node.default_child.layers = [f"arn:aws:lambda:us-east-1:{ACCOUNT}:layer:l:1"]


def _vpc(function):
    function.node.default_child.vpc_config = lambda_.CfnFunction.VpcConfigProperty(subnet_ids=["subnet-1"])


def _variable(function):
    function.add_environment("LOG_LEVEL", "debug")


def _variable_by_escape_hatch(function):
    function.node.default_child.add_property_override("Environment.Variables.LOG_LEVEL", "debug")


def _timeout(function):
    function.node.default_child.timeout = 31


def _tracing(function):
    function.node.default_child.tracing_config = lambda_.CfnFunction.TracingConfigProperty(mode="Active")


def _escape_hatch(function):
    function.node.default_child.add_property_override("Timeout", 45)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_arm, "built for arm64; Lambda@Edge runs x86_64 only"),
        (_layer, "has layers, which Lambda@Edge does not support"),
        (_vpc, "has a VPC"),
        (_variable, "environment variables"),
        (_variable_by_escape_hatch, "has environment variables, which Lambda@Edge does not support"),
        (_tracing, "has X-Ray tracing"),
        (_timeout, "timeout is 31 s; Lambda@Edge allows 30 s at most"),
        (_escape_hatch, "timeout is 45 s"),
    ],
)
def test_an_edge_function_changed_to_what_the_edge_does_not_take_is_refused(change, message, capfd):
    """Also if it is changed after the construct was made; CDK itself says nothing about most of these."""
    theirs = OtherApp()
    change(theirs.attach().edge_function)
    assert message in theirs.refused_at_synthesis(capfd)


def _open_url(theirs, _gateway):
    theirs.url.node.default_child.auth_type = "NONE"


def _url_cors(theirs, _gateway):
    theirs.url.node.default_child.add_property_override("Cors.AllowOrigins", ["*"])


def _sign_up(theirs, _gateway):
    theirs.pool.node.default_child.add_property_override("AdminCreateUserConfig.AllowAdminCreateUserOnly", False)


def _callback(theirs, _gateway):
    theirs.client.node.default_child.callback_ur_ls = ["https://a.example.com/", "http://a.example.com/"]


def _cacheable(_theirs, gateway):
    distribution = gateway.distribution.node.default_child
    distribution.add_property_override(
        "DistributionConfig.DefaultCacheBehavior.CachePolicyId", "658327ea-f89d-4fab-a63d-7e88639e58f6"
    )


def _foreign_control(_theirs, gateway):
    gateway.distribution.node.default_child.add_property_override(
        "DistributionConfig.Origins.0.OriginAccessControlId", "E1EXAMPLE"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_open_url, "has auth type NONE, so that anyone could call it past the gateway"),
        (_url_cors, "has CORS of its own, which doubles the headers"),
        (_sign_up, "lets strangers sign themselves up"),
        (_callback, "has the callback http://a.example.com/"),
        (_cacheable, "behavior * is cacheable: a cached answer skips the token check"),
        (_foreign_control, "has an origin access control, but signing='sigv4'"),
    ],
)
def test_what_is_changed_after_the_construct_was_made_is_refused_as_well(change, message, capfd):
    """The synthesised template is checked again, escape hatches included."""
    theirs = OtherApp()
    change(theirs, theirs.attach())
    assert message in theirs.refused_at_synthesis(capfd)


def test_such_a_fault_cannot_be_acknowledged(capfd):
    """CDK's acknowledgements are for findings; an open gateway must not be acknowledged."""
    theirs = OtherApp()
    _open_url(theirs, theirs.attach())
    for rule in ("EdgeGateway", "EdgeGateway::*", "EdgeGateway::auth"):
        cdk.Validations.of(theirs.stack).acknowledge(cdk.Acknowledgment(id=rule, reason="we know"))
    assert "auth type NONE" in theirs.refused_at_synthesis(capfd)


@pytest.mark.parametrize("signing", ["oac", "sigv4"])
def test_a_static_site_beside_the_gateway_is_its_owners_business(signing):
    """A cacheable behavior to another origin is fine: it does not lead behind the gateway."""
    theirs = OtherApp()
    gateway = theirs.attach(signing=signing)
    gateway.distribution.add_behavior("/site/*", cloudfront_origins.HttpOrigin("site.example.com"))
    theirs.template().resource_count_is("AWS::CloudFront::Distribution", 1)


def _function(scope, name="Other", **arguments):
    return lambda_.Function(
        scope,
        name,
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="index.handler",
        code=lambda_.Code.from_inline("def handler(event, context): pass"),
        **arguments,
    )


def _distribution(scope, url):
    return cloudfront.Distribution(
        scope,
        "Second",
        default_behavior=cloudfront.BehaviorOptions(
            origin=cloudfront_origins.FunctionUrlOrigin.with_origin_access_control(url)
        ),
    )


def _second_origin(theirs, gateway):
    origin = cloudfront_origins.FunctionUrlOrigin.with_origin_access_control(theirs.url)
    gateway.distribution.add_behavior("/open/*", origin)


def _origin_group(theirs, gateway):
    origin = cloudfront_origins.FunctionUrlOrigin(theirs.url)
    backup = cloudfront_origins.HttpOrigin("backup.example.com")
    group = cloudfront_origins.OriginGroup(primary_origin=backup, fallback_origin=origin)
    gateway.distribution.add_behavior("/open/*", group)


def _gateways_origin_in_a_group(_theirs, gateway):
    resource = gateway.distribution.node.default_child
    origin = cdk.Names.unique_id(gateway.distribution.node.find_child("Origin1"))
    members = [{"OriginId": "backup"}, {"OriginId": origin}]
    group = {"Id": "g", "Members": {"Quantity": 2, "Items": members}}
    resource.add_property_override("DistributionConfig.OriginGroups", {"Quantity": 1, "Items": [group]})
    behavior = {"PathPattern": "/open/*", "TargetOriginId": "g", "ViewerProtocolPolicy": "https-only"}
    resource.add_property_override("DistributionConfig.CacheBehaviors", [behavior])


def _public_alias_url(theirs, _gateway):
    alias = lambda_.Alias(theirs.stack, "Alias", alias_name="live", version=theirs.function.current_version)
    alias.add_function_url(auth_type=lambda_.FunctionUrlAuthType.NONE)


def _signed_alias_url(theirs, _gateway):
    alias = lambda_.Alias(theirs.stack, "Alias", alias_name="live", version=theirs.function.current_version)
    alias.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)


def _second_distribution(theirs, _gateway):
    _distribution(theirs.stack, theirs.url)


def _distribution_in_another_stack(theirs, _gateway):
    _distribution(cdk.Stack(theirs.app, "Another", env=cdk.Environment(region="us-east-1")), theirs.url)


def _distribution_in_another_region(theirs, _gateway):
    stack = cdk.Stack(theirs.app, "Far", env=cdk.Environment(region="eu-west-1"), cross_region_references=True)
    _distribution(stack, theirs.url)


def _distribution_in_a_nested_stack(theirs, _gateway):
    _distribution(cdk.NestedStack(theirs.stack, "Nested"), theirs.url)


def _second_gateway(theirs, _gateway):
    EdgeGateway(
        theirs.stack,
        "Again",
        functions={"/*": theirs.url},
        user_pool=theirs.pool,
        clients=[theirs.client],
        parameter_prefix="/again",
        signing=_gateway.signing,
        bytecode="none",
    )


def _another_account(theirs, _gateway):
    theirs.function.grant_invoke_url(iam.AccountPrincipal("111122223333"))


def _anyone(theirs, _gateway):
    theirs.function.add_permission("Anybody", principal=iam.OrganizationPrincipal("o-abcdefghij"))


NO_TOKEN = "behavior /open/* leads to a function behind the gateway without running the edge function"
OTHER_DISTRIBUTION = (
    "which is behind the gateway Theirs/Gateway/Distribution: it does not run this gateway's edge function"
)
OTHER_URL = "leads to the same function as Theirs/Function/FunctionUrl, which is behind the gateway"


class TestWaysPast:
    """Other resources of the app that lead to a function behind the gateway, by the constructs that people use."""

    @pytest.fixture(params=["sigv4", "oac"])
    def signing(self, request):
        return request.param

    @staticmethod
    def attached(change, signing):
        theirs = OtherApp()
        if change is _distribution_in_another_region:
            theirs = OtherApp(cross_region_references=True)
        change(theirs, theirs.attach(signing=signing))
        return theirs

    @pytest.mark.parametrize(
        ("change", "message", "remedy"),
        [
            (_second_origin, NO_TOKEN, "give the path to EdgeGateway in functions={…}"),
            (_gateways_origin_in_a_group, NO_TOKEN, "give the path to EdgeGateway in functions={…}"),
            (_public_alias_url, f"(auth type NONE) {OTHER_URL}", "give it to EdgeGateway in functions={…} as well"),
            (_second_distribution, OTHER_DISTRIBUTION, "remove that origin"),
        ],
    )
    def test_it_is_refused_in_both_modes(self, change, message, remedy, signing, capfd):
        """Each with what to change."""
        refused = self.attached(change, signing).refused_at_synthesis(capfd)
        assert message in refused
        assert remedy in refused

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (_origin_group, NO_TOKEN),
            (_signed_alias_url, f"(auth type AWS_IAM) {OTHER_URL}"),
            (_distribution_in_another_stack, OTHER_DISTRIBUTION),
            (_distribution_in_another_region, OTHER_DISTRIBUTION),
            (_distribution_in_a_nested_stack, OTHER_DISTRIBUTION),
            (_second_gateway, OTHER_DISTRIBUTION),
            (
                _another_account,
                "lets in 111122223333: the construct cannot see that it belongs to this account",
            ),
            (_anyone, "lets in everyone in o-abcdefghij (Principal *), past the token check; remove it"),
        ],
    )
    def test_so_are_its_neighbours(self, change, message, capfd):
        """Wherever in the app they stand."""
        assert message in self.attached(change, "oac").refused_at_synthesis(capfd)

    @pytest.mark.parametrize("open_way", [False, True])
    def test_a_gateway_in_a_nested_stack_of_a_stage_is_looked_at_as_well(self, open_way, capfd):
        """CDK does not list nested templates, and a stage has a folder of its own."""
        theirs = OtherApp()
        stage = cdk.Stage(theirs.app, "Prod", env=cdk.Environment(region="us-east-1", account=ACCOUNT))
        nested = cdk.NestedStack(cdk.NestedStack(cdk.Stack(stage, "Outer"), "Middle"), "Inner")
        function = _function(nested)
        url = function.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)
        gateway = EdgeGateway(nested, "Gateway", functions={"/*": url}, signing="oac", bytecode="none")
        function.add_permission("Own", principal=iam.AccountPrincipal(ACCOUNT))
        if not open_way:
            theirs.app.synth()
            return
        function.add_permission("Anybody", principal=iam.AnyPrincipal())
        origin = cloudfront_origins.FunctionUrlOrigin.with_origin_access_control(url)
        gateway.distribution.add_behavior("/open/*", origin)
        refused = theirs.refused_at_synthesis(capfd)
        assert "lets in anyone (Principal *)" in refused
        assert NO_TOKEN in refused

    def test_a_gateway_whose_template_cannot_be_found_is_refused(self, capfd):
        """With the legacy synthesizer no file says where a nested stack's template is, so it cannot be checked."""
        theirs = OtherApp()
        outer = cdk.Stack(
            theirs.app,
            "Outer",
            env=cdk.Environment(region="us-east-1"),
            synthesizer=cdk.LegacyStackSynthesizer(),
        )
        nested = cdk.NestedStack(outer, "Inner")
        url = _function(nested).add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)
        EdgeGateway(nested, "Gateway", functions={"/*": url}, bytecode="none")
        refused = theirs.refused_at_synthesis(capfd)
        assert "no template of the gateway's stage holds Outer/Inner/Gateway/Distribution/Resource" in refused
        assert "put it into a stack of that stage" in refused

    def test_what_leads_elsewhere_or_is_given_to_the_gateway_is_taken(self, signing):
        """Two URLs of one function, events of services, this account and distribution, functions that are not behind the gateway."""
        theirs = OtherApp()
        live = lambda_.Alias(theirs.stack, "Live", alias_name="live", version=theirs.function.current_version)
        given = live.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)
        gateway = theirs.attach(functions={"/api/*": theirs.url, "/live/*": given}, signing=signing)
        for service in ("s3", "events"):
            theirs.function.grant_invoke(iam.ServicePrincipal(f"{service}.amazonaws.com"))
        theirs.function.add_permission("Own", principal=iam.AccountRootPrincipal())
        theirs.function.add_permission(
            "CloudFront",
            principal=iam.ServicePrincipal("cloudfront.amazonaws.com"),
            source_arn=gateway.distribution.distribution_arn,
        )
        theirs.function.grant_invoke_url(iam.Role(theirs.stack, "Role", assumed_by=iam.AccountRootPrincipal()))
        other = _function(theirs.stack).add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)
        _distribution(theirs.stack, other)
        signed = cloudfront_origins.FunctionUrlOrigin.with_origin_access_control(other)
        gateway.distribution.add_behavior("/other/*", signed)
        public = _function(theirs.stack, "Public").add_function_url(auth_type=lambda_.FunctionUrlAuthType.NONE)
        gateway.distribution.add_behavior("/public/*", cloudfront_origins.FunctionUrlOrigin(public))
        theirs.template().resource_count_is("AWS::Lambda::Url", 4)


@pytest.mark.parametrize("signing", ["oac4", "SIGV4", "", None])
def test_an_unknown_signing_mode_is_refused(signing):
    """Only two modes exist."""
    with pytest.raises(Refused, match=r"expected 'sigv4' .* or 'oac'"):
        OtherApp().attach(signing=signing)


@pytest.mark.parametrize(
    "distribution_id",
    [cdk.Aws.STACK_ID, "e2example", "E2EXAMPLE/*", "*"],
    ids=["a token", "lower case", "a wildcard below", "a wildcard"],
)
def test_a_distribution_id_that_is_none_is_refused(distribution_id):
    """Functions compare it; a reference would close a circle, and a wildcard would match every distribution."""
    with pytest.raises(Refused, match="expected the literal id of the deployed distribution"):
        OtherApp().attach(signing="oac", distribution_id=distribution_id)


def test_a_distribution_id_in_mode_sigv4_is_refused():
    """It would have no effect."""
    with pytest.raises(Refused, match="is for signing='oac'"):
        OtherApp().attach(distribution_id="E2EXAMPLE1234")


@pytest.mark.parametrize(("given", "missing"), [("user_pool", "clients"), ("clients", "user_pool")])
def test_a_pool_without_clients_is_refused_and_the_other_way_round(given, missing):
    """Tokens count by pool and client."""
    with pytest.raises(Refused, match=f"{given}=… without {missing}"):
        OtherApp().attach(**{missing: None})


class TestOtherStacks:
    """Functions in another stack or region than the gateway."""

    @staticmethod
    def far(theirs, *, region="eu-west-1", account=None, **function):
        stack = cdk.Stack(theirs.app, "Far", env=cdk.Environment(region=region, account=account))
        made = lambda_.Function(
            stack,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline("def handler(event, context): pass"),
            **function,
        )
        return made.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)

    def test_a_function_in_another_region_needs_a_name(self):
        """CloudFormation's own name is not known in the gateway's region."""
        theirs = OtherApp()
        with pytest.raises(Refused, match=r"Far/Function is in eu-west-1 .* give the function function_name="):
            theirs.attach(functions={"/*": self.far(theirs)}, edge_role_name="edge")

    @pytest.mark.parametrize("region", ["eu-west-1", "us-east-1"])
    def test_a_function_in_another_stack_needs_the_roles_name(self, region):
        """It is told whom to believe before the role exists; one more reference would close a circle."""
        theirs = OtherApp()
        with pytest.raises(Refused, match=r"another stack \(Far\).*edge_role_name="):
            theirs.attach(functions={"/*": self.far(theirs, region=region, function_name="far")})

    def test_in_mode_oac_it_does_not(self):
        """No role signs in that mode."""
        theirs = OtherApp()
        theirs.attach(functions={"/*": self.far(theirs, function_name="far")}, signing="oac")
        theirs.template().resource_count_is("AWS::CloudFront::Distribution", 1)

    def test_a_role_name_that_is_a_token_is_refused(self):
        """Other stacks have to know it in advance."""
        with pytest.raises(Refused, match="edge_role_name is a CDK token"):
            OtherApp().attach(edge_role_name=cdk.Aws.STACK_NAME)

    def test_a_stack_without_a_region_is_refused(self):
        """It could be any region."""
        theirs = OtherApp()
        with pytest.raises(Refused, match=r"in stack Far without a region"):
            theirs.attach(functions={"/*": self.far(theirs, region=None)}, edge_role_name="edge")

    def test_a_function_in_another_account_is_refused(self):
        """Across accounts the role's own permission is not enough."""
        theirs = OtherApp(account="111111111111")
        url = self.far(theirs, account="222222222222", function_name="far")
        with pytest.raises(Refused, match="in account 222222222222, the gateway in 111111111111"):
            theirs.attach(functions={"/*": url}, edge_role_name="edge")

    def test_parameters_in_a_stack_without_a_region_are_refused(self):
        """The edge has to know where to read."""
        theirs = OtherApp()
        with pytest.raises(Refused, match=r"parameters_in=Nowhere has no region"):
            theirs.attach(parameters_in=cdk.Stack(theirs.app, "Nowhere"))

    def test_a_pool_made_in_another_region_than_the_parameters_is_refused(self):
        """The parameters hold the pool's id."""
        theirs = OtherApp()
        far = cdk.Stack(theirs.app, "Far", env=cdk.Environment(region="eu-west-1"))
        with pytest.raises(Refused, match=r"Theirs/Pool\S* is made in us-east-1, .* in eu-west-1; give parameters_in="):
            theirs.attach(parameters_in=far)


@pytest.mark.parametrize(
    "origins",
    [
        [],
        "https://app.example.com",
        ["*"],
        ["https://*.example.com"],
        ["https://app.example.com/"],
        ["http://app.example.com"],
        ["https://App.example.com"],
        ["null"],
    ],
)
def test_cors_for_every_origin_or_for_none_is_refused(origins):
    """Origins are compared as a whole: one that could never match, or would match every page, is a slip."""
    with pytest.raises(ValueError, match=r"cors: "):
        Cors(allow_origins=origins)


@pytest.mark.parametrize("origin", ["https://app.example.com", "https://a.b:8443", "http://localhost:5173"])
def test_origins_are_taken(origin):
    """With a port or without; plain HTTP for loopback hosts only."""
    assert Cors(allow_origins=[origin]).allow_origins == [origin]
