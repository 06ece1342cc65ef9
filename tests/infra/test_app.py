"""The app synthesises to the same bytes in any folder, and the template passes the tools."""

import json
import subprocess
import sys
from pathlib import Path

from tests.infra.rig import PROJECT, run_module

# CDK adds a DependsOn for a role that a property already refers to, which is redundant.
DOUBLE_DEPENDENCY = "W3005"


def test_cfn_lint_finds_nothing(assembly):
    """No error and no warning, except for one of CDK's own habits."""
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
    """cdk-nag and CDK's own checks ran, and each finding has a reason."""
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
    """The project's place, the checks and the umask do not change what is deployed."""
    finished = run_module("infra.app", "--fast", project=elsewhere, umask=0o077)
    assert finished.returncode == 0, finished.stderr
    for name in ("CognitoEdgeGateway.template.json", "CognitoEdgeGateway.assets.json"):
        assert (elsewhere / "cdk.out" / name).read_bytes() == (assembly / name).read_bytes()


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path):
    """A slip in --output must not cost a person their files."""
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


def test_context_without_a_value_is_wrong_usage():
    """Status 2, before anything is synthesised."""
    finished = run_module("infra.app", "--context", "signing")
    assert finished.returncode == 2
    assert "signing: expected KEY=VALUE" in finished.stderr
