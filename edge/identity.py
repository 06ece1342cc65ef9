"""Verified claims -> the ``x-cognito-*`` headers that state them to the backend (contract C7)  pure."""

from urllib.parse import quote

from .claims import VerifiedClaims

# Beyond this x-cognito-claims is left out, so that the rest of the request still fits. Bytes of its value.
MAX_CLAIMS_BYTES = 4_096

# Everything else is percent-encoded, "%", separators and controls above all: a group named "x,admins" or "%61dmins" must
# never read as "admins". Receivers split first, then decode exactly once.
_SAFE = "-._~@:/+="


def identity_headers(claims: VerifiedClaims) -> list[tuple[str, str]]:
    """Return (name, value) of every identity header; absent facts have no header.

    Args:
        claims: What ``verify`` returned; nothing else may state an identity.
    """
    headers = [
        ("x-cognito-sub", _encode(claims.sub)),
        ("x-cognito-client-id", claims.client_id),
        ("x-cognito-token-use", claims.token_use),
        ("x-cognito-issuer", claims.issuer),
    ]
    if claims.username:
        headers.append(("x-cognito-username", _encode(claims.username)))
    if claims.email:
        headers.append(("x-cognito-email", _encode(claims.email)))
    if claims.groups:
        headers.append(("x-cognito-groups", ",".join([_encode(group) for group in claims.groups])))
    if claims.scopes:
        headers.append(("x-cognito-scopes", " ".join([_encode(scope) for scope in claims.scopes])))
    # The token's own payload is base64url of the claims' JSON: the backend reads the very bytes that were verified.
    if states_claims(claims):
        headers.append(("x-cognito-claims", claims.payload))
    return headers


def states_claims(claims: VerifiedClaims) -> bool:
    """Say whether the claims are few enough to be sent whole."""
    return len(claims.payload) <= MAX_CLAIMS_BYTES


def _encode(text: str) -> str:
    return quote(text, safe=_SAFE)
