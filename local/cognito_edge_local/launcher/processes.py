"""Start, stop and wait for child processes that can never outlive this one.

Every command runs under ``launcher/guard.py``, which explains how. The launcher holds one end of a pipe per child, the
lifeline, and never passes it on; closing it, or dying, kills the child and all its descendants.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .state_folder import open_private

_GUARD = Path(__file__).with_name("guard.py")
_GUARD_PATIENCE_S = 6.0
"""What the guard may take beyond the grace period (its own ``_KILL_PATIENCE_S`` and a second)."""
_TAIL_LINES = 25


class CommandFailedError(Exception):
    """A command ended with a status other than 0; the message has the end of its output."""


class Child:
    """A running command; it lives as long as its lifeline is open.

    Attributes:
        name: What people call it.
        log: The file that takes its standard output and error.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, lifeline: int, log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process
        self._lifeline: int | None = lifeline

    @property
    def pid(self) -> int:
        """The guard's process id; the command is its child."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the command is still there."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """Wait for the end.

        Returns:
            The command's exit status; 128 + n if signal n ended it.
        """
        status = await self._process.wait()
        self.kill()  # it is gone: only the pipe is left to close
        return status if status >= 0 else 128 - status

    async def stop(self, grace_s: float) -> None:
        """Ask the command to end (SIGTERM); kill what is left after the grace period it was started with.

        Args:
            grace_s: The period given to ``start``; some seconds later the guard itself is killed.
        """
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.wait(), grace_s + _GUARD_PATIENCE_S)
        except TimeoutError:
            self.kill()
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def kill(self) -> None:
        """Close the lifeline: the guard kills the command and its descendants at once. Does not wait."""
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None


async def start(
    name: str,
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    cwd: Path | None = None,
    grace_s: float = 3.0,
) -> Child:
    """Start a command under guard.

    Args:
        name: For messages.
        argv: Program and arguments.
        environment: All of the command's environment; nothing is inherited.
        log: File for its output, 0600, emptied first.
        cwd: Its working directory.
        grace_s: Seconds between SIGTERM and SIGKILL when it is stopped.
    """
    output = open_private(log)
    try:
        started = await start_under_guard(argv, grace_s=grace_s, environment=environment, output=output, cwd=cwd)
    finally:
        os.close(output)
    return Child(name, *started, log)


async def start_under_guard(
    argv: Sequence[str],
    *,
    grace_s: float,
    environment: Mapping[str, str],
    output: int,
    cwd: Path | None = None,
) -> tuple[asyncio.subprocess.Process, int]:
    """Start a command under guard.

    Args:
        argv: Program and arguments.
        grace_s: Seconds between SIGTERM and SIGKILL when it is stopped.
        environment: All of the command's environment.
        output: A descriptor that takes both its streams, or ``asyncio.subprocess.PIPE``.
        cwd: Its working directory.

    Returns:
        The guard's process, and the lifeline: closing it kills the command.
    """
    guard = [sys.executable, "-I", "-S", str(_GUARD), str(grace_s), *argv]
    # Both ends are close-on-exec (PEP 446), so that no other child can hold this one's lifeline open.
    lifeline_read, lifeline_write = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *guard,
            stdin=lifeline_read,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            cwd=cwd,
            env=dict(environment),
            # Ctrl-C in a terminal goes to the launcher alone, which stops everything in its own order.
            start_new_session=True,
        )
    except BaseException:
        os.close(lifeline_write)
        raise
    finally:
        os.close(lifeline_read)
    return process, lifeline_write


async def run(
    name: str,
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    cwd: Path | None = None,
) -> float:
    """Run a command to its end, under guard.

    Returns:
        The seconds it took.

    Raises:
        CommandFailedError: It ended with another status than 0.
    """
    started = time.monotonic()
    child = await start(name, argv, environment=environment, log=log, cwd=cwd, grace_s=1.0)
    try:
        status = await child.wait()
    finally:
        # Reached early when the launcher is told to stop in the middle.
        await child.stop(1.0)
    if status != 0:
        raise CommandFailedError(f"{name} failed with status {status}. The end of {log}:\n{tail(log)}")
    return time.monotonic() - started


def tail(log: Path) -> str:
    """Return the last lines of a log, indented, for an error message."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "  (no output)"
    return "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:]) or "  (no output)"
