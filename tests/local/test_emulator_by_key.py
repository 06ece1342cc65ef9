"""The emulator where the system does not tell whose a connection is: nothing passes without a key of this start."""

import hashlib
import http.client
import io
import json
import zipfile
from types import SimpleNamespace

import boto3
import pytest
import requests
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from cognito_edge_local.emulator import deploy, program
from cognito_edge_local.emulator import process as emulator

from tests.local.emulator_support import running_emulator
from tests.local.small_assembly import write_assembly

AUTHORIZATION = "AWS4-HMAC-SHA256 Credential={}/20261130/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"
SSM = {"X-Amz-Target": "AmazonSSM.DescribeParameters", "Content-Type": "application/x-amz-json-1.1"}
COGNITO = {"Content-Type": "application/x-amz-json-1.1"}
REFUSAL = "wants the access key of this start"

FUNCTION = """
import os
def handler(event, context):
    return {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")}
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """An emulator with a secret key, and a user pool in it."""
    with running_emulator(tmp_path_factory.mktemp("state"), emulator.new_key()) as found:
        found.client("ssm").put_parameter(Name="/x", Value="1", Type="String")
        yield found


@pytest.fixture(scope="module")
def pool(running, tmp_path_factory):
    """The user pool of a small deployment: its id, its client, and a user."""
    deployment = deploy.deploy(running.client, write_assembly(tmp_path_factory.mktemp("assembly")))
    pool_id = deployment.output("UserPoolId")
    username, password = deploy.create_demo_user(running.client("cognito-idp"), pool_id)
    return {"id": pool_id, "client": deployment.output("ClientId"), "username": username, "password": password}


def ask(running, method="POST", path="/", headers=None, body=b"{}"):
    """Send exactly these headers, each a pair; return status and text."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    connection.putrequest(method, path)
    for name, value in headers or []:
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    text = answer.read().decode("utf-8", "replace")
    connection.close()
    return answer.status, text


def signed(key, service="ssm"):
    return ("Authorization", AUTHORIZATION.format(key, service))


# --- with a key -----------------------------------------------------------------------------------------------------------


def test_keys_are_long_and_new_each_time():
    """Knowing the id is enough to be root here, so the id is as long as a secret."""
    first, second = emulator.new_key(), emulator.new_key()
    assert first.access_key_id != second.access_key_id
    assert len(first.access_key_id) >= 4 + 40
    assert first.access_key_id not in repr(first)
    assert first.secret_access_key not in repr(first)


def test_root_is_whoever_has_the_key(running):
    """The launcher's clients, and those of whoever may read outputs.json."""
    assert running.client("ssm").get_parameter(Name="/x")["Parameter"]["Value"] == "1"
    assert ask(running, headers=[*SSM.items(), signed(running.key.access_key_id)])[0] == 200


@pytest.mark.parametrize(
    "authorization",
    [
        [],
        [("Authorization", "")],
        [("Authorization", "Basic dGVzdDp0ZXN0")],
        [signed("test")],
        [signed("")],
        [signed("000000000000")],
        [signed("123456789012")],
        [signed("AKIAIOSFODNN7EXAMPLE")],
        [signed("{key}x")],
        [signed("test"), signed("{key}")],
        [signed("{key}"), signed("test")],
        [("Authorization", "AWS test:0")],
        [("Authorization", "AWS {key}:0")],
        [("Authorization", "x" + AUTHORIZATION.format("{key}", "ssm"))],
        [("Authorization", AUTHORIZATION.format("test", "ssm") + ", Credential={key}/")],
    ],
    ids=repr,
)
def test_nobody_else_is_root(running, authorization):
    """Not ministack's constants either: ``test``, no key, and any account's number."""
    headers = [(name, value.replace("{key}", running.key.access_key_id)) for name, value in authorization]
    status, text = ask(running, headers=[*SSM.items(), *headers])
    assert status == 403
    assert REFUSAL in text


@pytest.mark.parametrize("key", ["test", "{key}"])
def test_url_signed_in_advance_is_refused(running, key):
    """A key in the query is not looked at here, so it must not be looked at behind this either."""
    credential = f"{key.replace('{key}', running.key.access_key_id)}%2F20261130%2Fus-east-1%2Fs3%2Faws4_request"
    query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Signature=0"
    assert ask(running, "GET", f"/bucket/key?{query}", body=b"")[0] == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/_ministack/health"),
        ("POST", "/_ministack/reset"),
        ("POST", "/_ministack/config"),
        ("GET", "/_ministack/lambda-code/x"),
        ("POST", "/_gateway/rotate-keys/us-east-1_x"),
        ("GET", "/"),
        ("OPTIONS", "/"),
    ],
)
def test_calls_outside_of_awss_apis_want_the_key_too(running, method, path):
    """Without one, ministack answers them all."""
    assert ask(running, method, path, body=b"")[0] == 403


def test_launchers_own_call_has_the_key(running, pool):
    """It lets the pool forget its keys."""
    headers = [("Authorization", running.key.authorization.decode())]
    assert ask(running, "POST", f"/_gateway/rotate-keys/{pool['id']}", headers, b"")[0] == 204


def session_client(running, service, keys, **wrong):
    return boto3.client(
        service,
        endpoint_url=running.url,
        region_name=emulator.REGION,
        config=Config(retries={"max_attempts": 0}, proxies={}),
        aws_access_key_id=wrong.get("key", keys["AccessKeyId"]),
        aws_secret_access_key=wrong.get("secret", keys["SecretAccessKey"]),
        aws_session_token=wrong.get("token", keys["SessionToken"]),
    )


def test_temporary_credentials_are_known_and_their_signature_counts(running):
    """The edge role's."""
    keys = running.client("sts").get_session_token()["Credentials"]
    assert session_client(running, "ssm", keys).get_parameter(Name="/x")["Parameter"]["Value"] == "1"
    for wrong in ({"secret": "x"}, {"token": "x"}, {"key": "ASIAEXAMPLEEXAMPLE00"}):
        with pytest.raises(ClientError):
            session_client(running, "ssm", keys, **wrong).get_parameter(Name="/x")


# --- without: what AWS answers to everybody -------------------------------------------------------------------------------


def test_user_signs_in_without_a_key(running, pool):
    """Cognito's unsigned calls, as an SDK makes them."""
    config = Config(signature_version=UNSIGNED, retries={"max_attempts": 0}, proxies={})
    cognito = boto3.client("cognito-idp", endpoint_url=running.url, region_name=emulator.REGION, config=config)
    parameters = {"USERNAME": pool["username"], "PASSWORD": pool["password"]}
    tokens = cognito.initiate_auth(AuthFlow="USER_PASSWORD_AUTH", ClientId=pool["client"], AuthParameters=parameters)[
        "AuthenticationResult"
    ]
    assert cognito.get_user(AccessToken=tokens["AccessToken"])["Username"] == pool["username"]
    with pytest.raises(ClientError) as refused:
        cognito.admin_get_user(UserPoolId=pool["id"], Username=pool["username"])
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


INITIATE = ("X-Amz-Target", "AWSCognitoIdentityProviderService.InitiateAuth")
LIST_USERS = ("X-Amz-Target", "AWSCognitoIdentityProviderService.ListUsers")


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", [INITIATE, LIST_USERS, *COGNITO.items()]),
        ("/", [LIST_USERS, INITIATE, *COGNITO.items()]),
        ("/", [LIST_USERS, *COGNITO.items()]),
        ("/", [("X-Amz-Target", "AmazonSSM.InitiateAuth"), *COGNITO.items()]),
        ("/", [("X-Amz-Target", "InitiateAuth"), *COGNITO.items()]),
        ("/", [INITIATE, ("Content-Type", "application/x-www-form-urlencoded")]),
        ("/", [INITIATE]),
        ("/", [INITIATE, *COGNITO.items(), signed("test")]),
        ("/?Action=ListUsers&Version=2010-05-08", [INITIATE, *COGNITO.items()]),
        ("/bucket", [INITIATE, *COGNITO.items()]),
    ],
    ids=repr,
)
def test_nothing_else_passes_for_an_unsigned_call(running, path, headers):
    """Whatever else the request says, it could be another call to ministack."""
    status, text = ask(running, "POST", path, headers)
    assert status == 403
    assert REFUSAL in text


def test_public_keys_are_public(running, pool):
    """The edge reads them unsigned."""
    url = f"{running.url}/{pool['id']}/.well-known/jwks.json"
    assert requests.get(url, timeout=10).json()["keys"]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/{pool}/.well-known/jwks.json", []),
        ("GET", "/{pool}/.well-known/jwks.json?Action=ListUsers", []),
        ("GET", "/{pool}/.well-known/jwks.json", [signed("test")]),
        ("GET", "/{pool}/.well-known/jwks.json", [("X-Amz-Target", "AmazonSSM.DescribeParameters")]),
        ("GET", "/a/b/.well-known/jwks.json", []),
        ("GET", "/{pool}/.well-known/other.json", []),
        ("GET", "/oauth2/authorize", [("X-Amz-Target", "AmazonSSM.DescribeParameters")]),
        ("GET", "/oauth2/authorize", [signed("test", "iam")]),
        ("POST", "/oauth2/authorize", []),
        ("GET", "/login", []),
        ("GET", "/oauth2/other", []),
    ],
    ids=repr,
)
def test_public_path_with_anything_more_is_refused(running, pool, method, path, headers):
    """What ministack does not know at that path it takes for a call to some service."""
    assert ask(running, method, path.replace("{pool}", pool["id"]), headers, b"")[0] == 403


def test_hosted_ui_is_answered(running, pool):
    """The sign-in front passes on what browsers send."""
    query = f"client_id={pool['client']}&response_type=code&scope=openid&redirect_uri=http%3A%2F%2Flocalhost%3A8976%2Fcallback"
    assert ask(running, "GET", f"/oauth2/authorize?{query}", body=b"")[0] == 200
    form = b"grant_type=authorization_code&code=x&client_id=" + pool["client"].encode()
    headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Authorization", "Basic eDp5")]
    assert ask(running, "POST", "/oauth2/token", headers, form)[0] in {400, 401}


# --- functions ------------------------------------------------------------------------------------------------------------


def test_functions_credentials_cannot_be_worked_out():
    """The ARNs of function and role, which ministack hashes for them, are not secret; here a secret goes in as well."""
    message = b"arn:aws:lambda:us-east-1:000000000000:function:x:arn:aws:iam::000000000000:role/x"
    starts = [SimpleNamespace(hashlib=hashlib) for _ in range(3)]
    for module in starts[1:]:
        program.unguessable_credentials(module)
    first = [module.hashlib.sha256(message).hexdigest() for module in starts]
    assert len(set(first)) == 3
    assert first == [module.hashlib.sha256(message).hexdigest() for module in starts]


def test_function_runs_with_credentials_that_the_emulator_knows(running, zipped_function):
    """And they are not those that can be worked out from its ARN."""
    answer = running.client("lambda").invoke(FunctionName=zipped_function["name"], Payload=b"{}")
    given = json.loads(answer["Payload"].read())
    keys = {
        "AccessKeyId": given["AWS_ACCESS_KEY_ID"],
        "SecretAccessKey": given["AWS_SECRET_ACCESS_KEY"],
        "SessionToken": given["AWS_SESSION_TOKEN"],
    }
    assert session_client(running, "sts", keys).get_caller_identity()["Arn"].startswith("arn:aws:sts::")
    digest = hashlib.sha256(f"{zipped_function['arn']}:{zipped_function['role']}".encode()).hexdigest()
    assert keys["AccessKeyId"] != f"ASIA{digest[:16].upper()}"


@pytest.fixture(scope="module")
def zipped_function(running):
    """A function that tells its credentials."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", FUNCTION)
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = running.client("iam").create_role(RoleName="teller", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    made = running.client("lambda").create_function(
        FunctionName="teller",
        Runtime="python3.13",
        Handler="index.handler",
        Role=role,
        Code={"ZipFile": code.getvalue()},
    )
    return {"name": "teller", "arn": made["FunctionArn"], "role": role}
