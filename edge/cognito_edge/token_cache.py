"""Tokens verified before, by their digest, so that RSA is done once a token  shell."""

import hashlib
import threading
from collections import OrderedDict
from typing import NamedTuple

from .claims import VerifiedClaims
from .identity import Identity
from .jwks import KeySet
from .parameters import Configuration, Pool

# All cached tokens together; the claims parsed from them take a few times as much. Bytes.
MAX_TOKEN_BYTES = 4_194_304


class Verified(NamedTuple):
    """A verified token and what follows from it.

    Attributes:
        claims: What it says.
        configuration: What it was verified under; under another it has to be verified again.
        pool: Whose key signed it.
        keys: The key set that held that key; another set since then means that the token has to be verified again.
        identity: What is stated to the backend.
        log_fields: What the log says of it (``log.user_fields``).
    """

    claims: VerifiedClaims
    configuration: Configuration
    pool: Pool
    keys: KeySet
    identity: Identity
    log_fields: str


class TokenCache:
    """A bounded map, least recently used out first.

    A hit says that the signature and the claims were found true once, under the configuration and keys remembered with
    it; time, cut-offs and the route's demands are judged on every request all the same.
    """

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[bytes, tuple[Verified, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, digest: bytes) -> Verified | None:
        """Return what is known of a token."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        try:  # noqa: SIM105  suppress() takes ten times as long
            self._entries.move_to_end(digest)
        except KeyError:  # another thread has forgotten it just now
            pass
        return entry[0]

    def put(self, digest: bytes, verified: Verified, size: int) -> None:
        """Remember a token of *size* bytes."""
        with self._lock:
            self._drop(digest)
            self._entries[digest] = (verified, size)
            self._bytes += size
            while self._entries and (len(self._entries) > self._max_entries or self._bytes > MAX_TOKEN_BYTES):
                self._bytes -= self._entries.popitem(last=False)[1][1]

    def discard(self, digest: bytes) -> None:
        """Forget a token."""
        with self._lock:
            self._drop(digest)

    def clear(self) -> None:
        """Forget all of them."""
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
    """Return what stands for a token in the cache: its SHA-256, since two tokens never share one."""
    # "surrogatepass": what is no text at all is refused later on, by what it lacks.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
