"""Over a thousand hostile tokens against the whole request path, good ones of every shape, and every boundary in pairs."""

import base64
import hashlib
import json
from collections import Counter

import pytest
from cognito_edge.claims import check_claims
from cognito_edge.errors import WrongIssuerError
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.events import headers_of, is_forwarded, make_event, problem_of
from tests.support.fake_aws import PREFIX, FakeAws
from tests.support.gateways import make_system
from tests.support.hostile_tokens import (
    ACCESS_PATH,
    LAST_SECOND,
    MAX_TOKEN_BYTES,
    OTHER,
    POLICY,
    POOL,
    PUBLIC_PATH,
    STRANGER,
    dumps,
    good,
    hostile,
    signed,
    token_of_length,
    with_raw,
)
from tests.support.keys_and_tokens import NOW, b64url, compact, jwk_of, rsa_key

HOSTILE = hostile()
GOOD = good()
STATUS = {"malformed_request": 400, "missing_group": 403, "insufficient_scope": 403}


@pytest.fixture(scope="module")
def world():
    """One gateway for all tokens: what one of them leaves behind would show in another's answer."""
    fake = FakeAws(POOL, OTHER, STRANGER)
    fake.policy = POLICY
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", fake.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
        yield make_system(), fake
    fake.close()


def send(system, case, uri=None):
    """Send a case, and return its answer with the log lines that it caused."""
    before = len(system.lines)
    event = make_event(uri=uri or case.uri, headers={"authorization": list(case.values)})
    result = system(event)
    return result, system.lines[before:]


@pytest.fixture(scope="module")
def answers(world):
    """Send every good token, so that the caches are full, then every hostile one."""
    system, _ = world
    for case in GOOD:
        assert is_forwarded(send(system, case)[0]), case.name
    return [(case, *send(system, case)) for case in HOSTILE]


def wrong_ones(answers, is_wrong):
    return [case.name for case, result, lines in answers if is_wrong(case, result, lines)]


# --- all of them ----------------------------------------------------------------------------------------------------


def test_there_are_many_and_each_has_its_own_name():
    """The list is as long as it says, covers every code of a bad token, and names no case twice."""
    assert len(HOSTILE) >= 1_000
    assert len(GOOD) >= 50
    assert [name for name, count in Counter(case.name for case in HOSTILE + GOOD).items() if count > 1] == []
    assert {case.code for case in HOSTILE} == {
        "malformed_request",
        "missing_token",
        "malformed_token",
        "unsupported_algorithm",
        "unknown_key",
        "invalid_signature",
        "expired",
        "not_yet_valid",
        "wrong_issuer",
        "wrong_client",
        "wrong_token_use",
        "missing_claim",
        "missing_group",
        "insufficient_scope",
    }


def test_every_hostile_token_is_refused(answers):
    """None of them makes a request that CloudFront would send on."""
    assert wrong_ones(answers, lambda case, result, lines: is_forwarded(result)) == []


def test_every_refusal_has_the_code_of_its_defect(answers):
    """Each is refused for what is wrong with it, with the right status; nothing ends as an internal error."""
    assert [
        f"{case.name}: {problem_of(result)['code']}, not {case.code}"
        for case, result, _ in answers
        if (problem_of(result)["code"], result["status"]) != (case.code, str(STATUS.get(case.code, 401)))
    ] == []


def test_no_refusal_repeats_any_of_the_token(answers):
    """Neither the answer nor the log line holds a part of the token."""

    def leaks(case, result, lines):
        said = json.dumps(result) + "".join(lines)
        return any(part in said for part in case.secret)

    assert wrong_ones(answers, leaks) == []


def test_each_refusal_is_one_log_line_with_its_code(answers):
    """The log says once, in JSON, what was decided and why."""

    def is_silent(case, result, lines):
        entries = [json.loads(line) for line in lines]
        return [(entry["decision"], entry["code"]) for entry in entries] != [("refuse", case.code)]

    assert wrong_ones(answers, is_silent) == []


def test_answers_are_short_whatever_was_sent(answers):
    """A megabyte of token does not come back, neither to the viewer nor into the log."""
    assert wrong_ones(answers, lambda case, result, lines: len(json.dumps(result)) > 3_000) == []
    assert wrong_ones(answers, lambda case, result, lines: len("".join(lines)) > 1_000) == []


def test_challenges_are_well_formed_whatever_was_sent(answers):
    """WWW-Authenticate stays printable ASCII without stray quotes, even where it quotes the token's own words."""

    def is_broken(case, result, lines):
        if result["status"] == "400":
            return "www-authenticate" in result["headers"]
        challenge = headers_of(result)["www-authenticate"]
        return not (challenge.isascii() and challenge.isprintable() and challenge.count('"') in (2, 6, 8))

    assert wrong_ones(answers, is_broken) == []


def test_hostile_tokens_cause_no_fetch_beyond_the_first(answers, world):
    """A thousand bad tokens, forty of them with unknown kids, cost SSM one call and each pool's keys one."""
    _, fake = world
    assert fake.ssm.calls == 1
    assert sorted(path for path, _, _ in fake.cognito.requests) == sorted(
        f"/{pool.pool_id}/.well-known/jwks.json" for pool in (POOL, OTHER)
    )


def test_every_good_token_is_accepted_before_and_after_the_hostile_ones(answers, world):
    """Every Cognito shape passes, with the identity of its own claims, also after all that."""
    system, _ = world
    wrong = []
    for case in GOOD:
        result, lines = send(system, case)
        claims = json.loads(_payload(case.values[0]))
        stated = headers_of(result).get("x-cognito-token-use") if is_forwarded(result) else None
        if stated != claims["token_use"] or json.loads(lines[0])["decision"] != "forward":
            wrong.append(case.name)
    assert wrong == []


def test_good_tokens_leave_no_trace_in_the_log(answers, world):
    """What is logged of an accepted request holds no part of its token."""
    system, _ = world
    log = "".join(system.lines)
    assert [case.name for case in GOOD if any(part in log for part in case.secret)] == []


def test_on_a_public_path_a_hostile_token_gives_no_identity(answers, world):
    """A path that is open to anyone stays open, and a caller with a bad token has no identity there."""
    system, _ = world
    everywhere = {
        "malformed_token",
        "unsupported_algorithm",
        "unknown_key",
        "invalid_signature",
        "expired",
        "not_yet_valid",
        "missing_claim",
        "missing_token",
    }
    wrong = []
    for case in HOSTILE:
        if case.code not in everywhere:
            continue
        result, _ = send(system, case, PUBLIC_PATH)
        if not is_forwarded(result) or any(name.startswith("x-cognito-") for name in result["headers"]):
            wrong.append(case.name)
    assert wrong == []


def _payload(value):
    part = value.split(".")[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


# --- boundaries, in pairs -------------------------------------------------------------------------------------------


def code_of(result):
    """Return the code of a refusal, or '' for a request that is sent on."""
    return "" if is_forwarded(result) else problem_of(result)["code"]


def ahead(claim):
    return (
        POOL.id_token(**{claim: NOW + 300}),
        POOL.id_token(**{claim: NOW + 301}),
        "not_yet_valid",
    )


PAIRS = {
    "exp, a second ahead and now": (POOL.id_token(exp=NOW + 1), POOL.id_token(exp=NOW), "expired"),
    "iat, 300 and 301 s ahead": ahead("iat"),
    "nbf, 300 and 301 s ahead": ahead("nbf"),
    "auth_time, 300 and 301 s ahead": ahead("auth_time"),
    "exp, the last second of 9999 and the next": (
        POOL.id_token(exp=LAST_SECOND),
        POOL.id_token(exp=LAST_SECOND + 1),
        "malformed_token",
    ),
    "iat, 0 and -1": (POOL.id_token(iat=0), POOL.id_token(iat=-1), "malformed_token"),
    "exp, a whole number and the same as a fraction": (
        signed(None, with_raw(POOL.id_claims(), exp=str(NOW + 9))),
        signed(None, with_raw(POOL.id_claims(), exp=f"{NOW + 9}.0")),
        "malformed_token",
    ),
    "length, 16,384 and 16,385 bytes": (
        token_of_length(MAX_TOKEN_BYTES),
        token_of_length(MAX_TOKEN_BYTES + 1),
        "malformed_token",
    ),
    "typ, JWT and JWS": (signed({"typ": "JWT"}), signed({"typ": "JWS"}), "malformed_token"),
    "b64, true and false": (signed({"b64": True}), signed({"b64": False}), "malformed_token"),
    "a member once and twice": (
        signed(None, dumps(POOL.id_claims())[:-1] + b',"x":1}'),
        signed(None, dumps(POOL.id_claims())[:-1] + b',"x":1,"x":1}'),
        "malformed_token",
    ),
    "a surrogate pair and half of one": (
        signed(None, dumps(POOL.id_claims())[:-1] + b',"x":"\\ud83d\\ude00"}'),
        signed(None, dumps(POOL.id_claims())[:-1] + b',"x":"\\ud83d"}'),
        "malformed_token",
    ),
    "nesting, 64 and 65 levels": (
        signed(None, dumps(POOL.id_claims())[:-1] + b',"x":' + b"[" * 63 + b"]" * 63 + b"}"),
        signed(None, dumps(POOL.id_claims())[:-1] + b',"x":' + b"[" * 64 + b"]" * 64 + b"}"),
        "malformed_token",
    ),
    "nesting, 64 and 65 levels of objects": (
        signed(None, dumps(POOL.id_claims())[:-1] + b',"x":' + b'{"y":' * 62 + b"[]" + b"}" * 62 + b"}"),
        signed(None, dumps(POOL.id_claims())[:-1] + b',"x":' + b'{"y":' * 63 + b"[]" + b"}" * 63 + b"}"),
        "malformed_token",
    ),
    "many brackets side by side, and one level too many among them": (
        signed(None, dumps(POOL.id_claims())[:-1] + b',"x":[' + b"[]," * 500 + b"[]]}"),
        signed(None, dumps(POOL.id_claims())[:-1] + b',"x":[' + b"[]," * 500 + b"[" * 63 + b"]" * 63 + b"]}"),
        "malformed_token",
    ),
    "sub, one character and none": (POOL.id_token(sub="x"), POOL.id_token(sub=""), "malformed_token"),
    "a group of one character and of none": (
        POOL.id_token(**{"cognito:groups": ["x"]}),
        POOL.id_token(**{"cognito:groups": [""]}),
        "malformed_token",
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_boundary(world, name):
    """On one side of each boundary a token passes; one step further it does not."""
    system, _ = world
    accepted, rejected, code = PAIRS[name]
    assert code_of(system(token=accepted)) == ""
    assert code_of(system(token=rejected)) == code


@pytest.mark.parametrize("leeway_s", [0, 1, 60, 300])
def test_leeway_moves_exp_by_exactly_its_seconds(aws, leeway_s):
    """With a leeway a token lives that many seconds longer, and not one more."""
    aws.policy = {"version": 1, "leeway_s": leeway_s}
    system = make_system()
    assert code_of(system(token=POOL.id_token(exp=NOW - leeway_s + 1))) == ""
    assert code_of(system(token=POOL.id_token(exp=NOW - leeway_s))) == "expired"


@pytest.mark.parametrize("leeway_s", [0, 300])
def test_leeway_does_not_move_the_beginning(aws, leeway_s):
    """However long the leeway, tokens from more than 300 s ahead are refused."""
    aws.policy = {"version": 1, "leeway_s": leeway_s}
    system = make_system()
    assert code_of(system(token=POOL.id_token(iat=NOW + 300))) == ""
    assert code_of(system(token=POOL.id_token(iat=NOW + 301))) == "not_yet_valid"


def test_a_token_ends_within_the_second(gateway):
    """The clock is not rounded: a token lives until the very instant of exp."""
    token = POOL.id_token(exp=NOW + 5)
    assert code_of(gateway(token=token, now=NOW + 4.999)) == ""
    assert code_of(gateway(token=token, now=NOW + 5.0)) == "expired"


@pytest.mark.parametrize("clock_off_s", [-240, 240])
def test_a_clock_four_minutes_off_locks_nobody_out(gateway, clock_off_s):
    """A token that was issued this second passes at an edge whose clock is four minutes slow or fast."""
    token = POOL.id_token(iat=NOW, auth_time=NOW, exp=NOW + 300)
    assert code_of(gateway(token=token, now=NOW + clock_off_s)) == ""


@pytest.mark.parametrize("limit", [1_200, 2_000, 32_768])
def test_the_setting_moves_the_longest_token(aws, limit):
    """max_token_bytes is the length of the longest token that is looked at."""
    system = make_system(max_token_bytes=limit)
    assert code_of(system(token=token_of_length(limit))) == ""
    assert code_of(system(token=token_of_length(limit + 1))) == "malformed_token"


# --- keys, in pairs -------------------------------------------------------------------------------------------------


def offered(aws, kid, jwk):
    """Publish one more key, and return the answer to a token that names it."""
    aws.jwks[POOL.pool_id] = {"keys": [*POOL.jwks()["keys"], jwk]}
    return lambda key: code_of(make_system()(token=compact(key, {"kid": kid, "alg": "RS256"}, POOL.id_claims())))


@pytest.mark.parametrize(("bits", "code"), [(2_047, "unknown_key"), (2_048, ""), (3_072, ""), (1_024, "unknown_key")])
def test_keys_shorter_than_2048_bits_verify_nothing(aws, bits, code):
    """RFC 7518 section 3.3 asks for 2048 bits or more: one less is no key."""
    key = rsa_key(f"of {bits} bits", bits)
    assert key.key_size == bits
    assert offered(aws, "k", jwk_of(key, "k"))(key) == code


def test_a_key_with_exponent_one_verifies_nothing(aws):
    """With e = 1 everyone can sign: the signature is the padded digest itself. With e = 3 it takes the private key."""
    key = rsa_key("e=1")
    aws.jwks[POOL.pool_id] = {"keys": [*POOL.jwks()["keys"], jwk_of(key, "k", e="AQ")]}
    signing_input = f"{b64url(dumps({'kid': 'k', 'alg': 'RS256'}))}.{b64url(dumps(POOL.id_claims()))}"
    digest_info = (
        bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(signing_input.encode()).digest()
    )
    padded = b"\x00\x01" + b"\xff" * (256 - 3 - len(digest_info)) + b"\x00" + digest_info
    assert code_of(make_system()(token=f"{signing_input}.{b64url(padded)}")) == "unknown_key"

    cubic = rsa.generate_private_key(3, 2048)
    assert offered(aws, "k", jwk_of(cubic, "k"))(cubic) == ""


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"use": None, "alg": None}, ""),
        ({"key_ops": ["verify"]}, ""),
        ({"x5t": "AAAA", "unknown": {"a": 1}}, ""),
        ({"use": "enc"}, "unknown_key"),
        ({"use": ["sig"]}, "unknown_key"),
        ({"use": ""}, "unknown_key"),
        ({"alg": "RS512"}, "unknown_key"),
        ({"alg": "PS256"}, "unknown_key"),
        ({"alg": "none"}, "unknown_key"),
        ({"alg": ["RS256"]}, "unknown_key"),
        ({"key_ops": ["sign"]}, "unknown_key"),
        ({"key_ops": []}, "unknown_key"),
        ({"key_ops": "verify"}, "unknown_key"),
        ({"kty": "oct", "k": "AAAA"}, "unknown_key"),
        ({"kty": "EC"}, "unknown_key"),
        ({"kty": "rsa"}, "unknown_key"),
        ({"kty": None}, "unknown_key"),
        ({"d": "AQAB"}, "unknown_key"),
        ({"e": "AA"}, "unknown_key"),
        ({"e": "Ag"}, "unknown_key"),
        ({"e": ""}, "unknown_key"),
        ({"e": None}, "unknown_key"),
        ({"e": 65537}, "unknown_key"),
        ({"n": None}, "unknown_key"),
        ({"n": ["AQAB"]}, "unknown_key"),
        ({"kid": None}, "unknown_key"),
        ({"kid": 1}, "unknown_key"),
        ({"kid": ["k"]}, "unknown_key"),
    ],
)
def test_only_a_sound_signing_key_verifies(aws, changes, code):
    """Each member of a published key that says it is for something else excludes it; the others go on."""
    key = rsa_key("offered")
    jwk = {name: value for name, value in {**jwk_of(key, "k"), **changes}.items() if value is not None}
    assert offered(aws, "k", jwk)(key) == code
    assert code_of(make_system()(token=POOL.id_token())) == ""


def test_a_kid_that_names_two_keys_names_none(aws):
    """Two different keys of one name: neither is used, whichever signed. The same key twice is one key."""
    first, second = rsa_key("first"), rsa_key("second")
    header = {"kid": "k", "alg": "RS256"}
    own = POOL.jwks()["keys"]
    aws.jwks[POOL.pool_id] = {"keys": [*own, jwk_of(first, "k"), jwk_of(second, "k")]}
    for key in (first, second):
        assert code_of(make_system()(token=compact(key, header, POOL.id_claims()))) == "unknown_key"
    aws.jwks[POOL.pool_id] = {"keys": [*own, jwk_of(first, "k"), jwk_of(first, "k")]}
    assert code_of(make_system()(token=compact(first, header, POOL.id_claims()))) == ""


# --- the verified-token cache does not soften anything ---------------------------------------------------------------


def test_a_token_that_was_verified_still_expires(gateway):
    """Exp is checked on every use."""
    token = POOL.id_token(exp=NOW + 30)
    assert code_of(gateway(token=token, now=NOW)) == ""
    assert code_of(gateway(token=token, now=NOW + 29)) == ""
    assert gateway.log[-1]["cache"]["tokens"] == "hit"
    assert code_of(gateway(token=token, now=NOW + 30)) == "expired"


def test_a_token_that_was_verified_is_cut_off_by_the_next_policy(aws, gateway):
    """A new cut-off ends it within the settings' lifetime; until then it lives."""
    token = POOL.id_token()
    assert code_of(gateway(token=token)) == ""
    aws.policy = {"version": 1, "cut_off": {"jti": [POOL.id_claims()["jti"]]}}
    assert code_of(gateway(token=token, now=NOW + 1)) == ""
    assert code_of(gateway(token=token, now=NOW + 75)) == "revoked"


def test_a_token_that_was_verified_is_refused_when_its_key_is_removed(aws, gateway):
    """A key that is gone from the key set at the next good refresh verifies nothing any more."""
    token = POOL.id_token(exp=NOW + 9_000)
    assert code_of(gateway(token=token)) == ""
    aws.jwks[POOL.pool_id] = {"keys": [jwk_of(POOL.key(POOL.access_kid), POOL.access_kid)]}
    assert code_of(gateway(token=token, now=NOW + 3_000)) == ""
    assert code_of(gateway(token=token, now=NOW + 3_961)) == "unknown_key"


def test_a_token_that_was_verified_is_judged_by_each_path_anew(world):
    """A cached ID token is no access token on the next path."""
    system, _ = world
    token = POOL.id_token(sub="path-by-path")
    assert code_of(system(token=token)) == ""
    assert code_of(system(token=token, uri=ACCESS_PATH)) == "wrong_token_use"
    assert system.log[-1]["cache"]["tokens"] == "hit"


def test_another_spelling_of_a_verified_token_is_another_token(gateway):
    """Not one character of a cached token can be changed."""
    token = POOL.id_token()
    assert code_of(gateway(token=token)) == ""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place in range(0, len(token), 7):
        if token[place] == ".":
            continue
        other = alphabet[(alphabet.index(token[place]) + 1) % 64]
        assert code_of(gateway(token=token[:place] + other + token[place + 1 :])) in (
            "malformed_token",
            "unsupported_algorithm",
            "unknown_key",
            "invalid_signature",
            "wrong_issuer",
            "missing_claim",
        )


def test_client_ids_may_be_several_and_belong_to_their_pool(aws):
    """Each client of the parameter's list is taken, another is not."""
    aws.parameters[f"{PREFIX}/client-id"] = f"{POOL.client_id}, another1client"
    system = make_system()
    assert code_of(system(token=POOL.id_token())) == ""
    assert code_of(system(token=POOL.id_token(aud="another1client"))) == ""
    assert code_of(system(token=POOL.id_token(aud="another1clien"))) == "wrong_client"


def test_the_claims_are_judged_by_the_pool_whose_key_signed():
    """However the pool was chosen, check_claims asks again whether iss is that pool's."""
    expected = {"client_ids": {POOL.client_id}, "pool_id": POOL.pool_id, "payload": "", "is_access_typ": False}
    expected["resource"] = None
    assert check_claims(POOL.id_claims(), issuers={POOL.issuer}, leeway_s=0, now=NOW, **expected).sub
    with pytest.raises(WrongIssuerError):
        check_claims(POOL.id_claims(), issuers={OTHER.issuer}, leeway_s=0, now=NOW, **expected)
