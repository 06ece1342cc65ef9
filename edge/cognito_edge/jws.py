"""Parse a compact JWS, and check its signature with a key (RFC 7515, RFC 7518 §3.3)."""

import re
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from . import base64url
from .errors import InvalidSignatureError, MalformedTokenError, UnsupportedAlgorithmError
from .strict_json import StrictJsonError, parse_object
from .text import excerpt

# The only algorithm that Cognito signs with, and so the only one that exists here. RFC 8725 §3.1
ALGORITHM = "RS256"

# "typ": JWT (RFC 7519 §5.1) or at+jwt (RFC 9068 §2.1); a media type may carry its prefix and ignores case.
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")


class PublicKey(Protocol):
    """A public key that checks RS256 signatures: ``rsa.py``."""

    def verify(self, signing_input: bytes, signature: bytes) -> bool:
        """Say whether *signature* is this key's over *signing_input*."""


class UnverifiedToken(NamedTuple):
    """What a token says, unverified. Only the ``kid`` shows in ``repr``.

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
    claims: dict[str, Any]
    signing_input: bytes
    signature: bytes
    payload: str

    def __repr__(self) -> str:
        return f"UnverifiedToken(kid={self.kid!r}, ...)"


def parse_compact(token: str) -> UnverifiedToken:
    """Parse a compact JWS.

    Args:
        token: Three base64url parts; the third may be empty here, so that "alg": "none" is called what it is.

    Raises:
        MalformedTokenError: Not three parts of canonical base64url, a part that is no strict JSON object, or a header
            that asks for a feature which Cognito never uses.
        UnsupportedAlgorithmError: ``alg`` is not RS256.
    """
    parts = token.split(".")
    if len(parts) != 3 or not parts[0] or not parts[1]:
        raise MalformedTokenError(_shape(token))
    header, payload, signature = parts
    kid, is_access_typ = _header(header)
    return UnverifiedToken(
        kid,
        is_access_typ,
        claims=_object(payload, "payload"),
        signing_input=token[: -len(signature) - 1].encode("ascii"),
        signature=_base64url(signature, "signature"),
        payload=payload,
    )


@lru_cache(maxsize=32)
def _header(part: str) -> tuple[str, bool]:
    """Return a header's ``kid``, and whether its ``typ`` is an access token's. All tokens of one key have one header."""
    header = _object(part, "header")

    # "the algorithm … MUST be one that the application expects" RFC 8725 §3.1. First, so that "none" is called that.
    if header.get("alg") != ALGORITHM:
        raise UnsupportedAlgorithmError(
            f"The token's alg has to be RS256; it is {excerpt(header['alg']) if 'alg' in header else 'absent'}."
        )
    # "If any of the listed extension Header Parameters are not understood and supported by the recipient, then the JWS
    # is invalid." RFC 7515 §4.1.11. The gateway supports none; b64 (RFC 7797) and zip (RFC 7516) change what is signed.
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
    return kid, typ.lower().endswith("at+jwt")


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
        raise MalformedTokenError(
            f"The token's {name} is not canonical base64url." if _BASE64URL.fullmatch(part) else _shape(part)
        ) from None


def _shape(token: str) -> str:
    """Say in which way *token*, or a part of one, is no compact JWS, without repeating any of it."""
    parts = token.split(".")
    if len(parts) == 5:
        return "The token is an encrypted JWT of five parts; Cognito issues signed ones of three."
    if "=" in token:
        return "The token has '=' padding, which base64url in a JWT leaves out."
    if not _BASE64URL.fullmatch(token.replace(".", "")):
        return "The token has characters that base64url does not know."
    if len(parts) != 3:
        return f"A token has three parts joined by '.'; this one has {len(parts)}."
    return "The token has an empty part."
