"""Parse and check a request: the book's fields, the list's query, the precondition. Every fault is named at once."""

import base64
import binascii
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qsl

from . import cursor, problems
from .problems import Problem, field_error

MAX_TITLE = 200
MAX_AUTHOR = 200
MAX_NOTES = 2_000
MIN_YEAR, MAX_YEAR = -9_999, 9_999
DEFAULT_LIMIT = 20
MAX_LIMIT = 100

# The largest book is under 60 KB, even if every character is escaped as a surrogate pair (12 bytes each).
MAX_BODY_BYTES = 64 * 1024

_FIELDS = ("title", "author", "year", "notes")
# Errors quote the request only so far: an answer must not grow with it.
_MAX_ERRORS = 20
_MAX_NAME = 40

_LIMIT = re.compile(r"[1-9][0-9]{0,2}")
_ENTITY_TAG = re.compile(r'(?:W/)?"([^"\x00-\x20\x7f]*)"')
_VERSION = re.compile(r"[1-9][0-9]{0,14}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BookFields:
    """The fields that a person writes about a book; only ``parse_book`` makes them.

    Attributes:
        title: 1 to 200 characters (Unicode code points), not blank, no control characters.
        author: Likewise.
        year: From -9999 to 9999; None if unknown.
        notes: At most 2,000 characters; line breaks and tabs are allowed.
    """

    title: str
    author: str
    year: int | None
    notes: str

    def document(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The part of the list that a query asks for.

    Attributes:
        limit: The largest number of books.
        after: The id of the last book on the page before; None for the first page.
    """

    limit: int
    after: str | None


@dataclass(frozen=True, slots=True)
class Precondition:
    """The value of ``If-Match``.

    Attributes:
        any: Whether it is ``*``, which any version matches.
        versions: The versions that it names; other tags match nothing and are left out.
    """

    any: bool
    versions: frozenset[int]

    def holds(self, version: int) -> bool:
        """Say whether this version matches."""
        return self.any or version in self.versions


# --- the body ---------------------------------------------------------------------------------------------------------


def parse_json(event: Mapping[str, Any], content_type: str) -> object:
    """Return the body's JSON value. Strict, so that no two readers see two different books.

    Args:
        event: The function-URL event.
        content_type: The header's value; "" without one.

    Raises:
        Problem: 415, 413 or 400.
    """
    media_type, _, parameters = content_type.partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if media_type.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
        raise problems.unsupported_media_type(content_type)
    text = event.get("body") or ""
    try:
        raw = base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
        if len(raw) > MAX_BODY_BYTES:
            raise _too_large(len(raw))
        return json.loads(raw.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (UnicodeError, binascii.Error):
        raise problems.malformed_json("The body is not UTF-8 text.") from None
    except RecursionError:
        raise problems.malformed_json("The body is nested too deeply.") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise problems.malformed_json(f"The body is no JSON document: {error.msg} ({where}).") from None
    except ValueError as error:
        # From _unique, _no_constant, and Python's limit on the digits of an integer.
        raise problems.malformed_json(f"The body is no JSON document that can be taken: {str(error)[:200]}.") from None


def _too_large(size: int) -> Problem:
    return problems.invalid_book([field_error("", f"has {size} bytes; a book's document has at most {MAX_BODY_BYTES}")])


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return document


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def parse_book(document: object, *, complete: bool) -> BookFields:
    """Return the fields of a book.

    Args:
        document: The body's JSON value.
        complete: Whether all four fields are required, as in an update, which would otherwise reset some silently.
            If not, ``year`` and ``notes`` may be left out.

    Raises:
        Problem: 422 ``invalid_book``, with an entry for every fault.
    """
    if not isinstance(document, dict):
        raise problems.invalid_book([field_error("", f"is {_kind(document)}; expected a JSON object")])
    required = _FIELDS if complete else ("title", "author")
    errors = [field_error(name, "is missing") for name in required if name not in document]
    unknown = [name for name in document if name not in _FIELDS]
    errors += [field_error(_shown(name), f"is no field; there are {', '.join(_FIELDS)}") for name in unknown]
    checks: dict[str, Callable[[Any], str | None]] = {
        "title": lambda value: _text_fault(value, 1, MAX_TITLE, lines=False),
        "author": lambda value: _text_fault(value, 1, MAX_AUTHOR, lines=False),
        "year": _year_fault,
        "notes": lambda value: _text_fault(value, 0, MAX_NOTES, lines=True),
    }
    for name, check in checks.items():
        if name in document and (fault := check(document[name])):
            errors.append(field_error(name, fault))
    if errors:
        raise problems.invalid_book(errors[:_MAX_ERRORS])
    return BookFields(
        title=document["title"],
        author=document["author"],
        year=document.get("year"),
        notes=document.get("notes", ""),
    )


def _text_fault(value: object, least: int, most: int, *, lines: bool) -> str | None:
    if not isinstance(value, str):
        return f"expected text, got {_kind(value)}"
    if len(value) > most:
        return f"has {len(value)} characters; at most {most} are kept"
    if len(value) < least or (least and not value.strip()):
        return "is blank"
    allowed = "\n\r\t" if lines else ""
    for character in value:
        category = unicodedata.category(character)
        if category == "Cs":
            return "has half of a surrogate pair, which is no character"
        if category == "Cc" and character not in allowed:
            return f"has the control character U+{ord(character):04X}"
    return None


def _year_fault(value: object) -> str | None:
    if value is None:
        return None
    # Python takes a bool for an int, and JSON has 1984.0: neither is a year.
    if not isinstance(value, int) or isinstance(value, bool):
        return f"expected a whole number or null, got {_kind(value)}"
    if not MIN_YEAR <= value <= MAX_YEAR:
        return f"lies outside {MIN_YEAR} to {MAX_YEAR}"
    return None


def _kind(value: object) -> str:
    kinds = {
        bool: "true or false",
        dict: "an object",
        list: "an array",
        str: "text",
        float: "a number",
        int: "a number",
    }
    return "null" if value is None else kinds[type(value)]


def _shown(name: str) -> str:
    """Return a name from the request, printable and short."""
    cut = name[:_MAX_NAME] + ("…" if len(name) > _MAX_NAME else "")
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in cut)


# --- the query --------------------------------------------------------------------------------------------------------


def parse_page(raw_query: str) -> Page:
    """Return the part of the list that a query asks for.

    Args:
        raw_query: Without the leading ``?``.

    Raises:
        Problem: 400 ``invalid_query``.
    """
    pairs = parse_qsl(raw_query, keep_blank_values=True)
    names = [name for name, _ in pairs]
    errors = [
        field_error(_shown(name), "is no parameter; there are limit and cursor")
        for name in dict.fromkeys(names)
        if name not in {"limit", "cursor"}
    ]
    errors += [field_error(name, "stands twice") for name in ("limit", "cursor") if names.count(name) > 1]
    given = dict(pairs)
    limit, after = DEFAULT_LIMIT, None
    if (text := given.get("limit")) is not None:
        if _LIMIT.fullmatch(text) and int(text) <= MAX_LIMIT:
            limit = int(text)
        else:
            errors.append(field_error("limit", f"expected a number from 1 to {MAX_LIMIT}"))
    if (text := given.get("cursor")) is not None:
        after = cursor.decode(text)
        if after is None:
            errors.append(field_error("cursor", "is not one that this list gave; begin again without one"))
    if errors:
        raise problems.invalid_query(errors[:_MAX_ERRORS])
    return Page(limit=limit, after=after)


# --- the precondition -------------------------------------------------------------------------------------------------


def parse_if_match(value: str | None) -> Precondition | None:
    """Return the precondition of ``If-Match``; None if the header was not sent.

    Weak tags count like strong ones: CloudFront weakens a tag if it compresses, and a version is exact either way.

    >>> sorted(parse_if_match('"3", W/"4"').versions)
    [3, 4]
    >>> parse_if_match('"an old tag"').holds(1)
    False

    Source: RFC 9110 section 13.1.1.
    """
    if value is None:
        return None
    if value.strip() == "*":
        return Precondition(any=True, versions=frozenset())
    return Precondition(any=False, versions=frozenset(_versions(value)))


def _versions(value: str) -> Iterator[int]:
    for part in value.split(","):
        tag = _ENTITY_TAG.fullmatch(part.strip())
        if tag and _VERSION.fullmatch(tag[1]):
            yield int(tag[1])
