"""Reads a pool's published keys (JWKS) from Cognito."""

import contextlib
from typing import NamedTuple

from .credentials import endpoint_of
from .errors import KeysUnavailableError
from .fetch import Call, Client, Endpoint, Exchange, FetchError
from .jwks import JwksError, KeySet, load_crypto, parse_jwks
from .parameters import Pool
from .settings import Settings

# A prefetched answer serves requests that began at most this long after it was asked for: no request takes longer.
MAX_PREFETCH_AGE_S = 5


class Prefetch(NamedTuple):
    """Keys that a cold start asked for while it read the parameters.

    Attributes:
        pool_id: Whose keys.
        asked_at: Seconds since the epoch.
        exchange: Under way, or ended.
    """

    pool_id: str
    asked_at: float
    exchange: Exchange

    def serves(self, pool: Pool, now: float) -> bool:
        """Say whether the keys are those of *pool* as they are *now*: an environment may be frozen for hours."""
        return self.pool_id == pool.pool_id and 0 <= now - self.asked_at <= MAX_PREFETCH_AGE_S


class KeySource:
    """Reads key sets, the first one ahead of time if it can."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._prefetch: Prefetch | None = None

    def prefetch(self, settings: Settings, now: float) -> None:
        """Do ahead of time what the first reading needs: ask, or at least connect, and import the RSA library.

        Args:
            settings: Name the pool that is expected, if it is known.
            now: Seconds since the epoch.
        """
        pool_id = settings.expected_user_pool_id
        with contextlib.suppress(FetchError):
            if pool_id is not None:
                server = _server(_original_host(pool_id.partition("_")[0]))
                self._prefetch = Prefetch(pool_id, now, self._client.start(_call(server, pool_id)))
            else:  # the pool is most likely in the parameters' region
                self._client.open(_server(_original_host(settings.parameter_region)))
        load_crypto()

    def load(self, pool: Pool, issuer: str, now: float, deadline: float) -> KeySet:
        """Read the pool's JWKS.

        Args:
            pool: Whose.
            issuer: The spelling of the pool's issuer that the token has. Its host is asked first.
            now: Seconds since the epoch.
            deadline: When the request has to be over, on the clock of ``time.monotonic``.

        Raises:
            KeysUnavailableError: It could not be read, or has no usable key.
        """
        prefetch, self._prefetch = self._prefetch, None
        if prefetch is not None and prefetch.serves(pool, now):
            with contextlib.suppress(FetchError, JwksError):  # else ask again
                return _keys_of(prefetch.exchange)
        failures: dict[Endpoint | str, str] = {}
        for host in _hosts(pool, issuer):
            server: Endpoint | str = host
            try:
                server = _server(host)
                if server not in failures:
                    return _keys_of(self._client.start(_call(server, pool.pool_id), deadline))
            except (FetchError, JwksError) as error:
                failures[server] = str(error)
        raise KeysUnavailableError(
            "The gateway cannot read the user pool's signing keys right now. Nothing is known to be wrong with your token; "
            "try again.",
            internal=f"keys of {pool.pool_id}: {'; '.join(failures.values())}",
        )


def _hosts(pool: Pool, issuer: str) -> tuple[str, ...]:
    """Return the hosts that publish the pool's keys: that of the token's own issuer, then Cognito's two.

    "Updated issuers host the same JWKS content in multiple Regions": such a pool's keys can be read while its own region
    is down.
    """
    original = _original_host(pool.region)
    return (issuer.partition("://")[2].partition("/")[0], original, f"issuer-{original}")


def _original_host(region: str) -> str:
    return f"cognito-idp.{region}.amazonaws.com"


def _server(host: str) -> Endpoint:
    return endpoint_of("COGNITO_IDENTITY_PROVIDER", host)


def _call(server: Endpoint, pool_id: str) -> Call:
    return Call(server, "GET", f"/{pool_id}/.well-known/jwks.json", {"Accept": "application/json"})


def _keys_of(exchange: Exchange) -> KeySet:
    answer = exchange.result()
    if answer.status != 200:
        raise FetchError(f"the key endpoint answered {answer.status}")
    return parse_jwks(answer.body)
