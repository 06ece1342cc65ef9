"""The Authorization header and the token in it (RFC 6750 §2.1)."""

from collections.abc import Sequence

from .errors import MalformedRequestError, MalformedTokenError, MissingTokenError


def bearer_token(values: Sequence[str], max_token_bytes: int) -> str:
    """Return the token in the Authorization header's values, unread.

    Args:
        values: Every value of the header, one for each time it was sent.
        max_token_bytes: The longest token that is looked at.

    Raises:
        MalformedRequestError: The header was sent twice.
        MissingTokenError: No header, another scheme than Bearer, or Bearer and nothing.
        MalformedTokenError: Too long.
    """
    if not values:
        raise MissingTokenError("Send 'Authorization: Bearer <ID token>'; the request has no Authorization header.")
    if len(values) > 1:
        # A singleton field: servers differ in which of two they read. RFC 9110 §5.3, §11.6.2
        raise MalformedRequestError(f"Send one Authorization header; the request has {len(values)}.")
    scheme, _, token = values[0].strip(" \t").partition(" ")
    if scheme.lower() != "bearer":  # "case-insensitive token to identify the authentication scheme" RFC 9110 §11.1
        raise MissingTokenError("Send 'Authorization: Bearer <ID token>'; the request uses another scheme.")
    token = token.strip(" ")
    if not token:
        raise MissingTokenError("Send 'Authorization: Bearer <ID token>'; the token is missing after 'Bearer'.")
    if len(token) > max_token_bytes:
        raise MalformedTokenError(f"A token may have {max_token_bytes} bytes; this one has {len(token)}.")
    return token
