"""edge/cognito_edge/base64url.py: one spelling for every sequence of bytes, and none for anything else."""

import base64

import pytest
from cognito_edge import base64url
from hypothesis import example, given
from hypothesis import strategies as st

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def spelled(data: bytes) -> str:
    """The canonical spelling, by the standard library."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@given(st.binary(max_size=64))
def test_what_is_spelled_is_read_back(data):
    """Every sequence of bytes has its spelling."""
    assert base64url.decode(spelled(data)) == data


@given(st.text(st.sampled_from(ALPHABET + "+/= \n\r\0\xe9."), max_size=12))
@example("QR")  # the last character's unused bits are set
@example("QQ==")
@example("QQ==QQ==")
@example("A")
@example("\ud800")
def test_what_is_read_has_no_other_spelling(text):
    """Whatever is accepted is the one spelling of what it stands for: its digest can stand for it."""
    try:
        data = base64url.decode(text)
    except ValueError:
        return
    assert spelled(data) == text


@pytest.mark.parametrize("last", range(64))
@pytest.mark.parametrize("length", [2, 3])
def test_unused_bits_have_to_be_zero(length, last):
    """Of the 64 characters that may stand last, 4 do where four bits are unused, and 16 where two are."""
    text = "A" * (length - 1) + ALPHABET[last]
    unused = {2: 16, 3: 4}[length]
    if last % unused:
        with pytest.raises(ValueError, match="canonical"):
            base64url.decode(text)
    else:
        assert spelled(base64url.decode(text)) == text
