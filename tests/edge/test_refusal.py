"""edge/cognito_edge/refusal.py: problem+json or a page, with the headers that each refusal needs (RFC 9457, RFC 6750, RFC 9110)."""

import html
import json
import re
from html.parser import HTMLParser

import pytest
from cognito_edge import errors
from cognito_edge.cloudfront import Request
from cognito_edge.refusal import challenge, refuse
from hypothesis import given
from hypothesis import strategies as st

from tests.support.events import DISTRIBUTION, headers_of, make_event, problem_of
from tests.support.gateways import make_system
from tests.support.keys_and_tokens import Pool

POOL = Pool()
HOSTILE = "<script>alert(1)</script> \"quoted\" 'single' & \\ \r\nSet-Cookie: x=1 \u2028 \u00e9 \x00"


def every_error():
    """Make one error of every kind that can reach a viewer."""
    made = []
    pending = [errors.GatewayError]
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        if "code" in kind.__dict__:
            extra = {"allow": ["GET", "HEAD"]} if kind is errors.MethodNotAllowedError else {}
            extra |= {"scope": "tools/call openid"} if kind is errors.InsufficientScopeError else {}
            extra |= {"claim": "exp"} if issubclass(kind, errors.InvalidClaimError) else {}
            made.append(kind("What was expected, what came.", **extra))
    return made


EVERY = every_error()

# RFC 9110 section 15.
REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    405: "Method Not Allowed",
    413: "Content Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


def refused(error, request, host="gateway.example.com", resource_metadata=None, cors=()):
    return refuse(error, request, host=host, resource_metadata=resource_metadata, cors=cors)


def answer(error, **event):
    return refused(error, Request(make_event(**event)))


# --- all of them ----------------------------------------------------------------------------------------------------


def test_the_codes_are_those_of_the_contract():
    """Contract C6, status by status; a new code is a decision."""
    by_status = {}
    for error in EVERY:
        by_status.setdefault(error.status, set()).add(error.code)
    assert by_status == {
        400: {"malformed_request", "malformed_url", "ambiguous_path"},
        401: {
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
            "revoked",
        },
        403: {"missing_group", "insufficient_scope"},
        405: {"method_not_allowed"},
        413: {"body_too_large"},
        500: {"internal_error"},
        503: {"keys_unavailable", "configuration_unavailable", "credentials_unavailable"},
    }


def test_every_code_has_a_title_of_its_own():
    """A few words that begin with a capital and end without a full stop."""
    titles = [error.title for error in EVERY]
    assert len(set(titles)) == len(titles)
    assert [title for title in titles if not re.fullmatch(r"[A-Z][A-Za-z' -]{4,39}", title)] == []


@pytest.mark.parametrize("error", EVERY, ids=lambda error: error.code)
def test_a_refusal_is_a_problem_document(error):
    """RFC 9457: type, title, status and detail, and beside them the code and CloudFront's request id."""
    event = make_event()
    result = refused(error, Request(event))
    assert result["status"] == str(error.status)
    assert result["statusDescription"] == REASONS[error.status]
    assert result["bodyEncoding"] == "text"
    headers = headers_of(result)
    assert headers["content-type"] == "application/problem+json"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert problem_of(result) == {
        "type": f"urn:cognito-edge-gateway:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": "What was expected, what came.",
        "code": error.code,
        "request_id": event["Records"][0]["cf"]["config"]["requestId"],
    }


@pytest.mark.parametrize("error", EVERY, ids=lambda error: error.code)
def test_a_page_says_the_same_as_the_problem_document(error):
    """Status, headers and code are the same for a browser; only the representation differs."""
    problem, page = answer(error), answer(error, headers={"accept": "text/html"})
    assert page["status"] == problem["status"]
    different = {"content-type", "content-security-policy", "referrer-policy"}
    assert {k: v for k, v in headers_of(page).items() if k not in different} == {
        k: v for k, v in headers_of(problem).items() if k not in different
    }
    headers = headers_of(page)
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["referrer-policy"] == "no-referrer"
    assert f"<code>{error.code}</code>" in page["body"]
    assert html.escape(str(error)) in page["body"]


@pytest.mark.parametrize("error", EVERY, ids=lambda error: error.code)
def test_only_authentication_and_authorization_are_challenged(error):
    """401 and 403 carry WWW-Authenticate, 503 Retry-After, 405 Allow; no other refusal carries any of them."""
    headers = headers_of(answer(error))
    assert ("www-authenticate" in headers) == (error.status in (401, 403))
    assert ("retry-after" in headers) == (error.status == 503)
    assert ("allow" in headers) == (error.status == 405)


def test_what_only_the_log_may_know_is_not_in_an_answer():
    """The internal reason stays inside, whatever the representation."""
    error = errors.KeysUnavailableError("Try again.", internal="connection to 10.0.0.1 refused")
    for accept in ("*/*", "text/html"):
        assert "10.0.0.1" not in json.dumps(answer(error, headers={"accept": accept}))


def test_without_a_request_there_is_still_a_whole_answer():
    """An event that could not be read gets a problem document with an empty request id."""
    result = refused(errors.GatewayError("The gateway failed."), None, host="")
    assert result["status"] == "500"
    assert problem_of(result)["request_id"] == ""


# --- WWW-Authenticate -----------------------------------------------------------------------------------------------


def test_no_error_is_named_where_no_credentials_were_sent():
    """RFC 6750 section 3.1: the challenge then SHOULD NOT include an error code or other error information."""
    assert challenge(errors.MissingTokenError("Send a token."), "g.example") == 'Bearer realm="g.example"'


@pytest.mark.parametrize(
    "error", [e for e in EVERY if e.status == 401 and e.code != "missing_token"], ids=lambda e: e.code
)
def test_a_bad_token_is_an_invalid_token(error):
    """RFC 6750 section 3.1: expired, revoked, malformed or invalid for other reasons."""
    assert challenge(error, "g.example") == (
        'Bearer realm="g.example", error="invalid_token", error_description="What was expected, what came."'
    )


def test_a_missing_scope_is_named():
    """RFC 6750 section 3: the scope attribute lists what is needed."""
    error = errors.InsufficientScopeError("The token lacks the scope.", scope="tools/call openid")
    assert challenge(error, "g").endswith(
        'error="insufficient_scope", error_description="The token lacks the scope.", scope="tools/call openid"'
    )


def test_a_missing_group_is_an_insufficient_scope_without_a_scope():
    """The nearest code of RFC 6750; there is no scope that one could ask for."""
    value = challenge(errors.MissingGroupError("This path is for members of admins."), "g")
    assert 'error="insufficient_scope"' in value
    assert "scope=" not in value.replace('error="insufficient_scope"', "")


def test_oauth_clients_are_told_where_to_learn_more():
    """RFC 9728 section 5.1: resource_metadata in every challenge, also where no token was sent; nowhere without one."""
    url = "https://g.example/.well-known/oauth-protected-resource"
    for error in EVERY:
        headers = headers_of(refused(error, Request(make_event()), resource_metadata=url))
        assert (f', resource_metadata="{url}"' in headers.get("www-authenticate", "")) == (error.status in (401, 403))
        assert "resource_metadata" not in json.dumps(answer(error))


@pytest.mark.parametrize("domain_name", [None, "app.example.com"])
def test_the_realm_is_what_the_viewer_called_us(aws, domain_name):
    """The configured domain, or the distribution's own."""
    result = make_system(domain_name=domain_name)()
    assert headers_of(result)["www-authenticate"] == f'Bearer realm="{domain_name or DISTRIBUTION}"'


CHALLENGE = re.compile(r'Bearer [a-z_]+="[ !#-\[\]-~]*"(?:, [a-z_]+="[ !#-\[\]-~]*")*')


@given(st.text(max_size=60), st.text(max_size=30), st.text(max_size=30))
def test_a_challenge_is_well_formed_whatever_is_quoted(detail, realm, scope):
    """RFC 6750 allows %x20-21 / %x23-5B / %x5D-7E in its values, and a header no line break."""
    assert CHALLENGE.fullmatch(challenge(errors.InsufficientScopeError(detail, scope=scope), realm))
    assert CHALLENGE.fullmatch(challenge(errors.ExpiredTokenError(detail, claim="exp"), realm))


# --- escaping -------------------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_hostile_details_are_escaped_everywhere():
    """A detail may quote the viewer: no tag, no header line, no broken JSON comes of it."""
    error = errors.ExpiredTokenError(HOSTILE, claim="exp")
    page = answer(error, headers={"accept": "text/html"})
    tags = Tags()
    tags.feed(page["body"])
    assert [tag for tag, _ in tags.tags] == ["html", "meta", "meta", "title", "h1", "p", "p", "code", "code"]
    assert all(not name.startswith("on") for _, attributes in tags.tags for name in attributes)
    problem = answer(error)
    assert problem_of(problem)["detail"] == HOSTILE
    for result in (page, problem):
        for value in headers_of(result).values():
            assert value.isprintable()
            assert value.isascii()


@given(st.text(max_size=80))
def test_any_detail_makes_a_page_of_the_same_tags(detail):
    """Whatever the text, the page's structure is its own."""
    page = answer(errors.ExpiredTokenError(detail, claim="exp"), headers={"accept": "text/html"})
    tags = Tags()
    tags.feed(page["body"])
    assert [tag for tag, _ in tags.tags] == ["html", "meta", "meta", "title", "h1", "p", "p", "code", "code"]
    assert problem_of(answer(errors.ExpiredTokenError(detail, claim="exp")))["detail"] == detail


def test_a_page_loads_and_runs_nothing():
    """No script, style, image, link or form: its policy forbids all of them, and it needs none."""
    page = answer(errors.MissingTokenError("Send a token."), headers={"accept": "text/html"})
    assert not re.search(r"<(script|style|img|link|form|iframe|a)\b|https?:", page["body"])


# --- which representation -------------------------------------------------------------------------------------------


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("TEXT/HTML", True),
        ("text/*", True),
        ("text/html;q=0.1", True),
        ("text/html;level=1", True),
        ("text/html, application/json;q=0.9", True),
        ("application/json;q=0.1, text/html;q=0.2", True),
        ("*/*;q=0.1, text/html;q=0.2", True),
        ("*/*;q=0.1, text/*", True),
        ("text/*, */*;q=0.1", True),
        ("text/*, */*", False),
        ("*/*, text/*;q=0.1", False),
        ("text/*;q=0.1, */*", False),
        ("text/*;q=0.1, application/json;q=0.2, text/html", True),
        ("text/html, text/*;q=0.1, application/json;q=0.2", True),
        ("application/*, text/html;q=0.9", False),
        ("*/*, application/json;q=0.9", False),
        ("*/*, application/json;q=0.9, application/problem+json;q=0.9", True),
        ("text/html;q=0, text/*", False),
        ("text/*, text/html;q=0", False),
        ("text/html;q=2, application/json", False),
        ("text/html, application/json;q=1", False),
        ("text/html, application/json;q=0.999", True),
        (None, False),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/problem+json", False),
        ("application/json, text/html", False),
        ("text/html, application/problem+json", False),
        ("text/html;q=0.5, application/json", False),
        ("text/html;q=0", False),
        ("text/html;q=0.000", False),
        ("text/html;q=x", False),
        ("text/html;q=0, application/json;q=x", False),
        ("text/html;q=x, application/json;q=0", False),
        ("text/html;q=nan", False),
        ("text/html;q=-1", False),
        ("text/plain", False),
        ("text/html;q=0.5, */*", False),
        (",,,;;q=;=", False),
        ("text/html" * 10_000, False),
        ("x/y," * 63 + "text/html", True),
        ("x/y," * 64 + "text/html", False),
        ("x/y," * 10_000 + "text/html", False),
    ],
)
def test_a_page_is_for_those_who_prefer_one(accept, is_page):
    """RFC 9110 section 12.5.1: the more specific range and the higher quality win; equal is JSON."""
    headers = {} if accept is None else {"accept": accept}
    event = make_event(headers=headers)
    if accept is None:
        del event["Records"][0]["cf"]["request"]["headers"]["accept"]
    result = refused(errors.MissingTokenError("x"), Request(event))
    assert headers_of(result)["content-type"].startswith("text/html") == is_page


def test_several_accept_headers_are_one_list():
    """RFC 9110 section 5.3: repeated list fields are joined."""
    result = answer(errors.MissingTokenError("x"), headers={"accept": ["application/json;q=0.2", "text/html"]})
    assert headers_of(result)["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    ("method", "is_page"),
    [("GET", True), ("HEAD", True), ("POST", False), ("PUT", False), ("DELETE", False), ("OPTIONS", False)],
)
def test_only_a_visit_gets_a_page(method, is_page):
    """What a program sends is answered in JSON, even from a browser."""
    result = answer(errors.MissingTokenError("x"), method=method, headers={"accept": BROWSER})
    assert headers_of(result)["content-type"].startswith("text/html") == is_page


@given(st.text(max_size=80))
def test_any_accept_header_is_read(accept):
    """No value of Accept raises."""
    assert answer(errors.MissingTokenError("x"), headers={"accept": accept})["status"] == "401"


# --- through the gateway --------------------------------------------------------------------------------------------


@pytest.fixture
def system(aws):
    aws.policy = {
        "version": 1,
        "routes": [
            {"path": "/read/*", "methods": ["GET"]},
            {"path": "/read/*", "methods": ["PUT"], "groups": ["writers"]},
            {"path": "/tools/*", "token_use": ["access"], "scopes": ["tools/call", "openid"]},
        ],
        "cors": {"allow_origins": ["https://app.example.com"]},
    }
    return make_system()


APP = {"origin": "https://app.example.com"}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "401"),
        ({"token": "x.y.z"}, "401"),
        ({"uri": "/a/../b"}, "400"),
        ({"uri": "/read/x", "method": "POST", "token": POOL.id_token()}, "405"),
        ({"uri": "/read/x", "method": "PUT", "token": POOL.id_token()}, "403"),
        ({"method": "POST", "truncated": True, "body": b"x", "token": POOL.id_token()}, "413"),
        ({"origin": "s3.example.com", "token": POOL.id_token()}, "503"),
    ],
)
def test_an_allowed_page_can_read_every_refusal(system, changes, status):
    """Refusals carry CORS for the origins of the policy, and none for others."""
    event = {**changes, "headers": APP}
    result = system(**event)
    assert result["status"] == status
    headers = headers_of(result)
    assert headers["access-control-allow-origin"] == "https://app.example.com"
    assert headers["access-control-expose-headers"] == "WWW-Authenticate, Retry-After, Allow"
    assert headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in headers
    foreign = headers_of(system(**{**changes, "headers": {"origin": "https://thief.example"}}))
    assert "access-control-allow-origin" not in foreign
    assert foreign["vary"] == "Origin"


def test_without_cors_in_the_policy_refusals_have_none(aws, gateway):
    """No header of CORS, and nothing varies."""
    assert not [
        name for name in headers_of(gateway(headers=APP)) if name.startswith("access-control") or name == "vary"
    ]


def test_405_names_the_methods_that_the_path_takes(system):
    """RFC 9110 section 15.5.6: the Allow header MUST be there. HEAD follows GET."""
    result = system(uri="/read/x", method="DELETE", token=POOL.id_token())
    assert headers_of(result)["allow"] == "GET, HEAD, PUT"
    assert problem_of(result)["detail"] == "DELETE is not allowed here; GET, HEAD, PUT are."


def test_413_tells_what_to_send_instead(system):
    """The text says which header is needed, why, and how to make it."""
    result = system(method="POST", truncated=True, body=b"x" * 10, token=POOL.id_token())
    detail = problem_of(result)["detail"]
    assert "x-amz-content-sha256" in detail
    assert "1 MB" in detail
    assert "sha256sum" in detail


def test_a_missing_scope_names_all_that_the_path_asks_for(system):
    """The detail names what is missing, the challenge what is needed."""
    result = system(uri="/tools/x", token=POOL.access_token(scope="openid"))
    assert problem_of(result)["detail"] == "The token lacks the scope 'tools/call'."
    assert headers_of(result)["www-authenticate"].endswith('scope="tools/call openid"')


def test_expected_and_actual_are_in_the_detail(gateway):
    """Times in ISO 8601, values quoted: enough to see what is wrong, without the token."""
    details = {
        "exp": problem_of(gateway(token=POOL.id_token(exp=1_789_999_999)))["detail"],
        "aud": problem_of(gateway(token=POOL.id_token(aud="other-client")))["detail"],
        "use": problem_of(gateway(token=POOL.access_token()))["detail"],
    }
    assert details == {
        "exp": "The token expired at 2026-09-21T14:13:19Z; it is 2026-09-21T14:13:20Z now. Sign in again.",
        "aud": "The token's aud has to be an app client of this gateway; it is 'other-client'.",
        "use": "This path takes id tokens; token_use is 'access'.",
    }
