"""Ports: loopback only, and a complaint that a person can act on."""

import os
import socket
import subprocess
import sys
import threading

import pytest
from cognito_edge_local import peer
from cognito_edge_local.launcher import ports
from cognito_edge_local.launcher.ports import PortError, PortRequest


def _request(port):
    return PortRequest(port, "the gateway", "--port")


def test_zero_takes_a_free_loopback_port():
    """The socket listens on 127.0.0.1 and on no other address."""
    with ports.listen(_request(0)) as sock:
        host, number = sock.getsockname()
        assert (host, number > 0) == ("127.0.0.1", True)
        with socket.create_connection((host, number), 5):
            pass


@pytest.mark.parametrize(("any_user", "kind"), [(False, peer.OwnUserListener), (True, socket.socket)])
def test_port_is_for_this_user_unless_it_is_for_everybody(any_user, kind):
    """The default is shut."""
    with ports.listen(PortRequest(0, "a test", "", any_user)) as sock:
        assert type(sock) is kind


def test_taken_port_says_which_for_what_by_whom_and_what_to_do():
    """All that a person needs to choose between stopping the other and taking another port."""
    with ports.listen(_request(0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(PortError) as error:
            ports.listen(_request(number))
    text = str(error.value)
    assert f"Port {number} on 127.0.0.1, wanted for the gateway, is taken by process {os.getpid()} (" in text
    assert "--port" in text


def test_listener_on_every_address_counts_as_taken():
    """0.0.0.0 includes 127.0.0.1; two servers there would share requests by chance."""
    with socket.socket() as everywhere:
        everywhere.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        everywhere.bind(("0.0.0.0", 0))
        everywhere.listen()
        with pytest.raises(PortError, match="is taken"):
            ports.listen(_request(everywhere.getsockname()[1]))


def test_holder_is_another_process_by_its_short_name():
    """Its arguments may hold secrets and are not shown."""
    code = "import socket,sys; s=socket.create_server(('127.0.0.1',0)); print(s.getsockname()[1],flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "--password=hunter2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        holder = ports.holder_of(int(other.stdout.readline()))
        other.stdin.close()
    assert holder.startswith(f"process {other.pid} (python")
    assert "hunter2" not in holder


def test_free_port_has_no_holder():
    """No process is named as the holder of a free port."""
    assert ports.holder_of(ports.reserve(_request(0))) is None


def test_port_that_is_not_allowed_says_so(monkeypatch):
    """A privileged port is not "taken"."""
    assert peer.can_tell()  # found out before ``bind`` stops working

    def refuse(_self, _address):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(
        PortError, match=r"Port 80 on 127\.0\.0\.1, wanted for the gateway, cannot be bound: Permission"
    ):
        ports.listen(_request(80))


def test_port_over_the_range_is_refused():
    """65535 is the last one."""
    with pytest.raises(PortError, match="0 to 65535"):
        ports.listen(_request(65_536))


def test_patience_outwaits_a_port_that_is_about_to_be_free():
    """After a kill the last run's processes may need a moment."""
    taken = ports.listen(_request(0))
    number = taken.getsockname()[1]
    threading.Timer(0.2, taken.close).start()
    with ports.listen(_request(number), patience_s=30) as sock:
        assert sock.getsockname()[1] == number


def test_reserved_port_is_free_for_the_program_that_binds_it():
    """The probe is closed again."""
    number = ports.reserve(_request(0))
    with ports.listen(_request(number)):
        pass
