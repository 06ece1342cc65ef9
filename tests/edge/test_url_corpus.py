"""The corpus of awkward URLs through the gateway, with three reference signers; each one forwarded or refused as said."""

import json
import re
from urllib.parse import parse_qsl, unquote_to_bytes

import pytest
from cognito_edge_local.cloudfront.origin_request_event import text_of

from tests.support.awkward_urls import CORPUS, EXPECTATIONS, AwkwardUrl, awkward_urls
from tests.support.events import is_forwarded, problem_of
from tests.support.gateways import make_offline_system
from tests.support.keys_and_tokens import Pool
from tests.support.reference_signers import assert_every_reference_agrees, wire_form

URLS = awkward_urls()
# What the template seeds: the rule of the running local system.
SYSTEM = make_offline_system('{"version": 1, "routes": [{"path": "/*"}]}')
TOKEN = Pool().id_token()


@pytest.mark.parametrize("url", URLS, ids=lambda url: f"{url.reason[:40]}: {url.shown[:48]}")
def test_awkward_url(url: AwkwardUrl):
    """Forwarded with a signature that botocore, awscrt and the door make too, or refused with the code that was said."""
    path, query = text_of(url.path), text_of(url.query)
    result = SYSTEM(uri=path, querystring=query, token=TOKEN)
    if is_forwarded(result):
        assert url.expect == "forwarded"
        assert unquote_to_bytes(result["uri"]) == unquote_to_bytes(re.sub("//+", "/", path))
        assert parse_qsl(result["querystring"], keep_blank_values=True) == parse_qsl(query, keep_blank_values=True)
        assert_every_reference_agrees(wire_form(result))
    else:
        problem = problem_of(result)
        assert (result["status"], problem["code"]) == ("400", url.expect)
        assert re.fullmatch(r"[ -~]{20,}", problem["detail"])


def test_the_corpus_is_large_and_well_formed():
    """At least 150 URLs, none twice, each with a reason, an expectation, and mostly a public source."""
    assert len({url.target for url in URLS}) == len(URLS) >= 150
    for url in URLS:
        assert url.reason
        assert url.expect in EXPECTATIONS
        assert url.path.startswith((b"/api/", b"/api//", b"//api/"))
    sourced = [url for url in URLS if url.source]
    assert len(sourced) >= 150
    public = [url for url in sourced if url.source.startswith("https://")]
    assert len(public) > len(URLS) / 2
    known = {"url", "raw_hex", "reason", "source", "expect", "http", "pad_to", "pad_with"}
    assert all(item.keys() <= known for item in json.loads(CORPUS.read_text("utf-8")))


def test_the_corpus_has_every_kind_of_refusal():
    """Accept/reject pairs: neither half may shrink unnoticed."""
    counts = {expect: sum(url.expect == expect for url in URLS) for expect in EXPECTATIONS}
    assert counts["forwarded"] >= 150
    assert counts["malformed_url"] >= 20
    assert counts["ambiguous_path"] >= 20
