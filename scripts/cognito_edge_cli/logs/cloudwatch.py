"""The edge function's log groups in every AWS region, read at the same time; and new lines as they come.

Each region where CloudFront ran the function has a group ``/aws/lambda/us-east-1.<function name>`` of its own. Regions without
the group had no viewers; regions that refuse, or that the account has not enabled, are named and never passed over in silence.

Source: CloudFront Developer Guide, "Edge function logs"; CloudWatch Logs API, FilterLogEvents.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from cognito_edge_cli.console import ScriptError, aws_code, say

from .lines import Line, Merged, Seen, Selection, parse

if TYPE_CHECKING:  # the stubs are a development dependency
    from mypy_boto3_logs import CloudWatchLogsClient

PATIENCE_S = 2.0
"""How long a search stays silent."""
POLL_S = 2.0
LOOK_BACK_MS = 90_000
"""How far each round of following looks back: lines reach CloudWatch some seconds late, and not in order."""
LOOK_FOR_NEW_REGIONS_S = 30.0
_AT_ONCE = 16
_PAGE = 10_000  # FilterLogEvents' largest
_NOT_ENABLED = frozenset({"UnrecognizedClientException", "InvalidClientTokenId", "OptInRequired", "AuthFailure"})


@dataclass
class Reading:
    """What a search over the regions found.

    Attributes:
        found: Regions that have the log group.
        refused: Why a region could not be read, by region.
    """

    found: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)

    def complaint(self) -> str:
        """Return what has to be said about regions that could not be read; empty if all could."""
        reasons: dict[str, list[str]] = {}
        for region, reason in sorted(self.refused.items()):
            reasons.setdefault(reason, []).append(region)
        return "".join(
            f"not read, {reason}: {', '.join(regions)}\n" for reason, regions in sorted(reasons.items())
        ).rstrip()


@lru_cache
def _session(profile: str | None) -> boto3.Session:
    """Return the one session of a profile: each new one would read the SDK's service descriptions again, for a second."""
    return boto3.Session(profile_name=profile)


def group_of(function_version_arn: str) -> str:
    """Return the name of the log group that the function has in every region.

    >>> group_of("arn:aws:lambda:us-east-1:111122223333:function:Edge-1A2B:7")
    '/aws/lambda/us-east-1.Edge-1A2B'

    Raises:
        ScriptError: This is no ARN of a function.
    """
    parts = function_version_arn.split(":")
    if len(parts) < 7 or parts[2] != "lambda" or not parts[6]:
        raise ScriptError(f"expected the ARN of a Lambda function version, not {function_version_arn!r}.")
    return f"/aws/lambda/us-east-1.{parts[6]}"


def output_of(stack: str, output: str, *, region: str, profile: str | None) -> str:
    """Return one of a CloudFormation stack's outputs.

    Raises:
        ScriptError: There is no such stack, or it has no such output.
    """
    client = _session(profile).client("cloudformation", region_name=region)
    try:
        (found,) = client.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if aws_code(error) == "ValidationError":  # CloudFormation's code for "does not exist"
            raise ScriptError(
                f"There is no stack {stack} in {region} (in the account of these AWS credentials). Name another with --stack and"
                " --region, or the edge function itself with --function, or use --local."
            ) from None
        raise
    for known in found.get("Outputs", []):
        if known.get("OutputKey") == output and known.get("OutputValue"):
            return str(known["OutputValue"])
    raise ScriptError(f"The stack {stack} has no output {output}. Name the edge function itself with --function.")


def all_regions() -> list[str]:
    """Return every region of AWS's main partition that has CloudWatch Logs; CloudFront runs functions in no other."""
    return sorted(_session(None).get_available_regions("logs", partition_name="aws"))


class EdgeLogs:
    """One function's log groups."""

    def __init__(
        self,
        group: str,
        regions: Collection[str],
        *,
        profile: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
        now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        """Say what to read; nothing is called yet.

        Args:
            group: The log group's name.
            regions: Where to look.
            profile: Name of the AWS profile; None: the SDK's own choice.
            sleep: Waits some seconds between two rounds of following.
            now_ms: Milliseconds since the epoch.
        """
        self.group = group
        self.regions = sorted(regions)
        self._session = _session(profile)
        self._clients: dict[str, CloudWatchLogsClient] = {}
        self._sleep = sleep
        self._now_ms = now_ms

    def read(self, selection: Selection, into: Merged) -> Reading:
        """Read all regions at once.

        Args:
            selection: Which lines.
            into: Takes them.
        """
        return self._read(self.regions, selection, into.add)

    def follow(self, selection: Selection, seen: Seen, reading: Reading) -> Iterator[list[Line]]:
        """Yield new lines of each round, in the order of time; without an end.

        Args:
            selection: Which lines; its times are not looked at.
            seen: What was shown already.
            reading: What the search before found; kept up to date.
        """
        looked = self._now_ms()
        while True:
            self._sleep(POLL_S)
            now = self._now_ms()
            regions = set(reading.found)
            if now - looked >= LOOK_FOR_NEW_REGIONS_S * 1000:
                # A viewer from elsewhere: CloudFront makes the group of a region with its first line.
                looked = now
                regions = set(self.regions) - set(reading.refused)
            recent = Selection(
                request_id=selection.request_id,
                sub_hash=selection.sub_hash,
                code=selection.code,
                decision=selection.decision,
                since_ms=now - LOOK_BACK_MS,
                everything=selection.everything,
            )
            merged = Merged()
            found = self._read(sorted(regions), recent, merged.add)
            reading.found |= found.found
            for region, reason in found.refused.items():
                if region not in reading.refused:
                    say(f"not read, {reason}: {region}")
            reading.refused |= found.refused
            yield seen.new(merged.lines)

    def _read(self, regions: Iterable[str], selection: Selection, take: Callable[[list[Line]], None]) -> Reading:
        reading, taking = Reading(), threading.Lock()

        def take_alone(lines: list[Line]) -> None:
            with taking:
                take(lines)

        pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="logs")
        try:
            # Clients are made here, one after the other: making them is not safe in threads, using them is.
            waiting: dict[Future[bool], str] = {
                pool.submit(self._read_region, self._client(region), region, selection, take_alone): region
                for region in regions
            }
            all_, last_said = len(waiting), time.monotonic()
            while waiting:
                done, _ = wait(waiting, timeout=PATIENCE_S, return_when=FIRST_COMPLETED)
                for future in done:
                    self._note(future, waiting.pop(future), reading)
                if waiting and time.monotonic() - last_said >= PATIENCE_S:
                    last_said = time.monotonic()
                    say(f"reading: {all_ - len(waiting)} of {all_} regions done …")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return reading

    @staticmethod
    def _note(future: "Future[bool]", region: str, reading: Reading) -> None:
        try:
            if future.result():
                reading.found.add(region)
        except (NoCredentialsError, PartialCredentialsError):
            raise  # the same everywhere
        except ClientError as error:
            code = aws_code(error)
            not_enabled = "the account has not enabled the region, or the credentials are not valid there"
            reading.refused[region] = f"{not_enabled} ({code})" if code in _NOT_ENABLED else code
        except BotoCoreError as error:
            reading.refused[region] = f"no answer ({type(error).__name__})"

    def _client(self, region: str) -> "CloudWatchLogsClient":
        if region not in self._clients:
            config = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "max_attempts": 3})
            made: CloudWatchLogsClient = self._session.client("logs", region_name=region, config=config)
            self._clients[region] = made
        return self._clients[region]

    def _read_region(
        self, client: "CloudWatchLogsClient", region: str, selection: Selection, take: Callable[[list[Line]], None]
    ) -> bool:
        """Read every page of one region; return whether it has the group."""
        arguments: dict[str, Any] = {"logGroupName": self.group, "limit": _PAGE}
        # CloudWatch goes by the time of writing, which is later than the request's own.
        if selection.since_ms is not None:
            arguments["startTime"] = max(0, selection.since_ms)
        if selection.until_ms is not None:
            arguments["endTime"] = selection.until_ms + LOOK_BACK_MS
        if selection.terms:
            # "Terms" in quotes are found as they stand, in JSON too. The fields themselves are compared here.
            arguments["filterPattern"] = " ".join(f'"{term}"' for term in selection.terms)
        try:
            for page in client.get_paginator("filter_log_events").paginate(**arguments):
                lines = (_line(event, region) for event in page.get("events", []))
                take([line for line in lines if selection.takes(line)])
        except client.exceptions.ResourceNotFoundException:
            return False
        return True


def _line(event: Mapping[str, Any], region: str) -> Line:
    source = f"{event.get('logStreamName', '')}/{event.get('eventId', '')}"
    return parse(str(event.get("message", "")), region=region, source=source, written_ms=int(event.get("timestamp", 0)))
