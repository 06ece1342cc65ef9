"""A JWKS document -> the keys that may verify a token, by ``kid`` (RFC 7517, RFC 7518 §6.3)."""

from collections.abc import Mapping
from typing import Any

from . import base64url
from .jws import ALGORITHM, PublicKey
from .strict_json import StrictJsonError, parse_object

# "A key of size 2048 bits or larger MUST be used with these algorithms." RFC 7518 §3.3. The upper bound keeps one
# verification under a millisecond.
MIN_MODULUS_BITS = 2_048
MAX_MODULUS_BITS = 8_192
MAX_EXPONENT = 2**32


class JwksError(ValueError):
    """The document is no key set, or has no key that could verify anything."""


class KeySet:
    """One pool's keys by ``kid``. Two sets are equal when they hold the same keys."""

    __slots__ = ("_fingerprint", "_keys")

    def __init__(self, keys: Mapping[str, PublicKey], fingerprint: frozenset[tuple[str, tuple[int, int]]]) -> None:
        self._keys = keys
        self._fingerprint = fingerprint

    def get(self, kid: str) -> PublicKey | None:
        """Return the one key of that name, or None."""
        return self._keys.get(kid)

    def __len__(self) -> int:
        return len(self._keys)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeySet) and self._fingerprint == other._fingerprint

    def __hash__(self) -> int:
        return hash(self._fingerprint)


def parse_jwks(document: bytes) -> KeySet:
    """Build the keys of a JWKS document.

    Keys that are not RSA signing keys of a sound size are passed over, as RFC 7517 §5 asks, and so are two keys of one
    name: a ``kid`` has to select exactly one. Any number of keys is fine; Cognito publishes two.

    Args:
        document: The body of ``…/.well-known/jwks.json``.

    Raises:
        JwksError: No key set, or none of its keys is usable.
    """
    try:
        keys = parse_object(document).get("keys")
    except StrictJsonError as error:
        raise JwksError(f"the key set is {error}") from error
    if not isinstance(keys, list):
        raise JwksError("the key set has no list named 'keys'")
    usable: dict[str, tuple[int, int]] = {}
    ambiguous: set[str] = set()
    for jwk in keys:
        if not _is_for_signatures(jwk):
            continue
        material = (_integer(jwk.get("n")), _integer(jwk.get("e")))
        if _is_sound(*material) and usable.setdefault(jwk["kid"], material) != material:
            ambiguous.add(jwk["kid"])
    for kid in ambiguous:
        del usable[kid]
    if not usable:
        raise JwksError(f"none of the key set's {len(keys)} keys is an RSA signing key of 2048 bits or more")
    from .rsa import RsaPublicKey  # noqa: PLC0415  see load_crypto

    return KeySet({kid: RsaPublicKey(*material) for kid, material in usable.items()}, frozenset(usable.items()))


def _is_for_signatures(jwk: Any) -> bool:
    """Say whether *jwk* is named, and meant to verify RS256 signatures."""
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str) or jwk.get("kty") != "RSA":
        return False
    # "use" and "alg" are optional, and exclude when present. RFC 7517 §4.2, §4.4
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", ALGORITHM) != ALGORITHM:
        return False
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return False
    return "d" not in jwk  # a published private key: anyone can sign with it


def _is_sound(modulus: int, exponent: int) -> bool:
    return (
        MIN_MODULUS_BITS <= modulus.bit_length() <= MAX_MODULUS_BITS
        and modulus % 2 == 1
        and 3 <= exponent <= MAX_EXPONENT
        and exponent % 2 == 1
    )


def _integer(text: Any) -> int:
    """Read a Base64urlUInt (RFC 7518 §2); 0 for anything else."""
    if not isinstance(text, str) or len(text) > 2 * MAX_MODULUS_BITS // 8:
        return 0
    try:
        return int.from_bytes(base64url.decode(text), "big")
    except ValueError:
        return 0


def load_crypto() -> None:
    """Import the RSA library, the slowest import of a cold start. Called while SSM answers."""
    from . import rsa  # noqa: F401, PLC0415  imported ahead of its use
