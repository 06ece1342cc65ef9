"""A small curl for machines that have none: as much of it as the tests and the README's lines use.

``tests/conftest.py`` puts it on the PATH there, so that ``make test`` needs Python, venv and make alone. Where there is a curl,
the tests use that one, and ``tests/docs/test_curl.py`` compares the two. An option that it does not know ends it, as curl's own
unknown ones do.
"""

import http.client
import re
import shlex
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, urlsplit

# What curl's manual calls them.
FAILED_INIT, MALFORMED_URL, CANNOT_CONNECT, TIMED_OUT, RECEIVE_ERROR = 2, 3, 7, 28, 56

_LONG = {
    "--data": "-d",
    "--globoff": "-g",
    "--head": "-I",
    "--header": "-H",
    "--include": "-i",
    "--request": "-X",
    "--silent": "-s",
    "--show-error": "-S",
    "--config": "-K",
    "--max-time": "-m",
}
# Each as if it had been given: this curl leaves paths and brackets alone, and shows no progress.
_SWITCHES = frozenset({"-g", "-I", "-i", "-s", "-S", "--path-as-is"})
_WITH_VALUE = frozenset({"-d", "-H", "-X", "-K", "-m", "--data-binary"})


@dataclass
class Request:
    """What the command line asks for."""

    url: str = ""
    method: str = ""
    headers: list[str] = field(default_factory=list)
    data: bytes | None = None
    max_time_s: float | None = None
    include: bool = False
    head: bool = False


def put_into(folder: Path) -> Path:
    """Make a command ``curl`` in *folder* that runs this file, and return it."""
    command = folder / "curl"
    # Isolated, without site-packages: it needs the standard library alone, and starts in half the time.
    words = shlex.join([sys.executable, "-I", "-S", str(Path(__file__).resolve())])
    command.write_text(f'#!/bin/sh\nexec {words} "$@"\n', "utf-8")
    command.chmod(0o755)
    return command


def fail(status: int, message: str) -> NoReturn:
    """End as curl does."""
    print(f"curl: ({status}) {message}", file=sys.stderr)
    raise SystemExit(status)


def parse(arguments: list[str]) -> Request:
    """Read the command line."""
    request = Request()
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            request.url = word
            continue
        for option in _options(word):
            if option in _WITH_VALUE:
                _take(request, option, next(words, None) or fail(FAILED_INIT, f"option {word}: requires parameter"))
            elif option in _SWITCHES:
                request.include |= option in ("-i", "-I")
                request.head |= option == "-I"
            else:
                fail(FAILED_INIT, f"option {word}: is unknown to tests/support/curl.py")
    return request


def _options(word: str) -> list[str]:
    """Take ``-sS`` apart, and give long names their short ones."""
    return [_LONG.get(word, word)] if word.startswith("--") else [f"-{letter}" for letter in word[1:]]


def _take(request: Request, option: str, value: str) -> None:
    match option:
        case "-X":
            request.method = value
        case "-m":
            request.max_time_s = float(value)
        case "-H":
            request.headers += sys.stdin.read().splitlines() if value == "@-" else [value]
        case "-K":
            config = sys.stdin.read() if value == "-" else Path(value).read_text(encoding="utf-8")
            request.headers += re.findall(r'^header = "(.*)"$', config, re.MULTILINE)
        case "--data-binary" if value.startswith("@"):
            request.data = Path(value[1:]).read_bytes()
        case _ if value.startswith("@"):
            fail(FAILED_INIT, f"option {option}: takes no file in tests/support/curl.py")
        case _:
            request.data = value.encode("utf-8", "surrogateescape")


def message(request: Request) -> bytes:
    """Return the request as it goes over the wire."""
    parts = urlsplit(request.url)
    # As curl: bytes beyond ASCII are escaped in the path, with small letters, and left alone in the query.
    path = re.sub(r"[^\x00-\x7f]+", lambda match: quote(match[0]).lower(), parts.path) or "/"
    target = path + (f"?{parts.query}" if "?" in request.url.partition("#")[0] else "")
    method = request.method or ("HEAD" if request.head else "GET" if request.data is None else "POST")
    headers = {"Host": parts.netloc, "User-Agent": "curl/0 (tests/support/curl.py)", "Accept": "*/*"}
    if request.data is not None:
        headers |= {"Content-Length": str(len(request.data)), "Content-Type": "application/x-www-form-urlencoded"}
    given = [line.partition(":") for line in request.headers if ":" in line]
    replaced = {name.lower() for name, _, _ in given}
    lines = [f"{name}: {value}" for name, value in headers.items() if name.lower() not in replaced]
    lines += [f"{name}: {value.strip()}" for name, _, value in given if value.strip()]
    lines += [f"{line[:-1]}:" for line in request.headers if ":" not in line and line.endswith(";")]
    head = "".join(f"{line}\r\n" for line in (f"{method} {target} HTTP/1.1", *lines, ""))
    return head.encode("utf-8", "surrogateescape") + (request.data or b"")


def main(arguments: list[str]) -> int:
    """Send the request, and print the answer."""
    request = parse(arguments)
    parts = urlsplit(request.url)
    if parts.scheme != "http" or not parts.hostname:
        fail(MALFORMED_URL, f"expected an http URL; it is {request.url!r}")
    sent = message(request)
    try:
        connection = socket.create_connection((parts.hostname, parts.port or 80), request.max_time_s)
    except OSError:
        fail(CANNOT_CONNECT, f"Failed to connect to {parts.hostname} port {parts.port or 80}")
    with connection:
        try:
            connection.sendall(sent)
            answer = http.client.HTTPResponse(connection, method=sent.partition(b" ")[0].decode())
            answer.begin()
            body = answer.read()
        except TimeoutError:
            fail(TIMED_OUT, "Operation timed out")
        except (OSError, http.client.HTTPException) as error:
            fail(RECEIVE_ERROR, f"Failure when receiving data: {error!r}")
    if request.include:
        lines = [
            f"HTTP/1.1 {answer.status} {answer.reason}",
            *(f"{name}: {value}" for name, value in answer.getheaders()),
        ]
        sys.stdout.buffer.write("".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1"))
    sys.stdout.buffer.write(body)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
