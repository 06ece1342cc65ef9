"""Text for people and for headers: what a caller sent, quoted safely, and times in ISO 8601."""

import time


def excerpt(value: object, limit: int = 80) -> str:
    r"""Quote something that a caller sent, safe for a header and short enough to read.

    Args:
        value: Anything; strings are shown as they are, other values by their type's name.
        limit: The most characters shown.

    >>> excerpt('a"b\\c\u2028')
    "'a?b?c?'"
    >>> excerpt(["x"])
    'a list'
    """
    if isinstance(value, str):
        shown = value if len(value) <= limit else value[: limit - 1] + "~"
        # error_description allows %x20-21 / %x23-5B / %x5D-7E only. RFC 6750 §3
        return "'" + "".join(c if " " <= c <= "~" and c not in "\"\\'" else "?" for c in shown) + "'"
    if value is None or isinstance(value, bool):
        return f"{value}".lower().replace("none", "null")
    if isinstance(value, int):
        return "an integer"
    return f"a {type(value).__name__}"


def iso8601(seconds: float) -> str:
    """Write a NumericDate in UTC, with whole seconds.

    Args:
        seconds: Seconds since 1970-01-01T00:00:00Z, within years 1 to 9999.

    >>> iso8601(1_700_000_000)
    '2023-11-14T22:13:20Z'
    """
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def iso8601_ms(seconds: float) -> str:
    """Write a time in UTC, with milliseconds.

    >>> iso8601_ms(1_700_000_000.25)
    '2023-11-14T22:13:20.250Z'
    """
    return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(seconds)) + f"{int(seconds * 1000) % 1000:03d}Z"
