"""A bucket's own host on loopback, as far as CloudFront uses it: the signature, the bucket policy, then the object.

One ASGI application per bucket. The emulator stores the objects and the policy; it evaluates no service principal and
admits no Host but loopback, so what S3 does between the internet and the object is played here, as `function_url.py`
plays it for functions: nobody gets an object whom the bucket's deployed policy does not let in. Callers get S3's words;
the console gets the reason.

Source: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-restricting-access-to-s3.html,
Amazon S3 API Reference, GetObject: without `s3:ListBucket` a missing key is 403, not 404.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes
from xml.sax.saxutils import escape

from botocore.exceptions import BotoCoreError, ClientError

from .iam import AccessRequest, Decision, evaluate
from .principals import Credential, CredentialDirectory, Statement, statements_of
from .sigv4 import SignatureRefusedError, show, verify
from .wire import WireRequest

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

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


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: tuple[Header, ...]
    body: bytes = b""


class _RefusedError(Exception):
    """Not the object; `why` is for the console alone."""

    def __init__(self, status: int, code: str, message: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.code = code
        self.message = message
        self.why = why


class BucketDoor:
    """The door of one bucket, an ASGI application. A class because ASGI calls it once for each request."""

    def __init__(
        self,
        *,
        bucket: str,
        host: str,
        region: str,
        account_id: str,
        s3: Any,
        credentials: CredentialDirectory,
        console: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Describe the bucket; nothing is opened.

        Args:
            bucket: Its name.
            host: Its regional host, `<bucket>.s3.<region>.amazonaws.com`.
            region: Of the scope that CloudFront signs for.
            account_id: The bucket owner's.
            s3: The emulator root's boto3 client (boto3 makes the classes at run time, hence Any); used in threads.
            credentials: Whose keys are known.
            console: Takes what a developer should read; holds no secret.
            clock: Seconds since the epoch.
        """
        self._bucket = bucket
        self._host = host
        self._region = region
        self._account_id = account_id
        self._s3 = s3
        self._credentials = credentials
        self._console = console
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        request = WireRequest(
            method=scope["method"].encode("ascii"),
            path=scope["raw_path"],
            query=scope["query_string"],
            headers=tuple((bytes(name), bytes(value)) for name, value in scope["headers"]),
            body=await _body(receive),
        )
        request_id = uuid.uuid4().hex[:16].upper()
        try:
            answer = await self._serve(request)
        except _RefusedError as refused:
            self._console(
                f"bucket {self._bucket}: {refused.status} {refused.code} {scope['method']} {show(request.path)}\n"
                f"  {refused.why}"
            )
            answer = _error(refused, request_id)
        headers = [*answer.headers, (b"x-amz-request-id", request_id.encode()), (b"server", b"AmazonS3")]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        body = b"" if request.method == b"HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})

    async def _serve(self, request: WireRequest) -> _Answer:
        """Return the object.

        Steps:
            1. The request is for this bucket, and asks for an object.
            2. It is signed, by somebody whom this door knows.
            3. The bucket's policy, as deployed, lets them read this key.
            4. The object is there; whether it is not, only those may know who may list the bucket.
        """
        if request.values(b"host") != [self._host.encode()]:  # (1)
            raise _RefusedError(
                404, "NoSuchBucket", "The specified bucket does not exist", f"Host must be {self._host}"
            )
        if request.method not in {b"GET", b"HEAD"}:
            raise _RefusedError(
                405,
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
                "only objects are read here",
            )
        credential = self._signed_by(request)  # (2)
        key = _key(request.path)
        statements = await asyncio.to_thread(self._policy)
        self._authorise(request, credential, statements, "s3:GetObject", f"/{key}")  # (3)
        try:
            return await asyncio.to_thread(self._object, request, key)  # (4)
        except self._s3.exceptions.NoSuchKey:
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
            why = "the request is not signed, and the bucket is public to nobody"
            raise _RefusedError(403, "AccessDenied", _DENIED, why)
        try:
            caller = verify(
                request, lookup=self._credentials.lookup, region=self._region, service="s3", now=self._clock()
            )
        except SignatureRefusedError as refused:
            raise _RefusedError(403, "SignatureDoesNotMatch", refused.message, refused.why) from refused
        return caller.credential

    # --- (3) policy ---------------------------------------------------------------------------------------------------

    def _policy(self) -> list[Statement]:
        try:
            return statements_of(self._s3.get_bucket_policy(Bucket=self._bucket)["Policy"])
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
            # On whose behalf a service calls it says in headers that its signature covers.
            "aws:SourceArn": _text(request.header(b"x-amz-source-arn")) if is_service else None,
            "aws:SourceAccount": _text(request.header(b"x-amz-source-account")) if is_service else None,
            "aws:ResourceAccount": self._account_id,
            "aws:RequestedRegion": self._region,
        }
        return evaluate(
            AccessRequest(
                action=action,
                resource=f"arn:aws:s3:::{self._bucket}{path}",
                principal_arn=credential.principal_arn,
                role_arn=f"arn:aws:iam::{credential.account_id}:role/{credential.role_name}",
                account_id=credential.account_id,
                resource_account_id=self._account_id,
                context=context,
                service=credential.service,
            ),
            # Of roles only what the bucket itself says of them counts here: nobody but CloudFront comes by.
            identity=[],
            resource=statements,
        )

    # --- (4) object ---------------------------------------------------------------------------------------------------

    def _object(self, request: WireRequest, key: str) -> _Answer:
        wanted = {name: show(value) for header, name in _CONDITIONS.items() if (value := request.header(header))}
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=key, **wanted)
        except ClientError as error:
            status = int(error.response["ResponseMetadata"]["HTTPStatusCode"])
            if status == 304:
                return _Answer(304, _headers(error.response))
            if error.response["Error"]["Code"] in {"NoSuchKey", "404"}:
                raise
            code = str(error.response["Error"]["Code"])
            raise _RefusedError(status, code, str(error.response["Error"].get("Message")), str(error)) from error
        body: bytes = answer["Body"].read()
        return _Answer(int(answer["ResponseMetadata"]["HTTPStatusCode"]), _headers(answer), body)


def _headers(answer: Any) -> tuple[Header, ...]:
    there: dict[str, str] = answer["ResponseMetadata"]["HTTPHeaders"]
    return tuple((name.encode(), there[name].encode("latin-1")) for name in _STORED if name in there)


def _key(path: bytes) -> str:
    """Return the key of a path.

    Raises:
        _RefusedError: It is none: no UTF-8, or a control character (what S3 does with those is not documented, and no file
            of a site needs one); or it is the bucket itself, which nobody lists here.
    """
    try:
        key = unquote_to_bytes(path.removeprefix(b"/")).decode()
    except UnicodeDecodeError:
        key = "\0"
    if any(ord(character) < 0x20 for character in key):
        raise _RefusedError(400, "InvalidURI", "Couldn't parse the specified URI.", "the path is no text")
    if not key:
        raise _RefusedError(403, "AccessDenied", _DENIED, "the path names no object, and the bucket is not listed here")
    return key


def _text(value: bytes | None) -> str | None:
    return None if value is None else show(value)


def _unreadable(error: Exception) -> _RefusedError:
    # An outage is no decision: neither access nor "denied".
    return _RefusedError(
        500,
        "InternalError",
        "We encountered an internal error. Please try again.",
        f"the bucket's policy could not be read: {error}",
    )


def _error(refused: _RefusedError, request_id: str) -> _Answer:
    document = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{escape(refused.code)}</Code><Message>{escape(refused.message)}</Message>"
        f"<RequestId>{request_id}</RequestId></Error>"
    ).encode()
    return _Answer(
        refused.status,
        ((b"content-type", b"application/xml"), (b"content-length", str(len(document)).encode())),
        document,
    )


async def _body(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)
