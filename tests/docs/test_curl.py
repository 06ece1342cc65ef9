"""tests/support/curl.py against the real one: it may stand in for it where there is none."""

import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from tests.support import curl

ANSWER = (
    b"HTTP/1.1 403 Forbidden\r\nX-Case: Kept\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nTransfer-Encoding: chunked\r\n"
    b"Connection: close\r\n\r\n3\r\n\x00\xffx\r\n4\r\ny\r\nz\r\n0\r\n\r\n"
)
NO_CONTENT = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


# Where there is none, tests/conftest.py has put the stand-in, a shell script, on the PATH.
REAL = next((path for path in [shutil.which("curl")] if path and Path(path).read_bytes()[:2] != b"#!"), None)


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """The command."""
    return str(curl.put_into(tmp_path_factory.mktemp("curl")))


@pytest.fixture
def server():
    """A server that keeps what it is sent, and answers what it is told to; (port, answers, requests)."""
    listener = socket.create_server(("127.0.0.1", 0))
    answers, requests = [], []

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                data = connection.recv(65_536)
                head, _, body = data.partition(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0
                )
                while len(body) < length:
                    body += connection.recv(65_536)
                requests.append((head.split(b"\r\n"), body))
                connection.sendall(answers.pop(0))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], answers, requests
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def run(command, port, arguments, stdin=b""):
    """Run one of the two, in the tests' own way."""
    arguments = [argument.replace("PORT", str(port)) for argument in arguments]
    return subprocess.run([command, *arguments], input=stdin, capture_output=True, check=False)


@pytest.mark.skipif(REAL is None, reason="this machine has no curl to compare with")
@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (["-i", "http://127.0.0.1:PORT/api/whoami"], b""),
        (
            ["-s", "-i", "-g", "--path-as-is", "--max-time", "30", "-K", "-", "http://127.0.0.1:PORT/a"],
            b'header = "A: b"\n',
        ),
        (["-sS", "--globoff", "--path-as-is", "http://127.0.0.1:PORT/a/../%2E%2E//x?q=[1]&r=ö"], b""),
        (["-s", "-H", "@-", "http://127.0.0.1:PORT/?"], b"Authorization: Bearer x\n"),
        (["-s", "-i", "--head", "http://127.0.0.1:PORT/x"], b""),
        (["-s", "-X", "DELETE", "http://127.0.0.1:PORT"], b""),
        (["-s", "-d", "a=1\n", "http://127.0.0.1:PORT/x"], b""),
        (["-s", "--data-binary", "a=1\n", "-H", "Content-Type: text/plain", "http://127.0.0.1:PORT/x"], b""),
        (["-s", "-X", "PUT", "--data-binary", "@FILE", "-H", "content-type: x/y", "http://127.0.0.1:PORT/x"], b""),
        (["-s", "-H", "Accept:", "-H", "X-Empty;", "-H", "X: 1", "-H", "X: 2", "http://127.0.0.1:PORT/x#f"], b""),
    ],
)
def test_it_sends_and_prints_what_curl_does(stand_in, server, tmp_path, arguments, stdin):
    """The same request but for the user agent and the order of headers, the same output, the same status."""
    port, answers, requests = server
    upload = tmp_path / "upload"
    upload.write_bytes(bytes(range(256)) * 100)
    arguments = [argument.replace("FILE", str(upload)) for argument in arguments]
    answers += [ANSWER if "--head" not in arguments else NO_CONTENT] * 2
    theirs, ours = (run(command, port, arguments, stdin) for command in (REAL, stand_in))
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout) == (0, theirs.stdout)
    (their_head, their_body), (our_head, our_body) = requests
    assert our_head[0] == their_head[0]
    assert our_body == their_body
    their_lines, our_lines = (
        sorted(line for line in head[1:] if not line.lower().startswith(b"user-agent:"))
        for head in (their_head, our_head)
    )
    assert our_lines == their_lines


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--compressed", "http://127.0.0.1:PORT/"], 2),
        (["-H"], 2),
        (["https://127.0.0.1:PORT/"], 3),
        (["http://127.0.0.1:1/"], 7),
    ],
)
def test_what_it_cannot_do_ends_it(stand_in, server, arguments, status):
    """With curl's exit status, and a word about why; never with an answer that nobody gave."""
    done = run(stand_in, server[0], arguments)
    assert done.returncode == status
    assert done.stderr.startswith(f"curl: ({status}) ".encode())
    assert not done.stdout


@pytest.mark.parametrize(("answer", "status"), [(b"", 56), (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 56)])
def test_half_an_answer_is_none(stand_in, server, answer, status):
    """As for curl."""
    server[1].append(answer)
    done = run(stand_in, server[0], ["-s", "http://127.0.0.1:PORT/"])
    assert (done.returncode, done.stdout) == (status, b"")
