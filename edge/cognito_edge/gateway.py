"""The steps of one request, in order. Each step is one call into the module that does it."""

import contextlib
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

from .authorize import authorize, check_cut_off
from .bearer import bearer_token
from .cloudfront import Request
from .cors import is_preflight, preflight, refusal_headers
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
from .identity import NO_IDENTITY, Identity
from .jwks import KeySet
from .key_store import KeyStore
from .log import MAX_PATH, MAX_REASON, RequestLog, failed_refresh, write
from .parameters import Configuration, Pool
from .payload import payload_hash
from .refreshed_value import RefreshedValue
from .refusal import refuse
from .settings import Settings
from .sigv4 import Credentials, sign
from .target import Target, canonical_target
from .token_cache import VerifiedToken
from .token_verifier import TokenVerifier

# Keys have to be there by then, in seconds from the request's beginning. Every request ends within 5 s (contract C6).
KEYS_BY_S = 4.5


class Gateway:
    """Answers requests. It keeps the configuration, the keys and the verified tokens between them."""

    def __init__(
        self,
        settings: Settings,
        *,
        load_configuration: Callable[[float], Configuration],
        load_keys: Callable[[Pool, str, float, float], KeySet],
        credentials: Callable[[], Credentials],
        log: Callable[[str], None] = write,
    ) -> None:
        """Set up the caches. Nothing is read yet.

        Args:
            settings: What this version knows.
            load_configuration: Reads the parameters, given the time; raises UnavailableErrors.
            load_keys: Reads a pool's keys, given the token's issuer, the time and a deadline; raises KeysUnavailableError.
            credentials: Returns the role's credentials as they are now; raises CredentialsUnavailableError.
            log: Takes one line.
        """
        self._settings = settings
        self._credentials = credentials
        self._log = log
        self._metadata_paths = metadata_paths(settings)
        self._metadata_url = metadata_url(settings)
        self._configuration = RefreshedValue(
            load_configuration,
            lifetime_s=settings.settings_lifetime_s,
            max_stale_s=settings.settings_max_stale_s,
            cooldown_s=settings.cooldown_s,
            jitter=0.2,
            on_failure=partial(self._log_failure, "configuration"),
        )
        keys = KeyStore(load_keys, settings, on_failure=partial(self._log_failure, "keys"))
        self._tokens = TokenVerifier(settings, keys)

    def handle(self, event: Any, now: float) -> dict[str, Any]:
        """Return the request, signed, or the response that says why not. Never raises.

        Args:
            event: CloudFront's origin-request event; its request is changed in place.
            now: Seconds since the epoch: the one time by which this request is judged.
        """
        log = RequestLog(now)
        request: Request | None = None
        configuration: Configuration | None = None
        deadline = monotonic() + KEYS_BY_S
        try:
            request = Request(event)
            log.facts |= {"request_id": request.request_id, "method": request.method, "path": request.uri[:MAX_PATH]}
            configuration, log.cache["configuration"] = self._configuration.get(now)
            log.step("configuration")
            answer = self._answer(request, configuration, now, deadline=deadline, log=log)
        except GatewayError as error:
            answer = self._refuse(error, request, configuration, log)
        except Exception as error:  # noqa: BLE001  contract C6: whatever happens, the viewer gets an answer
            failed = GatewayError("The gateway failed.", internal=f"{type(error).__name__} at {_place(error)}")
            answer = self._refuse(failed, request, configuration, log)
        with contextlib.suppress(Exception):  # a line that cannot be written never stops a request
            self._log(log.line())
        return answer

    def _answer(
        self, request: Request, configuration: Configuration, now: float, *, deadline: float, log: RequestLog
    ) -> dict[str, Any]:
        """Take one request all the way.

        Steps:
            1. Put the target into canonical form.
            2. Answer what is public: OAuth metadata and browsers' preflights.
            3. Find the rule.
            4. Find out who calls.
            5. See whether the rule lets them pass.
            6. State the identity, sign for the function URL, and send the request on.

        Raises:
            GatewayError: Any refusal.
        """
        target = canonical_target(request.uri, request.querystring)  # (1)
        log.facts["path"] = target.path[:MAX_PATH]

        if target.path in self._metadata_paths:  # (2)
            answer = metadata(request, self._settings, configuration)
            log.facts |= {"decision": "metadata", "status": int(answer["status"])}
            return answer
        cors = configuration.policy.cors
        if cors is not None and is_preflight(request):
            log.facts |= {"decision": "preflight", "status": 204}
            return preflight(request, cors)

        caller = self._authorize(request, target, configuration, now, deadline=deadline, log=log)  # (3, 4, 5)
        log.step("token")

        answer = self._send_on(request, target, caller.identity if caller else NO_IDENTITY, now, log)  # (6)
        log.facts |= {"decision": "forward", "status": None}
        log.step("sign")
        return answer

    def _authorize(
        self,
        request: Request,
        target: Target,
        configuration: Configuration,
        now: float,
        *,
        deadline: float,
        log: RequestLog,
    ) -> VerifiedToken | None:
        """Return who calls, or None where the rule lets anyone in and the caller did not prove who they are.

        Raises:
            GatewayError: The rule asks for more than the caller proved; or no rule is about this path and method, which
                only an identified caller learns.
        """
        try:
            rules = configuration.policy.rules_for(target)  # (3)
            log.facts["rule"] = rules.pattern
            route = rules.route_for(request.method)
        except (AmbiguousPathError, MethodNotAllowedError):
            self._caller(request, configuration, now, deadline=deadline, log=log)
            raise
        log.facts["rule"] = route.name
        log.step("rule")
        if route.anyone and request.header("authorization") is None:
            return None
        try:
            caller = self._caller(request, configuration, now, deadline=deadline, log=log)  # (4)
            authorize(caller.claims, route, configuration)  # (5)
        except (AuthenticationError, AuthorizationError, KeysUnavailableError) as error:
            if not route.anyone:
                raise
            # A public path stays public for a caller with a bad token.
            log.facts["ignored_token"] = error.code
            return None
        return caller

    def _caller(
        self, request: Request, configuration: Configuration, now: float, *, deadline: float, log: RequestLog
    ) -> VerifiedToken:
        """Return who calls, of whichever trusted pool.

        Raises:
            GatewayError: They did not prove it, or it could not be found out.
        """
        token = bearer_token(request.header_values("authorization"), self._settings.max_token_bytes)
        caller = self._tokens.verify(token, configuration, now, deadline=deadline, log=log)
        log.facts |= {"client_id": caller.claims.client_id, "sub_hash": caller.user}
        check_cut_off(caller.claims, configuration.policy.cut_off)
        return caller

    def _send_on(
        self, request: Request, target: Target, identity: Identity, now: float, log: RequestLog
    ) -> dict[str, Any]:
        """State the identity, sign, and turn the event into the request that CloudFront sends to the function URL."""
        if identity.claims_omitted:
            log.facts["claims_omitted"] = True
        body_hash = payload_hash(request)
        stated = [("x-amz-content-sha256", body_hash), *identity.headers]
        # With "oac" CloudFront signs after this function, as the distribution, and covers the body by the hash stated here.
        if self._settings.signing == "sigv4":
            stated += sign(
                method=request.method,
                path=request.origin_path + target.path,
                query=target.query,
                headers=[("host", request.origin_domain), *stated],
                payload_hash=body_hash,
                credentials=self._credentials(),
                region=request.origin_region,
                service="lambda",
                now=now,
            )
        return request.send_on(target, self._host(request), stated)

    def _refuse(
        self, error: GatewayError, request: Request | None, configuration: Configuration | None, log: RequestLog
    ) -> dict[str, Any]:
        """Answer with the refusal, and log what only the operator may read."""
        log.facts |= {
            "code": error.code,
            "decision": "error" if error.status >= 500 else "refuse",
            "status": error.status,
        }
        if error.internal:
            log.facts["reason"] = error.internal[:MAX_REASON]
        if request is not None:
            with contextlib.suppress(Exception):  # an event too broken to be quoted is answered without quoting it (C6)
                cors = refusal_headers(configuration.policy.cors, request.header("origin")) if configuration else []
                host = self._host(request)
                return refuse(error, request, host=host, resource_metadata=self._metadata_url, cors=cors)
        return refuse(error, None, host="", resource_metadata=self._metadata_url, cors=[])

    def _host(self, request: Request) -> str:
        """Return what the viewer called this gateway."""
        return self._settings.domain_name or request.distribution_domain

    def _log_failure(self, what: str, error: UnavailableError, now: float) -> None:
        self._log(failed_refresh(what, f"{error.code}: {error.internal}", now))


def _place(error: Exception) -> str:
    """Return where an unexpected error arose, without its message, which could hold anything."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else "?"
