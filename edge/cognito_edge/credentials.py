"""What Lambda puts into the environment: the execution role's credentials, and, on a laptop, other endpoints."""

import os

from .errors import CredentialsUnavailableError
from .fetch import Endpoint, parse_endpoint
from .sigv4 import Credentials


def credentials_from_environment() -> Credentials:
    """Return the execution role's credentials as they are now.

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


def endpoint_of(service: str, host: str) -> Endpoint:
    """Return a service's endpoint. The SDKs' own environment variables name another one (contract C4).

    Args:
        service: As in ``AWS_ENDPOINT_URL_<service>``.
        host: The service's real host.

    Raises:
        FetchError: The variable holds no acceptable URL.
    """
    url = os.environ.get(f"AWS_ENDPOINT_URL_{service}") or os.environ.get("AWS_ENDPOINT_URL")
    return parse_endpoint(url or f"https://{host}")
