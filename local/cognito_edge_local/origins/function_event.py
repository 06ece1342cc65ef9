"""Lambda's side of a function URL: the payload-2.0 event from a request, and the HTTP answer from a function's payload.

Source: Lambda Developer Guide, "Invoking Lambda function URLs" (request and response payload format); a live capture of
2026-07-10 (hotsock/voker, ``vokerhttp/testdata/functionurl-request.json``) and AWS_IAM captures (aws/serverless-java-container
issue 780 and a public test fixture of an OAC request). Where the guide says "null or excluded", the captures exclude.
"""

import base64
import binascii
import json
import re
import secrets
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from .principals import Credential
from .wire import WireRequest

MAX_EVENT_BYTES = 6_291_456
"""Invoke's payload limit for synchronous calls, 6 MB; it counts the event's JSON, so that a binary body may have about
4.5 MB (Lambda quotas; the message of a larger one: "Request must be smaller than 6291456 bytes …")."""
MAX_ANSWER_BYTES = 6_291_556
"""The limit of a function's answer as Lambda's runtime states it: "Exceeded maximum allowed payload size (6291556
bytes)."."""

_TEXT_TYPES = frozenset({"application/json", "application/xml", "application/javascript"})
"""Content types besides ``text/*`` whose body comes as text. AWS does not list them; seen on AWS for payload 2.0, where
even ``application/x-www-form-urlencoded`` and a missing type are base64 (ministackorg/ministack pull request 766)."""

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"expect",
    }
)
_NOT_IN_EVENT = _HOP_BY_HOP | {b"authorization"}
"""Headers that end at the door. Events of AWS_IAM URLs have no ``authorization``, but do have ``x-amz-security-token``."""

_REMAPPED = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "server",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
        "x-amzn-requestid",
        "x-amzn-trace-id",
    }
)
"""Answer headers that a function URL sends on as ``x-amzn-Remapped-…`` (``www-authenticate`` among them: public reports
about MCP servers on function URLs; the whole list is not documented)."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FORBIDDEN_IN_VALUE = re.compile(r"[\r\n\0]")
_BODILESS = frozenset({204, 304})


class InvalidAnswerError(Exception):
    """A function URL cannot send the function's payload as an answer; the message says why."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An HTTP response.

    Attributes:
        status: 200 to 599.
        headers: In order; ``content-length`` is not among them.
        body: The bytes to send; empty where the status allows none.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


# --- request ----------------------------------------------------------------------------------------------------------


def build_event(
    request: WireRequest,
    *,
    url_host: str,
    account_id: str,
    credential: Credential,
    source_ip: str,
    request_id: str,
    trace_id: str,
    now: float,
) -> dict[str, Any]:
    """Return the payload-2.0 event of a request that was admitted.

    Args:
        request: What was on the wire.
        url_host: ``<url-id>.lambda-url.<region>.on.aws``.
        account_id: The function owner's.
        credential: Who signed.
        source_ip: The address of the immediate connection (CloudFront's, not the viewer's).
        request_id: The invocation's.
        trace_id: What goes into ``x-amzn-trace-id``.
        now: Seconds since the epoch.
    """
    url_id = url_host.partition(".")[0]
    headers = _event_headers(request, url_host, source_ip, trace_id)
    body, is_base64 = _event_body(request)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path.decode("latin-1"),
        "rawQueryString": request.query.decode("latin-1"),
        "headers": headers,
        "requestContext": {
            "accountId": account_id,
            "apiId": url_id,
            "authorizer": {
                "iam": {
                    "accessKey": credential.access_key_id,
                    "accountId": credential.account_id,
                    "callerId": credential.user_id,
                    "cognitoIdentity": None,
                    "principalOrgId": None,
                    "userArn": credential.principal_arn,
                    "userId": credential.user_id,
                }
            },
            "domainName": url_host,
            "domainPrefix": url_id,
            "http": {
                "method": request.method.decode("latin-1"),
                "path": unquote(request.path.decode("latin-1")),
                "protocol": "HTTP/1.1",
                "sourceIp": source_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": _clf_time(now),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": is_base64,
    }
    crumbs = (crumb.strip() for value in request.values(b"cookie") for crumb in _text(value).split(";"))
    cookies = [crumb for crumb in crumbs if crumb]
    if cookies:
        event["cookies"] = cookies
    if request.query:
        event["queryStringParameters"] = _query_parameters(request.query)
    if body is not None:
        event["body"] = body
    return event


def new_trace_id(request: WireRequest, now: float) -> str:
    """Return the trace header's value; what the caller sent stays, with a ``Self`` of Lambda's own before it."""
    own = f"1-{int(now):08x}-{secrets.token_hex(12)}"
    sent = request.header(b"x-amzn-trace-id")
    return f"Root={own}" if sent is None else f"Self={own};{_text(sent)}"


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _event_headers(request: WireRequest, url_host: str, source_ip: str, trace_id: str) -> dict[str, str]:
    headers = {_text(name): _text(request.header(name) or b"") for name in request.names() if name not in _NOT_IN_EVENT}
    # Lambda does not append CloudFront's address (an OAC capture shows the viewer's alone). One report says that it keeps the
    # first address of a list and no more; docs/headers.md says what to read in its place.
    return headers | {
        "host": url_host,
        "x-amzn-tls-cipher-suite": "TLS_AES_128_GCM_SHA256",
        "x-amzn-tls-version": "TLSv1.3",
        "x-amzn-trace-id": trace_id,
        "x-forwarded-for": headers.get("x-forwarded-for") or source_ip,
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    }


def _event_body(request: WireRequest) -> tuple[str | None, bool]:
    """Return the event's body and ``isBase64Encoded``; text only where the type says so and the bytes agree."""
    if not request.body:
        return None, False
    content_type = _text(request.header(b"content-type") or b"").partition(";")[0].strip().lower()
    if content_type.startswith("text/") or content_type in _TEXT_TYPES:
        try:
            return request.body.decode(), False
        except UnicodeDecodeError:
            # What AWS does with such a body is not documented; base64 at least loses nothing.
            pass
    return base64.b64encode(request.body).decode("ascii"), True


def _query_parameters(query: bytes) -> dict[str, str]:
    """Return the decoded parameters; ``+`` is a space, and repeated names are joined with commas."""
    joined: dict[str, list[str]] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        joined.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in joined.items()}


def _clf_time(now: float) -> str:
    """Return ``10/Jul/2026:19:19:06 +0000``; month names written out, since ``%b`` follows the locale.

    >>> _clf_time(1783711146.671)
    '10/Jul/2026:19:19:06 +0000'
    """
    at = time.gmtime(now)
    clock = time.strftime("%Y:%H:%M:%S +0000", at)
    return f"{at.tm_mday:02d}/{_MONTHS[at.tm_mon - 1]}/{clock}"


# --- answer -----------------------------------------------------------------------------------------------------------


def http_answer(payload: bytes) -> HttpAnswer:
    """Return the HTTP response that a function's payload stands for.

    A payload without ``statusCode`` is the body of a 200 of type ``application/json``, as it is.

    Args:
        payload: What the function returned, JSON.

    Raises:
        InvalidAnswerError: It is not JSON, or one of its parts is not of the documented form.
    """
    if len(payload) > MAX_ANSWER_BYTES:
        raise InvalidAnswerError(f"the answer has {len(payload)} bytes, Lambda allows {MAX_ANSWER_BYTES}")
    try:
        answer = json.loads(payload)
    except ValueError as error:
        raise InvalidAnswerError(f"the answer is not JSON: {error}") from error
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return HttpAnswer(status=200, headers=((b"content-type", b"application/json"),), body=payload)
    status = answer["statusCode"]
    # "The valid statusCode are within the range of 100 to 599"; 1xx cannot end a request.
    if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 599:
        raise InvalidAnswerError(f"statusCode must be an integer from 200 to 599, not {status!r}")
    headers = _answer_headers(answer.get("headers"))
    cookies = answer.get("cookies")
    if cookies is not None:
        if not isinstance(cookies, list):
            raise InvalidAnswerError("cookies must be a list of strings")
        headers += [(b"set-cookie", _value("cookies", cookie)) for cookie in cookies]
    body = _answer_body(answer)
    return HttpAnswer(status=status, headers=tuple(headers), body=b"" if status in _BODILESS else body)


def _answer_headers(headers: Any) -> list[tuple[bytes, bytes]]:
    if headers is None:
        headers = {}
    if not isinstance(headers, dict):
        raise InvalidAnswerError("headers must be an object of strings (payload 2.0 has no lists of values)")
    found: list[tuple[bytes, bytes]] = []
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise InvalidAnswerError(f"{name!r} is not a header name")
        sent_name = f"x-amzn-Remapped-{name}" if name.lower() in _REMAPPED else name
        found.append((sent_name.encode(), _value(f"header {name}", value)))
    if not any(name.lower() == b"content-type" for name, _ in found):
        found.append((b"content-type", b"application/json"))
    return found


def _value(what: str, value: Any) -> bytes:
    if isinstance(value, bool | int | float):
        value = json.dumps(value)
    if not isinstance(value, str):
        raise InvalidAnswerError(f"{what}: a value must be a string, not {type(value).__name__}")
    # A line break in a value would let the function's data write headers of its own.
    if _FORBIDDEN_IN_VALUE.search(value):
        raise InvalidAnswerError(f"{what}: a value holds a line break or a NUL")
    return value.encode()


def _answer_body(answer: dict[str, Any]) -> bytes:
    body = answer.get("body")
    is_base64 = answer.get("isBase64Encoded") or False
    if not isinstance(is_base64, bool):
        raise InvalidAnswerError("isBase64Encoded must be true or false")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise InvalidAnswerError(f"body must be a string, not {type(body).__name__}: serialise it in the function")
    if not is_base64:
        return body.encode(errors="replace")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidAnswerError(f"isBase64Encoded is true and body is not base64: {error}") from error
