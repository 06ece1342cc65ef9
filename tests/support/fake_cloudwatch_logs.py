"""CloudWatch Logs of several AWS regions on one loopback port, as far as scripts/logs.py talks to them.

Real HTTP, so that boto3 runs as it does against AWS. A region is told by the signature's scope, as it would be by the host
name. Pages are small, and some are empty though more follow, which AWS says may happen.
"""

import json
import re
import socketserver
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([a-z0-9-]+)/logs/aws4_request")
_PAGE = 3


@dataclass
class Region:
    """One region's group, or how it refuses."""

    events: list[dict[str, Any]] = field(default_factory=list)
    has_group: bool = True
    refusal: str | None = None


class FakeLogs:
    """The service; a context manager. Its attributes are knobs for tests.

    Attributes:
        regions: By name; others do not have the group.
        requests: Region and parameters of every call, in order.
    """

    def __init__(self, group: str) -> None:
        self.group = group
        self.regions: dict[str, Region] = {}
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self._written = 0
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                region = _SCOPE.search(self.headers["Authorization"])[1]
                assert self.headers["X-Amz-Target"] == "Logs_20140328.FilterLogEvents"
                status, answer = fake._answer(region, data)
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False
            allow_reuse_address = True
            request_queue_size = 64

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

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

    def _answer(self, name: str, data: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.requests.append((name, data))
        region = self.regions.get(name, Region(has_group=False))
        if region.refusal:
            return 400, {"__type": region.refusal, "message": "refused"}
        if not region.has_group or data["logGroupName"] != self.group:
            return 400, {"__type": "ResourceNotFoundException", "message": "The specified log group does not exist."}
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
        return 200, {"events": events, **({"nextToken": str(step + 1)} if more else {})}
