"""base64url without padding, in its one canonical spelling (RFC 7515 §2, RFC 4648 §3.5)."""

import pybase64

# By the length's remainder modulo 4: the padding to add, and the characters that may stand last, those whose unused bits
# are zero. None: any. A remainder of 1 is no whole byte.
_ENDS: tuple[tuple[str, frozenset[str] | None], ...] = (
    ("", None),
    ("", frozenset()),
    ("==", frozenset("AQgw")),
    ("=", frozenset("AEIMQUYcgkosw048")),
)


def decode(text: str) -> bytes:
    """Decode *text*.

    Args:
        text: Characters of the base64url alphabet, without padding.

    Raises:
        ValueError: Anything else, or bits set that a decoder would ignore: what is accepted has exactly one spelling, so
            that its digest can stand for it.

    >>> decode("AQAB").hex()
    '010001'
    """
    # "+" and "/" are the other base64's, which some decoders take for "-" and "_".
    if "+" in text or "/" in text or "=" in text:
        raise ValueError("not base64url")
    padding, last = _ENDS[len(text) % 4]
    if last is not None and text[-1] not in last:
        raise ValueError("not canonical base64url")
    return pybase64.b64decode(text + padding, altchars=b"-_", validate=True)
