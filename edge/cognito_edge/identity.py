"""Verified claims -> the ``x-cognito-*`` headers that state them to the backend (contract C7)."""

import re
from typing import NamedTuple

from .claims import VerifiedClaims
from .percent import escapes, percent_encode

# Beyond this x-cognito-claims is left out, so that the rest of the request still fits. Bytes of its value.
MAX_CLAIMS_BYTES = 4_096

# Everything else is percent-encoded, "%", separators and controls above all: a group named "x,admins" or "%61dmins" must
# never read as "admins". Receivers split first, then decode exactly once.
_ESCAPES = escapes(b"@:/+=")
_PLAIN = re.compile(r"[A-Za-z0-9._~@:/+=-]*")


class Identity(NamedTuple):
    """The headers that state who calls.

    Attributes:
        headers: (name, value) of each; names in lower case.
        claims_omitted: Whether ``x-cognito-claims`` would have been too long.
    """

    headers: tuple[tuple[str, str], ...]
    claims_omitted: bool

    def __repr__(self) -> str:
        return "Identity(...)"


NO_IDENTITY = Identity((), claims_omitted=False)


def identity_of(claims: VerifiedClaims) -> Identity:
    """Return what is stated to the backend.

    Args:
        claims: What ``verify`` returned; nothing else may state an identity.
    """
    return Identity(tuple(identity_headers(claims)), claims_omitted=len(claims.payload) > MAX_CLAIMS_BYTES)


def identity_headers(claims: VerifiedClaims) -> list[tuple[str, str]]:
    """Return (name, value) of every identity header. A claim that is absent has no header."""
    headers = []
    # The token's own payload is base64url of the claims' JSON: the backend reads the very bytes that were verified.
    if len(claims.payload) <= MAX_CLAIMS_BYTES:
        headers.append(("x-cognito-claims", claims.payload))
    headers.append(("x-cognito-client-id", claims.client_id))
    if claims.email:
        headers.append(("x-cognito-email", _encode(claims.email)))
    if claims.groups:
        headers.append(("x-cognito-groups", ",".join([_encode(group) for group in claims.groups])))
    headers.append(("x-cognito-issuer", claims.issuer))
    if claims.scopes:
        headers.append(("x-cognito-scopes", " ".join([_encode(scope) for scope in claims.scopes])))
    headers.append(("x-cognito-sub", _encode(claims.sub)))
    headers.append(("x-cognito-token-use", claims.token_use))
    if claims.username:
        headers.append(("x-cognito-username", _encode(claims.username)))
    return headers


def _encode(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else percent_encode(text.encode(), _ESCAPES)
