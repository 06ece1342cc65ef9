"""The command ``policy``: read, check, try and change who may do what, and which tokens are out."""

import json
from collections.abc import Callable, Sequence

import click
from cognito_edge.policy import METHODS
from cognito_edge.policy_document import PolicyError, parse_policy
from cognito_edge.text import iso8601

from cognito_edge_cli.console import (
    EXIT_FAILED,
    EXIT_OK,
    Group,
    ScriptError,
    answer,
    answer_json,
    path_as_sent,
    printable,
    read_text,
    say,
)
from cognito_edge_cli.stack import Choice, Stack, system_options
from cognito_edge_cli.token_input import read_token

from .change import rendered, write
from .check import Finding, Severity, check, configuration_of, worst
from .cors import cors_remarks
from .cut_off import (
    Document,
    handle_of,
    lost_cut_offs,
    moment,
    never_earlier,
    verified_claims,
    with_cut_offs,
)
from .explanation import caller_of, explained, ids_offline
from .located_json import object_or_empty
from .store import PolicyStore, Version, find_version, last_other
from .trial import try_request

EXAMPLES = """\
Examples:
  cognito-edge policy show --local > policy.json
  cognito-edge policy check policy.json
  cognito-edge policy test DELETE /admin/users/7 --file policy.json --claims claims.json
      offline: which rule, what decision, why
  cognito-edge token --local | cognito-edge policy test GET /api/whoami --local --token-file -
  cognito-edge policy put policy.json --local
  cognito-edge policy cut-off --sub 5f1c…
      everything of one user, from now until you take it out again
  cognito-edge policy cut-off --token-file stolen.txt
      the sign-in that a token is from, with all that was refreshed from it
  cognito-edge policy cut-off --issued-before now --signed-in-before now
      everybody has to sign in again
  cognito-edge policy history
  cognito-edge policy revert
      to the version before, keeping cut-offs made since

Put --local, --stack, --region and --profile after the command. Changes reach every edge within the settings' lifetime
(60 s, give or take 20 %). docs/policy.md explains each field.

Exit status: 0 done, allowed; 1 failed, broken, or not agreed to, with the reason; 2 wrong usage; 3 `test`: refused;
130 interrupted
"""

EXIT_REFUSED = 3
_Clock = Callable[[], float]


@click.group("policy", cls=Group, epilog=EXAMPLES)
def policy() -> None:
    """Read, check, try and change the gateway's policy."""


_yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
_advanced_option = click.option(
    "--advanced", is_flag=True, help="Allow an advanced parameter (8,192 bytes; $0.05 a month)."
)
_compact_option = click.option("--compact", is_flag=True, help="Write it without spaces.")
_drop_option = click.option("--drop-cut-offs", is_flag=True, help="Let in again what is cut off now.")
_version_argument = click.argument("number", metavar="[VERSION]", required=False, type=click.IntRange(min=1))


# --- show, history ------------------------------------------------------------------------------------------------------


@policy.command("show", short_help="print the policy in force, or an earlier version")
@_version_argument
@system_options
def _show(number: int | None, *, system: Choice) -> None:
    """Print the policy in force, or the earlier version VERSION."""
    store = PolicyStore(system.find())
    versions = _history_of(store)
    version = versions[-1] if number is None else find_version(versions, number)
    say(
        f"{store.name} of {store.stack.name}, version {version.number}, written {_shown_time(version)} by"
        f" {version.written_by}, {version.size:,} bytes ({version.tier.lower()})"
    )
    answer_json(version.text.rstrip("\n"))


@policy.command("history", short_help="list the versions that SSM keeps, the newest first")
@system_options
def _history(*, system: Choice) -> None:
    """List the versions that SSM keeps, the newest first."""
    versions = _history_of(PolicyStore(system.find()))
    say("version, written at, bytes, tier, state, by; `show VERSION` prints one, `revert VERSION` goes back to it")
    for version in reversed(versions):
        state = "in force" if version is versions[-1] else "earlier"
        try:
            parse_policy(version.text)
        except PolicyError:
            state = f"{state}, broken"
        fields = (version.number, _shown_time(version), version.size, version.tier.lower(), state, version.written_by)
        answer("\t".join(map(printable, fields)))


def _history_of(store: PolicyStore) -> list[Version]:
    versions = store.history()
    if not versions:
        raise ScriptError(_absent(store))
    return versions


def _shown_time(version: Version) -> str:
    return iso8601(version.written_at.timestamp())


def _absent(store: PolicyStore) -> str:
    return (
        f"{store.stack.name} has no {store.name} in {store.stack.parameter_region}: it was deleted. Edges keep the last"
        " policy that they read for a day; new ones answer 503. Write one with `cognito-edge policy put FILE`."
    )


# --- check, test --------------------------------------------------------------------------------------------------------


@policy.command("check", short_help="say what is wrong with a document, and where")
@click.argument("file", metavar="FILE")
@system_options
@click.pass_obj
def _check(clock: _Clock, file: str, *, system: Choice) -> int:
    """Say what is wrong with the document FILE (- for standard input), and where; with a system, against its pools too."""
    text = read_text(file)
    stack = system.find() if system.is_given else None
    ids = PolicyStore(stack).ids() if stack else None
    findings = check(text, ids, now=clock())
    for finding in findings:
        answer(finding.shown(file))
    if worst(findings) is not Severity.BROKEN and stack is not None:
        _say_cors(stack, text)
    if worst(findings) in (Severity.BROKEN, Severity.MISTAKE):
        return EXIT_FAILED
    routes = len(json.loads(text).get("routes", []))
    say(f"{file}: good, {routes} rule{'s' if routes != 1 else ''}, {len(text.encode()):,} bytes")
    return EXIT_OK


def _say_cors(stack: Stack, text: str) -> None:
    for remark in cors_remarks(stack, parse_policy(text).cors):
        say(f"warning: cors: {remark}")


@policy.command("test", short_help="say which rule decides about a request, how, and why")
@click.argument("method", type=click.Choice(METHODS, case_sensitive=False), metavar="METHOD")
@click.argument("path", callback=path_as_sent)
@click.option("--file", metavar="FILE", help="A document, instead of the one in force; alone: offline.")
@click.option("--token-file", metavar="FILE", help="A token; - for standard input. Without: no token.")
@click.option("--claims", "claims_file", metavar="FILE", help="A token's claims as a JSON object.")
@click.option("--origin", metavar="ORIGIN", help="The web page that calls; with OPTIONS: its preflight.")
@click.option("--user-pool-id", metavar="ID", help="Offline: the gateway's own pool (default: the token's).")
@click.option("--client-id", metavar="ID", help="Offline: its app client, or several joined by ','.")
@system_options
@click.pass_obj
def _test(
    clock: _Clock,
    method: str,
    path: str,
    *,
    file: str | None,
    token_file: str | None,
    claims_file: str | None,
    origin: str | None,
    user_pool_id: str | None,
    client_id: str | None,
    system: Choice,
) -> int:
    """Say which rule decides about a request, how, and why; nothing is sent to the gateway.

    PATH is as it would be sent, escapes and query included.
    """
    if token_file and claims_file:
        raise click.UsageError("--token-file and --claims contradict each other: give one of them.")
    if [file, token_file, claims_file].count("-") > 1:
        raise click.UsageError("Standard input can be one file only.")
    if (user_pool_id or client_id) and (system.is_given or not file):
        raise click.UsageError("--user-pool-id and --client-id are for --file alone; a system knows its own.")
    now = clock()
    store = PolicyStore(system.find()) if system.is_given or not file else None
    if file:
        text, source = read_text(file), file
    elif store:
        version = _history_of(store)[-1]
        text, source = version.text, f"version {version.number} of {store.stack.name}"
    token, claims, ring = caller_of(token_file, claims_file, store.stack if store else None)
    ids = store.ids() if store else ids_offline(text, claims, user_pool_id, client_id)
    trial = try_request(
        configuration_of(text, ids, source, now=now),
        method=method,
        target=path,
        token=token,
        keys=ring,
        origin=origin,
        now=now,
    )
    about = explained(trial, text=text, token=token, claims=claims, ring=ring, ids=ids)
    answer("\n".join([f"request   {method} {path}", f"policy    {source}", *about]))
    return EXIT_OK if trial.code is None else EXIT_REFUSED


# --- put, revert, cut-off ---------------------------------------------------------------------------------------------


@policy.command("put", short_help="check a document, show the difference, and write it")
@click.argument("file", metavar="FILE")
@click.option("--keep-cut-offs", is_flag=True, help="Carry over cut-offs that the file lacks.")
@_drop_option
@_compact_option
@_yes_option
@_advanced_option
@system_options
@click.pass_obj
def _put(
    clock: _Clock,
    file: str,
    *,
    keep_cut_offs: bool,
    drop_cut_offs: bool,
    compact: bool,
    yes: bool,
    advanced: bool,
    system: Choice,
) -> None:
    """Check the document FILE (- for standard input), show the difference, and write it."""
    if keep_cut_offs and drop_cut_offs:
        raise click.UsageError("--keep-cut-offs and --drop-cut-offs contradict each other: give one of them.")
    store = PolicyStore(system.find())
    text = read_text(file)
    before = store.current()
    findings = check(text, store.ids(), now=clock())
    _say_findings(findings, file)
    if worst(findings) in (Severity.BROKEN, Severity.MISTAKE):
        raise ScriptError(f"Nothing was written: {file} has errors.")
    document = json.loads(text)
    old = object_or_empty(before.text) if before else {}
    lost = lost_cut_offs(old, document)
    if lost and keep_cut_offs:
        document = with_cut_offs(document, old)
        text = rendered(document)
    elif lost and not drop_cut_offs:
        raise ScriptError(
            f"Nothing was written: {file} would let in again what is cut off now: {'; '.join(lost)}. Add"
            " --keep-cut-offs to carry that over, or --drop-cut-offs if it is meant."
        )
    if compact:
        text = rendered(document, compact=True)
    _say_cors(store.stack, text)
    write(store, text, before, yes=yes, advanced=advanced)


@policy.command("cut-off", short_help="end tokens before their time")
@click.option("--sub", "subs", multiple=True, metavar="SUB", help="A user; may be given several times.")
@click.option(
    "--issued-before",
    metavar="WHEN",
    callback=lambda context, _, text: None if text is None else moment(text, context.obj()),
    help="Tokens issued before: now, 2026-11-21T12:00:00Z, or seconds.",
)
@click.option(
    "--signed-in-before",
    metavar="WHEN",
    callback=lambda context, _, text: None if text is None else moment(text, context.obj()),
    help="Sign-ins before, however fresh the token.",
)
@click.option("--token-file", metavar="FILE", help="The sign-in of this token, which is verified; - for stdin.")
@click.option(
    "--by",
    type=click.Choice(["origin_jti", "jti", "sub"]),
    help="What of the token to cut off (default: origin_jti).",
)
@_compact_option
@_yes_option
@_advanced_option
@system_options
@click.pass_obj
def _cut_off(
    clock: _Clock,
    *,
    subs: Sequence[str],
    issued_before: int | None,
    signed_in_before: int | None,
    token_file: str | None,
    by: str | None,
    compact: bool,
    yes: bool,
    advanced: bool,
    system: Choice,
) -> None:
    """End tokens before their time."""
    times = {"issued_before": issued_before, "signed_in_before": signed_in_before}
    if not (subs or token_file or any(times.values())):
        raise click.UsageError("Say what: --sub, --token-file, --issued-before or --signed-in-before.")
    if by and not token_file:
        raise click.UsageError("--by says what of a token; give --token-file.")
    now = clock()
    store = PolicyStore(system.find())
    before = _history_of(store)[-1]
    configuration = configuration_of(before.text, store.ids(), f"version {before.number}", now=now)
    document: Document = json.loads(before.text)
    more: Document = {"sub": list(subs), "origin_jti": [], "jti": []}
    more |= never_earlier(times, document)
    if token_file:
        claims = verified_claims(read_token(token_file), store.stack, configuration, now)
        name, value = handle_of(claims, by)
        say(f"The token is genuine: {claims.token_use} token of {printable(claims.sub)}; cutting off its {name}.")
        if claims.exp <= now:
            say(
                f"It expired by itself at {iso8601(claims.exp)}; what was refreshed from the same sign-in may not have."
            )
        more[name].append(value)
    text = rendered(with_cut_offs(document, {"cut_off": more}), compact=compact)
    write(store, text, before, yes=yes, advanced=advanced)
    if issued_before is not None and signed_in_before is None:
        say("Whoever is signed in refreshes and comes back: --signed-in-before asks everybody to sign in again.")
    if signed_in_before is not None:
        say("Tokens without auth_time, such as those of machine clients, are refused from now on (missing_claim).")


@policy.command("revert", short_help="go back to an earlier version")
@_version_argument
@_drop_option
@_yes_option
@_advanced_option
@system_options
@click.pass_obj
def _revert(
    clock: _Clock, number: int | None, *, drop_cut_offs: bool, yes: bool, advanced: bool, system: Choice
) -> None:
    """Go back to the version VERSION, by default to the last that said something else."""
    store = PolicyStore(system.find())
    versions = _history_of(store)
    current = versions[-1]
    target = last_other(versions) if number is None else find_version(versions, number)
    text = target.text
    findings = check(text, store.ids(), now=clock())
    _say_findings(
        [finding for finding in findings if finding.severity is not Severity.WARNING], f"version {target.number}"
    )
    if worst(findings) is Severity.BROKEN:
        raise ScriptError(f"Nothing was written: version {target.number} is broken, and edges would not take it.")
    document, old = object_or_empty(text), object_or_empty(current.text)
    if not drop_cut_offs and (lost := lost_cut_offs(old, document)):
        say(f"Cut-offs made since stay in force (--drop-cut-offs lifts them): {'; '.join(lost)}.")
        text = rendered(with_cut_offs(document, old))
    say(f"Going back to version {target.number}, as version {current.number + 1}.")
    write(store, text, current, yes=yes, advanced=advanced)


def _say_findings(findings: Sequence[Finding], name: str) -> None:
    for finding in findings:
        say(finding.shown(name))
