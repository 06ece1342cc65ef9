"""The security properties of the example stack's template."""

import json
import re

import pytest

CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
ALL_VIEWER_EXCEPT_HOST_HEADER = "b689b0a8-53d0-40ab-baf2-68738e2966ac"
ALL_METHODS = {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"}
PREFIX = "/cognito-edge-gateway"


@pytest.fixture(scope="session")
def distribution(template):
    return template.properties("AWS::CloudFront::Distribution")["DistributionConfig"]


@pytest.fixture(scope="session")
def behaviors(distribution):
    """The gateway's behaviors; the default one is the public site's (test_site_template.py)."""
    return distribution["CacheBehaviors"]


@pytest.fixture(scope="session")
def edge(template):
    return template.one("AWS::Lambda::Function", below="GatewayEdgeFunction")


@pytest.fixture(scope="session")
def edge_role(template):
    return template.one("AWS::IAM::Role", below="GatewayEdgeRole")


@pytest.fixture(scope="session")
def edge_statements(template, edge_role):
    """Every statement that the edge role gets, by its Sid."""
    attached = [
        policy["Properties"]
        for policy in template.all("AWS::IAM::Policy").values()
        if {"Ref": edge_role[0]} in policy["Properties"]["Roles"]
    ]
    statements = [statement for policy in attached for statement in policy["PolicyDocument"]["Statement"]]
    return {statement["Sid"]: statement for statement in statements}


@pytest.fixture(scope="session")
def backend(template):
    return template.one("AWS::Lambda::Function", below="ApiFunction")


@pytest.fixture(scope="session")
def pool(template):
    return template.properties("AWS::Cognito::UserPool")


@pytest.fixture(scope="session")
def client(template):
    return template.properties("AWS::Cognito::UserPoolClient")


def parameter_arn(name):
    return {"Fn::Join": ["", ["arn:aws:ssm:us-east-1:", {"Ref": "AWS::AccountId"}, f":parameter{PREFIX}/{name}"]]}


class TestDistribution:
    def test_every_behavior_runs_the_gateway_with_the_body(self, behaviors, template):
        """No function's path leaves the gateway out, and the event is origin-request with the body included."""
        version, _ = template.one("AWS::Lambda::Version")
        expected = [{"EventType": "origin-request", "IncludeBody": True, "LambdaFunctionARN": {"Ref": version}}]
        assert [behavior["LambdaFunctionAssociations"] for behavior in behaviors] == [expected] * len(behaviors)

    def test_each_function_has_a_behavior_of_its_own(self, behaviors):
        """The narrower pattern comes first: CloudFront takes the first one that matches."""
        assert [behavior["PathPattern"] for behavior in behaviors] == ["/api/books*", "/api/*"]
        assert len({behavior["TargetOriginId"] for behavior in behaviors}) == 2

    def test_nothing_is_cached(self, behaviors):
        """A cached answer would skip the token check."""
        assert {behavior["CachePolicyId"] for behavior in behaviors} == {CACHING_DISABLED}

    def test_everything_but_host_is_forwarded(self, behaviors):
        """The function URL gets its own Host, and the edge function every header of the viewer."""
        assert {behavior["OriginRequestPolicyId"] for behavior in behaviors} == {ALL_VIEWER_EXCEPT_HOST_HEADER}

    def test_plain_http_is_refused_and_not_redirected(self, behaviors):
        """A redirected client has already sent its token in the clear."""
        assert {behavior["ViewerProtocolPolicy"] for behavior in behaviors} == {"https-only"}

    def test_all_methods_are_taken(self, behaviors):
        """An API is more than GET."""
        assert all(set(behavior["AllowedMethods"]) == ALL_METHODS for behavior in behaviors)

    def test_no_function_runs_beside_the_gateway(self, behaviors):
        """A CloudFront function could change the request after the check."""
        assert not any(behavior.get("FunctionAssociations") for behavior in behaviors)

    @pytest.mark.parametrize(("pattern", "name"), [("/api/*", "ApiFunction"), ("/api/books*", "BooksApiFunction")])
    def test_the_origin_is_the_function_url_over_tls(self, distribution, template, pattern, name):
        """The configured origin is the real host: CloudFront resolves it before the function runs."""
        url, _ = template.one("AWS::Lambda::Url", below=name)
        (target,) = [one["TargetOriginId"] for one in distribution["CacheBehaviors"] if one["PathPattern"] == pattern]
        (origin,) = [one for one in distribution["Origins"] if one["Id"] == target]
        assert origin["DomainName"] == {
            "Fn::Select": [2, {"Fn::Split": ["/", {"Fn::GetAtt": [url, "FunctionUrl"]}]}],
        }
        assert origin["CustomOriginConfig"] == {"OriginProtocolPolicy": "https-only", "OriginSSLProtocols": ["TLSv1.2"]}

    def test_no_function_has_an_origin_access_control(self, template, distribution):
        """CloudFront's own signature would replace the gateway's."""
        _, control = template.one("AWS::CloudFront::OriginAccessControl")
        assert control["Properties"]["OriginAccessControlConfig"]["OriginAccessControlOriginType"] == "s3"
        functions = [origin for origin in distribution["Origins"] if "CustomOriginConfig" in origin]
        assert len(functions) == 2
        assert not any("OriginAccessControlId" in origin for origin in functions)

    def test_it_speaks_http_2_and_3(self, distribution):
        """Both, over IPv4 and IPv6."""
        assert (distribution["HttpVersion"], distribution["IPV6Enabled"]) == ("http2and3", True)

    def test_it_waits_for_the_permissions(self, template):
        """The first viewer does not meet a function that may not sign yet."""
        policy, _ = template.one("AWS::IAM::Policy", below="GatewayEdgePermissions")
        _, distribution = template.one("AWS::CloudFront::Distribution")
        assert distribution["DependsOn"] == [policy]


class TestEdgeFunction:
    def test_it_is_what_lambda_at_edge_takes(self, edge):
        """CDK and cfn-lint accept arm64, layers, a VPC and a minute's timeout, and the deployment then fails."""
        properties = edge[1]["Properties"]
        assert properties["Runtime"] == "python3.13"
        assert properties["Architectures"] == ["x86_64"]
        assert properties["Handler"] == "cognito_edge.handler.handler"
        assert 5 < properties["Timeout"] <= 30
        for unsupported in (
            *("Environment", "Layers", "VpcConfig", "DeadLetterConfig", "TracingConfig", "KmsKeyArn", "ImageUri"),
            *("FileSystemConfigs", "EphemeralStorage", "SnapStart", "PackageType", "LoggingConfig"),
        ):
            assert unsupported not in properties

    def test_function_and_versions_outlive_their_replicas(self, template, edge):
        """A replicated version cannot be deleted for hours: a stack that tried would fail."""
        _, version = template.one("AWS::Lambda::Version")
        for resource in (edge[1], version):
            assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")

    def test_its_code_requires_the_policy(self, assembly):
        """The bundle in the assembly reads the stack's parameters, and takes a missing policy for a broken one."""
        (settings,) = assembly.glob("asset.*/settings.json")
        assert json.loads(settings.read_bytes()) == {
            "parameter_prefix": PREFIX,
            "parameter_region": "us-east-1",
            "policy_required": True,
        }

    def test_the_stack_is_in_us_east_1_for_any_account(self, assembly):
        """Edge functions have to be made there; the account is the one that deploys."""
        manifest = json.loads((assembly / "manifest.json").read_bytes())
        assert manifest["artifacts"]["CognitoEdgeGateway"]["environment"] == "aws://unknown-account/us-east-1"


class TestEdgeRole:
    def test_only_lambda_and_the_edge_service_may_assume_it(self, edge_role):
        """Both services, and no one else."""
        (statement,) = edge_role[1]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert statement == {
            "Action": "sts:AssumeRole",
            "Effect": "Allow",
            "Principal": {"Service": ["edgelambda.amazonaws.com", "lambda.amazonaws.com"]},
        }

    def test_it_has_no_managed_and_no_inline_policies(self, edge_role):
        """One policy has all its permissions."""
        assert not {"ManagedPolicyArns", "Policies"} & set(edge_role[1]["Properties"])

    def test_it_has_these_statements_and_no_others(self, edge_statements):
        """A new statement has to be added here as well."""
        assert set(edge_statements) == {
            *("ReadParameters", "CallFunctionUrls", "InvokeThroughFunctionUrls", "WriteLogs"),
        }
        assert {statement["Effect"] for statement in edge_statements.values()} == {"Allow"}

    def test_it_reads_exactly_three_parameters(self, edge_statements):
        """One action, three literal ARNs, no path."""
        statement = edge_statements["ReadParameters"]
        assert statement["Action"] == "ssm:GetParameters"
        assert statement["Resource"] == [parameter_arn(name) for name in ("client-id", "policy", "user-pool-id")]

    def test_it_may_call_the_function_urls_when_they_want_a_signature(self, edge_statements, template):
        """The first of the two permissions that function URLs require, on these two functions."""
        arns = [{"Fn::GetAtt": [url, "FunctionArn"]} for url in sorted(template.all("AWS::Lambda::Url"))]
        statement = edge_statements["CallFunctionUrls"]
        assert statement["Action"] == "lambda:InvokeFunctionUrl"
        assert statement["Resource"] == arns
        assert statement["Condition"] == {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}}

    def test_it_may_invoke_the_functions_through_their_urls_only(self, edge_statements, template):
        """The second one; without the condition the role could invoke the functions with a forged event."""
        arns = [{"Fn::GetAtt": [url, "FunctionArn"]} for url in sorted(template.all("AWS::Lambda::Url"))]
        statement = edge_statements["InvokeThroughFunctionUrls"]
        assert statement["Action"] == "lambda:InvokeFunction"
        assert statement["Resource"] == arns
        assert statement["Condition"] == {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}

    def test_it_writes_its_replicas_log_group_in_every_region(self, edge_statements, edge):
        """The only wildcards: the region, since replicas log where they run, and the streams of that one group."""
        group = ["arn:aws:logs:*:", {"Ref": "AWS::AccountId"}, ":log-group:/aws/lambda/us-east-1.", {"Ref": edge[0]}]
        statement = edge_statements["WriteLogs"]
        assert statement["Action"] == ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
        assert statement["Resource"] == [{"Fn::Join": ["", [*group, ":*"]]}, {"Fn::Join": ["", group]}]


class TestParameters:
    def test_there_are_three(self, template):
        """Their names are the contract between template and edge function."""
        names = {body["Properties"]["Name"] for body in template.all("AWS::SSM::Parameter").values()}
        assert names == {f"{PREFIX}/{name}" for name in ("user-pool-id", "client-id", "policy")}

    def test_ids_are_the_stacks_own(self, template):
        """The pool and the client that the stack makes."""
        pool, _ = template.one("AWS::Cognito::UserPool")
        client, _ = template.one("AWS::Cognito::UserPoolClient")
        assert template.properties("AWS::SSM::Parameter", below="GatewayUserPoolId")["Value"] == {"Ref": pool}
        assert template.properties("AWS::SSM::Parameter", below="GatewayClientId")["Value"] == {"Ref": client}

    def test_the_policy_is_one_constant(self, template):
        """A redeploy must not write it: the policy that scripts/policy.py wrote would be lost, with every cut-off."""
        _, parameter = template.one("AWS::SSM::Parameter", below="GatewayPolicyParameter")
        assert parameter == {
            "Type": "AWS::SSM::Parameter",
            "Properties": {
                "Name": f"{PREFIX}/policy",
                "Type": "String",
                "Value": '{"version": 1, "routes": [{"path": "/*"}]}',
            },
        }


class TestBackend:
    def test_its_url_wants_signatures_and_adds_no_cors(self, template, backend):
        """The function URL is AWS_IAM, buffered, with no CORS of its own."""
        assert template.properties("AWS::Lambda::Url", below="ApiFunction") == {
            "AuthType": "AWS_IAM",
            "InvokeMode": "BUFFERED",
            "TargetFunctionArn": {"Fn::GetAtt": [backend[0], "Arn"]},
        }

    def test_nobody_gets_in_by_a_resource_policy(self, template):
        """The edge role's own policy is the only way to the function."""
        assert not template.all("AWS::Lambda::Permission")

    def test_it_knows_whom_to_believe(self, backend, edge_role):
        """Account and name of the edge role: identity headers count from this role alone."""
        assert backend[1]["Properties"]["Environment"]["Variables"] == {
            "EDGE_ACCOUNT_ID": {"Ref": "AWS::AccountId"},
            "EDGE_ROLE_NAME": {"Ref": edge_role[0]},
        }

    def test_it_runs_the_packaged_handler(self, backend):
        """Runtime and architecture are those that its bundle is built for."""
        properties = backend[1]["Properties"]
        assert properties["Handler"] == "backend.handler.handler"
        assert (properties["Runtime"], properties["Architectures"]) == ("python3.13", ["x86_64"])

    def test_its_role_writes_its_own_logs_and_nothing_else(self, template):
        """Two actions, one log group, that ends after a month."""
        group, body = template.one("AWS::Logs::LogGroup", below="ApiLogs")
        role, role_body = template.one("AWS::IAM::Role", below="ApiRole")
        policy = template.properties("AWS::IAM::Policy", below="ApiRole")
        assert "ManagedPolicyArns" not in role_body["Properties"]
        assert policy["Roles"] == [{"Ref": role}]
        assert policy["PolicyDocument"]["Statement"] == [
            {
                "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                "Effect": "Allow",
                "Resource": {"Fn::GetAtt": [group, "Arn"]},
            },
        ]
        assert body["Properties"]["RetentionInDays"] == 30


class TestIdentity:
    def test_nobody_signs_themselves_up(self, pool):
        """Otherwise anyone could get a valid token."""
        assert pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is True

    def test_passwords_are_long_and_mixed(self, pool):
        """Twelve characters of four kinds; temporary ones end after three days."""
        assert pool["Policies"]["PasswordPolicy"] == {
            "MinimumLength": 12,
            "RequireLowercase": True,
            "RequireNumbers": True,
            "RequireSymbols": True,
            "RequireUppercase": True,
            "TemporaryPasswordValidityDays": 3,
        }

    def test_a_second_factor_is_offered_but_never_by_text_message(self, pool):
        """TOTP only."""
        assert (pool["MfaConfiguration"], pool["EnabledMfas"]) == ("OPTIONAL", ["SOFTWARE_TOKEN_MFA"])

    def test_a_changed_address_is_proved_before_it_counts(self, pool):
        """The backend gets verified addresses only, so that a user cannot take another's by typing it."""
        assert pool["UserAttributeUpdateSettings"] == {"AttributesRequireVerificationBeforeUpdate": ["email"]}

    def test_users_outlive_the_stack(self, template):
        """Users and their passwords cannot be made again."""
        _, pool = template.one("AWS::Cognito::UserPool")
        assert (pool["DeletionPolicy"], pool["UpdateReplacePolicy"]) == ("Retain", "Retain")

    def test_the_client_takes_the_code_grant_only(self, client):
        """No implicit grant, no client credentials."""
        assert client["AllowedOAuthFlows"] == ["code"]
        assert client["AllowedOAuthFlowsUserPoolClient"] is True
        assert client["AllowedOAuthScopes"] == ["openid", "email", "profile"]
        assert client["SupportedIdentityProviders"] == ["COGNITO"]

    def test_the_client_is_public(self, client):
        """A program on a user's machine cannot keep a secret."""
        assert client["GenerateSecret"] is False

    def test_callbacks_are_fixed_ports_of_this_machine_and_the_site(self, client, template):
        """Cognito compares the whole address, and codes must not travel in the clear."""
        distribution, _ = template.one("AWS::CloudFront::Distribution")
        site = {"Fn::Join": ["", ["https://", {"Fn::GetAtt": [distribution, "DomainName"]}, "/"]]}
        assert client["CallbackURLs"] == [
            *(f"http://{host}:{port}/callback" for host in ("localhost", "127.0.0.1") for port in (8976, 8977)),
            site,
        ]
        assert client["LogoutURLs"] == ["http://localhost:8976/", site]

    def test_sign_in_does_not_tell_who_exists(self, client):
        """The same answer for a wrong name and a wrong password."""
        assert client["PreventUserExistenceErrors"] == "ENABLED"

    def test_the_clients_flows_are_these(self, client):
        """No ALLOW_ADMIN and no ALLOW_CUSTOM flow."""
        assert set(client["ExplicitAuthFlows"]) == {
            *("ALLOW_USER_SRP_AUTH", "ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"),
        }

    def test_tokens_live_an_hour_and_sign_ins_thirty_days(self, client):
        """The edge does not see a revocation: this bounds how long a stolen token works."""
        assert {client["IdTokenValidity"], client["AccessTokenValidity"]} == {60}
        assert client["RefreshTokenValidity"] == 30 * 24 * 60
        assert set(client["TokenValidityUnits"].values()) == {"minutes"}
        assert client["EnableTokenRevocation"] is True

    def test_the_login_has_a_style_and_a_name_of_its_own(self, template):
        """Managed login shows an error without a style; the name is unique because the stack's id is."""
        domain = template.properties("AWS::Cognito::UserPoolDomain")
        assert domain["ManagedLoginVersion"] == 2
        assert domain["Domain"] == {
            "Fn::Join": ["", ["edge-login-", {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}]],
        }
        client, _ = template.one("AWS::Cognito::UserPoolClient")
        assert template.properties("AWS::Cognito::ManagedLoginBranding")["ClientId"] == {"Ref": client}

    def test_the_logins_name_is_one_that_cognito_takes(self):
        """At most 63 characters with the UUID, and none of the words that Cognito forbids."""
        prefix = f"edge-login-{'0' * 36}"
        assert re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", prefix)
        assert not any(word in prefix for word in ("aws", "amazon", "cognito"))


class TestStack:
    def test_outputs_are_what_scripts_and_local_read(self, template):
        """Their names are a contract inside the repository."""
        assert set(template.document["Outputs"]) == {
            *("GatewayUrl", "DistributionId", "UserPoolId", "ClientId", "LoginUrl", "ParameterPrefix", "Region"),
            *("EdgeFunctionVersionArn", "EdgeRoleArn", "FunctionUrlApi"),
            *("FunctionUrlBooks", "BooksTable", "SiteBucket"),
        }

    def test_no_statement_allows_everything(self, template):
        """No bare wildcard, in any action or resource of any policy."""
        statements = [
            statement
            for policy in template.all("AWS::IAM::Policy").values()
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        ]
        for statement in statements:
            actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
            assert not [action for action in actions if "*" in action]
            assert statement["Resource"] not in ("*", ["*"])

    def test_it_is_made_of_these_types_only(self, template):
        """A custom resource, or a type that the emulator lacks, would show here first."""
        assert {body["Type"] for body in template.resources.values()} == {
            *("AWS::CloudFront::Distribution", "AWS::Lambda::Function", "AWS::Lambda::Url", "AWS::Lambda::Version"),
            *("AWS::Cognito::UserPool", "AWS::Cognito::UserPoolClient", "AWS::Cognito::UserPoolDomain"),
            *("AWS::Cognito::ManagedLoginBranding", "AWS::IAM::Policy", "AWS::IAM::Role"),
            *("AWS::Logs::LogGroup", "AWS::SSM::Parameter"),
            *("AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::S3::BucketPolicy"),
            *("AWS::CloudFront::OriginAccessControl", "AWS::CloudFront::ResponseHeadersPolicy"),
        }
