"""What a lock names, and whether an installation has all of it and all that it needs in turn.

A lock is a requirements file with exact versions and hashes, and the whole closure: nothing outside of it is ever installed.
``infra.install`` runs this file after each installation (``python -I …/locks.py LOCK FOLDER``), with that environment's
interpreter, where pip may be the only package.
"""

import email
import importlib.metadata
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

try:
    from packaging.markers import Marker
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name, canonicalize_version
except ImportError:  # pip brings the same
    from pip._vendor.packaging.markers import Marker  # type: ignore[no-redef]
    from pip._vendor.packaging.requirements import Requirement  # type: ignore[no-redef]
    from pip._vendor.packaging.utils import canonicalize_name, canonicalize_version  # type: ignore[no-redef]

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)\s*(?:;\s*(?P<marker>[^\\]+))?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class LockError(ValueError):
    """A lock or a wheel's metadata cannot be read; the message names the line, and how locks are written."""


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
class Distribution:
    """What a package says of itself.

    Attributes:
        name: The canonical project name.
        version: Its version.
        requires: Its ``Requires-Dist`` lines (PEP 508).
    """

    name: str
    version: str
    requires: tuple[str, ...]


def read_lock(lock: Path, *, markers: Mapping[str, str]) -> tuple[Locked, ...]:
    """Return the entries of a lock that apply to an environment, in the file's order.

    Args:
        lock: What ``uv pip compile --generate-hashes`` or ``pip-compile --generate-hashes`` writes.
        markers: Marker values (PEP 508) that differ from this interpreter's.

    Raises:
        LockError: A line is not ``name==version`` with at least one SHA-256.
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
            raise LockError(
                f"{lock.name}: expected name==version with --hash=sha256:…, not {text[:80]!r}; write it with `make lock`",
            )
        marker = (found["marker"] or "").split("--hash", 1)[0].strip()
        if not marker or Marker(marker).evaluate(dict(markers)):
            yield Locked(name=canonicalize_name(found["name"]), version=found["version"], hashes=hashes)


def installed(folder: Path) -> tuple[Distribution, ...]:
    """Return what is installed in a folder of packages, such as an environment's ``site-packages``."""
    return tuple(
        Distribution(canonicalize_name(found.metadata["Name"]), found.version, tuple(found.requires or ()))
        for found in importlib.metadata.distributions(path=[str(folder)])
        if found.metadata["Name"]  # an installation that was cut off leaves a folder without metadata
    )


def in_wheel(wheel: Path) -> Distribution:
    """Return what a wheel file says of itself.

    Raises:
        LockError: It has no metadata.
    """
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.count("/") == 1 and name.endswith(".dist-info/METADATA"):
                metadata = email.message_from_bytes(archive.read(name))
                requires = tuple(metadata.get_all("Requires-Dist", ()))
                return Distribution(canonicalize_name(metadata["Name"]), metadata["Version"], requires)
    raise LockError(f"{wheel.name}: a wheel without METADATA")


def lacking(distributions: Iterable[Distribution], *, markers: Mapping[str, str]) -> list[str]:
    """Return what distributions need and do not find among themselves, a line each.

    ``pip check`` reports less: it does not follow extras (``a`` needs ``b[x]``, and ``b[x]`` needs ``c``).

    Args:
        distributions: All that are there.
        markers: Marker values (PEP 508) that differ from this interpreter's.
    """
    there = {distribution.name: distribution for distribution in distributions}
    extras: dict[str, set[str]] = {name: {""} for name in there}
    found: dict[str, None] = {}
    queue = list(there)
    while queue:
        distribution = there[queue.pop()]
        for text in distribution.requires:
            need = Requirement(text)
            if need.marker and not any(
                need.marker.evaluate({**markers, "extra": extra}) for extra in extras[distribution.name]
            ):
                continue
            name = canonicalize_name(need.name)
            if name not in there or not need.specifier.contains(there[name].version, prereleases=True):
                state = f"but {name} {there[name].version} is there" if name in there else "which is missing"
                wanted = str(need).partition(";")[0].strip()
                found[f"{distribution.name} {distribution.version} needs {wanted}, {state}"] = None
            elif not need.extras <= extras[name]:
                extras[name] |= need.extras
                queue.append(name)
    return sorted(found)


def main(lock: str, folder: str) -> int:
    """Print what a folder of packages lacks of a lock and its requirements; return 0 if it lacks nothing."""
    there = installed(Path(folder))
    versions = {distribution.name: canonicalize_version(distribution.version) for distribution in there}
    absent = [
        f"{entry.name} {entry.version} is missing"
        for entry in read_lock(Path(lock), markers={})
        if versions.get(entry.name) != canonicalize_version(entry.version)
    ]
    problems = [*absent, *lacking(there, markers={})]
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
