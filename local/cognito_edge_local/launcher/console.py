"""What the launcher says while it works: one line per finished step with its seconds, then one line per request."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from .state_folder import open_private


class StepNote:
    """What a step has to say when it is done."""

    text = ""


class Console:
    """Standard output and error of the launcher. A class, because `--quiet` and the start time belong to one run."""

    def __init__(self, *, quiet: bool) -> None:
        """Say nothing but errors if *quiet*."""
        self._quiet = quiet
        self._started = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since this run began."""
        return time.monotonic() - self._started

    def line(self, text: str = "") -> None:
        """Print a text, unless quiet."""
        if not self._quiet:
            _print(text, sys.stdout)

    def error(self, text: str) -> None:
        """Print a text on standard error, always."""
        _print(text, sys.stderr)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[StepNote]:
        """Print the line of a step when its block has ended well; steps may overlap."""
        note = StepNote()
        started = time.monotonic()
        yield note
        self.line(f"  {name:<9} {time.monotonic() - started:5.1f} s  {note.text}")


def _print(text: str, stream: TextIO) -> None:
    """Print, or go silent when nobody reads any more (`make run | head`, a closed terminal): no reason to break down."""
    try:
        print(text, file=stream, flush=True)
    except OSError:
        # What is still buffered would fail again when the interpreter ends.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


class EdgeLog:
    """The edge function's log lines, in a private file; what is no JSON goes to the console as well.

    The gateway logs one JSON object per request. Anything else is a print or a traceback, which a developer has to see.
    """

    def __init__(self, path: Path, console: Console) -> None:
        """Empty the file, or make it, 0600."""
        self.path = path
        self._console = console
        self._handle = open_private(path)
        self._file = open(self._handle, "w", encoding="utf-8", buffering=1)  # noqa: PTH123, SIM115 - closed in `close`

    def write(self, line: str) -> None:
        """Take one line."""
        if not self._file.closed:
            self._file.write(line + "\n")
        if not line.startswith("{"):
            self._console.line(f"edge: {line}")

    def close(self) -> None:
        """Close the file; later lines are dropped."""
        self._file.close()
