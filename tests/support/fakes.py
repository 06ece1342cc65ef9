"""Fakes for the edge's surroundings: user pools with real RSA keys, SSM and Cognito on loopback, events, a clock.

Factories start valid; a test breaks one thing.
"""

import base64
import hashlib
import json
import threading
import time
import uuid
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cognito_edge.aws import KeySource, ParameterSource
from cognito_edge.fetch import Client
from cognito_edge.gateway import Gateway
from cognito_edge.settings import Settings
from cognito_edge.sigv4 import Credentials
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

NOW = 1_790_000_000  # 2026-09-21T14:13:20Z
POOL_ID = "eu-west-1_TestPool1"
CLIENT_ID = "1example23456789client"
PREFIX = "/gateway"
REGION = "eu-central-1"
ORIGIN = "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-west-3.on.aws"
DISTRIBUTION = "d111111abcdef8.cloudfront.net"
CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session-token/+==")


def b64url(data: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return a private key that is made once per test run; *name* tells keys apart."""
    assert name
    return rsa.generate_private_key(65537, bits)


def jwk_of(key: rsa.RSAPrivateKey, kid: str, **changes: object) -> dict[str, object]:
    """Write a key's public half as Cognito publishes it; None removes a member."""
    numbers = key.public_key().public_numbers()
    n = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")
    e = numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")
    jwk = {"alg": "RS256", "e": b64url(e), "kid": kid, "kty": "RSA", "n": b64url(n), "use": "sig", **changes}
    return {name: value for name, value in jwk.items() if value is not None}


def sign_rs256(key: rsa.RSAPrivateKey, signing_input: bytes) -> bytes:
    """Make an RS256 signature."""
    return key.sign(signing_input, padding.PKCS1v15(), hashes.SHA256())


def compact(key: rsa.RSAPrivateKey, header: bytes | dict, payload: bytes | dict) -> str:
    """Sign any bytes as a compact JWS, so that nothing but the named defect can refuse it."""
    parts = [p if isinstance(p, bytes) else json.dumps(p, separators=(",", ":")).encode() for p in (header, payload)]
    signing_input = f"{b64url(parts[0])}.{b64url(parts[1])}"
    return f"{signing_input}.{b64url(sign_rs256(key, signing_input.encode()))}"


@dataclass
class Pool:
    """A Cognito user pool: two key pairs, one for ID tokens and one for access tokens."""

    pool_id: str = POOL_ID
    client_id: str = CLIENT_ID
    id_kid: str = "id-key-1"
    access_kid: str = "access-key-1"

    @property
    def issuer(self) -> str:
        return f"https://cognito-idp.{self.pool_id.partition('_')[0]}.amazonaws.com/{self.pool_id}"

    def key(self, kid: str) -> rsa.RSAPrivateKey:
        return rsa_key(f"{self.pool_id}/{kid}")

    def jwks(self) -> dict[str, object]:
        return {"keys": [jwk_of(self.key(kid), kid) for kid in (self.id_kid, self.access_kid)]}

    def id_claims(self, now: float = NOW, **changes: object) -> dict[str, object]:
        """Claims as the hosted UI's ID tokens have them; None removes one."""
        now = int(now)
        claims = {
            "at_hash": "zLOJGbXhYhFUqQ9VQYm8Zg",
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "email_verified": True,
            "iss": self.issuer,
            "cognito:username": "jane",
            "origin_jti": "11111111-2222-3333-4444-555555555555",
            "aud": self.client_id,
            "event_id": "66666666-7777-8888-9999-000000000000",
            "token_use": "id",
            "auth_time": now - 60,
            "exp": now + 3540,
            "iat": now - 60,
            "jti": "99999999-aaaa-bbbb-cccc-dddddddddddd",
            "email": "jane@example.com",
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def access_claims(self, now: float = NOW, **changes: object) -> dict[str, object]:
        """Claims as Cognito's access tokens have them; None removes one."""
        now = int(now)
        claims = {
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "iss": self.issuer,
            "version": 2,
            "client_id": self.client_id,
            "origin_jti": "11111111-2222-3333-4444-555555555555",
            "token_use": "access",
            "scope": "openid email tools/call",
            "auth_time": now - 60,
            "exp": now + 3540,
            "iat": now - 60,
            "jti": "77777777-aaaa-bbbb-cccc-dddddddddddd",
            "username": "jane",
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def id_token(self, now: float = NOW, **changes: object) -> str:
        return compact(self.key(self.id_kid), {"kid": self.id_kid, "alg": "RS256"}, self.id_claims(now, **changes))

    def access_token(self, now: float = NOW, **changes: object) -> str:
        claims = self.access_claims(now, **changes)
        return compact(self.key(self.access_kid), {"kid": self.access_kid, "alg": "RS256"}, claims)


@dataclass
class Service:
    """One faked service: how it behaves, and what it was asked.

    Attributes:
        mode: ok · down (connection closed) · error (500) · garbled · throttled · hang · drip (a byte now and then) ·
            huge (an endless body) · redirect.
    """

    mode: str = "ok"
    calls: int = 0
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


class FakeAws:
    """SSM and Cognito's key endpoint, on one loopback port, with faults on purpose."""

    def __init__(self, *pools: Pool) -> None:
        self.ssm = Service()
        self.cognito = Service()
        self.pools = {pool.pool_id: pool for pool in pools or (Pool(),)}
        first = next(iter(self.pools.values()))
        self.parameters = {f"{PREFIX}/user-pool-id": first.pool_id, f"{PREFIX}/client-id": first.client_id}
        self.jwks: dict[str, object] = {}
        self.connections = 0
        self._released = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                fake.connections += 1
                super().setup()

            def do_GET(self) -> None:
                pool_id = self.path.split("/")[1]
                pool = fake.pools.get(pool_id)
                document = fake.jwks.get(pool_id, pool.jwks() if pool else None)
                body = document if isinstance(document, bytes) else json.dumps(document).encode()
                self._serve(fake.cognito, 200 if document else 404, body, b"")

            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["content-length"]))
                names = json.loads(sent)["Names"]
                found = [{"Name": n, "Value": fake.parameters[n]} for n in names if n in fake.parameters]
                missing = [n for n in names if n not in fake.parameters]
                body = json.dumps({"Parameters": found, "InvalidParameters": missing}).encode()
                self._serve(fake.ssm, 200, body, sent)

            def _serve(self, service: Service, status: int, body: bytes, sent: bytes) -> None:
                service.calls += 1
                service.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, sent))
                headers = {}
                match service.mode:
                    case "down":
                        self.close_connection = True
                        return
                    case "error":
                        status, body = 500, b"{}"
                    case "garbled":
                        body = body[: len(body) // 2]
                    case "throttled":
                        status, body = 400, b'{"__type": "ThrottlingException", "message": "Rate exceeded"}'
                    case "redirect":
                        status, body, headers = 302, b"", {"Location": self.path}
                    case "hang":
                        fake._released.wait(20)
                        self.close_connection = True
                        return
                    case "drip":
                        self.send_response(200)
                        self.send_header("Content-Length", "100000")
                        self.end_headers()
                        while not fake._released.wait(0.05):
                            try:
                                self.wfile.write(b" ")
                            except OSError:
                                break
                        self.close_connection = True
                        return
                    case "huge":
                        body = b" " * 2_000_000
                try:
                    self.send_response(status)
                    for name, value in {**headers, "Content-Length": str(len(body))}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *args: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def policy(self) -> object:
        return self.parameters.get(f"{PREFIX}/policy")

    @policy.setter
    def policy(self, document: object) -> None:
        if document is None:
            self.parameters.pop(f"{PREFIX}/policy", None)
        else:
            text = document if isinstance(document, str) else json.dumps(document)
            self.parameters[f"{PREFIX}/policy"] = text

    def close(self) -> None:
        """Let hanging requests go and stop."""
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def make_settings(**changes: object) -> Settings:
    """Settings with short network attempts, so that faults do not make tests slow."""
    return Settings(**{"parameter_prefix": PREFIX, "parameter_region": REGION, "attempt_timeout_s": 0.5, **changes})


@dataclass
class System:
    """A gateway as the handler builds it, with its log lines."""

    gateway: Gateway
    lines: list[str]

    def __call__(self, event: object = None, now: float = NOW, **changes: object) -> dict:
        """Send a request that starts valid; see ``make_event``."""
        return self.gateway.handle(make_event(**changes) if event is None else event, now)

    @property
    def log(self) -> list[dict]:
        return [json.loads(line) for line in self.lines]


def make_system(settings: Settings | None = None, credentials: object = lambda: CREDENTIALS) -> System:
    """Build a gateway whose endpoints come from the environment, as in the handler."""
    settings = settings or make_settings()
    client = Client(timeout_s=settings.attempt_timeout_s, max_answer_bytes=settings.max_answer_bytes)
    lines: list[str] = []
    gateway = Gateway(
        settings,
        load_configuration=ParameterSource(client, settings).load,
        load_keys=KeySource(client).load,
        credentials=credentials,
        log=lines.append,
    )
    return System(gateway, lines)


def make_event(
    *,
    method: str = "GET",
    uri: str = "/api/whoami",
    querystring: str = "",
    token: str | None = None,
    headers: dict[str, str | list[str]] | None = None,
    body: bytes | None = None,
    truncated: bool = False,
    origin: str = ORIGIN,
    origin_path: str = "",
) -> dict:
    """Build an origin-request event as CloudFront does behind AllViewerExceptHostHeader with the body included."""
    pairs: dict[str, str | list[str]] = {
        "host": origin,
        "user-agent": "curl/8.5.0",
        "accept": "*/*",
        "x-forwarded-for": "198.51.100.7",
        "via": "2.0 0123456789abcdef.cloudfront.net (CloudFront)",
        "accept-encoding": "gzip",
        "cloudfront-viewer-country": "DE",
    }
    if token is not None:
        pairs["authorization"] = f"Bearer {token}"
    if body is not None:
        pairs["content-length"] = str(len(body))
    pairs.update(headers or {})
    return {
        "Records": [
            {
                "cf": {
                    "config": {
                        "distributionDomainName": DISTRIBUTION,
                        "distributionId": "EDFDVBD6EXAMPLE",
                        "eventType": "origin-request",
                        "requestId": f"req-{uuid.uuid4().hex}",
                    },
                    "request": {
                        "clientIp": "198.51.100.7",
                        "headers": {
                            name: [
                                {"key": name.title(), "value": v}
                                for v in ([value] if isinstance(value, str) else value)
                            ]
                            for name, value in pairs.items()
                        },
                        "method": method,
                        "uri": uri,
                        "querystring": querystring,
                        "body": {
                            "inputTruncated": truncated,
                            "action": "read-only",
                            "encoding": "base64",
                            "data": base64.b64encode((body or b"")[:1_048_576]).decode(),
                        },
                        "origin": {
                            "custom": {
                                "customHeaders": {},
                                "domainName": origin,
                                "keepaliveTimeout": 5,
                                "path": origin_path,
                                "port": 443,
                                "protocol": "https",
                                "readTimeout": 30,
                                "responseCompletionTimeout": 30,
                                "sslProtocols": ["TLSv1.2"],
                            }
                        },
                    },
                }
            }
        ]
    }


def headers_of(result: dict) -> dict[str, str]:
    """Return a request's or response's headers as (lower-case name, values joined by ', ')."""
    return {name: ", ".join(item["value"] for item in items) for name, items in result["headers"].items()}


def problem_of(result: dict) -> dict:
    """Return the problem document of a refusal."""
    return json.loads(result["body"])


def is_forwarded(result: dict) -> bool:
    """Say whether a result is a request that CloudFront sends on, rather than a response."""
    return "status" not in result


def sha256_hex(data: bytes) -> str:
    """Return the hex digest that SigV4 uses."""
    return hashlib.sha256(data).hexdigest()


def wait_until(condition: object, seconds: float = 5) -> bool:
    """Wait for *condition()* to become true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False
