"""Sign in at Cognito's hosted UI with a browser: authorization code with PKCE; refresh and revoke there as well.

Source: RFC 8252 (native apps), RFC 7636 (PKCE), RFC 9700 (current practice), OpenID Connect Core 1.0 §3.1.
"""

import base64
import hashlib
import json
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from cognito_edge_cli.console import RefusedError, ScriptError, printable, say
from cognito_edge_cli.exchange import exchange
from cognito_edge_cli.stack import Stack

from .callback import REGISTERED_PORTS, CallbackServer
from .id_token import published_keys, validate
from .token_cache import Tokens

# ``openid`` is what makes Cognito send an ID token, with every attribute that the client may read.
DEFAULT_SCOPE = "openid"
VIA = "hosted-ui"


def sign_in(
    stack: Stack,
    *,
    scope: str,
    clock: Callable[[], float],
    show_link: Callable[[str], None],
    ports: Sequence[int],
    timeout_s: float,
) -> Tokens:
    """Return the tokens of whoever signs in at the hosted UI.

    Args:
        stack: Where to sign in.
        scope: Space-separated scopes to ask for; with ``openid``.
        clock: Epoch seconds.
        show_link: Brings the person to the link: opens a browser, or prints it.
        ports: Callback ports to try, in order.
        timeout_s: How long to wait for the person, in seconds.

    Steps:
        1. Make the one-time values: state (the callback is ours), nonce (the ID token is), verifier (the code is).
        2. Listen, then send the person to the authorization endpoint.
        3. Wait for the callback.
        4. Exchange the code, and check the ID token.

    Raises:
        ScriptError: No port, no callback, the person or the server refused, or the tokens are not for us.
    """
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))  # (1)
    with CallbackServer(state, ports) as server:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": stack.client_id,
            "redirect_uri": server.redirect_uri,
            "scope": scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        show_link(f"{stack.login_url}/oauth2/authorize?{urlencode(query)}")  # (2)
        callback = server.wait(timeout_s)  # (3)
    if callback.code is None:
        words = _short(str(callback.error), callback.description)
        raise ScriptError(f"The sign-in ended without a code: {words}. Try again, or as another user.")
    grant = {
        "grant_type": "authorization_code",
        "code": callback.code,
        "redirect_uri": server.redirect_uri,
        "code_verifier": verifier,
    }
    tokens = _request_tokens(stack, grant, refresh_token=None, label="the browser's user")  # (4)
    validate(tokens, published_keys(stack, tokens), stack, nonce=nonce, now=clock())
    return tokens


def refresh(stack: Stack, tokens: Tokens) -> Tokens:
    """Return new tokens for the ones whose refresh token is in *tokens*.

    Raises:
        RefusedError: It is expired, revoked, or was used before (where they rotate).
    """
    grant = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token or ""}
    return _request_tokens(stack, grant, refresh_token=tokens.refresh_token, label=tokens.label)


def revoke(stack: Stack, refresh_token: str) -> None:
    """Make *refresh_token*, and what came of it, worthless.

    Raises:
        RefusedError: The server does not take it back: it is expired, or was revoked before.

    Source: RFC 7009 §2.1; Amazon Cognito, "The revoke token endpoint".
    """
    _post(stack, "/oauth2/revoke", {"token": refresh_token, "client_id": stack.client_id})


def logout_link(stack: Stack) -> str:
    """Return the link that ends the browser's own session at the hosted UI (its cookie lives an hour)."""
    # The one logout URI that the app client has registered.
    query = {"client_id": stack.client_id, "logout_uri": f"http://localhost:{REGISTERED_PORTS[0]}/"}
    return f"{stack.login_url}/logout?{urlencode(query)}"


def print_link(link: str) -> None:
    """Show *link* to a person whose browser is elsewhere."""
    say(f"Open this link in a browser on this machine and sign in (it waits for you here):\n\n  {link}\n")


def open_browser(link: str) -> None:
    """Open *link* in the person's browser, and show it in case that fails."""
    say(f"A browser opens for the sign-in. If none does, open this link on this machine:\n\n  {link}\n")
    # A process of its own: a text browser would take the terminal, and write to the standard output that is the
    # token's. Its status tells nothing: most browsers answer only when they are closed.
    command = [sys.executable, "-c", "import sys, webbrowser; webbrowser.open(sys.argv[1])", link]
    nowhere = subprocess.DEVNULL
    options = {"stdin": nowhere, "stdout": nowhere, "stderr": nowhere, "start_new_session": True, "check": False}
    threading.Thread(target=subprocess.run, args=(command,), kwargs=options, daemon=True).start()


def _request_tokens(stack: Stack, grant: Mapping[str, str], *, refresh_token: str | None, label: str) -> Tokens:
    fields = _fields(_post(stack, "/oauth2/token", {**grant, "client_id": stack.client_id}))
    for name in ("id_token", "access_token"):
        if not isinstance(fields.get(name), str):
            raise ScriptError(
                f"{stack.login_url}/oauth2/token: expected a JSON object with {name}, got none."
                " Was `openid` among the scopes asked for (--scope)?"
            )
    # Where refresh tokens rotate, the old one is worthless from here on.
    newer = fields.get("refresh_token")
    return Tokens(
        id_token=fields["id_token"],
        access_token=fields["access_token"],
        refresh_token=newer if isinstance(newer, str) else refresh_token,
        via=VIA,
        label=label,
    )


def _post(stack: Stack, path: str, form: Mapping[str, str]) -> bytes:
    """Return the body of the answer.

    Raises:
        RefusedError: The server said no.
        ScriptError: It answered what no OAuth server answers.
    """
    url = f"{stack.login_url}{path}"
    status, body = exchange(url, form)
    if status == 200:
        return body
    error = _fields(body).get("error")
    if isinstance(error, str):
        raise RefusedError(f"{url} refused: {_short(error, _fields(body).get('error_description', 'no description'))}.")
    raise ScriptError(f"{url}: expected status 200, got {status}. Is that really the hosted UI?")


def _fields(body: bytes) -> dict[str, Any]:
    """Return a JSON object; an empty one for anything else."""
    try:
        fields = json.loads(body)
    except ValueError:
        fields = None
    return fields if isinstance(fields, dict) else {}


def _short(error: str, description: object) -> str:
    """Return an OAuth error in one line of bounded length."""
    return printable(f"{error}: {description}" if description else error)[:300]
