"""Run one command so that neither it nor anything it starts outlives the process that asked for it.

The launcher starts every command through this file (see ``launcher/processes.py``):

    python -I -S guard.py GRACE_S COMMAND [ARGUMENT ...]

Standard input is the *lifeline*: a pipe whose other end only the launcher holds. The kernel closes that end however the
launcher dies, SIGKILL included, so that this end of file cannot be lost, on Linux and macOS alike.

=====================  ==============================================================================
event                  what the guard does
=====================  ==============================================================================
end of file            kills the command and all its descendants at once
SIGTERM, SIGINT        SIGTERM to the command; what is left after GRACE_S seconds is killed
the command ends       kills what it left behind, ends with its status (128 + n for signal n)
SIGKILL to the guard   Linux: the kernel kills the command (PR_SET_PDEATHSIG)
=====================  ==============================================================================

PR_SET_PDEATHSIG alone would not do: that signal reaches the direct child only (the emulator starts
workers for functions, npm starts node), it fires when the *thread* that forked dies, and macOS has nothing like it. On
Linux the guard is a "child subreaper": what the command orphans becomes the guard's child and cannot escape.

The file stands alone, standard library only: it runs before anything is installed and has to start in milliseconds.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

_LINUX = sys.platform == "linux"
# Source: linux/prctl.h.
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_KILL_PATIENCE_S = 5.0
"""How long killed processes may take to vanish; one that hangs in the kernel must not hang the guard as well."""


def main() -> int:
    """Guard the command of the arguments; see the table above."""
    grace_s = float(sys.argv[1])
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda signum, _frame: asked.append(signum))
    signal.signal(signal.SIGCHLD, lambda _signum, _frame: None)
    if _LINUX:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)

    guard = os.getpid()
    command = os.fork()  # safe: this process has one thread
    if command == 0:
        _become(sys.argv[2:], guard)

    deadline: float | None = None
    while True:
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select([0, wake_read], [], [], timeout)
        if wake_read in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(wake_read, 4096)
        status = _reap(command)
        if status is not None:
            _kill_all(command)
            return status
        if 0 in readable and not os.read(0, 4096):
            return _kill_all(command)
        if asked and deadline is None:
            os.kill(command, signal.SIGTERM)
            deadline = time.monotonic() + grace_s
        if deadline is not None and time.monotonic() >= deadline:
            return _kill_all(command)


def _become(argv: list[str], guard: int) -> NoReturn:
    """Turn this forked child into the command, in a process group of its own."""
    try:
        os.setpgid(0, 0)
        if _LINUX:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != guard:  # it died before the line above: no signal will come any more
                os._exit(128 + signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.execvp(argv[0], argv)  # noqa: S606 (no shell is the point)
    except OSError as error:
        os.write(2, f"cannot run {argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def _reap(command: int) -> int | None:
    """Collect every ended child; return the command's exit status if it was among them."""
    found: int | None = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == command:
            code = os.waitstatus_to_exitcode(status)
            found = code if code >= 0 else 128 - code


def _kill_all(command: int) -> int:
    """Kill the command and every descendant until none is left.

    Returns:
        128 + 9, the status of a killed command.
    """
    give_up = time.monotonic() + _KILL_PATIENCE_S
    while time.monotonic() < give_up:
        with contextlib.suppress(OSError):
            os.killpg(command, signal.SIGKILL)
        # A process may fork between the listing and the kill, hence the loop.
        for pid in _descendants(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        _reap(command)
        if not _has_children():
            break
        time.sleep(0.005)
    return 128 + signal.SIGKILL


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _descendants(root: int) -> list[int]:
    """List the processes below *root*, from /proc; elsewhere the process group has to do."""
    if not _LINUX:
        return []
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # "pid (name) state ppid …": the name may hold spaces and brackets, so read from its end.
                parent = int((entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    todo = [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


if __name__ == "__main__":
    sys.exit(main())
