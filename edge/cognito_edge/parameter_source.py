"""Reads the three SSM parameters by one signed ``GetParameters`` call (contract C5)."""

import hashlib
import json
from collections.abc import Callable, Mapping

from .credentials import credentials_from_environment, endpoint_of
from .errors import ConfigurationUnavailableError
from .fetch import Call, Client, Exchange, FetchError
from .jwks import load_crypto
from .parameters import NAMES, Configuration, ParametersError, parse_parameters
from .settings import Settings
from .sigv4 import Credentials, sign
from .strict_json import StrictJsonError, parse_object


class ParameterSource:
    """Reads the configuration, and parses each version of the parameters once."""

    def __init__(
        self, client: Client, settings: Settings, meanwhile: Callable[[float], None] = lambda _now: load_crypto()
    ) -> None:
        """Remember how to ask.

        Args:
            client: Asks.
            settings: Where the parameters are.
            meanwhile: What a cold start can do while the first answer is on its way. It gets the time.
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
            CredentialsUnavailableError: The environment has no credentials to sign the call with.
        """
        credentials = credentials_from_environment()
        try:
            exchange = self._start(credentials, now)
            if self._last is None:
                self._meanwhile(now)
            answer = exchange.result()
            values = self._values(answer.status, answer.body)
            if self._last is None or self._last.source != values:
                self._last = parse_parameters(values, policy_required=self._settings.policy_required)
        except (FetchError, ParametersError) as error:
            raise ConfigurationUnavailableError(
                "The gateway cannot read its configuration right now. Nothing is wrong with your request; try again.",
                internal=f"parameters below {self._settings.parameter_prefix}: {error}",
            ) from error
        return self._last

    def _start(self, credentials: Credentials, now: float) -> Exchange:
        region = self._settings.parameter_region
        server = endpoint_of("SSM", f"ssm.{region}.amazonaws.com")
        names = [f"{self._settings.parameter_prefix}/{name}" for name in NAMES]
        body = json.dumps({"Names": names, "WithDecryption": False}).encode()
        headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "AmazonSSM.GetParameters")]
        signature = sign(
            method="POST",
            path=server.path + "/",
            query="",
            headers=[("host", server.authority), *headers],
            payload_hash=hashlib.sha256(body).hexdigest(),
            credentials=credentials,
            region=region,
            service="ssm",
            now=now,
        )
        return self._client.start(Call(server, "POST", "/", dict([*headers, *signature]), body))

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
