"""Where a command deploys, as whom, and how it asks the person: what deploy, rollback and destroy share."""

import argparse
import os
import sys
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from . import toolkit

STACK: Final = "CognitoEdgeGateway"
REGION: Final = "us-east-1"
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_PATIENT: Final = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "max_attempts": 5})


class RefusedError(Exception):
    """It was not done; the message says what to do first."""


def say(line: str) -> None:
    """Tell the person, on standard error: standard output is for results."""
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Deployment:
    """An account, and the person who deploys to it.

    Attributes:
        session: boto3's, in us-east-1.
        account_id: The account of the credentials.
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
        """Find out which account the credentials belong to.

        Raises:
            BotoCoreError: There are no credentials.
            ClientError: They are not valid.
        """
        session = boto3.Session(profile_name=options.profile, region_name=REGION)
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        emulated = endpoint is not None and urlsplit(endpoint).hostname in _LOOPBACK
        account_id = session.client("sts", config=_PATIENT).get_caller_identity()["Account"]
        return cls(session, account_id, options.profile, emulated, options.yes)

    @property
    def script_options(self) -> list[str]:
        """The options by which the commands of ``scripts/`` find this deployment."""
        return ["--stack", STACK, *(["--profile", self.profile] if self.profile else [])]

    def client(self, service: str, region: str = REGION) -> Any:
        """Return a boto3 client (boto3 makes the classes at run time, hence Any)."""
        name: Any = service
        return self.session.client(name, region_name=region, config=_PATIENT)

    def cdk(self, *arguments: str) -> None:
        """Run the CDK CLI.

        Raises:
            ToolkitError: It failed; it has said why.
        """
        toolkit.cdk(arguments, profile=self.profile)

    def confirm(self, question: str, *, answer: str = "yes") -> bool:
        """Ask the person to type *answer*; ``--yes`` gives it.

        Raises:
            RefusedError: Standard input is no terminal.
        """
        if self.yes:
            return True
        if not sys.stdin.isatty():
            raise RefusedError(f"{question} There is no terminal to ask at; add --yes to go on without asking.")
        print(f"{question} Type {answer} to go on: ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip() == answer

    def outputs(self) -> dict[str, str] | None:
        """Return the stack's outputs; None if the stack does not exist."""
        try:
            stacks = self.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError":  # CloudFormation's code for "does not exist"
                return None
            raise
        return {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}
