"""Show what the edge function logged, in all regions: by request, user, code or time, live; or one request's story."""

import argparse
import hashlib
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence

from botocore.exceptions import ClientError

from cognito_edge_cli import stack as _stack
from cognito_edge_cli.console import EXIT_FAILED, EXIT_OK, ScriptError, answer, aws_code, run, say
from cognito_edge_cli.stack import DEFAULT_REGION, DEFAULT_STACK

from . import cloudwatch as _logs_cloudwatch
from . import local as _logs_local
from .cloudwatch import EdgeLogs
from .lines import Line, Merged, Seen, Selection, is_sub, is_sub_hash, moment_ms
from .local import LogFile
from .text import Layout, story

DECISIONS = ("forward", "refuse", "error", "preflight", "metadata")
DEFAULT_LIMIT = 500
_LIKE_A_REQUEST_ID = re.compile(r"-[\w=-]{31,}", re.ASCII)  # CloudFront's have 56 characters; no option is that long
_DEFAULT_SINCE = "15m"
_DEFAULT_SINCE_OF_A_REQUEST = "24h"  # whoever has a request id from a refusal seldom comes within minutes

EXAMPLES = f"""\
examples:
  python scripts/logs.py --request-id GDfDLb…==          the whole story of one request, from the id in a refusal
  python scripts/logs.py --code expired --since 2h       who was refused for what
  python scripts/logs.py --user alice --since 1d         a user name, a sub, or the hash that the log has
  python scripts/logs.py --decision error --follow       faults as they happen; Ctrl-C ends it
  python scripts/logs.py --since 2026-11-21T13:00 --until 2026-11-21T13:10 --json
  python scripts/logs.py --local                         of the system that `make run` started; every option works
  python scripts/logs.py --local --page                  the address of its trace page

Times are UTC. Without --since: the last {_DEFAULT_SINCE}, {_DEFAULT_SINCE_OF_A_REQUEST} with --request-id, everything with --local.
A deployed function logs in the region nearest to each viewer, so all regions are asked; it takes some seconds until a line
can be found. Needs logs:FilterLogEvents, and cloudformation:DescribeStacks unless --function names the function.

exit status: 0 done; 1 failed, or no such request; 2 wrong usage; 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what *argv* (None: this process's own arguments) says and return the exit status."""
    parser = _parser()
    arguments = parser.parse_args(_with_request_id(sys.argv[1:] if argv is None else argv))
    _check_usage(parser, arguments)

    def work() -> int:
        if arguments.page:
            answer(_logs_local.page_address(_stack.LOCAL_FOLDER))
            return EXIT_OK
        selection = _selection(parser, arguments)
        if arguments.local:
            return _show_local(arguments, selection)
        return _show_deployed(parser, arguments, selection)

    return run(work)


def _selection(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Selection:
    now_ms = int(time.time() * 1000)
    since = arguments.since
    if since is None and not arguments.local:
        since = _DEFAULT_SINCE_OF_A_REQUEST if arguments.request_id else _DEFAULT_SINCE
    since_ms = moment_ms(since, now_ms) if since else None
    until_ms = moment_ms(arguments.until, now_ms) if arguments.until else None
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise ScriptError("--since has to be before --until; as they are, nothing lies between them.")
    return Selection(
        request_id=arguments.request_id,
        sub_hash=_sub_hash(parser, arguments) if arguments.user else None,
        code=arguments.code,
        decision=arguments.decision,
        since_ms=since_ms,
        until_ms=until_ms,
        everything=arguments.all,
    )


def _sub_hash(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> str:
    """Return what the log calls a user: the first 16 hex digits of their sub's SHA-256 (`edge/cognito_edge/log.py`)."""
    user: str = arguments.user
    if is_sub_hash(user):
        return user
    if not is_sub(user):
        user = _sub_of(parser, arguments)
    return hashlib.sha256(user.encode()).hexdigest()[:16]


def _sub_of(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> str:
    stack = _stack.find(parser, arguments)
    try:
        user = _stack.admin_client(stack).admin_get_user(UserPoolId=stack.user_pool_id, Username=arguments.user)
    except ClientError as error:
        if aws_code(error) != "UserNotFoundException":
            raise
        raise ScriptError(
            f"There is no user {arguments.user} in {stack.name}'s pool. See `user.py list`; a user who was deleted, or who is of"
            " another pool, can be named by their sub."
        ) from None
    sub = next((a.get("Value", "") for a in user.get("UserAttributes", []) if a["Name"] == "sub"), "")
    if not sub:
        raise ScriptError(f"The pool does not say what {arguments.user}'s sub is. Name the sub itself.")
    return sub


# --- the local system -------------------------------------------------------------------------------------------------


def _show_local(arguments: argparse.Namespace, selection: Selection) -> int:
    log = LogFile(_stack.LOCAL_FOLDER / "edge.log")
    if not log.path.exists() and not arguments.follow:
        raise ScriptError(
            f"There is no {log.path}: no local system has run there. Start one with `make run`, or name its folder in "
            "GATEWAY_STATE_DIR."
        )
    merged = Merged(arguments.limit)
    merged.add(line for line in log.read() if selection.takes(line))
    if arguments.request_id and not arguments.follow and not arguments.json:
        return _tell(arguments.request_id, merged.lines, local=True)
    layout = _show(arguments, merged, regions=False)
    if arguments.follow:
        return _follow(arguments, layout, log.follow(selection))
    return _found(arguments, merged)


def _tell(request_id: str, lines: list[Line], *, local: bool) -> int:
    trace = _logs_local.trace_of(_stack.LOCAL_FOLDER, request_id) if local else None
    if not lines and trace is None:
        return _no_such_request(local=local)
    for text in story(request_id, lines, trace):
        answer(text)
    if local and trace is None:
        say(
            "What CloudFront and the function URL saw is not known: that system has ended, or the request is not among its last 200."
        )
    return EXIT_OK


# --- a deployed stack -------------------------------------------------------------------------------------------------


def _show_deployed(parser: argparse.ArgumentParser, arguments: argparse.Namespace, selection: Selection) -> int:
    group = _group(arguments)
    known = _logs_cloudwatch.all_regions()
    regions = arguments.regions or known
    unknown = sorted(set(regions) - set(known))
    if unknown:
        parser.error(f"--regions: no such region: {', '.join(unknown)}")
    logs = EdgeLogs(group, regions, profile=arguments.profile)
    merged = Merged(arguments.limit)
    reading = logs.read(selection, merged)
    if len(reading.refused) == len(logs.regions):
        raise ScriptError(f"No region could be read.\n{reading.complaint()}")
    status = EXIT_OK
    if arguments.request_id and not arguments.follow and not arguments.json:
        status = _tell(arguments.request_id, merged.lines, local=False)
    else:
        layout = _show(arguments, merged, regions=True)
        if not arguments.follow:
            status = _found(arguments, merged)
    if not reading.found:
        say(
            f"No region has the log group {group}: no request has reached the edge function yet, or its logs were deleted."
        )
    if complaint := reading.complaint():
        say(complaint)
    if arguments.follow:
        seen = Seen()
        seen.new(merged.lines)
        return _follow(arguments, layout, logs.follow(selection, seen, reading))
    return status


def _group(arguments: argparse.Namespace) -> str:
    if arguments.function:
        return f"/aws/lambda/us-east-1.{arguments.function.removeprefix('us-east-1.')}"
    name, region = arguments.stack or DEFAULT_STACK, arguments.region or DEFAULT_REGION
    arn = _logs_cloudwatch.output_of(name, "EdgeFunctionVersionArn", region=region, profile=arguments.profile)
    return _logs_cloudwatch.group_of(arn)


# --- both -------------------------------------------------------------------------------------------------------------


def _show(arguments: argparse.Namespace, merged: Merged, *, regions: bool) -> Layout:
    layout = Layout(regions=regions, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    lines = merged.lines
    layout.fit(lines)
    _print(arguments, layout, lines)
    if merged.left_out:
        say(
            f"The newest {len(lines):,} of {len(lines) + merged.left_out:,} lines are shown. Ask for less (--code, --user, --since, "
            "--until), or for more with --limit N (0: all)."
        )
    return layout


def _print(arguments: argparse.Namespace, layout: Layout, lines: list[Line]) -> None:
    for line in lines:
        answer(line.text if arguments.json else layout.write(line))


def _found(arguments: argparse.Namespace, merged: Merged) -> int:
    if merged.lines:
        return EXIT_OK
    if arguments.request_id:
        return _no_such_request(local=arguments.local)
    say(
        "No line fits. A deployed function's lines can be found some seconds after the request; --since looks further back."
    )
    return EXIT_OK


def _no_such_request(*, local: bool) -> int:
    if local:
        say("error: The local system's log has no such request; each start of the system empties it.")
    else:
        say(
            "error: No region has a line of that request. It may be some seconds too early, or too long ago (--since), or the request"
            " never reached the edge function: then CloudFront itself answered, and its answer says why."
        )
    return EXIT_FAILED


def _follow(arguments: argparse.Namespace, layout: Layout, rounds: Iterator[list[Line]]) -> int:
    say("Following; Ctrl-C ends it.")
    try:
        for lines in rounds:
            _print(arguments, layout, lines)
    except KeyboardInterrupt:
        pass  # the only way in which following ends
    return EXIT_OK


def _check_usage(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.page and not arguments.local:
        parser.error("--page is for --local: deployed stacks have no trace page")
    if arguments.follow and arguments.until:
        parser.error("--follow has no end, so --until cannot be one")
    if arguments.all and (arguments.user or arguments.code or arguments.decision):
        parser.error("--all shows lines without fields, which --user, --code and --decision cannot choose among")
    if arguments.local and (arguments.regions or arguments.function):
        parser.error("--regions and --function are for deployed stacks, not for --local")
    if arguments.local and (arguments.region or arguments.profile):
        parser.error("--region and --profile are for deployed stacks, not for --local")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="logs.py", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    which = parser.add_argument_group("which lines")
    which.add_argument("--request-id", metavar="ID", type=_term, help="CloudFront's, as in a refusal or x-amz-cf-id")
    which.add_argument("--user", metavar="WHO", type=_term, help="user name, sub, or the log's hash of it")
    which.add_argument("--code", type=_term, help="code of a refusal, such as expired (docs/refusals.md)")
    which.add_argument("--decision", choices=DECISIONS, help="what the edge did")
    which.add_argument("--since", metavar="WHEN", help="15m, 2h, 3d, or a time")
    which.add_argument("--until", metavar="WHEN", help="the same")
    which.add_argument(
        "--all", action="store_true", help="START, REPORT, tracebacks and other lines of the runtime, too"
    )
    which.add_argument(
        "--limit",
        type=_count,
        default=DEFAULT_LIMIT,
        metavar="N",
        help=f"at most the newest N lines; 0: all (default: {DEFAULT_LIMIT})",
    )
    how = parser.add_argument_group("how")
    how.add_argument("--follow", "-f", action="store_true", help="go on with new lines as they come")
    how.add_argument("--json", action="store_true", help="the lines as they are, for jq and files")
    how.add_argument("--page", action="store_true", help="with --local: print the address of the trace page instead")
    _stack.add_arguments(parser)
    parser.add_argument(
        "--function", metavar="NAME", help="the edge function's name, instead of asking the stack for it"
    )
    parser.add_argument(
        "--regions", type=_names, metavar="A,B", help="look in these regions alone (default: in all that AWS has)"
    )
    return parser


def _with_request_id(argv: Sequence[str]) -> list[str]:
    """Return *argv* with a request id joined to its option: one id in 64 begins with `-`, which argparse takes for an option."""
    joined: list[str] = []
    for argument in argv:
        if joined and joined[-1] == "--request-id" and _LIKE_A_REQUEST_ID.fullmatch(argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _term(text: str) -> str:
    # It goes into CloudWatch's filter language, in quotes.
    if not text or not text.isprintable() or set(text) & {'"', "\\"}:
        raise argparse.ArgumentTypeError(f"expected printable text without quotes and backslashes, not {text!r}")
    return text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"expected a number, 0 or more, not {text!r}")
    return int(text)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
