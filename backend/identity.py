"""Who is calling: reads the identity that the gateway signed. Copy this one file into your own function.

It needs the standard library alone. Use::

    identity = identity_from_event(
        event,
        account_id=os.environ.get("EDGE_ACCOUNT_ID"),
        role_name=os.environ.get("EDGE_ROLE_NAME"),
        distribution_arn=os.environ.get("EDGE_DISTRIBUTION_ARN"),
    )
    if identity is None:
        ...  # an anonymous caller, on a route that the policy opens to anyone
    elif "admins" in identity.groups:
        ...

The ``x-cognito-*`` headers can be trusted only as far as the signer of the request. A function URL with AWS_IAM admits
every principal that IAM allows, and each of them can write any header. So the headers are read only if the signer is the
gateway: its own role (signing mode ``sigv4``, ``EDGE_ROLE_NAME`` is set), or CloudFront on behalf of its distribution (mode
``oac``, ``EDGE_DISTRIBUTION_ARN`` is set). Lambda fills in the ARN that decides this, not the caller.

In mode ``oac`` Lambda itself only says "CloudFront, on behalf of some distribution": a role in an account of AWS. A header
that CloudFront signs names the distribution, and the ``SourceArn`` of the function's permissions enforces it. AWS does not
document that role. If it changes, every caller is refused, and the log names the ARN that came.
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
# Servers that turn header names into variables write "_" for other characters too: "x.cognito.sub" becomes the same
# variable as "x-cognito-sub".
_NOT_PLAIN = re.compile(r"[^a-z0-9]")

# "arn:aws:sts::<account>:assumed-role/<role>/<session>", without the role's path (``/service-role/``).
# Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
_ASSUMED_ROLE_ARN = re.compile(r"arn:(?:aws|aws-cn|aws-us-gov):sts::([0-9]{12}):assumed-role/([^/]+)/[^/]+")

# The role that Lambda names for a request that CloudFront signed (origin access control), in an account of AWS. Not
# documented; seen in public captures of three projects, with different session names.
_CLOUDFRONT_ROLE = "OriginAccessControlRole"
_DISTRIBUTION_ARN = re.compile(r"arn:aws:cloudfront::([0-9]{12}):distribution/[A-Z0-9]+")

# The gateway writes these characters as they are and percent-encodes every other UTF-8 byte. It did not write any other
# value, such as two headers of one name that Lambda joined with a comma.
_ENCODED = re.compile(r"(?:[A-Za-z0-9\-._~@:/+=]|%[0-9A-Fa-f]{2})+")
# Values with a fixed alphabet, which the gateway never encodes. Without a comma, for the same reason.
_NEVER_ENCODED = {
    "client-id": re.compile(r"[A-Za-z0-9_+]+"),
    "token-use": re.compile(r"id|access"),
    "issuer": re.compile(r"https?://[!-+\--~]+"),
}
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")


class IdentityError(Exception):
    """The caller is not known; the request must not be served."""


class UntrustedCallerError(IdentityError):
    """The gateway did not sign the request, or this function does not know who the gateway is."""


class MalformedIdentityError(IdentityError):
    """The gateway signed the request, but the identity headers are not in its format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A signed-in caller, as the gateway verified it. Only ``identity_from_event`` builds it.

    Attributes:
        sub: The user's id in the pool; unique together with ``issuer``, never reused, never changed.
        username: ``cognito:username`` or ``username``; None for a machine's token.
        email: Set only if the pool has verified it; None otherwise.
        groups: The pool's groups. Names may hold any character.
        scopes: OAuth scopes; empty for ID tokens.
        client_id: The app client the token was issued to.
        token_use: "id" or "access".
        issuer: The URL that names the user pool.
        claims: All verified claims; None if they were too long for a header. A user can cause that with long attributes, so
            never let a caller in because a claim is absent.
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


def identity_from_event(
    event: Mapping[str, Any],
    *,
    account_id: str | None,
    role_name: str | None = None,
    distribution_arn: str | None = None,
) -> Identity | None:
    """Return who is calling, or None for an anonymous caller on a route that the policy opens to anyone.

    Exactly one of *role_name* and *distribution_arn* says who signs; with neither or both, every caller is refused.

    Args:
        event: A function-URL event, payload format 2.0, as Lambda passes it to the function.
        account_id: The gateway's 12-digit account. None or "" refuses every caller.
        role_name: The name, without a path, of the edge role that signs.
        distribution_arn: The distribution for which CloudFront signs, ``arn:aws:cloudfront::<account>:distribution/<id>``;
            with ``*`` for the id, every distribution of the account that the function's permissions admit.

    Raises:
        UntrustedCallerError: The gateway did not sign the request, or is not configured.
        MalformedIdentityError: The gateway signed it, but an identity header is missing, doubled or badly encoded.
    """
    if not account_id or bool(role_name) == bool(distribution_arn):
        raise UntrustedCallerError(
            "expected to be told who signs for the gateway, got "
            + ("two answers" if role_name and distribution_arn else "none")
            + ": set EDGE_ACCOUNT_ID and either EDGE_ROLE_NAME or EDGE_DISTRIBUTION_ARN on this function"
        )
    if role_name:
        _require_edge_role(event, account_id, role_name)
    elif distribution_arn:
        _require_distribution(event, account_id, distribution_arn)
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


def _require_edge_role(event: Mapping[str, Any], account_id: str, role_name: str) -> None:
    """Raise ``UntrustedCallerError`` unless the gateway's role signed the request."""
    caller, account, role = _caller(event)
    # The session name is not compared: it differs by region and function, and says nothing about trust.
    if (account, role) != (account_id, role_name):
        raise UntrustedCallerError(
            f"expected a session of role {role_name} in account {account_id}, got {caller}: "
            "only the gateway may call this function"
        )


def _require_distribution(event: Mapping[str, Any], account_id: str, distribution_arn: str) -> None:
    """Raise ``UntrustedCallerError`` unless CloudFront signed the request on behalf of the gateway's distribution.

    Steps:
        1. The caller is CloudFront's role, in another account than ours: in ours, someone could make a role of that name.
           Callers from other accounts need a permission on the function, and those name CloudFront alone.
        2. CloudFront names our distribution, in a header. Without step 1 it would prove nothing.
    """
    caller, account, role = _caller(event)
    if role != _CLOUDFRONT_ROLE or account == account_id:  # (1)
        raise UntrustedCallerError(
            f"expected CloudFront ({_CLOUDFRONT_ROLE} in an account of AWS's own), got {caller}: "
            "only the gateway may call this function"
        )
    source = _only_header(event, "x-amz-source-arn")  # (2)
    match = _DISTRIBUTION_ARN.fullmatch(source)
    any_of_ours = distribution_arn == f"arn:aws:cloudfront::{account_id}:distribution/*"
    if match is None or match[1] != account_id or not (any_of_ours or source == distribution_arn):
        raise UntrustedCallerError(
            f"expected CloudFront on behalf of {distribution_arn}, got {source or 'no x-amz-source-arn'}: "
            "only the gateway may call this function"
        )


def _caller(event: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    """Return the caller that Lambda established, for messages, with account and role if it is a role's session."""
    caller: Any = event
    for name in ("requestContext", "authorizer", "iam", "userArn"):
        caller = caller.get(name) if isinstance(caller, Mapping) else None
    match = _ASSUMED_ROLE_ARN.fullmatch(caller) if isinstance(caller, str) else None
    return str(caller or "no IAM caller"), match and match[1], match and match[2]


def _only_header(event: Mapping[str, Any], wanted: str) -> str:
    """Return a header's value; "" unless the event has it exactly once, as text."""
    headers = event.get("headers")
    items = headers.items() if isinstance(headers, Mapping) else ()
    values = [value for name, value in items if str(name).lower() == wanted]
    return values[0] if len(values) == 1 and isinstance(values[0], str) else ""


def _identity_headers(event: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of ``x-cognito-*`` by lower-case name without the prefix."""
    headers = event.get("headers") or {}
    if not isinstance(headers, Mapping):
        raise MalformedIdentityError(f"headers: expected an object, got {type(headers).__name__}")
    found: dict[str, str] = {}
    for name, value in headers.items():
        lower = str(name).lower()
        reads_as = _NOT_PLAIN.sub("-", lower)
        if not reads_as.startswith(_PREFIX):
            continue
        if lower != reads_as:
            raise MalformedIdentityError(
                f"expected no other header that servers read as {reads_as}, got {lower!r}: the gateway lets none through"
            )
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
    # "%61dmins" as "%2561dmins". Another order, or decoding twice, would read "admins" out of either.
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
    # The alphabet is checked first, because ``urlsafe_b64decode`` drops unknown characters.
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
