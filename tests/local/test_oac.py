"""CloudFront's origin access control: what the twin signs, what the door admits, and on whose behalf."""

import dataclasses

import pytest
from cognito_edge_local.cloudfront.behaviors import DistributionError, Origin, read_distribution
from cognito_edge_local.cloudfront.distribution import EdgeTwin
from cognito_edge_local.cloudfront.forwarding import OriginRequest
from cognito_edge_local.cloudfront.oac import SERVICE, OriginAccessSigner

from tests.local.door_support import (
    ACCOUNT,
    CREDENTIAL,
    FUNCTION_ARN,
    URL_HOST,
    error_of,
    exchange,
    running_door,
    sign_botocore,
)
from tests.local.test_distribution_read import FakeCloudFront
from tests.local.twin_rig import GUARDED, distribution
from tests.local.twin_rig import URL_HOST as TWINS_HOST

DISTRIBUTION = f"arn:aws:cloudfront::{ACCOUNT}:distribution/E2EXAMPLE"
HASH_OF_HI = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"


def permission(action, *, source=DISTRIBUTION, service=SERVICE, **condition):
    block = {"ArnLike": {"AWS:SourceArn": source}} if source else {}
    return {
        "Sid": action,
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": f"lambda:{action}",
        "Resource": FUNCTION_ARN,
        "Condition": {**block, **condition},
    }


THROUGH_THE_URL = {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}
BOTH = [permission("InvokeFunctionUrl"), permission("InvokeFunction", **THROUGH_THE_URL)]


@pytest.fixture(scope="module")
def served():
    with running_door() as running:
        yield running


@pytest.fixture
def door(served):
    served.reset()
    served.identity = []  # the edge role may do nothing
    served.resource = list(BOTH)
    return served


@pytest.fixture
def signer(served):
    made = OriginAccessSigner(distribution_id="E2EXAMPLE", account_id=ACCOUNT)
    served.credentials.add(made.credential)
    yield made
    served.credentials.remove(made.credential.access_key_id)


def request(method="GET", uri=b"/api/whoami", query=b""):
    return OriginRequest(method, uri, query, (), (), Origin(kind="custom", domain_name=URL_HOST, signed=True))


def send(door, signer, *, method="GET", uri=b"/api/whoami", query=b"", headers=(), body=b"", after=()):
    sent = request(method, uri, query)
    signed = signer(sent, [(b"host", URL_HOST.encode()), *headers])
    pairs = [(name.decode(), value.decode()) for name, value in [*signed, *after]]
    return exchange(door.port, method, sent.target, pairs, body)


@pytest.mark.parametrize(
    ("uri", "query"),
    [
        (b"/", b""),
        (b"/api/a%20b/(c)*!'", b""),
        (b"/api/echo", b"b=2&a=1&a=%20%2B&z="),
        (b"/api/caf%C3%A9", b"x=%E2%82%AC"),
    ],
)
def test_what_cloudfront_signs_is_admitted(door, signer, uri, query):
    """By the function's own permissions; the edge role has none."""
    assert send(door, signer, uri=uri, query=query).status == 200
    (event,) = door.events
    caller = event["requestContext"]["authorizer"]["iam"]
    assert caller["userArn"].endswith(":assumed-role/OriginAccessControlRole/OriginAccessSession")
    assert caller["accountId"] != ACCOUNT
    assert event["headers"]["x-amz-source-arn"] == DISTRIBUTION
    assert event["headers"]["x-amz-source-account"] == ACCOUNT


def test_a_body_needs_the_hash_that_the_edge_function_states(door, signer):
    """CloudFront does not hash it."""
    stated = [(b"x-amz-content-sha256", HASH_OF_HI.encode())]
    assert send(door, signer, method="POST", headers=stated, body=b"hi").status == 200
    for headers, body in (((), b"hi"), (stated, b"ho")):
        status, error, _ = error_of(send(door, signer, method="POST", headers=headers, body=body))
        assert (status, error) == (403, "InvalidSignatureException")


def test_an_authorization_is_replaced(door, signer):
    """Signing behavior ``always``, whatever the viewer's own signature."""
    mine = sign_botocore("GET", "/api/whoami")
    headers = [(name.lower().encode(), value.encode()) for name, value in mine.headers.items() if name != "host"]
    assert send(door, signer, headers=headers).status == 200
    (event,) = door.events
    assert "OriginAccessControlRole" in event["requestContext"]["authorizer"]["iam"]["userArn"]


def test_identity_headers_are_not_inside_the_signature(door, signer):
    """The difference to mode sigv4 that the ADR names."""
    assert send(door, signer, after=[(b"x-cognito-sub", b"added later")]).status == 200


@pytest.mark.parametrize(
    "resource",
    [
        [],
        BOTH[:1],
        BOTH[1:],
        [permission("InvokeFunctionUrl", source=f"{DISTRIBUTION}X"), BOTH[1]],
        [BOTH[0], permission("InvokeFunction", source="arn:aws:cloudfront::999999999999:distribution/E2EXAMPLE")],
        [{**statement, "Principal": {"Service": "events.amazonaws.com"}} for statement in BOTH],
        [{**statement, "Principal": {"AWS": ACCOUNT}} for statement in BOTH],
        [{**statement, "Effect": "Deny"} for statement in BOTH],
        [*BOTH, {**BOTH[0], "Effect": "Deny"}],
    ],
)
def test_without_both_permissions_for_this_distribution_nobody_gets_in(door, signer, resource):
    """Another distribution's, another service's, or one of the two: AccessDenied."""
    door.resource = resource
    status, error, _ = error_of(send(door, signer))
    assert (status, error) == (403, "AccessDeniedException")
    assert not door.events


def test_another_distribution_is_kept_out(door, signer):
    """It signs just as well; SourceArn is what differs."""
    other = OriginAccessSigner(distribution_id="E3OTHER", account_id=ACCOUNT)
    door.credentials.add(other.credential)
    assert error_of(send(door, other))[:2] == (403, "AccessDeniedException")
    assert "E3OTHER" in door.last_words


def test_a_role_that_names_a_distribution_is_still_a_role(door):
    """The header counts from CloudFront alone."""
    signed = sign_botocore("GET", "/api/whoami", headers={"x-amz-source-arn": DISTRIBUTION})
    assert error_of(door.send(signed))[:2] == (403, "AccessDeniedException")


def test_a_service_gets_nothing_from_a_roles_policies(door, signer):
    """Were CloudFront's role read in this account, a role of that name would decide."""
    door.identity = [{"Effect": "Allow", "Action": "lambda:*", "Resource": "*"}]
    door.resource = []
    assert send(door, signer).status == 403


def test_credentials_are_new_for_every_run_and_in_no_repr():
    """They open every door of this machine's system."""
    one, two = (OriginAccessSigner(distribution_id="E2EXAMPLE", account_id=ACCOUNT).credential for _ in range(2))
    assert one.access_key_id != two.access_key_id
    assert one.secret_access_key not in repr(one)
    assert CREDENTIAL.service is None


class TestTwin:
    def test_the_access_control_is_read_from_the_distribution(self):
        """Only the kind that signs every request to function URLs; others are named as not played."""
        config = {
            "OriginAccessControlOriginType": "lambda",
            "SigningBehavior": "always",
            "SigningProtocol": "sigv4",
        }
        for changes, signed in (({}, True), ({"SigningBehavior": "no-override"}, False)):
            fake = FakeCloudFront()
            fake.config["Origins"]["Items"][0]["OriginAccessControlId"] = "E1"
            answer = {"OriginAccessControl": {"OriginAccessControlConfig": {**config, **changes}}}
            fake.get_origin_access_control = lambda *, Id, answer=answer: answer  # noqa: N803 - boto3's spelling
            view = read_distribution(fake, "E1")
            assert view.behaviors[0].origin.signed is signed
            assert any("origin access control" in sentence for sentence in view.not_played) is not signed

    def test_it_does_not_start_without_a_signer(self):
        """Otherwise the door would refuse every request, without the reason."""
        origin = dataclasses.replace(GUARDED.origin, signed=True)
        assert origin.domain_name == TWINS_HOST
        with pytest.raises(DistributionError, match="nothing to sign with"):
            EdgeTwin(config=distribution(origin=origin), invoke=None, resolve=None, console=None)
