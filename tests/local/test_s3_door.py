"""A bucket's door: whom the deployed policy lets in, and S3's words for all others."""

import asyncio
import io
import json
import time
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import unquote

import awscrt.auth
import awscrt.http
import pytest
from botocore.exceptions import ClientError
from cognito_edge_local.cloudfront.behaviors import Origin, read_distribution
from cognito_edge_local.cloudfront.forwarding import OriginRequest
from cognito_edge_local.cloudfront.oac import OriginAccessSigner, bucket_region
from cognito_edge_local.emulator import static_site
from cognito_edge_local.origins.bucket import BucketDoor
from cognito_edge_local.origins.principals import StaticCredentials

from tests.local.door_support import ACCOUNT, CREDENTIAL
from tests.local.test_distribution_read import FakeCloudFront
from tests.local.twin_rig import GUARDED, distribution

BUCKET = "site-bucket"
HOST = f"{BUCKET}.s3.us-east-1.amazonaws.com"
DISTRIBUTION = f"arn:aws:cloudfront::{ACCOUNT}:distribution/E2EXAMPLE"
ALLOW = {
    "Effect": "Allow",
    "Principal": {"Service": "cloudfront.amazonaws.com"},
    "Action": "s3:GetObject",
    "Resource": f"arn:aws:s3:::{BUCKET}/*",
    "Condition": {"StringEquals": {"AWS:SourceArn": DISTRIBUTION}},
}
LISTING = {**ALLOW, "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}"}
ONLY_TLS = {
    "Effect": "Deny",
    "Principal": {"AWS": "*"},
    "Action": "s3:*",
    "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}


class NoSuchKeyError(ClientError):
    """As boto3 makes it at run time."""


class FakeS3:
    """A bucket, as boto3's client tells of it."""

    def __init__(self):
        self.exceptions = SimpleNamespace(NoSuchKey=NoSuchKeyError)
        self.objects = {"index.html": b"<!doctype html>", "a b/ä1.txt": b"text"}
        self.statements = [ONLY_TLS, ALLOW]
        self.asked = []

    def get_bucket_policy(self, *, Bucket):  # noqa: N803 - boto3's spelling
        assert Bucket == BUCKET
        if self.statements is None:
            raise ClientError({"Error": {"Code": "NoSuchBucketPolicy"}}, "GetBucketPolicy")
        return {"Policy": json.dumps({"Version": "2012-10-17", "Statement": self.statements})}

    def get_object(self, *, Bucket, Key, **conditions):  # noqa: N803 - boto3's spelling
        assert Bucket == BUCKET
        self.asked.append((Key, conditions))
        if Key not in self.objects:
            error = {"Error": {"Code": "NoSuchKey"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
            raise NoSuchKeyError(error, "GetObject")
        content = self.objects[Key]
        headers = {"content-type": "text/html", "content-length": str(len(content)), "x-amz-id-2": "internal"}
        return {"Body": io.BytesIO(content), "ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": headers}}


class Door:
    """The door, what is behind it, and CloudFront in front of it."""

    def __init__(self):
        self.s3 = FakeS3()
        self.said = []
        self.signer = OriginAccessSigner(distribution_id="E2EXAMPLE", account_id=ACCOUNT)
        credentials = StaticCredentials([self.signer.credential, CREDENTIAL])
        self.app = BucketDoor(
            bucket=BUCKET,
            host=HOST,
            region="us-east-1",
            account_id=ACCOUNT,
            s3=self.s3,
            credentials=credentials,
            console=self.said.append,
        )

    def signed(self, uri=b"/index.html", *, method="GET", query=b"", headers=(), signer=None):
        request = OriginRequest(method, uri, query, (), (), Origin(kind="s3", domain_name=HOST, signed=True))
        return (signer or self.signer)(request, [(b"host", HOST.encode()), *headers])

    def send(self, headers, uri=b"/index.html", *, method="GET", query=b"", body=b""):
        """Give the application one request; returns status, headers and body."""
        sent = []

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "raw_path": uri,
            "query_string": query,
            "headers": [(name.lower(), value) for name, value in headers],
        }
        asyncio.run(self.app(scope, receive, send))
        start, answer = sent
        return start["status"], dict(start["headers"]), answer["body"]

    def get(self, uri=b"/index.html", **options):
        signed = self.signed(uri, **options)
        options.pop("headers", None)
        options.pop("signer", None)
        return self.send(signed, uri, **options)


@pytest.fixture
def door():
    return Door()


@pytest.mark.parametrize(("uri", "key"), [(b"/index.html", "index.html"), (b"/a%20b/%C3%A41.txt", "a b/ä1.txt")])
def test_what_cloudfront_signs_for_this_distribution_is_served(door, uri, key):
    """The object, its own headers, and nothing of the store's."""
    status, headers, body = door.get(uri)
    assert (status, body) == (200, door.s3.objects[key])
    assert headers[b"content-type"] == b"text/html"
    assert b"x-amz-id-2" not in headers
    status, headers, body = door.get(uri, method="HEAD")
    assert (status, headers[b"content-length"], body) == (200, str(len(door.s3.objects[key])).encode(), b"")


@pytest.mark.parametrize("uri", ["/index.html", "/a%20b/%C3%A41.txt"])
def test_the_signature_is_judged_by_s3s_rules(door, uri):
    """AWS's own C signer, told to sign for S3 (no second encoding of the path), is admitted; told otherwise, it is not."""
    credential = door.signer.credential
    statuses = {}
    for twice in (False, True):
        headers = awscrt.http.HttpHeaders(
            [("host", HOST), ("x-amz-source-arn", DISTRIBUTION), ("x-amz-source-account", ACCOUNT)]
        )
        config = awscrt.auth.AwsSigningConfig(
            algorithm=awscrt.auth.AwsSigningAlgorithm.V4,
            signature_type=awscrt.auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
            credentials_provider=awscrt.auth.AwsCredentialsProvider.new_static(
                credential.access_key_id, credential.secret_access_key, credential.session_token
            ),
            region="us-east-1",
            service="s3",
            use_double_uri_encode=twice,
            should_normalize_uri_path=False,
            signed_body_header_type=awscrt.auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
        )
        request = awscrt.http.HttpRequest("GET", uri, headers)
        signed = awscrt.auth.aws_sign_request(request, config).result(timeout=10)
        pairs = [(name.encode(), value.encode()) for name, value in signed.headers]
        statuses[twice] = door.send(pairs, uri.encode())[0]
    assert statuses == {False: 200, True: 200 if unquote(uri) == uri else 403}


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        ([ONLY_TLS], "does not let cloudfront.amazonaws.com do s3:GetObject"),
        (None, "does not let cloudfront.amazonaws.com"),
        ([{**ALLOW, "Condition": {"StringEquals": {"AWS:SourceArn": DISTRIBUTION + "X"}}}], "does not let"),
        ([{**ALLOW, "Principal": {"Service": "lambda.amazonaws.com"}}], "does not let"),
        ([{**ALLOW, "Resource": f"arn:aws:s3:::{BUCKET}/other/*"}], "does not let"),
        ([{**ALLOW, "Action": "s3:PutObject"}], "does not let"),
        ([ALLOW, {**ALLOW, "Effect": "Deny", "Condition": {}}], "is denied by"),
    ],
)
def test_without_a_statement_for_this_distribution_nobody_reads(door, statements, reason):
    """S3's bare AccessDenied for the caller, the reason on the console; the object is not even asked for."""
    door.s3.statements = statements
    status, headers, body = door.get()
    assert (status, headers[b"content-type"]) == (403, b"application/xml")
    assert b"<Code>AccessDenied</Code><Message>Access Denied</Message>" in body
    assert reason in "\n".join(door.said)
    assert door.s3.asked == []


def test_another_distribution_of_the_account_is_kept_out(door):
    """It signs as the same service; on whose behalf is inside the signature."""
    other = OriginAccessSigner(distribution_id="E3OTHER", account_id=ACCOUNT)
    assert door.get(signer=other)[0] == 403  # whose keys the door does not know
    object.__setattr__(other, "credential", door.signer.credential)
    assert door.get(signer=other)[0] == 403
    assert "E3OTHER" in "\n".join(door.said)


def test_who_does_not_sign_gets_nothing(door):
    """The bucket is not public."""
    status, _, body = door.send([(b"host", HOST.encode())])
    assert (status, b"AccessDenied" in body) == (403, True)
    assert "not signed" in door.said[0]


@pytest.mark.parametrize("change", ["path", "source", "late", "secret"])
def test_a_request_that_was_changed_after_signing_is_refused(door, change):
    """Path, distribution, time, key: each is inside the signature."""
    headers = door.signed()
    uri = b"/index.html"
    if change == "path":
        uri = b"/a%20b/%C3%A41.txt"
    elif change == "source":
        headers = [
            (n, v.replace(b"E2EXAMPLE", b"E3OTHER") if n.lower() == b"x-amz-source-arn" else v) for n, v in headers
        ]
    elif change == "late":
        door.app.clock = lambda: time.time() + 400
    else:
        forger = OriginAccessSigner(distribution_id="E2EXAMPLE", account_id=ACCOUNT)
        forger.credential = replace(door.signer.credential, secret_access_key="guessed")
        headers = door.signed(signer=forger)
    status, _, body = door.send(headers, uri)
    assert (status, b"SignatureDoesNotMatch" in body) == (403, True)
    assert door.s3.asked == []


@pytest.mark.parametrize(
    ("statements", "status", "code"), [([ALLOW], 403, b"AccessDenied"), ([ALLOW, LISTING], 404, b"NoSuchKey")]
)
def test_only_those_who_may_list_learn_that_a_key_is_missing(door, statements, status, code):
    """As S3 does it: without ListBucket a missing object is a 403."""
    door.s3.statements = statements
    answered, _, body = door.get(b"/nothing.html")
    assert (answered, code in body) == (status, True)


@pytest.mark.parametrize(
    ("uri", "method", "status"),
    [(b"/%00", "GET", 400), (b"/%FF", "GET", 400), (b"/", "GET", 403), (b"/index.html", "PUT", 405)],
)
def test_what_is_no_object_is_refused(door, uri, method, status):
    """The bucket itself, paths that are not text, other methods."""
    assert door.get(uri, method=method)[0] == status
    assert door.s3.asked == []


@pytest.mark.parametrize(
    ("size", "status", "code"),
    [(64 * 1024, 403, b"SignatureDoesNotMatch"), (64 * 1024 + 1, 400, b"EntityTooLarge")],
)
def test_a_body_is_read_up_to_a_limit(door, size, status, code):
    """No reader of an object sends one."""
    answered, _, body = door.send(door.signed(), body=b"x" * size)
    assert (answered, code in body) == (status, True)
    assert door.s3.asked == []


def test_another_host_is_another_bucket(door):
    """Nothing of this one is told there."""
    headers = [(name, value) for name, value in door.signed() if name.lower() != b"host"]
    assert door.send([*headers, (b"host", b"other.s3.us-east-1.amazonaws.com")])[0] == 404


def test_validators_and_ranges_reach_the_object(door):
    """What CloudFront forwards of a conditional request; the door passes nothing else on."""
    door.get(headers=[(b"if-none-match", b'"x"'), (b"range", b"bytes=0-0"), (b"cookie", b"secret")])
    assert door.s3.asked == [("index.html", {"IfNoneMatch": '"x"', "Range": "bytes=0-0"})]


def test_a_policy_that_cannot_be_read_is_no_decision(door):
    """Neither access nor "denied"."""

    def fail(**_):
        raise ClientError({"Error": {"Code": "InternalError"}}, "GetBucketPolicy")

    door.s3.get_bucket_policy = fail
    assert door.get()[0] == 500


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("b.s3.us-east-1.amazonaws.com", "us-east-1"),
        ("my.bucket.s3.eu-west-1.amazonaws.com", "eu-west-1"),
        ("b.s3.amazonaws.com", ""),
        ("example.com", ""),
    ],
)
def test_the_region_is_that_of_the_buckets_host(host, region):
    """The scope has to name it."""
    assert bucket_region(host) == region


@pytest.mark.parametrize(("kind", "signed"), [("s3", True), ("lambda", False)])
def test_the_access_control_of_a_bucket_is_read_from_the_distribution(kind, signed):
    """One for function URLs signs nothing for a bucket."""
    fake = FakeCloudFront()
    origin = fake.config["Origins"]["Items"][0]
    origin.pop("CustomOriginConfig")
    origin |= {"S3OriginConfig": {"OriginAccessIdentity": ""}, "OriginAccessControlId": "E1", "DomainName": HOST}
    config = {"OriginAccessControlOriginType": kind, "SigningBehavior": "always", "SigningProtocol": "sigv4"}
    answer = {"OriginAccessControl": {"OriginAccessControlConfig": config}}
    fake.get_origin_access_control = lambda *, Id: answer  # noqa: N803 - boto3's spelling
    view = read_distribution(fake, "E1")
    assert (view.behaviors[0].origin.kind, view.behaviors[0].origin.signed) == ("s3", signed)


class TestLocalChanges:
    def test_the_local_login_stands_where_the_deployed_one_did(self):
        """One word of the policy, whole; other behaviors and other words stay."""
        login = "https://p.auth.us-east-1.amazoncognito.com"
        text = f"default-src 'none'; connect-src 'self' https://x.example {login}; img-src {login}x"
        policy = {"SecurityHeadersConfig": {"ContentSecurityPolicy": {"ContentSecurityPolicy": text, "Override": True}}}
        view = distribution(replace(GUARDED, response_headers=policy), replace(GUARDED, response_headers=None))
        changed = static_site.with_local_login(view, deployed=login, local="http://127.0.0.1:8081")
        setting = changed.behaviors[0].response_headers["SecurityHeadersConfig"]["ContentSecurityPolicy"]
        assert setting == {
            "ContentSecurityPolicy": "default-src 'none'; connect-src 'self' https://x.example http://127.0.0.1:8081; "
            f"img-src {login}x",
            "Override": True,
        }
        assert changed.behaviors[1] == view.behaviors[1]

    def test_the_client_keeps_its_settings_and_gets_one_address_more(self):
        """What UpdateUserPoolClient is not told again it resets; a second start adds nothing twice."""
        client = {
            "ClientName": "",
            "ExplicitAuthFlows": ["ALLOW_USER_SRP_AUTH"],
            "CallbackURLs": ["http://localhost:8976/callback"],
            "AllowedOAuthFlowsUserPoolClient": True,
            "CreationDate": "now",
        }

        class Cognito:
            def describe_user_pool_client(self, **_):
                return {"UserPoolClient": client}

            def update_user_pool_client(self, *, UserPoolId, ClientId, **settings):  # noqa: N803 - boto3's spelling
                assert (UserPoolId, ClientId) == ("pool", "client")
                client.update(settings)
                self.settings = settings

        cognito = Cognito()
        for _ in range(2):
            static_site.admit_pages(
                cognito, user_pool_id="pool", client_id="client", gateway_url="http://127.0.0.1:8080"
            )
        assert cognito.settings == {
            "ExplicitAuthFlows": ["ALLOW_USER_SRP_AUTH"],
            "CallbackURLs": ["http://localhost:8976/callback", "http://127.0.0.1:8080/"],
            "LogoutURLs": ["http://127.0.0.1:8080/"],
            "AllowedOAuthFlowsUserPoolClient": True,
        }
