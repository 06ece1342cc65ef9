"""What every contestant is asked: a user pool with its keys and tokens, and CloudFront's events, as files."""

import base64
import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pybase64
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

PREFIX = "/cognito-edge-gateway"
REGION = "eu-west-1"
POOL_ID = f"{REGION}_Benchmark"
ISSUER = f"https://cognito-idp.{REGION}.amazonaws.com/{POOL_ID}"
CLIENT_ID = "1example23456789abcdefghij"
ORIGIN = f"abcdefghijklmnopqrstuvwxyz012345.lambda-url.{REGION}.on.aws"
KID = "kid-of-the-id-token-key"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "ASIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": base64.b64encode(bytes(range(256)) * 2).decode(),  # real ones have some 700 characters
}

# The policy under which the gateway competes: its rivals have none.
POLICY: dict[str, Any] = {
    "version": 1,
    "routes": [
        {"path": "/public/*", "allow": "anyone"},
        {"path": "/admin/*", "groups": ["admins"]},
        {"path": "/api/*", "groups": ["users", "admins"]},
        {"path": "/*"},
    ],
}


def routes_policy(count: int) -> dict[str, Any]:
    """Return a policy of *count* routes; the last one is the one that is asked for."""
    routes = [{"path": f"/r{i}/*", "groups": ["admins"]} for i in range(count - 1)]
    return {"version": 1, "routes": [*routes, {"path": "/api/*", "groups": ["users"]}]}


class UserPool:
    """Two RSA keys, and tokens signed with the first; made once a run."""

    def __init__(self) -> None:
        self._keys = {kid: rsa.generate_private_key(65537, 2048) for kid in (KID, "kid-of-the-access-token-key")}
        self._now = int(time.time())
        self.jwks = {"keys": [_jwk(kid, key) for kid, key in self._keys.items()]}

    def token(self, number: int = 0, **changes: object) -> str:
        """Return an ID token as the hosted UI issues them, about 1 KB; every *number* is another user."""
        claims = {
            "at_hash": "zLOJGbXhYhFUqQ9VQYm8Zg",
            "sub": f"aaaaaaaa-bbbb-cccc-dddd-{number:012}",
            "cognito:groups": ["users"],
            "email_verified": True,
            "iss": ISSUER,
            "cognito:username": f"user-{number}",
            "origin_jti": "11111111-2222-3333-4444-555555555555",
            "aud": CLIENT_ID,
            "event_id": "66666666-7777-8888-9999-000000000000",
            "token_use": "id",
            "auth_time": self._now - 60,
            "exp": self._now + 86_000,
            "iat": self._now - 60,
            "jti": "99999999-aaaa-bbbb-cccc-dddddddddddd",
            "email": f"user-{number}@example.com",
            **changes,
        }
        signing_input = f"{_part({'kid': KID, 'alg': 'RS256'})}.{_part(claims)}".encode()
        signature = self._keys[KID].sign(signing_input, PKCS1v15(), SHA256())
        return f"{signing_input.decode()}.{_base64url(signature)}"

    def wrong_tokens(self) -> dict[str, str]:
        """Return one token for each thing that every contestant has to check."""
        signed, other = (self.token(number).split(".") for number in (0, 1))
        return {
            "altered": ".".join([signed[0], other[1], signed[2]]),
            "expired": self.token(exp=self._now - 1),
            "of another pool": self.token(iss=f"{ISSUER}x"),
            "for another client": self.token(aud="another"),
            "an access token": self.token(token_use="access", client_id=CLIENT_ID),
        }


def event(
    *, body: bytes = b"", query: str = "", uri: str = "/api/whoami", headers: Mapping[str, str] | None = None
) -> bytes:
    """Return an origin-request event as CloudFront sends it for a browser's ``fetch``, with a place for the token."""
    sent = {
        "Host": ORIGIN,
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
        "Accept": "application/json",
        "Accept-Language": "en-GB,en;q=0.7,de;q=0.3",
        "Accept-Encoding": "gzip, deflate, br",
        "Authorization": "Bearer @TOKEN@",
        "Origin": "https://app.example.com",
        "Sec-Fetch-Mode": "cors",
        "X-Forwarded-For": "198.51.100.7",
        "Via": "2.0 0123456789abcdef.cloudfront.net (CloudFront)",
        "CloudFront-Viewer-Country": "DE",
        **({"Content-Type": "application/octet-stream", "Content-Length": str(len(body))} if body else {}),
        **(headers or {}),
    }
    request = {
        "clientIp": "198.51.100.7",
        "headers": {name.lower(): [{"key": name, "value": value}] for name, value in sent.items()},
        "method": "POST" if body else "GET",
        "uri": uri,
        "querystring": query,
        "body": {
            "inputTruncated": False,
            "action": "read-only",
            "encoding": "base64",
            "data": pybase64.b64encode(body).decode(),
        },
        "origin": {
            "custom": {
                "customHeaders": {},
                "domainName": ORIGIN,
                "keepaliveTimeout": 5,
                "path": "",
                "port": 443,
                "protocol": "https",
                "readTimeout": 30,
                "sslProtocols": ["TLSv1.2"],
            }
        },
    }
    config = {
        "distributionDomainName": "d111111abcdef8.cloudfront.net",
        "distributionId": "EDFDVBD6EXAMPLE",
        "eventType": "origin-request",
        "requestId": "4TyzHTaYWb1GX1qTfsHhEqV6HUDd_BzoBZnwfnvQc_@N@==",
    }
    return json.dumps({"Records": [{"cf": {"config": config, "request": request}}]}, separators=(",", ":")).encode()


def random_body(size: int) -> bytes:
    """Return *size* bytes that no text codec likes."""
    return os.urandom(size)


class Files:
    """A folder of events and token lists, by name; workers read them from there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def event(self, name: str, content: bytes) -> str:
        return self._write(f"{name}.json", content)

    def tokens(self, name: str, tokens: Iterable[str]) -> str:
        return self._write(f"{name}.tokens", "\n".join(tokens).encode())

    def _write(self, name: str, content: bytes) -> str:
        path = self._folder / name.replace(" ", "-")
        path.write_bytes(content)
        return str(path)


def _jwk(kid: str, key: rsa.RSAPrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    n = numbers.n.to_bytes(256, "big")
    return {"alg": "RS256", "e": "AQAB", "kid": kid, "kty": "RSA", "n": _base64url(n), "use": "sig"}


def _part(document: object) -> str:
    return _base64url(json.dumps(document, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
