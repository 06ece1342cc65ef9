"""Fuzz the event parser and the whole handler path: any event gets an answer, and none is sent on without a token.

Run: ``make fuzz``
"""

import copy
import json
import re
from typing import Any

from tests.fuzz.engine import CLIENT_ID, NOW, POOL_ID, Choices, instrumented, run

with instrumented():
    from cognito_edge.gateway import Gateway
    from cognito_edge.jwks import parse_jwks
    from cognito_edge.parameters import parse_parameters
    from cognito_edge.settings import Settings
    from cognito_edge.sigv4 import Credentials
from tests.fuzz.fuzz_jwks import KEY
from tests.fuzz.fuzz_token import GOOD

POLICY = {
    "version": 1,
    "routes": [
        {"path": "/admin/*", "methods": ["GET", "POST"], "groups": ["admins"]},
        {"path": "/public/*", "allow": "anyone"},
        {"path": "/tools/*", "token_use": ["access"], "scopes": ["x"]},
    ],
    "cors": {"allow_origins": ["https://app.example.com"]},
}
CONFIGURATION = parse_parameters(
    {"user-pool-id": POOL_ID, "client-id": CLIENT_ID, "policy": json.dumps(POLICY)}, policy_required=True
)
KEYS = parse_jwks(json.dumps({"keys": [KEY]}).encode())
LINES: list[str] = []
GATEWAY = Gateway(
    Settings("/gateway", "eu-central-1", resource="https://app.example.com/api"),
    load_configuration=lambda _now: CONFIGURATION,
    load_keys=lambda *_: KEYS,
    credentials=lambda: Credentials("AKIDEXAMPLE", "secret", "session"),
    log=LINES.append,
)
EVENT: dict[str, Any] = {
    "Records": [
        {
            "cf": {
                "config": {
                    "distributionDomainName": "d111111abcdef8.cloudfront.net",
                    "distributionId": "EDFDVBD6EXAMPLE",
                    "eventType": "origin-request",
                    "requestId": "request-1",
                },
                "request": {
                    "clientIp": "198.51.100.7",
                    "headers": {
                        "host": [{"key": "Host", "value": "x.lambda-url.eu-west-3.on.aws"}],
                        "accept": [{"key": "Accept", "value": "text/html,*/*;q=0.5"}],
                        "origin": [{"key": "Origin", "value": "https://app.example.com"}],
                        "authorization": [{"key": "Authorization", "value": f"Bearer {GOOD}"}],
                        "access-control-request-method": [{"key": "Access-Control-Request-Method", "value": "GET"}],
                        "content-length": [{"key": "Content-Length", "value": "2"}],
                        "x-cognito-sub": [{"key": "X-Cognito-Sub", "value": "forged"}],
                    },
                    "method": "POST",
                    "uri": "/api/x",
                    "querystring": "a=1",
                    "body": {"inputTruncated": False, "action": "read-only", "encoding": "base64", "data": "e30="},
                    "origin": {
                        "custom": {
                            "customHeaders": {},
                            "domainName": "x.lambda-url.eu-west-3.on.aws",
                            "path": "",
                            "port": 443,
                            "protocol": "https",
                        }
                    },
                },
            }
        }
    ]
}
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        1.5,
        10**30,
        "",
        "x",
        "/",
        "/public/x",
        "/admin/x",
        "/tools/x",
        "/.well-known/oauth-protected-resource/api",
        "GET",
        "HEAD",
        "OPTIONS",
    ),
    *(
        "DELETE",
        "text",
        "e30",
        "====",
        "\u00e9",
        "\ud800",
        "\0",
        "a\r\nb",
        "/%",
        "/..",
        "%2F",
        "x" * 9_000,
        "Bearer ",
        "text/html",
    ),
    *(
        [],
        {},
        [None],
        [{}],
        [{"value": None}],
        [{"key": "x"}],
        ["x"],
        {"a": "b"},
        [[[[[]]]]],
        [{"value": "x"}, {"value": "y"}],
    ),
)
SEEDS = (
    b"\0",
    *(bytes([count]) + bytes(range(place, place + 12)) for count in (1, 2, 3) for place in range(0, 240, 24)),
    json.dumps(EVENT).encode(),
)


def places(node: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Return (container, key) of everything inside *node*."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        found.append((node, key))
        places(value, found)
    return found


def changed(data: bytes) -> Any:
    """Change a good event in a few places, as the bytes say; or take them for an event's JSON."""
    if data[:1] in (b"{", b"["):
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            return data.decode("latin-1")
    event = copy.deepcopy(EVENT)
    choices = Choices(data)
    for _ in range(choices.byte() % 8):
        found = places(event, [])
        if not found:
            break
        container, key = found[choices.below(len(found))]
        action = choices.byte() % 5
        if action == 0:
            del container[key]
        elif action == 1 and isinstance(container[key], str):
            at = choices.below(len(container[key]) + 1)
            container[key] = container[key][:at] + chr(choices.below(0x300)) + container[key][at + choices.below(2) :]
        elif action == 2 and isinstance(container, dict):
            container[str(VALUES[choices.below(len(VALUES))])] = container[key]
        else:
            container[key] = copy.deepcopy(VALUES[choices.below(len(VALUES))])
    return event


def target(data: bytes) -> None:
    """Handle one event."""
    event = changed(data)
    LINES.clear()
    result = GATEWAY.handle(event, NOW)
    assert isinstance(result, dict)
    assert len(LINES) == 1
    assert SIGNATURE not in LINES[0]
    entry = json.loads(LINES[0])
    if "status" not in result or entry["decision"] == "forward":
        # The token of these events is a stranger's: only the path that is open to anyone is sent on, without identity.
        assert entry["decision"] == "forward", entry
        assert entry.get("rule") == "routes[1] /public/*", entry
        assert result is event["Records"][0]["cf"]["request"]
        assert result["uri"].lower().startswith("/public"), result["uri"]
        assert not any(re.sub("[^a-z0-9]", "-", name.lower()).startswith("x-cognito-") for name in result["headers"])
        assert all(re.fullmatch("[a-z0-9-]+", name.lower()) for name in result["headers"]), result["headers"]
        assert result["headers"]["authorization"][0]["value"].startswith("AWS4-HMAC-SHA256 ")
        return
    assert result["status"] == str(entry["status"]), entry
    assert result["status"] != "200" or entry["decision"] == "metadata", entry
    assert entry["decision"] != "metadata" or result["status"] in ("200", "204"), entry
    # A stranger learns of no rule: only the metadata takes other methods than these.
    if result["status"] == "405":
        uri = re.sub("//+", "/", event["Records"][0]["cf"]["request"]["uri"])
        assert uri.startswith("/.well-known/oauth-protected-resource"), entry
    assert result["status"] in ("200", "204", "400", "401", "405", "413", "500", "503"), result
    assert SIGNATURE not in json.dumps(result)
    assert len(json.dumps(result)) < 30_000
    for items in result["headers"].values():
        assert len(items) == 1
        assert isinstance(items[0]["value"], str)


SIGNATURE = GOOD.rpartition(".")[2]

if __name__ == "__main__":
    run(target, SEEDS, [b"Records", b"cf", b"request", b"headers", b"config", b"origin", b"custom"], max_len=2_048)
