"""edge/cognito_edge/authorize.py: cut-offs and a route's demands, through the gateway: what is said, in which order, and to whom."""

import json
import re

import pytest
from cognito_edge.authorize import authorize
from cognito_edge.claims import VerifiedClaims
from cognito_edge.errors import MissingGroupError
from cognito_edge.parameters import parse_parameters

from tests.support.events import headers_of, is_forwarded, problem_of
from tests.support.keys_and_tokens import NOW
from tests.support.policy_oracle import Ask
from tests.support.policy_rig import OWN, PARTNER, PARTNER_ENTRY, gateway_under, outcome, token_of, word_for

ID, ACCESS = OWN.id_claims(), OWN.access_claims()


def refused(policy: dict, claims: dict, **changes: object) -> dict:
    """Return the refusal, which has to be one."""
    result = gateway_under(policy)(uri="/a", token=token_of(claims), **changes)
    assert not is_forwarded(result)
    return result


def challenge_of(result: dict) -> dict[str, str]:
    """Return the parameters of the Bearer challenge (RFC 6750 §3)."""
    value = headers_of(result)["www-authenticate"]
    assert value.startswith("Bearer ")
    return dict(re.findall(r'(\w+)="([^"]*)"', value))


# --- what is said -----------------------------------------------------------------------------------------------------


def test_insufficient_scope_names_the_scope_that_is_needed():
    """RFC 6750 §3: all of them, so that the client can ask for the right token at once."""
    policy = {"routes": [{"path": "/a", "token_use": ["access"], "scopes": ["email", "tools/list", "tools/admin"]}]}
    result = refused(policy, ACCESS)
    assert result["status"] == "403"
    assert problem_of(result)["code"] == "insufficient_scope"
    assert "tools/list" in problem_of(result)["detail"]
    assert "'email'" not in problem_of(result)["detail"]
    challenge = challenge_of(result)
    assert challenge["error"] == "insufficient_scope"
    assert challenge["scope"] == "email tools/list tools/admin"


def test_missing_group_names_the_groups_and_is_a_403_with_a_challenge():
    """The person can ask for the right thing; RFC 6750 has no other code for it."""
    result = refused({"routes": [{"path": "/a", "groups": ["admins", "editors"]}]}, ID)
    assert (result["status"], problem_of(result)["code"]) == ("403", "missing_group")
    assert "one of 'admins', 'editors'" in problem_of(result)["detail"]
    challenge = challenge_of(result)
    assert challenge["error"] == "insufficient_scope"
    assert "scope" not in challenge


@pytest.mark.parametrize(("count", "end"), [(8, "'g7'."), (9, "'g7' or others."), (30, "'g7' or others.")])
def test_missing_group_names_eight_groups_and_no_more(count, end):
    """The challenge travels in a header."""
    result = refused({"routes": [{"path": "/a", "groups": [f"g{number}" for number in range(count)]}]}, ID)
    assert problem_of(result)["detail"].endswith(end)


@pytest.mark.parametrize(
    ("policy", "claims", "code"),
    [
        ({"routes": [{"path": "/a", "token_use": ["access"]}]}, ID, "wrong_token_use"),
        ({"routes": [{"path": "/a", "clients": ["x"]}]}, ID, "wrong_client"),
        ({"issuers": [PARTNER_ENTRY]}, PARTNER.id_claims(), "wrong_issuer"),
        ({"cut_off": {"sub": [ID["sub"]]}}, ID, "revoked"),
        ({"cut_off": {"signed_in_before": NOW}}, OWN.id_claims(auth_time=None), "missing_claim"),
    ],
)
def test_a_token_that_is_not_for_this_rule_is_401_invalid_token(policy, claims, code):
    """Another token would do: the client should get one (RFC 6750 §3.1)."""
    result = refused(policy, claims)
    assert (result["status"], problem_of(result)["code"]) == ("401", code)
    assert challenge_of(result)["error"] == "invalid_token"


def test_revocation_says_since_when_and_never_who_else():
    """The times help; the lists of other people's ids are not shown."""
    result = refused({"cut_off": {"issued_before": NOW, "sub": ["somebody-else"]}}, ID)
    assert "2026-09-21T14:13:20Z" in problem_of(result)["detail"]
    result = refused({"cut_off": {"sub": ["somebody-else", ID["sub"]]}}, ID)
    assert "somebody-else" not in result["body"]


def test_names_in_a_refusal_cannot_break_out_of_the_challenge():
    """Policy and token both end up between quotation marks in a header."""
    policy = {"routes": [{"path": "/a", "groups": ['x"\\\u2028é', "y"]}]}
    value = headers_of(refused(policy, ID))["www-authenticate"]
    assert value.isascii()
    assert value.count('"') == 6


# --- in which order ---------------------------------------------------------------------------------------------------


def test_a_cut_off_is_told_before_a_missing_group():
    """Asking for a group would not help somebody who is out."""
    policy = {"routes": [{"path": "/a", "groups": ["admins"]}], "cut_off": {"sub": [ID["sub"]]}}
    assert problem_of(refused(policy, ID))["code"] == "revoked"


def test_a_method_that_is_not_allowed_is_told_to_whoever_proved_who_they_are():
    """To others every path and method looks alike (tests/edge/test_strangers.py)."""
    system = gateway_under({"routes": [{"path": "/a", "methods": ["GET"]}]})
    answers = [word_for(system(method="PUT", uri="/a", token=token)) for token in (None, "x.y.z", token_of(ID))]
    assert answers == ["missing_token", "malformed_token", "method_not_allowed"]


def test_every_demand_of_a_rule_has_to_hold():
    """Groups, scopes and clients together: each alone is not enough."""
    rule = {"path": "/a", "token_use": ["access"], "scopes": ["email"], "groups": ["g"], "clients": [OWN.client_id]}
    system = gateway_under({"routes": [rule]})
    right = OWN.access_claims(**{"cognito:groups": ["g"]})
    assert outcome(system, Ask("GET", "/a", right)) == "allowed"
    assert outcome(system, Ask("GET", "/a", {**right, "cognito:groups": ["h"]})) == "missing_group"
    assert outcome(system, Ask("GET", "/a", {**right, "scope": "openid"})) == "insufficient_scope"


def test_a_scope_in_an_id_token_is_a_claim_like_any_other():
    """Cognito puts scopes into access tokens alone: in an ID token ``scope`` opens nothing, and spoils nothing."""
    both = {"path": "/a", "token_use": ["id", "access"], "scopes": ["email"]}
    system = gateway_under({"routes": [both, {"path": "/b"}]})
    assert outcome(system, Ask("GET", "/a", OWN.access_claims(scope="email"))) == "allowed"
    assert outcome(system, Ask("GET", "/a", {**ID, "scope": "email"})) == "insufficient_scope"
    for scope in ("email", ["email"], {"email": 1}, 7):
        result = system(uri="/b", token=token_of({**ID, "scope": scope}))
        assert identity_of(result)["x-cognito-sub"] == ID["sub"]
        assert "x-cognito-scopes" not in identity_of(result)


# --- to whom: public routes -------------------------------------------------------------------------------------------

PUBLIC = {"routes": [{"path": "/a", "allow": "anyone"}]}


def identity_of(result: dict) -> dict[str, str]:
    return {name: value for name, value in headers_of(result).items() if name.startswith("x-cognito-")}


def test_on_a_public_route_a_good_token_gives_identity():
    """So that a page can greet a person who is signed in."""
    result = gateway_under(PUBLIC)(uri="/a", token=token_of(ID))
    assert identity_of(result)["x-cognito-sub"] == ID["sub"]


@pytest.mark.parametrize(
    ("policy", "claims", "code"),
    [
        ({}, OWN.id_claims(exp=NOW), "expired"),
        ({"cut_off": {"sub": [ID["sub"]]}}, ID, "revoked"),
        ({"issuers": [PARTNER_ENTRY]}, PARTNER.id_claims(), "wrong_issuer"),
        ({}, ACCESS, "wrong_token_use"),
    ],
)
def test_on_a_public_route_a_token_that_does_not_count_gives_none(policy, claims, code):
    """It passes without identity, whatever the viewer claims to be, and the log says why."""
    system = gateway_under({**PUBLIC, **policy})
    result = system(uri="/a", token=token_of(claims), headers={"x-cognito-sub": "forged", "X_Cognito_Groups": "admins"})
    assert is_forwarded(result)
    assert identity_of(result) == {}
    assert system.log[0]["ignored_token"] == code


# --- a token that has been seen before --------------------------------------------------------------------------------


def test_time_and_cut_offs_are_judged_on_every_request():
    """What is remembered about a token is its signature, not the decision."""
    system = gateway_under({"routes": [{"path": "/b", "groups": ["g"]}]})
    token = token_of(ID)
    assert word_for(system(uri="/a", token=token)) == "allowed"
    assert word_for(system(uri="/b", token=token)) == "missing_group"
    assert word_for(system(uri="/a", token=token, now=ID["exp"])) == "expired"
    assert [line["cache"]["tokens"] for line in system.log] == ["miss", "hit", "hit"]


@pytest.mark.parametrize("name", ["issued_before", "signed_in_before", "sub", "origin_jti", "jti"])
def test_a_cut_off_stops_a_token_that_is_remembered(aws, gateway, name):
    """From the first request after the settings' lifetime, although nothing about the token has changed."""
    value = NOW if name.endswith("before") else [ID[name]]
    aws.policy = {"version": 1}
    token = token_of(ID)
    assert [word_for(gateway(uri="/a", token=token, now=NOW + second)) for second in (0, 1)] == ["allowed", "allowed"]
    assert gateway.log[1]["cache"]["tokens"] == "hit"
    aws.policy = {"version": 1, "cut_off": {name: value}}
    # 60 s, give or take 20 %: certainly kept at 47, certainly read again at 73.
    assert word_for(gateway(uri="/a", token=token, now=NOW + 47)) == "allowed"
    assert word_for(gateway(uri="/a", token=token, now=NOW + 73)) == "revoked"


def test_a_rule_that_is_changed_holds_for_a_token_that_is_remembered(aws, gateway):
    """The same for groups: no new sign-in, no restart."""
    aws.policy = {"version": 1}
    token = token_of(ID)
    assert word_for(gateway(uri="/a", token=token)) == "allowed"
    aws.policy = {"version": 1, "routes": [{"path": "/a", "groups": ["admins"]}]}
    assert word_for(gateway(uri="/a", token=token, now=NOW + 73)) == "missing_group"


def test_a_broken_policy_leaves_the_last_good_one_in_force_and_the_log_says_so(aws, gateway):
    """Contract C5; the rules and cut-offs that stood go on standing."""
    aws.policy = {"version": 1, "routes": [{"path": "/a", "groups": ["admins"]}]}
    token = token_of(ID)
    assert word_for(gateway(uri="/a", token=token)) == "missing_group"
    aws.policy = {"version": 1, "routes": [{"path": "/a", "group": ["admins"]}]}
    assert word_for(gateway(uri="/a", token=token, now=NOW + 73)) == "missing_group"
    (failure,) = (line for line in gateway.log if line.get("event") == "refresh_failed")
    assert failure["what"] == "configuration"
    assert "routes[0]: unknown key 'group'" in failure["reason"]
    assert gateway.log[-1]["cache"]["configuration"] == "stale"


class Counting(str):
    """A text that counts how often it is compared."""

    compared = 0
    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other):
        Counting.compared += 1
        return str.__eq__(self, other)


def test_many_groups_on_both_sides_cost_their_sum_and_not_their_product():
    """500 groups in the token against a rule that names 400 others."""
    rule = {"version": 1, "routes": [{"path": "/*", "groups": [f"h{i}" for i in range(400)]}]}
    values = {"user-pool-id": OWN.pool_id, "client-id": OWN.client_id, "policy": json.dumps(rule)}
    configuration = parse_parameters(values, policy_required=True)
    claims = VerifiedClaims(
        pool_id=OWN.pool_id,
        issuer="",
        sub="s",
        username="",
        email="",
        token_use="id",
        client_id=OWN.client_id,
        exp=1,
        not_before=1,
        issued_at=1,
        auth_time=None,
        origin_jti="",
        jti="",
        groups=tuple(Counting(f"g{i}") for i in range(500)),
        scopes=(),
        payload="",
    )
    Counting.compared = 0
    with pytest.raises(MissingGroupError):
        authorize(claims, configuration.policy.rules[0].routes[0], configuration)
    assert Counting.compared <= 2 * (400 + 500)


def test_a_refusal_stays_short_however_many_groups_a_rule_names():
    """8 KB of WWW-Authenticate is more than many clients and proxies take."""
    system = gateway_under({"routes": [{"path": "/*", "groups": [f"group-number-{i}" for i in range(400)]}]})
    result = system(uri="/a", token=token_of(OWN.id_claims()))
    assert "or others" in problem_of(result)["detail"]
    assert len(headers_of(result)["www-authenticate"]) < 1000
