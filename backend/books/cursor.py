"""The opaque cursor of a list: where the next page begins.

It holds one book's id and nothing else: no table, no shelf, no attribute. A forged cursor can only begin a page at another
place of a list that the caller may read anyway, so it needs no signature.
"""

import base64
import re

# RFC 9562 version 7, lower-case: what ``store.new_id`` makes.
BOOK_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

_FORMAT = b"1"  # a later format gets another byte, so that old cursors are refused instead of misread
_ID_BYTES = 16
_CURSOR = re.compile(r"[A-Za-z0-9_-]{23}")  # 17 bytes


def encode(book_id: str) -> str:
    """Return the cursor of the page after a book.

    >>> encode("018f1f0e-0000-7000-8000-000000000000")
    'MQGPHw4AAHAAgAAAAAAAAAA'
    """
    return base64.urlsafe_b64encode(_FORMAT + bytes.fromhex(book_id.replace("-", ""))).decode().rstrip("=")


def decode(cursor: str) -> str | None:
    """Return the id in a cursor; None for any text that ``encode`` does not make.

    >>> decode("MQGPHw4AAHAAgAAAAAAAAAA")
    '018f1f0e-0000-7000-8000-000000000000'
    >>> decode("../../other-table") is None
    True
    """
    if _CURSOR.fullmatch(cursor) is None:
        return None
    content = base64.urlsafe_b64decode(cursor + "=")
    digits = content[1:].hex()
    book_id = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    if len(content) != 1 + _ID_BYTES or content[:1] != _FORMAT or BOOK_ID.fullmatch(book_id) is None:
        return None
    # base64 can spell the same bytes with different unused bits.
    return book_id if encode(book_id) == cursor else None
