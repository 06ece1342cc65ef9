"""Every way in which a server could read a canonical path.

``policy.py`` refuses a path of which some reading falls to another rule than the reading that counts.
"""

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

from .errors import AmbiguousPathError
from .percent import percent_decode

# How often an escape may be escaped (%2525252F). Each level costs one pass.
MAX_NESTED_ESCAPES = 5

# How many characters all readings of a path may have together. A usual path has a few dozen readings at most. This bounds
# what eight kilobytes of special characters cost.
MAX_READING_CHARACTERS = 65_536

Segments = tuple[str, ...]


class Reading(NamedTuple):
    """One way to read a path.

    Attributes:
        segments: Decoded names between slashes; a final ``""`` stands for a final slash, ``("",)`` for ``/``.
        folded: The reading of a server that ignores case or takes compatible characters for one: names are what ``fold``
            makes of them, and to be compared so.
    """

    segments: Segments
    folded: bool


# A path that is canonical already, and that servers read alike but for case and a final slash: pchar without "%", ";", "+" and
# ":", no empty, dot-ended or dot-begun segment, no dot in the last.
PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*,=@-]+(?:\.[A-Za-z0-9_~!$&'()*,=@-]+)*)*/[A-Za-z0-9_~!$&'()*,=@-]+/?")

_SLASHES = re.compile(rb"//+")
_END = re.compile(r"[?#]")

# UTF-8 that spells a short character with more bytes than it needs; old decoders read %C0%AE as ".". RFC 3629 §3
_OVERLONG = re.compile(
    rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf]{2}"
    rb"|\xf8[\x80-\x87][\x80-\xbf]{3}|\xfc[\x80-\x83][\x80-\xbf]{4}"
)


def plausible_readings(path: str) -> tuple[Reading, ...]:
    """Return every plausible reading of a canonical path, the one that counts first.

    Servers differ in whether they decode ``%2F``, decode twice, end the path at a decoded ``?`` or ``#``, drop
    ``;parameters``, take ``+`` for a space, trim names, take ``.json`` for a format and not for a part of the name, or
    ignore case; and in any combination of these.

    Raises:
        AmbiguousPathError: One reading has a step up, a backslash or a NUL; escapes nested too deep; overlong UTF-8; more
            readings than can be looked at.

    >>> plausible_readings("/%61dmin/a%2Fb")[0].segments
    ('admin', 'a', 'b')
    """
    if PLAIN_PATH.fullmatch(path) or path == "/":
        return _plain_readings(path)
    data = path.encode("ascii")
    once = percent_decode(data)
    fully = _decode_fully(once)
    if _OVERLONG.search(once) or _OVERLONG.search(fully):
        raise AmbiguousPathError("The path has overlong UTF-8, which some servers read as '.' or '/'.")
    decoded = (
        _split(once),
        tuple(_text(percent_decode(segment)) for segment in data[1:].split(b"/")),  # %2F kept literal
        _split(fully),
        tuple(_text(_decode_fully(percent_decode(segment))) for segment in data[1:].split(b"/")),  # both
    )
    exact, folded = spellings(decoded, len(path))
    for names in (*exact, *folded):
        _check_segments(names)
    return (*(Reading(names, folded=False) for names in exact), *(Reading(names, folded=True) for names in folded))


def spellings(decoded: Iterable[Segments], length: int) -> tuple[Collection[Segments], Collection[Segments]]:
    """Return what readers make of decoded names, and what readers who fold them do. Each begins with the names as they are.

    Args:
        decoded: The names, decoded in one way or several.
        length: How many characters they have.

    Raises:
        AmbiguousPathError: There are more than can be looked at.
    """
    decoded = tuple(decoded)
    exact = _variants(decoded, length)
    compatible = tuple(_in_compatible_form(names) for names in decoded)
    folded = exact if compatible == decoded else _variants((*decoded, *compatible), length)
    return exact, dict.fromkeys(tuple(map(fold, names)) for names in folded)


def _variants(decoded: Iterable[Segments], length: int) -> Collection[Segments]:
    """Return the names as any choice of ``_CHANGES`` leaves them."""
    variants = dict.fromkeys(decoded)
    for change in _CHANGES:
        for names in list(variants):
            variants[change(names)] = None
        if len(variants) * length > MAX_READING_CHARACTERS:
            raise AmbiguousPathError("The path can be read in too many ways: it has too many special characters.")
    return variants


def _plain_readings(path: str) -> tuple[Reading, ...]:
    """Return what ``plausible_readings`` finds for a plain path or ``/``, in a shorter way."""
    lower = path.lower()
    segments = tuple(path[1:].split("/"))
    folded = segments if lower == path else tuple(lower[1:].split("/"))
    if segments[-1] or len(segments) == 1:
        return (Reading(segments, folded=False), Reading(folded, folded=True))
    return (
        *(Reading(segments, folded=False), Reading(segments[:-1], folded=False)),
        *(Reading(folded, folded=True), Reading(folded[:-1], folded=True)),
    )


# White space and control characters, which readers trim in different measure: Unicode's, and the byte order mark, which is
# white space to JavaScript. Before a final one ``$`` matches in many routers' regular expressions.
_BLANKS = (
    "".join(map(chr, (*range(0x21), *range(0x7F, 0xA1), *range(0x2000, 0x200B))))
    + "\u1680\u2028\u2029\u202f\u205f\u3000\ufeff"
)

# What some readers drop at the end of a name; dots with Windows.
_TRAILERS = "." + _BLANKS


def _check_segments(segments: Segments) -> None:
    for segment in segments:
        # Servers that drop dots and spaces at the end of a name do it one by one: "..." passes "..", and so does ".. .".
        if "." in segment and not segment.strip(_TRAILERS):
            raise AmbiguousPathError(
                "The path has a '.' or '..' segment, plain or escaped, or one that servers read as such. Send the path "
                "it stands for instead."
            )
        if "\\" in segment or "\0" in segment:
            raise AmbiguousPathError(
                "The path has a backslash or a NUL, plain or escaped, which servers read in different ways."
            )


def _decode_fully(data: bytes) -> bytes:
    """Decode until nothing changes any more."""
    for _ in range(MAX_NESTED_ESCAPES):
        decoded = percent_decode(data)
        if decoded == data:
            return data
        data = decoded
    if percent_decode(data) == data:
        return data
    raise AmbiguousPathError(f"The path has escapes within escapes, more than {MAX_NESTED_ESCAPES} deep.")


def _split(data: bytes) -> Segments:
    """Split at slashes, merging them; a final "" stands for a final slash."""
    return tuple(_text(_SLASHES.sub(b"/", data)[1:]).split("/"))


def _text(data: bytes) -> str:
    # One to one for any bytes: paths need not be UTF-8.
    return data.decode("utf-8", "surrogateescape")


def _without_end(segments: Segments) -> Segments:
    """Stop at a decoded ``?`` or ``#``, as a server does that builds a URL of a decoded path."""
    for number, segment in enumerate(segments):
        if (end := _END.search(segment)) is not None:
            return (*segments[:number], segment[: end.start()])
    return segments


def _without_parameters(segments: Segments) -> Segments:
    """Drop ``;parameters`` as servlet containers do."""
    return _merged([segment.partition(";")[0] for segment in segments])


def _with_spaces(segments: Segments) -> Segments:
    """Take ``+`` for a space, as in a query."""
    return tuple([segment.replace("+", " ") for segment in segments])


def _trimmed(segments: Segments) -> Segments:
    """Drop blanks at either end of a name, dots at its end, and a final slash."""
    names = _merged([name.rstrip(_TRAILERS).lstrip(_BLANKS) for name in segments])
    return names[:-1] if len(names) > 1 and not names[-1] else names


def _without_suffix(segments: Segments) -> Segments:
    """Drop what names a format at the end of the last name: ``.json``, and only ``.gz`` of ``.tar.gz``."""
    name, dot, _ = segments[-1].rpartition(".")
    return _with_last(segments, name) if dot else segments


def _without_suffixes(segments: Segments) -> Segments:
    """Drop all of them: ``.tar.gz``."""
    return _with_last(segments, segments[-1].partition(".")[0])


def _with_last(segments: Segments, name: str) -> Segments:
    # Dots alone are no name. Nothing is one: "/api/.json" is "/api/" to Django REST framework.
    return (*segments[:-1], name) if name.strip(".") or not name else segments


# A reader makes some of these changes, in this order.
_CHANGES = (
    *(_without_end, _without_parameters, _with_spaces, _trimmed, _without_suffix, _without_suffixes),
    _trimmed,
)


def is_settled(segments: Segments) -> bool:
    """Say whether there is nothing in the names that servers drop: no parameters, blanks or final dots, no final slash."""
    return _trimmed(_without_parameters(segments)) == segments


def fold(name: str) -> str:
    """Return what all names have in common that readers who ignore case, or compatible forms, take for one.

    Case by lower case and by upper case, which differ for a few letters; dotless and dotted i are i.

    >>> fold("ADM\u0131N"), fold("\uff41dm\u0130n")
    ('admin', 'admin')
    """
    if name.isascii():
        return name.lower()
    return _compatible(_compatible(name).upper().casefold().replace("i\u0307", "i"))


def _in_compatible_form(segments: Segments) -> Segments:
    """Put every name into compatible form, in which there may be a slash that was none."""
    forms = [(name, _compatible(name)) for name in segments]
    return tuple([part for name, form in forms for part in ([name] if form == name else form.split("/"))])


def _compatible(text: str) -> str:
    """Return the text in Unicode's compatible composed form (NFKC)."""
    if text.isascii():
        return text
    from unicodedata import normalize  # noqa: PLC0415  few paths need it

    return normalize("NFKC", text)


def _merged(names: list[str]) -> Segments:
    return (*(name for name in names[:-1] if name), names[-1])
