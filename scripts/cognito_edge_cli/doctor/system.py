"""What the doctor reads of a system: each thing once, for all checks; it changes nothing."""

import json
import os
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, TypeVar

import requests
from botocore.exceptions import ClientError
from cognito_edge.parameters import CLIENT_ID, POLICY, USER_POOL_ID

from cognito_edge_cli import stack
from cognito_edge_cli.console import ScriptError
from cognito_edge_cli.stack import DEFAULT_REGION, EMULATOR_KEY, Stack, is_loopback

Document = dict[str, Any]
T = TypeVar("T")

_TIMEOUT_S = 12.0  # the gateway ends every request within 5 s; a cold start comes on top
_LOG_TAIL_BYTES = 512_000
_URL_HOST = re.compile(r"[a-z0-9]+\.lambda-url\.(?P<region>[a-z0-9-]+)\.on\.aws")
# ``local/cognito_edge_local/emulator/deploy.py`` adds this policy for the emulator alone; on AWS it does not exist.
_EMULATORS_OWN_POLICY = "local-emulator-only"
_RESTART = "stop `make run` and start it again"


class UnseenError(Exception):
    """Something cannot be looked at; ends the check that needs it.

    Attributes:
        fix: What would help.
    """

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.fix = fix


class Parameters(NamedTuple):
    """What SSM holds for the gateway.

    Attributes:
        values: By name without prefix; absent ones are absent.
        aws_ahead_s: By how many seconds AWS's clock is ahead of this machine's; None if the answer did not say.
    """

    values: Mapping[str, str]
    aws_ahead_s: float | None


@dataclass(frozen=True)
class Answer:
    """What came back from a URL.

    Attributes:
        status: HTTP status.
        headers: By lower-case name.
        body: As text, its beginning; may hold what the backend says about the caller, so it is never shown whole.
    """

    status: int
    headers: Mapping[str, str]
    body: str = field(repr=False)

    @property
    def problem(self) -> Document:
        """The body as a JSON object; empty if it is something else."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def request_id(self) -> str:
        """CloudFront's name of the request; "" where it did not come through CloudFront."""
        return self.headers.get("x-amz-cf-id", "")


class FunctionUrl(NamedTuple):
    """A function URL behind the distribution.

    Attributes:
        host: Its host.
        region: Its region.
        function_arn: The function, with the alias if the URL is on one.
        config: What Lambda says about the URL.
    """

    host: str
    region: str
    function_arn: str
    config: Document

    @property
    def name(self) -> str:
        """The function's name, and its alias."""
        return self.function_arn.partition(":function:")[2]


def url_region(host: str) -> str | None:
    """Return the region of a function URL's host; None for other hosts.

    >>> url_region("abc123.lambda-url.eu-west-1.on.aws"), url_region("bucket.s3.amazonaws.com")
    ('eu-west-1', None)
    """
    match = _URL_HOST.fullmatch(host)
    return match["region"] if match else None


def options_of(stack: Stack, stack_region: str) -> str:
    """Return what to add to a command so that it means this system.

    Args:
        stack: The system.
        stack_region: Region of the CloudFormation stack.
    """
    if stack.is_local:
        return "--local"
    region = f" --region {stack_region}" if stack_region != DEFAULT_REGION else ""
    return f"--stack {stack.name}{region}" + (f" --profile {stack.profile}" if stack.profile else "")


class System:
    """One system as it stands: everything is read at most once, by several threads.

    Attributes:
        stack: Where it is.
        path: The path that the calls are made to.
        clock: This machine's clock, seconds since the epoch.
    """

    def __init__(
        self,
        stack: Stack,
        *,
        stack_region: str,
        path: str,
        token: str | UnseenError,
        clock: Callable[[], float],
    ) -> None:
        """Read nothing yet.

        Args:
            stack: Where it is.
            stack_region: Region of the CloudFormation stack.
            path: The path to call.
            token: The token to look at, or why there is none.
            clock: Seconds since the epoch.
        """
        self.stack, self.path, self.clock = stack, path, clock
        self._stack_region = stack_region
        self._token = token
        self._lock = threading.Lock()
        self._kept: dict[str, Future[Any]] = {}

    def once(self, key: str, read: Callable[[], T]) -> T:
        """Return what *read* returns, or raise what it raises; only the first caller of a key reads."""
        with self._lock:
            found = self._kept.get(key)
            mine = found is None
            future: Future[Any] = self._kept.setdefault(key, found or Future())
        if mine:
            try:
                future.set_result(read())
            except BaseException as error:  # noqa: BLE001 - whatever it is, each who asks gets it
                future.set_exception(error)
        value: T = future.result()
        return value

    def client(self, service: str, region: str) -> Any:
        """Return a boto3 client."""
        return self.once(f"client {service} {region}", lambda: stack.client(self.stack, service, region))

    # --- commands to type -------------------------------------------------------------------------------------------------

    def command(self, command: str) -> str:
        """Return the command line of one of the project's commands."""
        return f"cognito-edge {command} {options_of(self.stack, self._stack_region)}"

    def aws(self, command: str, region: str) -> str:
        """Return a command line of the AWS CLI."""
        if self.stack.is_local:
            key = EMULATOR_KEY if self.stack.aws_access_key_id == EMULATOR_KEY else "…"  # it is a secret
            return (
                f"AWS_ACCESS_KEY_ID={key} AWS_SECRET_ACCESS_KEY={key}"
                f" aws --endpoint-url {self.stack.aws_endpoint_url} {command} --region {region}"
            )
        return f"aws {command} --region {region}" + (f" --profile {self.stack.profile}" if self.stack.profile else "")

    @property
    def again(self) -> str:
        """How to get what was deployed to be what it should be; CloudFormation does not undo what was changed by hand."""
        if self.stack.is_local:
            return "if the CDK app says so already, restart `make run`: it was changed in the emulator; else change the app first"
        return (
            "if the CDK app says so already, it was changed by hand: change it back by hand, too (a deployment leaves alone what"
            " its template did not change); else change the app, then `make deploy`"
        )

    # --- the stack --------------------------------------------------------------------------------------------------------

    @property
    def outputs(self) -> Mapping[str, str]:
        """The CloudFormation stack's outputs."""
        return self.once("outputs", self._read_outputs)

    def _read_outputs(self) -> Mapping[str, str]:
        return {
            output["OutputKey"]: output["OutputValue"]
            for output in self._cloudformation_stack().get("Outputs", [])
            if "OutputKey" in output and "OutputValue" in output
        }

    def _cloudformation_stack(self) -> Document:
        return self.once("stack", self._find_stack)

    def _find_stack(self) -> Document:
        cloudformation = self.client("cloudformation", self._stack_region)
        if not self.stack.is_local:
            found: Document = cloudformation.describe_stacks(StackName=self.stack.name)["Stacks"][0]
            return found
        for candidate in cloudformation.describe_stacks()["Stacks"]:
            if any(output.get("OutputValue") == self.stack.user_pool_id for output in candidate.get("Outputs", [])):
                return dict(candidate)
        raise UnseenError("the emulator has no stack with this user pool among its outputs", _RESTART)

    def output(self, name: str) -> str:
        """Return an output.

        Raises:
            UnseenError: The stack does not have it.
        """
        value = self.outputs.get(name)
        if not value:
            raise UnseenError(
                f"the stack has no output {name}",
                f"call `gateway.add_outputs(stack)` in the CDK app; {self.again}",
            )
        return value

    @property
    def local_outputs(self) -> Document:
        """The local system's ``outputs.json``; empty for a deployed one."""
        if not self.stack.is_local:
            return {}
        return self.once("outputs.json", lambda: json.loads((stack.LOCAL_FOLDER / "outputs.json").read_bytes()))

    @property
    def gateway_url(self) -> str:
        """Where viewers call."""
        return str(self.local_outputs.get("gateway_url") or self.output("GatewayUrl"))

    # --- parameters -------------------------------------------------------------------------------------------------------

    @property
    def parameters(self) -> Parameters:
        """The gateway's parameters, as they are now."""
        return self.once("parameters", self._read_parameters)

    def _read_parameters(self) -> Parameters:
        prefix = self.stack.parameter_prefix
        names = {f"{prefix}/{name}": name for name in (USER_POOL_ID, CLIENT_ID, POLICY)}
        answer = self.client("ssm", self.stack.parameter_region).get_parameters(Names=list(names))
        values = {names[parameter["Name"]]: parameter["Value"] for parameter in answer["Parameters"]}
        return Parameters(values, self._ahead(answer))

    def _ahead(self, answer: Mapping[str, Any]) -> float | None:
        """Return by how many seconds the clock of whoever answered is ahead of this machine's; None if it does not say."""
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
        try:
            return parsedate_to_datetime(date).timestamp() - self.clock()
        except ValueError:
            return None

    @property
    def aws_ahead_s(self) -> float | None:
        """By how many seconds AWS's clock is ahead; a refusal tells as well, such as that of a signature of another time."""
        try:
            return self.parameters.aws_ahead_s
        except ClientError as error:
            response = error.response
            return self.once("refusal's clock", lambda: self._ahead(response))

    @property
    def now(self) -> float:
        """The time by AWS's clock, which is the edges' as well; by this machine's where AWS does not say."""
        try:
            ahead_s = self.aws_ahead_s or 0.0
        except Exception:  # noqa: BLE001 - why SSM cannot be read, its own check says
            ahead_s = 0.0
        # Below two seconds it is the grain of the Date header and the way back.
        return self.clock() + (ahead_s if abs(ahead_s) > 2 else 0.0)

    # --- distribution and functions ---------------------------------------------------------------------------------------

    @property
    def distribution(self) -> Document:
        """The distribution, as CloudFront's API describes it."""
        return self.once(
            "distribution",
            lambda: self.client("cloudfront", DEFAULT_REGION).get_distribution(Id=self.output("DistributionId"))[
                "Distribution"
            ],
        )

    def edge_configuration(self, arn: str) -> Document:
        """Return what Lambda says about a version of the edge function."""
        return self.once(
            f"edge {arn}",
            lambda: dict(self.client("lambda", DEFAULT_REGION).get_function_configuration(FunctionName=arn)),
        )

    @property
    def role(self) -> Document:
        """The edge role."""
        name = self.output("EdgeRoleArn").rpartition("/")[2]
        return self.once("role", lambda: self.client("iam", DEFAULT_REGION).get_role(RoleName=name)["Role"])

    @property
    def role_statements(self) -> list[Document]:
        """The statements of all policies of the edge role."""
        return self.once("role statements", self._read_role_statements)

    def _read_role_statements(self) -> list[Document]:
        iam = self.client("iam", DEFAULT_REGION)
        name = self.output("EdgeRoleArn").rpartition("/")[2]
        documents = [
            iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
            if not (self.stack.is_local and policy == _EMULATORS_OWN_POLICY)
        ]
        attached = [one["PolicyArn"] for one in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]]
        inline = [statement for document in documents for statement in statements_of(document)]
        return inline + [statement for arn in attached for statement in self.managed_statements(arn)]

    def managed_statements(self, arn: str) -> list[Document]:
        """Return the statements of a managed policy."""
        iam = self.client("iam", DEFAULT_REGION)
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        return statements_of(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])

    @property
    def function_urls(self) -> list[FunctionUrl]:
        """The function URLs that the distribution leads to."""
        return self.once("function URLs", self._find_function_urls)

    def _find_function_urls(self) -> list[FunctionUrl]:
        origins = self.distribution["DistributionConfig"].get("Origins", {}).get("Items", [])
        wanted = {origin["DomainName"]: region for origin in origins if (region := url_region(origin["DomainName"]))}
        found: dict[str, FunctionUrl] = {}
        for candidates in (self._arns_in_stack, self._arns_in_role):
            if len(found) == len(wanted):
                break
            for arn in candidates():
                url = self._function_url(arn)
                if url is not None and url.host in wanted:
                    found[url.host] = url
        if missing := sorted(set(wanted) - set(found)):
            raise UnseenError(
                f"no function of the stack, or of the edge role's policy, has the URL {', '.join(missing)}",
                "find it: " + self.aws("lambda list-functions --query Functions[].FunctionName", wanted[missing[0]]),
            )
        return [found[host] for host in wanted]

    def _arns_in_stack(self) -> list[str]:
        stack = self._cloudformation_stack()
        pages = self.client("cloudformation", self._stack_region).get_paginator("list_stack_resources")
        names = [
            resource.get("PhysicalResourceId", "")
            for page in pages.paginate(StackName=stack["StackName"])
            for resource in page["StackResourceSummaries"]
            if resource["ResourceType"] == "AWS::Lambda::Url"
        ]
        account = self.output("EdgeRoleArn").split(":")[4]
        # AWS gives the function's ARN, emulators its name.
        where = f"arn:aws:lambda:{self._stack_region}:{account}:function:"
        return [name if name.startswith("arn:") else where + name for name in names if name]

    def _arns_in_role(self) -> list[str]:
        arns = [arn for statement in self.role_statements for arn in as_list(statement.get("Resource"))]
        return [arn for arn in dict.fromkeys(arns) if ":function:" in arn and "*" not in arn]

    def _function_url(self, arn: str) -> FunctionUrl | None:
        parts = arn.split(":")
        region, qualifier = parts[3], parts[7:]
        client = self.client("lambda", region)
        only = {"Qualifier": qualifier[0]} if qualifier else {}
        try:
            config = dict(client.get_function_url_config(FunctionName=parts[6], **only))
        except client.exceptions.ResourceNotFoundException:
            return None
        host = config["FunctionUrl"].partition("://")[2].partition("/")[0]
        return FunctionUrl(host, region, config.get("FunctionArn", arn), config)

    def resource_statements(self, url: FunctionUrl) -> list[Document]:
        """Return the statements of a function's own policy."""
        return self.once(f"policy {url.function_arn}", lambda: self._read_resource_statements(url))

    def _read_resource_statements(self, url: FunctionUrl) -> list[Document]:
        client = self.client("lambda", url.region)
        parts = url.function_arn.split(":")
        only = {"Qualifier": parts[7]} if len(parts) > 7 else {}
        try:
            policy = client.get_policy(FunctionName=parts[6], **only)["Policy"]
        except client.exceptions.ResourceNotFoundException:
            return []
        return statements_of(json.loads(policy))

    # --- calls ------------------------------------------------------------------------------------------------------------

    @property
    def token(self) -> str:
        """The token to look at.

        Raises:
            UnseenError: Without one.
        """
        if isinstance(self._token, UnseenError):
            raise self._token
        return self._token

    def call_gateway(self, *, with_token: bool) -> Answer:
        """Call the gateway once with the token, and once without."""
        token = self.token if with_token else None
        return self.once(f"call {with_token}", lambda: self.fetch(self.gateway_url + self.path, token))

    def fetch(self, url: str, token: str | None = None) -> Answer:
        """GET a URL; no redirect is followed, and on the local system no proxy is asked."""
        if token is not None and not url.startswith("https://") and not is_loopback(url):
            raise UnseenError(
                f"{url.partition('?')[0]} is plain http: the token would travel in the clear",
                "have the stack's output GatewayUrl begin with https://",
            )
        headers = {"Accept": "application/json", "User-Agent": "cognito-edge-gateway-doctor"}
        with requests.Session() as session:
            session.trust_env = not self.stack.is_local
            session.auth = _Bearer(token)
            found = session.get(url, headers=headers, timeout=_TIMEOUT_S, allow_redirects=False, stream=True)
            body = found.raw.read(65_536, decode_content=True).decode("utf-8", "replace")
        return Answer(found.status_code, {name.lower(): value for name, value in found.headers.items()}, body)

    # --- what the local system alone tells --------------------------------------------------------------------------------

    def local_edge_log(self) -> list[Document]:
        """Return the last lines of the local edge's log, the oldest first.

        Raises:
            UnseenError: The file cannot be read.
        """
        path = stack.LOCAL_FOLDER / "edge.log"
        try:
            with path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
                lines = file.read().splitlines()
        except OSError as error:
            raise UnseenError(f"{path} cannot be read ({error.strerror})", _RESTART) from None
        found = []
        for line in lines:
            if line.startswith(b"{"):
                try:
                    found.append(json.loads(line))
                except ValueError:
                    continue
        return found

    def log_line(self, request_id: str) -> Document:
        """Return the local edge's line about a request; empty for a deployed system, or if the log has no such line."""
        if not self.stack.is_local or not request_id:
            return {}
        return next((line for line in reversed(self.local_edge_log()) if line.get("request_id") == request_id), {})

    def control(self, name: str, path: str, parameters: Mapping[str, str] | None = None) -> Document:
        """Ask one of the local system's own endpoints.

        Args:
            name: The file that says where it is and holds its secret.
            path: What to ask.
            parameters: The query.

        Raises:
            UnseenError: It does not answer.
        """
        file = stack.LOCAL_FOLDER / name
        try:
            where = json.loads(file.read_bytes())
            with requests.Session() as session:
                session.trust_env = False  # no proxy gets the secret
                headers = {"Authorization": f"Bearer {where['secret']}"}
                found = session.get(
                    where["url"].partition("/#")[0].rstrip("/") + path,
                    params=parameters,
                    headers=headers,
                    timeout=_TIMEOUT_S,
                    allow_redirects=False,
                )
            return dict(found.json())
        except (OSError, ValueError, KeyError, TypeError, requests.RequestException) as error:
            raise UnseenError(f"{file.name}: {type(error).__name__}", _RESTART) from None


class _Bearer(requests.auth.AuthBase):
    """Sends the token, or nothing. Without an ``auth``, requests would look for passwords in ~/.netrc."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def statements_of(document: Mapping[str, Any]) -> list[Document]:
    """Return a policy's statements; a single one need not stand in a list."""
    return [dict(statement) for statement in as_list(document.get("Statement"))]


def as_list(value: Any) -> list[Any]:
    """Return what IAM allows to be written without a list, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def moment(time: str) -> float:
    """Read a log line's time.

    Raises:
        ScriptError: It is something else.
    """
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        raise ScriptError(f"expected a time such as 2026-11-21T12:00:00.000Z, not {time[:40]!r}") from None
