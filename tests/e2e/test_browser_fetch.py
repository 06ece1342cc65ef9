"""A page in a real Chromium calls the gateway from another origin: the right one can read every answer, the wrong one none.

Refusals and preflights get their CORS headers from the edge, by the policy in SSM; answers of the backend get theirs from
CloudFront, by the construct's ``cors``. So this needs a stack of its own (``tests/support/own_stack.py``), and the origin in both.
"""

import json
import time
from types import SimpleNamespace

import pytest

from tests.e2e.conftest import System
from tests.support import own_stack
from tests.support.http_fake import Answer, HttpFake

pytestmark = pytest.mark.e2e

_FETCH = """async ([url, options]) => {
    try {
        const answer = await fetch(url, options);
        return {status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text()};
    } catch (error) {
        return {error: error.name};
    }
}"""
PAGE = Answer(200, b"<!DOCTYPE html><title>A page of another origin</title>", {"Content-Type": "text/html"})
BLOCKED = {"error": "TypeError"}  # all that the Fetch standard lets a page know


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """The system, and two origins of one server: ``localhost`` is in the template and in the policy, ``127.0.0.1`` in neither."""
    with (
        HttpFake(lambda _: PAGE) as server,
        own_stack.running(tmp_path_factory.mktemp("fetch"), right := f"http://localhost:{server.port}") as running,
    ):
        wrong = server.url
        system = System(running.process)
        policy = {"version": 1, "routes": [{"path": "/*"}], "cors": {"allow_origins": [right]}}
        done = system.script("policy.py", "put", "-", "--local", "--yes", stdin=json.dumps(policy))
        assert done.returncode == 0, done.stderr
        # Distribution and policy name the same origin, so the script warns of nothing.
        assert "warning" not in done.stderr
        time.sleep(own_stack.TAKEN_UP_S)
        yield SimpleNamespace(system=system, right=right, wrong=wrong)


def preflight(system: System, origin: str):
    """Ask as a browser would before a request with a token."""
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    options = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    return system.curl("/api/echo", "-X", "OPTIONS", *options)


@pytest.fixture
def fetch(live, browser):
    """Return a function that opens a page of an origin, and lets it fetch a path of the gateway's."""
    context = browser.new_context()

    def run(origin: str, path: str, **options: object) -> dict:
        page = context.new_page()
        page.goto(f"{origin}/")
        assert page.evaluate("location.origin") == origin
        found = page.evaluate(_FETCH, [live.system.url + path, options])
        page.close()
        return found

    yield run
    context.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def decisions(live) -> list[tuple[str, str]]:
    """Return what the edge has decided so far, by its log: method and decision."""
    lines = (live.system.process.state_dir / "edge.log").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [(line["method"], line["decision"]) for line in found if "decision" in line]


def test_page_of_an_allowed_origin_reads_the_backends_answer(live, fetch):
    """Status, body and headers; the browser's own preflight went before, and no further than the edge."""
    already = len(decisions(live))
    answer = fetch(live.right, "/api/whoami", headers=bearer(live.system.token))
    assert answer["status"] == 200
    assert json.loads(answer["body"])["username"] == live.system.outputs["username"]
    assert answer["headers"]["content-type"] == "application/json"
    assert decisions(live)[already:] == [("OPTIONS", "preflight"), ("GET", "forward")]


def test_page_of_an_allowed_origin_posts_json(live, fetch):
    """The body arrives as it was sent, and so does the answer."""
    body = json.dumps({"title": "Ärger & mehr", "n": [1, 2]})
    headers = {**bearer(live.system.token), "Content-Type": "application/json"}
    answer = fetch(live.right, "/api/echo/x?q=1", method="POST", headers=headers, body=body)
    assert answer["status"] == 200
    echoed = json.loads(answer["body"])
    assert (echoed["method"], echoed["path"]) == ("POST", "/api/echo/x")
    assert echoed["body"] == body


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("token", "code"), [(None, "missing_token"), ("not.a.token", "malformed_token")])
def test_page_of_an_allowed_origin_reads_why_it_was_refused(live, fetch, method, token, code):
    """With and without a preflight: the problem, and the challenge, which has to be exposed to be read."""
    options = {"method": method, "headers": bearer(token) if token else {}}
    if method == "POST":
        options["body"] = json.dumps({"title": "x"})
        options["headers"]["Content-Type"] = "application/json"
    answer = fetch(live.right, "/api/echo", **options)
    assert answer["status"] == 401
    assert answer["headers"]["content-type"] == "application/problem+json"
    assert json.loads(answer["body"])["code"] == code
    assert answer["headers"]["www-authenticate"].startswith("Bearer realm=")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_page_of_a_wrong_origin_reads_neither(live, fetch, method):
    """A request with a token is not even sent; a refusal arrives, and the page may not look at it."""
    already = len(decisions(live))
    with_token = fetch(live.wrong, "/api/echo", method=method, headers=bearer(live.system.token))
    without = fetch(live.wrong, "/api/echo", method=method)
    assert (with_token, without) == (BLOCKED, BLOCKED)
    assert decisions(live)[already:] == [("OPTIONS", "preflight"), (method, "refuse")]


def test_cookies_never_count(live, fetch):
    """A page that asks for credentials gets nothing, not even from the right origin."""
    headers = bearer(live.system.token)
    assert fetch(live.right, "/api/whoami", headers=headers, credentials="include") == BLOCKED
    assert fetch(live.right, "/api/whoami", headers=headers, credentials="omit")["status"] == 200


def test_allowed_origins_are_named_and_never_a_wildcard(live):
    """On a preflight, on a 401 and on a 200; a cache must keep answers for different origins apart."""
    origin = ("-H", f"Origin: {live.right}")
    answers = [
        preflight(live.system, live.right),
        live.system.curl("/api/whoami", *origin),
        live.system.curl("/api/whoami", *origin, token=live.system.token),
    ]
    assert [answer.status for answer in answers] == [204, 401, 200]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == [live.right]
        assert "access-control-allow-credentials" not in answer.headers
        assert "Origin" in answer.headers["vary"][0]
    assert answers[0].headers["x-cache"] == ["LambdaGeneratedResponse from cloudfront"]


def test_wrong_origin_gets_no_cors_headers(live):
    """The same three answers, for a page that is not allowed."""
    origin = ("-H", f"Origin: {live.wrong}")
    answers = [
        preflight(live.system, live.wrong),
        live.system.curl("/api/whoami", *origin),
        live.system.curl("/api/whoami", *origin, token=live.system.token),
    ]
    assert [answer.status for answer in answers] == [204, 401, 200]
    assert [name for answer in answers for name in answer.headers if name.startswith("access-control-")] == []


@pytest.mark.parametrize("who", ["right", "wrong"])
def test_any_page_may_learn_where_to_sign_in(live, fetch, who):
    """Protected resource metadata is public (RFC 9728); CORS for some must not overwrite that."""
    answer = fetch(getattr(live, who), "/.well-known/oauth-protected-resource/api/mcp")
    assert answer["status"] == 200
    assert json.loads(answer["body"])["authorization_servers"] == [live.system.outputs["login_url"]]
