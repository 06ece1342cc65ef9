"""``make deploy``, ``make destroy`` and the way back: what a person with an AWS account types.

``python -m infra.deploy.cdk_cli deploy|rollback|destroy``. The CDK CLI does the deploying; this checks first, shows what would
change, asks, and afterwards tries whether it works. docs/deploy.md goes through all of it.
"""

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOTokenLoadError,
    TokenRetrievalError,
)
from cognito_edge_cdk.bundling.assemble import lambda_interpreter
from cognito_edge_cdk.bundling.recipe import describe_bytecode

from infra import app as cdk_app

from . import teardown, web_build
from .smoke import SmokeError, run_script, smoke_test
from .toolkit import ToolkitError, cdk

STACK: Final = "CognitoEdgeGateway"
REGION: Final = "us-east-1"
_BOOTSTRAP_PARAMETER: Final = "/cdk-bootstrap/hnb659fds/version"
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class RefusedError(Exception):
    """It was not done; the message says what to do first."""


def main(argv: Sequence[str] | None = None) -> int:
    """Deploy the gateway, go back a version, or remove it."""
    options = _parser().parse_args(argv)
    try:
        options.command(Deployment.from_options(options), options)
    except (RefusedError, SmokeError, ToolkitError) as error:
        say(f"error: {error}")
        return 1
    except ClientError as error:
        answer = error.response.get("Error", {})
        say(f"error: AWS refused {error.operation_name}: {answer.get('Code')}: {answer.get('Message')}")
        return 1
    except (
        NoCredentialsError,
        PartialCredentialsError,
        ProfileNotFound,
        SSOTokenLoadError,
        TokenRetrievalError,
    ) as error:
        say(f"error: {error}. Sign in to AWS first (`aws sso login`), or name a profile with --profile.")
        return 1
    except BotoCoreError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; what CloudFormation has begun it goes on with: run the same command again")
        return 130
    return 0


def say(line: str) -> None:
    """Tell the person."""
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where and as whom.

    Attributes:
        session: boto3's, in us-east-1.
        account_id: Of the credentials.
        profile: The AWS profile; None for the SDK's own choice.
        emulated: Whether ``AWS_ENDPOINT_URL`` leads to this machine.
        yes: Ask nothing.
    """

    session: boto3.Session
    account_id: str
    profile: str | None
    emulated: bool
    yes: bool

    @classmethod
    def from_options(cls, options: argparse.Namespace) -> "Deployment":
        """Find out who we are.

        Raises:
            BotoCoreError: There are no credentials.
            ClientError: They are not valid.
        """
        session = boto3.Session(profile_name=options.profile, region_name=REGION)
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        emulated = endpoint is not None and urlsplit(endpoint).hostname in _LOOPBACK
        account_id = session.client("sts", config=_PATIENT).get_caller_identity()["Account"]
        return cls(session, account_id, options.profile, emulated, options.yes)

    def client(self, service: str, region: str = REGION) -> Any:
        """Return a boto3 client (boto3 makes the classes at run time, hence Any)."""
        name: Any = service
        return self.session.client(name, region_name=region, config=_PATIENT)

    def cdk(self, *arguments: str) -> None:
        """Run the CDK CLI."""
        cdk(arguments, profile=self.profile)

    def confirm(self, question: str, *, answer: str = "yes") -> bool:
        """Ask for *answer*, typed out; with --yes it is given.

        Raises:
            RefusedError: There is nobody to ask.
        """
        if self.yes:
            return True
        if not sys.stdin.isatty():
            raise RefusedError(f"{question} There is nobody to ask; add --yes to go on without asking.")
        print(f"{question} Type {answer} to go on: ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip() == answer

    def outputs(self) -> dict[str, str] | None:
        """Return the stack's outputs; None if there is no stack."""
        try:
            stacks = self.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError":  # CloudFormation's code for "does not exist"
                return None
            raise
        return {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}


_PATIENT: Final = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "max_attempts": 5})


# --- deploy ---------------------------------------------------------------------------------------------------------


def _deploy(deployment: Deployment, options: argparse.Namespace) -> None:
    """Deploy.

    Steps:
        1. Build the page, and synthesise, with every check.
        2. Every region has been bootstrapped, or is now.
        3. Show what would change, and ask.
        4. Deploy exactly what was shown.
        5. Put the site into its bucket, print the outputs, and try the gateway.
    """
    _build_page()  # (1)
    with tempfile.TemporaryDirectory() as scratch:
        assembly = _assembly(deployment, options, Path(scratch))
        outputs = _deploy_assembly(deployment, assembly, Path(scratch) / "outputs.json")
    if "SiteBucket" in outputs:  # (5)
        put = run_script("website.py", "put", "--stack", STACK, *_profile(deployment))
        say(f"deploy: site: {put.strip()}")
    for name, value in sorted(outputs.items()):
        print(f"{name} = {value}", flush=True)
    if options.smoke_test:
        smoke_test(outputs, stack=STACK, profile=deployment.profile, reachable=not deployment.emulated, say=say)
    say(
        "deploy: done. Next: python scripts/user.py create <name> --email <address>; python scripts/get_token.py; "
        "`make destroy` removes it all."
    )


def _build_page() -> None:
    """Build what the site's bucket is going to hold, before anything is deployed: a broken page stops it all.

    Raises:
        ToolkitError: The page does not build.
    """
    try:
        if web_build.build():
            say("deploy: web/dist built")
    except web_build.WebBuildError as error:
        raise ToolkitError(str(error)) from None


def _profile(deployment: Deployment) -> list[str]:
    return ["--profile", deployment.profile] if deployment.profile else []


def _deploy_assembly(deployment: Deployment, assembly: Path, written: Path) -> dict[str, str]:
    """Return the outputs; the numbers are `_deploy`'s."""
    say(f"deploy: account {deployment.account_id}, {', '.join(_regions(assembly))}")
    _check_bootstrap(deployment, assembly)  # (2)
    deployment.cdk("diff", "--app", str(assembly), "--all")  # (3)
    if not deployment.confirm(f"Deploy this to account {deployment.account_id}?"):
        raise RefusedError("nothing was deployed")
    deployment.cdk(  # (4)
        *("deploy", "--app", str(assembly), "--all", "--require-approval", "never"),
        *("--progress", "events", "--outputs-file", str(written)),
    )
    outputs: dict[str, str] = json.loads(written.read_bytes()).get(STACK) or deployment.outputs() or {}
    return outputs


def _assembly(deployment: Deployment, options: argparse.Namespace, scratch: Path, *, checks: bool = True) -> Path:
    """Return the cloud assembly: the one that was given, or a new one.

    Raises:
        RefusedError: The app could not be synthesised, or there is nothing where it was said to be.
    """
    if options.assembly is not None:
        if not (options.assembly / "manifest.json").is_file():
            raise RefusedError(
                f"--assembly {options.assembly}: there is no cloud assembly; `make synth` writes cdk.out"
            )
        return Path(options.assembly).resolve()
    # Not cdk.out: what is shown has to be what is deployed, whoever synthesises there meanwhile.
    output = scratch / "cdk.out"
    context = dict(_pair(text) for text in options.context)
    context.setdefault("bytecode", "auto")
    if deployment.emulated:
        say("deploy: AWS_ENDPOINT_URL is on this machine: the login gets no style, which emulators lack")
        context.setdefault("login_branding", "none")
    if context["bytecode"] == "auto":
        say(f"deploy: {describe_bytecode(lambda_interpreter())}")
    arguments = ["--output", str(output), *([] if checks else ["--fast"])]
    for key, value in context.items():
        arguments += ["--context", f"{key}={value}"]
    if cdk_app.main(arguments):
        raise RefusedError("the app could not be synthesised; the reason stands above, and nothing was deployed")
    return output


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise RefusedError(f"--context {text}: expected KEY=VALUE")
    return key, value


def _stacks(assembly: Path) -> list[Mapping[str, Any]]:
    artifacts = json.loads((assembly / "manifest.json").read_bytes())["artifacts"].values()
    return [artifact for artifact in artifacts if artifact["type"] == "aws:cloudformation:stack"]


def _regions(assembly: Path) -> list[str]:
    return sorted({stack["environment"].rpartition("/")[2] for stack in _stacks(assembly)})


def _check_bootstrap(deployment: Deployment, assembly: Path) -> None:
    """See that CDK's bucket and roles are there, and recent enough, in every region.

    Raises:
        RefusedError: They are not, and nobody wants them made.
    """
    needed = max(stack["properties"].get("requiresBootstrapStackVersion", 0) for stack in _stacks(assembly))
    for region in _regions(assembly):
        try:
            answer = deployment.client("ssm", region).get_parameter(Name=_BOOTSTRAP_PARAMETER)
            version = int(answer["Parameter"]["Value"])
        except ClientError as error:
            if error.response["Error"]["Code"] != "ParameterNotFound":
                raise
            version = 0
        if version >= needed:
            continue
        place = f"aws://{deployment.account_id}/{region}"
        found = (
            f"has bootstrap version {version}, and {needed} is needed" if version else "was never bootstrapped for CDK"
        )
        if not deployment.confirm(
            f"{place} {found}: a bucket and five roles, which every CDK app of it shares. Do it now?"
        ):
            raise RefusedError(f"{place} {found}; somebody who may has to run `cdk bootstrap {place}`")
        deployment.cdk("bootstrap", place, "--app", str(assembly))  # else it would synthesise all over again


# --- rollback -------------------------------------------------------------------------------------------------------


def _rollback(deployment: Deployment, options: argparse.Namespace) -> None:
    """Have the distribution run an earlier version of the edge function; nothing else changes."""
    outputs = deployment.outputs()
    if outputs is None:
        raise RefusedError(f"there is no stack {STACK} in {REGION}; nothing to go back from")
    cloudfront, distribution_id = deployment.client("cloudfront"), outputs["DistributionId"]
    function_arn = outputs["EdgeFunctionVersionArn"].rpartition(":")[0]
    running = [
        arn for arn in teardown.running_versions(cloudfront, distribution_id) if arn.startswith(f"{function_arn}:")
    ]
    if not running:
        raise RefusedError(
            f"distribution {distribution_id} runs no version of {function_arn}; `make deploy` puts it right"
        )
    current = max(int(arn.rpartition(":")[2]) for arn in running)
    numbers = teardown.numbered_versions(deployment.client("lambda"), function_arn)
    listed = ", ".join(map(str, numbers))
    if options.to is not None and options.to not in numbers:
        raise RefusedError(f"there is no version {options.to} of {function_arn}; there are {listed}")
    earlier = [number for number in numbers if number < current]
    if options.to is None and not earlier:
        raise RefusedError(
            f"version {current} is the oldest that is left (of {listed}); deploy an earlier commit instead"
        )
    wanted = options.to if options.to is not None else max(earlier)
    if not deployment.confirm(
        f"Have {distribution_id} run version {wanted} of the edge function instead of {current}?"
    ):
        raise RefusedError("nothing was changed")
    teardown.point_to(cloudfront, distribution_id, version_arn=f"{function_arn}:{wanted}")
    say(
        f"rollback: version {wanted} is on its way to every edge (minutes); the policy and the parameters are untouched"
    )
    if options.wait and not teardown.wait_until_deployed(cloudfront, distribution_id):
        say(f"rollback: CloudFront is still at it; `aws cloudfront wait distribution-deployed --id {distribution_id}`")
    say(f"rollback: done. Forward again: `rollback --to {current}`. The next `make deploy` with a change takes over.")


# --- destroy --------------------------------------------------------------------------------------------------------


def _destroy(deployment: Deployment, options: argparse.Namespace) -> None:
    """Remove everything, in as many runs as CloudFront needs.

    Steps:
        1. The distribution lets go of the edge function, so that its replicas begin to go; the site's bucket is emptied.
        2. CloudFormation removes the stacks; it keeps the edge function, the user pool and the books.
        3. The edge function goes, if its replicas are gone; otherwise a later run takes it.
        4. The user pool goes only if somebody says so.
    """
    outputs = deployment.outputs()
    if outputs is None:
        say(f"destroy: there is no stack {STACK} in {REGION} (any more)")
    else:
        _check_same_place(outputs, options)
        if not deployment.confirm(f"Remove stack {STACK} from account {deployment.account_id}?", answer=STACK):
            raise RefusedError("nothing was removed")
        teardown.let_go(deployment.client("cloudfront"), outputs["DistributionId"], say)  # (1)
        if "SiteBucket" in outputs:
            emptied = run_script("website.py", "empty", "--yes", "--stack", STACK, *_profile(deployment))
            say(f"destroy: site: {emptied.strip()}")
        with tempfile.TemporaryDirectory() as scratch:
            assembly = _assembly(deployment, options, Path(scratch), checks=False)  # what goes need not be in order
            deployment.cdk("destroy", "--app", str(assembly), "--all", "--force")  # (2)
    waiting = teardown.delete_edge_functions(deployment.client("lambda"), STACK, say)  # (3)
    remains = [
        f"edge function {name}: its replicas take hours to go; run `make destroy` again tomorrow" for name in waiting
    ]
    if outputs is not None:
        remains += _offer_pool(deployment, outputs["UserPoolId"], delete=options.delete_user_pool)  # (4)
        remains += _books(deployment, outputs)
    for name in waiting:
        remains.append(
            f"log groups /aws/lambda/us-east-1.{name}, in every region that had viewers: "
            "`aws logs delete-log-group --region <region> --log-group-name <name>`"
        )
    remains.append("CDK's bootstrap stack (CDKToolkit), which other apps may use")
    say("destroy: what remains:\n" + "\n".join(f"  - {line}" for line in remains))


def _check_same_place(outputs: Mapping[str, str], options: argparse.Namespace) -> None:
    """Refuse to remove half of a deployment in two regions.

    Raises:
        RefusedError: The deployed function is in another region than these options say.
    """
    deployed = _function_region(outputs)
    asked = dict(_pair(text) for text in options.context).get("backend_region") or REGION
    if deployed != asked:
        raise RefusedError(
            f"the function is in {deployed}, and these options say {asked}; give the context that it was deployed with, "
            f"such as -c backend_region={deployed}"
        )


def _books(deployment: Deployment, outputs: Mapping[str, str]) -> list[str]:
    """Return a line if the books stay: only their table's own deletion policy decides (context ``books_removal``)."""
    region = _function_region(outputs)
    tables = deployment.client("dynamodb", region).get_paginator("list_tables").paginate()
    return [
        f"table {name} with the books: `aws dynamodb delete-table --region {region} --table-name {name}`"
        for page in tables
        for name in page["TableNames"]
        # CloudFormation names a table after its stack and its logical id.
        if name.startswith((f"{STACK}-BooksTable", f"{STACK}Backend-BooksTable"))
    ]


def _function_region(outputs: Mapping[str, str]) -> str:
    host = urlsplit(outputs.get("FunctionUrlApi", "")).hostname or ""
    match = re.search(r"\.lambda-url\.([a-z0-9-]+)\.", host)
    return match[1] if match else REGION


def _offer_pool(deployment: Deployment, pool_id: str, *, delete: bool) -> list[str]:
    """Delete the user pool if that is wanted, and return a line if it stays."""
    cognito = deployment.client("cognito-idp", pool_id.partition("_")[0])
    command = f"aws cognito-idp delete-user-pool --region {pool_id.partition('_')[0]} --user-pool-id {pool_id}"
    try:
        users = cognito.describe_user_pool(UserPoolId=pool_id)["UserPool"].get("EstimatedNumberOfUsers", 0)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return []
    wanted = delete
    if not delete and not deployment.yes and sys.stdin.isatty():
        question = f"Delete the user pool {pool_id} with its {users} users as well? They cannot be made again."
        wanted = deployment.confirm(question, answer=pool_id)
    if not wanted:
        return [f"user pool {pool_id} with about {users} users: `{command}`, or `make destroy` with --delete-user-pool"]
    cognito.delete_user_pool(UserPoolId=pool_id)
    say(f"destroy: deleted the user pool {pool_id}")
    return []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.deploy.cdk_cli",
        description=main.__doc__,
        epilog="example: python -m infra.deploy.cdk_cli deploy --help",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    deploy = commands.add_parser("deploy", help="check, show what would change, deploy, and try it")
    deploy.set_defaults(command=_deploy)
    deploy.add_argument(
        "--no-smoke-test", dest="smoke_test", action="store_false", help="do not make a user and call afterwards"
    )
    rollback = commands.add_parser("rollback", help="run the version of the edge function before this one")
    rollback.set_defaults(command=_rollback)
    rollback.add_argument("--to", type=int, metavar="N", help="this version (default: the one before)")
    rollback.add_argument("--no-wait", dest="wait", action="store_false", help="do not wait until every edge has it")
    destroy = commands.add_parser("destroy", help="remove everything, in as many runs as CloudFront needs")
    destroy.set_defaults(command=_destroy)
    destroy.add_argument("--delete-user-pool", action="store_true", help="with all its users, without asking")
    for command in (deploy, rollback, destroy):
        command.add_argument("--profile", help="the AWS profile (default: the SDK's own choice)")
        command.add_argument("--yes", action="store_true", help="ask nothing")
    for command in (deploy, destroy):
        command.add_argument(
            "--assembly", type=Path, metavar="DIR", help="a cloud assembly made before, instead of synthesising one now"
        )
        command.add_argument(
            "-c",
            "--context",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="such as signing=oac or backend_region=eu-west-1; the same every time (docs/deploy.md lists all)",
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
