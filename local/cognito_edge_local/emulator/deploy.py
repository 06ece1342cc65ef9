"""Deploy the synthesised CDK template to the emulator, and make the one local-only change that it needs there.

The template is the one that ``make deploy`` sends to AWS. What differs locally is all in this file, by name:

* ``NOT_EMULATED``: resource types that the emulator lacks; they are left out of the template.
* ``LOCAL_ROLE_STATEMENTS``: what the edge function's deployed role gets in addition.
"""

import copy
import dataclasses
import io
import json
import secrets
import string
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from .process import ACCOUNT_ID, REGION

STACK_NAME = "CognitoEdgeGateway"

NOT_EMULATED: dict[str, str] = {
    "AWS::Cognito::ManagedLoginBranding": "the emulator has a sign-in page of its own and nothing to brand",
    "AWS::Cognito::UserPoolUser": "the emulator refuses the type; users are made through the API",
}
"""Resource types that are left out of the template locally, each with the reason. All other types must deploy."""

LOCAL_ROLE_POLICY_NAME = "local-emulator-only"
LOCAL_ROLE_STATEMENTS: list[dict[str, Any]] = [
    # The emulator authorises GetParameters against the resource ``*``; AWS does so against each parameter, and the role in
    # the template is scoped to its own parameters, as it should be. Without this the emulator denies what AWS allows.
    {"Sid": "EmulatorAsksForStar", "Effect": "Allow", "Action": "ssm:GetParameters", "Resource": "*"},
]
"""Added to the deployed edge role, on the emulator only."""

DEMO_USERNAME = "demo"
DEMO_EMAIL = "demo@example.com"
_PASSWORD_LENGTH = 20
_PASSWORD_SYMBOLS = "-_.+="  # every policy's "special character", and none that a shell would touch

_BOOTSTRAP_PARAMETER = "/cdk-bootstrap/hnb659fds/version"
_BOOTSTRAP_VERSION = "30"
_DEPLOY_LIMIT_S = 60.0
_POLL_S = 0.03
_TEMPLATE = ".template.json"
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)

ClientFactory = Callable[[str], Any]


class DeployError(Exception):
    """The template cannot be deployed; the message names the resource and the reason."""


@dataclass(frozen=True)
class FunctionUrl:
    """A deployed function with its URL.

    Attributes:
        name: The name in the stack's outputs, lower-cased (``FunctionUrlApi`` -> ``api``).
        function_name: The Lambda function.
        function_arn: Its ARN.
        host: The host of its URL, ``<id>.lambda-url.us-east-1.on.aws``.
    """

    name: str
    function_name: str
    function_arn: str
    host: str


@dataclass(frozen=True)
class Deployment:
    """What the deployed stack consists of, as far as the rest of the local system needs it.

    Attributes:
        outputs: The stack's outputs.
        function_urls: Its function URLs, in the outputs' order.
        edge: The configuration of the edge function's deployed version, as Lambda's API gives it.
        left_out: The logical ids that were left out, with their types.
    """

    outputs: Mapping[str, str]
    function_urls: tuple[FunctionUrl, ...]
    edge: Mapping[str, Any]
    left_out: Mapping[str, str]

    def output(self, name: str) -> str:
        """Return an output.

        Raises:
            DeployError: The stack does not have it.
        """
        try:
            return self.outputs[name]
        except KeyError:
            raise DeployError(
                f"The stack has no output {name!r}; it has {', '.join(sorted(self.outputs)) or 'none'}."
            ) from None

    @property
    def edge_role_name(self) -> str:
        """The name of the role that the edge function runs under."""
        return self.output("EdgeRoleArn").rpartition("/")[2]


def deploy(client: ClientFactory, assembly: Path, stack_name: str = STACK_NAME) -> Deployment:
    """Deploy a stack of a synthesised cloud assembly to the emulator.

    Steps:
        1. Do what ``cdk bootstrap`` would: the asset bucket and the version parameter that the template asks for.
        2. Upload the assets as the asset manifest says.
        3. Leave out what the emulator lacks.
        4. Create the stack, wait, read its outputs.
        5. Make the local-only change to the edge role.

    Args:
        client: Returns a boto3 client of a service on the emulator.
        assembly: The folder that CDK wrote.
        stack_name: The stack in it.

    Raises:
        DeployError: Something in the assembly or the template does not fit the emulator.
    """
    template = _read_json(assembly / f"{stack_name}{_TEMPLATE}")
    assets = _read_json(assembly / f"{stack_name}.assets.json")
    client("ssm").put_parameter(
        Name=_BOOTSTRAP_PARAMETER, Value=_BOOTSTRAP_VERSION, Type="String", Overwrite=True
    )  # (1)
    upload_assets(client("s3"), assembly, assets)  # (1, 2)
    template, left_out = without_unemulated(template)  # (3)
    outputs = _create_stack(client("cloudformation"), stack_name, template)  # (4)
    urls = tuple(_function_urls(client("lambda"), outputs))
    deployment = Deployment(outputs, urls, {}, left_out)
    adapt_role(client("iam"), deployment.edge_role_name)  # (5)
    edge = client("lambda").get_function_configuration(FunctionName=deployment.output("EdgeFunctionVersionArn"))
    return dataclasses.replace(deployment, edge=edge)


def stack_in(assembly: Path) -> str:
    """Return the name of the stack to deploy: the project's own if the cloud assembly has it, or else the only one.

    Raises:
        DeployError: The folder has no stack, or several other than the project's.
    """
    names = sorted(path.name.removesuffix(_TEMPLATE) for path in assembly.glob(f"*{_TEMPLATE}"))
    if STACK_NAME in names:
        return STACK_NAME
    if len(names) != 1:
        raise DeployError(
            f"{assembly}: expected a cloud assembly (what `cdk synth --output DIR` writes) with one stack, or one called "
            f"{STACK_NAME}; it has {', '.join(names) or 'none'}."
        )
    return names[0]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DeployError(f"The synthesised app is not whole: {path}: {error}.") from error
    return document


def without_unemulated(template: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a copy of the template without the types of ``NOT_EMULATED``, and what was left out.

    ``DependsOn`` on something left out goes with it: an order without one of its ends means nothing. A reference to its
    value does not: the rest would be deployed wrong, so that is an error.

    Raises:
        DeployError: Something that stays refers to something left out.
    """
    result = copy.deepcopy(template)
    resources = result.get("Resources", {})
    left_out = {name: body["Type"] for name, body in resources.items() if body["Type"] in NOT_EMULATED}
    for name in left_out:
        del resources[name]
    for body in resources.values():
        depends = body.get("DependsOn")
        if depends is not None:
            kept = [name for name in ([depends] if isinstance(depends, str) else depends) if name not in left_out]
            body["DependsOn"] = kept
            if not kept:
                del body["DependsOn"]
    for section in ("Resources", "Outputs"):
        for name, body in result.get(section, {}).items():
            for target in _references(body):
                if target in left_out:
                    raise DeployError(
                        f"{section}.{name} refers to {target}, a {left_out[target]}, which is left out locally "
                        f"({NOT_EMULATED[left_out[target]]})."
                    )
    return result, left_out


def _references(node: Any) -> Iterator[str]:
    """Yield the logical ids that *node* refers to by value."""
    if isinstance(node, dict):
        if len(node) == 1:
            key, value = next(iter(node.items()))
            if key == "Ref" and isinstance(value, str):
                yield value
            elif key == "Fn::GetAtt":
                yield str(value[0]) if isinstance(value, list) else str(value).partition(".")[0]
            elif key == "Fn::Sub":
                text = value if isinstance(value, str) else value[0]
                for part in text.split("${")[1:]:
                    yield part.partition("}")[0].partition(".")[0]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def upload_assets(s3: Any, assembly: Path, manifest: Mapping[str, Any]) -> None:
    """Upload every file asset of an asset manifest to the bucket and key that it names.

    Source: CDK's cloud-assembly-schema, ``AssetManifest``.

    Raises:
        DeployError: The manifest has an asset of a kind that no stack of ours should have.
    """
    buckets: set[str] = set()
    for name, asset in manifest.get("files", {}).items():
        source = asset["source"]
        path = assembly / source["path"]
        if source.get("packaging", "file") == "zip" and path.is_dir():
            body = _zip(path)
        elif path.is_file():
            body = path.read_bytes()
        else:
            raise DeployError(f"Asset {name} cannot be read: {path} ({source}).")
        for destination in asset["destinations"].values():
            bucket = _substitute(destination["bucketName"])
            if bucket not in buckets:
                s3.create_bucket(Bucket=bucket)
                buckets.add(bucket)
            s3.put_object(Bucket=bucket, Key=_substitute(destination["objectKey"]), Body=body)
    if manifest.get("dockerImages"):
        raise DeployError(f"Container assets cannot be deployed locally: {', '.join(manifest['dockerImages'])}.")


def _substitute(text: str) -> str:
    return (
        text.replace("${AWS::AccountId}", ACCOUNT_ID)
        .replace("${AWS::Region}", REGION)
        .replace("${AWS::Partition}", "aws")
    )


def _zip(folder: Path) -> bytes:
    buffer = io.BytesIO()
    # Stored, not deflated: the archive travels over loopback once, and deflating megabytes takes most of a second.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                info = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _ZIP_TIME)
                info.external_attr = (0o755 if file.stat().st_mode & 0o100 else 0o644) << 16
                archive.writestr(info, file.read_bytes())
    return buffer.getvalue()


def _create_stack(cloudformation: Any, stack_name: str, template: Mapping[str, Any]) -> dict[str, str]:
    """Create the stack, wait for it, return its outputs."""
    try:
        cloudformation.create_stack(
            StackName=stack_name,
            TemplateBody=json.dumps(template, separators=(",", ":")),
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
            OnFailure="DO_NOTHING",  # what failed can still be looked at
        )
    except ClientError as error:
        raise DeployError(f"The emulator refuses the template: {error.response['Error'].get('Message')}") from error
    give_up = time.monotonic() + _DEPLOY_LIMIT_S
    while time.monotonic() < give_up:
        stack = cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]
        status = stack["StackStatus"]
        if status == "CREATE_COMPLETE":
            return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        if status != "CREATE_IN_PROGRESS":
            raise DeployError(_failure(cloudformation, stack_name, stack))
        time.sleep(_POLL_S)
    raise DeployError(f"The stack {stack_name} was not complete after {_DEPLOY_LIMIT_S:.0f} s.")


def _failure(cloudformation: Any, stack_name: str, stack: Mapping[str, Any]) -> str:
    events = cloudformation.describe_stack_events(StackName=stack_name)["StackEvents"]
    causes = [
        f"  {event['LogicalResourceId']} ({event['ResourceType']}): {event.get('ResourceStatusReason', 'no reason given')}"
        for event in reversed(events)
        if event["ResourceStatus"].endswith("_FAILED") and event["LogicalResourceId"] != stack_name
    ]
    listed = "\n".join(causes) or f"  {stack.get('StackStatusReason', 'no reason given')}"
    return (
        f"The stack {stack_name} ended as {stack['StackStatus']}:\n{listed}\n"
        "If the emulator lacks a type, name it with the reason in NOT_EMULATED (emulator/deploy.py)."
    )


def _function_urls(lambda_client: Any, outputs: Mapping[str, str]) -> Iterator[FunctionUrl]:
    """Find the function behind each ``FunctionUrl<Name>`` output, through the Lambda API."""
    by_host: dict[str, dict[str, Any]] = {}
    for page in lambda_client.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            try:
                config = lambda_client.get_function_url_config(FunctionName=function["FunctionName"])
            except lambda_client.exceptions.ResourceNotFoundException:
                continue
            by_host[_host(config["FunctionUrl"])] = function
    for key, url in outputs.items():
        name = key.removeprefix("FunctionUrl")
        if name and name != key:
            host = _host(url)
            if host not in by_host:
                raise DeployError(f"Output {key} is {url}, but no deployed function has that URL: {sorted(by_host)}.")
            function = by_host[host]
            yield FunctionUrl(name.lower(), function["FunctionName"], function["FunctionArn"], host)


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].partition(":")[0] or url


def adapt_role(iam: Any, role_name: str) -> None:
    """Give the edge role the local-only statements above; the template stays as it is."""
    iam.put_role_policy(
        RoleName=role_name,
        PolicyName=LOCAL_ROLE_POLICY_NAME,
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": LOCAL_ROLE_STATEMENTS}),
    )


def create_demo_user(cognito: Any, user_pool_id: str) -> tuple[str, str]:
    """Create the demo user, ready to sign in.

    Returns:
        Its name and its password, which is new each time: a fixed one would be a published key to all that a
        developer protects with the local gateway.
    """
    password = strong_password()
    cognito.admin_create_user(
        UserPoolId=user_pool_id,
        Username=DEMO_USERNAME,
        UserAttributes=[{"Name": "email", "Value": DEMO_EMAIL}, {"Name": "email_verified", "Value": "true"}],
        MessageAction="SUPPRESS",
    )
    cognito.admin_set_user_password(UserPoolId=user_pool_id, Username=DEMO_USERNAME, Password=password, Permanent=True)
    return DEMO_USERNAME, password


def strong_password() -> str:
    """Return a random password with a character of each class that a Cognito password policy can ask for."""
    classes = [string.ascii_lowercase, string.ascii_uppercase, string.digits, _PASSWORD_SYMBOLS]
    every = "".join(classes)
    while True:
        password = "".join(secrets.choice(every) for _ in range(_PASSWORD_LENGTH))
        # It begins with a letter, so that no program takes it for an option.
        if password[0].isalpha() and all(set(password) & set(members) for members in classes):
            return password
