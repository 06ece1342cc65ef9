"""Run scripts/ without waiting for their imports: as forks of a process that has the AWS SDK loaded already.

What a person would see is as it is: a process of the script's own, started from its file, with its arguments, folder,
environment, standard streams, session and exit status. Only a fresh interpreter's start and third-party imports are
missing, half a second each time; the tests of those start one themselves.

``python -m tests.support.forked_scripts FD`` is the process that forks; ``run`` starts it when it is first needed, and it goes when
its end of the socket closes.
"""

import atexit
import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[2]
_ONE_AT_A_TIME = threading.Lock()
_SERVICES = ("cloudformation", "cloudfront", "cognito-idp", "iam", "lambda", "s3", "ssm", "sts")


def run(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: str = "", timeout_s: float = 60
) -> subprocess.CompletedProcess:
    """Run the script ``argv[0]`` with the arguments behind it, in a session of its own, and wait for its end."""
    request = json.dumps({"argv": list(argv), "cwd": str(cwd), "environment": dict(env)}).encode()
    with (
        _ONE_AT_A_TIME,
        tempfile.TemporaryFile() as into,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        into.write(stdin.encode())
        into.seek(0)
        parent = _parent()
        socket.send_fds(parent, [len(request).to_bytes(4, "big")], [stream.fileno() for stream in (into, out, err)])
        parent.sendall(request)
        pid = _number(parent)
        parent.settimeout(timeout_s)
        try:
            status = _number(parent)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            parent.settimeout(None)
            _number(parent)
            raise subprocess.TimeoutExpired(list(argv), timeout_s) from None
        parent.settimeout(None)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(argv, status, out.read().decode(), err.read().decode())


@cache
def _parent() -> socket.socket:
    """Start the process that forks, and return the way to it."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forked_scripts", str(theirs.fileno())],
            cwd=_PROJECT,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _number(parent: socket.socket) -> int:
    data = parent.recv(4, socket.MSG_WAITALL)
    assert len(data) == 4, "the process that forks scripts has ended"
    return int.from_bytes(data, "big", signed=True)


def _import_the_sdk() -> None:
    """Import what scripts import, and read the models of what they call; nothing of the project's own."""
    import boto3
    import botocore.session
    import click  # noqa: F401
    import jose.jwt  # noqa: F401
    import requests  # noqa: F401

    load = botocore.session.create_loader
    loader = load(None)
    botocore.session.create_loader = lambda search_path_string=None: (
        loader if search_path_string is None else load(search_path_string)
    )
    session = boto3.Session("x", "x", region_name="us-east-1")
    for service in _SERVICES:
        session.client(service)


def _fork_for_requests(client: socket.socket) -> list[str]:
    """Fork for each request, and say its process id and its status; return, in the fork, the script and its arguments."""
    while True:
        head, descriptors, _, _ = socket.recv_fds(client, 4, 3)
        if not head:
            os._exit(0)
        request = json.loads(client.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL))
        pid = os.fork()
        if pid == 0:
            client.close()
            os.setsid()
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
                os.close(descriptor)
            os.chdir(request["cwd"])
            os.environ.clear()
            os.environ.update(request["environment"])
            return request["argv"]
        for descriptor in descriptors:
            os.close(descriptor)
        client.sendall(pid.to_bytes(4, "big", signed=True))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        client.sendall(status.to_bytes(4, "big", signed=True))


if __name__ == "__main__":
    _import_the_sdk()
    gc.freeze()
    sys.argv = _fork_for_requests(socket.socket(fileno=int(sys.argv[1])))
    # As for ``python FILE``: its folder comes first, and whatever it ends with is the interpreter's to answer.
    script = Path(sys.argv[0]).absolute()
    sys.path[0] = str(script.resolve().parent)
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__file__ = str(script)
    exec(compile(script.read_bytes(), main.__file__, "exec"), vars(main))  # noqa: S102 - runpy would change argv[0]
