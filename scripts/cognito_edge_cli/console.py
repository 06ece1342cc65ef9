"""What every command shares with the person at the keyboard: messages, questions, exit statuses.

Standard output belongs to the answer alone (a token, a password, a list), so that ``$(…)`` and pipes get nothing else;
messages and questions go to standard error or to the terminal itself. Whatever is written goes through ``say``, ``answer``
or ``answer_json``, which take out what a terminal could take for a command: claims, log lines and AWS's messages may hold it.
"""

import getpass
import io
import os
import re
import sys
from collections.abc import Callable
from itertools import pairwise, takewhile
from pathlib import Path

import click
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

# Far more than the longest document that SSM takes, little enough to be read at once.
MAX_FILE_BYTES = 1_048_576

# What ``click.style`` writes for bold and for the colours in use.
_STYLE = re.compile(r"(\x1b\[(?:0|1|3[1-5])m)")

_COMMAND = re.compile(r"\bcognito-edge ([a-z]+)")
_SCRIPTS = {"token": "scripts/get_token.py", "site": "scripts/website.py", "local": "-m local"}


class ScriptError(Exception):
    """Something the person can act on; the text says what was expected, what came, and what to do."""


class RefusedError(ScriptError):
    """The server understood and said no, so that asking again with the same values is pointless."""


# --- what is written ----------------------------------------------------------------------------------------------------


def printable(text: object, *, keep: str = "") -> str:
    r"""Return a text without what a terminal could take for a command: controls, and marks of writing direction.

    >>> printable("a\x1b[31mb\n")
    'a\\x1b[31mb\\n'

    Args:
        text: Other people's words.
        keep: Characters that stay as they are. Without it the result is one line.
    """
    return "".join(
        character if character.isprintable() or character in keep else ascii(character)[1:-1] for character in str(text)
    )


def printable_json(text: str) -> str:
    r"""Return a JSON text without such characters; it says the same, since they can stand inside strings alone.

    >>> printable_json('{"a": "\u202e"}')
    '{"a": "\\u202e"}'
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(
        character if character.isprintable() or character in "\n\t" else _json_escape(character) for character in lines
    )


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def say(message: str) -> None:
    """Write *message* for the person, never for a pipe."""
    print(printable(as_typed(message), keep="\n\t"), file=sys.stderr, flush=True)


def answer(text: str, *, coloured: bool = False) -> None:
    """Write the command's answer, the only thing that goes to standard output.

    Args:
        text: Lines.
        coloured: Whether colours in it are ours; what others said in it went through ``printable`` before.
    """
    parts = _STYLE.split(text) if coloured else [text]
    print("".join(part if at % 2 else printable(part, keep="\n\t") for at, part in enumerate(parts)), flush=True)


def answer_json(text: str) -> None:
    """Write JSON for programs; a person may read it on a terminal as well."""
    print(printable_json(text), flush=True)


def has_colours() -> bool:
    """Say whether an answer may be coloured: a terminal shows it, and the person did not say no (https://no-color.org)."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def as_typed(text: str) -> str:
    """Return a text with our commands as this person types them.

    They stand there as ``cognito-edge NAME``; who started a script of the checkout reads ``python scripts/NAME.py``.
    """
    program = Path(sys.argv[0])
    if program.parent.name != "scripts" or program.suffix != ".py":
        return text
    return _COMMAND.sub(lambda found: f"python {_SCRIPTS.get(found[1], f'scripts/{found[1]}.py')}", text)


# --- commands -----------------------------------------------------------------------------------------------------------


class Command(click.Command):
    """A command whose examples (``epilog``) stay as they are written, and whose usage errors all name it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; click itself does not say whose option lacks its value, and takes the name of the next one for it."""
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        names = {name for each in options for name in (*each.opts, *each.secondary_opts)}
        take_a_value = {name for each in options if not each.is_flag for name in each.opts}
        try:
            for name, following in pairwise(takewhile(lambda each: each != "--", args)):
                if name in take_a_value and following.partition("=")[0] in names:
                    raise click.UsageError(f"{name}: expected a value before {following.partition('=')[0]}.")
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        del ctx
        if self.epilog:
            formatter.write(f"\n{self.epilog}")

    def get_help(self, ctx: click.Context) -> str:
        """Return the help, with commands as this person types them."""
        return as_typed(super().get_help(ctx))


class Group(Command, click.Group):
    """A group of such commands."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return their names, in the order in which they are defined."""
        del ctx
        return list(self.commands)


def path_as_sent(_context: click.Context, _parameter: click.Parameter, path: str) -> str:
    """Refuse what no client sends as a path and query."""
    if not path.startswith("/") or "#" in path or any(character.isspace() for character in path):
        raise click.BadParameter(f"expected a path as it is sent, such as /api/whoami, not {path!r}")
    return path


def run(work: Callable[[], int | None]) -> int:
    """Return what *work* returns, or the exit status of how it failed, having said why.

    Unknown exceptions pass: a traceback is the right report of a bug. None of ours holds a secret in its text.
    """
    try:
        return work() or EXIT_OK
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        say(shown.getvalue().rstrip("\n"))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        say("interrupted")
        return EXIT_INTERRUPTED
    except ScriptError as error:
        say(f"error: {error}")
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
    return EXIT_FAILED


def aws_code(error: ClientError) -> str:
    """Return AWS's name of *error*, for example ``NotAuthorizedException``."""
    return str(error.response.get("Error", {}).get("Code", "Unknown"))


def aws_message(error: ClientError) -> str:
    """Return AWS's name of *error* and its own words, in one line."""
    return printable(f"{aws_code(error)}: {error.response.get('Error', {}).get('Message', 'no message')}")


def source_name(name: str) -> str:
    """Return what to call a file in a message; "-" is standard input."""
    return "standard input" if name == "-" else name


def read_text(name: str) -> str:
    """Return a file's text, or standard input's for "-".

    Raises:
        ScriptError: It cannot be read, is too long, or is not text.
    """
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ScriptError(f"{source_name(name)}: expected at most {MAX_FILE_BYTES:,} bytes.")
        return data.decode()
    except UnicodeDecodeError as error:
        raise ScriptError(f"{source_name(name)}: expected text in UTF-8; byte {error.start} is wrong.") from None
    except OSError as error:
        raise ScriptError(f"{name} cannot be read: {error.strerror}.") from None


# --- questions ----------------------------------------------------------------------------------------------------------


class Questions:
    """Ask the person, or take the answers from standard input line by line when a program gives them there.

    Standard input is used up as it is read: the password is its first line, and the answers to later challenges (a new
    password, a code) are the next ones.
    """

    def __init__(self, *, from_stdin: bool, instead: str = "Give it on standard input with --password-stdin.") -> None:
        """Ask nothing yet.

        Args:
            from_stdin: Whether the answers come from standard input.
            instead: What to do where there is no terminal to ask at.
        """
        self.from_stdin = from_stdin
        self._instead = instead

    def secret(self, prompt: str) -> str:
        """Return the answer to *prompt*, typed without an echo.

        Raises:
            ScriptError: There is no terminal to ask at, or the answer was empty.
        """
        if self.from_stdin:
            return self._line(prompt)
        self._need_terminal(prompt)
        return _not_empty(getpass.getpass(f"{printable(prompt)}: "), prompt)

    def new_secret(self, prompt: str) -> str:
        """Return a new secret; a person types it twice, a program gives it once.

        Raises:
            ScriptError: There is no terminal to ask at, or two different ones were typed three times over.
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
            ScriptError: There is no terminal to ask at, or the answer was empty.
        """
        if self.from_stdin:
            return self._line(prompt)
        self._need_terminal(prompt)
        # Not input(): it writes its prompt to standard output, which is where the token goes.
        with open("/dev/tty", "r+b", buffering=0) as terminal:  # noqa: PTH123 - Path.open refuses unbuffered r+b
            terminal.write(f"{printable(prompt)}: ".encode())
            typed = b""
            while not typed.endswith(b"\n"):
                piece = terminal.read(1024)
                if not piece:
                    break
                typed += piece
        return _not_empty(typed.decode(errors="replace").strip(), prompt)

    def _need_terminal(self, prompt: str) -> None:
        if not has_terminal():
            raise ScriptError(f"{prompt}: there is no terminal to ask at. {self._instead}")

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


def _not_empty(text: str, prompt: str) -> str:
    if not text:
        raise ScriptError(f"{prompt}: expected some text, got none.")
    return text
