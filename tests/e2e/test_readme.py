"""The README's console output is what the running system prints, and the commands in it work as they stand.

A block is a transcript: after ``$ `` a command, below it what it prints. ``…`` stands for anything, alone on a line for any
lines. Seconds and generated names are not compared; ports and folder are the README's. When one fails, it shows what the
system printed, to be put into the README. (What runs is what ``make run`` runs: ``python -m local``, already installed.)
"""

import difflib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.running_system import PROJECT

pytestmark = pytest.mark.e2e

README = (PROJECT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
END = "end of the output of a command"
# A first run says what it built, a later one that nothing changed; which it is depends on who ran before, and whether there
# is a page on whether a package registry could be reached.
BUILT = re.compile(r"^  (page|synth|bundle) 0\.0 s  .*$", re.MULTILINE)


def transcript(block: str) -> Iterator[tuple[str, str]]:
    """Command and expected output, pair by pair."""
    parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)
    assert parts[0] == "", "a block begins with a command"
    yield from zip(parts[1::2], parts[2::2], strict=True)


def pattern(expected: str) -> re.Pattern[str]:
    """What the README says, as an expression: ``…`` is anything within a line, or, alone, any lines."""
    lines = []
    for line in expected.strip("\n").split("\n"):
        if line.strip() == "…":
            lines.append(r"(?:[^\n]*\n)*?")
        else:
            lines.append(".*".join(re.escape(part) for part in line.split("…")) + "\n")
    return re.compile("".join(lines))


def without_what_differs(text: str) -> str:
    """Seconds, what was built and what was there, and the number of the site's files."""
    text = re.sub(r" +\d+\.\d s\b", " 0.0 s", text)
    text = re.sub(r"\b\d+ files? in bucket\b", "N files in bucket", text)
    return BUILT.sub(r"  \1 0.0 s  built, or unchanged", text)


def steps_sorted(text: str) -> str:
    """The start's steps overlap, so their lines come in any order."""
    lines = text.split("\n")
    places = [number for number, line in enumerate(lines) if re.match(r"  \w+ 0\.0 s  ", line)]
    for number, line in zip(places, sorted(lines[number] for number in places), strict=True):
        lines[number] = line
    return "\n".join(lines)


class Readme:
    """Translates the README's addresses and folder to the running system's, and back."""

    def __init__(self, system) -> None:
        self._system = system
        outputs = system.outputs
        port = {name: str(urlsplit(outputs[name]).port) for name in ("gateway_url", "login_url", "aws_endpoint_url")}
        self._ports = {
            "8080": port["gateway_url"],
            "8081": port["login_url"],
            "4566": port["aws_endpoint_url"],
        }

    def here(self, command: str) -> str:
        """A command of the README, for the running system."""
        return re.sub(r"127\.0\.0\.1:(\d+)", lambda found: f"127.0.0.1:{self._ports[found[1]]}", command)

    def there(self, printed: str) -> str:
        """What the running system printed, as the README would have it."""
        names = {real: shown for shown, real in self._ports.items()}
        printed = printed.replace(str(self._system.process.state_dir), ".local")
        return re.sub(r"\b\d{4,5}\b", lambda found: names.get(found[0], found[0]), printed)

    def run(self, commands: list[str]) -> list[str]:
        """Run them in one shell, in the project's folder, and return each one's output."""
        script = "".join(f"{self.here(command)}\nprintf '\\n%s\\n' '{END}'\n" for command in commands)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=PROJECT,
            env={**self._system.environment(), "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        outputs = done.stdout.replace("\r\n", "\n").split(f"\n{END}\n")[:-1]
        assert len(outputs) == len(commands), done.stdout + done.stderr
        return [self.there(output) for output in outputs]


def assert_printed(expected: str, printed: str) -> None:
    expected, printed = (steps_sorted(without_what_differs(text)).strip("\n") + "\n" for text in (expected, printed))
    if not expected.strip():
        assert not printed.strip(), printed
    elif not pattern(expected).fullmatch(printed):
        lines = difflib.unified_diff(expected.split("\n"), printed.split("\n"), "README.md", "printed", lineterm="")
        pytest.fail("the README shows something else than the system prints:\n" + "\n".join(lines))


def test_make_runs_output_is_the_systems_own(system):
    """The steps and what they say, down to ``Ready``."""
    (block,) = [block for block in BLOCKS if block.startswith("$ make run")]
    ((command, expected),) = transcript(block)
    assert command == "make run"
    assert_printed(expected, Readme(system).there(system.process.printed()))


@pytest.mark.usefixtures("curl")
@pytest.mark.parametrize("block", [block for block in BLOCKS if "make run" not in block])
def test_every_other_transcript_is_what_its_commands_print(block, system):
    """Each block in a shell of its own, as one would type it."""
    pairs = list(transcript(block))
    for (command, expected), printed in zip(pairs, Readme(system).run([command for command, _ in pairs]), strict=True):
        print(command)
        assert_printed(expected, printed)


def test_there_are_transcripts():
    """Or nothing would be compared."""
    assert len(BLOCKS) >= 2
    assert sum(block.count("\n$ ") + 1 for block in BLOCKS) >= 5


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a 1.5 s b\n", "a 0.2 s b\n", True),
        ("a … d\n", "a b c d\n", True),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("a\n…\nd\n", "a\nd\n", True),
        ("a\n", "a\nb\n", False),
        ("a … d\n", "a b\nc d\n", False),
        ('{"code": "x", …}\n', '{"code": "y", "z": 1}\n', False),
        ("", "\n", True),
        ("", "something\n", False),
    ],
)
def test_wildcards_stand_for_what_is_left_out_and_no_more(expected, printed, same):
    """The comparison itself."""
    if same:
        assert_printed(expected, printed)
    else:
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            assert_printed(expected, printed)
