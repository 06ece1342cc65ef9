"""The commands that deploy, with the real CDK CLI, to the emulator: deploy, change, roll back, destroy."""

import json
import os
import subprocess
import sys

import boto3
import pytest
from cognito_edge_cdk.bundling.layout import CDK_CLI_LOCK
from cognito_edge_local.emulator import process as emulator

from infra.deploy import cdk_cli, toolkit
from infra.example import synth
from tests.infra.rig import PROJECT
from tests.local.emulator_support import running_emulator


def synthesise(folder, *context):
    # In this process: CDK is loaded once.
    arguments = [part for pair in ("login_branding=none", "bytecode=none", *context) for part in ("--context", pair)]
    assert synth.main(["--fast", "--output", str(folder), *arguments]) == 0
    return folder


class Account:
    """An emulated AWS account, and the commands as a person types them."""

    def __init__(self, url):
        self.url = url
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))},
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def run(self, *arguments):
        return subprocess.run(
            [sys.executable, "-m", "infra.deploy.cdk_cli", *map(str, arguments)],
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def done(self, *arguments):
        finished = self.run(*arguments)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished

    def client(self, service):
        return emulator.root_client(service, self.url)

    def outputs(self):
        (stack,) = self.client("cloudformation").describe_stacks(StackName="CognitoEdgeGateway")["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def running_version(self):
        config = self.client("cloudfront").get_distribution_config(Id=self.outputs()["DistributionId"])
        behaviors = [
            config["DistributionConfig"]["DefaultCacheBehavior"],
            *config["DistributionConfig"]["CacheBehaviors"]["Items"],
        ]
        versions = {
            association["LambdaFunctionARN"]
            for one in behaviors
            for association in (one.get("LambdaFunctionAssociations") or {}).get("Items") or []
        }
        assert len(versions) == 1
        return versions.pop().rpartition(":")[2]


@pytest.fixture
def account(tmp_path, monkeypatch):
    """An account that is not bootstrapped, without IAM: the emulator does not know the condition keys of CDK's roles."""
    real = emulator.environment
    monkeypatch.setattr(emulator, "environment", lambda *given: {**real(*given), "AUTH": "false"})
    with running_emulator(tmp_path / "emulator") as running:
        yield Account(running.url)


@pytest.mark.timeout(300)
def test_the_example_is_deployed_changed_rolled_back_and_removed(account, tmp_path):
    """From nothing to a user who signs in, to the other signing mode, back a version, and back to nothing."""
    first = account.done("deploy", "--yes", "--assembly", synthesise(tmp_path / "sigv4"))
    assert "CognitoEdgeGateway |" in first.stderr  # progress
    assert "CognitoEdgeGateway |" not in first.stdout
    assert "smoke test: made user" in first.stderr
    assert "smoke test: removed user" in first.stderr
    outputs = account.outputs()
    assert f"GatewayUrl = {outputs['GatewayUrl']}" in first.stdout
    assert account.running_version() == "1"
    assert f"deploy: site: {outputs['SiteBucket']}: " in first.stderr
    pool = outputs["UserPoolId"]
    assert account.client("cognito-idp").list_users(UserPoolId=pool)["Users"] == []

    changed = account.done("deploy", "--yes", "--assembly", synthesise(tmp_path / "oac", "signing=oac"))
    assert "AWS::CloudFront::OriginAccessControl" in changed.stdout + changed.stderr  # the diff
    assert account.running_version() == "2"
    assert account.outputs()["UserPoolId"] == pool

    back = account.done("rollback", "--yes", "--no-wait")
    assert "version 1 is on its way" in back.stderr
    assert account.running_version() == "1"
    account.done("rollback", "--yes", "--no-wait", "--to", "2")
    assert account.running_version() == "2"
    assert "there is no version 7" in account.run("rollback", "--yes", "--to", "7").stderr

    elsewhere = account.run("destroy", "--yes", "-c", "backend_region=eu-west-1")
    assert elsewhere.returncode == 1
    assert "the function is in us-east-1, and these options say eu-west-1" in elsewhere.stderr
    mistyped = account.run("destroy", "--yes", "--assembly", tmp_path / "oacc")
    assert mistyped.returncode == 1
    assert "there is no cloud assembly" in mistyped.stderr
    assert account.running_version() == "2"  # and so the gateway still runs
    gone = account.done("destroy", "--yes", "--assembly", tmp_path / "oac")
    assert "has let go of its edge function" in gone.stderr
    assert f"user pool {pool} with about 0 users: `aws cognito-idp delete-user-pool" in gone.stderr
    (table,) = account.client("dynamodb").list_tables()["TableNames"]
    assert f"delete-table --region us-east-1 --table-name {table}" in gone.stderr
    assert outputs["SiteBucket"] not in [one["Name"] for one in account.client("s3").list_buckets()["Buckets"]]
    assert account.client("lambda").list_functions()["Functions"] == []
    assert account.client("cloudfront").list_distributions()["DistributionList"].get("Items", []) == []
    again = account.done("destroy", "--yes")
    assert "there is no stack CognitoEdgeGateway" in again.stderr


def test_nothing_is_done_without_a_terminal_to_ask_at(account, assembly):
    """Without --yes and without a terminal not even the bootstrap happens."""
    finished = account.run("deploy", "--assembly", assembly)
    assert finished.returncode == 1
    assert "was never bootstrapped for CDK" in finished.stderr
    assert "add --yes" in finished.stderr
    assert account.client("cloudformation").describe_stacks()["Stacks"] == []


def test_without_credentials_it_says_what_to_do(monkeypatch, capsys):
    """It says so before anything is synthesised."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    assert cdk_cli.main(["deploy", "--yes"]) == 1
    assert "Sign in to AWS first" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["deploy", "rollback", "destroy"])
def test_every_command_explains_itself(command, capsys):
    """--help works, and names the options that matter."""
    with pytest.raises(SystemExit) as ended:
        cdk_cli.main([command, "--help"])
    assert ended.value.code == 0
    assert "--yes" in capsys.readouterr().out


def test_the_cli_is_the_one_that_the_lock_names():
    """It is installed from the lock, once; the lock names no registry, and one package with its hash."""
    program = toolkit.install()
    lock = json.loads((CDK_CLI_LOCK / "package-lock.json").read_bytes())
    packages = {name: body for name, body in lock["packages"].items() if name}
    assert list(packages) == ["node_modules/aws-cdk"]
    assert not any("resolved" in body for body in packages.values())
    assert packages["node_modules/aws-cdk"]["integrity"].startswith("sha512-")
    assert "http" not in (CDK_CLI_LOCK / "package-lock.json").read_text()
    installed = json.loads((program.parents[1] / "package.json").read_bytes())
    assert installed["version"] == packages["node_modules/aws-cdk"]["version"] == "2.1148.1"
