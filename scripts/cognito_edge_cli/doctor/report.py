"""What the doctor has to say: checks, how each came out, and how that is written for people and for programs."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import click

from cognito_edge_cli.console import as_typed, printable

if TYPE_CHECKING:
    from .system import System


class Outcome(StrEnum):
    """How a check came out. What could not be looked at is never taken for right."""

    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"
    FAIL = "fail"
    UNSEEN = "could_not_look"


@dataclass(frozen=True)
class Verdict:
    """What a check says about one thing.

    Attributes:
        outcome: How it came out.
        found: What is there; never a secret.
        fix: What to do, with the command as ``cognito-edge NAME``; "" where nothing is to be done.
        subject: Which of several (a behavior, a function, a pool); "" where there is one only.
    """

    outcome: Outcome
    found: str
    fix: str = ""
    subject: str = ""


def passed(found: str, *, subject: str = "") -> Verdict:
    """Return that all is well."""
    return Verdict(Outcome.PASS, found, subject=subject)


def warned(found: str, fix: str, *, subject: str = "") -> Verdict:
    """Return that it works, and is hardly meant, or will not work for long."""
    return Verdict(Outcome.WARN, found, fix, subject)


def failed(found: str, fix: str, *, subject: str = "") -> Verdict:
    """Return that something is wrong."""
    return Verdict(Outcome.FAIL, found, fix, subject)


def unseen(found: str, fix: str, *, subject: str = "") -> Verdict:
    """Return that it could not be looked at."""
    return Verdict(Outcome.UNSEEN, found, fix, subject)


@dataclass(frozen=True)
class Probe:
    """One check, before it has looked.

    Attributes:
        id: Its stable name, ``<step>.<what>``.
        expected: What should be there.
        look: Looks, and says what it found, once or for each of several things.
    """

    id: str
    expected: str
    look: "Callable[[System], Iterable[Verdict]]"

    @property
    def step(self) -> str:
        """The step of a request's path that it belongs to."""
        return self.id.partition(".")[0]


@dataclass(frozen=True)
class Check:
    """One line of the list: a probe and what it found."""

    probe: Probe
    verdict: Verdict

    @property
    def fix(self) -> str:
        """What to do, with commands as this person types them."""
        return as_typed(self.verdict.fix)

    def document(self) -> dict[str, str]:
        """Return it as ``--json`` shows it."""
        return {
            "id": self.probe.id,
            "step": self.probe.step,
            "subject": self.verdict.subject,
            "outcome": str(self.verdict.outcome),
            "expected": self.probe.expected,
            "found": self.verdict.found,
            "fix": self.fix,
        }


def result(checks: Sequence[Check]) -> Outcome:
    """Return what all checks come to: the worst of them, except that a warning is no failure."""
    outcomes = {check.verdict.outcome for check in checks}
    for outcome in (Outcome.FAIL, Outcome.UNSEEN):
        if outcome in outcomes:
            return outcome
    return Outcome.PASS if outcomes else Outcome.UNSEEN


def document(system: str, time: str, checks: Sequence[Check]) -> dict[str, Any]:
    """Return the report as ``--json`` prints it; its shape is stable.

    Args:
        system: What was looked at.
        time: When, ISO 8601.
        checks: What was found.
    """
    counts = Counter(str(check.verdict.outcome) for check in checks)
    return {
        "version": 1,
        "system": system,
        "time": time,
        "result": str(result(checks)),
        "counts": {str(outcome): counts[str(outcome)] for outcome in Outcome},
        "checks": [check.document() for check in checks],
    }


_MARKS = {Outcome.PASS: "ok  ", Outcome.WARN: "warn", Outcome.FAIL: "FAIL", Outcome.UNSEEN: "?   "}
_COLOURS = {Outcome.PASS: "green", Outcome.WARN: "yellow", Outcome.FAIL: "red", Outcome.UNSEEN: "magenta"}
_ID_WIDTH = 24


def text(checks: Sequence[Check], *, colour: bool) -> str:
    """Write the list for people: one line for what is right, and what was expected, found and is to be done for the rest.

    Args:
        checks: What was found.
        colour: Whether a terminal will show it.
    """
    lines: list[str] = []
    step = ""
    for check in checks:
        if check.probe.step != step:
            step = check.probe.step
            lines += ["", step] if lines else [step]
        lines += _lines(check, colour=colour)
    return "\n".join([*lines, "", summary(checks)])


def summary(checks: Sequence[Check]) -> str:
    """Count the outcomes in one line."""
    counts = Counter(check.verdict.outcome for check in checks)
    parts = [
        f"{counts[Outcome.PASS]} right",
        f"{counts[Outcome.WARN]} to think about",
        f"{counts[Outcome.FAIL]} wrong",
    ]
    if counts[Outcome.UNSEEN]:
        parts.append(f"{counts[Outcome.UNSEEN]} that could not be looked at (which is not the same as right)")
    return ", ".join(parts)


def _lines(check: Check, *, colour: bool) -> list[str]:
    outcome = check.verdict.outcome
    mark = _MARKS[outcome]
    if colour:
        mark = click.style(mark, fg=_COLOURS[outcome], bold=outcome is Outcome.FAIL)
    # Much of it is other people's words.
    subject = printable(check.verdict.subject)
    found, fix = (printable(words, keep="\n").split("\n") for words in (check.verdict.found, check.fix))
    if outcome is Outcome.PASS:
        return [f"  {mark}  {check.probe.id:<{_ID_WIDTH}}  {subject}{': ' if subject else ''}{found[0]}"]
    lines = [f"  {mark}  {check.probe.id:<{_ID_WIDTH}}  {subject}".rstrip()]
    for name, words in (("expected", [check.probe.expected]), ("found", found), ("do", fix)):
        lines += [f"          {name if not number else '':<8}  {line}".rstrip() for number, line in enumerate(words)]
    return lines
