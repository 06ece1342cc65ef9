"""edge/cognito_edge/sigv4.py: each stage against AWS's published values, the whole against botocore and awscrt."""

import hashlib
import hmac
import itertools
import re

import pytest
from cognito_edge.sigv4 import (
    ALGORITHM,
    EMPTY_SHA256,
    Credentials,
    canonical_headers,
    canonical_query_string,
    canonical_request,
    canonical_uri,
    format_amz_date,
    sign,
    signature,
    signing_key,
    string_to_sign,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.events import ORIGIN
from tests.support.keys_and_tokens import NOW
from tests.support.reference_signers import Wire, awscrt_authorization, botocore_authorization, door_verdict

# The credentials of AWS's published examples; S3's documentation has another secret than the test suite.
SUITE_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
S3_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

SUITE_DATE = "20150830T123600Z"
SUITE_HEADERS = (("host", "example.amazonaws.com"), ("x-amz-date", SUITE_DATE))
S3_DATE = "20130524T000000Z"
S3_HEADERS = (
    ("host", "examplebucket.s3.amazonaws.com"),
    ("x-amz-content-sha256", EMPTY_SHA256),
    ("x-amz-date", S3_DATE),
)
UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SUITE_TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthA"
    "x7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY"
    "9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)


def sha256_hex(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def signature_of(request: str, *, date: str, service: str, secret: str) -> str:
    scope = f"{date[:8]}/us-east-1/{service}/aws4_request"
    return signature(signing_key(secret, date[:8], "us-east-1", service), string_to_sign(date, scope, request))


# --- published facts --------------------------------------------------------------------------------------------------

# aws-sig-v4-test-suite: name, method, path, query, further headers, body, signature.
SUITE = [
    ("get-vanilla", "GET", "/", "", (), b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    (
        "get-unreserved",
        "GET",
        f"/{UNRESERVED}",
        "",
        (),
        b"",
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    ),
    ("get-utf8", "GET", "/\u1234", "", (), b"", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    (
        "get-space",
        "GET",
        "/example space/",
        "",
        (),
        b"",
        "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
    ),
    (
        "get-header-value-trim",
        "GET",
        "/",
        "",
        (("my-header1", " value1"), ("my-header2", ' "a   b   c"')),
        b"",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    (
        "get-header-key-duplicate",
        "GET",
        "/",
        "",
        (("my-header1", "value2,value2,value1"),),
        b"",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    (
        "get-header-value-order",
        "GET",
        "/",
        "",
        (("my-header1", "value4,value1,value3,value2"),),
        b"",
        "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
    ),
    (
        "get-vanilla-empty-query-key",
        "GET",
        "/",
        "Param1=value1",
        (),
        b"",
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
    ),
    (
        "get-vanilla-query-order-value",
        "GET",
        "/",
        "Param1=value2&Param1=value1",
        (),
        b"",
        "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694",
    ),
    (
        "get-vanilla-query-order-key",
        "GET",
        "/",
        "Param1=value2&Param1=Value1",
        (),
        b"",
        "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1",
    ),
    (
        "get-vanilla-query-order-key-case",
        "GET",
        "/",
        "Param2=value2&Param1=value1",
        (),
        b"",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    (
        "get-vanilla-utf8-query",
        "GET",
        "/",
        "%E1%88%B4=bar",
        (),
        b"",
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    ),
    (
        "get-vanilla-query-unreserved",
        "GET",
        "/",
        f"{UNRESERVED}={UNRESERVED}",
        (),
        b"",
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    ),
    ("post-vanilla", "POST", "/", "", (), b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    (
        "post-header-key-sort",
        "POST",
        "/",
        "",
        (("my-header1", "value1"),),
        b"",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    (
        "post-sts-header-before",
        "POST",
        "/",
        "",
        (("x-amz-security-token", SUITE_TOKEN),),
        b"",
        "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
    ),
    (
        "post-x-www-form-urlencoded",
        "POST",
        "/",
        "",
        (("content-type", "application/x-www-form-urlencoded"),),
        b"Param1=value1",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
]


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body", "expected"),
    [case[1:] for case in SUITE],
    ids=[case[0] for case in SUITE],
)
def test_signatures_of_awss_test_suite(method, path, query, headers, body, expected):
    """The suite that AWS published with the protocol, less the cases that need path normalisation, which happens before."""
    request = canonical_request(method, path, query, canonical_headers([*SUITE_HEADERS, *headers]), sha256_hex(body))
    assert signature_of(request, date=SUITE_DATE, service="service", secret=SUITE_SECRET) == expected


def test_every_stage_of_the_documented_iam_example():
    """IAM's ListUsers of 30 August 2015, as the user guide takes it through the four stages."""
    content_type = "application/x-www-form-urlencoded; charset=utf-8"
    headers = canonical_headers(
        [("host", "iam.amazonaws.com"), ("x-amz-date", SUITE_DATE), ("content-type", content_type)]
    )
    signed_headers = headers.names
    request = canonical_request("GET", "/", "Action=ListUsers&Version=2010-05-08", headers, EMPTY_SHA256)
    assert request == (
        "GET\n/\nAction=ListUsers&Version=2010-05-08\n"
        f"content-type:{content_type}\nhost:iam.amazonaws.com\nx-amz-date:20150830T123600Z\n\n"
        "content-type;host;x-amz-date\n"
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    assert signed_headers == "content-type;host;x-amz-date"
    to_sign = string_to_sign(SUITE_DATE, "20150830/us-east-1/iam/aws4_request", request)
    assert to_sign == (
        "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n"
        "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
    )
    key = signing_key(SUITE_SECRET, "20150830", "us-east-1", "iam")
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
    assert signature(key, to_sign) == "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"


def test_the_documented_key_derivation_of_2012():
    """The older example of the general reference, for another day."""
    key = signing_key(SUITE_SECRET, "20120215", "us-east-1", "iam")
    assert key.hex() == "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"


@pytest.mark.parametrize(
    ("path", "query", "headers", "request_hash", "expected"),
    [
        (
            "/test.txt",
            "",
            (("range", "bytes=0-9"),),
            "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "/",
            "lifecycle=",
            (),
            "9766c798316ff2757b517bc739a67f6213b4ab36dd5da2f94eaebf79c77395ca",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "/",
            "max-keys=2&prefix=J",
            (),
            "df57d21db20da04d7fa30298dd4488ba3a2b47ca3a489c74750e0f1e7df1b9b7",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
    ids=["get-object", "get-bucket-lifecycle", "list-objects"],
)
def test_s3s_documented_examples(path, query, headers, request_hash, expected):
    """'Authenticating Requests: Using the Authorization Header': the payload's hash is a signed header there."""
    request = canonical_request("GET", path, query, canonical_headers([*S3_HEADERS, *headers]), EMPTY_SHA256)
    assert sha256_hex(request) == request_hash
    assert signature_of(request, date=S3_DATE, service="s3", secret=S3_SECRET) == expected


def test_the_hash_of_nothing():
    """The constant is what its name says."""
    assert sha256_hex(b"") == EMPTY_SHA256


# --- stage 1 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("/", "/"),
        ("/documents%20and%20settings/", "/documents%2520and%2520settings/"),  # the user guide's own example
        ("/a%20b/(c)*!'", "/a%2520b/%28c%29%2A%21%27"),
        ("/%2F%C3%A9", "/%252F%25C3%25A9"),
        ("/a:b@c;d=e,f$g&h+i", "/a%3Ab%40c%3Bd%3De%2Cf%24g%26h%2Bi"),
        (f"/{UNRESERVED}", f"/{UNRESERVED}"),
    ],
)
def test_the_wire_path_is_encoded_once_more(path, canonical):
    """Every service but S3 encodes what it sees on the wire, the percent signs of escapes included."""
    assert canonical_uri(path) == canonical


@pytest.mark.parametrize(
    ("query", "canonical"),
    [
        ("", ""),
        ("a=1", "a=1"),
        ("b=2&a=1", "a=1&b=2"),
        ("a=2&a=1&a=10", "a=1&a=10&a=2"),
        ("a=&a=1", "a=&a=1"),
        ("b=1&a-b=1&a=2&a=1", "a=1&a=2&a-b=1&b=1"),
        ("select-type=2&select=", "select=&select-type=2"),
        ("a%20=1&a=1&a-=1&a.=1&a1=1", "a=1&a%20=1&a-=1&a.=1&a1=1"),
        ("B=1&a=1&A=1&b=1", "A=1&B=1&a=1&b=1"),
        ("%C3%A9=1&z=1&_=1&~=1", "%C3%A9=1&_=1&z=1&~=1"),
        ("params%5Bpage%5D=1&params%5BpageSize%5D=2", "params%5Bpage%5D=1&params%5BpageSize%5D=2"),
    ],
)
def test_queries_are_sorted_by_name_then_by_value(query, canonical):
    """By code point, after encoding; by the name alone first, so that '-' and '%' do not come before the '='."""
    assert canonical_query_string(query) == canonical


NAMES = st.text("ab%.-=_~", min_size=1, max_size=3).map(lambda name: name.replace("%", "%20").replace("=", "%3D"))


@settings(deadline=None, derandomize=True)
@given(pairs=st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=8))
def test_the_order_of_pairs_makes_no_difference_to_the_signature(pairs):
    """Whatever the order on the wire, the canonical order is one."""
    whole = sorted(pairs)
    for order in itertools.islice(itertools.permutations(pairs), 6):
        assert canonical_query_string("&".join("=".join(pair) for pair in order)) == "&".join(map("=".join, whole))


def test_header_values_are_trimmed_and_headers_sorted():
    """Blanks around a value go, runs within become one."""
    headers = [("x-amz-date", " 1 "), ("host", "a"), ("x-cognito-scopes", "a  b\t c")]
    canonical = canonical_headers(headers)
    assert canonical.lines == "host:a\nx-amz-date:1\nx-cognito-scopes:a b c\n"
    assert canonical.names == "host;x-amz-date;x-cognito-scopes"


def test_headers_may_come_as_any_iterable_and_are_left_alone():
    """A generator is read once, a list is not changed."""
    headers = [("b", "2"), ("a", "1")]
    assert canonical_headers(iter(headers)) == canonical_headers(headers)
    assert headers == [("b", "2"), ("a", "1")]


# --- stages 2 to 4, and time --------------------------------------------------------------------------------------------


@given(st.binary(max_size=200), st.text(max_size=200))
@example(bytes(64), "")
@example(bytes(65), "")
def test_a_signature_is_the_hmac_of_the_standard_library(key, text):
    """RFC 2104, for keys shorter, as long as, and longer than SHA-256's block of 64 bytes; also when the key is known."""
    expected = hmac.new(key, text.encode(), "sha256").hexdigest()
    assert [signature(key, text), signature(key, text)] == [expected, expected]


def test_signing_keys_are_kept_per_secret_day_region_and_service():
    """Four HMACs a day instead of four a request; each of the four inputs makes another key."""
    inputs = ("secret", "20260101", "eu-west-1", "lambda")
    assert signing_key(*inputs) is signing_key(*inputs)
    others = {signing_key(*(*inputs[:i], inputs[i] + "x", *inputs[i + 1 :])) for i in range(4)}
    assert len(others | {signing_key(*inputs)}) == 5


def test_the_cache_of_signing_keys_is_bounded():
    """Rotating credentials must not fill the memory."""
    for number in range(50):
        signing_key(f"secret-{number}", "20260101", "eu-west-1", "lambda")
    assert signing_key.cache_info().currsize <= 16


@pytest.mark.parametrize(
    ("seconds", "date"),
    [
        (0, "19700101T000000Z"),
        (1_440_938_160, "20150830T123600Z"),
        (1_709_164_800, "20240229T000000Z"),
        (1_735_689_599, "20241231T235959Z"),
        (1_735_689_600, "20250101T000000Z"),
    ],
)
def test_dates_are_utc_in_basic_format(seconds, date):
    """At midnight, on a leap day, at the turn of the year."""
    assert format_amz_date(seconds) == date


def test_the_scopes_day_is_that_of_the_date_in_the_last_and_the_first_second_of_a_day():
    """The key's day and the header's day come from one reading of the clock."""
    for now, day in ((1_735_689_599.999, "20241231"), (1_735_689_600.0, "20250101")):
        added = dict(signed(now=now))
        assert added["x-amz-date"].startswith(day)
        assert f"/{day}/eu-west-3/lambda/aws4_request" in added["authorization"]


# --- the whole ----------------------------------------------------------------------------------------------------------

CREDENTIALS = Credentials("AKIDEXAMPLE", SUITE_SECRET, "session//token+==")


def signed(*, credentials: Credentials = CREDENTIALS, now: float = NOW, **changes: object) -> list[tuple[str, str]]:
    """Sign a request that starts valid."""
    request = {
        "method": "GET",
        "path": "/api",
        "query": "b=1&a=2",
        "headers": [("host", ORIGIN), ("x-amz-content-sha256", EMPTY_SHA256)],
        "payload_hash": EMPTY_SHA256,
        "region": "eu-west-3",
        "service": "lambda",
        **changes,
    }
    return sign(**request, credentials=credentials, now=now)


def wire_of(added: list[tuple[str, str]], *, body: bytes = b"", headers: tuple = (), **changes: str) -> Wire:
    """Put the wire form of a signed request together."""
    form = {"method": "GET", "path": "/api", "query": "b=1&a=2", **changes}
    stated = [("host", ORIGIN), ("x-amz-content-sha256", sha256_hex(body)), *headers]
    return Wire(**form, headers=(*stated, *added), body=body)


def test_sign_returns_the_headers_to_add_in_the_documented_form():
    """The date, the token, and an Authorization header in AWS's own layout; nothing else."""
    added = signed()
    assert [name for name, _ in added] == ["x-amz-date", "x-amz-security-token", "authorization"]
    assert dict(added)["x-amz-security-token"] == "session//token+=="
    assert re.fullmatch(
        rf"{ALGORITHM} Credential=AKIDEXAMPLE/20260921/eu-west-3/lambda/aws4_request, "
        r"SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature=[0-9a-f]{64}",
        dict(added)["authorization"],
    )


@pytest.mark.parametrize("token", [None, ""])
def test_long_term_credentials_add_and_sign_no_token(token):
    """A token header that is empty would be no token at all to AWS."""
    added = signed(credentials=Credentials("AKIDEXAMPLE", SUITE_SECRET, token))
    assert [name for name, _ in added] == ["x-amz-date", "authorization"]
    assert "x-amz-security-token" not in dict(added)["authorization"]


@pytest.mark.parametrize("token", ["session//token+==", None])
@pytest.mark.parametrize("body", [b"", b"\x00\xff{}"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/", ""),
        ("/api/caf%C3%A9/a%20b%2Fc/(d)*!'", "flag=&b=2&a=1&a=0&a-b=%20%2B~"),
        ("/~.-_:@$&,;=+/", "x%5B0%5D=1&u=http%3A%2F%2Fa%2Fb%3Fc%3Dd"),
    ],
)
def test_botocore_and_awscrt_sign_alike(method, path, query, body, token):
    """Two independent programs of AWS's own make exactly our Authorization header from the wire form."""
    credentials = Credentials("AKIDEXAMPLE", SUITE_SECRET, token)
    identity = (("x-cognito-groups", "a,b%2Cc"), ("x-cognito-scopes", "openid tools/call"))
    headers = [("host", ORIGIN), ("x-amz-content-sha256", sha256_hex(body)), *identity]
    added = signed(
        method=method, path=path, query=query, headers=headers, payload_hash=sha256_hex(body), credentials=credentials
    )
    wire = wire_of(added, method=method, path=path, query=query, body=body, headers=identity)
    assert botocore_authorization(wire, credentials=credentials) == dict(added)["authorization"]
    assert awscrt_authorization(wire, credentials=credentials) == dict(added)["authorization"]
    door_verdict(wire, credentials=credentials)


@pytest.mark.parametrize(
    "change",
    [
        {"method": "HEAD"},
        {"path": "/apj"},
        {"path": "/api/"},
        {"query": "b=1&a=3"},
        {"query": "b=1"},
        {"headers": [("host", "x" + ORIGIN), ("x-amz-content-sha256", EMPTY_SHA256)]},
        {"headers": [("host", ORIGIN), ("x-amz-content-sha256", EMPTY_SHA256), ("x-cognito-sub", "x")]},
        {"payload_hash": "0" * 64},
        {"region": "eu-west-1"},
        {"service": "s3"},
        {"now": NOW + 1},
        {"now": NOW + 86_400},
        {"credentials": Credentials("AKIDEXAMPLE", SUITE_SECRET + "x", "session//token+==")},
        {"credentials": Credentials("AKIDEXAMPLE", SUITE_SECRET, "session//token+=")},
    ],
)
def test_whatever_is_changed_changes_the_signature(change):
    """Nothing that counts is left out of what is signed."""
    assert dict(signed(**change))["authorization"][-64:] != dict(signed())["authorization"][-64:]


def test_only_what_is_given_and_what_sigv4_needs_is_signed():
    """The allow-list is the caller's: no header is picked up from elsewhere."""
    added = dict(signed(headers=[("host", ORIGIN)]))
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token," in added["authorization"]


def test_signing_changes_none_of_its_inputs():
    """The caller's list of headers is the caller's."""
    headers = [("x-cognito-sub", "a"), ("host", ORIGIN)]
    signed(headers=headers)
    assert headers == [("x-cognito-sub", "a"), ("host", ORIGIN)]


def test_credentials_show_their_secrets_to_nobody():
    """Neither repr nor str of what may end up in a traceback has the secret or the token."""
    text = f"{CREDENTIALS!r} {CREDENTIALS}"
    assert "AKIDEXAMPLE" in text
    assert SUITE_SECRET not in text
    assert "session" not in text.replace("session_token", "")
