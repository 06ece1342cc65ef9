"""``cdk_cli deploy``: check, show what would change, ask, deploy, and try whether it works."""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Final

from botocore.exceptions import ClientError

from . import web_build
from .assembly import cloud_assembly, regions, stacks
from .deployment import STACK, Deployment, RefusedError, say
from .smoke import run_script, smoke_test
from .toolkit import ToolkitError

_BOOTSTRAP_PARAMETER: Final = "/cdk-bootstrap/hnb659fds/version"


def deploy(deployment: Deployment, options: argparse.Namespace) -> None:
    """Deploy.

    Steps:
        1. Build the page, and synthesise, with every check.
        2. See that every region is bootstrapped, or bootstrap it.
        3. Show what would change, and ask.
        4. Deploy exactly what was shown.
        5. Put the site into its bucket, print the outputs, and try the gateway.
    """
    _build_page()  # (1)
    with tempfile.TemporaryDirectory() as scratch:
        assembly = cloud_assembly(deployment, options, Path(scratch))
        say(f"deploy: account {deployment.account_id}, {', '.join(regions(assembly))}")
        _check_bootstrap(deployment, assembly)  # (2)
        deployment.cdk("diff", "--app", str(assembly), "--all")  # (3)
        if not deployment.confirm(f"Deploy this to account {deployment.account_id}?"):
            raise RefusedError("nothing was deployed")
        written = Path(scratch) / "outputs.json"
        deployment.cdk(  # (4)
            *("deploy", "--app", str(assembly), "--all", "--require-approval", "never"),
            *("--progress", "events", "--outputs-file", str(written)),
        )
        outputs: dict[str, str] = json.loads(written.read_bytes()).get(STACK) or deployment.outputs() or {}
    if "SiteBucket" in outputs:  # (5)
        say(f"deploy: site: {run_script('website.py', 'put', *deployment.script_options).strip()}")
    for name, value in sorted(outputs.items()):
        print(f"{name} = {value}", flush=True)
    if options.smoke_test:
        smoke_test(outputs, deployment.script_options, reachable=not deployment.emulated, say=say)
    say(
        "deploy: done. Next: python scripts/user.py create <name> --email <address>; python scripts/get_token.py; "
        "`make destroy` removes it all."
    )


def _build_page() -> None:
    """Build the site's page before anything is deployed, so that a broken page stops the deployment.

    Raises:
        ToolkitError: The page does not build.
    """
    try:
        if web_build.build():
            say("deploy: web/dist built")
    except web_build.WebBuildError as error:
        raise ToolkitError(str(error)) from None


def _check_bootstrap(deployment: Deployment, assembly: Path) -> None:
    """See that CDK's bucket and roles are there, and recent enough, in every region.

    Raises:
        RefusedError: They are not, and the person does not want them made.
    """
    needed = max(stack["properties"].get("requiresBootstrapStackVersion", 0) for stack in stacks(assembly))
    for region in regions(assembly):
        version = _bootstrap_version(deployment, region)
        if version >= needed:
            continue
        place = f"aws://{deployment.account_id}/{region}"
        found = (
            f"has bootstrap version {version}, and {needed} is needed" if version else "was never bootstrapped for CDK"
        )
        if not deployment.confirm(
            f"{place} {found}: a bucket and five roles, which every CDK app of it shares. Do it now?"
        ):
            raise RefusedError(f"{place} {found}; someone with the permissions has to run `cdk bootstrap {place}`")
        deployment.cdk("bootstrap", place, "--app", str(assembly))  # without --app it would synthesise again


def _bootstrap_version(deployment: Deployment, region: str) -> int:
    """Return the version of the region's bootstrap stack; 0 without one."""
    try:
        answer = deployment.client("ssm", region).get_parameter(Name=_BOOTSTRAP_PARAMETER)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            raise
        return 0
    return int(answer["Parameter"]["Value"])
