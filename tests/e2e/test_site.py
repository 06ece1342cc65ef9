"""The static site through the whole system: the distribution's default behavior, from a bucket that is not public."""

import json
import re

import pytest
import requests
from cognito_edge_local.emulator import process as emulator

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def s3(system):
    return emulator.root_client("s3", system.outputs["aws_endpoint_url"])


@pytest.fixture(scope="module")
def bucket(system):
    cloudformation = emulator.root_client("cloudformation", system.outputs["aws_endpoint_url"])
    outputs = cloudformation.describe_stacks()["Stacks"][0]["Outputs"]
    return next(output["OutputValue"] for output in outputs if output["OutputKey"] == "SiteBucket")


def test_the_site_is_served_at_the_gateways_own_address(system):
    """Without a token, as a page, and with the headers that keep it to itself."""
    answer = system.curl("/")
    assert answer.status == 200
    assert answer.headers["content-type"] == ["text/html; charset=utf-8"]
    assert answer.headers["cache-control"] == ["no-cache"]
    assert answer.headers["x-content-type-options"] == ["nosniff"]
    assert answer.headers["x-frame-options"] == ["DENY"]
    assert answer.headers["referrer-policy"] == ["no-referrer"]
    assert answer.headers["strict-transport-security"] == ["max-age=31536000"]
    assert answer.headers["cross-origin-opener-policy"] == ["same-origin"]
    assert answer.body.startswith(b"<!doctype html>")
    assert system.curl("/index.html").body == answer.body


def test_pages_may_load_their_own_files_and_call_the_login(system):
    """The policy of the template, with the local login in the place of Cognito's: nothing else is opened."""
    (policy,) = system.curl("/").headers["content-security-policy"]
    directives = dict(directive.split(" ", 1) for directive in policy.split("; "))
    region = system.outputs["region"]
    assert directives.pop("connect-src") == (
        f"'self' https://cognito-idp.{region}.amazonaws.com {system.outputs['login_url']}"
    )
    assert directives == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }


def test_config_says_where_everything_is_and_holds_no_secret(system):
    """What the page needs and the public may read, without the demo user's password."""
    answer = system.curl("/config.json")
    assert answer.headers["content-type"] == ["application/json"]
    assert answer.headers["cache-control"] == ["no-cache"]
    outputs = system.outputs
    assert answer.json == {
        "region": outputs["region"],
        "user_pool_id": outputs["user_pool_id"],
        "client_id": outputs["client_id"],
        "login_url": outputs["login_url"],
        "issuer": None,
        "api": "/api",
    }
    assert outputs["password"].encode() not in answer.body


def test_every_file_that_the_page_names_is_there_with_its_type(system):
    """Scripts and styles with a type that nosniff lets pass, and, where content decides the name, for ever."""
    page = system.curl("/").body.decode()
    named = re.findall(r'(?:src|href)="(/[^"]+\.(?:js|css|svg))"', page)
    for path in named:
        answer = system.curl(path)
        assert answer.status == 200, path
        kind = path.rpartition(".")[2]
        expected = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}[kind]
        assert answer.headers["content-type"][0].startswith(expected)
        assert ("immutable" in answer.headers["cache-control"][0]) is path.startswith("/assets/")


def test_a_page_that_is_missing_is_s3s_403(system):
    """Without s3:ListBucket S3 does not tell what there is. The API's own errors stay as they are: no rewriting of errors."""
    answer = system.curl("/no/such/page")
    assert answer.status == 403
    assert b"<Code>AccessDenied</Code>" in answer.body
    assert answer.headers["content-security-policy"]
    assert system.curl("/api/whoami").json["code"] == "missing_token"


@pytest.mark.parametrize("path", ["/?list-type=2", "/?policy", "/?versions", "/%2e%2e/", "/../", "//", "/%00"])
def test_nothing_but_files_can_be_read(system, path):
    """Query strings do not reach S3, and keys are keys: neither listing nor policy nor another bucket."""
    answer = system.curl(path)
    assert answer.status in (200, 400, 403)
    assert b"ListBucketResult" not in answer.body
    assert b'"Statement"' not in answer.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_the_site_is_read_only(system, method):
    """CloudFront refuses what the behavior does not allow; a valid token changes nothing."""
    answer = requests.request(
        method, system.url + "/index.html", headers={"Authorization": f"Bearer {system.token}"}, data=b"x", timeout=30
    )
    assert answer.status_code == 403
    assert "AllowedMethods" in answer.text
    assert system.curl("/index.html").body.startswith(b"<!doctype html>")


def test_validators_and_ranges_work(system):
    """A browser that has the file is told so."""
    etag = system.curl("/config.json").headers["etag"][0]
    again = system.curl("/config.json", "-H", f"If-None-Match: {etag}")
    assert (again.status, again.body) == (304, b"")
    part = system.curl("/config.json", "-H", "Range: bytes=0-0")
    assert (part.status, part.body) == (206, b"{")


def test_the_bucket_admits_the_distribution_alone(system, s3, bucket):
    """The deployed policy and block, and the emulator's own refusal of a request without credentials."""
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert block == dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    allowed = [
        statement
        for statement in json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
        if statement["Effect"] == "Allow"
    ]
    (statement,) = allowed
    assert statement["Principal"] == {"Service": "cloudfront.amazonaws.com"}
    assert statement["Action"] == "s3:GetObject"
    (source,) = statement["Condition"]["StringEquals"].values()
    assert source.startswith(f"arn:aws:cloudfront::{emulator.ACCOUNT_ID}:distribution/")
    unsigned = requests.get(f"{system.outputs['aws_endpoint_url']}/{bucket}/index.html", timeout=30)
    assert unsigned.status_code == 403


def test_the_site_can_be_put_again_while_it_is_served(system, tmp_path, s3, bucket):
    """``scripts/website.py put``: new files, right types, config.json of the running system; --prune takes the old away."""
    before = {
        entry["Key"]: s3.get_object(Bucket=bucket, Key=entry["Key"])
        for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]
    }
    bodies = {key: answer["Body"].read() for key, answer in before.items()}
    config = system.curl("/config.json").json
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>new</title>")
    (tmp_path / "assets" / "app-0a1B2c3D.js").write_text("1")
    (tmp_path / "config.json").write_text('{"login_url": "https://development.example.com"}')
    try:
        done = system.script("website.py", "put", "--local", "--folder", str(tmp_path), "--prune")
        assert done.returncode == 0, done.stderr
        assert system.curl("/").body == b"<!doctype html><title>new</title>"
        assert "immutable" in system.curl("/assets/app-0a1B2c3D.js").headers["cache-control"][0]
        assert system.curl("/config.json").json == config
        assert len(s3.list_objects_v2(Bucket=bucket)["Contents"]) == 3
    finally:
        s3.delete_object(Bucket=bucket, Key="assets/app-0a1B2c3D.js")
        for key, answer in before.items():
            s3.put_object(
                Bucket=bucket,
                Key=key,
                Body=bodies[key],
                ContentType=answer["ContentType"],
                CacheControl=answer["CacheControl"],
            )
