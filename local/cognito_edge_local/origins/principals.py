"""Who may sign for a function URL, and where their policies are read: credentials and policies, static or from IAM."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Statement = dict[str, Any]
"""One statement of an IAM policy, as JSON."""


@dataclass(frozen=True, slots=True)
class Credential:
    """One access key and the principal it stands for.

    Attributes:
        access_key_id: ``ASIA…`` or ``AKIA…``; public.
        secret_access_key: Never printed.
        session_token: For temporary credentials; never printed.
        principal_arn: The caller as AWS names it, ``arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION``.
        role_name: The role's name, without its path.
        account_id: Twelve digits.
        role_id: IAM's ``AROA…`` id of the role; derived from the role's ARN where it is not given.
        service: The service principal that the key stands for, such as ``cloudfront.amazonaws.com``; None for a role.
            A service has no policies of its own: the resource's alone decide.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)
    principal_arn: str
    role_name: str
    account_id: str
    role_id: str = ""
    service: str | None = None

    @property
    def session_name(self) -> str:
        """The role session's name: the last part of the caller's ARN."""
        return self.principal_arn.rsplit("/", 1)[-1]

    @property
    def user_id(self) -> str:
        """IAM's unique id of the caller, ``AROA…:session``."""
        role_id = self.role_id or _derived_role_id(self.account_id, self.role_name)
        return f"{role_id}:{self.session_name}"


def _derived_role_id(account_id: str, role_name: str) -> str:
    """Return a stable id of IAM's form (``AROA`` and 17 of A-Z2-7) for a role whose own id was not given."""
    digest = hashlib.sha256(f"{account_id}/{role_name}".encode()).digest()
    return "AROA" + base64.b32encode(digest).decode()[:17]


class CredentialDirectory(Protocol):
    """Finds the credential that an access key id names."""

    def lookup(self, access_key_id: str) -> Credential | None:
        """Return the credential, or None if the key is unknown."""
        ...


class PolicySource(Protocol):
    """Reads the policies that apply to a call. May block: the door calls it in a thread."""

    def identity_statements(self, credential: Credential) -> list[Statement]:
        """Return the statements of every policy of the caller's role.

        Raises:
            PolicyReadError: They could not be read, or hold something that the evaluator would have to ignore.
        """
        ...

    def resource_statements(self, function_arn: str) -> list[Statement]:
        """Return the statements of the function's resource policy; empty without one.

        Raises:
            PolicyReadError: They could not be read.
        """
        ...


class PolicyReadError(Exception):
    """The policies that decide over a call could not be read: no decision, therefore no access."""


class StaticCredentials:
    """The access keys that are known; the edge role's are added before the edge process gets them."""

    def __init__(self, credentials: Iterable[Credential] = ()) -> None:
        self._by_key = {credential.access_key_id: credential for credential in credentials}

    def add(self, credential: Credential) -> None:
        """Register a credential; one with the same access key id is replaced."""
        self._by_key[credential.access_key_id] = credential

    def remove(self, access_key_id: str) -> None:
        """Forget a credential, as when its session ends; unknown ids are ignored."""
        self._by_key.pop(access_key_id, None)

    def lookup(self, access_key_id: str) -> Credential | None:
        """Return the registered credential, or None."""
        return self._by_key.get(access_key_id)


@dataclass(frozen=True, slots=True)
class StaticPolicies:
    """Policies written down, for tests.

    Attributes:
        by_role: Role name to the statements of its policies.
        by_function: Function ARN to the statements of its resource policy.
    """

    by_role: Mapping[str, list[Statement]] = field(default_factory=dict)
    by_function: Mapping[str, list[Statement]] = field(default_factory=dict)

    def identity_statements(self, credential: Credential) -> list[Statement]:
        """Return what was written down for the caller's role."""
        return list(self.by_role.get(credential.role_name, []))

    def resource_statements(self, function_arn: str) -> list[Statement]:
        """Return what was written down for the function."""
        return list(self.by_function.get(function_arn, []))


class IamPolicies:
    """Policies as IAM and Lambda answer them, kept for a few seconds.

    Without the cache every request would cost half a dozen API calls. Its lifetime is short, so that a changed policy
    shows at the next request a person makes, as on AWS.
    """

    def __init__(
        self,
        iam_client: Any,
        lambda_client: Any,
        *,
        lifetime_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the two clients; nothing is read yet.

        Args:
            iam_client: A boto3 IAM client (boto3 makes the classes at run time, hence Any).
            lambda_client: A boto3 Lambda client of the function's region.
            lifetime_s: How long an answer is used, in seconds.
            clock: Monotonic seconds.
        """
        self._iam = iam_client
        self._lambda = lambda_client
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], tuple[float, list[Statement]]] = {}

    def identity_statements(self, credential: Credential) -> list[Statement]:
        """Return the statements of the role's inline and attached policies.

        Raises:
            PolicyReadError: IAM did not answer, or the role has a permissions boundary, which would narrow what its
                policies allow and which the evaluator does not know.
        """
        return self._read("role", credential.role_name, self._read_role)

    def resource_statements(self, function_arn: str) -> list[Statement]:
        """Return the statements of the function's resource policy; empty without one.

        Raises:
            PolicyReadError: Lambda did not answer.
        """
        return self._read("function", function_arn, self._read_function)

    def _read(self, kind: str, name: str, read: Callable[[str], list[Statement]]) -> list[Statement]:
        # One reader at a time: requests that come together share one round of API calls.
        with self._lock:
            kept = self._kept.get((kind, name))
            if kept is not None and self._clock() - kept[0] < self._lifetime_s:
                return kept[1]
            try:
                statements = read(name)
            except PolicyReadError:
                raise
            except Exception as error:
                # Any error means "not read".
                raise PolicyReadError(f"policies of {kind} {name} could not be read: {error}") from error
            self._kept[(kind, name)] = (self._clock(), statements)
            return statements

    def _read_role(self, role_name: str) -> list[Statement]:
        role = self._iam.get_role(RoleName=role_name)["Role"]
        if role.get("PermissionsBoundary"):
            raise PolicyReadError(
                f"role {role_name} has a permissions boundary, which this door does not evaluate: take it off locally"
            )
        statements: list[Statement] = []
        for page in self._iam.get_paginator("list_role_policies").paginate(RoleName=role_name):
            for policy_name in page["PolicyNames"]:
                answer = self._iam.get_role_policy(RoleName=role_name, PolicyName=policy_name)
                statements += statements_of(answer["PolicyDocument"])
        for page in self._iam.get_paginator("list_attached_role_policies").paginate(RoleName=role_name):
            for attached in page["AttachedPolicies"]:
                arn = attached["PolicyArn"]
                version_id = self._iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
                answer = self._iam.get_policy_version(PolicyArn=arn, VersionId=version_id)
                statements += statements_of(answer["PolicyVersion"]["Document"])
        return statements

    def _read_function(self, function_arn: str) -> list[Statement]:
        # arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]; each qualifier has a policy of its own.
        parts = function_arn.split(":")
        which = {"FunctionName": ":".join(parts[:7])}
        if len(parts) > 7:
            which["Qualifier"] = parts[7]
        try:
            return statements_of(self._lambda.get_policy(**which)["Policy"])
        except self._lambda.exceptions.ResourceNotFoundException:
            return []


def statements_of(document: Mapping[str, Any] | str) -> list[Statement]:
    """Return the statements of a policy document, which may hold one or a list of them.

    Args:
        document: The document, or its JSON text (Lambda's ``GetPolicy`` answers with text).
    """
    parsed: Mapping[str, Any] = json.loads(document) if isinstance(document, str) else document
    found = parsed.get("Statement", [])
    return [found] if isinstance(found, dict) else list(found)
