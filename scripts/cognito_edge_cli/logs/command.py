"""The command ``logs``: what the edge function logged, in all regions: by request, user, code or time; or one story."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import click
from cognito_edge.log import hash_of

from cognito_edge_cli import stack
from cognito_edge_cli.console import EXIT_FAILED, EXIT_OK, Command, ScriptError, answer, answer_json, has_colours, say
from cognito_edge_cli.stack import Choice, system_options
from cognito_edge_cli.user import UserPool

from .cloudwatch import EdgeLogs, all_regions, group_of, output_of
from .lines import Line, Merged, Seen, Selection, is_sub, is_sub_hash, moment_ms
from .local import LogFile, page_address, trace_of
from .text import Layout, story

DECISIONS = ("forward", "refuse", "error", "preflight", "metadata")
DEFAULT_LIMIT = 500
_DEFAULT_SINCE = "15m"
_DEFAULT_SINCE_OF_A_REQUEST = "24h"  # whoever has a request id from a refusal seldom comes within minutes

EXAMPLES = f"""\
Examples:
  cognito-edge logs --request-id GDfDLb…==          the whole story of one request, from the id in a refusal
  cognito-edge logs --code expired --since 2h       who was refused for what
  cognito-edge logs --user alice --since 1d         a user name, a sub, or the hash that the log has
  cognito-edge logs --decision error --follow       faults as they happen; Ctrl-C ends it
  cognito-edge logs --since 2026-11-21T13:00 --until 2026-11-21T13:10 --json
  cognito-edge logs --local                         of the system that `make run` started; every option works
  cognito-edge logs --local --page                  the address of its trace page

Times are UTC. Without --since: the last {_DEFAULT_SINCE}, {_DEFAULT_SINCE_OF_A_REQUEST} with --request-id, everything with --local.
A deployed function logs in the region nearest to each viewer, so all regions are asked; it takes some seconds until a line
can be found. Needs logs:FilterLogEvents, and cloudformation:DescribeStacks unless --function names the function.

Exit status: 0 done; 1 failed, or no such request; 2 wrong usage; 130 interrupted
"""


def _term(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    if text is None:
        return None
    # It goes into CloudWatch's filter language, in quotes.
    if not text or not text.isprintable() or set(text) & {'"', "\\"}:
        raise click.BadParameter(f"expected printable text without quotes and backslashes, not {text!r}")
    return text


def _moment(_context: click.Context, _parameter: click.Parameter, text: str | None) -> int | None:
    return moment_ms(text, _now_ms()) if text else None


def _now_ms() -> int:
    return int(time.time() * 1000)


def _known_regions(_context: click.Context, _parameter: click.Parameter, text: str | None) -> list[str]:
    chosen = [name.strip() for name in (text or "").split(",") if name.strip()]
    if chosen and (unknown := sorted(set(chosen) - set(all_regions()))):
        raise click.BadParameter(f"no such region: {', '.join(unknown)}")
    return chosen


@click.command("logs", cls=Command, epilog=EXAMPLES)
@click.option("--request-id", metavar="ID", callback=_term, help="CloudFront's, as in a refusal or x-amz-cf-id.")
@click.option("--user", metavar="WHO", callback=_term, help="User name, sub, or the log's hash of it.")
@click.option("--code", metavar="CODE", callback=_term, help="Code of a refusal, such as expired (docs/refusals.md).")
@click.option("--decision", type=click.Choice(DECISIONS), help="What the edge did.")
@click.option("--since", "since_ms", metavar="WHEN", callback=_moment, help="15m, 2h, 3d, or a time.")
@click.option("--until", "until_ms", metavar="WHEN", callback=_moment, help="The same.")
@click.option(
    "--all", "everything", is_flag=True, help="START, REPORT, tracebacks and other lines of the runtime, too."
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=DEFAULT_LIMIT,
    metavar="N",
    help=f"At most the newest N lines; 0: all (default: {DEFAULT_LIMIT}).",
)
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines as they come.")
@click.option("--json", "as_json", is_flag=True, help="The lines as they are, for jq and files.")
@click.option("--page", is_flag=True, help="With --local: print the address of the trace page instead.")
@click.option("--function", metavar="NAME", help="The edge function's name, instead of asking the stack for it.")
@click.option(
    "--regions",
    metavar="A,B",
    callback=_known_regions,
    help="Look in these regions alone (default: in all that AWS has).",
)
@system_options
def logs(
    *,
    request_id: str | None,
    user: str | None,
    code: str | None,
    decision: str | None,
    since_ms: int | None,
    until_ms: int | None,
    everything: bool,
    limit: int,
    follow: bool,
    as_json: bool,
    page: bool,
    function: str | None,
    regions: Sequence[str],
    system: Choice,
) -> int:
    """Show what the edge function logged, in all regions: by request, user, code or time, live; or one request's story."""
    if page and not system.local:
        raise click.UsageError("--page is for --local: deployed stacks have no trace page.")
    if follow and until_ms is not None:
        raise click.UsageError("--follow has no end, so --until cannot be one.")
    if everything and (user or code or decision):
        raise click.UsageError(
            "--all shows lines without fields, which --user, --code and --decision cannot choose among."
        )
    if system.local and (regions or function):
        raise click.UsageError("--regions and --function are for deployed stacks, not for --local.")
    if page:
        answer(page_address(stack.LOCAL_FOLDER))
        return EXIT_OK
    if since_ms is None and not system.local:
        since_ms = moment_ms(_DEFAULT_SINCE_OF_A_REQUEST if request_id else _DEFAULT_SINCE, _now_ms())
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise click.UsageError("--since has to be before --until; as they are, nothing lies between them.")
    selection = Selection(
        request_id=request_id,
        sub_hash=_sub_hash(user, system) if user else None,
        code=code,
        decision=decision,
        since_ms=since_ms,
        until_ms=until_ms,
        everything=everything,
    )
    show = _Show(selection, local=system.local, limit=limit, follow=follow, as_json=as_json)
    if system.local:
        return _show_local(show)
    return _show_deployed(show, _group(function, system), regions or all_regions(), profile=system.profile)


def _sub_hash(user: str, system: Choice) -> str:
    """Return what the log calls a user."""
    if is_sub_hash(user):
        return user
    return hash_of(user if is_sub(user) else _sub_of(user, system))


def _sub_of(user: str, system: Choice) -> str:
    pool = UserPool(system.find())
    with pool.naming(user, "A user who was deleted, or who is of another pool, can be named by their sub."):
        sub = pool.subject(user)
    if not sub:
        raise ScriptError(f"The pool does not say what {user}'s sub is. Name the sub itself.")
    return sub


# --- the local system -------------------------------------------------------------------------------------------------


def _show_local(show: "_Show") -> int:
    log = LogFile(stack.LOCAL_FOLDER / "edge.log")
    if not log.path.exists() and not show.follow:
        raise ScriptError(
            f"There is no {log.path}: no local system has run there. Start one with `make run`, or name its folder in "
            "GATEWAY_STATE_DIR."
        )
    merged = Merged(show.limit)
    merged.add(line for line in log.read() if show.selection.takes(line))
    if show.tells_a_story:
        return show.story(merged.lines)
    show.lines_of(merged)
    return show.rounds(log.follow(show.selection)) if show.follow else show.status_of(merged)


# --- a deployed stack -------------------------------------------------------------------------------------------------


def _group(function: str | None, system: Choice) -> str:
    if function:
        return f"/aws/lambda/us-east-1.{function.removeprefix('us-east-1.')}"
    name, region = system.stack or stack.DEFAULT_STACK, system.region or stack.DEFAULT_REGION
    return group_of(output_of(name, "EdgeFunctionVersionArn", region=region, profile=system.profile))


def _show_deployed(show: "_Show", group: str, regions: Sequence[str], *, profile: str | None) -> int:
    edge_logs = EdgeLogs(group, regions, profile=profile)
    merged = Merged(show.limit)
    reading = edge_logs.read(show.selection, merged)
    if len(reading.refused) == len(edge_logs.regions):
        raise ScriptError(f"No region could be read.\n{reading.complaint()}")
    status = EXIT_OK
    if show.tells_a_story:
        status = show.story(merged.lines)
    else:
        show.lines_of(merged)
        if not show.follow:
            status = show.status_of(merged)
    if not reading.found:
        say(
            f"No region has the log group {group}: no request has reached the edge function yet, or its logs were deleted."
        )
    if complaint := reading.complaint():
        say(complaint)
    if show.follow:
        seen = Seen()
        seen.new(merged.lines)
        return show.rounds(edge_logs.follow(show.selection, seen, reading))
    return status


# --- both -------------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class _Show:
    """How lines are shown.

    Attributes:
        selection: Which lines.
        local: Whether the local system's.
        limit: How many at most; 0: all.
        follow: Whether new ones are waited for.
        as_json: Whether as they are.
    """

    selection: Selection = field(kw_only=False)
    local: bool
    limit: int
    follow: bool
    as_json: bool
    _layout: Layout = field(init=False)

    def __post_init__(self) -> None:
        self._layout = Layout(regions=not self.local, colour=has_colours())

    @property
    def tells_a_story(self) -> bool:
        """Whether one request's story is wanted, and no lines."""
        return self.selection.request_id is not None and not self.follow and not self.as_json

    def story(self, lines: list[Line]) -> int:
        """Tell one request's story, and return the exit status."""
        request_id = self.selection.request_id or ""
        trace = trace_of(stack.LOCAL_FOLDER, request_id) if self.local else None
        if not lines and trace is None:
            return self._no_such_request()
        for text in story(request_id, lines, trace):
            answer(text)
        if self.local and trace is None:
            say(
                "What CloudFront and the function URL saw is not known: that system has ended, or the request is not among its"
                " last 200."
            )
        return EXIT_OK

    def lines_of(self, merged: Merged) -> None:
        """Print what was found, and how much was left out."""
        lines = merged.lines
        self._layout.fit(lines)
        self._print(lines)
        if merged.left_out:
            say(
                f"The newest {len(lines):,} of {len(lines) + merged.left_out:,} lines are shown. Ask for less (--code, --user,"
                " --since, --until), or for more with --limit N (0: all)."
            )

    def rounds(self, rounds: Iterator[list[Line]]) -> int:
        """Print new lines until the person ends it, and return the exit status."""
        say("Following; Ctrl-C ends it.")
        try:
            for lines in rounds:
                self._print(lines)
        except KeyboardInterrupt:
            pass  # the only way in which following ends
        return EXIT_OK

    def status_of(self, merged: Merged) -> int:
        """Return the exit status of a search, having said when it found no line."""
        if merged.lines:
            return EXIT_OK
        if self.selection.request_id:
            return self._no_such_request()
        say(
            "No line fits. A deployed function's lines can be found some seconds after the request; --since looks further back."
        )
        return EXIT_OK

    def _print(self, lines: Iterable[Line]) -> None:
        for line in lines:
            if self.as_json:
                answer_json(line.text)
            else:
                answer(self._layout.write(line), coloured=self._layout.colour)

    def _no_such_request(self) -> int:
        if self.local:
            say("error: The local system's log has no such request; each start of the system empties it.")
        else:
            say(
                "error: No region has a line of that request. It may be some seconds too early, or too long ago (--since), or"
                " the request never reached the edge function: then CloudFront itself answered, and its answer says why."
            )
        return EXIT_FAILED
