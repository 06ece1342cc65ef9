"""For any request: a signature that three independent programs make alike from the wire form, or a clear refusal.

Thousands of requests, made of what breaks other signers, go through the whole gateway. botocore, awscrt and the local
door then compute the signature from what goes over the wire; oracles written here on their own say whether the meaning
was kept, and whether what was refused had to be.
"""

import copy
import os
import re
from urllib.parse import parse_qsl, unquote_to_bytes

import pytest
from cognito_edge.cloudfront import is_dropped
from hypothesis import HealthCheck, assume, event, example, given, settings
from hypothesis import strategies as st

from tests.support.events import ORIGIN, is_forwarded, make_event, problem_of
from tests.support.gateways import make_offline_system
from tests.support.keys_and_tokens import Pool
from tests.support.policy_oracle import unreadable_reasons
from tests.support.reference_signers import assert_every_reference_agrees, sha256_hex, wire_form

# The same examples in every run, so that a red CI is red for its author too; EXPLORE=1 looks for new ones.
PROFILE = settings(
    max_examples=2_000,
    deadline=None,
    derandomize=not os.environ.get("EXPLORE"),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

POLICY = {
    "version": 1,
    "routes": [
        {"path": "/public/*", "allow": "anyone"},
        {"path": "/admin/*", "groups": ["admins"]},
        {"path": "/*", "token_use": ["id"]},
    ],
}
POOL = Pool()
TOKEN = POOL.id_token(**{"cognito:groups": ["admins", "x,y", "%61"], "cognito:username": "jane doe"})
OUTSIDER = POOL.id_token()
SYSTEM = make_offline_system()
RULED = make_offline_system(POLICY)

# --- what requests are made of ----------------------------------------------------------------------------------------

# Each stands for a way in which signers or servers disagree (measurements, "Where SigV4 signers disagree").
BENIGN = (
    *(
        "a",
        "B",
        "0",
        "-",
        "_",
        ".x",
        "~",
        "!",
        "$",
        "'",
        "(",
        ")",
        "*",
        ",",
        ":",
        "@",
        ";",
        "=",
        "+",
        "x.y",
        "%20",
        "%2B",
    ),
    *(
        "/",
        "//",
        "é",
        "日本",
        "😀",
        "e\u0301",
        " ",
        '"',
        "<",
        ">",
        "[",
        "]",
        "^",
        "`",
        "{",
        "|",
        "}",
        "%C3%A9",
        "%c3%a9",
        "%2f",
    ),
    *(
        "%2F",
        "%3A",
        "%3a",
        "%7E",
        "%7e",
        "%41",
        "%25",
        "%2541",
        "://",
        "?",
        "#",
        "\x7f",
        "\x01",
        "\t",
        "%0A",
        "api",
        "&",
    ),
)
TROUBLE = (
    *(".", "..", "/./", "/../", "%2e", "%2E%2e", "%252e", "..;", ";/", "\\", "%5c", "%255C", "\x00", "%00", "%2500"),
    *(
        "%",
        "%%",
        "%zz",
        "%4",
        "%u00e9",
        "\ud800",
        "%C0%AE",
        "%E9",
        "%FF",
        "%25252525252541",
        "admin",
        "ADMIN",
        "public",
    ),
    *("x-amz-", "X-Amz-Date=1", "&X%2DAmz-Signature=1", "&=", "=", "&&", "a" * 4_000, "é" * 700),
)
TEXTS = st.text(max_size=6)
FINE = st.lists(st.one_of(st.sampled_from(BENIGN), TEXTS), max_size=10).map("".join)
ANY = st.lists(st.one_of(st.sampled_from(BENIGN), st.sampled_from(TROUBLE), TEXTS), max_size=10).map("".join)
PATHS = st.one_of(FINE, FINE, ANY).map("/".__add__)
PAIRS = st.lists(st.tuples(FINE, st.sampled_from(("=", "=", "=", "")), FINE).map("".join), max_size=6).map("&".join)
QUERIES = st.one_of(PAIRS, PAIRS, FINE, ANY)
METHODS = st.sampled_from(("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"))
BODIES = st.one_of(st.just(b""), st.binary(max_size=300))

READ_ONLY = (
    *("accept-encoding", "cdn-loop", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since"),
    *("transfer-encoding", "via"),
)
STATED = ("host", "x-forwarded-host", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "authorization")
DROPPED = (
    *("x-cognito-sub", "x-cognito-groups", "x_cognito_groups", "x-cognito_claims", "x_cognito-sub", "x-cognito-zzz"),
    *("x-amz-date", "x-amz-security-token", "x-amz-meta-a", "x_amz_date", "x-amz-source-arn", "forwarded"),
    *("x-forwarded-host", "x_forwarded_host"),
)
PASSED = (
    *(
        "accept",
        "cookie",
        "content-type",
        "user-agent",
        "te",
        "range",
        "origin",
        "referer",
        "x-forwarded-for",
        "x-custom",
    ),
    *("x-cognito", "x-amzn-trace-id", "cloudfront-viewer-country", "traceparent", "x_custom", "x-forwarded-port"),
)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x17F, exclude_characters="\x7f"), max_size=12)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
HEADERS = st.dictionaries(
    st.one_of(
        st.sampled_from(READ_ONLY),
        st.sampled_from(DROPPED),
        st.sampled_from(PASSED),
        # r"[a-z][a-z0-9_-]{0,8}", without what it takes to draw from an expression
        st.builds(str.__add__, st.sampled_from(LETTERS), st.text(LETTERS + "0123456789_-", max_size=8)).filter(
            lambda name: name not in {"host", "authorization", "content-length"}
        ),
    ),
    st.lists(VALUES, min_size=1, max_size=3),
    max_size=6,
)

# --- oracles ----------------------------------------------------------------------------------------------------------


def must_be_malformed(path: str, query: str) -> bool:
    """Say whether a target has one of the faults that docs/contracts.md calls malformed."""
    try:
        raw_path, raw_query = path.encode(), query.encode()
    except UnicodeEncodeError:
        return True
    if any(re.search(rb"%(?![0-9a-fA-F][0-9a-fA-F])", part) for part in (raw_path, raw_query)):
        return True
    for pair in filter(None, raw_query.split(b"&")):
        name, _, _value = pair.partition(b"=")
        if not name or unquote_to_bytes(name).lower().startswith(b"x-amz-"):
            return True
        try:
            unquote_to_bytes(pair).decode()
        except UnicodeDecodeError:
            return True
    return False


def sent_length(path: str, query: str) -> int:
    """Return how long a target gets once it is escaped, counted without making it."""
    pchar = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/%"
    length = sum(1 if byte in pchar else 3 for byte in re.sub(rb"//+", b"/", path.encode()))
    pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=None)
    unreserved = pchar[:66]
    for name, value in pairs:
        length += 2 + sum(1 if byte in unreserved else 3 for byte in (name + value).encode())
    return length


def may_be_ambiguous(path: str) -> bool:
    """Say whether some server could read dots, NUL, a backslash or overlong UTF-8 in a path, or escapes nest deep."""
    data = path.encode()
    for _ in range(10):
        data = unquote_to_bytes(data)
    deep = re.search(r"%(25){6}", path) is not None
    overlong = re.search(rb"[\xc0\xc1\xe0\xf0\xf8\xfc]", data) is not None
    return deep or overlong or bool(unreadable_reasons(path))


def same_path(sent: str, received: str) -> bool:
    """Say whether two paths decode to the same bytes, repeated slashes merged."""
    return unquote_to_bytes(re.sub("//+", "/", sent)) == unquote_to_bytes(received)


def same_query(sent: str, received: str) -> bool:
    """Say whether two queries are the same pairs in the same order to a form decoder."""
    return parse_qsl(sent, keep_blank_values=True, errors="strict") == parse_qsl(
        received, keep_blank_values=True, errors="strict"
    )


# --- properties -------------------------------------------------------------------------------------------------------


@PROFILE
@example(method="GET", path="/a://b", query="u=http://x", headers={}, body=b"")
@example(method="GET", path="/%2F%2f//", query="a=1&a=1&a", headers={"te": ["trailers"]}, body=b"")
@example(method="POST", path="/é", query="+=+&é=é", headers={"via": ["1.1 a", "1.1 b"]}, body=b"\xff\x00")
@given(method=METHODS, path=PATHS, query=QUERIES, headers=HEADERS, body=BODIES)
def test_every_request_is_signed_as_three_others_sign_it_or_refused_with_a_reason(method, path, query, headers, body):
    """The property the gateway exists for: no URL, header or body breaks the signature."""
    assume(body == b"" or method in {"POST", "PUT", "PATCH"})
    headers = {name: values for name, values in headers.items() if name != "transfer-encoding"}
    result = SYSTEM(
        make_event(method=method, uri=path, querystring=query, token=TOKEN, headers=headers, body=body or None)
    )
    if not is_forwarded(result):
        problem = problem_of(result)
        event(problem["code"])
        assert result["status"] == "400", problem
        if problem["code"] == "malformed_url":
            assert must_be_malformed(path, query) or sent_length(path, query) > 8_191, problem
            assert re.search(r"path|query|URL", problem["detail"])
        else:
            assert problem["code"] == "ambiguous_path"
            assert may_be_ambiguous(path), problem
        return
    event("forwarded")
    assert not must_be_malformed(path, query)
    assert same_path(path, result["uri"])
    assert same_query(query, result["querystring"])
    wire = wire_form(result, body)
    assert re.fullmatch(r"/[!-~]*", wire.target)
    assert len(wire.target) <= 8_191
    assert_every_reference_agrees(wire)
    # The gateway in front of the gateway: the second signs exactly what the first signed.
    again = SYSTEM(
        make_event(
            method=method,
            uri=result["uri"],
            querystring=result["querystring"],
            token=TOKEN,
            headers=headers,
            body=body or None,
        )
    )
    assert is_forwarded(again)
    for field in ("uri", "querystring", "headers"):
        assert again[field] == result[field]


@settings(PROFILE, max_examples=500)
@given(headers=HEADERS, method=METHODS)
def test_headers_are_changed_in_place_and_only_those_that_may_be(headers, method):
    """Read-only ones as they were, the gateway's own stated once, the viewer's forgeries gone, all else untouched."""
    headers.setdefault("x-amz-content-sha256", [sha256_hex(b"")])
    before = make_event(method=method, token=TOKEN, headers=headers)
    original = copy.deepcopy(before["Records"][0]["cf"]["request"])
    result = SYSTEM(before)
    if not is_forwarded(result):
        assert (result["status"], "transfer-encoding" in headers) == ("413", True)
        return
    identity = {name for name in result["headers"] if name.startswith("x-cognito-")}
    for name, items in original["headers"].items():
        if name in STATED or name in identity:
            continue
        forged = not re.fullmatch("[a-z0-9-]+", name) or name.startswith(
            ("x-cognito-", "x-amz-", "x-http-", "remote-", "proxy", "x-host")
        )
        forged = (
            forged
            or name == "forwarded"
            or (name.startswith("x-forwarded-") and name not in ("x-forwarded-for", "x-forwarded-proto"))
        )
        assert is_dropped(name) is forged
        assert result["headers"].get(name) == (None if forged else items)
    added = result["headers"].keys() - original["headers"].keys()
    assert added <= {*STATED, *identity}
    for name in {*STATED, *identity}:
        assert len(result["headers"][name]) == 1
    assert result["headers"]["host"][0]["value"] == ORIGIN
    assert set(wire_form(result).signed_names) == {*STATED, *identity} - {"authorization", "x-forwarded-host"}


@settings(PROFILE, max_examples=300)
@given(headers=HEADERS)
def test_what_a_viewer_sends_beside_the_target_never_changes_the_signature(headers):
    """Via, te, user-agent, cookies and forged identities alike: the signature is over what is ours."""
    headers.pop("transfer-encoding", None)
    plain = SYSTEM(token=TOKEN)
    dressed = SYSTEM(token=TOKEN, headers=headers)
    assert dressed["headers"]["authorization"] == plain["headers"]["authorization"]


@settings(PROFILE, max_examples=300)
@given(
    method=METHODS,
    body=st.binary(min_size=1, max_size=200),
    upper=st.booleans(),
    way=st.sampled_from(("content-length", "transfer-encoding", "truncated")),
)
def test_bodies_that_the_edge_cannot_see_are_signed_by_their_owners_hash(method, body, upper, way):
    """With the hash three programs agree on the whole; without it the answer is 413, never a bad signature."""
    exposed = method in {"POST", "PUT", "PATCH"}
    assume(way == "truncated" or not exposed)
    stated = sha256_hex(body).upper() if upper else sha256_hex(body)
    promised = {"content-length": str(len(body))} if way == "content-length" else {"transfer-encoding": "chunked"}
    request = {
        "method": method,
        "token": TOKEN,
        "headers": promised,
        "truncated": way == "truncated",
        "body": body[:10] if way == "truncated" else None,
    }
    assert SYSTEM(**request)["status"] == "413"
    result = SYSTEM(**{**request, "headers": {**promised, "x-amz-content-sha256": stated}})
    assert_every_reference_agrees(wire_form(result, body))


# Paths close to the borders of rules: names of rules in every disguise, and steps between them.
DISGUISES = st.lists(
    st.sampled_from(
        [
            *(
                "admin",
                "Admin",
                "ADMIN",
                "%61dmin",
                "%41dmin",
                "%2561dmin",
                "adm%69n",
                "public",
                "Public",
                "%70ublic",
                "x",
            ),
            *(
                "/",
                "//",
                "%2F",
                "%2f",
                "%252F",
                ";",
                ";a=b",
                "%3B",
                ".",
                "..",
                "%2e%2e",
                " ",
                "%20",
                "%2520",
                "\\",
                "é",
            ),
        ]
    ),
    max_size=6,
).map(lambda parts: "/" + "".join(parts))


def servers_readings(path: str) -> list[list[str]]:
    """Read a path as sent in each way in which a server might; written on its own, from the list in docs/contracts.md."""
    found = []
    for rounds in (1, 6):
        for literal in (False, True):
            names = path.split("/") if literal else None
            text = path
            if names is None:
                for _ in range(rounds):
                    text = unquote_to_bytes(text).decode("utf-8", "surrogateescape")
                names = text.split("/")
            else:
                for _ in range(rounds):
                    names = [unquote_to_bytes(name).decode("utf-8", "surrogateescape") for name in names]
            for parameters in (False, True):
                for trailers in (False, True):
                    for fold in (False, True):
                        segments = names
                        if parameters:
                            segments = [name.partition(";")[0] for name in segments]
                        if trailers:
                            segments = [name.rstrip(". ") for name in segments]
                        if fold:
                            segments = [name.lower() for name in segments]
                        found.append([name for name in segments if name])
    return found


@PROFILE
@example(path="/Admin/x")
@example(path="/ADMIN")
@given(path=DISGUISES)
def test_no_spelling_gets_past_a_rule(path):
    """A caller who is let through to a path is let through by every rule under which some server could put it."""
    outsider = RULED(uri=path, token=OUTSIDER)
    anonymous = RULED(uri=path)
    first_names = {reading[0] if reading else "" for reading in servers_readings(path)}
    if "admin" in first_names:
        assert not is_forwarded(outsider), f"read as /admin by some server: {path}"
    if {name.lower() for name in first_names} != {"public"}:
        assert not is_forwarded(anonymous), f"read as a path that wants a token by some server: {path}"


@pytest.mark.parametrize("path", ["/admin/x", "/public/x", "/x"])
def test_the_rules_of_the_property_above_do_let_their_own_users_in(path):
    """The accepting half: an admin gets everywhere, an anonymous viewer to /public alone."""
    assert is_forwarded(RULED(uri=path, token=TOKEN))
    assert is_forwarded(RULED(uri=path)) is (path == "/public/x")
    assert is_forwarded(RULED(uri=path, token=OUTSIDER)) is (path != "/admin/x")
