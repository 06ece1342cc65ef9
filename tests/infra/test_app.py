"""The app synthesises anywhere to the same bytes, and the template passes the tools."""

import json
import subprocess
import sys
from pathlib import Path

from tests.infra.rig import PROJECT, run_module

# CDK adds a DependsOn for a role that a property already refers to; it says the same thing twice.
DOUBLE_DEPENDENCY = "W3005"


def test_cfn_lint_finds_nothing(assembly):
    """No error and no warning, with one of CDK's own habits left out."""
    finished = subprocess.run(
        [
            *(Path(sys.executable).with_name("cfn-lint"), "--ignore-checks", DOUBLE_DEPENDENCY),
            *("--regions", "us-east-1", "--", assembly / "CognitoEdgeGateway.template.json"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.returncode, finished.stdout) == (0, "")


def test_every_finding_is_acknowledged_with_a_reason(assembly):
    """cdk-nag and CDK's own checks ran, and what they found was answered."""
    reports = json.loads((assembly / "validation-report.json").read_bytes())["pluginReports"]
    nag = next(report for report in reports if report["pluginName"] == "AwsSolutions")
    assert [violation for report in reports for violation in report["violations"]] == []
    assert {violation["ruleName"].partition("[")[0] for violation in nag["suppressedViolations"]} == {
        *("AwsSolutions-COG2", "AwsSolutions-COG8", "AwsSolutions-L1", "AwsSolutions-IAM5"),
        *("AwsSolutions-CFR1", "AwsSolutions-CFR2", "AwsSolutions-CFR3", "AwsSolutions-CFR4"),
        "AwsSolutions-S1",
    }
    assert all(len(violation["reason"]) > 20 for violation in nag["suppressedViolations"])


def test_another_folder_synthesises_to_the_same_template_and_assets(assembly, elsewhere):
    """Neither the project's place, nor the checks, nor the umask gets into what is deployed."""
    finished = run_module("infra.app", "--fast", project=elsewhere, umask=0o077)
    assert finished.returncode == 0, finished.stderr
    for name in ("CognitoEdgeGateway.template.json", "CognitoEdgeGateway.assets.json"):
        assert (elsewhere / "cdk.out" / name).read_bytes() == (assembly / name).read_bytes()


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path):
    """A slip in --output must not cost anybody their files."""
    (tmp_path / "thesis.txt").write_text("all of it")
    finished = run_module("infra.app", "--fast", "--output", tmp_path)
    assert finished.returncode == 1
    assert "is no cloud assembly" in finished.stderr
    assert (tmp_path / "thesis.txt").exists()


def test_cdk_json_names_the_app_and_no_account():
    """The CLI runs the same module; accounts and looked-up values have no place in the repository."""
    document = json.loads((PROJECT / "cdk.json").read_bytes())
    assert document["app"].endswith("python -m infra.app")
    assert not [key for key in document["context"] if "account=" in key]
