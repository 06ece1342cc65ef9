"""Break something of the running local system on purpose: keys, SSM, policy, credentials, clock; and mend it again."""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

import requests

from . import stack as _stack
from .console import EXIT_OK, ScriptError, answer, run

# As `local/cognito_edge_local/emulator/faults.py` has them; the system has the last word, and says what it takes.
KNOBS = {
    "jwks": ("ok", "down", "slow", "hang", "garbled", "empty", "partial"),
    "ssm": ("ok", "throttled", "slow", "hang", "error", "garbled", "denied"),
    "policy": ("ok", "broken"),
    "credentials": ("ok", "missing"),
}
HEALTHY = {**dict.fromkeys(KNOBS, "ok"), "clock": 0}
_TIMEOUT_S = 30.0  # a restart of the edge's processes takes about one

EXAMPLES = """\
examples:
  python scripts/fault.py jwks down         the pool's keys cannot be read; partial: that of ID tokens is withdrawn
  python scripts/fault.py ssm throttled     SSM answers ThrottlingException
  python scripts/fault.py policy broken     somebody saved a policy with an error; `policy ok` puts the last one back
  python scripts/fault.py credentials missing
  python scripts/fault.py clock +240        the edge's clock is four minutes fast; `clock 0` sets it right
  python scripts/fault.py rotate-keys       new keys; the old ones are gone, and get_token.py needs --force once
  python scripts/fault.py restart-edge      the next request finds a cold edge, with nothing in its memory
  python scripts/fault.py show              how everything stands, and how often the edge has asked
  python scripts/fault.py reset             everything works again

The edge keeps what it has read: parameters for about a minute, keys for an hour. To see an outage at once, start cold
(restart-edge), or run the system with short lifetimes:

  echo '{"settings_lifetime_s": 2, "keys_lifetime_s": 2, "cooldown_s": 1}' > /tmp/short.json
  make run RUN_ARGS="--settings /tmp/short.json"
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what *argv* (None: this process's own arguments) says and return the exit status."""
    arguments = _parser().parse_args(argv)

    def work() -> int:
        for name, value in _call(arguments.changes(arguments)).items():
            told = " ".join(f"{key}={count}" for key, count in value.items()) if isinstance(value, dict) else value
            answer(f"{name}\t{told}")
        return EXIT_OK

    return run(work)


def _call(changes: Mapping[str, object] | None) -> dict[str, Any]:
    """Turn knobs, or only look (None); return how they stand."""
    file = _stack.LOCAL_FOLDER / "control.json"
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
        found = session.request(method, url, json=changes, headers=headers, timeout=_TIMEOUT_S, allow_redirects=False)
    try:
        document = found.json()
    except ValueError:
        document = {}
    if found.status_code != requests.codes.ok:
        raise ScriptError(document.get("error") or f"The local system answered {found.status_code}. See its console.")
    return dict(document)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fault.py", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(metavar="WHAT", required=True)
    for name, values in KNOBS.items():
        knob = commands.add_parser(name, help=" | ".join(values))
        knob.add_argument("value", choices=values)
        knob.set_defaults(changes=lambda arguments, name=name: {name: arguments.value})
    clock = commands.add_parser("clock", help="SECONDS by which the edge's clock is fast (+) or slow (-)")
    clock.add_argument("seconds", type=float, metavar="SECONDS")
    clock.set_defaults(changes=lambda arguments: {"clock": arguments.seconds})
    for name, purpose, changes in (
        ("rotate-keys", "give the user pool new signing keys", {"keys": "rotate"}),
        ("restart-edge", "start the edge's processes anew", {"edge": "restart"}),
        ("reset", "put everything right", HEALTHY),
        ("show", "say how everything stands", None),
    ):
        command = commands.add_parser(name, help=purpose)
        command.set_defaults(changes=lambda _, changes=changes: changes)
    return parser
