"""Locked wheels, downloaded once: afterwards a bundle can be built with no network.

pip does the downloading and checks every hash; choosing and unpacking need no pip, so that a bundle does not depend on
which pip is installed. A wheel is taken only if its SHA-256 stands in the lock, however it came into the folder.
"""

import hashlib
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags, sys_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from .layout import PROJECT

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

_DOWNLOAD_TIMEOUT_S = 600
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)\s*(?:;\s*(?P<marker>[^\\]+))?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class WheelhouseError(Exception):
    """A wheel is missing, or the lock cannot be read; the message says what to run."""


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
        ValueError: When it is neither ``lambda`` nor ``host``.
    """
    if name == "host":
        # {}: packaging fills in this interpreter's own values.
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
class Locked:
    """One entry of a lock: an exact version, and the hashes of its files.

    Attributes:
        name: The canonical project name.
        version: The exact version.
        hashes: SHA-256, hex, of every file that counts as this version.
    """

    name: str
    version: str
    hashes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel file whose hash stands in the lock.

    Attributes:
        name: The project's canonical name.
        path: The file.
        sha256: Its SHA-256, hex.
    """

    name: str
    path: Path
    sha256: str


def read_lock(lock: Path, *, markers: Mapping[str, str]) -> tuple[Locked, ...]:
    """Return the entries of a hashed requirements file that apply to an environment, in the file's order.

    Args:
        lock: What ``uv pip compile --generate-hashes`` or ``pip-compile --generate-hashes`` writes.
        markers: Marker values (PEP 508) that differ from this interpreter's.

    Raises:
        WheelhouseError: When a line is not ``name==version`` with at least one SHA-256.
    """
    return tuple(_entries(lock, markers))


def _entries(lock: Path, markers: Mapping[str, str]) -> Iterator[Locked]:
    logical = lock.read_text("utf-8").replace("\\\n", " ")
    for line in logical.splitlines():
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        found = _REQUIREMENT.match(text)
        hashes = frozenset(_HASH.findall(text))
        if not found or not hashes:
            raise WheelhouseError(
                f"{lock.name}: expected name==version with --hash=sha256:…, not {text[:80]!r}; write it with `make lock`",
            )
        marker = (found["marker"] or "").split("--hash", 1)[0].strip()
        if not marker or Marker(marker).evaluate(dict(markers)):
            yield Locked(name=canonicalize_name(found["name"]), version=found["version"], hashes=hashes)


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
        WheelhouseError: Naming every project that has no usable wheel, and what to run.
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
    """Fill the wheelhouse with what the lock names; does nothing when it is all there.

    Args:
        lock: The hashed requirements file.
        target_: What the wheels have to run on.
        wheelhouse: The folder to fill; made if need be.

    Returns:
        Whether anything had to be downloaded.

    Raises:
        WheelhouseError: When pip fails, with its last words.
    """
    try:
        select(lock, target_=target_, wheelhouse=wheelhouse)
    except WheelhouseError:
        pass
    else:
        return False
    wheelhouse.mkdir(parents=True, exist_ok=True)
    # pip reads markers for the interpreter it runs under, whatever platform it downloads for: they are decided here.
    lines = [
        f"{locked.name}=={locked.version} " + " ".join(f"--hash=sha256:{digest}" for digest in sorted(locked.hashes))
        for locked in read_lock(lock, markers=target_.markers)
    ]
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch) / lock.name
        requirements.write_text("\n".join(lines) + "\n", "utf-8")
        finished = subprocess.run(  # noqa: S603 - our own interpreter, with arguments built above
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
                *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
                *target_.pip_arguments,
                *("--requirement", str(requirements), "--dest", str(wheelhouse)),
            ],
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_TIMEOUT_S,
            check=False,
        )
    if finished.returncode:
        raise WheelhouseError(
            f"pip could not download the {target_.name} wheels of {lock.name} "
            f"(Python {platform.python_version()}):\n{finished.stderr[-2000:].strip()}",
        )
    select(lock, target_=target_, wheelhouse=wheelhouse)
    return True
