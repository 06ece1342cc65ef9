"""Lambda handler of the example: ``/api/whoami`` says who the caller is, ``/api/echo`` says what reached the function.

Every request, also one for an unknown path, first goes to ``identity.py``, which checks who signed it. A request that did not
come through the gateway gets 403 and learns nothing else. Handler: ``backend.handler.handler``.

The event is never logged or echoed as a whole: its headers hold the session token of the gateway's role.
"""

import base64
import dataclasses
import hashlib
import json
import os
import re
import sys
import traceback
import urllib.parse
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import LambdaFunctionUrlResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError

from .identity import Identity, UntrustedCallerError, identity_from_event

# All the methods that a distribution can forward.
# Source: https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_AllowedMethods.html
METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
WHOAMI_METHODS = ["GET", "HEAD"]

WHOAMI = "/api/whoami"
ECHO = "/api/echo"
# A rule of powertools is a regular expression. Its ``<name>`` placeholders match only some characters, and no "/";
# the echo has to answer for every path, even with a line break in it ((?s:…)).
ECHO_AND_BELOW = f"{ECHO}(?:/(?s:.*))?"

# The answer to a larger body holds its length and hash alone: Lambda allows 6 MB, and JSON can need six characters for
# one.
MAX_ECHOED_BODY_BYTES = 64 * 1024

# Headers whose value may be a credential: the role's signature and session token, the viewer's cookies, and any other
# with a name like a secret's. A false alarm costs a line of the echo only.
_SECRET_NAME = re.compile(r"auth|cookie|credential|jwt|key|passw|secret|session|signature|token", re.IGNORECASE)
# Its name is like a secret's, but its value is "id" or "access".
_NOT_SECRET = frozenset({"x-cognito-token-use"})

_HEADERS: dict[str, str | list[str]] = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

# debug=False is written out: otherwise the variable POWERTOOLS_DEV would print every event, and put tracebacks into
# answers.
app = LambdaFunctionUrlResolver(debug=False)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one request to the function URL. Never raises: Lambda would turn that into a 502 of its own."""
    try:
        answer = app.resolve(_with_default_stage(event), context)
    except Exception:  # noqa: BLE001 - the last resort: a malformed event, a fault in the router itself
        # Built without the resolver, which may be what failed.
        answer = {
            "statusCode": 500,
            "headers": {"Content-Type": "application/problem+json", **_HEADERS},
            "body": json.dumps(_internal_error(_request_id(event))),
            "isBase64Encoded": False,
        }
    http = _member(_member(event, "requestContext"), "http")
    if _member(http, "method") == "HEAD":
        # AWS does not document whether Lambda removes the body of an answer to HEAD; an empty one is right either way.
        answer["body"] = ""
    _log(
        "request",
        request_id=_request_id(event),
        method=_member(http, "method"),
        path=_member(event, "rawPath"),
        status=answer["statusCode"],
    )
    return answer


def _with_default_stage(event: dict[str, Any]) -> dict[str, Any]:
    # powertools needs a stage, which a function URL does not have, and removes any but this one's name from the path.
    return {**event, "requestContext": {**event["requestContext"], "stage": "$default"}}


def _identify(resolver: Any, next_middleware: Callable[[Any], Response[Any]]) -> Response[Any]:
    """Read the caller's identity before any route runs, also the one that answers 404."""
    resolver.append_context(
        identity=identity_from_event(
            resolver.current_event.raw_event,
            account_id=os.environ.get("EDGE_ACCOUNT_ID"),
            role_name=os.environ.get("EDGE_ROLE_NAME"),
            distribution_arn=os.environ.get("EDGE_DISTRIBUTION_ARN"),
        )
    )
    return next_middleware(resolver)


app.use(middlewares=[_identify])


@app.route(WHOAMI, method=WHOAMI_METHODS)
def whoami() -> Response[Any]:
    """Answer with the caller's verified identity."""
    return _json(HTTPStatus.OK, _describe(app.context["identity"]))


@app.route(ECHO_AND_BELOW, method=METHODS)
def echo() -> Response[Any]:
    """Answer with what reached the function, without anything that may be a credential."""
    event = app.current_event.raw_event
    raw_path: str = event["rawPath"]
    raw_query: str = event.get("rawQueryString") or ""
    headers, withheld = _without_secrets(event.get("headers") or {})
    return _json(
        HTTPStatus.OK,
        {
            "method": event["requestContext"]["http"]["method"],
            "path": urllib.parse.unquote(raw_path),
            "raw_path": raw_path,
            # Not ``queryStringParameters``, in which Lambda joins repeated names with commas and loses the order.
            "query": urllib.parse.parse_qsl(raw_query, keep_blank_values=True),
            "raw_query": raw_query,
            "headers": headers,
            "headers_withheld": withheld,
            "cookie_names": [cookie.partition("=")[0] for cookie in event.get("cookies") or []],
            **_describe_body(event),
            "identity": _describe(app.context["identity"]),
        },
    )


@app.not_found
def not_found(_error: NotFoundError) -> Response[Any]:
    """Answer 405 if the path exists, else 404."""
    path = app.current_event.raw_path
    for pattern, methods in ((WHOAMI, WHOAMI_METHODS), (ECHO_AND_BELOW, METHODS)):
        if re.fullmatch(pattern, path):
            return _problem(
                HTTPStatus.METHOD_NOT_ALLOWED,
                code="method_not_allowed",
                detail=f"This path takes {', '.join(methods)}.",
                headers={"Allow": ", ".join(methods)},
            )
    return _problem(HTTPStatus.NOT_FOUND, code="not_found", detail=f"This API has {WHOAMI} and {ECHO}.")


def untrusted(error: UntrustedCallerError) -> Response[Any]:
    """Answer 403; only the log says who was expected and who came."""
    _log("untrusted_caller", request_id=_request_id(app.current_event.raw_event), detail=str(error))
    return _problem(
        HTTPStatus.FORBIDDEN, code="untrusted_caller", detail="This function answers only requests from its gateway."
    )


def failed(_error: Exception) -> Response[Any]:
    """Answer 500; only the log has the details."""
    document = _internal_error(_request_id(app.current_event.raw_event))
    return _json(HTTPStatus.INTERNAL_SERVER_ERROR, document, content_type="application/problem+json")


# Not decorators, because powertools leaves this one untyped.
app.exception_handler(UntrustedCallerError)(untrusted)
app.exception_handler(Exception)(failed)


def _internal_error(request_id: str) -> dict[str, Any]:
    """Log the exception that is being handled, and return the problem document for it."""
    _log("internal_error", request_id=request_id, traceback=traceback.format_exc())
    return _problem_document(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        code="internal_error",
        detail="The function failed; its log has the reason under this request_id.",
        request_id=request_id,
    )


def _describe(identity: Identity | None) -> dict[str, Any]:
    if identity is None:
        return {"anonymous": True}
    return {"anonymous": False, **dataclasses.asdict(identity)}


def _describe_body(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body as text if it is UTF-8, else as base64, with its size in bytes and its hash."""
    data = event.get("body") or ""
    body = base64.b64decode(data, validate=True) if event.get("isBase64Encoded") else data.encode()
    facts = {"body_bytes": len(body), "body_sha256": hashlib.sha256(body).hexdigest()}
    if len(body) > MAX_ECHOED_BODY_BYTES:
        return {"body": None, "body_encoding": "omitted", **facts}
    try:
        return {"body": body.decode(), "body_encoding": "text", **facts}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "body_encoding": "base64", **facts}


def _without_secrets(headers: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the headers that may be shown, and the names of those that may not."""
    withheld = sorted(name for name in headers if _SECRET_NAME.search(name) and name.lower() not in _NOT_SECRET)
    return {name: value for name, value in headers.items() if name not in withheld}, withheld


def _problem(
    status: HTTPStatus, *, code: str, detail: str, headers: Mapping[str, str | list[str]] | None = None
) -> Response[Any]:
    request_id = _request_id(app.current_event.raw_event)
    document = _problem_document(status, code=code, detail=detail, request_id=request_id)
    return _json(status, document, content_type="application/problem+json", headers=headers)


def _problem_document(status: HTTPStatus, *, code: str, detail: str, request_id: str) -> dict[str, Any]:
    """Return an RFC 9457 document with the members that the gateway's own refusals have."""
    return {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }


def _json(
    status: HTTPStatus,
    document: Mapping[str, Any],
    *,
    content_type: str = "application/json",
    headers: Mapping[str, str | list[str]] | None = None,
) -> Response[Any]:
    return Response(int(status), content_type, json.dumps(document), {**_HEADERS, **(headers or {})})


def _member(value: Any, name: str) -> Any:
    """Return a member of a JSON object; None if it has no such member, or is no object."""
    return value.get(name) if isinstance(value, dict) else None


def _request_id(event: Any) -> str:
    return str(_member(_member(event, "requestContext"), "requestId") or "")


def _log(message: str, **facts: object) -> None:
    """Write a line of JSON, which Lambda passes to the function's log group."""
    sys.stdout.write(json.dumps({"message": message, **facts}) + "\n")
