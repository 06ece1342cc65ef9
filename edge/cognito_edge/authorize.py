"""May these claims do this? Cut-offs end a token everywhere; a route has demands of its own."""

from .claims import ID, VerifiedClaims
from .errors import (
    InsufficientScopeError,
    MissingClaimError,
    MissingGroupError,
    RevokedTokenError,
    WrongClientError,
    WrongIssuerError,
    WrongTokenUseError,
)
from .parameters import Configuration
from .policy import CutOff, Route
from .text import excerpt, iso8601

# The most groups that a refusal names: it travels in a header.
MAX_NAMED = 8


def authorize(claims: VerifiedClaims, route: Route, configuration: Configuration) -> None:
    """Let the claims pass, or say what they lack.

    Args:
        claims: Verified claims.
        route: The rule that decides.
        configuration: Says which pool is the gateway's own.

    Raises:
        AuthenticationError: Another pool, client or kind of token than the rule takes.
        AuthorizationError: The user lacks a group, or the token a scope.
    """
    if route.issuers is None:
        # Groups of another pool are not this pool's groups, so another pool is taken only where a rule names it.
        if claims.pool_id != configuration.pool.pool_id:
            raise WrongIssuerError(
                "This path takes tokens of the gateway's own user pool; this one is another pool's.",
                claim="iss",
                expected=configuration.pool.issuers,
                actual=claims.issuer,
            )
    elif claims.pool_id not in route.issuers and route.issuers.isdisjoint(
        configuration.pools_by_issuer[claims.issuer].issuers
    ):
        raise WrongIssuerError(
            f"This path does not take tokens of {excerpt(claims.issuer, 120)}.",
            claim="iss",
            expected=route.issuers,
            actual=claims.issuer,
        )

    if claims.token_use not in route.token_use:
        wanted = " or ".join(sorted(route.token_use))
        raise WrongTokenUseError(
            f"This path takes {wanted} tokens; token_use is {excerpt(claims.token_use)}.",
            claim="token_use",
            expected=route.token_use,
            actual=claims.token_use,
        )

    if route.clients is not None and claims.client_id not in route.clients:
        raise WrongClientError(
            f"This path does not take tokens of the app client {excerpt(claims.client_id)}.",
            claim="aud" if claims.token_use == ID else "client_id",
            expected=route.clients,
            actual=claims.client_id,
        )

    if route.groups is not None and set(claims.groups).isdisjoint(route.groups):
        wanted = ", ".join(excerpt(group) for group in route.groups[:MAX_NAMED])
        more = " or others" if len(route.groups) > MAX_NAMED else ""
        raise MissingGroupError(
            f"This path is for members of {'one of ' if len(route.groups) > 1 else ''}{wanted}{more}."
        )

    if route.scopes and (missing := [scope for scope in route.scopes if scope not in claims.scopes]):
        wanted = ", ".join(excerpt(scope) for scope in missing)
        raise InsufficientScopeError(f"The token lacks the scope {wanted}.", scope=" ".join(route.scopes))


def check_cut_off(claims: VerifiedClaims, cut_off: CutOff) -> None:
    """Refuse a token that has been ended before its time.

    Raises:
        RevokedTokenError: It has.
        MissingClaimError: Sign-ins before some time are cut off, and the token does not say when its was.
    """
    if claims.issued_at < cut_off.issued_before:
        raise RevokedTokenError(
            f"Tokens issued before {iso8601(cut_off.issued_before)} are no longer accepted. Sign in again."
        )
    if cut_off.signed_in_before:
        if claims.auth_time is None:
            raise MissingClaimError(
                "The token has no auth_time claim, which is needed while sign-ins are cut off.", claim="auth_time"
            )
        if claims.auth_time < cut_off.signed_in_before:
            raise RevokedTokenError(
                f"Sign-ins before {iso8601(cut_off.signed_in_before)} are no longer accepted. Sign in again."
            )
    if claims.sub in cut_off.sub or claims.origin_jti in cut_off.origin_jti or claims.jti in cut_off.jti:
        raise RevokedTokenError("This token is no longer accepted. Ask the operator.")
