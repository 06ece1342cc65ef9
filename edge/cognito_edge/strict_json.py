"""JSON that can be read in one way only: an object, no duplicate names, no NaN, no lone surrogates.

Two parsers that disagree about a document are the oldest way around a check: what the gateway judges has to be what
the backend reads.
"""

import json
import re
from typing import Any, NoReturn


class StrictJsonError(ValueError):
    """The bytes are not a JSON object with exactly one reading."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # "The names within an object SHOULD be unique"; a JWT's "Claim Names within a JWT Claims Set MUST be unique".
    # RFC 8259 §4, RFC 7519 §4
    result = dict(pairs)
    if len(result) != len(pairs):
        raise StrictJsonError("an object names a member twice")
    return result


def _constant(name: str) -> NoReturn:
    raise StrictJsonError(f"{name} is no JSON number")


# Levels of arrays and objects. Interpreters differ in what they bear (3.11: 990, 3.13: 10,000); what is accepted must not.
MAX_DEPTH = 64

_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, strict=True)
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


def _is_deeper_than(levels: int, value: object) -> bool:
    """Say whether arrays and objects are nested in more than that many levels."""
    nested = [value] if isinstance(value, (dict, list)) else []
    for _ in range(levels):
        items = (child for item in nested for child in (item.values() if isinstance(item, dict) else item))
        nested = [item for item in items if isinstance(item, (dict, list))]
        if not nested:
            return False
    return bool(nested)


def parse_object(data: bytes) -> dict[str, Any]:
    """Parse *data* as a JSON object.

    Args:
        data: UTF-8, without a byte order mark.

    Raises:
        StrictJsonError: For anything else, however deep or large; never another exception.

    >>> parse_object(b'{"a": 1}')
    {'a': 1}
    """
    try:
        text = data.decode("utf-8")
        value, end = _DECODER.raw_decode(text) if text.startswith("{") else (None, -1)
        if end != len(text):
            value = _DECODER.decode(text)  # white space around the object, or no object, or more than one
        # Counting brackets is a cheap upper bound; only a document with many is walked.
        if text.count("[") + text.count("{") > MAX_DEPTH and _is_deeper_than(MAX_DEPTH, value):
            raise StrictJsonError(f"nested more than {MAX_DEPTH} levels deep")
        if "\\" in text and _SURROGATE_ESCAPE.search(data):
            # "\ud800" alone is legal JSON and not Unicode text: servers disagree on what it is. RFC 8259 §8.2
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except StrictJsonError:
        raise
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and 4,301-digit integers are ValueErrors
        raise StrictJsonError("not valid JSON in UTF-8") from error
    if not isinstance(value, dict):
        raise StrictJsonError("not a JSON object")
    return value
