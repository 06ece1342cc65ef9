"""Every kind of rule, request and token against an independent, naive reading of the policy document."""

import itertools
from collections import Counter
from functools import cache

import pytest

from tests.support.keys_and_tokens import NOW
from tests.support.policy_oracle import Ask
from tests.support.policy_rig import (
    OWN,
    PARTNER,
    PARTNER_ENTRY,
    SECOND_CLIENT,
    STRANGER,
    disagreement,
    gateway_under,
    naive_reasons,
)

OTHER_ISSUER = f"https://login.example.com/{OWN.pool_id}"

# A document for each field, and some in which several meet.
POLICIES: dict[str, dict | None] = {
    "no policy": None,
    "empty": {},
    "public": {
        "routes": [{"path": "/public/*", "allow": "anyone"}, {"path": "/a", "methods": ["GET"], "allow": "anyone"}]
    },
    "methods": {
        "routes": [
            {"path": "/a/*", "methods": ["GET"]},
            {"path": "/a/*", "methods": ["POST"], "groups": ["admins"]},
            {"path": "/*", "methods": ["DELETE", "HEAD"], "allow": "anyone"},
        ]
    },
    "groups": {
        "routes": [{"path": "/a/*", "groups": ["admins", "editors"]}, {"path": "/public/*", "groups": ["nobody"]}]
    },
    "scopes": {
        "routes": [
            {"path": "/a/*", "token_use": ["access"], "scopes": ["tools/call", "email"]},
            {"path": "/public/*", "token_use": ["id", "access"], "scopes": ["tools/list"]},
        ]
    },
    "token use": {
        "routes": [
            {"path": "/a/*", "token_use": ["access"]},
            {"path": "/public/*", "token_use": ["id", "access"]},
            {"path": "/a", "token_use": ["id"]},
        ]
    },
    "clients": {
        "routes": [
            {"path": "/a/*", "clients": [SECOND_CLIENT]},
            {"path": "/*", "clients": [OWN.client_id, SECOND_CLIENT]},
        ]
    },
    "issuers": {
        "issuers": [PARTNER_ENTRY],
        "routes": [
            {"path": "/a/*", "issuers": [PARTNER.pool_id], "token_use": ["id", "access"]},
            {"path": "/public/*", "issuers": [OWN.pool_id, PARTNER.issuer], "groups": ["admins"]},
        ],
    },
    "partner's clients": {
        "issuers": [{**PARTNER_ENTRY, "client_ids": [OWN.client_id]}],
        "routes": [{"path": "/a/*", "issuers": [PARTNER.pool_id]}],
    },
    "the own pool's other issuer and client": {
        "issuers": [{"user_pool_id": OWN.pool_id, "client_ids": [PARTNER.client_id], "issuer": OTHER_ISSUER}],
        "routes": [{"path": "/a/*", "issuers": [OTHER_ISSUER]}, {"path": "/public/*", "issuers": [OWN.pool_id]}],
    },
    "leeway": {"leeway_s": 60},
    "issued before": {"cut_off": {"issued_before": NOW - 60}},
    "issued before, a second later": {
        "cut_off": {"issued_before": NOW - 59},
        "routes": [{"path": "/a/*", "allow": "anyone"}],
    },
    "signed in before": {"cut_off": {"signed_in_before": NOW - 60}},
    "signed in before, a second later": {"cut_off": {"signed_in_before": NOW - 59}},
    "cut off by name": {"cut_off": {"sub": ["cut-sub"], "origin_jti": ["cut-origin"], "jti": ["cut-jti"]}},
    "cors": {"cors": {"allow_origins": ["https://app.example.com"]}, "routes": [{"path": "/a/*", "methods": ["GET"]}]},
    "order": {
        "routes": [
            {"path": "/a/b/*", "groups": ["editors"]},
            {"path": "/a/*", "allow": "anyone"},
            {"path": "/a/b/c", "groups": ["admins"]},
            {"path": "/*", "methods": ["GET"], "token_use": ["access"]},
        ]
    },
}

REQUESTS = [
    *(
        ("GET", path)
        for path in ("/", "/a", "/a/b/c", "/public/x", "/other", "/%61/b", "/a%2Fb", "/A/b", "/a/../public")
    ),
    *((method, "/a/b") for method in ("HEAD", "POST", "DELETE", "OPTIONS")),
]

TOKENS: dict[str, dict | None] = {
    "none": None,
    "id": OWN.id_claims(),
    "id, admins": OWN.id_claims(**{"cognito:groups": ["users", "admins"]}),
    "id, second client": OWN.id_claims(aud=SECOND_CLIENT),
    "id, another's client": OWN.id_claims(aud=PARTNER.client_id),
    "access": OWN.access_claims(),
    "access, editors, fewer scopes": OWN.access_claims(scope="email", **{"cognito:groups": ["editors"]}),
    "expired": OWN.id_claims(exp=NOW),
    "expired beyond leeway": OWN.id_claims(exp=NOW - 60),
    "about to expire": OWN.id_claims(exp=NOW + 1),
    "of the future": OWN.id_claims(iat=NOW + 301),
    "no auth_time": OWN.id_claims(auth_time=None),
    "old sign-in, fresh": OWN.id_claims(auth_time=NOW - 9999),
    "cut off by sub": OWN.id_claims(sub="cut-sub"),
    "cut off by sign-in": OWN.access_claims(origin_jti="cut-origin"),
    "cut off alone": OWN.id_claims(jti="cut-jti"),
    "another issuer": OWN.id_claims(iss=OTHER_ISSUER),
    "another issuer, partner's client": OWN.id_claims(iss=OTHER_ISSUER, aud=PARTNER.client_id),
    "partner, admins": PARTNER.id_claims(**{"cognito:groups": ["admins"]}),
    "partner, access": PARTNER.access_claims(),
    "partner, our client": PARTNER.id_claims(aud=OWN.client_id),
    "stranger": STRANGER.id_claims(),
}


def asks() -> list[Ask]:
    """Every request with every token."""
    return [Ask(method, path, claims) for (method, path), claims in itertools.product(REQUESTS, TOKENS.values())]


@cache
def judged(name: str) -> list[tuple[Ask, frozenset[str]]]:
    """Every request with every token, and what the naive reading has against it."""
    return [(ask, naive_reasons(POLICIES[name], ask)) for ask in asks()]


@pytest.mark.parametrize("name", POLICIES)
def test_the_edge_decides_as_the_contract_says(name):
    """Allowed where the naive reading finds no reason against it, refused with one of the reasons where it does."""
    system = gateway_under(POLICIES[name])
    assert [line for ask, reasons in judged(name) if (line := disagreement(system, ask, reasons))] == []


def test_the_table_is_long_and_not_one_sided():
    """At least 200 combinations, every outcome that a policy can have, and none of them by a single combination."""
    found = Counter()
    for name in POLICIES:
        for _, reasons in judged(name):
            found.update(reasons or ["allowed"])
    assert sum(found.values()) >= 200
    assert set(found) == {
        *("allowed", "ambiguous_path", "method_not_allowed", "missing_token", "expired", "not_yet_valid"),
        *("wrong_issuer", "wrong_client", "wrong_token_use", "missing_claim", "revoked"),
        *("missing_group", "insufficient_scope"),
    }
    assert min(found.values()) >= 10
    assert found["allowed"] >= 500


def test_the_naive_reading_would_notice_a_difference():
    """The comparison itself can fail: an edge without the policy's group rule disagrees with the oracle."""
    policy = {"routes": [{"path": "/a/*", "groups": ["admins"]}]}
    careless = gateway_under({"routes": [{"path": "/a/*"}]})
    ask = Ask("GET", "/a/b", OWN.id_claims())
    assert disagreement(careless, ask, naive_reasons(policy, ask))
