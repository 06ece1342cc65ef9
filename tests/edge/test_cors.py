"""CORS: preflights answered at the edge, refusals that a page may read, and nothing for pages that are not allowed."""

import pytest

from tests.support.events import headers_of, is_forwarded, problem_of
from tests.support.policy_rig import OWN, gateway_under, token_of

APP = "https://app.example.com"
OTHER = "https://evil.example.com"
CORS = {
    "allow_origins": [APP, "http://localhost:3000"],
    "allow_headers": ["authorization", "x-request-id"],
    "max_age_s": 7,
}
ROUTES = [
    {"path": "/admin/*", "methods": ["GET", "POST"], "groups": ["admins"]},
    {"path": "/public/*", "allow": "anyone"},
]
POLICY = {"cors": CORS, "routes": ROUTES}


def preflight(
    policy: dict, *, uri: str = "/admin/x", origin: str | None = APP, method: str = "POST", **more: str
) -> dict:
    """Send what a browser sends before a request of another origin."""
    headers = {"access-control-request-method": method, **more}
    if origin is not None:
        headers["origin"] = origin
    return gateway_under(policy)(method="OPTIONS", uri=uri, headers=headers)


def cors_of(result: dict) -> dict[str, str]:
    """Return the CORS headers of an answer, by what follows ``access-control-``."""
    return {
        name.removeprefix("access-control-"): value
        for name, value in headers_of(result).items()
        if name.startswith("access-control-")
    }


def test_preflight_is_answered_without_a_token_and_without_the_backend():
    """204 from the edge, with what the policy allows."""
    result = preflight(POLICY)
    assert (result["status"], result.get("body", "")) == ("204", "")
    assert cors_of(result) == {
        "allow-origin": APP,
        "allow-methods": "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE",
        "allow-headers": "authorization, x-request-id",
        "max-age": "7",
    }
    assert headers_of(result)["vary"] == "Origin"
    assert headers_of(result)["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "uri", ["/other", "/public/x", "/admin", "/admin/x", "/Admin", "/admin.json", "/admin%3Fx", "/%20admin"]
)
@pytest.mark.parametrize("method", ["GET", "DELETE", "NONSENSE"])
def test_a_preflight_is_answered_alike_for_every_path(uri, method):
    """The one who asks has proved nothing: a word list finds no rule, nor which methods it takes."""
    assert preflight(POLICY, uri=uri, method=method) == preflight(POLICY, uri="/nothing/of/the/kind")


@pytest.mark.parametrize(
    "origin",
    [
        OTHER,
        "null",
        f"{APP}/",
        f"{APP}.evil.example",
        "https://APP.example.com",
        "http://app.example.com",
        f"{APP}:8443",
        "*",
        "",
    ],
)
def test_preflight_of_another_origin_gets_204_and_nothing_that_permits_anything(origin):
    """Exact comparison: no suffix, no other scheme or port, no other case, not ``null``."""
    result = preflight(POLICY, origin=origin)
    assert result["status"] == "204"
    assert cors_of(result) == {}
    assert headers_of(result)["vary"] == "Origin"


@pytest.mark.parametrize("missing", ["origin", "access-control-request-method"])
def test_options_that_is_no_preflight_is_a_method_like_any_other(missing):
    """Both headers make a preflight (Fetch standard); with one of them the rule decides."""
    headers = {"origin": APP, "access-control-request-method": "GET"}
    del headers[missing]
    result = gateway_under(POLICY)(method="OPTIONS", uri="/other", headers=headers)
    assert problem_of(result)["code"] == "missing_token"
    result = gateway_under(POLICY)(method="OPTIONS", uri="/admin", headers=headers)
    assert problem_of(result)["code"] == "missing_token"
    result = gateway_under(POLICY)(method="OPTIONS", uri="/admin", headers=headers, token=token_of(OWN.id_claims()))
    assert problem_of(result)["code"] == "method_not_allowed"


def test_without_cors_in_the_policy_a_preflight_needs_a_token_and_nothing_carries_cors():
    """Absence means no page at all."""
    policy = {"routes": ROUTES}
    result = preflight(policy, uri="/other")
    assert problem_of(result)["code"] == "missing_token"
    assert cors_of(result) == {}
    assert "vary" not in headers_of(result)
    assert is_forwarded(preflight(policy, uri="/other", authorization=f"Bearer {token_of(OWN.id_claims())}"))


@pytest.mark.parametrize("origin", [APP, "http://localhost:3000"])
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"uri": "/admin"}, "401"),
        ({"uri": "/admin", "token": "x.y.z"}, "401"),
        ({"uri": "/admin", "token": token_of(OWN.id_claims())}, "403"),
        ({"uri": "/admin", "method": "DELETE", "token": token_of(OWN.id_claims())}, "405"),
        ({"uri": "/a/../b"}, "400"),
        ({"uri": "/%zz"}, "400"),
        ({"uri": "/public", "method": "DELETE", "token": None, "truncated": True}, "413"),
    ],
)
def test_every_refusal_can_be_read_by_an_allowed_page(origin, changes, status):
    """Otherwise a page's code sees a network error, and its user nothing at all."""
    result = gateway_under(POLICY)(headers={"origin": origin}, **changes)
    assert result["status"] == status
    assert cors_of(result) == {"allow-origin": origin, "expose-headers": "WWW-Authenticate, Retry-After, Allow"}
    assert headers_of(result)["vary"] == "Origin"


@pytest.mark.parametrize("origin", [OTHER, "null", None])
def test_no_refusal_can_be_read_by_another_page(origin):
    """Nor does a cache hand an allowed page's answer to it: Vary stands on both."""
    headers = {} if origin is None else {"origin": origin}
    result = gateway_under(POLICY)(uri="/admin", headers=headers)
    assert result["status"] == "401"
    assert cors_of(result) == {}
    assert headers_of(result)["vary"] == "Origin"


def test_any_origin_is_answered_with_a_star_and_never_with_credentials():
    """``*`` is harmless as long as cookies never count."""
    policy = {"cors": {"allow_origins": ["*"]}}
    for result in (preflight(policy, origin=OTHER), gateway_under(policy)(headers={"origin": OTHER})):
        assert cors_of(result)["allow-origin"] == "*"
        assert "allow-credentials" not in cors_of(result)


def test_an_origin_that_is_named_beside_the_star_is_echoed():
    """Both forms let the page read; the named one stays cacheable by origin."""
    assert cors_of(preflight({"cors": {"allow_origins": ["*", APP]}}))["allow-origin"] == APP


@pytest.mark.parametrize("policy", [POLICY, {"cors": {"allow_origins": ["*"]}}])
def test_credentials_are_never_allowed(policy):
    """A token is set by the page itself; nothing may ride along."""
    for result in (preflight(policy), gateway_under(policy)(headers={"origin": APP})):
        assert "allow-credentials" not in cors_of(result)


def test_defaults_of_headers_and_age():
    """What a page needs to send a token and JSON."""
    cors = cors_of(preflight({"cors": {"allow_origins": [APP]}}))
    assert (cors["allow-headers"], cors["max-age"]) == ("authorization, content-type", "600")


@pytest.mark.parametrize(("uri", "code"), [("/a/../b", "ambiguous_path"), ("/%zz", "malformed_url")])
def test_preflight_to_a_path_that_cannot_be_read_is_refused_readably(uri, code):
    """The page learns what is wrong with its URL instead of guessing."""
    result = preflight(POLICY, uri=uri)
    assert problem_of(result)["code"] == code
    assert cors_of(result)["allow-origin"] == APP


def test_forwarded_requests_are_left_to_cloudfronts_response_headers_policy():
    """The edge changes requests; it never sees the backend's answers."""
    result = gateway_under(POLICY)(uri="/public/x", headers={"origin": APP})
    assert is_forwarded(result)
    assert headers_of(result)["origin"] == APP


def test_the_log_says_that_a_preflight_was_one():
    """Without a rule: none has been looked for."""
    system = gateway_under(POLICY)
    system(method="OPTIONS", uri="/admin/x", headers={"origin": APP, "access-control-request-method": "GET"})
    assert {key: system.log[0].get(key) for key in ("decision", "rule", "status")} == {
        "decision": "preflight",
        "rule": None,
        "status": 204,
    }
