"""base64url without padding, in its one canonical spelling (RFC 7515 §2, RFC 4648 §3.5)  pure."""

import pybase64


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
    if "+" in text or "/" in text:  # the other base64's, which some decoders take for "-" and "_"
        raise ValueError("not base64url")
    data = pybase64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if pybase64.urlsafe_b64encode(data).rstrip(b"=") != text.encode("ascii"):
        raise ValueError("not canonical base64url")
    return data
