"""Checks of the doctor: where the edge function has logged, and what it could not read lately."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cognito_edge_cli.console import aws_code
from cognito_edge_cli.doctor.report import Probe, Verdict, failed, passed, warned
from cognito_edge_cli.doctor.system import Document, System, UnseenError, moment
from cognito_edge_cli.logs.cloudwatch import group_of

_LOOK_BACK_S: Final = 3600
_TOGETHER: Final = 8
# What AWS answers for a region that the account has not switched on.
_SWITCHED_OFF: Final = frozenset({"UnrecognizedClientException", "InvalidClientTokenId", "OptInRequired"})


def log_group(system: System) -> str:
    """Return the log group of the edge function's replicas."""
    return group_of(system.output("EdgeFunctionVersionArn"))


def _regions(system: System) -> Iterator[Verdict]:
    if system.stack.is_local:
        lines = system.local_edge_log()
        if lines:
            yield passed(f"this machine: edge.log, last line {lines[-1].get('time')}")
        else:
            yield warned("this machine: edge.log is empty; nothing was called yet", "call something, and look again")
        return
    found = _found_groups(system)
    if found:
        yield passed(f"{', '.join(sorted(found))}: log group {log_group(system)}")
    else:
        yield warned(
            f"no region has the log group {log_group(system)}: the edge function has not run yet, or may not write its log",
            "call the gateway and look again; else see edge.trust, and that the role's policy allows logs:CreateLogGroup,"
            " logs:CreateLogStream and logs:PutLogEvents in every region",
        )


def _found_groups(system: System) -> list[str]:
    return system.once("log regions", lambda: _look_everywhere(system))


def _look_everywhere(system: System) -> list[str]:
    # One session for all: with one for each client, some thirty regions would take as many seconds.
    session = boto3.Session(profile_name=system.stack.profile, region_name="us-east-1")
    regions = session.get_available_regions("logs")
    brief = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "max_attempts": 2})
    clients = {region: session.client("logs", region_name=region, config=brief) for region in regions}
    group = log_group(system)

    def has_group(region: str) -> bool | str:
        try:
            answer = clients[region].describe_log_groups(logGroupNamePrefix=group, limit=1)
            return any(one["logGroupName"] == group for one in answer["logGroups"])
        except ClientError as error:
            code = aws_code(error)
            return False if code in _SWITCHED_OFF else code
        except BotoCoreError as error:
            return type(error).__name__

    with ThreadPoolExecutor(_TOGETHER) as pool:
        answers = dict(zip(regions, pool.map(has_group, regions), strict=True))
    if refused := {region: answer for region, answer in answers.items() if isinstance(answer, str)}:
        region, why = next(iter(refused.items()))
        raise UnseenError(
            f"{len(refused)} of {len(regions)} regions cannot be asked ({region}: {why})",
            "allow logs:DescribeLogGroups in every region to these credentials",
        )
    return [region for region, answer in answers.items() if answer is True]


def _errors(system: System) -> Iterator[Verdict]:
    if system.stack.is_local:
        failures = _unmended(system.local_edge_log(), since=system.clock() - _LOOK_BACK_S)
    else:
        failures = _failures_in_regions(system)
    for what, line in failures.items():
        say = failed if what == "configuration" and "policy:" in str(line.get("reason")) else warned
        yield say(
            f"{line.get('time')}: the {what} could not be read: {line.get('reason')}",
            "edges go on with what they read last for a day; new ones answer 503. See "
            + ("keys.readable" if what == "keys" else "parameters.*, policy.* and edge.parameters"),
            subject=what,
        )
    if not failures:
        yield passed("nothing that it could not read in the last hour")


def _unmended(lines: list[Document], *, since: float) -> Mapping[str, Document]:
    """Return the last failure to read each thing, unless it was read since."""
    failures: dict[str, Document] = {}
    for line in lines:
        if line.get("event") == "refresh_failed" and moment(str(line.get("time", ""))) >= since:
            failures[str(line.get("what"))] = line
        cache = line.get("cache")
        for what in ("configuration", "keys"):
            # "miss": it was read for this request, and the request was not refused for want of it.
            if isinstance(cache, dict) and cache.get(what) == "miss" and line.get("status") not in (503, 500):
                failures.pop(what, None)
    return failures


def _failures_in_regions(system: System) -> Mapping[str, Document]:
    found: dict[str, Document] = {}
    start = int((system.now - _LOOK_BACK_S) * 1000)
    for region in _found_groups(system):
        answer: Mapping[str, Any] = system.client("logs", region).filter_log_events(
            logGroupName=log_group(system), filterPattern='{ $.event = "refresh_failed" }', startTime=start, limit=50
        )
        for event in answer.get("events", []):
            try:
                line = json.loads(event["message"])
            except ValueError:
                continue
            line["reason"] = f"{line.get('reason')} ({region})"
            found[str(line.get("what"))] = line
    return found


PROBES: Final = (
    Probe("logs.regions", "the edge function's log, in the regions where it ran", _regions),
    Probe("logs.errors", "an edge that could read its parameters and keys in the last hour", _errors),
)
