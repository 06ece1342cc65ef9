"""Find out why a request was refused: walk its whole way, say what was expected, what is there, and what to do."""

import argparse
import contextlib
import io
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

import requests
from botocore.exceptions import BotoCoreError, ClientError
from cognito_edge.bearer import bearer_token
from cognito_edge.errors import GatewayError, iso8601

from cognito_edge_cli import stack as _stack
from cognito_edge_cli.console import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    ScriptError,
    answer,
    aws_message,
    run,
    say,
)
from cognito_edge_cli.sign_in import command as get_token
from cognito_edge_cli.stack import Stack

from .checks import calls as _doctor_calls
from .checks import distribution as _doctor_distribution
from .checks import functions as _doctor_functions
from .checks import logs as _doctor_logs
from .checks import parameters as _doctor_parameters
from .refusals import explained, refusals
from .report import Check, Outcome, Probe, Verdict, document, result, text, unseen
from .system import System, UnseenError

EXAMPLES = """\
examples:
  python scripts/doctor.py --local     the system that `make run` started, as its demo user
  python scripts/doctor.py             the deployed stack; a browser opens if nobody is signed in
  python scripts/doctor.py --token-file token.txt --path /api/orders
                                       would this token get there, and if not, why
  python scripts/get_token.py --local | python scripts/doctor.py --local --token-file -
  python scripts/doctor.py --no-sign-in --json > report.json
                                       everything that needs no token, for a program
  python scripts/doctor.py --only behavior --only url.permissions
                                       these checks alone; names as the list shows them, or their first part
  python scripts/doctor.py --code expired
                                       what a refusal's code means; no system is asked

It only reads, and makes two GETs through the gateway and one to each function URL. It prints no token, no key and no
signature; users are shown by the hash that the log has. The AWS credentials need to read CloudFormation, CloudFront,
IAM, Lambda, SSM and CloudWatch Logs (ReadOnlyAccess does).

--json prints {"version": 1, "system", "time", "result", "counts": {outcome: number}, "checks": [{"id", "step",
"subject", "outcome", "expected", "found", "fix"}]}; outcomes are pass, warn, fail and could_not_look.

exit status: 0 nothing is wrong (warnings allowed); 1 something is; 2 wrong usage, or something could not be looked at and
nobody can say; 130 interrupted
"""

PROBES: tuple[Probe, ...] = (
    *_doctor_parameters.PROBES,
    *_doctor_distribution.PROBES,
    *_doctor_functions.PROBES,
    *_doctor_calls.PROBES,
    *_doctor_logs.PROBES,
)
"""Every check, in the order of the list."""

_ORDER = (
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
_MAX_TOKEN_BYTES = 32_768
_PATH = "/api/whoami"


def main(argv: Sequence[str] | None = None, *, clock: Callable[[], float] = time.time) -> int:
    """Do what *argv* (None: this process's own arguments) says and return the exit status.

    Args:
        argv: The arguments after the script's name.
        clock: This machine's clock, seconds since the epoch.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.code is not None:
        return _usage_if_failed(run(lambda: _explain(arguments.code)))
    probes = [
        probe for probe in _chosen(parser, arguments.only) if not (arguments.no_sign_in and probe.id in _NEED_TOKEN)
    ]
    if not probes:
        parser.error("--no-sign-in leaves out all that --only names: those checks need a token")
    found: list[System] = []

    def find() -> int:
        stack = _stack.find(parser, arguments)
        region = arguments.region or _stack.DEFAULT_REGION
        token = _token(stack, arguments, clock)
        found.append(System(stack, stack_region=region, path=arguments.path, token=token, clock=clock))
        return EXIT_OK

    # What cannot even be found has not been examined: that is no diagnosis.
    if status := run(find):
        return _usage_if_failed(status)
    return run(lambda: _examine(found[0], probes, as_json=arguments.json))


def _usage_if_failed(status: int) -> int:
    return EXIT_USAGE if status == EXIT_FAILED else status


def _explain(code: str) -> int:
    codes = list(refusals()) if code == "all" else [code]
    answer("\n\n".join(explained(one) for one in codes))
    return EXIT_OK


def _examine(system: System, probes: Sequence[Probe], *, as_json: bool) -> int:
    began = system.clock()
    checks = examine(system, probes)
    if as_json:
        answer(json.dumps(document(system.stack.name, iso8601(began), checks), indent=2, ensure_ascii=False))
    else:
        answer(text(checks, colour=sys.stdout.isatty()))
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
    return sorted(checks, key=lambda check: _ORDER.index(check.probe.step))


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
    """Return what a probe finds; whatever keeps it from looking is said, and is no "all right"."""
    verdicts: list[Verdict] = []
    try:
        verdicts.extend(probe.look(system))
    except UnseenError as error:
        verdicts.append(unseen(str(error), error.fix))
    except ClientError as error:
        fix = "see AWS's words above"
        if _doctor_functions.refused(error):
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


# --- token --------------------------------------------------------------------------------------------------------------


def _token(stack: Stack, arguments: argparse.Namespace, clock: Callable[[], float]) -> str | UnseenError:
    """Return the token to look at, or why there is none.

    Raises:
        ScriptError: The file that was named holds none.
    """
    if arguments.token_file:
        return _token_from(arguments.token_file)
    fix = "give one with --token-file FILE, or sign in: python scripts/get_token.py " + (
        "--local" if stack.is_local else ""
    )
    if arguments.no_sign_in:
        return UnseenError("nobody signed in (--no-sign-in)", fix.strip())
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = get_token.main(_sign_in_options(arguments), clock=clock)
    if status == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    if status != EXIT_OK:
        return UnseenError("signing in failed, for the reason on standard error", fix.strip())
    return printed.getvalue().strip()


def _sign_in_options(arguments: argparse.Namespace) -> list[str]:
    if arguments.local:
        return ["--local"]
    given = {"--stack": arguments.stack, "--region": arguments.region, "--profile": arguments.profile}
    return [part for option, value in given.items() if value for part in (option, value)]


def _token_from(name: str) -> str:
    """Read a token; what is in it, the checks find out. Arguments show in process lists, so it never stands there."""
    try:
        data = sys.stdin.buffer.read(4 * _MAX_TOKEN_BYTES) if name == "-" else Path(name).read_bytes()
        header = data.decode("ascii").strip()
    except OSError as error:
        raise ScriptError(f"{name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ScriptError(f"{name}: expected a token, which is ASCII text; this is something else.") from None
    if header.lower().startswith("authorization:"):
        header = header.partition(":")[2].strip()
    try:
        # get_token.py prints a token with or without its scheme.
        token = bearer_token([header if " " in header or not header else f"Bearer {header}"], _MAX_TOKEN_BYTES)
    except GatewayError as error:
        raise ScriptError(f"{'standard input' if name == '-' else name} holds no token: {error}") from None
    return token


# --- command line -------------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="doctor.py",
        description="Walk the way of a request and say what is wrong, and what to do about it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _stack.add_arguments(parser)
    parser.add_argument("--path", type=_path, default=_PATH, metavar="PATH", help=f"what to call (default: {_PATH})")
    token = parser.add_mutually_exclusive_group()
    token.add_argument("--token-file", metavar="FILE", help="the token to look at; - for standard input")
    token.add_argument("--no-sign-in", action="store_true", help="leave out what needs a token")
    parser.add_argument(
        "--only", action="append", metavar="CHECK", help="this check, or all of this step; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="the report for programs")
    parser.add_argument("--code", metavar="CODE", help="explain a refusal's code, or all; asks no system")
    return parser


def _chosen(parser: argparse.ArgumentParser, only: Sequence[str] | None) -> list[Probe]:
    if not only:
        return list(PROBES)
    for name in only:
        if not any(name in (probe.id, probe.step) for probe in PROBES):
            parser.error(f"--only {name}: no such check; there are {', '.join(probe.id for probe in PROBES)}")
    return [probe for probe in PROBES if probe.id in only or probe.step in only]


def _path(value: str) -> str:
    if not value.startswith("/") or "#" in value or any(character.isspace() for character in value):
        raise argparse.ArgumentTypeError(f"expected a path as it is sent, such as /api/whoami, not {value!r}")
    return value
