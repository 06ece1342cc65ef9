"""The current keys of each trusted pool."""

from collections.abc import Callable

from .errors import UnavailableError
from .jwks import KeySet
from .parameters import Pool
from .refreshed_value import RefreshedValue, State
from .settings import Settings

# More pools than a policy of 8 KB can name.
MAX_POOLS = 64


class KeyStore:
    """Key sets by pool, each refreshed by itself."""

    def __init__(
        self,
        load: Callable[[Pool, str, float, float], KeySet],
        settings: Settings,
        on_failure: Callable[[UnavailableError, float], None] = lambda _error, _now: None,
    ) -> None:
        self._load = load
        self._settings = settings
        self._on_failure = on_failure
        self._by_pool: dict[str, RefreshedValue[KeySet]] = {}

    def current(self, pool: Pool, issuer: str, now: float, deadline: float) -> tuple[KeySet, State]:
        """Return the pool's keys, read again if their lifetime is over.

        Args:
            pool: Whose.
            issuer: The spelling of the pool's issuer that the token has: its host is asked first.
            now: Seconds since the epoch.
            deadline: When the request has to be over, on the clock of ``time.monotonic``.

        Raises:
            KeysUnavailableError: They cannot be read, and no kept set is young enough to go on with.
        """
        return self._of(pool).get(now, issuer, deadline)

    def with_kid(self, pool: Pool, kid: str, issuer: str, now: float, deadline: float) -> tuple[KeySet, State]:
        """Return the pool's keys, read again if *kid* is not among them and the cool-down allows it; else as ``current``.

        A key set that was read and lacks the ``kid`` is returned as it is: that token is bad. This finds a rotation of keys:
        Cognito says to "refresh when a token has a different kid with the correct issuer".

        Raises:
            KeysUnavailableError: They cannot be read, so whether the key exists is unknown.
        """
        keys, state = self.current(pool, issuer, now, deadline)
        if keys.get(kid) is None:
            return self._of(pool).reread(now, issuer, deadline), "miss"
        return keys, state

    def _of(self, pool: Pool) -> RefreshedValue[KeySet]:
        keys = self._by_pool.get(pool.pool_id)
        if keys is None:
            if len(self._by_pool) >= MAX_POOLS:
                self._by_pool.clear()
            settings = self._settings
            keys = self._by_pool[pool.pool_id] = RefreshedValue(
                lambda now, issuer, deadline: self._load(pool, issuer, now, deadline),
                lifetime_s=settings.keys_lifetime_s,
                max_stale_s=settings.keys_max_stale_s,
                cooldown_s=settings.cooldown_s,
                jitter=0.1,
                on_failure=self._on_failure,
            )
        return keys
