"""``backend/books``: validation, cursors and the handler's answers, on a table that is a dictionary."""

import base64
import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.books import cursor, handler, store, validation
from backend.books.dynamodb import ConditionFailedError, StoreError
from backend.books.problems import Problem
from tests.support.backend_events import ACCOUNT_ID, REQUEST_ID, ROLE_NAME, SESSION_TOKEN, identity_headers, make_event

NOW = 1_795_260_180.25
BOOK = {"title": "Middlemarch", "author": "George Eliot", "year": 1871, "notes": "Eight books\nin one."}
ADA = {"sub": "ada-sub", "username": "ada", "groups": None}
EVE = {"sub": "eve-sub", "username": "eve", "groups": None}


class Table:
    """DynamoDB, as far as the store uses it; ``before`` runs once, between a read and the write that follows it."""

    def __init__(self):
        self.items = {}
        self.calls = []
        self.before = None

    def call(self, operation, request):
        self.calls.append(operation)
        assert request["TableName"] == "Books"
        return getattr(self, f"_{operation.lower()}")(request)

    def _getitem(self, request):
        item = self.items.get(request["Key"]["id"]["S"])
        return {"Item": dict(item)} if item else {}

    def _query(self, request):
        assert request["ExpressionAttributeValues"] == {":shelf": {"S": "all"}}
        after = request.get("ExclusiveStartKey", {}).get("id", {}).get("S", "~")
        found = [self.items[name] for name in sorted(self.items, reverse=True) if name < after]
        answer = {"Items": found[: request["Limit"]]}
        if len(found) >= request["Limit"]:
            answer["LastEvaluatedKey"] = {}  # as DynamoDB does, also when nothing follows
        return answer

    def _check(self, request, existing):
        if self.before:
            self.before, change = None, self.before
            change()
        existing = self.items.get(existing)
        match request.get("ConditionExpression"):
            case "attribute_not_exists(id)":
                holds = existing is None
            case "version = :seen":
                holds = existing is not None and existing["version"] == request["ExpressionAttributeValues"][":seen"]
            case None:
                holds = True
        if not holds:
            raise ConditionFailedError(existing, retried=False)

    def _putitem(self, request):
        self._check(request, request["Item"]["id"]["S"])
        self.items[request["Item"]["id"]["S"]] = request["Item"]
        return {}

    def _deleteitem(self, request):
        self._check(request, request["Key"]["id"]["S"])
        self.items.pop(request["Key"]["id"]["S"], None)
        return {}


class Api:
    """The handler on a table, called as a user."""

    def __init__(self):
        self.table = Table()
        self.now = NOW

    def call(self, method, path, who=ADA, *, body=None, query="", **headers):
        self.now += 0.01
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            given = {"content-type": "application/json", **given}
            body = body if isinstance(body, str | bytes) else json.dumps(body)
        identity = identity_headers(**who) if who else {}
        event = make_event(method=method, path=path, query=query, headers={**identity, **given}, body=body)
        answer = handler.respond(event, store=lambda: store.BookStore(self.table, "Books"), now=self.now)
        return Answer(answer)

    def create(self, who=ADA, **changes):
        answer = self.call("POST", "/api/books", who, body={**BOOK, **changes})
        assert answer.status == 201, answer.json
        return answer.json


class Answer:
    def __init__(self, raw):
        self.raw, self.status, self.headers = raw, raw["statusCode"], raw["headers"]
        self.json = json.loads(raw["body"]) if raw["body"] else None

    @property
    def fields(self):
        return [error["field"] for error in self.json["errors"]]


@pytest.fixture
def api(monkeypatch):
    monkeypatch.setenv("EDGE_ACCOUNT_ID", ACCOUNT_ID)
    monkeypatch.setenv("EDGE_ROLE_NAME", ROLE_NAME)
    monkeypatch.delenv("EDGE_DISTRIBUTION_ARN", raising=False)
    return Api()


# --- the book's fields ------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
NOT_TEXT = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.lists(TEXT), st.just({}))


@given(
    title=TEXT.filter(str.strip),
    author=TEXT.filter(str.strip),
    year=st.none() | st.integers(-9999, 9999),
    notes=TEXT,
)
def test_what_is_a_book_comes_out_as_it_went_in(title, author, year, notes):
    """Nothing is trimmed, escaped or normalised: a person's text is data."""
    document = {"title": title, "author": author, "year": year, "notes": notes}
    assert validation.parse_book(document, complete=True).document() == document


@given(st.recursive(NOT_TEXT, lambda inner: st.dictionaries(TEXT, inner), max_leaves=5))
@settings(max_examples=60)
def test_what_is_no_book_is_refused_and_never_breaks_anything(document):
    """Any JSON value is either a book or a 422 that names what is wrong."""
    with pytest.raises(Problem) as refused:
        validation.parse_book(document, complete=True)
    assert (refused.value.status, refused.value.code) == (422, "invalid_book")
    assert refused.value.members["errors"]
    json.dumps(refused.value.document("id"))


@pytest.mark.parametrize(
    ("field", "value", "accepted"),
    [
        ("title", "x", True),
        ("title", "", False),
        ("title", " \t"[:1], False),
        ("title", "x" * 200, True),
        ("title", "x" * 201, False),
        ("title", "😀" * 200, True),
        ("title", "😀" * 201, False),
        ("title", "two\nlines", False),
        ("title", "nul\0", False),
        ("title", "\ud83d", False),
        ("title", 1, False),
        ("title", None, False),
        ("title", "<script>alert(1)</script>", True),
        ("author", "x" * 200, True),
        ("author", "x" * 201, False),
        ("author", "", False),
        ("notes", "", True),
        ("notes", "two\nlines\r\n\tand a tab", True),
        ("notes", "bell\a", False),
        ("notes", "x" * 2000, True),
        ("notes", "x" * 2001, False),
        ("notes", None, False),
        ("year", None, True),
        ("year", -9999, True),
        ("year", -10000, False),
        ("year", 9999, True),
        ("year", 10000, False),
        ("year", 1984.0, False),
        ("year", "1984", False),
        ("year", True, False),
        ("year", [1984], False),
    ],
)
def test_each_field_has_its_bounds(api, field, value, accepted):
    """Accept and refuse on both sides of every bound; the entry names the field."""
    answer = api.call("POST", "/api/books", body={**BOOK, field: value})
    assert answer.status == (201 if accepted else 422), answer.json
    if accepted:
        assert answer.json[field] == value
        assert api.call("GET", answer.headers["Location"]).json[field] == value
    else:
        assert answer.fields == [field]
        assert answer.json["code"] == "invalid_book"


def test_every_fault_is_named_at_once(api):
    """A person corrects a form once."""
    answer = api.call("POST", "/api/books", body={"title": "", "year": "x", "isbn": 1, "notes": 3})
    assert answer.status == 422
    assert sorted(answer.fields) == ["author", "isbn", "notes", "title", "year"]


def test_a_new_book_may_leave_out_year_and_notes_and_an_update_may_not(api):
    """An update replaces: a field that is left out would be reset silently."""
    created = api.call("POST", "/api/books", body={"title": "A", "author": "B"})
    assert (created.json["year"], created.json["notes"]) == (None, "")
    answer = api.call("PUT", created.headers["Location"], body={"title": "A", "author": "B"}, if_match='"1"')
    assert (answer.status, answer.fields) == (422, ["year", "notes"])


def test_made_up_names_do_not_make_a_long_answer(api):
    """A thousand unknown fields of a hundred characters, with control characters, give twenty short entries."""
    made_up = {f"\x1b[31m{number}" + "y" * 100: 1 for number in range(400)}
    answer = api.call("POST", "/api/books", body={**BOOK, **made_up})
    assert answer.status == 422
    assert len(answer.json["errors"]) == 20
    assert len(answer.raw["body"]) < 6000
    assert "\x1b" not in answer.json["detail"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("{", 400, "malformed_json"),
        ("", 400, "malformed_json"),
        ("\ufeff{}", 400, "malformed_json"),
        (b"\xff\xfe{}", 400, "malformed_json"),
        ('{"title": NaN}', 400, "malformed_json"),
        ('{"title": "a", "title": "b"}', 400, "malformed_json"),
        ('{"year": ' + "9" * 5000 + "}", 400, "malformed_json"),
        ("[" * 30_000, 400, "malformed_json"),
        ("[]", 422, "invalid_book"),
        ("null", 422, "invalid_book"),
        ('"text"', 422, "invalid_book"),
        ("x" * (64 * 1024 + 1), 422, "invalid_book"),
    ],
)
def test_a_body_that_is_no_book_is_refused_by_its_name(api, body, status, code):
    """Strict JSON: two readers must never see two books in one body."""
    answer = api.call("POST", "/api/books", body=body)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert api.table.items == {}


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 201),
        ("Application/JSON; charset=UTF-8", 201),
        ('application/json;charset="utf-8"', 201),
        ("application/json; charset=utf-16", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
        ("application/jsonx", 415),
        ("", 415),
    ],
)
def test_a_book_comes_as_json(api, content_type, status):
    """A form of another page can send text/plain without a preflight; it cannot send application/json."""
    answer = api.call("POST", "/api/books", body=json.dumps(BOOK), content_type=content_type)
    assert answer.status == status


def test_a_binary_body_is_read_as_lambda_encodes_it(api):
    """Lambda sends some bodies in base64."""
    assert api.call("POST", "/api/books", body=json.dumps(BOOK).encode()).status == 201


# --- the list ---------------------------------------------------------------------------------------------------------


def test_pages_are_newest_first_and_end(api):
    """Every book once, in the order of age, and no empty page at the end when the number comes out even."""
    made = [api.create(title=f"book {number}")["id"] for number in range(6)]
    seen, following, pages = [], "", 0
    while following is not None:
        query = f"limit=2{f'&cursor={following}' if following else ''}"
        page = api.call("GET", "/api/books", query=query).json
        seen += [book["id"] for book in page["books"]]
        following, pages = page["next"], pages + 1
    assert seen == made[::-1]
    assert pages == 3


def test_a_book_that_comes_between_two_pages_shifts_nothing(api):
    """A cursor is a place in the list, not a number of books."""
    first, second, third = (api.create(title=title)["id"] for title in "abc")
    page = api.call("GET", "/api/books", query="limit=1").json
    assert [book["id"] for book in page["books"]] == [third]
    api.create(title="d")
    rest = api.call("GET", "/api/books", query=f"cursor={page['next']}").json
    assert ([book["id"] for book in rest["books"]], rest["next"]) == ([second, first], None)


@given(st.integers(0, 2**48 - 1))
def test_a_cursor_names_the_id_that_it_was_made_of(milliseconds):
    """A URL takes it as it is."""
    book_id = store.new_id(milliseconds / 1000)
    made = cursor.encode(book_id)
    assert cursor.decode(made) == book_id
    assert set(made) <= set(string.ascii_letters + string.digits + "-_")


@given(
    st.text(st.characters(codec="ascii"), max_size=60)
    | st.binary(min_size=17, max_size=17).map(lambda content: base64.urlsafe_b64encode(content).decode().rstrip("="))
)
def test_a_made_up_cursor_is_refused_or_names_an_id_and_nothing_else(text):
    """Only an id ever reaches the table."""
    decoded = cursor.decode(text)
    assert decoded is None or (cursor.BOOK_ID.fullmatch(decoded) and cursor.encode(decoded) == text)


def test_no_changed_cursor_is_a_server_error(api):
    """Each character of a real one changed in turn: 200 at another place of the same list, or 400."""
    good = cursor.encode(api.create()["id"])
    seen = set()
    for position in range(len(good)):
        for other in "A_z":
            answer = api.call("GET", "/api/books", query=f"cursor={good[:position]}{other}{good[position + 1 :]}")
            seen.add(answer.status)
            if answer.status == 400:
                assert (answer.json["code"], answer.fields) == ("invalid_query", ["cursor"])
    assert seen == {200, 400}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=", "limit"),
        ("limit=1.0", "limit"),
        ("limit=%D9%A3", "limit"),  # an Arabic digit, which int() would take
        ("limit=1&limit=2", "limit"),
        ("cursor=", "cursor"),
        ("cursor=..%2F..%2Fother", "cursor"),
        ("shelf=other", "shelf"),
        ("Limit=1", "Limit"),
    ],
)
def test_a_query_that_means_nothing_is_refused(api, query, field):
    """If it were ignored, a typing error would look like a short list."""
    answer = api.call("GET", "/api/books", query=query)
    assert (answer.status, answer.json["code"], answer.fields) == (400, "invalid_query", [field])
    assert api.table.calls == []


@pytest.mark.parametrize("limit", [1, 100])
def test_the_limits_own_bounds_are_taken(api, limit):
    """The accepting half of the pair above."""
    api.create()
    assert len(api.call("GET", "/api/books", query=f"limit={limit}").json["books"]) == 1


def test_ids_sort_by_age_and_are_uuids():
    """Version 7, variant 10 (RFC 9562): that is what makes the list's order."""
    ids = [store.new_id(NOW + number / 1000) for number in range(50)]
    assert ids == sorted(ids)
    assert all(cursor.BOOK_ID.fullmatch(book_id) for book_id in ids)


# --- whose book, and which version ------------------------------------------------------------------------------------


def test_the_owner_is_who_the_gateway_verified(api):
    """An owner in the body is an unknown field."""
    book = api.create(ADA)
    assert (book["owner"], book["owner_name"], book["version"]) == ("ada-sub", "ada", 1)
    assert book["created_at"] == book["updated_at"]
    answer = api.call("POST", "/api/books", body={**BOOK, "owner": "eve-sub"})
    assert (answer.status, answer.fields) == (422, ["owner"])


@pytest.mark.parametrize(
    ("who", "put", "delete"),
    [
        (ADA, 200, 204),
        (EVE, 403, 403),
        ({**EVE, "groups": "admins"}, 403, 204),
        ({**EVE, "groups": "readers,x%2Cadmins"}, 403, 403),
    ],
)
def test_only_the_owner_changes_and_only_owner_and_admins_delete(api, who, put, delete):
    """An administrator may delete a book, but not put words into its owner's mouth."""
    path = f"/api/books/{api.create(ADA)['id']}"
    answer = api.call("PUT", path, who, body=BOOK, if_match='"1"')
    assert answer.status == put
    assert put == 200 or answer.json["code"] == "not_owner"
    answer = api.call("DELETE", path, who)
    assert answer.status == delete
    assert delete == 204 or answer.json["code"] == "not_owner"
    assert api.call("GET", path).status == (404 if delete == 204 else 200)


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ('"1"', 200),
        ('W/"1"', 200),
        ('"7", "1"', 200),
        ('"2"', 412),
        ('"01"', 412),
        ("1", 412),
        ('"1', 412),
        ('""', 412),
        ("*", 428),
        (None, 428),
    ],
)
def test_an_update_names_the_version_that_it_was_made_on(api, if_match, status):
    """A weak tag counts (CloudFront weakens them); ``*`` names none."""
    book = api.create()
    headers = {} if if_match is None else {"if_match": if_match}
    answer = api.call("PUT", f"/api/books/{book['id']}", body={**BOOK, "title": "New"}, **headers)
    assert answer.status == status
    if status == 200:
        assert (answer.json["version"], answer.headers["ETag"], answer.json["title"]) == (2, '"2"', "New")
        assert (answer.json["created_at"], answer.json["owner"]) == (book["created_at"], book["owner"])
        assert answer.json["updated_at"] > book["updated_at"]
    if status == 412:
        assert (answer.json["code"], answer.json["current"]) == ("version_conflict", book)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_change_between_read_and_write_is_noticed(api, method):
    """DynamoDB checks the condition, so there is no gap between the two operations."""
    book = api.create()
    path = f"/api/books/{book['id']}"
    api.table.before = lambda: api.call("PUT", path, body={**BOOK, "title": "Faster"}, if_match='"1"')
    answer = api.call(method, path, body=BOOK if method == "PUT" else None, if_match='"1"')
    assert (answer.status, answer.json["code"], answer.json["current"]["title"]) == (412, "version_conflict", "Faster")
    assert api.call("GET", path).json["version"] == 2


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_book_that_goes_between_read_and_write_is_gone(api, method):
    """An update does not create it again."""
    path = f"/api/books/{api.create()['id']}"
    api.table.before = api.table.items.clear
    answer = api.call(method, path, body=BOOK if method == "PUT" else None, if_match='"1"')
    assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert api.table.items == {}


def test_a_deletion_compares_a_version_only_if_it_is_sent(api):
    """Old version: 412 and the book stays; none: gone."""
    path = f"/api/books/{api.create()['id']}"
    assert api.call("DELETE", path, if_match='"9"').status == 412
    assert api.call("DELETE", path, if_match="*").status == 204
    assert api.call("DELETE", path).status == 404


# --- who gets no answer, and what never gets out ----------------------------------------------------------------------


def test_nobody_has_no_books(api):
    """Where a policy opens the path to anyone, a caller without a token gets the gateway's own code."""
    for method in ("GET", "POST"):
        answer = api.call(method, "/api/books", None, body=BOOK if method == "POST" else None)
        assert (answer.status, answer.json["code"]) == (401, "missing_token")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert api.table.calls == []


def test_others_than_the_gateway_are_refused_whatever_they_ask(api, monkeypatch, capsys):
    """Also for unknown paths; only the log has the reason."""
    monkeypatch.setenv("EDGE_ROLE_NAME", "AnotherRole")
    for path in ("/api/books", "/api/nothing"):
        answer = api.call("GET", path)
        assert (answer.status, answer.json["code"]) == (403, "untrusted_caller")
        assert "AnotherRole" not in answer.raw["body"]
    assert "AnotherRole" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("PATCH", "/api/books", 405, "GET, HEAD, POST"),
        ("PUT", "/api/books", 405, "GET, HEAD, POST"),
        ("POST", "/api/books/x", 405, "DELETE, GET, HEAD, PUT"),
        ("GET", "/api/books/x", 404, None),
        ("GET", "/api/books/", 404, None),
        ("GET", "/api/booksellers", 404, None),
        ("GET", "/api/books/00000000-0000-7000-8000-000000000000/x", 404, None),
        ("GET", "/api/books/00000000-0000-7000-8000-00000000000G", 404, None),
    ],
)
def test_paths_and_methods_that_there_are_not(api, method, path, status, allow):
    """405 names the methods; a malformed id is 404 without a look at the table."""
    answer = api.call(method, path)
    assert (answer.status, answer.headers.get("Allow")) == (status, allow)
    assert api.table.calls == []


def test_every_problem_has_the_gateways_form(api):
    """Type, title, status, detail, code, request_id; never cached."""
    answer = api.call("GET", "/api/books/00000000-0000-7000-8000-000000000000")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json == {
        "type": "urn:cognito-edge-gateway:problem:not_found",
        "title": "Not Found",
        "status": 404,
        "detail": answer.json["detail"],
        "code": "not_found",
        "request_id": REQUEST_ID,
    }


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [(StoreError("throttled"), 503, "store_unavailable"), (RuntimeError("secret"), 500, "internal_error")],
)
def test_faults_are_answered_and_explained_in_the_log_alone(api, capsys, fault, status, code):
    """A table that does not answer is 503 with Retry-After; a bug is a bare 500."""

    def fail(_request):
        raise fault

    api.table._query = fail
    answer = api.call("GET", "/api/books")
    assert (answer.status, answer.json["code"]) == (status, code)
    assert ("Retry-After" in answer.headers) is (status == 503)
    assert str(fault) not in answer.raw["body"]
    assert str(fault) in capsys.readouterr().out


def test_the_log_has_no_secret_and_no_words_of_anybody(api, capsys):
    """One JSON object a line: no token, no sub, no query, no book."""
    api.create(title="very private title")
    api.call("GET", "/api/books", query="limit=7&cursor=sesame")
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["status"] for line in lines] == [201, 400]
    for word in (SESSION_TOKEN, "ada-sub", "very private", "sesame"):
        assert word not in "".join(lines)


@pytest.mark.parametrize("event", [None, {}, [], {"requestContext": 3}, {"rawPath": "/api/books"}])
def test_an_event_that_is_none_is_answered(api, event):
    """It fails closed, with an answer of our own."""
    answer = handler.respond(event, store=lambda: None, now=NOW)
    assert answer["statusCode"] in (403, 500)
    assert json.loads(answer["body"])["code"] in ("untrusted_caller", "internal_error")


def test_a_head_is_a_get_without_its_body(api):
    """HEAD has the same status and headers as GET."""
    path = f"/api/books/{api.create()['id']}"
    answer = api.call("HEAD", path)
    assert (answer.status, answer.raw["body"], answer.headers["ETag"]) == (200, "", '"1"')
