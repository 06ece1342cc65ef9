"""edge/cognito_edge/fetch.py: one exchange, bounded in time, bytes, hosts and redirects, over connections that are kept."""

import contextlib
import datetime as dt
import hashlib
import ipaddress
import socket
import ssl
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from cognito_edge import fetch
from cognito_edge.fetch import Answer, Call, Client, Endpoint, FetchError, parse_endpoint
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from tests.support.keys_and_tokens import rsa_key
from tests.support.waiting import wait_until

PROJECT = Path(__file__).parents[2]
PACKAGES = sysconfig.get_paths()["purelib"]

# Far above any attempt's time, and far below a test's: what takes longer was not bounded.
GENEROUS_S = 5


class Server:
    """A server on loopback that does to each connection what a test says.

    Attributes:
        requests: What came, head and body.
        connections: How many there were.
    """

    def __init__(self, serve, tls=None):
        self.requests = []
        self.connections = 0
        self.closed = threading.Event()
        self._serve, self._tls = serve, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def endpoint(self):
        return Endpoint("https" if self._tls else "http", "127.0.0.1", self.port)

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        with contextlib.suppress(OSError), connection:
            if self._tls:
                with self._tls.wrap_socket(connection, server_side=True) as secured:
                    self._serve(self, secured)
            else:
                self._serve(self, connection)

    def read(self, connection):
        """Read one request; False at the end of the connection."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65_536)
            if not more:
                return False
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += connection.recv(65_536)
        self.requests.append((head, body))
        return True

    def close(self):
        self.closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def serve():
    """Start servers; they stop with the test."""
    servers = []

    def start(behave, tls=None):
        servers.append(Server(behave, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def answering(*answers, repeat=True):
    """Answer each request of a connection with the next of *answers*; the last one again and again."""

    def behave(server, connection):
        number = 0
        while server.read(connection):
            connection.sendall(answers[min(number, len(answers) - 1)])
            number += 1
            if not repeat and number == len(answers):
                return

    return behave


def http(body=b"{}", status=b"200 OK", *headers):
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def client(**changes):
    return Client(**{"timeout_s": 5, "max_answer_bytes": 1_000, **changes})


def get(server, using=None, target="/"):
    return (using or client()).start(Call(server.endpoint, "GET", target)).result()


# --- an exchange ----------------------------------------------------------------------------------------------------


def test_an_answer_is_its_status_and_body(serve):
    """What the server says comes back unchanged."""
    assert get(serve(answering(http(b"body", b"404 Not Found")))) == Answer(404, b"body")


def test_a_request_is_sent_as_it_is_given(serve):
    """Method, target below the endpoint's path, headers, body; the host once, and no compression asked for."""
    server = serve(answering(http()))
    endpoint = Endpoint("http", "127.0.0.1", server.port, "/base")
    client().start(Call(endpoint, "POST", "/x?y", {"x-a": "b"}, b"body")).result()
    [(head, body)] = server.requests
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /base/x?y HTTP/1.1"
    assert body == b"body"
    names = [line.partition(":")[0].lower() for line in lines[1:]]
    assert len(names) == len(set(names))
    assert f"Host: 127.0.0.1:{server.port}" in lines
    assert "Accept-Encoding: identity" in lines
    assert "x-a: b" in lines


def test_the_caller_can_work_while_the_answer_is_on_its_way(serve):
    """Starting does not wait: the caller decides when the server goes on."""
    gate = threading.Event()

    def behave(server, connection):
        server.read(connection)
        gate.wait(5)
        connection.sendall(http(b"late"))

    pending = client().start(Call(serve(behave).endpoint, "GET", "/"))
    gate.set()
    assert pending.result().body == b"late"


def test_chunked_answers_are_read(serve):
    """A body of unknown length is read to its end."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert get(serve(answering(chunked))).body == b"abcde"


def test_a_body_that_ends_with_the_connection_is_read(serve):
    """HTTP/1.0's way of ending a body works, and its connection is not kept."""
    using = client()
    server = serve(answering(b"HTTP/1.0 200 OK\r\n\r\nbody", repeat=False))
    assert get(server, using).body == b"body"
    assert using._kept == {}


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"307 Temporary", b"308 Permanent"])
def test_redirects_are_not_followed(serve, status):
    """A redirect is an answer like any other, and is not followed."""
    other = serve(answering(http(b"elsewhere")))
    server = serve(answering(http(b"", status, b"Location: http://127.0.0.1:%d/" % other.port)))
    assert get(server).status == int(status[:3])
    assert other.connections == 0


def test_proxies_of_the_environment_are_not_used(serve, monkeypatch):
    """Whatever the environment says, the exchange goes to the endpoint."""
    server, proxy = serve(answering(http(b"direct"))), serve(answering(http(b"proxy")))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    assert get(server).body == b"direct"
    assert proxy.connections == 0


# --- bounds ---------------------------------------------------------------------------------------------------------


def test_the_longest_answer_is_read_and_one_byte_more_is_not(serve):
    """max_answer_bytes is the last length that passes."""
    assert len(get(serve(answering(http(b"x" * 1_000)))).body) == 1_000
    with pytest.raises(FetchError, match="longer than 1000 bytes"):
        get(serve(answering(http(b"x" * 1_001))))


def test_an_endless_answer_is_cut_off(serve):
    """A server that never stops sending is left alone."""

    def behave(server, connection):
        server.read(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not server.closed.is_set():
            connection.sendall(b"x" * 65_536)

    with pytest.raises(FetchError, match="longer than 1000 bytes"):
        get(serve(behave))


def hangs_at_once(server, connection):
    server.closed.wait(20)


def hangs_after_the_request(server, connection):
    server.read(connection)
    server.closed.wait(20)


def hangs_after_the_head(server, connection):
    server.read(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    server.closed.wait(20)


def drips(data):
    def behave(server, connection):
        server.read(connection)
        for byte in data:
            connection.sendall(bytes([byte]))
            if server.closed.wait(0.05):
                return

    return behave


@pytest.mark.parametrize(
    "behave",
    [
        hangs_at_once,
        hangs_after_the_request,
        hangs_after_the_head,
        drips(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1_000),
        drips(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 200),
        drips(b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    ],
    ids=["at once", "after the request", "after the head", "dripping body", "dripping head", "dripping 100s"],
)
def test_time_is_bounded_however_slowly_bytes_come(serve, behave):
    """No single wait is long enough to trip a socket's timeout; the deadline ends all of them."""
    server = serve(behave)
    before = time.monotonic()
    with pytest.raises(FetchError, match=r"0\.3 s|no time|timed out|OSError|closed"):
        get(server, client(timeout_s=0.3))
    assert time.monotonic() - before < GENEROUS_S


def test_time_is_bounded_while_a_name_is_resolved(monkeypatch):
    """Name resolution knows no timeout, so the caller does not wait for it."""
    released = threading.Event()

    def slow(*_args, **_kwargs):
        released.wait(20)
        raise socket.gaierror("released")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    before = time.monotonic()
    with pytest.raises(FetchError, match=r"no answer from nowhere\.example within 0\.2 s"):
        client(timeout_s=0.2).start(Call(Endpoint("https", "nowhere.example", 443), "GET", "/")).result()
    assert time.monotonic() - before < GENEROUS_S
    released.set()
    assert wait_until(lambda: not any(thread.name == "fetch" for thread in threading.enumerate()))


@pytest.mark.parametrize(("timeout_s", "deadline_s"), [(30, 0.2), (0.2, 30)])
def test_a_deadline_shortens_an_attempt_and_never_lengthens_it(serve, timeout_s, deadline_s):
    """What ends first ends the exchange, and nothing before it does."""
    call = Call(serve(hangs_after_the_request).endpoint, "GET", "/")
    before = time.monotonic()
    with pytest.raises(FetchError, match=r"within 0\.2 s|timed out"):
        client(timeout_s=timeout_s).start(call, before + deadline_s).result()
    assert 0.19 <= time.monotonic() - before < GENEROUS_S


def test_nothing_is_sent_after_a_deadline(serve):
    """Not on a connection that is kept, and not on a new one."""
    server, using = serve(answering(http())), client()
    get(server, using)
    with pytest.raises(FetchError):
        using.start(Call(server.endpoint, "GET", "/"), time.monotonic() - 1).result()
    assert wait_until(lambda: not any(thread.name == "fetch" for thread in threading.enumerate()))
    assert (server.connections, len(server.requests)) == (1, 1)


@pytest.mark.parametrize("is_kept", [False, True], ids=["a new connection", "a kept connection"])
@pytest.mark.parametrize(
    "behave",
    [hangs_after_the_request, drips(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000)],
    ids=["that hangs", "that drips"],
)
def test_an_abandoned_exchange_ends_its_thread_and_closes_its_connection(serve, behave, is_kept):
    """Nothing is left behind by a server that goes on for a minute: no thread, no kept connection."""

    def serving(server, connection):
        if is_kept and server.connections == 1:
            server.read(connection)
            connection.sendall(http())
        behave(server, connection)

    using, server = client(timeout_s=0.3), serve(serving)
    if is_kept:
        assert get(server, using).status == 200
    with pytest.raises(FetchError):
        get(server, using)
    assert wait_until(lambda: not any(thread.name == "fetch" for thread in threading.enumerate()))
    assert using._kept == {}


# --- broken answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
    ],
)
def test_an_answer_that_is_no_whole_http_is_a_fetch_error(serve, answer):
    """Nothing, garbage, TLS on a plain port, too many or too long headers, a body cut short: an error that says so."""
    with pytest.raises(FetchError) as caught:
        get(serve(answering(answer, repeat=False)))
    assert str(caught.value)


def test_a_refused_connection_is_a_fetch_error_at_once():
    """No server listens: the error names the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(FetchError, match=f"127.0.0.1:{port}: ConnectionRefusedError"):
        client().start(Call(Endpoint("http", "127.0.0.1", port), "GET", "/")).result()


def test_a_name_that_does_not_exist_is_a_fetch_error(monkeypatch):
    """The resolver's own words are in the message."""

    def unknown(*_args, **_kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(FetchError, match="Name or service not known"):
        client().start(Call(Endpoint("https", "nowhere.example", 443), "GET", "/")).result()


def test_a_process_out_of_threads_is_a_fetch_error(serve, monkeypatch):
    """Nothing can be started: an outage like any other, and no crash."""
    server = serve(answering(http()))
    real = threading.Thread.start

    def start(thread):
        if thread.name == "fetch":
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(FetchError, match="can't start new thread"):
        get(server)


def test_neither_headers_nor_bodies_show_in_representations():
    """What is sent is signed and what comes may hold policy: neither is printed by accident."""
    call = Call(Endpoint("http", "127.0.0.1", 1), "POST", "/", {"authorization": "AWS4 secret"}, b"secret")
    assert "secret" not in repr(call) + repr(Answer(200, b"secret"))


# --- kept connections -----------------------------------------------------------------------------------------------


def test_a_connection_is_used_again(serve):
    """Ten exchanges, one connection."""
    server, using = serve(answering(http())), client()
    for _ in range(10):
        get(server, using)
    assert (server.connections, len(server.requests)) == (1, 10)


def test_a_connection_that_the_server_closed_is_replaced(serve):
    """A kept connection may be dead: one try on it, then a new one, and no error."""
    server, using = serve(answering(http(), repeat=False)), client()
    for _ in range(3):
        assert get(server, using).status == 200
    assert server.connections == 3


def test_a_kept_connection_that_hangs_is_given_half_of_the_time(serve):
    """A path that is gone without a word costs half an attempt, and the other half still brings the answer."""

    def behave(server, connection):
        first = server.connections == 1
        server.read(connection)
        connection.sendall(http())
        if first:
            server.read(connection)
            server.closed.wait(20)

    server, using = serve(behave), client(timeout_s=2)
    assert get(server, using).status == 200
    assert get(server, using).status == 200
    assert server.connections == 2


@pytest.mark.parametrize("header", [b"Connection: close"])
def test_a_connection_that_the_server_wants_closed_is_not_kept(serve, header):
    """It says so, and so it is."""
    using = client()
    server = serve(answering(http(b"{}", b"200 OK", header)))
    get(server, using)
    get(server, using)
    assert server.connections == 2


def test_a_connection_with_an_unread_rest_is_not_kept(serve):
    """After an answer that was too long the next exchange starts afresh, so that no answer is taken for another's."""
    using = client(max_answer_bytes=10)
    server = serve(answering(http(b"x" * 5_000)))
    for _ in range(2):
        with pytest.raises(FetchError):
            get(server, using)
    assert server.connections == 2


@pytest.mark.parametrize(("idle_s", "is_used"), [(0, True), (120, True), (120.001, False), (1e6, False)])
def test_a_connection_that_was_idle_for_two_minutes_is_used_and_an_older_one_is_closed(monkeypatch, idle_s, is_used):
    """Servers close theirs sooner or later, and a frozen function does not notice."""
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=1_000.0)
    monkeypatch.setattr(fetch, "time", clock)
    using, endpoint = client(), Endpoint("http", "127.0.0.1", 1)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        using.keep(endpoint, ours)
        clock.now += idle_s
        assert using.take(endpoint) is (ours if is_used else None)
        assert (ours.fileno() == -1) == (not is_used)
        assert using.take(endpoint) is None


def test_of_two_connections_to_a_server_the_later_one_is_kept():
    """The other is closed: two exchanges at once leave one connection."""
    using, endpoint = client(), Endpoint("http", "127.0.0.1", 1)
    first, second = socket.socketpair()
    with first, second:
        using.keep(endpoint, first)
        using.keep(endpoint, second)
        assert (first.fileno(), using.take(endpoint)) == (-1, second)


def test_small_requests_are_not_held_back(serve):
    """Nagle's algorithm would wait for the server's acknowledgement, which may itself wait for 40 ms."""
    with client().connect(serve(answering(http())).endpoint, 5) as connection:
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_each_server_has_a_connection_of_its_own(serve):
    """SSM's connection is never used for Cognito."""
    first, second, using = serve(answering(http(b"1"))), serve(answering(http(b"2"))), client()
    assert [get(server, using).body for server in (first, second, first, second)] == [b"1", b"2", b"1", b"2"]
    assert (first.connections, second.connections) == (1, 1)


def test_an_exchange_imports_nothing_that_is_dear(serve):
    """What comes along unseen is a tenth of a cold start each: IDNA's tables, mail, URLs, random numbers."""
    server = serve(answering(http()))
    script = (
        "import sys; from cognito_edge.fetch import *;"
        f"Client(timeout_s=5, max_answer_bytes=99).start(Call(Endpoint('http', '127.0.0.1', {server.port}), 'GET', '/')).result();"
        "print(*{'encodings.idna', 'email', 'http', 'urllib', 'random', 'dataclasses', 'inspect'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        cwd=PROJECT,
        env={"PYTHONPATH": f"{PROJECT / 'edge'}:{PACKAGES}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == "\n"


# --- TLS ------------------------------------------------------------------------------------------------------------


def make_certificate(folder, name):
    """Return a certificate for one name that no public authority signed: (file, server context)."""
    key = rsa_key("tls")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server of this test")])
    start = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(built.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return file, context


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1: (file, server context)."""
    return make_certificate(tmp_path_factory.mktemp("tls"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


def test_a_certificate_of_no_known_authority_is_refused(serve, certificate):
    """TLS is always verified: the exchange fails, and nothing of the request is sent."""
    server = serve(answering(http()), certificate[1])
    with pytest.raises(FetchError, match="CERTIFICATE_VERIFY_FAILED"):
        get(server, client())
    assert server.requests == []


def test_a_known_authority_is_accepted_for_its_own_name_alone(serve, certificate, monkeypatch):
    """The same server passes once its authority is trusted, and fails under another name."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    server = serve(answering(http(b"safe")), certificate[1])
    assert get(server).body == b"safe"
    call = Call(Endpoint("https", "localhost", server.port), "GET", "/")
    with pytest.raises(FetchError, match="CERTIFICATE_VERIFY_FAILED"):
        client().start(call).result()


# --- AWS's own roots --------------------------------------------------------------------------------------------------

AWS_HOST = "ssm.eu-west-1.amazonaws.com"


@pytest.fixture(scope="module")
def aws_certificate(tmp_path_factory):
    """A certificate for an AWS endpoint that no public authority signed: (file, server context)."""
    return make_certificate(tmp_path_factory.mktemp("aws"), x509.DNSName(AWS_HOST))


def ask_aws(server, monkeypatch):
    """Ask the AWS endpoint, which is *server* here."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: found)
    return client().start(Call(Endpoint("https", AWS_HOST, 443), "GET", "/")).result()


def test_aws_is_trusted_by_amazons_roots_alone(serve, aws_certificate, monkeypatch):
    """One connection, whatever the system's own store holds."""
    monkeypatch.setattr(fetch, "AMAZON_ROOTS_FILE", str(aws_certificate[0]))
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    server = serve(answering(http(b"safe")), aws_certificate[1])
    assert ask_aws(server, monkeypatch).body == b"safe"
    assert server.connections == 1


def test_a_root_that_is_newer_than_the_gateway_is_looked_up_in_the_systems_store(serve, aws_certificate, monkeypatch):
    """Should AWS change its authority, callers stay in."""
    monkeypatch.setenv("SSL_CERT_FILE", str(aws_certificate[0]))
    server = serve(answering(http(b"safe")), aws_certificate[1])
    assert ask_aws(server, monkeypatch).body == b"safe"


def test_a_root_that_neither_knows_is_refused(serve, aws_certificate, monkeypatch):
    """Nothing of the request, and of its signature, is sent."""
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    server = serve(answering(http(b"unsafe")), aws_certificate[1])
    with pytest.raises(FetchError, match="CERTIFICATE_VERIFY_FAILED"):
        ask_aws(server, monkeypatch)
    assert server.requests == []


def test_amazons_roots_are_no_way_around_the_systems_store_for_other_hosts(serve, certificate, monkeypatch):
    """They count for AWS's own domain, and for no other."""
    monkeypatch.setattr(fetch, "AMAZON_ROOTS_FILE", str(certificate[0]))
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    with pytest.raises(FetchError, match="CERTIFICATE_VERIFY_FAILED"):
        get(serve(answering(http(b"unsafe")), certificate[1]))


def test_the_roots_are_those_that_amazon_publishes():
    """By the SHA-256 fingerprints of amazontrust.com's repository."""
    roots = ssl.create_default_context(cafile=fetch.AMAZON_ROOTS_FILE).get_ca_certs(binary_form=True)
    assert {hashlib.sha256(root).hexdigest() for root in roots} == {
        "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
        "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
        "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
        "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
        "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5",
    }


# --- connections that are opened early --------------------------------------------------------------------------------


def test_a_connection_that_was_opened_early_carries_the_first_request(serve):
    """The handshakes are over by the time there is something to ask."""
    server, using = serve(answering(http(b"early"))), client()
    endpoint = Endpoint("http", "127.0.0.1", server.port)
    using.open(endpoint)
    wait_until(lambda: endpoint in using._kept)
    assert get(server, using).body == b"early"
    assert server.connections == 1


def test_opening_early_in_vain_changes_nothing(serve):
    """What cannot be reached yet is tried again by the call itself."""
    using = client()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        using.open(Endpoint("http", "127.0.0.1", closed.getsockname()[1]))
    assert get(serve(answering(http(b"later"))), using).body == b"later"


# --- endpoints ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("https://ssm.eu-west-1.amazonaws.com", "ssm.eu-west-1.amazonaws.com", ""),
        ("https://ssm.eu-west-1.amazonaws.com:443/", "ssm.eu-west-1.amazonaws.com", ""),
        ("https://host.example:65535", "host.example:65535", ""),
        ("https://host.example:8443/base/", "host.example:8443", "/base"),
        ("http://127.0.0.1:4566", "127.0.0.1:4566", ""),
        ("http://127.1.2.3:80", "127.1.2.3", ""),
        ("http://localhost:4566", "localhost:4566", ""),
        ("http://x.localhost:1", "x.localhost:1", ""),
        ("http://[::1]:4566", "[::1]:4566", ""),
        ("https://[2001:db8::1]", "[2001:db8::1]", ""),
        ("https://HOST.example/AZaz09-._~!$&'()*+,;=:@%2F/x", "host.example", "/AZaz09-._~!$&'()*+,;=:@%2F/x"),
    ],
)
def test_endpoints_are_https_or_loopback(url, authority, path):
    """Plain http is fine on this machine, https anywhere."""
    endpoint = parse_endpoint(url)
    assert (endpoint.authority, endpoint.path) == (authority, path)


@pytest.mark.parametrize(
    "url",
    [
        "http://ssm.eu-west-1.amazonaws.com",
        "http://192.0.2.1:4566",
        "http://0.0.0.0:4566",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://notlocalhost",
        "http://2130706433",
        "http://127.0.0.1@thief.example",
        "http://[::ffff:192.0.2.1]",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "127.0.0.1:4566",
        "//127.0.0.1",
        "https://",
        "https:///path",
        "https://host:port",
        "https://host:65536",
        "https://host:065535",
        "http://[::1",
        "",
        "\0",
    ],
)
def test_other_endpoints_are_refused(url):
    """Plain http to another machine, other schemes, and what is no URL."""
    with pytest.raises(FetchError, match=r"no endpoint URL|plain http"):
        parse_endpoint(url)


@given(st.one_of(st.text(max_size=60), st.text(alphabet="htps:/[]@.%#?127localhost", max_size=40)))
def test_any_text_is_an_endpoint_or_a_fetch_error(url):
    """No text makes another exception, and none makes plain http to another machine."""
    try:
        endpoint = parse_endpoint(url)
    except FetchError:
        return
    assert endpoint.scheme == "https" or fetch._is_loopback(endpoint.host)
