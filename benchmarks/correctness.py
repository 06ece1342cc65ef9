"""Whether a contestant's answer is right, asked before anything is timed: botocore signs the wire form once more."""

import datetime as dt
import hashlib
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from .material import CREDENTIALS, REGION

_CREDENTIALS = ReadOnlyCredentials(*CREDENTIALS.values())
# What Lambda insists on being covered.
_SIGNED = {"host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"}


class WrongAnswerError(Exception):
    """A contestant does not do what it is measured for."""


def check_forwarded(request: dict[str, Any], sent: dict[str, Any], body: bytes) -> None:
    """Check a request that CloudFront would send on.

    Raises:
        WrongAnswerError: The function URL would refuse it, or would get another request than the viewer's.
    """
    if "status" in request:
        raise WrongAnswerError(f"refused a good token: {request}")
    for name in ("method", "uri", "querystring", "origin"):
        _same(name, request[name], sent[name])
    if request["body"]["action"] != "read-only" or request["body"]["data"] not in ("", sent["body"]["data"]):
        raise WrongAnswerError(
            "changed the body"
        )  # read-only: CloudFront sends the viewer's own on, whatever stands here
    headers = {name: items[0]["value"] for name, items in request["headers"].items()}
    _same("x-amz-content-sha256", headers["x-amz-content-sha256"], hashlib.sha256(body).hexdigest())
    _same("security token", headers["x-amz-security-token"], _CREDENTIALS.token)
    stamp = dt.datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%S%z")
    if abs((dt.datetime.now(dt.UTC) - stamp).total_seconds()) > 300:
        raise WrongAnswerError(f"signed at {stamp}")
    authorization = headers["authorization"]
    names = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    if not _SIGNED.issubset(names):
        raise WrongAnswerError(f"signed {names}")
    _same("authorization", authorization, _signed_by_botocore(request, headers, names, body))


def check_refused(name: str, result: dict[str, Any]) -> None:
    """Check the answer to a token that is no good.

    Raises:
        WrongAnswerError: It was let through.
    """
    if str(result.get("status")) != "401":
        raise WrongAnswerError(f"let through a token that is {name}")


def _signed_by_botocore(request: dict[str, Any], headers: dict[str, str], names: list[str], body: bytes) -> str:
    url = f"https://{headers['host']}{request['uri']}"
    if request["querystring"]:
        url += f"?{request['querystring']}"
    again = AWSRequest(request["method"], url, {name: headers[name] for name in names}, body)
    again.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(_CREDENTIALS, "lambda", REGION)
    to_sign = signer.string_to_sign(again, signer.canonical_request(again))
    scope = f"{headers['x-amz-date'][:8]}/{REGION}/lambda/aws4_request"
    return (
        f"AWS4-HMAC-SHA256 Credential={_CREDENTIALS.access_key}/{scope}, SignedHeaders={';'.join(names)}, "
        f"Signature={signer.signature(to_sign, again)}"
    )


def _same(what: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise WrongAnswerError(f"{what}: expected {expected!r}, found {actual!r}")
