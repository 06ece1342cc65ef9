"""OAuth clients learn how to sign in: RFC 9728 metadata, and the challenge that points to it."""

import json

import pytest

from tests.support.events import DISTRIBUTION, headers_of, is_forwarded, problem_of
from tests.support.gateways import make_offline_system
from tests.support.keys_and_tokens import CLIENT_ID, POOL_ID, Pool

RESOURCE = "https://api.example.com/mcp"
ROOT = "/.well-known/oauth-protected-resource"
POLICY = {"version": 1, "routes": [{"path": "/tools/*", "token_use": ["access"], "scopes": ["tools/call", "a/b"]}]}


@pytest.fixture
def system():
    """A gateway that publishes metadata."""
    return make_offline_system(POLICY, resource=RESOURCE)


@pytest.mark.parametrize("path", [ROOT, ROOT + "/", ROOT + "/mcp", ROOT + "/mcp/"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_metadata_is_public_at_the_hosts_and_the_resources_own_path(system, path, method):
    """RFC 9728 §3.1: the well-known part goes between host and path."""
    result = system(uri=path, method=method)
    assert result["status"] == "200"
    assert headers_of(result)["content-type"] == "application/json"
    assert json.loads(result["body"]) == {
        "resource": RESOURCE,
        "authorization_servers": [Pool().issuer],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["a/b", "tools/call"],
    }
    assert system.log[-1]["decision"] == "metadata"


def test_any_page_may_read_the_metadata(system):
    """It holds no secret, and browser clients ask before they have an origin that anyone knows; these headers, no other."""
    common = {
        "access-control-allow-origin": "*",
        "cache-control": "public, max-age=300",
        "x-content-type-options": "nosniff",
    }
    assert headers_of(system(uri=ROOT)) == {**common, "content-type": "application/json"}
    preflight = system(uri=ROOT, method="OPTIONS", headers={"origin": "https://a.example"})
    assert (preflight["status"], preflight["statusDescription"]) == ("204", "No Content")
    assert headers_of(preflight) == {
        **common,
        "access-control-allow-methods": "GET, HEAD",
        "access-control-allow-headers": "*",
    }
    assert system.log[-1]["status"] == 204


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_metadata_takes_no_other_method(system, method):
    """And says which ones it takes."""
    result = system(uri=ROOT, method=method)
    assert result["status"] == "405"
    assert headers_of(result)["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", [ROOT + "/other", ROOT + "x", ROOT + "/mcp/x", "/api/x"])
def test_other_paths_are_protected_as_before(system, path):
    """Only the two paths are open, with a final slash or without."""
    assert problem_of(system(uri=path))["code"] == "missing_token"


def test_a_challenge_points_to_the_metadata(system):
    """RFC 9728 §5.1."""
    wanted = 'resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/mcp"'
    challenge = headers_of(system(uri="/api/x"))["www-authenticate"]
    assert challenge == f'Bearer realm="{DISTRIBUTION}", {wanted}'
    refused = system(uri="/tools/x", token=Pool().access_token(scope="a/b"))
    assert refused["status"] == "403"
    assert 'scope="tools/call a/b"' in headers_of(refused)["www-authenticate"]
    assert wanted in headers_of(refused)["www-authenticate"]


def test_without_the_setting_nothing_is_published():
    """The path is one like any other, and challenges point nowhere."""
    system = make_offline_system(POLICY)
    result = system(uri=ROOT)
    assert problem_of(result)["code"] == "missing_token"
    assert "resource_metadata" not in headers_of(result)["www-authenticate"]
    assert is_forwarded(system(uri=ROOT, token=Pool().id_token()))


def test_other_authorization_servers_can_be_named():
    """For a proxy that registers clients in front of Cognito, which does not."""
    system = make_offline_system(POLICY, resource=RESOURCE, authorization_servers=("https://login.example.com",))
    assert json.loads(system(uri=ROOT)["body"])["authorization_servers"] == ["https://login.example.com"]


def test_every_trusted_pool_is_named_once():
    """The gateway's own first."""
    other = Pool("us-east-1_Other", "otherclient")
    issuers = [{"user_pool_id": other.pool_id, "client_ids": [other.client_id]}]
    system = make_offline_system({**POLICY, "issuers": issuers}, resource=RESOURCE)
    servers = json.loads(system(uri=ROOT)["body"])["authorization_servers"]
    assert servers == [Pool().issuer, other.issuer]
    assert (Pool().pool_id, Pool().client_id) == (POOL_ID, CLIENT_ID)


def test_in_oac_mode_the_request_goes_unsigned_with_its_body_hash():
    """CloudFront signs after the edge; identity is stated, and the viewer's token ends all the same."""
    system = make_offline_system(signing="oac")
    result = system(token=Pool().id_token(), method="POST", body=b"x", headers={"x-amz-date": "spoofed"})
    headers = headers_of(result)
    assert "authorization" not in headers
    assert "x-amz-date" not in headers
    assert headers["x-amz-content-sha256"] == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert headers["x-cognito-username"] == "jane"
