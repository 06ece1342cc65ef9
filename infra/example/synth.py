"""Synthesise the example into a cloud assembly, with no credentials and no network.

``--fast`` leaves out the checks that CI makes; ``make run`` uses it.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from cognito_edge_cdk.bundling.folder import BundleError
from cognito_edge_cdk.bundling.layout import PROJECT
from cognito_edge_cdk.bundling.wheelhouse import WheelhouseError

from infra.deploy.node import use_bundled_node


def main(argv: Sequence[str] | None = None) -> int:
    """Synthesise the example stack."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.app",
        description=main.__doc__,
        epilog="example: python -m infra.app --output /tmp/assembly --context signing=oac --context backend_region=eu-west-1",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="cloud assembly to write (default: cdk.out)")
    parser.add_argument("--fast", action="store_true", help="skip cdk-nag and CDK's own template checks")
    parser.add_argument(
        "--context",
        type=_key_and_value,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="context in addition to cdk.json's: signing, backend_region, ... (docs/settings.md lists all)",
    )
    options = parser.parse_args(argv)
    try:
        context = {**_project_context(), **dict(options.context)}
        if "CDK_OUTDIR" in os.environ and options.output is None:  # the CDK CLI runs this, and adds its own context
            _synthesise(None, context, checks=True)
            return 0
        output = (options.output or PROJECT / "cdk.out").resolve()
        _replace(output, context, checks=not options.fast)
    except (BundleError, WheelhouseError, ValueError, OSError) as error:
        print(f"infra.app: {error}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        # CDK's JavaScript raised it, and has already printed the findings.
        print(f"infra.app: CDK refused the app: {str(error).split('. A copy of this report')[0]}", file=sys.stderr)
        return 1
    print(f"{output}: synthesised", file=sys.stderr)
    return 0


def _project_context() -> dict[str, object]:
    """Return ``cdk.json``'s context: only the CDK CLI reads that file by itself."""
    document = json.loads((PROJECT / "cdk.json").read_bytes())
    return dict(document["context"])


def _key_and_value(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text}: expected KEY=VALUE")
    return key, value


def _replace(output: Path, context: Mapping[str, object], *, checks: bool) -> None:
    """Synthesise beside *output*, then put the result in its place: no reader ever sees half an assembly.

    Raises:
        ValueError: *output* holds something else than a cloud assembly.
    """
    if output.exists() and not (output / "manifest.json").is_file() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output} exists and is no cloud assembly; name a new folder, or remove it first")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as scratch:
        fresh = Path(scratch) / "new"
        _synthesise(fresh, context, checks=checks)
        if output.exists():
            output.rename(Path(scratch) / "old")
        fresh.rename(output)


def _synthesise(output: Path | None, context: Mapping[str, object], *, checks: bool) -> None:
    use_bundled_node()
    # Imported here: aws_cdk starts Node, which has to be chosen first, and takes seconds that --help can do without.
    import aws_cdk as cdk  # noqa: PLC0415
    import cdk_nag  # noqa: PLC0415

    from .stack import build  # noqa: PLC0415

    app = cdk.App(
        outdir=str(output) if output else None,
        context=dict(context),
        # Analytics would add a resource that tells AWS the CDK version, and differs from machine to machine.
        analytics_reporting=False,
        stack_traces=False,
        tree_metadata=False,
        builtin_cloud_formation_validation=checks,
        auto_synth=False,
    )
    build(app)
    if checks:
        cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))
    app.synth()
