"""The command ``token``: sign a person in and print their token."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cognito_edge_cli.console import Command, Questions, RefusedError, ScriptError, answer, say
from cognito_edge_cli.stack import Choice, Stack, system_options

from . import hosted_ui, password
from .callback import REGISTERED_PORTS
from .id_token import published_keys, validate
from .token_cache import REFRESH_BEFORE_S, TokenCache, Tokens

EXAMPLES = """\
Examples:
  curl -H "Authorization: Bearer $(cognito-edge token --local)" http://127.0.0.1:8080/api/whoami
      as the local system's demo user
  cognito-edge token --local --header | curl -H @- http://127.0.0.1:8080/api/whoami
      the same; process lists do not show the token
  cognito-edge token
      a browser opens at the deployed stack's hosted UI
  cognito-edge token --username alice
      asks for alice's password here (SRP: it is not sent anywhere)
  printf '%s\\n' "$PASSWORD" | cognito-edge token --username alice --password-stdin
  cognito-edge token --logout
      revokes and forgets everything that was cached for the stack

Without an option that says how, a browser signs in; with --local alone, the demo user does. Tokens are kept, readable
by you alone, in ~/.cache/cognito-edge-gateway (XDG_CACHE_HOME is respected; --local: .local/tokens), and refreshed
when less than 5 minutes are left. A token keeps the groups it was made with: after a change of groups, --force signs
in anew.

Exit status: 0 done; 1 refused or failed, with the reason on standard error; 2 wrong usage; 130 interrupted
"""

_Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """How to sign in, as the command line says; without arguments, as its defaults do.

    Attributes:
        browser: With a browser, for the local system as well.
        no_browser: With a browser that the person opens.
        username: With this user's password; None: the browser's user, or the local demo user.
        password_stdin: The password, and answers to challenges, are lines of standard input.
        scope: Space-separated scopes that the browser asks for; None: the default.
        callback_port: The port to listen on; None: the first free registered one.
        timeout: How long to wait for the browser, in seconds.
        force: Sign in anew, whatever is cached.
        no_cache: Sign in anew, and keep nothing on disk.
    """

    browser: bool = False
    no_browser: bool = False
    username: str | None = None
    password_stdin: bool = False
    scope: str | None = None
    callback_port: int | None = None
    timeout: float = 300.0
    force: bool = False
    no_cache: bool = False

    def __post_init__(self) -> None:
        """Refuse options that contradict each other."""
        if self.username == "":
            raise click.UsageError("--username: expected a name.")
        if self.username is not None and self._for_browser:
            raise click.UsageError(
                f"{self._for_browser[0]} is for the browser, --username for a password: give one of them."
            )
        if self.password_stdin and self.username is None:
            raise click.UsageError("--password-stdin needs --username.")
        _at_most_one({"--browser": self.browser, "--no-browser": self.no_browser})
        _at_most_one({"--force": self.force, "--no-cache": self.no_cache})

    @property
    def _for_browser(self) -> list[str]:
        given = {
            "--browser": self.browser,
            "--no-browser": self.no_browser,
            "--scope": self.scope is not None,
            "--callback-port": self.callback_port is not None,
        }
        return [option for option, is_given in given.items() if is_given]

    def user_of(self, stack: Stack) -> str | None:
        """Return whose password signs in; None: a browser does."""
        return None if self._for_browser else self.username or stack.username


def _at_most_one(options: dict[str, bool]) -> None:
    given = [option for option, is_given in options.items() if is_given]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} contradict each other: give one of them.")


def _seconds(_context: click.Context, _parameter: click.Parameter, number: float) -> float:
    if not 0 < number <= 3600:  # click's FloatRange takes nan
        raise click.BadParameter(f"expected seconds from above 0 to 3600, got {number:g}")
    return number


@click.command("token", cls=Command, epilog=EXAMPLES)
@system_options
@click.option("--browser", is_flag=True, help="Sign in with a browser, for --local as well.")
@click.option("--no-browser", is_flag=True, help="Print the link instead of opening a browser.")
@click.option("--username", metavar="NAME", help="Sign in with a password, asked for here; never an argument.")
@click.option(
    "--password-stdin",
    is_flag=True,
    help="With --username: the password is standard input's first line; a new password or a code, where Cognito asks"
    " for one, is the next.",
)
@click.option(
    "--scope",
    metavar="SCOPES",
    help=f"With a browser: the scopes to ask for, space-separated (default: {hosted_ui.DEFAULT_SCOPE!r}).",
)
@click.option(
    "--callback-port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="With a browser: listen on this port, which the app client must have registered"
    f" (default: the first free one of {' and '.join(map(str, REGISTERED_PORTS))}).",
)
@click.option(
    "--timeout",
    type=float,
    default=SignIn.timeout,
    callback=_seconds,
    metavar="SECONDS",
    help="Wait so long for the browser (default: 300).",
)
@click.option("--access", is_flag=True, help="Print the access token instead of the ID token.")
@click.option("--refresh", is_flag=True, help="Print the refresh token.")
@click.option("--json", "as_json", is_flag=True, help="Print all tokens and when they expire, as JSON.")
@click.option("--logout", is_flag=True, help="Print nothing: revoke the refresh tokens, delete the cache.")
@click.option(
    "--header", is_flag=True, help="Print the ID token, or with --access the other, as a header line for `curl -H @-`."
)
@click.option("--force", is_flag=True, help="Sign in anew, whatever is cached; keep the new tokens.")
@click.option("--no-cache", is_flag=True, help="Sign in anew; read and keep nothing on disk.")
@click.pass_obj
def token(
    clock: _Clock,
    /,
    *,
    system: Choice,
    access: bool,
    refresh: bool,
    as_json: bool,
    logout: bool,
    header: bool,
    **how: Any,
) -> None:
    """Sign a person in and print their ID token, alone, on standard output."""
    without_header = {"--refresh": refresh, "--json": as_json, "--logout": logout}
    _at_most_one({"--access": access, **without_header})
    _at_most_one({"--header": header, **without_header})
    sign_in = SignIn(**how)
    stack = system.find()
    if logout:
        _log_out(stack, sign_in.username)
        return
    tokens = obtain(stack, sign_in, clock)
    if as_json:
        answer(_as_json(tokens, clock()))
    elif refresh:
        if tokens.refresh_token is None:
            raise ScriptError("The server gave no refresh token.")
        answer(tokens.refresh_token)
    else:
        answer(("Authorization: Bearer " if header else "") + (tokens.access_token if access else tokens.id_token))


def obtain(stack: Stack, sign_in: SignIn, clock: _Clock) -> Tokens:
    """Return tokens that last: cached, refreshed, or of a new sign-in, in this order."""
    username = sign_in.user_of(stack)
    scope = sign_in.scope or hosted_ui.DEFAULT_SCOPE
    if sign_in.no_cache:
        return _sign_in(stack, sign_in, username, scope, clock)
    cache = TokenCache(stack)
    file = cache.file_of(f"browser {scope}" if username is None else f"user {username}")
    tokens = None if sign_in.force else _from_cache(cache, file, stack, clock)
    if tokens is None:
        tokens = _sign_in(stack, sign_in, username, scope, clock)
        cache.save(file, tokens)
    return tokens


def _sign_in(stack: Stack, sign_in: SignIn, username: str | None, scope: str, clock: _Clock) -> Tokens:
    if username is None:
        return hosted_ui.sign_in(
            stack,
            scope=scope,
            clock=clock,
            show_link=hosted_ui.print_link if sign_in.no_browser else hosted_ui.open_browser,
            ports=REGISTERED_PORTS if sign_in.callback_port is None else (sign_in.callback_port,),
            timeout_s=sign_in.timeout,
        )
    questions = Questions(from_stdin=sign_in.password_stdin)
    # The demo user's password is not a secret; scripts without a terminal need it.
    known = stack.password if username == stack.username and not sign_in.password_stdin else None
    typed = known or questions.secret(f"Password of {username}")
    return password.sign_in(stack, username, typed, questions=questions, clock=clock)


def _from_cache(cache: TokenCache, file: Path, stack: Stack, clock: _Clock) -> Tokens | None:
    """Return the cached tokens, refreshed if need be; None if the person has to sign in."""
    with cache.locked():
        tokens = cache.load(file)
        if tokens is None or tokens.expires_at - clock() >= REFRESH_BEFORE_S:
            return tokens
        if tokens.refresh_token is None:
            return None
        # The keys first: where refresh tokens rotate, one that was used is worthless.
        keys = published_keys(stack, tokens)
        refresh = hosted_ui.refresh if tokens.via == hosted_ui.VIA else password.refresh
        try:
            newer = refresh(stack, tokens)
        except RefusedError as error:
            say(f"note: the cached sign-in has ended ({error}) Signing in anew.")
            file.unlink(missing_ok=True)
            return None
        validate(newer, keys, stack, nonce=None, now=clock())
        # "its sub Claim Value MUST be the same as in the ID Token issued when the original authentication occurred"
        # OpenID Connect Core 1.0 §12.2
        if newer.subject != tokens.subject:
            raise ScriptError("The refreshed ID token is another user's (other sub). Nothing was kept; use --force.")
        cache.save(file, newer)
        return newer


def _log_out(stack: Stack, username: str | None) -> None:
    """Revoke and forget everything of the stack, or what one user's password brought.

    What cannot be revoked for lack of an answer is kept, so that the next try can.
    """
    cache = TokenCache(stack)
    ended, browser_used = 0, False
    for file in cache.files() if username is None else [cache.file_of(f"user {username}")]:
        tokens = cache.load(file, to_revoke=True)
        if tokens is not None:
            browser_used |= tokens.via == hosted_ui.VIA
            if tokens.refresh_token is not None:
                try:
                    hosted_ui.revoke(stack, tokens.refresh_token)
                except RefusedError as error:
                    say(f"note: {error} It is forgotten all the same.")
            ended += 1
            say(f"Signed out: {tokens.label}.")
        file.unlink(missing_ok=True)
    if not ended:
        say(f"No sign-in to {stack.name} is kept here.")
    else:
        say("Tokens handed out before stay valid at the gateway until they expire, unless its policy cuts them off.")
    if browser_used:
        say(f"The browser may stay signed in for up to an hour; this ends it, too: {hosted_ui.logout_link(stack)}")


def _as_json(tokens: Tokens, now: float) -> str:
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
