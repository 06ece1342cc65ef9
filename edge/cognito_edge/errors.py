"""Every way in which a request can be refused, grouped by who has to act.

::

    GatewayError 500
    ├── BadRequestError 400          the request cannot be read in one way only
    │   ├── MalformedRequestError · MalformedUrlError · AmbiguousPathError
    │   ├── MethodNotAllowedError 405
    │   └── BodyTooLargeError 413
    ├── AuthenticationError 401      the caller did not prove who they are
    │   ├── MissingTokenError · MalformedTokenError · UnsupportedAlgorithmError · UnknownKeyError
    │   ├── InvalidSignatureError · RevokedTokenError
    │   └── InvalidClaimError
    │       └── MissingClaimError · ExpiredTokenError · NotYetValidError · WrongIssuerError · WrongClientError ·
    │           WrongTokenUseError
    ├── AuthorizationError 403       they did, and may not do this
    │   └── MissingGroupError · InsufficientScopeError
    └── UnavailableError 503         the gateway could not find out
        └── KeysUnavailableError · ConfigurationUnavailableError · CredentialsUnavailableError

A bad token is never a 5xx and an outage is never a 401. Anything that is not a ``GatewayError`` is a bug: it is
logged and answered with a bare 500.
"""

from collections.abc import Sequence
from typing import ClassVar


class GatewayError(Exception):
    """A refusal. ``str(error)`` is shown to the caller, so it never holds a secret.

    Attributes:
        status: HTTP status code.
        code: Stable name of the refusal (contract C6).
        title: The same in a few words, for people.
        internal: What only the log may show, or None.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"

    def __init_subclass__(cls, *, code: str = "", title: str = "", status: int = 0) -> None:
        if code:
            cls.code, cls.title = code, title
        if status:
            cls.status = status

    def __init__(self, detail: str, *, internal: str | None = None) -> None:
        super().__init__(detail)
        self.internal = internal


class BadRequestError(GatewayError, status=400):
    """The request itself is at fault, whoever sent it."""


class MalformedRequestError(BadRequestError, code="malformed_request", title="Malformed request"):
    """The message breaks HTTP, for example by two Authorization headers."""


class MalformedUrlError(BadRequestError, code="malformed_url", title="Malformed URL"):
    """The URL has a broken escape, an unreadable query, or is too long."""


class AmbiguousPathError(BadRequestError, code="ambiguous_path", title="Ambiguous path"):
    """Some server could read the path as another path."""


class MethodNotAllowedError(BadRequestError, code="method_not_allowed", title="Method not allowed", status=405):
    """The path has rules, and no rule takes this method.

    Attributes:
        allow: The methods that the path takes, for the ``Allow`` header.
    """

    def __init__(self, detail: str, *, allow: Sequence[str]) -> None:
        super().__init__(detail)
        self.allow = tuple(allow)


class BodyTooLargeError(
    BadRequestError, code="body_too_large", title="Body too large to sign without its hash", status=413
):
    """The edge cannot see the whole body, and the caller did not send its hash."""


class AuthenticationError(GatewayError, status=401):
    """The caller did not prove who they are.

    Attributes:
        oauth_error: RFC 6750 §3.1 error code for the challenge; None when no credentials were sent.
    """

    oauth_error: ClassVar[str | None] = "invalid_token"


class MissingTokenError(AuthenticationError, code="missing_token", title="Sign-in required"):
    """No bearer token was sent. RFC 6750 §3.1 wants no error code in that challenge."""

    oauth_error = None


class MalformedTokenError(AuthenticationError, code="malformed_token", title="Malformed token"):
    """What was sent is not a JWT as RFC 7515 and 7519 define it."""


class UnsupportedAlgorithmError(
    AuthenticationError, code="unsupported_algorithm", title="Unsupported signing algorithm"
):
    """The token's ``alg`` is not RS256, the only one that Cognito signs with."""


class UnknownKeyError(AuthenticationError, code="unknown_key", title="Unknown signing key"):
    """The pool's key set was read, and does not have the token's ``kid``."""


class InvalidSignatureError(AuthenticationError, code="invalid_signature", title="Invalid token signature"):
    """The named key did not sign this token."""


class RevokedTokenError(AuthenticationError, code="revoked", title="Token revoked"):
    """The policy's cut-offs end this token before its time."""


class InvalidClaimError(AuthenticationError):
    """One claim is not what it has to be.

    Attributes:
        claim: The claim's name.
        expected: What it has to be; None where the sentence alone can say it.
        actual: What it is; None where it is absent.
    """

    def __init__(self, detail: str, *, claim: str, expected: object = None, actual: object = None) -> None:
        super().__init__(detail)
        self.claim = claim
        self.expected = expected
        self.actual = actual


class MissingClaimError(InvalidClaimError, code="missing_claim", title="Claim missing"):
    """A claim that the decision needs is absent."""


class ExpiredTokenError(InvalidClaimError, code="expired", title="Token expired"):
    """``exp`` has come."""


class NotYetValidError(InvalidClaimError, code="not_yet_valid", title="Token not yet valid"):
    """``nbf``, ``iat`` or ``auth_time`` lies further ahead than clocks differ."""


class WrongIssuerError(InvalidClaimError, code="wrong_issuer", title="Token of another issuer"):
    """The gateway, or this rule, does not trust the token's user pool."""


class WrongClientError(InvalidClaimError, code="wrong_client", title="Token of another client"):
    """The token was issued to another app client, or for another resource."""


class WrongTokenUseError(InvalidClaimError, code="wrong_token_use", title="Wrong kind of token"):
    """An access token where an ID token is needed, or the other way round."""


class AuthorizationError(GatewayError, status=403):
    """The caller is known, and may not do this.

    Attributes:
        oauth_error: RFC 6750 §3.1 error code for the challenge.
        scope: Every scope that the rule asks for, space separated (RFC 6750 §3); None where scopes do not matter.
    """

    oauth_error: ClassVar[str | None] = "insufficient_scope"
    scope: str | None = None


class MissingGroupError(AuthorizationError, code="missing_group", title="Not a member of a required group"):
    """The rule asks for a group that the user is not in."""


class InsufficientScopeError(AuthorizationError, code="insufficient_scope", title="Insufficient scope"):
    """The rule asks for scopes that the token does not have."""

    def __init__(self, detail: str, *, scope: str) -> None:
        super().__init__(detail)
        self.scope = scope


class UnavailableError(GatewayError, status=503):
    """The gateway could not find out. No one is let in, and no one is told that their token is bad.

    Attributes:
        retry_after_s: Whole seconds until another attempt can succeed.
    """

    def __init__(self, detail: str, *, internal: str | None = None, retry_after_s: int = 1) -> None:
        super().__init__(detail, internal=internal)
        self.retry_after_s = max(1, retry_after_s)


class KeysUnavailableError(UnavailableError, code="keys_unavailable", title="Signing keys unavailable"):
    """The user pool's key set could not be read."""


class ConfigurationUnavailableError(
    UnavailableError, code="configuration_unavailable", title="Configuration unavailable"
):
    """The parameters could not be read, or what was read is broken."""


class CredentialsUnavailableError(
    UnavailableError, code="credentials_unavailable", title="Signing credentials unavailable"
):
    """The function has no AWS credentials to sign with."""
