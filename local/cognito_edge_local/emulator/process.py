"""Start and stop the AWS emulator (ministack) as a child process, shut in: own user, own folders, own environment.

Its root user's key is ministack's public constant, ``test``. On Linux only this user's programs can connect (``peer.py``).
Where the system does not tell whose a connection is, the key is random at each start, and nothing passes without one.
"""

import asyncio
import contextlib
import functools
import hashlib
import hmac
import http.client
import json
import os
import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from cognito_edge_local.launcher import ports, processes
from cognito_edge_local.launcher.state_folder import make_private_folder

REGION = "us-east-1"
ACCOUNT_ID = "000000000000"
_PROGRAM = Path(__file__).with_name("program.py")
_READY_PATH = "/_ministack/ready"
# ``program.py`` answers these two.
_PROOF_PATH = "/_gateway/proof/"
ROTATE_KEYS_PATH = "/_gateway/rotate-keys/"
"""``POST`` with a pool id behind it: that pool forgets its signing keys."""
_START_LIMIT_S = 30.0
_ASK_LIMIT_S = 2.0
_POLL_S = 0.01
_STOP_GRACE_S = 2.0  # it takes 0.03 s, and sometimes ignores SIGTERM
_SESSION_LOCK = threading.Lock()


class EmulatorError(Exception):
    """The emulator did not start; the message has the end of its log."""


@dataclass(frozen=True)
class RootKey:
    """The access key of the emulator's root user."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)

    @property
    def is_secret(self) -> bool:
        """Whether it is a random one, which keeps others out."""
        return self != PUBLIC_KEY

    @property
    def authorization(self) -> bytes:
        """The ``Authorization`` of a call outside of AWS's APIs; the emulator does not check root's signature."""
        return f"AWS4-HMAC-SHA256 Credential={self.access_key_id}/".encode()


PUBLIC_KEY = RootKey("test", "test")
"""The constant of ministack."""


def new_key() -> RootKey:
    """Return a random key."""
    return RootKey(f"AKIA{secrets.token_hex(20).upper()}", secrets.token_urlsafe(30))


@dataclass(frozen=True)
class Emulator:
    """The running emulator.

    Attributes:
        port: Its port on 127.0.0.1.
        folder: Where it writes; emptied at every start and removed at every stop.
        child: Its process.
        key: Its root user's.
    """

    port: int
    folder: Path
    child: processes.Child
    key: RootKey = PUBLIC_KEY

    @property
    def url(self) -> str:
        """The endpoint of every emulated service."""
        return endpoint_url(self.port)

    def client(self, service: str) -> Any:
        """Return a boto3 client of *service* as the emulator's root user."""
        return root_client(service, self.url, key=self.key)

    async def stop(self) -> None:
        """Stop it and everything it started, and remove what it wrote."""
        await self.child.stop(_STOP_GRACE_S)
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)


def endpoint_url(port: int) -> str:
    """Return the URL of an emulator on *port*."""
    return f"http://{ports.HOST}:{port}"


def root_client(
    service: str, url: str, *, key: RootKey = PUBLIC_KEY, max_connections: int = 10, read_timeout_s: float = 60.0
) -> Any:
    """Return a boto3 client of *service* on the emulator at *url*, as its root user. May be called from any thread.

    Everything is explicit, so that neither the developer's AWS profile nor their environment has any effect: a real
    account must never get a request meant for the emulator, nor the other way round.
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
        return _session(key).client(service, endpoint_url=url, config=config)


@functools.cache
def _session(key: RootKey) -> boto3.session.Session:
    """Return the one session, whose loaded API models all clients share, blind to the machine's AWS settings."""
    # Name of the variable: (key in the config file, environment variables, default, conversion).
    blind: dict[str, Any] = {"profile": (None, [], None, None), "config_file": (None, [], os.devnull, None)}
    return boto3.session.Session(
        key.access_key_id,
        key.secret_access_key,
        region_name=REGION,
        botocore_session=botocore.session.Session(blind),
    )


def environment(port: int, folder: Path, key: RootKey = PUBLIC_KEY, proof_key: str = "") -> dict[str, str]:
    """Return the emulator's whole environment.

    Args:
        port: The port to listen on.
        folder: Where it may write.
        key: The root user's.
        proof_key: With this it proves to be the emulator.
    """
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONNOUSERSITE": "1",
        "GATEWAY_PROOF_KEY": proof_key,
        "GATEWAY_PORT": str(port),
        "BIND_HOST": ports.HOST,  # its default is 0.0.0.0
        "MINISTACK_HOST": ports.HOST,
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
        # What it would open besides its port: an MQTT broker on 0.0.0.0:8883, on by default, and an SFTP server.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # It removes containers that it takes for its own from any Docker daemon it finds: it must not find one.
        "DOCKER_HOST": f"unix://{folder}/no-docker",
        "LAMBDA_EXECUTOR": "local",
        "PERSIST_STATE": "0",
        "S3_PERSIST": "0",
        "S3_DATA_DIR": str(folder / "s3"),
        "STATE_DIR": str(folder / "state"),
        "LOG_LEVEL": "WARNING",
    }


async def start(python: Path, state: Path, port: int, key: RootKey = PUBLIC_KEY) -> Emulator:
    """Start the emulator and wait until it answers.

    Args:
        python: The interpreter of its own environment.
        state: The system's state folder.
        port: Where to listen; free, see ``ports.reserve``.
        key: The root user's. With the public one it accepts connections of this user alone; with a secret one it accepts
            any, and answers those that have a key.

    Raises:
        EmulatorError: It ended, or did not answer in time.
    """
    folder = state / "emulator"
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)  # a killed run's functions and keys
    make_private_folder(folder)
    proof_key = secrets.token_urlsafe()
    child = await processes.start(
        "emulator",
        # -I: neither this folder nor the developer's PYTHON* variables may change what it imports.
        [str(python), "-I", "-X", "utf8", str(_PROGRAM), *(["by-key"] if key.is_secret else [])],
        environment=environment(port, folder, key, proof_key),
        log=state / "emulator.log",
        cwd=folder,
        grace_s=_STOP_GRACE_S,
    )
    try:
        await _wait_until_ready(child, port, proof_key)
    except BaseException:
        await child.stop(_STOP_GRACE_S)
        raise
    return Emulator(port, folder, child, key)


async def _wait_until_ready(child: processes.Child, port: int, proof_key: str) -> None:
    give_up = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < give_up:
        if not child.running:
            raise EmulatorError(f"The emulator ended at once. The end of {child.log}:\n{processes.tail(child.log)}")
        if await asyncio.to_thread(_ready, port, proof_key):
            return
        await asyncio.sleep(_POLL_S)
    raise EmulatorError(f"The emulator did not answer within {_START_LIMIT_S:.0f} s. See {child.log}.")


def _ready(port: int, proof_key: str) -> bool:
    """Ask once whether it is ready; another program, which took the port before the emulator could, never is."""
    nonce = secrets.token_hex(16)
    proof = hmac.new(proof_key.encode(), nonce.encode(), hashlib.sha256).hexdigest()
    with contextlib.closing(http.client.HTTPConnection(ports.HOST, port, timeout=_ASK_LIMIT_S)) as connection:
        try:
            connection.request("GET", _READY_PATH)
            answer = connection.getresponse()
            ready = json.loads(answer.read())["status"] == "completed" and answer.status == http.HTTPStatus.OK
            connection.request("GET", _PROOF_PATH + nonce)
            return ready and hmac.compare_digest(connection.getresponse().read(), proof.encode())
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            return False
