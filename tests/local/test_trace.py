"""The trace: what it keeps of a request (never a secret), how its parts come together, and who may read it."""

import asyncio
import base64
import hashlib
import http.client
import itertools
import json
import re
import stat
import string
from types import SimpleNamespace
from urllib.parse import quote, urlsplit

import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cognito_edge_local.launcher import ports, serving
from cognito_edge_local.launcher.console import masked
from cognito_edge_local.origins.function_url import FunctionUrlDoor, InvokeResult
from cognito_edge_local.origins.principals import StaticCredentials, StaticPolicies
from cognito_edge_local.trace import redaction
from cognito_edge_local.trace.book import TraceBook
from cognito_edge_local.trace.redaction import Redaction
from cognito_edge_local.trace.server import FILE_NAME, MAX_STREAMS, TraceEndpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.local.door_support import ACCOUNT, BOTH, CREDENTIAL, FUNCTION_ARN, REGION, URL_HOST, sign_botocore
from tests.local.loop_thread import LoopThread
from tests.local.twin_rig import RawOrigin, changes, send
from tests.support.waiting import wait_until

TOKEN = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.eyJzdWIiOiJwbGFudGVkLXN1YiJ9.c2lnbmF0dXJlLXRoYXQtbm9ib2R5LW1heS1zZWU"
REFERER_CODE = "planted-referer-code"
REDIRECT_CODE = "planted-location-code"
PLANTED = {
    "bearer token": TOKEN,
    "token's payload": TOKEN.split(".")[1],
    "session token": "FwoGZXIvYXdzEPLANTEDsession//token==",
    "signature": "deadbeef" * 8,
    "cookie": "planted-cookie-value",
    "second cookie": "planted+second=cookie",
    "query value": "planted query/value!",
    "query value by a harmless name": "planted7harmless",
    "custom header": "planted-custom-header",
    "referer's query": REFERER_CODE,
    "redirect's query": REDIRECT_CODE,
    "set-cookie": "planted-set-cookie",
    "request body": "planted-request-body",
    "answer body": "planted-answer-body",
    "password in a URL": "planted-userinfo",
}


def written_in_other_ways(secret):
    """A secret as it may turn up again."""
    raw = secret.encode()
    return {
        secret,
        quote(secret, safe=""),
        quote(secret, safe="").replace("%20", "+"),
        json.dumps(secret)[1:-1],
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
    }


def line(request_id="r==", **fields):
    """A line of the edge function's log (contract C8)."""
    known = {
        "time": "2026-11-21T13:12:08.132Z",
        "request_id": request_id,
        "method": "GET",
        "path": "/api/x",
        "rule": "routes[0] /*",
        "decision": "forward",
        "status": None,
        "ms": {"configuration": 0.01, "rule": 0.03, "token": 0.2, "sign": 0.1},
        "cache": {"configuration": "hit", "keys": "hit", "tokens": "miss"},
    }
    return json.dumps({**known, **fields})


def door(visits, *, payload=b'{"statusCode":200,"body":"ok"}', function_error=None):
    """A door that notes its visits."""

    async def invoke(_name, _event):
        return InvokeResult(payload, function_error)

    return FunctionUrlDoor(
        function_name="api",
        function_arn=FUNCTION_ARN,
        region=REGION,
        account_id=ACCOUNT,
        url_host=URL_HOST,
        credentials=StaticCredentials([CREDENTIAL]),
        policies=StaticPolicies(by_role={"edge-role": list(BOTH)}),
        invoke=invoke,
        console=lambda _text: None,
        observe=visits.append,
    )


def visit(signed, **options):
    """Let a signed request knock; gives what the door noted."""
    visits = []
    path, _, query = signed.target.encode().partition(b"?")
    scope = {
        "type": "http",
        "method": signed.method,
        "raw_path": path,
        "query_string": query,
        "headers": [(name.lower().encode(), str(value).encode()) for name, value in signed.headers.items()],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 6),
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": signed.body}

    async def answer(message):
        sent.append(message)

    asyncio.run(door(visits, **options)(scope, receive, answer))
    (found,) = visits
    return found


# --- redaction ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exchange():
    """A request that went through the twin with a secret in every place that can hold one."""

    def sign(request):
        request["headers"]["authorization"] = [
            {"key": "Authorization", "value": f"AWS4-HMAC-SHA256 Credential=A, Signature={PLANTED['signature']}"}
        ]
        request["headers"]["x-amz-security-token"] = [
            {"key": "X-Amz-Security-Token", "value": PLANTED["session token"]}
        ]
        claims = base64.urlsafe_b64encode(TOKEN.encode()).decode()
        request["headers"]["x-cognito-claims"] = [{"key": "x-cognito-claims", "value": claims}]

    answer = (
        f"HTTP/1.1 302 Found\r\nSet-Cookie: sid={PLANTED['set-cookie']}; HttpOnly\r\nX-Custom: {PLANTED['custom header']}\r\n"
        f"Location: https://me:{PLANTED['password in a URL']}@example.com/?code={REDIRECT_CODE}\r\n"
        f"Content-Length: {len(PLANTED['answer body'])}\r\n\r\n{PLANTED['answer body']}"
    ).encode()
    _, rig = send(
        "POST",
        f"/api/x?access_token={quote(PLANTED['query value'], safe='')}&q={PLANTED['query value by a harmless name']}".encode(),
        [
            (b"Authorization", f"Bearer {TOKEN}".encode()),
            (b"Cookie", f"sid={PLANTED['cookie']}; theme={PLANTED['second cookie']}".encode()),
            (b"X-Api-Key", PLANTED["custom header"].encode()),
            (b"Referer", f"https://example.com/cb?code={REFERER_CODE}".encode()),
            (b"Content-Type", b"text/plain"),
        ],
        PLANTED["request body"].encode(),
        function=changes(sign),
        origin=RawOrigin(answer),
    )
    (found,) = rig.exchanges
    return found


@pytest.fixture(scope="module")
def admitted():
    """The same at the door: every secret inside the signature, and the function repeats one in its answer."""
    target = (
        f"/api/x?access_token={quote(PLANTED['query value'], safe='')}&q={PLANTED['query value by a harmless name']}"
    )
    headers = {
        "cookie": f"sid={PLANTED['cookie']}; theme={PLANTED['second cookie']}",
        "x-api-key": PLANTED["custom header"],
        "x-cognito-claims": base64.urlsafe_b64encode(TOKEN.encode()).decode(),
        "x-forwarded-authorization": f"Bearer {TOKEN}",
        "referer": f"https://example.com/cb?code={REFERER_CODE}",
        "content-type": "text/plain",
    }
    answer = {
        "statusCode": 302,
        "headers": {"location": f"/?code={REDIRECT_CODE}", "x-custom": PLANTED["custom header"]},
        "cookies": [f"sid={PLANTED['set-cookie']}"],
        "body": PLANTED["answer body"],
    }
    signed = sign_botocore("POST", target, PLANTED["request body"].encode(), headers=headers)
    found = visit(signed, payload=json.dumps(answer).encode())
    assert found.status == 302, found.why
    return found


@pytest.mark.parametrize("place", PLANTED)
def test_secret_in_a_request_is_not_kept(exchange, place):
    """Wherever it stood, the record does not have it, in no spelling."""
    book = TraceBook()
    book.take_exchange(exchange)
    kept = json.dumps([book.get(exchange.request_id), book.summaries()])
    assert [text for text in written_in_other_ways(PLANTED[place]) if text in kept] == []
    assert exchange.request_id in kept


@pytest.mark.parametrize("place", [*PLANTED, "secret key", "edge's session token", "its signature"])
def test_secret_at_the_door_is_not_kept(admitted, place):
    """Nor in the canonical request, the event, or the answer."""
    own = {
        "secret key": CREDENTIAL.secret_access_key,
        "edge's session token": CREDENTIAL.session_token,
        "its signature": admitted.request.header(b"authorization").rpartition(b"=")[2].decode(),
    }
    book = TraceBook()
    book.take_visit(admitted)
    kept = json.dumps(book.get(f"direct-{admitted.request_id}"))
    assert [text for text in written_in_other_ways({**PLANTED, **own}[place]) if text in kept] == []
    assert '"rawPath": "/api/x"' in kept


@pytest.mark.parametrize("wrong", ["one usual mistake", "no usual mistake"])
def test_explanation_of_a_wrong_signature_repeats_no_secret(wrong):
    """The two canonical requests encode the query anew and cut it to columns: it is masked by its place, not by its words."""
    secret = "planted value/" + hashlib.sha512(b"planted").hexdigest()
    target = f"/api/x?a={quote(secret, safe='')}&b={quote(secret[::-1], safe='')}"
    signed = sign_botocore("GET", target, headers={"x-api-key": secret})
    signed.headers["x-api-key"] += ", late" if wrong == "one usual mistake" else ""
    if wrong == "no usual mistake":
        signed.target = signed.target.replace("a=", "c=")
    found = visit(signed)
    assert found.status == 403
    book = TraceBook()
    book.take_visit(found)
    kept = book.get(f"direct-{found.request_id}")
    assert ("one entry less" in kept["door"]["why"]) == (wrong == "one usual mistake")
    assert "x-amz-security-token:" in kept["door"]["why"]
    text = json.dumps(kept)
    assert [secret[at : at + 8] for at in range(len(secret) - 8) if secret[at : at + 8] in text] == []
    assert [secret[::-1][at : at + 8] for at in range(len(secret) - 8) if secret[::-1][at : at + 8] in text] == []


def test_failed_functions_words_stay_on_the_console():
    """An error message may quote the body."""
    signed = sign_botocore("POST", "/api/x", b"planted-body")
    found = visit(signed, payload=b'{"errorMessage": "cannot read planted-body"}', function_error="Unhandled")
    book = TraceBook()
    book.take_visit(found)
    kept = book.get(f"direct-{found.request_id}")
    assert kept["door"]["why"].startswith("the function failed (Unhandled)")
    assert "planted-body" not in json.dumps(kept)


def test_token_in_a_path_is_masked():
    """Paths are shown as the log and the console show them, but for what has a token's form."""
    book = TraceBook()
    book.take_line(line(path=f"/reset/{TOKEN}/now"))
    assert book.get("r==")["path"] == f"/reset/{masked(len(TOKEN))}/now"


VALUES = st.text(st.characters(blacklist_characters="&=#", blacklist_categories=["Cs"]), min_size=1, max_size=40)


@given(VALUES)
@settings(max_examples=60, deadline=None)
def test_no_letter_or_digit_of_a_query_value_is_shown(value):
    """Only punctuation and its escapes stay, which is what signatures break on."""
    for written in (quote(value, safe=""), "".join(f"%{byte:02X}" for byte in value.encode())):
        name, _, shown = redaction.query_structure(f"name={written}").partition("=")
        assert name == "name"
        left = re.sub(r"%(?:[0-2][0-9A-F]|3[A-F]|40|5[B-E]|60|7[B-F])", "", shown).replace(redaction.DOTS, "")
        assert not any(character.isalnum() for character in left)


@given(st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=30), VALUES)
@settings(max_examples=60, deadline=None)
def test_header_of_an_unknown_name_shows_its_size_alone(name, value):
    """What is shown is an allow-list, so an unknown header cannot leak."""
    shown = Redaction().header(f"x-unknown-{name}", value)
    assert shown == masked(len(value.encode()))


def test_what_explains_a_refusal_stays_readable(exchange, admitted):
    """Masking leaves what one needs: names, sizes, structure, harmless values."""
    book = TraceBook()
    book.take_exchange(exchange)
    kept = book.get(exchange.request_id)
    arrived = dict(kept["arrived"]["headers"])
    assert kept["arrived"]["line"] == "POST /api/x?access_token=···%20···%2F···%21&q=··· HTTP/1.1"
    assert arrived["authorization"] == f"Bearer [masked, {len(TOKEN)} bytes]"
    assert arrived["cookie"] == "sid=[masked, 20 bytes]; theme=[masked, 21 bytes]"
    assert arrived["content-type"] == "text/plain"
    book.take_visit(admitted)
    seen = book.get(f"direct-{admitted.request_id}")["door"]
    assert seen["event"]["body"] == "[masked, 20 bytes]"
    assert seen["event"]["cookies"] == ["sid=[masked, 20 bytes]", "theme=[masked, 21 bytes]"]
    assert seen["body"] == {"bytes": 20, "type": "text/plain"}
    assert seen["caller"] == CREDENTIAL.principal_arn


def test_challenge_is_no_secret():
    """``WWW-Authenticate: Bearer realm=…`` says what to do, and stays as it is."""
    value = 'Bearer realm="d111111abcdef8.cloudfront.net", error="invalid_token"'
    assert Redaction().header("WWW-Authenticate", value) == value


# --- record -------------------------------------------------------------------------------------------------------------


def test_string_to_sign_is_botocores(admitted):
    """The canonical request that is shown is the one whose hash an independent signer signs."""
    shown = TraceBook()
    shown.take_visit(admitted)
    found = shown.get(f"direct-{admitted.request_id}")["door"]
    headers = {name.decode(): value.decode() for name, value in admitted.request.headers}
    signed = {name: headers[name] for name in found["signed_headers"]}
    request = AWSRequest(
        "POST", f"https://{URL_HOST}{admitted.request.path.decode()}?{admitted.request.query.decode()}", signed
    )
    request.data = admitted.request.body
    request.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(Credentials("a", "b", "c"), "lambda", REGION)
    expected = signer.string_to_sign(request, signer.canonical_request(request))
    assert "\n".join(found["string_to_sign"]) == expected
    assert found["canonical_request"][:2] == ["POST", "/api/x"]
    assert found["canonical_request"][-2] == ";".join(found["signed_headers"])


@pytest.mark.parametrize("order", list(itertools.permutations(["line", "visit", "exchange"])), ids="-".join)
def test_parts_come_together_in_any_order(exchange, order):
    """The log is a pipe, the door and the twin are servers: their order is not known."""
    passed = visit(sign_botocore("GET", "/api/x", headers={"x-amz-cf-id": exchange.request_id}))
    book = TraceBook()
    for part in order:
        match part:
            case "line":
                book.take_line(line(exchange.request_id))
            case "visit":
                book.take_visit(passed)
            case "exchange":
                book.take_exchange(exchange)
    (summary,) = book.summaries()
    assert (summary["status"], summary["decision"], summary["open"]) == (302, "forward", False)
    # The edge's clock may be wrong on purpose; the twin's is right.
    assert summary["time"] != "2026-11-21T13:12:08.132Z"
    where = [(step["where"], step["verdict"]) for step in book.get(exchange.request_id)["steps"]]
    assert [key for key, _ in itertools.groupby(name for name, _ in where)] == [
        "CloudFront",
        "edge",
        "function URL",
        "origin",
    ]
    assert {verdict for _, verdict in where[:-1]} == {"passed"}


def test_second_visit_under_one_id_is_a_request_of_its_own(exchange):
    """Whoever calls the door directly may write any x-amz-cf-id; the first visit's record stays as it is."""
    book = TraceBook()
    for query in ("a", "b"):
        signed = sign_botocore("GET", f"/{query}", headers={"x-amz-cf-id": exchange.request_id})
        book.take_visit(visit(signed))
    assert [summary["decision"] for summary in book.summaries()] == [None, "direct"]
    assert book.get(exchange.request_id)["door"]["canonical_request"][1] == "/a"


@pytest.mark.parametrize(
    ("taken", "code", "refused_at"),
    [
        ([], "configuration_unavailable", "parameters and policy"),
        (["configuration"], "ambiguous_path", "path and query in canonical form, and their rule"),
        (["configuration", "rule"], "expired", "token: signature, claims, what the rule asks"),
        (["configuration", "rule", "keys"], "expired", "token: signature, claims, what the rule asks"),
        (["configuration", "rule", "keys", "token"], "body_too_large", "hash of the body, identity headers, signature"),
    ],
)
def test_step_that_refused_is_named(taken, code, refused_at):
    """The log has the steps that ended; the next one is the one that said no."""
    book = TraceBook()
    book.take_line(line(decision="refuse", code=code, status=400, ms=dict.fromkeys(taken, 0.1)))
    steps = book.get("r==")["steps"]
    assert [step["verdict"] for step in steps] == [*["passed"] * len(taken), "refused"]
    assert (steps[-1]["what"], steps[-1]["note"]) == (refused_at, code)


def test_only_the_last_requests_are_kept():
    """Memory is bounded, whatever comes; the oldest go first."""
    book = TraceBook(limit=3)
    for number in range(10):
        book.take_line(line(f"r{number}"))
    assert [summary["id"] for summary in book.summaries()] == ["r7", "r8", "r9"]
    assert (len(book), book.get("r6")) == (3, None)


def test_one_records_size_is_bounded():
    """A hundred headers, values cut: CloudFront's own limits make the rest."""
    _, rig = send(
        "GET", b"/api/" + b"p" * 7000, [(b"User-Agent", b"u" * 9000)] + [(b"X-%d" % n, b"v") for n in range(300)]
    )
    book = TraceBook()
    book.take_exchange(rig.exchanges[0])
    kept = book.get(rig.exchanges[0].request_id)
    assert len(json.dumps(kept)) < 40_000
    assert kept["arrived"]["headers"][-1] == ["…", "203 more"]


@pytest.mark.parametrize(
    "text",
    ["START RequestId: 1", "{broken", '{"request_id": "' + "x" * 70_000 + '"}', "[" * 60_000, ""],
    ids=lambda text: text[:9],
)
def test_what_is_no_line_of_ours_is_left_alone(text):
    """A print or a traceback is the console's business."""
    book = TraceBook()
    book.take_line(text)
    assert book.summaries() == []


def test_failed_refresh_is_an_entry_of_its_own():
    """It belongs to no request, and explains the next ones."""
    book = TraceBook()
    fields = {"time": "t", "level": "ERROR", "event": "refresh_failed", "what": "keys", "reason": "no answer"}
    book.take_line(json.dumps(fields))
    (summary,) = book.summaries()
    assert (summary["path"], summary["decision"]) == ("edge: refresh_failed keys", "ERROR")
    assert book.get(summary["id"])["problem"] == "no answer"


# --- endpoint -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served():
    """The endpoint on a real server."""
    with LoopThread() as loop:
        sock = ports.listen(ports.PortRequest(0, "the trace page", ""))
        book = TraceBook()
        endpoint = TraceEndpoint(port=sock.getsockname()[1], book=book)
        server = serving.Serving(serving.plain_config(endpoint), sock, "trace page")
        loop.run(server.start())
        try:
            yield SimpleNamespace(loop=loop, book=book, endpoint=endpoint, url=endpoint.url)
        finally:
            loop.run(endpoint.close())
            loop.run(server.stop())


def take_line(served, text):
    async def take():
        served.book.take_line(text)

    served.loop.run(take())


def call(served, path="/requests", method="GET", **headers):
    given_ = {
        "Authorization": f"Bearer {served.endpoint.secret}",
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    given_ = {name: value for name, value in given_.items() if value is not None}
    return requests.request(method, served.url + path, headers=given_, timeout=10)


DATA = ["/requests", "/request?id=x", "/live"]


def test_program_with_the_secret_reads(served):
    """The accept side of every refusal below."""
    take_line(served, line("read=="))
    found = call(served).json()["requests"]
    assert "read==" in [summary["id"] for summary in found]
    assert call(served, f"/request?id={quote('read==')}").json()["method"] == "GET"
    assert call(served, "/request?id=unknown").status_code == 404
    assert call(served, "/elsewhere").status_code == 404


@pytest.mark.parametrize("path", DATA)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": None}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Host": "trace.example.com"}, 421),
        ({"Host": "localhost:{port}"}, 421),
        ({"Host": "127.0.0.1"}, 421),
        ({"Origin": "http://127.0.0.1:8080"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}, 403),
    ],
    ids=["no secret", "wrong secret", "empty secret", "rebound name", "localhost", "no port", "other port's page", "null origin",
         "cross-site", "same-site", "navigation"],
)  # fmt: skip
def test_nobody_else_reads(served, path, headers, status):
    """Neither a program without the secret, nor a page of another origin, nor a name rebound to this address."""
    port = str(urlsplit(served.url).port)
    found = call(served, path, **{name: value and value.replace("{port}", port) for name, value in headers.items()})
    assert found.status_code == status
    assert "error" in found.json()
    assert not [name for name in found.headers if name.lower().startswith("access-control-")]


def test_cookies_open_nothing(served):
    """Cookies know no ports: a secret in one would be sent to every server on this address."""
    found = call(served, Authorization=None, Cookie=f"secret={served.endpoint.secret}")
    assert found.status_code == 401
    assert "set-cookie" not in found.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(served, method):
    """The page looks, and does nothing else; a preflight gets no leave."""
    found = call(served, method=method)
    assert found.status_code == 405
    assert not [name for name in found.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize("path", ["/", "/page.js", "/page.css", "/icon.svg"])
def test_page_itself_says_nothing(served, path):
    """It comes without the secret, does not hold it, and runs no code but its own file."""
    found = call(served, path, Authorization=None)
    assert found.status_code == 200
    assert served.endpoint.secret not in found.text
    policy = found.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert found.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "mode", "destination", "status"),
    [
        ("/", "navigate", "document", 200),
        ("/", "navigate", "iframe", 403),
        ("/", "no-cors", "image", 403),
        ("/page.js", "no-cors", "script", 403),
        ("/page.js", "navigate", "document", 403),
    ],
)
def test_other_pages_may_link_and_nothing_more(served, path, mode, destination, status):
    """The printed address is clickable wherever it is shown; a frame or a script tag elsewhere is refused."""
    site = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": mode, "Sec_Fetch_Dest": destination}
    assert call(served, path, Authorization=None, **site).status_code == status


def test_published_for_this_user_alone(served, tmp_path):
    """0600, and gone with the run; the page's address has the secret where browsers do not send it."""
    with served.endpoint.published(tmp_path):
        file = tmp_path / FILE_NAME
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        told = json.loads(file.read_text())
        assert told["page"] == f"{served.url}/#{told['secret']}"
        assert requests.get(told["page"], timeout=10).status_code == 200
    assert list(tmp_path.iterdir()) == []


def test_every_start_makes_a_new_secret(served):
    """What leaked yesterday opens nothing today."""
    assert TraceEndpoint(port=1, book=served.book).secret != served.endpoint.secret


@pytest.fixture
def stream(served):
    """Open /live; gives a function that reads its next JSON line."""
    connections = []

    def open_(after=0):
        connection = http.client.HTTPConnection(ports.HOST, urlsplit(served.url).port, timeout=10)
        connections.append(connection)
        connection.request("GET", f"/live?after={after}", headers={"Authorization": f"Bearer {served.endpoint.secret}"})
        response = connection.getresponse()
        assert response.status == 200
        return lambda: json.loads(response.readline())

    open_.connections = connections
    yield open_
    for connection in connections:
        connection.close()
    assert wait_until(lambda: not served.endpoint._streams, seconds=10)


def test_requests_arrive_as_they_come(served, stream):
    """First where things stand, then each change."""
    read = stream(after=served.book.version)
    assert read() == {"limit": 200, "version": served.book.version}
    for name in ("one==", "two=="):
        take_line(served, line(name))
        assert read()["id"] == name


def test_reader_that_comes_back_misses_nothing(served, stream):
    """It says up to where it read; the reader of an earlier run begins anew."""
    take_line(served, line("early=="))
    seen = served.book.version
    take_line(served, line("meanwhile=="))
    read = stream(after=seen)
    read()
    assert read()["id"] == "meanwhile=="
    other = stream(after=10**9)
    other()
    assert other()["version"] == served.book.summaries()[0]["version"]


def test_readers_are_bounded(served, stream):
    """Forgotten tabs cost nothing after a while: the next one is refused, and let in when one has left."""
    for _ in range(MAX_STREAMS):
        stream()()
    assert call(served, "/live").status_code == 503
    stream.connections.pop().close()

    def let_in():
        headers = {"Authorization": f"Bearer {served.endpoint.secret}"}
        with requests.get(served.url + "/live", headers=headers, stream=True, timeout=10) as answer:
            return answer.status_code == 200

    assert wait_until(let_in, seconds=10)


def test_open_streams_do_not_hold_up_the_end(tmp_path):
    """A system with a trace page open in a tab stops at once."""
    with LoopThread() as loop:
        sock = ports.listen(ports.PortRequest(0, "the trace page", ""))
        endpoint = TraceEndpoint(port=sock.getsockname()[1], book=TraceBook())
        server = serving.Serving(serving.plain_config(endpoint), sock, "trace page")
        loop.run(server.start())
        connection = http.client.HTTPConnection(*sock.getsockname(), timeout=10)
        connection.request("GET", "/live", headers={"Authorization": f"Bearer {endpoint.secret}"})
        response = connection.getresponse()
        response.readline()
        loop.run(endpoint.close())
        assert response.read() == b""  # ended properly, not cut
        connection.close()
        loop.run(server.stop())
