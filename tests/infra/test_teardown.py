"""Letting go of the edge function, changing its version, and deleting it once its replicas are gone."""

import copy

import pytest
from botocore.exceptions import ClientError

from infra.deploy import teardown

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:CognitoEdgeGateway-GatewayEdgeFunction"


def refused(code, operation):
    return ClientError({"Error": {"Code": code, "Message": code}}, operation)


def behavior(version):
    association = {"EventType": "origin-request", "LambdaFunctionARN": f"{FUNCTION}:{version}", "IncludeBody": True}
    return {"TargetOriginId": "o", "LambdaFunctionAssociations": {"Quantity": 1, "Items": [association]}}


class FakeCloudFront:
    """One distribution, as boto3's client tells of it."""

    def __init__(self, config=None):
        self.config = config
        self.updates = []

    def get_distribution_config(self, *, Id):  # noqa: N803 - boto3's spelling
        if self.config is None:
            raise refused("NoSuchDistribution", "GetDistributionConfig")
        return {"ETag": f"etag-{Id}", "DistributionConfig": copy.deepcopy(self.config)}

    def update_distribution(self, *, Id, IfMatch, DistributionConfig):  # noqa: N803 - boto3's spelling
        assert IfMatch == f"etag-{Id}"
        self.config = DistributionConfig
        self.updates.append(DistributionConfig)


class FakeLambda:
    """Functions, and the error that deleting one of them gives."""

    def __init__(self, functions, *, error=None):
        self.functions = functions
        self.error = error

    def get_paginator(self, name):
        assert name == "list_functions"
        return self

    def paginate(self):
        return [{"Functions": [{"FunctionName": name} for name in self.functions]}]

    def delete_function(self, *, FunctionName):  # noqa: N803 - boto3's spelling
        if self.error:
            raise refused(self.error, "DeleteFunction")
        self.functions.remove(FunctionName)


@pytest.fixture
def config():
    return {
        "Enabled": True,
        "Origins": {"Items": [{"Id": "o", "CustomOriginConfig": {}}]},
        "DefaultCacheBehavior": behavior(3),
        "CacheBehaviors": {"Items": [behavior(3), {"TargetOriginId": "site"}]},
    }


def test_letting_go_switches_off_in_the_same_change(config):
    """With an access control, a distribution without its edge function would sign anyone's requests."""
    cloudfront = FakeCloudFront(config)
    teardown.let_go(cloudfront, "E1", lambda line: None)
    (update,) = cloudfront.updates
    assert update["Enabled"] is False
    assert teardown.running_versions(cloudfront, "E1") == []


def test_letting_go_twice_changes_nothing(config):
    """Runs are repeated: after an interruption, or the next day."""
    cloudfront = FakeCloudFront(config)
    said = []
    teardown.let_go(cloudfront, "E1", said.append)
    teardown.let_go(cloudfront, "E1", said.append)
    assert (len(cloudfront.updates), len(said)) == (1, 1)
    teardown.let_go(FakeCloudFront(), "E1", said.append)
    assert said[-1] == "destroy: distribution E1 is gone already"


def test_pointing_to_a_version_changes_that_function_alone(config):
    """Every behavior that runs it; another function's association stays."""
    other = {"EventType": "viewer-request", "LambdaFunctionARN": "arn:aws:lambda:us-east-1:0:function:other:9"}
    config["DefaultCacheBehavior"]["LambdaFunctionAssociations"]["Items"].append(other)
    cloudfront = FakeCloudFront(config)
    teardown.point_to(cloudfront, "E1", version_arn=f"{FUNCTION}:2")
    assert teardown.running_versions(cloudfront, "E1") == [f"{FUNCTION}:2", other["LambdaFunctionARN"]]


def test_replicas_keep_a_function_for_hours():
    """It is named, so that the person can run the command again later; other errors are raised."""
    names = ["CognitoEdgeGateway-GatewayEdgeFunctionE860FC52-1", "CognitoEdgeGateway-ApiFunction-1", "other"]
    waiting = FakeLambda(list(names), error="InvalidParameterValueException")
    assert teardown.delete_edge_functions(waiting, "CognitoEdgeGateway", lambda line: None) == names[:1]
    ready = FakeLambda(list(names))
    assert teardown.delete_edge_functions(ready, "CognitoEdgeGateway", lambda line: None) == []
    assert ready.functions == names[1:]
    with pytest.raises(ClientError, match="AccessDenied"):
        teardown.delete_edge_functions(
            FakeLambda(list(names), error="AccessDeniedException"), "CognitoEdgeGateway", lambda line: None
        )
