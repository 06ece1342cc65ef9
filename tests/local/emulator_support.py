"""One emulator for the tests of a module, started the way the launcher starts it."""

import contextlib
from pathlib import Path

from local import emulator, ports
from local.build import PROJECT
from tests.local.loop_thread import LoopThread

PYTHON = PROJECT / ".venv-emulator" / "bin" / "python"
ANY_PORT = ports.PortRequest(0, "the emulator", "--emulator-port")


@contextlib.contextmanager
def running_emulator(state: Path):
    """Start an emulator with its files in *state*; stop it afterwards."""
    with LoopThread() as loop:
        running = loop.run(emulator.start(PYTHON, state, ports.reserve(ANY_PORT)))
        try:
            yield running
        finally:
            loop.run(running.stop())
