"""Every way to deploy it: one region or two, both signing modes, one URL or three, an own pool or a given one."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import aws_cdk as cdk
import pytest
from cognito_edge_cdk.cors import Cors
from cognito_edge_cdk.gateway import EdgeGateway

from infra.example.stack import build
from tests.infra.rig import PROJECT, Template, run_module
from tests.infra.test_app import DOUBLE_DEPENDENCY
from tests.infra.variants import CONTEXT, EXAMPLES, app_in, attach, function


def template(variants, name, stack="CognitoEdgeGateway"):
    return Template(json.loads((variants / name / f"{stack}.template.json").read_bytes()))


def test_cfn_lint_finds_nothing_in_any_of_them(variants):
    """No error and no warning in any template, except for one of CDK's own habits."""
    files = sorted(variants.glob("*/*.template.json"))
    assert len(files) == 3 * 1 + 2 * 2 + 2 * 3 + 8  # one region; two; two with oac; the matrix
    command = [Path(sys.executable).with_name("cfn-lint"), "--ignore-checks", DOUBLE_DEPENDENCY]
    finished = subprocess.run(
        [*command, "--regions", "us-east-1", "eu-west-1", "--", *files], capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stdout) == (0, "")


def test_every_finding_in_any_of_them_is_acknowledged_with_a_reason(variants):
    """cdk-nag ran on every example."""
    for name in EXAMPLES:
        reports = json.loads((variants / name / "validation-report.json").read_bytes())["pluginReports"]
        assert "AwsSolutions" in {report["pluginName"] for report in reports}
        assert [violation for report in reports for violation in report["violations"]] == []


class TestOac:
    def test_cloudfront_signs_for_the_function(self, variants):
        """One access control for function URLs, which always signs; the origin uses it."""
        oac = template(variants, "oac")
        control, body = oac.one("AWS::CloudFront::OriginAccessControl", below="GatewayAccessControl")
        config = body["Properties"]["OriginAccessControlConfig"]
        kind = {name: config[name] for name in ("OriginAccessControlOriginType", "SigningBehavior", "SigningProtocol")}
        assert kind == {
            "OriginAccessControlOriginType": "lambda",
            "SigningBehavior": "always",
            "SigningProtocol": "sigv4",
        }
        assert len(config["Name"]) <= 64
        origins = oac.properties("AWS::CloudFront::Distribution")["DistributionConfig"]["Origins"]
        functions = [origin for origin in origins if "CustomOriginConfig" in origin]
        expected = {"Fn::GetAtt": [control, "Id"]}
        assert [origin["OriginAccessControlId"] for origin in functions] == [expected, expected]

    @pytest.mark.parametrize("name", ["ApiFunction", "BooksApiFunction"])
    def test_only_this_distribution_may_call_and_only_through_the_url(self, variants, name):
        """Both permissions, for CloudFront, each with the distribution's ARN."""
        oac = template(variants, "oac")
        distribution, _ = oac.one("AWS::CloudFront::Distribution")
        url, _ = oac.one("AWS::Lambda::Url", below=name)
        arn = {"Fn::GetAtt": [url, "FunctionArn"]}
        common = {
            "FunctionName": arn,
            "Principal": "cloudfront.amazonaws.com",
            "SourceArn": {
                "Fn::Join": [
                    "",
                    ["arn:aws:cloudfront::", {"Ref": "AWS::AccountId"}, ":distribution/", {"Ref": distribution}],
                ]
            },
        }
        every = [body["Properties"] for body in oac.all("AWS::Lambda::Permission").values()]
        permissions = [one for one in every if one["FunctionName"] == arn]
        assert len(every) == 4
        assert sorted(permissions, key=lambda one: one["Action"]) == [
            {"Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True, **common},
            {"Action": "lambda:InvokeFunctionUrl", **common},
        ]

    def test_the_backend_expects_the_distribution(self, variants):
        """Any distribution of the account before its id is known, that one afterwards; no role in either case."""
        for name, known in (("oac", "*"), ("oac-pinned", "E2EXAMPLE1234")):
            backend = template(variants, name).properties("AWS::Lambda::Function", below="ApiFunction")
            arn = ["arn:aws:cloudfront::", {"Ref": "AWS::AccountId"}, f":distribution/{known}"]
            assert backend["Environment"]["Variables"] == {
                "EDGE_ACCOUNT_ID": {"Ref": "AWS::AccountId"},
                "EDGE_DISTRIBUTION_ARN": {"Fn::Join": ["", arn]},
            }

    def test_the_edge_function_knows_that_it_does_not_sign(self, variants):
        """Its settings say so; in mode sigv4 they say nothing, which is the default."""
        for name, signing in (("oac", "oac"), ("sigv4", None), ("far-oac", "oac")):
            (settings,) = (variants / name).glob("asset.*/settings.json")
            assert json.loads(settings.read_bytes()).get("signing") == signing


class TestTwoRegions:
    BACKEND = "CognitoEdgeGatewayBackend"

    @pytest.mark.parametrize("name", [name for name in EXAMPLES if name.startswith("far")])
    def test_the_stacks_depend_on_each_other_in_one_direction(self, variants, name):
        """The backend first; with oac its permissions last, when there is a distribution to name."""
        manifest = json.loads((variants / name / "manifest.json").read_bytes())["artifacts"]
        stacks = {key: body for key, body in manifest.items() if body["type"] == "aws:cloudformation:stack"}
        needs = {
            key: {other for other in body.get("dependencies", []) if other in stacks} for key, body in stacks.items()
        }
        access = "CognitoEdgeGatewayAccess-Gateway-eu-west-1"
        expected = {self.BACKEND: set(), "CognitoEdgeGateway": {self.BACKEND}}
        assert needs == (expected | {access: {"CognitoEdgeGateway"}} if "oac" in name else expected)
        assert {key: body["environment"].rpartition("/")[2] for key, body in stacks.items()} == {
            key: "us-east-1" if key == "CognitoEdgeGateway" else "eu-west-1" for key in stacks
        }
        assert "Fn::GetStackOutput" not in (variants / name / f"{self.BACKEND}.template.json").read_text()

    def test_the_origin_is_the_far_functions_host(self, variants):
        """Read from the backend stack's output, in its region."""
        config = template(variants, "far-sigv4").properties("AWS::CloudFront::Distribution")["DistributionConfig"]
        (target,) = [one["TargetOriginId"] for one in config["CacheBehaviors"] if one["PathPattern"] == "/api/*"]
        (origin,) = [one for one in config["Origins"] if one["Id"] == target]
        reference = origin["DomainName"]["Fn::GetStackOutput"]
        assert (reference["StackName"], reference["Region"]) == (self.BACKEND, "eu-west-1")
        backend = template(variants, "far-sigv4", self.BACKEND)
        url, _ = backend.one("AWS::Lambda::Url", below="ApiFunction")
        assert backend.document["Outputs"][reference["OutputName"]]["Value"] == {
            "Fn::Select": [2, {"Fn::Split": ["/", {"Fn::GetAtt": [url, "FunctionUrl"]}]}],
        }
        assert origin["CustomOriginConfig"] == {"OriginProtocolPolicy": "https-only", "OriginSSLProtocols": ["TLSv1.2"]}

    def test_names_are_literals_on_both_sides(self, variants):
        """The far function believes a role by name, and the role may call a function by name."""
        functions = template(variants, "far-sigv4", self.BACKEND).all("AWS::Lambda::Function").values()
        names = {function["Properties"]["FunctionName"] for function in functions}
        assert names == {"cognito-edge-gateway-api", "cognito-edge-gateway-books"}
        believed = {function["Properties"]["Environment"]["Variables"]["EDGE_ROLE_NAME"] for function in functions}
        assert believed == {"cognito-edge-gateway-edge"}
        gateway = template(variants, "far-sigv4")
        assert gateway.properties("AWS::IAM::Role", below="GatewayEdgeRole")["RoleName"] == "cognito-edge-gateway-edge"

    def test_far_permissions_stand_in_the_functions_region(self, variants):
        """A third stack, because neither of the two could be deployed before the other."""
        access = template(variants, "far-oac", "CognitoEdgeGatewayAccess-Gateway-eu-west-1")
        permissions = [body["Properties"] for body in access.all("AWS::Lambda::Permission").values()]
        assert {one["Action"] for one in permissions} == {"lambda:InvokeFunction", "lambda:InvokeFunctionUrl"}
        callable_ = {one["FunctionName"]["Fn::Join"][1][-1] for one in permissions}
        assert callable_ == {":function:cognito-edge-gateway-api", ":function:cognito-edge-gateway-books"}
        for one in permissions:
            reference = one["SourceArn"]["Fn::Join"][1][-1]["Fn::GetStackOutput"]
            outputs = template(variants, "far-oac").document["Outputs"]
            assert (reference["StackName"], reference["Region"]) == ("CognitoEdgeGateway", "us-east-1")
            assert outputs[reference["OutputName"]]["Value"]["Ref"].startswith("GatewayDistribution")

    @pytest.mark.parametrize(
        ("name", "region", "stack"),
        [("far-sigv4", "us-east-1", "CognitoEdgeGateway"), ("far-pool-sigv4", "eu-west-1", BACKEND)],
    )
    def test_parameters_stand_where_the_pool_does_and_the_edge_reads_there(self, variants, name, region, stack):
        """Settings and role both name that region."""
        (settings,) = (variants / name).glob("asset.*/settings.json")
        assert json.loads(settings.read_bytes())["parameter_region"] == region
        assert len(template(variants, name, stack).all("AWS::SSM::Parameter")) == 3
        (policy,) = (
            template(variants, name).all("AWS::IAM::Policy").values()
            if name == "far-pool-sigv4"
            else (template(variants, name).one("AWS::IAM::Policy", below="GatewayEdgePermissions")[1],)
        )
        (statement,) = [
            one for one in policy["Properties"]["PolicyDocument"]["Statement"] if one["Sid"] == "ReadParameters"
        ]
        assert {one["Fn::Join"][1][0] for one in statement["Resource"]} == {f"arn:aws:ssm:{region}:"}
        assert template(variants, name).document["Outputs"]["Region"]["Value"] == region

    def test_cognito_in_a_third_region_is_refused(self, tmp_path):
        """It would need a third stack."""
        with pytest.raises(ValueError, match="cognito_region=ap-south-1: expected us-east-1 or the backend's region"):
            build(app_in(tmp_path, backend_region="eu-west-1", cognito_region="ap-south-1"))


class TestManyUrls:
    @pytest.mark.parametrize("signing", ["sigv4", "oac"])
    def test_each_has_a_behavior_and_an_origin(self, variants, signing):
        """Three URLs: the default behavior and two more, all guarded alike."""
        found = template(variants, f"{signing}-3-urls-own-pool", "Theirs").properties("AWS::CloudFront::Distribution")
        config = found["DistributionConfig"]
        assert [one["PathPattern"] for one in config["CacheBehaviors"]] == ["/1/*", "/2/*"]
        targets = [config["DefaultCacheBehavior"], *config["CacheBehaviors"]]
        assert len({one["TargetOriginId"] for one in targets}) == len(config["Origins"]) == 3
        for one in targets:
            assert one["LambdaFunctionAssociations"][0]["EventType"] == "origin-request"

    def test_one_url_behind_two_patterns_is_one_origin(self, tmp_path):
        """It has one pair of permissions."""
        app = app_in(tmp_path)
        stack = cdk.Stack(app, "Theirs", env=cdk.Environment(region="us-east-1"))
        url = function(stack, "F")
        EdgeGateway(stack, "Gateway", functions={"/a/*": url, "/b/*": url}, signing="oac", bytecode="none")
        found = cdk.assertions.Template.from_stack(stack)
        found.resource_count_is("AWS::Lambda::Permission", 2)
        (distribution,) = found.find_resources("AWS::CloudFront::Distribution").values()
        assert len(distribution["Properties"]["DistributionConfig"]["Origins"]) == 1


class TestCors:
    @pytest.fixture
    def config(self, tmp_path):
        app = app_in(tmp_path)
        stack = cdk.Stack(app, "Theirs", env=cdk.Environment(region="us-east-1"))
        attach(
            stack,
            urls=1,
            own_pool=True,
            cors=Cors(allow_origins=["https://app.example.com"]),
            settings={"resource": "https://api.example.com/tools"},
        )
        return cdk.assertions.Template.from_stack(stack).to_json()["Resources"]

    def test_it_is_a_response_headers_policy_that_overrides(self, config):
        """One source of CORS, without credentials, and caches are told that the answer depends on the origin."""
        (policy,) = [one for one in config.values() if one["Type"] == "AWS::CloudFront::ResponseHeadersPolicy"]
        settings = policy["Properties"]["ResponseHeadersPolicyConfig"]
        cors = settings["CorsConfig"]
        assert cors["AccessControlAllowOrigins"] == {"Items": ["https://app.example.com"]}
        assert (cors["OriginOverride"], cors["AccessControlAllowCredentials"]) == (True, False)
        assert cors["AccessControlAllowHeaders"] == {"Items": ["authorization", "content-type"]}
        assert settings["CustomHeadersConfig"] == {"Items": [{"Header": "Vary", "Override": True, "Value": "Origin"}]}

    def test_it_is_on_the_functions_and_not_on_the_metadata(self, config):
        """RFC 9728's document is for pages of every origin; the edge function says so itself."""
        (distribution,) = [one for one in config.values() if one["Type"] == "AWS::CloudFront::Distribution"]
        behaviors = distribution["Properties"]["DistributionConfig"]
        (metadata,) = behaviors["CacheBehaviors"]
        assert metadata["PathPattern"] == "/.well-known/oauth-protected-resource*"
        assert "ResponseHeadersPolicyId" not in metadata
        assert metadata["LambdaFunctionAssociations"] == behaviors["DefaultCacheBehavior"]["LambdaFunctionAssociations"]
        assert "Ref" in behaviors["DefaultCacheBehavior"]["ResponseHeadersPolicyId"]


@pytest.mark.parametrize(("pool", "expected"), [("foreign", "us-east-1_Foreign"), ("own", None)])
def test_a_pool_that_is_known_at_synth_is_expected_by_the_edge(variants, pool, expected):
    """Its keys are fetched while the parameters are read; the id of a pool that this app makes is a CDK token."""
    (bundle,) = (variants / f"sigv4-1-urls-{pool}-pool").glob("asset.*/settings.json")
    assert json.loads(bundle.read_bytes()).get("expected_user_pool_id") == expected


THREE_LINES = """
    import aws_cdk as cdk
    from aws_cdk import aws_lambda as lambda_

    app = cdk.App()
    stack = cdk.Stack(app, "Shop", env=cdk.Environment(region="us-east-1"))
    orders = lambda_.Function(
        stack,
        "Orders",
        runtime=lambda_.Runtime.NODEJS_22_X,
        handler="index.handler",
        code=lambda_.Code.from_inline("exports.handler = async () => 'orders'"),
    )

    from cognito_edge_cdk.gateway import EdgeGateway                                                       # 1
    url = orders.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)                # 2
    EdgeGateway(stack, "Login", functions={"/*": url}, bytecode="none").add_outputs(stack)      # 3

    app.synth()
"""


def test_an_adopters_app_gets_a_login_with_three_lines(tmp_path):
    """A program of its own, in a folder of its own, that has this repository on its path."""
    (tmp_path / "shop.py").write_text(textwrap.dedent(THREE_LINES))
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]; from infra.deploy.node import use_bundled_node; use_bundled_node(); "
    )
    finished = subprocess.run(
        [sys.executable, "-c", program + "import shop", str(tmp_path), str(PROJECT)],
        cwd=tmp_path,
        env={
            "PATH": "/usr/bin:/bin",
            "CDK_VALIDATION": "false",
            "CDK_OUTDIR": str(tmp_path / "cdk.out"),
            "HOME": str(tmp_path),
            # jsii unpacks CDK into this, by default below HOME; afresh it would take longer than all the rest.
            "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(Path.home() / ".cache" / "aws" / "jsii" / "package-cache"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    shop = Template(json.loads((tmp_path / "cdk.out" / "Shop.template.json").read_bytes()))
    assert {"GatewayUrl", "UserPoolId", "ClientId", "LoginUrl"} <= set(shop.document["Outputs"])
    behavior = shop.properties("AWS::CloudFront::Distribution")["DistributionConfig"]["DefaultCacheBehavior"]
    assert behavior["LambdaFunctionAssociations"][0]["EventType"] == "origin-request"
    orders = shop.properties("AWS::Lambda::Function", below="Orders")
    assert set(orders["Environment"]["Variables"]) == {"EDGE_ACCOUNT_ID", "EDGE_ROLE_NAME"}
    assert shop.properties("AWS::Cognito::UserPool")["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is True


def test_synth_is_the_same_on_a_machine_without_cpython_3_13(assembly, tmp_path, monkeypatch):
    """The interpreters of a machine must not change hashes: cdk.json ships no bytecode."""
    assert CONTEXT["bytecode"] == "none"
    monkeypatch.setenv("PATH", "/nonexistent")
    finished = run_module("infra.app", "--fast", "--output", tmp_path / "cdk.out")
    assert finished.returncode == 0, finished.stderr
    for name in ("CognitoEdgeGateway.template.json", "CognitoEdgeGateway.assets.json"):
        assert (tmp_path / "cdk.out" / name).read_bytes() == (assembly / name).read_bytes()
