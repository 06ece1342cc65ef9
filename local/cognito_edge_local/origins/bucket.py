"""A bucket's own host on loopback, as far as CloudFront uses it: the signature, the bucket policy, then the object.

One ASGI application per bucket. The emulator stores the objects and the policy, but it evaluates no service principal and
admits loopback hosts alone. This door plays what S3 does between the internet and the object, as ``function_url.py`` does for
functions: only those whom the bucket's deployed policy lets in get an object. Callers get S3's words; the console gets the
reason.

Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-restricting-access-to-s3.html,
Amazon S3 API Reference, GetObject: without ``s3:ListBucket`` a missing key is 403, not 404.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes
from xml.sax.saxutils import escape

from botocore.exceptions import BotoCoreError, ClientError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cognito_edge_local.web import BodyError, read_body

from .iam import AccessRequest, Decision, evaluate
from .principals import Credential, CredentialDirectory, Statement, statements_of
from .sigv4 import SignatureRefusedError, show, verify
from .wire import WireRequest

_MAX_BODY_BYTES = 64 * 1024
"""No reader sends a body; only its hash is looked at."""
# GetObject's parameters, by the request header that each stands for.
_CONDITIONS = {
    b"if-match": "IfMatch",
    b"if-none-match": "IfNoneMatch",
    b"if-modified-since": "IfModifiedSince",
    b"if-unmodified-since": "IfUnmodifiedSince",
    b"range": "Range",
}
# Headers of the object that S3 gives back as they were stored, and those that it makes.
_STORED = (
    "accept-ranges",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-range",
    "content-type",
    "etag",
    "expires",
    "last-modified",
    "x-amz-server-side-encryption",
)
_DENIED = "Access Denied"


class _RefusedError(Exception):
    """An answer other than the object; ``why`` is for the console alone."""

    def __init__(self, status: int, code: str, message: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.code = code
        self.message = message
        self.why = why


@dataclass(kw_only=True)
class BucketDoor:
    """The door of one bucket, an ASGI application.

    Attributes:
        bucket: Its name.
        host: Its regional host, ``<bucket>.s3.<region>.amazonaws.com``.
        region: Of the scope that CloudFront signs for.
        account_id: The bucket owner's.
        s3: The emulator root's boto3 client (boto3 makes the classes at run time, hence Any); used in threads.
        credentials: The keys that are known.
        console: Takes what a developer should read; holds no secret.
        clock: Seconds since the epoch.
    """

    bucket: str
    host: str
    region: str
    account_id: str
    s3: Any
    credentials: CredentialDirectory
    console: Callable[[str], None]
    clock: Callable[[], float] = time.time

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request_id = uuid.uuid4().hex[:16].upper()
        try:
            answer = await self._serve(Request(scope, receive))
        except _RefusedError as refused:
            self.console(
                f"bucket {self.bucket}: {refused.status} {refused.code} {scope['method']} {show(scope['raw_path'])}\n"
                f"  {refused.why}"
            )
            answer = _error(refused, request_id)
        answer.headers.update({"x-amz-request-id": request_id, "server": "AmazonS3"})
        await answer(scope, receive, send)

    async def _serve(self, incoming: Request) -> Response:
        """Return the object.

        Steps:
            1. The request is for this bucket, and asks for an object.
            2. It is signed with a key that this door knows.
            3. The bucket's policy, as deployed, lets its signer read this key.
            4. The object is there. Only callers who may list the bucket learn that it is missing.
        """
        if incoming.headers.getlist("host") != [self.host]:  # (1)
            raise _RefusedError(404, "NoSuchBucket", "The specified bucket does not exist", f"Host must be {self.host}")
        if incoming.method not in {"GET", "HEAD"}:
            raise _RefusedError(
                405,
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
                "only objects are read here",
            )
        request = await _on_the_wire(incoming)
        credential = self._signed_by(request)  # (2)
        key = _key(request.path)
        statements = await asyncio.to_thread(self._policy)
        self._authorise(request, credential, statements, "s3:GetObject", f"/{key}")  # (3)
        try:
            return await asyncio.to_thread(self._object, request, key)  # (4)
        except self.s3.exceptions.NoSuchKey:
            may_list = self._decide(request, credential, statements, "s3:ListBucket", "")
            if not may_list.allowed:
                why = f"there is no object {show(key.encode())}; without s3:ListBucket on the bucket S3 does not say so"
                raise _RefusedError(403, "AccessDenied", _DENIED, why) from None
            raise _RefusedError(
                404, "NoSuchKey", "The specified key does not exist.", "there is no such object"
            ) from None

    # --- (2) signature ------------------------------------------------------------------------------------------------

    def _signed_by(self, request: WireRequest) -> Credential:
        if request.header(b"authorization") is None:
            why = "the request is not signed, and the bucket is not public"
            raise _RefusedError(403, "AccessDenied", _DENIED, why)
        try:
            caller = verify(request, lookup=self.credentials.lookup, region=self.region, service="s3", now=self.clock())
        except SignatureRefusedError as refused:
            raise _RefusedError(403, "SignatureDoesNotMatch", refused.message, refused.why) from refused
        return caller.credential

    # --- (3) policy ---------------------------------------------------------------------------------------------------

    def _policy(self) -> list[Statement]:
        try:
            return statements_of(self.s3.get_bucket_policy(Bucket=self.bucket)["Policy"])
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchBucketPolicy":
                return []
            raise _unreadable(error) from error
        except BotoCoreError as error:
            raise _unreadable(error) from error

    def _authorise(
        self, request: WireRequest, credential: Credential, statements: list[Statement], action: str, path: str
    ) -> None:
        decision = self._decide(request, credential, statements, action, path)
        if not decision.allowed:
            why = "\n  ".join([f"{credential.principal_arn}: {decision.reason}", *decision.notes])
            raise _RefusedError(403, "AccessDenied", _DENIED, why)

    def _decide(
        self, request: WireRequest, credential: Credential, statements: list[Statement], action: str, path: str
    ) -> Decision:
        is_service = credential.service is not None
        context: dict[str, str | None] = {
            "aws:SecureTransport": "true",  # the door stands for an HTTPS endpoint
            "aws:PrincipalIsAWSService": "true" if is_service else "false",
            "aws:PrincipalServiceName": credential.service,
            # A service says on whose behalf it calls, in headers that its signature covers.
            "aws:SourceArn": _text(request.header(b"x-amz-source-arn")) if is_service else None,
            "aws:SourceAccount": _text(request.header(b"x-amz-source-account")) if is_service else None,
            "aws:ResourceAccount": self.account_id,
            "aws:RequestedRegion": self.region,
        }
        return evaluate(
            AccessRequest(
                action=action,
                resource=f"arn:aws:s3:::{self.bucket}{path}",
                principal_arn=credential.principal_arn,
                role_arn=f"arn:aws:iam::{credential.account_id}:role/{credential.role_name}",
                account_id=credential.account_id,
                resource_account_id=self.account_id,
                context=context,
                service=credential.service,
            ),
            # Only what the bucket says of roles counts here: no caller but CloudFront comes by.
            identity=[],
            resource=statements,
        )

    # --- (4) object ---------------------------------------------------------------------------------------------------

    def _object(self, request: WireRequest, key: str) -> Response:
        wanted = {name: show(value) for header, name in _CONDITIONS.items() if (value := request.header(header))}
        try:
            answer = self.s3.get_object(Bucket=self.bucket, Key=key, **wanted)
        except ClientError as error:
            status = int(error.response["ResponseMetadata"]["HTTPStatusCode"])
            if status == 304:
                return Response(status_code=304, headers=_headers(error.response))
            if error.response["Error"]["Code"] in {"NoSuchKey", "404"}:
                raise
            code = str(error.response["Error"]["Code"])
            raise _RefusedError(status, code, str(error.response["Error"].get("Message")), str(error)) from error
        body = b"" if request.method == b"HEAD" else answer["Body"].read()
        return Response(body, int(answer["ResponseMetadata"]["HTTPStatusCode"]), _headers(answer))


async def _on_the_wire(request: Request) -> WireRequest:
    """Return a request as the bytes that its signature is about."""
    try:
        body = await read_body(request, _MAX_BODY_BYTES)
    except BodyError as error:
        message = "Your proposed upload exceeds the maximum allowed size"
        raise _RefusedError(400, "EntityTooLarge", message, str(error)) from error
    return WireRequest(
        method=request.method.encode("ascii"),
        path=request.scope["raw_path"],
        query=request.scope["query_string"],
        headers=tuple(request.headers.raw),
        body=body,
    )


def _headers(answer: Any) -> dict[str, str]:
    there: dict[str, str] = answer["ResponseMetadata"]["HTTPHeaders"]
    return {name: there[name] for name in _STORED if name in there}


def _key(path: bytes) -> str:
    """Return the key of a path.

    Raises:
        _RefusedError: It is not UTF-8, or has a control character (what S3 does with those is not documented, and no file of
            a site needs one); or it is the bucket itself, which is not listed here.
    """
    try:
        key = unquote_to_bytes(path.removeprefix(b"/")).decode()
    except UnicodeDecodeError:
        key = "\0"
    if any(ord(character) < 0x20 for character in key):
        raise _RefusedError(
            400, "InvalidURI", "Couldn't parse the specified URI.", "the path is not UTF-8, or has a control character"
        )
    if not key:
        raise _RefusedError(403, "AccessDenied", _DENIED, "the path names no object, and the bucket is not listed here")
    return key


def _text(value: bytes | None) -> str | None:
    return None if value is None else show(value)


def _unreadable(error: Exception) -> _RefusedError:
    # An outage is not a decision: neither access nor "denied".
    return _RefusedError(
        500,
        "InternalError",
        "We encountered an internal error. Please try again.",
        f"the bucket's policy could not be read: {error}",
    )


def _error(refused: _RefusedError, request_id: str) -> Response:
    document = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{escape(refused.code)}</Code><Message>{escape(refused.message)}</Message>"
        f"<RequestId>{request_id}</RequestId></Error>"
    )
    return Response(document, refused.status, media_type="application/xml")
