"""What stops the running system: a signal, or the end of its parent."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

_ECHO_S = 1.0
_LOOK_AT_PARENT_EVERY_S = 0.25


def listen(stop: asyncio.Future[int], end_at_once: Callable[[], None]) -> None:
    """Set *stop* to the first signal's number; at a second one that is not its echo, end the process.

    Args:
        stop: The request to stop.
        end_at_once: What is still to be done before the process ends without stopping its parts.
    """
    loop = asyncio.get_running_loop()
    first_at = 0.0

    def on_signal(number: int) -> None:
        nonlocal first_at
        if not stop.done():
            first_at = loop.time()
            stop.set_result(number)
        # One SIGTERM to the process group of ``make run`` arrives twice: make hands on its own.
        elif loop.time() - first_at > _ECHO_S:
            end_at_once()
            # The kernel closes the lifelines; the guards do the rest.
            os._exit(128 + number)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        numbers.append(signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, on_signal, number)


async def watch_parent(pid: int | None, stop: asyncio.Future[int]) -> None:
    """Set *stop* when *pid* is not our parent any more; do nothing if *pid* is None.

    SIGKILL to make reaches make alone. Without this the system would run on, and ``make run`` could not stop it.
    """
    while pid is not None and not stop.done():
        if os.getppid() != pid:
            stop.set_result(signal.SIGHUP)
        elif _is_handling_interrupt(pid):
            stop.set_result(signal.SIGINT)
        await asyncio.sleep(_LOOK_AT_PARENT_EVERY_S)


def _is_handling_interrupt(pid: int) -> bool:
    """Say whether a make got a SIGINT of its own, which it does not hand on: it waits for its children to have got one too.

    A terminal's Ctrl-C reaches both, ``kill -INT`` of make only make. While make's handler waits, the signal is blocked,
    which Linux shows. Source: GNU make, ``fatal_error_signal``; proc_pid_status(5), SigBlk.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("SigBlk:"):
                return bool(int(line.split()[1], 16) & 1 << (signal.SIGINT - 1))
    return False
