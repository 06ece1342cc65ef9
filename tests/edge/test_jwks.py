"""edge/cognito_edge/jwks.py: which published keys may verify, and which documents are no key sets."""

import json
import warnings

import pytest
from cognito_edge.jwks import JwksError, parse_jwks
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.keys_and_tokens import Pool, b64url, jwk_of, rsa_key, sign_rs256

POOL = Pool()
KEY = rsa_key("jwks")
JWK = jwk_of(KEY, "k")


def parse(*keys, **members):
    return parse_jwks(json.dumps({"keys": list(keys), **members}).encode())


def number(value):
    return b64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def test_cognitos_two_keys_are_both_there():
    """The document that a pool publishes gives both of its keys by kid, and nothing else."""
    keys = parse_jwks(json.dumps(POOL.jwks()).encode())
    assert len(keys) == 2
    for kid in (POOL.id_kid, POOL.access_kid):
        assert keys.get(kid).verify(b"text", sign_rs256(POOL.key(kid), b"text"))
    assert keys.get("other") is None


@pytest.mark.parametrize("count", [1, 3, 50])
def test_any_number_of_keys_is_fine(count):
    """AWS says that the set may change at any time; nothing counts on two."""
    assert len(parse(*({**JWK, "kid": f"k{index}"} for index in range(count)))) == count


def test_a_key_checks_signatures():
    """The right signature passes; another message, key, hash or length does not, and nothing raises."""
    key = parse(JWK).get("k")
    signature = sign_rs256(KEY, b"text")
    assert key.verify(b"text", signature)
    assert not key.verify(b"texu", signature)
    assert not key.verify(b"text", sign_rs256(rsa_key("another"), b"text"))
    for bad in (b"", b"\0", signature[:-1], signature + b"\0", bytes(256), b"\xff" * 256, signature * 40):
        assert not key.verify(b"text", bad)


@pytest.mark.parametrize(
    ("accepted", "rejected"),
    [
        ({"n": number(2**2047 + 1)}, {"n": number(2**2046 + 1)}),
        ({"n": number(2**2047 + 1)}, {"n": number(2**2047)}),
        ({"n": number(2**8_191 + 1)}, {"n": number(2**8_192 + 1)}),
        ({"e": number(3)}, {"e": number(1)}),
        ({"e": number(3)}, {"e": number(2)}),
        ({"e": number(65_537)}, {"e": number(65_536)}),
        ({"e": number(2**32 - 1)}, {"e": number(2**32 + 1)}),
        ({"e": "AAAD"}, {"e": "AAAA"}),
        ({"use": "sig"}, {"use": "enc"}),
        ({"use": "sig"}, {"use": None}),
        ({"alg": "RS256"}, {"alg": "RS384"}),
        ({"alg": "RS256"}, {"alg": None}),
        ({"key_ops": ["verify", "sign"]}, {"key_ops": ["sign"]}),
        ({"kid": ""}, {"kid": None}),
        ({"kty": "RSA"}, {"kty": "EC"}),
        ({"x": 1}, {"d": "AQAB"}),
        ({"x": 1}, {"d": None}),
        ({"e": "AQAB"}, {"e": "AQ=B"}),
        ({"e": "AQAB"}, {"e": "AQA=B"}),
        ({"e": "AQAB"}, {"e": "AQ==AB"}),
        ({"e": "AQAB"}, {"e": "AQAB\n"}),
        ({"n": JWK["n"]}, {"n": JWK["n"][:9] + "=" + JWK["n"][9:]}),
        ({"n": JWK["n"]}, {"n": JWK["n"][:9] + "+" + JWK["n"][10:]}),
        ({"n": JWK["n"]}, {"n": JWK["n"][:9] + " " + JWK["n"][9:]}),
        ({"n": JWK["n"]}, {"n": JWK["n"][:9] + "\u00e9" + JWK["n"][9:]}),
    ],
)
def test_each_bound_of_a_key_accepts_one_side_and_refuses_the_other(accepted, rejected):
    """The smallest and largest sound keys, and the first that is not; no number that two decoders could read in two ways."""
    sound = {**JWK, "kid": "sound"}
    assert len(parse(sound, {**JWK, **accepted})) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(parse(sound, {**JWK, **rejected})) == 1


def test_unusable_keys_are_passed_over_and_the_rest_serves():
    """RFC 7517 section 5: implementations ignore keys that they do not understand."""
    keys = parse(
        None, 1, "x", [], {}, {"kty": "EC", "kid": "e"}, {"kty": "oct", "k": "AAAA", "kid": "o"}, JWK, more={"x": 1}
    )
    assert len(keys) == 1
    assert keys.get("k") is not None


def test_a_kid_of_two_different_keys_selects_neither():
    """Which one was meant cannot be told; whatever their number and order."""
    other, third = jwk_of(rsa_key("another"), "k"), jwk_of(rsa_key("third"), "k")
    good = {**JWK, "kid": "good"}
    for keys in ((JWK, other), (JWK, other, JWK), (JWK, other, third), (JWK, JWK, other)):
        found = parse(*keys, good)
        assert found.get("k") is None
        assert found.get("good") is not None
    assert parse(JWK, JWK).get("k") is not None


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"keys":null}',
        b'{"keys":{}}',
        b'{"keys":"x"}',
        b'{"keys":[]}',
        b'{"keys":[{}]}',
        b'{"keys":[null]}',
        b'{"Keys":[]}',
        b'{"keys":[],"keys":[]}',
        b"<html>Service Unavailable</html>",
        b"\xff\xfe{\x00}\x00",
        b'{"keys":[' + b"[" * 5_000,
        b'{"message":"Forbidden"}',
        b" " * 1_000_000,
    ],
)
def test_what_is_no_key_set_is_a_jwks_error(document):
    """A set without one usable key counts as unread; the error says what came."""
    with pytest.raises(JwksError, match=r"key set|keys"):
        parse_jwks(document)


def test_a_cut_document_is_a_jwks_error_wherever_it_was_cut():
    """Half an answer is never half a key set."""
    document = json.dumps(POOL.jwks()).encode()
    for length in range(0, len(document), 7):
        with pytest.raises(JwksError):
            parse_jwks(document[:length])


def test_sets_are_equal_when_they_hold_the_same_keys():
    """Order and foreign keys make no difference; a key more, less or changed does."""
    other = jwk_of(rsa_key("another"), "l")
    assert parse(JWK, other) == parse(other, JWK, {"kty": "EC"})
    assert hash(parse(JWK, other)) == hash(parse(other, JWK))
    assert parse(JWK) != parse(JWK, other)
    assert parse(JWK) != parse({**JWK, "kid": "l"})
    assert parse(JWK) != parse({**other, "kid": "k"})
    assert parse(JWK) != "a set"


MEMBERS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=20),
    st.text(alphabet="AQab01-_+/= \n", max_size=20),
    st.lists(st.sampled_from(["verify", "sign"]), max_size=2),
    st.text(alphabet="AQabz-_=", min_size=338, max_size=350),
)


@given(
    st.lists(
        st.dictionaries(st.sampled_from([*JWK, "key_ops", "d"]), MEMBERS, max_size=3).map(
            lambda changes: {**JWK, **changes}
        ),
        max_size=3,
    )
)
@settings(max_examples=300, deadline=None)
def test_any_changed_key_is_used_or_passed_over(keys):
    """Whatever stands in a key's members: a set or a JwksError, and no other exception."""
    try:
        found = parse(*keys)
    except JwksError:
        return
    assert 1 <= len(found) <= len(keys)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_set_or_a_jwks_error(document):
    """No document makes another exception."""
    with pytest.raises(JwksError):
        parse_jwks(document)
