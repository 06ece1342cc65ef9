"""Lambda's entry: CloudFront's origin-request event in, a signed request or a refusal out."""

import time
from typing import Any, NoReturn

from .credentials import credentials_from_environment
from .errors import ConfigurationUnavailableError
from .fetch import Client
from .gateway import Gateway
from .key_source import KeySource
from .parameter_source import ParameterSource
from .settings import Settings, parse_settings
from .strict_json import parse_object

# Beside the package. Without pathlib, which is a tenth of a cold start.
SETTINGS_FILE = __file__.rpartition("/")[0].rpartition("/")[0] + "/settings.json"


def build(settings_file: str) -> Gateway:
    """Build the gateway of one runtime environment. Reads one file and nothing else; never raises.

    Args:
        settings_file: ``settings.json`` of the bundle. A broken one makes every request a 503 that the log explains.
    """
    try:
        with open(settings_file, "rb") as file:  # noqa: PTH123  see SETTINGS_FILE
            settings = parse_settings(parse_object(file.read()), unknown_keys=True)
    except (OSError, ValueError) as error:
        return _out_of_order(f"settings.json: {error}")
    # SSM and Cognito share one TLS context, and the limits on time and bytes.
    client = Client(timeout_s=settings.attempt_timeout_s, max_answer_bytes=settings.max_answer_bytes)
    keys = KeySource(client)
    parameters = ParameterSource(client, settings, meanwhile=lambda now: keys.prefetch(settings, now))
    return Gateway(
        settings,
        load_configuration=parameters.load,
        load_keys=keys.load,
        credentials=credentials_from_environment,
    )


def _out_of_order(fault: str) -> Gateway:
    """Build a gateway that answers every request with 503, and says why in the log."""

    def load(*_: object) -> NoReturn:
        raise ConfigurationUnavailableError("The gateway is not set up correctly.", internal=fault)

    settings = Settings(parameter_prefix="/none", parameter_region="none")
    return Gateway(settings, load_configuration=load, load_keys=load, credentials=credentials_from_environment)


_gateway = build(SETTINGS_FILE)


def handler(event: Any, context: object) -> dict[str, Any]:  # noqa: ARG001  Lambda passes both
    """Answer one origin-request event.

    Args:
        event: See ``cloudfront.py``.
        context: Lambda's; nothing in it is needed.

    Returns:
        The event's request, changed, or a generated response. It never raises.
    """
    return _gateway.handle(event, time.time())
