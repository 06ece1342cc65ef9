"""``backend/books/dynamodb.py``: the signature against botocore's, and attempts that fail."""

import json
from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from backend.books import dynamodb, store
from backend.books.dynamodb import Client, ConditionFailedError, Credentials, StoreError
from backend.books.store import BookGoneError, BookStore, VersionConflictError
from backend.books.validation import BookFields
from tests.support.http_fake import HttpFake, json_answer

CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session/+==")
FIELDS = BookFields(title="A", author="B", year=None, notes="")
NOW = 1_795_260_180.0


class Dynamo(HttpFake):
    """Answers with what the script says, in turn: (status, document), or "drop" for a connection that ends."""

    def __init__(self):
        self.script = []
        self.requests = []
        self.pauses = []
        super().__init__(self._answer)
        self.client = Client(self.url, "eu-west-1", credentials=lambda: CREDENTIALS, sleep=self.pauses.append)
        self.books = BookStore(self.client, "Books")

    def _answer(self, asked):
        body = json.loads(asked.body)
        self.requests.append((asked.headers["x-amz-target"], body))
        step = self.script.pop(0)
        step = step(body) if callable(step) else step
        if step == "drop":
            return None
        status, document = step
        return json_answer(document, status)

    def close(self):
        self.client.close()
        super().close()


@pytest.fixture
def dynamo():
    running = Dynamo()
    yield running
    running.close()


def failed(item=None):
    """DynamoDB's answer if a condition does not hold."""
    kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"
    return 400, {"__type": kind, "message": "The conditional request failed", **({"Item": item} if item else {})}


def throttled(name="ProvisionedThroughputExceededException"):
    return 400, {"__type": f"com.amazonaws.dynamodb.v20120810#{name}", "message": "slow down"}


@pytest.mark.parametrize("token", ["session/+==", None])
@pytest.mark.parametrize("body", [b"{}", b'{"a": "\xc3\xa4"}'])
def test_the_signature_is_botocores(monkeypatch, token, body):
    """An independent signer, given the same request, time and credentials, writes the same Authorization."""
    host = "dynamodb.eu-west-1.amazonaws.com"
    credentials = Credentials(CREDENTIALS.access_key_id, CREDENTIALS.secret_access_key, token)
    ours = dynamodb.signed_headers("PutItem", body, host=host, region="eu-west-1", credentials=credentials, now=NOW)
    sent = {name: value for name, value in ours.items() if name in ("content-type", "x-amz-target")}
    request = AWSRequest("POST", f"https://{host}/", headers={**sent, "host": host}, data=body)

    class Clock(datetime):
        @classmethod
        def now(cls, _tz=None):
            return datetime.fromtimestamp(NOW, UTC)

        @classmethod
        def utcnow(cls):
            return datetime.fromtimestamp(NOW, UTC).replace(tzinfo=None)

    monkeypatch.setattr("botocore.auth.get_current_datetime", Clock.utcnow, raising=False)
    monkeypatch.setattr("botocore.auth.datetime", type("module", (), {"datetime": Clock}), raising=False)
    keys = BotocoreCredentials(credentials.access_key_id, credentials.secret_access_key, token)
    SigV4Auth(keys, "dynamodb", "eu-west-1").add_auth(request)
    assert ours["x-amz-date"] == request.headers["X-Amz-Date"]
    assert ours["authorization"] == request.headers["Authorization"]
    assert ours.get("x-amz-security-token") == request.headers.get("X-Amz-Security-Token")


def test_credentials_do_not_show_themselves():
    """Neither ``repr`` nor ``str`` shows them."""
    assert "session" not in repr(CREDENTIALS)
    assert "wJalr" not in repr(CREDENTIALS)


@pytest.mark.parametrize(
    ("endpoint", "accepted"),
    [
        ("https://dynamodb.eu-west-1.amazonaws.com", True),
        ("http://127.0.0.1:4566", True),
        ("http://dynamodb.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("ftp://127.0.0.1", False),
    ],
)
def test_credentials_travel_inside_tls_or_on_this_machine(endpoint, accepted):
    """Accept and refuse."""
    if accepted:
        Client(endpoint, "eu-west-1")
        return
    with pytest.raises(ValueError, match="expected https"):
        Client(endpoint, "eu-west-1")


def test_throttling_is_waited_out(dynamo):
    """Twice throttled, then done; the pauses grow, and are random, so that clients do not come back together."""
    dynamo.script = [throttled(), throttled("ThrottlingException"), (200, {})]
    dynamo.books.create(FIELDS, owner="o", owner_name="n", now=NOW)
    assert len(dynamo.requests) == 3
    assert len(dynamo.pauses) == 2
    assert all(0 <= pause <= 0.05 * 2**attempt for attempt, pause in enumerate(dynamo.pauses, 1))


@pytest.mark.parametrize("answers", [[throttled()] * 4, ["drop"] * 4, [(500, {})] * 4])
def test_it_gives_up_after_four_attempts(dynamo, answers):
    """The error says what it saw."""
    dynamo.script = list(answers)
    with pytest.raises(StoreError, match="PutItem: "):
        dynamo.books.create(FIELDS, owner="o", owner_name="n", now=NOW)
    assert len(dynamo.requests) == 4


def test_what_is_wrong_for_good_is_not_tried_again(dynamo):
    """A missing permission is still missing 50 ms later."""
    dynamo.script = [throttled("AccessDeniedException")]
    with pytest.raises(StoreError, match="AccessDeniedException"):
        dynamo.books.get("x")
    assert len(dynamo.requests) == 1


def test_a_write_whose_answer_was_lost_is_recognised_by_its_own_mark(dynamo):
    """The first attempt wrote and its answer got lost; the second meets the first's book, and that is success."""
    written = []

    def write_and_drop(body):
        written.append(body["Item"])
        return "drop"

    dynamo.script = [write_and_drop, lambda _: failed(written[0])]
    book = dynamo.books.create(FIELDS, owner="o", owner_name="n", now=NOW)
    assert written[0]["id"] == {"S": book["id"]}


def test_another_callers_write_is_not_taken_for_ours(dynamo):
    """Same situation, but the book that is there carries another mark."""
    current = {"id": "x", **FIELDS.document(), "owner": "o", "owner_name": "n", "version": 3}
    current |= {"created_at": "t", "updated_at": "t"}

    def written_by_another(_):
        return failed({**store._item({**current, "version": 4}), "write": {"S": "somebody"}})

    dynamo.script = ["drop", written_by_another]
    with pytest.raises(VersionConflictError) as conflict:
        dynamo.books.replace(current, FIELDS, now=NOW)
    assert conflict.value.current["version"] == 4


def test_a_deletion_whose_answer_was_lost_is_a_deletion(dynamo):
    """Gone at the second attempt after a lost answer: done. Gone at the first: another caller deleted it."""
    dynamo.script = ["drop", failed()]
    dynamo.books.delete("x", version=1)
    dynamo.script = [failed()]
    with pytest.raises(BookGoneError):
        dynamo.books.delete("x", version=1)


def test_a_connection_that_was_closed_meanwhile_is_opened_again(dynamo):
    """A function that was frozen for minutes wakes up with a dead connection."""
    dynamo.script = [(200, {}), (200, {})]
    with pytest.raises(BookGoneError):
        dynamo.books.get("x")
    dynamo.client._connection.sock.close()
    with pytest.raises(BookGoneError):
        dynamo.books.get("x")


@pytest.mark.parametrize("answer", [(200, []), (200, "text")])
def test_an_answer_that_is_no_object_is_no_success(dynamo, answer):
    """A proxy may answer in DynamoDB's place."""
    dynamo.script = [answer] * 4
    with pytest.raises(StoreError):
        dynamo.client.call("GetItem", {})


def test_a_failed_condition_tells_what_is_there(dynamo):
    """The item as it is, so that an editor can be shown it without another read."""
    dynamo.script = [failed({"id": {"S": "x"}})]
    with pytest.raises(ConditionFailedError) as error:
        dynamo.client.call("PutItem", {})
    assert (error.value.item, error.value.retried) == ({"id": {"S": "x"}}, False)
