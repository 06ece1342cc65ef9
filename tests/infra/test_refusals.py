"""The construct refuses what would fail at deploy or be unsafe, and says what to change."""

import aws_cdk as cdk
import pytest
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Match, Template

from infra.gateway import EdgeGateway
from infra.refusals import Refused

ACCOUNT = "123456789012"
WEB_ACL = f"arn:aws:wafv2:us-east-1:{ACCOUNT}:global/webacl/shield/0a1b2c"


class OtherApp:
    """Somebody's app with a function and a pool, about to attach the gateway; valid until a test breaks one thing."""

    def __init__(self, *, region="us-east-1", pool=None, client=None, url=None):
        self.app = cdk.App(analytics_reporting=False, builtin_cloud_formation_validation=False)
        self.stack = cdk.Stack(self.app, "Theirs", env=cdk.Environment(region=region))
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


def callbacks(*urls):
    return {"o_auth": cognito.OAuthSettings(callback_urls=list(urls))}


def certificate(stack):
    return acm.Certificate.from_certificate_arn(stack, "Cert", f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/a")


def test_another_app_attaches_it_with_three_lines():
    """Own function, foreign pool with two clients, two path patterns: one behaviour each, all behind the gateway."""
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
    """With a certificate of one's own the minimum can be chosen, and it is TLS 1.2."""
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
    """Anybody could walk around the gateway."""
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
    """Without a function there is nothing to protect, without a client nobody gets in."""
    with pytest.raises(Refused, match=f"{argument} is empty"):
        OtherApp().attach(**{argument: {} if argument == "functions" else []})


def test_self_sign_up_is_refused_unless_asked_for_by_name():
    """With it, a valid token means anybody."""
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
    """Nobody turns policy_required off by the way."""
    with pytest.raises(Refused, match=f"writes itself: {name}"):
        OtherApp().attach(settings={name: value})


def test_unknown_settings_are_refused_at_synthesis():
    """At run time it would be too late."""
    with pytest.raises(ValueError, match="polcy_required: unknown setting"):
        OtherApp().attach(settings={"polcy_required": True})


def test_a_domain_without_certificate_is_refused_and_the_other_way_round():
    """CloudFront refuses the first, and would ignore the second."""
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


def _timeout(function):
    function.node.default_child.timeout = 31


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_arm, "x86_64 only"),
        (_layer, "has layers"),
        (_vpc, "has a VPC"),
        (_variable, "environment variables"),
        (_timeout, "30 s at most"),
    ],
)
def test_an_edge_function_changed_to_what_the_edge_does_not_take_is_refused(change, message):
    """Also when it is changed after the construct was made; CDK itself would say nothing about most of these."""
    theirs = OtherApp()
    change(theirs.attach().edge_function)
    with pytest.raises(RuntimeError, match=message):
        theirs.template()


def test_a_function_url_opened_after_the_construct_was_made_is_refused():
    """Looked at again when the app is synthesised."""
    theirs = OtherApp()
    theirs.attach()
    theirs.url.node.default_child.auth_type = "NONE"
    with pytest.raises(RuntimeError, match="auth type NONE"):
        theirs.template()
