"""The sign-in front: what gets through to the emulator, what does not, and what Cognito has and the emulator lacks."""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import socket
import threading
import time
from types import SimpleNamespace
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from cognito_edge_local.emulator import deploy
from cognito_edge_local.emulator.hosted_ui import LoginFront
from cognito_edge_local.launcher import ports, serving

from tests.local.emulator_support import running_emulator
from tests.local.loop_thread import LoopThread
from tests.local.small_assembly import write_assembly
from tests.support.forms import Form
from tests.support.waiting import wait_until

CALLBACK = "http://localhost:8976/callback"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
SECRET_STATE = "a-state-that-must-not-be-logged"


@contextlib.contextmanager
def serving_front(loop, console=lambda _line: None, **options):
    """Serve a front on a free port; gives the app."""
    sock = ports.listen(ports.PortRequest(0, "the sign-in front", "--login-port"))
    app = LoginFront(port=sock.getsockname()[1], console=console, names=("my.test",), **options)
    server = serving.Serving(serving.plain_config(app), sock, "sign-in front")
    loop.run(server.start())
    try:
        yield app
    finally:
        loop.run(server.stop())


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    """A served front, the pool behind it, and what the front told the console."""
    with running_emulator(tmp_path_factory.mktemp("state")) as running, LoopThread() as loop:
        deployment = deploy.deploy(running.client, write_assembly(tmp_path_factory.mktemp("assembly")))
        cognito = running.client("cognito-idp")
        pool_id = deployment.output("UserPoolId")
        username, password = deploy.create_demo_user(cognito, pool_id)
        console: list[str] = []
        with serving_front(
            loop,
            console=console.append,
            emulator_url=running.url,
            cognito=cognito,
            user_pool_id=pool_id,
            outputs_file=".local/outputs.json",
        ) as app:
            yield SimpleNamespace(
                url=app.url,
                port=urlsplit(app.url).port,
                client_id=deployment.output("ClientId"),
                cognito=cognito,
                pool_id=pool_id,
                username=username,
                password=password,
                console=console,
                emulator_url=running.url,
            )


def _authorize_query(front, **changes):
    query = {
        "response_type": "code",
        "client_id": front.client_id,
        "redirect_uri": CALLBACK,
        "scope": "openid email",
        "state": SECRET_STATE,
        "nonce": "n",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    return urlencode(query | changes)


def _submit(front, path="/oauth2/authorize", headers=None, **changes):
    """Open the form and send it; return the answer."""
    page = requests.get(f"{front.url}{path}?{_authorize_query(front)}", timeout=10)
    assert page.status_code == 200
    form = Form(page.text)
    # A path or this origin: a form that leads anywhere else would take the password there.
    assert form.action.startswith("/")
    fields = {**form.fields, "username": front.username, "password": front.password, **changes}
    return requests.post(front.url + form.action, data=fields, headers=headers, allow_redirects=False, timeout=10)


def _tokens(front):
    """Sign in with the form and PKCE; return the token endpoint's answer."""
    answer = _submit(front)
    assert answer.status_code == 302
    location = urlsplit(answer.headers["location"])
    assert location._replace(query="").geturl() == CALLBACK
    query = parse_qs(location.query)
    assert query["state"] == [SECRET_STATE]
    form = {
        "grant_type": "authorization_code",
        "client_id": front.client_id,
        "code": query["code"][0],
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    tokens = requests.post(f"{front.url}/oauth2/token", data=form, timeout=10)
    assert tokens.status_code == 200
    return tokens.json()


def _refresh(front, token):
    form = {"grant_type": "refresh_token", "client_id": front.client_id, "refresh_token": token}
    return requests.post(f"{front.url}/oauth2/token", data=form, timeout=10)


def _revoke(front, headers=None, **form):
    return requests.post(f"{front.url}/oauth2/revoke", data=form, headers=headers, timeout=10)


# --- signing in ---------------------------------------------------------------------------------------------------------


def test_person_signs_in_with_the_form_and_pkce(front):
    """Form, code, tokens, user info: all on the front's own origin."""
    tokens = _tokens(front)
    assert {"id_token", "access_token", "refresh_token"} <= tokens.keys()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    for method in ("GET", "POST"):
        info = requests.request(method, f"{front.url}/oauth2/userInfo", headers=bearer, timeout=10)
        assert (info.status_code, info.json()["username"]) == (200, front.username)


def test_get_login_shows_the_form_too(front):
    """On AWS /login takes the parameters of /oauth2/authorize; the emulator does not have it."""
    assert _submit(front, path="/login").status_code == 302


def test_wrong_password_shows_the_form_again(front):
    """No code, and no hint which of the two was wrong."""
    answer = _submit(front, password="wrong")
    assert (answer.status_code, "location" in answer.headers) == (200, False)
    assert "Incorrect username or password" in answer.text


@pytest.mark.parametrize("path", ["/", "/login"])
def test_visitor_without_parameters_reads_what_this_is(front, path):
    """A person who types the URL is told what to do."""
    page = requests.get(front.url + path, timeout=10)
    assert page.status_code == 200
    assert "scripts/get_token.py --local" in page.text
    assert front.password not in page.text


def test_logout_leads_to_the_registered_address_only(front):
    """A registered logout address is followed, any other is refused: no open redirect."""
    query = {"client_id": front.client_id, "logout_uri": "http://localhost:8976/"}
    good = requests.get(f"{front.url}/logout", params=query, allow_redirects=False, timeout=10)
    assert (good.status_code, good.headers["location"]) == (302, query["logout_uri"])
    query["logout_uri"] = "https://evil.example/"
    bad = requests.get(f"{front.url}/logout", params=query, allow_redirects=False, timeout=10)
    assert (bad.status_code, "location" in bad.headers) == (400, False)


def test_unregistered_redirect_is_refused(front):
    """A code for a stranger's address would be a stranger's token."""
    page = requests.get(
        f"{front.url}/oauth2/authorize?{_authorize_query(front, redirect_uri='https://evil.example/')}",
        allow_redirects=False,
        timeout=10,
    )
    assert (page.status_code, "location" in page.headers) == (400, False)


def test_redirects_of_the_emulator_to_itself_stay_on_the_front():
    """The emulator's address never reaches a browser; a longer name that begins like it is another server's."""

    class Redirecting(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", parse_qs(urlsplit(self.path).query)["to"][0])
            self.send_header("Set-Cookie", "a=1")
            self.send_header("Set-Cookie", "b=2")
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as emulator, LoopThread() as loop:
        threading.Thread(target=emulator.serve_forever).start()
        theirs = f"http://127.0.0.1:{emulator.server_port}"
        try:
            with serving_front(loop, emulator_url=theirs, cognito=None, user_pool_id="p", outputs_file="") as app:
                for location, expected in (
                    (f"{theirs}/login?x=1", f"{app.url}/login?x=1"),
                    (theirs, app.url),
                    (f"{theirs}0/x", f"{theirs}0/x"),
                    ("https://example.com/", "https://example.com/"),
                ):
                    query = {"to": location}
                    answer = requests.get(f"{app.url}/logout", params=query, allow_redirects=False, timeout=10)
                    assert (answer.status_code, answer.headers["location"]) == (302, expected)
                    assert answer.raw.headers.getlist("set-cookie") == ["a=1", "b=2"]
        finally:
            emulator.shutdown()


# --- what does not get through ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/", 405),
        ("GET", "/login/", 404),
        ("GET", "/_ministack/health", 404),
        ("POST", "/_ministack/reset", 404),
        ("GET", "/oauth2/authorize/../../_ministack/health", 404),
        ("GET", "/{pool}/.well-known/jwks.json", 404),
        ("GET", "/2015-03-31/functions", 404),
        ("PUT", "/login", 405),
        ("GET", "/oauth2/token", 405),
        ("GET", "/oauth2/revoke", 405),
        ("DELETE", "/logout", 405),
        ("POST", "/.well-known/openid-configuration", 405),
        ("GET", "/.well-known/oauth-protected-resource", 404),
    ],
)
def test_nothing_else_of_the_emulator_is_reachable(front, method, path, status):
    """The front does not lead to the emulator's other services."""
    path = path.format(pool=front.pool_id)
    answer = requests.Session().send(_unnormalised(method, front.url, path), timeout=10)
    assert answer.status_code == status
    assert ("allow" in answer.headers) == (status == 405)


def _unnormalised(method, url, path):
    headers = {"X-Amz-Target": "AWSCognitoIdentityProviderService.ListUserPools"}
    request = requests.Request(method, url, headers=headers).prepare()
    request.url = url + path  # requests would resolve the dot segments itself
    return request


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", 200),
        ("localhost:{port}", 200),
        ("Localhost:{port}", 200),
        ("my.test:{port}", 200),
        ("my.test", 200),
        ("127.0.0.1", 403),
        ("127.0.0.1:1", 403),
        ("evil.example:{port}", 403),
        ("127.0.0.1:{port}.evil.example", 403),
        ("localhost.:{port}", 403),
        ("127.1:{port}", 403),
        ("", 400),
    ],
)
def test_only_its_own_names_are_answered(front, host, status):
    """A name rebound to 127.0.0.1 does not get the page."""
    request = f"GET / HTTP/1.1\r\nHost: {host.format(port=front.port)}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", front.port), 5) as connection:
        connection.sendall(request.encode())
        answer = connection.makefile("rb").read()
    assert int(answer.split()[1]) == status


@pytest.mark.parametrize(("origin", "status"), [("{own}", 302), ("https://evil.example", 403), ("null", 403)])
def test_form_is_taken_from_its_own_page_only(front, origin, status):
    """Login CSRF: a page of another origin must not sign a person in as another."""
    assert _submit(front, headers={"Origin": origin.format(own=front.url)}).status_code == status


def test_browsers_headers_do_not_reach_the_emulator(front):
    """The emulator refuses browsers; the front speaks to it as a program."""
    browser = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Cookie": "x=1"}
    page = requests.get(f"{front.url}/oauth2/authorize?{_authorize_query(front)}", headers=browser, timeout=10)
    assert page.status_code == 200
    direct = requests.get(f"{front.emulator_url}/oauth2/authorize", headers=browser, timeout=10)
    assert direct.status_code == 403


def test_single_page_apps_may_call_the_token_endpoint_but_not_the_form(front):
    """CORS where AWS has it, and nowhere else."""
    page = requests.get(
        f"{front.url}/oauth2/authorize?{_authorize_query(front)}",
        headers={"Origin": "http://localhost:5173"},
        timeout=10,
    )
    token = requests.post(f"{front.url}/oauth2/token", headers={"Origin": "http://localhost:5173"}, timeout=10)
    preflight = requests.options(f"{front.url}/oauth2/revoke", timeout=10)
    assert "access-control-allow-origin" not in page.headers
    assert token.headers["access-control-allow-origin"] == "*"
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, "*")


def test_form_cannot_be_framed(front):
    """Clickjacking: the page says that no other page may embed it."""
    page = requests.get(f"{front.url}/oauth2/authorize?{_authorize_query(front)}", timeout=10)
    assert page.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize(("size", "status"), [(64 * 1024, 400), (64 * 1024 + 1, 413)])
def test_body_is_bounded(front, size, status):
    """A token request is short; 64 KB are read at most."""
    assert requests.post(f"{front.url}/oauth2/token", data=b"x" * size, timeout=10).status_code == status


def test_caller_that_leaves_in_the_middle_of_a_body_does_no_harm(front, caplog):
    """Nothing is passed on to the emulator, and no traceback is printed."""
    with socket.create_connection(("127.0.0.1", front.port), 5) as connection:
        # Answered once: the server has accepted the connection, which ends before it may have read on.
        connection.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{front.port}\r\n\r\n".encode())
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        before = len(front.console)
        head = f"POST /oauth2/token HTTP/1.1\r\nHost: 127.0.0.1:{front.port}\r\nContent-Length: 9\r\n\r\n"
        connection.sendall(head.encode() + b"token")
    assert wait_until(lambda: len(front.console) > before, seconds=10)
    assert front.console[before:] == ["sign-in: POST '/oauth2/token' 413"]
    assert caplog.records == []


def test_console_shows_no_secrets(front):
    """One line for each request: method, path, status. Codes, states and passwords stay out."""
    before = len(front.console)
    tokens = _tokens(front)
    _revoke(front, token=tokens["refresh_token"], client_id=front.client_id)
    lines = front.console[before:]
    assert [re.sub(r"^sign-in: ", "", line) for line in lines] == [
        "GET '/oauth2/authorize' 200",
        "POST '/login' 302",
        "POST '/oauth2/token' 200",
        "POST '/oauth2/revoke' 200",
    ]


# --- the revocation that the emulator lacks -----------------------------------------------------------------------------


def test_emulator_still_lacks_revocation(front):
    """When it has the endpoint, ours can go."""
    answer = requests.post(f"{front.emulator_url}/oauth2/revoke", data={"token": "x"}, timeout=10)
    assert answer.status_code >= 400


def test_revoked_refresh_token_gives_no_more_tokens(front):
    """Before: a refresh works. After: it does not."""
    token = _tokens(front)["refresh_token"]
    assert _refresh(front, token).status_code == 200
    answer = _revoke(front, token=token, client_id=front.client_id)
    assert (answer.status_code, answer.content) == (200, b"")
    assert (_refresh(front, token).status_code, _refresh(front, token).json()["error"]) == (400, "invalid_grant")


def test_unknown_token_is_no_error(front):
    """RFC 7009 §2.2: the client could do nothing about it."""
    answer = _revoke(front, token="no-such-token", client_id=front.client_id)
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("kind", ["id_token", "access_token"])
def test_other_tokens_cannot_be_revoked(front, kind):
    """Cognito revokes refresh tokens, and with them what came of them."""
    answer = _revoke(front, token=_tokens(front)[kind], client_id=front.client_id)
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_token_type")


def test_missing_token_is_an_invalid_request(front):
    """Without a token there is nothing to revoke."""
    answer = _revoke(front, client_id=front.client_id)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("client_id", ["", "no-such-client", "../x"])
def test_unknown_client_is_refused(front, client_id):
    """Whose token it is has to be said first."""
    answer = _revoke(front, token="x", client_id=client_id)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")


def test_repeated_parameter_is_refused(front):
    """RFC 6749 §3.2: which of the two counts would be a guess."""
    body = urlencode([("token", "a"), ("token", "b"), ("client_id", front.client_id)])
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = requests.post(f"{front.url}/oauth2/revoke", data=body, headers=headers, timeout=10)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.fixture(scope="module")
def confidential(front):
    """A client with a secret: its id and the secret."""
    client = front.cognito.create_user_pool_client(
        UserPoolId=front.pool_id, ClientName="server", GenerateSecret=True, EnableTokenRevocation=True
    )["UserPoolClient"]
    return client["ClientId"], client["ClientSecret"]


def _basic(client_id, secret):
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


def test_confidential_client_shows_its_secret(front, confidential):
    """In the header, as RFC 6749 §2.3.1 wants it."""
    assert _revoke(front, token="x", headers=_basic(*confidential)).status_code == 200


@pytest.mark.parametrize("secret", ["", "wrong", "é"])
def test_confidential_client_with_a_wrong_secret_is_refused(front, confidential, secret):
    """With the challenge that RFC 6749 §5.2 asks for."""
    answer = _revoke(front, token="x", headers=_basic(confidential[0], secret))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"] == "Basic"


def test_confidential_client_without_a_secret_is_refused(front, confidential):
    """Its id alone does not do."""
    answer = _revoke(front, token="x", client_id=confidential[0])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")


@pytest.mark.parametrize("value", ["Basic", "Basic !!!", "Basic /w==", "Bearer x"])
def test_unreadable_credentials_are_refused(front, value):
    """Nothing that cannot be read falls back to another way to say who one is."""
    answer = _revoke(front, token="x", client_id=front.client_id, headers={"Authorization": value})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_client_with_revocation_off_is_told(front):
    """AWS refuses there, and so does the front."""
    client = front.cognito.create_user_pool_client(
        UserPoolId=front.pool_id, ClientName="old", EnableTokenRevocation=False
    )["UserPoolClient"]
    answer = _revoke(front, token="x", client_id=client["ClientId"])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


# --- metadata, which the emulator's would lead off the machine ------------------------------------------------------------


@pytest.mark.parametrize("path", ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"])
def test_metadata_names_the_issuer_that_was_asked_and_leads_nowhere_else(front, path):
    """RFC 8414 §3.3: the issuer is the one whose metadata it is; every address in it is on this machine."""
    answer = requests.get(front.url + path, headers={"Origin": "http://localhost:5173"}, timeout=10)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["access-control-allow-origin"] == "*"
    document = answer.json()
    assert document["issuer"] == front.url
    keys = document.pop("jwks_uri")
    assert {key["kid"] for key in requests.get(keys, timeout=10).json()["keys"]}
    for name, value in document.items():
        if name.endswith("_endpoint"):
            assert value.startswith(f"{front.url}/"), name
            assert requests.options(value, timeout=10).status_code != 404, name


def test_metadata_is_no_more_generous_than_cognitos(front):
    """Without PKCE methods and without registration: a client that needs them should fail here, not only on AWS."""
    document = requests.get(f"{front.url}/.well-known/openid-configuration", timeout=10).json()
    assert not {"code_challenge_methods_supported", "registration_endpoint"} & document.keys()


def test_emulators_metadata_still_leads_off_the_machine(front):
    """When its issuer is one that a client here can ask, ours can go."""
    theirs = requests.get(f"{front.emulator_url}/{front.pool_id}/.well-known/openid-configuration", timeout=10).json()
    assert theirs["issuer"].startswith("https://cognito-idp.")


# --- refreshed tokens, of which the emulator forgets the sign-in ----------------------------------------------------------


def _claims(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


@pytest.fixture(scope="module")
def sign_ins(front):
    """The demo user's tokens, by the form and by the API, from before a group and from an earlier second."""
    by_form = _tokens(front)
    parameters = {"USERNAME": front.username, "PASSWORD": front.password}
    found = front.cognito.initiate_auth(
        ClientId=front.client_id, AuthFlow="USER_PASSWORD_AUTH", AuthParameters=parameters
    )["AuthenticationResult"]
    by_api = {
        "id_token": found["IdToken"],
        "access_token": found["AccessToken"],
        "refresh_token": found["RefreshToken"],
    }
    front.cognito.create_group(UserPoolId=front.pool_id, GroupName="admins")
    front.cognito.admin_add_user_to_group(UserPoolId=front.pool_id, Username=front.username, GroupName="admins")
    signed_in = max(_claims(tokens["id_token"])["iat"] for tokens in (by_form, by_api))
    while int(time.time()) <= signed_in:
        time.sleep(0.02)
    yield {"form": by_form, "api": by_api}
    front.cognito.delete_group(UserPoolId=front.pool_id, GroupName="admins")


def _refreshed(front, by, refresh_token):
    """Return new ID and access tokens."""
    if by == "token endpoint":
        tokens = _refresh(front, refresh_token).json()
        return tokens["id_token"], tokens["access_token"]
    if by == "InitiateAuth":
        answer = front.cognito.initiate_auth(
            ClientId=front.client_id,
            AuthFlow="REFRESH_TOKEN_AUTH",
            AuthParameters={"REFRESH_TOKEN": refresh_token},
        )
    else:
        answer = front.cognito.get_tokens_from_refresh_token(ClientId=front.client_id, RefreshToken=refresh_token)
    return answer["AuthenticationResult"]["IdToken"], answer["AuthenticationResult"]["AccessToken"]


@pytest.mark.parametrize("refresh_by", ["token endpoint", "InitiateAuth", "GetTokensFromRefreshToken"])
@pytest.mark.parametrize("sign_in_by", ["form", "api"])
def test_refreshed_tokens_tell_of_their_sign_in_and_of_the_groups_of_now(front, sign_ins, sign_in_by, refresh_by):
    """As Cognito's do: a new ``iat`` and ``jti``, but the time and ``origin_jti`` of the sign-in, twice in a row."""
    before = sign_ins[sign_in_by]
    signed_in = _claims(before["id_token"])
    assert "cognito:groups" not in signed_in
    seen = {signed_in["jti"]}
    for _ in range(2):
        for token in _refreshed(front, refresh_by, before["refresh_token"]):
            claims = _claims(token)
            assert claims["iat"] > signed_in["iat"]
            assert claims["auth_time"] == signed_in["auth_time"]
            assert claims["origin_jti"] == signed_in["origin_jti"]
            assert claims["cognito:groups"] == ["admins"]
            assert claims["jti"] not in seen
            seen.add(claims["jti"])


def test_another_sign_in_has_a_time_and_an_origin_of_its_own(front, sign_ins):
    """And its ID and access token agree on both."""
    first = _claims(sign_ins["form"]["id_token"])
    tokens = _tokens(front)
    id_claims, access_claims = _claims(tokens["id_token"]), _claims(tokens["access_token"])
    assert id_claims["auth_time"] > first["auth_time"]
    assert id_claims["origin_jti"] != first["origin_jti"]
    assert [id_claims[name] == access_claims[name] for name in ("auth_time", "origin_jti")] == [True, True]


def test_a_group_that_was_left_is_gone_at_the_next_refresh(front, sign_ins):
    """The groups are those of the moment, not of the sign-in: one who left loses them."""
    member = {"UserPoolId": front.pool_id, "Username": front.username, "GroupName": "admins"}
    front.cognito.admin_remove_user_from_group(**member)
    try:
        for token in _refreshed(front, "token endpoint", sign_ins["form"]["refresh_token"]):
            assert "cognito:groups" not in _claims(token)
    finally:
        front.cognito.admin_add_user_to_group(**member)
