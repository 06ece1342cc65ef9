"""Sign a person in and print their token: `curl -H "Authorization: Bearer $(python scripts/get_token.py --local)" …`."""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from cognito_edge_cli import stack as _stack
from cognito_edge_cli.console import EXIT_OK, Questions, RefusedError, ScriptError, answer, run, say
from cognito_edge_cli.stack import Stack

from . import hosted_ui as _hosted_ui
from . import password as _password_sign_in
from .callback import REGISTERED_PORTS
from .token_cache import REFRESH_BEFORE_S, TokenCache, Tokens, check_id_token

EXAMPLES = """\
examples:
  curl -H "Authorization: Bearer $(python scripts/get_token.py --local)" http://127.0.0.1:8080/api/whoami
                                       as the local system's demo user
  python scripts/get_token.py --local --header | curl -H @- http://127.0.0.1:8080/api/whoami
                                       the same; the token shows in no list of processes
  python scripts/get_token.py          a browser opens at the deployed stack's hosted UI
  python scripts/get_token.py --username alice
                                       asks for alice's password here (SRP: it is not sent anywhere)
  printf '%s\\n' "$PASSWORD" | python scripts/get_token.py --username alice --password-stdin
  python scripts/get_token.py --logout revokes and forgets everything that was cached for the stack

Tokens are kept, readable by you alone, in ~/.cache/cognito-edge-gateway (XDG_CACHE_HOME is respected; --local:
.local/tokens), and refreshed when less than 5 minutes are left. A token keeps the groups it was made with: after
a change of groups, --force signs in anew.

exit status: 0 done; 1 refused or failed, with the reason on standard error; 2 wrong usage; 130 interrupted
"""


def main(argv: Sequence[str] | None = None, *, clock: Callable[[], float] = time.time) -> int:
    """Print what *argv* asks for and return the exit status.

    Args:
        argv: The arguments after the script's name; None means this process's own.
        clock: Epoch seconds.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    _check_usage(parser, arguments)

    def work() -> int:
        stack = _stack.find(parser, arguments)
        if arguments.logout:
            return _log_out(stack, arguments)
        tokens = _obtain(stack, arguments, clock)
        answer(_format(tokens, arguments, clock()))
        return EXIT_OK

    return run(work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="get_token.py",
        description="Sign a person in and print their ID token, alone, on standard output.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _stack.add_arguments(parser)
    how = parser.add_argument_group("how to sign in (default: with a browser; --local alone: as the demo user)")
    how.add_argument("--browser", action="store_true", help="with a browser, for --local as well")
    how.add_argument("--no-browser", action="store_true", help="print the link instead of opening a browser")
    how.add_argument("--username", metavar="NAME", help="with a password, asked for here; never an argument")
    how.add_argument(
        "--password-stdin",
        action="store_true",
        help="with --username: the password is the first line of standard input; a new password or a code, where"
        " Cognito asks for one, is the next",
    )
    how.add_argument(
        "--scope",
        metavar="SCOPES",
        help=f"with a browser: the scopes to ask for, space-separated (default: {_hosted_ui.DEFAULT_SCOPE!r})",
    )
    how.add_argument(
        "--callback-port",
        type=_port,
        metavar="PORT",
        help="with a browser: listen on this port, which the app client must have registered"
        f" (default: the first free one of {' and '.join(map(str, REGISTERED_PORTS))})",
    )
    how.add_argument(
        "--timeout", type=_seconds, default=300.0, metavar="SECONDS", help="wait so long for the browser (default: 300)"
    )
    what = parser.add_argument_group("what to print (default: the ID token)").add_mutually_exclusive_group()
    what.add_argument("--access", action="store_true", help="the access token")
    what.add_argument("--refresh", action="store_true", help="the refresh token")
    what.add_argument("--json", action="store_true", help="all tokens and when they expire, as JSON")
    what.add_argument("--logout", action="store_true", help="nothing: revoke the refresh tokens, delete the cache")
    parser.add_argument("--header", action="store_true", help="as a header line, for `curl -H @-`")
    cache = parser.add_mutually_exclusive_group()
    cache.add_argument("--force", action="store_true", help="sign in anew, whatever is cached; keep the new tokens")
    cache.add_argument("--no-cache", action="store_true", help="sign in anew; read and keep nothing on disk")
    return parser


def _check_usage(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    browser = [
        option
        for option, given in (
            ("--browser", arguments.browser),
            ("--no-browser", arguments.no_browser),
            ("--scope", arguments.scope is not None),
            ("--callback-port", arguments.callback_port is not None),
        )
        if given
    ]
    if arguments.username is not None and browser:
        parser.error(f"{browser[0]} is for the browser, --username for a password: give one of them")
    if arguments.username == "":
        parser.error("--username: expected a name")
    if arguments.browser and arguments.no_browser:
        parser.error("--browser and --no-browser contradict each other")
    if arguments.password_stdin and arguments.username is None:
        parser.error("--password-stdin needs --username")
    if arguments.header and (arguments.json or arguments.refresh or arguments.logout):
        parser.error("--header is for the ID token or, with --access, the access token")
    arguments.with_browser = bool(browser) or (arguments.username is None and not arguments.local)


def _obtain(stack: Stack, arguments: argparse.Namespace, clock: Callable[[], float]) -> Tokens:
    """Return tokens that last: cached, refreshed, or of a new sign-in, in this order."""
    scope = arguments.scope or _hosted_ui.DEFAULT_SCOPE
    username = None if arguments.with_browser else (arguments.username or stack.username)
    key = f"browser {scope}" if username is None else f"user {username}"
    cache = None if arguments.no_cache else TokenCache(stack)
    if cache is not None and not arguments.force:
        tokens = _from_cache(cache, key, stack, clock)
        if tokens is not None:
            return tokens
    if username is None:
        tokens = _hosted_ui.sign_in(
            stack,
            scope=scope,
            clock=clock,
            show_link=_hosted_ui.print_link if arguments.no_browser else _hosted_ui.open_browser,
            ports=REGISTERED_PORTS if arguments.callback_port is None else (arguments.callback_port,),
            timeout_s=arguments.timeout,
        )
    else:
        questions = Questions(from_stdin=arguments.password_stdin)
        # The demo user's password is no secret of anybody's; scripts without a terminal need it.
        known = stack.password if username == stack.username and not arguments.password_stdin else None
        password = known or questions.secret(f"Password of {username}")
        tokens = _password_sign_in.sign_in(stack, username, password, questions=questions, clock=clock)
    if cache is not None:
        cache.save(key, tokens)
    return tokens


def _from_cache(cache: TokenCache, key: str, stack: Stack, clock: Callable[[], float]) -> Tokens | None:
    """Return the cached tokens, refreshed if need be; None if somebody has to sign in."""
    with cache.locked():
        tokens = cache.load(key)
        if tokens is None:
            return None
        if tokens.expires_at - clock() >= REFRESH_BEFORE_S:
            return tokens
        if tokens.refresh_token is None:
            return None
        refresh = _hosted_ui.refresh if tokens.via == _hosted_ui.VIA else _password_sign_in.refresh
        try:
            newer = refresh(stack, tokens)
        except RefusedError as error:
            say(f"note: the cached sign-in has ended ({error}) Signing in anew.")
            cache.delete(key)
            return None
        check_id_token(newer, stack, now=clock())
        # "its sub Claim Value MUST be the same as in the ID Token issued when the original authentication occurred"
        # OpenID Connect Core 1.0 §12.2
        if newer.subject != tokens.subject:
            raise ScriptError("The refreshed ID token is somebody else's (other sub). Nothing was kept; use --force.")
        cache.save(key, newer)
        return newer


def _log_out(stack: Stack, arguments: argparse.Namespace) -> int:
    """Revoke and forget: everything of the stack, or one user's with --username.

    What cannot be revoked for lack of an answer is kept, so that the next try can.
    """
    cache = TokenCache(stack)
    keys = cache.keys() if arguments.username is None else [f"user {arguments.username}"]
    ended, browser_used = 0, False
    for key in keys:
        tokens = cache.load(key, to_revoke=True)
        if tokens is not None:
            browser_used |= tokens.via == _hosted_ui.VIA
            if tokens.refresh_token is not None:
                try:
                    _hosted_ui.revoke(stack, tokens.refresh_token)
                except RefusedError as error:
                    say(f"note: {error} It is forgotten all the same.")
            ended += 1
            say(f"Signed out: {tokens.label}.")
        cache.delete(key)
    if not ended:
        say(f"Nobody is signed in to {stack.name} from here.")
    else:
        say("Tokens handed out before stay valid at the gateway until they expire, unless its policy cuts them off.")
    if browser_used:
        say(f"The browser may stay signed in for up to an hour; this ends it, too: {_hosted_ui.logout_link(stack)}")
    return EXIT_OK


def _format(tokens: Tokens, arguments: argparse.Namespace, now: float) -> str:
    if arguments.json:
        expires_at = datetime.fromtimestamp(tokens.expires_at, UTC)
        fields = {
            "id_token": tokens.id_token,
            "access_token": tokens.access_token,
            "refresh_token": tokens.refresh_token,
            "token_type": "Bearer",
            "expires_in": int(tokens.expires_at - now),
            "expires_at": expires_at.isoformat().replace("+00:00", "Z"),
        }
        return json.dumps(fields, indent=2)
    if arguments.refresh:
        if tokens.refresh_token is None:
            raise ScriptError("The server gave no refresh token.")
        return tokens.refresh_token
    token = tokens.access_token if arguments.access else tokens.id_token
    return f"Authorization: Bearer {token}" if arguments.header else token


def _port(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 1 to 65535, got {number}")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number <= 3600:
        raise argparse.ArgumentTypeError(f"expected seconds from above 0 to 3600, got {text}")
    return number
