"""Refusals of the books API, in the form of the gateway's own (RFC 9457, ``docs/refusals.md``)."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

TYPE_PREFIX = "urn:cognito-edge-gateway:problem:"


class Problem(Exception):  # noqa: N818 - RFC 9457's name
    """A refusal that is answered with a problem document.

    Attributes:
        status: HTTP status.
        code: The stable name for programs.
        detail: A sentence for people: what was expected, what came, what to do.
        title: A short summary of the code.
        headers: Further response headers.
        members: Further members of the document, such as ``errors`` or ``current``.
    """

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.title = title or status.phrase
        self.headers = dict(headers or {})
        self.members = dict(members or {})

    def document(self, request_id: str) -> dict[str, Any]:
        """Return the problem document."""
        return {
            "type": TYPE_PREFIX + self.code,
            "title": self.title,
            "status": int(self.status),
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
            **self.members,
        }


def field_error(field: str, detail: str) -> dict[str, str]:
    """Return one entry of ``errors``.

    >>> field_error("title", "is missing")
    {'field': 'title', 'detail': 'is missing'}
    """
    return {"field": field, "detail": detail}


def _sentence(errors: Sequence[Mapping[str, str]]) -> str:
    # An empty field name means the whole document.
    return "; ".join(f"{error['field'] or 'the document'} {error['detail']}" for error in errors) + "."


def missing_token() -> Problem:
    """The caller is not signed in; the gateway lets such a request through only if a policy opens the path to anyone."""
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "missing_token",
        "Books belong to people, so every call needs a signed-in one: send 'Authorization: Bearer <ID token>'.",
        title="Sign-in required",
        # Some of Lambda's front ends rename this header; the document says the same.
        headers={"WWW-Authenticate": 'Bearer realm="books"'},
    )


def malformed_json(detail: str) -> Problem:
    """The body is not a JSON document that can be read."""
    return Problem(HTTPStatus.BAD_REQUEST, "malformed_json", detail, title="Not JSON")


def unsupported_media_type(given: str) -> Problem:
    """The body's media type is not JSON."""
    came = f"'{given[:100]}'" if given else "none"
    return Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        f"Send the book with 'Content-Type: application/json'; the request has {came}.",
        headers={"Accept": "application/json"},
    )


def invalid_book(errors: Sequence[Mapping[str, str]]) -> Problem:
    """The document is not a valid book."""
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid_book",
        _sentence(errors),
        title="Not a book",
        members={"errors": list(errors)},
    )


def invalid_query(errors: Sequence[Mapping[str, str]]) -> Problem:
    """The query has unknown parameters or wrong values."""
    return Problem(
        HTTPStatus.BAD_REQUEST,
        "invalid_query",
        _sentence(errors),
        title="Query not understood",
        members={"errors": list(errors)},
    )


def not_found() -> Problem:
    """There is no such book."""
    return Problem(HTTPStatus.NOT_FOUND, "not_found", "There is no such book; it may have been deleted.")


def no_such_path() -> Problem:
    """The API does not have the path; the distribution's pattern ``/api/books*`` is wider."""
    return Problem(HTTPStatus.NOT_FOUND, "not_found", "This API has /api/books and /api/books/<id>.")


def not_owner() -> Problem:
    """The book belongs to another user."""
    return Problem(
        HTTPStatus.FORBIDDEN,
        "not_owner",
        "Only the owner changes a book; only the owner and the group 'admins' delete one.",
        title="Not your book",
    )


def precondition_required() -> Problem:
    """The update does not name the version that it changes (RFC 6585 section 3)."""
    return Problem(
        HTTPStatus.PRECONDITION_REQUIRED,
        "precondition_required",
        "Send 'If-Match' with the ETag of the version that you changed, so that no one's update is lost.",
    )


def version_conflict(current: Mapping[str, Any]) -> Problem:
    """Another update came first."""
    version = current["version"]
    return Problem(
        HTTPStatus.PRECONDITION_FAILED,
        "version_conflict",
        f"The book is at version {version} now: look at 'current', make your change on it, and send it with "
        f"'If-Match: \"{version}\"'.",
        title="Changed meanwhile",
        members={"current": dict(current)},
    )


def method_not_allowed(methods: Sequence[str]) -> Problem:
    """The path does not take the method."""
    allowed = ", ".join(methods)
    return Problem(
        HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", f"This path takes {allowed}.", headers={"Allow": allowed}
    )


def untrusted_caller() -> Problem:
    """The gateway did not sign the request; only the log says who did."""
    return Problem(HTTPStatus.FORBIDDEN, "untrusted_caller", "This function answers only requests from its gateway.")


def store_unavailable() -> Problem:
    """The table does not answer, or not in time; only the log says why."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "store_unavailable",
        "The books cannot be read or written at the moment; nothing is lost, try again.",
        headers={"Retry-After": "2"},
    )


def internal_error() -> Problem:
    """A bug; only the log says which."""
    return Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal_error",
        "The function failed; its log has the reason under this request_id.",
    )
