"""The loopback end of a browser sign-in: waits for the one request that carries our state, and answers nothing else.

Source: RFC 8252 §7.3 (loopback redirection) and §8.10 (state), RFC 9700 §2.1 (one-time codes, state bound to the agent).
"""

import hmac
import html
import socket
import socketserver
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from cognito_edge_cli.console import ScriptError, say

CALLBACK_PATH = "/callback"
# What the app client has registered; Cognito compares redirect URIs as whole strings, so no other port will do.
REGISTERED_PORTS = (8976, 8977)
# A browser may take ``localhost`` for either, and may try ::1 first.
_ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_REQUEST_TIMEOUT_S = 10.0
_POLL_S = 0.01  # how long a server that is told to stop may take to notice


@dataclass(frozen=True, kw_only=True)
class Callback:
    """What the browser brought: a code, or the reason for its absence."""

    code: str | None = field(default=None, repr=False)
    error: str | None = None
    description: str | None = None


class CallbackServer:
    """Listens on one registered port until the callback with our state has come; a context manager.

    The threads that serve and the one that waits share its result.

    Args:
        state: The authorization request's ``state``; a request without it changes nothing.
        ports: Ports to try, in order.

    Raises:
        ScriptError: Every port is taken.
    """

    def __init__(self, state: str, ports: Sequence[int]) -> None:
        self._state = state.encode()
        self._arrived = threading.Event()
        self._lock = threading.Lock()
        self._callback: Callback | None = None
        self.port, self._servers = self._listen(ports)
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(_POLL_S,), daemon=True).start()

    @property
    def redirect_uri(self) -> str:
        """The URI that the browser is sent back to.

        With ``localhost``, the one loopback name that every version of Cognito's documentation allows with plain http.
        """
        return f"http://localhost:{self.port}{CALLBACK_PATH}"

    def wait(self, timeout_s: float) -> Callback:
        """Return the callback.

        Raises:
            ScriptError: It did not come within *timeout_s* seconds.
        """
        if not self._arrived.wait(timeout_s) or self._callback is None:
            raise ScriptError(
                f"No sign-in came within {timeout_s:g} s. Try again, with more time if need be (--timeout SECONDS)."
                " If the browser showed redirect_mismatch, register"
                f" {self.redirect_uri} with the app client."
            )
        return self._callback

    def receive(self, query: str) -> bool:
        """Take the callback that *query* makes, and return whether it is ours and the first."""
        try:
            parameters = parse_qs(query, keep_blank_values=True, strict_parsing=True, max_num_fields=20)
        except ValueError:
            return False
        states = parameters.get("state", [])
        # In constant time: a local program that may guess as often as it likes must not learn how far it got.
        if len(states) != 1 or not hmac.compare_digest(states[0].encode("utf-8", "replace"), self._state):
            return False
        # RFC 6749 §3.1: parameters "MUST NOT be included more than once"; two codes are an attempt to add one.
        first: dict[str, str] = {name: values[0] for name, values in parameters.items() if len(values) == 1}
        code, error = first.get("code"), first.get("error")
        if bool(code) == bool(error):
            return False
        with self._lock:
            if self._callback is not None:
                return False
            self._callback = Callback(code=code, error=error, description=first.get("error_description"))
        return True

    def announce(self) -> None:
        """Let ``wait`` go on; called once the person's browser has its answer."""
        self._arrived.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _listen(self, ports: Sequence[int]) -> tuple[int, list["_Server"]]:
        for position, port in enumerate(ports):
            servers = _bind(port, self)
            if servers:
                return port, servers
            following = ports[position + 1 :]
            if following:
                say(f"note: port {port} is taken by another program; trying {following[0]}.")
        taken = " and ".join(str(port) for port in ports)
        raise ScriptError(
            f"The sign-in callback needs one of the ports that the app client knows; taken: {taken}. Stop the program"
            " that listens there (perhaps another sign-in), or choose another registered port with --callback-port,"
            " or sign in without a browser with --username."
        )


class _Server(socketserver.ThreadingTCPServer):
    # A thread each: browsers open connections in advance and leave them idle, which would block a single one.
    daemon_threads = True
    block_on_close = False
    # A port on which an earlier sign-in's connections linger is not taken; one on which a program listens is, and
    # ``_is_listening`` finds it on systems where this option would let two programs share a port.
    allow_reuse_address = True
    allow_reuse_port = False

    def __init__(self, family: socket.AddressFamily, address: str, port: int, owner: CallbackServer) -> None:
        self.address_family = family
        self.owner = owner
        super().__init__((address, port), _Handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about a browser that hangs up; the default prints a traceback."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _REQUEST_TIMEOUT_S
    # The default names Python's version to whoever asks.
    server_version = "sign-in"
    sys_version = ""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        owner = self.server.owner
        if parts.path != CALLBACK_PATH or not owner.receive(parts.query):
            # The same page for a wrong path, a wrong state and a second visit: nothing to learn from it.
            self._page(404, "Nothing here", "No sign-in is waiting for this address.")
            return
        try:
            self._page(200, "Back to the terminal", "You can close this page: the terminal has what it needs.")
        finally:
            owner.announce()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer other methods, and what is not HTTP, with the same bare page."""
        self._page(code, message or "Error", explain or "This address only takes a sign-in's return.")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing: the request line holds the code."""

    def _page(self, status: int, title: str, text: str) -> None:
        title, text = html.escape(title), html.escape(text)
        body = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
            f"<h1>{title}</h1><p>{text}</p></html>\n"
        ).encode()
        self.send_response(status)
        for name, value in (
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(len(body))),
            (
                "Content-Security-Policy",
                "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            ),
            ("Cache-Control", "no-store"),
            # The address bar holds the code; it goes nowhere from here.
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("Connection", "close"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _bind(port: int, owner: CallbackServer) -> list[_Server]:
    """Return servers on every loopback address of this machine, or none when one of them is taken.

    A port of which another program holds one address is taken: the browser could carry the code to that program.
    """
    servers: list[_Server] = []
    for family, address in _ADDRESSES:
        if not _is_available(family, address):
            continue
        try:
            if _is_listening(family, address, port):
                raise OSError("taken")
            servers.append(_Server(family, address, port, owner))
        except OSError:
            for server in servers:
                server.server_close()
            return []
    return servers


def _is_available(family: socket.AddressFamily, address: str) -> bool:
    """Return whether this machine has *address* at all; containers often lack IPv6."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _is_listening(family: socket.AddressFamily, address: str, port: int) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0
