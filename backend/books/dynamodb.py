"""DynamoDB's JSON protocol over one kept connection, signed with SigV4, with the standard library alone.

Not boto3: AWS changes the version in Lambda's runtime at any time, importing it takes ten times as long as this whole
function, and a locked one would add 31 MB to the bundle. Four operations on one table need no more than this module.
``tests/backend/test_books_store.py`` compares the signature with botocore's.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html
"""

import hashlib
import hmac
import http.client
import json
import os
import random
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

Item = dict[str, Any]
"""An item in DynamoDB's own form, ``{"title": {"S": "…"}}``."""

_ATTEMPTS = 4
_ATTEMPT_TIMEOUT_S = 2.0
# For all attempts together; well below the function's own timeout of 15 s.
_DEADLINE_S = 6.0
_FIRST_PAUSE_S = 0.05
_MAX_ANSWER_BYTES = 4 * 1024 * 1024  # a page of a query has at most 1 MB, which JSON makes longer

# The errors of which the reference says "You can resubmit your original request".
# Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
_RETRIED = frozenset(
    {
        "InternalServerError",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ThrottlingException",
    }
)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class StoreError(Exception):
    """DynamoDB refused, or did not answer; the text is for the log. A write may have happened all the same."""


class ConditionFailedError(Exception):
    """The condition of a write does not hold.

    Attributes:
        item: The item as it is; None if it does not exist.
        retried: Whether an earlier attempt of the same write had no answer, and may have changed the item.
    """

    def __init__(self, item: Item | None, *, retried: bool) -> None:
        super().__init__("the condition of a write does not hold")
        self.item = item
        self.retried = retried


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials of the function's role; ``repr`` hides the secrets."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False)

    @classmethod
    def from_environment(cls) -> "Credentials":
        """Read them from Lambda's variables, which may have changed while the environment was frozen."""
        environment = os.environ
        return cls(
            environment["AWS_ACCESS_KEY_ID"],
            environment["AWS_SECRET_ACCESS_KEY"],
            environment.get("AWS_SESSION_TOKEN") or None,
        )


class Client:
    """One connection to DynamoDB in one region, kept from invocation to invocation."""

    def __init__(
        self,
        endpoint: str,
        region: str,
        *,
        credentials: Callable[[], Credentials] = Credentials.from_environment,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open nothing yet.

        Args:
            endpoint: Such as ``https://dynamodb.eu-west-1.amazonaws.com``; plain HTTP for loopback hosts only.
            region: The table's region.
            credentials: Called for every attempt.
            clock: Returns seconds since the epoch; called for every attempt, because signatures expire.
            sleep: Waits between attempts, for a number of seconds.

        Raises:
            ValueError: The endpoint would carry credentials in the clear.
        """
        parts = urlsplit(endpoint)
        if not parts.hostname or not (
            parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        ):
            raise ValueError(f"DynamoDB endpoint {endpoint}: expected https, or plain http on this machine")
        self._host = parts.netloc
        self._region = region
        self._credentials = credentials
        self._clock = clock
        self._sleep = sleep
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._connection: http.client.HTTPConnection | None = None

    @classmethod
    def from_environment(cls) -> "Client":
        """Return a client of the function's own region, or of the endpoint that the SDKs' variables name."""
        region = os.environ["AWS_REGION"]
        endpoint = os.environ.get("AWS_ENDPOINT_URL_DYNAMODB") or os.environ.get("AWS_ENDPOINT_URL")
        return cls(endpoint or f"https://dynamodb.{region}.amazonaws.com", region)

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Do one operation, and repeat it where that is safe.

        Args:
            operation: Such as ``PutItem``.
            request: Its parameters.

        Returns:
            DynamoDB's answer.

        Raises:
            ConditionFailedError: The request's condition does not hold.
            StoreError: DynamoDB refused, or all attempts failed.
        """
        body = json.dumps(request, separators=(",", ":")).encode()
        give_up = self._clock() + _DEADLINE_S
        unanswered = False
        reason = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                # Full jitter: clients that were throttled together must not come back together.
                self._sleep(random.uniform(0, _FIRST_PAUSE_S * 2**attempt))  # noqa: S311 - a pause, no secret
                if self._clock() > give_up:
                    break
            try:
                status, document = self._exchange(operation, body)
            except (OSError, http.client.HTTPException, ValueError) as error:
                # Among others, a connection that the other side closed while the function was frozen.
                self.close()
                unanswered = True
                reason = f"{type(error).__name__}: {error}"
                continue
            if status == 200:
                return document
            code = str(document.get("__type", "")).rpartition("#")[2]
            if code == "ConditionalCheckFailedException":
                raise ConditionFailedError(document.get("Item"), retried=unanswered)
            reason = f"{status} {code}: {document.get('message') or document.get('Message') or ''}"
            if status < 500 and code not in _RETRIED:
                break
            # A server may fail after it has written.
            unanswered = unanswered or status >= 500
        raise StoreError(f"{operation}: {reason}")

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, timeout=_ATTEMPT_TIMEOUT_S)
        return http.client.HTTPSConnection(self._host, timeout=_ATTEMPT_TIMEOUT_S, context=self._tls)

    def _exchange(self, operation: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if self._connection is None:
            self._connection = self._connect()
        headers = signed_headers(
            operation, body, host=self._host, region=self._region, credentials=self._credentials(), now=self._clock()
        )
        self._connection.request("POST", "/", body, headers)
        answer = self._connection.getresponse()
        content = answer.read(_MAX_ANSWER_BYTES + 1)
        if len(content) > _MAX_ANSWER_BYTES:
            raise ValueError(f"an answer of more than {_MAX_ANSWER_BYTES} bytes")
        document = json.loads(content) if content else {}
        if not isinstance(document, dict):
            raise ValueError("an answer that is no JSON object")  # noqa: TRY004 - handled like broken JSON
        return answer.status, document


def signed_headers(
    operation: str, body: bytes, *, host: str, region: str, credentials: Credentials, now: float
) -> dict[str, str]:
    """Return the headers of ``POST /``, signature included.

    Args:
        operation: Such as ``PutItem``.
        body: The request as JSON.
        host: The endpoint's host, with the port if it is not the scheme's default.
        region: The endpoint's region.
        credentials: The role's.
        now: Seconds since the epoch.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    amz_date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "host": host,
        "x-amz-date": amz_date,
        "x-amz-target": f"DynamoDB_20120810.{operation}",
    }
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(headers))
    lines = [f"{name}:{headers[name]}" for name in sorted(headers)]
    canonical = "\n".join(["POST", "/", "", *lines, "", names, hashlib.sha256(body).hexdigest()])
    scope = f"{amz_date[:8]}/{region}/dynamodb/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = b"AWS4" + credentials.secret_access_key.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, f"AWS4-HMAC-SHA256\n{amz_date}\n{scope}\n{digest}".encode(), "sha256").hex()
    credential = f"{credentials.access_key_id}/{scope}"
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return headers
