"""Signing mode oac through the running system: CloudFront signs, and the backend expects the distribution.

All other end-to-end tests run in this mode as well, with GATEWAY_SIGNING=oac; these run always, in a system of their own.
"""

import hashlib

import pytest
from cognito_edge_local.emulator import process as emulator

from tests.e2e.conftest import System
from tests.support import running_system

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def oac(tmp_path_factory):
    with running_system.running(tmp_path_factory.mktemp("oac"), "--signing", "oac") as process:
        yield System(process)


def test_a_token_gives_200_and_the_identity(oac):
    """The whole way: verified at the edge, signed by CloudFront, admitted by the function's permissions, believed."""
    assert oac.curl("/api/whoami").status == 401
    answer = oac.curl("/api/whoami", token=oac.token)
    assert answer.status == 200, answer.body
    assert answer.json["username"] == oac.outputs["username"]


def test_bodies_and_awkward_targets_arrive(oac):
    """The edge function states the body's hash, and sends a target that has one reading."""
    body = bytes(range(256)) * 40
    path = "/api/echo/a%20b/(c)?x=1+2&x=%2b&e="
    seen = oac.curl(path, "-X", "POST", "-H", "content-type: application/octet-stream", token=oac.token, body=body)
    assert seen.status == 200, seen.body
    assert seen.json["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert seen.json["query"] == [["x", "1 2"], ["x", "+"], ["e", ""]]


def test_a_viewer_cannot_name_a_distribution(oac):
    """What the viewer sends under x-amz-* ends at the edge; what arrives is CloudFront's."""
    forged = (
        "-H",
        "x-amz-source-arn: arn:aws:cloudfront::999999999999:distribution/E1",
        "-H",
        "x-amz-source-account: 9",
    )
    headers = oac.curl("/api/echo", *forged, token=oac.token).json["headers"]
    assert headers["x-amz-source-arn"].startswith(f"arn:aws:cloudfront::{emulator.ACCOUNT_ID}:distribution/")
    assert headers["x-amz-source-account"] == emulator.ACCOUNT_ID


def test_nothing_but_the_distribution_may_call(oac):
    """The edge role has no statement about Lambda, and an unsigned call gets AWS's 403."""
    iam = emulator.root_client("iam", oac.outputs["aws_endpoint_url"])
    (role,) = [role["RoleName"] for role in iam.list_roles()["Roles"] if "GatewayEdgeRole" in role["RoleName"]]
    documents = [
        iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]
    assert documents
    assert "lambda:" not in str(documents)
    answer = oac.curl(oac.outputs["function_urls"]["api"] + "api/whoami", "-H", f"Authorization: Bearer {oac.token}")
    assert answer.status == 403
    assert answer.headers["x-amzn-errortype"] == ["AccessDeniedException"]
