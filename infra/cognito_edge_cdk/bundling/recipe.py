"""The edge function's bundle (contract C3), and the backend's.

``python -m infra.bundle --output DIR --parameter-prefix P --parameter-region R [--platform lambda|host]`` builds the
folder; ``python -m infra.bundle --download-wheels`` fetches, once, all that later builds need.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cognito_edge.settings import parse_settings

from .assemble import BundleError, Interpreter, Recipe, assemble, interpreter_for
from .installer import InstallError
from .layout import BACKEND_LOCK, BACKEND_SOURCES, EDGE_LOCK, EDGE_SOURCES
from .wheelhouse import WheelhouseError, default_wheelhouse, download, target

# Locked, because cryptography declares them, but left out, because the gateway never imports them: code that is not there
# starts no slower, and has no advisories. tests/infra/test_bundle.py runs the bundle without them.
_UNUSED = {
    "cffi": "cryptography is compiled already; all it loads is the extension module _cffi_backend, which stays",
    "pycparser": "cffi's parser of C declarations",
}


def edge_recipe(
    settings: Mapping[str, object],
    *,
    platform: str = "lambda",
    bytecode: str = "auto",
    wheelhouse: Path | None = None,
) -> Recipe:
    """Describe the edge function's bundle.

    Args:
        settings: The content of ``settings.json``.
        platform: ``lambda`` (manylinux x86_64, CPython 3.13) or ``host`` (this interpreter).
        bytecode: ``auto``, ``none`` or the path of an interpreter; see ``interpreter_for``.
        wheelhouse: Where the wheels lie; None for the project's own.

    Raises:
        ValueError: When a setting is unknown or wrong; the message names every fault.
        BundleError: When the named interpreter cannot compile for the platform.
    """
    # An edge function cannot be repaired by an environment variable: whatever is wrong is refused before it is built.
    parse_settings(settings)
    document = json.dumps(dict(settings), indent=1, sort_keys=True, allow_nan=False) + "\n"
    chosen = target(platform)
    return Recipe(
        package=EDGE_SOURCES,
        lock=EDGE_LOCK,
        target=chosen,
        wheelhouse=wheelhouse or default_wheelhouse(chosen),
        files={"settings.json": document.encode()},
        bytecode=interpreter_for(chosen, bytecode),
        unused=frozenset(_UNUSED),
    )


def backend_recipe(*, bytecode: str = "auto", wheelhouse: Path | None = None) -> Recipe:
    """Describe the example backend's bundle, always for Lambda; the arguments are those of ``edge_recipe``."""
    chosen = target("lambda")
    return Recipe(
        package=BACKEND_SOURCES,
        lock=BACKEND_LOCK,
        target=chosen,
        wheelhouse=wheelhouse or default_wheelhouse(chosen),
        files={},
        bytecode=interpreter_for(chosen, bytecode),
    )


def describe_bytecode(interpreter: Interpreter | None) -> str:
    """Say in a few words which bytecode a bundle ships."""
    if interpreter:
        return f"bytecode by {interpreter.version}"
    return "no bytecode (no CPython 3.13 found, or none wanted): slower cold starts"


def download_wheels() -> list[str]:
    """Fetch every wheel that the bundles need, and return a line about each kind."""
    lines = []
    for lock, platforms in ((EDGE_LOCK, ("lambda", "host")), (BACKEND_LOCK, ("lambda",))):
        for platform in platforms:
            chosen = target(platform)
            fetched = download(lock, target_=chosen, wheelhouse=default_wheelhouse(chosen))
            lines.append(f"{lock.name} for {platform}: {'downloaded' if fetched else 'already there'}")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Build the edge function's folder, or download the wheels for it."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        if options.download_wheels:
            print(*download_wheels(), sep="\n")
            return 0
        missing = [
            flag
            for flag, value in (
                ("--output", options.output),
                ("--parameter-prefix", options.parameter_prefix),
                ("--parameter-region", options.parameter_region),
            )
            if value is None
        ]
        if missing:
            parser.error(f"the following arguments are required: {', '.join(missing)}")
        recipe = edge_recipe(
            _settings(options),
            platform=options.platform,
            bytecode=options.bytecode,
            wheelhouse=options.wheelhouse,
        )
        built = assemble(recipe, options.output)
    except (BundleError, InstallError, WheelhouseError, ValueError, OSError) as error:
        print(f"infra.bundle: {error}", file=sys.stderr)
        return 1
    print(
        f"{options.output}: {'built' if built else 'up to date'}; {options.platform}, "
        f"{describe_bytecode(recipe.bytecode)}",
        file=sys.stderr,
    )
    return 0


def _settings(options: argparse.Namespace) -> dict[str, object]:
    named: dict[str, object] = {
        "parameter_prefix": options.parameter_prefix,
        "parameter_region": options.parameter_region,
    }
    if options.policy_required:
        named["policy_required"] = True
    if options.settings is None:
        return named
    document = json.loads(options.settings.read_bytes(), object_pairs_hook=_unique)
    if not isinstance(document, dict):
        raise BundleError(f"{options.settings}: expected a JSON object of settings, not {type(document).__name__}")
    twice = sorted(name for name in document if name in named and document[name] != named[name])
    if twice:
        raise BundleError(f"{options.settings}: {', '.join(twice)} given here and, differently, as an option")
    return {**document, **named}


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BundleError(f"settings given twice: {', '.join(twice)}")
    return dict(pairs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.bundle",
        description=main.__doc__,
        epilog="example: python -m infra.bundle --output dist/edge --parameter-prefix /my-gateway --parameter-region eu-west-1",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder to build; replaced as a whole")
    parser.add_argument("--parameter-prefix", metavar="P", help="SSM path of the parameters, such as /my-gateway")
    parser.add_argument("--parameter-region", metavar="R", help="region of those parameters")
    parser.add_argument(
        "--platform",
        choices=("lambda", "host"),
        default="lambda",
        help="lambda: x86_64 Linux, CPython 3.13; host: this interpreter (default: %(default)s)",
    )
    parser.add_argument("--policy-required", action="store_true", help="an absent policy parameter is a broken one")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="JSON object with further settings")
    parser.add_argument(
        "--bytecode",
        default="auto",
        metavar="auto|none|PATH",
        help="what compiles the .pyc files; auto: a CPython of the platform's version, if one is found",
    )
    parser.add_argument("--wheelhouse", type=Path, metavar="DIR", help="where the locked wheels lie")
    parser.add_argument("--download-wheels", action="store_true", help="download all locked wheels, and do no more")
    return parser
