"""Who proves nothing learns nothing of the policy: every path and method that is not public looks alike (contract C6)."""

import re

import pytest
from cognito_edge.policy import METHODS
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.events import headers_of, is_forwarded, problem_of
from tests.support.keys_and_tokens import NOW
from tests.support.policy_oracle import Ask
from tests.support.policy_rig import OWN, PARTNER, PARTNER_ENTRY, STRANGER, gateway_under, outcome, token_of

APP = "https://app.example.com"
RULES = {
    "routes": [
        {"path": "/public/*", "methods": ["GET"], "allow": "anyone"},
        {"path": "/admin/*", "methods": ["GET", "POST"], "groups": ["admins"]},
        {"path": "/tools/*", "token_use": ["access"], "scopes": ["tools/call"]},
        {"path": "/partner/*", "issuers": [PARTNER.pool_id]},
        {"path": "/Users/*", "clients": ["another1client"]},
    ],
    "issuers": [PARTNER_ENTRY],
    "cors": {"allow_origins": [APP]},
    "cut_off": {"sub": ["cut-sub"], "issued_before": NOW - 9_000},
}
NO_RULES = {name: part for name, part in RULES.items() if name != "routes"}

PROVING_NOTHING = {
    "no token": None,
    "no JWT": "x.y.z",
    "expired": token_of(OWN.id_claims(exp=NOW)),
    "of the future": token_of(OWN.id_claims(iat=NOW + 301)),
    "another client's": token_of(OWN.id_claims(aud="some1client")),
    "a stranger's pool": token_of(STRANGER.id_claims()),
    "cut off by name": token_of(OWN.id_claims(sub="cut-sub")),
    "cut off by time": token_of(OWN.access_claims(iat=NOW - 9_001)),
    "a signature changed": token_of(OWN.id_claims())[:-8] + "AAAAAAAA",
}
PROVING_SOMEBODY = {
    "a user": token_of(OWN.id_claims()),
    "an access token": token_of(OWN.access_claims()),
    "a partner": token_of(PARTNER.id_claims()),
}

PATHS = [
    *(
        "/admin",
        "/admin/x",
        "/ADMIN",
        "/admin.json",
        "/%20admin",
        "/admin+",
        "/admin%3Fx",
        "/admin;x",
        "/adm%C4%B1n",
        "/tools/x",
    ),
    *("/partner", "/Users/x", "/users", "/%2561dmin", "/admin%2F", "/public.json", "/PUBLIC/x"),
]


def answer(system, **request) -> dict:
    """Return an answer without the one thing in it that no two have in common."""
    result = system(**request)
    return {**result, "body": re.sub(r'"request_id": "[^"]*"', "", result["body"])}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("token", PROVING_NOTHING.values(), ids=PROVING_NOTHING)
def test_no_path_and_no_method_tells_whoever_proves_nothing_whether_there_is_a_rule(method, token):
    """The answer is the one that a gateway without any rule gives, to the byte."""
    with_rules, without = gateway_under(RULES), gateway_under(NO_RULES)
    for path in [*PATHS, "/public" if method not in ("GET", "HEAD") else "/elsewhere"]:
        got = answer(with_rules, method=method, uri=path, token=token)
        assert got["status"] == "401", path
        assert got == answer(without, method=method, uri=path, token=token), path


@pytest.mark.parametrize("token", PROVING_SOMEBODY.values(), ids=PROVING_SOMEBODY)
@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        *(("DELETE", "/admin", "405", "method_not_allowed"), ("PUT", "/admin/x", "405", "method_not_allowed")),
        *(("POST", "/public/x", "405", "method_not_allowed"), ("OPTIONS", "/public/x", "405", "method_not_allowed")),
        *(("GET", "/ADMIN", "400", "ambiguous_path"), ("GET", "/admin.json", "400", "ambiguous_path")),
        *(("GET", "/%20admin", "400", "ambiguous_path"), ("DELETE", "/PUBLIC", "400", "ambiguous_path")),
    ],
)
def test_whoever_proves_who_they_are_is_told_what_is_wrong(token, method, path, status, code):
    """The accepting half, for users of every trusted pool and with either kind of token."""
    result = gateway_under(RULES)(method=method, uri=path, token=token)
    assert (result["status"], problem_of(result)["code"]) == (status, code)
    assert ("allow" in headers_of(result)) == (status == "405")


@pytest.mark.parametrize("token", [*PROVING_NOTHING.values(), *PROVING_SOMEBODY.values()])
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/a/../b", "ambiguous_path"),
        ("/a%5Cb", "ambiguous_path"),
        ("/%zz", "malformed_url"),
        ("/" + "a" * 8_191, "malformed_url"),
    ],
)
def test_what_no_rule_has_a_part_in_is_told_to_everyone(token, path, code):
    """It gives no rule away, and a developer without a token learns what is wrong with the URL."""
    assert problem_of(gateway_under(RULES)(uri=path, token=token))["code"] == code


@pytest.mark.parametrize("token", PROVING_NOTHING.values(), ids=PROVING_NOTHING)
def test_a_public_path_stays_public(token):
    """Also for a token that is no good: it is ignored."""
    assert is_forwarded(gateway_under(RULES)(uri="/public/x", token=token))


def test_two_authorization_headers_are_refused_alike_everywhere():
    """Before any rule: the message is broken."""
    for path in ("/admin", "/elsewhere", "/ADMIN"):
        result = gateway_under(RULES)(uri=path, headers={"authorization": ["Bearer a", "Bearer b"]})
        assert problem_of(result)["code"] == "malformed_request"


@pytest.mark.parametrize("path", ["/admin", "/tools/x", "/partner", "/elsewhere", "/ADMIN"])
def test_a_token_that_is_cut_off_is_told_so_and_nothing_of_the_rule(path):
    """Before which kind of token, client or pool the rule takes."""
    assert problem_of(gateway_under(RULES)(uri=path, token=PROVING_NOTHING["cut off by name"]))["code"] == "revoked"


PATTERNS = st.sampled_from(["/admin/*", "/Admin", "/a.b", "/a", "/*", "/", "/x/y/*", "/caf\u00e9"])
ROUTES = st.lists(
    st.fixed_dictionaries(
        {"path": PATTERNS},
        optional={
            "methods": st.lists(st.sampled_from(METHODS), min_size=1, max_size=3),
            "groups": st.just(["admins"]),
            "token_use": st.just(["access"]),
        },
    ),
    max_size=5,
)
PIECES = st.sampled_from(
    ["admin", "Admin", "a", ".b", "x", "y", "/", "%20", "%2F", "+", ";", "%3F", "caf%C3%A9", "%65%CC%81", "."]
)


@given(
    routes=ROUTES,
    path=st.lists(PIECES, max_size=6).map(lambda pieces: "/" + "".join(pieces)),
    method=st.sampled_from(METHODS),
    token=st.sampled_from(list(PROVING_NOTHING.values())),
)
@settings(max_examples=400, deadline=None)
def test_no_rules_whatever_show_to_whoever_proves_nothing(routes, path, method, token):
    """Any document without a public rule, any path and method: the answer of a gateway that has no rules."""
    with_rules, without = gateway_under({**RULES, "routes": routes}), gateway_under(NO_RULES)
    request = {"method": method, "uri": path, "token": token}
    assert answer(with_rules, **request) == answer(without, **request)


def test_the_log_names_the_rule_that_the_caller_is_not_told():
    """The operator sees which rule met the request; the caller does not."""
    system = gateway_under(RULES)
    assert outcome(system, Ask("DELETE", "/admin")) == "missing_token"
    assert system.log[0]["rule"] == "/admin/*"
