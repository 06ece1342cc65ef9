"""The state folder: one running system per folder, private files, and ``outputs.json`` only while the system serves."""

import contextlib
import datetime as dt
import errno
import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NotRequired, TypedDict

_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600
_ANY_FOR_OTHERS = 0o077


class Outputs(TypedDict):
    """What ``outputs.json`` says about a running system (contract C2 of ``docs/contracts.md``)."""

    gateway_url: str
    login_url: str
    user_pool_id: str
    client_id: str
    username: str
    password: str
    function_urls: dict[str, str]
    aws_endpoint_url: str
    region: str
    parameter_prefix: str
    aws_access_key_id: NotRequired[str]
    aws_secret_access_key: NotRequired[str]


class AlreadyRunningError(Exception):
    """Another launcher holds the folder; the message says which process and how to stop it."""


class StateFolder:
    """A folder that this process alone may use, from ``acquire`` to ``release``.

    The lock is ``flock`` on a file that stays open: the kernel lets go of it however the process ends, so that no
    stale lock needs cleaning up; stale contents tell that the last run was killed.

    Attributes:
        path: The folder.
        after_a_kill: Whether the last run that used the folder was killed before it could clean up.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.after_a_kill = False
        self._lock: int | None = None

    @property
    def outputs(self) -> Path:
        """The file of contract C2."""
        return self.path / "outputs.json"

    def acquire(self) -> None:
        """Make the folder, take its lock, and remove what a killed run left.

        Raises:
            AlreadyRunningError: Another process holds the lock.
            OSError: The folder cannot be made or written, or is another user's.
        """
        make_private_folder(self.path)
        close_to_others(self.path)
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 4096)
            os.close(lock)
            raise AlreadyRunningError(self._holder_message(holder)) from None
        self.after_a_kill = bool(os.read(lock, 1))
        self._lock = lock
        with contextlib.suppress(FileNotFoundError):
            self.outputs.unlink()
        since = dt.datetime.now(dt.UTC).astimezone().isoformat(timespec="seconds")
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps({"pid": os.getpid(), "since": since}).encode(), 0)

    def _holder_message(self, contents: bytes) -> str:
        try:
            holder = json.loads(contents)
            pid, since = int(holder["pid"]), str(holder["since"])
        except (ValueError, KeyError, TypeError):  # caught between its lock and its first write
            return f"Already starting: another process has just locked {self.path}."
        return (
            f"Already running in {self.path}: pid {pid}, since {since}. "
            f"Stop it with Ctrl-C in its terminal or `kill {pid}`, or start a second system with "
            "--state-dir OTHER --port 0 --login-port 0 --emulator-port 0 --function-url-port 0."
        )

    def publish(self, outputs: Outputs) -> None:
        """Write ``outputs.json``: whole or not at all, readable by this user alone."""
        handle, name = tempfile.mkstemp(dir=self.path, prefix=".outputs-")  # mkstemp makes it 0600
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(outputs, file, indent=2)
            file.write("\n")
        Path(name).replace(self.outputs)

    def withdraw(self) -> None:
        """Remove ``outputs.json``: the system is no longer to be used. Another run's is left alone."""
        if self._lock is None:
            return
        with contextlib.suppress(FileNotFoundError):
            self.outputs.unlink()

    def release(self) -> None:
        """Leave the folder to the next run."""
        self.withdraw()
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for the length of a ``with`` block; raises as ``acquire``."""
        self.acquire()
        try:
            yield
        finally:
            self.release()


def make_private_folder(path: Path) -> None:
    """Make *path*, and close it to other users even if it was there before.

    Raises:
        PermissionError: It belongs to another user, who could put code there that we would run. The owner of this project may
            own it: we run their code anyway.
    """
    path.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    if path.stat().st_uid not in _trusted_owners():
        raise PermissionError(errno.EPERM, "belongs to another user; choose another folder", str(path))
    path.chmod(_PRIVATE_FOLDER)


def _trusted_owners() -> set[int]:
    return {os.geteuid(), Path(__file__).stat().st_uid}


def close_to_others(folder: Path) -> None:
    """Take away what other users may do with *folder* and anything in it; links are not followed."""
    for parent, _, names in os.walk(folder):
        for path in (parent, *(os.path.join(parent, name) for name in names)):  # noqa: PTH118 - thousands of files
            with contextlib.suppress(FileNotFoundError):  # another run is tidying its cache
                mode = os.lstat(path).st_mode
                if not stat.S_ISLNK(mode) and mode & _ANY_FOR_OTHERS:
                    os.chmod(path, stat.S_IMODE(mode) & ~_ANY_FOR_OTHERS)  # noqa: PTH101 - the same


def open_private(path: Path) -> int:
    """Open *path* for writing from its beginning, emptied, 0600 even if it was there before; return the descriptor."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, _PRIVATE_FILE)
    os.fchmod(handle, _PRIVATE_FILE)
    return handle
