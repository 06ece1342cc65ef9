"""Books in DynamoDB: the table's keys, and writes that never overwrite what their author has not seen.

Keys. The partition key is ``shelf``, the sort key ``id``. The id is a version-7 UUID, whose text sorts by creation time. So
the list, newest first, is one query backwards over one shelf: no index, no second write, and strongly consistent, unlike a
list over a secondary index (a page that adds a book sees it at once).

Limits. All books are on one shelf, ``all``. One partition key takes 1,000 write units and 3,000 read units a second; a
usual book costs one write unit, the largest ten. Because ids grow, DynamoDB cannot split a busy shelf. For more, give
books that are listed together a shelf of their own (a tenant, a library): nothing else here changes. Lists in another
order than by age need a secondary index, with such a shelf as its partition key.

Writes. Each names the version that it replaces in a ``ConditionExpression``, so of two updates of one version one wins and
the other is told. A write whose answer was lost is sent again, and would then fail on its own first attempt; so each carries
an id of its own (``write``), by which it is recognised.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
"""

import secrets
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from . import cursor
from .dynamodb import ConditionFailedError, Item
from .validation import BookFields, Page

Book = dict[str, Any]
"""A book as the API shows it."""

SHELF = "all"


class VersionConflictError(Exception):
    """The book is at another version than the write names.

    Attributes:
        current: The book as it is.
    """

    def __init__(self, current: Book) -> None:
        super().__init__("the book was changed meanwhile")
        self.current = current


class BookGoneError(Exception):
    """The book does not exist, or no longer."""


class Database(Protocol):
    """The part of a DynamoDB client that the store uses."""

    def call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Do one operation; raises ``ConditionFailedError`` and ``StoreError``."""
        ...


class BookStore:
    """The books of one table."""

    def __init__(self, database: Database, table: str) -> None:
        self._database = database
        self._table = table

    def page(self, wanted: Page) -> tuple[list[Book], str | None]:
        """Return a page, newest first, and the cursor of the next one; None after the last.

        It reads one book more than the limit, to know whether another page follows.
        """
        request: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "shelf = :shelf",
            "ExpressionAttributeValues": {":shelf": {"S": SHELF}},
            "ScanIndexForward": False,
            "ConsistentRead": True,
            "Limit": wanted.limit + 1,
        }
        if wanted.after:
            request["ExclusiveStartKey"] = _key(wanted.after)
        answer = self._database.call("Query", request)
        books = [_book(item) for item in answer.get("Items", [])]
        # LastEvaluatedKey alone says so if the page reached 1 MB before its limit.
        more = len(books) > wanted.limit or "LastEvaluatedKey" in answer
        books = books[: wanted.limit]
        return books, cursor.encode(books[-1]["id"]) if more and books else None

    def get(self, book_id: str) -> Book:
        """Return a book as it is now.

        Raises:
            BookGoneError: It does not exist.
        """
        answer = self._database.call(
            "GetItem", {"TableName": self._table, "Key": _key(book_id), "ConsistentRead": True}
        )
        if not answer.get("Item"):
            raise BookGoneError
        return _book(answer["Item"])

    def create(self, fields: BookFields, *, owner: str, owner_name: str, now: float) -> Book:
        """Put a new book on the shelf.

        Args:
            fields: The fields that its owner wrote.
            owner: The owner's ``sub``.
            owner_name: The owner's name, for people.
            now: Seconds since the epoch.
        """
        made = _time(now)
        book = {
            "id": new_id(now),
            **fields.document(),
            "owner": owner,
            "owner_name": owner_name,
            "version": 1,
            "created_at": made,
            "updated_at": made,
        }
        self._put(book, condition="attribute_not_exists(id)", values={})
        return book

    def replace(self, current: Book, fields: BookFields, *, now: float) -> Book:
        """Write new fields, if the book still is at the version of *current*.

        Raises:
            VersionConflictError: Another write has changed it.
            BookGoneError: It was deleted.
        """
        book = {**current, **fields.document(), "version": current["version"] + 1, "updated_at": _time(now)}
        self._put(book, condition="version = :seen", values={":seen": {"N": str(current["version"])}})
        return book

    def delete(self, book_id: str, *, version: int | None) -> None:
        """Delete a book.

        Args:
            book_id: The book's id.
            version: Delete this version only; None for any.

        Raises:
            VersionConflictError: It is at another version.
            BookGoneError: It was already deleted.
        """
        request: dict[str, Any] = {"TableName": self._table, "Key": _key(book_id)}
        if version is not None:
            request["ConditionExpression"] = "version = :seen"
            request["ExpressionAttributeValues"] = {":seen": {"N": str(version)}}
            request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        try:
            self._database.call("DeleteItem", request)
        except ConditionFailedError as failed:
            if failed.item:
                raise VersionConflictError(_book(failed.item)) from None
            if not failed.retried:  # otherwise the first attempt may have deleted it, and its answer was lost
                raise BookGoneError from None

    def _put(self, book: Book, *, condition: str, values: Mapping[str, Any]) -> None:
        write = secrets.token_hex(8)
        request: dict[str, Any] = {
            "TableName": self._table,
            "Item": {**_item(book), "write": {"S": write}},
            "ConditionExpression": condition,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if values:
            request["ExpressionAttributeValues"] = dict(values)
        try:
            self._database.call("PutItem", request)
        except ConditionFailedError as failed:
            if not failed.item:
                raise BookGoneError from None
            if failed.item.get("write") != {"S": write}:
                raise VersionConflictError(_book(failed.item)) from None


def new_id(now: float) -> str:
    """Return a version-7 UUID: 48 bits of milliseconds, then random bits.

    Source: RFC 9562 section 5.7. (Python has ``uuid.uuid7`` from 3.14 on.)
    """
    value = (int(now * 1000) & (1 << 48) - 1) << 80 | secrets.randbits(76)
    value &= ~(0xF << 76 | 0x3 << 62)
    return str(uuid.UUID(int=value | 7 << 76 | 2 << 62))


def _time(now: float) -> str:
    """Return a time in RFC 3339's form, in UTC, to the millisecond.

    >>> _time(0)
    '1970-01-01T00:00:00.000Z'
    """
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _key(book_id: str) -> Item:
    return {"shelf": {"S": SHELF}, "id": {"S": book_id}}


def _item(book: Book) -> Item:
    year = book["year"]
    return {
        **_key(book["id"]),
        **{name: {"S": book[name]} for name in _TEXTS},
        "year": {"NULL": True} if year is None else {"N": str(year)},
        "version": {"N": str(book["version"])},
    }


def _book(item: Item) -> Book:
    year = item["year"].get("N")
    return {
        "id": item["id"]["S"],
        "title": item["title"]["S"],
        "author": item["author"]["S"],
        "year": None if year is None else int(year),
        "notes": item["notes"]["S"],
        "owner": item["owner"]["S"],
        "owner_name": item["owner_name"]["S"],
        "version": int(item["version"]["N"]),
        "created_at": item["created_at"]["S"],
        "updated_at": item["updated_at"]["S"],
    }


_TEXTS = ("title", "author", "notes", "owner", "owner_name", "created_at", "updated_at")
