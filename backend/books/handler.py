"""Lambda handler of the books API: who calls, which operation, what answer. Handler: ``backend.books.handler.handler``.

Every request, also one for an unknown path, first goes to ``identity.py``, which checks who signed it. Every operation needs
a signed-in caller: if a policy opens ``/api/books*`` to anyone, a caller without a token gets 401 ``missing_token`` here.

The event is never logged as a whole: its headers hold the session token of the gateway's role. The log line has the
outcome and a hash of the caller's ``sub``, and nothing of what people write about their books.
"""

import hashlib
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any

from backend.identity import Identity, IdentityError, identity_from_event

from . import problems
from .cursor import BOOK_ID
from .dynamodb import Client, StoreError
from .problems import Problem
from .store import Book, BookGoneError, BookStore, VersionConflictError
from .validation import parse_book, parse_if_match, parse_json, parse_page

ADMINS = "admins"
"""The pool's group whose members may delete every book."""

_COLLECTION = "/api/books"
_ONE = re.compile(r"/api/books/([^/]+)")
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a signed-in caller.

    Attributes:
        event: The function-URL event.
        identity: The caller.
        store: The books.
        now: Seconds since the epoch, read once.
        book_id: The book's id in the path; "" for the collection.
    """

    event: Mapping[str, Any]
    identity: Identity
    store: BookStore
    now: float
    book_id: str

    def header(self, name: str) -> str | None:
        """Return a header's value; values of repeated headers are joined with commas, as by Lambda."""
        headers = self.event.get("headers") or {}
        found = [value for key, value in headers.items() if key.lower() == name]
        return ",".join(found) if found else None


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer.

    Attributes:
        status: HTTP status.
        document: The body, as JSON; None for an empty one.
        headers: Headers besides those that every answer has.
    """

    status: HTTPStatus
    document: Mapping[str, Any] | None
    headers: Mapping[str, str]


Operation = Callable[[Call], Answer]


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer one request to the function URL. Never raises: Lambda would turn that into a 502 of its own."""
    return respond(event, store=_store, now=time.time())


def respond(event: dict[str, Any], *, store: Callable[[], BookStore], now: float) -> dict[str, Any]:
    """Answer one request.

    Args:
        event: The function-URL event, as Lambda passes it.
        store: Returns the books; called only for a request that has a caller and an operation.
        now: Seconds since the epoch.
    """
    request_id = str(_member(_member(event, "requestContext"), "requestId") or "")
    method = str(_member(_member(_member(event, "requestContext"), "http"), "method") or "")
    facts: dict[str, object] = {"request_id": request_id, "method": method, "path": _member(event, "rawPath")}
    started = time.perf_counter()
    try:
        answer = _answer(event, method, store, now, facts)
        status, document, headers = answer.status, answer.document, {**_HEADERS, **answer.headers}
        content_type = "application/json"
    except Problem as problem:
        status, document, headers = problem.status, problem.document(request_id), {**_HEADERS, **problem.headers}
        content_type = "application/problem+json"
        facts["code"] = problem.code
    if document is not None:
        headers["Content-Type"] = content_type
    facts |= {"status": int(status), "ms": round((time.perf_counter() - started) * 1000, 1)}
    _log("request", facts)
    # AWS does not document whether Lambda removes the body of an answer to HEAD; an empty one is right either way.
    body = "" if document is None or method == "HEAD" else json.dumps(document)
    return {"statusCode": int(status), "headers": headers, "body": body, "isBase64Encoded": False}


def _answer(
    event: dict[str, Any], method: str, store: Callable[[], BookStore], now: float, facts: dict[str, object]
) -> Answer:
    """Do the operation; every failure becomes a ``Problem``, and its reason goes into *facts*, for the log."""
    try:
        identity = identity_from_event(
            event,
            account_id=os.environ.get("EDGE_ACCOUNT_ID"),
            role_name=os.environ.get("EDGE_ROLE_NAME"),
            distribution_arn=os.environ.get("EDGE_DISTRIBUTION_ARN"),
        )
        operation, book_id = _route(str(event["rawPath"]), method)
        if identity is None:
            raise problems.missing_token()
        facts["caller"] = hashlib.sha256(identity.sub.encode()).hexdigest()[:16]
        return operation(Call(event, identity, store(), now, book_id))
    except BookGoneError:
        raise problems.not_found() from None
    except VersionConflictError as conflict:
        raise problems.version_conflict(conflict.current) from None
    except IdentityError as error:
        facts["reason"] = str(error)
        raise problems.untrusted_caller() from None
    except StoreError as error:
        facts["reason"] = str(error)
        raise problems.store_unavailable() from None
    except Problem:
        raise
    except Exception:  # noqa: BLE001 - the last resort: a malformed event, a bug
        facts["traceback"] = traceback.format_exc()
        raise problems.internal_error() from None


def _route(path: str, method: str) -> tuple[Operation, str]:
    """Return the operation of a path and method, and the book's id.

    Raises:
        Problem: 404 or 405.
    """
    one = _ONE.fullmatch(path)
    if path != _COLLECTION and one is None:
        raise problems.no_such_path()
    operations = _OF_THE_COLLECTION if one is None else _OF_A_BOOK
    # HEAD is a GET whose body is left out at the end.
    operation = operations.get("GET" if method == "HEAD" else method)
    if operation is None:
        raise problems.method_not_allowed(sorted([*operations, "HEAD"]))
    if one is None:
        return operation, ""
    if BOOK_ID.fullmatch(one[1]) is None:
        raise problems.not_found()  # not an id of ours; no need to ask the table
    return operation, one[1]


# --- operations -------------------------------------------------------------------------------------------------------


def list_books(call: Call) -> Answer:
    """Answer with a page of the books, newest first."""
    books, following = call.store.page(parse_page(call.event.get("rawQueryString") or ""))
    return Answer(HTTPStatus.OK, {"books": books, "next": following}, {})


def create_book(call: Call) -> Answer:
    """Create a book that belongs to the caller."""
    fields = parse_book(parse_json(call.event, call.header("content-type") or ""), complete=False)
    identity = call.identity
    book = call.store.create(fields, owner=identity.sub, owner_name=identity.username or identity.sub, now=call.now)
    return Answer(HTTPStatus.CREATED, book, {"Location": f"{_COLLECTION}/{book['id']}", **_etag(book)})


def get_book(call: Call) -> Answer:
    """Answer with one book."""
    book = call.store.get(call.book_id)
    return Answer(HTTPStatus.OK, book, _etag(book))


def update_book(call: Call) -> Answer:
    """Replace a book's fields, if the book still is at the version that the caller saw.

    Steps, the cheapest first:
        1. The request is complete: precondition, media type, JSON, fields.
        2. The book exists, and belongs to the caller.
        3. It is at that version when it is read.
        4. It still is when it is written: another request may come in between.
    """
    precondition = parse_if_match(call.header("if-match"))  # (1)
    # "*" names no version: a caller could overwrite a version that they have never seen.
    if precondition is None or precondition.any:
        raise problems.precondition_required()
    fields = parse_book(parse_json(call.event, call.header("content-type") or ""), complete=True)
    current = call.store.get(call.book_id)  # (2)
    if current["owner"] != call.identity.sub:
        raise problems.not_owner()
    if not precondition.holds(current["version"]):  # (3)
        raise problems.version_conflict(current)
    book = call.store.replace(current, fields, now=call.now)  # (4)
    return Answer(HTTPStatus.OK, book, _etag(book))


def delete_book(call: Call) -> Answer:
    """Delete a book, for its owner or an administrator; with ``If-Match``, only that version."""
    precondition = parse_if_match(call.header("if-match"))
    current = call.store.get(call.book_id)
    if current["owner"] != call.identity.sub and ADMINS not in call.identity.groups:
        raise problems.not_owner()
    version = None
    if precondition is not None and not precondition.any:
        if not precondition.holds(current["version"]):
            raise problems.version_conflict(current)
        version = current["version"]
    call.store.delete(call.book_id, version=version)
    return Answer(HTTPStatus.NO_CONTENT, None, {})


_OF_THE_COLLECTION: dict[str, Operation] = {"GET": list_books, "POST": create_book}
_OF_A_BOOK: dict[str, Operation] = {"GET": get_book, "PUT": update_book, "DELETE": delete_book}


def _etag(book: Book) -> dict[str, str]:
    return {"ETag": f'"{book["version"]}"'}


@cache
def _store() -> BookStore:
    """Return the table's books, over a connection that stays open for the next invocation."""
    return BookStore(Client.from_environment(), os.environ["BOOKS_TABLE"])


def _member(value: Any, name: str) -> Any:
    """Return a member of a JSON object; None if it has no such member, or is no object."""
    return value.get(name) if isinstance(value, dict) else None


def _log(message: str, facts: Mapping[str, object]) -> None:
    """Write a line of JSON, which Lambda passes to the function's log group."""
    sys.stdout.write(json.dumps({"message": message, **facts}) + "\n")
