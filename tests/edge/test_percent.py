"""edge/cognito_edge/percent.py: escapes as the standard library writes and reads them."""

from urllib.parse import quote, unquote_to_bytes

from cognito_edge.percent import escapes, percent_decode, percent_encode
from hypothesis import example, given
from hypothesis import strategies as st


@given(st.binary(max_size=64), st.sampled_from(["", "/", "@:/+="]))
@example(bytes(range(256)), "")
def test_bytes_are_escaped_as_the_standard_library_does_it(data, kept):
    """Whatever is neither unreserved nor kept, in upper-case hex."""
    assert percent_encode(data, escapes(kept.encode())) == quote(data, safe=kept)


@given(st.one_of(st.binary(max_size=64), st.text("%0123456789abcdefABCDEFgG", max_size=40).map(str.encode)))
@example(b"%")
@example(b"%4")
@example(b"%%41")
@example(b"%2525")
def test_escapes_are_read_as_the_standard_library_does_it(data):
    """In either case, once, and what is no escape stays."""
    assert percent_decode(data) == unquote_to_bytes(data)


@given(st.binary(max_size=64))
def test_what_is_escaped_is_read_back(data):
    """Nothing is lost."""
    assert percent_decode(percent_encode(data, escapes()).encode()) == data
