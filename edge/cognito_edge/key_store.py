"""Which keys a pool has just now: one refreshed key set per trusted pool  shell."""

from collections.abc import Callable

from .errors import UnavailableError
from .jwks import KeySet
from .parameters import Pool
from .refreshing import Refreshing, State
from .settings import Settings

# More pools than any policy of 8 KB can name; older ones are forgotten.
MAX_POOLS = 64


class KeyStore:
    """Key sets by pool; a class because each pool's set has a life of its own."""

    def __init__(
        self,
        load: Callable[[Pool, str, float, float], KeySet],
        settings: Settings,
        on_failure: Callable[[UnavailableError], None] = lambda _error: None,
    ) -> None:
        self._load = load
        self._settings = settings
        self._on_failure = on_failure
        self._by_pool: dict[str, Refreshing[KeySet]] = {}

    def current(self, pool: Pool, issuer: str, now: float, deadline: float) -> tuple[KeySet, State]:
        """Return the pool's keys, read again if their lifetime is over.

        Args:
            pool: Whose.
            issuer: The spelling of the pool's issuer that the token has: its host is asked first.
            now: Seconds since the epoch.
            deadline: When the request has to be over, on the clock of ``time.monotonic``.

        Raises:
            KeysUnavailableError: They cannot be read, and there are none young enough to go on with.
        """
        return self._of(pool).get(now, issuer, deadline)

    def with_kid(self, pool: Pool, kid: str, issuer: str, now: float, deadline: float) -> tuple[KeySet, State]:
        """Return the pool's keys, read again if *kid* is not among them and the cool-down allows it; else as ``current``.

        A key set that was read and lacks the ``kid`` is returned as it is: that token is bad. Rotation is found out here:
        Cognito says to "refresh when a token has a different kid with the correct issuer".

        Raises:
            KeysUnavailableError: They cannot be read, so that nobody knows whether the key exists.
        """
        keys, state = self.current(pool, issuer, now, deadline)
        if keys.get(kid) is None:
            return self._of(pool).reread(now, issuer, deadline), "miss"
        return keys, state

    def _of(self, pool: Pool) -> Refreshing[KeySet]:
        refreshing = self._by_pool.get(pool.pool_id)
        if refreshing is None:
            if len(self._by_pool) >= MAX_POOLS:
                self._by_pool.clear()
            settings = self._settings
            refreshing = self._by_pool[pool.pool_id] = Refreshing(
                lambda now, issuer, deadline: self._load(pool, issuer, now, deadline),
                lifetime_s=settings.keys_lifetime_s,
                max_stale_s=settings.keys_max_stale_s,
                cooldown_s=settings.cooldown_s,
                jitter=0.1,
                on_failure=self._on_failure,
            )
        return refreshing
