"""A function's folder from sources, locked wheels and a few generated files: same inputs, same bytes.

Both the edge function and the example's backend are put together here. ``bundle.json`` in the folder names every input;
a second build compares it before it does anything.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .bytecode import Interpreter, compile_modules
from .folder import MANIFEST, BundleError, finish, hashes, is_current, write
from .layout import BUNDLES
from .wheelhouse import Target, Wheel, select

# Raise it when the same inputs give other bytes than before: folders of the old format are then rebuilt.
_FORMAT = 2

_SHIPPED: Final = (".py", ".pem")
"""What a function needs of our own packages; ``py.typed`` and notes stay out."""

# Installers' notes: they differ from machine to machine, and nothing reads them at run time. METADATA and licences stay.
_NOTES = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
_TESTS = re.compile(r"(?:^|/)(?:tests?/|test_[^/]*\.py$|conftest\.py$)")
# Another interpreter's bytecode, and what only type checkers and Cython read.
_UNREAD = (".pyc", ".pyi", ".pyx", ".pxd")
_TOP_EXTENSION = re.compile(r"[^/]+\.so")

# Cached folders beyond these are removed, unless a build that is still running may want them.
_KEPT_FOLDERS = 8
_KEPT_S = 3_600


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a bundle's bytes.

    Attributes:
        package: The folder of our own code; its modules go in under the folder's name.
        lock: The hashed requirements file of its dependencies.
        target: What the wheels have to run on.
        wheelhouse: Where those wheels lie.
        files: Other files by name.
        bytecode: What compiles the ``.pyc`` files; None ships none.
        unused: Canonical names of locked projects whose Python modules are left out, as nothing imports them. An
            extension module that such a wheel has at its top stays.
    """

    package: Path
    lock: Path
    target: Target
    wheelhouse: Path
    files: Mapping[str, bytes]
    bytecode: Interpreter | None
    unused: frozenset[str] = frozenset()


def cached(recipe: Recipe) -> Path:
    """Return a folder with the bundle, built now or by an earlier call with the same inputs."""
    inputs = _inputs(recipe, select(recipe.lock, target_=recipe.target, wheelhouse=recipe.wheelhouse))
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
    folder = BUNDLES / f"{recipe.package.name}-{recipe.target.name}-{key}"
    assemble(recipe, folder)
    os.utime(folder)  # used now
    _prune(keep=folder)
    return folder


def assemble(recipe: Recipe, output: Path) -> bool:
    """Make *output* the bundle that *recipe* describes.

    Steps:
        1. Choose the wheels, and write down every input.
        2. Stop if the folder was built from the same inputs and nothing in it changed since.
        3. Build in a new folder beside it: sources, wheels, other files, bytecode, manifest.
        4. Put that in its place: whoever reads the folder never sees half of it.

    Args:
        recipe: The inputs.
        output: The folder; replaced as a whole.

    Returns:
        Whether it had to be built.

    Raises:
        WheelhouseError: A wheel is missing.
        BundleError: *output* holds something else, or two inputs claim one file.
    """
    output = output.resolve()
    wheels = select(recipe.lock, target_=recipe.target, wheelhouse=recipe.wheelhouse)  # (1)
    inputs = _inputs(recipe, wheels)
    if is_current(output, inputs):  # (2)
        return False
    if output.exists() and not (output / MANIFEST).is_file() and (not output.is_dir() or any(output.iterdir())):
        raise BundleError(f"{output} exists and holds no bundle; name a new folder, or remove it first")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as scratch:
        fresh = Path(scratch) / "new"
        _fill(fresh, recipe, wheels)  # (3)
        finish(fresh, inputs)
        # (4) A build of the same inputs that ran at the same time may have been faster; its folder is as good.
        if not is_current(output, inputs):
            if output.exists():
                output.rename(Path(scratch) / "old")
            fresh.rename(output)
    return True


def _inputs(recipe: Recipe, wheels: tuple[Wheel, ...]) -> dict[str, object]:
    """Name every input by its content; no path of this machine."""
    return {
        "format": _FORMAT,
        "platform": recipe.target.name,
        "bytecode": recipe.bytecode.version if recipe.bytecode else "none",
        "unused": sorted(recipe.unused),
        "sources": hashes(_sources(recipe.package)),
        "wheels": {wheel.path.name: wheel.sha256 for wheel in wheels},
        "files": hashes(recipe.files),
    }


def _sources(package: Path) -> dict[str, bytes]:
    return {
        f"{package.name}/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.suffix in _SHIPPED
    }


def _fill(folder: Path, recipe: Recipe, wheels: tuple[Wheel, ...]) -> None:
    folder.mkdir()
    for name, content in _sources(recipe.package).items():
        write(folder, name, content)
    for wheel in wheels:
        for name, content in _unpacked(wheel.path, extensions_only=wheel.name in recipe.unused):
            write(folder, name, content)
    for name, content in recipe.files.items():
        write(folder, name, content)
    if recipe.bytecode:
        compile_modules(folder, recipe.bytecode)


def _unpacked(wheel: Path, *, extensions_only: bool) -> Iterator[tuple[str, bytes]]:
    """Yield what a function needs of a wheel: modules, licences, metadata.

    Args:
        wheel: The file.
        extensions_only: Of the modules, take only extension modules at the top; without any, nothing at all.

    Source: https://packaging.python.org/en/latest/specifications/binary-distribution-format/
    """
    with zipfile.ZipFile(wheel) as archive:
        if extensions_only and not any(_TOP_EXTENSION.fullmatch(name) for name in archive.namelist()):
            return
        for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
            name = "" if entry.is_dir() else _kept_name(entry.filename, extensions_only=extensions_only)
            if name:
                yield name, archive.read(entry)


def _kept_name(name: str, *, extensions_only: bool) -> str:
    """Return where a wheel's file goes in the bundle; empty for nowhere."""
    top, _, rest = name.partition("/")
    if top.endswith(".dist-info"):
        return "" if rest in _NOTES else name
    if top.endswith(".data"):
        # purelib and platlib belong at the top; scripts, headers and data have no place in a function.
        scheme, _, name = rest.partition("/")
        if scheme not in {"purelib", "platlib"}:
            return ""
    if extensions_only and not _TOP_EXTENSION.fullmatch(name):
        return ""
    return "" if name.endswith(_UNREAD) or _TESTS.search(name) else name


def _prune(*, keep: Path) -> None:
    """Remove cached folders that were not used lately; every edit of a source makes a new one."""
    oldest_kept = time.time() - _KEPT_S
    with contextlib.suppress(FileNotFoundError):  # another process is at the same thing
        folders = sorted(BUNDLES.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for folder in folders[_KEPT_FOLDERS:]:
            if folder != keep and folder.stat().st_mtime < oldest_kept:
                shutil.rmtree(folder, ignore_errors=True)
