"""The policy document in SSM: read, written only over the version that was read, and its history."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError
from cognito_edge.parameters import CLIENT_ID, POLICY, USER_POOL_ID

from cognito_edge_cli.console import ScriptError, aws_code
from cognito_edge_cli.stack import Stack, client

from .check import STANDARD_BYTES, Ids
from .located_json import object_or_empty

if TYPE_CHECKING:  # the stubs are a development dependency
    from mypy_boto3_ssm import SSMClient


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of the document.

    Attributes:
        number: SSM's, counted from 1.
        text: The document.
        written_at: When.
        written_by: ARN of whoever wrote it.
        tier: ``Standard`` or ``Advanced``.
    """

    number: int
    text: str = field(repr=False)
    written_at: datetime
    written_by: str
    tier: str

    @property
    def size(self) -> int:
        """Its length in bytes, which is what SSM limits."""
        return len(self.text.encode())


class PolicyStore:
    """One stack's policy parameter."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.name = f"{stack.parameter_prefix}/{POLICY}"
        self._client: SSMClient = client(stack, "ssm", stack.parameter_region)

    def ids(self) -> Ids:
        """Return the gateway's own pool and clients.

        Raises:
            ScriptError: One of the two parameters is not there.
        """
        prefix = self.stack.parameter_prefix
        names = {f"{prefix}/{USER_POOL_ID}": USER_POOL_ID, f"{prefix}/{CLIENT_ID}": CLIENT_ID}
        found = self._client.get_parameters(Names=list(names))
        values = {names[parameter["Name"]]: parameter["Value"] for parameter in found["Parameters"]}
        if missing := found.get("InvalidParameters"):
            raise ScriptError(
                f"{self.stack.name}: SSM has no {' and no '.join(missing)} in {self.stack.parameter_region}. The stack's"
                " template makes them: deploy it again."
            )
        return Ids(values[USER_POOL_ID], values[CLIENT_ID])

    def history(self) -> list[Version]:
        """Return every version that SSM still has (it keeps a hundred), the oldest first; an empty list without a parameter."""
        pages = self._client.get_paginator("get_parameter_history").paginate(Name=self.name)
        try:
            return sorted((_version(item) for page in pages for item in page["Parameters"]), key=lambda v: v.number)
        except ClientError as error:
            if aws_code(error) == "ParameterNotFound":
                return []
            raise

    def current(self) -> Version | None:
        """Return the version that the edges read, or None if there is no parameter."""
        return next(reversed(self.history()), None)

    def put(self, text: str, *, over: Version | None, advanced: bool) -> int:
        """Write *text* and return its version's number.

        SSM has no conditional write, so the version is read again just before, and the number that comes back tells
        whether another write came first.

        Args:
            text: The document.
            over: The version that it replaces; None if there was no parameter.
            advanced: Whether it may become an advanced parameter, for good.

        Raises:
            ScriptError: Another version was written meanwhile, or the tier is too small.
        """
        tier: Literal["Standard", "Advanced"] = "Standard"
        if advanced or (over is not None and over.tier == "Advanced"):  # there is no way back from Advanced
            tier = "Advanced"
        size = len(text.encode())
        if size > STANDARD_BYTES and tier == "Standard":
            raise ScriptError(
                f"Nothing was written: the document has {size:,} bytes, and {self.name} is a standard parameter, which"
                f" takes {STANDARD_BYTES:,}. --compact leaves out spaces; --advanced makes it an advanced parameter (8,192"
                " bytes, $0.05 a month; it stays one until it is deleted)."
            )
        before = self.current()
        if before is None and over is not None:
            raise ScriptError(
                f"Nothing was written: {self.name} was deleted meanwhile. Put the document again to make it anew."
            )
        if before is not None and before.number != _number(over):
            raise ScriptError(
                f"Nothing was written: version {before.number} has been written meanwhile, by {before.written_by}; the"
                f" difference was taken against {_number(over)}. Look at it (`cognito-edge policy show`) and try again."
            )
        try:
            written = self._client.put_parameter(
                Name=self.name, Value=text, Type="String", Overwrite=over is not None, Tier=tier
            )["Version"]
        except ClientError as error:
            if aws_code(error) == "ParameterAlreadyExists":
                raise ScriptError(
                    f"Nothing was written: {self.name} has been made meanwhile. Look at it (`cognito-edge policy show`) and"
                    " try again."
                ) from None
            raise
        if written != _number(over) + 1:
            raise ScriptError(
                f"Version {written} was written, but version {written - 1}, written in the same moment by someone else, is"
                f" thereby out of force. Compare the two: `cognito-edge policy show {written - 1}`, `cognito-edge policy show {written}`."
            )
        return written


def find_version(versions: Sequence[Version], number: int) -> Version:
    """Return a version by its number.

    Raises:
        ScriptError: SSM does not have it.
    """
    for version in versions:
        if version.number == number:
            return version
    have = f"{versions[0].number} to {versions[-1].number}" if versions else "none"
    raise ScriptError(f"There is no version {number}; SSM has {have}. See `cognito-edge policy history`.")


def last_other(versions: Sequence[Version]) -> Version:
    """Return the last version that says something else than the current one, whatever its spaces.

    Raises:
        ScriptError: All say the same.
    """
    now = object_or_empty(versions[-1].text)
    for version in reversed(versions):
        if object_or_empty(version.text) != now:
            return version
    raise ScriptError("No earlier version says anything else. See `cognito-edge policy history`.")


def _version(item: Any) -> Version:
    return Version(
        number=item["Version"],
        text=item["Value"],
        written_at=item["LastModifiedDate"],
        written_by=item.get("LastModifiedUser", "unknown"),
        tier=item.get("Tier", "Standard"),
    )


def _number(version: Version | None) -> int:
    return 0 if version is None else version.number
