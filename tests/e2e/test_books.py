"""The books through the whole system: CloudFront's twin, the edge function, IAM's door, the function, DynamoDB."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from cognito_edge_local.emulator import process as emulator

pytestmark = pytest.mark.e2e

BOOK = {"title": "Middlemarch", "author": "George Eliot", "year": 1871, "notes": "Eight books\nin one."}
PASSWORD = "Correct-horse-9-battery"
NO_SUCH = "00000000-0000-7000-8000-000000000000"


class Person:
    """A person with a token, and a way to call the books with it."""

    def __init__(self, system, token):
        self.base = system.url
        self.http = requests.Session()
        self.http.headers["Authorization"] = f"Bearer {token}"

    def call(self, method, path="/api/books", **options):
        return self.http.request(method, self.base + path, timeout=60, **options)

    def create(self, **changes):
        answer = self.call("POST", json={**BOOK, **changes})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def put(self, book, version, **changes):
        fields = {name: book[name] for name in BOOK} | changes
        return self.call("PUT", f"/api/books/{book['id']}", json=fields, headers={"If-Match": f'"{version}"'})


def sign_up(system, name, *options):
    done = system.script(
        "user.py", "create", name, "--local", "--password-stdin", "--permanent", *options, stdin=PASSWORD
    )
    assert done.returncode == 0, done.stderr
    signed_in = ("--local", "--username", name, "--password-stdin", "--no-cache")
    done = system.script("get_token.py", *signed_in, stdin=PASSWORD)
    assert done.returncode == 0, done.stderr
    return Person(system, done.stdout.strip())


@pytest.fixture(scope="module")
def people(system):
    """Ada and eve, and an administrator; made by the scripts that people use, and removed afterwards."""
    names = {"ada": (), "eve": (), "root": ("--group", "admins", "--create-groups")}
    with ThreadPoolExecutor() as pool:
        found = dict(
            zip(names, pool.map(lambda name: sign_up(system, f"books-{name}", *names[name]), names), strict=True)
        )
    yield found
    cognito = emulator.root_client("cognito-idp", system.outputs["aws_endpoint_url"])
    for name, person in found.items():
        person.http.close()
        cognito.admin_delete_user(UserPoolId=system.outputs["user_pool_id"], Username=f"books-{name}")


@pytest.fixture
def ada(people):
    return people["ada"]


@pytest.fixture
def eve(people):
    return people["eve"]


@pytest.fixture(autouse=True)
def no_books(people):
    """Every test begins with an empty shelf."""
    for book in people["root"].call("GET", "/api/books?limit=100").json()["books"]:
        assert people["root"].call("DELETE", f"/api/books/{book['id']}").status_code == 204


def test_a_book_lives_from_creation_to_deletion(ada):
    """Every operation once, with its status, headers and document."""
    created = ada.call("POST", json=BOOK)
    book = created.json()
    path = created.headers["Location"]
    assert created.status_code == 201
    assert path == f"/api/books/{book['id']}"
    assert created.headers["ETag"] == '"1"'
    assert {name: book[name] for name in BOOK} == BOOK
    assert (book["owner_name"], book["version"], len(book["owner"])) == ("books-ada", 1, 36)

    read = ada.call("GET", path)
    assert (read.status_code, read.json(), read.headers["ETag"]) == (200, book, '"1"')
    assert ada.call("HEAD", path).headers["ETag"] == '"1"'

    updated = ada.put(book, 1, title="Daniel Deronda", year=None)
    assert (updated.status_code, updated.headers["ETag"]) == (200, '"2"')
    changed = updated.json()
    assert (changed["title"], changed["year"], changed["version"]) == ("Daniel Deronda", None, 2)
    assert (changed["id"], changed["owner"], changed["created_at"]) == (book["id"], book["owner"], book["created_at"])
    assert changed["updated_at"] > book["updated_at"]

    assert ada.call("GET").json() == {"books": [changed], "next": None}
    deleted = ada.call("DELETE", path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert ada.call("GET", path).status_code == 404
    assert ada.call("GET").json()["books"] == []


def test_without_a_token_there_are_no_books(system, ada):
    """Refused at the edge; the function is not even asked. Its own address refuses unsigned requests."""
    path = f"/api/books/{ada.create()['id']}"
    for method in ("GET", "PUT", "DELETE"):
        answer = requests.request(method, system.url + path, timeout=30)
        assert (answer.status_code, answer.json()["code"]) == (401, "missing_token")
    door = system.outputs["function_urls"]["books"].rstrip("/")
    assert requests.get(door + "/api/books", headers=ada.http.headers, timeout=30).status_code == 403
    assert ada.call("GET", path).status_code == 200


def test_a_book_belongs_to_who_made_it(people, ada, eve):
    """Another user reads it, and can neither change nor delete it, whatever headers they send; an administrator deletes."""
    book = ada.create()
    path = f"/api/books/{book['id']}"
    assert eve.call("GET", path).json()["owner_name"] == "books-ada"
    forged = {"If-Match": '"1"', "x-cognito-sub": book["owner"], "x-cognito-groups": "admins"}
    for method, body in (("PUT", BOOK), ("DELETE", None)):
        answer = eve.call(method, path, json=body, headers=forged)
        assert (answer.status_code, answer.json()["code"]) == (403, "not_owner")
    administrator = people["root"]
    assert administrator.put(book, 1, title="Mine now").status_code == 403
    assert ada.call("GET", path).json() == book
    assert administrator.call("DELETE", path).status_code == 204
    assert ada.call("GET", path).status_code == 404


def test_of_two_editors_of_one_version_the_second_is_told(ada):
    """Nothing is lost: the first one's words stand, and the second gets them together with the refusal."""
    book = ada.create()
    first = ada.put(book, 1, notes="the first one's words")
    second = ada.put(book, 1, notes="the second one's words")
    assert (first.status_code, second.status_code) == (200, 412)
    problem = second.json()
    assert (problem["code"], problem["current"]) == ("version_conflict", first.json())
    again = ada.put(problem["current"], problem["current"]["version"], notes="both")
    assert (again.status_code, again.json()["version"]) == (200, 3)
    blind = ada.call("PUT", f"/api/books/{book['id']}", json=BOOK)
    assert (blind.status_code, blind.json()["code"]) == (428, "precondition_required")
    late = ada.call("DELETE", f"/api/books/{book['id']}", headers={"If-Match": '"1"'})
    assert (late.status_code, late.json()["current"]["notes"]) == (412, "both")


def test_many_writers_at_once_lose_nothing(system, ada):
    """Six people add their line to one book's notes, each again until it is in: all lines are there in the end."""
    book = ada.create(notes="")
    path = f"/api/books/{book['id']}"
    token = ada.http.headers["Authorization"].removeprefix("Bearer ")

    def write(number):
        person, statuses = Person(system, token), []
        with person.http:
            current = person.call("GET", path).json()
            while not statuses or statuses[-1] == 412:
                answer = person.put(current, current["version"], notes=f"{current['notes']}{number};")
                statuses.append(answer.status_code)
                current = answer.json().get("current")
        return statuses

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(write, range(6)))
    assert all(found[-1] == 200 for found in statuses), statuses
    after = ada.call("GET", path).json()
    assert sorted(after["notes"].rstrip(";").split(";")) == list("012345")
    assert after["version"] == 7  # six updates, none on top of another


def test_the_list_comes_in_pages_newest_first(ada, eve):
    """The books of all people, each once. A cursor that a client made up is refused."""
    made = [person.create(title=f"book {number}")["id"] for number, person in enumerate([ada, eve, ada, eve, ada])]
    seen, following = [], ""
    while following is not None:
        page = ada.call("GET", "/api/books", params={"limit": 2, **({"cursor": following} if following else {})}).json()
        seen.append([book["id"] for book in page["books"]])
        following = page["next"]
    newest_first = made[::-1]
    assert seen == [newest_first[:2], newest_first[2:4], newest_first[4:]]
    for query in ("cursor=eyJzaGVsZiI6IngifQ", "cursor=%00", "cursor=' OR 1=1", "limit=101", "limit=0", "shelf=x"):
        answer = ada.call("GET", f"/api/books?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_query"), query


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"title": "x" * 200, "author": "é" * 200, "notes": "😀" * 2000}, 201),
        ({"title": "x" * 201}, 422),
        ({"author": "x" * 201}, 422),
        ({"notes": "x" * 2001}, 422),
        ({"title": ""}, 422),
        ({"year": "1871"}, 422),
        ({"isbn": "1"}, 422),
    ],
)
def test_fields_have_bounds_on_the_whole_way(ada, fields, status):
    """Bytes and characters survive the signature, the event and the table; one more is refused with its field."""
    answer = ada.call("POST", json={**BOOK, **fields})
    assert answer.status_code == status, answer.text
    if status == 201:
        stored = ada.call("GET", answer.headers["Location"]).json()
        assert {name: stored[name] for name in fields} == fields
    else:
        assert [error["field"] for error in answer.json()["errors"]] == list(fields)


def test_markup_is_data(ada):
    """Stored and returned as it came, as JSON that no browser takes for a page."""
    hostile = "<script>alert(document.domain)</script><img src=x onerror=alert(1)>\"'`${{7*7}}"
    book = ada.create(title=hostile, notes=hostile)
    answer = ada.call("GET", f"/api/books/{book['id']}")
    assert (answer.json()["title"], answer.json()["notes"]) == (hostile, hostile)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("POST", "", {"data": b"{", "headers": {"content-type": "application/json"}}, 400, "malformed_json"),
        ("POST", "", {"data": b"\xff\xfe", "headers": {"content-type": "application/json"}}, 400, "malformed_json"),
        (
            "POST",
            "",
            {"data": json.dumps(BOOK), "headers": {"content-type": "text/plain"}},
            415,
            "unsupported_media_type",
        ),
        ("POST", "", {"data": BOOK}, 415, "unsupported_media_type"),
        ("POST", "", {"json": [BOOK]}, 422, "invalid_book"),
        ("PATCH", "", {"json": BOOK}, 405, "method_not_allowed"),
        ("GET", f"/{NO_SUCH}", {}, 404, "not_found"),
        ("DELETE", f"/{NO_SUCH}", {}, 404, "not_found"),
        ("PUT", f"/{NO_SUCH}", {"json": BOOK, "headers": {"If-Match": '"1"'}}, 404, "not_found"),
        ("GET", "/x%27--", {}, 404, "not_found"),
        ("GET", "shelf", {}, 404, "not_found"),
    ],
)
def test_what_cannot_be_done_is_refused_in_the_gateways_form(ada, method, path, options, status, code):
    """The same members as the edge's own refusals, so that a page has one way to show them."""
    answer = ada.call(method, f"/api/books{path}", **options)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["type"] == f"urn:cognito-edge-gateway:problem:{code}"
    assert problem.keys() >= {"title", "detail", "request_id"}
    assert (status == 405) is ("Allow" in answer.headers)


def test_the_function_may_touch_items_and_nothing_else(system):
    """Under its own deployed role at the emulator, which enforces it: the table's items yes, the table itself no."""
    iam = emulator.root_client("iam", system.outputs["aws_endpoint_url"])
    (role,) = [role["RoleName"] for role in iam.list_roles()["Roles"] if "BooksApiRole" in role["RoleName"]]
    documents = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    actions = [
        action
        for document in documents
        for statement in document["Statement"]
        for action in statement["Action"]
        if action.startswith("dynamodb")
    ]
    assert sorted(actions) == ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"]
