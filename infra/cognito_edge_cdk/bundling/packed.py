"""``edge.zip``: the edge function's folder as an installed wheel carries it, all but ``settings.json``.

It is one file: an installer would compile a folder's modules anew, with its own Python.
"""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from .bytecode import compile_modules, interpreter_for
from .folder import MANIFEST, file_names, finish, hashes, write


def pack(folder: Path, archive: Path) -> None:
    """Write a bundle's folder into a zip archive: same folder, same bytes."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in file_names(folder):
            entry = zipfile.ZipInfo(name)  # its time is 1980-01-01
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, (folder / name).read_bytes())


def unpack(archive: Path, folder: Path, *, files: Mapping[str, bytes], bytecode: str) -> None:
    """Make *folder* the bundle that a build from the sources would give.

    Args:
        archive: What ``pack`` wrote.
        folder: An empty folder.
        files: The files that the archive lacks.
        bytecode: ``auto`` (as packed), ``none``, or the path of a CPython 3.13 that compiles it anew.

    Raises:
        BundleError: The named interpreter cannot compile for Lambda.
    """
    compiler = interpreter_for("lambda", bytecode) if bytecode != "auto" else None
    with zipfile.ZipFile(archive) as packed:
        inputs = json.loads(packed.read(MANIFEST))
        for name in packed.namelist():
            if name != MANIFEST and (bytecode == "auto" or not name.endswith(".pyc")):
                write(folder, name, packed.read(name))
    for name, content in files.items():
        write(folder, name, content)
    if bytecode != "auto":
        inputs["bytecode"] = compiler.version if compiler else "none"
    if compiler:
        compile_modules(folder, compiler)
    finish(folder, {**inputs, "files": {**inputs["files"], **hashes(files)}})
