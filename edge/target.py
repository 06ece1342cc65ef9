"""Path and query in canonical form, and every other way in which a server could read the path  pure.

The form that leaves is one that every plausible reading of SigV4 maps to the same string, so that no server
behind us computes another signature. The policy judges that same form, and refuses a path which one of the other
readings would put under another rule (design: "Target, body, signature").
"""

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

from .errors import AmbiguousPathError, MalformedUrlError, excerpt
from .percent import escapes, percent_decode, percent_encode

# "URI + query string" of an edge function's answer: fewer than 8,192 characters. CloudFront: restrictions on all edge
# functions. Whether "?" counts is not said, so it does here.
MAX_TARGET_CHARACTERS = 8_191

# How often an escape may be escaped (%2525252F). Each level costs one pass, and nobody nests on purpose.
MAX_NESTED_ESCAPES = 5

# How many characters all readings of a path may have. A path as people write it has a few dozen readings at most; eight
# kilobytes of special characters shall not keep a request waiting.
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


class Target(NamedTuple):
    """What a request asks for, in the one form that is judged, signed and sent.

    Attributes:
        path: Canonical path (the event's ``uri``).
        query: Canonical query, in the order sent, without ``?``.
        readings: Every plausible reading of the path, the one that counts first.
    """

    path: str
    query: str
    readings: tuple[Reading, ...]


def canonical_target(uri: str, querystring: str) -> Target:
    """Put a request's target into canonical form.

    Args:
        uri: The event's ``uri``: the raw path, with or without escapes.
        querystring: The event's ``querystring``, without ``?``.

    Raises:
        MalformedUrlError: The URL cannot be read; the message says which part, where and why.
        AmbiguousPathError: Servers could read the path in dangerously different ways.
    """
    known = _known.get((uri, querystring))
    if known is not None:
        return known
    query = canonical_query(querystring)
    path = canonical_path(uri)
    check_length(path, query)
    readings = plausible_readings(path)
    target = Target(path, query, readings)
    if len(uri) + len(querystring) <= _MAX_KNOWN_CHARACTERS and len(readings) <= _MAX_KNOWN_READINGS:
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        _known[uri, querystring] = target
    return target


# Most requests ask for what others asked for before. Anyone may ask for anything, so few targets are kept, and small ones:
# of 128 characters and four readings (two of them for "/x/"), which is 12 KB at most.
_known: dict[tuple[str, str], Target] = {}
_MAX_KNOWN = 256
_MAX_KNOWN_CHARACTERS = 128
_MAX_KNOWN_READINGS = 4

# A path that is canonical already, and that servers read alike but for case and a final slash: pchar without "%", ";", "+" and
# ":", no empty, dot-ended or dot-begun segment, no dot in the last.
_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*,=@-]+(?:\.[A-Za-z0-9_~!$&'()*,=@-]+)*)*/[A-Za-z0-9_~!$&'()*,=@-]+/?")

# A query that is canonical already and escapes nothing.
_PLAIN_QUERY = re.compile(r"[A-Za-z0-9._~-]+=[A-Za-z0-9._~-]*(?:&[A-Za-z0-9._~-]+=[A-Za-z0-9._~-]*)*")

# pchar = unreserved / pct-encoded / sub-delims / ":" / "@"   RFC 3986 §3.3
_NOT_PCHAR = re.compile(rb"[^A-Za-z0-9._~!$&'()*+,;=:@/%-]")
_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}")
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SLASHES = re.compile(rb"//+")
_END = re.compile(r"[?#]")

# RFC 3986 §2.3: only unreserved characters stand for themselves in a query.
_STRICT = escapes()

# UTF-8 that spells a short character with more bytes than it needs; old decoders read %C0%AE as ".". RFC 3629 §3
_OVERLONG = re.compile(
    rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf]{2}"
    rb"|\xf8[\x80-\x87][\x80-\xbf]{3}|\xfc[\x80-\x83][\x80-\xbf]{4}"
)


def canonical_path(uri: str) -> str:
    """Return the path as it is matched, signed and sent.

    Bytes that are no RFC 3986 pchar are escaped, as is a ``:`` before a ``/``; escapes get upper-case hex, ``//`` becomes
    ``/``. Legal escapes stay as they are: what ``%2F`` means is the backend's business.

    Args:
        uri: The event's ``uri``: the raw path, with or without escapes.

    Raises:
        MalformedUrlError: A ``%`` that begins no escape, text that is no Unicode, or no leading slash.

    >>> canonical_path("/caf\u00e9//a b%2fc")
    '/caf%C3%A9/a%20b%2Fc'
    """
    if _PLAIN_PATH.fullmatch(uri):
        return uri
    if uri == "":
        return "/"
    if not uri.startswith("/"):
        raise MalformedUrlError(f"The URL's path has to begin with '/'; it is {excerpt(uri)}.")
    data = _encode(uri, "path")
    if broken := _BROKEN_ESCAPE.search(data):
        raise MalformedUrlError(_broken("path", data, broken.start()))
    data = _NOT_PCHAR.sub(lambda match: b"%%%02X" % match[0][0], data)
    data = _ESCAPE.sub(lambda match: match[0].upper(), data)
    # Some readers of a request target take "x:/" for the beginning of a URL (awscrt does, and cannot sign it).
    return _SLASHES.sub(b"/", data).replace(b":/", b"%3A/").decode("ascii")


def canonical_query(querystring: str) -> str:
    """Return the query as it is signed and sent: form-decoded to bytes and encoded again, strictly.

    Order and duplicates are kept, ``flag`` becomes ``flag=``, empty pairs go, ``+`` and ``%20`` are both a space.

    Args:
        querystring: The event's ``querystring``, without ``?``.

    Raises:
        MalformedUrlError: A broken escape, bytes that are not UTF-8, an empty name, or a parameter of SigV4's own.

    >>> canonical_query("q=a+b&q=%c3%a9&flag&&x[0]=1")
    'q=a%20b&q=%C3%A9&flag=&x%5B0%5D=1'
    """
    if not querystring:
        return ""
    if not _PLAIN_QUERY.fullmatch(querystring):
        data = _encode(querystring, "query")
        if broken := _BROKEN_ESCAPE.search(data):
            raise MalformedUrlError(_broken("query", data, broken.start()))
        querystring = "&".join(_canonical_pair(pair) for pair in data.split(b"&") if pair)
    # A signature or token in the query would compete with ours: SigV4 reads X-Amz-* from either place.
    if "x-amz-" in querystring.lower():
        for pair in querystring.split("&"):
            if pair.lower().startswith("x-amz-"):
                name = pair.partition("=")[0]
                raise MalformedUrlError(
                    f"The query may not have a parameter named {excerpt(name)}: X-Amz-* belongs to the gateway's own "
                    "signature."
                )
    return querystring


def _canonical_pair(pair: bytes) -> str:
    """Form-decode one ``name=value`` and encode it strictly."""
    name, _, value = pair.replace(b"+", b" ").partition(b"=")
    if not name:
        raise MalformedUrlError(
            f"The query has a parameter without a name: {excerpt(pair.decode('latin-1'))}. Write name=value."
        )
    return f"{_strict(name)}={_strict(value)}"


def _strict(data: bytes) -> str:
    decoded = percent_decode(data)
    try:
        decoded.decode("utf-8")
    except UnicodeDecodeError:
        shown = excerpt(data.decode("latin-1"))
        raise MalformedUrlError(f"The query holds escapes that are not UTF-8: {shown}.") from None
    return percent_encode(decoded, _STRICT)


def check_length(path: str, query: str) -> None:
    """Refuse a target that CloudFront would not send on.

    Raises:
        MalformedUrlError: The canonical target is longer than an edge function may return.
    """
    length = len(path) + len(query) + (1 if query else 0)
    if length > MAX_TARGET_CHARACTERS:
        raise MalformedUrlError(
            f"The URL is too long: path and query may have {MAX_TARGET_CHARACTERS} characters once every special "
            f"character is percent-encoded, and have {length}."
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
    if _PLAIN_PATH.fullmatch(path) or path == "/":
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
    """Return what readers make of decoded names, and what those do who fold them; each beginning with the names as they are.

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
    """Return the readings of a plain path, or of ``/``: the short way to what ``plausible_readings`` finds."""
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
# white space to JavaScript. Before a final one `$` matches in many routers' regular expressions.
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
    """Stop at a decoded ``?`` or ``#``, as who builds a URL of a decoded path does."""
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
    names = _merged([name if name in (".", "..") else name.rstrip(_TRAILERS).lstrip(_BLANKS) for name in segments])
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


# In the order in which one prepares for another; a reader makes some of them.
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
    from unicodedata import normalize  # noqa: PLC0415  few paths need it, and every cold start would wait for it

    return normalize("NFKC", text)


def _merged(names: list[str]) -> Segments:
    return (*(name for name in names[:-1] if name), names[-1])


def _encode(text: str, part: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedUrlError(f"The URL's {part} is not Unicode text.") from None


def _broken(part: str, data: bytes, at: int) -> str:
    shown = excerpt(data[at : at + 3].decode("latin-1"))
    return f"The URL's {part} has {shown} at byte {at}, which is no escape: write %25 for a percent sign."
