"""Sign in, take a token, call with curl: the main job, through the running local system."""

import base64
import hashlib
import html
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests

from tests.support.keys_and_tokens import Pool
from tests.support.running_system import PROJECT

pytestmark = pytest.mark.e2e

FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)


def unverified_claims(token: str) -> dict:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def assert_refused(answer, status: int, code: str) -> dict:
    """Check the parts of contract C6 that every refusal has, and return the problem document."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == ["application/problem+json"]
    assert answer.headers["cache-control"] == ["no-store"]
    problem = answer.json
    assert problem["code"] == code, problem
    assert problem["status"] == status
    assert {"type", "title", "detail", "request_id"} <= set(problem)
    return problem


@pytest.mark.usefixtures("curl")
def test_the_lines_that_make_run_prints_give_200_and_the_users_name(system):
    """Pasted into a shell in the project's folder, the printed lines do what they promise."""
    printed = system.process.printed()
    lines = re.findall(r"^  ((?:curl|TOKEN=|python|GATEWAY_STATE_DIR=).*)$", printed, re.MULTILINE)
    assert len(lines) == 4, printed
    bin_folder = str(Path(sys.executable).parent)
    environment = {**system.environment(), "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    statuses = re.findall(r"HTTP/1\.1 (\d+)", done.stdout)
    assert statuses == ["401", "200", "200"], done.stdout + done.stderr
    assert done.stdout.count(f'"username": "{system.outputs["username"]}"') == 2


def test_outputs_have_exactly_what_contract_c2_names(system):
    """Other programs read this file."""
    assert set(system.outputs) == {
        "gateway_url",
        "login_url",
        "user_pool_id",
        "client_id",
        "username",
        "password",
        "function_urls",
        "aws_endpoint_url",
        "region",
        "parameter_prefix",
    }
    mode = (system.process.state_dir / "outputs.json").stat().st_mode & 0o777
    assert mode == 0o600


def test_sign_in_through_the_hosted_ui_form_gives_a_token_that_opens_the_door(system):
    """The default way: a link, the sign-in form, the loopback callback with PKCE; here the browser is requests."""
    command = [sys.executable, str(PROJECT / "scripts" / "get_token.py"), "--local", "--no-browser", "--no-cache"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=system.environment()
    ) as script:
        seen = []
        link = None
        for line in script.stderr:
            seen.append(line)
            if match := re.search(r"http://\S+/oauth2/authorize\?\S+", line):
                link = match[0]
                break
        assert link, "".join(seen)
        assert "code_challenge_method=S256" in link
        with requests.Session() as browser:
            page = browser.get(link, timeout=10)
            fields = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page.text))
            action = re.search(r'<form[^>]*action="([^"]+)"', page.text)[1]
            form = {name: html.unescape(value) for name, value in fields.items()}
            form |= {"username": system.outputs["username"], "password": system.outputs["password"]}
            landed = browser.post(urljoin(page.url, html.unescape(action)), data=form, timeout=10)
            assert landed.status_code == 200, landed.text
            assert "token" not in landed.url
        out, err = script.communicate(timeout=20)
    assert script.returncode == 0, err
    token = out.strip()
    assert out == token + "\n"
    answer = system.curl("/api/whoami", token=token)
    assert answer.status == 200
    assert answer.json["username"] == system.outputs["username"]


def test_a_token_gives_200_and_the_verified_identity(system):
    """What the backend learns is what the token says."""
    answer = system.curl("/api/whoami", token=system.token)
    assert answer.status == 200
    claims = unverified_claims(system.token)
    who = answer.json
    assert (who["sub"], who["username"], who["email"]) == (claims["sub"], claims["cognito:username"], claims["email"])
    assert who["claims"] == claims


def test_no_token_is_401_with_a_challenge_and_no_error_code(system):
    """RFC 6750 §3.1: no error information when no credentials were sent."""
    answer = system.curl("/api/whoami")
    assert_refused(answer, 401, "missing_token")
    (challenge,) = answer.headers["www-authenticate"]
    assert re.fullmatch(r'Bearer realm="[^"]+"', challenge)


def bad_tokens(system) -> dict[str, tuple[str, str]]:
    claims = unverified_claims(system.token)
    now = int(time.time())
    header, payload, signature = system.token.split(".")
    forged = base64.urlsafe_b64encode(json.dumps({**claims, "cognito:username": "root"}).encode()).rstrip(b"=").decode()
    return {
        "expired": (system.mint({**claims, "iat": now - 7200, "auth_time": now - 7200, "exp": now - 1}), "expired"),
        "tampered payload": (f"{header}.{forged}.{signature}", "invalid_signature"),
        "tampered signature": (f"{header}.{payload}.{'A' * len(signature)}", "invalid_signature"),
        "another pool's": (Pool(pool_id="us-east-1_OtherPool").id_token(now), "wrong_issuer"),
        "another pool's key": (
            Pool(pool_id="us-east-1_OtherPool").id_token(now, iss=claims["iss"]),
            "unknown_key",
        ),
        "access instead of ID": (system.access_token, "wrong_token_use"),
        "another client's": (system.mint({**claims, "aud": "anotherclient"}), "wrong_client"),
        "without exp": (system.mint({k: v for k, v in claims.items() if k != "exp"}), "missing_claim"),
        "not a token": ("letmein", "malformed_token"),
    }


def test_a_minted_copy_of_the_good_token_is_accepted(system):
    """The accept half of the pairs below: minting by itself breaks nothing."""
    assert system.curl("/api/whoami", token=system.mint(unverified_claims(system.token))).status == 200


def test_bad_tokens_are_401_each_with_its_code(system):
    """And the challenge says invalid_token."""
    for name, (token, code) in bad_tokens(system).items():
        answer = system.curl("/api/whoami", token=token)
        problem = assert_refused(answer, 401, code)
        assert 'error="invalid_token"' in answer.headers["www-authenticate"][0], name
        assert token not in json.dumps(problem)


def test_the_function_url_itself_answers_403_in_aws_words(system):
    """Knowing the URL is not enough, with or without a token."""
    for arguments in ((), ("-H", f"Authorization: Bearer {system.token}")):
        answer = system.curl(system.outputs["function_urls"]["api"] + "api/whoami", *arguments)
        assert answer.status == 403
        assert answer.json == {"Message": FORBIDDEN}
        assert answer.headers["x-amzn-errortype"] == ["AccessDeniedException"]


BODIES = {
    "json": (b'{"title": "M\xc3\xbcnchen"}', "application/json"),
    "binary": (bytes(range(256)) * 5, "application/octet-stream"),
    "not utf-8 but called text": (b"caf\xe9", "text/plain"),
    "empty": (b"", "application/json"),
    "one byte": (b"\0", "application/octet-stream"),
    "64 KB": (os.urandom(65_536), "application/octet-stream"),
    "exactly 1 MB": (os.urandom(1_048_576), "application/octet-stream"),
    "form": (b"a=1&a=2&b=%20+", "application/x-www-form-urlencoded"),
}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("name", BODIES)
def test_the_backend_sees_the_bytes_that_were_sent(system, name, method):
    """Any body, and no client has to compute a hash."""
    body, content_type = BODIES[name]
    answer = system.curl(
        "/api/echo", "-X", method, "-H", f"content-type: {content_type}", token=system.token, body=body
    )
    assert answer.status == 200, answer.body[:300]
    seen = answer.json
    assert seen["method"] == method
    assert seen["body_bytes"] == len(body)
    assert seen["body_sha256"] == hashlib.sha256(body).hexdigest()


def sha_header(body: bytes) -> tuple[str, str]:
    return "-H", f"x-amz-content-sha256: {hashlib.sha256(body).hexdigest()}"


def test_a_body_beyond_1_mb_needs_its_hash_and_then_arrives(system):
    """The edge cannot see it all: 413 says what to send; with the hash, the very bytes arrive."""
    body = os.urandom(1_048_577)
    octets = ("-H", "content-type: application/octet-stream")
    refused = assert_refused(system.curl("/api/echo", *octets, token=system.token, body=body), 413, "body_too_large")
    assert "x-amz-content-sha256" in refused["detail"]
    answer = system.curl("/api/echo", *octets, *sha_header(body), token=system.token, body=body)
    assert answer.status == 200, answer.body[:300]
    assert answer.json["body_sha256"] == hashlib.sha256(body).hexdigest()


def test_a_wrong_hash_is_refused_by_lambda_not_passed(system):
    """The hash is the viewer's word; Lambda checks it against the bytes."""
    body = os.urandom(1_048_577)
    answer = system.curl("/api/echo", *sha_header(body + b"x"), token=system.token, body=body)
    assert answer.status == 403
    assert answer.headers["x-amzn-errortype"] == ["InvalidSignatureException"]


def test_a_text_body_of_5_9_mb_arrives_with_its_hash(system):
    """Up to Lambda's 6 MB; binary ends at about 4.7 MB, since Lambda's event carries it in base64."""
    body = (b"0123456789abcdef" * (5_900_000 // 16 + 1))[:5_900_000]
    answer = system.curl(
        "/api/echo", "-H", "content-type: text/plain", *sha_header(body), token=system.token, body=body
    )
    assert answer.status == 200, answer.body[:300]
    assert answer.json["body_sha256"] == hashlib.sha256(body).hexdigest()


def test_delete_with_a_body_needs_its_hash_and_then_arrives(system):
    """CloudFront does not show the body of a DELETE to the edge."""
    body = b'{"ids": [1, 2]}'
    delete = ("-X", "DELETE", "-H", "content-type: application/json")
    assert_refused(system.curl("/api/echo", *delete, token=system.token, body=body), 413, "body_too_large")
    answer = system.curl("/api/echo", *delete, *sha_header(body), token=system.token, body=body)
    assert answer.status == 200, answer.body[:300]
    assert answer.json["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert system.curl("/api/echo", "-X", "DELETE", token=system.token).status == 200


QUERIES = {
    "a=b+c": [["a", "b c"]],
    "a=b%20c&plus=1%2B1": [["a", "b c"], ["plus", "1+1"]],
    "x[]=1&x[]=2&x[k]=3": [["x[]", "1"], ["x[]", "2"], ["x[k]", "3"]],
    "name=%C3%A9t%C3%A9&k=caf\u00e9": [["name", "\u00e9t\u00e9"], ["k", "caf\u00e9"]],
    "b=2&a=1&b=1": [["b", "2"], ["a", "1"], ["b", "1"]],
    "flag&empty=&&last=1": [["flag", ""], ["empty", ""], ["last", "1"]],
    "redirect=https://example.com/a?b=c,d;e": [["redirect", "https://example.com/a?b=c,d;e"]],
    "t=a:b,c@d*e!f'(g)": [["t", "a:b,c@d*e!f'(g)"]],
    'json={"a":1}': [["json", '{"a":1}']],
}


@pytest.mark.parametrize("query", QUERIES)
def test_the_backend_sees_the_query_that_was_meant(system, query):
    """Order, duplicates and every character."""
    answer = system.curl(f"/api/echo?{query}", token=system.token)
    assert answer.status == 200, answer.body[:300]
    assert answer.json["query"] == QUERIES[query]


PATHS = ["/api/echo/a%20b", "/api/echo/caf%C3%A9", "/api/echo/(x)*!'$&+,;=:@~", "/api/echo/a%2Fb", "/api/echo//x//y"]


@pytest.mark.parametrize("path", PATHS)
def test_the_backend_sees_the_path_that_was_meant(system, path):
    """Escapes stay what they were; doubled slashes are merged."""
    answer = system.curl(path, token=system.token)
    assert answer.status == 200, answer.body[:300]
    assert answer.json["raw_path"] == re.sub("//+", "/", path)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
def test_every_method_arrives(system, method):
    """All seven that CloudFront allows."""
    arguments = ("--head",) if method == "HEAD" else ("-X", method)
    answer = system.curl("/api/echo", *arguments, token=system.token)
    assert answer.status == 200
    if method != "HEAD":
        assert answer.json["method"] == method


def test_spoofed_identity_never_reaches_the_backend(system):
    """x-cognito-* in any spelling is the gateway's alone, and nothing says another method, path or host than the judged one."""
    spoofed = (
        "x-cognito-groups",
        "X-Cognito_Username",
        "x_cognito_sub",
        "x.cognito.groups",
        "x~cognito~sub",
        "SCRIPT_NAME",
    )
    spoofed += (
        "X-HTTP-Method-Override",
        "X-Original-URL",
        "X-Forwarded-Prefix",
        "X-Forwarded-User",
        "X-Host",
        "Proxy",
        "Remote-User",
    )
    options = [part for name in spoofed for part in ("-H", f"{name}: forged")]
    seen = system.curl("/api/echo", *options, "-H", "X-Request-Id: kept", token=system.token).json
    assert "forged" not in seen["headers"].values()
    assert all(re.fullmatch("[a-z0-9-]+", name) for name in seen["headers"])
    assert seen["headers"]["x-cognito-username"] == system.outputs["username"]
    assert seen["headers"]["x-request-id"] == "kept"


@pytest.mark.parametrize(
    ("sent", "seen"),
    [([], "127.0.0.1"), (["1.2.3.4"], "1.2.3.4, 127.0.0.1"), (["1.2.3.4", "::1"], "1.2.3.4, ::1, 127.0.0.1")],
)
def test_the_viewers_address_is_appended_as_cloudfront_does(system, sent, seen):
    """Once, after whatever the viewer says of itself; the address alone has a header of its own (docs/headers.md)."""
    options = [part for address in sent for part in ("-H", f"x-forwarded-for: {address}")]
    forged = ("-H", "cloudfront-viewer-address: 192.0.2.1:1", "-H", "CloudFront_Viewer_Address: 192.0.2.2:1")
    headers = system.curl("/api/echo", *options, *forged, token=system.token).json["headers"]
    assert re.sub(r",\s*", ", ", headers["x-forwarded-for"]) == seen
    assert re.fullmatch(r"127\.0\.0\.1:[0-9]+", headers["cloudfront-viewer-address"])


def test_the_viewers_authorization_never_reaches_the_backend(system):
    """The bearer token ends at the edge."""
    raw = system.curl("/api/echo", token=system.token).body.decode()
    assert system.token not in raw
    assert system.token.split(".")[2] not in raw


def test_the_log_has_one_line_a_request_and_no_secret(system):
    """Contract C8, on what the running system wrote."""
    answer = system.curl("/api/whoami?secret=hunter2", token=system.token)
    assert answer.status == 200
    refused = system.curl("/api/whoami?secret=hunter2")
    text = (system.process.state_dir / "edge.log").read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line.get("request_id") == refused.json["request_id"]]
    assert (line["decision"], line["code"], line["status"]) == ("refuse", "missing_token", 401)
    assert "hunter2" not in text
    assert system.token.split(".")[2] not in text
    assert system.outputs["password"] not in text
