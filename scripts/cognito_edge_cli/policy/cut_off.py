"""Which tokens are out: cut-offs read from a genuine token, added to a document, and never lost on the way."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click
from cognito_edge.claims import VerifiedClaims
from cognito_edge.errors import GatewayError
from cognito_edge.jws import parse_compact
from cognito_edge.parameters import Configuration
from cognito_edge.text import iso8601
from cognito_edge.verify import trusted_pool, verify

from cognito_edge_cli.console import ScriptError, printable
from cognito_edge_cli.stack import Stack

from .trial import keys_of

Document = dict[str, Any]

TIMES = ("issued_before", "signed_in_before")
LISTS = ("sub", "origin_jti", "jti")


def verified_claims(token: str, stack: Stack, configuration: Configuration, now: float) -> VerifiedClaims:
    """Return what a token says, if one of the gateway's pools signed it; an expired one is as good as any here.

    Raises:
        ScriptError: It is not genuine, or its keys cannot be read: anyone could have written it.
    """
    try:
        unverified = parse_compact(token)
        pool = trusted_pool(unverified, configuration)
        exp = unverified.claims.get("exp")
        # Judged as of its last second. ``verify`` refuses an exp that is not a whole number.
        at = min(now, exp - 1) if type(exp) is int else now
        return verify(unverified, pool, keys_of(stack, pool), resource=None, leeway_s=0, now=at)
    except GatewayError as error:
        raise ScriptError(
            f"Nothing was written: the token cannot be relied on ({error.code}: {error}). If you know whom to cut off, name"
            " them with --sub."
        ) from None


def handle_of(claims: VerifiedClaims, by: str | None) -> tuple[str, str]:
    """Return the field of ``cut_off`` and the value that stop a token.

    Raises:
        ScriptError: The token does not have the claim.
    """
    names = [by] if by else ["origin_jti", "jti"]
    for name in names:
        value: str = getattr(claims, name)
        if value:
            return name, value
    raise ScriptError(f"Nothing was written: the token has no {' and no '.join(names)}. Cut off its user: --by sub.")


def lost_cut_offs(before: Document, after: Document) -> list[str]:
    """Say which cut-offs of one document another one lacks."""
    old, new = before.get("cut_off", {}), after.get("cut_off", {})
    lost = [
        f"{name} {old[name]}" + (f" (now {new[name]})" if new.get(name) else "")
        for name in TIMES
        if old.get(name, 0) > new.get(name, 0)
    ]
    for name in LISTS:
        missing = [value for value in old.get(name, []) if value not in new.get(name, [])]
        if missing:
            lost.append(f"{name} {', '.join(map(printable, missing))}")
    return lost


def with_cut_offs(document: Document, more: Document) -> Document:
    """Return the document with the cut-offs of another one added to its own."""
    old, new = document.get("cut_off", {}), more.get("cut_off", {})
    merged: Document = {}
    for name in (*TIMES, *LISTS):
        if name in TIMES:
            value: Any = max(old.get(name, 0), new.get(name, 0))
        else:
            value = list(dict.fromkeys([*old.get(name, []), *new.get(name, [])]))
        if value or name in old:
            merged[name] = value
    return {**document, "cut_off": merged}


def never_earlier(times: Mapping[str, int | None], document: Document) -> Document:
    """Return the times that are given, as fields of ``cut_off``.

    Args:
        times: By name of the field, seconds since the epoch; None: not given.
        document: The policy in force.

    Raises:
        ScriptError: One of them would let tokens in again.
    """
    given = {name: when for name, when in times.items() if when is not None}
    for name, when in given.items():
        already = document.get("cut_off", {}).get(name, 0)
        if when < already:
            raise ScriptError(
                f"Nothing was written: {name} is {already} ({iso8601(already)}) already, which is later than {when}."
                " To let tokens in again, edit the document and `put` it with --drop-cut-offs."
            )
    return given


def moment(text: str, now: float) -> int:
    """Read a time: ``now``, ISO 8601 with a time zone, or seconds since the epoch.

    Tokens of the running second count as before ``now``: their ``iat`` has no fractions.

    Raises:
        click.BadParameter: It is something else, or not in the past.
    """
    soon = int(now) + 1
    if text == "now":
        return soon
    if text.isascii() and text.isdigit():
        when = int(text)
    else:
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            time = None
        if time is None or time.tzinfo is None:
            raise click.BadParameter(f"expected now, 2026-11-21T12:00:00Z or seconds since 1970, not {text!r}")
        when = int(time.timestamp())
    if not 0 < when <= soon:
        raise click.BadParameter(
            f"{text} is not in the past (it is {int(now)} now, in seconds): it would shut everyone out"
        )
    return when
