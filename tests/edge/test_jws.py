"""edge/cognito_edge/jws.py: what a compact JWS says and covers (RFC 7515), and whose signature it bears (RFC 7518 section 3.3)."""

import base64
import json

import pytest
from cognito_edge.errors import (
    AuthenticationError,
    InvalidSignatureError,
    MalformedTokenError,
    UnsupportedAlgorithmError,
)
from cognito_edge.jws import UnverifiedToken, check_signature, parse_compact
from cognito_edge.rsa import RsaPublicKey
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.keys_and_tokens import b64url, compact, rsa_key

HEADER = {"kid": "k", "alg": "RS256"}
KEY = rsa_key("jws")
CLAIMS = {"sub": "a", "exp": 2}

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), TEXT), st.lists, max_leaves=4)


def public(key):
    numbers = key.public_key().public_numbers()
    return RsaPublicKey(numbers.n, numbers.e)


def unsigned(header=None, payload=None):
    """Write changes to a sound header and a payload, None removing a member, or bytes, without a true signature."""
    if not isinstance(header, bytes):
        header = {name: value for name, value in {**HEADER, **(header or {})}.items() if value is not None}
    parts = (part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload or CLAIMS))
    return ".".join([*(b64url(part) for part in parts), "AAAA"])


def refusal(token, error=MalformedTokenError):
    """Return what is said of a token that is refused."""
    with pytest.raises(error) as caught:
        parse_compact(token)
    assert type(caught.value) is error
    return str(caught.value)


# --- what a token says ----------------------------------------------------------------------------------------------


@given(TEXT, st.dictionaries(TEXT, VALUES, max_size=4), st.binary(max_size=40))
def test_what_was_written_is_read_back(kid, claims, signature):
    """Kid, claims and signature, and the very characters that are signed."""
    header, payload = (b64url(json.dumps(part).encode()) for part in ({"kid": kid, "alg": "RS256"}, claims))
    token = parse_compact(f"{header}.{payload}.{b64url(signature)}")
    assert repr(token.claims) == repr(claims)
    assert token._replace(claims={}) == UnverifiedToken(
        kid, False, {}, f"{header}.{payload}".encode(), signature, payload
    )


@pytest.mark.parametrize(
    ("typ", "is_access_typ"),
    [
        (None, False),
        *((typ, False) for typ in ("JWT", "jwt", "application/jwt", "application/JWT")),
        *((typ, True) for typ in ("at+jwt", "AT+JWT", "application/at+jwt")),
    ],
)
def test_the_types_that_are_taken(typ, is_access_typ):
    """RFC 7519 section 5.1 and RFC 9068 section 2.1; media types ignore case and may leave out their prefix."""
    assert parse_compact(unsigned({"typ": typ})).is_access_typ == is_access_typ


def test_nothing_of_a_token_shows_in_its_representation_but_its_kid():
    """Logs and tracebacks hold representations."""
    assert repr(parse_compact(compact(KEY, HEADER, CLAIMS))) == "UnverifiedToken(kid='k', ...)"


# --- its form -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", "this one has 1"),
        ("e30", "this one has 1"),
        ("e30.e30", "this one has 2"),
        ("e30.e30.AA.AA", "this one has 4"),
        ("e30.AA.AA.AA.AA", "encrypted JWT of five parts"),
        ("..", "empty part"),
        (".e30.AA", "empty part"),
        ("e30..AA", "empty part"),
        ("e30=.e30.AA", "'=' padding"),
        ("e3 .e30.AA", "characters that base64url does not know"),
        ("e+0.e30.AA", "characters that base64url does not know"),
        ("e30.e30\n.AA", "alg"),
        ("\ud800.e30.AA", "characters that base64url does not know"),
        ("e31.e30.AA", "header is not canonical base64url"),
        ("e.e30.AA", "header is not canonical base64url"),
        ("W10.e30.AA", "header is not a JSON object"),
        ("e3t7.e30.AA", "header is not valid JSON"),
    ],
)
def test_what_is_no_compact_jws_is_refused(token, reason):
    """Three parts of canonical base64url, the first of them a JSON object."""
    assert reason in refusal(token, UnsupportedAlgorithmError if reason == "alg" else MalformedTokenError)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("e31", "payload is not canonical base64url"),
        ("e30=", "'=' padding"),
        ("e30\n", "characters that base64url does not know"),
        ("W10", "payload is not a JSON object"),
        (b64url(b'{"a":1,"a":1}'), "payload is an object names a member twice"),
    ],
)
def test_a_payload_is_one_strict_object(payload, reason):
    """In its one spelling, so that it can be stated as it came."""
    header = b64url(json.dumps(HEADER).encode())
    assert parse_compact(f"{header}.e30.AA").claims == {}
    assert reason in refusal(f"{header}.{payload}.AA")


@pytest.mark.parametrize("signature", ["AB", "AA==", "A", "A+", "A/", "AA\n", "\u00e9"])
def test_a_signature_has_one_spelling(signature):
    """Whatever a decoder would ignore is refused: a token's digest stands for it in the cache."""
    head = compact(KEY, HEADER, CLAIMS).rpartition(".")[0]
    assert parse_compact(f"{head}.AA").signature == b"\0"
    refusal(f"{head}.{signature}")


@given(st.one_of(st.text(max_size=20), st.text("e30.AW1=", max_size=12)))
@example("eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.e30.\ud800")
def test_any_text_is_a_token_or_an_authentication_error(token):
    """No other exception, whatever is sent."""
    try:
        parsed = parse_compact(token)
    except AuthenticationError:
        return
    assert token == f"{parsed.signing_input.decode()}.{b64url(parsed.signature)}"


# --- its header -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "alg", ["none", "None", "HS256", "RS384", "PS256", "ES256", "rs256", "RS256 ", "", ["RS256"], True, 256, {}]
)
def test_no_algorithm_but_rs256_exists(alg):
    """RFC 8725 section 3.1; the same header with RS256 is read."""
    assert parse_compact(unsigned({"alg": "RS256"})).kid == "k"
    assert "alg has to be RS256" in refusal(unsigned({"alg": alg}), UnsupportedAlgorithmError)


def test_an_absent_algorithm_is_called_absent():
    """And none is taken for granted, not even where it is null."""
    assert refusal(unsigned({"alg": None}), UnsupportedAlgorithmError).endswith("it is absent.")
    null = unsigned(b'{"kid":"k","alg":null}')
    assert not refusal(null, UnsupportedAlgorithmError).endswith("absent.")


@pytest.mark.parametrize(
    "header", [{"alg": "none"}, {"alg": "none", "crit": ["b64"], "zip": "DEF", "typ": 1, "kid": 1}]
)
def test_none_is_called_none_whatever_else_is_wrong(header):
    """Also without a signature, as such tokens come."""
    token = unsigned(header).rpartition(".")[0] + "."
    assert "it is 'none'" in refusal(token, UnsupportedAlgorithmError)


@pytest.mark.parametrize(
    ("accepted", "refused", "reason"),
    [
        ({"crit": None}, {"crit": ["b64"]}, "'crit'"),
        ({"critical": []}, {"crit": []}, "'crit'"),
        ({"zip": None}, {"zip": "DEF"}, "'zip'"),
        ({"b64": True}, {"b64": False}, "'b64'"),
        ({"b64": True}, {"b64": 1}, "'b64'"),
        ({"b64": None}, {"b64": "true"}, "'b64'"),
        ({"typ": "JWT"}, {"typ": "JWS"}, "typ has to be JWT or at+jwt; it is 'JWS'"),
        ({"typ": "at+jwt"}, {"typ": "xat+jwt"}, "typ has to be"),
        ({"typ": "application/jwt"}, {"typ": "application/json"}, "typ has to be"),
        ({"typ": "jwt"}, {"typ": ["jwt"]}, "typ has to be JWT or at+jwt; it is a list"),
        ({"typ": "jwt"}, {"typ": ""}, "typ has to be"),
        ({"kid": "x"}, {"kid": None}, "kid has to be a string that names its key; it is absent"),
        ({"kid": ""}, {"kid": 0}, "kid has to be a string that names its key; it is a"),
        ({"kid": "x"}, {"kid": ["x"]}, "kid has to be a string that names its key; it is a list"),
    ],
)
def test_a_header_that_asks_for_more_is_refused(accepted, refused, reason):
    """Features that Cognito never uses change what is signed, or mean something that this gateway does not understand."""
    parse_compact(unsigned(accepted))
    assert reason in refusal(unsigned(refused))


@pytest.mark.parametrize("name", ["typ", "kid", "b64"])
def test_null_is_not_absent(name):
    """A member that is there and null is refused."""
    header = json.dumps({**HEADER, name: "null"}).replace('"null"', "null").encode()
    refusal(unsigned(header))


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c", "x5t"])
def test_keys_of_the_senders_choice_are_not_read(name):
    """RFC 8725 section 3.10: the token says no more than it does without them."""
    said = parse_compact(unsigned({name: {"kid": "other"}}))
    assert (said.kid, said.claims) == ("k", CLAIMS)


# --- its signature --------------------------------------------------------------------------------------------------


def test_a_signature_is_its_own_keys_alone():
    """The key that signed it accepts it; another does not."""
    token = parse_compact(compact(KEY, HEADER, CLAIMS))
    check_signature(token, public(KEY))
    with pytest.raises(InvalidSignatureError):
        check_signature(token, public(rsa_key("jws, another")))


@given(st.integers(0), st.booleans())
def test_one_bit_changed_and_the_signature_is_wrong(at, in_signature):
    """Anywhere in what is signed, or in the signature."""
    token = parse_compact(compact(KEY, HEADER, CLAIMS))
    name = "signature" if in_signature else "signing_input"
    data = bytearray(getattr(token, name))
    at %= len(data) * 8
    data[at // 8] ^= 1 << at % 8
    with pytest.raises(InvalidSignatureError):
        check_signature(token._replace(**{name: bytes(data)}), public(KEY))


def test_an_empty_signature_is_read_and_never_right():
    """It may be empty where the algorithm is none, which is refused by its name."""
    head = compact(KEY, HEADER, CLAIMS).rpartition(".")[0]
    token = parse_compact(f"{head}.")
    assert (token.signature, token.signing_input) == (b"", head.encode())
    with pytest.raises(InvalidSignatureError):
        check_signature(token, public(KEY))


def number(text):
    return int.from_bytes(base64.urlsafe_b64decode(text + "=="), "big")


def test_the_standards_own_example_is_accepted():
    """RFC 7515 appendix A.2, whose header has no kid: key, signing input and signature as they are printed there."""
    key = RsaPublicKey(
        number(
            "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SF"
            "d2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo"
            "7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkM"
            "Ls91kzk2PAcDTW9gb54h4FRWyuXpoQ"
        ),
        number("AQAB"),
    )
    signing_input = (
        b"eyJhbGciOiJSUzI1NiJ9"
        b".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    )
    signature = base64.urlsafe_b64decode(
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CU"
        "Ar7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_d"
        "O--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig"
        "cN_IoypGlUPQGe77Rw=="
    )
    check_signature(UnverifiedToken("", False, {}, signing_input, signature, ""), key)
    with pytest.raises(InvalidSignatureError):
        check_signature(UnverifiedToken("", False, {}, signing_input[:-1], signature, ""), key)
