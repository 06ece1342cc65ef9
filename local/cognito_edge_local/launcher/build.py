"""Synthesise the CDK app and build the edge bundle for this machine, once for each state of their inputs.

Both run as commands of their own (``python -m infra.app``, ``python -m infra.bundle``), just as a person would run them:
``local/`` imports nothing of ``infra/``, and node, which CDK needs, never gets into the launcher's process.
"""

import contextlib
import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from . import places, processes
from .state_folder import close_to_others, make_private_folder

_INPUT_FOLDERS = ("backend", "edge", "infra")
_INPUT_FILES = ("cdk.json",)
_INPUT_PATTERNS = ("requirements/*.txt",)
_KEEP = 4
"""How many cached results of each kind are kept, such as those of other branches."""

_SCRATCH_LIFETIME_S = 3600.0


class BuildError(Exception):
    """The app or the bundle could not be built; the message has the end of the output."""


@dataclass(frozen=True)
class BuildResult:
    """A folder that is ready to use.

    Attributes:
        folder: Where it is.
        cached: Whether it was there already.
    """

    folder: Path
    cached: bool


def inputs_digest(project: Path = places.CHECKOUT) -> str:
    """Return a digest of everything that decides what synthesis and bundle look like, names and contents.

    It covers the interpreter as well: bytecode and wheels of the bundle are made for it.
    """
    digest = hashlib.sha256()
    for part in (sys.version, sys.executable, platform.platform()):
        digest.update(part.encode() + b"\0")
    for path in sorted(_input_files(project)):
        contents = path.read_bytes()
        digest.update(f"{path.relative_to(project)}\0{len(contents)}\0".encode())
        digest.update(contents)
    return digest.hexdigest()[:32]


def _input_files(project: Path) -> Iterator[Path]:
    for name in _INPUT_FOLDERS:
        for path in (project / name).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path
    for name in _INPUT_FILES:
        if (project / name).exists():
            yield project / name
    for pattern in _INPUT_PATTERNS:
        yield from project.glob(pattern)


async def synthesise(
    cache: Path, digest: str, log: Path, context: Mapping[str, str] = MappingProxyType({})
) -> BuildResult:
    """Return the cloud assembly of the CDK app.

    Args:
        cache: Folder of cached results.
        digest: Of ``inputs_digest``.
        log: Takes the command's output.
        context: CDK context beyond that of ``cdk.json``, such as ``{"signing": "oac"}``.

    Raises:
        BuildError: Synthesis failed.
    """
    more = [part for key, value in sorted(context.items()) for part in ("--context", f"{key}={value}")]
    if more:
        digest = hashlib.sha256("\0".join([digest, *more]).encode()).hexdigest()[:32]

    async def make(folder: Path) -> None:
        argv = [sys.executable, "-m", "infra.app", "--output", str(folder), "--fast", *more]
        await processes.run("synth", argv, environment=_environment(), log=log, cwd=places.CHECKOUT)

    return await _cached(cache, "assembly", digest, make)


async def edge_bundle(cache: Path, digest: str, settings: bytes, log: Path) -> BuildResult:
    """Return the edge function's bundle for this interpreter, with the settings of the synthesised function.

    Args:
        cache: Folder of cached results.
        digest: Of ``inputs_digest``.
        settings: The ``settings.json`` in the synthesised function's code.
        log: Takes the command's output.

    Raises:
        BuildError: The build failed.
    """
    document = json.loads(settings)

    async def make(folder: Path) -> None:
        handle, name = tempfile.mkstemp(dir=cache, prefix=".settings-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(settings)
            argv = [sys.executable, "-m", "infra.bundle", "--platform", "host", "--output", str(folder)]
            argv += ["--parameter-prefix", document["parameter_prefix"]]
            argv += ["--parameter-region", document["parameter_region"]]
            argv += ["--settings", name]
            await processes.run("bundle", argv, environment=_environment(), log=log, cwd=places.CHECKOUT)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(name)  # noqa: PTH108 - no blocking Path methods in coroutines

    return await _cached(cache, "bundle", hashlib.sha256(digest.encode() + settings).hexdigest()[:32], make)


async def web_page(log: Path) -> str:
    """Bring ``web/dist`` up to date where that can be done, and say what came of it.

    Without npm's registry the site is an older page or a placeholder, and the gateway works all the same.

    Args:
        log: Takes the command's output.

    Returns:
        A few words for the console.
    """
    argv = [sys.executable, "-m", "infra.deploy.web_build", "--optional"]
    try:
        await processes.run("web", argv, environment=_environment(), log=log, cwd=places.CHECKOUT)
    except processes.CommandFailedError:
        return f"NOT built; the reason is in {log}"
    return processes.tail(log).rpartition("\n")[2].strip()


def synthesised_settings(assembly: Path, stack_name: str) -> bytes:
    """Return the ``settings.json`` of the edge function in a cloud assembly.

    Raises:
        BuildError: No asset, or more than one, has such a file.
    """
    manifest = json.loads((assembly / f"{stack_name}.assets.json").read_bytes())
    sources: set[Path] = {assembly / asset["source"]["path"] for asset in manifest["files"].values()}
    found = [folder / "settings.json" for folder in sources if (folder / "settings.json").is_file()]
    if len(found) != 1:
        raise BuildError(f"{assembly}: expected one asset with a settings.json, the edge function's; found {found}.")
    return found[0].read_bytes()


def with_settings(settings: bytes, file: Path) -> bytes:
    """Return settings with those of a file in addition, or instead.

    Args:
        settings: The synthesised ``settings.json``.
        file: A JSON object.

    Raises:
        BuildError: It is not one. The bundle builder checks the settings themselves.
    """
    try:
        more = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise BuildError(f"{file}: expected a JSON object of settings: {error}") from error
    if not isinstance(more, dict):
        raise BuildError(f"{file}: expected a JSON object of settings, not {type(more).__name__}.")
    return json.dumps({**json.loads(settings), **more}, indent=1, sort_keys=True).encode() + b"\n"


def _environment() -> dict[str, str]:
    """Return this process's environment without what could change the result from one machine to the next.

    pip may need the rest: proxies, certificates, its own configuration.
    """
    return {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "CDK_", "PYTHON"))}


async def _cached(cache: Path, kind: str, key: str, make: Callable[[Path], Awaitable[None]]) -> BuildResult:
    """Return the folder of *key*, made first if it is not there: whole or not at all, also with two launchers at once."""
    make_private_folder(cache)
    final = cache / f"{kind}-{key}"
    if final.is_dir():
        os.utime(final)
        return BuildResult(final, cached=True)
    scratch = Path(tempfile.mkdtemp(dir=cache, prefix=f".{kind}-"))
    try:
        result = scratch / kind
        try:
            await make(result)
        except processes.CommandFailedError as error:
            raise BuildError(str(error)) from error
        close_to_others(result)  # bundles have the modes that they need on AWS
        # Another launcher may have been faster; its result has the same bytes.
        with contextlib.suppress(OSError):
            result.rename(final)
            # Reproducible builds carry a date of long ago; ``_prune`` asks when a result was last used.
            os.utime(final)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if not final.is_dir():
        raise BuildError(f"The {kind} command ended well but did not write its folder.")
    _prune(cache, kind)
    return BuildResult(final, cached=False)


def _prune(cache: Path, kind: str) -> None:
    """Remove all but the newest results of a kind, and scratch folders of runs that were killed."""
    results = sorted(cache.glob(f"{kind}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    stale = time.time() - _SCRATCH_LIFETIME_S
    scratch = [path for path in cache.glob(f".{kind}-*") if path.stat().st_mtime < stale]
    # Another launcher may be using a result that was used lately.
    unused = [path for path in results[_KEEP:] if path.stat().st_mtime < stale]
    for old in [*unused, *scratch]:
        shutil.rmtree(old, ignore_errors=True)
