"""Parse a compact JWS, and check its signature with a key (RFC 7515, RFC 7518 §3.3)  pure."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from . import base64url
from .errors import InvalidSignatureError, MalformedTokenError, UnsupportedAlgorithmError, excerpt
from .strict_json import StrictJsonError, parse_object

# The only algorithm that Cognito signs with, and so the only one that exists here. RFC 8725 §3.1
ALGORITHM = "RS256"

# "typ": JWT (RFC 7519 §5.1) or at+jwt (RFC 9068 §2.1); a media type may carry its prefix and ignores case.
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})


class PublicKey(Protocol):
    """A public key that checks signatures: python-jose's key objects."""

    def verify(self, msg: bytes, sig: bytes) -> bool:
        """Say whether *sig* is this key's signature over *msg*."""


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A parsed token, about which nothing is known yet. RFC 7515 §7.1.

    Attributes:
        kid: Which key it says it was signed with.
        is_access_typ: Its header says ``at+jwt``.
        claims: Its payload, unverified.
        signing_input: The bytes that the signature covers.
        signature: The signature.
        payload: The payload as sent, base64url.
    """

    kid: str
    is_access_typ: bool
    claims: dict[str, Any] = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    payload: str = field(repr=False)


def parse_compact(token: str) -> UnverifiedToken:
    """Parse a compact JWS whose shape ``bearer_token`` has checked.

    Args:
        token: Three base64url parts.

    Raises:
        MalformedTokenError: A part is no canonical base64url or no strict JSON object, or the header asks for a feature
            that Cognito never uses.
        UnsupportedAlgorithmError: ``alg`` is not RS256.
    """
    signing_input, _, signature_part = token.rpartition(".")
    header_part, _, payload = signing_input.partition(".")
    header = _object(header_part, "header")

    # "the algorithm … MUST be one that the application expects" RFC 8725 §3.1. First, so that "none" is called that.
    if header.get("alg") != ALGORITHM:
        raise UnsupportedAlgorithmError(
            f"The token's alg has to be RS256; it is {excerpt(header['alg']) if 'alg' in header else 'absent'}."
        )
    # "If any of the listed extension Header Parameters are not understood and supported by the recipient, then the JWS
    # is invalid." RFC 7515 §4.1.11. We understand none; b64 (RFC 7797) and zip (RFC 7516) change what is signed.
    for name in ("crit", "zip"):
        if name in header:
            raise MalformedTokenError(f"The token's header has '{name}', which this gateway does not accept.")
    if header.get("b64", True) is not True:
        raise MalformedTokenError("The token's header has 'b64' other than true, which this gateway does not accept.")
    typ = header.get("typ", "JWT")
    if not isinstance(typ, str) or typ.lower() not in _TYPES:
        raise MalformedTokenError(f"The token's typ has to be JWT or at+jwt; it is {excerpt(typ)}.")
    # jku, jwk, x5u and x5c name keys of the sender's choice: never read. RFC 8725 §3.10
    kid = header.get("kid")
    if not isinstance(kid, str):
        shown = excerpt(kid) if "kid" in header else "absent"
        raise MalformedTokenError(f"The token's kid has to be a string that names its key; it is {shown}.")

    return UnverifiedToken(
        kid=kid,
        is_access_typ=typ.lower().endswith("at+jwt"),
        claims=_object(payload, "payload"),
        signing_input=signing_input.encode("ascii"),
        signature=_base64url(signature_part, "signature"),
        payload=payload,
    )


def check_signature(token: UnverifiedToken, key: PublicKey) -> None:
    """Check RSASSA-PKCS1-v1_5 with SHA-256 over the token's first two parts. RFC 7518 §3.3.

    Raises:
        InvalidSignatureError: The key did not sign these bytes.
    """
    if not key.verify(token.signing_input, token.signature):
        raise InvalidSignatureError(
            "The token's signature does not match its contents: it was altered, cut short, or signed by someone else."
        )


def _object(part: str, name: str) -> dict[str, Any]:
    try:
        return parse_object(_base64url(part, name))
    except StrictJsonError as error:
        raise MalformedTokenError(f"The token's {name} is {error}.") from None


def _base64url(part: str, name: str) -> bytes:
    try:
        return base64url.decode(part)
    except ValueError:
        raise MalformedTokenError(f"The token's {name} is not canonical base64url.") from None
