"""CloudWatch Logs of several AWS regions on one loopback port, as far as scripts/logs.py talks to them.

Real HTTP, so that boto3 runs as it does against AWS. The signature's scope names the region, as the host name does
on AWS. Pages are small, and some are empty though more follow, which AWS says may happen.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from .http_fake import Answer, Asked, HttpFake, json_answer

_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([a-z0-9-]+)/logs/aws4_request")
_PAGE = 3


@dataclass
class Region:
    """One region's group, or how it refuses."""

    events: list[dict[str, Any]] = field(default_factory=list)
    has_group: bool = True
    refusal: str | None = None


class FakeLogs(HttpFake):
    """The service. Its attributes are knobs for tests.

    Attributes:
        regions: By name; others do not have the group.
        requests: Region and parameters of every call, in order.
    """

    def __init__(self, group: str) -> None:
        self.group = group
        self.regions: dict[str, Region] = {}
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self._written = 0
        super().__init__(self._answer)

    def write(self, region: str, message: str, timestamp: int, stream: str = "2026/11/21/[7]aa") -> None:
        """Let the function log a line there."""
        self._written += 1
        event = {
            "logStreamName": stream,
            "timestamp": timestamp,
            "message": message,
            "eventId": f"{self._written:056d}",
        }
        self.regions.setdefault(region, Region()).events.append(event)

    def _answer(self, asked: Asked) -> Answer:
        assert asked.headers["X-Amz-Target"] == "Logs_20140328.FilterLogEvents"
        data = json.loads(asked.body)
        name = _SCOPE.search(asked.headers["Authorization"])[1]
        self.requests.append((name, data))
        region = self.regions.get(name, Region(has_group=False))
        if region.refusal:
            return json_answer({"__type": region.refusal, "message": "refused"}, 400)
        if not region.has_group or data["logGroupName"] != self.group:
            missing = {"__type": "ResourceNotFoundException", "message": "The specified log group does not exist."}
            return json_answer(missing, 400)
        terms = re.findall(r'"([^"]*)"', data.get("filterPattern", ""))
        found = [
            event
            for event in sorted(region.events, key=lambda event: event["timestamp"])
            if data.get("startTime", 0) <= event["timestamp"] < data.get("endTime", 1 << 60)
            and all(term in event["message"] for term in terms)
        ]
        # Every second page is empty: what was searched so far had nothing.
        step = int(data.get("nextToken", "0"))
        start = step // 2 * _PAGE
        events = found[start : start + _PAGE] if step % 2 else []
        more = step % 2 == 0 or start + _PAGE < len(found)
        return json_answer({"events": events, **({"nextToken": str(step + 1)} if more else {})})
