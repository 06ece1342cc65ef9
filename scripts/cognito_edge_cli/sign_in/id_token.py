"""Validate the ID token that a sign-in or a refresh brought, with python-jose and the pool's published keys.

Source: OpenID Connect Core 1.0 §3.1.3.7 (ID token), §3.1.3.8 (``at_hash``), §12.2 (refresh).
"""

import json
from typing import Any

from jose import jwk, jwt
from jose.backends.base import Key
from jose.exceptions import JOSEError

from cognito_edge_cli.console import ScriptError
from cognito_edge_cli.exchange import exchange
from cognito_edge_cli.stack import Stack, keys_url

from .token_cache import Tokens, unverified_claims

_ALGORITHM = "RS256"
# python-jose checks a claim only where it is present, unless it is told to require it. It compares times with the
# machine's own clock, and takes a token at its very ``exp``: ``validate`` does that itself, with the time it is given.
_OPTIONS = {
    **dict.fromkeys(("require_iss", "require_aud", "require_sub"), True),
    **dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat", "verify_jti"), False),
}


def published_keys(stack: Stack, tokens: Tokens) -> list[Any]:
    """Return the key set of the issuer that the ID token names.

    Args:
        stack: Whose pool has to be the issuer.
        tokens: With an ID token that is not validated yet.

    Raises:
        ScriptError: It is another issuer, no answer came, or the answer is not a key set.
    """
    issuer = unverified_claims(tokens.id_token).get("iss")
    if issuer not in stack.issuers:
        raise ScriptError(f"The ID token is from {issuer!r}; expected {' or '.join(stack.issuers)}. Nothing was kept.")
    url = keys_url(stack, stack.user_pool_id, issuer)
    status, body = exchange(url)
    try:
        keys = json.loads(body)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError):
        keys = None
    if status != 200 or not isinstance(keys, list):
        raise ScriptError(f"{url}: expected status 200 and a JSON Web Key Set, got status {status}. Nothing was kept.")
    return keys


def validate(tokens: Tokens, keys: list[Any], stack: Stack, *, nonce: str | None, now: float) -> None:
    """Refuse tokens that this pool did not issue to this client, together, and for this very sign-in.

    Args:
        tokens: Fresh from the server.
        keys: The pool's keys, as ``published_keys`` returns them.
        stack: Whose pool and client they must be for.
        nonce: What the authorization request sent; None for a sign-in or a refresh that sends none.
        now: Epoch seconds.

    Raises:
        ScriptError: What was expected and what came.
    """
    unverified = unverified_claims(tokens.id_token)
    header = jwt.get_unverified_header(tokens.id_token)
    key = _key(keys, header.get("kid"))
    try:
        claims = jwt.decode(
            tokens.id_token,
            key,
            algorithms=[_ALGORITHM],
            audience=stack.client_id,
            issuer=stack.issuers,
            access_token=tokens.access_token,
            options=_OPTIONS,
        )
    except JOSEError as error:
        raise ScriptError(
            f"The ID token is not valid ({str(error).rstrip('.')}). Expected: {_ALGORITHM}, issuer"
            f" {' or '.join(stack.issuers)}, client {stack.client_id}; it has {header.get('alg')!r},"
            f" {unverified.get('iss')!r}, {unverified.get('aud')!r}. Nothing was kept."
        ) from None
    # "… or if it contains additional audiences not trusted by the Client." §3.1.3.7, 3. We trust no other.
    if claims["aud"] != stack.client_id:
        raise ScriptError(f"The ID token is for clients {claims['aud']!r}; expected {stack.client_id} alone.")
    if claims.get("token_use") != "id":
        raise ScriptError(f"Expected an ID token (token_use id); got token_use {claims.get('token_use')!r}.")
    if not now < claims["exp"]:
        raise ScriptError("The ID token that just came has expired already. Is this machine's clock right?")
    # "If a nonce value was sent in the Authentication Request, a nonce Claim MUST be present and its value checked":
    # an ID token of another sign-in, slipped into this one, has another nonce. §3.1.3.7, 11.
    if nonce is not None and claims.get("nonce") != nonce:
        raise ScriptError("The ID token belongs to another sign-in (wrong nonce). Nothing was kept; try again.")


def _key(keys: list[Any], kid: object) -> Key:
    """Return the key that the token names; python-jose would try every key of a set, whatever its ``kid``.

    Raises:
        ScriptError: The set does not have exactly one RS256 signing key of that name.
    """
    found = [
        key
        for key in keys
        if isinstance(key, dict)
        and key.get("kid") == kid
        and key.get("use", "sig") == "sig"
        and key.get("alg", _ALGORITHM) == _ALGORITHM
    ]
    if kid is None or len(found) != 1:
        raise ScriptError(
            f"The ID token names the key {kid!r}; expected one of the pool's {len(keys)} published keys to be that."
            " Nothing was kept; try again."
        )
    try:
        return jwk.construct(found[0], _ALGORITHM)
    except (JOSEError, ValueError, TypeError) as error:
        raise ScriptError(f"The pool's key {kid!r} is not a usable RSA key ({type(error).__name__}).") from None
