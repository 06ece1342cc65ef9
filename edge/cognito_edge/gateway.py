"""The steps of one request, in order; every other module is opened once, from here."""

import contextlib
from collections.abc import Callable
from typing import Any

from .bearer import bearer_token
from .claims import check_time
from .cloudfront import Request, response
from .cors import is_preflight, preflight_headers, refusal_headers
from .decision import check_cut_off, check_route
from .discovery import metadata, metadata_paths, metadata_url
from .errors import (
    AmbiguousPathError,
    AuthenticationError,
    AuthorizationError,
    GatewayError,
    KeysUnavailableError,
    MethodNotAllowedError,
    UnavailableError,
)
from .identity import NO_IDENTITY, Identity, identity_of
from .jwks import KeySet
from .jws import parse_compact
from .key_store import KeyStore
from .log import MAX_PATH, MAX_REASON, Trail, failed_refresh, user_fields, write
from .parameters import Configuration, Pool
from .payload import payload_hash
from .policy import NO_CUT_OFF
from .refreshing import Refreshing
from .refusal import refuse
from .settings import Settings
from .sigv4 import CanonicalHeaders, Credentials, sign
from .target import Target, canonical_target
from .token_cache import TokenCache, Verified, digest_of
from .verify import trusted_pool, verify

# By when a pool's keys have to be there; every request ends within 5 s (contract C6). Seconds from its beginning.
KEYS_BY_S = 4.5


class Gateway:
    """Answers requests; a class because it remembers the configuration, keys and tokens between them."""

    def __init__(
        self,
        settings: Settings,
        *,
        load_configuration: Callable[[float], Configuration],
        load_keys: Callable[[Pool, str, float, float], KeySet],
        credentials: Callable[[], Credentials],
        log: Callable[[str], None] = write,
    ) -> None:
        """Set up the caches; nothing is read yet.

        Args:
            settings: What this version knows.
            load_configuration: Reads the parameters, given the time; raises UnavailableErrors.
            load_keys: Reads a pool's keys, given the token's issuer, the time and a deadline; raises KeysUnavailableError.
            credentials: Returns the role's credentials as they are now; raises CredentialsUnavailableError.
            log: Takes one line.
        """
        self._settings = settings
        self._metadata_paths = metadata_paths(settings)
        self._metadata_url = metadata_url(settings)
        self._credentials = credentials
        self._log = log
        self._configuration = Refreshing(
            load_configuration,
            lifetime_s=settings.settings_lifetime_s,
            max_stale_s=settings.settings_max_stale_s,
            cooldown_s=settings.cooldown_s,
            jitter=0.2,
            on_failure=lambda error: self._log_failure("configuration", error),
        )
        self._keys = KeyStore(load_keys, settings, on_failure=lambda error: self._log_failure("keys", error))
        self._tokens = TokenCache(settings.verified_tokens)
        self._tokens_configuration: Configuration | None = None
        self._now = 0.0

    def handle(self, event: Any, now: float) -> dict[str, Any]:
        """Return the request, signed, or the response that says why not. Never raises.

        Args:
            event: CloudFront's origin-request event; its request is changed in place.
            now: Seconds since the epoch: the one time by which this request is judged.
        """
        self._now = now
        trail = Trail()
        request: Request | None = None
        try:
            request = Request(event)
            result = self._answer(request, now, trail)
        except GatewayError as error:
            result = self._refuse(error, request, trail)
        except Exception as error:  # noqa: BLE001  contract C6: whatever happens, the viewer gets an answer
            internal = f"{type(error).__name__} at {_place(error)}"
            result = self._refuse(GatewayError("The gateway failed.", internal=internal), request, trail)
        try:  # noqa: SIM105  suppress() takes longer than the whole step of a rule
            self._log(trail.line(now))
        except Exception:  # noqa: BLE001, S110  a line that cannot be written never stops a request
            pass
        return result

    def _answer(self, request: Request, now: float, trail: Trail) -> dict[str, Any]:
        """Take one request all the way.

        Steps:
            1. Read the configuration, unless it is fresh.
            2. Put the target into canonical form.
            3. Answer what is nobody's secret: OAuth metadata and browsers' preflights.
            4. Find the rule, find out who calls, and see whether the rule lets them pass.
            5. State the identity, replacing any that the viewer sent.
            6. Sign for the function URL (or leave that to CloudFront's origin access control), and send the request on.

        Raises:
            GatewayError: Any refusal.
        """
        trail.request_id, trail.method, trail.path = request.request_id, request.method, request.uri[:MAX_PATH]
        configuration, trail.configuration_state = self._configuration.get(now)  # (1)
        trail.configuration = configuration
        trail.step("configuration")

        target = canonical_target(request.uri, request.querystring)  # (2)
        trail.path = target.path[:MAX_PATH]

        if target.path in self._metadata_paths:  # (3)
            result = metadata(request, self._settings, configuration)
            trail.decision, trail.status = "metadata", int(result["status"])
            return result
        cors = configuration.policy.cors
        if cors is not None and is_preflight(request):
            trail.decision, trail.status = "preflight", 204
            headers = preflight_headers(cors, request.header("origin"))
            return response(204, "No Content", [("Cache-Control", "no-store"), *headers])

        verified = self._authorize(request, target, configuration, now, trail)  # (4)
        trail.step("token")

        identity = verified.identity if verified is not None else NO_IDENTITY  # (5)
        if identity.claims_omitted:
            trail.note("claims_omitted", True)

        result = self._send_on(request, target, identity, now)  # (6)
        trail.decision = "forward"
        trail.step("sign")
        return result

    def _authorize(
        self, request: Request, target: Target, configuration: Configuration, now: float, trail: Trail
    ) -> Verified | None:
        """Return who calls, or None where the rule lets anyone in and nobody proved who they are.

        Raises:
            GatewayError: The rule asks for more than the caller proved; or no rule is about this path and method, which
                only those hear who have proved who they are.
        """
        try:
            group = configuration.policy.group_for(target)
            trail.rule = group.pattern
            route = group.route_for(request.method)
        except (AmbiguousPathError, MethodNotAllowedError):
            self._caller(request, configuration, now, trail)
            raise
        trail.rule = route.name
        trail.step("rule")
        if route.anyone and request.header("authorization") is None:
            return None
        try:
            verified = self._caller(request, configuration, now, trail)
            check_route(verified.claims, route, configuration)
        except (AuthenticationError, AuthorizationError, KeysUnavailableError) as error:
            if not route.anyone:
                raise
            # A public path stays public for whoever sends a token that is no good.
            trail.note("ignored_token", error.code)
            return None
        return verified

    def _caller(self, request: Request, configuration: Configuration, now: float, trail: Trail) -> Verified:
        """Return who calls, whichever trusted pool they are of.

        Raises:
            GatewayError: They did not prove it, or it could not be found out.
        """
        token = bearer_token(request.header_values("authorization"), self._settings.max_token_bytes)
        verified = self._verified(token, configuration, now, trail)
        trail.user = verified.log_fields
        cut_off = configuration.policy.cut_off
        if cut_off is not NO_CUT_OFF:
            check_cut_off(verified.claims, cut_off)
        return verified

    def _verified(self, token: str, configuration: Configuration, now: float, trail: Trail) -> Verified:
        """Return the verified token, from the cache if it was verified under this configuration and these keys."""
        if self._tokens_configuration is not configuration:
            self._tokens.clear()
            self._tokens_configuration = configuration
        leeway_s = configuration.policy.leeway_s
        digest = digest_of(token)
        seen = self._tokens.get(digest)
        if seen is not None:
            keys, trail.keys_state = self._keys.current(seen.pool, seen.claims.issuer, now, trail.began + KEYS_BY_S)
            if keys is seen.keys and seen.configuration is configuration:
                trail.tokens_state = "hit"
                check_time(seen.claims.exp, seen.claims.not_before, leeway_s=leeway_s, now=now)
                return seen
            self._tokens.discard(digest)

        trail.tokens_state = "miss"
        unverified = parse_compact(token)
        pool = trusted_pool(unverified, configuration)
        keys, state = self._keys.with_kid(pool, unverified.kid, unverified.claims["iss"], now, trail.began + KEYS_BY_S)
        if trail.keys_state != "miss":  # "miss": read for this request, a moment ago
            trail.keys_state = state
        trail.step("keys")
        claims = verify(unverified, pool, keys, resource=self._settings.resource, leeway_s=leeway_s, now=now)
        verified = Verified(
            claims, configuration, pool, keys, identity_of(claims), user_fields(claims.client_id, claims.sub)
        )
        self._tokens.put(digest, verified, len(token))
        return verified

    def _send_on(self, request: Request, target: Target, identity: Identity, now: float) -> dict[str, Any]:
        """Sign the request for its function URL and turn the event into it."""
        body_hash = payload_hash(request)
        stated = ("x-amz-content-sha256", body_hash)
        if self._settings.signing == "oac":
            # CloudFront signs after us, as the distribution, and covers the body by the hash that we state.
            return request.send_on(target, self._host(request), [*identity.headers, stated])
        signature = sign(
            method=request.method,
            path=request.origin_path + target.path,
            query=target.query,
            headers=CanonicalHeaders(
                f"host:{request.origin_domain}\nx-amz-content-sha256:{body_hash}\n", "host;x-amz-content-sha256"
            ),
            payload_hash=body_hash,
            credentials=self._credentials(),
            region=request.origin_region,
            service="lambda",
            now=now,
            last=identity.canonical,
        )
        return request.send_on(target, self._host(request), [*identity.headers, stated, *signature])

    def _refuse(self, error: GatewayError, request: Request | None, trail: Trail) -> dict[str, Any]:
        trail.decision, trail.status = "refuse" if error.status < 500 else "error", error.status
        trail.note("code", error.code)
        if error.internal:
            trail.note("reason", error.internal[:MAX_REASON])
        if request is not None:
            cors: list[tuple[str, str]] = []
            with contextlib.suppress(Exception):  # an event too broken to be quoted is answered without quoting it (C6)
                if trail.configuration is not None:
                    cors = refusal_headers(trail.configuration.policy.cors, request.header("origin"))
                host = self._host(request)
                return refuse(error, request, host=host, resource_metadata=self._metadata_url, cors=cors)
        return refuse(error, None, host="", resource_metadata=self._metadata_url, cors=())

    def _host(self, request: Request) -> str:
        """Return what the viewer called us."""
        return self._settings.domain_name or request.distribution_domain

    def _log_failure(self, what: str, error: UnavailableError) -> None:
        self._log(failed_refresh(what, f"{error.code}: {error.internal}", self._now))


def _place(error: Exception) -> str:
    """Say where an unexpected error arose, without its message, which could hold anything."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else "?"
