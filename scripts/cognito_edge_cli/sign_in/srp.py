"""Cognito's variant of the Secure Remote Password protocol: prove a password without sending it.

Source: RFC 2945 and RFC 5054 for the protocol; for what Cognito does its own way (SHA-256, padding, the key derivation,
the string that is signed), AWS's own client, amazon-cognito-identity-js, ``AuthenticationHelper``.
"""

import base64
import hashlib
import hmac
from datetime import datetime

# RFC 3526 §4, the 3072-bit MODP group, with its generator 2 (RFC 5054 lists 5 for this prime; Cognito uses 2).
GROUP_PRIME = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F"
    "83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B"
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510"
    "15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7"
    "ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C"
    "BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF",
    16,
)
GENERATOR = 2
EXPONENT_BYTES = 128  # of the client's secret; AWS's client takes as many

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class SrpError(ValueError):
    """The server sent what no honest server sends: answering it would prove the password to anyone."""


class SrpClient:
    """One run of the protocol, whose second message needs the secret of the first.

    Args:
        secret: The client's random exponent, fresh for each run: ``int.from_bytes(secrets.token_bytes(EXPONENT_BYTES))``.
    """

    def __init__(self, secret: int) -> None:
        self._secret = secret
        self._public = pow(GENERATOR, secret, GROUP_PRIME)
        # RFC 5054 §2.5.4: "The server MUST abort the handshake … if A % N = 0"; a zero exponent would give A = 1.
        if secret <= 0 or self._public % GROUP_PRIME == 0:
            raise SrpError("the client's secret must be a positive number")

    @property
    def srp_a(self) -> str:
        """The parameter ``SRP_A`` of InitiateAuth."""
        return f"{self._public:x}"

    def password_claim(
        self,
        *,
        user_pool_id: str,
        user_id: str,
        password: str,
        srp_b: str,
        salt: str,
        secret_block: str,
        timestamp: str,
    ) -> str:
        """Return ``PASSWORD_CLAIM_SIGNATURE``, base64.

        Args:
            user_pool_id: ``<region>_<name>``; the part after the ``_`` is the pool's name in the protocol.
            user_id: ``USER_ID_FOR_SRP`` of the challenge, which may differ from the name that was typed.
            password: What the person typed.
            srp_b: The server's public value, hexadecimal.
            salt: The user's salt, hexadecimal.
            secret_block: The challenge's ``SECRET_BLOCK``, base64.
            timestamp: What ``cognito_timestamp`` returns; sent along as ``TIMESTAMP``.

        Raises:
            SrpError: A value of the server is malformed, or makes the proof worthless.
        """
        try:
            server_public, salt_number = int(srp_b, 16), int(salt, 16)
            block = base64.b64decode(secret_block, validate=True)
        except ValueError:
            raise SrpError("expected hexadecimal SRP_B and SALT and a base64 SECRET_BLOCK") from None
        # "The client MUST abort the handshake with an 'illegal_parameter' alert if B % N = 0." RFC 5054 §2.5.3
        if server_public % GROUP_PRIME == 0:
            raise SrpError("the server's SRP_B is 0 modulo the group's prime")
        scrambler = _hash(_pad(self._public), _pad(server_public))
        if scrambler == 0:  # then S would not depend on the verifier: RFC 2945 §3
            raise SrpError("the scrambling parameter is 0")
        pool = user_pool_id.partition("_")[2]
        identity = hashlib.sha256(f"{pool}{user_id}:{password}".encode()).digest()
        private = _hash(_pad(salt_number), identity)
        multiplier = _hash(_pad(GROUP_PRIME), _pad(GENERATOR))
        base = server_public - multiplier * pow(GENERATOR, private, GROUP_PRIME)
        session = pow(base, self._secret + scrambler * private, GROUP_PRIME)
        key = _derive(_pad(session), _pad(scrambler))
        message = f"{pool}{user_id}".encode() + block + timestamp.encode()
        return base64.b64encode(hmac.digest(key, message, "sha256")).decode()


def cognito_timestamp(now: datetime) -> str:
    """Return *now* (aware, UTC) as Cognito reads it, whatever this machine's language is.

    >>> from datetime import datetime, timezone
    >>> cognito_timestamp(datetime(2026, 11, 1, 9, 5, 7, tzinfo=timezone.utc))
    'Sun Nov 1 09:05:07 UTC 2026'
    """
    return f"{_WEEKDAYS[now.weekday()]} {_MONTHS[now.month - 1]} {now.day} {now:%H:%M:%S} UTC {now.year}"


def _pad(number: int) -> bytes:
    # Big-endian, with a zero byte in front when the highest bit is set: the hash then reads no number as negative.
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def _hash(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha256(b"".join(parts)).digest(), "big")


def _derive(material: bytes, salt: bytes) -> bytes:
    # HKDF (RFC 5869) with one block of output, cut to 16 bytes.
    extracted = hmac.digest(salt, material, "sha256")
    return hmac.digest(extracted, b"Caldera Derived Key\x01", "sha256")[:16]
