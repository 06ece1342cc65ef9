"""The local system's log of the edge function, read and followed; and its trace of one request."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import requests

from cognito_edge_cli.console import ScriptError

from .lines import Line, Selection, parse

REGION = "local"
POLL_S = 0.2
_HEAD_BYTES = 256
_TIMEOUT_S = 10.0


class LogFile:
    """The log file, read from where reading ended last.

    Each start of the local system empties the file, and something may put another one in its place: reading then begins
    anew. A line that is not complete yet is left for the next time.
    """

    def __init__(self, path: Path) -> None:
        """Name the file; it need not be there yet."""
        self.path = path
        self._inode: tuple[int, int] | None = None
        self._head = b""
        self._offset = 0
        self._pending = b""
        self._generation = 0
        self._time_ms = 0

    def read(self) -> list[Line]:
        """Return the lines that are complete and were not returned before."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                head = file.read(_HEAD_BYTES)
                inode = (status.st_dev, status.st_ino)
                # The first bytes tell a file that was emptied and has grown past the old place meanwhile: they have a time.
                if inode != self._inode or status.st_size < self._offset or not head.startswith(self._head):
                    self._begin_anew()
                self._inode, self._head = inode, head
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        start = self._offset - len(self._pending)
        self._offset += len(data)
        *complete, self._pending = (self._pending + data).split(b"\n")
        lines = []
        for raw in complete:
            lines.append(self._line(raw, start))
            start += len(raw) + 1
        return lines

    def _begin_anew(self) -> None:
        self._offset, self._pending, self._time_ms = 0, b"", 0
        self._generation += 1

    def _line(self, raw: bytes, start: int) -> Line:
        # A line that the gateway did not write has no time of its own: it stays behind the line before it.
        source = f"{self._generation}:{start}"
        line = parse(raw.decode("utf-8", "replace"), region=REGION, source=source, written_ms=self._time_ms)
        self._time_ms = max(self._time_ms, line.time_ms)
        return line

    def follow(self, selection: Selection, sleep: Callable[[float], None] = time.sleep) -> Iterator[list[Line]]:
        """Yield new lines as they are written; without an end.

        Args:
            selection: Which lines.
            sleep: Waits some seconds.
        """
        while True:
            sleep(POLL_S)
            yield [line for line in self.read() if selection.takes(line)]


def trace_of(folder: Path, request_id: str) -> Mapping[str, Any] | None:
    """Return the running system's record of a request (``local/cognito_edge_local/trace/book.py``); None if it does not run or does not have it.

    A call of the function URL without CloudFront goes by the id that the function URL gave it (``x-amzn-requestid``).
    """
    try:
        published = json.loads((folder / "trace.json").read_bytes())
        url, secret = f"{published['url']}/request", str(published["secret"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    with requests.Session() as session:
        session.trust_env = False  # no proxy gets the secret
        for known_as in (request_id, f"direct-{request_id}"):
            try:
                found = session.get(
                    url,
                    params={"id": known_as},
                    headers={"Authorization": f"Bearer {secret}"},
                    timeout=_TIMEOUT_S,
                    allow_redirects=False,
                )
                if found.status_code == requests.codes.ok:
                    return dict(found.json())
            except (requests.RequestException, ValueError):
                return None
    return None


def page_address(folder: Path) -> str:
    """Return the trace page's address, secret included.

    Raises:
        ScriptError: No local system runs there.
    """
    path = folder / "trace.json"
    try:
        return str(json.loads(path.read_bytes())["page"])
    except FileNotFoundError:
        raise ScriptError(f"There is no {path}: no local system runs there. Start one with `make run`.") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ScriptError(f"{path} is not what `make run` writes. Start the local system again.") from None
