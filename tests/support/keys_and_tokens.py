"""User pools with real RSA keys, and tokens that start valid; a test breaks one thing."""

import base64
import json
from dataclasses import dataclass
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

NOW = 1_790_000_000  # 2026-09-21T14:13:20Z
POOL_ID = "eu-west-1_TestPool1"
CLIENT_ID = "1example23456789client"


def b64url(data: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return a private key that is made once per test run; *name* tells keys apart."""
    assert name
    return rsa.generate_private_key(65537, bits)


def jwk_of(key: rsa.RSAPrivateKey, kid: str, **changes: object) -> dict[str, object]:
    """Write a key's public half as Cognito publishes it; None removes a member."""
    numbers = key.public_key().public_numbers()
    n = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")
    e = numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")
    jwk = {"alg": "RS256", "e": b64url(e), "kid": kid, "kty": "RSA", "n": b64url(n), "use": "sig", **changes}
    return {name: value for name, value in jwk.items() if value is not None}


def sign_rs256(key: rsa.RSAPrivateKey, signing_input: bytes) -> bytes:
    """Make an RS256 signature."""
    return key.sign(signing_input, padding.PKCS1v15(), hashes.SHA256())


def compact(key: rsa.RSAPrivateKey, header: bytes | dict, payload: bytes | dict) -> str:
    """Sign any bytes as a compact JWS, so that nothing but the named defect can refuse it."""
    parts = [p if isinstance(p, bytes) else json.dumps(p, separators=(",", ":")).encode() for p in (header, payload)]
    signing_input = f"{b64url(parts[0])}.{b64url(parts[1])}"
    return f"{signing_input}.{b64url(sign_rs256(key, signing_input.encode()))}"


@dataclass
class Pool:
    """A Cognito user pool: two key pairs, one for ID tokens and one for access tokens."""

    pool_id: str = POOL_ID
    client_id: str = CLIENT_ID
    id_kid: str = "id-key-1"
    access_kid: str = "access-key-1"

    @property
    def issuer(self) -> str:
        return f"https://cognito-idp.{self.pool_id.partition('_')[0]}.amazonaws.com/{self.pool_id}"

    def key(self, kid: str) -> rsa.RSAPrivateKey:
        return rsa_key(f"{self.pool_id}/{kid}")

    def jwks(self) -> dict[str, object]:
        return {"keys": [jwk_of(self.key(kid), kid) for kid in (self.id_kid, self.access_kid)]}

    def id_claims(self, now: float = NOW, **changes: object) -> dict[str, object]:
        """Claims as the hosted UI's ID tokens have them; None removes one."""
        now = int(now)
        claims = {
            "at_hash": "zLOJGbXhYhFUqQ9VQYm8Zg",
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "email_verified": True,
            "iss": self.issuer,
            "cognito:username": "jane",
            "origin_jti": "11111111-2222-3333-4444-555555555555",
            "aud": self.client_id,
            "event_id": "66666666-7777-8888-9999-000000000000",
            "token_use": "id",
            "auth_time": now - 60,
            "exp": now + 3540,
            "iat": now - 60,
            "jti": "99999999-aaaa-bbbb-cccc-dddddddddddd",
            "email": "jane@example.com",
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def access_claims(self, now: float = NOW, **changes: object) -> dict[str, object]:
        """Claims as Cognito's access tokens have them; None removes one."""
        now = int(now)
        claims = {
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "iss": self.issuer,
            "version": 2,
            "client_id": self.client_id,
            "origin_jti": "11111111-2222-3333-4444-555555555555",
            "token_use": "access",
            "scope": "openid email tools/call",
            "auth_time": now - 60,
            "exp": now + 3540,
            "iat": now - 60,
            "jti": "77777777-aaaa-bbbb-cccc-dddddddddddd",
            "username": "jane",
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def id_token(self, now: float = NOW, **changes: object) -> str:
        return compact(self.key(self.id_kid), {"kid": self.id_kid, "alg": "RS256"}, self.id_claims(now, **changes))

    def access_token(self, now: float = NOW, **changes: object) -> str:
        claims = self.access_claims(now, **changes)
        return compact(self.key(self.access_kid), {"kid": self.access_kid, "alg": "RS256"}, claims)
