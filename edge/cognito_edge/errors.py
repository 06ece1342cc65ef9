"""Every way in which a request can be refused, grouped by who has to act.

::

    GatewayError
    ├── BadRequestError 400          the caller's request cannot be read in one way only
    │   ├── MalformedRequestError · MalformedUrlError · AmbiguousPathError
    │   ├── MethodNotAllowedError 405
    │   └── BodyTooLargeError 413
    ├── AuthenticationError 401      the caller did not prove who they are
    │   ├── MissingTokenError · MalformedTokenError · UnsupportedAlgorithmError · UnknownKeyError
    │   ├── InvalidSignatureError
    │   └── ExpiredTokenError · NotYetValidError · WrongIssuerError · WrongClientError · WrongTokenUseError ·
    │       MissingClaimError · RevokedTokenError
    ├── AuthorizationError 403       they did, and may not do this
    │   └── MissingGroupError · InsufficientScopeError
    └── UnavailableError 503         we could not find out
        └── KeysUnavailableError · ConfigurationUnavailableError · CredentialsUnavailableError

A bad token is never a 5xx and an outage is never a 401. Anything that is not a ``GatewayError`` is a bug: it is
logged and answered with a bare 500.
"""

import time
from collections.abc import Sequence
from typing import ClassVar


class GatewayError(Exception):
    """A refusal: ``str(error)`` is shown to the caller, so it never holds a secret.

    Attributes:
        status: HTTP status code.
        code: Stable name of the refusal (contract C6).
        title: The same in a few words, for people.
        internal: What only the log may know, or None.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, *, internal: str | None = None) -> None:
        super().__init__(detail)
        self.internal = internal


class BadRequestError(GatewayError):
    """The request itself is at fault, whoever sent it."""

    status = 400


class MalformedRequestError(BadRequestError):
    """The message breaks HTTP, for example by two Authorization headers."""

    code = "malformed_request"
    title = "Malformed request"


class MalformedUrlError(BadRequestError):
    """The URL has a broken escape, an unreadable query, or is too long."""

    code = "malformed_url"
    title = "Malformed URL"


class AmbiguousPathError(BadRequestError):
    """The path could be read as another path by some server behind us."""

    code = "ambiguous_path"
    title = "Ambiguous path"


class MethodNotAllowedError(BadRequestError):
    """The path has rules, and none of them takes this method.

    Attributes:
        allow: The methods that the path takes, for the ``Allow`` header.
    """

    status = 405
    code = "method_not_allowed"
    title = "Method not allowed"

    def __init__(self, detail: str, *, allow: Sequence[str]) -> None:
        super().__init__(detail)
        self.allow = tuple(allow)


class BodyTooLargeError(BadRequestError):
    """The edge cannot see the whole body, and the caller did not send its hash."""

    status = 413
    code = "body_too_large"
    title = "Body too large to sign without its hash"


class AuthenticationError(GatewayError):
    """The caller did not prove who they are.

    Attributes:
        oauth_error: RFC 6750 §3.1 error code for the challenge; None when no credentials were sent.
    """

    status = 401
    oauth_error: ClassVar[str | None] = "invalid_token"


class MissingTokenError(AuthenticationError):
    """No bearer token was sent. RFC 6750 §3.1 wants no error code in that challenge."""

    code = "missing_token"
    title = "Sign-in required"
    oauth_error = None


class MalformedTokenError(AuthenticationError):
    """What was sent is not a JWT as RFC 7515 and 7519 define it."""

    code = "malformed_token"
    title = "Malformed token"


class UnsupportedAlgorithmError(AuthenticationError):
    """The token's ``alg`` is not RS256, the only one that Cognito signs with."""

    code = "unsupported_algorithm"
    title = "Unsupported signing algorithm"


class UnknownKeyError(AuthenticationError):
    """The pool's key set was read, and does not have the token's ``kid``."""

    code = "unknown_key"
    title = "Unknown signing key"


class InvalidSignatureError(AuthenticationError):
    """The signature is not one that the named key made over this token."""

    code = "invalid_signature"
    title = "Invalid token signature"


class ExpiredTokenError(AuthenticationError):
    """``exp`` has come."""

    code = "expired"
    title = "Token expired"


class NotYetValidError(AuthenticationError):
    """``nbf``, ``iat`` or ``auth_time`` lies further ahead than clocks differ."""

    code = "not_yet_valid"
    title = "Token not yet valid"


class WrongIssuerError(AuthenticationError):
    """Another user pool, or none that this gateway or this rule trusts."""

    code = "wrong_issuer"
    title = "Token of another issuer"


class WrongClientError(AuthenticationError):
    """The token was issued to another app client."""

    code = "wrong_client"
    title = "Token of another client"


class WrongTokenUseError(AuthenticationError):
    """An access token where an ID token is needed, or the other way round."""

    code = "wrong_token_use"
    title = "Wrong kind of token"


class MissingClaimError(AuthenticationError):
    """A claim that the decision needs is absent."""

    code = "missing_claim"
    title = "Claim missing"


class RevokedTokenError(AuthenticationError):
    """The policy's cut-offs end this token before its time."""

    code = "revoked"
    title = "Token revoked"


class AuthorizationError(GatewayError):
    """The caller is known, and may not do this."""

    status = 403
    oauth_error: ClassVar[str | None] = "insufficient_scope"
    scope: str | None = None


class MissingGroupError(AuthorizationError):
    """The rule asks for a group that the user is not in."""

    code = "missing_group"
    title = "Not a member of a required group"


class InsufficientScopeError(AuthorizationError):
    """The rule asks for scopes that the token does not have.

    Attributes:
        scope: Every scope that the rule asks for, space separated (RFC 6750 §3).
    """

    code = "insufficient_scope"
    title = "Insufficient scope"

    def __init__(self, detail: str, *, scope: str) -> None:
        super().__init__(detail)
        self.scope = scope


class UnavailableError(GatewayError):
    """We could not find out. Nobody is let in, and nobody is told that their token is bad.

    Attributes:
        retry_after_s: Whole seconds until another attempt can succeed.
    """

    status = 503

    def __init__(self, detail: str, *, internal: str | None = None, retry_after_s: int = 1) -> None:
        super().__init__(detail, internal=internal)
        self.retry_after_s = max(1, retry_after_s)


class KeysUnavailableError(UnavailableError):
    """The user pool's key set could not be read."""

    code = "keys_unavailable"
    title = "Signing keys unavailable"


class ConfigurationUnavailableError(UnavailableError):
    """The parameters could not be read, or what was read is broken."""

    code = "configuration_unavailable"
    title = "Configuration unavailable"


class CredentialsUnavailableError(UnavailableError):
    """The function has no AWS credentials to sign with."""

    code = "credentials_unavailable"
    title = "Signing credentials unavailable"


def iso8601(seconds: float) -> str:
    """Write a NumericDate as people read it.

    Args:
        seconds: Seconds since 1970-01-01T00:00:00Z, within years 1 to 9999.

    >>> iso8601(1_700_000_000)
    '2023-11-14T22:13:20Z'
    """
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(seconds)))


def excerpt(value: object, limit: int = 80) -> str:
    r"""Quote something that a caller sent, safe for a header and short enough to read.

    Args:
        value: Anything; strings are shown as they are, other values by their type's name.
        limit: The most characters shown.

    >>> excerpt('a"b\\c\u2028')
    "'a?b?c?'"
    >>> excerpt(["x"])
    'a list'
    """
    if isinstance(value, str):
        shown = value if len(value) <= limit else value[: limit - 1] + "~"
        # error_description allows %x20-21 / %x23-5B / %x5D-7E only. RFC 6750 §3
        return "'" + "".join(c if " " <= c <= "~" and c not in "\"\\'" else "?" for c in shown) + "'"
    if value is None or isinstance(value, bool):
        return f"{value}".lower().replace("none", "null")
    if isinstance(value, int):
        return "an integer"
    return f"a {type(value).__name__}"
