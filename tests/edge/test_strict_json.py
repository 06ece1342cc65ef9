"""edge/cognito_edge/strict_json.py: a JSON object that every parser reads alike, or an error."""

import json

import pytest
from cognito_edge.strict_json import StrictJsonError, parse_object
from hypothesis import example, given
from hypothesis import strategies as st

# Every text that UTF-8 can hold.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=10,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=4)


@given(OBJECTS, st.booleans(), st.sampled_from([None, 0, 2]), st.text(" \t\r\n", max_size=2))
def test_an_object_without_duplicates_is_read_as_the_standard_library_reads_it(value, ascii_only, indent, space):
    """With escapes or without, compact or indented, and with white space around."""
    text = space + json.dumps(value, ensure_ascii=ascii_only, indent=indent) + space
    assert repr(parse_object(text.encode())) == repr(json.loads(text)) == repr(value)


@given(
    st.one_of(
        st.binary(max_size=30),
        st.lists(
            st.sampled_from(['{"a":', "{", "}", "[", "]", '"a"', ",", ":", "NaN", "1e9", "-", "\\ud800", " "])
        ).map(lambda pieces: "".join(pieces).encode()),
    )
)
@example(b"[" * 1_000_000)
@example(b'{"a":' * 200_000)
@example(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
@example(b"")
def test_any_bytes_are_an_object_or_a_strict_json_error(data):
    """However deep or broken, no other exception; what is read is what the standard library reads."""
    try:
        value = parse_object(data)
    except StrictJsonError:
        return
    assert repr(value) == repr(json.loads(data))


def nested(levels, opening, closing, innermost=b""):
    """Make an object of that many levels, itself included."""
    return b'{"x":' + opening * (levels - 1) + innermost + closing * (levels - 1) + b"}"


@pytest.mark.parametrize(
    ("accepted", "refused", "reason"),
    [
        pytest.param(b'{"a":1}', b'{"a":1,"a":1}', "twice", id="a name twice"),
        pytest.param(b'{"a":1,"A":1}', b'{"a":1,"\\u0061":1}', "twice", id="a name twice, once escaped"),
        pytest.param(b'{"a":{"a":1}}', b'{"x":[{"a":{"b":1,"b":2}}]}', "twice", id="a name twice, far inside"),
        pytest.param(b'{"a":1.5e3}', b'{"a":NaN}', "no JSON number", id="NaN"),
        pytest.param(b'{"a":-1}', b'{"a":-Infinity}', "no JSON number", id="-Infinity"),
        pytest.param(b'{"a":"Infinity"}', b'{"a":Infinity}', "no JSON number", id="Infinity"),
        pytest.param(b'{"a":"\\ud83d\\ude00"}', b'{"a":"\\ud83d"}', "not valid JSON", id="half a surrogate pair"),
        pytest.param(b'{"\\ud83d\\ude00":1}', b'{"\\uDE00":1}', "not valid JSON", id="the other half, in a name"),
        pytest.param(b'{"a":"\\\\ud83d"}', b'{"a":["\\udbff\\ud800"]}', "not valid JSON", id="two first halves"),
        pytest.param(b'{"a":"\xc3\xa9"}', b'{"a":"\xc3"}', "not valid JSON", id="half a character"),
        pytest.param(b'{"a":"/"}', b'{"a":"\xc0\xaf"}', "not valid JSON", id="a character spelled too long"),
        pytest.param(b'{"a":1}', b'{"a":"\xed\xa0\xbd"}', "not valid JSON", id="a surrogate's own bytes"),
        pytest.param(b'{"a":1}', b'\xef\xbb\xbf{"a":1}', "not valid JSON", id="a byte order mark"),
        pytest.param(b'{"a":1}', '{"a":1}'.encode("utf-16"), "not valid JSON", id="UTF-16"),
        pytest.param(b'{"a":"\\n"}', b'{"a":"\n"}', "not valid JSON", id="a line break in a text"),
        pytest.param(b'{"a":1}\n', b'{"a":1}\0', "not valid JSON", id="a zero byte behind it"),
        pytest.param(b'{"a":1} ', b'{"a":1}{"a":1}', "not valid JSON", id="two objects"),
        pytest.param(b' {"a":1}', b'\xc2\xa0{"a":1}', "not valid JSON", id="a space that JSON does not have"),
        pytest.param(b'{"a":[]}', b'{"a":[],}', "not valid JSON", id="a comma too many"),
        pytest.param(b'{"a":1}', b'{"a":1/**/}', "not valid JSON", id="a comment"),
        pytest.param(b'{"a":0}', b'{"a":00}', "not valid JSON", id="a zero in front"),
        pytest.param(b"{}", b"", "not valid JSON", id="nothing"),
        pytest.param(b'{"a":[1]}', b"[1]", "not a JSON object", id="a list"),
        pytest.param(b'{"a":null}', b"null", "not a JSON object", id="null"),
        pytest.param(b'{"a":"{}"}', b'"{}"', "not a JSON object", id="a text"),
        pytest.param(b'{"a":%s}' % (b"1" * 4_300), b'{"a":%s}' % (b"1" * 4_301), "not valid JSON", id="digits"),
        pytest.param(nested(64, b"[", b"]"), nested(65, b"[", b"]"), "more than 64 levels", id="lists in lists"),
        pytest.param(
            nested(64, b'{"x":', b"}", b"1"), nested(65, b'{"x":', b"}", b"1"), "64 levels", id="objects in objects"
        ),
        pytest.param(
            nested(63, b'{"x":1,"y":[],"z":', b"}", b"1"),
            nested(64, b'{"x":1,"y":[],"z":', b"}", b"1"),
            "more than 64 levels",
            id="a list in objects",
        ),
        pytest.param(
            b'{"a":[' + b"[]," * 500 + b'"[[{{"]}',
            b'{"a":[' + b"[]," * 500 + b"[" * 63 + b"]" * 64 + b"}",
            "64",
            id="wide",
        ),
    ],
)
def test_what_parsers_read_differently_is_refused(accepted, refused, reason):
    """The nearest document with one reading is read as the standard library reads it."""
    assert parse_object(accepted) == json.loads(accepted)
    with pytest.raises(StrictJsonError, match=reason):
        parse_object(refused)
