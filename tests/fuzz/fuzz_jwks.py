"""Fuzz the key-set parser: any bytes are a key set with a usable key, or a JwksError.

Run: ``make fuzz``
"""

import json

from tests.fuzz.engine import Choices, expect, instrumented, run

with instrumented():
    from cognito_edge.jwks import JwksError, parse_jwks

N = "w7Zdfmece8iaB0kiTY8pCtiBtzbptJmP28nSWwtdjRu0f2GFpajvWE4VhfJAjEsOcwYzay7XGN0b-X84BfC8hmCTOj2b2eHT7NsZegFPKRUQzJ9wW8ipn_aDJWMGDuB1XyqT1E7DYqjUCEOD1b4FLpy_xPn6oV_TYOfQ9fZdbE5HGxJUzekuGcOKqOQ8M7wfYHhHHLxGpQVgL0apWuP2gDDOdTtpuld4D2LK1MZK99s9gaSjRHE8JDb1Z4IGhEcEyzkxswVdPndUWzfvWBBWXWxtSUvQGBRkuy1BHOa4sP6FKjWEeeF7gm7UMs2Nm2QUgNZw6xvEDGaLk4KASdIxRQ"
KEY = {"alg": "RS256", "e": "AQAB", "kid": "k", "kty": "RSA", "n": N, "use": "sig"}
VALUES = (
    *(
        "",
        "AQAB",
        "Aw",
        "AQ",
        "AA",
        "RS512",
        "enc",
        "sig",
        "verify",
        "k",
        N,
        N[:-1],
        "A" + N,
        N * 3,
        N * 12,
        "A" * 999,
        "=",
    ),
    *(None, True, False, 0, 1, -1, 1.5, 10**40, [], ["verify"], ["sign"], [1], {}, {"a": 1}),
)
SEEDS = (json.dumps({"keys": [KEY]}).encode(), b'{"keys":[]}', b"\0\0\1\0\2", b"\0" * 20)


def target(data: bytes) -> None:
    """Parse raw bytes, or a good set with changes chosen by the bytes."""
    if not data.startswith(b"\0"):
        check(data)
        return
    choices = Choices(data[1:])
    keys = []
    for _ in range(1 + choices.below(3)):
        key: dict[str, object] = dict(KEY)
        for _ in range(choices.below(4)):
            name = (*KEY, "key_ops", "d", "x")[choices.below(len(KEY) + 3)]
            change = choices.below(3)
            text = key.get(name)
            if change == 0:
                key.pop(name, None)
            elif change == 1 and isinstance(text, str):
                at = choices.below(len(text) + 1)
                key[name] = text[:at] + chr(choices.byte()) + text[at + choices.below(2) :]
            else:
                key[name] = VALUES[choices.below(len(VALUES))]
        keys.append(key)
    check(json.dumps({"keys": keys}).encode())


def check(document: bytes) -> None:
    """Hold the parser to its contract."""
    try:
        keys = parse_jwks(document)
    except JwksError as error:
        expect(str(error))
        return
    assert len(keys) >= 1
    assert keys == parse_jwks(document)
    for jwk in json.loads(document)["keys"]:
        kid = jwk.get("kid") if isinstance(jwk, dict) else None
        key = keys.get(kid) if isinstance(kid, str) else None
        if key is not None:
            numbers = key._key.public_numbers()  # type: ignore[attr-defined]
            assert numbers.n.bit_length() >= 2_048
            assert numbers.e >= 3
            assert not key.verify(b"x", bytes(256))


if __name__ == "__main__":
    run(target, SEEDS, [f'"{name}"'.encode() for name in (*KEY, "keys", "key_ops", "d")])
