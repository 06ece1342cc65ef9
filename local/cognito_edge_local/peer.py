"""Whose program is at the other end of a connection: no other user of the machine is let in.

A port on 127.0.0.1 takes connections from every program of the machine, whoever runs it. Linux tells who owns the other end
of a connection, so ``OwnUserListener`` refuses connections of other users before it reads a byte. Root is another user, too: it
needs no port to read what is here, and WSL and container engines relay other users' connections as root. macOS does not
tell: ``can_tell`` is false there, and a random key of each start keeps others out (``emulator/process.py``).

This module asks the kernel for the one connection in question over a netlink socket (sock_diag(7), as ``ss`` does). Where a
sandbox has no such socket it reads /proc/net/tcp, which says the same but is slow (docs/adr/0018-whose-connection-it-is.md).

Standard library only: the emulator's process, which has an environment of its own, loads this file as well.
"""

import contextlib
import errno
import functools
import os
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Address = tuple[str, int]

_LOOPBACK = "127.0.0.1"
# Sources: linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h. "=" is the machine's byte order, "!" the network's.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence number, port
_REQUEST = struct.Struct("=BBBBI")  # inet_diag_req_v2: family, protocol, extensions, padding, states
_ADDRESSES = struct.Struct("!HH16s16s")  # inet_diag_sockid: ports and addresses, the asked socket's first
_ANY_INTERFACE_AND_COOKIE = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
_ANSWER = struct.Struct("=BBBB48sIIIII")  # inet_diag_msg: family, state, …, expires, two queues, uid, inode
_ALL_STATES = 0xFFFFFFFF
_TABLE = Path("/proc/net/tcp")
_BYTE_STEP = (
    -1 if sys.byteorder == "little" else 1
)  # an address stands in the table as the machine reads its four bytes
# Source: net/tcp_states.h. The connection was made, and its end has not gone.
_ESTABLISHED, _FIN_WAIT1, _FIN_WAIT2 = 1, 4, 5
_CONNECTED = frozenset({_ESTABLISHED, _FIN_WAIT1, _FIN_WAIT2})

_REFUSAL_TEXT = (
    b"This port answers programs of the user who started it. The gateway and the sign-in front answer everyone.\n"
)
_REFUSAL = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_REFUSAL_TEXT), _REFUSAL_TEXT)
)
_DISCARDED_BYTES = 65_536


class OwnUserListener(socket.socket):
    """A listening IPv4 socket that accepts connections of this user's programs and answers all others with 403.

    Any server that takes a ready-made socket can use it. To asyncio a refused connection looks like one whose other end
    has hung up before it was accepted.
    """

    @classmethod
    def of(cls, plain: socket.socket) -> "OwnUserListener":
        """Take over a socket that is bound or listens already; *plain* cannot be used any more."""
        blocking = plain.getblocking()
        taken = cls(plain.family, plain.type, plain.proto, fileno=plain.detach())
        taken.setblocking(blocking)
        return taken

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept the next connection.

        Raises:
            ConnectionAbortedError: It is another user's. It has been answered and closed.
        """
        connection, address = super().accept()
        if is_ours(connection):
            return connection, address
        _turn_away(connection)
        raise ConnectionAbortedError(errno.ECONNABORTED, "the connection is another user's")


def is_ours(connection: socket.socket) -> bool:
    """Say whether a program of this user is at the other end of a TCP connection; False if that is not known."""
    try:
        uid = owner(connection.getpeername(), connection.getsockname())
        # Fails once our own end is gone. Until then no other connection can have these addresses: the answer is about this one.
        connection.getpeername()
    except OSError:
        return False
    return uid == os.geteuid()


def owner(peer: Address, own: Address) -> int | None:
    """Return the uid of the program whose socket at *peer* is connected to *own*; None if it is not known.

    Raises:
        OSError: The system does not say this time.
    """
    teller = _teller()
    return teller(peer, own) if teller is not None else None


@functools.cache
def _teller() -> Callable[[Address, Address], int | None] | None:
    """Return the first way of asking that is right about a connection of our own."""
    if sys.platform != "linux":
        return None
    with (
        contextlib.suppress(OSError),
        socket.create_server((_LOOPBACK, 0)) as server,
        socket.create_connection(server.getsockname(), timeout=5) as client,
    ):
        for teller in (_asked, _looked_up):
            with contextlib.suppress(OSError):
                if teller(client.getsockname(), client.getpeername()) == os.geteuid():
                    return teller
    return None


def can_tell() -> bool:
    """Say whether this system tells whose a connection is."""
    return _teller() is not None


def _asked(peer: Address, own: Address) -> int | None:
    addresses = _ADDRESSES.pack(peer[1], own[1], *(socket.inet_aton(host).ljust(16, b"\0") for host, _ in (peer, own)))
    request = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, _ALL_STATES) + addresses
    request += _ANY_INTERFACE_AND_COOKIE
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.send(header + request)
        return uid_in(kernel.recv(4096, socket.MSG_DONTWAIT))  # the kernel answers before ``send`` returns


def uid_in(answer: bytes) -> int | None:
    """Return the uid in the kernel's answer; None for an error, and for a socket that no program holds any more.

    The kernel gives uid 0 for a socket that its program has closed (TIME_WAIT and the like), so the inode decides. If no
    connection has these addresses, it answers with whoever listens there, so the state decides.
    """
    if len(answer) < _HEADER.size + _ANSWER.size or _HEADER.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:
        return None
    _, state, *_, uid, inode = _ANSWER.unpack_from(answer, _HEADER.size)
    return int(uid) if inode and state in _CONNECTED else None


def _looked_up(peer: Address, own: Address) -> int | None:
    return uid_in_table(_TABLE.read_text(encoding="ascii"), peer, own)


def uid_in_table(table: str, peer: Address, own: Address) -> int | None:
    """Return the same from the text of /proc/net/tcp.

    Columns: sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode …  Source: proc_pid_net(5).
    """
    wanted = [f"{socket.inet_aton(host)[::_BYTE_STEP].hex()}:{port:04x}".upper() for host, port in (peer, own)]
    for columns in map(str.split, table.splitlines()[1:]):
        if columns[1:3] == wanted and int(columns[3], 16) in _CONNECTED and columns[9] != "0":
            return int(columns[7])
    return None


def _turn_away(connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):
        connection.setblocking(False)
        connection.send(_REFUSAL)
        connection.shutdown(socket.SHUT_WR)
        # Closing a socket over unread bytes resets the connection, and the answer may be lost with it.
        connection.recv(_DISCARDED_BYTES)
