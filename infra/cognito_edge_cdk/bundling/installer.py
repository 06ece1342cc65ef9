"""pip installs or downloads exactly what a lock names; a failure says what a person can do."""

import contextlib
import fcntl
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .layout import PROJECT

_PIP_SETTINGS: Final = {"PIP_USER": "0", "PIP_CONSTRAINT": os.devnull}
"""These replace the user's settings, which are meant for other projects. Index, proxy and certificate stay the user's."""
_NO_WHEEL: Final = (
    ("--no-build-isolation", "--use-pep517", "--no-binary=awslambdaric") if sys.platform == "darwin" else ()
)
"""awslambdaric has no wheel for macOS. The locked setuptools builds it, without its C extension, which is for Linux."""

_PROGRESS: Final = re.compile(
    r" *(Collecting|Downloading|Ignoring|Processing|Requirement already|Using cached|WARNING: (Location|Retrying))"
)
"""pip's lines that report no fault."""


class InstallError(Exception):
    """Something could not be installed; the message says what, why, and what to do.

    Attributes:
        half_done: Whether a part may be installed.
    """

    def __init__(self, message: str, *, half_done: bool = False) -> None:
        super().__init__(message)
        self.half_done = half_done


def pip(python: Path | str, verb: str, lock: Path, *options: str, into: str) -> None:
    """Install or download what a lock names.

    Args:
        python: The interpreter whose pip does it.
        verb: ``install`` or ``download``.
        lock: The hashed requirements file.
        options: Further ones.
        into: Where to, for messages.

    Raises:
        InstallError: pip failed; the message says which file it could not get, why, and what to set.
    """
    # -I: otherwise pip counts packages in PYTHONPATH and in the user's own site-packages as installed.
    # --no-compile: Python compiles a module when it is first imported; most of CDK never is.
    status, output = run(
        *(python, "-I", "-m", "pip", verb, "--no-deps", "--require-hashes", "--only-binary=:all:", *_NO_WHEEL),
        *("--disable-pip-version-check", "--no-input", "--progress-bar=off"),
        *(("--no-compile",) if verb == "install" else ()),
        *("--requirement", str(lock), *options),
    )
    if status:
        installing = "\nInstalling collected packages" in output
        raise InstallError(_explain(output, f"requirements/{lock.name}", into), half_done=installing)


def _explain(output: str, lock: str, into: str) -> str:
    """Return pip's failure in words that say what to do."""
    named = (
        re.search(r"^ERROR: No matching distribution found for (\S+)", output, re.MULTILINE)
        or re.search(r"^ +(\S+==\S+) from .*:$", output, re.MULTILINE)
        or re.search(r"(?s:.*)^Collecting (\S+)", output, re.MULTILINE)
    )
    if "DO NOT MATCH THE HASHES" in output:
        why = (
            "The file has another hash than the lock names: the download broke off, or the index has another file there. "
            "Run the same command again; if it says the same, do not trust that index with this file."
        )
    elif re.search(r"Retrying \(|[Cc]onnection broken|incomplete-download|[Tt]imed out|HTTP error", output):
        why = (
            "The package index cannot be reached, or does not answer in full. Is the network there? Another index: "
            "PIP_INDEX_URL=URL; a proxy: HTTPS_PROXY=URL; its certificate: PIP_CERT=FILE. Then run the same command again."
        )
    elif named and "No matching distribution" in output:
        why = (
            f"The index has no wheel of it for Python {platform.python_version()} on {platform.system()} "
            f"{platform.machine()}. Another index: PIP_INDEX_URL=URL; another Python: make PYTHON=python3.13 …"
        )
    else:
        why = "Correct what pip names below, then run the same command again."
    what = f"could not get {named[1]}, which {lock} names" if named else f"could not install what {lock} names"
    lines = [line for line in output.splitlines() if line.strip()]
    attempts = [line for line in lines if line.startswith("WARNING: Retrying")]
    others = [line for line in lines if not _PROGRESS.match(line)]
    words = "".join(f"\n  {line}" for line in (*attempts[-1:], *others[-8:]))
    return f"{into}: pip {what}.\n{why}\npip's last words:{words}"


def run(*command: Path | str) -> tuple[int, str]:
    """Run a command in the project, and return its exit status and all that it printed."""
    # The child keeps the file lock open (close_fds=False): a pip that outlives this process still holds it.
    finished = subprocess.run(  # noqa: S603 - interpreters of the project's environments, arguments built here
        [str(part) for part in command],
        cwd=PROJECT,
        env={**os.environ, **_PIP_SETTINGS},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        close_fds=False,
        check=False,
    )
    return finished.returncode, finished.stdout


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold a file lock. If another process holds it (perhaps a child that outlived its parent), say so and wait.

    Args:
        lock: A file for this purpose, named for what is locked; made here.
    """
    lock.parent.mkdir(exist_ok=True)
    handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    os.set_inheritable(handle, True)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{lock.stem}: waiting for another process that does this here", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
