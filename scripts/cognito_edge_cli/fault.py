"""Break something of the running local system on purpose: keys, SSM, policy, credentials, clock; and mend it again."""

import json
import math
from collections.abc import Mapping
from typing import Any

import click
import requests

from . import stack
from .console import Group, ScriptError, answer, printable

# As ``local/cognito_edge_local/emulator/faults.py`` has them; the system has the last word, and says what it takes.
KNOBS = {
    "jwks": ("ok", "down", "slow", "hang", "garbled", "empty", "partial"),
    "ssm": ("ok", "throttled", "slow", "hang", "error", "garbled", "denied"),
    "policy": ("ok", "broken"),
    "credentials": ("ok", "missing"),
}
_ACTIONS: dict[str, tuple[str, Mapping[str, object] | None]] = {
    "rotate-keys": ("Give the user pool new signing keys.", {"keys": "rotate"}),
    "restart-edge": ("Start the edge's processes anew.", {"edge": "restart"}),
    "reset": ("Put everything right.", {**dict.fromkeys(KNOBS, "ok"), "clock": 0}),
    "show": ("Say how everything stands.", None),
}
_TIMEOUT_S = 30.0  # a restart of the edge's processes takes about one

EXAMPLES = """\
Examples:
  cognito-edge fault jwks down           the pool's keys cannot be read; partial: that of ID tokens is withdrawn
  cognito-edge fault ssm throttled       SSM answers ThrottlingException
  cognito-edge fault policy broken       somebody saved a policy with an error; `policy ok` puts the last one back
  cognito-edge fault credentials missing
  cognito-edge fault clock +240          the edge's clock is four minutes fast; `clock 0` sets it right
  cognito-edge fault rotate-keys         new keys; the old ones are gone, and the token command needs --force once
  cognito-edge fault restart-edge        the next request finds a cold edge, with nothing in its memory
  cognito-edge fault show                how everything stands, and how often the edge has asked
  cognito-edge fault reset               everything works again

The edge keeps what it has read: parameters for about a minute, keys for an hour. To see an outage at once, start cold
(restart-edge), or run the system with short lifetimes:

  echo '{"settings_lifetime_s": 2, "keys_lifetime_s": 2, "cooldown_s": 1}' > /tmp/short.json
  make run RUN_ARGS="--settings /tmp/short.json"
"""


@click.group("fault", cls=Group, epilog=EXAMPLES)
def fault() -> None:
    """Break something of the running local system on purpose, and mend it again."""


def _add_knob(name: str, values: tuple[str, ...]) -> None:
    @fault.command(name, help=f"{' | '.join(values)}.")
    @click.argument("value", type=click.Choice(values))
    def turn(value: str) -> None:
        _turn({name: value})


def _add_action(name: str, purpose: str, changes: Mapping[str, object] | None) -> None:
    @fault.command(name, help=purpose)
    def act() -> None:
        _turn(changes)


for _name, _values in KNOBS.items():
    _add_knob(_name, _values)


def _finite(_context: click.Context, _parameter: click.Parameter, seconds: float) -> float:
    if not math.isfinite(seconds):
        raise click.BadParameter(f"expected a number of seconds, not {seconds}")
    return seconds


# A negative number is no option.
@fault.command("clock", context_settings={"ignore_unknown_options": True})
@click.argument("seconds", type=float, callback=_finite)
def _clock(seconds: float) -> None:
    """SECONDS by which the edge's clock is fast (+) or slow (-)."""
    _turn({"clock": seconds})


for _name, (_purpose, _changes) in _ACTIONS.items():
    _add_action(_name, _purpose, _changes)


def _turn(changes: Mapping[str, object] | None) -> None:
    for name, value in _call(changes).items():
        told = " ".join(f"{key}={count}" for key, count in value.items()) if isinstance(value, dict) else value
        answer(f"{printable(name)}\t{printable(told)}")


def _call(changes: Mapping[str, object] | None) -> dict[str, Any]:
    """Turn knobs, or only look (None); return how they stand."""
    file = stack.LOCAL_FOLDER / "control.json"
    try:
        control = json.loads(file.read_bytes())
        url, headers = f"{control['url']}/faults", {"Authorization": f"Bearer {control['secret']}"}
    except FileNotFoundError:
        raise ScriptError(
            f"There is no {file}: no local system runs there. Start one with `make run`, or name its folder in "
            "GATEWAY_STATE_DIR."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ScriptError(f"{file} is not what `make run` writes. Start the local system again.") from error
    with requests.Session() as session:
        session.trust_env = False  # no proxy gets the secret
        method = "GET" if changes is None else "POST"
        try:
            found = session.request(
                method, url, json=changes, headers=headers, timeout=_TIMEOUT_S, allow_redirects=False
            )
        except requests.RequestException as error:
            raise ScriptError(f"no answer from {url} ({type(error).__name__}). Is `make run` still running?") from None
    try:
        document = found.json()
    except ValueError:
        document = {}
    if found.status_code != requests.codes.ok:
        raise ScriptError(document.get("error") or f"The local system answered {found.status_code}. See its console.")
    return dict(document)
