"""What the edge function's bundle and the example backend's are made of, in a checkout."""

from collections.abc import Mapping
from pathlib import Path

from .assemble import Recipe
from .bytecode import interpreter_for
from .layout import BACKEND_LOCK, BACKEND_SOURCES, EDGE_LOCK, EDGE_SOURCES, LICENCE
from .settings_file import settings_file
from .wheelhouse import default_wheelhouse, download, target

# Locked, because cryptography declares them, but left out, because the gateway never imports them: code that is not there
# starts no slower, and has no advisories. tests/infra/test_bundle.py runs the bundle without them.
_UNUSED = {
    "cffi": "cryptography is compiled already; all it loads is the extension module _cffi_backend, which stays",
    "pycparser": "cffi's parser of C declarations",
}


def edge_recipe(
    settings: Mapping[str, object] | None,
    *,
    platform: str = "lambda",
    bytecode: str = "auto",
    wheelhouse: Path | None = None,
) -> Recipe:
    """Describe the edge function's bundle.

    Args:
        settings: The content of ``settings.json``; None leaves the file out.
        platform: ``lambda`` (manylinux x86_64, CPython 3.13) or ``host`` (this interpreter).
        bytecode: ``auto``, ``none`` or the path of an interpreter; see ``interpreter_for``.
        wheelhouse: Where the wheels lie; None for the project's own.

    Raises:
        ValueError: A setting is unknown or wrong; the message names every fault.
        BundleError: The named interpreter cannot compile for the platform.
    """
    files = {} if settings is None else {"settings.json": settings_file(settings)}
    chosen = target(platform)
    return Recipe(
        package=EDGE_SOURCES,
        lock=EDGE_LOCK,
        target=chosen,
        wheelhouse=wheelhouse or default_wheelhouse(chosen),
        files={**files, "LICENSE": LICENCE.read_bytes()},
        bytecode=interpreter_for(platform, bytecode),
        unused=frozenset(_UNUSED),
    )


def backend_recipe(*, bytecode: str = "auto") -> Recipe:
    """Describe the example backend's bundle, always for Lambda; the arguments are those of ``edge_recipe``."""
    chosen = target("lambda")
    return Recipe(
        package=BACKEND_SOURCES,
        lock=BACKEND_LOCK,
        target=chosen,
        wheelhouse=default_wheelhouse(chosen),
        files={},
        bytecode=interpreter_for("lambda", bytecode),
    )


def download_wheels() -> list[str]:
    """Fetch every wheel that the bundles need, and return a line about each kind."""
    lines = []
    for lock, platforms in ((EDGE_LOCK, ("lambda", "host")), (BACKEND_LOCK, ("lambda",))):
        for platform in platforms:
            chosen = target(platform)
            fetched = download(lock, target_=chosen, wheelhouse=default_wheelhouse(chosen))
            lines.append(f"{lock.name} for {platform}: {'downloaded' if fetched else 'already there'}")
    return lines
