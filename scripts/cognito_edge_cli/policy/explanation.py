"""What ``policy test`` says about a request: which rule, which caller, what decision, and why."""

import json
import re

from cognito_edge.errors import GatewayError
from cognito_edge.jws import parse_compact

from cognito_edge_cli.console import ScriptError, printable, read_text, source_name
from cognito_edge_cli.stack import Stack
from cognito_edge_cli.token_input import read_token

from .check import Ids, route_place
from .cut_off import Document
from .located_json import locate, object_or_empty
from .trial import KID, KeyRing, Trial, token_of

# What stands in for the gateway's own pool where it is not known.
_UNKNOWN_POOL = "us-east-1_unknown"


def caller_of(
    token_file: str | None, claims_file: str | None, stack: Stack | None
) -> tuple[str | None, Document, KeyRing]:
    """Return the token to try, what it claims, and the keys to try it with.

    Args:
        token_file: File of a token; None: not given.
        claims_file: File of a token's claims; None: not given.
        stack: Whose keys check the token; None: no keys do.

    Raises:
        ScriptError: The file holds something else.
    """
    if claims_file:
        claims = _claims(claims_file)
        return token_of(claims), claims, KeyRing(KID, None, "these are claims from a file")
    if token_file:
        token = read_token(token_file)
        try:
            unverified = parse_compact(token)
        except GatewayError as error:
            raise ScriptError(f"{source_name(token_file)} holds no token: {error}") from None
        why_not = "" if stack else "offline; --local or --stack would check it"
        return token, unverified.claims, KeyRing(unverified.kid, stack, why_not)
    return None, {}, KeyRing("", None)


def _claims(name: str) -> Document:
    try:
        claims = json.loads(read_text(name))
    except ValueError as error:
        raise ScriptError(f"{name}: expected the claims as a JSON object: {error}.") from None
    if not isinstance(claims, dict):
        raise ScriptError(f'{name}: expected the claims as a JSON object, such as {{"sub": "…", "token_use": "id"}}.')
    return claims


def ids_offline(text: str, claims: Document, user_pool_id: str | None, client_id: str | None) -> Ids:
    """Return the gateway's own pool without asking a system: as stated, or else the token's.

    Args:
        text: The policy.
        claims: The token's.
        user_pool_id: As stated; None: not stated.
        client_id: As stated; None: not stated.
    """
    client = claims.get("aud") if claims.get("token_use") == "id" else claims.get("client_id")
    pool_id = str(claims.get("iss", "")).rpartition("/")[2]
    entries = object_or_empty(text).get("issuers", [])
    others = {entry.get("user_pool_id") for entry in entries if isinstance(entry, dict)}
    if pool_id in others or not re.fullmatch(r"[\w-]+_\w+", pool_id):
        pool_id = _UNKNOWN_POOL
    if not isinstance(client, str) or pool_id == _UNKNOWN_POOL:
        client = "unknown"
    return Ids(user_pool_id or pool_id, client_id or client)


def explained(trial: Trial, *, text: str, token: str | None, claims: Document, ring: KeyRing, ids: Ids) -> list[str]:
    """Return the lines about rule, caller and decision.

    Args:
        trial: How the request fared.
        text: The policy.
        token: The token that was tried.
        claims: What it claims.
        ring: The keys it was tried with.
        ids: The gateway's own pool.
    """
    lines = [f"rule      {_rule(trial, text)}", f"caller    {_caller(token, claims, ring)}"]
    if token is not None and ids.user_pool_id == _UNKNOWN_POOL:
        lines.append(
            "          the gateway's own pool is not known here: name it with --user-pool-id, or use --local, --stack"
        )
    return [*lines, f"decision  {_decision(trial)}"]


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


def _caller(token: str | None, claims: Document, ring: KeyRing) -> str:
    """Name the caller: all of it is the token's own words, which may not be genuine."""
    if token is None:
        return "no one: no token"
    groups = claims.get("cognito:groups") or []
    parts = [
        f"{claims.get('token_use', 'unknown')} token of {claims.get('sub', '(no sub)')}",
        f"groups {', '.join(map(str, groups)) if isinstance(groups, list) and groups else 'none'}",
    ]
    if scope := claims.get("scope"):
        parts.append(f"scopes {scope}")
    if ring.unchecked:
        parts.append(f"SIGNATURE NOT CHECKED ({ring.unchecked})")
    elif ring.checked:
        parts.append(f"signature checked with the keys of {', '.join(sorted(ring.checked))}")
    return printable("; ".join(parts))


def _decision(trial: Trial) -> str:
    if trial.status is None:
        return f"allowed: sent on to the backend, {_identity(trial)}"
    if trial.code is None:
        methods = trial.headers.get("access-control-allow-methods")
        readable = "access-control-allow-origin" in trial.headers
        cors = (
            f"the page may call with {methods}"
            if readable
            else "no CORS headers: the browser will not let that page call"
        )
        return f"answered at the edge: {trial.status}; {cors}"
    lines = [f"refused: {trial.status} {trial.code}: {trial.detail}"]
    if challenge := trial.headers.get("www-authenticate"):
        lines.append(f"          WWW-Authenticate: {challenge}")
    if trial.log.get("reason"):
        lines.append(f"          {trial.log['reason']}")
    return "\n".join(lines)


def _identity(trial: Trial) -> str:
    if ignored := trial.log.get("ignored_token"):
        return f"without an identity: the token does not count here ({ignored})"
    return "with the caller's identity" if "sub_hash" in trial.log else "without an identity"
