"""Verified claims, and the checks that make them so (RFC 7519 §4.1; Cognito's token pages)."""

from collections.abc import Collection
from typing import Any, NamedTuple

from .errors import (
    ExpiredTokenError,
    MalformedTokenError,
    MissingClaimError,
    NotYetValidError,
    WrongClientError,
    WrongIssuerError,
    WrongTokenUseError,
)
from .text import excerpt, iso8601

# Clocks of edges differ, so a token may seem to come from the near future.
MAX_CLOCK_LEAD_S = 300

# 9999-12-31T23:59:59Z, the last second that people and most software can write.
LAST_SECOND = 253_402_300_799

ID = "id"
ACCESS = "access"


class VerifiedClaims(NamedTuple):
    """What a token says once ``verify`` has found it true. Nothing else constructs one.

    Claims that the gateway does not know are in ``payload`` alone, which is what the backend reads.

    Attributes:
        pool_id: The user pool whose key signed it.
        issuer: ``iss``.
        sub: The user's (or machine client's) id within the pool.
        username: ``cognito:username`` of an ID token, ``username`` of an access token; "" for machine clients.
        email: ``email``, if Cognito has verified it; otherwise "".
        token_use: ``id`` or ``access``.
        client_id: ``aud`` of an ID token, ``client_id`` of an access token.
        exp: Seconds since the epoch, at which the token ends.
        not_before: The latest of ``iat``, ``nbf`` and ``auth_time``, seconds since the epoch.
        issued_at: ``iat``, seconds since the epoch.
        auth_time: When the user signed in, seconds since the epoch; None if the token does not say.
        origin_jti: Names the sign-in that the token was refreshed from; "" if the token does not say.
        jti: Names the token; "" if it does not say.
        groups: ``cognito:groups``.
        scopes: ``scope`` of an access token, split.
        payload: Every claim, as sent: base64url of JSON.
    """

    pool_id: str
    issuer: str
    sub: str
    username: str
    email: str
    token_use: str
    client_id: str
    exp: int
    not_before: int
    issued_at: int
    auth_time: int | None
    origin_jti: str
    jti: str
    groups: tuple[str, ...]
    scopes: tuple[str, ...]
    payload: str

    def __repr__(self) -> str:
        return (
            f"VerifiedClaims(pool_id={self.pool_id!r}, token_use={self.token_use!r}, client_id={self.client_id!r}, ...)"
        )


def check_claims(
    claims: dict[str, Any],
    *,
    issuers: Collection[str],
    client_ids: Collection[str],
    pool_id: str,
    payload: str,
    is_access_typ: bool,
    resource: str | None,
    leeway_s: int,
    now: float,
) -> VerifiedClaims:
    """Check every claim of a token whose signature holds.

    Unknown claims are carried and not judged: "all claims that are not understood by implementations MUST be ignored"
    (RFC 7519 §4). ``at_hash`` is one of them: the access token it speaks of is not here.

    Args:
        claims: The payload.
        issuers: The spellings of ``iss`` that the pool may use.
        client_ids: The app clients whose tokens are accepted.
        pool_id: The pool whose key verified the signature.
        payload: The payload as sent.
        is_access_typ: The header's ``typ`` is ``at+jwt``.
        resource: What an access token that is bound to a resource has to be bound to; None takes any.
        leeway_s: Seconds that a token lives beyond ``exp``.
        now: Seconds since the epoch.

    Raises:
        AuthenticationError: The first check that fails, with what was expected and what came.
    """
    # "The processing of this claim is generally application specific": one of the issuers of the one pool. RFC 7519 §4.1.1
    issuer = _required(claims, "iss")
    if not isinstance(issuer, str) or issuer not in issuers:
        raise WrongIssuerError(
            f"The token's iss has to be this gateway's user pool; it is {excerpt(issuer)}.",
            claim="iss",
            expected=issuers,
            actual=issuer,
        )

    token_use = _required(claims, "token_use")
    if not isinstance(token_use, str) or token_use not in (ID, ACCESS):
        raise WrongTokenUseError(
            f"The token's token_use has to be id or access; it is {excerpt(token_use)}.",
            claim="token_use",
            expected=(ID, ACCESS),
            actual=token_use,
        )
    if is_access_typ and token_use != ACCESS:
        # "at+jwt" marks access tokens, so that one kind cannot pass as the other. RFC 9068 §2.1, RFC 8725 §3.12
        raise WrongTokenUseError(
            "The token's typ is at+jwt, which only access tokens have; its token_use is id.",
            claim="token_use",
            expected=ACCESS,
            actual=token_use,
        )

    # "If the principal processing the claim does not identify itself with a value in the "aud" claim when this claim is
    # present, then the JWT MUST be rejected." RFC 7519 §4.1.3. Cognito's ID tokens name the client there, as one
    # string; its access tokens name it in client_id, and with resource binding carry a URL in aud.
    name = "aud" if token_use == ID else "client_id"
    client_id = _required(claims, name)
    if not isinstance(client_id, str) or client_id not in client_ids:
        raise WrongClientError(
            f"The token's {name} has to be an app client of this gateway; it is {excerpt(client_id)}.",
            claim=name,
            expected=client_ids,
            actual=client_id,
        )
    if token_use == ACCESS and resource is not None and "aud" in claims:
        _check_bound_to(resource, claims["aud"])

    sub = _required(claims, "sub")
    if not isinstance(sub, str) or not sub:
        raise MalformedTokenError(f"The token's sub has to be a string that names the user; it is {excerpt(sub)}.")

    exp = _numeric_date(claims, "exp")
    iat = _numeric_date(claims, "iat")
    nbf = _numeric_date(claims, "nbf") if "nbf" in claims else 0
    auth_time = _numeric_date(claims, "auth_time") if "auth_time" in claims else None
    not_before = max(iat, nbf, auth_time or 0)
    check_time(exp, not_before, leeway_s=leeway_s, now=now)

    return VerifiedClaims(
        pool_id=pool_id,
        issuer=issuer,
        sub=sub,
        username=_optional_text(claims, "cognito:username" if token_use == ID else "username"),
        email=_verified_email(claims),
        token_use=token_use,
        client_id=client_id,
        exp=exp,
        not_before=not_before,
        issued_at=iat,
        auth_time=auth_time,
        origin_jti=_text_or_empty(claims, "origin_jti"),
        jti=_text_or_empty(claims, "jti"),
        groups=_groups(claims),
        scopes=_scopes(claims) if token_use == ACCESS else (),
        payload=payload,
    )


def _check_bound_to(resource: str, audience: Any) -> None:
    # "In the general case, the "aud" value is an array of case-sensitive strings … In the special case when the JWT has
    # one audience, the "aud" value MAY be a single case-sensitive string". RFC 7519 §4.1.3. "The resource server MUST
    # validate that the "aud" claim contains a resource indicator value corresponding to an identifier the resource server
    # expects for itself." RFC 9068 §4
    if audience != resource and not (isinstance(audience, list) and resource in audience):
        raise WrongClientError(
            f"The access token is bound to another resource: its aud has to name {excerpt(resource, 120)}; it is "
            f"{excerpt(audience, 120)}.",
            claim="aud",
            expected=resource,
            actual=audience,
        )


def check_time(exp: int, not_before: int, *, leeway_s: int, now: float) -> None:
    """Check that a token has begun and has not ended; on every use, cached or not.

    Raises:
        ExpiredTokenError: ``now`` is at or past ``exp`` and the leeway.
        NotYetValidError: It begins more than ``MAX_CLOCK_LEAD_S`` ahead.
    """
    # "identifies the expiration time on or after which the JWT MUST NOT be accepted for processing" RFC 7519 §4.1.4
    if exp <= now - leeway_s:
        raise ExpiredTokenError(
            f"The token expired at {iso8601(exp)}; it is {iso8601(now)} now. Sign in again.",
            claim="exp",
            expected=f"after {iso8601(now - leeway_s)}",
            actual=exp,
        )
    # "identifies the time before which the JWT MUST NOT be accepted … Implementers MAY provide for some small leeway,
    # usually no more than a few minutes, to account for clock skew." RFC 7519 §4.1.5
    if not_before > now + MAX_CLOCK_LEAD_S:
        raise NotYetValidError(
            f"The token begins at {iso8601(not_before)}; it is {iso8601(now)} now. One of the two clocks is wrong.",
            claim="nbf",
            expected=f"at most {iso8601(now + MAX_CLOCK_LEAD_S)}",
            actual=not_before,
        )


def _required(claims: dict[str, Any], name: str) -> Any:
    if name not in claims:
        raise MissingClaimError(f"The token has no {name} claim.", claim=name)
    return claims[name]


def _numeric_date(claims: dict[str, Any], name: str) -> int:
    """Return a NumericDate.

    Cognito issues whole seconds, never a string, a fraction, a boolean or a year past 9999.
    """
    value = _required(claims, name)
    if type(value) is not int:
        raise MalformedTokenError(
            f"The token's {name} has to be a whole number of seconds since 1970; it is {excerpt(value)}."
        )
    if not 0 <= value <= LAST_SECOND:
        raise MalformedTokenError(f"The token's {name} lies outside the years 1970 to 9999.")
    return value


def _groups(claims: dict[str, Any]) -> tuple[str, ...]:
    if "cognito:groups" not in claims:
        return ()
    groups = claims["cognito:groups"]
    if not isinstance(groups, list) or [group for group in groups if not isinstance(group, str) or not group]:
        raise MalformedTokenError("The token's cognito:groups has to be a list of names.")
    return tuple(groups)


def _scopes(claims: dict[str, Any]) -> tuple[str, ...]:
    # "a JSON string containing a space-separated list of scopes associated with the token" RFC 8693 §4.2
    return tuple([scope for scope in _optional_text(claims, "scope").split(" ") if scope])


def _optional_text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name, "")
    if not isinstance(value, str):
        raise MalformedTokenError(f"The token's {name} has to be a string; it is {excerpt(value)}.")
    return value


def _text_or_empty(claims: dict[str, Any], name: str) -> str:
    """Return the claim if it is a string, else "". Cut-off lists hold only strings."""
    value = claims.get(name)
    return value if isinstance(value, str) else ""


def _verified_email(claims: dict[str, Any]) -> str:
    # Cognito writes a boolean; attribute mappings of federated users have been seen to write the string.
    email = _optional_text(claims, "email")
    verified = claims.get("email_verified")
    return email if verified is True or verified == "true" else ""  # 1 == True, so "in" would not do
