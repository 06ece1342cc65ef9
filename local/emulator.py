"""Start and stop the AWS emulator (ministack) as a child process, shut in: loopback, own folders, own environment."""

import asyncio
import functools
import json
import os
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from local import ports, processes
from local.state_folder import make_private_folder

REGION = "us-east-1"
ACCOUNT_ID = "000000000000"
ROOT_ACCESS_KEY_ID = "test"
"""The emulator's root user: a public constant of ministack, which is why nothing but loopback may reach it."""
ROOT_SECRET_ACCESS_KEY = "test"

_PROGRAM = Path(__file__).with_name("_emulator_main.py")
_READY_PATH = "/_ministack/ready"
ROTATE_KEYS_PATH = "/_gateway/rotate-keys/"
"""`POST` with a pool id behind it: that pool forgets its signing keys (`_emulator_main.py` takes it)."""
_START_LIMIT_S = 30.0
_POLL_S = 0.01
_STOP_GRACE_S = 2.0  # it takes 0.03 s, and once in a while it ignores SIGTERM
_SESSION_LOCK = threading.Lock()


class EmulatorError(Exception):
    """The emulator did not start; the message has the end of its log."""


@dataclass(frozen=True)
class Emulator:
    """The running emulator.

    Attributes:
        port: Its port on 127.0.0.1.
        folder: Where it writes; emptied with every start and removed with every stop, for nothing in it is to last.
        child: Its process.
    """

    port: int
    folder: Path
    child: processes.Child

    @property
    def url(self) -> str:
        """The endpoint of every emulated service."""
        return endpoint_url(self.port)

    def client(self, service: str) -> Any:
        """Return a boto3 client of *service* as the emulator's root user."""
        return root_client(service, self.url)

    async def stop(self) -> None:
        """Stop it and everything it started, and remove what it wrote."""
        await self.child.stop(_STOP_GRACE_S)
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)


def endpoint_url(port: int) -> str:
    """Return the URL of an emulator on *port*."""
    return f"http://{ports.HOST}:{port}"


def root_client(service: str, url: str, *, max_connections: int = 10, read_timeout_s: float = 60.0) -> Any:
    """Return a boto3 client of *service* on the emulator at *url*, as its root user. May be called from any thread.

    Everything is explicit, so that neither the developer's AWS profile nor their environment has any effect: the
    session of a developer with a real account must never get a request meant for the emulator, nor the other way round.
    """
    config = Config(
        connect_timeout=2,
        read_timeout=read_timeout_s,
        retries={"max_attempts": 0},
        max_pool_connections=max_connections,
        proxies={},
        s3={"addressing_style": "path"},
    )
    with _SESSION_LOCK:  # a client may be used from any thread; making one is not thread-safe
        return _session().client(service, endpoint_url=url, config=config)


@functools.cache
def _session() -> boto3.session.Session:
    """Return the one session, whose loaded API models all clients share, blind to the machine's AWS settings."""
    # Name of the variable: (key in the config file, environment variables, default, conversion).
    blind: dict[str, Any] = {"profile": (None, [], None, None), "config_file": (None, [], os.devnull, None)}
    return boto3.session.Session(
        ROOT_ACCESS_KEY_ID,
        ROOT_SECRET_ACCESS_KEY,
        region_name=REGION,
        botocore_session=botocore.session.Session(blind),
    )


def environment(port: int, folder: Path) -> dict[str, str]:
    """Return the emulator's whole environment.

    Args:
        port: The port it is to listen on.
        folder: Where it may write.
    """
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONNOUSERSITE": "1",
        "GATEWAY_PORT": str(port),
        "BIND_HOST": ports.HOST,  # its default is 0.0.0.0
        "MINISTACK_HOST": ports.HOST,
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": ROOT_ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": ROOT_SECRET_ACCESS_KEY,
        # What it would open besides its port: an MQTT broker on 0.0.0.0:8883, on by default, and an SFTP server.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # It removes containers that it takes for its own from any Docker daemon it finds: it is to find none.
        "DOCKER_HOST": f"unix://{folder}/no-docker",
        "LAMBDA_EXECUTOR": "local",
        "PERSIST_STATE": "0",
        "S3_PERSIST": "0",
        "S3_DATA_DIR": str(folder / "s3"),
        "STATE_DIR": str(folder / "state"),
        "LOG_LEVEL": "WARNING",
    }


async def start(python: Path, state: Path, port: int) -> Emulator:
    """Start the emulator and wait until it answers.

    Args:
        python: The interpreter of its own environment.
        state: The system's state folder.
        port: Where to listen; free, see `ports.reserve`.

    Raises:
        EmulatorError: It ended, or did not answer in time.
    """
    folder = state / "emulator"
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)  # a killed run's functions and keys
    make_private_folder(folder)
    child = await processes.start(
        "emulator",
        # -I: neither this folder nor the developer's PYTHON* variables may change what it imports.
        [str(python), "-I", "-X", "utf8", str(_PROGRAM)],
        environment=environment(port, folder),
        log=state / "emulator.log",
        cwd=folder,
        grace_s=_STOP_GRACE_S,
    )
    try:
        await _wait_until_ready(child, port)
    except BaseException:
        await child.stop(_STOP_GRACE_S)
        raise
    return Emulator(port, folder, child)


async def _wait_until_ready(child: processes.Child, port: int) -> None:
    give_up = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < give_up:
        if not child.running:
            raise EmulatorError(f"The emulator ended at once. The end of {child.log}:\n{processes.tail(child.log)}")
        if await _ready(port):
            return
        await asyncio.sleep(_POLL_S)
    raise EmulatorError(f"The emulator did not answer within {_START_LIMIT_S:.0f} s. See {child.log}.")


async def _ready(port: int) -> bool:
    """Ask once whether it is ready."""
    try:
        reader, writer = await asyncio.open_connection(ports.HOST, port)
    except OSError:
        return False
    try:
        request = f"GET {_READY_PATH} HTTP/1.1\r\nHost: {ports.HOST}:{port}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        answer = await asyncio.wait_for(reader.read(65_536), 2.0)
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        return False
    try:
        return bool(json.loads(body)["status"] == "completed")
    except (ValueError, KeyError, TypeError):
        return False
