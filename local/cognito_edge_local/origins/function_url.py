"""An AWS_IAM function URL on loopback: what AWS does between the internet and the function, as its documents say.

One ASGI application per URL, in this order: the host is the URL's; the signature is right (``sigv4``); IAM allows
both actions (``iam``); the function gets its payload-2.0 event and its payload becomes the answer (``function_event``).
Callers get AWS's words and nothing else; the console gets the reason.

Source: Lambda Developer Guide, "Control access to Lambda function URLs".
"""

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from .function_event import MAX_EVENT_BYTES, HttpAnswer, InvalidAnswerError, build_event, http_answer, new_trace_id
from .iam import AccessRequest, Decision, evaluate
from .principals import Credential, CredentialDirectory, PolicyReadError, PolicySource, Statement
from .sigv4 import ACCESS_DENIED, SignatureRefusedError, show, verify
from .sigv4_explain import explain
from .wire import WireRequest

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)
TOO_LARGE = f"Request must be smaller than {MAX_EVENT_BYTES} bytes for the InvokeFunction operation"


@dataclass(frozen=True, slots=True)
class InvokeResult:
    """What an invocation gave.

    Attributes:
        payload: The function's answer, JSON; with an error, its description.
        function_error: ``Unhandled`` where the function failed, None where it answered.
    """

    payload: bytes
    function_error: str | None


Invoker = Callable[[str, dict[str, Any]], Awaitable[InvokeResult]]
"""Runs a function: name and event in, result out."""


@dataclass(slots=True)
class Visit:
    """What happened to one call, for observers such as the trace page.

    It holds the edge role's session token and the body as they were: an observer redacts before it shows or keeps anything.

    Attributes:
        request_id: The invocation's.
        started_at: Seconds since the epoch.
        request: What was on the wire; None when the caller went away in the middle.
        credential: Who signed, once the signature is found to be theirs.
        event: What the function was given; None when it did not run.
        steps: Milliseconds of each step that went well, in order: target, signature, permission, event, function.
        answer: What the caller got.
        why: The reason of a refusal, as on the console; empty without one.
    """

    request_id: str
    started_at: float
    request: WireRequest | None = field(default=None, repr=False)
    credential: Credential | None = None
    event: dict[str, Any] | None = field(default=None, repr=False)
    steps: dict[str, float] = field(default_factory=dict)
    answer: HttpAnswer | None = field(default=None, repr=False)
    why: str = ""
    _last: float = field(default_factory=time.perf_counter, repr=False)
    _began: float = field(default_factory=time.perf_counter, repr=False)
    duration_ms: float = 0

    @property
    def status(self) -> int:
        """The answer's; 0 without one."""
        return self.answer.status if self.answer else 0

    def step(self, name: str) -> None:
        """Note that a step has ended well."""
        now = time.perf_counter()
        self.steps[name] = (now - self._last) * 1000
        self._last = now

    def end(self, answer: HttpAnswer) -> None:
        """Note the answer."""
        self.answer = answer
        self.duration_ms = (time.perf_counter() - self._began) * 1000


class _RefusedError(Exception):
    """An answer other than the function's; ``why`` is for the console alone."""

    def __init__(self, status: int, error_type: str | None, body: bytes, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.error_type = error_type
        self.body = body
        self.why = why


def _json(key: str, message: str | None) -> bytes:
    # Lambda's two refusals differ in the case of this key, which is how to tell them apart without the header.
    return json.dumps({key: message}, separators=(",", ":")).encode()


class FunctionUrlDoor:
    """The door of one function URL, an ASGI application; it keeps nothing from one request to the next."""

    def __init__(
        self,
        *,
        function_name: str,
        function_arn: str,
        region: str,
        account_id: str,
        url_host: str,
        credentials: CredentialDirectory,
        policies: PolicySource,
        invoke: Invoker,
        console: Callable[[str], None],
        clock: Callable[[], float] = time.time,
        observe: Callable[[Visit], None] | None = None,
    ) -> None:
        """Describe the URL; nothing is opened.

        Args:
            function_name: What ``invoke`` is called with.
            function_arn: What the policies are evaluated against; with the qualifier, if the URL is on an alias.
            region: The URL's region; the third label of its host.
            account_id: The function owner's.
            url_host: ``<url-id>.lambda-url.<region>.on.aws``.
            credentials: Whose keys are known.
            policies: What they may do; called in a thread.
            invoke: Runs the function.
            console: Takes what a developer should read, one text at a time; holds no secret.
            clock: Seconds since the epoch.
            observe: Takes every visit once it is over.
        """
        self._function_name = function_name
        self._function_arn = function_arn
        self._region = region
        self._account_id = account_id
        self._url_host = url_host
        self._credentials = credentials
        self._policies = policies
        self._invoke = invoke
        self._console = console
        self._clock = clock
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (or take part in uvicorn's start and stop)."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        request_id = str(uuid.uuid4())
        visit = Visit(request_id, time.time())
        try:
            visit.request = request = await self._read(scope, receive)
            answer = await self._serve(scope, request, visit)
        except _RefusedError as refused:
            self._console(
                f"function URL {self._function_name}: {refused.status} {refused.error_type or ''} "
                f"{scope['method']} {show(scope['raw_path'])} ({request_id})\n  {refused.why}"
            )
            visit.why = refused.why
            answer = HttpAnswer(
                refused.status,
                (
                    (b"content-type", b"application/json"),
                    *([(b"x-amzn-ErrorType", refused.error_type.encode())] if refused.error_type else []),
                ),
                refused.body,
            )
        visit.end(answer)
        if self._observe is not None:
            self._observe(visit)
        await _send(send, answer, request_id)

    async def _read(self, scope: Scope, receive: Receive) -> WireRequest:
        """Return the request as it was on the wire; a body over the limit is read to its end, but not kept."""
        chunks: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _RefusedError(400, None, b"", "the caller went away in the middle of the body")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size <= MAX_EVENT_BYTES:
                chunks.append(chunk)
            else:
                chunks.clear()
            more = message.get("more_body", False)
        if size > MAX_EVENT_BYTES:
            raise self._too_large(size)
        return WireRequest(
            method=scope["method"].encode("ascii"),
            path=scope["raw_path"],
            query=scope["query_string"],
            headers=tuple((bytes(name), bytes(value)) for name, value in scope["headers"]),
            body=b"".join(chunks),
        )

    async def _serve(self, scope: Scope, request: WireRequest, visit: Visit) -> HttpAnswer:
        """Return the answer to one request.

        Steps:
            1. The request is for this URL, and is one that a function URL takes.
            2. A known caller signed it.
            3. IAM allows both actions.
            4. The event is small enough.
            5. The function runs, and its payload becomes the answer.

        Raises:
            _RefusedError: One of them fails.
        """
        now = self._clock()
        hosts = self._check_target(scope, request)  # (1)
        visit.step("target")
        visit.credential = credential = await self._check_signature(request, hosts, now)  # (2)
        visit.step("signature")
        source_ip = (scope.get("client") or ("127.0.0.1", 0))[0]
        await self._authorise(request, credential, source_ip)  # (3)
        visit.step("permission")
        trace_id = new_trace_id(request, now)
        event = build_event(
            request,
            url_host=self._url_host,
            account_id=self._account_id,
            credential=credential,
            source_ip=source_ip,
            request_id=visit.request_id,
            trace_id=trace_id,
            now=now,
        )
        event_bytes = len(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode())
        if event_bytes > MAX_EVENT_BYTES:  # (4)
            raise self._too_large(event_bytes)
        visit.step("event")
        visit.event = event
        answer = await self._run(event, trace_id)  # (5)
        visit.step("function")
        return answer

    # --- (1) target ---------------------------------------------------------------------------------------------------

    def _check_target(self, scope: Scope, request: WireRequest) -> tuple[str, ...]:
        """Return the hosts that this door answers to; refuse every other one, and targets AWS's front end refuses."""
        port = (scope.get("server") or ("", 0))[1]
        hosts = (self._url_host, f"127.0.0.1:{port}", f"localhost:{port}")
        if request.values(b"host") not in [[host.encode()] for host in hosts]:
            # What AWS answers for a host that is not a function URL's (a trace of 2025-06-29).
            raise _RefusedError(
                403,
                ACCESS_DENIED,
                _json("Message", None),
                f"Host must be {self._url_host} (or {hosts[1]}), not {show(request.header(b'host') or b'(none)')}",
            )
        if not request.path.startswith(b"/"):
            raise _RefusedError(400, None, b"", "the request target must begin with '/'")
        if b"#" in request.path or b"#" in request.query:
            raise _RefusedError(400, None, b"", "the request target holds a '#': a fragment is never sent")
        if b"[" in request.query or b"]" in request.query:
            raise _RefusedError(
                403,
                ACCESS_DENIED,
                _json("Message", FORBIDDEN),
                "the query holds a raw '[' or ']', which AWS_IAM function URLs refuse: send %5B and %5D",
            )
        return hosts

    # --- (2) signature ------------------------------------------------------------------------------------------------

    async def _check_signature(self, request: WireRequest, hosts: tuple[str, ...], now: float) -> Credential:
        authorization = request.header(b"authorization")
        if authorization is None or not authorization.startswith(b"AWS4-"):
            presigned = b"x-amz-signature=" in request.query.lower()
            raise _RefusedError(
                403,
                ACCESS_DENIED,
                _json("Message", FORBIDDEN),
                "presigned URLs are not served here: sign with an Authorization header"
                if presigned
                else "the request is not signed: only IAM principals may call this URL, users come through CloudFront",
            )
        try:
            caller = verify(request, lookup=self._credentials.lookup, region=self._region, service="lambda", now=now)
        except SignatureRefusedError as refused:
            why = refused.why
            if refused.authorization is not None and refused.credential is not None:
                # Thousands of trial signatures at worst, and hashes of the body: not in the event loop.
                why += "\n  " + (
                    await asyncio.to_thread(explain, request, refused.authorization, refused.credential, hosts)
                )
            raise _RefusedError(403, refused.error_type, _json("message", refused.message), why) from refused
        return caller.credential

    # --- (3) authorisation --------------------------------------------------------------------------------------------

    async def _authorise(self, request: WireRequest, credential: Credential, source_ip: str) -> None:
        """Refuse unless IAM allows both actions.

        "Starting in October 2025, new function URLs will require both lambda:InvokeFunctionUrl and
        lambda:InvokeFunction permissions." (Lambda Developer Guide, urls-auth)
        """
        try:
            identity, resource = await asyncio.gather(
                asyncio.to_thread(self._identity_statements, credential),
                asyncio.to_thread(self._policies.resource_statements, self._function_arn),
            )
        except PolicyReadError as error:
            # An outage decides nothing: neither access nor "forbidden".
            raise _RefusedError(
                500, "ServiceException", _json("Message", "Internal Server Error"), str(error)
            ) from error
        decisions = self._decide(request, credential, source_ip, identity, resource)
        notes = list(dict.fromkeys(note for decision in decisions for note in decision.notes))
        refused = [decision.reason for decision in decisions if not decision.allowed]
        if refused:
            why = "\n  ".join([f"{credential.principal_arn}: " + "; ".join(refused), *notes])
            raise _RefusedError(403, ACCESS_DENIED, _json("Message", FORBIDDEN), why)
        for note in notes:
            self._console(f"function URL {self._function_name}: {note}")

    def _identity_statements(self, credential: Credential) -> list[Statement]:
        # A service's role is in an account of AWS's own: it cannot be read, and does not count.
        return [] if credential.service else self._policies.identity_statements(credential)

    def _decide(
        self,
        request: WireRequest,
        credential: Credential,
        source_ip: str,
        identity: list[Statement],
        resource: list[Statement],
    ) -> list[Decision]:
        partition = self._function_arn.split(":")[1]
        role_arn = f"arn:{partition}:iam::{credential.account_id}:role/{credential.role_name}"
        user_agent = request.header(b"user-agent")
        common: dict[str, str | None] = {
            "aws:PrincipalArn": role_arn,
            "aws:PrincipalAccount": credential.account_id,
            "aws:PrincipalType": "AssumedRole",
            "aws:userid": credential.user_id,
            "aws:PrincipalIsAWSService": "false",
            "aws:ViaAWSService": "false",
            "aws:SecureTransport": "true",  # the door stands for an HTTPS endpoint
            "aws:RequestedRegion": self._region,
            "aws:ResourceAccount": self._account_id,
            "aws:SourceIp": source_ip,
            "aws:UserAgent": None if user_agent is None else show(user_agent),
            # Known to be absent: a role calls, not a service on behalf of a resource, and without an organisation.
            "aws:SourceArn": None,
            "aws:SourceAccount": None,
            "aws:PrincipalServiceName": None,
            "aws:PrincipalOrgID": None,
            "lambda:EventSourceToken": None,
        }
        if credential.service is not None:
            # A service says on whose behalf it calls, in headers that its signature covers. From other callers they are
            # headers like any other.
            common |= {
                "aws:PrincipalArn": None,
                "aws:PrincipalAccount": None,
                "aws:PrincipalType": "Service",
                "aws:userid": None,
                "aws:PrincipalIsAWSService": "true",
                "aws:PrincipalServiceName": credential.service,
                "aws:SourceArn": _ascii(request.header(b"x-amz-source-arn")),
                "aws:SourceAccount": _ascii(request.header(b"x-amz-source-account")),
            }
        # Each action knows its own key alone: a grant of one action under the other's condition grants nothing.
        contexts: dict[str, dict[str, str | None]] = {
            "lambda:InvokeFunctionUrl": {
                "lambda:FunctionUrlAuthType": "AWS_IAM",
                "lambda:InvokedViaFunctionUrl": None,
            },
            "lambda:InvokeFunction": {
                "lambda:FunctionUrlAuthType": None,
                "lambda:InvokedViaFunctionUrl": "true",
            },
        }
        return [
            evaluate(
                AccessRequest(
                    action=action,
                    resource=self._function_arn,
                    principal_arn=credential.principal_arn,
                    role_arn=role_arn,
                    account_id=credential.account_id,
                    resource_account_id=self._account_id,
                    context=common | own,
                    service=credential.service,
                ),
                identity=identity,
                resource=resource,
            )
            for action, own in contexts.items()
        ]

    # --- (4), (5) size and function -----------------------------------------------------------------------------------

    def _too_large(self, size: int) -> _RefusedError:
        return _RefusedError(
            413,
            "RequestTooLargeException",
            _json("Message", TOO_LARGE),
            f"the body or its event has {size} bytes or more; Lambda takes {MAX_EVENT_BYTES} of JSON, in which a "
            "binary body grows by a third",
        )

    async def _run(self, event: dict[str, Any], trace_id: str) -> HttpAnswer:
        try:
            result = await self._invoke(self._function_name, event)
        except Exception as error:
            # Any error here happened between the door and the function; the caller may learn that, and no more.
            raise _bad_gateway(f"the function could not be invoked: {type(error).__name__}: {error}") from error
        if result.function_error is not None:
            raise _bad_gateway(f"the function failed ({result.function_error}): {show(result.payload[:2000])}")
        try:
            answer = http_answer(result.payload)
        except InvalidAnswerError as error:
            raise _bad_gateway(f"the function's answer cannot be sent: {error}") from error
        return HttpAnswer(
            answer.status, (*answer.headers, (b"X-Amzn-Trace-Id", f"{trace_id};Sampled=0".encode())), answer.body
        )


def _ascii(value: bytes | None) -> str | None:
    return None if value is None else show(value)


def _bad_gateway(why: str) -> _RefusedError:
    # Bare text under a JSON type: 21 bytes, as function URLs answer for a failed function.
    return _RefusedError(502, None, b"Internal Server Error", why)


async def _send(send: Send, answer: HttpAnswer, request_id: str) -> None:
    headers = [*answer.headers, (b"x-amzn-RequestId", request_id.encode())]
    if answer.status not in {204, 304}:
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def server_config(door: FunctionUrlDoor, **options: Any) -> uvicorn.Config:
    """Return the settings under which uvicorn hands a door what was on the wire, and nothing of its own.

    - ``http="h11"``: httptools parses the target first, and drops a ``#fragment`` and the authority of an absolute
      target; h11 splits it at the ``?`` and does no more. Both refuse control characters and non-ASCII bytes.
    - ``proxy_headers=False``: by default uvicorn believes ``X-Forwarded-*`` of callers on 127.0.0.1, which all are.
    - no ``server`` header, no access log (the door has its own words).

    Args:
        door: The application.
        options: Further settings (``host`` is 127.0.0.1 unless given; ``port``; ``fd``).
    """
    settings: dict[str, Any] = {
        "host": "127.0.0.1",
        "http": "h11",
        "ws": "none",
        "lifespan": "off",
        "proxy_headers": False,
        "server_header": False,
        "access_log": False,
        "log_config": None,
    }
    return uvicorn.Config(door, **(settings | options))
