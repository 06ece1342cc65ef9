"""Who is calling: reads the identity that the gateway signed. Copy this one file into your own function.

It needs nothing but the standard library. Use::

    identity = identity_from_event(
        event,
        account_id=os.environ.get("EDGE_ACCOUNT_ID"),
        role_name=os.environ.get("EDGE_ROLE_NAME"),
    )
    if identity is None:
        ...  # a route that the policy opens to anyone, and nobody signed in
    elif "admins" in identity.groups:
        ...

The `x-cognito-*` headers are worth as much as whoever signed the request. A function URL with AWS_IAM admits every
principal that IAM lets in, and any of them can write any header. So the headers are read only if the caller is
the gateway's own role; Lambda, not the caller, fills in the ARN this is decided by.
"""

import base64
import binascii
import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_PREFIX = "x-cognito-"

# "arn:aws:sts::<account>:assumed-role/<role>/<session>". The path of a role (`/service-role/`) is no part of it.
# Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
_ASSUMED_ROLE_ARN = re.compile(r"arn:(?:aws|aws-cn|aws-us-gov):sts::([0-9]{12}):assumed-role/([^/]+)/[^/]+")

# What the gateway leaves bare; every other UTF-8 byte it percent-encodes. Anything else on the wire was not written
# by it: two headers of one name that Lambda joined with a comma, for one.
_ENCODED = re.compile(r"(?:[A-Za-z0-9\-._~@:/+=]|%[0-9A-Fa-f]{2})+")
# What it never encodes, because the alphabet is fixed. Without a comma, for the same reason.
_NEVER_ENCODED = {
    "client-id": re.compile(r"[A-Za-z0-9_+]+"),
    "token-use": re.compile(r"id|access"),
    "issuer": re.compile(r"https?://[!-+\--~]+"),
}
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")


class IdentityError(Exception):
    """The caller's identity cannot be told; the request must not be served as anybody's."""


class UntrustedCallerError(IdentityError):
    """The request was not signed by the gateway's role, or this function was not told which role that is."""


class MalformedIdentityError(IdentityError):
    """The gateway's role signed identity headers that do not follow the gateway's format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A signed-in caller, as the gateway verified it. Built by `identity_from_event` alone.

    A class, and frozen, so that what it holds can be passed around without being checked again.

    Attributes:
        sub: The user's id in its pool; unique together with `issuer`, never reused, never changed.
        username: `cognito:username` or `username`; None for a machine's token.
        email: Set only if the pool has verified it; None otherwise.
        groups: The pool's groups. Names may hold any character.
        scopes: OAuth scopes; empty for ID tokens.
        client_id: The app client the token was issued to.
        token_use: "id" or "access".
        issuer: The URL that names the user pool.
        claims: All verified claims; None when they were too long for a header.
    """

    sub: str
    username: str | None
    email: str | None = field(repr=False)
    groups: tuple[str, ...]
    scopes: tuple[str, ...]
    client_id: str
    token_use: str
    issuer: str
    claims: Mapping[str, Any] | None = field(repr=False, hash=False)


def identity_from_event(event: Mapping[str, Any], *, account_id: str | None, role_name: str | None) -> Identity | None:
    """Return who is calling, or None for an anonymous caller on a route that the policy opens to anyone.

    Args:
        event: A function-URL event, payload format 2.0, as Lambda hands it to the function.
        account_id: The 12-digit account of the gateway's edge role. None or empty refuses everybody.
        role_name: That role's name, without a path. None or empty refuses everybody.

    Raises:
        UntrustedCallerError: Anybody but that role signed the request, or the role is not configured.
        MalformedIdentityError: The role signed it, but an identity header is missing, doubled or badly encoded.
    """
    _require_edge_role(event, account_id, role_name)
    headers = _identity_headers(event)
    if not headers:
        return None
    return Identity(
        sub=_decoded("sub", _required(headers, "sub")),
        username=_optional(headers, "username"),
        email=_optional(headers, "email"),
        groups=_decoded_list(headers, "groups", ","),
        scopes=_decoded_list(headers, "scopes", " "),
        client_id=_verbatim(headers, "client-id"),
        token_use=_verbatim(headers, "token-use"),
        issuer=_verbatim(headers, "issuer"),
        claims=_claims(headers),
    )


def _require_edge_role(event: Mapping[str, Any], account_id: str | None, role_name: str | None) -> None:
    """Raise `UntrustedCallerError` unless the gateway's role signed the request."""
    if not account_id or not role_name:
        raise UntrustedCallerError(
            "expected the account and name of the gateway's edge role, got none: "
            "set EDGE_ACCOUNT_ID and EDGE_ROLE_NAME on this function"
        )
    caller: Any = event
    for name in ("requestContext", "authorizer", "iam", "userArn"):
        caller = caller.get(name) if isinstance(caller, Mapping) else None
    match = _ASSUMED_ROLE_ARN.fullmatch(caller) if isinstance(caller, str) else None
    # The session name is not compared: the edge's differs by region and function, and says nothing about trust.
    if match is None or (match[1], match[2]) != (account_id, role_name):
        raise UntrustedCallerError(
            f"expected a session of role {role_name} in account {account_id}, got {caller or 'no IAM caller'}: "
            "only the gateway may call this function"
        )


def _identity_headers(event: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of `x-cognito-*` by lower-case name without the prefix."""
    headers = event.get("headers") or {}
    if not isinstance(headers, Mapping):
        raise MalformedIdentityError(f"headers: expected an object, got {type(headers).__name__}")
    found: dict[str, str] = {}
    for name, value in headers.items():
        lower = str(name).lower()
        if not lower.startswith(_PREFIX):
            continue
        short = lower.removeprefix(_PREFIX)
        if short in found or not isinstance(value, str):
            raise MalformedIdentityError(f"{lower}: expected one text value")
        found[short] = value
    return found


def _required(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if value is None:
        raise MalformedIdentityError(f"{_PREFIX}{name}: expected a value, got no such header")
    return value


def _verbatim(headers: Mapping[str, str], name: str) -> str:
    value = _required(headers, name)
    if _NEVER_ENCODED[name].fullmatch(value) is None:
        raise MalformedIdentityError(f"{_PREFIX}{name}: expected {_NEVER_ENCODED[name].pattern}, got something else")
    return value


def _optional(headers: Mapping[str, str], name: str) -> str | None:
    value = headers.get(name)
    return None if value is None else _decoded(name, value)


def _decoded_list(headers: Mapping[str, str], name: str, separator: str) -> tuple[str, ...]:
    # Split first, then decode, and only once: a group named "x,admins" travels as "x%2Cadmins", and one named
    # "%61dmins" as "%2561dmins". Any other order, or a second round, reads "admins" out of either.
    value = headers.get(name)
    return tuple(_decoded(name, part) for part in value.split(separator)) if value else ()


def _decoded(name: str, encoded: str) -> str:
    if _ENCODED.fullmatch(encoded) is None:
        raise MalformedIdentityError(f"{_PREFIX}{name}: is empty, or not percent-encoded as the gateway does it")
    try:
        return urllib.parse.unquote_to_bytes(encoded).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedIdentityError(f"{_PREFIX}{name}: decodes to bytes that are not UTF-8") from error


def _claims(headers: Mapping[str, str]) -> dict[str, Any] | None:
    encoded = headers.get("claims")
    if encoded is None:
        return None
    # `urlsafe_b64decode` drops characters it does not know, so the alphabet is checked first.
    if _BASE64URL.fullmatch(encoded) is None:
        raise MalformedIdentityError(f"{_PREFIX}claims: expected base64url")
    unpadded = encoded.rstrip("=")
    try:
        claims = json.loads(base64.urlsafe_b64decode(unpadded + "=" * (-len(unpadded) % 4)))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise MalformedIdentityError(f"{_PREFIX}claims: expected the base64url of a JSON object") from error
    if not isinstance(claims, dict):
        raise MalformedIdentityError(f"{_PREFIX}claims: expected a JSON object, got {type(claims).__name__}")
    return claims
