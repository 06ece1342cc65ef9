"""A token from a file or standard input, in each form in which it is printed; and nothing of what is no token is repeated."""

import io
import sys

import pytest
from cognito_edge_cli.console import ScriptError
from cognito_edge_cli.token_input import read_token


@pytest.mark.parametrize("content", ["a.b.c\n", "Bearer a.b.c", "bearer a.b.c", "Authorization: Bearer a.b.c\r\n"])
def test_a_token_is_taken_in_each_form_that_the_token_command_prints(tmp_path, monkeypatch, content):
    """Alone, or as a header; from a file and from standard input."""
    file = tmp_path / "file"
    file.write_text(content)
    assert read_token(str(file)) == "a.b.c"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    assert read_token("-") == "a.b.c"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Basic abc",
        b"\xff\xfe",
        b"abc def",
        b"abc\nabc",
        b"abc,abc",
        b"Authorization: abc",
        b"a" * 32_769,
        b"a" * 2_000_000,
    ],
)
def test_a_file_without_a_token_is_said_to_have_none(tmp_path, content):
    """It could be a password in the wrong pipe."""
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(ScriptError) as raised:
        read_token(str(file))
    assert str(file) in str(raised.value)
    assert "abc" not in str(raised.value)


def test_the_longest_token_is_taken(tmp_path):
    """The pair of the one that is a byte longer."""
    file = tmp_path / "file"
    file.write_text("a" * 32_768)
    assert len(read_token(str(file))) == 32_768


def test_a_file_that_is_not_there_is_named(tmp_path):
    """With the system's reason."""
    with pytest.raises(ScriptError, match=r"absent cannot be read: No such file"):
        read_token(str(tmp_path / "absent"))
