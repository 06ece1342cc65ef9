"""Whom an access token is for: one that is bound to a resource (RFC 8707) counts there and nowhere else."""

import pytest

from tests.support.events import is_forwarded, problem_of
from tests.support.gateways import make_offline_system
from tests.support.keys_and_tokens import Pool, compact

POOL = Pool()
HERE = "https://api.example.com/mcp"
POLICY = {"version": 1, "routes": [{"path": "/mcp/*", "token_use": ["access"], "scopes": ["email"]}, {"path": "/*"}]}
SYSTEM = make_offline_system(POLICY, resource=HERE)
UNBOUND = make_offline_system(POLICY)

ELSEWHERE = [
    *(
        "https://evil.example.net/mcp",
        "https://api.example.com/mcp/",
        "https://api.example.com",
        "https://API.example.com/mcp",
    ),
    *(
        "https://api.example.com/MCP",
        "https://api.example.com:443/mcp",
        "http://api.example.com/mcp",
        " " + HERE,
        HERE + "#",
        "",
    ),
    *(
        f"{HERE} {HERE}",
        f"{HERE},{HERE}",
        POOL.client_id,
        [],
        ["https://evil.example.net/mcp"],
        [[HERE]],
        {HERE: HERE},
        {"0": HERE},
    ),
    *(7, 0, True, False, [True, 7]),
]


@pytest.mark.parametrize("audience", ELSEWHERE, ids=repr)
def test_a_token_bound_to_another_resource_is_refused(audience):
    """A server B of the same pool and client cannot replay here what a user gave it; compared byte for byte."""
    result = SYSTEM(uri="/mcp", token=POOL.access_token(aud=audience))
    assert (result["status"], problem_of(result)["code"]) == ("401", "wrong_client")
    assert "its aud has to name 'https://api.example.com/mcp'" in problem_of(result)["detail"]


def test_a_token_whose_audience_is_null_is_refused():
    """It carries ``aud``, and the resource is not in it."""
    claims = {**POOL.access_claims(), "aud": None}
    result = SYSTEM(
        uri="/mcp", token=compact(POOL.key(POOL.access_kid), {"kid": POOL.access_kid, "alg": "RS256"}, claims)
    )
    assert problem_of(result)["code"] == "wrong_client"


@pytest.mark.parametrize("audience", [HERE, [HERE], ["https://other.example.net", HERE], [HERE, 7]], ids=repr)
def test_a_token_bound_to_this_resource_is_taken(audience):
    """As text or in a list, as Cognito and RFC 7519 write it."""
    assert is_forwarded(SYSTEM(uri="/mcp", token=POOL.access_token(aud=audience)))


def test_a_token_that_is_bound_to_nothing_is_taken_as_before():
    """Most of Cognito's are: a scope of the resource's own says what they may do (ADR 16)."""
    assert is_forwarded(SYSTEM(uri="/mcp", token=POOL.access_token()))


@pytest.mark.parametrize("audience", ["https://evil.example.net/mcp", [HERE], 7], ids=repr)
def test_without_the_setting_nobody_asks(audience):
    """The gateway then has no name that a token could be bound to."""
    assert is_forwarded(UNBOUND(uri="/mcp", token=POOL.access_token(aud=audience)))


def test_an_id_token_names_its_client_in_aud_all_the_same():
    """Resource binding is access tokens' alone."""
    assert is_forwarded(SYSTEM(uri="/x", token=POOL.id_token()))
    assert problem_of(SYSTEM(uri="/x", token=POOL.id_token(aud=HERE)))["code"] == "wrong_client"


def test_a_token_for_elsewhere_proves_nobody_here():
    """It learns no more of the rules than a stranger (contract C6)."""
    token = POOL.access_token(aud="https://evil.example.net/mcp")
    for path in ("/mcp", "/MCP", "/mcp.json", "/elsewhere"):
        assert problem_of(SYSTEM(uri=path, token=token))["code"] == "wrong_client"


def test_a_bound_token_is_judged_again_when_it_comes_again():
    """A cached refusal or a cached acceptance: the same each time."""
    good, bad = POOL.access_token(aud=HERE), POOL.access_token(aud="https://evil.example.net/mcp")
    for _ in range(3):
        assert is_forwarded(SYSTEM(uri="/mcp", token=good))
        assert problem_of(SYSTEM(uri="/mcp", token=bad))["code"] == "wrong_client"
