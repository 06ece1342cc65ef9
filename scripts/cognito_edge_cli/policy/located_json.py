"""JSON with a memory of where everything stood, so that an error can name the line and the column."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

Place = tuple[str | int, ...]
"""Keys and list indexes from the root: ``("routes", 2, "path")``."""

_SPACE = " \t\n\r"


class JsonError(ValueError):
    """The text is no strict JSON object.

    Attributes:
        line: Counted from 1.
        column: In characters, counted from 1.
    """

    def __init__(self, message: str, text: str, at: int) -> None:
        super().__init__(message)
        self.line, self.column = line_and_column(text, at)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


@dataclass(frozen=True)
class Located:
    """A parsed document that knows where its parts stand.

    Attributes:
        text: As it was read.
        value: The parsed object.
        values: Offset of each value, by its place.
        keys: Offset of each object member's name, by the member's place.
    """

    text: str = field(repr=False)
    value: dict[str, Any]
    values: Mapping[Place, int] = field(repr=False)
    keys: Mapping[Place, int] = field(repr=False)

    def where(self, place: Place, *, key: bool = False) -> tuple[int, int]:
        """Return line and column of a value, or of its name; of the nearest thing around it if it is absent."""
        offsets = {**self.values, **self.keys} if key else self.values
        while place not in offsets:
            place = place[:-1]
        return line_and_column(self.text, offsets[place])

    def at(self, place: Place) -> Any:
        """Return the value at a place, or None."""
        found: Any = self.value
        for step in place:
            try:
                found = found[step]
            except (LookupError, TypeError):
                return None
        return found


def line_and_column(text: str, at: int) -> tuple[int, int]:
    r"""Return the line and column of an offset, both counted from 1.

    >>> line_and_column("a\nbc", 3)
    (2, 2)
    """
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1


def parse_place(text: str) -> Place:
    """Read a place as the edge's messages write it.

    >>> parse_place("routes[2].path")
    ('routes', 2, 'path')
    """
    return tuple(int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", text))


def locate(text: str) -> Located:
    """Parse a JSON object and remember where everything stood.

    Raises:
        JsonError: Wrong syntax, a name given twice, NaN, text that is not Unicode, or another value than an object.
    """
    if text.startswith("\ufeff"):
        raise JsonError("a byte order mark stands before the document; save it as UTF-8 without one", text, 0)
    reader = _Reader(text)
    try:
        reader.value((), 0)
    except RecursionError:
        raise JsonError("lists and objects are nested too deep", text, 0) from None
    if not isinstance(reader.root, dict):
        raise JsonError("the document has to be an object: { … }", text, 0)
    return Located(text, reader.root, reader.values, reader.keys)


def object_or_empty(text: str) -> dict[str, Any]:
    """Return the object that a document is; an empty one if it is broken."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) and isinstance(value.get("issuers", []), list) else {}


class _Reader:
    """A recursive descent over the text, which collects offsets on its way."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.values: dict[Place, int] = {}
        self.keys: dict[Place, int] = {}
        self.root: Any = None

    def value(self, place: Place, at: int) -> int:
        """Read the whole document; only for the root."""
        self.root, at = self._value(place, self._skip(at))
        at = self._skip(at)
        if at < len(self.text):
            self._fail("something stands after the end of the document", at)
        return at

    def _value(self, place: Place, at: int) -> tuple[Any, int]:
        self.values[place] = at
        match self.text[at : at + 1]:
            case "{":
                return self._object(place, at)
            case "[":
                return self._list(place, at)
            case "":
                self._fail("a value is expected here", at)
        return self._scalar(at)

    def _object(self, place: Place, at: int) -> tuple[dict[str, Any], int]:
        result: dict[str, Any] = {}
        for start in self._items(at, "}"):
            if self.text[start : start + 1] != '"':
                self._fail("a member's name in quotation marks is expected here; is there a comma too many?", start)
            name, at = self._scalar(start)
            if name in result:
                # Parsers differ in which of the two counts, so neither does.
                self._fail(f"{name!r} is given twice in one object; remove one", start)
            self.keys[(*place, name)] = start
            at = self._skip(at)
            if self.text[at : at + 1] != ":":
                self._fail(f"a ':' is expected after {name!r}", at)
            result[name], at = self._value((*place, name), self._skip(at + 1))
            self._end = at
        return result, self._end

    def _list(self, place: Place, at: int) -> tuple[list[Any], int]:
        result: list[Any] = []
        for start in self._items(at, "]"):
            item, at = self._value((*place, len(result)), start)
            result.append(item)
            self._end = at
        return result, self._end

    def _items(self, at: int, closing: str) -> Iterator[int]:
        """Yield where each item of a list or object begins; ``_end`` comes back with where it ended."""
        at = self._skip(at + 1)
        if self.text[at : at + 1] == closing:
            self._end = at + 1
            return
        while True:
            yield at
            at = self._skip(self._end)
            found = self.text[at : at + 1]
            if found == closing:
                self._end = at + 1
                return
            if found != ",":
                self._fail(f"',' or '{closing}' is expected here", at)
            at = self._skip(at + 1)

    def _scalar(self, at: int) -> tuple[Any, int]:
        try:
            value, end = _DECODER.raw_decode(self.text, at)
        except json.JSONDecodeError as error:
            self._fail(_plain(error.msg), error.pos)
        except ValueError as error:  # NaN and Infinity; integers of more than 4,300 digits
            self._fail(str(error), at)
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            self._fail("half of a surrogate pair, which is no Unicode text", at)
        return value, end

    def _skip(self, at: int) -> int:
        while at < len(self.text) and self.text[at] in _SPACE:
            at += 1
        return at

    def _fail(self, message: str, at: int) -> NoReturn:
        if at >= len(self.text):
            message = "the document ends too early; is a bracket or a quotation mark missing?"
        raise JsonError(message, self.text, at)


def _plain(message: str) -> str:
    """Put what Python's decoder says into plain words."""
    if message.startswith("Expecting value"):
        return "a value is expected here: text in quotation marks, a number, true, false, null, [ … ] or { … }"
    return message[:1].lower() + message[1:].removesuffix(" at").removesuffix(" starting")
