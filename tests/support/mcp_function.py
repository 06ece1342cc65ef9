"""A Lambda function that is an MCP server: the official SDK's, stateless, one answer for each request.

The SDK's server is an ASGI application, so this is also the small adapter between a function URL's event and ASGI.
``tests/support/own_stack.py`` deploys it behind the gateway. Handler: ``mcp_function.handler``.
"""

import asyncio
import base64
import os
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

from backend.identity import Identity, identity_from_event

PATH = "/api/mcp"


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one request to the function URL."""
    identity = identity_from_event(
        event, account_id=os.environ.get("EDGE_ACCOUNT_ID"), role_name=os.environ.get("EDGE_ROLE_NAME")
    )
    return asyncio.run(_answer(_app(identity), event))


def _app(identity: Identity | None) -> Any:
    """Make the server of one request, whose tools know who calls."""
    server = MCPServer("who", instructions="Says who the gateway let in.")

    @server.tool()
    def whoami() -> dict[str, Any]:
        """Say who the caller is."""
        assert identity is not None, "the policy lets nobody in without a token"
        return {
            "sub": identity.sub,
            "username": identity.username,
            "client_id": identity.client_id,
            "token_use": identity.token_use,
            "scopes": sorted(identity.scopes),
        }

    return server.streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        stateless_http=True,
        # It protects servers on a laptop from web pages. Requests here are signed.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )


async def _answer(app: Any, event: dict[str, Any]) -> dict[str, Any]:
    body = event.get("body") or ""
    content = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "https",
        "method": event["requestContext"]["http"]["method"],
        "path": event["requestContext"]["http"]["path"],
        "raw_path": event["rawPath"].encode(),
        "query_string": event["rawQueryString"].encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in event["headers"].items()],
    }
    answer: dict[str, Any] = {"statusCode": 500, "headers": {}, "body": "", "isBase64Encoded": True}
    chunks = []
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()  # the client stays: Lambda waits for the answer
        asked = True
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer["statusCode"] = message["status"]
            answer["headers"] = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            chunks.append(message.get("body", b""))

    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
    answer["body"] = base64.b64encode(b"".join(chunks)).decode()
    return answer
