"""Verifies a request's token, and remembers it for as long as its configuration and keys stay the same."""

from .claims import check_time
from .identity import identity_of
from .jws import parse_compact
from .key_store import KeyStore
from .log import RequestLog, hash_of
from .parameters import Configuration
from .settings import Settings
from .token_cache import TokenCache, VerifiedToken, digest_of
from .verify import trusted_pool, verify


class TokenVerifier:
    """Verified tokens of one runtime environment."""

    def __init__(self, settings: Settings, keys: KeyStore) -> None:
        self._resource = settings.resource
        self._keys = keys
        self._tokens = TokenCache(settings.verified_tokens)
        self._configuration: Configuration | None = None

    def verify(
        self, token: str, configuration: Configuration, now: float, *, deadline: float, log: RequestLog
    ) -> VerifiedToken:
        """Return the token with what it says, if it is true.

        A token that was verified before passes without another RSA check while configuration and keys are the ones that
        it was verified under; its times are checked all the same.

        Args:
            token: A compact JWS.
            configuration: Which pools and clients are trusted.
            now: Seconds since the epoch.
            deadline: By when keys have to be there, on the clock of ``time.monotonic``.
            log: Takes the states of the caches.

        Raises:
            AuthenticationError: It is not true, or no longer, or not for this gateway.
            KeysUnavailableError: Its pool's keys cannot be read.
        """
        if self._configuration is not configuration:
            self._tokens.clear()
            self._configuration = configuration
        digest = digest_of(token)
        seen = self._tokens.get(digest)
        if seen is not None:
            keys, log.cache["keys"] = self._keys.current(seen.pool, seen.claims.issuer, now, deadline)
            if keys is seen.keys and seen.configuration is configuration:
                log.cache["tokens"] = "hit"
                leeway_s = configuration.policy.leeway_s
                check_time(seen.claims.exp, seen.claims.not_before, leeway_s=leeway_s, now=now)
                return seen
            self._tokens.discard(digest)
        log.cache["tokens"] = "miss"
        verified = self._verify(token, configuration, now, deadline=deadline, log=log)
        self._tokens.put(digest, verified, len(token))
        return verified

    def _verify(
        self, token: str, configuration: Configuration, now: float, *, deadline: float, log: RequestLog
    ) -> VerifiedToken:
        unverified = parse_compact(token)
        pool = trusted_pool(unverified, configuration)
        keys, state = self._keys.with_kid(pool, unverified.kid, unverified.claims["iss"], now, deadline)
        if log.cache.get("keys") != "miss":  # "miss": read for this request, a moment ago
            log.cache["keys"] = state
        log.step("keys")
        leeway_s = configuration.policy.leeway_s
        claims = verify(unverified, pool, keys, resource=self._resource, leeway_s=leeway_s, now=now)
        return VerifiedToken(claims, configuration, pool, keys, identity_of(claims), hash_of(claims.sub))
