"""A token from a file or standard input: arguments show in process lists, so it never stands there."""

import re

from .console import ScriptError, read_text, source_name

# Alone, with its scheme, or as a header line: whatever ``cognito-edge token`` prints.
# b64token   RFC 6750 §2.1
_TOKEN = re.compile(r"(?:(?:Authorization:[ \t]*)?Bearer[ ]+)?([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)
_MAX_BYTES = 32_768


def read_token(name: str) -> str:
    """Return the token in a file; its parts and its signature are for others to judge.

    Args:
        name: The file's name; "-" for standard input.

    Raises:
        ScriptError: It cannot be read, or holds no token; the message repeats nothing of it.
    """
    found = _TOKEN.fullmatch(read_text(name).strip())
    if found is None or len(found[1]) > _MAX_BYTES:
        raise ScriptError(
            f"{source_name(name)} holds no token: expected one in at most {_MAX_BYTES:,} bytes,"
            " alone or as the line `Authorization: Bearer …`."
        )
    return found[1]
