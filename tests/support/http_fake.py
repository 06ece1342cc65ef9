"""An HTTP/1.1 server on a loopback port; a function of the test answers each request."""

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes:
        method: As sent.
        target: Path and query, as sent.
        headers: By name, in any case.
        body: By its ``Content-Length``.
    """

    method: str
    target: str
    headers: Message
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass(frozen=True)
class Answer:
    """What to answer.

    Attributes:
        status: The status code.
        body: At once, or piece by piece.
        headers: ``Content-Length`` is filled in. One that is given may be wrong: the connection ends after the body.
    """

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(document: Any, status: int = 200, **headers: str) -> Answer:
    """Answer with JSON; an underscore in a header's name stands for a dash."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps(document).encode(), {"content-type": "application/json", **named})


class HttpFake:
    """The server; a context manager.

    Attributes:
        url: Without a slash at its end.
        port: On 127.0.0.1.
        connections: How many were accepted.
        ended: Set once it stops, for answers that wait.
    """

    def __init__(self, answer: Callable[[Asked], Answer | None]) -> None:
        """Start to serve.

        Args:
            answer: Returns what to answer, in a thread of the connection's; None closes it without a word.
        """
        self.connections = 0
        self.ended = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                fake.connections += 1
                super().setup()

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                found = answer(Asked(self.command, self.path, self.headers, body))
                try:
                    self._send(found)
                except OSError:  # the client did not wait
                    self.close_connection = True

            def _send(self, found: Answer | None) -> None:
                if found is None:
                    self.close_connection = True
                    return
                pieces = [found.body] if isinstance(found.body, bytes) else found.body
                self.send_response(found.status)
                for name, value in found.headers.items():
                    self.send_header(name, value)
                if "content-length" in map(str.lower, found.headers):
                    self.close_connection = True
                else:
                    pieces = list(pieces)
                    self.send_header("Content-Length", str(sum(map(len, pieces))))
                self.end_headers()
                for piece in pieces if self.command != "HEAD" else ():
                    self.wfile.write(piece)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = _answer  # noqa: N815  the library's names

            def log_message(self, *_: object) -> None:
                """Be silent."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let waiting answers go, and accept no more; may be called twice."""
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
