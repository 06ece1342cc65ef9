"""edge/cognito_edge/target.py and edge/cognito_edge/readings.py: the one form of a target that is judged, signed and sent, and how else it can be read."""

import gc
import re
import sys
import tracemalloc
from unicodedata import category, normalize
from urllib.parse import parse_qsl, quote, unquote_to_bytes

import pytest
from cognito_edge.errors import AmbiguousPathError, GatewayError, MalformedUrlError, MethodNotAllowedError
from cognito_edge.policy_document import parse_policy
from cognito_edge.readings import fold, plausible_readings
from cognito_edge.target import canonical_path, canonical_query, canonical_target, check_length
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.events import problem_of
from tests.support.gateways import make_offline_system
from tests.support.keys_and_tokens import Pool

# "unreserved / sub-delims / ":" / "@"", RFC 3986 §3.3, spelt out here on its own.
PCHAR = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@"
UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


def readings(path: str, *, folded: bool = False) -> set[tuple[str, ...]]:
    """Return the segments of every reading of a path as sent, those of servers that ignore case on demand."""
    return {reading.segments for reading in plausible_readings(canonical_path(path)) if reading.folded is folded}


def refusal_of(call, *arguments) -> GatewayError:
    """Return the refusal that a call ends in."""
    with pytest.raises(GatewayError) as caught:
        call(*arguments)
    return caught.value


# --- path: what is sent -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("character", PCHAR.replace(".", ""))
def test_every_pchar_is_sent_as_it_came(character):
    """What RFC 3986 allows in a path stays bare, sub-delims, ':' and '@' included."""
    assert canonical_path(f"/a/{character}") == f"/a/{character}"


@pytest.mark.parametrize("character", [chr(code) for code in range(128) if chr(code) not in PCHAR + "/%"])
def test_every_other_ascii_character_is_escaped(character):
    """Controls, space, quotes, brackets, '?', '#' and the rest become an escape in upper case."""
    assert canonical_path(f"/a{character}b") == f"/a%{ord(character):02X}b"


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        ("/café", "/caf%C3%A9"),
        ("/日本", "/%E6%97%A5%E6%9C%AC"),
        ("/😀", "/%F0%9F%98%80"),
        ("/e\u0301", "/e%CC%81"),  # not composed: names are bytes, and are not normalised
        ("/\u0080\u00ff", "/%C2%80%C3%BF"),
    ],
)
def test_characters_beyond_ascii_become_the_escapes_of_their_utf8(sent, canonical):
    """CloudFront hands over UTF-8; its bytes are escaped one by one."""
    assert canonical_path(sent) == canonical


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        ("/%2f%c3%a9", "/%2F%C3%A9"),
        ("/%2F%C3%A9", "/%2F%C3%A9"),
        ("/%7e%7E", "/%7E%7E"),  # legal, if needless
        ("/%61%41", "/%61%41"),
        ("/%e9", "/%E9"),  # not UTF-8: what it means is the backend's business
        ("/a%2520b", "/a%2520b"),
        ("/%aB%Cd", "/%AB%CD"),
    ],
)
def test_legal_escapes_keep_their_bytes_and_get_upper_case_hex(sent, canonical):
    """No escape is decoded, added or removed."""
    assert canonical_path(sent) == canonical


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        ("//", "/"),
        ("///", "/"),
        ("//a", "/a"),
        ("/a//b///c//", "/a/b/c/"),
        ("/a/%2F/b", "/a/%2F/b"),
        ("/a%2F%2Fb", "/a%2F%2Fb"),
    ],
)
def test_repeated_slashes_are_merged_and_escaped_ones_are_not(sent, canonical):
    """Services merge '//' when they canonicalise, or do not: with one slash both agree."""
    assert canonical_path(sent) == canonical


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        ("/http://example.com/", "/http%3A/example.com/"),
        ("/a:/b:/", "/a%3A/b%3A/"),
        ("/a:", "/a:"),
        ("/a:b/c::d", "/a:b/c::d"),
        ("/a:%2F", "/a:%2F"),
        ("/http%3a/x", "/http%3A/x"),
    ],
)
def test_a_colon_before_a_slash_is_escaped(sent, canonical):
    """To awscrt ':/' is a broken '://', and it signs nothing; escaped, the colon means the same to every server."""
    assert canonical_path(sent) == canonical


def test_an_empty_path_is_the_root():
    """An HTTP client may leave the slash out where there is nothing else (RFC 9110 §4.2.3)."""
    assert canonical_path("") == "/"


@pytest.mark.parametrize("path", ["a", "*", "a/b", "http://example.com/", "%2Fa", "\u00e9", " /a"])
def test_a_path_without_a_leading_slash_is_malformed(path):
    """Absolute forms, OPTIONS * and the like have no path that could be sent on."""
    assert refusal_of(canonical_path, path).code == "malformed_url"


@pytest.mark.parametrize(
    "broken", ["%", "%z", "%zz", "%2", "%2z", "%z2", "%%", "%%41", "%u0041", "% 41", "%-1", "%\u0661\u0661"]
)
def test_a_percent_sign_that_begins_no_escape_is_malformed(broken):
    """Two ASCII hex digits or it is no escape; servers read the rest as a literal, as nothing, or as an error."""
    error = refusal_of(canonical_path, f"/a/{broken}")
    assert error.code == "malformed_url"
    assert "path" in str(error)
    assert "%25" in str(error)


def test_the_refusal_of_a_broken_escape_says_where_it_is():
    """The message names the part of the URL, the place and what stands there."""
    assert str(refusal_of(canonical_path, "/é/%zz")) == (
        "The URL's path has '%zz' at byte 4, which is no escape: write %25 for a percent sign."
    )


@pytest.mark.parametrize("path", ["/\ud800", "/a\udc80b", "/%61\ud83d"])
def test_half_a_surrogate_pair_is_malformed(path):
    """JSON can carry what has no UTF-8; it has no bytes that could be signed."""
    assert refusal_of(canonical_path, path).code == "malformed_url"


def test_a_whole_surrogate_pair_is_fine():
    """The accepting half of the rule above."""
    assert canonical_path("/\U0001f600") == "/%F0%9F%98%80"


# --- path: what is refused as ambiguous -------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["/", "/a/", "//", "/a%2F"])
@pytest.mark.parametrize("suffix", ["", "/", "/b", "%2Fb"])
@pytest.mark.parametrize(
    "dots",
    [
        ".",
        "..",
        "%2e",
        "%2E",
        "%2e.",
        ".%2E",
        "%2e%2e",
        "%252e",
        "%252e%252E",
        ".%252e",
        "%25252e%25252e",
        ";/..",
        "..;",
        ".;x=y",
        "..%3Bx",
        "..%253b",
        "%2e%2e;a;b",
        ".%20",
        "..%20%20",
        "..%2520",
        "..;%20",
        "..%20;x",
    ],
)
def test_dot_segments_are_refused_in_every_disguise(prefix, dots, suffix):
    """Raw, escaped, escaped again, with parameters or with spaces behind: some server steps up there."""
    error = refusal_of(canonical_target, f"{prefix}{dots}{suffix}", "")
    assert error.code == "ambiguous_path"


@pytest.mark.parametrize("dots", ["...", "....", ". .", ".. .", ".%20..", "..%20.", "...;x", "%2e%2e%2e", "%252e.."])
def test_segments_of_dots_and_spaces_are_refused(dots):
    """Dots and spaces taken off the end one by one, as Windows file systems do it, leave a dot segment on the way."""
    assert refusal_of(canonical_target, f"/a/{dots}/b", "").code == "ambiguous_path"


@pytest.mark.parametrize(
    "segment", [".a", "..a", "a.", "a..", "a..b", ".well-known", "...a", "%2ea", "main...dev", ".%61", "-", "~", "%20"]
)
def test_names_with_dots_in_them_are_no_dot_segments(segment):
    """The accepting half: a dot is dangerous only where nothing else is in the segment."""
    canonical_target(f"/a/{segment}/b", "")


@pytest.mark.parametrize("sign", ["\\", "\x00"])
@pytest.mark.parametrize("depth", range(5))
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_backslash_and_nul_are_refused_raw_and_at_every_depth_of_escapes(sign, depth, case):
    """A backslash is a slash to Windows, a NUL the end of the name to anything written in C."""
    escaped = sign if depth == 0 else "%" + "25" * (depth - 1) + case(f"{ord(sign):02x}")
    for path in (f"/a{escaped}b", f"/{escaped}", f"/a/{escaped}/b", f"/a%2F{escaped}"):
        assert refusal_of(canonical_target, path, "").code == "ambiguous_path"


@pytest.mark.parametrize("path", ["/a\x01b", "/a%01b", "/a%7F", "/a|b", "/a%7Cb", "/a%0A", "/a%0D%0Ab", "/a%09"])
def test_other_control_and_odd_characters_are_sent_on_escaped(path):
    """The accepting half: they are escaped, and mean the same everywhere."""
    target = canonical_target(path, "")
    assert unquote_to_bytes(target.path) == unquote_to_bytes(path)
    assert re.fullmatch(r"[!-~]+", target.path)


@pytest.mark.parametrize(
    "overlong",
    [
        "%C0%AE",
        "%c0%ae%c0%ae",
        "%C0%AF",
        "%C1%9C",
        "%E0%80%AF",
        "%E0%9F%BF",
        "%F0%80%80%AF",
        "%F0%8F%BF%BF",
        "%25C0%25AE",
        "%F8%80%80%80%AE",
        "%FC%80%80%80%80%AE",
    ],
)
def test_overlong_utf8_in_a_path_is_refused(overlong):
    """Old decoders, of up to six bytes a character (RFC 2279), read them as '.' or '/'."""
    assert refusal_of(canonical_target, f"/a/{overlong}/b", "").code == "ambiguous_path"


@pytest.mark.parametrize(
    "shortest", ["%C2%80", "%DF%BF", "%E0%A0%80", "%EF%BF%BD", "%F0%90%80%80", "%F4%8F%BF%BF", "%E9", "%FF%FE"]
)
def test_shortest_utf8_and_bytes_that_are_no_utf8_are_sent_on(shortest):
    """The accepting half: each at the border of the forms above; paths need not be UTF-8."""
    assert canonical_target(f"/a/{shortest}", "").path == f"/a/{shortest}"


def test_escapes_may_be_nested_to_a_depth_and_no_further():
    """An escape may be escaped so often: each time costs a pass, and one more is refused."""
    deepest = "/a/%" + "25" * 5 + "41"
    assert canonical_target(deepest, "").path == deepest
    assert ("a", "A") in readings(deepest)
    error = refusal_of(canonical_target, "/a/%" + "25" * 6 + "41", "")
    assert error.code == "ambiguous_path"
    assert "more than 5 deep" in str(error)


def test_a_decoded_percent_sign_is_no_broken_escape():
    """'100%25' means '100%'; decoding it again finds nothing to decode, and that is fine."""
    for path in ("/100%25", "/100%25/x", "/%25zz", "/a%25", "/%2525"):
        assert canonical_target(path, "").path == path


# --- query ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("character", UNRESERVED)
def test_unreserved_characters_stay_bare_in_a_query_even_when_they_came_escaped(character):
    """The strict form has one spelling of each byte."""
    assert canonical_query(f"a={character}") == f"a={character}"
    assert canonical_query(f"a=%{ord(character):02x}") == f"a={character}"


@pytest.mark.parametrize(
    "character", [chr(code) for code in range(128) if chr(code) not in UNRESERVED + "&=+%"] + ["é", "日", "😀"]
)
def test_every_other_character_is_escaped_in_names_and_values(character):
    """',', ':', '@', '*', '[', '/', '?' and '~'s neighbours break other signers; here they are escaped."""
    escaped = "".join(f"%{byte:02X}" for byte in character.encode())
    assert canonical_query(f"{character}={character}") == f"{escaped}={escaped}"
    assert canonical_query(f"{escaped.lower()}={escaped}") == f"{escaped}={escaped}"


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        ("", ""),
        ("q=a+b", "q=a%20b"),
        ("q=a%20b", "q=a%20b"),
        ("q=a b", "q=a%20b"),
        ("q=a%2Bb", "q=a%2Bb"),
        ("q=a%2bb", "q=a%2Bb"),
        ("a+b=1", "a%20b=1"),
        ("+=+", "%20=%20"),
        ("flag", "flag="),
        ("flag=", "flag="),
        ("flag&x=1&other", "flag=&x=1&other="),
        ("&", ""),
        ("&&&", ""),
        ("&a=1", "a=1"),
        ("a=1&", "a=1"),
        ("a=1&&b=2", "a=1&b=2"),
        ("a==", "a=%3D"),
        ("a=b=c", "a=b%3Dc"),
        ("a=%3D%26", "a=%3D%26"),
        ("a%3Db=c", "a%3Db=c"),
        ("a%26b=c", "a%26b=c"),
        ("b=2&a=1&b=1", "b=2&a=1&b=1"),
        ("a=1&a=1", "a=1&a=1"),
        ("a=2&a=1&a=3", "a=2&a=1&a=3"),
        ("a=1;b=2", "a=1%3Bb%3D2"),
        ("x[0]=1&x[]=2", "x%5B0%5D=1&x%5B%5D=2"),
        ("x%5b0%5d=1", "x%5B0%5D=1"),
        ("?a=1", "%3Fa=1"),
        ("a=1?b=2", "a=1%3Fb%3D2"),
        ("url=http://example.com/?a=b#c", "url=http%3A%2F%2Fexample.com%2F%3Fa%3Db%23c"),
        ('filter={"a":1}', "filter=%7B%22a%22%3A1%7D"),
        ("a=%00", "a=%00"),
        ("a=../..\\", "a=..%2F..%5C"),
        ("a=%25zz", "a=%25zz"),
        ("a=%2525", "a=%2525"),
    ],
)
def test_queries_are_decoded_as_forms_and_encoded_strictly(sent, canonical):
    """One spelling for each meaning, with order, duplicates, empty values and flags kept."""
    assert canonical_query(sent) == canonical
    assert parse_qsl(canonical, keep_blank_values=True) == parse_qsl(sent, keep_blank_values=True)


@pytest.mark.parametrize("query", ["=", "=x", "a=1&=x", "a=1&=", "==", "=&a=1", "&=&"])
def test_a_parameter_without_a_name_is_malformed(query):
    """Servers drop it or keep it, so no one signature fits."""
    error = refusal_of(canonical_query, query)
    assert error.code == "malformed_url"
    assert "without a name" in str(error)


@pytest.mark.parametrize("broken", ["%", "%z", "%zz", "%4", "%4g", "%%", "%u0041", "100%", "50%&b=1", "% 1", "%+1"])
@pytest.mark.parametrize("place", ["a={}", "{}=a", "b=1&a={}", "{}"])
def test_broken_escapes_in_a_query_are_malformed(place, broken):
    """In a name or in a value, first or last."""
    error = refusal_of(canonical_query, place.format(broken))
    assert error.code == "malformed_url"
    assert "query" in str(error)


@pytest.mark.parametrize(
    "bad",
    [
        "%E9",
        "%C3",
        "%C3%28",
        "%80",
        "%FF",
        "%C0%AE",
        "%C1%BF",
        "%E0%80%AF",
        "%ED%A0%80",
        "%F5%80%80%80",
        "%C3+%A9",
        "%E9%",
    ],
)
@pytest.mark.parametrize("place", ["a={}", "{}=a", "b=1&a={}&c=2"])
def test_escapes_that_are_not_utf8_are_malformed_in_a_query(place, bad):
    """Some servers would replace them, some keep the bytes, and each would compute a signature of its own."""
    assert refusal_of(canonical_query, place.format(bad)).code == "malformed_url"


@pytest.mark.parametrize(
    "good", ["%C3%A9", "%c2%80", "%ED%9F%BF", "%EE%80%80", "%F4%8F%BF%BF", "%EF%BB%BF", "%EF%BF%BE"]
)
def test_every_scalar_value_is_fine_in_a_query(good):
    """The accepting half, at the borders of UTF-8."""
    assert canonical_query(f"{good}={good}") == f"{good.upper()}={good.upper()}"


@pytest.mark.parametrize("query", ["a=\ud800", "\udfff=1", "a=1&b=\udc80"])
def test_half_a_surrogate_pair_is_malformed_in_a_query(query):
    """As in a path."""
    assert refusal_of(canonical_query, query).code == "malformed_url"


@pytest.mark.parametrize(
    "name",
    [
        "X-Amz-Date",
        "x-amz-date",
        "X-AMZ-SIGNATURE",
        "X-Amz-Security-Token",
        "x-aMz-",
        "%58-Amz-Date",
        "%78-amz-date",
        "X%2DAmz%2dDate",
        "X-%41mz-Date",
        "X-Amz%2DDate",
        "%58%2d%41%4d%5a%2d",
    ],
)
@pytest.mark.parametrize("place", ["{}=1", "{}", "a=1&{}=1", "a=1&{}", "{}=1&a=1", "a=%20&{}=1", "&{}="])
def test_sigv4s_own_parameters_are_malformed_in_any_case_and_spelling(place, name):
    """SigV4 reads X-Amz-* from the query as well: a viewer's would compete with the gateway's own."""
    error = refusal_of(canonical_query, place.format(name))
    assert error.code == "malformed_url"
    assert "X-Amz-" in str(error)


@pytest.mark.parametrize(
    "query",
    ["X-Amz=1", "X-Amzn-Trace=1", "a=X-Amz-Date", "ax-amz-date=1", "x_amz_date=1", "%2558-Amz-Date=1", "xamz-=1"],
)
def test_parameters_that_are_only_like_sigv4s_are_sent_on(query):
    """The accepting half: no service reads these as its own."""
    assert canonical_query(query).startswith(query.partition("=")[0])


# --- length -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "query"),
    [("/" + "a" * 8190, ""), ("/", "q=" + "a" * 8187), ("/a", "q=" + "a" * 8186), ("/", "é=" + "a" * 8182)],
)
def test_a_target_of_8191_characters_passes_and_one_more_is_malformed(path, query):
    """'URI and query string' of an edge function's answer: fewer than 8,192 characters, counted as they are sent."""
    target = canonical_target(path, query)
    assert len(target.path) + len(target.query) + bool(target.query) == 8_191
    longer = (path, query + "a") if query else (path + "a", "")
    error = refusal_of(canonical_target, *longer)
    assert error.code == "malformed_url"
    assert "8192" in str(error)


def test_length_is_that_of_the_canonical_target_and_not_of_what_came():
    """Escaping makes URLs longer and merging shorter: CloudFront counts what the function returns."""
    assert canonical_target("/" * 9000, "&" * 9000).path == "/"
    assert refusal_of(canonical_target, "/" + "é" * 1366, "").code == "malformed_url"
    canonical_target("/" + "é" * 1365, "")
    check_length("/" + "a" * 8190, "")


# --- readings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        # A path with nothing to read in two ways.
        ("/", {("",)}),
        ("/admin/users", {("admin", "users")}),
        ("/a-b_c~d!$&'()*,=:@/e.f/g", {("a-b_c~d!$&'()*,=:@", "e.f", "g")}),
        # What a final suffix leaves: a format to many frameworks, a part of the name to others.
        ("/a.b", {("a.b",), ("a",)}),
        ("/a.b/", {("a.b", ""), ("a.b",), ("a",)}),
        ("/x.y/a.tar.gz", {("x.y", "a.tar.gz"), ("x.y", "a.tar"), ("x.y", "a")}),
        ("/.a", {(".a",), ("",)}),
        ("/..a", {("..a",), ("",)}),
        # A plus sign is a space to some, a decoded "?" or "#" the end.
        ("/a+b", {("a+b",), ("a b",)}),
        ("/a+/b", {("a+", "b"), ("a ", "b"), ("a", "b")}),
        ("/a%3Fb/c", {("a?b", "c"), ("a",)}),
        ("/a/%23b", {("a", "#b"), ("a", ""), ("a",)}),
        ("/a%253Fb", {("a%3Fb",), ("a?b",), ("a",)}),
        # Blanks and controls at either end, of any script; not within.
        ("/%20a%01", {(" a\x01",), ("a",)}),
        ("/%E1%9A%80a%E2%80%A8", {("\u1680a\u2028",), ("a",)}),
        ("/%EF%BB%BFa%7F", {("\ufeffa\x7f",), ("a",)}),
        ("/a%20b", {("a b",)}),
        # Names of blanks alone are none.
        ("/%20", {(" ",), ("",)}),
        ("/%09/", {("\t", ""), ("",)}),
        # Decoded once.
        ("/%61dmin", {("admin",)}),
        ("/caf%C3%A9", {("café",)}),
        # %2F a separator, and kept literal.
        ("/a%2Fb", {("a", "b"), ("a/b",)}),
        ("/%2Fadmin", {("admin",), ("/admin",)}),
        ("/admin%2F", {("admin", ""), ("admin",), ("admin/",)}),
        ("/a%2F%2Fb", {("a", "b"), ("a//b",)}),
        # Decoded to a fixed point.
        ("/%2561dmin", {("%61dmin",), ("admin",)}),
        ("/%252561dmin", {("%2561dmin",), ("admin",)}),
        ("/a%252Fb", {("a%2Fb",), ("a/b",), ("a", "b")}),
        # A "%2F" kept literal, and all else decoded to a fixed point.
        (
            "/admin%253b%2Fx",
            {("admin%3b", "x"), ("admin%3b/x",), ("admin;", "x"), ("admin;/x",), ("admin", "x"), ("admin",)},
        ),
        # Parameters.
        ("/admin;x=1/b", {("admin;x=1", "b"), ("admin", "b")}),
        ("/admin%3Bx", {("admin;x",), ("admin",)}),
        ("/;/admin", {(";", "admin"), ("admin",)}),
        # A slash, dot or space at the end.
        ("/admin/", {("admin", ""), ("admin",)}),
        ("/admin./b", {("admin.", "b"), ("admin", "b")}),
        ("/admin%20", {("admin ",), ("admin",)}),
        ("/admin. .%20", {("admin. . ",), ("admin. ",), ("admin",)}),
        ("/%20/admin", {(" ", "admin"), ("admin",)}),
        # Combined.
        ("/admin%20;x", {("admin ;x",), ("admin ",), ("admin",)}),
        ("/admin;x%20/", {("admin;x ", ""), ("admin", ""), ("admin;x",), ("admin",)}),
        ("/a%2Fb;c", {("a", "b;c"), ("a/b;c",), ("a", "b"), ("a/b",)}),
        (
            "/a%2Fb;c/D.%20/",
            {
                ("a", "b;c", "D. ", ""),
                ("a/b;c", "D. ", ""),
                ("a", "b", "D. ", ""),
                ("a/b", "D. ", ""),
                ("a", "b;c", "D"),
                ("a/b;c", "D"),
                ("a", "b", "D"),
                ("a/b", "D"),
            },
        ),
        ("/%2561dmin%253Bx.", {("%61dmin%3Bx.",), ("admin;x.",), ("admin",), ("%61dmin%3Bx",), ("admin;x",)}),
    ],
)
def test_every_plausible_reading_is_computed(path, expected):
    """The list in docs/contracts.md, item by item and combined."""
    assert readings(path) == expected
    folded = {tuple(name.casefold() for name in segments) for segments in expected}
    # A path that is in lower case and has one reading need not be listed twice.
    assert readings(path, folded=True) <= folded
    assert folded - readings(path, folded=True) <= expected


@given(
    st.lists(st.text(PCHAR.replace(";", "").replace(":", "") + "./", min_size=1, max_size=6), min_size=1, max_size=4),
    st.sampled_from(["", "/"]),
    st.data(),
)
def test_a_path_reads_the_same_with_any_character_escaped(names, end, data):
    """The short way of plain paths, which most are, ends where the long way of escaped ones does."""
    path = canonical_path("/" + "/".join(names) + end)
    at = data.draw(st.sampled_from([at for at, character in enumerate(path) if character != "/"] or [0]))
    escaped = path[:at] + f"%{ord(path[at]):02X}" + path[at + 1 :] if path[at] != "/" else path
    try:
        expected = plausible_readings(path)
    except AmbiguousPathError:
        assert refusal_of(plausible_readings, escaped).code == "ambiguous_path"
        return
    assert plausible_readings(escaped) == expected


@pytest.mark.parametrize(
    ("path", "folded"),
    [
        *(("/Admin", "admin"), ("/STRASSE", "strasse"), ("/Stra%C3%9Fe", "strasse"), ("/%41dmin", "admin")),
        *(
            ("/%C3%89", "\xe9"),
            ("/%E2%84%AA", "k"),
            ("/%C5%BF", "s"),
            ("/adm%C4%B1n", "admin"),
            ("/ADM%C4%B0N", "admin"),
        ),
        *(("/admi%CC%87n", "admin"), ("/%EF%BC%A1dmin", "admin"), ("/caf%65%CC%81", "caf\xe9"), ("/%EF%AC%81n", "fin")),
        *(("/%E2%85%A7", "viii"), ("/%CE%A3%CF%82", "\u03c3\u03c3"), ("/%FF", "\udcff")),
    ],
)
def test_the_reading_of_servers_that_ignore_case_or_take_compatible_forms_is_there(path, folded):
    """By lower case and by upper case, which differ for some letters; dotless and dotted i are i."""
    assert (folded,) in readings(path, folded=True)


def test_letters_that_any_case_mapping_or_normalisation_makes_equal_fold_to_one():
    """Over all of Unicode: what ``lower``, ``upper``, ``casefold``, NFC, NFD, NFKC and NFKD make of a character folds as it does."""
    for code in (code for code in range(0x110000) if not 0xD800 <= code < 0xE000):
        character = chr(code)
        same = {character, character.lower(), character.upper(), character.casefold()}
        same |= {normalize(form, character) for form in ("NFC", "NFD", "NFKC", "NFKD")}
        if len(same) > 1:
            assert len({fold(text) for text in same}) == 1, hex(code)


def test_blanks_are_what_unicode_calls_white_space_or_control_and_the_byte_order_mark():
    """Each at the beginning and at the end of a name, and no other character."""
    for code in (code for code in range(0x10000) if not 0xD800 <= code < 0xE000):
        character = chr(code)
        blank = character.isspace() or category(character) == "Cc" or character == "\ufeff"
        escaped = quote(character, safe="")
        near = code < 0x400 or 0x1670 < code < 0x1690 or 0x1FF0 < code < 0x3010 or code > 0xFE00
        # Others have a meaning of their own, plain or in compatible form.
        if set(normalize("NFKC", character)) & set("\0\\/?#;+%.") or not (near or code % 251 == 0):
            continue
        assert (("a",) in readings(f"/{escaped}a")) == blank, hex(code)
        assert (("a",) in readings(f"/a{escaped}")) == blank, hex(code)


@pytest.mark.parametrize(
    "path",
    [
        "/%E2%80%A5/x",
        "/a/%EF%BC%8E",
        "/%EF%BC%8E%EF%BC%8E%EF%BC%8Fx",
        "/a%EF%BC%BCb",
        "/%EF%B9%92/x",
        "/%20../x",
        "/.%3Fx",
        "/+../x",
    ],
)
def test_dot_segments_and_backslashes_are_found_in_every_reading(path):
    """Also in those of look-alikes, of trimmed names, and of names that end at a question mark."""
    assert refusal_of(canonical_target, path, "").code == "ambiguous_path"


@pytest.mark.parametrize(
    "path", ["/%20", "/%09", "/%20/", "/%0A", "/%20/%09", "/%C2%A0", "/;x", "/%3Fx", "/%23", "/+", "/.json", "/%2F"]
)
def test_a_rule_for_the_root_protects_every_spelling_of_it(path):
    """A server that trims names, or ends them early, serves ``/``; it would not under the default rule."""
    policy = parse_policy('{"version": 1, "routes": [{"path": "/", "groups": ["admins"]}]}')
    assert policy.rules_for(canonical_target("/", "")).pattern == "/"
    assert refusal_of(policy.rules_for, canonical_target(path, "")).code == "ambiguous_path"


def test_every_pchar_stands_for_itself_beside_an_escape():
    """One at a time they would take the short way of plain paths."""
    assert canonical_path("/%20!$&'()*+,;=:@") == "/%20!$&'()*+,;=:@"
    assert canonical_path('/%20"<>[]^`{|}') == "/%20%22%3C%3E%5B%5D%5E%60%7B%7C%7D"


def test_a_path_may_be_read_in_many_ways_and_in_no_more():
    """A path as people write it passes; thousands of special characters are not looked at one by one."""
    dozens = "/search/a+b;c.d.e%2Fe%3Ff"
    assert len(plausible_readings(dozens)) > 24
    assert canonical_target(dozens, "").path == dozens
    assert canonical_target("/" + "a" * 5_000 + ".b", "").path.endswith(".b")
    error = refusal_of(canonical_target, "/a+" * 2_000 + "%2541;b+c.d.e%20%3F", "")
    assert error.code == "ambiguous_path"
    assert "too many ways" in str(error)


def test_the_reading_that_counts_stands_first_and_is_decoded_once():
    """The policy's own reading: decoded once, then split and merged."""
    first = plausible_readings("/%61dmin/%2561/b%2Fc;d")[0]
    assert first == (("admin", "%61", "b", "c;d"), False)


@pytest.mark.parametrize("byte", range(0x80, 0x100))
def test_bytes_that_are_not_utf8_are_told_apart(byte):
    """Segments are one to one with bytes: no replacement character makes two names one."""
    assert readings(f"/%{byte:02X}") == {(bytes([byte]).decode("utf-8", "surrogateescape"),)}


POLICY = parse_policy(
    """{"version": 1, "routes": [
        {"path": "/public/*", "allow": "anyone"},
        {"path": "/admin/*", "groups": ["admins"]},
        {"path": "/health", "allow": "anyone"},
        {"path": "/*"}]}"""
)


@pytest.mark.parametrize(
    "path",
    [
        "/Admin",
        "/ADMIN/x",
        "/aDmin/",
        "/%41dmin/x",
        "/PUBLIC/x",
        "/Health",
        "/%2561dmin",
        "/admin%2Fx",
        "/public%2Fx",
        "/%2Fadmin",
        "/public;/x",
        "/admin;jsessionid=1/x",
        "/;/admin",
        "/;a/admin/x",
        "/admin%3Bx",
        "/admin./x",
        "/admin%20/x",
        "/admin%20",
        "/admin.",
        "/%20/admin",
        "/health/",
        "/health.",
        "/health;x",
        "/health%2F",
        "/ADMIN%20;x/y",
        "/%2541DMIN.",
        "/x%2F..%2Fadmin",
        "/public/..;/admin",
        "/public/%2e%2e/admin",
        "/public/%252e%252e%252fadmin",
        "/public\\..\\admin",
    ],
)
def test_a_path_that_some_server_reads_as_another_rules_is_refused(path):
    """No path leads to a rule's resource through another rule, whatever the backend decodes, drops or folds."""

    def decide() -> str:
        return POLICY.rules_for(canonical_target(path, "")).pattern

    assert refusal_of(decide).code == "ambiguous_path"


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/admin", "/admin/*"),
        ("/admin/", "/admin/*"),
        ("/admin/x", "/admin/*"),
        ("//admin//x", "/admin/*"),
        ("/%61dmin/x", "/admin/*"),
        ("/admin/X", "/admin/*"),
        ("/admin/x%2Fy", "/admin/*"),
        ("/admin/%2561", "/admin/*"),
        ("/admin/x;y=z", "/admin/*"),
        ("/admin/x.", "/admin/*"),
        ("/admin/x%20/", "/admin/*"),
        ("/public/Admin", "/public/*"),
        ("/public/a;b/c%2Fd.", "/public/*"),
        ("/public/admin", "/public/*"),
        ("/health", "/health"),
        ("/healthy", "/*"),
        ("/administrator", "/*"),
        ("/admin-x", "/*"),
        ("/x/admin", "/*"),
        ("/Users/Jane", "/*"),
        ("/a%2Fb;c/D.%20/", "/*"),
        ("/", "/*"),
        ("/.admin", "/*"),
        ("/admin-x.json", "/*"),
        ("/x/admin.json", "/*"),
        ("/admin/x.json", "/admin/*"),
        ("/admin/a+b%3Fc", "/admin/*"),
        ("/v1.2/x+y", "/*"),
    ],
)
def test_awkward_paths_that_every_server_reads_under_one_rule_pass(path, pattern):
    """The accepting half: capitals, parameters and escapes are fine where no rule's border is near."""
    assert POLICY.rules_for(canonical_target(path, "")).pattern == pattern


@pytest.mark.parametrize(
    ("pattern", "path", "passes"),
    [("/Admin/*", "/Admin/x", True), ("/Admin/*", "/admin/x", False), ("/Admin/*", "/ADMIN/x", False)],
)
def test_rules_with_capitals_protect_every_case_of_their_path(pattern, path, passes):
    """A rule written with capitals is met as written, and refused in any other case."""
    policy = parse_policy(f'{{"version": 1, "routes": [{{"path": "{pattern}", "groups": ["g"]}}, {{"path": "/*"}}]}}')
    if passes:
        assert policy.rules_for(canonical_target(path, "")).pattern == pattern
    else:
        assert refusal_of(policy.rules_for, canonical_target(path, "")).code == "ambiguous_path"


def test_two_patterns_that_differ_in_case_alone_both_count_as_written():
    """Who writes both rules says that the backend tells them apart."""
    policy = parse_policy('{"version": 1, "routes": [{"path": "/A/*", "groups": ["a"]}, {"path": "/a/*"}]}')
    for path in ("/a/x", "/A/x"):
        assert policy.rules_for(canonical_target(path, "")).pattern == path[:2] + "/*"


def test_an_upper_case_path_to_a_group_rule_gets_nobody_in():
    """End to end: a user who is in no group asks for /Admin where /admin is for admins, and is not let through."""
    routes = [{"path": "/admin/*", "groups": ["admins"]}, {"path": "/*"}]
    system = make_offline_system({"version": 1, "routes": routes})
    result = system(uri="/Admin/users", token=Pool().id_token())
    assert result.get("status") == "400", "the request was signed and sent on"
    assert problem_of(result)["code"] == "ambiguous_path"


def test_a_method_refusal_comes_from_the_group_that_the_readings_agree_on():
    """The group is settled before the method is looked at, so that 405 never tells of another rule."""
    policy = parse_policy(
        '{"version": 1, "routes": [{"path": "/a/*", "methods": ["GET"]}, {"path": "/*", "methods": ["POST"]}]}'
    )
    with pytest.raises(MethodNotAllowedError) as caught:
        policy.rules_for(canonical_target("/a/x", "")).route_for("POST")
    assert "POST" not in caught.value.allow


# --- what is remembered ------------------------------------------------------------------------------------------------


def held_bytes(call) -> int:
    """Return how much more memory is held after *call* than before it."""
    gc.collect()
    tracemalloc.start()
    try:
        call()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("path", "requests"),
    [
        ("/{}", 80_000),
        ("/{}" + "/a" * 55, 1_000),  # many names in what is short enough to be kept
        ("/{}" + "/a" * 4_000, 300),  # as long as a target may be
        ("/{}" + "/Ab" * 500, 250),  # twice as many, for servers that ignore case
    ],
)
def test_targets_asked_for_once_fill_no_memory(path, requests):
    """Anyone may ask for anything: hundreds of targets hold less than four megabytes."""

    def ask() -> None:
        for number in range(requests):
            canonical_target(path.replace("{}", str(number)), "")

    assert held_bytes(ask) < 4_000_000


def test_a_target_asked_for_again_is_judged_as_the_first_time():
    """No verdict of one policy leaks into another's, and a refusal stays one the second time."""
    first, second = (
        parse_policy(f'{{"version": 1, "routes": [{{"path": "/{name}/*"}}]}}') for name in ("remembered", "other")
    )
    for _ in range(3):
        target = canonical_target("/remembered/x", "a=1")
        assert (target.path, target.query) == ("/remembered/x", "a=1")
        assert canonical_target("/remembered/x", "").query == ""
        assert first.rules_for(target).pattern == "/remembered/*"
        assert second.rules_for(target).pattern == "(default)"
        assert refusal_of(first.rules_for, canonical_target("/Remembered/x", "")).code == "ambiguous_path"
        assert refusal_of(canonical_target, "/remembered/x", "X-Amz-Date=1").code == "malformed_url"


# --- idempotence, totality, work --------------------------------------------------------------------------------------

# Pieces of which awkward URLs are made; far denser in trouble than arbitrary text.
PIECES = st.sampled_from(
    [
        *(
            "/",
            "//",
            ".",
            "..",
            "%2e",
            "%2F",
            "%2f",
            "%5c",
            "\\",
            "%00",
            "\x00",
            "%25",
            "%252e",
            "%2525",
            "%zz",
            "%",
            "%4",
        ),
        *(
            "+",
            " ",
            "%20",
            ";",
            "%3B",
            ":",
            "://",
            "@",
            "[",
            "]",
            "*",
            "'",
            "(",
            ")",
            "~",
            "\x7f",
            "\t",
            "#",
            "?",
            "&",
            "=",
        ),
        *(
            "a",
            "B",
            "admin",
            "é",
            "日",
            "😀",
            "\ud800",
            "%E9",
            "%C0%AE",
            "%c3%a9",
            "%C3",
            "x-amz-",
            "X%2DAmz-Date",
            "|",
            '"',
        ),
    ]
)
AWKWARD = st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=12).map("".join)


@settings(max_examples=2_000, deadline=None, derandomize=True)
@given(path=AWKWARD.map("/".__add__), query=AWKWARD)
def test_rewriting_twice_changes_nothing_and_refuses_nothing(path, query):
    """What leaves the gateway, sent to the gateway again, leaves as it came."""
    try:
        target = canonical_target(path, query)
    except (MalformedUrlError, AmbiguousPathError):
        return
    assert canonical_target(target.path, target.query) == target


@settings(max_examples=1_000, deadline=None, derandomize=True)
@given(path=st.one_of(AWKWARD, st.text()), query=st.one_of(AWKWARD, st.text()))
def test_no_text_whatever_makes_it_fail(path, query):
    """Every text has a canonical form or one of two refusals, whose words are printable ASCII."""
    try:
        target = canonical_target(path, query)
    except (MalformedUrlError, AmbiguousPathError) as error:
        refusal: GatewayError | None = error
    else:
        refusal = None
    if refusal is not None:
        assert re.fullmatch(r"[ -~]+", str(refusal))
    else:
        assert re.fullmatch(r"/[!-~]*", target.path)
        assert re.fullmatch(r"(?:[A-Za-z0-9._~%-]+=[A-Za-z0-9._~%-]*(?:&(?!\Z)|\Z))*", target.query)


HOSTILE = {
    "plain path": lambda n: ("/" + "a" * n, ""),
    "plain path that ends otherwise": lambda n: ("/" + "a" * n + "%41", ""),
    "dots inside names": lambda n: ("/" + "a.a" * n + "A", ""),
    "slashes": lambda n: ("/" * n, ""),
    "short segments": lambda n: ("/a" * n, ""),
    "short segments of capitals": lambda n: ("/A" * n, ""),
    "escapes": lambda n: ("/" + "%41" * n, ""),
    "escapes of percent signs": lambda n: ("/" + "%25" * n, ""),
    "nested escapes": lambda n: ("/" + "%252541" * n, ""),
    "escaped slashes": lambda n: ("/a" + "%2F" * n + "b", ""),
    "parameters": lambda n: ("/a" + ";" * n + "/b", ""),
    "trailing dots and spaces": lambda n: ("/a" + ".%20" * n + "b/c" + " ." * n, ""),
    "almost overlong": lambda n: ("/" + "%C0" * n, ""),
    "bytes beyond ASCII": lambda n: ("/" + "é" * n, ""),
    "a broken escape at the end": lambda n: ("/" + "%41" * n + "%", ""),
    "plain query": lambda n: ("/", "a=" + "b" * n),
    "plain query that ends otherwise": lambda n: ("/", "a=" + "b" * n + "+"),
    "pairs": lambda n: ("/", "a=b&" * n),
    "flags": lambda n: ("/", "a&" * n),
    "ampersands": lambda n: ("/", "&" * n),
    "equals signs": lambda n: ("/", "a" + "=" * n),
    "plus signs": lambda n: ("/", "a=" + "+" * n),
    "escapes in a query": lambda n: ("/", "a=" + "%41" * n),
    "bad UTF-8 at the end": lambda n: ("/", "a=" + "%41" * n + "%FF"),
    "almost X-Amz": lambda n: ("/", "x-amz=" + "x-amz-" * n),
}


def counted(path: str, query: str) -> int:
    """Return how many calls of Python and C functions one canonical_target makes."""
    calls = 0

    def count(_frame, event, _argument) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        canonical_target(path, query)
    except GatewayError:
        pass
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("shape", HOSTILE)
def test_twice_the_url_costs_at_most_twice_the_calls(shape):
    """Counted, not timed: no shape of URL makes work grow faster than its length."""
    once, twice = counted(*HOSTILE[shape](1_000)), counted(*HOSTILE[shape](2_000))
    assert twice <= 2 * once + 50


@pytest.mark.parametrize("shape", HOSTILE)
def test_a_url_fifty_times_too_long_is_judged_all_the_same(shape):
    """400,000 characters in one step of every regular expression: quadratic backtracking would not end within the limit."""
    path, query = HOSTILE[shape](400_000 // max(1, sum(map(len, HOSTILE[shape](100))) // 100))
    try:
        target = canonical_target(path, query)
    except (MalformedUrlError, AmbiguousPathError):
        return
    assert len(target.path) + len(target.query) <= 8_191
