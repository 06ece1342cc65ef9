"""``python -m infra.bundle``: build the edge function's folder (contract C3 in docs/contracts.md).

``--download-wheels`` fetches, once, all that later builds need. No other package than ``packaging`` has to be installed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .assemble import assemble
from .bytecode import describe_bytecode
from .folder import BundleError
from .installer import InstallError
from .recipe import download_wheels, edge_recipe
from .wheelhouse import WheelhouseError


def main(argv: Sequence[str] | None = None) -> int:
    """Build the edge function's folder, or download the wheels for it."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        if options.download_wheels:
            print(*download_wheels(), sep="\n")
            return 0
        required = {
            "--output": options.output,
            "--parameter-prefix": options.parameter_prefix,
            "--parameter-region": options.parameter_region,
        }
        missing = [flag for flag, value in required.items() if value is None]
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
    state = "built" if built else "up to date"
    print(f"{options.output}: {state}; {options.platform}, {describe_bytecode(recipe.bytecode)}", file=sys.stderr)
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
