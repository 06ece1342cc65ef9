"""Another user of the machine, for tests of what such a user gets."""

import json
import os
import subprocess
from pathlib import Path

import pytest

NOBODY = 65_534

only_root_can_play_one = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can run a program as another user; the tests with a pretended uid say the same"
)

ASK = """
import http.client, json, os, sys
assert os.geteuid() == {uid}
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
try:
    connection.request(sys.argv[2], sys.argv[3], sys.stdin.buffer.read() or None, json.loads(sys.argv[4]))
    answer = connection.getresponse()
    print(json.dumps([answer.status, answer.read().decode("latin-1")]))
except OSError as error:
    print(json.dumps([0, type(error).__name__]))
"""
"""One request, with the standard library alone: a stranger cannot read the project's environment."""


def pretend(monkeypatch) -> None:
    """Let this process take itself for another user: the kernel's word is real, and every connection a stranger's."""
    mine = os.geteuid()
    monkeypatch.setattr("cognito_edge_local.peer.os.geteuid", lambda: mine + 1)


def run(code: str, *arguments: str, stdin: bytes = b"") -> str:
    """Run Python code as another user, whose home and folder are readable to all; return what it prints."""
    command = [str(interpreter()), "-I", "-c", code, *arguments]
    options = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "cwd": "/", "env": {}, "timeout": 60}
    return subprocess.run(command, input=stdin, capture_output=True, check=True, **options).stdout.decode()


def ask(port: int, method: str = "GET", path: str = "/", headers: dict | None = None, body: bytes = b"") -> tuple:
    """Send a request as another user; return status and body, or 0 and the error's name."""
    arguments = (str(port), method, path, json.dumps(headers or {}))
    return tuple(json.loads(run(ASK.format(uid=NOBODY), *arguments, stdin=body)))


def interpreter() -> Path:
    """Return a Python that others may run: one in /root is not."""
    for name in ("/usr/bin/python3", "/usr/local/bin/python3"):
        if Path(name).exists():
            return Path(name)
    pytest.fail("no python3 that another user may run; install it (Debian: apt-get install python3)")
