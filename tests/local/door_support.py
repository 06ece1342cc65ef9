"""A running function-URL door for tests: real uvicorn on loopback, two independent signers, raw bytes on the socket."""

import hashlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO

import awscrt.auth
import awscrt.http
import uvicorn
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cognito_edge_local.origins.function_url import FunctionUrlDoor, InvokeResult, server_config
from cognito_edge_local.origins.principals import Credential, StaticCredentials, StaticPolicies
from cognito_edge_local.origins.wire import WireRequest

REGION = "us-east-1"
ACCOUNT = "111122223333"
URL_HOST = f"abcdefghijklmnopqrstuvwxyz012345.lambda-url.{REGION}.on.aws"
FUNCTION_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:api"
CREDENTIAL = Credential(
    access_key_id="ASIAEXAMPLEEXAMPLE00",
    secret_access_key="edge/secret+access/key/that/must/not/show",
    session_token="session-token-that-must-not-show//==",
    principal_arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/edge-role/us-east-1.edge",
    role_name="edge-role",
    account_id=ACCOUNT,
    role_id="AROAEXAMPLEEXAMPLE000",
)
BOTH = [
    {
        "Effect": "Allow",
        "Action": "lambda:InvokeFunctionUrl",
        "Resource": FUNCTION_ARN,
        "Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}},
    },
    {
        "Effect": "Allow",
        "Action": "lambda:InvokeFunction",
        "Resource": FUNCTION_ARN,
        "Condition": {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
    },
]


@dataclass
class Answer:
    """What came back on the socket."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return found[0] if found else None


@dataclass
class Signed:
    """A signed request, ready to be sent or to be changed first."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""

    def wire(self) -> WireRequest:
        path, _, query = self.target.encode().partition(b"?")
        headers = tuple((name.lower().encode(), value.encode()) for name, value in self.headers.items())
        return WireRequest(self.method.encode(), path, query, headers, self.body)


@dataclass
class RunningDoor:
    """The door, what it said, and the function behind it."""

    credentials: StaticCredentials
    port: int = 0
    clock_offset_s: float = 0.0
    payload: bytes = b'{"statusCode":200,"body":"ok"}'
    function_error: str | None = None
    failure: Exception | None = None
    events: list[dict] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    identity: list[dict] = field(default_factory=lambda: list(BOTH))
    resource: list[dict] = field(default_factory=list)
    policy_failure: Exception | None = None

    def identity_statements(self, credential):
        if self.policy_failure is not None:
            raise self.policy_failure
        return StaticPolicies(by_role={"edge-role": self.identity}).identity_statements(credential)

    def resource_statements(self, function_arn):
        return StaticPolicies(by_function={FUNCTION_ARN: self.resource}).resource_statements(function_arn)

    async def invoke(self, name, event):
        assert name == "api"
        self.events.append(event)
        if self.failure is not None:
            raise self.failure
        return InvokeResult(self.payload, self.function_error)

    def reset(self):
        self.clock_offset_s = 0.0
        self.payload, self.function_error = b'{"statusCode":200,"body":"ok"}', None
        self.identity, self.resource = list(BOTH), []
        self.failure = self.policy_failure = None
        self.events.clear()
        self.said.clear()

    def send(self, signed: Signed) -> Answer:
        return exchange(self.port, signed.method, signed.target, list(signed.headers.items()), signed.body)

    @property
    def last_words(self) -> str:
        return "\n".join(self.said)


@contextmanager
def running_door() -> Iterator[RunningDoor]:
    """Serve a door on a free port in a thread; stopped at the end."""
    running = RunningDoor(StaticCredentials([CREDENTIAL]))
    door = FunctionUrlDoor(
        function_name="api",
        function_arn=FUNCTION_ARN,
        region=REGION,
        account_id=ACCOUNT,
        url_host=URL_HOST,
        credentials=running.credentials,
        policies=running,
        invoke=running.invoke,
        console=running.said.append,
        clock=lambda: time.time() + running.clock_offset_s,
    )
    listener = socket.create_server(("127.0.0.1", 0))
    running.port = listener.getsockname()[1]
    server = uvicorn.Server(server_config(door))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield running
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()


def exchange(port: int, method: str, target: str | bytes, headers: list[tuple[str, str]], body: bytes = b"") -> Answer:
    """Send exactly these bytes, and read the answer; nothing is added but content-length and the connection's end."""
    raw = target if isinstance(target, bytes) else target.encode()
    lines = [method.encode() + b" " + raw + b" HTTP/1.1"]
    lines += [name.encode() + b": " + value.encode() for name, value in headers]
    lines += [b"Content-Length: %d" % len(body), b"Connection: close"]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        response = http.client.HTTPResponse(connection, method=method)
        response.begin()
        try:
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            response.close()


def sign_botocore(
    method: str,
    target: str,
    body: bytes = b"",
    *,
    headers: dict[str, str] | None = None,
    host: str = URL_HOST,
    credential: Credential = CREDENTIAL,
    region: str = REGION,
    service: str = "lambda",
    state_hash: bool = True,
) -> Signed:
    """Sign with botocore; the target goes onto the wire as it is given."""
    given = {"host": host, **(headers or {})}
    if state_hash:
        given["x-amz-content-sha256"] = hashlib.sha256(body).hexdigest()
    request = AWSRequest(method=method, url=f"http://{host}{target}", data=body, headers=given)
    frozen = Credentials(
        credential.access_key_id, credential.secret_access_key, credential.session_token
    ).get_frozen_credentials()
    SigV4Auth(frozen, service, region).add_auth(request)
    return Signed(method, target, dict(request.headers.items()), body)


def sign_awscrt(method: str, target: str, body: bytes = b"", *, host: str = URL_HOST) -> Signed:
    """Sign with AWS's C implementation, through its Python binding."""
    headers = awscrt.http.HttpHeaders([("host", host)])
    request = awscrt.http.HttpRequest(method, target, headers, BytesIO(body))
    config = awscrt.auth.AwsSigningConfig(
        algorithm=awscrt.auth.AwsSigningAlgorithm.V4,
        signature_type=awscrt.auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
        credentials_provider=awscrt.auth.AwsCredentialsProvider.new_static(
            CREDENTIAL.access_key_id, CREDENTIAL.secret_access_key, CREDENTIAL.session_token
        ),
        region=REGION,
        service="lambda",
        date=datetime.now(UTC),
        use_double_uri_encode=True,
        should_normalize_uri_path=True,
        signed_body_value=hashlib.sha256(body).hexdigest(),
        signed_body_header_type=awscrt.auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
    )
    signed = awscrt.auth.aws_sign_request(request, config).result(timeout=10)
    return Signed(method, target, dict(signed.headers), body)


def error_of(answer: Answer) -> tuple[int, str | None, dict]:
    """Return the three things by which AWS's refusals are told apart."""
    return answer.status, answer.header("x-amzn-ErrorType"), json.loads(answer.body)
