"""The interpreter that compiles a bundle's bytecode, and how it writes the ``.pyc`` files."""

import functools
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .folder import BundleError, file_names

# The magic number of CPython 3.13's final releases (Lib/importlib/_bootstrap_external.py: 3571). The runtime would refuse
# a pre-release's .pyc, and compile every module at every cold start.
_MAGIC_313 = "f30d0d0a"

_PROBE = """
import importlib.util, json, platform, sys
magic = importlib.util.MAGIC_NUMBER.hex()
print(json.dumps([platform.python_implementation(), platform.python_version(), magic, sys.executable]))
"""

# dfile: the name inside the bundle keeps the build's own path out of the bytes. The import system replaces it by the real
# path when it loads the file.
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


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The CPython that compiles a bundle's bytecode.

    Attributes:
        executable: How to run it.
        version: For example ``CPython 3.13.0``. It goes into the manifest: another one may compile to other bytes.
        magic: The magic number (hex) that its ``.pyc`` files begin with.
    """

    executable: str
    version: str
    magic: str


def this_interpreter() -> Interpreter:
    """Return the interpreter that runs this program.

    Raises:
        BundleError: It is not CPython.
    """
    found = _probe(sys.executable)
    if found is None:
        raise BundleError(f"{sys.executable} is no CPython that can be asked for its version; run this with CPython")
    return found


def lambda_interpreter() -> Interpreter | None:
    """Find a CPython 3.13 that really runs: this one, a ``python3.13`` on the PATH, or one that pyenv installed.

    A name on the PATH proves nothing: pyenv puts shims there that only print an error.
    """
    on_path = [Path(folder) / "python3.13" for folder in os.get_exec_path()]
    pyenv = Path(os.environ.get("PYENV_ROOT") or f"{os.environ.get('HOME', '')}/.pyenv") / "versions"
    for executable in [sys.executable, *on_path, *sorted(pyenv.glob("3.13.*/bin/python3.13"))]:
        found = _probe(str(executable))
        if found and found.magic == _MAGIC_313:
            return found
    return None


def interpreter_for(platform_name: str, choice: str) -> Interpreter | None:
    """Return what compiles bytecode for a platform.

    Args:
        platform_name: Where the bytecode has to be accepted: ``lambda`` or ``host``.
        choice: ``auto`` (this interpreter for the host, any CPython 3.13 found for Lambda), ``none``, or a path.

    Raises:
        BundleError: A path was given whose bytecode the platform would refuse.
    """
    if choice == "none":
        return None
    if choice == "auto":
        return this_interpreter() if platform_name == "host" else lambda_interpreter()
    wanted = _MAGIC_313 if platform_name == "lambda" else this_interpreter().magic
    found = _probe(choice)
    if not found or found.magic != wanted:
        what = "CPython 3.13" if platform_name == "lambda" else f"CPython {platform.python_version()}"
        actual = f"it is {found.version}" if found else "it does not run"
        raise BundleError(f"bytecode for the {platform_name} bundle needs {what}; {choice}: {actual}. Or use: none")
    return found


def compile_modules(folder: Path, interpreter: Interpreter) -> None:
    """Write unchecked-hash ``.pyc`` files: the runtime then neither compiles nor compares times (PEP 552).

    They are written by a process of its own with a fixed hash seed: what is marshalled depends a little on which strings
    the compiling process already holds.

    Raises:
        BundleError: A module does not compile.
    """
    sources = "\n".join(name for name in file_names(folder) if name.endswith(".py"))
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


def describe_bytecode(interpreter: Interpreter | None) -> str:
    """Say in a few words which bytecode a bundle ships."""
    if interpreter:
        return f"bytecode by {interpreter.version}"
    return "no bytecode (no CPython 3.13 found, or not wanted): slower cold starts"


@functools.cache
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
