"""The server's SigV4: published vectors, two independent signers, every rule and every bit broken once."""

import calendar
import dataclasses
import time
from urllib.parse import quote

import pytest
from cognito_edge_local.origins.principals import Credential
from cognito_edge_local.origins.sigv4 import (
    AXES,
    MISMATCH,
    SignatureRefusedError,
    canonical_path,
    canonical_query,
    canonical_request,
    parse_authorization,
    show,
    verify,
)
from cognito_edge_local.origins.wire import WireRequest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.local.door_support import CREDENTIAL, REGION, Signed, sign_awscrt, sign_botocore

SUITE_KEY = Credential(
    access_key_id="AKIDEXAMPLE",
    secret_access_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    session_token=None,
    principal_arn="arn:aws:sts::123456789012:assumed-role/example/session",
    role_name="example",
    account_id="123456789012",
)
SUITE_NOW = calendar.timegm((2015, 8, 30, 12, 36, 0))
FORM = b"application/x-www-form-urlencoded"


def check(request: WireRequest, *, now: float | None = None, lookup=None, region=REGION, service="lambda"):
    """Verify as the door does, with the tests' key."""
    return verify(
        request,
        lookup=lookup or {CREDENTIAL.access_key_id: CREDENTIAL}.get,
        region=region,
        service=service,
        now=time.time() if now is None else now,
    )


def refusal(request: WireRequest, **expectations) -> SignatureRefusedError:
    with pytest.raises(SignatureRefusedError) as caught:
        check(request, **expectations)
    return caught.value


def change(request: WireRequest, name: bytes, value: bytes | None) -> WireRequest:
    """Return the request with one header changed or, for None, taken out."""
    headers = tuple(
        (key, value if key == name and value is not None else old)
        for key, old in request.headers
        if key != name or value is not None
    )
    return dataclasses.replace(request, headers=headers)


# --- published facts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "query", "extra", "body", "service", "signature"),
    [
        (b"GET", b"/", b"", [], b"", "service", b"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        (
            b"GET",
            b"/",
            b"Param2=value2&Param1=value1",
            [],
            b"",
            "service",
            b"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            b"GET",
            b"/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            b"",
            [],
            b"",
            "service",
            b"07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        ),
        (b"POST", b"/", b"", [], b"", "service", b"5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            b"POST",
            b"/",
            b"",
            [(b"content-type", FORM)],
            b"Param1=value1",
            "service",
            b"ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
    ids=[
        "get-vanilla",
        "get-vanilla-query-order-key-case",
        "get-unreserved",
        "post-vanilla",
        "post-x-www-form-urlencoded",
    ],
)
def test_aws_signature_v4_test_suite_is_accepted(method, path, query, extra, body, service, signature):
    """Requests of AWS's published SigV4 test suite pass with the signatures printed there."""
    headers = [(b"host", b"example.amazonaws.com"), (b"x-amz-date", b"20150830T123600Z"), *extra]
    names = b";".join(sorted(name for name, _ in headers))
    authorization = (
        b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/%s/aws4_request, SignedHeaders=%s, Signature=%s"
        % (service.encode(), names, signature)
    )
    request = WireRequest(method, path, query, (*headers, (b"authorization", authorization)), body)
    caller = check(request, now=SUITE_NOW, lookup={"AKIDEXAMPLE": SUITE_KEY}.get, service=service)
    assert caller.credential is SUITE_KEY


def test_iam_guides_list_users_example_is_accepted():
    """The IAM User Guide's worked example (ListUsers, 2015-08-30) passes with the signature printed there."""
    request = WireRequest(
        b"GET",
        b"/",
        b"Action=ListUsers&Version=2010-05-08",
        (
            (b"content-type", FORM + b"; charset=utf-8"),
            (b"host", b"iam.amazonaws.com"),
            (b"x-amz-date", b"20150830T123600Z"),
            (
                b"authorization",
                (
                    b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
                    b"SignedHeaders=content-type;host;x-amz-date, "
                    b"Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
                ),
            ),
        ),
        b"",
    )
    assert check(request, now=SUITE_NOW, lookup={"AKIDEXAMPLE": SUITE_KEY}.get, service="iam").signed_headers == (
        b"content-type",
        b"host",
        b"x-amz-date",
    )


# --- independent signers ----------------------------------------------------------------------------------------------

segments = st.lists(
    st.binary(min_size=1, max_size=6).filter(lambda part: part not in {b".", b".."}), min_size=0, max_size=4
)
paths = segments.map(lambda parts: "/" + "/".join(quote(part, safe="!$&'()*+,;=:@-._~") for part in parts))
pairs = st.lists(st.tuples(st.text(min_size=1, max_size=5), st.text(max_size=6)), max_size=5)
queries = pairs.map(
    lambda items: "&".join(
        f"{quote(n.encode('utf-8', 'replace'), safe='-._~')}={quote(v.encode('utf-8', 'replace'), safe='-._~')}"
        for n, v in items
    )
)


@settings(max_examples=400, deadline=None)
@given(method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]), path=paths, query=queries, body=st.binary(max_size=40))
def test_canonical_wire_forms_signed_by_botocore_and_awscrt_are_accepted(method, path, query, body):
    """Whatever canonical target and body: both signers' signatures are the one computed from the wire bytes."""
    target = f"{path}?{query}" if query else path
    assert check(sign_botocore(method, target, body).wire()).credential is CREDENTIAL
    # awscrt 0.38.1 takes what stands before a ":/" anywhere in the target for a scheme, and refuses to sign.
    if ":/" not in target:
        assert check(sign_awscrt(method, target, body).wire()).credential is CREDENTIAL


def test_path_is_encoded_a_second_time_with_sub_delimiters():
    """The canonical path of an encoded wire path is what botocore computes: sub-delimiters too are encoded."""
    assert canonical_path(b"/a%20b/(c)*!'") == b"/a%2520b/%28c%29%2A%21%27"


def test_query_is_sorted_by_name_then_value_and_strictly_encoded():
    """Names sort as encoded, then values; colon and comma are encoded, unreserved characters are not."""
    assert canonical_query(b"b=2&a=x:y,z&b=10&A=~") == b"A=~&a=x%3Ay%2Cz&b=10&b=2"


# --- every bit --------------------------------------------------------------------------------------------------------


def test_every_single_bit_of_what_is_signed_matters():
    """Any one bit changed in path, query, body, date or a signed header: refused."""
    signed = sign_botocore(
        "POST", "/api/echo%20x?a=1&b=%C3%A9", b"\x00body\xff", headers={"x-cognito-sub": "u-1"}
    ).wire()
    check(signed)

    def flipped(value: bytes):
        for position in range(len(value)):
            for bit in range(8):
                yield value[:position] + bytes([value[position] ^ (1 << bit)]) + value[position + 1 :]

    changed = [dataclasses.replace(signed, path=b"/" + path) for path in flipped(signed.path[1:])]
    changed += [dataclasses.replace(signed, query=query) for query in flipped(signed.query)]
    changed += [dataclasses.replace(signed, body=body) for body in flipped(signed.body)]
    for name in (b"x-cognito-sub", b"x-amz-date", b"host", b"x-amz-content-sha256", b"x-amz-security-token"):
        changed += [change(signed, name, value) for value in flipped(signed.values(name)[0])]
    assert len(changed) > 1000
    for request in changed:
        refusal(request)


# --- every rule -------------------------------------------------------------------------------------------------------


@pytest.fixture
def signed() -> WireRequest:
    """A valid POST."""
    return sign_botocore("POST", "/api/echo?a=1", b"body").wire()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (b"AWS4-HMAC-SHA256 ", b"AWS4-HMAC-SHA512 ", "Unsupported AWS 'algorithm'"),
        (b"SignedHeaders=", b"signedheaders=", "Invalid key=value pair"),
        (b"SignedHeaders=", b"SignedHeaders=host, SignedHeaders=", "Invalid key=value pair"),
        (b"Credential=", b"Credential", "Invalid key=value pair"),
        (b"/aws4_request", b"", "exactly 5"),
        (b"/aws4_request", b"/aws5_request", "valid terminator"),
        (b"SignedHeaders=host;", b"SignedHeaders=", "sorted and unique|must be a 'SignedHeader'"),
        (b"SignedHeaders=host;", b"SignedHeaders=x-z;host;", "sorted and unique"),
        (b"SignedHeaders=host;", b"SignedHeaders=host;host;", "sorted and unique"),
        (b"SignedHeaders=host;", b"SignedHeaders=Host;", "sorted and unique"),
        (b"/us-east-1/", b"/eu-west-1/", "scoped to a valid region, not 'eu-west-1'"),
        (b"/lambda/", b"/execute-api/", "scoped to correct service: 'lambda'"),
        (b"Credential=ASIAEXAMPLE", b"Credential=ASIASOMEBODY", "security token included in the request is invalid"),
    ],
)
def test_each_part_of_the_authorization_header_is_checked(signed, before, after, message):
    """One part of the header changed: refused in AWS's words for that part."""
    value = signed.values(b"authorization")[0]
    assert before in value
    refused = refusal(change(signed, b"authorization", value.replace(before, after, 1)))
    assert any(part in refused.message for part in message.split("|")), refused.message


def test_a_scope_of_another_day_is_refused(signed):
    """The scope's day must be the timestamp's."""
    value = signed.values(b"authorization")[0]
    day = signed.values(b"x-amz-date")[0][:8]
    refused = refusal(change(signed, b"authorization", value.replace(b"/" + day + b"/", b"/20200101/", 1)))
    assert refused.message.startswith("Date in Credential scope does not match YYYYMMDD")


@pytest.mark.parametrize("missing", ["Credential", "SignedHeaders", "Signature"])
def test_missing_parameters_are_named(signed, missing):
    """A header without one of its three parts says which."""
    parts = signed.values(b"authorization")[0].removeprefix(b"AWS4-HMAC-SHA256 ").split(b", ")
    kept = b", ".join(part for part in parts if not part.startswith(missing.encode()))
    with pytest.raises(SignatureRefusedError) as caught:
        parse_authorization(b"AWS4-HMAC-SHA256 " + kept)
    assert f"'{missing}'" in caught.value.message


@pytest.mark.parametrize("name", [b"authorization", b"host", b"x-amz-date", b"x-amz-content-sha256"])
def test_headers_that_must_be_single_may_not_be_repeated(signed, name):
    """A second copy, even an equal one, is refused: which one counts differs between servers."""
    doubled = dataclasses.replace(signed, headers=(*signed.headers, (name, signed.values(name)[0])))
    assert "must not be repeated" in refusal(doubled).message


@pytest.mark.parametrize("offset", [-300, 300])
def test_timestamps_five_minutes_off_are_accepted(signed, offset):
    """Exactly five minutes, either way, still pass."""
    sent = calendar.timegm(time.strptime(signed.values(b"x-amz-date")[0].decode(), "%Y%m%dT%H%M%SZ"))
    check(signed, now=sent + offset)


def test_timestamps_more_than_five_minutes_off_are_refused_in_aws_words():
    """A second more is refused, with AWS's three times in the message."""
    late = refusal(sign_at_suite_time(), now=SUITE_NOW + 301)
    assert late.message == (
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"
    )
    early = refusal(sign_at_suite_time(), now=SUITE_NOW - 301)
    assert early.message == (
        "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)"
    )


def sign_at_suite_time() -> WireRequest:
    return change(sign_botocore("GET", "/").wire(), b"x-amz-date", b"20150830T123600Z")


@pytest.mark.parametrize("date", [b"20261345T000000Z", b"2026-11-20T00:00:00Z", b"20261120T000000", b"20261120"])
def test_malformed_timestamps_are_refused(signed, date):
    """Only YYYYMMDDTHHMMSSZ of a day that exists is a timestamp."""
    assert "ISO-8601 'basic format'" in refusal(change(signed, b"x-amz-date", date)).message


def test_a_missing_timestamp_is_refused(signed):
    """Without x-amz-date there is nothing to compare the clock with."""
    assert "'X-Amz-Date'" in refusal(change(signed, b"x-amz-date", None)).message


@pytest.mark.parametrize("token", [None, b"another", b""])
def test_a_missing_or_foreign_session_token_is_refused(token):
    """Temporary keys count only together with their own session token."""
    signed = sign_botocore("GET", "/", credential=dataclasses.replace(CREDENTIAL, session_token=None)).wire()
    if token is not None:
        signed = sign_botocore("GET", "/").wire()
        signed = change(signed, b"x-amz-security-token", token)
    assert "security token" in refusal(signed).message


def test_a_long_term_key_with_a_token_is_refused():
    """A token that belongs to nothing is not ignored."""
    long_term = dataclasses.replace(CREDENTIAL, session_token=None)
    assert "security token" in refusal(sign_botocore("GET", "/").wire(), lookup=lambda _: long_term).message


def test_a_long_term_key_without_a_token_is_accepted():
    """The pair of the test above."""
    long_term = dataclasses.replace(CREDENTIAL, session_token=None)
    check(sign_botocore("GET", "/", credential=long_term).wire(), lookup=lambda _: long_term)


def test_unsigned_amz_headers_are_refused_but_for_cloudfronts_own(signed):
    """What a viewer slips in under x-amz-* is found; x-amz-cf-id, which CloudFront adds last, passes."""
    check(dataclasses.replace(signed, headers=(*signed.headers, (b"x-amz-cf-id", b"abc=="))))
    slipped = dataclasses.replace(signed, headers=(*signed.headers, (b"x-amz-source-arn", b"arn:aws:x")))
    assert "'x-amz-source-arn' must be a 'SignedHeader'" in refusal(slipped).message


def test_a_signed_header_that_did_not_arrive_is_refused():
    """A header dropped on the way is named."""
    signed = sign_botocore("GET", "/", headers={"x-cognito-sub": "u"}).wire()
    refused = refusal(change(signed, b"x-cognito-sub", None))
    assert refused.message == MISMATCH
    assert "x-cognito-sub" in refused.why


@pytest.mark.parametrize("stated", [b"UNSIGNED-PAYLOAD", b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", b"0" * 64])
def test_stated_payload_hashes_other_than_the_bodys_are_refused(stated):
    """Even correctly signed, a hash that is not the body's is refused."""
    signed = sign_botocore("PUT", "/", b"x", headers={"x-amz-content-sha256": stated.decode()}, state_hash=False)
    refused = refusal(signed.wire())
    assert refused.message == MISMATCH
    assert "x-amz-content-sha256" in refused.why


def test_the_payload_hash_need_not_be_stated():
    """Without x-amz-content-sha256 the signature covers the body's hash all the same (as curl signs)."""
    signed = sign_botocore("POST", "/", b"body", state_hash=False).wire()
    check(signed)
    refusal(dataclasses.replace(signed, body=b"tampered"))


def test_upper_case_payload_hash_is_refused():
    """The hash is lower-case hex; another spelling is another string in the canonical request."""
    signed = sign_botocore("POST", "/", b"body").wire()
    refusal(change(signed, b"x-amz-content-sha256", signed.body_sha256.upper()))


# --- readings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "axis"),
    [
        ("/a//b", "slashes"),
        ("/a/./b", "dots"),
        ("/a/../b", "dots"),
        ("/a/%2e%2E/b", "dots"),
        ("/a%2fb", "path-hex"),
        ("/a%zz", "path-escape"),
        ("/?q=a+b", "plus"),
        ("/?q=a;b=c", "semicolon"),
        ("/?flag", "bare-name"),
        ("/?a=1&&b=2", "empty-pair"),
        ("/?=v", "empty-name"),
        ("/?q=%c3%a9", "escapes"),
        ("/?q=%61", "escapes"),
        ("/?q=%FF", "utf-8"),
        ("/?q=100%", "query-escape"),
    ],
)
def test_requests_with_more_than_one_reading_are_refused_and_named(target, axis):
    """Where servers may differ, no signature is good, the axis is named, and the caller gets the plain mismatch."""
    refused = refusal(sign_botocore("GET", target).wire())
    assert refused.message == MISMATCH
    assert refused.why.startswith("readings differ")
    assert AXES[axis][0] in refused.why


def test_runs_of_blanks_in_a_signed_header_have_two_readings():
    """Old texts of the specification keep blanks inside quotes, newer ones collapse them all."""
    signed = sign_botocore("GET", "/", headers={"x-cognito-claims": "a  b"}).wire()
    assert AXES["blanks"][0] in refusal(signed).why
    check(sign_botocore("GET", "/", headers={"x-cognito-claims": "a b"}).wire())


@pytest.mark.parametrize(
    "target",
    ["/", "/a/b/", "/a%2Fb", "/%61", "/a:b@c/(d)!", "/...", "/a?", "/?a=", "/?a=%20&a=%2B", "/?q=%C3%A9&~=-._"],
)
def test_requests_with_one_reading_are_accepted(target):
    """The other side of each rule above."""
    check(sign_botocore("GET", target).wire())


@settings(max_examples=300, deadline=None)
@given(path=st.binary(max_size=20), query=st.binary(max_size=30))
def test_any_bytes_are_judged_without_a_crash(path, query):
    """No byte sequence makes the check fail otherwise than by refusing."""
    signed = sign_botocore("GET", "/").wire()
    request = dataclasses.replace(signed, path=b"/" + path, query=query)
    if canonical_request(request, (b"host",)) != canonical_request(signed, (b"host",)):
        refusal(request)


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_nothing_that_is_printed_holds_a_secret(signed):
    """Representations and refusals show neither secret key, session token nor signature."""
    authorization = parse_authorization(signed.values(b"authorization")[0])
    printed = f"{CREDENTIAL!r} {signed!r} {authorization!r} {check(signed)!r}"
    printed += str(refusal(change(signed, b"x-amz-security-token", b"wrong")))
    for secret in (CREDENTIAL.secret_access_key, CREDENTIAL.session_token, authorization.signature.decode()):
        assert secret not in printed


def test_shown_bytes_are_printable():
    """A caller cannot send terminal escapes to the console."""
    assert show(b"\x1b[2Jok\xff") == "\\x1b[2Jok\\xff"


def test_the_signed_helper_keeps_the_wire_form():
    """The tests' own helper does not rewrite what it is to send."""
    assert Signed("GET", "/a?b+c", {"Host": "h"}).wire().query == b"b+c"
