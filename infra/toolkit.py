"""The CDK CLI: installed once from a lock, and run under the Node that came with the Python packages.

``python -m infra.toolkit`` installs it; deploying does so by itself.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import npm
from .layout import CDK_CLI, CDK_CLI_LOCK, PROJECT
from .npm import Say


class ToolkitError(Exception):
    """The CDK CLI cannot be installed, or did not do what it was asked; the message says what to do."""


def install(say: Say) -> Path:
    """Return the folder of the CLI, installed now if it is not, or if the lock changed since.

    Raises:
        ToolkitError: npm failed.
    """
    files = sorted(CDK_CLI_LOCK.iterdir())
    digest = npm.digest_of(files)
    mark = CDK_CLI / ".installed"
    if mark.is_file() and mark.read_text() == digest:
        return CDK_CLI
    say("install: the CDK CLI (once, a few seconds)")
    with tempfile.TemporaryDirectory(prefix=f"{CDK_CLI.name}.", dir=CDK_CLI.parent) as scratch:
        fresh = Path(scratch) / "new"
        try:
            npm.install(files, fresh, what="the CDK CLI")
        except npm.NpmError as error:
            raise ToolkitError(str(error)) from None
        (fresh / ".installed").write_text(digest)
        if CDK_CLI.exists():
            CDK_CLI.rename(Path(scratch) / "old")
        fresh.rename(CDK_CLI)
    return CDK_CLI


def cdk(arguments: Sequence[str], *, profile: str | None, say: Say) -> None:
    """Run the CLI; what it prints goes where ours goes.

    Args:
        arguments: Command and options.
        profile: The AWS profile; None for the SDK's own choice.
        say: Takes a line, should something have to be installed.

    Raises:
        ToolkitError: It failed; it has said why.
    """
    program = install(say) / "node_modules" / "aws-cdk" / "bin" / "cdk"
    command = [str(npm.node()), str(program), *arguments, "--no-notices", "--no-version-reporting"]
    command += ["--profile", profile] if profile else []
    environment = {**npm.environment(), "CDK_DISABLE_CLI_TELEMETRY": "true"}
    # The CLI's own process group is ours: Ctrl-C reaches it first.
    finished = subprocess.run(command, cwd=PROJECT, env=environment, check=False)  # noqa: S603 - our own Node and CLI
    if finished.returncode:
        raise ToolkitError(f"cdk {arguments[0]} failed (status {finished.returncode}); the reason stands above")


def main() -> int:
    """Install the CLI."""
    try:
        install(lambda line: print(line, file=sys.stderr))
    except (ToolkitError, OSError) as error:
        print(f"infra.toolkit: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
