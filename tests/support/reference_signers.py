"""Three programs that share no line with the gateway's signer, asked what they make of a request's wire form.

botocore and awscrt sign it again, and the local door (written from the server's side) judges it under every reading of
SigV4 that it knows. All three see what goes over the wire and nothing else: method, path, query, headers and body.
"""

import datetime as dt
import hashlib
from dataclasses import dataclass
from io import BytesIO

import awscrt.auth
import awscrt.http
import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from cognito_edge.sigv4 import Credentials
from cognito_edge_local.origins.principals import Credential
from cognito_edge_local.origins.sigv4 import canonical_query, canonical_request, parse_authorization, verify
from cognito_edge_local.origins.wire import WireRequest

from .events import is_forwarded
from .gateways import CREDENTIALS
from .keys_and_tokens import NOW

# What a SigV4 signer adds itself and refuses to be given.
_ADDED = frozenset({"x-amz-date", "x-amz-security-token", "authorization"})


@dataclass(frozen=True)
class Wire:
    """A request as CloudFront sends it to the function URL.

    Attributes:
        method: As sent.
        path: Raw, with the origin's own path before it.
        query: Raw, without ``?``.
        headers: (lower-case name, value), repeats included.
        body: The viewer's own body: the edge function only reads it.
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def target(self) -> str:
        return self.path + (f"?{self.query}" if self.query else "")

    @property
    def authorization(self) -> str:
        (value,) = self.values("authorization")
        return value

    @property
    def signed_names(self) -> list[str]:
        return self.authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")

    @property
    def region(self) -> str:
        return self.authorization.split("/")[2]

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def signed(self) -> list[tuple[str, str]]:
        """Return the signed headers less those that a signer adds itself; each may stand once only."""
        found = [(name, value) for name, value in self.headers if name in self.signed_names]
        assert sorted(name for name, _ in found) == self.signed_names
        return [(name, value) for name, value in found if name not in _ADDED]

    def for_door(self) -> WireRequest:
        headers = tuple((name.encode("latin-1"), value.encode()) for name, value in self.headers)
        return WireRequest(self.method.encode(), self.path.encode(), self.query.encode(), headers, self.body)


def sha256_hex(data: bytes) -> str:
    """Return the hex digest that SigV4 uses."""
    return hashlib.sha256(data).hexdigest()


def wire_form(result: dict, body: bytes = b"") -> Wire:
    """Return what CloudFront sends to the origin after the edge function returned *result*.

    Args:
        result: The handler's answer, which has to be a request.
        body: The viewer's whole body.
    """
    assert is_forwarded(result), result
    headers = tuple((name, item["value"]) for name, items in result["headers"].items() for item in items)
    path = result["origin"]["custom"]["path"] + result["uri"]
    return Wire(result["method"], path, result["querystring"], headers, body)


def botocore_authorization(
    wire: Wire, *, now: int = NOW, credentials: Credentials = CREDENTIALS, region: str | None = None
) -> str:
    """Sign the wire form with botocore and return its Authorization header.

    Its clock is a function of its module, replaced for the one call.
    """
    frozen = ReadOnlyCredentials(
        credentials.access_key_id, credentials.secret_access_key, credentials.session_token, None
    )
    request = AWSRequest(wire.method, f"https://{wire.values('host')[0]}{wire.target}", data=wire.body)
    for name, value in wire.signed():
        if name != "x-amz-content-sha256":
            request.headers[name] = value
    # botocore hashes the body itself; what the gateway stated is signed as a header, and compared here.
    (stated,) = wire.values("x-amz-content-sha256")
    assert stated == hashlib.sha256(wire.body).hexdigest()
    request.headers["x-amz-content-sha256"] = stated
    clock = botocore.auth.get_current_datetime
    botocore.auth.get_current_datetime = lambda: dt.datetime.fromtimestamp(now, dt.UTC)
    try:
        botocore.auth.SigV4Auth(frozen, "lambda", region or wire.region).add_auth(request)
    finally:
        botocore.auth.get_current_datetime = clock
    return request.headers["Authorization"]


def awscrt_authorization(
    wire: Wire, *, now: int = NOW, credentials: Credentials = CREDENTIALS, region: str | None = None
) -> str:
    """Sign the wire form with AWS's C implementation and return its Authorization header."""
    headers = awscrt.http.HttpHeaders(
        [(name, value) for name, value in wire.signed() if name != "x-amz-content-sha256"]
    )
    request = awscrt.http.HttpRequest(wire.method, wire.target, headers, BytesIO(wire.body))
    config = awscrt.auth.AwsSigningConfig(
        algorithm=awscrt.auth.AwsSigningAlgorithm.V4,
        signature_type=awscrt.auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
        credentials_provider=awscrt.auth.AwsCredentialsProvider.new_static(
            credentials.access_key_id, credentials.secret_access_key, credentials.session_token
        ),
        region=region or wire.region,
        service="lambda",
        date=dt.datetime.fromtimestamp(now, dt.UTC),
        use_double_uri_encode=True,
        should_normalize_uri_path=True,
        # Left out, awscrt would read the body; it has to agree with the header either way.
        signed_body_value=hashlib.sha256(wire.body).hexdigest(),
        signed_body_header_type=awscrt.auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
    )
    signed = awscrt.auth.aws_sign_request(request, config).result(timeout=30)
    return dict(signed.headers)["Authorization"]


def door_verdict(wire: Wire, *, now: int = NOW, credentials: Credentials = CREDENTIALS) -> bytes:
    """Let the local function-URL door judge the wire form; return the canonical request that it made.

    Raises:
        SignatureRefusedError: It would answer 403; the message says why, and names readings that differ.
    """
    owner = Credential(
        access_key_id=credentials.access_key_id,
        secret_access_key=credentials.secret_access_key,
        session_token=credentials.session_token,
        principal_arn="arn:aws:sts::111122223333:assumed-role/edge-role/us-east-1.edge",
        role_name="edge-role",
        account_id="111122223333",
    )
    request = wire.for_door()
    verify(request, lookup={owner.access_key_id: owner}.get, region=wire.region, service="lambda", now=now)
    return canonical_request(request, parse_authorization(wire.authorization.encode()).signed_headers)


def assert_every_reference_agrees(wire: Wire, *, now: int = NOW, credentials: Credentials = CREDENTIALS) -> None:
    """Fail unless botocore, awscrt and the door all make exactly our signature of the wire form."""
    assert botocore_authorization(wire, now=now, credentials=credentials) == wire.authorization
    assert awscrt_authorization(wire, now=now, credentials=credentials) == wire.authorization
    door_verdict(wire, now=now, credentials=credentials)
    assert canonical_query(wire.query.encode()).decode() == "&".join(
        sorted(wire.query.split("&"), key=lambda pair: pair.split("="))
    )
