"""The corpus of awkward URLs as raw bytes through the running local system: no 403, no 5xx, and nothing lost on the way."""

import http.client
import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

import pytest
from cognito_edge_local.cloudfront.origin_request_event import text_of

from tests.support.awkward_urls import AwkwardUrl, awkward_urls

pytestmark = pytest.mark.e2e

URLS = awkward_urls()


@dataclass(frozen=True)
class Answer:
    """What came back for one URL."""

    status: int
    body: bytes

    @property
    def document(self) -> dict:
        """The answer's JSON object, or an empty one where it is something else."""
        try:
            document = json.loads(self.body)
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}

    @property
    def code(self) -> str:
        """The refusal's code, or nothing."""
        return str(self.document.get("code", ""))


def ask(gateway_url: str, token: str, target: bytes) -> Answer:
    """Send a GET for exactly these bytes: an HTTP client would tidy them up first."""
    parts = urlsplit(gateway_url)
    head = [
        b"GET " + target + b" HTTP/1.1",
        b"Host: " + parts.netloc.encode(),
        b"Authorization: Bearer " + token.encode(),
        b"Accept: application/json",
        b"Connection: close",
    ]
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        connection.sendall(b"\r\n".join(head) + b"\r\n\r\n")
        response = http.client.HTTPResponse(connection, method="GET")
        try:
            response.begin()
            return Answer(response.status, response.read())
        finally:
            response.close()


@pytest.fixture(scope="module")
def answers(system) -> dict[bytes, Answer]:
    """Send every URL once, a few at a time."""
    gateway_url, token = system.outputs["gateway_url"], system.token
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda url: ask(gateway_url, token, url.target), URLS)
        return {url.target: answer for url, answer in zip(URLS, found, strict=True)}


@pytest.mark.timeout(600)
def test_no_awkward_url_ends_in_a_403_or_a_server_error(answers, capsys):
    """The complaint about every other system of this kind; with a table of what was forwarded and what was refused."""
    rows = sorted(URLS, key=lambda url: (url.expect != "forwarded", url.expect))
    with capsys.disabled():
        print("\n\nAwkward URLs through the running system")
        print(f"{'status':6}  {'outcome':15}  {'target':78}  why it is awkward")
        for url in rows:
            answer = answers[url.target]
            outcome = "forwarded" if answer.status == 200 else answer.code or "not HTTP"
            print(f"{answer.status:<6}  {outcome:15}  {url.shown:78}  {url.reason}")
        forwarded = sum(answer.status == 200 for answer in answers.values())
        print(f"{len(URLS)} URLs: {forwarded} forwarded, {len(URLS) - forwarded} refused\n")
    bad = {
        url.shown: (answers[url.target].status, answers[url.target].body[:200])
        for url in URLS
        if answers[url.target].status == 403 or answers[url.target].status >= 500
    }
    assert not bad


@pytest.mark.parametrize("url", URLS, ids=lambda url: f"{url.reason[:40]}: {url.shown[:48]}")
def test_awkward_url_reaches_the_backend_unharmed_or_is_refused_as_said(answers, url: AwkwardUrl):
    """What the backend saw means what was sent; what was refused has the code that the corpus names."""
    answer = answers[url.target]
    if not url.on_the_wire:
        assert answer.status == 400
        return
    if url.expect != "forwarded":
        assert (answer.status, answer.code) == (400, url.expect)
        return
    assert answer.status == 200, answer.body[:300]
    if "raw_path" in answer.document:
        path, query = text_of(url.path), text_of(url.query)
        assert unquote_to_bytes(answer.document["raw_path"]) == unquote_to_bytes(re.sub("//+", "/", path))
        received = parse_qsl(answer.document["raw_query"], keep_blank_values=True)
        assert received == parse_qsl(query, keep_blank_values=True)
