"""The smoke test after a deployment: make a user, sign in, call the gateway, and remove the user again."""

import json
import secrets
import string
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from cognito_edge_cdk.bundling.layout import PROJECT

_PATH: Final = "/api/whoami"
_ATTEMPTS: Final = 12
_PAUSE_S: Final = 10.0
_CALL_TIMEOUT_S: Final = 20
_SCRIPT_TIMEOUT_S: Final = 120

# Refusals that prove the token was verified: the live policy wants more than a new user has.
_POLICY_SAID_NO: Final = frozenset({"missing_group", "insufficient_scope", "wrong_token_use", "method_not_allowed"})

Say = Callable[[str], None]


class SmokeError(Exception):
    """The gateway does not answer as it should; the message says what was seen."""


def smoke_test(outputs: Mapping[str, str], script_options: Sequence[str], *, reachable: bool, say: Say) -> None:
    """Send a request all the way once, without a token and with one.

    Steps:
        1. Without a token: 401.
        2. Make a user with a random name and password, and sign in.
        3. With the token: 200 and the user's name, or a refusal that only a verified token gets.
        4. Remove the user, whatever happened.

    Args:
        outputs: The stack's.
        script_options: The options by which ``scripts/`` find the deployment, such as ``--stack NAME``.
        reachable: False for an emulator, which serves no distribution: then no request is sent.
        say: Prints a line.

    Raises:
        SmokeError: An answer was not the expected one, or a script failed.
    """
    url = outputs["GatewayUrl"] + _PATH
    if reachable:
        # It takes a moment until a new distribution and a new role are known everywhere.
        _expect(url, None, lambda status, document: status == 401 and document.get("code") == "missing_token")  # (1)
        say(f"smoke test: {url} without a token: 401 missing_token")
    name = f"smoke-test-{secrets.token_hex(4)}"
    password = _password()
    run_script("user.py", "create", name, "--password-stdin", "--permanent", *script_options, stdin=password)  # (2)
    try:
        sign_in = ["--username", name, "--password-stdin", "--no-cache", *script_options]
        token = run_script("get_token.py", *sign_in, stdin=password).strip()
        say(f"smoke test: made user {name} and signed in")
        if not reachable:
            say("smoke test: not called: an emulator serves no distribution (`make run` does)")
            return
        document = _expect(url, token, lambda status, found: _is_expected(status, found, name))  # (3)
        say(f"smoke test: {url} with a token: {_summary(document)}")
    finally:
        run_script("user.py", "delete", name, "--yes", *script_options)  # (4)
        say(f"smoke test: removed user {name}")


def _is_expected(status: int, document: Mapping[str, object], name: str) -> bool:
    return (status == 200 and document.get("username") == name) or document.get("code") in _POLICY_SAID_NO


def _summary(document: Mapping[str, object]) -> str:
    code = document.get("code")
    return f"verified, and refused by the policy ({code})" if code else f"200, {document.get('username')}"


def _expect(
    url: str, token: str | None, is_expected: Callable[[int, Mapping[str, object]], bool]
) -> Mapping[str, object]:
    seen = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE_S)
        try:
            status, document = _call(url, token)
        except OSError as error:
            seen = f"{type(error).__name__}: {error}"
            continue
        if is_expected(status, document):
            return document
        seen = f"{status} {document.get('code') or document.get('Message') or document.get('message') or ''}".strip()
    with_token = "with a token" if token else "without a token"
    raise SmokeError(
        f"{url} {with_token}: the last of {_ATTEMPTS} answers was {seen}; docs/deploy.md, 'When it does not work', goes "
        "through the causes"
    )


def _call(url: str, token: str | None) -> tuple[int, Mapping[str, object]]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})  # noqa: S310 - the stack's own https URL
    try:
        with urllib.request.urlopen(request, timeout=_CALL_TIMEOUT_S) as answer:  # noqa: S310 - as above
            status, body = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, body = error.code, error.read()
    try:
        document = json.loads(body)
    except ValueError:
        document = {}
    return status, document if isinstance(document, dict) else {}


def run_script(name: str, *arguments: str, stdin: str = "") -> str:
    """Run a program of ``scripts/``, and return what it printed.

    Raises:
        SmokeError: It failed; the message holds what it said.
    """
    finished = subprocess.run(  # noqa: S603 - a script of ours
        [sys.executable, str(PROJECT / "scripts" / name), *arguments],
        input=stdin + "\n",
        capture_output=True,
        text=True,
        timeout=_SCRIPT_TIMEOUT_S,
        check=False,
    )
    if finished.returncode:
        raise SmokeError(f"scripts/{name} {arguments[0]} failed: {finished.stderr.strip()}")
    return finished.stdout


def _password() -> str:
    """Return a password that any password policy accepts; it lives for seconds."""
    kinds = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "-_.+=")
    return "".join(secrets.choice(kind) for kind in kinds) + secrets.token_urlsafe(24)
