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

import requests

from cognito_edge_cli.console import RefusedError, ScriptError, say
from cognito_edge_cli.stack import Stack, is_loopback

from .callback import REGISTERED_PORTS, CallbackServer
from .token_cache import Tokens, check_id_token

# `openid` is what makes Cognito send an ID token, with every attribute that the client may read.
DEFAULT_SCOPE = "openid"
VIA = "hosted-ui"
_TIMEOUT_S = (5, 20)  # connect, read


def sign_in(
    stack: Stack,
    *,
    scope: str,
    clock: Callable[[], float],
    show_link: Callable[[str], None],
    ports: Sequence[int] = REGISTERED_PORTS,
    timeout_s: float,
) -> Tokens:
    """Return the tokens of whoever signs in at the hosted UI.

    Args:
        stack: Where to sign in.
        scope: Space-separated scopes to ask for; with `openid`.
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
        ScriptError: No port, nobody came, the person or the server refused, or the tokens are not for us.
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
        words = f"{callback.error}: {callback.description}" if callback.description else str(callback.error)
        raise ScriptError(f"The sign-in ended without a code: {printable(words)}. Try again, or as another user.")
    grant = {
        "grant_type": "authorization_code",
        "code": callback.code,
        "redirect_uri": server.redirect_uri,
        "code_verifier": verifier,
    }
    tokens = _tokens(_token_request(stack, grant), refresh_token=None, label="the browser's user")  # (4)
    check_id_token(tokens, stack, now=clock(), nonce=nonce)
    return tokens


def refresh(stack: Stack, tokens: Tokens) -> Tokens:
    """Return new tokens for the ones whose refresh token is in *tokens*.

    Raises:
        RefusedError: It is expired, revoked, or was used before (where they rotate).
    """
    grant = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token or ""}
    return _tokens(_token_request(stack, grant), refresh_token=tokens.refresh_token, label=tokens.label)


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


def _token_request(stack: Stack, grant: Mapping[str, str]) -> dict[str, Any]:
    answer = _post(stack, "/oauth2/token", {**grant, "client_id": stack.client_id})
    try:
        fields = json.loads(answer)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise ScriptError(f"{stack.login_url}/oauth2/token: expected a JSON object, got something else.")
    return fields


def _tokens(fields: Mapping[str, Any], *, refresh_token: str | None, label: str) -> Tokens:
    for name in ("id_token", "access_token"):
        if not isinstance(fields.get(name), str):
            raise ScriptError(f"The server's answer has no {name}. Was `openid` among the scopes asked for (--scope)?")
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
    url = f"{stack.login_url}{path}"
    with requests.Session() as session:
        # A proxy has no business between this machine and itself.
        session.trust_env = not is_loopback(url)
        response = session.post(
            url,
            data=dict(form),
            headers={"Accept": "application/json"},
            auth=_no_authorization,
            timeout=_TIMEOUT_S,
            # A redirect would carry the code or the refresh token to another place.
            allow_redirects=False,
        )
    if response.status_code == requests.codes.ok:
        return response.content
    try:
        fields = response.json()
    except ValueError:
        fields = None
    if isinstance(fields, dict) and isinstance(fields.get("error"), str):
        words = printable(f"{fields['error']}: {fields.get('error_description', 'no description')}")
        raise RefusedError(f"{url} refused: {words}.")
    raise ScriptError(f"{url}: expected status 200, got {response.status_code}. Is that really the hosted UI?")


def _no_authorization(request: requests.PreparedRequest) -> requests.PreparedRequest:
    # Without it, requests would add what ~/.netrc says for this host.
    return request


def printable(text: str) -> str:
    r"""Return *text* from the outside as one short line that cannot steer a terminal.

    >>> printable("access_denied\x1b[2J")
    'access_denied [2J'
    """
    return " ".join("".join(c if c.isprintable() else " " for c in text[:300]).split())
