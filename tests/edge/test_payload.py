"""edge/cognito_edge/payload.py: the hash of what CloudFront will send, seen or not; and bodies through the whole gateway."""

import base64
import hashlib
import re

import pytest
from cognito_edge.cloudfront import Request
from cognito_edge.errors import BodyTooLargeError, MalformedRequestError
from cognito_edge.payload import payload_hash
from cognito_edge.sigv4 import EMPTY_SHA256
from cognito_edge_local.origins.sigv4 import SignatureRefusedError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.events import headers_of, is_forwarded, make_event, problem_of
from tests.support.gateways import make_offline_system
from tests.support.keys_and_tokens import Pool
from tests.support.reference_signers import assert_every_reference_agrees, door_verdict, sha256_hex, wire_form

MEGABYTE = 1_048_576
UPLOAD = bytes(range(256)) * 4096 + b"!"  # 1 MB + 1
TRUE_HASH = sha256_hex(UPLOAD)


def request_of(**changes: object) -> Request:
    """Return the request of an event that starts valid."""
    return Request(make_event(**{"method": "POST", **changes}))


def truncated(*hashes: str, **changes: object) -> Request:
    """Return a request whose body the edge sees in part, with the viewer's statements of its hash."""
    return request_of(body=UPLOAD, truncated=True, headers={"x-amz-content-sha256": list(hashes)}, **changes)


def unseen(method: str = "DELETE", **headers: str | list[str]) -> Request:
    """Return a request of whose body only the headers tell."""
    return request_of(method=method, headers={name.replace("_", "-"): value for name, value in headers.items()})


# --- bodies that the edge sees ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b"a",
        b'{"a": 1}',
        "é日😀".encode(),
        b"\xff\xfe\x80\x00\xc3\x28",  # not UTF-8: a text round trip would change it
        b"\xef\xbf\xbd",  # the replacement character itself
        b"\r\n\r\n",
        b"YWJj",  # looks like base64, and is the body
        bytes(range(256)),
        bytes(range(256)) * 256,  # 64 KB
        b"\xff" * (MEGABYTE - 1),
        b"\xff" * MEGABYTE,
    ],
    ids=lambda body: f"{len(body)}-{sha256_hex(body)[:6]}",
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_hash_is_that_of_the_bodys_bytes(method, body):
    """Over the decoded bytes, whatever they are, up to the megabyte that CloudFront shows."""
    assert payload_hash(request_of(method=method, body=body)) == sha256_hex(body)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(body=st.binary(max_size=2_000))
def test_any_bytes_have_their_own_hash(body):
    """No byte string is changed on the way to the hash."""
    assert payload_hash(request_of(body=body)) == sha256_hex(body)


@pytest.mark.parametrize("missing", ["no body", "null", "empty object", "no data", "null data", "empty data"])
def test_a_request_without_a_body_has_the_hash_of_nothing(missing):
    """A GET's event has an empty body or none at all; absent and empty are alike."""
    event = make_event(method="GET")
    request = event["Records"][0]["cf"]["request"]
    match missing:
        case "no body":
            del request["body"]
        case "null":
            request["body"] = None
        case "empty object":
            request["body"] = {}
        case "no data":
            del request["body"]["data"]
        case "null data":
            request["body"]["data"] = None
        case "empty data":
            request["body"]["data"] = ""
    assert payload_hash(Request(event)) == EMPTY_SHA256


def test_a_body_in_encoding_text_is_hashed_as_utf8():
    """CloudFront always encodes; should it not, text is what it says."""
    request = request_of(body=b"x")
    request.body["encoding"] = "text"
    request.body["data"] = "é=YWJj"
    assert payload_hash(request) == sha256_hex("é=YWJj".encode())


def test_text_without_utf8_is_a_malformed_request():
    """Half a surrogate pair has no bytes; the viewer gets a 400, not a failure of the gateway."""
    request = request_of(body=b"x")
    request.body["encoding"] = "text"
    request.body["data"] = "\ud800"
    with pytest.raises(MalformedRequestError):
        payload_hash(request)


@pytest.mark.parametrize("data", ["YWJ", "YW Jj", "YWJj\n", "YWJ-", "=", "é", "YWJj=", "\ud800"])
def test_base64_that_is_none_is_a_malformed_request(data):
    """A decoder that skips what it does not know would hash another body than the one that is sent."""
    request = request_of(body=b"x")
    request.body["data"] = data
    with pytest.raises(MalformedRequestError) as caught:
        payload_hash(request)
    assert caught.value.status == 400


def test_the_viewers_hash_is_not_believed_where_the_edge_sees_the_body():
    """Whatever the viewer states, what is signed is the hash of what is sent."""
    request = request_of(body=b"abc", headers={"x-amz-content-sha256": "0" * 64})
    assert payload_hash(request) == sha256_hex(b"abc")


@pytest.mark.parametrize("stated", ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "", "nonsense"])
def test_a_statement_that_is_no_hash_harms_nobody_whose_body_is_seen(stated):
    """SDKs send such values; they matter only where the edge cannot see."""
    assert payload_hash(request_of(body=b"abc", headers={"x-amz-content-sha256": stated})) == sha256_hex(b"abc")


# --- bodies that it sees in part --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stated", [TRUE_HASH, TRUE_HASH.upper(), TRUE_HASH.title(), f"  {TRUE_HASH} "])
def test_of_a_truncated_body_the_viewers_hash_is_signed_in_lower_case(stated):
    """CloudFront sends the whole body on, and Lambda checks it against the signed hash."""
    assert payload_hash(truncated(stated)) == TRUE_HASH


@pytest.mark.parametrize(
    "stated",
    [
        "",
        TRUE_HASH[:-1],
        TRUE_HASH + "0",
        TRUE_HASH[:-1] + "g",
        f"{TRUE_HASH},{TRUE_HASH}",
        TRUE_HASH[:32] + " " + TRUE_HASH[32:],
        "0x" + TRUE_HASH[2:],
        TRUE_HASH[:-1] + "\u0661",
        "UNSIGNED-PAYLOAD",
        base64.b64encode(hashlib.sha256(UPLOAD).digest()).decode(),
    ],
)
def test_of_a_truncated_body_nothing_but_64_hex_digits_is_signed(stated):
    """Lambda takes no unsigned payload, and no other form of a hash."""
    with pytest.raises(BodyTooLargeError) as caught:
        payload_hash(truncated(stated))
    assert caught.value.status == 413
    assert caught.value.code == "body_too_large"


def test_a_truncated_body_without_a_hash_is_too_large():
    """The first megabyte's hash would be a signature that cannot hold."""
    with pytest.raises(BodyTooLargeError):
        payload_hash(request_of(body=UPLOAD, truncated=True))


def test_a_hash_that_was_sent_twice_is_none():
    """Two statements, even two alike, are not one."""
    for hashes in ([TRUE_HASH, TRUE_HASH], [TRUE_HASH, "0" * 64]):
        with pytest.raises(BodyTooLargeError, match="2 times"):
            payload_hash(truncated(*hashes))


def test_a_truncated_body_is_never_hashed_itself_even_when_its_data_is_empty():
    """``inputTruncated`` counts before anything that the data says."""
    with pytest.raises(BodyTooLargeError):
        payload_hash(request_of(body=b"", truncated=True))


def test_the_refusal_tells_what_to_send():
    """A developer can paste the command: the header's name, its form, and how a shell makes it."""
    with pytest.raises(BodyTooLargeError) as caught:
        payload_hash(truncated("abc"))
    text = str(caught.value)
    for part in ("x-amz-content-sha256", "64 hex digits", "1 MB", "sha256sum", "curl", "'abc'"):
        assert part in text
    assert re.fullmatch(r"[ -~]+", text)


# --- bodies that it does not see --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["DELETE", "OPTIONS", "GET", "HEAD"])
@pytest.mark.parametrize("announced", [{"content_length": "5"}, {"transfer_encoding": "chunked"}])
def test_an_announced_body_that_is_not_shown_needs_the_viewers_hash(method, announced):
    """DELETE with a body: signed as empty, it would be a 403 (anomalyco/sst#6427)."""
    with pytest.raises(BodyTooLargeError) as caught:
        payload_hash(unseen(method, **announced))
    assert method in str(caught.value)
    assert payload_hash(unseen(method, **announced, x_amz_content_sha256=TRUE_HASH.upper())) == TRUE_HASH


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_transfer_encoding_on_an_exposed_method_may_announce_an_empty_body(method):
    """CloudFront shows these bodies: where it shows nothing, there is nothing."""
    assert payload_hash(unseen(method, transfer_encoding="chunked")) == EMPTY_SHA256


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_length_on_an_exposed_method_whose_body_is_not_shown_needs_the_viewers_hash(method):
    """A length is a promise, whatever the method: an association without the body included must not sign nothing."""
    with pytest.raises(BodyTooLargeError):
        payload_hash(unseen(method, content_length="5"))
    assert payload_hash(unseen(method, content_length="5", x_amz_content_sha256=TRUE_HASH)) == TRUE_HASH


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE", "POST", "PUT", "PATCH"])
@pytest.mark.parametrize("length", ["0", " 0 ", None])
def test_no_length_or_a_length_of_nought_announces_nothing(method, length):
    """The common DELETE has no body and needs no hash."""
    headers = {} if length is None else {"content_length": length}
    assert payload_hash(unseen(method, **headers)) == EMPTY_SHA256


def test_a_delete_whose_body_is_shown_is_hashed():
    """Should CloudFront show it after all, its own bytes count."""
    assert payload_hash(request_of(method="DELETE", body=b"abc")) == sha256_hex(b"abc")


# --- through the gateway ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def system():
    """A gateway with keys and parameters at hand."""
    return make_offline_system()


@pytest.fixture(scope="module")
def token():
    """An ID token of a user in no group."""
    return Pool().id_token()


@pytest.mark.parametrize("body", [b"", b"\x00", b"\xff" * 65_536, b"\xff" * MEGABYTE], ids=lambda body: str(len(body)))
def test_a_seen_body_is_signed_for_what_is_sent_and_returned_empty(system, token, body):
    """Read-only with emptied data: CloudFront sends the viewer's own bytes, and no megabyte travels back."""
    event = make_event(method="POST", body=body, token=token)
    result = system(event)
    assert is_forwarded(result)
    assert result["body"] == {"inputTruncated": False, "action": "read-only", "encoding": "base64", "data": ""}
    assert headers_of(result)["x-amz-content-sha256"] == sha256_hex(body)
    assert_every_reference_agrees(wire_form(result, body))


@pytest.mark.parametrize("spelling", [str.lower, str.upper])
def test_a_truncated_body_with_its_hash_is_signed_for_the_whole_of_it(system, token, spelling):
    """1 MB + 1: both AWS's signers and the door accept the request with the whole body."""
    event = make_event(
        method="PUT",
        body=UPLOAD,
        truncated=True,
        token=token,
        headers={"x-amz-content-sha256": spelling(TRUE_HASH)},
    )
    result = system(event)
    assert is_forwarded(result)
    assert result["body"] == {"inputTruncated": True, "action": "read-only", "encoding": "base64", "data": ""}
    assert result["headers"]["x-amz-content-sha256"] == [{"key": "x-amz-content-sha256", "value": TRUE_HASH}]
    assert_every_reference_agrees(wire_form(result, UPLOAD))


def test_a_delete_with_a_body_is_signed_with_the_viewers_hash(system, token):
    """The whole way, as anomalyco/sst#6427 wants it."""
    hashed = {"content-length": "3", "x-amz-content-sha256": sha256_hex(b"abc")}
    result = system(method="DELETE", token=token, headers=hashed)
    assert_every_reference_agrees(wire_form(result, b"abc"))
    refused = system(method="DELETE", token=token, headers={"content-length": "3"})
    assert refused["status"] == "413"


def test_a_lie_about_a_hidden_body_is_signed_and_found_out_at_the_function_url(system, token):
    """Only who can see the body can check it: the door refuses what does not fit."""
    result = system(method="DELETE", token=token, headers={"content-length": "3", "x-amz-content-sha256": TRUE_HASH})
    with pytest.raises(SignatureRefusedError):
        door_verdict(wire_form(result, b"abc"))


def test_the_413_is_a_problem_document_that_names_header_and_command(system, token):
    """Contract C6: code, status, and a detail that says what to do."""
    refused = system(method="POST", body=UPLOAD, truncated=True, token=token)
    problem = problem_of(refused)
    assert (refused["status"], problem["code"], problem["status"]) == ("413", "body_too_large", 413)
    assert "x-amz-content-sha256" in problem["detail"]
    assert "sha256sum" in problem["detail"]


def test_a_body_is_looked_at_only_after_the_caller_is_known(system):
    """Without a token the answer is 401, not a statement about the body."""
    assert system(method="POST", body=UPLOAD, truncated=True)["status"] == "401"


def test_an_event_without_a_body_is_returned_without_one(system, token):
    """A trigger that does not include the body must not get one back: CloudFront would refuse it."""
    event = make_event(token=token)
    del event["Records"][0]["cf"]["request"]["body"]
    assert "body" not in system(event)


def test_no_refusal_of_a_body_is_a_server_error(system, token):
    """Whatever the data says, the answer is a request or a 4xx."""
    for encoding, data in (("base64", "!"), ("base64", "\ud800"), ("text", "\ud800"), ("unknown", "YWJj")):
        event = make_event(method="POST", token=token, body=b"abc")
        event["Records"][0]["cf"]["request"]["body"].update(encoding=encoding, data=data)
        result = system(event)
        assert is_forwarded(result) or result["status"].startswith("4"), (encoding, data)
