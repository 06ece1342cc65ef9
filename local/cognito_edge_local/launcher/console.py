"""What the launcher prints: a line for each finished step, how to use the running system, a line for each request."""

import contextlib
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from . import places
from .state_folder import Outputs, StateFolder, open_private

# With any text before or behind: a JWT, a SigV4 signature, an access key's id, credentials of an HTTP scheme.
_TOKENS = re.compile(
    r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4}"
    r"|(?i:signature=[0-9a-f]{16,})"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"
    r"|(?i:\b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]{16,})"
)


class StepNote:
    """What a step has to say when it is done."""

    text = ""


class Console:
    """Standard output and error of one run."""

    def __init__(self, *, quiet: bool) -> None:
        """Print nothing but errors if *quiet*."""
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
    """Print, or go silent when the reader has gone (``make run | head``, a closed terminal)."""
    try:
        print(text, file=stream, flush=True)
    except OSError:
        # What is still buffered would fail again when the interpreter ends.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


class EdgeLog:
    """The edge function's log lines, in a private file; what is not JSON goes to the console as well.

    The gateway logs one JSON object per request. Anything else is a print or a traceback, which a developer has to see.
    """

    def __init__(self, path: Path, console: Console) -> None:
        """Empty the file, or make it, 0600."""
        self.path = path
        self._console = console
        self._handle = open_private(path)
        self._file = open(self._handle, "w", encoding="utf-8", buffering=1)  # noqa: PTH123, SIM115 - closed in ``close``

    def write(self, line: str) -> None:
        """Take one line."""
        if not self._file.closed:
            self._file.write(line + "\n")
        if not line.startswith("{"):
            self._console.line(f"edge: {line}")

    def close(self) -> None:
        """Close the file; later lines are dropped."""
        self._file.close()


def masked(size: int) -> str:
    """Return what stands for a secret of *size* bytes.

    >>> masked(1012)
    '[masked, 1,012 bytes]'
    """
    return f"[masked, {size:,} byte{'' if size == 1 else 's'}]"


def without_tokens(text: str) -> str:
    """Return a text in which nothing has the form of a token, a signature or a key.

    >>> without_tokens("see eyJhbGciOiJSUzI1NiJ9.e30.c2ln here")
    'see [masked, 29 bytes] here'
    """
    return _TOKENS.sub(lambda found: masked(len(found[0])), text)


def short(path: Path) -> str:
    """Return *path* as a person would type it here."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def how_to_use(outputs: Outputs, folder: StateFolder, elapsed_s: float, trace: str, *, with_page: bool) -> str:
    """Return the text that says what runs and what to type next."""
    python = "python" if shutil.which("python") else "python3"
    if folder.path != places.state_dir():  # where the scripts look unless they are told otherwise
        python = f"GATEWAY_STATE_DIR={shlex.quote(str(folder.path))} {python}"
    whoami = f"{outputs['gateway_url']}/api/whoami"
    urls = "\n".join(
        f"  function URL  {url}  ({name}; takes signed requests only)" for name, url in outputs["function_urls"].items()
    )
    file = shlex.quote(short(folder.outputs))
    page = f"""
Open {outputs["gateway_url"]}/ in a browser and sign in as {outputs["username"]}. The password: grep password {file}
"""
    return f"""
Ready after {elapsed_s:.1f} s.

  gateway       {outputs["gateway_url"]}
  sign-in       {outputs["login_url"]}
{urls}
  AWS emulator  {outputs["aws_endpoint_url"]}{f"  (access key in {file})" if "aws_access_key_id" in outputs else ""}
  demo user     {outputs["username"]}  (password in {file})
  trace         {trace}
                (every request on its way, live; the address is this run's secret)
{page if with_page else ""}
Type in another terminal, in the project's folder:

  curl -i {whoami}
      # 401: no token

  TOKEN=$({python} scripts/get_token.py --local)
  curl -i -H "Authorization: Bearer $TOKEN" {whoami}
      # 200, and who you are

  {python} scripts/get_token.py --local --header | curl -i -H @- {whoami}
      # the same, with the token kept out of the process list

Outages to try out, a wrong clock, new keys: {python} scripts/fault.py --help

Ctrl-C stops everything.
"""
