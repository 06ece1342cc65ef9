"""scripts/doctor.py against the running local system: one thing is broken on purpose, and the doctor names it.

The system is one of its own, with short lifetimes. Most plants go through the emulated AWS APIs, as a hand in the console
would; each is undone afterwards. The script runs in this process, with the checks of the step that is at stake.
"""

import base64
import contextlib
import copy
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pytest
import requests
from cognito_edge_cli import stack as stacks
from cognito_edge_cli.doctor.checks import calls
from cognito_edge_cli.doctor.command import PROBES
from cognito_edge_cli.doctor.system import Answer
from cognito_edge_cli.doctor.system import System as Examined
from cognito_edge_cli.main import main
from cognito_edge_cli.sign_in import token_cache

from tests.e2e.conftest import System
from tests.support import running_system as local_system
from tests.support.http_fake import Answer as HttpAnswer
from tests.support.http_fake import HttpFake

pytestmark = pytest.mark.e2e

SETTINGS = {"settings_lifetime_s": 1, "keys_lifetime_s": 1, "cooldown_s": 0.1}
PATIENCE_S = 20
STORING_POLICY = "658327ea-f89d-4fab-a63d-7e88639e58f6"  # Managed-CachingOptimized
ALL_VIEWER = "216adef6-5c7f-47e4-b989-5492eafa07d3"  # Managed-AllViewer: with Host


@dataclass
class Patient(System):
    """A system to be made ill."""

    def client(self, service: str):
        """Return a boto3 client of the emulator."""
        return stacks.client(self.stack, service, self.outputs["region"])

    @cached_property
    def stack(self) -> stacks.Stack:
        return stacks._local(self.process.outputs_file)

    @cached_property
    def resources(self) -> dict[str, str]:
        """The CloudFormation stack's outputs."""
        found = self.client("cloudformation").describe_stacks()["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}

    @property
    def role(self) -> str:
        return self.resources["EdgeRoleArn"].rpartition("/")[2]

    @property
    def edge_function(self) -> str:
        return self.resources["EdgeFunctionVersionArn"].split(":")[6]

    @cached_property
    def api_function(self) -> str:
        names = [found["FunctionName"] for found in self.client("lambda").list_functions()["Functions"]]
        return next(name for name in names if "-ApiFunction" in name)

    def parameter(self, name: str) -> str:
        return f"{self.outputs['parameter_prefix']}/{name}"

    def claims(self) -> dict:
        payload = self.token.split(".")[1]
        return json.loads(base64.urlsafe_b64decode(payload + "==="))

    def turn(self, **changes: object) -> None:
        """Turn knobs of scripts/fault.py."""
        control = json.loads((self.process.state_dir / "control.json").read_bytes())
        headers = {"Authorization": f"Bearer {control['secret']}"}
        answer = requests.post(control["url"] + "/faults", json=changes, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text

    def wait_until_well(self) -> None:
        """Wait until the demo user is let in."""
        give_up = time.monotonic() + PATIENCE_S
        while (
            answer := requests.get(f"{self.url}/api/whoami", headers=self.credentials, timeout=10)
        ).status_code != 200:
            assert time.monotonic() < give_up, answer.text
            time.sleep(0.05)

    @property
    def credentials(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """The system of this module; the scripts of this process mean it."""
    folder = tmp_path_factory.mktemp("doctor")
    settings = folder / "settings.json"
    settings.write_text(json.dumps(SETTINGS))
    with local_system.running(folder, "--settings", str(settings)) as process, pytest.MonkeyPatch.context() as patch:
        for module in (stacks, token_cache):
            patch.setattr(module, "LOCAL_FOLDER", process.state_dir)
        patch.setattr(stacks, "client", one_of_each(stacks.client))
        found = Patient(process)
        found.wait_until_well()
        yield found


def one_of_each(make):
    """Keep boto3's clients: each takes longer to make than a check, and there are some fifty runs."""
    made, lock = {}, threading.Lock()

    def client(stack, service, region, **config):
        with lock:
            key = (stack.name, service, region, repr(config))
            if key not in made:
                made[key] = make(stack, service, region, **config)
            return made[key]

    return client


@dataclass
class Report:
    """What the doctor said."""

    status: int
    document: dict

    def named(self, check: str) -> list[dict]:
        """The lines of a check that are not all right."""
        return [line for line in self.document["checks"] if line["id"] == check and line["outcome"] != "pass"]


@pytest.fixture
def examine(patient, capsys):
    """Run the doctor; whatever it says, it says no secret."""

    def examine(*options: str, clock=time.time) -> Report:
        status = main(["doctor", "--local", "--json", *options], clock=clock)
        captured = capsys.readouterr()
        printed = captured.out + captured.err
        for secret in (patient.outputs["password"], *patient.token.split(".")[1:], patient.claims()["sub"]):
            assert secret not in printed
        return Report(status, json.loads(captured.out))

    return examine


# --- plants: each breaks one thing and mends it afterwards ----------------------------------------------------------------


@contextlib.contextmanager
def parameter(patient: Patient, name: str, value: str | None) -> Iterator[None]:
    """Write, or delete, one of the three parameters."""
    ssm, full = patient.client("ssm"), patient.parameter(name)
    before = ssm.get_parameter(Name=full)["Parameter"]["Value"]
    if value is None:
        ssm.delete_parameter(Name=full)
    else:
        ssm.put_parameter(Name=full, Value=value, Type="String", Overwrite=True)
    yield
    ssm.put_parameter(Name=full, Value=before, Type="String", Overwrite=True)


@contextlib.contextmanager
def distribution(patient: Patient, change) -> Iterator[None]:
    """Change the distribution's configuration; *change* gets it, and the behavior ``/api/*``."""
    cloudfront, id_ = patient.client("cloudfront"), patient.resources["DistributionId"]

    def write(config: dict) -> None:
        etag = cloudfront.get_distribution_config(Id=id_)["ETag"]
        cloudfront.update_distribution(Id=id_, IfMatch=etag, DistributionConfig=config)

    before = cloudfront.get_distribution_config(Id=id_)["DistributionConfig"]
    for origin in before["Origins"]["Items"]:
        if "CustomOriginConfig" in origin:  # the API wants them, and the emulator does not give them
            origin["CustomOriginConfig"].update(HTTPPort=80, HTTPSPort=443)
    changed = copy.deepcopy(before)
    change(changed, next(one for one in changed["CacheBehaviors"]["Items"] if one["PathPattern"] == "/api/*"))
    write(changed)
    yield
    write(before)


@contextlib.contextmanager
def role_without(patient: Patient, action: str) -> Iterator[None]:
    """Take a statement from the edge role's policy."""
    iam = patient.client("iam")
    name = next(one for one in iam.list_role_policies(RoleName=patient.role)["PolicyNames"] if "EdgePermissions" in one)
    before = iam.get_role_policy(RoleName=patient.role, PolicyName=name)["PolicyDocument"]
    kept = [statement for statement in before["Statement"] if statement["Action"] != action]
    assert len(kept) == len(before["Statement"]) - 1
    iam.put_role_policy(
        RoleName=patient.role, PolicyName=name, PolicyDocument=json.dumps({**before, "Statement": kept})
    )
    yield
    iam.put_role_policy(RoleName=patient.role, PolicyName=name, PolicyDocument=json.dumps(before))


@contextlib.contextmanager
def role_trust(patient: Patient) -> Iterator[None]:
    """Let the replication service out of the role's trust policy."""
    iam = patient.client("iam")
    before = iam.get_role(RoleName=patient.role)["Role"]["AssumeRolePolicyDocument"]
    changed = copy.deepcopy(before)
    changed["Statement"][0]["Principal"]["Service"] = "lambda.amazonaws.com"
    iam.update_assume_role_policy(RoleName=patient.role, PolicyDocument=json.dumps(changed))
    yield
    iam.update_assume_role_policy(RoleName=patient.role, PolicyDocument=json.dumps(before))


@contextlib.contextmanager
def boundary(patient: Patient) -> Iterator[None]:
    """Give the role a permissions boundary."""
    iam = patient.client("iam")
    document = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "ssm:*", "Resource": "*"}}
    policy = iam.create_policy(PolicyName="boundary", PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName=patient.role, PermissionsBoundary=policy)
    yield
    iam.delete_role_permissions_boundary(RoleName=patient.role)
    iam.delete_policy(PolicyArn=policy)


@contextlib.contextmanager
def function_url(patient: Patient, broken: dict, mended: dict) -> Iterator[None]:
    """Change the configuration of the API's function URL."""
    client = patient.client("lambda")
    client.update_function_url_config(FunctionName=patient.api_function, **broken)
    yield
    client.update_function_url_config(FunctionName=patient.api_function, **mended)


@contextlib.contextmanager
def open_policy(patient: Patient) -> Iterator[None]:
    """Admit everybody in the function's own policy."""
    client = patient.client("lambda")
    client.add_permission(
        FunctionName=patient.api_function,
        StatementId="everybody",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
    )
    yield
    client.remove_permission(FunctionName=patient.api_function, StatementId="everybody")


@contextlib.contextmanager
def version_with(patient: Patient, **changes: object) -> Iterator[None]:
    """Publish another version of the edge function, by hand, and let the distribution run it."""
    client = patient.client("lambda")
    mended = {"Runtime": "python3.13", "Environment": {"Variables": {}}, "Timeout": 10}
    client.update_function_configuration(FunctionName=patient.edge_function, **changes)
    # Lambda publishes a version only if something has changed.
    arn = client.publish_version(FunctionName=patient.edge_function, Description="by hand")["FunctionArn"]

    def change(_config: dict, behavior: dict) -> None:
        behavior["LambdaFunctionAssociations"]["Items"][0]["LambdaFunctionARN"] = arn

    with distribution(patient, change):
        yield
    client.update_function_configuration(FunctionName=patient.edge_function, **mended)


@contextlib.contextmanager
def fault(patient: Patient, **changes: object) -> Iterator[None]:
    """Turn knobs of scripts/fault.py, and let the edge find out."""
    patient.turn(**changes)
    yield
    patient.turn(jwks="ok", ssm="ok", credentials="ok", policy="ok", clock=0)
    patient.wait_until_well()


@contextlib.contextmanager
def new_keys(patient: Patient) -> Iterator[None]:
    """Rotate the pool's keys under the token that the doctor has."""
    patient.turn(keys="rotate")
    yield
    done = patient.script("get_token.py", "--local", "--force")
    assert done.returncode == 0, done.stderr
    patient.__dict__["token"] = done.stdout.strip()
    patient.wait_until_well()


@contextlib.contextmanager
def impostor(patient: Patient, place: str, status: int, headers: dict, body: bytes = b"{}") -> Iterator[None]:
    """Let the outputs lead somewhere else: what the twin and the door never do, another server does."""
    server = HttpFake(lambda _: HttpAnswer(status, body, headers))
    file = patient.process.outputs_file
    before = file.read_bytes()
    outputs = json.loads(before)
    if place == "gateway_url":
        outputs["gateway_url"] = server.url
    else:
        outputs["function_urls"]["api"] = server.url + "/"
    file.write_text(json.dumps(outputs))
    yield
    file.write_bytes(before)
    server.close()


@contextlib.contextmanager
def empty_log(patient: Patient) -> Iterator[None]:
    """Nothing was ever logged."""
    with (patient.process.state_dir / "edge.log").open("r+b") as log:
        log.truncate(0)
    yield


# --- what they change ---------------------------------------------------------------------------------------------------


def disabled(config, _behavior):
    config["Enabled"] = False


def custom_error(config, _behavior):
    item = {"ErrorCode": 403, "ResponsePagePath": "/index.html", "ResponseCode": "200", "ErrorCachingMinTTL": 10}
    config["CustomErrorResponses"] = {"Quantity": 1, "Items": [item]}


def kept_error(config, _behavior):
    config["CustomErrorResponses"] = {"Quantity": 1, "Items": [{"ErrorCode": 503, "ErrorCachingMinTTL": 60}]}


def cacheable(_config, behavior):
    behavior["CachePolicyId"] = STORING_POLICY


def with_host(_config, behavior):
    behavior["OriginRequestPolicyId"] = ALL_VIEWER


def forwarding_nothing(_config, behavior):
    del behavior["OriginRequestPolicyId"]


def plain_http(_config, behavior):
    behavior["ViewerProtocolPolicy"] = "allow-all"


def reading_only(_config, behavior):
    behavior["AllowedMethods"] = {"Quantity": 2, "Items": ["GET", "HEAD"]}


def without_body(_config, behavior):
    behavior["LambdaFunctionAssociations"]["Items"][0]["IncludeBody"] = False


def too_early(_config, behavior):
    behavior["LambdaFunctionAssociations"]["Items"][0]["EventType"] = "viewer-request"


def without_function(_config, behavior):
    behavior["LambdaFunctionAssociations"] = {"Quantity": 0}


def an_alias(_config, behavior):
    item = behavior["LambdaFunctionAssociations"]["Items"][0]
    item["LambdaFunctionARN"] = item["LambdaFunctionARN"].rpartition(":")[0] + ":live"


def signed_as_for_a_bucket(config, behavior):
    control = next(
        one["OriginAccessControlId"] for one in config["Origins"]["Items"] if one.get("OriginAccessControlId")
    )
    origin = next(one for one in config["Origins"]["Items"] if one["Id"] == behavior["TargetOriginId"])
    origin["OriginAccessControlId"] = control


AN_HOUR_AGO = {"exp": -3600, "iat": -7200, "auth_time": -7200}
PUBLIC = '{"version": 1, "routes": [{"path": "/public/*", "allow": "anyone"}, {"path": "/*"}]}'
FUTURE = '{"version": 1, "routes": [{"path": "/*"}], "cut_off": {"issued_before": 4000000000}}'
ADMINS = '{"version": 1, "routes": [{"path": "/*", "groups": ["admins"]}]}'
LONG = json.dumps({"version": 1, "routes": [{"path": f"/{number}/{'x' * 200}"} for number in range(45)]})
MISMATCH = json.dumps(
    {
        "message": "The request signature we calculated does not match the signature you provided.\n\nThe Canonical String "
        "for this request should have been\n'GET\n/api/other\n\nhost:abc.lambda-url.us-east-1.on.aws\n"
        f"x-amz-security-token:SECRET\n\nhost;x-amz-security-token\n{'0' * 64}'\n\nThe String-to-Sign should have been\n'x'\n"
    }
).encode()

NOT_YET = b'{"message": "Signature not yet current: 20261121T150000Z is still later than 20261121T145500Z"}'


def a(plant, *arguments, **named):
    """Name a plant and what it breaks."""
    return lambda patient: plant(patient, *arguments, **named)


PLANTS = {
    "policy deleted": (a(parameter, "policy", None), {"parameters.readable": "cognito-edge policy put"}),
    "client id deleted": (a(parameter, "client-id", None), {"parameters.readable": "ssm put-parameter"}),
    "pool id malformed": (a(parameter, "user-pool-id", "pool"), {"parameters.well-formed": "ssm put-parameter"}),
    "client id of another client": (a(parameter, "client-id", "0abcdefghij"), {"parameters.own": "--value"}),
    "pool id of another pool": (a(parameter, "user-pool-id", "us-east-1_Other0001"), {"parameters.own": "--value"}),
    "policy broken": (
        a(parameter, "policy", '{"version": 1, "routes": ['),
        {"policy.valid": "cognito-edge policy revert"},
    ),
    "policy with an unknown key": (
        a(parameter, "policy", '{"version": 1, "rules": []}'),
        {"policy.valid": "cognito-edge policy"},
    ),
    "policy too large": (a(parameter, "policy", LONG), {"policy.size": "--compact"}),
    "policy with a public rule": (a(parameter, "policy", PUBLIC), {"policy.rules": "cognito-edge policy put"}),
    "cut-off in the future": (a(parameter, "policy", FUTURE), {"policy.rules": "cognito-edge policy put"}),
    "pool without keys": (a(parameter, "user-pool-id", "us-east-1_Other0001"), {"keys.readable": "jwks.json"}),
    "keys rotated": (new_keys, {"keys.kid": "cognito-edge token --force"}),
    "distribution disabled": (a(distribution, disabled), {"distribution.enabled": "switch it on"}),
    "error page for everything": (a(distribution, custom_error), {"distribution.errors": "remove the custom error"}),
    "errors kept": (a(distribution, kept_error), {"distribution.errors": "TTL to 0"}),
    "caching policy": (a(distribution, cacheable), {"behavior.caching": "CachingDisabled"}),
    "viewer's Host forwarded": (a(distribution, with_host), {"behavior.forwarding": "AllViewerExceptHostHeader"}),
    "nothing forwarded": (a(distribution, forwarding_nothing), {"behavior.forwarding": "AllViewerExceptHostHeader"}),
    "plain HTTP": (a(distribution, plain_http), {"behavior.https": "HTTPS_ONLY"}),
    "two methods": (a(distribution, reading_only), {"behavior.methods": "ALLOW_ALL"}),
    "body not included": (a(distribution, without_body), {"behavior.body": "include_body=True"}),
    "function at viewer-request": (a(distribution, too_early), {"behavior.function": "EdgeGateway"}),
    "no function": (a(distribution, without_function), {"behavior.function": "EdgeGateway"}),
    "alias instead of a version": (a(distribution, an_alias), {"behavior.version": "run the numbered version"}),
    "another version, published by hand": (
        a(version_with, Runtime="python3.9", Environment={"Variables": {"DEBUG": "1"}}, Timeout=3),
        {"behavior.version": "rollback", "edge.runtime": "newer runtime", "edge.limits": "remove it"},
    ),
    "role without edgelambda": (role_trust, {"edge.trust": "trust policy"}),
    "role without SSM": (a(role_without, "ssm:GetParameters"), {"edge.parameters": "GetParameters, not GetParameter"}),
    "role with a boundary": (boundary, {"edge.boundary": "whoever keeps the boundary"}),
    "role without InvokeFunction": (
        a(role_without, "lambda:InvokeFunction"),
        {"url.permissions": "add lambda:InvokeFunction "},
    ),
    "role without InvokeFunctionUrl": (
        a(role_without, "lambda:InvokeFunctionUrl"),
        {"url.permissions": "add lambda:InvokeFunctionUrl "},
    ),
    "function URL without IAM": (
        a(function_url, {"AuthType": "NONE"}, {"AuthType": "AWS_IAM"}),
        {"url.auth": "--auth-type"},
    ),
    "function URL with CORS": (
        a(function_url, {"Cors": {"AllowOrigins": ["*"]}}, {"Cors": {}}),
        {"url.cors": "cors=Cors"},
    ),
    "function open to everybody": (open_policy, {"url.open": "--statement-id everybody"}),
    "origin access control of a bucket": (
        a(distribution, signed_as_for_a_bucket),
        {"url.signer": "origin type lambda"},
    ),
    "a function URL that answers": (a(impostor, "function_urls", 200, {}), {"url.direct": "url.auth"}),
    "an answer without a challenge": (
        a(impostor, "gateway_url", 401, {}, b'{"code": "missing_token"}'),
        {"gateway.missing-token": "changes answers"},
    ),
    "let in without a token": (a(impostor, "gateway_url", 200, {}), {"gateway.missing-token": "behavior.function"}),
    "a cached answer": (
        a(impostor, "gateway_url", 200, {"Age": "7", "X-Cache": "Hit from cloudfront"}),
        {"gateway.uncached": "create-invalidation"},
    ),
    "a signature that does not match": (
        a(impostor, "gateway_url", 403, {"x-amzn-ErrorType": "InvalidSignatureException"}, MISMATCH),
        {"gateway.call": "behavior.body"},
    ),
    "a signature of another time": (
        a(impostor, "gateway_url", 403, {"x-amzn-ErrorType": "InvalidSignatureException"}, NOT_YET),
        {"gateway.call": "see clock.edge"},
    ),
    "a permission missing": (
        a(impostor, "gateway_url", 403, {"x-amzn-ErrorType": "AccessDeniedException"}, b'{"Message": "Forbidden."}'),
        {"gateway.call": "url.permissions"},
    ),
    "the edge function throttled": (
        a(impostor, "gateway_url", 503, {"X-Cache": "LambdaLimitExceeded from cloudfront"}),
        {"gateway.call": "logs.regions"},
    ),
    "keys down, cold edge": (a(fault, jwks="down", edge="restart"), {"gateway.call": "logs.errors"}),
    "SSM denied, cold edge": (a(fault, ssm="denied", edge="restart"), {"gateway.call": "edge.parameters"}),
    "no credentials": (a(fault, credentials="missing"), {"gateway.call": "edge.trust"}),
    "edge's clock ten minutes fast": (
        a(fault, clock=600),
        {
            "gateway.call": "clock.edge",
            "clock.edge": "cognito-edge fault clock 0",
            "local.faults": "cognito-edge fault reset",
        },
    ),
    "edge's clock ten minutes slow": (
        a(fault, clock=-600),
        {"gateway.call": "clock.edge", "clock.edge": "cognito-edge fault clock 0"},
    ),
    "an empty log": (empty_log, {"logs.regions": "look again"}),
}

TOKENS = {
    "expired": (AN_HOUR_AGO, "token.judged", "expired"),
    "of another pool": (
        {"iss": "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Other0001"},
        "token.judged",
        "pool",
    ),
    "of another client": ({"aud": "0abcdefghij"}, "token.judged", "wrong_client"),
}


@pytest.mark.parametrize("name", PLANTS)
def test_the_doctor_names_what_was_broken_and_says_what_to_do(patient, examine, name):
    """The check fails while the thing is broken, with the way out in its last lines, and passes again when it is mended."""
    plant, expected = PLANTS[name]
    with plant(patient):
        report = examine(*(option for check in expected for option in ("--only", check)))
    for check, fix in expected.items():
        assert any(fix in line["fix"] for line in report.named(check)), report.document
    outcomes = {line["outcome"] for line in report.document["checks"]}
    assert report.status == (1 if "fail" in outcomes else 0)


@pytest.mark.parametrize("name", TOKENS)
def test_the_doctor_judges_a_token_from_a_file(patient, examine, tmp_path, name):
    """Signed by the pool's own key, so that the one claim alone is wrong."""
    changes, check, word = TOKENS[name]
    now = int(time.time())
    claims = patient.claims() | {
        key: now + value if isinstance(value, int) else value for key, value in changes.items()
    }
    file = tmp_path / "token"
    file.write_text(patient.mint(claims))
    report = examine("--only", check, "--token-file", str(file))
    assert report.status == 1
    assert word in report.named(check)[0]["found"] + report.named(check)[0]["fix"]


def test_what_is_no_token_is_called_that(examine, tmp_path):
    """The word in the file is not repeated."""
    file = tmp_path / "token"
    file.write_text("letmein")
    report = examine("--only", "token", "--token-file", str(file))
    assert report.status == 1
    assert "malformed_token" in report.named("token.present")[0]["found"]
    assert "letmein" not in json.dumps(report.document)


def test_a_rule_that_refuses_is_told_apart_from_a_gateway_that_fails(patient, examine):
    """403 missing_group is the policy's doing; here and at the edge it is the same."""
    with parameter(patient, "policy", ADMINS):
        report = examine("--only", "token.judged")
    assert "403 missing_group (rule routes[0] /*)" in report.named("token.judged")[0]["found"]
    assert "ask to be added" in report.named("token.judged")[0]["fix"]


def test_this_machines_clock_is_compared_with_awss(examine):
    """And the token is judged by AWS's, so that nothing else is blamed."""
    report = examine("--only", "clock.here", "--only", "token.judged", clock=lambda: time.time() + 600)
    assert "s fast: signatures are refused beyond 300 s" in report.named("clock.here")[0]["found"]
    assert report.named("token.judged") == []


def test_what_an_edge_could_not_read_is_in_the_list(patient, examine):
    """A warm edge goes on through an outage; the log tells, and forgets it once all is read again."""
    with fault(patient, jwks="down"):
        give_up = time.monotonic() + PATIENCE_S
        while not (named := examine("--only", "logs.errors").named("logs.errors")):
            assert time.monotonic() < give_up
            requests.get(f"{patient.url}/api/whoami", headers=patient.credentials, timeout=10)
    assert named[0]["subject"] == "keys"
    assert "the key endpoint answered 503" in named[0]["found"]


def test_both_canonical_requests_are_shown_with_the_first_difference_marked(patient, examine):
    """AWS's own words, laid beside what the edge signs; the session token masked."""
    plant, _ = PLANTS["a signature that does not match"]
    with plant(patient):
        found = examine("--only", "gateway.call").named("gateway.call")[0]["found"]
    assert "> AWS /api/other" in found
    assert "> we  /api/whoami" in found
    assert "^ first difference: line 2, character 6" in found
    assert "SECRET" not in found


def test_a_real_mismatch_is_explained_by_the_local_door_without_telling_who_called(patient):
    """A body that is not the one whose hash was stated: the door's trace has both canonical requests; identities are masked."""
    headers = {**patient.credentials, "x-amz-content-sha256": "0" * 64, "Accept": "application/json"}
    sent = requests.delete(f"{patient.url}/api/echo", headers=headers, data=b"x", timeout=10)
    answer = Answer(sent.status_code, {name.lower(): value for name, value in sent.headers.items()}, sent.text)
    system = Examined(patient.stack, stack_region="us-east-1", path="/api/echo", token=patient.token, clock=time.time)
    verdict = calls._refused(system, answer)
    assert "403 InvalidSignatureException" in verdict.found
    assert "^ first difference, character 1" in verdict.found
    assert "the hash stated in x-amz-content-sha256 was signed, of another body" in verdict.found
    claims = patient.claims()
    assert claims["sub"] not in verdict.found
    assert claims["email"] not in verdict.found
    assert "x-cognito-sub:(masked)" in verdict.found


def test_a_deployed_stack_is_found_by_its_outputs_and_its_logs_in_every_region(patient, monkeypatch, capsys):
    """The emulator in AWS's place: no outputs.json, the SDK's own settings, and a replica that ran in Ireland."""
    for name, value in {
        "AWS_ENDPOINT_URL": patient.outputs["aws_endpoint_url"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    group, now = f"/aws/lambda/us-east-1.{patient.edge_function}", int(time.time())
    logs = stacks.client(patient.stack, "logs", "eu-west-1")
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="replica")
    line = {"time": "2026-11-21T14:00:00.000Z", "event": "refresh_failed", "what": "keys", "reason": "no answer"}
    events = [{"timestamp": now * 1000, "message": json.dumps(line)}]
    logs.put_log_events(logGroupName=group, logStreamName="replica", logEvents=events)

    steps = ("parameters", "policy", "clock.here", "distribution", "behavior", "edge", "url.permissions", "logs")
    status = main(["doctor", "--no-sign-in", "--json", *(part for step in steps for part in ("--only", step))])
    found = Report(status, json.loads(capsys.readouterr().out))
    assert status == 0
    regions = next(line for line in found.document["checks"] if line["id"] == "logs.regions")
    assert regions["found"].startswith("eu-west-1: log group ")
    assert "no answer (eu-west-1)" in found.named("logs.errors")[0]["found"]
    assert found.document["counts"]["warn"] == 1


def test_every_check_has_a_plant():
    """What cannot be planted through the emulator is tested in tests/cli/test_doctor.py: replication."""
    planted = {check for _, expected in PLANTS.values() for check in expected}
    planted |= {"clock.here", "logs.errors", "token.present", "token.judged", "distribution.replicated"}
    assert {probe.id for probe in PROBES} == planted
    assert len(PLANTS) >= 20


def test_a_healthy_system_passes_every_check(patient):
    """As a person runs it, everything back in its place: status 0, one line for each thing, nothing to do."""
    patient.turn(edge="restart")  # it reads everything once more: what failed in its log is mended
    patient.wait_until_well()
    done = subprocess.run(
        [sys.executable, str(local_system.PROJECT / "scripts" / "doctor.py"), "--local"],
        capture_output=True,
        text=True,
        env=patient.environment(),
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 to think about, 0 wrong\n" in done.stdout
    assert "*: public site: a bucket behind an origin access control" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_system_that_is_not_there_is_no_diagnosis(tmp_path, monkeypatch, capsys):
    """Status 2: nothing was looked at."""
    monkeypatch.setattr(stacks, "LOCAL_FOLDER", tmp_path)
    assert main(["doctor", "--local"]) == 2
    assert "make run" in capsys.readouterr().err
