"""The official MCP Python client and server, with the local gateway between them and the local Cognito to sign in at.

The client is given nothing but the server's URL and a client id that was registered beforehand. The server is the SDK's
too, in a function behind the gateway (``tests/support/own_stack.py``). The authorisation server's metadata is a named fake
(``local/cognito_edge_local/emulator/oauth_metadata.py``).
"""

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import anyio.to_thread
import httpx2
import pytest
import requests
from mcp.client.auth import OAuthClientProvider
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from tests.e2e.conftest import System
from tests.support import own_stack
from tests.support.forms import Form

pytestmark = pytest.mark.e2e

# What the client, a program on a person's machine, is registered with (infra/cognito_edge_cdk/identity.py).
CALLBACK = "http://localhost:8976/callback"

POLICY = {
    "version": 1,
    "routes": [
        # POST alone: GET would ask for a stream of events, which a function cannot hold open, and 405 says so.
        {"path": "/api/mcp/*", "methods": ["POST"], "token_use": ["access"], "scopes": ["openid"]},
        {"path": "/*"},
    ],
}

T = TypeVar("T")


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """A local system with an MCP server behind it, and the policy for it in force."""
    with own_stack.running(tmp_path_factory.mktemp("mcp"), own_stack.PAGE_ORIGIN) as running:
        system = System(running.process)
        put_policy(system)
        time.sleep(own_stack.TAKEN_UP_S)
        yield SimpleNamespace(system=system, resource=running.resource)


def put_policy(system: System, *options: str) -> None:
    """Write the policy as a person would; ``policy.py put`` says nothing against it."""
    done = system.script("policy.py", "put", "-", "--local", "--yes", *options, stdin=json.dumps(POLICY))
    assert done.returncode == 0, done.stderr
    assert "warning: routes" not in done.stderr


class Memory:
    """The client's storage: the registered client, and whatever tokens it got."""

    def __init__(self, client_id: str) -> None:
        self.tokens: OAuthToken | None = None
        self.client = OAuthClientInformationFull(
            client_id=client_id, redirect_uris=[CALLBACK], token_endpoint_auth_method="none"
        )

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info):
        raise AssertionError("the client registered itself, instead of using the id it was given")


class Person:
    """Signs in where the client sends them; in place of a browser, and of a listener at the callback."""

    def __init__(self, outputs: dict) -> None:
        self.outputs = outputs
        self.sent_to: list[str] = []

    async def open(self, url: str) -> None:
        self.sent_to.append(url)

    async def come_back(self) -> AuthorizationCodeResult:
        return await anyio.to_thread.run_sync(self._sign_in, self.sent_to[-1])

    def _sign_in(self, url: str) -> AuthorizationCodeResult:
        page = requests.get(url, timeout=10)
        form = Form(page.text)
        fields = {**form.fields, "username": self.outputs["username"], "password": self.outputs["password"]}
        answer = requests.post(self.outputs["login_url"] + form.action, data=fields, allow_redirects=False, timeout=10)
        assert answer.status_code == 302, answer.text
        location = urlsplit(answer.headers["location"])
        assert location._replace(query="").geturl() == CALLBACK
        query = parse_qs(location.query)
        return AuthorizationCodeResult(code=query["code"][0], state=query["state"][0])


@contextlib.asynccontextmanager
async def connected(live, mode: str, memory: Memory, person: Person) -> AsyncIterator[tuple[Client, list]]:
    """Yield a connected client, and the list of what was asked over HTTP and with what result."""
    exchanges: list[tuple[str, str, int]] = []

    async def note(response: httpx2.Response) -> None:
        # Within its origin the client follows redirects by itself; there is no other host that it may come to.
        request = response.request
        assert request.url.host == "127.0.0.1"
        exchanges.append((request.method, request.url.path, response.status_code))

    provider = OAuthClientProvider(
        server_url=live.resource,
        client_metadata=OAuthClientMetadata(redirect_uris=[CALLBACK], token_endpoint_auth_method="none"),
        storage=memory,
        redirect_handler=person.open,
        callback_handler=person.come_back,
    )
    async with (
        httpx2.AsyncClient(auth=provider, timeout=30, trust_env=False, event_hooks={"response": [note]}) as http,
        Client(streamable_http_client(live.resource, http_client=http), mode=mode) as client,
    ):
        yield client, exchanges


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run it in a thread of its own: where Playwright is at work, the test's own has a loop that runs already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _claims(token: str) -> dict:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_official_client_discovers_signs_in_and_calls_a_tool(live, mode):
    """With the handshake that every client knows, and with the newer protocol that has none."""
    outputs = live.system.outputs
    memory, person = Memory(outputs["client_id"]), Person(outputs)

    async def use() -> tuple[list[str], dict, list]:
        async with connected(live, mode, memory, person) as (client, exchanges):
            tools = await client.list_tools()
            answer = await client.call_tool("whoami", {})
            assert not answer.is_error
            return [tool.name for tool in tools.tools], answer.structured_content, exchanges

    names, identity, exchanges = run(use())
    # The way there: our challenge, our metadata, the authorisation server's, one sign-in, and the same request again.
    assert exchanges[:5] == [
        ("POST", "/api/mcp", 401),
        ("GET", "/.well-known/oauth-protected-resource/api/mcp", 200),
        ("GET", "/.well-known/oauth-authorization-server", 200),
        ("POST", "/oauth2/token", 200),
        ("POST", "/api/mcp", 200),
    ]
    assert [status for _, path, status in exchanges if path == "/api/mcp"].count(401) == 1
    (sent_to,) = person.sent_to
    query = {name: values[0] for name, values in parse_qs(urlsplit(sent_to).query).items()}
    assert sent_to.startswith(f"{outputs['login_url']}/oauth2/authorize?")
    assert query["client_id"] == outputs["client_id"]
    assert query["code_challenge_method"] == "S256"
    assert query["resource"] == live.resource  # RFC 8707
    assert query["scope"] == "openid"  # what the policy's route wants, by way of scopes_supported
    # And the answer, which knows the caller by the gateway's word.
    claims = _claims(memory.tokens.access_token)
    assert names == ["whoami"]
    assert identity == {
        "sub": claims["sub"],
        "username": outputs["username"],
        "client_id": outputs["client_id"],
        "token_use": "access",
        "scopes": ["openid"],
    }


def test_challenge_and_metadata_are_what_rfc_9728_wants(live):
    """What a client without a token gets to see, byte for byte where it matters."""
    refused = live.system.curl("/api/mcp", "-X", "POST")
    assert refused.status == 401
    (challenge,) = refused.headers["www-authenticate"]
    where = live.resource.replace("/api/mcp", "/.well-known/oauth-protected-resource/api/mcp")
    assert f'resource_metadata="{where}"' in challenge
    assert "error=" not in challenge  # RFC 6750 §3.1: none when no credentials were sent
    for path in ("/.well-known/oauth-protected-resource/api/mcp", "/.well-known/oauth-protected-resource"):
        answer = live.system.curl(path)
        assert answer.status == 200
        assert answer.json == {
            "resource": live.resource,
            "authorization_servers": [live.system.outputs["login_url"]],
            "bearer_methods_supported": ["header"],
            "scopes_supported": ["openid"],
        }


def test_id_token_does_not_open_the_mcp_server(live):
    """An ID token is for the app that signed its user in; the route takes access tokens."""
    answer = live.system.curl("/api/mcp", "-X", "POST", token=live.system.token)
    assert (answer.status, answer.json["code"]) == (401, "wrong_token_use")


def test_access_token_without_the_scope_is_told_which_it_needs(live):
    """A sign-in through the API gives none of the hosted UI's scopes."""
    answer = live.system.curl("/api/mcp", "-X", "POST", token=live.system.access_token)
    assert (answer.status, answer.json["code"]) == (403, "insufficient_scope")
    assert 'scope="openid"' in answer.headers["www-authenticate"][0]


def test_cut_off_by_sign_in_ends_a_session_that_refreshes(live):
    """A refreshed token is younger than the cut-off, but its sign-in is not: the client has to send its user back."""
    outputs = live.system.outputs
    memory, person = Memory(outputs["client_id"]), Person(outputs)

    async def username() -> str:
        async with connected(live, "auto", memory, person) as (client, _):
            answer = await client.call_tool("whoami", {})
            return answer.structured_content["username"]

    def refresh() -> dict:
        form = {
            "grant_type": "refresh_token",
            "client_id": outputs["client_id"],
            "refresh_token": memory.tokens.refresh_token,
        }
        tokens = requests.post(f"{outputs['login_url']}/oauth2/token", data=form, timeout=10).json()
        memory.tokens = memory.tokens.model_copy(update={"access_token": tokens["access_token"]})
        return _claims(tokens["access_token"])

    assert run(username()) == outputs["username"]
    signed_in = _claims(memory.tokens.access_token)
    while int(time.time()) <= signed_in["auth_time"]:
        time.sleep(0.02)
    assert refresh()["auth_time"] == signed_in["auth_time"]
    assert run(username()) == outputs["username"]
    assert len(person.sent_to) == 1
    done = live.system.script("policy.py", "cut-off", "--local", "--yes", "--signed-in-before", "now")
    assert done.returncode == 0, done.stderr
    try:
        refreshed = refresh()
        assert refreshed["iat"] > signed_in["iat"]
        time.sleep(own_stack.TAKEN_UP_S)
        refused = live.system.curl("/api/mcp", "-X", "POST", token=memory.tokens.access_token)
        assert (refused.status, refused.json["code"]) == (401, "revoked")
        assert run(username()) == outputs["username"]
        assert len(person.sent_to) == 2
    finally:
        put_policy(live.system, "--drop-cut-offs")
