"""Locked wheels, downloaded once: later builds need no network.

pip downloads them and checks every hash. Choosing and unpacking need no pip, so a bundle does not depend on which pip is
installed. A wheel is taken only if its SHA-256 is in the lock, however it came into the folder.
"""

import hashlib
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.tags import Tag, compatible_tags, cpython_tags, sys_tags
from packaging.utils import parse_wheel_filename

from .installer import pip
from .layout import PROJECT
from .locks import in_wheel, lacking, read_lock

# Lambda's python3.13 runs on Amazon Linux 2023, whose glibc is 2.34: wheels for that or anything older load there.
# Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
_LAMBDA_PYTHON = (3, 13)
_LAMBDA_PLATFORMS = tuple(
    platform_
    for minor in range(34, 4, -1)
    for platform_ in (
        f"manylinux_2_{minor}_x86_64",
        *({17: ("manylinux2014_x86_64",), 12: ("manylinux2010_x86_64",), 5: ("manylinux1_x86_64",)}.get(minor, ())),
    )
)
_LAMBDA_ABIS = ("cp313", "abi3", "none")
_LAMBDA_MARKERS = {
    "implementation_name": "cpython",
    "implementation_version": "3.13.0",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "Linux",
    "platform_version": "",
    "python_full_version": "3.13.0",
    "python_version": "3.13",
    "sys_platform": "linux",
}


class WheelhouseError(Exception):
    """A wheel is missing; the message says what to run."""


@dataclass(frozen=True, slots=True)
class Target:
    """The interpreter and machine that wheels are chosen for.

    Attributes:
        name: ``lambda`` or ``host``; also the wheelhouse's folder name.
        tags: Accepted wheel tags, best first (PEP 425).
        markers: Values of the environment markers (PEP 508) on that machine.
        pip_arguments: What makes ``pip download`` choose for this target.
    """

    name: str
    tags: tuple[Tag, ...]
    markers: Mapping[str, str]
    pip_arguments: tuple[str, ...]


def target(name: str) -> Target:
    """Return the target called *name*.

    Raises:
        ValueError: It is neither ``lambda`` nor ``host``.
    """
    if name == "host":
        # packaging fills in this interpreter's own values.
        return Target(name="host", tags=tuple(sys_tags()), markers={}, pip_arguments=())
    if name == "lambda":
        tags = [
            *cpython_tags(_LAMBDA_PYTHON, abis=["cp313"], platforms=_LAMBDA_PLATFORMS),
            *compatible_tags(_LAMBDA_PYTHON, interpreter="cp313", platforms=_LAMBDA_PLATFORMS),
        ]
        arguments = ["--python-version", "3.13", "--implementation", "cp"]
        for abi in _LAMBDA_ABIS:
            arguments += ["--abi", abi]
        for platform_ in _LAMBDA_PLATFORMS:
            arguments += ["--platform", platform_]
        return Target(name="lambda", tags=tuple(tags), markers=_LAMBDA_MARKERS, pip_arguments=tuple(arguments))
    raise ValueError(f"the platform is lambda or host, not {name!r}")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel file whose hash is in the lock.

    Attributes:
        name: The project's canonical name.
        path: The file.
        sha256: Its SHA-256, hex.
    """

    name: str
    path: Path
    sha256: str


def default_wheelhouse(target_: Target) -> Path:
    """Return the project's own wheelhouse for a target."""
    return PROJECT / ".venv-wheels" / target_.name


def select(lock: Path, *, target_: Target, wheelhouse: Path) -> tuple[Wheel, ...]:
    """Choose one wheel for every locked project.

    Args:
        lock: The hashed requirements file.
        target_: What the wheels have to run on.
        wheelhouse: The folder that ``download`` filled.

    Returns:
        The wheels, in the lock's order.

    Raises:
        WheelhouseError: A project has no usable wheel; the message names all of these, and what to run.
    """
    rank = {tag: position for position, tag in reversed(list(enumerate(target_.tags)))}
    candidates: dict[tuple[str, str], list[tuple[int, str, Path]]] = {}
    for path in sorted(wheelhouse.glob("*.whl")):
        name, version, _, tags = parse_wheel_filename(path.name)
        best = min((rank[tag] for tag in tags if tag in rank), default=None)
        if best is not None:
            candidates.setdefault((name, str(version)), []).append((best, path.name, path))
    chosen, missing = [], []
    for locked in read_lock(lock, markers=target_.markers):
        for _, _, path in sorted(candidates.get((locked.name, locked.version), [])):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest in locked.hashes:
                chosen.append(Wheel(name=locked.name, path=path, sha256=digest))
                break
        else:
            missing.append(f"{locked.name}=={locked.version}")
    if missing:
        raise WheelhouseError(
            f"no {target_.name} wheel with a hash of {lock.name} in {wheelhouse} for {', '.join(missing)}; "
            "run: python -m infra.bundle --download-wheels",
        )
    return tuple(chosen)


def download(lock: Path, *, target_: Target, wheelhouse: Path) -> bool:
    """Fill the wheelhouse with what the lock names; download nothing if it is complete.

    Args:
        lock: The hashed requirements file.
        target_: What the wheels have to run on.
        wheelhouse: The folder to fill; made if need be.

    Returns:
        Whether anything had to be downloaded.

    Raises:
        InstallError: pip failed.
        WheelhouseError: The lock lacks what one of its wheels needs.
    """
    missing = False
    try:
        wheels = select(lock, target_=target_, wheelhouse=wheelhouse)
    except WheelhouseError:
        missing = True
        wheelhouse.mkdir(parents=True, exist_ok=True)
        # pip reads markers for the interpreter that runs it, not for the platform that it downloads for.
        lines = [
            f"{locked.name}=={locked.version} "
            + " ".join(f"--hash=sha256:{digest}" for digest in sorted(locked.hashes))
            for locked in read_lock(lock, markers=target_.markers)
        ]
        with tempfile.TemporaryDirectory() as scratch:
            requirements = Path(scratch) / lock.name
            requirements.write_text("\n".join(lines) + "\n", "utf-8")
            options = (*target_.pip_arguments, "--dest", str(wheelhouse))
            pip(sys.executable, "download", requirements, *options, into=f".venv-wheels/{target_.name}")
        wheels = select(lock, target_=target_, wheelhouse=wheelhouse)
    lacks = lacking([in_wheel(wheel.path) for wheel in wheels], markers=target_.markers)
    if lacks:
        raise WheelhouseError(f"{lock.name} is not complete; write it anew with `make lock`: {'; '.join(lacks)}")
    return missing
