"""edge/cognito_edge/bearer.py: the one token of one Authorization header (RFC 6750 section 2.1), or why it has none."""

import pytest
from cognito_edge.bearer import bearer_token
from cognito_edge.errors import MalformedRequestError, MalformedTokenError, MissingTokenError
from hypothesis import given
from hypothesis import strategies as st

MAX_TOKEN_BYTES = 20
TOKENS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=MAX_TOKEN_BYTES)


def token_of(*values):
    return bearer_token(values, MAX_TOKEN_BYTES)


@given(TOKENS, st.sampled_from(["Bearer", "bearer", "BEARER", "bEaReR"]))
def test_the_token_is_what_follows_the_scheme(token, scheme):
    """Byte for byte; the scheme ignores case (RFC 9110 section 11.1)."""
    assert token_of(f"{scheme} {token}") == token


@pytest.mark.parametrize("value", ["  Bearer a.b.c  ", "\tBearer a.b.c\t", " \t Bearer a.b.c", "Bearer   a.b.c"])
def test_white_space_around_is_no_part_of_the_token(value):
    """Optional white space of the field, and more than one space behind the scheme."""
    assert token_of(value) == "a.b.c"


@pytest.mark.parametrize("value", ["Bearer a b", "Bearer a,b", "Bearer a\tb"])
def test_what_stands_in_the_token_is_not_judged_here(value):
    """No part of the header is left out of what is checked next."""
    assert token_of(value) == value.removeprefix("Bearer ")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([], "no Authorization header"),
        (["Basic YTpi"], "another scheme"),
        (["DPoP a.b.c"], "another scheme"),
        (["a.b.c"], "another scheme"),
        (["Bearera.b.c"], "another scheme"),
        (["Bearer\ta.b.c"], "another scheme"),
        (["Bearer: a.b.c"], "another scheme"),
        (["Bearer\u00a0a.b.c"], "another scheme"),
        ([""], "another scheme"),
        (["Bearer"], "missing after 'Bearer'"),
        (["bearer "], "missing after 'Bearer'"),
        (["\tBearer    "], "missing after 'Bearer'"),
    ],
)
def test_without_a_bearer_token_the_caller_is_told_what_to_send(values, reason):
    """No header, another scheme, or the scheme alone."""
    with pytest.raises(MissingTokenError, match=f"Send 'Authorization: Bearer <ID token>'; .*{reason}"):
        token_of(*values)


@pytest.mark.parametrize(
    "values", [["Bearer a", "Bearer b"], ["Bearer a", "Bearer a"], ["Bearer a", ""], ["Basic x", "Bearer a"]]
)
def test_a_second_header_is_refused_whatever_it_holds(values):
    """Servers differ in which one they read (RFC 9110 section 5.3); a list of one is no second header."""
    assert token_of("Bearer a") == "a"
    with pytest.raises(MalformedRequestError, match="the request has 2"):
        token_of(*values)


def test_the_longest_token_is_taken_and_one_byte_more_is_not():
    """Spaces around do not count; the message has both lengths and nothing of the token."""
    assert token_of("Bearer   " + "x" * 20 + "   ") == "x" * 20
    with pytest.raises(MalformedTokenError) as caught:
        token_of("Bearer " + "x" * 21)
    assert str(caught.value) == "A token may have 20 bytes; this one has 21."
