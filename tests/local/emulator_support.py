"""One emulator for the tests of a module, started the way the launcher starts it."""

import contextlib
from pathlib import Path

from cognito_edge_local.emulator import process as emulator
from cognito_edge_local.launcher import ports
from cognito_edge_local.launcher.places import CHECKOUT

from tests.local.loop_thread import LoopThread

PYTHON = CHECKOUT / ".venv-emulator" / "bin" / "python"
BY_PUBLIC_KEY = "AWS4-HMAC-SHA256 Credential=test/20261130/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"
"""What a caller can write without any secret: ministack does not check root's signature. ``{}`` is the service."""

ANY_PORT = ports.PortRequest(0, "the emulator", "--emulator-port")


@contextlib.contextmanager
def running_emulator(state: Path, key: emulator.RootKey = emulator.PUBLIC_KEY):
    """Start an emulator with its files in *state*; stop it afterwards."""
    with LoopThread() as loop:
        running = loop.run(emulator.start(PYTHON, state, ports.reserve(ANY_PORT), key))
        try:
            yield running
        finally:
            loop.run(running.stop())
