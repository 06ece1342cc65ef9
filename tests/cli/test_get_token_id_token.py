"""sign_in/id_token.py: what a client has to check of an ID token, each check with its pair."""

import hashlib
import hmac
import json

import pytest
from cognito_edge_cli.console import ScriptError
from cognito_edge_cli.sign_in.id_token import published_keys, validate
from cognito_edge_cli.sign_in.token_cache import Tokens
from cognito_edge_cli.stack import Stack, keys_url
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from tests.support.keys_and_tokens import CLIENT_ID, NOW, POOL_ID, Pool, b64url, compact, rsa_key

POOL = Pool()
KID = POOL.id_kid
KEYS = POOL.jwks()["keys"]
ACCESS_TOKEN = POOL.access_token()
AT_HASH = b64url(hashlib.sha256(ACCESS_TOKEN.encode()).digest()[:16])
UPDATED_ISSUER = f"https://issuer-cognito-idp.eu-west-1.amazonaws.com/{POOL_ID}"


@pytest.fixture
def stack(monkeypatch):
    """A deployed stack."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return Stack(name="test", user_pool_id=POOL_ID, client_id=CLIENT_ID, parameter_prefix="/test")


def signed(payload=None, key=None, header=None, **claims):
    """Return an ID token that starts valid."""
    payload = POOL.id_claims(**{"at_hash": AT_HASH, **claims}) if payload is None else payload
    return compact(key or POOL.key(KID), {"kid": KID, "alg": "RS256", **(header or {})}, payload)


def came(id_token):
    """Return the answer of a token endpoint."""
    return Tokens(id_token=id_token, access_token=ACCESS_TOKEN, refresh_token=None, via="api", label="jane")


def with_claims_of(other):
    """Return a valid token into which another's claims were put."""
    header, _, signature = signed().split(".")
    return f"{header}.{other.split('.')[1]}.{signature}"


def resigned(algorithm, sign):
    """Return a valid token under another algorithm."""
    header = b64url(json.dumps({"kid": KID, "alg": algorithm}).encode())
    signing_input = f"{header}.{signed().split('.')[1]}"
    return f"{signing_input}.{b64url(sign(signing_input.encode()))}"


def by_hmac(encoding, form):
    """Return a signer that takes the public key's bytes for a shared secret."""
    secret = POOL.key(KID).public_key().public_bytes(encoding, form)
    return lambda data: hmac.digest(secret, data, "sha256")


PEM = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
DER = (serialization.Encoding.DER, serialization.PublicFormat.PKCS1)

ACCEPTED = {
    "all as Cognito sends it": signed(),
    "without at_hash, as its API sends it": signed(at_hash=None),
    "issuer of an updated pool": signed(iss=UPDATED_ISSUER),
    "last moment": signed(exp=NOW + 1),
    "claims that are not the client's to check": signed(nonce="n", email=None, iat="today", nbf="tomorrow", jti=5),
}


@pytest.mark.parametrize("token", ACCEPTED.values(), ids=ACCEPTED)
def test_id_token_of_this_pool_for_this_client_is_accepted(stack, token):
    """What every refusal below is one step away from."""
    validate(came(token), KEYS, stack, nonce=None, now=NOW)


REFUSED = {
    "signed by another key": (signed(key=rsa_key("mallory")), "Signature verification failed"),
    "named after another key of the pool": (signed(header={"kid": POOL.access_kid}), "Signature verification failed"),
    "named after no key": (signed(header={"kid": "unknown"}), "'unknown'"),
    "without a key's name": (signed(header={"kid": None}), "None"),
    "key's name is not text": (signed(header={"kid": [KID]}), "id-key-1"),
    "changed claims": (with_claims_of(signed(sub="mallory")), "Signature verification failed"),
    "not signed": (resigned("none", lambda _: b""), "'none'"),
    "HMAC with the public key as PEM": (resigned("HS256", by_hmac(*PEM)), "'HS256'"),
    "HMAC with the public key as DER": (resigned("HS256", by_hmac(*DER)), "'HS256'"),
    "another hash": (
        resigned("RS512", lambda data: POOL.key(KID).sign(data, padding.PKCS1v15(), hashes.SHA512())),
        "'RS512'",
    ),
    "RS256 under another name": (signed(header={"alg": "RS512"}, at_hash=None), "'RS512'"),
    "part of an algorithm's name": (resigned("RS", lambda _: b""), "'RS'"),
    "algorithm is not text": (signed(header={"alg": ["RS256"]}), "['RS256']"),
    "no exp": (signed(exp=None), "without an expiry time"),
    "exp is text": (signed(exp=str(NOW + 60)), "without an expiry time"),
    "exp is now": (signed(exp=NOW), "expired already"),
    "exp is not a number": (signed(exp=float("nan")), "expired already"),
    "no aud": (signed(aud=None), '"aud"'),
    "another client": (signed(aud="another"), "'another'"),
    "another client beside ours": (signed(aud=[CLIENT_ID, "another"]), "'another'"),
    "no iss": (signed(iss=None), '"iss"'),
    "another pool": (signed(iss=POOL.issuer + "x"), "TestPool1x"),
    "no sub": (signed(sub=None), '"sub"'),
    "sub is not text": (signed(sub=5), "Subject must be a string"),
    "an access token": (signed(token_use="access"), "token_use 'access'"),
    "no use": (signed(token_use=None), "token_use None"),
    "at_hash of another access token": (signed(at_hash=AT_HASH[::-1]), "at_hash"),
    "at_hash is not text": (signed(at_hash=5), "at_hash"),
    "claims are a list": (signed(b"[]"), "not a JWT"),
    "claims are not JSON": (signed(b"\xff"), "not a JWT"),
    "two parts": (signed().rpartition(".")[0], "not a JWT"),
    "nothing": ("", "not a JWT"),
}


@pytest.mark.parametrize(("token", "words"), REFUSED.values(), ids=REFUSED)
def test_id_token_with_one_thing_wrong_is_refused(stack, token, words):
    """The message says what came, and holds no part of a token."""
    with pytest.raises(ScriptError) as refused:
        validate(came(token), KEYS, stack, nonce=None, now=NOW)
    assert words in str(refused.value)
    assert not [part for part in [*token.split("."), *ACCESS_TOKEN.split(".")] if part and part in str(refused.value)]
    assert refused.value.__cause__ is None


def test_refusal_says_what_was_expected(stack):
    """Both issuers, the client, the algorithm."""
    with pytest.raises(ScriptError) as refused:
        validate(came(signed(aud="another")), KEYS, stack, nonce=None, now=NOW)
    assert all(text in str(refused.value) for text in ("RS256", POOL.issuer, UPDATED_ISSUER, CLIENT_ID))


@pytest.mark.parametrize(("nonce", "accepted"), [("n-1", True), ("n-2", False), (None, False), (5, False)])
def test_nonce_that_was_sent_has_to_come_back(stack, nonce, accepted):
    """§3.1.3.7, 11.: present and equal."""
    tokens = came(signed(nonce=nonce))
    if accepted:
        validate(tokens, KEYS, stack, nonce="n-1", now=NOW)
    else:
        with pytest.raises(ScriptError, match="nonce"):
            validate(tokens, KEYS, stack, nonce="n-1", now=NOW)


KEY = KEYS[0]
BAD_SETS = {
    "empty": [],
    "none of that name": KEYS[1:],
    "two of that name": [KEY, KEY],
    "for encryption": [{**KEY, "use": "enc"}],
    "for another algorithm": [{**KEY, "alg": "RS512"}],
    "a shared secret": [{"kid": KID, "kty": "oct", "k": KEY["n"]}],
    "not objects": [KID, None, [KEY]],
    "without a modulus": [{name: value for name, value in KEY.items() if name != "n"}],
    "modulus is not text": [{**KEY, "n": 5}],
    "exponent is 1": [{**KEY, "e": "AQ"}],
}


@pytest.mark.parametrize("keys", BAD_SETS.values(), ids=BAD_SETS)
def test_set_without_exactly_one_such_key_is_refused(stack, keys):
    """The key is chosen by its name, and is what a pool's signing key is."""
    with pytest.raises(ScriptError, match="key"):
        validate(came(signed()), keys, stack, nonce=None, now=NOW)


def test_token_and_key_without_names_do_not_belong_together(stack):
    """A missing name equals no other missing name."""
    nameless = {name: value for name, value in KEY.items() if name != "kid"}
    with pytest.raises(ScriptError, match="None"):
        validate(came(signed(header={"kid": None})), [nameless], stack, nonce=None, now=NOW)


@pytest.mark.parametrize("more", [{}, {"use": None}, {"alg": None}])
def test_other_keys_and_missing_members_do_no_harm(stack, more):
    """RFC 7517 §4.2, §4.4: "use" and "alg" are optional."""
    wanted = {name: value for name, value in {**KEY, **more}.items() if value is not None}
    validate(came(signed()), [{"kid": "x"}, "x", wanted], stack, nonce=None, now=NOW)


# -- where the keys come from --


@pytest.mark.parametrize("issuer", [POOL.issuer, UPDATED_ISSUER])
def test_keys_of_a_deployed_pool_are_its_issuers(stack, issuer):
    """Whichever of its two names the pool goes by."""
    assert keys_url(stack, POOL_ID, issuer) == f"{issuer}/.well-known/jwks.json"


@pytest.mark.parametrize(
    ("endpoint", "base"),
    [("http://127.0.0.1:4566", f"http://127.0.0.1:4566/{POOL_ID}"), ("https://example.com", POOL.issuer)],
)
def test_only_an_emulator_on_this_machine_has_keys_of_its_own(stack, monkeypatch, endpoint, base):
    """An endpoint elsewhere, a VPC's for instance, passes calls on; the issuer's keys stay the issuer's."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", endpoint)
    assert keys_url(stack, POOL_ID, POOL.issuer) == f"{base}/.well-known/jwks.json"


@pytest.mark.parametrize("issuer", ["https://example.com", "http://127.0.0.1:1", [POOL.issuer], None])
def test_keys_of_another_issuer_are_not_even_asked_for(stack, issuer):
    """A token does not choose whose keys it is checked with."""
    with pytest.raises(ScriptError, match="expected https://cognito-idp"):
        published_keys(stack, came(signed(iss=issuer)))
