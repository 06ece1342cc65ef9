"""The whole local system as a child process, on free ports and in a folder of its own, for tests from outside.

``with running_system.running(tmp_path) as local:`` starts it, waits until it serves (``local.outputs``) and stops it.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
FREE_PORTS = ("--port", "0", "--login-port", "0", "--emulator-port", "0", "--function-url-port", "0")
START_LIMIT_S = 90.0
STOP_LIMIT_S = 20.0
_MARK = "LOCAL_SYSTEM_UNDER_TEST"


def default_signals() -> None:
    """Give a child the signals of a terminal: CI runners ignore some (nohup, background jobs), and children inherit that."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class LocalSystem:
    """One ``python -m local``.

    Attributes:
        state_dir: Its state folder.
        log: What it printed, both streams.
        process: The launcher.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        """Start it in *folder*; *options* come after those for free ports, and may override them."""
        folder.mkdir(parents=True, exist_ok=True)
        self.state_dir = folder / "state"
        self.log = folder / "launcher.log"
        # Build commands inherit the launcher's environment: the mark finds them again under any parent.
        self._mark = f"{_MARK}={uuid.uuid4()}"
        name, _, value = self._mark.partition("=")
        command = [sys.executable, "-m", "local", *FREE_PORTS, "--state-dir", str(self.state_dir), *options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=PROJECT,
                env={**os.environ, name: value},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=default_signals,  # noqa: PLW1509  three calls of signal() and nothing else
            )
        self._seen: dict[int, str] = {}

    @property
    def outputs_file(self) -> Path:
        """The file of contract C2; it exists while the system serves."""
        return self.state_dir / "outputs.json"

    @property
    def outputs(self) -> dict[str, Any]:
        """The outputs of a system that serves."""
        outputs: dict[str, Any] = json.loads(self.outputs_file.read_bytes())
        return outputs

    def wait_until_ready(self) -> "LocalSystem":
        """Wait for this run's ``outputs.json``; one that a killed run left does not count."""
        give_up = time.monotonic() + START_LIMIT_S
        while not (self._holds_the_folder() and self.outputs_file.exists()):
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.printed()}"
            assert time.monotonic() < give_up, f"not ready after {START_LIMIT_S} s:\n{self.printed()}"
            time.sleep(0.02)
        return self

    def _holds_the_folder(self) -> bool:
        try:
            return bool(json.loads((self.state_dir / "lock").read_bytes())["pid"] == self.process.pid)
        except (OSError, ValueError):
            return False

    def printed(self) -> str:
        """All that it has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the launcher's end; return its exit status."""
        self.look()
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return self.process.wait(STOP_LIMIT_S)

    def look(self) -> dict[int, str]:
        """Find every process of the system that runs now but the launcher, and remember them for ``left_over``."""
        table = _processes()
        family = {self.process.pid}
        found: dict[int, str] = {}
        while True:
            more = {
                pid
                for pid, (parent, _, traces) in table.items()
                if pid not in family and (parent in family or str(self.state_dir) in traces or self._mark in traces)
            }
            if not more:
                break
            family |= more
            found |= {pid: table[pid][1] for pid in more}
        found.pop(self.process.pid, None)
        self._seen |= found
        return found

    def left_over(self, patience_s: float = 5.0) -> list[str]:
        """Return the command lines of what still runs, after giving it a moment to go."""
        give_up = time.monotonic() + patience_s
        while True:
            self.look()
            table = _processes()
            # Another program may have the process id by now; the command line tells.
            alive = [line for pid, line in self._seen.items() if pid in table and table[pid][1] == line]
            if not alive or time.monotonic() >= give_up:
                return alive
            time.sleep(0.02)

    def end(self) -> None:
        """Tell it to end, and do not wait for it: that takes most of a second."""
        if self.process.poll() is None:
            self.process.terminate()
            _ending.append(self.process)


_ending: list[subprocess.Popen[bytes]] = []


def wait_for_the_ended() -> None:
    """Wait until every system that was told to end has ended, and kill what does not."""
    while _ending:
        process = _ending.pop()
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def running(folder: Path, *options: str) -> Iterator[LocalSystem]:
    """Start the system, wait until it serves, and let it end afterwards."""
    system = LocalSystem(folder, *options)
    try:
        yield system.wait_until_ready()
    finally:
        system.end()


def _processes() -> dict[int, tuple[int, str, str]]:
    """List this user's processes: id to parent, command line, and command line with environment (Linux)."""
    table = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if fields[0] == "Z":
                    continue
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                environment = (entry / "environ").read_bytes().decode(errors="replace")
                table[int(entry.name)] = (int(fields[1]), command, command + "\0" + environment)
    return table
