"""edge/cognito_edge/policy_document.py: what each field allows and denies, what breaks a document, and that schema and documentation agree."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
from cognito_edge.policy import Policy
from cognito_edge.policy_document import PolicyError, parse_policy
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.keys_and_tokens import NOW
from tests.support.policy_oracle import Ask
from tests.support.policy_rig import OWN, PARTNER, PARTNER_ENTRY, SECOND_CLIENT, gateway_under, outcome

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "policy.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def parsed(document: object) -> Policy:
    return parse_policy(json.dumps(document))


def fault_of(document: object) -> str:
    """Return what the parser says of a broken document."""
    with pytest.raises(PolicyError) as caught:
        parse_policy(document if isinstance(document, str) else json.dumps(document))
    return str(caught.value)


# --- each field: what it allows, and what it denies -------------------------------------------------------------------

ADMIN = OWN.id_claims(**{"cognito:groups": ["admins"]})
EDITOR = OWN.id_claims(**{"cognito:groups": ["editors", "users"]})
ID, ACCESS = OWN.id_claims(), OWN.access_claims()


@pytest.mark.parametrize(
    ("policy", "claims", "expected"),
    [
        pytest.param({}, ID, "allowed", id="no rule: ID token"),
        pytest.param({}, None, "missing_token", id="no rule: no token"),
        pytest.param({}, ACCESS, "wrong_token_use", id="no rule: access token"),
        pytest.param({"routes": []}, ID, "allowed", id="no routes: ID token"),
        pytest.param({"routes": [{"path": "/*"}]}, ID, "allowed", id="bare rule: ID token"),
        pytest.param({"routes": [{"path": "/*"}]}, ACCESS, "wrong_token_use", id="bare rule: access token"),
        pytest.param({"routes": [{"path": "/*", "allow": "anyone"}]}, None, "allowed", id="anyone: no token"),
        pytest.param(
            {"routes": [{"path": "/*", "allow": "anyone"}]}, OWN.id_claims(exp=1), "allowed", id="anyone: bad token"
        ),
        pytest.param({"routes": [{"path": "/b", "allow": "anyone"}]}, None, "missing_token", id="anyone: elsewhere"),
        pytest.param({"routes": [{"path": "/*", "methods": ["GET"]}]}, ID, "allowed", id="methods: GET"),
        pytest.param({"routes": [{"path": "/*", "methods": ["POST"]}]}, ID, "method_not_allowed", id="methods: POST"),
        pytest.param(
            {"routes": [{"path": "/*", "groups": ["admins", "x"]}]}, ADMIN, "allowed", id="groups: one of them"
        ),
        pytest.param(
            {"routes": [{"path": "/*", "groups": ["admins", "x"]}]}, EDITOR, "missing_group", id="groups: none"
        ),
        pytest.param({"routes": [{"path": "/*", "groups": ["admins"]}]}, ID, "missing_group", id="groups: no claim"),
        pytest.param({"routes": [{"path": "/*", "groups": ["admin"]}]}, ADMIN, "missing_group", id="groups: a part"),
        pytest.param(
            {"routes": [{"path": "/*", "groups": ["Admins"]}]}, ADMIN, "missing_group", id="groups: other case"
        ),
        pytest.param(
            {"routes": [{"path": "/*", "token_use": ["access"], "scopes": ["email", "tools/call"]}]},
            ACCESS,
            "allowed",
            id="scopes: all of them",
        ),
        pytest.param(
            {"routes": [{"path": "/*", "token_use": ["access"], "scopes": ["email", "tools/list"]}]},
            ACCESS,
            "insufficient_scope",
            id="scopes: one missing",
        ),
        pytest.param(
            {"routes": [{"path": "/*", "token_use": ["access"], "scopes": ["tools"]}]},
            ACCESS,
            "insufficient_scope",
            id="scopes: a part of one",
        ),
        pytest.param(
            {"routes": [{"path": "/*", "scopes": ["email"]}]}, ID, "insufficient_scope", id="scopes: ID token"
        ),
        pytest.param({"routes": [{"path": "/*", "token_use": ["access"]}]}, ACCESS, "allowed", id="token_use: access"),
        pytest.param({"routes": [{"path": "/*", "token_use": ["access"]}]}, ID, "wrong_token_use", id="token_use: id"),
        pytest.param({"routes": [{"path": "/*", "token_use": ["id", "access"]}]}, ID, "allowed", id="token_use: both"),
        pytest.param({"routes": [{"path": "/*", "clients": [OWN.client_id]}]}, ID, "allowed", id="clients: this one"),
        pytest.param(
            {"routes": [{"path": "/*", "clients": [SECOND_CLIENT]}]}, ID, "wrong_client", id="clients: another"
        ),
        pytest.param(
            {"routes": [{"path": "/*", "clients": [SECOND_CLIENT], "token_use": ["access"]}]},
            ACCESS,
            "wrong_client",
            id="clients: access token's client_id",
        ),
        pytest.param(
            {"routes": [{"path": "/*", "clients": ["3never23456789trusted"]}]},
            OWN.id_claims(aud="3never23456789trusted"),
            "wrong_client",
            id="clients: named, but trusted nowhere",
        ),
        pytest.param(
            {"issuers": [PARTNER_ENTRY]}, PARTNER.id_claims(), "wrong_issuer", id="issuers: trusted, not named"
        ),
        pytest.param(
            {"issuers": [PARTNER_ENTRY], "routes": [{"path": "/*", "issuers": [PARTNER.pool_id]}]},
            PARTNER.id_claims(),
            "allowed",
            id="issuers: named by id",
        ),
        pytest.param(
            {"issuers": [PARTNER_ENTRY], "routes": [{"path": "/*", "issuers": [PARTNER.issuer]}]},
            PARTNER.id_claims(),
            "allowed",
            id="issuers: named by URL",
        ),
        pytest.param(
            {"issuers": [PARTNER_ENTRY], "routes": [{"path": "/*", "issuers": [PARTNER.pool_id]}]},
            ID,
            "wrong_issuer",
            id="issuers: the own pool, not named",
        ),
        pytest.param({}, PARTNER.id_claims(), "wrong_issuer", id="issuers: not trusted"),
        pytest.param(
            {
                "issuers": [{**PARTNER_ENTRY, "issuer": "https://login.example.com"}],
                "routes": [{"path": "/*", "issuers": [PARTNER.pool_id]}],
            },
            PARTNER.id_claims(),
            "wrong_issuer",
            id="issuer: Cognito's own form is no longer taken",
        ),
        pytest.param(
            {"issuers": [PARTNER_ENTRY], "routes": [{"path": "/*", "issuers": [PARTNER.pool_id]}]},
            PARTNER.id_claims(aud=OWN.client_id),
            "wrong_client",
            id="client_ids: belong to their pool",
        ),
        pytest.param({"leeway_s": 60}, OWN.id_claims(exp=NOW - 59), "allowed", id="leeway: just enough"),
        pytest.param({"leeway_s": 60}, OWN.id_claims(exp=NOW - 60), "expired", id="leeway: just too little"),
        pytest.param({"leeway_s": 0}, OWN.id_claims(exp=NOW), "expired", id="leeway: none"),
        pytest.param({"cut_off": {"issued_before": NOW - 60}}, ID, "allowed", id="issued_before: iat equal"),
        pytest.param({"cut_off": {"issued_before": NOW - 59}}, ID, "revoked", id="issued_before: iat smaller"),
        pytest.param(
            {"cut_off": {"signed_in_before": NOW - 60}}, ID, "allowed", id="signed_in_before: auth_time equal"
        ),
        pytest.param(
            {"cut_off": {"signed_in_before": NOW - 59}}, ID, "revoked", id="signed_in_before: auth_time smaller"
        ),
        pytest.param(
            {"cut_off": {"signed_in_before": NOW - 59}},
            OWN.id_claims(iat=NOW, auth_time=NOW - 600),
            "revoked",
            id="signed_in_before: refreshed since",
        ),
        pytest.param(
            {"cut_off": {"signed_in_before": 1}},
            OWN.id_claims(auth_time=None),
            "missing_claim",
            id="signed_in_before: unsaid",
        ),
        pytest.param(
            {"cut_off": {"signed_in_before": 0}}, OWN.id_claims(auth_time=None), "allowed", id="signed_in_before: 0"
        ),
        *(
            pytest.param({"cut_off": {name: ["other", ID[name]]}}, ID, "revoked", id=f"{name}: named")
            for name in ("sub", "origin_jti", "jti")
        ),
        *(
            pytest.param({"cut_off": {name: ["other"]}}, ID, "allowed", id=f"{name}: not named")
            for name in ("sub", "origin_jti", "jti")
        ),
        *(
            pytest.param(
                {"cut_off": {name: ["x"]}}, OWN.id_claims(**{name: None}), "allowed", id=f"{name}: no such claim"
            )
            for name in ("origin_jti", "jti")
        ),
    ],
)
def test_field_allows_and_denies(policy, claims, expected):
    """One field at a time, both ways."""
    assert outcome(gateway_under(policy), Ask("GET", "/a", claims)) == expected


def test_defaults_are_the_documented_ones():
    """An empty document and the schema's defaults mean the same."""
    empty = parsed({"version": 1})
    assert (empty.rules, empty.issuers, empty.cors, empty.leeway_s) == ((), (), None, 0)
    assert empty.cut_off == parsed({"version": 1, "cut_off": {"issued_before": 0, "sub": []}}).cut_off
    cors = parsed({"version": 1, "cors": {"allow_origins": ["https://a.example"]}}).cors
    properties = SCHEMA["$defs"]["cors"]["properties"]
    assert list(cors.allow_headers) == properties["allow_headers"]["default"]
    assert cors.max_age_s == properties["max_age_s"]["default"]
    (route,) = parsed({"version": 1, "routes": [{"path": "/*"}]}).rules[0].routes
    assert sorted(route.token_use) == SCHEMA["$defs"]["route"]["properties"]["token_use"]["default"]


# --- broken documents: message and place ------------------------------------------------------------------------------

ROUTE = {"path": "/a"}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("", "the policy is not valid JSON in UTF-8"),
        ("[]", "the policy is not a JSON object"),
        ('{"version": 1, "version": 1}', "the policy is an object names a member twice"),
        ('{"version": 1, "leeway_s": NaN}', "the policy is NaN is no JSON number"),
        ({}, "policy: version is required, and absent"),
        ({"version": 2}, "version: must be 1, not 2"),
        ({"version": "1"}, "version: must be 1, not '1'"),
        ({"version": True}, "version: must be 1, not True"),
        ({"version": 1, "rules": []}, "policy: unknown key 'rules'; the keys are version, routes, issuers, cors"),
        ({"version": 1, "routes": {}}, "routes: must be a list, not {}"),
        ({"version": 1, "routes": ["/a"]}, "routes[0]: must be an object, not '/a'"),
        ({"version": 1, "routes": [ROUTE, {}]}, "routes[1]: path is required, and absent"),
        ({"version": 1, "routes": [{"path": "a"}]}, "routes[0].path: must be a path that begins with '/', not 'a'"),
        ({"version": 1, "routes": [{"path": 1}]}, "routes[0].path: must be a path that begins with '/', not 1"),
        (
            {"version": 1, "routes": [{"path": "/a*"}]},
            "routes[0].path: must be a path in which '*' stands only as a final '/*'",
        ),
        ({"version": 1, "routes": [{"path": "/*/a"}]}, "routes[0].path: must be a path in which '*' stands only"),
        *(
            ({"version": 1, "routes": [{"path": path}]}, "routes[0].path: must be a path without '//'")
            for path in ("/a//b", "//", "//*", "/a//*", "/a//")
        ),
        ({"version": 1, "routes": [{"path": "/a/../b"}]}, "routes[0].path: must be a path without '.' and '..'"),
        ({"version": 1, "routes": [{"path": "/a\\b"}]}, "routes[0].path: must be a path without control characters"),
        (
            {"version": 1, "routes": [{**ROUTE, "method": ["GET"]}]},
            "routes[0]: unknown key 'method'; the keys are path, methods",
        ),
        ({"version": 1, "routes": [{**ROUTE, "methods": "GET"}]}, "routes[0].methods: must be a list, not 'GET'"),
        ({"version": 1, "routes": [{**ROUTE, "methods": ["get"]}]}, "routes[0].methods: must be one of GET, HEAD"),
        ({"version": 1, "routes": [{**ROUTE, "methods": ["TRACE"]}]}, "routes[0].methods: must be one of GET, HEAD"),
        ({"version": 1, "routes": [{**ROUTE, "methods": []}]}, "routes[0].methods: an empty list would let no one in"),
        ({"version": 1, "routes": [{**ROUTE, "allow": "everyone"}]}, "routes[0].allow: must be 'anyone', or absent"),
        (
            {"version": 1, "routes": [{**ROUTE, "allow": True}]},
            "routes[0].allow: must be 'anyone', or absent, not True",
        ),
        *(
            (
                {"version": 1, "routes": [{**ROUTE, "allow": "anyone", key: ["x"]}]},
                f"routes[0]: 'allow': 'anyone' and '{key}' contradict each other",
            )
            for key in ("groups", "scopes", "clients", "issuers")
        ),
        *(
            ({"version": 1, "routes": [{**ROUTE, key: []}]}, f"routes[0].{key}: an empty list would let no one in")
            for key in ("groups", "scopes", "clients", "issuers", "token_use")
        ),
        *(
            ({"version": 1, "routes": [{**ROUTE, key: [""]}]}, f"routes[0].{key}: must be texts that are not empty")
            for key in ("groups", "scopes", "clients", "issuers")
        ),
        ({"version": 1, "routes": [{**ROUTE, "groups": "admins"}]}, "routes[0].groups: must be a list, not 'admins'"),
        (
            {"version": 1, "routes": [{**ROUTE, "groups": [1]}]},
            "routes[0].groups: must be texts that are not empty, not 1",
        ),
        (
            {"version": 1, "routes": [{**ROUTE, "token_use": ["refresh"]}]},
            "routes[0].token_use: must be one of id, access",
        ),
        ({"version": 1, "routes": [{**ROUTE, "groups": None}]}, "routes[0].groups: must be a list, not None"),
        ({"version": 1, "issuers": [{}]}, "issuers[0]: user_pool_id is required"),
        (
            {"version": 1, "issuers": [{"user_pool_id": "x", "client_ids": ["c"]}]},
            "issuers[0].user_pool_id: must be a user pool",
        ),
        ({"version": 1, "issuers": [{**PARTNER_ENTRY, "client_ids": []}]}, "issuers[0].client_ids: an empty list"),
        (
            {"version": 1, "issuers": [{**PARTNER_ENTRY, "client_ids": ["a b"]}]},
            "issuers[0].client_ids: must be app client ids",
        ),
        ({"version": 1, "issuers": [{**PARTNER_ENTRY, "issuer": "login"}]}, "issuers[0].issuer: must be a URL"),
        ({"version": 1, "issuers": [PARTNER_ENTRY, PARTNER_ENTRY]}, "issuers: each user_pool_id may stand once"),
        ({"version": 1, "cors": []}, "cors: must be an object, not []"),
        ({"version": 1, "cors": {}}, "cors: allow_origins is required"),
        ({"version": 1, "cors": {"allow_origins": []}}, "cors.allow_origins: an empty list"),
        (
            {"version": 1, "cors": {"allow_origins": ["https://a.example/"]}},
            "cors.allow_origins: must be origins such as",
        ),
        (
            {"version": 1, "cors": {"allow_origins": ["https://A.example"]}},
            "cors.allow_origins: must be origins such as",
        ),
        (
            {"version": 1, "cors": {"allow_origins": ["*"], "allow_headers": ["a b"]}},
            "cors.allow_headers: must be header names, not 'a b'",
        ),
        (
            {"version": 1, "cors": {"allow_origins": ["*"], "max_age_s": 86_401}},
            "cors.max_age_s: must be a whole number from 0",
        ),
        ({"version": 1, "cors": {"allow_origins": ["*"], "credentials": True}}, "cors: unknown key 'credentials'"),
        ({"version": 1, "leeway_s": 301}, "leeway_s: must be a whole number from 0 to 300, not 301"),
        ({"version": 1, "leeway_s": -1}, "leeway_s: must be a whole number from 0 to 300, not -1"),
        ({"version": 1, "leeway_s": 1.0}, "leeway_s: must be a whole number from 0 to 300, not 1.0"),
        ({"version": 1, "leeway_s": True}, "leeway_s: must be a whole number from 0 to 300, not True"),
        ({"version": 1, "cut_off": None}, "cut_off: must be an object, not None"),
        ({"version": 1, "cut_off": {"issued_before": "now"}}, "cut_off.issued_before: must be a whole number"),
        ({"version": 1, "cut_off": {"issued_before": NOW * 1000}}, "cut_off.issued_before: must be a whole number"),
        ({"version": 1, "cut_off": {"sub": "x"}}, "cut_off.sub: must be a list, not 'x'"),
        ({"version": 1, "cut_off": {"jti": [""]}}, "cut_off.jti: must be texts that are not empty"),
        ({"version": 1, "cut_off": {"user": ["x"]}}, "cut_off: unknown key 'user'"),
    ],
)
def test_broken_document_says_what_and_where(document, expected):
    """The message begins with the place, says what has to be there, and what is."""
    assert fault_of(document).startswith(expected)


def test_every_fault_is_named_at_once():
    """One look at the message is enough to correct them all."""
    faults = fault_of({"version": 3, "routes": [{"path": "x"}, {"path": "/y", "group": []}], "leeway_s": "9"})
    for place in ("version", "; routes[0].path", "; routes[1]", "; leeway_s"):
        assert f"{place}: " in faults


def test_long_values_are_shortened_in_messages():
    """The log line stays readable, and bounded."""
    assert len(fault_of({"version": 1, "routes": [{"path": "x" * 5000}]})) < 300
    assert fault_of({"version": 1, "routes": [{"path": "x" * 78}]}).endswith(f"not '{'x' * 78}'")
    assert fault_of({"version": 1, "routes": [{"path": "x" * 79}]}).endswith(f"not '{'x' * 78}…")


def pool(pool_id):
    return {"issuers": [{"user_pool_id": pool_id, "client_ids": ["c"]}]}


def cors(**changes):
    return {"cors": {"allow_origins": ["*"], **changes}}


@pytest.mark.parametrize(
    ("accepted", "refused"),
    [
        pytest.param({"leeway_s": 0}, {"leeway_s": -1}, id="leeway: from 0"),
        pytest.param({"leeway_s": 300}, {"leeway_s": 301}, id="leeway: to 300"),
        pytest.param(cors(max_age_s=0), cors(max_age_s=-1), id="max_age_s: from 0"),
        pytest.param(cors(max_age_s=86_400), cors(max_age_s=86_401), id="max_age_s: to 86,400"),
        *(
            pytest.param({"cut_off": {key: 253_402_300_799}}, {"cut_off": {key: 253_402_300_800}}, id=f"{key}: to 9999")
            for key in ("issued_before", "signed_in_before")
        ),
        pytest.param(pool("eu-west-1_AbC"), pool("eu-1_AbC"), id="a region has three parts"),
        pytest.param(pool("us-gov-west-1_AbC"), pool("us-gov-west_AbC"), id="a region ends in a number"),
        pytest.param(pool("eu-west-12_0"), pool("eu--12_0"), id="a region's parts are not empty"),
        pytest.param(pool("eu-west-1_A"), pool("eu-west-1_"), id="a pool's own part has a character"),
        pytest.param(pool("eu-west-1_" + "a" * 45), pool("eu-west-1_" + "a" * 46), id="a pool id has 55 characters"),
        pytest.param(
            {"issuers": [{"user_pool_id": "eu-west-1_A", "client_ids": ["a" * 128]}]},
            {"issuers": [{"user_pool_id": "eu-west-1_A", "client_ids": ["a" * 129]}]},
            id="a client id has 128 characters",
        ),
        pytest.param(
            cors(allow_origins=["https://a.example:65535"]),
            cors(allow_origins=["https://a.example:655350"]),
            id="ports",
        ),
    ],
)
def test_each_bound_holds_on_both_sides(accepted, refused):
    """The last value that the parser and the schema take, and the first that neither takes."""
    for document, is_taken in (({"version": 1, **accepted}, True), ({"version": 1, **refused}, False)):
        assert (is_accepted(document), VALIDATOR.is_valid(document)) == (is_taken, is_taken)


@pytest.mark.parametrize(
    "path", ["/", "/*", "/a", "/a/", "/a/*", "/a/b.c/~d", "/...", "/a b", "/é", "/a;b", "/%61", "/🙂/*"]
)
def test_patterns_that_are_accepted(path):
    """Anything that is no dot segment, no '//' and no '*' elsewhere."""
    assert parsed({"version": 1, "routes": [{"path": path}]}).rules[0].pattern == path


# --- schema, parser and documentation ---------------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["admins", "tools/call", "1example23456789client", "eu-west-1_AbCdEfGhI", "*", "a b", "é", "a\n"]
)


def some(items):
    """A list that is not empty."""
    return st.lists(items, min_size=1, max_size=3)


def objects(required=None, **optional):
    return st.fixed_dictionaries(required or {}, optional=optional)


SEGMENTS = st.text(st.sampled_from("a.é %;~"), min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))
PATHS = st.builds(
    lambda names, end: "".join(f"/{name}" for name in names) + end or "/",
    st.lists(SEGMENTS, max_size=3),
    st.sampled_from(["", "/*"]),
)
SECONDS = st.sampled_from([0, 1, NOW, 253_402_300_799])
DEMANDS = {"groups": some(NAMES), "scopes": some(NAMES), "clients": some(NAMES), "issuers": some(NAMES)}
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
FILTERS = {"methods": some(st.sampled_from(METHODS)), "token_use": some(st.sampled_from(["id", "access"]))}
ORIGINS = st.sampled_from(["*", "https://a.example", "http://localhost:3000", "https://[::1]:80"])
SOUND = objects(
    {"version": st.just(1)},
    routes=st.lists(
        objects({"path": PATHS}, **FILTERS, **DEMANDS)
        | objects({"path": PATHS, "allow": st.just("anyone")}, **FILTERS),
        max_size=3,
    ),
    issuers=st.lists(
        objects(
            {
                "user_pool_id": st.sampled_from(["eu-west-1_AbC", "us-gov-west-1_X", "eu-west-1_" + "a" * 45]),
                "client_ids": some(st.sampled_from(["c", "1example23456789client", "a" * 128])),
            },
            issuer=st.sampled_from(["https://a.example", "http://localhost:9/x?y"]),
        ),
        max_size=3,
        unique_by=lambda item: item["user_pool_id"],
    ),
    cors=objects(
        {"allow_origins": some(ORIGINS)},
        allow_headers=some(st.sampled_from(["authorization", "X-Request-Id", "*"])),
        max_age_s=st.sampled_from([0, 600, 86_400]),
    ),
    leeway_s=st.sampled_from([0, 1, 300]),
    cut_off=objects(
        issued_before=SECONDS,
        signed_in_before=SECONDS,
        sub=st.lists(NAMES, max_size=2),
        origin_jti=st.lists(NAMES, max_size=2),
        jti=st.lists(NAMES, max_size=2),
    ),
)

# What is put where something sound stood: other types, and values just beyond what some field takes.
ODD = st.one_of(
    st.sampled_from([None, True, False, -1, 0, 1, 2, 1.5, 301, 86_401, 253_402_300_800, [], {}, [[]], [None], [""]]),
    st.sampled_from(
        [
            "",
            "x",
            "/",
            "//",
            "/a//b",
            "/a//*",
            "/a*",
            "/*/b",
            "/./a",
            "/a/..",
            "/...",
            "/a\n",
            "/a\\",
            "/a/",
            "/\x7f",
            "\n",
        ]
    ),
    st.sampled_from(["anyone", "GET", "get", "TRACE", "id", "refresh", "c d", "a" * 129, "eu-west-1_" + "a" * 46]),
    st.sampled_from(
        ["eu-west-1_AbC\n", "https://a.example/", "https://A.example", "https://a.example\n", "ftp://a", "https://"]
    ),
    st.sampled_from(
        [["x"], ["GET"], ["id"], ["anyone"], {"path": "/a"}, {"surplus": 1}, [{"path": "/a"}], {"allow_origins": ["*"]}]
    ),
)


@st.composite
def spoilt(draw):
    """A sound document in which one thing was replaced, added or removed."""
    document = draw(SOUND)
    chosen = draw(st.sampled_from([(), *places(document)]))
    parent = document
    for step in chosen[:-1]:
        parent = parent[step]
    what = draw(st.sampled_from(["replace", "add", "remove"])) if chosen else "add"
    if what == "replace":
        parent[chosen[-1]] = draw(ODD)
    elif what == "remove":
        del parent[chosen[-1]]
    elif isinstance(parent, list):
        parent.append(draw(ODD))
    else:
        parent[draw(st.sampled_from(["allow", "groups", "issuer", "surplus", "jti", "max_age_s"]))] = draw(ODD)
    return document


def places(value: object, at: tuple = ()):
    """Every place in a document, the root excepted."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*at, key)
        yield from places(item, (*at, key))


def has_a_pool_twice(document: dict) -> bool:
    """The one thing that only the parser checks: no schema can compare two members."""
    issuers = document.get("issuers")
    ids = [item.get("user_pool_id") for item in issuers if isinstance(item, dict)] if isinstance(issuers, list) else []
    return any(ids.count(pool_id) > 1 for pool_id in ids)


def is_accepted(document: object) -> bool:
    try:
        parsed(document)
    except PolicyError:
        return False
    return True


@given(SOUND)
@settings(max_examples=300, deadline=None)
def test_what_the_documentation_describes_is_accepted_by_schema_and_parser(document):
    """Every field in every combination that is allowed."""
    assert is_accepted(document)
    assert VALIDATOR.is_valid(document)


@given(spoilt())
@settings(max_examples=1500, deadline=None)
def test_schema_and_parser_accept_the_same_documents(document):
    """Valid by the schema is accepted by the edge and the other way round, but for a pool that is named twice."""
    assert is_accepted(document) == (VALIDATOR.is_valid(document) and not has_a_pool_twice(document))


VALID = {
    "version": 1,
    "routes": [
        {"path": "/a/*", "methods": ["GET"], "allow": "anyone", "token_use": ["id"]},
        {
            "path": "/b",
            "methods": ["POST", "PUT"],
            "groups": ["g"],
            "scopes": ["s"],
            "token_use": ["id", "access"],
            "clients": ["c"],
            "issuers": ["eu-west-1_A"],
        },
    ],
    "issuers": [{"user_pool_id": "eu-west-1_A", "client_ids": ["c"], "issuer": "https://login.example.com"}],
    "cors": {"allow_origins": ["https://a.example"], "allow_headers": ["x"], "max_age_s": 1},
    "leeway_s": 1,
    "cut_off": {"issued_before": 1, "signed_in_before": 1, "sub": ["s"], "origin_jti": ["o"], "jti": ["j"]},
}


WRONG = [None, True, -1, 10**13, "", "no such thing\n", [], {}, [None], {"surplus": 1}, ["\n"], 1.5]


@pytest.mark.parametrize("place", list(places(VALID)), ids=lambda place: ".".join(map(str, place)))
def test_schema_and_parser_agree_about_every_wrong_value_in_every_place(place):
    """One valid document with every field, and in each place everything that could be wrong, or nothing at all."""
    assert is_accepted(VALID)
    assert VALIDATOR.is_valid(VALID)
    refused = 0
    for wrong in (*WRONG, "absent"):
        document = json.loads(json.dumps(VALID))
        parent = document
        for step in place[:-1]:
            parent = parent[step]
        if wrong == "absent":
            del parent[place[-1]]
        else:
            parent[place[-1]] = wrong
        assert is_accepted(document) == VALIDATOR.is_valid(document), (wrong, document)
        refused += not is_accepted(document)
    assert refused >= 4


def schema_fields() -> dict[str, dict]:
    """Every property of the schema by its place, as in ``cors.max_age_s``."""
    found = dict(SCHEMA["properties"])
    for definition, place in (("route", "routes"), ("issuer", "issuers"), ("cors", "cors"), ("cut_off", "cut_off")):
        for name, field in SCHEMA["$defs"][definition]["properties"].items():
            found[f"{place}.{name}"] = field
    return found


def test_the_schema_is_one():
    """A schema that is not valid itself validates anything."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("place", schema_fields())
def test_every_field_says_type_unit_and_default_and_has_an_example_that_is_valid(place):
    """In the schema as in docs/policy.md."""
    field = schema_fields()[place]
    name = place.rpartition(".")[2]
    if "description" not in field:  # ``cors``, ``cut_off``: described where they are defined
        field = SCHEMA["$defs"][name]
    assert re.search(r"Required\.|Default: ", field["description"])
    for example in field.get("examples", []):
        jsonschema.Draft202012Validator({**SCHEMA["$defs"], "$defs": SCHEMA["$defs"], **field}).validate(example)
    (row,) = re.findall(rf"^\| `{name}` \|.*$", section_of(place), re.MULTILINE)
    _, _, kind, unit, default, example, _, _ = re.split(r"(?<!\\)\|", row)
    assert kind.strip()
    assert example.strip()
    assert default.strip() or "Required" in field["description"]
    assert unit.strip() or not name.endswith(("_s", "_before"))
    if "default" in field and place.partition(".")[0] != place:
        assert json.dumps(field["default"]) in default or "(none)" in default


def section_of(place: str) -> str:
    """Return the part of docs/policy.md that describes a field."""
    heading = {
        "routes": "### A rule: `routes[]`",
        "issuers": "### A pool: `issuers[]`",
        "cors": "### `cors`",
        "cut_off": "### `cut_off`",
    }
    parent = place.rpartition(".")[0]
    text = (DOCS / "policy.md").read_text(encoding="utf-8")
    return text.split(heading.get(parent, "### The document"), 1)[1].split("\n#", 1)[0]


def examples_in_the_docs() -> list[str]:
    """Every JSON block of docs/policy.md, and the schema's own."""
    text = (DOCS / "policy.md").read_text(encoding="utf-8")
    return [*re.findall(r"```json\n(.*?)```", text, re.DOTALL), *(json.dumps(e) for e in SCHEMA["examples"])]


@pytest.mark.parametrize("text", examples_in_the_docs())
def test_documented_examples_are_valid_and_every_rule_in_them_applies(text):
    """Pasted from the page, they work, and the script has nothing against them but that some are public."""
    from cognito_edge_cli.policy.check import Severity, check

    VALIDATOR.validate(json.loads(text))
    parse_policy(text)
    findings = check(text, None, now=NOW)
    assert [f for f in findings if f.severity is not Severity.WARNING or "public" not in f.message] == []


def test_the_docs_have_examples():
    """The regular expression above finds them."""
    assert len(examples_in_the_docs()) >= 8
