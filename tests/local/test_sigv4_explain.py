"""The diagnosis of a mismatch: each usual mistake is made on purpose and has to be named, with its place marked."""

import dataclasses
import hashlib
from urllib.parse import quote

import pytest
from cognito_edge_local.origins.sigv4 import (
    canonical_headers,
    canonical_path,
    canonical_query,
    join_canonical,
    parse_authorization,
    signature,
)
from cognito_edge_local.origins.sigv4_explain import explain
from cognito_edge_local.origins.wire import WireRequest

from tests.local.door_support import CREDENTIAL, URL_HOST, sign_botocore

BODY = b"caf\xc3\xa9 \xff\n"
TARGET = "/api/caf%C3%A9/(x)?b=2&a=1&a=0&t=x%3Ay%21"


def report(request: WireRequest) -> str:
    authorization = parse_authorization(request.values(b"authorization")[0])
    return explain(request, authorization, CREDENTIAL, (URL_HOST, "127.0.0.1:8090"))


def missigned(target: str = TARGET, body: bytes = BODY, *, headers=None, **parts) -> WireRequest:
    """Sign as a program would that gets some part of the canonical request wrong; what is sent stays right."""
    request = sign_botocore("POST", target, body, headers=headers, state_hash=False).wire()
    authorization = parse_authorization(request.values(b"authorization")[0])
    signed_headers = canonical_headers(request, authorization.signed_headers)
    replaced = parts.pop("header", {})
    right = {
        "method": request.method,
        "path": canonical_path(request.path),
        "query": canonical_query(request.query),
        "headers": [(name, replaced.get(name, value)) for name, value in signed_headers],
        "payload_hash": request.body_sha256,
    }
    wrong = signature(
        join_canonical(**(right | parts)),
        secret_access_key=CREDENTIAL.secret_access_key,
        amz_date=request.values(b"x-amz-date")[0],
        scope=authorization.scope,
    )
    value = request.values(b"authorization")[0].replace(authorization.signature, wrong)
    headers_sent = tuple((n, value if n == b"authorization" else v) for n, v in request.headers)
    return dataclasses.replace(request, headers=headers_sent)


def sha256(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


@pytest.mark.parametrize(
    ("parts", "mistake"),
    [
        ({"path": b"/api/caf%C3%A9/%28x%29"}, "the path encoded once, not twice"),
        ({"path": b"/api/caf%C3%A9/(x)"}, "the path signed as it was sent"),
        ({"path": "/api/café/(x)".encode()}, "the path signed decoded"),
        ({"path": b"/api/caf%25C3%25A9/(x)"}, "the path encoded without ! ' ( ) *"),
        ({"path": canonical_path(canonical_path(b"/api/caf%C3%A9/(x)"))}, "the path encoded three times"),
        ({"path": b"/"}, "the path left out"),
        ({"path": canonical_path(b"/api/caf%C3%A9/(x)/")}, "with a final '/'"),
        ({"path": canonical_path(TARGET.encode()), "query": b""}, "the query signed as part of the path"),
        ({"query": b"b=2&a=1&a=0&t=x%3Ay%21"}, "the query signed as it was sent"),
        ({"query": b"a=0&a=1&b=2&t=x%3Ay!"}, "the query encoded without ! ' ( ) *"),
        ({"query": b""}, "the query left out"),
        ({"query": b"a=0&b=2&t=x%3Ay%21"}, "only the last value"),
        ({"query": b"a=1&b=2&t=x%3Ay%21"}, "only the first value"),
        ({"payload_hash": sha256(b"")}, "an empty body's hash"),
        ({"payload_hash": b"UNSIGNED-PAYLOAD"}, "UNSIGNED-PAYLOAD was signed"),
        ({"payload_hash": sha256(BODY.decode(errors="replace").encode())}, "the hash of the body's text"),
        ({"payload_hash": sha256(BODY[:-1])}, "without its final line end"),
        ({"header": {b"host": b"127.0.0.1:8090"}}, "host was 127.0.0.1:8090"),
        ({"method": b"GET"}, "the method was GET"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_usual_mistake_is_named(parts, mistake):
    """A signature that contains one mistake is traced back to it."""
    text = report(missigned(**parts))
    assert text.startswith("the caller's signature fits this: ")
    assert mistake in text.splitlines()[0]
    assert text.count("first difference") == 1


def test_two_mistakes_at_once_are_named_together():
    """Pairs of mistakes are tried as well."""
    first = report(missigned(path=b"/api/caf%C3%A9/%28x%29", payload_hash=sha256(b""))).splitlines()[0]
    assert "the path encoded once" in first
    assert "an empty body's hash" in first


def test_a_body_signed_by_its_first_mebibyte_is_named():
    """What an edge function does that hashes the truncated body."""
    body = b"x" * (1024 * 1024 + 1)
    assert "first 1 MiB alone" in report(missigned("/", body, payload_hash=sha256(body[:-1])))


def test_a_header_that_a_proxy_appended_to_is_named():
    """Via signed at the edge, and one entry longer on arrival."""
    text = report(missigned("/", b"", headers={"via": "1.1 a, 1.1 b"}, header={b"via": b"1.1 a"}))
    assert "via had one entry less" in text


def test_other_readings_of_the_wire_are_named():
    """A signer that reads '+' as a plus is told from one that cannot sign."""
    text = report(missigned("/?q=a+b", b"", query=b"q=a%2Bb"))
    assert "'+' in the query" in text


def test_both_requests_stand_side_by_side_with_the_first_difference_marked():
    """Two columns, ours first; one line flagged, a caret under the differing character of each column."""
    lines = report(missigned("/a%20b", b"", path=quote("/a%20b", safe="/%").encode())).splitlines()
    assert lines[1].split() == ["ours,", "from", "the", "wire", "theirs,", "by", "their", "signature"]
    flagged = next(line for line in lines if line.startswith("  > "))
    assert flagged.split()[1:] == ["/a%2520b", "/a%20b"]
    carets = lines[lines.index(flagged) + 1]
    for column in (place for place, sign in enumerate(carets) if sign == "^"):
        assert flagged[column] in "50"
    assert "character 5" in carets


def test_long_lines_are_cut_around_the_difference():
    """A difference deep in a long query is still seen."""
    query = "&".join(f"name{number:03d}=value" for number in range(60))
    text = report(missigned(f"/?{query}", b"", query=query.replace("name050=value", "name050=valuE").encode()))
    assert "no usual mistake" in text  # ours alone
    wrong = report(missigned(f"/?z=1&{query}", b"", query=f"z=1&{query}".encode()))
    assert "…" in wrong
    assert max(map(len, wrong.splitlines()[1:])) < 180


def test_without_a_known_mistake_ours_is_shown_with_what_to_check():
    """Ours line by line, and the signed headers that proxies change."""
    request = missigned(headers={"via": "1.1 edge"}, payload_hash=b"something else")
    text = report(request)
    assert text.startswith("no usual mistake gives the caller's signature")
    assert canonical_path(request.path).decode() in text
    assert "leave them unsigned: via" in text


def test_a_signature_that_is_right_is_said_to_be_right():
    """As for a body that changed under a stated hash, or for a request with several readings."""
    assert report(sign_botocore("GET", "/").wire()).startswith("the caller signed exactly what is on the wire")


def test_tokens_and_cookies_are_masked():
    """The session token is a signed header, so it stands in the canonical request; it is not shown."""
    text = report(missigned(headers={"cookie": "session=secret"}, path=b"/"))
    assert CREDENTIAL.session_token not in text
    assert "session=secret" not in text
    assert text.count("*** masked ***") == 4
