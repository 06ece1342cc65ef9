"""``verify``: signature first, then every claim (RFC 7519 §7.2)."""

from .claims import VerifiedClaims, check_claims
from .errors import MissingClaimError, UnknownKeyError, WrongIssuerError
from .jwks import KeySet
from .jws import UnverifiedToken, check_signature
from .parameters import Configuration, Pool
from .text import excerpt


def trusted_pool(token: UnverifiedToken, configuration: Configuration) -> Pool:
    """Return the pool that the unverified ``iss`` names. Only its keys may verify the token.

    A key map shared by all pools would let one pool sign for another. RFC 8725 §3.8: "the application MUST validate that
    the cryptographic keys used for the cryptographic operations in the JWT belong to the issuer."

    Raises:
        WrongIssuerError: No pool of this gateway has that issuer. Nothing is fetched for it.
        MissingClaimError: There is no ``iss``.
    """
    if "iss" not in token.claims:
        raise MissingClaimError("The token has no iss claim.", claim="iss")
    issuer = token.claims["iss"]
    pool = configuration.pools_by_issuer.get(issuer) if isinstance(issuer, str) else None
    if pool is None:
        raise WrongIssuerError(
            f"The token's iss has to be this gateway's user pool; it is {excerpt(issuer, 120)}.",
            claim="iss",
            expected=tuple(configuration.pools_by_issuer),
            actual=issuer,
        )
    return pool


def verify(
    token: UnverifiedToken, pool: Pool, keys: KeySet, *, resource: str | None, leeway_s: int, now: float
) -> VerifiedClaims:
    """Return what a token says, if it is true.

    Args:
        token: The parsed token.
        pool: The pool that ``trusted_pool`` found.
        keys: That pool's keys.
        resource: What an access token that is bound to a resource has to be bound to; None takes any.
        leeway_s: Seconds that a token lives beyond ``exp``.
        now: Seconds since the epoch.

    Raises:
        AuthenticationError: It is not, or no longer, or not for us.
    """
    key = keys.get(token.kid)
    if key is None:
        raise UnknownKeyError(f"The token's kid {excerpt(token.kid)} names no key of its user pool.")
    check_signature(token, key)
    return check_claims(
        token.claims,
        issuers=pool.issuers,
        client_ids=pool.client_ids,
        pool_id=pool.pool_id,
        payload=token.payload,
        is_access_typ=token.is_access_typ,
        resource=resource,
        leeway_s=leeway_s,
        now=now,
    )
