"""The synthesised template in the emulator: what is deployed, what is left out, what is added, and how failures read."""

import json

import boto3
import pytest
from botocore.exceptions import ClientError
from cognito_edge_local.emulator import deploy
from cognito_edge_local.emulator import process as emulator
from cognito_edge_local.emulator.deploy import DeployError
from cognito_edge_local.emulator.invoker import EmulatorInvoker, InvokeError

from tests.local.emulator_support import running_emulator
from tests.local.loop_thread import LoopThread
from tests.local.small_assembly import template, write_assembly

PARAMETER = "/cognito-edge-gateway/user-pool-id"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """An emulator of this module's own."""
    with running_emulator(tmp_path_factory.mktemp("state")) as found:
        yield found


@pytest.fixture(scope="module")
def assembly(tmp_path_factory):
    """The small assembly."""
    return write_assembly(tmp_path_factory.mktemp("assembly"))


@pytest.fixture(scope="module")
def deployment(running, assembly):
    """The small assembly, deployed."""
    return deploy.deploy(running.client, assembly)


def _assume(running, role_arn):
    return running.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="us-east-1.edge")["Credentials"]


def _client_of(credentials, service, running):
    return boto3.client(
        service,
        region_name=emulator.REGION,
        endpoint_url=running.url,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )


# --- what is deployed ---------------------------------------------------------------------------------------------------


def test_outputs_are_the_stacks(running, deployment):
    """Outputs are read back from the deployed stack, not guessed from the template."""
    pool = running.client("cognito-idp").describe_user_pool(UserPoolId=deployment.output("UserPoolId"))["UserPool"]
    assert pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is True
    assert deployment.output("ParameterPrefix") == "/cognito-edge-gateway"


def test_missing_output_names_those_that_there_are(deployment):
    """After an output was renamed, the message says which one was looked for."""
    with pytest.raises(DeployError, match=r"no output 'DistributionId'; it has ClientId, .*UserPoolId"):
        deployment.output("DistributionId")


def test_function_url_is_found_with_its_function(deployment):
    """The door needs name, ARN and host of the function behind each ``FunctionUrl…`` output."""
    (found,) = deployment.function_urls
    assert found.name == "api"
    assert found.function_arn.endswith(f":function:{found.function_name}")
    assert deployment.output("FunctionUrlApi") == f"https://{found.host}/"


def test_edge_configuration_is_the_deployed_versions(deployment):
    """Handler, timeout and memory of the local edge are those that were deployed."""
    assert deployment.edge["Handler"] == "index.handler"
    assert deployment.edge["FunctionArn"] == deployment.output("EdgeFunctionVersionArn")
    assert (deployment.edge["Timeout"], deployment.edge["MemorySize"]) == (3, 128)


def test_assembly_is_not_changed(assembly, deployment):
    """The template on disk is the one for AWS, before and after."""
    on_disk = json.loads((assembly / f"{deploy.STACK_NAME}.template.json").read_text())
    assert on_disk == template()
    assert "Branding" in on_disk["Resources"]
    assert "Branding" in deployment.left_out


# --- what is left out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", deploy.NOT_EMULATED)
def test_every_type_on_the_list_is_really_refused(running, kind):
    """A type that the emulator has learnt must come off the list, so that it is deployed again."""
    body = json.dumps({"Resources": {"X": {"Type": kind, "Properties": {}}}})
    with pytest.raises(ClientError, match="Unrecognized resource types"):
        running.client("cloudformation").create_stack(StackName=kind.replace(":", ""), TemplateBody=body)


def test_what_the_emulator_has_stays():
    """Only listed types go; the order of the rest is kept without them."""
    kept, left_out = deploy.without_unemulated(template())
    assert left_out == {"Branding": "AWS::Cognito::ManagedLoginBranding"}
    assert kept["Resources"].keys() == template()["Resources"].keys() - {"Branding"}
    assert "DependsOn" not in kept["Resources"]["PoolId"]


def test_other_dependencies_are_kept():
    """``DependsOn`` loses only what was left out."""
    body = template()
    body["Resources"]["PoolId"]["DependsOn"] = ["Branding", "Client"]
    kept, _ = deploy.without_unemulated(body)
    assert kept["Resources"]["PoolId"]["DependsOn"] == ["Client"]


@pytest.mark.parametrize(
    "reference",
    [
        {"Ref": "Branding"},
        {"Fn::GetAtt": ["Branding", "Id"]},
        {"Fn::GetAtt": "Branding.Id"},
        {"Fn::Sub": "x-${Branding.Id}"},
        {"Fn::Sub": ["${y}${Branding}", {"y": "1"}]},
        {"Fn::Join": ["", ["a", {"Ref": "Branding"}]]},
    ],
    ids=str,
)
def test_reference_to_something_left_out_is_refused(reference):
    """The rest would be deployed wrong; the message names both ends and the reason."""
    body = template()
    body["Resources"]["PoolId"]["Properties"]["Value"] = reference
    with pytest.raises(
        DeployError, match=r"Resources\.PoolId refers to Branding, a AWS::Cognito::ManagedLoginBranding"
    ):
        deploy.without_unemulated(body)


# --- what is added for the edge role ------------------------------------------------------------------------------------


def test_edge_role_reads_its_parameters(running, deployment):
    """With the local statement the deployed role may do what AWS would let it do."""
    ssm = _client_of(_assume(running, deployment.output("EdgeRoleArn")), "ssm", running)
    (parameter,) = ssm.get_parameters(Names=[PARAMETER])["Parameters"]
    assert parameter["Value"] == deployment.output("UserPoolId")


def test_local_statement_is_needed(running, deployment):
    """Without it the emulator denies GetParameters; when this fails, the statement can go."""
    iam, role = running.client("iam"), deployment.edge_role_name
    iam.delete_role_policy(RoleName=role, PolicyName=deploy.LOCAL_ROLE_POLICY_NAME)
    try:
        ssm = _client_of(_assume(running, deployment.output("EdgeRoleArn")), "ssm", running)
        with pytest.raises(ClientError, match="AccessDenied"):
            ssm.get_parameters(Names=[PARAMETER])
    finally:
        deploy.adapt_role(iam, role)


def test_edge_role_may_do_no_more(running, deployment):
    """The addition is for reading, and the emulator enforces the rest."""
    ssm = _client_of(_assume(running, deployment.output("EdgeRoleArn")), "ssm", running)
    with pytest.raises(ClientError, match="AccessDenied"):
        ssm.put_parameter(Name=PARAMETER, Value="x", Type="String", Overwrite=True)


def test_deployed_trust_policy_is_enough(running, deployment):
    """The emulator lets its root stand in for the Lambda service, so that nothing is added to the trust policy."""
    document = running.client("iam").get_role(RoleName=deployment.edge_role_name)["Role"]["AssumeRolePolicyDocument"]
    assert document == template()["Resources"]["EdgeRole"]["Properties"]["AssumeRolePolicyDocument"]
    assert _assume(running, deployment.output("EdgeRoleArn"))["AccessKeyId"].startswith("ASIA")


# --- the demo user ------------------------------------------------------------------------------------------------------


def test_demo_user_signs_in(running, deployment):
    """With a permanent password: no challenge stands between a person and their first token."""
    cognito = running.client("cognito-idp")
    username, password = deploy.create_demo_user(cognito, deployment.output("UserPoolId"))
    answer = cognito.initiate_auth(
        AuthFlow="USER_PASSWORD_AUTH",
        ClientId=deployment.output("ClientId"),
        AuthParameters={"USERNAME": username, "PASSWORD": password},
    )
    assert answer["AuthenticationResult"]["IdToken"]


def test_passwords_differ_and_have_every_class():
    """A fixed password would be a published one; one without a class of characters, refused by a pool's policy."""
    passwords = {deploy.strong_password() for _ in range(200)}
    assert len(passwords) == 200
    for password in passwords:
        assert len(password) >= 16
        assert password[0].isalpha()
        assert any(c.islower() for c in password)
        assert any(c.isupper() for c in password)
        assert any(c.isdigit() for c in password)
        assert any(not c.isalnum() for c in password)
        assert not set(password) & set("\"'$`\\ !&|;<>(){}[]*?#~")


# --- failures -----------------------------------------------------------------------------------------------------------


def _deploy_broken(running, folder, change):
    body = template()
    change(body)
    running.client("cloudformation").delete_stack(StackName=deploy.STACK_NAME)
    return deploy.deploy(running.client, write_assembly(folder, body))


def test_unknown_type_is_named_with_what_to_do(running, tmp_path):
    """A type that is neither emulated nor listed."""
    with pytest.raises(DeployError, match=r"AWS::Braket::Nothing"):
        _deploy_broken(running, tmp_path, lambda body: body["Resources"].update(X={"Type": "AWS::Braket::Nothing"}))


def test_failing_resource_is_named_with_its_reason(running, tmp_path):
    """CloudFormation's own events say which resource and why."""

    def change(body):
        body["Resources"]["Client"]["Properties"]["UserPoolId"] = "us-east-1_NoSuchPool"

    expected = r"(?s)ended as \w+:\n  Client \(AWS::Cognito::UserPoolClient\): .*does not exist.*NOT_EMULATED"
    with pytest.raises(DeployError, match=expected):
        _deploy_broken(running, tmp_path, change)


def test_missing_asset_is_named(running, tmp_path):
    """Half an assembly is refused before anything is created."""
    assembly = write_assembly(tmp_path)
    (assembly / "asset.function" / "index.py").unlink()
    (assembly / "asset.function").rmdir()
    with pytest.raises(DeployError, match=r"Asset function cannot be read"):
        deploy.deploy(running.client, assembly)


def test_container_assets_are_refused(running, tmp_path):
    """They would need Docker, which the local system has to do without."""
    with pytest.raises(DeployError, match=r"Container assets cannot be deployed locally: img"):
        deploy.upload_assets(running.client("s3"), tmp_path, {"files": {}, "dockerImages": {"img": {}}})


def test_missing_template_is_named(running, tmp_path):
    """An empty folder is not an assembly."""
    with pytest.raises(DeployError, match=r"not whole: .*CognitoEdgeGateway\.template\.json"):
        deploy.deploy(running.client, tmp_path)


# --- invoking -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def invoke(tmp_path_factory):
    """A function of an emulator of its own (deployments above come and go), and how to invoke it."""
    with running_emulator(tmp_path_factory.mktemp("state")) as running, LoopThread() as loop:
        assembly = write_assembly(tmp_path_factory.mktemp("assembly"))
        name = deploy.deploy(running.client, assembly).function_urls[0].function_name
        invoker = EmulatorInvoker(running.url)
        yield lambda *events, function=name: [
            loop.run(task) for task in [invoker.invoke(function, event) for event in events]
        ]
        invoker.close()


def test_deployed_function_answers(invoke):
    """The asset's code runs, and text survives the way there and back."""
    ((payload, error),) = invoke({"text": "ü€😀", "n": [1, None, True]})
    assert json.loads(payload)["echo"] == {"text": "ü€😀", "n": [1, None, True]}
    assert error is None


def test_functions_error_is_told_from_an_answer(invoke):
    """A function that raises gives its error with Lambda's mark."""
    ((payload, error),) = invoke({"fail": True})
    assert error == "Unhandled"
    assert b"asked to fail" in payload


def test_event_of_six_megabytes_gets_through(invoke):
    """Lambda's largest event and answer."""
    ((payload, _),) = invoke({"text": "x" * 6_000_000})
    assert len(json.loads(payload)["echo"]["text"]) == 6_000_000


def test_unknown_function_is_an_error_of_the_call(invoke):
    """Not to be mistaken for an answer."""
    with pytest.raises(InvokeError, match="no-such-function"):
        invoke({}, function="no-such-function")
