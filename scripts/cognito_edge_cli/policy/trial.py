"""What the gateway would say to a request: the edge's own code, with keys and parameters handed to it.

The whole gateway runs, from the event to the answer, so that no second implementation has to agree with it. Nothing is
sent anywhere.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cognito_edge.errors import KeysUnavailableError
from cognito_edge.gateway import Gateway
from cognito_edge.jwks import JwksError, KeySet, parse_jwks
from cognito_edge.jws import PublicKey
from cognito_edge.parameters import Configuration, Pool
from cognito_edge.policy import Policy, Route
from cognito_edge.settings import Settings
from cognito_edge.sigv4 import Credentials

from cognito_edge_cli.console import ScriptError
from cognito_edge_cli.exchange import exchange
from cognito_edge_cli.stack import Stack, keys_url

KID = "policy test"
"""The key that tokens of ``token_of`` name."""


@dataclass(frozen=True)
class Trial:
    """How a request would fare.

    Attributes:
        status: HTTP status that the gateway answers itself; None if the request goes on to the backend.
        code: Contract C6's name of a refusal, or None.
        detail: The refusal's own words, or "".
        headers: Headers of the gateway's own answer, by lower-case name.
        route: The rule that decided; None if none did, or the request was over before.
        rule: What the log calls it, or None.
        log: The gateway's log line.
    """

    status: int | None
    code: str | None
    detail: str
    headers: dict[str, str]
    route: Route | None
    rule: str | None
    log: dict[str, Any]


class _AnySignature:
    """A key that accepts every signature: for claims that a person wrote down."""

    def verify(self, msg: bytes, sig: bytes) -> bool:
        """Accept."""
        del msg, sig
        return True


def url_of_keys(stack: Stack, pool: Pool) -> str:
    """Return where a pool publishes its keys."""
    return keys_url(stack, pool.pool_id, f"https://cognito-idp.{pool.region}.amazonaws.com/{pool.pool_id}")


def keys_of(stack: Stack, pool: Pool) -> KeySet:
    """Read a pool's keys from Cognito, or from the emulator.

    Raises:
        KeysUnavailableError: They cannot be read.
    """
    url = url_of_keys(stack, pool)
    try:
        status, body = exchange(url)
        if status != 200:
            raise KeysUnavailableError(f"{url} answered {status}")
        return parse_jwks(body)
    except ScriptError as error:
        raise KeysUnavailableError(str(error)) from error
    except JwksError as error:
        raise KeysUnavailableError(f"{url}: {error}") from error


class KeyRing:
    """Where the trial's keys come from; it remembers whether they were real.

    Attributes:
        checked: Pools with whose own keys a signature was checked.
        unchecked: Why a signature was taken for right without a look, or "".
    """

    def __init__(self, kid: str, stack: Stack | None, why_not: str = "") -> None:
        """Read nothing yet.

        Args:
            kid: The key that the token names.
            stack: Whose Cognito is asked; None: no Cognito, and every signature counts as right.
            why_not: With None, why.
        """
        self._kid = kid
        self._stack = stack
        self.checked: set[str] = set()
        self.unchecked = why_not

    def __call__(self, pool: Pool) -> KeySet:
        """Return the pool's keys; if they cannot be read, a key that finds every signature right."""
        if self._stack is not None:
            try:
                keys = keys_of(self._stack, pool)
            except KeysUnavailableError as error:
                self.unchecked = f"the keys cannot be read: {error}"
            else:
                self.checked.add(pool.pool_id)
                return keys
        anything: PublicKey = _AnySignature()
        return KeySet({self._kid: anything}, frozenset({(self._kid, (0, 0))}))


def token_of(claims: dict[str, Any]) -> str:
    """Return a token with these claims and no signature worth the name."""
    parts = ({"alg": "RS256", "kid": KID}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "AA"])


def try_request(
    configuration: Configuration,
    *,
    method: str,
    target: str,
    token: str | None,
    keys: Callable[[Pool], KeySet],
    origin: str | None,
    now: float,
) -> Trial:
    """Ask the gateway about a request.

    Args:
        configuration: Pools and policy.
        method: HTTP method.
        target: Path, and query if there is one, as they would be sent.
        token: The bearer token, or None.
        keys: Finds the keys of a trusted pool.
        origin: The page that asks, with OPTIONS a preflight; or None.
        now: Seconds since the epoch.
    """
    lines: list[str] = []
    gateway = Gateway(
        Settings(parameter_prefix="/trial", parameter_region="us-east-1"),
        load_configuration=lambda _now: configuration,
        load_keys=lambda pool, *_: keys(pool),
        credentials=lambda: Credentials("trial", "trial", None),
        log=lines.append,
    )
    result = gateway.handle(_event(method, target, token, origin), now)
    log = json.loads(lines[-1])
    status = int(result["status"]) if "status" in result else None
    headers = {name: values[0]["value"] for name, values in result["headers"].items()} if status is not None else {}
    problem = json.loads(result["body"]) if headers.get("content-type") == "application/problem+json" else {}
    rule = log.get("rule")
    return Trial(
        status=status,
        code=problem.get("code"),
        detail=problem.get("detail", ""),
        headers=headers,
        route=_route(configuration.policy, rule),
        rule=rule,
        log=log,
    )


def _route(policy: Policy, name: str | None) -> Route | None:
    """Return the route that a log line names; a refused method and a preflight name a pattern instead."""
    return next((route for group in policy.rules for route in group.routes if route.name == name), None)


def _event(method: str, target: str, token: str | None, origin: str | None) -> dict[str, Any]:
    headers = {"host": "trial.lambda-url.us-east-1.on.aws"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    if origin is not None:
        headers["origin"] = origin
        if method == "OPTIONS":
            headers["access-control-request-method"] = "GET"
    path, _, query = target.partition("?")
    return {
        "Records": [
            {
                "cf": {
                    "config": {"distributionDomainName": "gateway", "requestId": "trial"},
                    "request": {
                        "method": method,
                        "uri": path,
                        "querystring": query,
                        "headers": {name: [{"key": name, "value": value}] for name, value in headers.items()},
                        "origin": {"custom": {"domainName": headers["host"], "path": ""}},
                    },
                }
            }
        ]
    }
