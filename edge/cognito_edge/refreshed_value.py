"""When to read something again: lifetime, cool-down, last good value.

The last good value survives failed reads for a bounded time, and attempts are spaced from their starts: an outage signs
no one out, and the gateway does not make it worse.
"""

import os
import threading
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

from .errors import UnavailableError

T = TypeVar("T")

# Requests of several threads overtake each other, so a time may lie this far before that of the last reading. No request
# takes longer. A time that lies further back means that the clock was set back.
MAX_OVERTAKING_S = 5

# "hit": fresh as kept. "miss": read just now. "stale": kept beyond its lifetime, because it could not be read.
State = Literal["hit", "miss", "stale"]


class RefreshedValue(Generic[T]):
    """A value that is read when needed and kept for a while.

    Times are seconds since the epoch. A clock that is set back makes the value old rather than fresh.
    """

    def __init__(
        self,
        load: Callable[..., T],
        *,
        lifetime_s: float,
        max_stale_s: float,
        cooldown_s: float,
        jitter: float = 0.0,
        on_failure: Callable[[UnavailableError, float], None] = lambda _error, _now: None,
    ) -> None:
        """Remember how to read the value; nothing is read yet.

        Args:
            load: Reads the value, given the time and whatever ``get`` was told; raises UnavailableError and nothing else
                when it cannot.
            lifetime_s: For how long a value is fresh.
            max_stale_s: For how long it is used at most when it cannot be read again.
            cooldown_s: The least time between the starts of two attempts.
            jitter: Share of the lifetime by which it is varied up and down, so that edges do not ask all at once.
            on_failure: Told of every attempt that fails, and the time.
        """
        self._load = load
        self._lifetime_s = lifetime_s
        self._max_stale_s = max_stale_s
        self._cooldown_s = cooldown_s
        self._jitter = jitter
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._value: T | None = None
        self._read_at = float("-inf")
        self._fresh_until = float("-inf")
        self._attempted_at = float("-inf")
        self._failure: UnavailableError | None = None

    def get(self, now: float, *how: object) -> tuple[T, State]:
        """Return the value, read again if its lifetime is over.

        Args:
            now: Seconds since the epoch.
            how: What ``load`` is told beside the time, should it be called.

        Raises:
            UnavailableError: It cannot be read, and there is no value young enough to go on with.
        """
        value = self._value
        if value is not None and self._read_at - MAX_OVERTAKING_S <= now < self._fresh_until:
            return value, "hit"
        # One attempt at a time. A caller that can go on with the last good value does not wait for it.
        if self._lock.acquire(blocking=not self._is_usable(now)):
            try:
                if self._value is not None and self._read_at - MAX_OVERTAKING_S <= now < self._fresh_until:
                    return self._value, "hit"
                if self._attempt(now, how) and self._value is not None:
                    return self._value, "miss"
            finally:
                self._lock.release()
        if self._value is not None and self._is_usable(now):
            return self._value, "stale"
        raise self._unavailable(now)

    def reread(self, now: float, *how: object) -> T:
        """Return the value as it is at the source: the kept one lacks what is looked for.

        Within the cool-down the kept one is returned, provided that the last attempt read it.

        Raises:
            UnavailableError: The last attempt failed, so what the source holds is unknown.
        """
        with self._lock:
            self._attempt(now, how)
            if self._value is None or self._failure is not None:
                raise self._unavailable(now)
            return self._value

    def _attempt(self, now: float, how: tuple[object, ...]) -> bool:
        """Read the value, unless an attempt began less than the cool-down ago. Say whether it was read."""
        if self._attempted_at - MAX_OVERTAKING_S <= now < self._attempted_at + self._cooldown_s:
            return False
        self._attempted_at = now
        self._failure = UnavailableError("Not read.")  # whatever ends the attempt, until it has ended well
        try:
            value = self._load(now, *how)
        except UnavailableError as error:
            self._failure = error
            self._on_failure(error, now)
            return False
        self._failure = None
        # An equal value keeps its identity: whatever was derived from it stays true.
        self._value = self._value if self._value == value else value
        self._read_at = now
        spread = int.from_bytes(os.urandom(4)) / 0xFFFF_FFFF * 2 - 1  # -1 to 1, without importing random
        self._fresh_until = now + self._lifetime_s * (1 + self._jitter * spread)
        return True

    def _is_usable(self, now: float) -> bool:
        return self._value is not None and now - self._read_at <= self._lifetime_s + self._max_stale_s

    def _unavailable(self, now: float) -> UnavailableError:
        failure = self._failure or UnavailableError("Not read yet.")
        wait_s = int(self._attempted_at + self._cooldown_s - now) + 1
        return type(failure)(str(failure), internal=failure.internal, retry_after_s=max(1, wait_s))
