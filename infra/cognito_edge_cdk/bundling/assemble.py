"""A function's folder from sources, locked wheels and a few generated files: same inputs, same bytes.

Both the edge function and the example's backend are put together here. Nothing of the machine gets in: no paths, no
times, no umask, no directory order, no installer's notes. ``bundle.json`` in the folder names every input, and is what
a second build compares before it does anything.
"""

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from .layout import BUNDLES
from .wheelhouse import Target, Wheel, select

MANIFEST: Final = "bundle.json"

# Raise it when the same inputs give other bytes than before: folders of the old format are then rebuilt.
_FORMAT = 2

# The oldest time that a zip archive can hold, as seconds since the epoch (1980-01-01T00:00:00Z).
_MTIME_S = 315_532_800

# Installers' notes: they differ from machine to machine, and nothing reads them at run time. METADATA and licences stay.
_NOTES = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})
_TESTS = re.compile(r"(?:^|/)(?:tests?/|test_[^/]*\.py$|conftest\.py$)")
# Another interpreter's bytecode, and what only type checkers and Cython read.
_UNREAD = (".pyc", ".pyi", ".pyx", ".pxd")
_TOP_EXTENSION = re.compile(r"[^/]+\.so")

# The magic number of CPython 3.13's final releases (Lib/importlib/_bootstrap_external.py: 3571). A pre-release's
# .pyc would be refused by the runtime, and then compiled anew at every cold start.
_MAGIC_313 = "f30d0d0a"

_PROBE = """
import importlib.util, json, platform, sys
magic = importlib.util.MAGIC_NUMBER.hex()
print(json.dumps([platform.python_implementation(), platform.python_version(), magic, sys.executable]))
"""

# dfile: the name inside the bundle, so that the build's own path is nowhere in the bytes. The import system replaces it
# by the real path when it loads the file.
_COMPILE = """
import importlib.util, py_compile, sys
root = sys.argv[1] + "/"
for name in sys.stdin.read().splitlines():
    py_compile.compile(
        root + name,
        cfile=root + importlib.util.cache_from_source(name),
        dfile=name,
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
"""
_PROBE_TIMEOUT_S = 20
_COMPILE_TIMEOUT_S = 300

# Cached folders beyond these are removed, unless a build that is still running may want them.
_KEPT_FOLDERS = 8
_KEPT_S = 3_600


class BundleError(Exception):
    """The bundle cannot be built as asked; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The CPython that compiles a bundle's bytecode.

    Attributes:
        executable: How to run it.
        version: For example ``CPython 3.13.0``. Goes into the manifest: another one may compile to other bytes.
        magic: The magic number (hex) that its .pyc files begin with.
    """

    executable: str
    version: str
    magic: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides a bundle's bytes.

    Attributes:
        package: The folder of our own code; its ``*.py`` files go in under the folder's name.
        lock: The hashed requirements file of its dependencies.
        target: What the wheels have to run on.
        wheelhouse: Where those wheels lie.
        files: Generated files by name.
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


def this_interpreter() -> Interpreter:
    """Return the interpreter that runs this program."""
    return _probe(sys.executable) or _refuse_interpreter(sys.executable)


def lambda_interpreter() -> Interpreter | None:
    """Find a CPython 3.13 that really runs: this one, or a ``python3.13`` on the PATH.

    A name on the PATH proves nothing: version managers put shims there that only print an error.
    """
    on_path = [str(Path(folder) / "python3.13") for folder in os.get_exec_path()]
    for executable in [sys.executable, *on_path]:
        found = _probe(executable)
        if found and found.magic == _MAGIC_313:
            return found
    return None


def interpreter_for(target: Target, choice: str) -> Interpreter | None:
    """Return what compiles bytecode for *target*.

    Args:
        target: Where the bytecode has to be accepted.
        choice: ``auto`` (this interpreter for the host, any CPython 3.13 found for Lambda), ``none``, or a path.

    Raises:
        BundleError: When a path was given whose bytecode the target would refuse.
    """
    if choice == "none":
        return None
    if choice == "auto":
        return this_interpreter() if target.name == "host" else lambda_interpreter()
    wanted = _MAGIC_313 if target.name == "lambda" else this_interpreter().magic
    found = _probe(choice)
    if not found or found.magic != wanted:
        what = "CPython 3.13" if target.name == "lambda" else f"CPython {platform.python_version()}"
        actual = f"it is {found.version}" if found else "it does not run"
        raise BundleError(f"bytecode for the {target.name} bundle needs {what}; {choice}: {actual}. Or use: none")
    return found


def _probe(executable: str) -> Interpreter | None:
    if not os.access(executable, os.X_OK):
        return None
    try:
        answer = subprocess.run(  # noqa: S603 - an interpreter of the user's own PATH or choice, asked for its version
            [executable, "-I", "-S", "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=True,
        ).stdout
        implementation, version, magic, resolved = json.loads(answer)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    # What answered, not what was called: a shim that needs this environment would fail in the compiler's empty one.
    return Interpreter(resolved, f"{implementation} {version}", magic) if implementation == "CPython" else None


def _refuse_interpreter(executable: str) -> Interpreter:
    raise BundleError(f"{executable} is no CPython that can be asked for its version; run this with CPython")


def cached(recipe: Recipe) -> Path:
    """Return a folder with the bundle, built now or by an earlier call with the same inputs."""
    inputs = _inputs(recipe, select(recipe.lock, target_=recipe.target, wheelhouse=recipe.wheelhouse))
    key = hashlib.sha256(_canonical(inputs)).hexdigest()[:16]
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
        3. Build in a new folder beside it: sources, wheels, generated files, bytecode, manifest.
        4. Put that in its place: whoever reads the folder never sees half of it.

    Args:
        recipe: The inputs.
        output: The folder; replaced as a whole.

    Returns:
        Whether it had to be built.

    Raises:
        WheelhouseError: When a wheel is missing.
        BundleError: When *output* holds something else, or two inputs claim one file.
    """
    output = output.resolve()
    wheels = select(recipe.lock, target_=recipe.target, wheelhouse=recipe.wheelhouse)  # (1)
    inputs = _inputs(recipe, wheels)
    if _is_current(output, inputs):  # (2)
        return False
    if output.exists() and not (output / MANIFEST).is_file() and (not output.is_dir() or any(output.iterdir())):
        raise BundleError(f"{output} exists and holds no bundle; name a new folder, or remove it first")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as scratch:
        fresh = Path(scratch) / "new"
        _fill(fresh, recipe, wheels)  # (3)
        manifest = {**inputs, "tree": _tree_digest(fresh)}
        (fresh / MANIFEST).write_bytes(json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n")
        _normalise(fresh)
        # (4) A build of the same inputs that ran at the same time may have been faster; its folder is as good.
        if not _is_current(output, inputs):
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
        "sources": {name: hashlib.sha256(content).hexdigest() for name, content in _sources(recipe.package)},
        "wheels": {wheel.path.name: wheel.sha256 for wheel in wheels},
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in recipe.files.items()},
    }


def _canonical(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _is_current(output: Path, inputs: Mapping[str, object]) -> bool:
    try:
        manifest = json.loads((output / MANIFEST).read_bytes())
        tree = manifest.pop("tree")
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False
    return bool(manifest == inputs and tree == _tree_digest(output))


def _tree_digest(folder: Path) -> str:
    """Return one hash over the names and contents of all files but the manifest."""
    whole = hashlib.sha256()
    for name in _names(folder):
        if name != MANIFEST:
            whole.update(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()} {name}\n".encode())
    return whole.hexdigest()


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def _sources(package: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(package.rglob("*.py")):
        yield f"{package.name}/{path.relative_to(package).as_posix()}", path.read_bytes()


def _fill(folder: Path, recipe: Recipe, wheels: tuple[Wheel, ...]) -> None:
    folder.mkdir()
    for name, content in _sources(recipe.package):
        _write(folder, name, content)
    for wheel in wheels:
        for name, content in _unpacked(wheel.path, extensions_only=wheel.name in recipe.unused):
            _write(folder, name, content)
    for name, content in recipe.files.items():
        _write(folder, name, content)
    if recipe.bytecode:
        _compile(folder, recipe.bytecode)


def _write(folder: Path, name: str, content: bytes) -> None:
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/"):
        raise BundleError(f"a file named {name!r} would lie outside the bundle")
    path = folder.joinpath(*parts)
    if path.exists():
        raise BundleError(f"two inputs claim the file {name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


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


def _compile(folder: Path, interpreter: Interpreter) -> None:
    """Write unchecked-hash ``.pyc`` files: the runtime then neither compiles nor compares times (PEP 552).

    A process of its own, with nothing but a fixed hash seed: what is marshalled depends a little on which strings the
    compiling process already holds.
    """
    sources = "\n".join(name for name in _names(folder) if name.endswith(".py"))
    finished = subprocess.run(  # noqa: S603 - an interpreter that was probed above
        [interpreter.executable, "-s", "-S", "-B", "-W", "ignore", "-c", _COMPILE, str(folder)],
        input=sources,
        env={"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=_COMPILE_TIMEOUT_S,
        check=False,
    )
    if finished.returncode:
        raise BundleError(f"{interpreter.version} could not compile the bundle: {finished.stderr[-2000:].strip()}")


def _normalise(folder: Path) -> None:
    """Give every file and folder the same mode and time, whatever the umask and the clock say."""
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (_MTIME_S, _MTIME_S))


def _prune(*, keep: Path) -> None:
    """Remove cached folders that nothing used lately; every edit of a source makes a new one."""
    oldest_kept = time.time() - _KEPT_S
    with contextlib.suppress(FileNotFoundError):  # another process is at the same thing
        folders = sorted(BUNDLES.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for folder in folders[_KEPT_FOLDERS:]:
            if folder != keep and folder.stat().st_mtime < oldest_kept:
                shutil.rmtree(folder, ignore_errors=True)
