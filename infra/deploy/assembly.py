"""The cloud assembly that a command deploys or destroys: given, or synthesised now by ``python -m infra.app``."""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cognito_edge_cdk.bundling.bytecode import describe_bytecode, lambda_interpreter
from cognito_edge_cdk.bundling.layout import PROJECT

from .deployment import Deployment, RefusedError, say


def cloud_assembly(deployment: Deployment, options: argparse.Namespace, scratch: Path, *, checks: bool = True) -> Path:
    """Return the folder of the cloud assembly: ``--assembly``, or a new one in *scratch*.

    Args:
        deployment: Where it will be deployed.
        options: ``assembly`` and ``context`` of the command line.
        scratch: Not ``cdk.out``: what is shown has to be what is deployed, even if someone synthesises there meanwhile.
        checks: Whether cdk-nag and CDK's own checks run.

    Raises:
        RefusedError: The app could not be synthesised, or ``--assembly`` is no cloud assembly.
    """
    if options.assembly is not None:
        if not (options.assembly / "manifest.json").is_file():
            raise RefusedError(
                f"--assembly {options.assembly}: there is no cloud assembly; `make synth` writes cdk.out"
            )
        return Path(options.assembly).resolve()
    output = scratch / "cdk.out"
    context = {"bytecode": "auto", **dict(options.context)}
    if deployment.emulated:
        say("synth: AWS_ENDPOINT_URL is on this machine: the login gets no style, which emulators lack")
        context.setdefault("login_branding", "none")
    if context["bytecode"] == "auto":
        say(f"synth: {describe_bytecode(lambda_interpreter())}")
    command = [sys.executable, "-m", "infra.app", "--output", str(output), *([] if checks else ["--fast"])]
    for key, value in context.items():
        command += ["--context", f"{key}={value}"]
    if subprocess.run(command, cwd=PROJECT, check=False).returncode:  # noqa: S603 - our own app
        raise RefusedError("the app could not be synthesised; the reason stands above, and nothing was changed")
    return output


def stacks(assembly: Path) -> list[Mapping[str, Any]]:
    """Return the stacks' entries of the assembly's manifest."""
    artifacts = json.loads((assembly / "manifest.json").read_bytes())["artifacts"].values()
    return [artifact for artifact in artifacts if artifact["type"] == "aws:cloudformation:stack"]


def regions(assembly: Path) -> list[str]:
    """Return the regions of the assembly's stacks, sorted."""
    return sorted({stack["environment"].rpartition("/")[2] for stack in stacks(assembly)})
