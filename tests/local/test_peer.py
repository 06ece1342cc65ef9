"""Whose connection it is: this user's programs are let in, everything else is turned away before a byte is read."""

import asyncio
import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading

import pytest
from cognito_edge_local import peer
from cognito_edge_local.launcher import ports
from cognito_edge_local.launcher.ports import PortRequest

from tests.local import stranger

# An answer of Linux 6.18: 127.0.0.1:51910 connected to 127.0.0.1:51025, uid 1000, inode 228430, then attributes.
RECORDED = bytes.fromhex(
    "7c00000014000000000000008e53000002010000cac6c7517f0000010000000000000000000000007f00000100000000"
    "0000000000000000000000007710000000000000000000000000000000000000e80300004e7c03000500080000000000"
    "08000f00000000000c00150001000000000000000600160052000000"
)
ESTABLISHED, SYN_SENT, FIN_WAIT1, FIN_WAIT2, TIME_WAIT, CLOSED, LISTEN = 1, 2, 4, 5, 6, 7, 10


def answer(state, uid, inode, *, kind=20, family=socket.AF_INET):
    """A message of the kernel's about one socket."""
    body = struct.pack("=BBBB48sIIIII", family, state, 0, 0, b"", 0, 0, 0, uid, inode)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


@contextlib.contextmanager
def listening(**options):
    with ports.listen(PortRequest(0, "a test", "", **options)) as server:
        server.setblocking(True)
        server.settimeout(10)
        yield server


def connected(server, family=socket.AF_INET):
    client = socket.socket(family)
    client.settimeout(10)
    client.connect(("::ffff:127.0.0.1" if family == socket.AF_INET6 else "127.0.0.1", server.getsockname()[1]))
    return client


# --- what the kernel says -----------------------------------------------------------------------------------------------


def test_uid_of_a_recorded_answer_is_read():
    """The layout, as one kernel wrote it."""
    assert peer.uid_in(RECORDED) == 1000


@pytest.mark.parametrize(
    ("message", "uid"),
    [
        (answer(ESTABLISHED, 1000, 7), 1000),
        (answer(ESTABLISHED, 0, 7), 0),
        (answer(ESTABLISHED, 65_534, 7), 65_534),
        (answer(ESTABLISHED, 1000, 7, family=socket.AF_INET6), 1000),
        (answer(FIN_WAIT1, 1000, 7), 1000),
        (answer(FIN_WAIT2, 1000, 7), 1000),
        # The kernel says "uid 0" of what no program holds any more: root's programs must not be taken for its owner.
        (answer(TIME_WAIT, 0, 0), None),
        (answer(FIN_WAIT1, 0, 0), None),
        (answer(FIN_WAIT2, 0, 0), None),
        (answer(ESTABLISHED, 0, 0), None),
        (answer(TIME_WAIT, 1000, 7), None),
        # Not connected: another connection about to be made, or a listener on the asked port.
        (answer(SYN_SENT, 1000, 7), None),
        (answer(LISTEN, 1000, 7), None),
        (answer(CLOSED, 1000, 7), None),
        # No such socket, and what is no answer at all.
        (answer(ESTABLISHED, 1000, 7, kind=2), None),
        (struct.pack("=IHHIIi", 20, 2, 0, 0, 0, -2), None),
        (answer(ESTABLISHED, 1000, 7)[:-1], None),
        (b"", None),
    ],
)
def test_uid_counts_only_for_a_socket_that_a_program_holds_connected(message, uid):
    """Accepted and refused answers, side by side."""
    assert peer.uid_in(message) == uid


# --- connections of our own ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_own_program_is_accepted_and_stays(family):
    """By IPv4, and by IPv4 in an IPv6 socket; a kept connection is not asked again."""
    with listening() as server, connected(server, family) as client:
        connection, address = server.accept()
        with connection:
            assert address == connection.getpeername()
            for number in (b"1", b"2", b"3"):
                client.sendall(number)
                assert connection.recv(9) == number


def test_program_that_has_sent_all_it_has_to_send_is_accepted():
    """A half-closed connection still has its program at the other end."""
    with listening() as server, connected(server) as client:
        client.sendall(b"request")
        client.shutdown(socket.SHUT_WR)
        connection, _ = server.accept()
        with connection:
            assert connection.recv(99) == b"request"
            connection.sendall(b"answer")
        assert client.recv(99) == b"answer"


@pytest.mark.parametrize("linger", [None, 0], ids=["closed", "reset"])
def test_program_that_has_gone_is_refused(linger):
    """A connection that no program holds is not ours, even where the kernel says uid 0 of it and we are root."""
    with listening() as server:
        with connected(server) as client:
            client.sendall(b"POST / HTTP/1.1\r\n\r\n")
            if linger is not None:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, linger))
        with pytest.raises(ConnectionAbortedError):
            server.accept()


def test_addresses_in_use_again_are_not_the_old_connection():
    """The first connection is over, and ours has its addresses: the first is refused, ours is accepted."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        first = socket.socket()
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        first.bind(("127.0.0.1", 0))
        own = first.getsockname()
        first.connect(server.getsockname())
        gone, _ = server.accept()
        first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        first.close()
        with gone, socket.socket() as second:
            second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            second.bind(own)
            second.connect(server.getsockname())
            again, _ = server.accept()
            with again:
                assert peer.owner(own, server.getsockname()) == os.geteuid()
                assert peer.is_ours(again)
                assert not peer.is_ours(gone)


def test_connection_that_ends_while_the_kernel_is_asked_is_refused(monkeypatch):
    """The answer may be about another connection that has its addresses by now."""
    with listening() as server:
        client = connected(server)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        def owner(*_addresses):
            client.close()
            return os.geteuid()

        monkeypatch.setattr(peer, "owner", owner)
        with pytest.raises(ConnectionAbortedError):
            server.accept()


def test_connection_of_a_child_is_ours():
    """The edge's processes, the emulator's and scripts are other programs of the same user."""
    code = "import socket,sys; socket.create_connection(('127.0.0.1', int(sys.argv[1]))).recv(1)"
    with listening() as server, subprocess.Popen([sys.executable, "-c", code, str(server.getsockname()[1])]) as child:
        connection, _ = server.accept()
        connection.close()
        assert child.wait(10) == 0


# --- and of others ------------------------------------------------------------------------------------------------------


def refused(server, send=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"):
    """Connect, send, and let the server accept; return what came back."""
    with connected(server) as client:
        client.sendall(send)
        with pytest.raises(ConnectionAbortedError):
            server.accept()
        return client.makefile("rb").read()


def test_other_users_program_is_answered_403_and_no_more(monkeypatch):
    """It is told why, since ``sudo curl`` is another user's program, too."""
    with listening() as server:
        stranger.pretend(monkeypatch)
        came = refused(server)
    assert came.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"Connection: close\r\n" in came
    assert b"programs of the user who started it" in came


def test_port_for_everybody_takes_the_other_user_too(monkeypatch):
    """The gateway's and the sign-in front's."""
    with listening(any_user=True) as server:
        stranger.pretend(monkeypatch)
        with connected(server):
            connection, _ = server.accept()
            connection.close()


def test_root_is_another_user_as_well(monkeypatch):
    """It could read everything anyway; but relays of other users' connections run as root."""
    monkeypatch.setattr(peer, "owner", lambda *_: 0)
    with listening() as server:
        monkeypatch.setattr(peer.os, "geteuid", lambda: 1000)
        assert refused(server).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("error", [PermissionError, BlockingIOError, TimeoutError])
def test_kernel_that_does_not_answer_lets_nobody_in(monkeypatch, error):
    """Not known is not ours."""

    def fail(*_arguments):
        raise error

    with listening() as server:
        monkeypatch.setattr(peer, "owner", fail)
        assert refused(server).startswith(b"HTTP/1.1 403 ")


def test_server_goes_on_after_a_refusal(monkeypatch):
    """Many connections are accepted at a time: strangers among them do not stop the others, nor get through."""

    async def main():
        async def serve(reader, writer):
            writer.write(await reader.readexactly(2))
            writer.close()

        sock = ports.listen(PortRequest(0, "a test", ""))
        server = await asyncio.start_server(serve, sock=sock)
        others = {}
        mine = os.geteuid()

        def owner(address, _own):
            return others.get(address[1], mine)

        monkeypatch.setattr(peer, "owner", owner)

        async def ask(number, *, as_other):
            client = socket.socket()
            client.bind(("127.0.0.1", 0))
            others[client.getsockname()[1]] = mine + 1 if as_other else mine
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, sock.getsockname())
            reader, writer = await asyncio.open_connection(sock=client)
            writer.write(b"%02d" % number)
            came = await reader.read()
            writer.close()
            return came

        asked = [ask(number, as_other=bool(number % 2)) for number in range(20)]
        came = await asyncio.wait_for(asyncio.gather(*asked), 20)
        server.close()
        return came

    came = asyncio.run(main())
    assert came[::2] == [b"%02d" % number for number in range(0, 20, 2)]
    assert all(part.startswith(b"HTTP/1.1 403 ") for part in came[1::2])


@stranger.only_root_can_play_one
def test_program_of_another_uid_is_refused_and_the_next_of_ours_is_not():
    """The kernel's word about a real second user."""
    with listening() as server:
        found = []
        asking = threading.Thread(target=lambda: found.append(stranger.ask(server.getsockname()[1])))
        asking.start()
        with pytest.raises(ConnectionAbortedError):
            server.accept()
        asking.join()
        assert found == [(403, peer._REFUSAL_TEXT.decode())]
        with connected(server):
            server.accept()[0].close()


@stranger.only_root_can_play_one
def test_owner_is_the_uid_of_whoever_made_the_socket():
    """For every family, and not the listener's uid."""
    code = """
import socket, sys
sockets = []
for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::ffff:127.0.0.1")):
    sockets.append(socket.socket(family))
    sockets[-1].connect((host, int(sys.argv[1])))
for end in sockets:
    end.recv(1)
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        asking = threading.Thread(target=stranger.run, args=(code, str(server.getsockname()[1])))
        asking.start()
        ends = [server.accept()[0] for _ in range(2)]
        uids = [peer.owner(end.getpeername(), end.getsockname()) for end in ends]
        for end in ends:
            end.close()
        asking.join()
    assert uids == [stranger.NOBODY, stranger.NOBODY]


# --- where the system does not say --------------------------------------------------------------------------------------


@pytest.fixture
def asked_anew():
    """Forget what was found out about the system, before and after."""
    peer._teller.cache_clear()
    yield
    peer._teller.cache_clear()


def test_linux_tells(asked_anew):
    """Found out about a connection of our own."""
    assert peer.can_tell() is True


def test_system_without_the_means_does_not_tell(asked_anew, monkeypatch):
    """macOS; a random key keeps others out instead, and listeners are plain ones."""
    monkeypatch.setattr(peer.sys, "platform", "darwin")
    assert peer.can_tell() is False
    with listening() as server:
        assert type(server) is socket.socket


@pytest.mark.parametrize("uid", [None, 4_294_967_294])
def test_system_that_says_something_else_does_not_tell(asked_anew, monkeypatch, uid):
    """A kernel without the answer, or a sandbox that has its own."""
    monkeypatch.setattr(peer, "uid_in", lambda _answer: uid)
    monkeypatch.setattr(peer, "uid_in_table", lambda *_: uid)
    assert peer.can_tell() is False


@pytest.mark.parametrize("failure", [OSError, None])
def test_the_table_is_read_where_the_kernel_does_not_answer(asked_anew, monkeypatch, failure):
    """A sandbox without such sockets, or a kernel without the module: /proc/net/tcp says the same."""

    def silent(*_):
        if failure is not None:
            raise failure
        return

    monkeypatch.setattr(peer, "_asked", silent)
    assert peer.can_tell() is True
    with listening() as server, connected(server) as client:
        connection, _ = server.accept()
        with connection:
            assert peer.owner(client.getsockname(), client.getpeername()) == os.geteuid()
            assert peer.owner(client.getsockname(), ("127.0.0.1", 1)) is None


# An address stands there as the machine reads its four bytes.
ONE, TWO = ("0100007F", "0200007F") if sys.byteorder == "little" else ("7F000001", "7F000002")
# Rows of Linux 6.18: a listener, one connection seen from both ends, one that is over (TIME_WAIT), one whose program has gone.
TABLE = f"""\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: {ONE}:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 11 1 0000000000000000 100 0 0 10 0
   1: {ONE}:C351 {ONE}:1F90 01 00000000:00000000 00:00000000 00000000  1001        0 12 1 0000000000000000 20 4 0 10 -1
   2: {ONE}:1F90 {ONE}:C351 01 00000000:00000000 00:00000000 00000000  1000        0 13 1 0000000000000000 20 4 0 10 -1
   3: {ONE}:C352 {ONE}:1F90 06 00000000:00000000 03:00000D2B 00000000     0        0 0 3 0000000000000000
   4: {ONE}:C353 {ONE}:1F90 04 00000000:00000000 00:00000000 00000000     0        0 0 2 0000000000000000
   5: {TWO}:C354 {ONE}:1F90 05 00000000:00000000 00:00000000 00000000  1002        0 14 1 0000000000000000
"""


@pytest.mark.parametrize(
    ("host", "port", "uid"),
    [
        *(("127.0.0.1", 0xC351, 1001), ("127.0.0.2", 0xC354, 1002), ("127.0.0.1", 0xC352, None)),
        *(
            ("127.0.0.1", 0xC353, None),
            ("127.0.0.1", 0xC354, None),
            ("127.0.0.1", 0x1F90, None),
            ("127.0.0.1", 1, None),
        ),
    ],
)
def test_a_row_counts_for_a_socket_that_a_program_holds_connected_to_us(host, port, uid):
    """The other end's row, not ours and not the listener's; a connection that is over shows uid 0 and no inode."""
    assert peer.uid_in_table(TABLE, (host, port), ("127.0.0.1", 0x1F90)) == uid
