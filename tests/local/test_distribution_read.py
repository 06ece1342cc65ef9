"""Reading a distribution back through CloudFront's API, and refusing one that would not guard anything."""

from dataclasses import replace

import pytest
from cognito_edge_local.cloudfront.behaviors import (
    DistributionError,
    DistributionView,
    EdgeFunction,
    Selection,
    read_distribution,
)

from tests.local.twin_rig import ALL_METHODS, CACHING_DISABLED, GUARDED, URL_HOST, distribution

ARN = "arn:aws:lambda:us-east-1:000000000000:function:edge:1"


class FakeCloudFront:
    """Answers as boto3's client does, from two policies and one distribution."""

    def __init__(self, **config):
        self.config = {
            "Origins": {
                "Quantity": 2,
                "Items": [
                    {
                        "Id": "api",
                        "DomainName": URL_HOST,
                        "OriginPath": "/stage",
                        "CustomHeaders": {"Quantity": 1, "Items": [{"HeaderName": "X-A", "HeaderValue": "1"}]},
                        "CustomOriginConfig": {
                            "HTTPPort": 80,
                            "HTTPSPort": 443,
                            "OriginProtocolPolicy": "https-only",
                            "OriginSslProtocols": {"Quantity": 1, "Items": ["TLSv1.2"]},
                            "OriginReadTimeout": 20,
                            "OriginKeepaliveTimeout": 6,
                        },
                        "ConnectionAttempts": 2,
                        "ConnectionTimeout": 4,
                        "ResponseCompletionTimeout": 60,
                    },
                    {"Id": "site", "DomainName": "site.s3.us-east-1.amazonaws.com", "S3OriginConfig": {}},
                ],
            },
            "CacheBehaviors": {
                "Quantity": 1,
                "Items": [
                    {
                        "PathPattern": "/api/*",
                        "TargetOriginId": "api",
                        "AllowedMethods": {"Items": sorted(ALL_METHODS), "CachedMethods": {"Items": ["GET", "HEAD"]}},
                        "CachePolicyId": "disabled",
                        "OriginRequestPolicyId": "all-but-host",
                        "ResponseHeadersPolicyId": "cors",
                        "LambdaFunctionAssociations": {
                            "Items": [{"LambdaFunctionARN": ARN, "EventType": "origin-request", "IncludeBody": True}]
                        },
                    }
                ],
            },
            "DefaultCacheBehavior": {"TargetOriginId": "site", "CachePolicyId": "optimized"},
            "DefaultRootObject": "index.html",
        } | config

    def get_distribution(self, **given):
        name = given["Id"]
        return {"Distribution": {"Id": name, "DomainName": "d1.cloudfront.net", "DistributionConfig": self.config}}

    def get_cache_policy(self, **given):
        name = given["Id"]
        ttls = {"MinTTL": 0, "DefaultTTL": 0, "MaxTTL": 0} if name == "disabled" else {"MinTTL": 1}
        key = {"EnableAcceptEncodingGzip": name == "optimized", "HeadersConfig": {"HeaderBehavior": "none"}}
        return {
            "CachePolicy": {"CachePolicyConfig": {"Name": name, "ParametersInCacheKeyAndForwardedToOrigin": key} | ttls}
        }

    def get_origin_request_policy(self, **given):
        name = given["Id"]
        config = {
            "Name": name,
            "HeadersConfig": {"HeaderBehavior": "allExcept", "Headers": {"Items": ["Host"]}},
            "CookiesConfig": {"CookieBehavior": "all"},
            "QueryStringsConfig": {"QueryStringBehavior": "whitelist", "QueryStrings": {"Items": ["Q"]}},
        }
        return {"OriginRequestPolicy": {"OriginRequestPolicyConfig": config}}

    def get_response_headers_policy(self, **given):
        name = given["Id"]
        return {"ResponseHeadersPolicy": {"ResponseHeadersPolicyConfig": {"Name": name}}}


def test_distribution_is_read_with_its_policies():
    """Origins, behaviors in order with the default last, policies, function; nothing is assumed."""
    view = read_distribution(FakeCloudFront(), "E1")
    assert (view.distribution_id, view.domain_name, view.default_root_object) == (
        "E1",
        "d1.cloudfront.net",
        "index.html",
    )
    api, default = view.behaviors
    assert (api.pattern, default.pattern) == ("/api/*", "*")
    assert api.allowed_methods == ALL_METHODS
    assert api.edge_function == EdgeFunction(ARN, include_body=True)
    assert api.cache_policy == replace(CACHING_DISABLED, name="disabled")
    assert api.origin_request_policy.headers == Selection("allExcept", frozenset({"host"}))
    assert api.origin_request_policy.queries == Selection("whitelist", frozenset({"Q"}))
    assert api.response_headers == {"Name": "cors"}
    origin = api.origin
    assert (origin.kind, origin.domain_name, origin.path, origin.port) == ("custom", URL_HOST, "/stage", 443)
    assert origin.custom_headers == (("X-A", "1"),)
    assert (origin.read_timeout_s, origin.keepalive_timeout_s, origin.completion_timeout_s) == (20, 6, 60)
    assert (origin.connection_timeout_s, origin.connection_attempts) == (4, 2)
    assert default.allowed_methods == {"GET", "HEAD"}
    assert default.origin.kind == "s3"
    assert default.edge_function is None
    assert default.cache_policy.caches
    assert default.cache_policy.gzip


def test_alternate_names_are_read():
    """The twin answers to them."""
    aliases = {"Quantity": 2, "Items": ["www.example.com", "*.example.org"]}
    assert read_distribution(FakeCloudFront(Aliases=aliases), "E1").aliases == ("www.example.com", "*.example.org")
    assert read_distribution(FakeCloudFront(Aliases={"Quantity": 0}), "E1").aliases == ()
    assert read_distribution(FakeCloudFront(), "E1").aliases == ()


@pytest.mark.parametrize("ttls", [{"max_ttl_s": 1}, {"default_ttl_s": 1}, {"min_ttl_s": 1}])
def test_cacheable_behavior_with_the_function_is_refused(ttls):
    """A kept answer would be served to others without the token check."""
    with pytest.raises(DistributionError, match=r"served to every other viewer without the token check"):
        distribution(cache_policy=replace(CACHING_DISABLED, **ttls))
    distribution(cache_policy=replace(CACHING_DISABLED, **ttls), edge_function=None)


@pytest.mark.parametrize(
    "arn", [ARN.removesuffix(":1"), ARN.replace(":1", ":$LATEST"), ARN.replace("us-east-1", "eu-west-1")]
)
def test_function_that_the_edge_would_not_take_is_refused(arn):
    """A numbered version in us-east-1, nothing else."""
    with pytest.raises(DistributionError, match="numbered version of a function in us-east-1"):
        distribution(edge_function=EdgeFunction(arn, include_body=True))


def test_two_different_functions_are_refused():
    """The twin has one runtime; playing one function for both would be a lie."""
    other = EdgeFunction(ARN.removesuffix("1") + "2", include_body=True)
    with pytest.raises(DistributionError, match="runs one edge function"):
        DistributionView("E", "d", (replace(GUARDED, pattern="/a"), replace(GUARDED, edge_function=other)))


@pytest.mark.parametrize(
    ("default", "reason"),
    [
        ({"TargetOriginId": "group", "CachePolicyId": "optimized"}, "origin groups are not played"),
        ({"TargetOriginId": "api"}, "does not play ForwardedValues"),
    ],
)
def test_what_cannot_be_played_at_all_is_refused(default, reason):
    """Rather no twin than one that answers differently without saying so."""
    with pytest.raises(DistributionError, match=reason):
        read_distribution(FakeCloudFront(DefaultCacheBehavior=default), "E1")


def test_what_is_left_out_is_listed():
    """The launcher can tell people what the real distribution does beyond this one."""
    default = {
        "TargetOriginId": "api",
        "CachePolicyId": "optimized",
        "FunctionAssociations": {"Items": [{"FunctionARN": "f", "EventType": "viewer-request"}]},
        "TrustedKeyGroups": {"Enabled": True},
    }
    fake = FakeCloudFront(
        DefaultCacheBehavior=default,
        WebACLId="arn:…",
        CustomErrorResponses={"Quantity": 1, "Items": [{"ErrorCode": 403}]},
        Restrictions={"GeoRestriction": {"RestrictionType": "blacklist"}},
    )
    fake.config["Origins"]["Items"][1]["OriginAccessControlId"] = "E2"
    fake.get_origin_access_control = lambda *, Id: {  # noqa: N803 - boto3's spelling
        "OriginAccessControl": {
            "OriginAccessControlConfig": {
                "OriginAccessControlOriginType": "s3",
                "SigningBehavior": "no-override",
                "SigningProtocol": "sigv4",
            }
        }
    }
    listed = "; ".join(read_distribution(fake, "E1").not_played)
    for word in (
        "custom error",
        "web ACL",
        "geographic",
        "CloudFront Function at viewer-request",
        "signed URLs",
        "site.s3",
    ):
        assert word in listed
    assert read_distribution(FakeCloudFront(), "E1").not_played == ()
