"""The two questions that the edge asks: SSM for its parameters, Cognito for a pool's keys  shell."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping

from .errors import ConfigurationUnavailableError, CredentialsUnavailableError, KeysUnavailableError
from .fetch import Call, Client, Endpoint, FetchError, Pending, parse_endpoint
from .jwks import JwksError, KeySet, load_crypto, parse_jwks
from .parameters import NAMES, Configuration, ParametersError, Pool, parse_parameters
from .settings import Settings
from .sigv4 import Credentials, canonical_headers, sign
from .strict_json import StrictJsonError, parse_object


def credentials_from_environment() -> Credentials:
    """Read the execution role's credentials, which Lambda puts into the environment.

    Raises:
        CredentialsUnavailableError: They are not there.
    """
    access_key_id = os.environ.get("AWS_ACCESS_KEY_ID")
    secret_access_key = os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not access_key_id or not secret_access_key:
        raise CredentialsUnavailableError(
            "The gateway has no credentials to sign with.",
            internal="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both in the environment",
        )
    return Credentials(access_key_id, secret_access_key, os.environ.get("AWS_SESSION_TOKEN") or None)


class KeptCredentials:
    """The same for every request, read again as soon as the environment says anything else; a class because it remembers."""

    def __init__(self) -> None:
        # What the environment said, and what that made: one pair, so that threads never see half of a change.
        self._kept: tuple[tuple[bytes | None, ...], Credentials] | None = None

    def __call__(self) -> Credentials:
        """Return the credentials as they are now.

        Raises:
            CredentialsUnavailableError: They are not there.
        """
        get = os.environb.get  # a third of the time of `os.environ`
        read = (get(b"AWS_ACCESS_KEY_ID"), get(b"AWS_SECRET_ACCESS_KEY"), get(b"AWS_SESSION_TOKEN"))
        kept = self._kept
        if kept is None or kept[0] != read:
            kept = self._kept = (read, credentials_from_environment())
        return kept[1]


def endpoint(service: str, host: str) -> Endpoint:
    """Return a service's endpoint; the SDKs' own environment variables name another one.

    Args:
        service: As in ``AWS_ENDPOINT_URL_<service>``.
        host: The service's real host.

    Raises:
        FetchError: The variable holds no acceptable URL.
    """
    url = os.environ.get(f"AWS_ENDPOINT_URL_{service}") or os.environ.get("AWS_ENDPOINT_URL")
    return parse_endpoint(url or f"https://{host}")


class ParameterSource:
    """Reads the configuration by one ``GetParameters`` call; remembers the last, so that it is parsed once a version."""

    def __init__(
        self, client: Client, settings: Settings, meanwhile: Callable[[float], None] = lambda _now: load_crypto()
    ) -> None:
        """Remember how to ask.

        Args:
            client: Asks.
            settings: Where the parameters are.
            meanwhile: What a cold start has to do anyway, and can do while the first answer is on its way; told the time.
        """
        self._client = client
        self._settings = settings
        self._meanwhile = meanwhile
        self._last: Configuration | None = None

    def load(self, now: float) -> Configuration:
        """Read and parse the parameters.

        Args:
            now: Seconds since the epoch, for the signature.

        Raises:
            ConfigurationUnavailableError: They could not be read, or are broken.
            CredentialsUnavailableError: There is nothing to sign the call with.
        """
        credentials = credentials_from_environment()
        try:
            pending = self._start(credentials, now)
            if self._last is None:
                self._meanwhile(now)
            answer = pending.result()
            values = self._values(answer.status, answer.body)
            if self._last is None or self._last.source != values:
                self._last = parse_parameters(values, policy_required=self._settings.policy_required)
        except (FetchError, ParametersError) as error:
            raise ConfigurationUnavailableError(
                "The gateway cannot read its configuration right now. Nothing is wrong with your request; try again.",
                internal=f"parameters below {self._settings.parameter_prefix}: {error}",
            ) from error
        return self._last

    def _start(self, credentials: Credentials, now: float) -> Pending:
        region = self._settings.parameter_region
        server = endpoint("SSM", f"ssm.{region}.amazonaws.com")
        names = [f"{self._settings.parameter_prefix}/{name}" for name in NAMES]
        body = json.dumps({"Names": names, "WithDecryption": False}).encode()
        content_type, target = (
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "AmazonSSM.GetParameters"),
        )
        signature = sign(
            method="POST",
            path=server.path + "/",
            query="",
            headers=canonical_headers([content_type, ("host", server.authority)]),
            last=canonical_headers([target]),
            payload_hash=hashlib.sha256(body).hexdigest(),
            credentials=credentials,
            region=region,
            service="ssm",
            now=now,
        )
        return self._client.start(Call(server, "POST", "/", dict([content_type, target, *signature]), body))

    def _values(self, status: int, body: bytes) -> Mapping[str, str]:
        """Return the parameters that exist, by name without prefix."""
        try:
            document = parse_object(body)
        except StrictJsonError as error:
            raise FetchError(f"GetParameters answered {status} with what is {error}") from error
        if status != 200:
            # "__type" names the error: ThrottlingException, AccessDeniedException, …
            kind = str(document.get("__type", "")).rpartition("#")[2][:80]
            raise FetchError(f"GetParameters answered {status} {kind}")
        parameters = document.get("Parameters")
        if not isinstance(parameters, list):
            raise FetchError("GetParameters answered without a list of parameters")
        prefix = self._settings.parameter_prefix + "/"
        values = {}
        for parameter in parameters:
            name, value = (parameter.get(key) for key in ("Name", "Value")) if isinstance(parameter, dict) else ("", "")
            if isinstance(name, str) and isinstance(value, str) and name.startswith(prefix):
                values[name.removeprefix(prefix)] = value
        return values


def _key_server(host: str) -> Endpoint:
    return endpoint("COGNITO_IDENTITY_PROVIDER", host)


def _key_call(server: Endpoint, pool_id: str) -> Call:
    return Call(server, "GET", f"/{pool_id}/.well-known/jwks.json", {"Accept": "application/json"})


def _original_host(region: str) -> str:
    return f"cognito-idp.{region}.amazonaws.com"


def _key_hosts(pool: Pool, issuer: str) -> tuple[str, ...]:
    """Return who publishes the pool's keys: the token's own issuer, then Cognito by each of its names.

    "Updated issuers host the same JWKS content in multiple Regions": such a pool's keys are to be had when its own region
    is not.
    """
    original = _original_host(pool.region)
    return (issuer.partition("://")[2].partition("/")[0], original, f"issuer-{original}")


def _keys_of(pending: Pending) -> KeySet:
    answer = pending.result()
    if answer.status != 200:
        raise FetchError(f"the key endpoint answered {answer.status}")
    return parse_jwks(answer.body)


class KeySource:
    """Reads a pool's key set."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._early: tuple[str, float, Pending] | None = None

    def prepare(self, settings: Settings, now: float) -> None:
        """Do what the first reading will need: ask already, or at least connect, and import the dearest module.

        Args:
            settings: Which pool is expected.
            now: Seconds since the epoch.
        """
        expected = settings.expected_user_pool_id
        with contextlib.suppress(FetchError):
            if expected is not None:
                server = _key_server(_original_host(expected.partition("_")[0]))
                self._early = (expected, now, self._client.start(_key_call(server, expected)))
            else:  # the pool is most likely where the parameters are
                self._client.open(_key_server(_original_host(settings.parameter_region)))
        load_crypto()

    def load(self, pool: Pool, issuer: str, now: float, deadline: float) -> KeySet:
        """Read the pool's JWKS.

        Args:
            pool: Whose.
            issuer: The spelling of the pool's issuer that the token has: its host is asked first.
            now: Seconds since the epoch.
            deadline: When the request has to be over, on the clock of ``time.monotonic``.

        Raises:
            KeysUnavailableError: It could not be read, or has no usable key.
        """
        early, self._early = self._early, None
        # For the request that asked: any later one would take an answer of long ago for today's keys.
        if early is not None and early[:2] == (pool.pool_id, now):
            with contextlib.suppress(FetchError, JwksError):  # asked too early: it is asked again
                return _keys_of(early[2])
        asked: dict[Endpoint | str, str] = {}
        for host in _key_hosts(pool, issuer):
            server: Endpoint | str = host
            try:
                server = _key_server(host)
                if server not in asked:
                    return _keys_of(self._client.start(_key_call(server, pool.pool_id), deadline))
            except (FetchError, JwksError) as error:
                asked[server] = str(error)
        raise KeysUnavailableError(
            "The gateway cannot read the user pool's signing keys right now. Nothing is known to be wrong with your token; "
            "try again.",
            internal=f"keys of {pool.pool_id}: {'; '.join(asked.values())}",
        )
