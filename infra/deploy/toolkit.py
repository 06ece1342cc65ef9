"""The CDK CLI: installed once from a lock, and run under the Node that came with the Python packages.

``python -m infra.deploy.toolkit`` installs it; so does a deployment that needs it.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cognito_edge_cdk.bundling.layout import CDK_CLI, CDK_CLI_LOCK, PROJECT

from . import npm


class ToolkitError(Exception):
    """The CDK CLI cannot be installed, or did not do what it was asked; the message says what to do."""


def install() -> Path:
    """Return the CLI's program; install it first if it is missing or the lock has changed.

    Raises:
        ToolkitError: npm failed.
    """
    lock, modules = sorted(CDK_CLI_LOCK.iterdir()), CDK_CLI / "node_modules"
    if not npm.is_installed(lock, modules):
        print("install: the CDK CLI (once, a few seconds)", file=sys.stderr, flush=True)
        try:
            npm.install(lock, modules, what="the CDK CLI")
        except npm.NpmError as error:
            raise ToolkitError(str(error)) from None
    return modules / "aws-cdk" / "bin" / "cdk"


def cdk(arguments: Sequence[str], *, profile: str | None) -> None:
    """Run the CLI; its output goes where ours goes.

    Args:
        arguments: Command and options.
        profile: The AWS profile; None for the SDK's own choice.

    Raises:
        ToolkitError: It failed; it has said why.
    """
    command = [str(npm.node()), str(install()), *arguments, "--no-notices", "--no-version-reporting"]
    command += ["--profile", profile] if profile else []
    environment = {**npm.environment(), "CDK_DISABLE_CLI_TELEMETRY": "true"}
    # The CLI runs in our process group, so Ctrl-C reaches it too.
    finished = subprocess.run(command, cwd=PROJECT, env=environment, check=False)  # noqa: S603 - our own Node and CLI
    if finished.returncode:
        raise ToolkitError(f"cdk {arguments[0]} failed (status {finished.returncode}); the reason stands above")


def main() -> int:
    """Install the CLI."""
    try:
        install()
    except (ToolkitError, OSError) as error:
        print(f"infra.deploy.toolkit: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
