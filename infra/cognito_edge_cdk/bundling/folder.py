"""A function's folder on disk: how files get in, and ``bundle.json``, which names every input.

Nothing of the machine gets in: no paths, no times, no umask, no directory order.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

MANIFEST: Final = "bundle.json"

# The oldest time that a zip archive can hold, as seconds since the epoch (1980-01-01T00:00:00Z).
_MTIME_S = 315_532_800


class BundleError(Exception):
    """The bundle cannot be built as asked; the message says what to change."""


def write(folder: Path, name: str, content: bytes) -> None:
    """Write a file into the folder.

    Raises:
        BundleError: The name leads outside the folder, or the file is there already.
    """
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or name.startswith("/"):
        raise BundleError(f"a file named {name!r} would lie outside the bundle")
    path = folder.joinpath(*parts)
    if path.exists():
        raise BundleError(f"two inputs claim the file {name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def finish(folder: Path, inputs: Mapping[str, object]) -> None:
    """Write the manifest, and give every file and folder the same mode and time, whatever the umask and the clock say."""
    manifest = {**inputs, "tree": _tree_digest(folder)}
    (folder / MANIFEST).write_bytes(json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n")
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (_MTIME_S, _MTIME_S))


def is_current(folder: Path, inputs: Mapping[str, object]) -> bool:
    """Tell whether the folder was built from these inputs, and nothing in it changed since."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        tree = manifest.pop("tree")
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False
    return bool(manifest == inputs and tree == _tree_digest(folder))


def file_names(folder: Path) -> list[str]:
    """Return the names of all files below the folder, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 (hex) of each file's content, by name."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def _tree_digest(folder: Path) -> str:
    """Return one hash over the names and contents of all files but the manifest."""
    whole = hashlib.sha256()
    for name in file_names(folder):
        if name != MANIFEST:
            whole.update(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()} {name}\n".encode())
    return whole.hexdigest()
