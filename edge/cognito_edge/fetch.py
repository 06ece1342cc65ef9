"""One HTTP exchange with everything bounded: time on the wall clock, bytes, hosts, redirects.

A socket's timeout bounds each wait and not their sum: name resolution has no timeout, and a server that sends a byte a
second never exceeds one. So an exchange runs on a thread of its own, and its caller stops waiting at the deadline,
whatever the thread is doing.
"""

import contextlib
import math
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from .http1 import AnswerReader, HttpError, write_request

# An idle connection is used again for this long at most. Servers close theirs at some time, and a frozen function does not
# notice.
MAX_IDLE_S = 120

# An endpoint: no credentials, no query, no fragment.
_URL = re.compile(r"(https?)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]*))?(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?")

_PIECE_BYTES = 65_536

# Hosts below this name have certificates of Amazon's own authority. Its five roots are read in a millisecond, a system's
# 150 in twenty.
AWS_DOMAIN = ".amazonaws.com"
AMAZON_ROOTS_FILE = __file__.rpartition("/")[0] + "/amazon_roots.pem"


class FetchError(Exception):
    """The exchange did not end in an answer; the message says why and holds nothing secret."""


class Endpoint(NamedTuple):
    """A server and the path below which its API lies.

    Attributes:
        scheme: ``https``, or ``http`` towards loopback.
        host: Name or address, without brackets.
        port: TCP port.
        path: Prefix of every target, without a final slash.
    """

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def authority(self) -> str:
        """The ``Host`` header: with the port, unless it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


def parse_endpoint(url: str) -> Endpoint:
    """Read an endpoint URL.

    Raises:
        FetchError: No http(s) URL, or plain http to another machine: tokens' keys and the policy would travel unprotected.

    >>> parse_endpoint("http://127.0.0.1:4566/").authority
    '127.0.0.1:4566'
    """
    parts = _URL.fullmatch(url)
    scheme, host, port, path = parts.groups("") if parts else ("", "", "", "")
    if not host or len(port) > 5 or int(port or 0) > 65_535:
        raise FetchError(f"{url!r} is no endpoint URL; expected https://host")
    host = host.strip("[]").lower()
    if scheme == "http" and not _is_loopback(host):
        raise FetchError(f"{url!r} is plain http, which is accepted towards loopback only; use https")
    return Endpoint(scheme, host, int(port or 0) or (443 if scheme == "https" else 80), path.rstrip("/"))


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    import ipaddress  # noqa: PLC0415  never needed in AWS, where every endpoint is https

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Call(NamedTuple):
    """What to send. The headers hold a signature and stay out of ``repr``."""

    endpoint: Endpoint
    method: str
    target: str
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""

    def __repr__(self) -> str:
        return f"Call({self.method} {self.endpoint.authority})"


class Answer(NamedTuple):
    """What came, with any status. Redirects are not followed."""

    status: int
    body: bytes

    def __repr__(self) -> str:
        return f"Answer(status={self.status}, {len(self.body)} bytes)"


class Exchange:
    """One request and its answer, on a thread of its own."""

    def __init__(self, client: "Client", call: Call, timeout_s: float) -> None:
        self._client = client
        self._call = call
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._done = threading.Event()
        self._connection: socket.socket | None = None
        self._answer: Answer | None = None
        self._failure = "no answer in time"
        try:
            threading.Thread(target=self._run, name="fetch", daemon=True).start()
        except RuntimeError as error:  # no thread available: an outage like any other
            self._failure = f"{type(error).__name__}: {error}"
            self._done.set()

    def result(self) -> Answer:
        """Wait for the answer until the attempt's time is over.

        Raises:
            FetchError: None came. The connection is closed by then.
        """
        if not self._done.wait(self._deadline - time.monotonic()):
            _close(self._connection)
            raise FetchError(f"no answer from {self._call.endpoint.authority} within {self._timeout_s:.2g} s")
        if self._answer is None:
            raise FetchError(f"{self._call.endpoint.authority}: {self._failure}")
        return self._answer

    def _run(self) -> None:
        try:
            self._answer = self._exchange()
        except Exception as error:  # noqa: BLE001  whatever happens on this thread is told to the one that waits
            self._failure = f"{type(error).__name__}: {error}"
        finally:
            self._done.set()

    def _exchange(self) -> Answer:
        kept = self._client.take(self._call.endpoint)
        if kept is not None:
            # The server may have closed it meanwhile, or the path to it may be gone without a word: half of the time is
            # left for a new one. Both calls we make are reads, and safe to repeat.
            with contextlib.suppress(OSError, HttpError):
                return self._attempt(kept, share=0.5)
        connection = self._client.connect(self._call.endpoint, self._time_left())
        return self._attempt(connection)

    def _time_left(self) -> float:
        timeout_s = self._deadline - time.monotonic()
        if timeout_s <= 0:
            raise FetchError("no time left")
        return timeout_s

    def _attempt(self, connection: socket.socket, share: float = 1) -> Answer:
        # Before the clock is read: a caller that gives up closes this connection, or gave up at a deadline that has passed.
        self._connection = connection
        call = self._call
        try:
            connection.settimeout(self._time_left() * share)
            headers = {"Host": call.endpoint.authority, "Accept-Encoding": "identity", **call.headers}
            connection.sendall(write_request(call.method, call.endpoint.path + call.target, headers, call.body))
            reader = AnswerReader(self._client.max_answer_bytes)
            while not reader.complete:
                reader.feed(connection.recv(_PIECE_BYTES))
        except BaseException:
            _close(connection)
            raise
        if reader.reusable:
            self._client.keep(call.endpoint, connection)
        else:
            _close(connection)
        return Answer(reader.status, reader.body)


class Client:
    """Keeps connections and the TLS context, and starts exchanges."""

    def __init__(self, *, timeout_s: float, max_answer_bytes: int) -> None:
        self.timeout_s = timeout_s
        self.max_answer_bytes = max_answer_bytes
        self._kept: dict[Endpoint, tuple[socket.socket, float]] = {}
        self._lock = threading.Lock()
        self._tls: dict[bool, ssl.SSLContext] = {}

    def start(self, call: Call, deadline: float = math.inf) -> Exchange:
        """Start an exchange; the caller can do something useful before it asks for the result.

        Args:
            call: What to send.
            deadline: When it has to be over, on the clock of ``time.monotonic``; one attempt's time is the most it gets.
        """
        return Exchange(self, call, min(self.timeout_s, deadline - time.monotonic()))

    def open(self, endpoint: Endpoint) -> None:
        """Open a connection ahead of time. Failures are ignored."""
        with contextlib.suppress(RuntimeError):  # no thread available
            threading.Thread(target=self._open, args=(endpoint,), name="open", daemon=True).start()

    def _open(self, endpoint: Endpoint) -> None:
        with contextlib.suppress(Exception):
            self.keep(endpoint, self.connect(endpoint, self.timeout_s))

    def take(self, endpoint: Endpoint) -> socket.socket | None:
        """Return a kept connection, or None."""
        with self._lock:
            connection, since = self._kept.pop(endpoint, (None, 0.0))
        if connection is not None and time.monotonic() - since > MAX_IDLE_S:
            _close(connection)
            return None
        return connection

    def keep(self, endpoint: Endpoint, connection: socket.socket) -> None:
        """Keep a connection whose answer has been read to its end."""
        with self._lock:
            previous = self._kept.get(endpoint)
            self._kept[endpoint] = (connection, time.monotonic())
        if previous is not None:
            _close(previous[0])

    def connect(self, endpoint: Endpoint, timeout_s: float) -> socket.socket:
        """Connect. Certificates and names are always checked.

        Args:
            endpoint: Where to.
            timeout_s: Seconds for each wait.

        Raises:
            OSError: It cannot be reached, or is not who it should be.
        """
        if endpoint.scheme == "http":
            return _tcp(endpoint, timeout_s)
        if endpoint.host.endswith(AWS_DOMAIN):
            # Else the root may be newer than this version, and the system may know it.
            with contextlib.suppress(ssl.SSLCertVerificationError):
                return self._secure(endpoint, timeout_s, amazon=True)
        return self._secure(endpoint, timeout_s, amazon=False)

    def _secure(self, endpoint: Endpoint, timeout_s: float, *, amazon: bool) -> ssl.SSLSocket:
        sock = _tcp(endpoint, timeout_s)
        try:
            return self._context(amazon=amazon).wrap_socket(sock, server_hostname=endpoint.host.encode("ascii"))
        except BaseException:
            sock.close()
            raise

    def _context(self, *, amazon: bool) -> ssl.SSLContext:
        with self._lock:
            if amazon not in self._tls:
                self._tls[amazon] = ssl.create_default_context(cafile=AMAZON_ROOTS_FILE if amazon else None)
            return self._tls[amazon]


def _tcp(endpoint: Endpoint, timeout_s: float) -> socket.socket:
    # As bytes, here and for TLS: a text would be encoded by IDNA's rules, whose tables take two milliseconds to import.
    address = (endpoint.host.encode("ascii"), endpoint.port)
    sock = socket.create_connection(address, timeout_s)  # type: ignore[arg-type]  # getaddrinfo takes bytes as well
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _close(connection: socket.socket | None) -> None:
    """Close *connection*, and wake the thread that reads from it."""
    if connection is None:
        return
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        connection.close()
