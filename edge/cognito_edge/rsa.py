"""RS256 with OpenSSL, through ``cryptography``: a public key made once, and its checks.

Importing it is slow: ``jwks.load_crypto`` does it while SSM answers.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

_PADDING = PKCS1v15()
_HASH = SHA256()


class RsaPublicKey:
    """An RSA key that checks RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 §3.3)."""

    __slots__ = ("_key",)

    def __init__(self, modulus: int, exponent: int) -> None:
        """Make the key.

        Args:
            modulus: ``n``; its size is the caller's to check.
            exponent: ``e``.
        """
        self._key = RSAPublicNumbers(exponent, modulus).public_key()

    def verify(self, signing_input: bytes, signature: bytes) -> bool:
        """Say whether *signature* is this key's over *signing_input*."""
        try:
            self._key.verify(signature, signing_input, _PADDING, _HASH)
        except InvalidSignature:
            return False
        return True
