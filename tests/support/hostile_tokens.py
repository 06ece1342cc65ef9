"""Tokens that must be refused, each by name and with the code of its refusal, and good ones of every Cognito shape.

Nearly all of the hostile ones are correctly signed by the pool's own key, so that nothing but the named defect can
refuse them. ``hostile()`` and ``good()`` make lists of ``Case``; ``POLICY`` is what they are sent against.
"""

import base64
import gzip
import hashlib
import hmac
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from .keys_and_tokens import NOW, Pool, b64url, compact, jwk_of, rsa_key, sign_rs256

MAX_TOKEN_BYTES = 16_384
LAST_SECOND = 253_402_300_799

POOL = Pool()
# Trusted on /other/* alone.
OTHER = Pool("eu-west-1_OtherPool", "2example23456789client", "other-id-key", "other-access-key")
# Trusted nowhere.
STRANGER = Pool("eu-west-1_Stranger1", "3example23456789client")

ID_PATH = "/api/whoami"
ACCESS_PATH = "/access/x"
EITHER_PATH = "/either/x"
OTHER_PATH = "/other/x"
ADMINS_PATH = "/admins/x"
TOOLS_PATH = "/tools/x"
CLIENT_PATH = "/client/x"
PUBLIC_PATH = "/public/x"

SECOND_CLIENT = "4example23456789client"

POLICY = {
    "version": 1,
    "routes": [
        {"path": "/access/*", "token_use": ["access"]},
        {"path": "/either/*", "token_use": ["id", "access"]},
        {"path": "/other/*", "issuers": [OTHER.pool_id]},
        {"path": "/admins/*", "groups": ["admins"]},
        {"path": "/tools/*", "token_use": ["access"], "scopes": ["tools/call"]},
        {"path": "/client/*", "clients": [SECOND_CLIENT]},
        {"path": "/public/*", "allow": "anyone"},
    ],
    "issuers": [
        {"user_pool_id": OTHER.pool_id, "client_ids": [OTHER.client_id]},
        {"user_pool_id": POOL.pool_id, "client_ids": [SECOND_CLIENT]},
    ],
}


@dataclass(frozen=True, slots=True)
class Case:
    """One request with a token.

    Attributes:
        name: What is special about it.
        code: The refusal's code, or "" if it has to be let through.
        values: Every value of its Authorization header.
        uri: The path it asks for.
        secret: What must never show in a log line or an answer.
    """

    name: str
    code: str
    values: tuple[str, ...]
    uri: str = ID_PATH
    secret: tuple[str, ...] = ()


def bearer(name: str, code: str, token: str, uri: str = ID_PATH) -> Case:
    """Make a case of one bearer token."""
    secret = tuple(part for part in token.split(".") if len(part) >= 16)
    return Case(name, code, (f"Bearer {token}",), uri, secret)


def dumps(value: object) -> bytes:
    """Write JSON as Cognito does, without spaces."""
    return json.dumps(value, separators=(",", ":")).encode()


def join(header: bytes | str, payload: bytes | str, sign: Callable[[bytes], bytes] | None = None) -> str:
    """Join two parts, bytes or base64url that is kept as it is, with a signature over exactly what is written."""
    parts = [part if isinstance(part, str) else b64url(part) for part in (header, payload)]
    signing_input = f"{parts[0]}.{parts[1]}"
    sign = sign or own_key
    return f"{signing_input}.{b64url(sign(signing_input.encode('utf-8')))}"


def own_key(signing_input: bytes) -> bytes:
    """Sign as the pool signs ID tokens."""
    return sign_rs256(POOL.key(POOL.id_kid), signing_input)


HEADER = {"kid": POOL.id_kid, "alg": "RS256"}


def signed(header: object = None, payload: object = None) -> str:
    """Sign a header and a payload: changes to the valid ones (None removes a member), or bytes as they are."""
    if not isinstance(header, bytes):
        header = dumps({k: v for k, v in {**HEADER, **(header or {})}.items() if v is not None})
    if not isinstance(payload, bytes):
        payload = dumps(POOL.id_claims(**(payload or {})))
    return join(header, payload)


def with_raw(claims: dict[str, object], **raw: str) -> bytes:
    """Write claims with some values as raw JSON text."""
    marks = {name: f"@{name}@" for name in raw}
    text = json.dumps({**claims, **marks}, separators=(",", ":"))
    for name, mark in marks.items():
        text = text.replace(f'"{mark}"', raw[name])
    return text.encode("utf-8", "surrogatepass")


def token_of_length(length: int, **changes: object) -> str:
    """Make a good token of exactly that many characters."""
    for header_pad in range(4):
        header = dumps({**HEADER, "x": "h" * header_pad})
        room = length - 2 - 342 - len(b64url(header))
        claims_bytes = room * 3 // 4
        empty = len(dumps(POOL.id_claims(**{"custom:pad": "", **changes})))
        payload = dumps(POOL.id_claims(**{"custom:pad": "p" * (claims_bytes - empty), **changes}))
        token = join(header, payload)
        if len(token) == length:
            return token
    raise AssertionError(length)


# --- algorithms -----------------------------------------------------------------------------------------------------


def _algorithms() -> Iterator[Case]:
    own = POOL.key(POOL.id_kid)
    public = own.public_key()
    unsupported = "unsupported_algorithm"
    claims = dumps(POOL.id_claims())

    for alg in ("none", "None", "nOnE", "NONE", "none ", "", "non\u0435"):
        header = dumps({**HEADER, "alg": alg})
        yield bearer(f"alg {alg!r} without a signature", unsupported, join(header, claims, lambda _: b""))
        yield bearer(f"alg {alg!r} with the right signature", unsupported, join(header, claims))
    yield bearer("alg none without kid", unsupported, join(dumps({"alg": "none", "typ": "JWT"}), claims, lambda _: b""))

    jwk = dumps(jwk_of(own, POOL.id_kid))
    numbers = public.public_numbers()
    secrets = {
        "PEM": public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        "PEM stripped": public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).strip(),
        "PKCS1 PEM": public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1),
        "DER": public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        "JWK": jwk,
        "modulus": numbers.n.to_bytes(256, "big"),
        "modulus text": b64url(numbers.n.to_bytes(256, "big")).encode(),
        "kid": POOL.id_kid.encode(),
        "nothing": b"",
    }
    for name, secret in secrets.items():
        for alg, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
            if digest != "sha256" and name not in ("PEM", "DER"):
                continue

            def mac(data: bytes, secret: bytes = secret, digest: str = digest) -> bytes:
                return hmac.digest(secret, data, digest)

            yield bearer(
                f"{alg} keyed with the public key as {name}",
                unsupported,
                join(dumps({**HEADER, "alg": alg}), claims, mac),
            )
            if digest == "sha256":
                yield bearer(
                    f"RS256 in name, HMAC keyed with {name} in fact",
                    "invalid_signature",
                    join(dumps(HEADER), claims, mac),
                )

    def rsa_with(algorithm: hashes.HashAlgorithm, pad: padding.AsymmetricPadding) -> Callable[[bytes], bytes]:
        return lambda data: own.sign(data, pad, algorithm)

    def pss(algorithm: hashes.HashAlgorithm) -> padding.PSS:
        return padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)

    others = {
        "RS1": rsa_with(hashes.SHA1(), padding.PKCS1v15()),  # noqa: S303  the attack itself
        "RS384": rsa_with(hashes.SHA384(), padding.PKCS1v15()),
        "RS512": rsa_with(hashes.SHA512(), padding.PKCS1v15()),
        "PS256": rsa_with(hashes.SHA256(), pss(hashes.SHA256())),
        "PS384": rsa_with(hashes.SHA384(), pss(hashes.SHA384())),
        "PS512": rsa_with(hashes.SHA512(), pss(hashes.SHA512())),
        "ES256": _es256,
    }
    for alg, sign in others.items():
        yield bearer(f"{alg}, honestly signed", unsupported, join(dumps({**HEADER, "alg": alg}), claims, sign))
        yield bearer(f"RS256 in name, {alg} in fact", "invalid_signature", join(dumps(HEADER), claims, sign))
    for alg in ("EdDSA", "ES256K", "RSA-OAEP", "RSA1_5", "dir", "A128KW", "PBES2-HS256+A128KW", "ECDH-ES"):
        yield bearer(f"alg {alg}", unsupported, signed({"alg": alg}))
    for alg in ("rs256", "Rs256", "RS256 ", " RS256", "RS256\u0000", "RS\uff12\uff15\uff16", "SHA256withRSA"):
        yield bearer(f"alg spelled {alg!r}", unsupported, signed({"alg": alg}))
    for alg in (["RS256"], ["none", "RS256"], 256, 0, True, False, {"RS256": 1}, 1.5):
        yield bearer(f"alg {alg!r}", unsupported, signed({"alg": alg}))
    yield bearer("alg null", unsupported, signed(b'{"kid":"id-key-1","alg":null}'))
    yield bearer("alg absent", unsupported, signed({"alg": None}))
    yield bearer("empty header object", unsupported, signed(b"{}"))
    yield bearer("ALG in capitals", unsupported, signed(b'{"kid":"id-key-1","ALG":"RS256"}'))


def _es256(data: bytes) -> bytes:
    r, s = decode_dss_signature(_ec_key().sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())


# --- signatures and keys --------------------------------------------------------------------------------------------


def _signatures() -> Iterator[Case]:
    bad = "invalid_signature"
    token = POOL.id_token()
    head, payload, signature = token.split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    modulus = POOL.key(POOL.id_kid).public_key().public_numbers().n
    variants = {
        "empty": b"",
        "one byte": b"\0",
        "all zero": bytes(256),
        "one": (1).to_bytes(256, "big"),
        "modulus minus one": (modulus - 1).to_bytes(256, "big"),
        "the modulus": modulus.to_bytes(256, "big"),
        "all ones": b"\xff" * 256,
        "cut by one byte at the end": raw[:-1],
        "cut by one byte at the start": raw[1:],
        "a zero byte in front": b"\0" + raw,
        "a zero byte behind": raw + b"\0",
        "twice": raw * 2,
        "reversed": raw[::-1],
        "plus the modulus": (int.from_bytes(raw, "big") + modulus).to_bytes(257, "big"),
        "negated": (modulus - int.from_bytes(raw, "big")).to_bytes(256, "big"),
        "first bit flipped": bytes([raw[0] ^ 0x80]) + raw[1:],
        "last bit flipped": raw[:-1] + bytes([raw[-1] ^ 1]),
        "the digest alone": hashlib.sha256(f"{head}.{payload}".encode()).digest(),
        "hexadecimal": raw.hex().encode(),
        "of 10,000 bytes": raw + bytes(9_744),
    }
    for name, data in variants.items():
        yield bearer(f"signature {name}", bad, f"{head}.{payload}.{b64url(data)}")
    yield bearer("signature of another token", bad, f"{head}.{payload}.{POOL.id_token(sub='x').rpartition('.')[2]}")
    yield bearer("signature over the decoded parts", bad, join(dumps(HEADER), dumps(POOL.id_claims()), _over_decoded))
    yield bearer(
        "signature over the payload alone",
        bad,
        join(dumps(HEADER), dumps(POOL.id_claims()), lambda data: own_key(data.partition(b".")[2])),
    )
    for name, changes in {
        "groups added": {"cognito:groups": ["admins"]},
        "sub changed by a letter": {"sub": "baaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"},
        "exp later": {"exp": NOW + 999_999},
    }.items():
        forged = b64url(dumps(POOL.id_claims(**changes)))
        yield bearer(f"payload altered, {name}", bad, f"{head}.{forged}.{signature}")
    for name, header in {
        "typ added": {**HEADER, "typ": "JWT"},
        "members in another order": {"alg": "RS256", "kid": POOL.id_kid},
    }.items():
        yield bearer(f"header altered, {name}", bad, f"{b64url(dumps(header))}.{payload}.{signature}")
    yield bearer(
        "kid exchanged for the pool's other key",
        bad,
        f"{b64url(dumps({**HEADER, 'kid': POOL.access_kid}))}.{payload}.{signature}",
    )
    yield bearer(
        "signed by the pool's other key than kid says",
        bad,
        join(dumps(HEADER), dumps(POOL.id_claims()), lambda data: sign_rs256(POOL.key(POOL.access_kid), data)),
    )


def _over_decoded(data: bytes) -> bytes:
    header, _, payload = data.partition(b".")
    return own_key(base64.urlsafe_b64decode(header + b"==") + b"." + base64.urlsafe_b64decode(payload + b"=="))


def _keys() -> Iterator[Case]:
    thief = rsa_key("thief")

    def by_thief(data: bytes) -> bytes:
        return sign_rs256(thief, data)

    claims = dumps(POOL.id_claims())
    yield bearer("a stranger's key under this kid", "invalid_signature", compact(thief, HEADER, claims))
    yield bearer(
        "a stranger's key of 1024 bits under this kid",
        "invalid_signature",
        compact(rsa_key("small", 1024), HEADER, claims),
    )
    yield bearer("a stranger's key and kid", "unknown_key", compact(thief, {**HEADER, "kid": "thief"}, claims))
    yield bearer(
        "another pool's key under this pool's kid",
        "invalid_signature",
        compact(OTHER.key(OTHER.id_kid), HEADER, claims),
    )
    yield bearer(
        "another trusted pool's key and kid under this pool's iss",
        "unknown_key",
        compact(OTHER.key(OTHER.id_kid), {**HEADER, "kid": OTHER.id_kid}, claims),
    )
    yield bearer(
        "this pool's key and kid under another trusted pool's iss",
        "unknown_key",
        signed(None, {"iss": OTHER.issuer, "aud": OTHER.client_id}),
        OTHER_PATH,
    )
    yield bearer(
        "this pool's key, the other pool's kid and iss",
        "invalid_signature",
        signed({"kid": OTHER.id_kid}, {"iss": OTHER.issuer, "aud": OTHER.client_id}),
        OTHER_PATH,
    )
    yield bearer("another trusted pool's token where it is not taken", "wrong_issuer", OTHER.id_token())
    yield bearer(
        "another trusted pool's admin where admins may go",
        "wrong_issuer",
        OTHER.id_token(**{"cognito:groups": ["admins"]}),
        ADMINS_PATH,
    )
    yield bearer("this pool's token where the other's is taken", "wrong_issuer", POOL.id_token(), OTHER_PATH)
    yield bearer(
        "another trusted pool's token for this pool's client",
        "wrong_client",
        OTHER.id_token(aud=POOL.client_id),
        OTHER_PATH,
    )
    yield bearer("this pool's token for the other pool's client", "wrong_client", POOL.id_token(aud=OTHER.client_id))
    yield bearer("an unknown pool's token", "wrong_issuer", STRANGER.id_token())
    yield bearer("an unknown pool's access token", "wrong_issuer", STRANGER.access_token(), ACCESS_PATH)

    public = jwk_of(thief, POOL.id_kid)
    x5c = [
        base64.b64encode(
            thief.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        ).decode()
    ]
    embedded: dict[str, dict[str, object]] = {
        "jwk": {"jwk": public},
        "jku": {"jku": "https://thief.example/jwks.json"},
        "jku on the pool's host": {"jku": f"{POOL.issuer}/.well-known/jwks.json@thief.example"},
        "x5u": {"x5u": "https://thief.example/cert.pem"},
        "x5c": {"x5c": x5c},
        "x5t": {"x5t": "AAAA", "x5t#S256": "AAAA"},
        "jwk as a private key": {"jwk": {**public, "d": "AQAB"}},
        "jwk as a symmetric key": {"jwk": {"kty": "oct", "k": "AAAA", "kid": POOL.id_kid}},
        "keys": {"keys": [public]},
        "key": {"key": public},
        "epk": {"epk": public},
        "a PEM as kid's neighbour": {"pem": "-----BEGIN PUBLIC KEY-----"},
    }
    for name, members in embedded.items():
        yield bearer(
            f"embedded {name} under this kid", "invalid_signature", join(dumps({**HEADER, **members}), claims, by_thief)
        )
        yield bearer(
            f"embedded {name} under its own kid",
            "unknown_key",
            join(dumps({**HEADER, "kid": "thief", **members}), claims, by_thief),
        )

    for kid in (
        "",
        " ",
        "../../../../../../dev/null",
        "/proc/sys/kernel/randomize_va_space",
        "file:///dev/null",
        "https://thief.example/jwks.json",
        "' OR '1'='1",
        "x' UNION SELECT 'key'; --",
        "$(id)",
        "${jndi:ldap://thief.example}",
        "id-key-1\u0000",
        "\u0000id-key-1",
        "id-key-1 ",
        " id-key-1",
        "id-key-1\n",
        "ID-KEY-1",
        "id-key-",
        "id-key-11",
        "id-key-\uff11",
        "id\u2010key-1",
        "0",
        "null",
        "__proto__",
        "*",
        "id-key-1,access-key-1",
        "\ud83d\ude00",
        OTHER.id_kid,
        "k" * 10_000,
    ):
        yield bearer(f"kid {kid[:40]!r}", "unknown_key", signed({"kid": kid}))
    for kid in ([POOL.id_kid], [POOL.id_kid, POOL.access_kid], {"kid": POOL.id_kid}, 1, 0, 1.5, True, False, [], {}):
        yield bearer(f"kid {kid!r}", "malformed_token", signed({"kid": kid}))
    yield bearer("kid null", "malformed_token", signed(b'{"kid":null,"alg":"RS256"}'))
    yield bearer("kid absent", "malformed_token", signed({"kid": None}))


# --- header ---------------------------------------------------------------------------------------------------------


def _headers() -> Iterator[Case]:
    malformed = "malformed_token"
    for crit in (
        [],
        ["exp"],
        ["b64"],
        ["alg"],
        ["kid"],
        ["crit"],
        [""],
        ["http://x.example"],
        "exp",
        "",
        {},
        0,
        True,
        False,
        [1],
    ):
        yield bearer(f"crit {crit!r}", malformed, signed({"crit": crit, "exp": NOW + 3540}))
    yield bearer("crit null", malformed, signed(b'{"kid":"id-key-1","alg":"RS256","crit":null}'))
    for b64 in (False, "false", "true", 0, 1, [], {}):
        yield bearer(f"b64 {b64!r}", malformed, signed({"b64": b64}))
    yield bearer("b64 null", malformed, signed(b'{"kid":"id-key-1","alg":"RS256","b64":null}'))
    yield bearer("b64 false with crit as RFC 7797 wants it", malformed, signed({"b64": False, "crit": ["b64"]}))
    claims = dumps(POOL.id_claims())
    for value in ("DEF", "def", "GZ", "none", "", 1, False, []):
        yield bearer(f"zip {value!r}", malformed, signed({"zip": value}))
    deflate = zlib.compressobj(wbits=-15)
    deflated = deflate.compress(claims) + deflate.flush()
    yield bearer("payload deflated, zip said", malformed, signed({"zip": "DEF"}, deflated))
    yield bearer("payload deflated, nothing said", malformed, signed(None, deflated))
    yield bearer("payload a zip bomb", malformed, signed({"zip": "DEF"}, zlib.compress(bytes(5_000_000))))
    yield bearer("payload gzipped", malformed, signed(None, gzip.compress(claims)))
    for typ in (
        "",
        "JWE",
        "JOSE",
        "JWT ",
        " JWT",
        "JWT\u0000",
        "id_token",
        "logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "client-authentication+jwt",
        "application/jose",
        "application/json",
        "text/jwt",
        "jwt+at",
        "at+jwt;x",
    ):
        yield bearer(f"typ {typ!r}", malformed, signed({"typ": typ}))
    for typ in (["JWT"], 1, True, {}, 0, False):
        yield bearer(f"typ {typ!r}", malformed, signed({"typ": typ}))
    yield bearer("typ null", malformed, signed(b'{"kid":"id-key-1","alg":"RS256","typ":null}'))
    for typ in ("at+jwt", "AT+JWT", "application/at+jwt"):
        yield bearer(f"ID token of typ {typ}", "wrong_token_use", signed({"typ": typ}))
        yield bearer(
            f"ID token of typ {typ} where either kind is taken", "wrong_token_use", signed({"typ": typ}), EITHER_PATH
        )
    inner = POOL.id_token().encode()
    yield bearer("nested JWT, cty said", malformed, signed({"cty": "JWT"}, inner))
    yield bearer("nested JWT, nothing said", malformed, signed(None, inner))
    yield bearer("nested JWT as a JSON string", malformed, signed({"cty": "JWT"}, dumps(inner.decode())))


# --- encodings ------------------------------------------------------------------------------------------------------


def _encodings() -> Iterator[Case]:
    malformed = "malformed_token"
    header, claims = dumps(HEADER), dumps(POOL.id_claims(name="Zo\u00eb"))
    text = json.dumps(POOL.id_claims(name="Zo\u00eb"), ensure_ascii=False)

    # base64: each part, signed as it is written
    for name, change in {
        "padding": lambda part: part + "=" * (-len(part) % 4 or 4),
        "one '=' too few": lambda part: part + "=",
        "non-canonical last bits": _loosen,
        "standard alphabet": lambda part: _with_dash(part).replace("-", "+").replace("_", "/"),
        "a space inside": lambda part: part[:10] + " " + part[10:],
        "a newline inside": lambda part: part[:10] + "\n" + part[10:],
        "a newline at the end": lambda part: part + "\n",
        "a tab inside": lambda part: part[:10] + "\t" + part[10:],
        "a carriage return inside": lambda part: part[:10] + "\r\n" + part[10:],
        "a NUL inside": lambda part: part[:10] + "\0" + part[10:],
        "a percent escape": lambda part: part[:10] + "%2D" + part[10:],
        "a letter beyond ASCII": lambda part: part[:10] + "\u00e9" + part[10:],
        "a fullwidth letter": lambda part: part[:10] + "\uff21" + part[11:],
        "a no-break space": lambda part: part[:10] + "\u00a0" + part[10:],
        "a zero-width space": lambda part: part[:10] + "\u200b" + part[10:],
        "a tilde": lambda part: part[:10] + "~" + part[10:],
        "a comma": lambda part: part[:10] + "," + part[10:],
        "one letter too many": lambda part: part[: len(part) - len(part) % 4] + "A",
    }.items():
        yield bearer(f"header with {name}", malformed, join(change(_loose_part(header)), b64url(claims)))
        yield bearer(f"payload with {name}", malformed, join(b64url(header), change(_loose_part(claims))))
        token = POOL.id_token()
        start, _, signature = token.rpartition(".")
        yield bearer(f"signature with {name}", malformed, f"{start}.{change(signature)}")

    # text: the header and the payload in other encodings
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig", "latin-1"):
        yield bearer(f"payload in {encoding}", malformed, signed(None, text.encode(encoding)))
        if encoding != "latin-1":
            yield bearer(f"header in {encoding}", malformed, signed(header.decode().encode(encoding)))
    yield bearer("header in latin-1", malformed, signed(b'{"kid":"id-key-1","alg":"RS256","x":"\xe9"}'))
    yield bearer("payload in EBCDIC", malformed, signed(None, text.encode("cp500")))
    yield bearer(
        "payload in UTF-7", malformed, signed(None, '{"sub":"Zo\u00eb"}'.encode("utf-7").replace(b'"', b"+ACI-"))
    )
    head, tail = claims[:-1], b"}"
    broken = {
        "an overlong slash": b',"x":"\xc0\xaf"',
        "an overlong NUL": b',"x":"\xc0\x80"',
        "a lone continuation byte": b',"x":"\x80"',
        "a cut sequence": b',"x":"\xe2\x82"',
        "the byte FF": b',"x":"\xff"',
        "a surrogate in UTF-8": b',"x":"\xed\xa0\x80"',
        "a surrogate pair in UTF-8": b',"x":"\xed\xa0\xbd\xed\xb8\x80"',
        "a character past U+10FFFF": b',"x":"\xf4\x90\x80\x80"',
        "an escaped high surrogate": b',"x":"\\ud800"',
        "an escaped low surrogate": b',"x":"\\udfff"',
        "escaped surrogates the wrong way round": b',"x":"\\ude00\\ud83d"',
        "an escaped surrogate before a letter": b',"x":"\\uD83Dx"',
        "an escaped surrogate in a name": b',"\\ud800":1',
        "an escaped surrogate deep down": b',"x":[{"y":["\\udbff"]}]',
        "an escaped surrogate after a good pair": b',"x":"\\ud83d\\ude00\\ud83d"',
        "a raw NUL in a text": b',"x":"a\0b"',
        "a raw newline in a text": b',"x":"a\nb"',
        "a raw tab in a text": b',"x":"a\tb"',
        "a raw escape character in a text": b',"x":"\x1b[31m"',
        "a hexadecimal escape": b',"x":"\\x41"',
        "a short Unicode escape": b',"x":"\\u41"',
        "an open text": b',"x":"',
        "a trailing comma": b",",
        "two commas": b',,"x":1',
        "a comment": b',/* */"x":1',
        "a line comment": b',"x":1//\n',
        "single quotes": b",'x':1",
        "a bare name": b",x:1",
        "a number as a name": b',1:"x"',
        "no value": b',"x":',
        "a semicolon": b';"x":1',
        "Python's True": b',"x":True',
        "Python's None": b',"x":None',
        "undefined": b',"x":undefined',
        "a hexadecimal number": b',"x":0x10',
        "a number with a plus": b',"x":+1',
        "a number with a leading zero": b',"x":01',
        "a number with a dot and nothing": b',"x":1.',
        "a number that begins with a dot": b',"x":.5',
        "NaN in an unknown claim": b',"x":NaN',
        "Infinity in an unknown claim": b',"x":Infinity',
        "-Infinity in an unknown claim": b',"x":[{"y":-Infinity}]',
        "a 5000-digit number in an unknown claim": b',"x":' + b"9" * 5_000,
        "Arabic digits as a number": ',"x":\u0661\u0662'.encode(),
    }
    for name, data in broken.items():
        yield bearer(f"payload with {name}", malformed, signed(None, head + data + tail))
        if name != "a 5000-digit number in an unknown claim":
            yield bearer(f"header with {name}", malformed, signed(header[:-1] + data + tail))
    whole = {
        "nothing but spaces": b"   ",
        "an array": b"[" + claims + b"]",
        "a text": dumps(claims.decode()),
        "a number": b"1",
        "true": b"true",
        "null": b"null",
        "NaN": b"NaN",
        "two objects": claims + claims,
        "two lines of JSON": claims + b"\n" + claims,
        "an object and a NUL": claims + b"\0",
        "a NUL in front": b"\0" + claims,
        "an object and a letter": claims + b"x",
        "an object and a brace": claims + b"}",
        "an open object": claims[:-1],
        "a no-break space in front": "\u00a0".encode() + claims,
        "a form feed in front": b"\f" + claims,
        "XML": b"<claims><sub>x</sub></claims>",
        "a form": b"sub=x&exp=1",
        "YAML": b"sub: x\nexp: 1\n",
        "CBOR": b"\xa1\x63sub\x61x",
        "JSON in JSONP": b"f(" + claims + b")",
        "a guarded object": b")]}',\n" + claims,
    }
    for name, data in whole.items():
        yield bearer(f"payload is {name}", malformed, signed(None, data))
    for name in (
        "an array",
        "a text",
        "null",
        "two objects",
        "a NUL in front",
        "an object and a NUL",
        "an open object",
    ):
        data = whole[name].replace(claims, header)
        yield bearer(f"header is {name}", malformed, signed(data))
    yield bearer("payload is an empty object", "missing_claim", signed(None, b"{}"))


def _loosen(part: str) -> str:
    """Set bits in the last character that decoders ignore."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(part) % 4 in (2, 3), len(part)
    return part[:-1] + alphabet[alphabet.index(part[-1]) | 1]


def _with_dash(part: str) -> str:
    """Make sure that the two characters in which the alphabets differ are there."""
    return part if "-" in part or "_" in part else part[:-2] + "-" + part[-1]


def _loose_part(data: bytes) -> str:
    """Encode JSON with spaces in front, so that its last character has bits to spare."""
    while len(b64url(data)) % 4 not in (2, 3):
        data = b" " + data
    return b64url(data)


def _duplicates() -> Iterator[Case]:
    malformed = "malformed_token"
    claims = dumps(POOL.id_claims())
    for name in ("iss", "aud", "sub", "exp", "iat", "token_use", "auth_time", "cognito:username", "email_verified"):
        value = dumps(POOL.id_claims()[name])
        yield bearer(
            f"{name} twice, equal", malformed, signed(None, claims[:-1] + b"," + dumps(name) + b":" + value + b"}")
        )
        yield bearer(
            f"{name} twice, another first", malformed, signed(None, b"{" + dumps(name) + b':"x",' + claims[1:])
        )
        yield bearer(
            f"{name} twice, another last", malformed, signed(None, claims[:-1] + b"," + dumps(name) + b":null}")
        )
    yield bearer("exp twice, once escaped", malformed, signed(None, claims[:-1] + b',"\\u0065xp":9999999999}'))
    yield bearer(
        "groups twice", malformed, signed(None, claims[:-1] + b',"cognito:groups":["x"],"cognito:groups":["admins"]}')
    )
    for name, data in {
        "in an object": b'{"a":1,"a":2}',
        "in an object in a list": b'[{"a":1,"a":1}]',
        "five levels down": b'[[{"x":{"y":[{"a":1,"a":1}]}}]]',
        "an empty name": b'{"":1,"":2}',
        "escaped": b'{"a":1,"\\u0061":2}',
    }.items():
        yield bearer(
            f"duplicate names in an unknown claim, {name}",
            malformed,
            signed(None, claims[:-1] + b',"custom:x":' + data + b"}"),
        )
        yield bearer(
            f"duplicate names in an unknown header, {name}",
            malformed,
            signed(b'{"kid":"id-key-1","alg":"RS256","x":' + data + b"}"),
        )
    for raw in (
        b'{"alg":"none","kid":"id-key-1","alg":"RS256"}',
        b'{"alg":"RS256","kid":"id-key-1","alg":"none"}',
        b'{"alg":"RS256","kid":"id-key-1","alg":"RS256"}',
        b'{"alg":"RS256","kid":"thief","kid":"id-key-1"}',
        b'{"alg":"RS256","kid":"id-key-1","\\u006bid":"thief"}',
        b'{"alg":"RS256","kid":"id-key-1","typ":"JWT","typ":"JWT"}',
        b'{"alg":"RS256","kid":"id-key-1","jwk":{"n":"a","n":"b"}}',
    ):
        yield bearer(f"header {raw.decode()}", malformed, signed(raw))


# --- numbers and claims ---------------------------------------------------------------------------------------------

NO_NUMERIC_DATES = {
    "a text": '"1790003540"',
    "a text with a sign": '"+1790003540"',
    "an empty text": '""',
    "a fraction of zero": "1790003540.0",
    "a fraction": "1790003540.5",
    "an exponent": "1e3",
    "a large exponent": "1.79000354e9",
    "an exponent past all floats": "1e400",
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "NaN as a text": '"NaN"',
    "Infinity as a text": '"Infinity"',
    "true": "true",
    "false": "false",
    "null": "null",
    "10^50": "1" + "0" * 50,
    "-10^50": "-1" + "0" * 50,
    "a number of 4,000 digits": "9" * 4_000,
    "a number of 5,000 digits": "9" * 5_000,
    "-1": "-1",
    "a negative time": "-1790003540",
    "milliseconds": "1790003540000",
    "the second after 9999": str(LAST_SECOND + 1),
    "2^63": str(2**63),
    "2^64": str(2**64),
    "a list": "[1790003540]",
    "an object": '{"$numberLong":"1790003540"}',
    "an empty list": "[]",
    "a date": '"2026-09-21T14:13:20Z"',
    "Arabic digits": '"\u0661\u0667\u0669\u0660\u0660\u0660\u0663\u0665\u0664\u0660"',
    "bare Arabic digits": "\u0661\u0667\u0669\u0660\u0660\u0660\u0663\u0665\u0664\u0660",
    "fullwidth digits": '"\uff11\uff17\uff19\uff10\uff10\uff10\uff13\uff15\uff14\uff10"',
    "bare fullwidth digits": "\uff11\uff17\uff19\uff10\uff10\uff10\uff13\uff15\uff14\uff10",
    "hexadecimal": "0x6AB1A0D4",
    "a leading zero": "01790003540",
    "a leading plus": "+1790003540",
    "underscores": "1_790_003_540",
    "a big-integer suffix": "1790003540n",
}


def _numbers() -> Iterator[Case]:
    for claim in ("exp", "iat", "nbf", "auth_time"):
        for name, raw in NO_NUMERIC_DATES.items():
            payload = with_raw(POOL.id_claims(), **{claim: raw})
            yield bearer(f"{claim} is {name}", "malformed_token", signed(None, payload))


def _times() -> Iterator[Case]:
    for name, exp in {"now": NOW, "a second ago": NOW - 1, "an hour ago": NOW - 3600, "0": 0, "-0": 0, "1": 1}.items():
        payload = with_raw(POOL.id_claims(), exp="-0") if name == "-0" else dumps(POOL.id_claims(exp=exp))
        yield bearer(f"exp is {name}", "expired", signed(None, payload))
    yield bearer("exp before iat", "expired", POOL.id_token(exp=NOW - 61))
    for claim in ("iat", "nbf", "auth_time"):
        for ahead in (301, 302, 3600, 86_400):
            yield bearer(f"{claim} {ahead} s ahead", "not_yet_valid", POOL.id_token(**{claim: NOW + ahead}))
        yield bearer(f"{claim} in the last second of 9999", "not_yet_valid", POOL.id_token(**{claim: LAST_SECOND}))
    yield bearer("access token expired now", "expired", POOL.access_token(exp=NOW), ACCESS_PATH)
    yield bearer("access token from the future", "not_yet_valid", POOL.access_token(iat=NOW + 301), ACCESS_PATH)


def _claims() -> Iterator[Case]:
    types: dict[str, object] = {
        "a number": 5,
        "zero": 0,
        "a fraction": 1.5,
        "true": True,
        "false": False,
        "a list": ["x"],
        "an empty list": [],
        "an object": {"x": 1},
        "an empty object": {},
    }
    # (claim, code when it has another type, whether it is required, where access tokens have it too)
    for claim, code, required, access in (
        ("iss", "wrong_issuer", True, True),
        ("token_use", "wrong_token_use", True, True),
        ("aud", "wrong_client", True, False),
        ("sub", "malformed_token", True, True),
        ("exp", "malformed_token", True, True),
        ("iat", "malformed_token", True, True),
        ("cognito:username", "malformed_token", False, False),
        ("email", "malformed_token", False, False),
    ):
        if required:
            yield bearer(f"ID token without {claim}", "missing_claim", POOL.id_token(**{claim: None}))
            if access:
                yield bearer(
                    f"access token without {claim}", "missing_claim", POOL.access_token(**{claim: None}), ACCESS_PATH
                )
        for name, value in types.items():
            if claim in ("exp", "iat"):
                continue  # NO_NUMERIC_DATES has them all
            yield bearer(f"{claim} is {name}", code, POOL.id_token(**{claim: value}))
        if claim not in ("exp", "iat"):
            yield bearer(f"{claim} is null", code, signed(None, with_raw(POOL.id_claims(), **{claim: "null"})))
        yield bearer(
            f"{claim} in capitals", "missing_claim" if required else code, signed(None, _capital(claim, required))
        )
    for name, value in types.items():
        for claim, code in (
            ("client_id", "wrong_client"),
            ("username", "malformed_token"),
            ("scope", "malformed_token"),
        ):
            yield bearer(f"access token's {claim} is {name}", code, POOL.access_token(**{claim: value}), ACCESS_PATH)
    yield bearer("access token without client_id", "missing_claim", POOL.access_token(client_id=None), ACCESS_PATH)
    yield bearer(
        "access token with its client in aud alone",
        "missing_claim",
        POOL.access_token(client_id=None, aud=POOL.client_id),
        ACCESS_PATH,
    )
    yield bearer(
        "ID token with its client in client_id alone",
        "missing_claim",
        POOL.id_token(aud=None, client_id=POOL.client_id),
    )
    yield bearer("ID token with its client in azp alone", "missing_claim", POOL.id_token(aud=None, azp=POOL.client_id))
    yield bearer("sub is empty", "malformed_token", POOL.id_token(sub=""))
    yield bearer("sub alone is missing from an access token", "missing_claim", POOL.access_token(sub=None), ACCESS_PATH)

    for groups in (
        "admins",
        1,
        True,
        False,
        {"admins": 1},
        [1],
        [None],
        [["admins"]],
        ["admins", 1],
        [""],
        ["admins", ""],
    ):
        yield bearer(
            f"cognito:groups {groups!r}", "malformed_token", POOL.id_token(**{"cognito:groups": groups}), ADMINS_PATH
        )
    yield bearer(
        "cognito:groups null", "malformed_token", signed(None, with_raw(POOL.id_claims(), **{"cognito:groups": "null"}))
    )


def _capital(claim: str, required: bool) -> bytes:
    if required:
        return dumps({(name.upper() if name == claim else name): value for name, value in POOL.id_claims().items()})
    return dumps({**POOL.id_claims(), claim: 1, claim.upper(): "x"})


def _values() -> Iterator[Case]:
    issuer, host = POOL.issuer, "cognito-idp.eu-west-1.amazonaws.com"
    for iss in (
        "",
        POOL.pool_id,
        issuer + "/",
        issuer + " ",
        " " + issuer,
        issuer + "\u0000",
        issuer + "\n",
        issuer + "x",
        issuer[:-1],
        issuer.upper(),
        issuer.lower(),
        issuer.replace("https", "http"),
        issuer.replace("https", "HTTPS"),
        issuer.replace("https://", ""),
        issuer.replace("https://", "//"),
        issuer.replace("https://", "https:///"),
        issuer.replace(host, host + ":443"),
        issuer.replace(host, host + "."),
        issuer.replace(host, host.upper()),
        issuer.replace(host, f"{host}@thief.example"),
        issuer.replace(host, f"thief.example/{host}"),
        issuer.replace(host, f"{host}.thief.example"),
        issuer.replace(host, f"x.{host}"),
        issuer.replace("amazonaws.com", "amazonaws.com.cn"),
        issuer.replace("eu-west-1.amazonaws", "eu-west-2.amazonaws"),
        issuer.replace("eu-west-1_", "eu-west-2_"),
        issuer.replace("/eu", "//eu"),
        issuer.replace("/eu", "/./eu"),
        issuer.replace("/eu", "/x/../eu"),
        issuer.replace("_", "%5F"),
        issuer.replace("o", "\u043e", 1),
        issuer + "?x",
        issuer + "#x",
        issuer + "/.well-known/jwks.json",
        issuer + "," + issuer,
        issuer.replace("cognito-idp", "issuer-issuer-cognito-idp"),
        issuer.replace("cognito-idp", "cognito-idp-fips"),
        STRANGER.issuer,
        "https://thief.example",
        "*",
    ):
        yield bearer(f"iss {iss!r}", "wrong_issuer", POOL.id_token(iss=iss))
    yield bearer("iss in a list", "wrong_issuer", POOL.id_token(iss=[issuer]))
    yield bearer(
        "another trusted pool's iss, in capitals", "wrong_issuer", OTHER.id_token(iss=OTHER.issuer.upper()), OTHER_PATH
    )

    client = POOL.client_id
    for value in (
        "",
        client + " ",
        " " + client,
        client + "\u0000",
        client[:-1],
        client[1:],
        client + "x",
        "x" + client,
        client.upper(),
        client.replace("1", "\uff11", 1),
        f"{client},{OTHER.client_id}",
        f"{client} {OTHER.client_id}",
        OTHER.client_id,
        STRANGER.client_id,
        POOL.pool_id,
        "*",
    ):
        yield bearer(f"aud {value!r}", "wrong_client", POOL.id_token(aud=value))
        yield bearer(f"client_id {value!r}", "wrong_client", POOL.access_token(client_id=value), ACCESS_PATH)
    for value in ([client], [client, OTHER.client_id], [[client]], {client: 1}):
        yield bearer(f"aud {value!r}", "wrong_client", POOL.id_token(aud=value))
    yield bearer("a client that the rule does not take", "wrong_client", POOL.id_token(), CLIENT_PATH)

    for value in (
        "",
        "ID",
        "Id",
        "id ",
        " id",
        "id\u0000",
        "\u0131d",
        "\uff49\uff44",
        "refresh",
        "ids",
        "i",
        "access,id",
        "any",
        "*",
    ):
        yield bearer(f"token_use {value!r}", "wrong_token_use", POOL.id_token(token_use=value))
        yield bearer(
            f"token_use {value!r} where either kind is taken",
            "wrong_token_use",
            POOL.id_token(token_use=value),
            EITHER_PATH,
        )
    for value in (["id"], ["id", "access"], {"id": True}):
        yield bearer(f"token_use {value!r}", "wrong_token_use", POOL.id_token(token_use=value))
    yield bearer("an access token where an ID token is asked for", "wrong_token_use", POOL.access_token())
    yield bearer(
        "an access token with aud where an ID token is asked for", "wrong_token_use", POOL.access_token(aud=client)
    )
    yield bearer("an ID token where an access token is asked for", "wrong_token_use", POOL.id_token(), ACCESS_PATH)
    yield bearer(
        "an ID token with client_id and scope where an access token is asked for",
        "wrong_token_use",
        POOL.id_token(client_id=client, scope="tools/call"),
        TOOLS_PATH,
    )

    for groups in (
        [],
        ["admin"],
        ["adminss"],
        ["Admins"],
        ["ADMINS"],
        ["admins "],
        [" admins"],
        ["admins\u0000"],
        ["x,admins"],
        ["admins,x"],
        ["%61dmins"],
        ["\uff41dmins"],
        ["admins\u200b"],
        ["*"],
    ):
        yield bearer(
            f"groups {groups!r} for admins", "missing_group", POOL.id_token(**{"cognito:groups": groups}), ADMINS_PATH
        )
    yield bearer(
        "groups in a claim of another name",
        "missing_group",
        POOL.id_token(groups=["admins"], roles=["admins"]),
        ADMINS_PATH,
    )
    yield bearer("groups in a custom claim", "missing_group", POOL.id_token(**{"custom:groups": "admins"}), ADMINS_PATH)
    for scope in (
        "",
        "tools",
        "tools/",
        "tools/cal",
        "tools/callx",
        "TOOLS/CALL",
        "tools/call,x",
        "tools%2Fcall",
        "x+tools/call",
        "*",
    ):
        yield bearer(
            f"scope {scope!r} for tools/call", "insufficient_scope", POOL.access_token(scope=scope), TOOLS_PATH
        )
    yield bearer("no scope at all", "insufficient_scope", POOL.access_token(scope=None), TOOLS_PATH)
    yield bearer("scope in scp", "insufficient_scope", POOL.access_token(scope=None, scp=["tools/call"]), TOOLS_PATH)


# --- shapes and sizes -----------------------------------------------------------------------------------------------


def _shapes() -> Iterator[Case]:
    malformed = "malformed_token"
    token = POOL.id_token()
    head, payload, signature = token.split(".")
    for name, text in {
        "one part": head,
        "two parts": f"{head}.{payload}",
        "four parts": f"{token}.{signature}",
        "five parts": f"{head}.{payload}.{signature}.{payload}.{signature}",
        "six parts": f"{token}.{token}",
        "an empty header": f".{payload}.{signature}",
        "an empty payload": f"{head}..{signature}",
        "nothing but a signature": f"..{signature}",
        "a dot in front": f".{token}",
        "a dot behind": f"{token}.",
        "one dot": ".",
        "two dots": "..",
        "four dots": "....",
        "a thousand dots": "." * 1_000,
        "commas for dots": token.replace(".", ","),
        "quotes around": f'"{token}"',
        "angle brackets around": f"<{token}>",
        "a comma behind": f"{token},",
        "a semicolon behind": f"{token};",
        "a parameter behind": f"{token};v=1",
        "a fragment behind": f"{token}#x",
        "a query behind": f"{token}?x",
        "a NUL behind": f"{token}\0",
        "a newline behind": f"{token}\n",
        "a null byte and another token": f"{token}\0{token}",
        "itself twice with a space": f"{token} {token}",
        "itself twice with a comma": f"{token}, {token}",
        "a comma list of bearers": f"{token}, Bearer {token}",
        "the scheme twice": f"Bearer {token}",
        "a scheme behind": f"{token} Bearer",
        "a Basic credential behind": f"{token}, Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        "percent-encoded dots": token.replace(".", "%2E"),
        "fullwidth dots": token.replace(".", "\uff0e"),
        "b64token syntax that is no JWT": "mF_9.B5f-4.1JqM~+/==",
        "an opaque word": "opaque-refresh-token",
        "the text null": "null",
        "the text undefined": "undefined",
        "an object put into a header": "[object Object]",
        "JSON serialization": dumps({"payload": payload, "protected": head, "signature": signature}).decode(),
        "general JSON serialization": dumps(
            {"payload": payload, "signatures": [{"protected": head, "signature": signature}]}
        ).decode(),
        "letters beyond ASCII": "\u00e9.\u00e9.\u00e9",
        "an encrypted JWT": f"{b64url(dumps({'alg': 'RSA-OAEP', 'enc': 'A256GCM'}))}.AAAA.AAAA.AAAA.AAAA",
        "a directly encrypted JWT": f"{b64url(dumps({'alg': 'dir', 'enc': 'A128CBC-HS256'}))}..AAAA.AAAA.AAAA",
        "a PASETO": "v4.public." + payload,
        "a macaroon": "MDAxY2xvY2F0aW9uIHRlc3QK",
        "a detached payload": f"{head}..{signature}",
    }.items():
        yield bearer(f"token of {name}", malformed, text)
    for text in ("a.b.c", "aaaa.bbbb.cccc", "e30.e30.", "eyJ.eyJ.eyJ"):
        yield bearer(f"token {text}", "unsupported_algorithm" if text.startswith("e30") else malformed, text)

    for name, value in {
        "nothing": "",
        "a space": " ",
        "the scheme alone": "Bearer",
        "the scheme and a space": "Bearer ",
        "the scheme and many spaces": "Bearer     ",
        "the token alone": token,
        "a colon behind the scheme": f"Bearer: {token}",
        "an equals sign behind the scheme": f"Bearer={token}",
        "a comma behind the scheme": f"Bearer,{token}",
        "no space behind the scheme": f"Bearer{token}",
        "a tab behind the scheme": f"Bearer\t{token}",
        "a no-break space behind the scheme": f"Bearer\u00a0{token}",
        "a newline behind the scheme": f"Bearer\n{token}",
        "a longer scheme": f"Bearers {token}",
        "a fullwidth scheme": f"\uff22earer {token}",
        "a scheme with a dotless letter": f"Bear\u0435r {token}",
        "a quoted scheme": f'"Bearer" {token}',
        "the scheme Token": f"Token {token}",
        "the scheme JWT": f"JWT {token}",
        "the scheme DPoP": f"DPoP {token}",
        "the scheme Basic": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        "the scheme Basic with the token as a password": "Basic " + base64.b64encode(f"x:{token}".encode()).decode(),
        "the scheme Digest": 'Digest username="x"',
        "the scheme Negotiate": "Negotiate YII=",
        "a comma in front": f", Bearer {token}",
        "a Basic credential in front": f"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==, Bearer {token}",
        "SigV4": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260921/eu-west-3/lambda/aws4_request, SignedHeaders=host, Signature=00",
    }.items():
        yield Case(f"Authorization with {name}", "missing_token", (value,), ID_PATH, (signature,))
    for name, values in {
        "the same token twice": (f"Bearer {token}", f"Bearer {token}"),
        "a bad and a good token": ("Bearer x.y.z", f"Bearer {token}"),
        "a good and a bad token": (f"Bearer {token}", "Bearer x.y.z"),
        "a token and an empty one": (f"Bearer {token}", ""),
        "Basic and Bearer": ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", f"Bearer {token}"),
    }.items():
        yield Case(f"two Authorization headers, {name}", "malformed_request", values, ID_PATH, (signature,))


def _sizes() -> Iterator[Case]:
    malformed = "malformed_token"
    for length in (MAX_TOKEN_BYTES + 1, MAX_TOKEN_BYTES + 4, 20_000, 65_536, 262_144, 1_000_000, 1_048_576):
        yield bearer(f"a good token of {length} bytes", malformed, token_of_length(length))
    token = POOL.id_token()
    head, payload, signature = token.split(".")
    for name, text in {
        "a million letters": "A" * 1_000_000,
        "a million dots": "." * 1_000_000,
        "a header of a megabyte": f"{'A' * 1_000_000}.{payload}.{signature}",
        "a payload of a megabyte": f"{head}.{'A' * 1_000_000}.{signature}",
        "a signature of a megabyte": f"{token}{'A' * 1_000_000}",
        "a megabyte of spaces inside": f"{head}{' ' * 1_000_000}.{payload}.{signature}",
        "a megabyte of letters beyond ASCII": "\u00e9" * 500_000,
    }.items():
        yield bearer(f"token of {name}", malformed, text)

    claims = dumps(POOL.id_claims())
    for depth in (1_600, 2_000, 4_000, 5_500):
        for name, opening, closing in (("lists", b"[", b"]"), ("objects", b'{"":', b"1" + b"}")):
            if name == "objects" and depth > 2_000:
                continue
            filling = opening * depth + (closing * depth if name == "lists" else b"1" + b"}" * depth)
            data = claims[:-1] + b',"custom:x":' + filling + b"}"
            yield bearer(f"payload of {depth} nested {name}", malformed, signed(None, data))
            data = b'{"kid":"id-key-1","alg":"RS256","x":' + filling + b"}"
            yield bearer(f"header of {depth} nested {name}", malformed, signed(data))
        yield bearer(f"payload of {depth} open lists", malformed, signed(None, b"[" * depth))


def hostile() -> list[Case]:
    """Make every token that has to be refused."""
    makers = (
        _algorithms,
        _signatures,
        _keys,
        _headers,
        _encodings,
        _duplicates,
        _numbers,
        _times,
        _claims,
        _values,
        _shapes,
        _sizes,
    )
    return [case for maker in makers for case in maker()]


# --- good ones ------------------------------------------------------------------------------------------------------


def good() -> list[Case]:
    """Make a token of every shape that Cognito issues, and of some that it may."""
    access_signed = compact(POOL.key(POOL.access_kid), {"kid": POOL.access_kid, "alg": "RS256"}, POOL.id_claims())
    federated = {
        "cognito:username": "google_112233445566778899",
        "cognito:groups": [f"{POOL.pool_id}_Google"],
        "identities": [
            {
                "dateCreated": "1790000000123",
                "userId": "112233445566778899",
                "providerName": "Google",
                "providerType": "Google",
                "issuer": None,
                "primary": "true",
            }
        ],
    }
    machine = {"sub": POOL.client_id, "username": None, "origin_jti": None, "scope": "tools/call"}
    rest = {
        "hosted UI with at_hash and nonce": signed(None, {"nonce": "n-0S6_WzA2Mj"}),
        "InitiateAuth, without at_hash": signed(None, {"at_hash": None}),
        "with groups, roles and a preferred role": signed(
            None,
            {
                "cognito:groups": ["admins", "x,y", "%61", "Zo\u00eb"],
                "cognito:roles": ["arn:aws:iam::111122223333:role/a"],
                "cognito:preferred_role": "arn:aws:iam::111122223333:role/a",
            },
        ),
        "with no groups as an empty list": signed(None, {"cognito:groups": []}),
        "federated, with identities": signed(None, federated),
        "with custom claims of every JSON type": signed(
            None,
            {"custom:a": "x", "custom:b": 1, "custom:c": [1.5, None, {"d": {"e": [True]}}], "acr": "x", "amr": ["pwd"]},
        ),
        "with address and phone": signed(None, {"address": {"formatted": "Street 1\nTown"}, "phone_number": "+441"}),
        "names in many scripts, as UTF-8": signed(
            None,
            json.dumps(
                POOL.id_claims(name="\u5c71\u7530 \u592a\u90ce \U0001f600", **{"cognito:username": "Zo\u00eb"}),
                ensure_ascii=False,
            ).encode(),
        ),
        "names in many scripts, as escapes": signed(
            None, {"name": "\u5c71\u7530 \U0001f600", "cognito:username": "\u0416"}
        ),
        "an escaped NUL and newline in a custom claim": signed(None, {"custom:x": "a\0b\nc"}),
        "JSON with spaces and newlines": signed(None, json.dumps(POOL.id_claims(), indent=2).encode() + b"\n"),
        "the UPDATED issuer": signed(None, {"iss": POOL.issuer.replace("https://", "https://issuer-")}),
        "without auth_time, jti and origin_jti": signed(None, {"auth_time": None, "jti": None, "origin_jti": None}),
        "with nbf": signed(None, {"nbf": NOW}),
        "with an email that is verified in words": signed(None, {"email_verified": "true"}),
        "with an email that is not verified": signed(None, {"email_verified": False}),
        "without any email": signed(None, {"email": None, "email_verified": None}),
        "of a second app client": signed(None, {"aud": SECOND_CLIENT}),
        "typ JWT": signed({"typ": "JWT"}),
        "typ jwt in small letters": signed({"typ": "jwt"}),
        "typ application/jwt": signed({"typ": "application/JWT"}),
        "b64 true, which says nothing": signed({"b64": True}),
        "unknown header members": signed({"x5t": "AAAA", "foo": [1, {"bar": None}]}),
        "the other key of the pool": access_signed,
        "header members in another order": signed(b'{"alg":"RS256","kid":"id-key-1"}'),
        "a header with spaces": signed(b' { "kid" : "id-key-1" ,\n "alg" : "RS256" } '),
        "as long as is allowed": token_of_length(MAX_TOKEN_BYTES),
        "of 8,192 bytes": token_of_length(8_192),
        "ends in a second": signed(None, {"exp": NOW + 1}),
        "ends in the last second of 9999": signed(None, {"exp": LAST_SECOND}),
        "issued 300 s ahead": signed(None, {"iat": NOW + 300, "auth_time": NOW + 300}),
        "a sub that is no UUID": signed(None, {"sub": "user/1 %2F,\u00e9"}),
        "forty groups": signed(None, {"cognito:groups": [f"group-{number}" for number in range(40)]}),
    }
    cases = [bearer(f"ID token, {name}", "", token) for name, token in rest.items()]
    access = {
        "from the hosted UI": POOL.access_token(),
        "from InitiateAuth": POOL.access_token(scope="aws.cognito.signin.user.admin", version=None),
        "with aud, from resource binding": POOL.access_token(aud="https://api.example.com/"),
        "with an aud of several resources": POOL.access_token(aud=["https://api.example.com/"]),
        "with groups and a device key": POOL.access_token(**{"cognito:groups": ["a"], "device_key": "eu-west-1_x"}),
        "of a machine": POOL.access_token(**machine),
        "of a machine, with auth_time": POOL.access_token(**machine, auth_time=NOW),
        "of typ at+jwt": compact(
            POOL.key(POOL.access_kid),
            {"kid": POOL.access_kid, "alg": "RS256", "typ": "at+jwt"},
            POOL.access_claims(),
        ),
    }
    cases += [bearer(f"access token, {name}", "", token, ACCESS_PATH) for name, token in access.items()]
    cases += [
        bearer("access token where either kind is taken", "", POOL.access_token(), EITHER_PATH),
        bearer("ID token where either kind is taken", "", POOL.id_token(), EITHER_PATH),
        bearer("access token with the scope that is asked for", "", POOL.access_token(**machine), TOOLS_PATH),
        bearer("admin where admins may go", "", POOL.id_token(**{"cognito:groups": ["x", "admins"]}), ADMINS_PATH),
        bearer("the other pool's token where it is taken", "", OTHER.id_token(), OTHER_PATH),
        bearer(
            "the other pool's token with its UPDATED issuer",
            "",
            OTHER.id_token(iss=OTHER.issuer.replace("https://", "https://issuer-")),
            OTHER_PATH,
        ),
        bearer("the client that the rule takes", "", POOL.id_token(aud=SECOND_CLIENT), CLIENT_PATH),
    ]
    token = POOL.id_token()
    for name, value in {
        "scheme in small letters": f"bearer {token}",
        "scheme in capitals": f"BEARER {token}",
        "several spaces behind the scheme": f"Bearer   {token}",
        "spaces around": f"  Bearer {token}  ",
        "tabs around": f"\tBearer {token}\t",
    }.items():
        cases.append(Case(name, "", (value,), ID_PATH, tuple(token.split("."))))
    return cases
