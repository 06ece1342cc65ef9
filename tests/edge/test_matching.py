"""Which rule is met by a path and a method: nothing that a viewer can write walks around one."""

import sys

import pytest
from cognito_edge.policy import METHODS, Policy
from cognito_edge.policy_document import parse_policy
from cognito_edge.target import canonical_target
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.policy_oracle import Ask, path_reasons
from tests.support.policy_rig import OWN, gateway_under, naive_reasons, outcome, token_of

USER = OWN.id_claims(**{"cognito:groups": ["users"]})
ADMIN = OWN.id_claims(**{"cognito:groups": ["admins"]})

# /admin is for admins, /public for everyone, all else for signed-in people.
POLICY = {
    "routes": [
        {"path": "/public/*", "allow": "anyone"},
        {"path": "/admin/*", "methods": ["GET", "POST"], "groups": ["admins"]},
    ]
}

# The list and its neighbours: everything that some server takes for /admin.
BYPASSES = [
    *("/%61dmin", "/%2Fadmin", "/admin%2Fx", "/public/../admin", "/public%2f..%2fadmin", "/public/%252e%252e/admin"),
    *(
        "//admin",
        "/admin;x",
        "/admin.",
        "/admin..",
        "/admin/",
        "/admin//",
        "/admin%20",
        "/admin/.",
        "/Admin",
        "/ADMIN/x",
    ),
    *("/aDmIn", "/%41dmin", "/admin%2e", "/admin%2Fx%2Fy", "/%2561dmin", "/%252Fadmin", "/;/admin", "/;x/admin"),
    *("/public/..;/admin", "/public/%2e%2e/admin", "/public/..%5cadmin", "/public/%5c..%5cadmin", "/./admin"),
    *("/public;/../admin", "/admin%3Bx", "/admin%00", "/%00/admin", "/admin./x", "/x/../admin", "/public/.../admin"),
    *("/%c0%afadmin", "/public/%c0%ae%c0%ae/admin", "/adm%69n/users", "///admin", "/public//../admin", "/admin%2F"),
    *("/%2e/admin", "/%2e%2e/admin", "/public/x/..%2f..%2fadmin", "/admin%09", "/admin%0a", "/admin%ff"),
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
@pytest.mark.parametrize("path", BYPASSES)
@pytest.mark.parametrize("claims", [None, USER], ids=["nobody", "user"])
def test_no_spelling_of_a_guarded_path_gets_past_its_rule(path, method, claims):
    """Refused by the rule, or for being unclear; bytes that are no UTF-8 are no server's /admin."""
    got = outcome(gateway_under(POLICY), Ask(method, path, claims))
    if got == "allowed":
        assert claims is not None
        assert path == "/admin%ff"
    else:
        assert got in ("ambiguous_path", "malformed_url", "missing_group", "missing_token", "method_not_allowed")


@pytest.mark.parametrize("path", ["/admin", "/admin/", "//admin", "/%61dmin", "/admin/x", "/adm%69n/users", "/admin//"])
def test_the_spellings_that_mean_the_guarded_path_are_under_its_rule(path):
    """The accepting half: admins get in, users are told which group they lack, and not that the path is odd."""
    system = gateway_under(POLICY)
    assert outcome(system, Ask("GET", path, ADMIN)) == "allowed"
    assert outcome(system, Ask("GET", path, USER)) == "missing_group"
    assert outcome(system, Ask("GET", path)) == "missing_token"


def test_what_was_judged_is_what_is_sent():
    """The canonical form goes on: a backend never sees a spelling that the policy did not."""
    system = gateway_under(POLICY)
    for sent, judged in [("//admin", "/admin"), ("/admin/%c3%a9", "/admin/%C3%A9"), ("/admin/a b", "/admin/a%20b")]:
        result = system(uri=sent, token=token_of(ADMIN))
        assert result["uri"] == judged


# --- methods ----------------------------------------------------------------------------------------------------------


def test_head_follows_get():
    """A route that takes GET takes HEAD; one that takes HEAD alone does not take GET."""
    policy = {"routes": [{"path": "/a", "methods": ["GET"]}, {"path": "/b", "methods": ["HEAD"]}]}
    system = gateway_under(policy)
    assert [outcome(system, Ask(method, "/a", USER)) for method in ("GET", "HEAD")] == ["allowed", "allowed"]
    assert [outcome(system, Ask(method, "/b", USER)) for method in ("GET", "HEAD")] == ["method_not_allowed", "allowed"]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_no_route_of_the_group_takes_is_405_and_never_falls_through(method):
    """The broader public group below is not asked."""
    policy = {"routes": [{"path": "/a/*", "methods": ["GET"]}, {"path": "/*", "allow": "anyone"}]}
    expected = "allowed" if method in ("GET", "HEAD") else "method_not_allowed"
    assert outcome(gateway_under(policy), Ask(method, "/a/x", USER)) == expected
    assert outcome(gateway_under(policy), Ask(method, "/a/x")) == "missing_token"


def test_405_names_the_methods_of_the_whole_group():
    """Allow is the union of its routes, HEAD with GET."""
    policy = {"routes": [{"path": "/a", "methods": ["POST"]}, {"path": "/a", "methods": ["GET"]}]}
    result = gateway_under(policy)(method="DELETE", uri="/a", token=token_of(USER))
    assert result["headers"]["allow"][0]["value"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    "method", ["delete", "Delete", "dELETE", "get", "QUERY", "TRACE", "CONNECT", "PURGE", "", "GET "]
)
@pytest.mark.parametrize("path", ["/items/7", "/elsewhere"])
def test_a_method_is_taken_in_its_one_spelling_alone(method, path):
    """Django writes methods in capitals, so that ``delete`` would be DELETE to it and no rule's business here."""
    policy = {"routes": [{"path": "/items/*", "methods": ["DELETE"], "groups": ["admins"]}, {"path": "/items/*"}]}
    system = gateway_under(policy)
    assert outcome(system, Ask(method, path, USER)) == "method_not_allowed"
    assert outcome(system, Ask("POST", path, USER)) == "allowed"


def test_routes_of_one_path_are_one_group_wherever_they_stand():
    """The first route that takes the method decides, also when another pattern stands between the two."""
    policy = {
        "routes": [
            {"path": "/a/*", "methods": ["POST"], "groups": ["admins"]},
            {"path": "/*", "allow": "anyone"},
            {"path": "/a/*", "methods": ["GET", "POST"]},
        ]
    }
    system = gateway_under(policy)
    assert outcome(system, Ask("GET", "/a/x")) == "missing_token"
    assert outcome(system, Ask("GET", "/a/x", USER)) == "allowed"
    assert outcome(system, Ask("POST", "/a/x", USER)) == "missing_group"


# --- patterns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/a/*", "/a", True),
        ("/a/*", "/a/", True),
        ("/a/*", "/a/b/c", True),
        ("/a/*", "/ab", False),
        ("/a/*", "/", False),
        ("/a", "/a", True),
        ("/a", "/a/b", False),
        ("/*", "/", True),
        ("/*", "/x/y", True),
        ("/", "/", True),
        ("/", "/x", False),
        ("/café/*", "/caf%C3%A9/x", True),
        ("/café/*", "/café/x", True),
        ("/a b", "/a%20b", True),
        ("/a.b", "/a.b", True),
        ("/a.b", "/a", False),
    ],
)
def test_a_pattern_covers_what_it_says(pattern, path, matches):
    """A final ``/*`` covers the bare path and everything below; without it a pattern is one path."""
    system = gateway_under({"routes": [{"path": pattern, "allow": "anyone"}]})
    assert outcome(system, Ask("GET", path)) == ("allowed" if matches else "missing_token")


@pytest.mark.parametrize(
    "path", ["/a/", "/a.", "/a;x", "/A", "/%2561", "/a%20", "/a%0A", "/a%09", "/a%0d%0a", "/a.%0b%0c", "/a%253b%2Fx"]
)
def test_an_exact_pattern_is_not_met_by_its_neighbours_nor_do_they_fall_elsewhere(path):
    """Servers that take them for /a would serve it under another rule: refused."""
    system = gateway_under({"routes": [{"path": "/a", "allow": "anyone"}]})
    assert outcome(system, Ask("GET", path, USER)) == "ambiguous_path"
    assert outcome(system, Ask("GET", path)) == "missing_token"


def test_a_pattern_with_capitals_is_met_as_written_and_refused_in_any_other_case():
    """Case counts; and a backend that ignores it serves no one by another spelling."""
    system = gateway_under({"routes": [{"path": "/Users/*", "groups": ["admins"]}]})
    assert outcome(system, Ask("GET", "/Users/Jane", USER)) == "missing_group"
    assert outcome(system, Ask("GET", "/Users/Jane", ADMIN)) == "allowed"
    for path in ("/users/Jane", "/USERS", "/%75sers"):
        assert outcome(system, Ask("GET", path, ADMIN)) == "ambiguous_path"


@pytest.mark.parametrize("order", [1, -1])
def test_the_first_group_that_matches_decides_however_narrow_a_later_one_is(order):
    """Order is the document's, not specificity."""
    routes = [{"path": "/a/*", "allow": "anyone"}, {"path": "/a/b", "groups": ["admins"]}][::order]
    expected = "allowed" if order == 1 else "missing_token"
    assert outcome(gateway_under({"routes": routes}), Ask("GET", "/a/b")) == expected


# --- against the naive reading ----------------------------------------------------------------------------------------

NAMES = st.sampled_from(["admin", "Admin", "public", "a", "b", "a.b", "x;y", "café", "straße", "a b", "%61", "İ", "K"])
PATTERNS = st.builds(
    lambda names, end: ("/" + "/".join(names)).rstrip("/") + end,
    st.lists(NAMES, max_size=3),
    st.sampled_from(["", "/*", "/*"]),
).map(lambda pattern: pattern or "/")
ROUTES = st.fixed_dictionaries(
    {"path": PATTERNS},
    optional={
        "methods": st.lists(st.sampled_from(METHODS), min_size=1, max_size=3),
        "allow": st.just("anyone"),
    },
)
GUARDED = st.builds(lambda path: {"path": path, "groups": ["admins"]}, PATTERNS)
PIECES = st.sampled_from(
    [
        *(
            "admin",
            "Admin",
            "ADMIN",
            "public",
            "a",
            "b",
            "a.b",
            "x",
            "/",
            "/",
            "/",
            "//",
            ".",
            "..",
            ";",
            ";x",
            " ",
            "%20",
        ),
        *(
            "%2F",
            "%2f",
            "%252F",
            "%5c",
            "\\",
            "%2e",
            "%2E%2e",
            "%252e",
            "%61",
            "%2561",
            "%41",
            "%00",
            "%25",
            "%3B",
            "%zz",
        ),
        *(
            "café",
            "caf%C3%A9",
            "stra%C3%9Fe",
            "STRASSE",
            "%FF",
            "%C0%AE",
            "İ",
            "%E2%84%AA",
            "*",
            "%2A",
            "%7e",
            "+",
            "?",
        ),
    ]
)
PATHS = st.lists(PIECES, max_size=8).map(lambda pieces: "/" + "".join(pieces))


@given(
    routes=st.lists(st.one_of(ROUTES, GUARDED), max_size=6),
    path=PATHS,
    method=st.sampled_from(METHODS),
    claims=st.sampled_from([None, USER, ADMIN]),
)
@settings(max_examples=400, deadline=None)
def test_no_request_is_allowed_that_the_naive_reading_denies(routes, path, method, claims):
    """Whatever the document, the path and the method: the edge lets through only what docs/contracts.md lets through."""
    policy, ask = {"routes": routes}, Ask(method, path, claims)
    got = outcome(gateway_under(policy), ask)
    reasons = naive_reasons(policy, ask)
    if got == "allowed":
        assert not reasons


PLAIN_PATHS = st.lists(st.sampled_from(["admin", "public", "a", "b", "a.b", "caf%C3%A9", "~x", "1"]), max_size=4).map(
    lambda names: "/" + "/".join(names)
)


@given(routes=st.lists(st.one_of(ROUTES, GUARDED), max_size=6), path=PLAIN_PATHS, method=st.sampled_from(METHODS))
@settings(max_examples=200, deadline=None)
def test_no_plain_request_is_denied_that_the_naive_reading_allows(routes, path, method):
    """The other half: strictness refuses no ordinary path."""
    policy, ask = {"routes": routes}, Ask(method, path, USER)
    got = outcome(gateway_under(policy), ask)
    reasons = naive_reasons(policy, ask)
    assert (got == "allowed") == (not reasons)


@given(path=PATHS)
@settings(max_examples=300, deadline=None)
def test_what_the_naive_reading_calls_ambiguous_reaches_no_rule(path):
    """Not even a public one, and not for admins."""
    if path_reasons(POLICY, path):
        for claims in (USER, ADMIN):
            assert outcome(gateway_under(POLICY), Ask("GET", path, claims)) in ("ambiguous_path", "malformed_url")
        assert outcome(gateway_under(POLICY), Ask("GET", path)) != "allowed"


# --- cost -------------------------------------------------------------------------------------------------------------


def calls_to_decide(policy: Policy, path: str) -> int:
    """Count every call, of Python or of C, that it takes to find the rule for a path."""
    target = canonical_target(path, "")
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        route = policy.rules_for(target).route_for("GET")
    finally:
        sys.setprofile(None)
    assert route is not None
    return count


def wide_policy(routes: int) -> Policy:
    """Build a policy of that many patterns side by side; the one that the path meets stands last."""
    patterns = [f"/team-{number}/projects/*" for number in range(routes - 1)] + ["/api/v1/*"]
    return parse_policy(
        '{"version": 1, "routes": [' + ", ".join(f'{{"path": "{pattern}"}}' for pattern in patterns) + "]}"
    )


@pytest.mark.parametrize("path", ["/api/v1/users", "/api/v1/A%2Fb;c.", "/nothing/of/the/kind"])
@pytest.mark.parametrize("routes", [200, 500])
def test_the_cost_of_a_decision_does_not_grow_with_the_number_of_rules(path, routes):
    """Counted in calls, not timed: two hundred rules, or five hundred, cost what two do."""
    cost = calls_to_decide(wide_policy(2), path)
    assert cost > 5
    assert calls_to_decide(wide_policy(routes), path) == cost
