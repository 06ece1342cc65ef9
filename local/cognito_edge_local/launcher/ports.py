"""Listen on 127.0.0.1, or say which port is taken, what it is for, who holds it and which option chooses another."""

import contextlib
import errno
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cognito_edge_local import peer

HOST = "127.0.0.1"
"""The only address that anything in ``local/`` binds."""
HIGHEST_PORT = 65_535
_BACKLOG = 2048
_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp


class PortError(Exception):
    """A port cannot be used; the message says which, for what, by whom, and what to do."""


@dataclass(frozen=True)
class PortRequest:
    """A port that the system needs.

    Attributes:
        port: The number; 0 takes any free one.
        purpose: What for, as people say it ("the gateway").
        option: The option that chooses another number.
        any_user: Whether programs of other users of this machine may connect.
    """

    port: int
    purpose: str
    option: str
    any_user: bool = False


def listen(request: PortRequest, *, patience_s: float = 0.0) -> socket.socket:
    """Return a socket that listens on the loopback interface.

    It listens before the server runs: connections wait in the backlog, and no other process can take the port while the
    rest of the system starts. Other users' connections are refused, where the system tells whose they are.

    Args:
        request: What to bind.
        patience_s: Seconds to keep trying when the port is taken (a killed run's processes may need a moment to go).

    Raises:
        PortError: The port is taken or not allowed.
    """
    give_up = time.monotonic() + patience_s
    while True:
        # The protocol by name: asyncio sets TCP_NODELAY only where it can see that it is TCP, and without it every answer
        # on a kept connection waits 40 ms for an acknowledgement.
        kind = peer.OwnUserListener if peer.can_tell() and not request.any_user else socket.socket
        server = kind(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            # Takes over from connections in TIME_WAIT, never from a listener.
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((HOST, request.port))
            server.listen(_BACKLOG)
        except OSError as error:
            server.close()
            if error.errno == errno.EADDRINUSE and time.monotonic() < give_up:
                time.sleep(0.02)
                continue
            raise PortError(_complaint(request, error)) from error
        except OverflowError as error:
            server.close()
            raise PortError(f"{request.option} {request.port}: a port is a number from 0 to {HIGHEST_PORT}.") from error
        server.setblocking(False)
        return server


def reserve(request: PortRequest, *, patience_s: float = 0.0) -> int:
    """Return the number of a port that is free now, for a program that binds it by itself.

    Raises:
        PortError: As ``listen``.
    """
    with listen(request, patience_s=patience_s) as probe:
        port: int = probe.getsockname()[1]
    return port


def _complaint(request: PortRequest, error: OSError) -> str:
    head = f"Port {request.port} on {HOST}, wanted for {request.purpose},"
    choose = f"Choose another with {request.option} PORT, 0 for any free one (make run RUN_ARGS='{request.option} 0')."
    if error.errno == errno.EADDRINUSE:
        holder = holder_of(request.port)
        by = f" by {holder}" if holder else ""
        return f"{head} is taken{by}. {choose}"
    return f"{head} cannot be bound: {error.strerror}. {choose}"


def holder_of(port: int) -> str | None:
    """Name the process that listens on *port*, where /proc shows it to this user; None elsewhere."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        inodes = set(_listening_inodes(port))
        if inodes:
            for process in Path("/proc").iterdir():
                if process.name.isdigit() and inodes & set(_socket_inodes(process)):
                    return f"process {process.name} ({_command_name(process)})"
    return None


def _listening_inodes(port: int) -> Iterator[str]:
    # Columns: sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode …  Source: proc_net_tcp(5).
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if table.exists():
            for line in table.read_text(encoding="ascii").splitlines()[1:]:
                columns = line.split()
                if columns[3] == _LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                    yield columns[9]


def _socket_inodes(process: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):  # another user's process, or one that has just ended
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                target = str(descriptor.readlink())
                if target.startswith("socket:["):
                    yield target[len("socket:[") : -1]


def _command_name(process: Path) -> str:
    """Return the program's short name; its arguments may hold secrets and are not shown."""
    with contextlib.suppress(OSError):
        return (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    return "?"
