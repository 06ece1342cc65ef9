"""The command ``doctor``: walk a request's whole way, say what was expected, what is there, and what to do."""

import json
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

import click
import requests
from botocore.exceptions import BotoCoreError, ClientError
from cognito_edge.text import iso8601

from cognito_edge_cli.console import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    Command,
    ScriptError,
    answer,
    answer_json,
    as_typed,
    aws_message,
    has_colours,
    path_as_sent,
    run,
    say,
)
from cognito_edge_cli.sign_in.command import SignIn, obtain
from cognito_edge_cli.sign_in.token_cache import Tokens
from cognito_edge_cli.stack import DEFAULT_REGION, Choice, Stack, system_options
from cognito_edge_cli.token_input import read_token

from .checks import calls, distribution, functions, logs, parameters
from .refusals import explained, refusals
from .report import Check, Outcome, Probe, Verdict, document, result, text, unseen
from .system import System, UnseenError, options_of

EXAMPLES = """\
Examples:
  cognito-edge doctor --local
      the system that `make run` started, as its demo user
  cognito-edge doctor
      the deployed stack; a browser opens if no sign-in is cached
  cognito-edge doctor --token-file token.txt --path /api/orders
      would this token get there, and if not, why
  cognito-edge token --local | cognito-edge doctor --local --token-file -
  cognito-edge doctor --no-sign-in --json > report.json
      everything that needs no token, for a program
  cognito-edge doctor --only behavior --only url.permissions
      these checks alone; names as the list shows them, or their first part
  cognito-edge doctor --code expired
      what a refusal's code means; no system is asked

It only reads, and makes two GETs through the gateway and one to each function URL. It prints no token, no key and no
signature; users are shown by the hash that the log has. The AWS credentials need to read CloudFormation, CloudFront,
IAM, Lambda, SSM and CloudWatch Logs (ReadOnlyAccess does).

--json prints {"version": 1, "system", "time", "result", "counts": {outcome: number}, "checks": [{"id", "step",
"subject", "outcome", "expected", "found", "fix"}]}; outcomes are pass, warn, fail and could_not_look.

Exit status: 0 all is right (warnings allowed); 1 something is wrong; 2 wrong usage, or something could not be looked
at; 130 interrupted
"""

PROBES: tuple[Probe, ...] = (
    *parameters.PROBES,
    *distribution.PROBES,
    *functions.PROBES,
    *calls.PROBES,
    *logs.PROBES,
)
"""Every check, in the order of the list."""

STEPS = (
    "parameters",
    "policy",
    "clock",
    "keys",
    "token",
    "distribution",
    "behavior",
    "edge",
    "url",
    "gateway",
    "logs",
    "local",
)
_NEED_TOKEN = frozenset({"keys.kid", "token.present", "token.judged", "gateway.call"})
_TOGETHER = 8
_QUIET_S = 2.0
_PATH = "/api/whoami"


def _known_checks(_context: click.Context, _parameter: click.Parameter, names: Sequence[str]) -> list[Probe]:
    """Return the probes that are named, or whose step is; all of them without a name."""
    for name in names:
        if not any(name in (probe.id, probe.step) for probe in PROBES):
            raise click.BadParameter(f"{name}: no such check; there are {', '.join(probe.id for probe in PROBES)}")
    return [probe for probe in PROBES if not names or probe.id in names or probe.step in names]


@click.command("doctor", cls=Command, epilog=EXAMPLES)
@click.option("--path", callback=path_as_sent, default=_PATH, metavar="PATH", help=f"What to call (default: {_PATH}).")
@click.option("--token-file", metavar="FILE", help="The token to look at; - for standard input.")
@click.option("--no-sign-in", is_flag=True, help="Leave out what needs a token.")
@click.option(
    "--only",
    "probes",
    multiple=True,
    metavar="CHECK",
    callback=_known_checks,
    help="This check, or all of this step; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="The report for programs.")
@click.option("--code", metavar="CODE", help="Explain a refusal's code, or all; asks no system.")
@system_options
@click.pass_obj
def doctor(
    clock: Callable[[], float],
    *,
    path: str,
    token_file: str | None,
    no_sign_in: bool,
    probes: list[Probe],
    as_json: bool,
    code: str | None,
    system: Choice,
) -> int:
    """Walk the way of a request and say what is wrong, and what to do about it."""
    if token_file and no_sign_in:
        raise click.UsageError("--token-file and --no-sign-in contradict each other: give one of them.")
    if code is not None:
        return _usage_if_failed(run(lambda: _explain(code)))
    if no_sign_in:
        probes = [probe for probe in probes if probe.id not in _NEED_TOKEN]
    if not probes:
        raise click.UsageError("--no-sign-in leaves out all that --only names: those checks need a token.")
    found: list[System] = []

    def find() -> None:
        stack = system.find()
        region = system.region or DEFAULT_REGION
        token = read_token(token_file) if token_file else _signed_in(stack, region, clock, wanted=not no_sign_in)
        found.append(System(stack, stack_region=region, path=path, token=token, clock=clock))

    # A system that is not found is wrong usage (2), not a diagnosis (1).
    if status := run(find):
        return _usage_if_failed(status)
    return _report(found[0], probes, as_json=as_json)


def _usage_if_failed(status: int) -> int:
    return EXIT_USAGE if status == EXIT_FAILED else status


def _explain(code: str) -> None:
    codes = list(refusals()) if code == "all" else [code]
    answer(as_typed("\n\n".join(map(explained, codes))))


def _signed_in(stack: Stack, region: str, clock: Callable[[], float], *, wanted: bool) -> str | UnseenError:
    """Return an ID token as the command ``token`` prints it, or why there is no token to look at."""
    fix = f"give one with --token-file FILE, or sign in: cognito-edge token {options_of(stack, region)}"
    if not wanted:
        return UnseenError("no one signed in (--no-sign-in)", fix)
    tokens: list[Tokens] = []
    status = run(lambda: tokens.append(obtain(stack, SignIn(), clock)))
    if status == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    return tokens[0].id_token if tokens else UnseenError("signing in failed, for the reason on standard error", fix)


def _report(system: System, probes: Sequence[Probe], *, as_json: bool) -> int:
    began = system.clock()
    checks = examine(system, probes)
    if as_json:
        answer_json(json.dumps(document(system.stack.name, iso8601(began), checks), indent=2, ensure_ascii=False))
    else:
        coloured = has_colours()
        answer(text(checks, colour=coloured), coloured=coloured)
    match result(checks):
        case Outcome.FAIL:
            return EXIT_FAILED
        case Outcome.UNSEEN:
            return EXIT_USAGE
        case _:
            return EXIT_OK


def examine(system: System, probes: Iterable[Probe]) -> list[Check]:
    """Look at everything, as much as possible at the same time.

    Args:
        system: What to look at.
        probes: What to look for.

    Returns:
        What was found, in the order of the list.
    """
    with ThreadPoolExecutor(_TOGETHER) as pool:
        futures = {pool.submit(_look, probe, system): probe for probe in probes}
        _report_progress(futures)
    checks = [Check(probe, verdict) for future, probe in futures.items() for verdict in future.result()]
    return sorted(checks, key=lambda check: STEPS.index(check.probe.step))


def _report_progress(futures: "dict[Future[list[Verdict]], Probe]") -> None:
    pending = set(futures)
    said = time.monotonic()
    while pending:
        _, pending = wait(pending, timeout=_QUIET_S, return_when=FIRST_COMPLETED)
        if pending and time.monotonic() - said > _QUIET_S:
            said = time.monotonic()
            names = [probe.id for future, probe in futures.items() if future in pending]
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            say(f"still looking at {', '.join(names[:3])}{more}")


def _look(probe: Probe, system: System) -> list[Verdict]:
    """Return what a probe finds; what keeps it from looking is a verdict, too, and never "pass"."""
    verdicts: list[Verdict] = []
    try:
        verdicts.extend(probe.look(system))
    except UnseenError as error:
        verdicts.append(unseen(str(error), error.fix))
    except ClientError as error:
        fix = "see AWS's words above"
        if functions.refused(error):
            fix = f"allow {error.operation_name} to the AWS credentials that the doctor runs with (ReadOnlyAccess does)"
        verdicts.append(unseen(f"AWS refused {error.operation_name}: {aws_message(error)}", fix))
    except (BotoCoreError, requests.RequestException, ScriptError) as error:
        where = (
            "`make run`: does it still run?"
            if system.stack.is_local
            else "the network, and `aws sts get-caller-identity`"
        )
        what = str(error) if isinstance(error, BotoCoreError | ScriptError) else type(error).__name__
        verdicts.append(unseen(f"no answer: {what}", f"look at {where}"))
    except Exception as error:  # noqa: BLE001 - a fault of one check must not hide what the others find
        place = traceback.extract_tb(error.__traceback__)[-1]
        # Not its text: that could hold anything.
        where = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
        verdicts.append(unseen(f"the doctor itself failed: {where}", "that is a bug: report it with this line"))
    return verdicts
