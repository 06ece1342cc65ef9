"""edge/cognito_edge/identity.py: contract C7, read back by the backend's own decoder, which shares no code with it."""

import base64
import json
import re

import pytest
from cognito_edge.claims import VerifiedClaims
from cognito_edge.identity import NO_IDENTITY, identity_headers, identity_of
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.identity import identity_from_event
from tests.support.backend_events import ACCOUNT_ID, ROLE_NAME, make_event
from tests.support.events import headers_of
from tests.support.gateways import make_system
from tests.support.keys_and_tokens import Pool, b64url

POOL = Pool()
ENCODED = re.compile(r"(?:[A-Za-z0-9\-._~@:/+=]|%[0-9A-F]{2})+")

# Every Unicode text that is no lone surrogate: strict JSON lets no other through.
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30)
NAME = TEXT.filter(bool)
SCOPE = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters=" "), min_size=1, max_size=20)


def make_claims(**changes):
    claims = changes.pop("claims", {"sub": "a"})
    return VerifiedClaims(
        **{
            "pool_id": POOL.pool_id,
            "issuer": POOL.issuer,
            "sub": "a3e4f5a6",
            "username": "jane",
            "email": "jane@example.com",
            "token_use": "id",
            "client_id": POOL.client_id,
            "exp": 2,
            "not_before": 1,
            "issued_at": 1,
            "auth_time": 1,
            "origin_jti": "",
            "jti": "",
            "groups": ("admins",),
            "scopes": ("openid",),
            "payload": b64url(json.dumps(claims).encode()),
            **changes,
        }
    )


def read(headers):
    """Read headers as a backend function does."""
    event = make_event(headers=dict(headers))
    return identity_from_event(event, account_id=ACCOUNT_ID, role_name=ROLE_NAME)


# --- what is stated -------------------------------------------------------------------------------------------------


def test_every_fact_has_its_header():
    """Contract C7, name by name."""
    assert dict(identity_headers(make_claims())) == {
        "x-cognito-sub": "a3e4f5a6",
        "x-cognito-username": "jane",
        "x-cognito-email": "jane@example.com",
        "x-cognito-groups": "admins",
        "x-cognito-scopes": "openid",
        "x-cognito-client-id": POOL.client_id,
        "x-cognito-token-use": "id",
        "x-cognito-issuer": POOL.issuer,
        "x-cognito-claims": b64url(b'{"sub": "a"}'),
    }


def test_absent_facts_have_no_header():
    """A machine's token has no name, address or groups: no empty header stands for them."""
    names = dict(identity_headers(make_claims(username="", email="", groups=(), scopes=())))
    assert set(names) == {
        "x-cognito-sub",
        "x-cognito-client-id",
        "x-cognito-token-use",
        "x-cognito-issuer",
        "x-cognito-claims",
    }


def test_nobody_is_stated_by_nothing():
    """Where anyone may go, a request without a token has no identity header, and none is said to have been left out."""
    assert (NO_IDENTITY.headers, NO_IDENTITY.claims_omitted) == ((), False)


@pytest.mark.parametrize(
    ("groups", "header"),
    [
        (("a", "b"), "a,b"),
        (("x,admins",), "x%2Cadmins"),
        (("%61dmins",), "%2561dmins"),
        (("a b",), "a%20b"),
        (("a\r\nx-cognito-sub: root",), "a%0D%0Ax-cognito-sub:%20root"),
        (("\u00e9",), "%C3%A9"),
        (("\0",), "%00"),
        (("\U0001f600",), "%F0%9F%98%80"),
        (("A-Za-z0-9-._~@:/+=",), "A-Za-z0-9-._~@:/+="),
        ((";\"'<>&?#[]\\|{}^`!$()*",), "%3B%22%27%3C%3E%26%3F%23%5B%5D%5C%7C%7B%7D%5E%60%21%24%28%29%2A"),
    ],
)
def test_separators_and_escapes_within_a_name_are_encoded(groups, header):
    """A group that is named like a list, an escape or a header line reads as itself alone."""
    headers = identity_headers(make_claims(groups=groups))
    assert dict(headers)["x-cognito-groups"] == header
    assert read(headers).groups == groups


@pytest.mark.parametrize(("length", "is_sent"), [(4_096, True), (4_097, False)])
def test_claims_of_4096_characters_are_sent_and_of_one_more_are_not(length, is_sent):
    """What is left out is said to be left out; everything else is still stated."""
    identity = identity_of(make_claims(payload="e" * length))
    headers = dict(identity.headers)
    assert headers.pop("x-cognito-claims", None) == ("e" * length if is_sent else None)
    assert identity.claims_omitted == (not is_sent)
    assert headers == {name: value for name, value in identity_headers(make_claims()) if name != "x-cognito-claims"}


def test_the_claims_are_the_very_bytes_that_were_verified(gateway):
    """No second serialization: what the backend reads is the token's own payload."""
    token = POOL.id_token(**{"custom:n": 1.10, "name": "Zo\u00eb"})
    assert headers_of(gateway(token=token))["x-cognito-claims"] == token.split(".")[1]


# --- round trip -----------------------------------------------------------------------------------------------------


@given(
    sub=NAME,
    username=TEXT,
    email=TEXT,
    groups=st.lists(NAME, max_size=5).map(tuple),
    scopes=st.lists(SCOPE, max_size=5).map(tuple),
    token_use=st.sampled_from(["id", "access"]),
    claims=st.dictionaries(
        TEXT, st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), TEXT), st.lists, max_leaves=5)
    ),
)
@settings(deadline=None)
def test_the_backend_reads_what_the_gateway_wrote(sub, username, email, groups, scopes, token_use, claims):
    """Whatever the claims hold, the backend's decoder gives back the same values."""
    written = make_claims(
        sub=sub, username=username, email=email, groups=groups, scopes=scopes, token_use=token_use, claims=claims
    )
    headers = identity_headers(written)
    identity = read(headers)
    assert identity.sub == sub
    assert identity.username == (username or None)
    assert identity.email == (email or None)
    assert identity.groups == groups
    assert identity.scopes == scopes
    assert identity.token_use == token_use
    assert identity.client_id == POOL.client_id
    assert identity.issuer == POOL.issuer
    if "x-cognito-claims" in dict(headers):
        assert identity.claims == claims


@given(NAME, st.lists(NAME, min_size=1, max_size=4).map(tuple))
def test_values_are_ascii_that_a_header_may_hold(sub, groups):
    """No control, no space, no byte beyond ASCII leaves unescaped: CloudFront answers 502 to such a header."""
    headers = dict(identity_headers(make_claims(sub=sub, groups=groups)))
    assert ENCODED.fullmatch(headers["x-cognito-sub"])
    assert all(ENCODED.fullmatch(part) for part in headers["x-cognito-groups"].split(","))


@given(st.lists(NAME, min_size=1, max_size=4).map(tuple), st.lists(NAME, min_size=1, max_size=4).map(tuple))
def test_different_groups_never_look_alike(first, second):
    """The encoding is one to one: two lists give one header only if they are the same list."""
    headers = [dict(identity_headers(make_claims(groups=groups)))["x-cognito-groups"] for groups in (first, second)]
    assert (headers[0] == headers[1]) == (first == second)


# --- through the gateway --------------------------------------------------------------------------------------------


def stated(system, **event):
    """Return the identity headers of a forwarded request."""
    result = system(**event)
    assert "status" not in result, result
    return {name: value for name, value in headers_of(result).items() if name.startswith("x-cognito-")}


@pytest.mark.parametrize(
    ("verified", "has_email"),
    [
        (True, True),
        ("true", True),
        (False, False),
        ("false", False),
        (None, False),
        ("True", False),
        (1, False),
        ("1", False),
        ([True], False),
    ],
)
def test_an_email_is_stated_only_if_it_is_verified(gateway, verified, has_email):
    """True or "true", as Cognito writes it; nothing else, not even 1."""
    headers = stated(gateway, token=POOL.id_token(email_verified=verified))
    assert ("x-cognito-email" in headers) == has_email


def test_the_username_is_that_of_the_tokens_kind(aws):
    """An ID token has cognito:username, an access token username; the other's claim counts for nothing."""
    aws.policy = {"version": 1, "routes": [{"path": "/*", "token_use": ["id", "access"]}]}
    system = make_system()
    assert stated(system, token=POOL.id_token(username="root"))["x-cognito-username"] == "jane"
    access = POOL.access_token(**{"cognito:username": "root"})
    assert stated(system, token=access)["x-cognito-username"] == "jane"
    machine = POOL.access_token(username=None)
    assert "x-cognito-username" not in stated(system, token=machine)


@pytest.mark.parametrize(
    ("scope", "stated_scopes"),
    [
        ("openid tools/call", "openid tools/call"),
        (" openid  tools/call ", "openid tools/call"),
        ("", None),
        ("a,b", "a%2Cb"),
        ("a\tb", "a%09b"),
        ("a\u00a0b", "a%C2%A0b"),
        ("a\nb", "a%0Ab"),
        ("a\u2028b", "a%E2%80%A8b"),
    ],
)
def test_scopes_are_separated_by_spaces_alone(aws, scope, stated_scopes):
    """RFC 6749 section 3.3: a list of case-sensitive strings delimited by spaces, and by nothing else."""
    aws.policy = {"version": 1, "routes": [{"path": "/*", "token_use": ["access"]}]}
    headers = stated(make_system(), token=POOL.access_token(scope=scope))
    assert headers.get("x-cognito-scopes") == stated_scopes


SPELLINGS = [
    "x-cognito-sub",
    "x-cognito-groups",
    "x_cognito_groups",
    "x-cognito_email",
    "x_cognito-anything",
    "x-cognito-",
]


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("uri", ["/api/x", "/public/x"])
def test_whatever_the_viewer_states_is_dropped(aws, name, uri):
    """On every route, with a token and without, in either spelling: identity is the gateway's to state."""
    aws.policy = {"version": 1, "routes": [{"path": "/public/*", "allow": "anyone"}]}
    system = make_system()
    forged = {name: "forged", name.upper(): "forged", name.title(): ["forged", "forged"]}
    for token in (POOL.id_token(), *((None, "x.y.z") if uri == "/public/x" else ())):
        headers = headers_of(system(token=token, uri=uri, headers=forged))
        assert "forged" not in json.dumps(headers)
        assert ("x-cognito-sub" in headers) == (token is not None and token != "x.y.z")


def test_identity_is_inside_the_signature(gateway):
    """Every header that states identity is signed, so that no one between can change it."""
    headers = headers_of(gateway(token=POOL.id_token(**{"cognito:groups": ["a"]})))
    signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert {name for name in headers if name.startswith("x-cognito-")} <= set(signed)
    assert len([name for name in signed if name.startswith("x-cognito-")]) == 8


def test_claims_read_back_with_the_standard_library(gateway):
    """What travels as x-cognito-claims is plain base64url of JSON, for backends in any language."""
    value = headers_of(gateway(token=POOL.id_token(**{"custom:a": "b"})))["x-cognito-claims"]
    assert json.loads(base64.urlsafe_b64decode(value + "=="))["custom:a"] == "b"
