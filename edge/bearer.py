"""The Authorization header and what may be a token in it (RFC 6750 §2.1)  pure."""

import re
from collections.abc import Sequence

from .errors import MalformedRequestError, MalformedTokenError, MissingTokenError

# Three base64url parts: a JWS in compact serialisation. The third may be empty here, so that "alg": "none" is called
# what it is. RFC 7515 §7.1
_COMPACT_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


def bearer_token(values: Sequence[str], max_token_bytes: int) -> str:
    """Take the compact token from the Authorization header's values.

    Everything that can be told from the outside is told here, before anything costs time or a network call.

    Args:
        values: Every value of the header, one for each time it was sent.
        max_token_bytes: The longest token that is looked at.

    Raises:
        MalformedRequestError: The header was sent twice.
        MissingTokenError: No header, another scheme than Bearer, or Bearer and nothing.
        MalformedTokenError: Too long, or not three base64url parts.
    """
    if not values:
        raise MissingTokenError("Send 'Authorization: Bearer <ID token>'; the request has no Authorization header.")
    if len(values) > 1:
        # A singleton field: two of them are read differently by different servers. RFC 9110 §5.3, §11.6.2
        raise MalformedRequestError(f"Send one Authorization header; the request has {len(values)}.")
    scheme, _, token = values[0].strip(" \t").partition(" ")
    if scheme.lower() != "bearer":  # "case-insensitive token to identify the authentication scheme" RFC 9110 §11.1
        raise MissingTokenError("Send 'Authorization: Bearer <ID token>'; the request uses another scheme.")
    token = token.strip(" ")
    if not token:
        raise MissingTokenError("Send 'Authorization: Bearer <ID token>'; the token is missing after 'Bearer'.")
    if len(token) > max_token_bytes:
        raise MalformedTokenError(f"A token may have {max_token_bytes} bytes; this one has {len(token)}.")
    if not _COMPACT_JWS.fullmatch(token):
        raise MalformedTokenError(_shape(token))
    return token


def _shape(token: str) -> str:
    """Say in which way *token* is no compact JWS, without repeating any of it."""
    parts = token.split(".")
    if len(parts) == 5:
        return "The token is an encrypted JWT of five parts; Cognito issues signed ones of three."
    if len(parts) != 3:
        return f"A token has three parts joined by '.'; this one has {len(parts)}."
    if "" in parts[:2]:
        return "The token has an empty part."
    if "=" in token:
        return "The token has '=' padding, which base64url in a JWT leaves out."
    return "The token has characters that base64url does not know."
