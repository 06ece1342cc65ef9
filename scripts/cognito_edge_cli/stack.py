"""Where the system is: the local one's ``.local/outputs.json``, or a deployed stack's outputs; and clients for it."""

import functools
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import boto3
import botocore.session
import click
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from .console import ScriptError, aws_code

if TYPE_CHECKING:  # the stubs are a development dependency
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient

DEFAULT_STACK = "CognitoEdgeGateway"
# Lambda@Edge functions live in us-east-1, and the stack with them; --region is for parts that were moved.
DEFAULT_REGION = "us-east-1"
_ROOT = Path(__file__).resolve().parents[2]
CHECKOUT = _ROOT if (_ROOT / "scripts" / "cognito_edge_cli").is_dir() else None
"""Folder of the repository; None where the package was installed from a wheel."""
# ``make run`` with another --state-dir says so in the variable; tests do.
LOCAL_FOLDER = Path(os.environ.get("GATEWAY_STATE_DIR") or (CHECKOUT or Path()) / ".local")
EMULATOR_KEY = "test"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})

# <region>_<id>
_USER_POOL_ID = re.compile(r"[a-z0-9-]+_[0-9A-Za-z]+")
_CLIENT_ID = re.compile(r"[\w+]+", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Stack:
    """One running system, local or deployed, as the commands see it.

    Attributes:
        name: "local" or the CloudFormation stack's name; for messages.
        user_pool_id: For example ``us-east-1_AbCdEfGhI``.
        client_id: The public app client's id.
        hosted_ui: Base URL of the hosted UI, without a final slash; None where the stack does not say: the user pool of a
            gateway in your own app may be another stack's.
        parameter_prefix: First part of the gateway's parameter names in SSM.
        parameter_region: AWS region of those parameters.
        distribution_id: The CloudFront distribution; None where the outputs do not say.
        site_bucket: The S3 bucket of the static site; None where the outputs do not say.
        aws_endpoint_url: The emulator's URL; None means AWS itself.
        aws_access_key_id: The emulator's root key; ``test`` is its constant, and others are secrets of that start.
        aws_secret_access_key: The same.
        profile: Name of the AWS profile to use; None means the SDK's own choice.
        username: The local system's demo user; None when deployed.
        password: The demo user's password; None when deployed.
    """

    name: str
    user_pool_id: str
    client_id: str
    parameter_prefix: str
    hosted_ui: str | None = None
    parameter_region: str = DEFAULT_REGION
    distribution_id: str | None = None
    site_bucket: str | None = None
    aws_endpoint_url: str | None = None
    aws_access_key_id: str = field(default=EMULATOR_KEY, repr=False)
    aws_secret_access_key: str = field(default=EMULATOR_KEY, repr=False)
    profile: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse ids of another form, and URLs that would carry a password or a token in clear text over a network."""
        if not _USER_POOL_ID.fullmatch(self.user_pool_id):
            raise ScriptError(
                f"{self.name}: the user pool id should look like us-east-1_AbCdEfGhI, not {self.user_pool_id!r}."
            )
        if not _CLIENT_ID.fullmatch(self.client_id):
            raise ScriptError(f"{self.name}: the client id should be letters and digits, not {self.client_id!r}.")
        for what, url in (("login URL", self.hosted_ui), ("AWS endpoint", self.aws_endpoint_url)):
            if url is not None:
                _check_url(f"{self.name}: {what}", url)

    @property
    def region(self) -> str:
        """The user pool's region, which is the first part of its id."""
        return self.user_pool_id.partition("_")[0]

    @property
    def login_url(self) -> str:
        """Base URL of the hosted UI, without a final slash.

        Raises:
            ScriptError: The stack does not say.
        """
        if self.hosted_ui is None:
            raise ScriptError(
                f"{self.name} has no output LoginUrl, so that it does not say where its users sign in. Sign in with"
                ' --username, or add the output to your app: cdk.CfnOutput(stack, "LoginUrl",'
                ' value="https://<prefix>.auth.<region>.amazoncognito.com").'
            )
        return self.hosted_ui

    @property
    def is_local(self) -> bool:
        """Whether this is the emulator's system."""
        return self.aws_endpoint_url is not None

    @property
    def issuers(self) -> tuple[str, str]:
        """The two forms that the ``iss`` of this pool's tokens may have.

        Source: Amazon Cognito API, IssuerConfigurationType (ORIGINAL, UPDATED).
        """
        where = f"{self.region}.amazonaws.com/{self.user_pool_id}"
        return f"https://cognito-idp.{where}", f"https://issuer-cognito-idp.{where}"

    @classmethod
    def from_outputs(
        cls,
        name: str,
        outputs: Mapping[str, Any],
        names: Mapping[str, str],
        *,
        optional: Mapping[str, str] | None = None,
        profile: str | None = None,
    ) -> Self:
        """Return the stack that *outputs* describe, where *names* and *optional* say what each field is called in them.

        Raises:
            ScriptError: An output is missing, or is not text.
        """
        values = {attribute: _text(outputs.get(output)) for attribute, output in names.items()}
        bad = sorted(names[attribute] for attribute, value in values.items() if not value)
        if bad:
            raise ScriptError(
                f"{name}: expected the outputs {', '.join(sorted(names.values()))}; missing or empty: {', '.join(bad)}."
                " This command and the running system are of different versions: start or deploy it again."
            )
        values |= {
            attribute: text for attribute, output in (optional or {}).items() if (text := _text(outputs.get(output)))
        }
        if "hosted_ui" in values:
            values["hosted_ui"] = values["hosted_ui"].rstrip("/")
        return cls(name=name, profile=profile, **values)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which system the command line names.

    Attributes:
        local: The one that runs on this machine.
        stack: Name of a deployed CloudFormation stack; None: not given.
        region: The stack's AWS region; None: not given.
        profile: AWS profile to read the stack with; None: not given.
    """

    local: bool
    stack: str | None
    region: str | None
    profile: str | None

    def __post_init__(self) -> None:
        """Refuse options that contradict each other."""
        if self.local and self.stack:
            raise click.UsageError("--local and --stack contradict each other: give one of them.")
        if self.local and (self.region or self.profile):
            raise click.UsageError("--region and --profile are for deployed stacks, not for --local.")

    @property
    def is_given(self) -> bool:
        """Whether the command line names a system; without one, most commands take the default stack."""
        return self.local or self.stack is not None

    def find(self) -> Stack:
        """Return the system.

        Raises:
            ScriptError: It is not running, not deployed, or not what it should be.
        """
        if self.local:
            return _local(LOCAL_FOLDER / "outputs.json")
        return _deployed(self.stack or DEFAULT_STACK, region=self.region or DEFAULT_REGION, profile=self.profile)


def system_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which system is meant; the command gets them as ``system``, a ``Choice``."""

    @click.option("--local", is_flag=True, help="The system that `make run` started on this machine.")
    @click.option("--stack", metavar="NAME", help=f"The deployed CloudFormation stack NAME (default: {DEFAULT_STACK}).")
    @click.option("--region", metavar="REGION", help=f"The stack's AWS region (default: {DEFAULT_REGION}).")
    @click.option(
        "--profile", metavar="NAME", help="The AWS profile to read the stack with (default: the SDK's choice)."
    )
    @functools.wraps(command)
    def with_system(
        *arguments: Any, local: bool, stack: str | None, region: str | None, profile: str | None, **options: Any
    ) -> Any:
        system = Choice(local=local, stack=stack, region=region, profile=profile)
        return command(*arguments, system=system, **options)

    return with_system


def sign_in_client(stack: Stack) -> "CognitoIdentityProviderClient":
    """Return a Cognito client for the calls that need no AWS credentials, and get none."""
    return _cognito(stack, signature_version=UNSIGNED)


def admin_client(stack: Stack) -> "CognitoIdentityProviderClient":
    """Return a Cognito client for the administrator's calls, with the caller's AWS credentials."""
    return _cognito(stack)


def _cognito(stack: Stack, **config: Any) -> "CognitoIdentityProviderClient":
    cognito: CognitoIdentityProviderClient = client(stack, "cognito-idp", stack.region, **config)
    return cognito


def client(stack: Stack, service: str, region: str, **config: Any) -> Any:
    """Return a boto3 client that calls the stack's AWS, or its emulator, with the caller's credentials.

    Args:
        stack: Where to call.
        service: boto3's name of the service.
        region: AWS region.
        config: Further fields of botocore's ``Config``.
    """
    bounded = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "max_attempts": 3}, **config)
    if not stack.is_local:
        return boto3.Session(profile_name=stack.profile, region_name=region).client(service, config=bounded)
    # The emulator must not depend on what this person's AWS set-up says: no profile, no proxy, and the emulator's own key.
    variables: dict[str, Any] = {"profile": (None, [], None, None), "config_file": (None, [], os.devnull, None)}
    session = boto3.Session(
        stack.aws_access_key_id,
        stack.aws_secret_access_key,
        region_name=region,
        botocore_session=botocore.session.Session(variables),
    )
    local = bounded.merge(Config(proxies={}))
    return session.client(service, endpoint_url=stack.aws_endpoint_url, config=local)


def keys_url(stack: Stack, user_pool_id: str, issuer: str) -> str:
    """Return where a pool publishes its keys; an emulator on this machine issues in AWS's name, with its own keys.

    Args:
        stack: Which AWS, or which emulator.
        user_pool_id: The pool's id.
        issuer: One of the pool's issuers.
    """
    endpoint = stack.aws_endpoint_url or sign_in_client(stack).meta.endpoint_url
    base = f"{endpoint.rstrip('/')}/{user_pool_id}" if is_loopback(endpoint) else issuer
    return f"{base}/.well-known/jwks.json"


def _local(path: Path) -> Stack:
    try:
        outputs = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ScriptError(
            f"The local system is not running: there is no {path}. Start it with `make run`, and when it says that"
            " it is ready, try again from another terminal."
        ) from None
    except (OSError, ValueError) as error:
        raise ScriptError(
            f"{path} cannot be read ({type(error).__name__}). Stop the local system and `make run` again."
        ) from None
    if not isinstance(outputs, dict):
        raise ScriptError(f"{path}: expected a JSON object. Stop the local system and `make run` again.")
    names = {
        name: name
        for name in (
            "user_pool_id",
            "client_id",
            "parameter_prefix",
            "aws_endpoint_url",
            "username",
            "password",
        )
    }
    names["hosted_ui"] = "login_url"
    optional = {name: name for name in ("aws_access_key_id", "aws_secret_access_key")}
    return Stack.from_outputs("local", outputs, names, optional={"parameter_region": "region", **optional})


def _deployed(name: str, *, region: str, profile: str | None) -> Stack:
    client = boto3.Session(profile_name=profile, region_name=region).client("cloudformation")
    try:
        stacks = client.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if aws_code(error) == "ValidationError":  # CloudFormation's code for "does not exist"
            raise ScriptError(
                f"There is no stack {name} in {region} (in the account of these AWS credentials). Deploy it with"
                " `make deploy`, name another with --stack and --region, or use --local."
            ) from None
        raise
    outputs = {output.get("OutputKey", ""): output.get("OutputValue") for output in stacks[0].get("Outputs", [])}
    names = {
        "user_pool_id": "UserPoolId",
        "client_id": "ClientId",
        "parameter_prefix": "ParameterPrefix",
    }
    optional = {
        "hosted_ui": "LoginUrl",
        "parameter_region": "Region",
        "distribution_id": "DistributionId",
        "site_bucket": "SiteBucket",
    }
    return Stack.from_outputs(name, outputs, names, optional=optional, profile=profile)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def is_loopback(url: str) -> bool:
    """Return whether *url* leads to this machine and nowhere else.

    >>> is_loopback("http://127.0.0.1:8081"), is_loopback("http://127.0.0.1.example.com")
    (True, False)
    """
    return urlsplit(url).hostname in LOOPBACK_HOSTS


def _check_url(what: str, url: str) -> None:
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None or parts.query or parts.fragment:
        raise ScriptError(f"{what}: expected https://host or http://127.0.0.1:port, not {url!r}.")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(url)):
        raise ScriptError(f"{what}: expected https, or plain http towards this machine alone; got {url!r}.")
