"""scripts/get_token.py with a browser: PKCE, the loopback callback, and everything that must not get through it."""

import base64
import hashlib
import json
import shlex
import socket
import sys
import threading
import time
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import requests
from cognito_edge_cli import exchange, stack
from cognito_edge_cli.console import ScriptError
from cognito_edge_cli.main import main
from cognito_edge_cli.sign_in import callback, hosted_ui, token_cache
from cognito_edge_cli.sign_in.token_cache import unverified_claims

from tests.support.fake_cognito import USERNAME, FakeBrowser, FakeCognito

# Loopback addresses that stand for 127.0.0.1 and ::1, on machines without IPv6 as well.
TWO_ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.0.0.2"))


@pytest.fixture
def cognito():
    """Amazon Cognito, on a loopback port."""
    with FakeCognito() as fake:
        yield fake


@pytest.fixture
def browser(monkeypatch):
    """The person's browser; signs in at once."""
    browser = FakeBrowser()
    monkeypatch.setattr(hosted_ui, "open_browser", browser.open)
    yield browser
    browser.close()


@pytest.fixture
def run(cognito, monkeypatch, tmp_path, capsys, free_port):
    """Run the script against a local system: (exit status, stdout, stderr)."""
    folder = tmp_path / ".local"
    folder.mkdir(mode=0o700)
    (folder / "outputs.json").write_text(json.dumps(cognito.outputs))
    monkeypatch.setattr(stack, "LOCAL_FOLDER", folder)
    monkeypatch.setattr(token_cache, "LOCAL_FOLDER", folder)

    def run(*argv, clock=time.time):
        port = () if "--callback-port" in argv else ("--callback-port", str(free_port))
        status = main(["token", "--local", *argv, *port], clock=clock)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def free_port():
    """A port that nothing listens on."""
    return unused_port()


def unused_port():
    """Return a port that was free a moment ago on every loopback address that tests use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listener(port, address="127.0.0.1"):
    """Return a socket that listens on *port*, as another program would."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.listen()
    return sock


def get(server, target, method="GET", **options):
    """Send one request to the callback server."""
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, f"http://127.0.0.1:{server.port}{target}", timeout=10, **options)


@pytest.fixture
def server(free_port):
    """A callback server that waits for the state ``the-state``."""
    with callback.CallbackServer("the-state", [free_port]) as server:
        yield server


# -- the whole sign-in --


def test_browser_sign_in_prints_the_id_token_alone(run, browser):
    """Code, PKCE, state and nonce work out; stdout has the token and nothing else."""
    status, out, _ = run("--browser")
    assert status == 0
    assert out.count("\n") == 1
    assert unverified_claims(out.strip())["cognito:username"] == USERNAME
    browser.close()
    assert browser.pages[0].status_code == 200


def test_authorization_request_is_as_the_standards_want_it(run, browser, cognito, free_port):
    """RFC 7636 (S256), RFC 6749 (state), OpenID Connect (nonce, openid), a registered redirect URI."""
    run("--browser")
    query = dict(parse_qsl(urlsplit(browser.links[0]).query))
    assert query["response_type"] == "code"
    assert query["client_id"] == cognito.client_id
    assert query["redirect_uri"] == f"http://localhost:{free_port}/callback"
    assert query["code_challenge_method"] == "S256"
    assert query["scope"] == "openid"
    assert len({query["state"], query["nonce"], query["code_challenge"]}) == 3
    assert min(len(query["state"]), len(query["nonce"])) >= 43  # 256 bits
    (grant,) = (data for call, data in cognito.log if call == "POST /oauth2/token")
    challenge = base64.urlsafe_b64encode(hashlib.sha256(grant["code_verifier"].encode()).digest()).rstrip(b"=")
    assert challenge.decode() == query["code_challenge"]
    assert 43 <= len(grant["code_verifier"]) <= 128  # RFC 7636 §4.1


def test_one_time_values_are_new_each_time(run, browser):
    """No state, nonce or challenge is ever used again."""
    for _ in range(2):
        run("--browser", "--force")
    first, second = (parse_qs(urlsplit(link).query) for link in browser.links)
    assert all(first[name] != second[name] for name in ("state", "nonce", "code_challenge"))


def test_scope_is_asked_for_and_kept_apart(run, browser):
    """Tokens of other scopes are other tokens."""
    run("--browser")
    run("--scope", "openid tools/call")
    assert [parse_qs(urlsplit(link).query)["scope"] for link in browser.links] == [["openid"], ["openid tools/call"]]


def test_no_browser_prints_the_link_on_stderr(run, monkeypatch, cognito):
    """The link is for a person; stdout stays the token's."""
    browser = FakeBrowser()
    said = []

    def say(message):
        said.append(message)
        browser.open(next(word for word in message.split() if word.startswith("http")))

    monkeypatch.setattr(hosted_ui, "say", say)
    status, out, _ = run("--no-browser")
    browser.close()
    assert status == 0
    assert out.startswith("ey")
    assert f"{cognito.url}/oauth2/authorize?" in said[0]


def test_browser_tokens_are_refreshed_at_the_token_endpoint(run, browser, cognito):
    """OAuth tokens by OAuth's means; a rotated refresh token is kept."""
    cognito.rotation = True
    now = int(time.time())
    for step in range(3):
        cognito.clock = lambda at=now + 3600 * step: at
        assert run("--browser", clock=cognito.clock)[0] == 0
    assert len(browser.links) == 1
    grants = [data["grant_type"] for call, data in cognito.log if call == "POST /oauth2/token"]
    assert grants == ["authorization_code", "refresh_token", "refresh_token"]


def test_refused_refresh_opens_the_browser_again(run, browser, cognito):
    """An ended session is a new sign-in."""
    now = int(time.time())
    run("--browser", clock=lambda: now)
    cognito.refresh_tokens.clear()
    cognito.clock = lambda: now + 3600
    status, _, err = run("--browser", clock=cognito.clock)
    assert status == 0
    assert len(browser.links) == 2
    assert "invalid_grant" in err


def test_logout_shows_the_link_that_ends_the_browsers_session(run, browser, cognito):
    """The cookie at the hosted UI outlives a revoked token."""
    run("--browser")
    status, _, err = run("--logout")
    assert status == 0
    assert f"{cognito.url}/logout?client_id={cognito.client_id}&logout_uri=http%3A%2F%2Flocalhost%3A8976%2F" in err


def test_id_token_that_came_with_another_access_token_is_refused(run, browser, cognito):
    """OpenID Connect Core §3.1.3.8: ``at_hash`` ties the two together."""
    cognito.claims = {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}
    status, out, err = run("--browser")
    assert (status, out) == (1, "")
    assert "at_hash" in err


@pytest.mark.parametrize("nonce", ["of-another-sign-in", None, 5])
def test_id_token_of_another_sign_in_is_refused(run, browser, cognito, nonce):
    """Without the right nonce, a token that was slipped in would be taken for ours."""
    cognito.claims = {"nonce": nonce}
    status, out, err = run("--browser")
    assert (status, out) == (1, "")
    assert "nonce" in err


def test_refusal_by_the_person_is_shown(run, browser, cognito):
    """error=access_denied ends the wait at once, with the server's words, made harmless for a terminal."""
    cognito.authorize_answer = {"error": "access_denied", "error_description": "no\x1b[2Jway"}
    status, out, err = run("--browser")
    assert (status, out) == (1, "")
    assert r"access_denied: no\x1b[2Jway" in err
    assert "\x1b" not in err


def test_refused_code_is_shown(run, browser, cognito):
    """The token endpoint's words reach the person."""
    body = json.dumps({"error": "invalid_grant", "error_description": "Invalid code"}).encode()
    cognito.token_answer = (400, {}, body)
    status, out, err = run("--browser")
    assert (status, out) == (1, "")
    assert "invalid_grant: Invalid code" in err


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((307, {"Location": "http://127.0.0.1:9/"}, b""), "got 307"),
        ((502, {}, b"<html>"), "got 502"),
        ((200, {}, b"<html>"), "JSON object"),
        ((200, {}, b'{"access_token": "x"}'), "id_token"),
    ],
)
def test_odd_answers_of_the_token_endpoint_are_refused(run, browser, cognito, answer, words):
    """A redirect above all: it would carry the code and its verifier elsewhere."""
    cognito.token_answer = answer
    status, out, err = run("--browser")
    assert (status, out) == (1, "")
    assert words in err


def test_wait_for_the_browser_ends_in_time(run, monkeypatch):
    """The wait has an end, and the message says how to make it longer."""
    monkeypatch.setattr(hosted_ui, "open_browser", lambda _link: None)
    status, out, err = run("--browser", "--timeout", "0.1")
    assert (status, out) == (1, "")
    assert "within 0.1 s" in err
    assert "--timeout" in err


def test_interrupt_is_status_130(run, monkeypatch):
    """Ctrl-C causes no traceback."""

    def interrupt(_link):
        raise KeyboardInterrupt

    monkeypatch.setattr(hosted_ui, "open_browser", interrupt)
    status, out, err = run("--browser")
    assert (status, out, err.strip()) == (130, "", "interrupted")


def test_browser_of_the_environment_is_opened_without_our_stdout(monkeypatch, tmp_path, capfd):
    """BROWSER is honoured; what it writes to stdout does not end up in ``$(…)``."""
    seen = tmp_path / "seen"
    program = f"import pathlib, sys; print('noise'); pathlib.Path({str(seen)!r}).write_text(sys.argv[1])"
    monkeypatch.setenv("BROWSER", f"{shlex.quote(sys.executable)} -c {shlex.quote(program)} %s")
    hosted_ui.open_browser("http://127.0.0.1:1/link?a=b")
    deadline = time.monotonic() + 30
    while not (seen.exists() and seen.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert seen.read_text() == "http://127.0.0.1:1/link?a=b"
    out, err = capfd.readouterr()
    assert out == ""
    assert "http://127.0.0.1:1/link?a=b" in err


# -- the callback server --


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/favicon.ico",
        "/callback",
        "/callback?code=evil",
        "/callback?code=evil&state=",
        "/callback?code=evil&state=the-stat",
        "/callback?code=evil&state=the-state-",
        "/callback?code=evil&state=The-state",
        "/callback?code=evil&state=th%C3%A9-state",
        "/callback?code=evil&state=the-state&state=the-state",
        "/callback?code=evil&code=good&state=the-state",
        "/callback?code=evil&error=x&state=the-state",
        "/callback?state=the-state",
        "/callback?code=&state=the-state",
        "/callback/?code=evil&state=the-state",
        "/callback?code=evil;state=the-state",
        "/callback?" + "a=b&" * 30 + "code=evil&state=the-state",
        "/other?code=evil&state=the-state",
    ],
)
def test_request_without_exactly_our_state_is_ignored(server, target):
    """404, and the server goes on waiting for the right one."""
    refused = get(server, target)
    assert refused.status_code == 404
    assert get(server, "/callback?code=good&state=the-state").status_code == 200
    assert server.wait(5).code == "good"


@pytest.mark.parametrize("method", ["POST", "HEAD", "PUT", "OPTIONS"])
def test_other_methods_are_refused(server, method):
    """A link preview's HEAD, or a web page's POST, does not use the code up."""
    assert get(server, "/callback?code=evil&state=the-state", method).status_code in {405, 501}
    assert get(server, "/callback?code=good&state=the-state").status_code == 200
    assert server.wait(5).code == "good"


def test_second_callback_is_ignored(server):
    """One shot: what came first counts."""
    assert get(server, "/callback?code=first&state=the-state").status_code == 200
    assert get(server, "/callback?code=second&state=the-state").status_code == 404
    assert server.wait(5).code == "first"


def test_page_holds_no_secret_and_can_load_nothing(server):
    """Plain text under a strict CSP, not cached, no referrer."""
    page = get(server, "/callback?code=the-code&state=the-state")
    assert "the-code" not in page.text
    assert "the-state" not in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "Python" not in page.headers["Server"]


def test_server_logs_nothing(server, capfd):
    """The request line holds the code."""
    get(server, "/callback?code=the-code&state=the-state")
    get(server, "/callback?code=the-code&state=wrong")
    assert capfd.readouterr() == ("", "")


def test_idle_connections_do_not_block_the_callback(server):
    """Browsers open connections in advance and say nothing on them."""
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(5)]
    try:
        assert get(server, "/callback?code=good&state=the-state").status_code == 200
    finally:
        for sock in idle:
            sock.close()


def test_only_loopback_is_listened_on(server):
    """The network cannot reach the callback."""
    assert {sock.socket.getsockname()[0] for sock in server._servers} <= {"127.0.0.1", "::1"}
    assert "127.0.0.1" in {sock.socket.getsockname()[0] for sock in server._servers}


def test_both_addresses_of_localhost_are_served(monkeypatch, free_port):
    """A browser that takes localhost for the second address gets there, too."""
    monkeypatch.setattr(callback, "_ADDRESSES", TWO_ADDRESSES)
    with callback.CallbackServer("the-state", [free_port]) as server, requests.Session() as session:
        session.trust_env = False
        link = f"http://127.0.0.2:{server.port}/callback?code=good&state=the-state"
        assert session.get(link, timeout=10).status_code == 200
        assert server.wait(5).code == "good"


def test_machine_without_the_second_address_uses_the_first(monkeypatch, free_port):
    """Containers often have no IPv6."""
    # 192.0.2.1 is of no machine (RFC 5737): binding it fails as ::1 does without IPv6.
    addresses = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "192.0.2.1"))
    monkeypatch.setattr(callback, "_ADDRESSES", addresses)
    with callback.CallbackServer("the-state", [free_port]) as server:
        assert len(server._servers) == 1


def test_taken_port_is_named_and_the_next_one_used(capsys):
    """The first free of the registered ports."""
    first, second = unused_port(), unused_port()
    with listener(first), callback.CallbackServer("the-state", [first, second]) as server:
        assert server.port == second
        assert server.redirect_uri == f"http://localhost:{second}/callback"
    assert f"port {first} is taken" in capsys.readouterr().err


def test_port_taken_on_one_address_is_taken(monkeypatch):
    """Otherwise the browser might carry the code to the other program."""
    monkeypatch.setattr(callback, "_ADDRESSES", TWO_ADDRESSES)
    first, second = unused_port(), unused_port()
    with listener(first, "127.0.0.2"), callback.CallbackServer("the-state", [first, second]) as server:
        assert server.port == second
        with socket.socket() as probe:  # nothing of ours was left behind on the first port
            assert probe.connect_ex(("127.0.0.1", first)) != 0


def test_when_all_ports_are_taken_each_is_named_with_the_way_out():
    """The message says which, and by what options to go on."""
    first, second = unused_port(), unused_port()
    with listener(first), listener(second), pytest.raises(ScriptError) as refused:
        callback.CallbackServer("the-state", [first, second])
    for words in (str(first), str(second), "--callback-port", "--username"):
        assert words in str(refused.value)


def test_taken_port_of_the_option_ends_the_script(run, browser):
    """A port that was asked for is not swapped for another."""
    port = unused_port()
    with listener(port):
        status, out, err = run("--browser", "--callback-port", str(port))
    assert (status, out) == (1, "")
    assert str(port) in err
    assert browser.links == []


def test_ports_are_free_again_afterwards(free_port):
    """Two sign-ins in a row use the same port."""
    for _ in range(2):
        with callback.CallbackServer("the-state", [free_port]) as server:
            get(server, "/callback?code=good&state=the-state")
            assert server.wait(5).code == "good"


def test_registered_ports_are_the_projects_constants():
    """The app client of the template registers these two."""
    assert callback.REGISTERED_PORTS == (8976, 8977)


def test_racing_callbacks_leave_one_winner(server):
    """Of many at the same time, one is told yes, and its code is the one that is used."""
    answers = {}

    def visit(number):
        answers[number] = get(server, f"/callback?code=code-{number}&state=the-state").status_code

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    (winner,) = (number for number, status in answers.items() if status == 200)
    assert server.wait(5).code == f"code-{winner}"


def test_callback_does_not_show_its_code_in_a_repr():
    """A traceback holds no code."""
    assert "the-code" not in repr(callback.Callback(code="the-code"))


def test_proxies_are_not_used_for_the_local_hosted_ui(run, browser, monkeypatch):
    """Loopback traffic stays on loopback."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert run("--browser")[0] == 0


def test_netrc_is_not_sent_to_the_hosted_ui(run, browser, cognito, monkeypatch, tmp_path):
    """A login that ~/.netrc holds for the host does not belong to the token endpoint or the keys'."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(exchange, "is_loopback", lambda _url: False)  # as for a deployed hosted UI
    assert run("--browser")[0] == 0
    assert {call for call, _ in cognito.headers} > {
        "POST /oauth2/token",
        f"GET /{cognito.user_pool_id}/.well-known/jwks.json",
    }
    assert all("authorization" not in headers for _, headers in cognito.headers)
