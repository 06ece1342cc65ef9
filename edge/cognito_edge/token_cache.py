"""Tokens verified before, by their digest, so that the RSA check is done once for each token."""

import contextlib
import hashlib
import threading
from collections import OrderedDict
from typing import NamedTuple

from .claims import VerifiedClaims
from .identity import Identity
from .jwks import KeySet
from .parameters import Configuration, Pool

# All cached tokens together. The claims parsed from them take a few times as much.
MAX_CACHED_BYTES = 4_194_304


class VerifiedToken(NamedTuple):
    """A verified token and what follows from it.

    Attributes:
        claims: What it says.
        configuration: What it was verified under.
        pool: Whose key signed it.
        keys: The key set that held that key.
        identity: What is stated to the backend.
        user: What stands for the user in the log.
    """

    claims: VerifiedClaims
    configuration: Configuration
    pool: Pool
    keys: KeySet
    identity: Identity
    user: str


class TokenCache:
    """A bounded map from digests to verified tokens. The least recently used one goes first.

    Whether an entry still holds is the caller's to judge (``token_verifier.py``).
    """

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[bytes, tuple[VerifiedToken, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, digest: bytes) -> VerifiedToken | None:
        """Return the token of that digest, or None."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        with contextlib.suppress(KeyError):  # another thread may have dropped it
            self._entries.move_to_end(digest)
        return entry[0]

    def put(self, digest: bytes, verified: VerifiedToken, size: int) -> None:
        """Keep a token of *size* bytes."""
        with self._lock:
            self._drop(digest)
            self._entries[digest] = (verified, size)
            self._bytes += size
            while self._entries and (len(self._entries) > self._max_entries or self._bytes > MAX_CACHED_BYTES):
                self._bytes -= self._entries.popitem(last=False)[1][1]

    def discard(self, digest: bytes) -> None:
        """Drop a token."""
        with self._lock:
            self._drop(digest)

    def clear(self) -> None:
        """Drop all of them."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def _drop(self, digest: bytes) -> None:
        entry = self._entries.pop(digest, None)
        if entry is not None:
            self._bytes -= entry[1]

    def __len__(self) -> int:
        return len(self._entries)


def digest_of(token: str) -> bytes:
    """Return a token's SHA-256, by which the cache knows it."""
    # "surrogatepass": text that is not Unicode is refused later, as a malformed token.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
