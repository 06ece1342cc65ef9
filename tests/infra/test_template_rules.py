"""The rules that a synthesised distribution has to keep, on distributions that break one each."""

import copy

import pytest

from infra.template_rules import ALL_VIEWER_EXCEPT_HOST_HEADER, CACHING_DISABLED, distribution_faults

OPTIMIZED = "658327ea-f89d-4fab-a63d-7e88639e58f6"


def behaviour(**changes):
    valid = {
        "TargetOriginId": "Function",
        "CachePolicyId": CACHING_DISABLED,
        "OriginRequestPolicyId": ALL_VIEWER_EXCEPT_HOST_HEADER,
        "ViewerProtocolPolicy": "https-only",
        "LambdaFunctionAssociations": [
            {"EventType": "origin-request", "IncludeBody": True, "LambdaFunctionARN": {"Ref": "Version"}}
        ],
    }
    return {**valid, **changes}


SITE = {"TargetOriginId": "Site", "CachePolicyId": OPTIMIZED, "ViewerProtocolPolicy": "redirect-to-https"}


def faults(*more, access_control=None, function_origin=None, **default):
    own = {"OriginAccessControlId": {"Fn::GetAtt": [access_control, "Id"]}} if access_control else {}
    config = {
        "DefaultCacheBehavior": behaviour(**default),
        "CacheBehaviors": [{"PathPattern": f"/{number}/*", **one} for number, one in enumerate(more)],
        "Origins": [{"Id": "Function", **(own if function_origin is None else function_origin)}, {"Id": "Site"}],
    }
    distribution = {"Properties": {"DistributionConfig": copy.deepcopy(config)}}
    return list(distribution_faults(distribution, version="Version", access_control=access_control))


@pytest.mark.parametrize("access_control", [None, "Control"])
def test_a_gateway_with_a_site_beside_it_has_no_faults(access_control):
    """In both modes; the site may be cached."""
    assert faults(SITE, behaviour(), access_control=access_control) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"CachePolicyId": OPTIMIZED}, "behaviour /0/* is cacheable"),
        ({"CachePolicyId": {"Ref": "TheirPolicy"}}, "behaviour /0/* is cacheable"),
        ({"ForwardedValues": {"QueryString": True}}, "behaviour /0/* is cacheable"),
        ({"OriginRequestPolicyId": "216adef6-5c7f-47e4-b989-5492eafa07d3"}, "another origin request policy"),
        ({"OriginRequestPolicyId": None}, "another origin request policy"),
        ({"ViewerProtocolPolicy": "allow-all"}, "takes plain HTTP (allow-all)"),
        ({"ViewerProtocolPolicy": "redirect-to-https"}, "takes plain HTTP (redirect-to-https)"),
        ({"LambdaFunctionAssociations": []}, "without running the edge function"),
        (
            {"LambdaFunctionAssociations": [{"EventType": "origin-request", "LambdaFunctionARN": {"Ref": "Other"}}]},
            "without running the edge function",
        ),
        (
            {
                "LambdaFunctionAssociations": [
                    {"EventType": "viewer-request", "IncludeBody": True, "LambdaFunctionARN": {"Ref": "Version"}}
                ]
            },
            "without running the edge function at origin-request",
        ),
        (
            {"LambdaFunctionAssociations": [{"EventType": "origin-request", "LambdaFunctionARN": {"Ref": "Version"}}]},
            "does not show the body",
        ),
    ],
)
@pytest.mark.parametrize("access_control", [None, "Control"])
def test_a_behaviour_that_breaks_one_rule_is_named(changes, message, access_control):
    """One fault, about that behaviour."""
    (fault,) = faults(behaviour(**changes), access_control=access_control)
    assert message in fault
    assert "/0/*" in fault


def test_a_behaviour_that_would_have_cloudfront_sign_unchecked_requests_is_refused():
    """The worst that mode oac allows: no edge function, and yet a valid signature."""
    (fault,) = faults(behaviour(LambdaFunctionAssociations=[]), access_control="Control")
    assert "no token is checked there" in fault


def test_sigv4_with_an_access_control_is_refused():
    """CloudFront's signature would replace the edge function's."""
    (fault,) = faults(function_origin={"OriginAccessControlId": "E1EXAMPLE"})
    assert "has an origin access control, but signing='sigv4'" in fault
    assert faults(function_origin={"OriginAccessControlId": ""}) == []


@pytest.mark.parametrize("origin", [{}, {"OriginAccessControlId": ""}, {"OriginAccessControlId": "E1EXAMPLE"}])
def test_oac_without_the_gateways_access_control_is_refused(origin):
    """Nobody, or somebody else's setting, would sign."""
    (fault,) = faults(access_control="Control", function_origin=origin)
    assert "lacks the gateway's origin access control" in fault
