"""What every script shares with the person at the keyboard: messages, questions, exit statuses.

Standard output belongs to the answer alone (a token, a password, a list), so that `$(…)` and pipes get nothing else;
messages and questions go to standard error or to the terminal itself.
"""

import getpass
import os
import sys
from collections.abc import Callable

import requests
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class ScriptError(Exception):
    """Something the person can act on; the text says what was expected, what came, and what to do."""


class RefusedError(ScriptError):
    """The server understood and said no, so that asking again with the same values is pointless."""


def say(message: str) -> None:
    """Write *message* for the person, never for a pipe."""
    print(message, file=sys.stderr, flush=True)


def answer(text: str) -> None:
    """Write the script's answer, the only thing that goes to standard output."""
    print(text, flush=True)


def run(work: Callable[[], int]) -> int:
    """Return what *work* returns, or the exit status of how it failed, having said why.

    Unknown exceptions pass: a traceback is the right report of a bug. None of ours holds a secret in its text.
    """
    try:
        return work()
    except ScriptError as error:
        say(f"error: {error}")
    except KeyboardInterrupt:
        say("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader went away. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ProfileNotFound as error:
        say(f"error: {error}. Name an existing one with --profile or AWS_PROFILE.")
    except (NoCredentialsError, PartialCredentialsError) as error:
        say(f"error: {error}. Sign in to AWS first (`aws sso login`, --profile or AWS_PROFILE), or use --local.")
    except EndpointConnectionError as error:
        say(f"error: {error} Is the network up, and for --local, is `make run` still running?")
    except ClientError as error:
        say(f"error: AWS refused {error.operation_name}: {aws_message(error)}")
    except BotoCoreError as error:
        say(f"error: {error}")
    except requests.RequestException as error:
        where = error.request.url.partition("?")[0] if error.request is not None and error.request.url else "the server"
        say(f"error: no answer from {where} ({type(error).__name__}). For --local, is `make run` still running?")
    return EXIT_FAILED


def aws_code(error: ClientError) -> str:
    """Return AWS's name of *error*, for example `NotAuthorizedException`."""
    return str(error.response.get("Error", {}).get("Code", "Unknown"))


def aws_message(error: ClientError) -> str:
    """Return AWS's name of *error* and its own words."""
    return f"{aws_code(error)}: {error.response.get('Error', {}).get('Message', 'no message')}"


class Questions:
    """Ask the person, or take the answers from standard input line by line when a program gives them there.

    A class because standard input is used up as it is read: the password is its first line, and the answers to later
    challenges (a new password, a code) are the next ones.
    """

    def __init__(self, *, from_stdin: bool) -> None:
        self.from_stdin = from_stdin

    def secret(self, prompt: str) -> str:
        """Return the answer to *prompt*, typed without an echo.

        Raises:
            ScriptError: There is nobody to ask, or the answer was empty.
        """
        if self.from_stdin:
            return self._line(prompt)
        _need_terminal(prompt)
        return _not_empty(getpass.getpass(f"{prompt}: "), prompt)

    def new_secret(self, prompt: str) -> str:
        """Return a new secret; a person types it twice, a program gives it once.

        Raises:
            ScriptError: There is nobody to ask, or two different ones were typed three times over.
        """
        if self.from_stdin:
            return self._line(prompt)
        for _ in range(3):
            first = self.secret(prompt)
            if first == self.secret(f"{prompt} (again)"):
                return first
            say("The two differ; once more.")
        raise ScriptError(f"{prompt}: the two entries differed three times; nothing was changed.")

    def text(self, prompt: str) -> str:
        """Return the answer to *prompt*, typed with an echo.

        Raises:
            ScriptError: There is nobody to ask, or the answer was empty.
        """
        if self.from_stdin:
            return self._line(prompt)
        _need_terminal(prompt)
        # Not input(): it writes its prompt to standard output, which is where the token goes.
        with open("/dev/tty", "r+b", buffering=0) as terminal:  # noqa: PTH123 - Path.open refuses unbuffered r+b
            terminal.write(f"{prompt}: ".encode())
            typed = b""
            while not typed.endswith(b"\n"):
                piece = terminal.read(1024)
                if not piece:
                    break
                typed += piece
        return _not_empty(typed.decode(errors="replace").strip(), prompt)

    @staticmethod
    def _line(prompt: str) -> str:
        line = sys.stdin.readline()
        return _not_empty(line.removesuffix("\n").removesuffix("\r"), f"{prompt} (from standard input, one line)")


def has_terminal() -> bool:
    """Return whether a person can be asked, even when standard input and output are pipes."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _need_terminal(prompt: str) -> None:
    if not has_terminal():
        raise ScriptError(f"{prompt}: there is no terminal to ask at. Give it on standard input with --password-stdin.")


def _not_empty(text: str, prompt: str) -> str:
    if not text:
        raise ScriptError(f"{prompt}: expected some text, got none.")
    return text
