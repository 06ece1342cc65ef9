"""Installs what locks name, whole or not at all, and nothing newer. It needs the standard library alone.

``make`` runs ``python -m infra.install NAME …`` before each command, with names of ``_SETS`` or ``_PLACES``.

A lock is the whole closure, so pip resolves nothing (``--no-deps``) and builds nothing (only wheels). Otherwise pip asks the
index for the newest release of what a package requires as ``name[extra]`` (22.3 to 23.2), and of what builds a package.
"""

import argparse
import hashlib
import json
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# The interpreter that make runs this with has no packages yet.
sys.path.insert(0, str(Path(__file__).parent))

from cognito_edge_cdk.bundling.installer import InstallError, alone, pip, run
from cognito_edge_cdk.bundling.layout import LOCKS, PROJECT

_MARK: Final = ".installed"
"""A file in every place that names what the place was made from; it is written last."""
_BEGUN: Final = ".begun"
"""A file in a place: an installation is under way, or was interrupted."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, and what is installed into it.

    Attributes:
        folder: Its name in the project.
        locks: What it is made from. An environment's last one names all that it holds; those before are parts of that one.
        about: A few words for the console.
        kind: ``environment``; ``packages`` for ``.venv``'s interpreter; ``versions``, a folder of packages for each entry of
            the lock; ``wheels``, those of the functions.
        editable: Whether this project's own packages are installed there too, as links to their sources (PEP 660).
    """

    folder: str
    locks: tuple[str, ...]
    about: str
    kind: str = "environment"
    editable: bool = False

    @property
    def path(self) -> Path:
        """The folder."""
        return PROJECT / self.folder

    @property
    def python(self) -> Path:
        """The interpreter that it is made for."""
        return (self.path if self.kind == "environment" else PROJECT / ".venv") / "bin" / "python"

    def state(self, locks: Sequence[str]) -> set[str]:
        """Return the lines of its mark when *locks*, as they are now, are installed for its interpreter."""
        lines = {f"{lock} {hashlib.sha256((LOCKS / lock).read_bytes()).hexdigest()}" for lock in locks}
        # Packages are of no use once the Python that they were installed for is upgraded or removed.
        return {*lines, f"python {self.python.resolve(strict=True)}"}

    def ours(self) -> set[str]:
        """Return the line of its mark when this project itself is installed there, as ``pyproject.toml`` describes it now."""
        if not self.editable:
            return set()
        about = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
        packages = json.dumps([about["build-system"], about["project"], about["tool"].get("hatch")], sort_keys=True)
        return {f"project {PROJECT} {hashlib.sha256(packages.encode()).hexdigest()}"}

    def mark(self) -> set[str]:
        """Return the lines of its mark; an empty set if nothing is installed, or nothing that works."""
        try:
            self.python.resolve(strict=True)
            return set((self.path / _MARK).read_text().splitlines())
        except OSError:
            return set()

    def is_installed(self) -> bool:
        """Tell whether there is nothing to do."""
        mark = self.mark()
        return bool(mark) and self.state(self.locks) | self.ours() <= mark


_PLACES: Final = {
    "run": Place(".venv", ("run.txt",), "what runs: infra, local, scripts; half a minute", editable=True),
    "dev": Place(".venv", ("run.txt", "dev.txt"), "what runs, and what tests and checks need: a minute", editable=True),
    "emulator": Place(".venv-emulator", ("emulator.txt",), "the AWS emulator, apart from our packages"),
    "runtime": Place(".venv-runtime", ("runtime.txt",), "Lambda's runtime client, apart from everything", "packages"),
    "wheels": Place(
        ".venv-wheels",
        ("edge.txt", "backend.txt"),
        "what the functions ship, for Lambda and for this machine",
        "wheels",
    ),
    "pips": Place(".venv-pips", ("pips.txt",), "the pips that the tests install with", "versions"),
    "fuzz": Place(".venv-fuzz", ("fuzz.txt",), "the fuzzer, apart from everything"),
    "bench": Place(".venv-bench", ("bench.txt",), "Node for the Node contestant", "packages"),
    "lock": Place(".venv-lock", ("lock.txt",), "what writes the locks"),
}
_SETS: Final = {
    "to-run": ("run", "emulator", "runtime", "wheels"),
    "to-test": ("dev", "emulator", "runtime", "wheels", "pips"),
    "to-bench": ("dev", "runtime", "wheels", "bench"),
    "to-fuzz": ("fuzz",),
    "to-lock": ("lock",),
}


def install(place: Place) -> None:
    """Install what a place lacks: its locks, this project itself, or both. A changed lock empties the place first.

    Raises:
        InstallError: The place is not complete, and has no mark that says it is.
    """
    mark, begun = place.path / _MARK, place.path / _BEGUN
    written, parts = set() if begun.exists() else place.mark(), place.locks[:-1]
    dependencies = {line for line in written if not line.startswith("project ")}
    has_all = bool(dependencies) and place.state(place.locks) <= dependencies
    # The tests' packages are added to those that run, and leave these as they are: the old mark stays true until the new one.
    has_parts = place.kind == "environment" and bool(parts and dependencies) and dependencies == place.state(parts)
    if not (has_all or has_parts):
        written = set()
        mark.unlink(missing_ok=True)
        shutil.rmtree(place.path, ignore_errors=True)
        if place.kind == "environment":
            _make_environment(place.path)
    place.path.mkdir(exist_ok=True)
    begun.touch()
    state = (dependencies if has_all else place.state(place.locks)) | place.ours()
    try:
        if not has_all:
            _fill(place)
        if not place.ours() <= written:
            _add_our_packages(place)
    except InstallError as error:
        if not error.half_done:
            begun.unlink()  # pip downloads everything before it changes anything
        raise
    fresh = place.path / f"{_MARK}.new"
    fresh.write_text("".join(f"{line}\n" for line in sorted(state)))
    fresh.replace(mark)
    begun.unlink()


def _make_environment(folder: Path) -> None:
    """Make an environment with the pip that this Python brings."""
    status, output = run(_base_python(), "-I", "-m", "venv", "--clear", str(folder))
    if status:
        raise InstallError(f"{folder.name}: Python made no environment there:\n{output.strip()}")


def _base_python() -> str:
    """Return the interpreter below an activated environment: this run may replace that environment."""
    return str(getattr(sys, "_base_executable", sys.executable))


def _fill(place: Place) -> None:
    lock = LOCKS / place.locks[-1]
    if place.kind == "wheels":
        status, output = run(place.python, "-m", "infra.bundle", "--download-wheels")
        if status:
            raise InstallError(output.strip())
    elif place.kind == "versions":
        for entry in re.split(r"^(?=\w)", lock.read_text(), flags=re.MULTILINE)[1:]:
            version = entry.split()[0].partition("==")[2]
            with tempfile.TemporaryDirectory() as scratch:
                part = Path(scratch) / lock.name
                part.write_text(entry)
                pip(place.python, "install", part, "--target", str(place.path / version), into=place.folder)
    else:
        target = ("--target", str(place.path)) if place.kind == "packages" else ()
        pip(place.python, "install", lock, *target, into=place.folder)
        packages = place.path if target else next(place.path.glob("lib/python3.*/site-packages"))
        status, output = run(
            place.python, "-I", str(PROJECT / "infra/cognito_edge_cdk/bundling/locks.py"), str(lock), str(packages)
        )
        if status:
            raise InstallError(
                f"{place.folder}: what requirements/{lock.name} names is not complete; write it anew with `make lock`:\n"
                f"{output.strip()}"
            )


def _add_our_packages(place: Place) -> None:
    """Install links to this project's packages, and the command ``cognito-edge``."""
    status, output = run(
        *(place.python, "-I", "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"),
        *("--disable-pip-version-check", "--no-input", "--editable", str(PROJECT)),
    )
    if status:
        raise InstallError(f"{place.folder}: pip could not install this project itself:\n{output.strip()}")


def main(argv: Sequence[str] | None = None) -> int:
    """Install what is not installed yet."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.install", description=main.__doc__, epilog="example: python -m infra.install to-run"
    )
    parser.add_argument(
        "names", nargs="+", choices=(*_SETS, *_PLACES), metavar="NAME", help=", ".join((*_SETS, *_PLACES))
    )
    parser.add_argument("--this-python", action="store_true", help="for this interpreter, should there be another's")
    options = parser.parse_args(argv)
    places = [_PLACES[name] for given in options.names for name in _SETS.get(given, (given,))]
    if options.this_python:
        for place in places:
            if place.mark() and place.python.resolve() != Path(_base_python()).resolve():
                (place.path / _MARK).unlink()
    if all(place.is_installed() for place in places):
        return 0
    try:
        with alone(PROJECT / "dist" / "install.lock"):
            for place in places:
                if not place.is_installed():
                    print(f"install: {place.folder} ({place.about})", flush=True)
                    install(place)
    except (InstallError, OSError) as error:
        print(f"install: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("install: interrupted; the same command goes on with it", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
