"""Read, check, try and change the gateway's policy: who may do what, and which tokens are out."""

import argparse
import difflib
import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cognito_edge.bearer import bearer_token
from cognito_edge.errors import GatewayError, iso8601
from cognito_edge.jws import parse_compact
from cognito_edge.parameters import CLIENT_ID, POLICY, USER_POOL_ID, Configuration, ParametersError, parse_parameters
from cognito_edge.policy import METHODS
from cognito_edge.policy_document import PolicyError, parse_policy

from cognito_edge_cli import stack as _stack
from cognito_edge_cli.console import EXIT_OK, Questions, ScriptError, answer, has_terminal, run, say
from cognito_edge_cli.stack import Stack

from .check import Finding, Ids, Severity, check, route_place, worst
from .cors import cors_remarks
from .cut_off import TIMES, Document, handle_of, lost_cut_offs, verified_claims, with_cut_offs
from .located_json import locate
from .store import PolicyStore, Version, find_version
from .trial import KID, KeyRing, Trial, token_of, try_request

EXAMPLES = """\
examples:
  python scripts/policy.py show --local > policy.json
  python scripts/policy.py check policy.json
  python scripts/policy.py test DELETE /admin/users/7 --file policy.json --claims claims.json
                                       offline: which rule, what decision, why
  python scripts/get_token.py --local | python scripts/policy.py test GET /api/whoami --local --token-file -
  python scripts/policy.py put policy.json --local
  python scripts/policy.py cut-off --sub 5f1c…   everything of one user, from now until you take it out again
  python scripts/policy.py cut-off --token-file stolen.txt
                                       the sign-in that a token is from, with all that was refreshed from it
  python scripts/policy.py cut-off --issued-before now --signed-in-before now
                                       everybody has to sign in again
  python scripts/policy.py history
  python scripts/policy.py revert      to the version before, keeping cut-offs made since

Put --local, --stack, --region and --profile after the command. Changes reach every edge within the settings' lifetime
(60 s, give or take 20 %). docs/policy.md explains each field.

exit status: 0 done, allowed; 1 failed, broken, or not agreed to, with the reason; 2 wrong usage; 3 `test`: refused;
130 interrupted
"""

EXIT_FAILED = 1
EXIT_REFUSED = 3
# The longest file that is read: far more than SSM takes, little enough to be read at once.
_MAX_FILE_BYTES = 1_048_576
# What stands in for the gateway's own pool where it is not known.
_UNKNOWN_POOL = "us-east-1_unknown"
_MAX_TOKEN_BYTES = 32_768


def main(argv: Sequence[str] | None = None, *, clock: Callable[[], float] = time.time) -> int:
    """Do what *argv* (None: this process's own arguments) says and return the exit status.

    Args:
        argv: The arguments after the script's name.
        clock: Epoch seconds.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    arguments.now = clock()
    arguments.parser = parser
    _check_usage(parser, arguments)
    return run(lambda: int(arguments.command(arguments)))


# --- show, history ------------------------------------------------------------------------------------------------------


def _show(arguments: argparse.Namespace) -> int:
    store = _store(arguments)
    versions = store.history()
    if not versions:
        raise ScriptError(_absent(store))
    version = versions[-1] if arguments.version is None else find_version(versions, arguments.version)
    say(_headline(store, version))
    answer(version.text.rstrip("\n"))
    return EXIT_OK


def _history(arguments: argparse.Namespace) -> int:
    store = _store(arguments)
    versions = store.history()
    if not versions:
        raise ScriptError(_absent(store))
    say("version, written at, bytes, tier, state, by; `show VERSION` prints one, `revert VERSION` goes back to it")
    for version in reversed(versions):
        state = "in force" if version is versions[-1] else "earlier"
        try:
            parse_policy(version.text)
        except PolicyError:
            state = f"{state}, broken"
        when = version.written_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        fields = (str(version.number), when, str(version.size), version.tier.lower(), state, version.written_by)
        answer("\t".join(fields))
    return EXIT_OK


def _headline(store: PolicyStore, version: Version) -> str:
    when = version.written_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f"{store.name} of {store.stack.name}, version {version.number}, written {when} by {version.written_by},"
        f" {version.size:,} bytes ({version.tier.lower()})"
    )


def _absent(store: PolicyStore) -> str:
    return (
        f"{store.stack.name} has no {store.name} in {store.stack.parameter_region}: it was deleted. Edges keep the last"
        " policy that they read for a day; new ones answer 503. Write one with `policy.py put FILE`."
    )


# --- check --------------------------------------------------------------------------------------------------------------


def _check(arguments: argparse.Namespace) -> int:
    text = _read(arguments.file)
    stack = _stack.find(arguments.parser, arguments) if _names_a_system(arguments) else None
    ids = PolicyStore(stack).ids() if stack else None
    findings = check(text, ids, now=arguments.now)
    for finding in findings:
        answer(finding.shown(arguments.file))
    if worst(findings) is not Severity.BROKEN and stack is not None:
        _say_cors(stack, text)
    if worst(findings) in (Severity.BROKEN, Severity.MISTAKE):
        return EXIT_FAILED
    routes = len(json.loads(text).get("routes", []))
    say(f"{arguments.file}: good, {routes} rule{'s' if routes != 1 else ''}, {len(text.encode()):,} bytes")
    return EXIT_OK


def _say_cors(stack: Stack, text: str) -> None:
    for remark in cors_remarks(stack, parse_policy(text).cors):
        say(f"warning: cors: {remark}")


# --- test ---------------------------------------------------------------------------------------------------------------


def _test(arguments: argparse.Namespace) -> int:
    stack = _stack.find(arguments.parser, arguments) if _names_a_system(arguments) or not arguments.file else None
    store = PolicyStore(stack) if stack else None
    if arguments.file:
        text, source = _read(arguments.file), arguments.file
    else:
        assert store is not None  # noqa: S101 - there is one or the other
        version = store.current()
        if version is None:
            raise ScriptError(_absent(store))
        text, source = version.text, f"version {version.number} of {store.stack.name}"

    token, claims, ring = _caller(arguments, stack)
    ids = store.ids() if store else _ids_offline(arguments, text, claims)
    trial = try_request(
        _configuration(text, ids, source, now=arguments.now),
        method=arguments.method,
        target=arguments.path,
        token=token,
        keys=ring,
        origin=arguments.origin,
        now=arguments.now,
    )
    lines = [f"request   {arguments.method} {arguments.path}", f"policy    {source}", f"rule      {_rule(trial, text)}"]
    lines += [f"caller    {_described(token, claims, ring)}"]
    if token is not None and ids.user_pool_id == _UNKNOWN_POOL:
        lines += [
            "          the gateway's own pool is not known here: name it with --user-pool-id, or use --local, --stack"
        ]
    lines += [f"decision  {_decision(trial)}"]
    answer("\n".join(lines))
    return EXIT_OK if trial.code is None else EXIT_REFUSED


def _caller(arguments: argparse.Namespace, stack: Stack | None) -> tuple[str | None, Document, KeyRing]:
    """Return the token to try, what it claims, and the keys to try it with."""
    if arguments.claims:
        claims = _object(arguments.claims)
        return token_of(claims), claims, KeyRing(KID, None, "these are claims from a file")
    if arguments.token_file:
        token = _token(arguments.token_file)
        unverified = parse_compact(token)
        why_not = "" if stack else "offline; --local or --stack would check it"
        return token, unverified.claims, KeyRing(unverified.kid, stack, why_not)
    return None, {}, KeyRing("", None)


def _ids_offline(arguments: argparse.Namespace, text: str, claims: Document) -> Ids:
    """Say which pool is the gateway's own, without asking anybody: as stated, or else the token's."""
    client = claims.get("aud") if claims.get("token_use") == "id" else claims.get("client_id")
    pool_id = str(claims.get("iss", "")).rpartition("/")[2]
    others = {entry.get("user_pool_id") for entry in _or_empty(text).get("issuers", []) if isinstance(entry, dict)}
    if pool_id in others or not re.fullmatch(r"[\w-]+_\w+", pool_id):
        pool_id = _UNKNOWN_POOL
    if not isinstance(client, str) or pool_id == _UNKNOWN_POOL:
        client = "unknown"
    return Ids(arguments.user_pool_id or pool_id, arguments.client_id or client)


def _or_empty(text: str) -> Document:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) and isinstance(value.get("issuers", []), list) else {}


def _configuration(text: str, ids: Ids, source: str, *, now: float) -> Configuration:
    """Return what the edge would make of a document.

    Raises:
        ScriptError: It is broken; the message names every fault.
    """
    try:
        values = {USER_POOL_ID: ids.user_pool_id, CLIENT_ID: ids.client_id, POLICY: text}
        return parse_parameters(values, policy_required=True)
    except ParametersError as error:
        faults = [f for f in check(text, ids, now=now) if f.severity is Severity.BROKEN]
        shown = "\n".join(f"  {fault.shown(source)}" for fault in faults) or f"  {error}"
        raise ScriptError(f"{source} is broken; edges go on with the last good policy:\n{shown}") from None


def _rule(trial: Trial, text: str) -> str:
    if trial.route is not None:
        place = route_place(trial.route)
        located = locate(text)
        line, _ = located.where(place)
        return f"{trial.rule} (line {line}): {json.dumps(located.at(place), ensure_ascii=False)}"
    if trial.rule is None:
        return "none; the request was over before"
    if trial.rule in ("default", "(default)"):
        return "none matches the path: a valid ID token of the gateway's own pool is needed"
    return f"those for {trial.rule}"


def _described(token: str | None, claims: Document, ring: KeyRing) -> str:
    if token is None:
        return "nobody: no token"
    groups = claims.get("cognito:groups") or []
    parts = [
        f"{claims.get('token_use', 'unknown')} token of {claims.get('sub', 'nobody')}",
        f"groups {', '.join(map(str, groups)) if isinstance(groups, list) and groups else 'none'}",
    ]
    if scope := claims.get("scope"):
        parts.append(f"scopes {scope}")
    if ring.unchecked:
        parts.append(f"SIGNATURE NOT CHECKED ({ring.unchecked})")
    elif ring.checked:
        parts.append(f"signature checked with the keys of {', '.join(sorted(ring.checked))}")
    return "; ".join(parts)


def _decision(trial: Trial) -> str:
    if trial.status is None:
        ignored = trial.log.get("ignored_token")
        who = (
            f"without an identity: the token does not count here ({ignored})"
            if ignored
            else "with the caller's identity"
        )
        if "sub_hash" not in trial.log and not ignored:
            who = "without an identity"
        return f"allowed: sent on to the backend, {who}"
    readable = trial.headers.get("access-control-allow-origin")
    if trial.code is None:
        allowed = (
            f"the page may call with {trial.headers.get('access-control-allow-methods')}"
            if readable
            else ("no CORS headers: the browser will not let that page call")
        )
        return f"answered at the edge: {trial.status}; {allowed}"
    lines = [f"refused: {trial.status} {trial.code}: {trial.detail}"]
    if challenge := trial.headers.get("www-authenticate"):
        lines.append(f"          WWW-Authenticate: {challenge}")
    if trial.log.get("reason"):
        lines.append(f"          {trial.log['reason']}")
    return "\n".join(lines)


# --- put, revert, cut-off ---------------------------------------------------------------------------------------------


def _put(arguments: argparse.Namespace) -> int:
    store = _store(arguments)
    text = _read(arguments.file)
    before = store.current()
    findings = check(text, store.ids(), now=arguments.now)
    _say_findings(findings, arguments.file)
    if worst(findings) in (Severity.BROKEN, Severity.MISTAKE):
        raise ScriptError(f"Nothing was written: {arguments.file} has errors.")
    document = json.loads(text)
    lost = lost_cut_offs(_or_empty(before.text) if before else {}, document)
    if lost and arguments.keep_cut_offs:
        document = with_cut_offs(document, _or_empty(before.text if before else ""))
        text = _rendered(document)
    elif lost and not arguments.drop_cut_offs:
        raise ScriptError(
            f"Nothing was written: {arguments.file} would let in again what is cut off now: {'; '.join(lost)}. Add"
            " --keep-cut-offs to carry that over, or --drop-cut-offs if it is meant."
        )
    if arguments.compact:
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    _say_cors(store.stack, text)
    return _write(store, text, before, arguments)


def _revert(arguments: argparse.Namespace) -> int:
    store = _store(arguments)
    versions = store.history()
    if not versions:
        raise ScriptError(_absent(store))
    current = versions[-1]
    if arguments.version is not None:
        target = find_version(versions, arguments.version)
    else:
        others = [version for version in versions if _or_empty(version.text) != _or_empty(current.text)]
        if not others:
            raise ScriptError("There is no earlier version that says anything else. See `policy.py history`.")
        target = others[-1]
    text = target.text
    _refuse_broken(text, store, f"version {target.number}", arguments.now)
    document = _or_empty(text)
    if not arguments.drop_cut_offs and (lost := lost_cut_offs(_or_empty(current.text), document)):
        say(f"Cut-offs made since stay in force (--drop-cut-offs lifts them): {'; '.join(lost)}.")
        text = _rendered(with_cut_offs(document, _or_empty(current.text)))
    say(f"Going back to version {target.number}, as version {current.number + 1}.")
    return _write(store, text, current, arguments)


def _cut_off(arguments: argparse.Namespace) -> int:
    store = _store(arguments)
    before = store.current()
    if before is None:
        raise ScriptError(_absent(store))
    configuration = _configuration(before.text, store.ids(), f"version {before.number}", now=arguments.now)
    document: Document = json.loads(before.text)
    more: Document = {"sub": list(arguments.sub), "origin_jti": [], "jti": []}
    for name in TIMES:
        if (when := getattr(arguments, name)) is not None:
            already = document.get("cut_off", {}).get(name, 0)
            if when < already:
                raise ScriptError(
                    f"Nothing was written: {name} is {already} ({iso8601(already)}) already, which is later than {when}."
                    " To let tokens in again, edit the document and `put` it with --drop-cut-offs."
                )
            more[name] = when
    if arguments.token_file:
        claims = verified_claims(_token(arguments.token_file), store.stack, configuration, arguments.now)
        name, value = handle_of(claims, arguments.by)
        say(f"The token is genuine: {claims.token_use} token of {claims.sub}; cutting off its {name}.")
        if claims.exp <= arguments.now:
            say(
                f"It expired by itself at {iso8601(claims.exp)}; what was refreshed from the same sign-in may not have."
            )
        more[name].append(value)
    text = _rendered(with_cut_offs(document, {"cut_off": more}), compact=arguments.compact)
    status = _write(store, text, before, arguments)
    if status == EXIT_OK and arguments.issued_before is not None and arguments.signed_in_before is None:
        say("Whoever is signed in refreshes and comes back: --signed-in-before asks everybody to sign in again.")
    if status == EXIT_OK and arguments.signed_in_before is not None:
        say("Tokens without auth_time, such as those of machine clients, are refused from now on (missing_claim).")
    return status


def _refuse_broken(text: str, store: PolicyStore, name: str, now: float) -> None:
    findings = check(text, store.ids(), now=now)
    _say_findings([finding for finding in findings if finding.severity is not Severity.WARNING], name)
    if worst(findings) is Severity.BROKEN:
        raise ScriptError(f"Nothing was written: {name} is broken, and edges would not take it.")


def _say_findings(findings: Sequence[Finding], name: str) -> None:
    for finding in findings:
        say(finding.shown(name))


def _rendered(document: Document, *, compact: bool = False) -> str:
    """Write a document that this script has changed."""
    if compact:
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return json.dumps(document, indent=2, ensure_ascii=False)


def _write(store: PolicyStore, text: str, before: Version | None, arguments: argparse.Namespace) -> int:
    """Show the difference, ask, write."""
    if before is not None and before.text == text:
        say(f"Nothing to do: version {before.number} says exactly this already.")
        return EXIT_OK
    say(_difference(before, text, store.name))
    if not arguments.yes:
        if not has_terminal():
            raise ScriptError("Nothing was written: there is no terminal to ask at. Add --yes if the change is meant.")
        typed = Questions(from_stdin=False).text(f"Write this to {store.name} of {store.stack.name}? [yes/no]")
        if typed.lower() not in ("y", "yes"):
            raise ScriptError("Nothing was written.")
    number = store.put(text, over=before, advanced=arguments.advanced)
    say(f"Version {number} is written. Edges take it up within 72 seconds (60 s, give or take 20 %).")
    return EXIT_OK


def _difference(before: Version | None, text: str, name: str) -> str:
    """Return the unified difference of what the two documents say, whatever their spaces."""
    old = _lines(before.text) if before else []
    lines = list(
        difflib.unified_diff(
            old, _lines(text), f"{name} version {before.number if before else 0}", f"{name} new", lineterm=""
        )
    )
    return "\n".join(lines) or "The two say the same, with other spaces."


def _lines(text: str) -> list[str]:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False).splitlines()
    except ValueError:
        return text.splitlines()


# --- reading ------------------------------------------------------------------------------------------------------------


def _store(arguments: argparse.Namespace) -> PolicyStore:
    return PolicyStore(_stack.find(arguments.parser, arguments))


def _names_a_system(arguments: argparse.Namespace) -> bool:
    return bool(arguments.local or arguments.stack)


def _read(name: str) -> str:
    """Return a file's text, or standard input's for "-".

    Raises:
        ScriptError: It cannot be read.
    """
    try:
        data = sys.stdin.buffer.read(_MAX_FILE_BYTES) if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ScriptError(f"{name}: expected text in UTF-8; byte {error.start} is none.") from None
    except OSError as error:
        raise ScriptError(f"{name} cannot be read: {error.strerror}.") from None


def _object(name: str) -> Document:
    try:
        claims = json.loads(_read(name))
    except ValueError as error:
        raise ScriptError(f"{name}: expected the claims as a JSON object: {error}.") from None
    if not isinstance(claims, dict):
        raise ScriptError(f'{name}: expected the claims as a JSON object, such as {{"sub": "…", "token_use": "id"}}.')
    return claims


def _token(name: str) -> str:
    """Read a token from a file. Arguments show in process lists, so that there it never stands.

    Raises:
        ScriptError: There is none in it; the message repeats nothing of it.
    """
    text = _read(name).strip()
    header = text.partition(":")[2].strip() if text.lower().startswith("authorization:") else text
    value = header if header.lower().startswith("bearer ") else f"Bearer {header}"
    try:
        token = bearer_token([value], _MAX_TOKEN_BYTES)
        parse_compact(token)
    except GatewayError as error:
        raise ScriptError(f"{'standard input' if name == '-' else name} holds no token: {error}") from None
    return token


# --- command line -------------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="policy.py",
        description="Read, check, try and change the gateway's policy.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, work: Callable[[argparse.Namespace], int], purpose: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=purpose, description=purpose[:1].upper() + purpose[1:] + ".")
        made.set_defaults(command=work)
        return made

    show = command("show", _show, "print the policy in force, or an earlier version")
    show.add_argument("version", nargs="?", type=_version_number, metavar="VERSION")

    checks = command(
        "check", _check, "say what is wrong with a document, and where; with a system, against its pools too"
    )
    checks.add_argument("file", metavar="FILE", help="the document; - for standard input")

    test = command(
        "test", _test, "say which rule decides about a request, how, and why; nothing is sent to the gateway"
    )
    test.add_argument("method", metavar="METHOD", type=_method)
    test.add_argument("path", metavar="PATH", type=_path, help="as it would be sent, escapes and query included")
    test.add_argument("--file", metavar="FILE", help="a document, instead of the one in force; alone: offline")
    caller = test.add_mutually_exclusive_group()
    caller.add_argument("--token-file", metavar="FILE", help="a token; - for standard input. Without: no token")
    caller.add_argument("--claims", metavar="FILE", help="a token's claims as a JSON object")
    test.add_argument("--origin", metavar="ORIGIN", help="the web page that calls; with OPTIONS: its preflight")
    test.add_argument("--user-pool-id", metavar="ID", help="offline: the gateway's own pool (default: the token's)")
    test.add_argument("--client-id", metavar="ID", help="offline: its app client, or several joined by ','")

    put = command("put", _put, "check a document, show the difference, and write it")
    put.add_argument("file", metavar="FILE", help="the document; - for standard input")
    put.add_argument("--keep-cut-offs", action="store_true", help="carry over cut-offs that the file lacks")

    cut = command("cut-off", _cut_off, "end tokens before their time")
    cut.add_argument("--sub", action="append", default=[], metavar="SUB", help="a user; may be given several times")
    cut.add_argument(
        "--issued-before", metavar="WHEN", help="tokens issued before: now, 2026-11-21T12:00:00Z, or seconds"
    )
    cut.add_argument("--signed-in-before", metavar="WHEN", help="sign-ins before, however fresh the token")
    cut.add_argument("--token-file", metavar="FILE", help="the sign-in of this token, which is verified; - for stdin")
    cut.add_argument(
        "--by", choices=("origin_jti", "jti", "sub"), help="what of the token to cut off (default: origin_jti)"
    )

    command("history", _history, "list the versions that SSM keeps, the newest first")
    revert = command(
        "revert", _revert, "go back to an earlier version, by default to the last that said something else"
    )
    revert.add_argument("version", nargs="?", type=_version_number, metavar="VERSION")

    for writing in (put, revert, cut):
        writing.add_argument("--yes", action="store_true", help="do not ask")
        writing.add_argument(
            "--advanced", action="store_true", help="allow an advanced parameter (8,192 bytes; $0.05/month)"
        )
    for writing in (put, cut):
        writing.add_argument("--compact", action="store_true", help="write it without spaces")
    for writing in (put, revert):
        writing.add_argument("--drop-cut-offs", action="store_true", help="let in again what is cut off now")
    for made in commands.choices.values():
        _stack.add_arguments(made)
    return parser


def _check_usage(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    if arguments.command is _cut_off:
        for name in TIMES:
            if (text := getattr(arguments, name)) is not None:
                setattr(arguments, name, _moment(parser, f"--{name.replace('_', '-')}", text, arguments.now))
        if not (arguments.sub or arguments.token_file or arguments.issued_before or arguments.signed_in_before):
            parser.error("cut-off: say what: --sub, --token-file, --issued-before or --signed-in-before")
        if arguments.by and not arguments.token_file:
            parser.error("cut-off: --by says what of a token; give --token-file")
    if arguments.command is _put and arguments.keep_cut_offs and arguments.drop_cut_offs:
        parser.error("put: --keep-cut-offs or --drop-cut-offs, not both")
    if arguments.command is _test:
        files = [arguments.file, arguments.token_file, arguments.claims]
        if files.count("-") > 1:
            parser.error("test: standard input can be one file only")
        if (arguments.user_pool_id or arguments.client_id) and (_names_a_system(arguments) or not arguments.file):
            parser.error("test: --user-pool-id and --client-id are for --file alone; a system knows its own")


def _moment(parser: argparse.ArgumentParser, option: str, text: str, now: float) -> int:
    """Read a time: `now`, ISO 8601 with a time zone, or seconds since the epoch.

    Tokens of the running second count as before `now`: their `iat` has no fractions.
    """
    soon = int(now) + 1
    if text == "now":
        return soon
    if text.isascii() and text.isdigit():
        when = int(text)
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            parser.error(f"{option}: expected now, 2026-11-21T12:00:00Z or seconds since 1970, not {text!r}")
        when = int(moment.timestamp())
    if not 0 < when <= soon:
        parser.error(f"{option}: {text} is not in the past (it is {int(now)} now, in seconds): nobody would get in")
    return when


def _version_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"expected a version's number, as `history` prints it, not {text!r}")
    return int(text)


def _method(text: str) -> str:
    if text.upper() not in METHODS:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(METHODS)}, not {text!r}")
    return text.upper()


def _path(text: str) -> str:
    if not text.startswith("/") or "#" in text or any(character.isspace() for character in text):
        raise argparse.ArgumentTypeError(f"expected a path as it is sent, such as /api/whoami, not {text!r}")
    return text
