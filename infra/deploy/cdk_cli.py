"""``make deploy``, ``make rollback`` and ``make destroy``: what a person with an AWS account types.

``python -m infra.deploy.cdk_cli deploy|rollback|destroy``. The CDK CLI does the deploying; these commands check first, show
what would change, ask, and afterwards try whether it works. ``docs/deploy.md`` goes through all of it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOTokenLoadError,
    TokenRetrievalError,
)

from .deploy import deploy
from .deployment import Deployment, RefusedError, say
from .destroy import destroy
from .rollback import rollback
from .smoke import SmokeError
from .toolkit import ToolkitError


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
        say("interrupted; CloudFormation goes on with what it has begun: run the same command again")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.deploy.cdk_cli",
        description=main.__doc__,
        epilog="example: python -m infra.deploy.cdk_cli deploy --help",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    deploying = commands.add_parser("deploy", help="check, show what would change, deploy, and try it")
    deploying.set_defaults(command=deploy)
    deploying.add_argument(
        "--no-smoke-test", dest="smoke_test", action="store_false", help="do not make a user and call afterwards"
    )
    rolling_back = commands.add_parser("rollback", help="run the version of the edge function before this one")
    rolling_back.set_defaults(command=rollback)
    rolling_back.add_argument("--to", type=int, metavar="N", help="this version (default: the one before)")
    rolling_back.add_argument(
        "--no-wait", dest="wait", action="store_false", help="do not wait until every edge has it"
    )
    destroying = commands.add_parser("destroy", help="remove everything, in as many runs as CloudFront needs")
    destroying.set_defaults(command=destroy)
    destroying.add_argument("--delete-user-pool", action="store_true", help="with all its users, without asking")
    for command in (deploying, rolling_back, destroying):
        command.add_argument("--profile", help="the AWS profile (default: the SDK's own choice)")
        command.add_argument("--yes", action="store_true", help="ask nothing")
    for command in (deploying, destroying):
        command.add_argument(
            "--assembly", type=Path, metavar="DIR", help="a cloud assembly made before, instead of synthesising one now"
        )
        command.add_argument(
            "-c",
            "--context",
            type=_key_and_value,
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="such as signing=oac or backend_region=eu-west-1; the same every time (docs/settings.md lists all)",
        )
    return parser


def _key_and_value(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text}: expected KEY=VALUE")
    return key, value


if __name__ == "__main__":
    sys.exit(main())
