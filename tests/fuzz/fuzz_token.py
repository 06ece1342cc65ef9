"""Fuzz the token parser: whatever stands in an Authorization header is a refusal, unless it is an honest token.

Three kinds of input, by the first byte: any header value; a token's two JSON texts, signed by a stranger (never
accepted); and the same with a key that calls every signature good, so that only the claims can refuse it: then a second,
independent judge has to agree with every acceptance.

Run: ``make fuzz``
"""

import base64
import json
import math
from typing import Any

from tests.fuzz.engine import CLIENT_ID, ISSUER, NOW, POOL_ID, expect, instrumented, run

with instrumented():
    from cognito_edge.bearer import bearer_token
    from cognito_edge.claims import VerifiedClaims
    from cognito_edge.errors import AuthenticationError, MalformedRequestError
    from cognito_edge.identity import identity_headers
    from cognito_edge.jwks import KeySet, parse_jwks
    from cognito_edge.jws import PublicKey, parse_compact
    from cognito_edge.parameters import parse_parameters
    from cognito_edge.verify import trusted_pool, verify
from tests.fuzz.fuzz_jwks import N

CONFIGURATION = parse_parameters({"user-pool-id": POOL_ID, "client-id": CLIENT_ID}, policy_required=False)


class Yes:
    """A key that calls every signature good."""

    def verify(self, msg: bytes, sig: bytes) -> bool:
        return True


YES: PublicKey = Yes()
EVERY_KEY = KeySet({"k": YES}, frozenset())
REAL_KEYS = parse_jwks(json.dumps({"keys": [{"kty": "RSA", "kid": "k", "n": N, "e": "AQAB"}]}).encode())
SIGNATURE = "A" * 342
MAX_TOKEN_BYTES = 16_384

HEADER = b'{"kid":"k","alg":"RS256"}'
CLAIMS: dict[str, Any] = {
    "sub": "a",
    "iss": ISSUER,
    "aud": CLIENT_ID,
    "token_use": "id",
    "exp": NOW + 60,
    "iat": NOW,
    "auth_time": NOW,
    "cognito:username": "u",
    "cognito:groups": ["g"],
    "email": "e@x",
    "email_verified": True,
}
ACCESS = {
    "sub": "a",
    "iss": ISSUER,
    "client_id": CLIENT_ID,
    "token_use": "access",
    "exp": NOW + 60,
    "iat": NOW,
    "scope": "s",
}


def _seed(kind: bytes, header: bytes, claims: dict[str, Any]) -> bytes:
    return kind + header + b"\n" + json.dumps(claims, separators=(",", ":")).encode()


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


GOOD = f"{_b64url(HEADER)}.{_b64url(json.dumps(CLAIMS).encode())}.{SIGNATURE}"
SEEDS = (
    b"\0Bearer " + GOOD.encode(),
    b"\0Bearer a.b.c",
    b"\0Basic x",
    _seed(b"\1", HEADER, CLAIMS),
    _seed(b"\2", HEADER, CLAIMS),
    _seed(b"\2", HEADER, ACCESS),
    _seed(b"\2", b'{"kid":"k","alg":"RS256","typ":"at+jwt"}', ACCESS),
    _seed(b"\2", b'{"kid":"k","alg":"RS256","b64":true,"typ":"JWT"}', {**CLAIMS, "nbf": NOW + 300}),
)
WORDS = (
    *(f'"{word}"'.encode() for word in (*CLAIMS, "nbf", "client_id", "scope", "username", "alg", "kid", "typ", "crit")),
    *(f'"{word}"'.encode() for word in ("b64", "zip", "jwk", "none", "HS256", "at+jwt", "JWT", "access", "id", "true")),
    *(b"null", b"true", b"false", b"NaN", b"Infinity", b"1e3", b"1790000000", b"1790000301", b"-1", b"99999999999999"),
    *(
        b"\\ud800",
        b"\\u0065xp",
        b'"a":1,"a":2',
        b"[[[[",
        b"]]]]",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\x00",
        b"Bearer ",
        b"==",
        b".",
    ),
)


def target(data: bytes) -> None:
    """Send one input down the path that its first byte names."""
    kind, rest = data[:1], data[1:]
    if kind in (b"\1", b"\2"):
        header, _, payload = rest.partition(b"\n")
        token = f"{_b64url(header)}.{_b64url(payload)}.{SIGNATURE}"
        claims = judge([f"Bearer {token}"], EVERY_KEY if kind == b"\2" else REAL_KEYS)
        assert claims is None or kind == b"\2", "a stranger's signature was accepted"
        if claims is not None:
            check_accepted(header, payload, claims)
    else:
        text = rest.decode("latin-1" if len(rest) % 2 else "utf-8", "replace")
        assert judge(text.split("\n"), REAL_KEYS) is None, "a stranger's signature was accepted"


def judge(values: list[str], keys: KeySet) -> VerifiedClaims | None:
    """Do what the gateway does with the header's values; None is a refusal."""
    try:
        unverified = parse_compact(bearer_token(values, MAX_TOKEN_BYTES))
        pool = trusted_pool(unverified, CONFIGURATION)
        claims = verify(unverified, pool, keys, resource=None, leeway_s=0, now=NOW)
    except (AuthenticationError, MalformedRequestError) as error:
        expect(error.status in (400, 401), error)
        expect(str(error).isascii() and len(str(error)) < 500, error)
        return None
    for name, value in identity_headers(claims):
        assert value.isascii(), (name, value)
        assert value.isprintable(), (name, value)
    return claims


def check_accepted(header: bytes, payload: bytes, accepted: VerifiedClaims) -> None:
    """Judge once more, from the contract and not from the code."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({name for name, _ in pairs}) == len(pairs)
        return dict(pairs)

    jose = json.loads(header.decode("utf-8"), object_pairs_hook=unique)
    claims = json.loads(payload.decode("utf-8"), object_pairs_hook=unique)
    json.dumps(claims, ensure_ascii=False).encode("utf-8")
    assert jose["alg"] == "RS256"
    assert jose["kid"] == "k"
    assert "crit" not in jose
    assert "zip" not in jose
    assert jose.get("b64", True) is True
    assert claims["iss"] in (ISSUER, ISSUER.replace("https://", "https://issuer-"))
    assert claims["token_use"] in ("id", "access")
    assert claims["aud" if claims["token_use"] == "id" else "client_id"] == CLIENT_ID
    assert isinstance(claims["sub"], str)
    assert claims["sub"]
    for name in ("exp", "iat", "nbf", "auth_time"):
        value = claims.get(name, 0)
        assert type(value) is int
        assert math.isfinite(value)
        assert value >= 0
    assert claims["exp"] > NOW
    assert max(claims["iat"], claims.get("nbf", 0), claims.get("auth_time", 0)) <= NOW + 300
    assert all(isinstance(group, str) for group in claims.get("cognito:groups", []))
    assert accepted.sub == claims["sub"]
    assert accepted.groups == tuple(claims.get("cognito:groups", ()))
    assert accepted.email == "" or claims["email_verified"] is True or claims["email_verified"] == "true"


if __name__ == "__main__":
    run(target, SEEDS, WORDS)
