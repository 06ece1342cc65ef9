"""The rules for the gateway's distribution, on distributions that break one each."""

import pytest
from cognito_edge_cdk.references import Place
from cognito_edge_cdk.template_rules import ALL_VIEWER_EXCEPT_HOST_HEADER, CACHING_DISABLED, distribution_faults

from tests.infra.routes import HOST, TO_THE_URL, URL, Route

OPTIMIZED = "658327ea-f89d-4fab-a63d-7e88639e58f6"
MODES = pytest.mark.parametrize("access_control", [None, "Control"], ids=["sigv4", "oac"])
NO_TOKEN = "leads to a function behind the gateway without running the edge function at origin-request"


def behavior(**changes):
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


def control(kind):
    return {
        "Type": "AWS::CloudFront::OriginAccessControl",
        "Properties": {"OriginAccessControlConfig": {"OriginAccessControlOriginType": kind}},
    }


CONTROLS = {"Control": control("lambda"), "Theirs": control("lambda"), "Bucket": control("s3")}


def signed_by(name):
    return {"OriginAccessControlId": {"Fn::GetAtt": [name, "Id"]}}


def faults(
    *more, access_control=None, function_origin=None, origins=(), groups=None, route=None, resources=None, **default
):
    """Return the faults of a distribution with two origins and these behaviors and origins, in the stack where a route starts."""
    route = route or Route(value=None)
    own = signed_by(access_control) if access_control else {}
    config = {
        "DefaultCacheBehavior": behavior(**default),
        "CacheBehaviors": [{"PathPattern": f"/{number}/*", **one} for number, one in enumerate(more)],
        "Origins": [
            {"Id": "Function", "DomainName": HOST, **(own if function_origin is None else function_origin)},
            {"Id": "Site", "DomainName": "site.s3.us-east-1.amazonaws.com", **signed_by("Bucket")},
            *origins,
        ],
        **({} if groups is None else {"OriginGroups": groups}),
    }
    distribution = {"Type": "AWS::CloudFront::Distribution", "Properties": {"DistributionConfig": config}}
    stage = route.stage(Distribution=distribution, **CONTROLS, **(resources or {}))
    return list(
        distribution_faults(
            Place(stage[route.here], "Distribution"),
            list(stage.values()),
            version="Version",
            access_control=access_control,
            urls=["${Home.json#Url}"],
        )
    )


@MODES
def test_a_gateway_with_a_site_beside_it_has_no_faults(access_control):
    """In both modes; the site may be cached."""
    assert faults(SITE, behavior(), access_control=access_control) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"CachePolicyId": OPTIMIZED}, "behavior /0/* is cacheable"),
        ({"CachePolicyId": {"Ref": "TheirPolicy"}}, "behavior /0/* is cacheable"),
        ({"ForwardedValues": {"QueryString": True}}, "behavior /0/* is cacheable"),
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
            {"LambdaFunctionAssociations": {"Fn::If": ["Beta", [], behavior()["LambdaFunctionAssociations"]]}},
            "without running the edge function at origin-request",
        ),
        (
            {"LambdaFunctionAssociations": [{"EventType": "origin-request", "LambdaFunctionARN": {"Ref": "Version"}}]},
            "does not show the body",
        ),
    ],
)
@MODES
def test_a_behavior_that_breaks_one_rule_is_named(changes, message, access_control):
    """One fault, about that behavior."""
    (fault,) = faults(behavior(**changes), access_control=access_control)
    assert message in fault
    assert "/0/*" in fault


def test_a_behavior_that_would_have_cloudfront_sign_unchecked_requests_is_refused():
    """The worst that mode oac allows: no edge function, and yet a valid signature."""
    (fault,) = faults(behavior(LambdaFunctionAssociations=[]), access_control="Control")
    assert "no token is checked there" in fault


def test_sigv4_with_an_access_control_is_refused():
    """CloudFront's signature would replace the edge function's."""
    (fault,) = faults(function_origin={"OriginAccessControlId": "E1EXAMPLE"})
    assert "has an origin access control, but signing='sigv4'" in fault
    assert faults(function_origin={"OriginAccessControlId": ""}) == []


@pytest.mark.parametrize("origin", [{}, {"OriginAccessControlId": ""}, {"OriginAccessControlId": "E1EXAMPLE"}])
def test_oac_without_the_gateways_access_control_is_refused(origin):
    """Without it no one signs, and another one signs for other requests."""
    (fault,) = faults(access_control="Control", function_origin=origin)
    assert "lacks the gateway's origin access control" in fault


class TestWhereABehaviorLeads:
    """An origin is the gateway's by where it leads, not by its name."""

    @staticmethod
    def open_way(origin):
        return {**SITE, "TargetOriginId": origin}

    @MODES
    @pytest.mark.parametrize("name", TO_THE_URL)
    def test_a_second_origin_on_the_url_is_behind_the_gateway_as_well(self, name, access_control):
        """With another access control, which is what CDK's FunctionUrlOrigin makes."""
        route = TO_THE_URL[name]
        origin = {"Id": "Open", "DomainName": route.value, **signed_by("Theirs")}
        first, second = faults(self.open_way("Open"), origins=[origin], route=route, access_control=access_control)
        assert f"behavior /0/* {NO_TOKEN}" in first
        assert "give the path to EdgeGateway in functions={…}" in first
        expected = "lacks the gateway's" if access_control else "has an origin access control, but signing='sigv4'"
        assert f"origin Open {expected}" in second

    @MODES
    def test_a_second_origin_that_is_guarded_is_fine(self, access_control):
        """Behind the edge function, signed as the first one is."""
        origin = {"Id": "More", "DomainName": HOST, **(signed_by("Control") if access_control else {})}
        more = behavior(TargetOriginId="More")
        assert faults(more, SITE, origins=[origin], access_control=access_control) == []
        assert (
            len(faults({**more, "LambdaFunctionAssociations": []}, origins=[origin], access_control=access_control))
            == 1
        )

    @MODES
    def test_an_origin_behind_the_edge_function_is_behind_it_on_every_path(self, access_control):
        """A function URL in letters, for one: it is the gateway's as soon as one guarded behavior leads to it."""
        own = signed_by("Control") if access_control else {}
        origin = {"Id": "More", "DomainName": "abcdefghij.lambda-url.us-east-1.on.aws", **own}
        guarded, open_way = behavior(TargetOriginId="More"), self.open_way("More")
        assert faults(guarded, origins=[origin], access_control=access_control) == []
        (fault,) = faults(guarded, open_way, origins=[origin], access_control=access_control)
        assert f"behavior /1/* {NO_TOKEN}" in fault
        (fault,) = faults(guarded, origins=[{**origin, **signed_by("Theirs")}], access_control=access_control)
        assert "origin More" in fault

    @MODES
    def test_the_default_behavior_counts(self, access_control):
        """For one that was overridden by hand, in favour of a site."""
        (fault,) = faults(behavior(), access_control=access_control, LambdaFunctionAssociations=[])
        assert f"behavior * {NO_TOKEN}" in fault

    @staticmethod
    def group(*members, **changes):
        items = [{"OriginId": one} for one in members]
        return {"Quantity": 1, "Items": [{"Id": "Group", "Members": {"Quantity": 2, "Items": items}}], **changes}

    @MODES
    @pytest.mark.parametrize(
        "groups",
        [
            group("Function", "Site"),
            group("Site", "Function"),
            group("Function", "Function"),
            {"Items": group("Site", "Function")["Items"]},
            {"Fn::If": ["Beta", {"Quantity": 0}, group("Site", "Function")]},
            group("Site", {"Ref": "Given"}),
            {"Items": [{"Id": {"Fn::Sub": "Group"}, "Members": {"Items": [{"OriginId": "Function"}]}}]},
        ],
    )
    def test_an_origin_group_leads_to_each_of_its_members(self, groups, access_control):
        """In any order, also if a condition or a parameter decides."""
        (fault,) = faults(self.open_way("Group"), groups=groups, access_control=access_control)
        assert f"behavior /0/* {NO_TOKEN}" in fault

    @MODES
    def test_an_origin_group_without_a_function_is_its_owners_business(self, access_control):
        """Two buckets, for one; or a group of functions that no behavior leads to."""
        second = {"Id": "Backup", "DomainName": "backup.s3.us-east-1.amazonaws.com", **signed_by("Bucket")}
        buckets = self.group("Site", "Backup")
        assert faults(self.open_way("Group"), origins=[second], groups=buckets, access_control=access_control) == []
        assert faults(SITE, groups=self.group("Site", "Function"), access_control=access_control) == []

    @MODES
    def test_an_origin_group_behind_the_edge_function_is_fine(self, access_control):
        """Lambda@Edge runs for every member that CloudFront tries."""
        own = signed_by("Control") if access_control else {}
        second = {"Id": "More", "DomainName": HOST, **own}
        more = behavior(TargetOriginId="Group")
        groups = self.group("Function", "More")
        assert faults(more, origins=[second], groups=groups, access_control=access_control) == []
        more["LambdaFunctionAssociations"] = []
        assert len(faults(more, origins=[second], groups=groups, access_control=access_control)) == 1

    @MODES
    @pytest.mark.parametrize(
        "changes",
        [
            {"TargetOriginId": {"Fn::If": ["Beta", "Site", "Function"]}},
            {"TargetOriginId": {"Ref": "Given"}},
            {"Fn::If": ["Beta", SITE, {**SITE, "TargetOriginId": "Function"}]},
        ],
    )
    def test_what_is_decided_at_deploy_counts_as_what_it_may_become(self, changes, access_control):
        """Conditions and parameters hide nothing."""
        (fault,) = faults({**SITE, **changes}, access_control=access_control)
        assert NO_TOKEN in fault

    @MODES
    def test_a_transform_hides_where_it_leads(self, access_control):
        """CloudFormation would insert the content of a bucket."""
        (fault,) = faults({**SITE, "Fn::Transform": {"Name": "AWS::Include"}}, access_control=access_control)
        assert "holds an Fn::Transform: where it leads is decided at deploy; write it out" in fault

    @MODES
    def test_an_odd_distribution_breaks_nothing(self, access_control):
        """An origin without an id, malformed groups, associations that are no list."""
        odd = [{"DomainName": "example.com"}, {"Id": "x", "DomainName": {}}]
        more = {**SITE, "LambdaFunctionAssociations": "none", "FunctionAssociations": [None]}
        assert faults(more, origins=odd, groups={"Items": "none"}, access_control=access_control) == []


class TestOriginsOfWhichNothingIsKnown:
    """CloudFront signs for every origin with an access control, so the template has to show that it is no function behind the gateway."""

    @MODES
    @pytest.mark.parametrize("signer", [signed_by("Theirs"), {"OriginAccessControlId": "E1EXAMPLE"}])
    @pytest.mark.parametrize(
        "host",
        [
            "abcdefghij.lambda-url.us-east-1.on.aws",
            {"Fn::Sub": "${Given}.lambda-url.us-east-1.on.aws"},
            {"Fn::Select": [2, {"Fn::Split": ["/", {"Fn::ImportValue": "somebody-elses"}]}]},
            {"Fn::GetStackOutput": {"StackName": "Theirs", "OutputName": "Host"}},
            {"Ref": "Given"},
            "{{resolve:ssm:/somebody/elses}}",
            {"Fn::GetAtt": ["Custom", "Host"]},
        ],
    )
    def test_signed_requests_past_the_edge_function_are_refused(self, host, signer, access_control):
        """It may be the URL that the gateway protects, under another name."""
        resources = {"Custom": {"Type": "Custom::Lookup", "Properties": {"Of": "theirs"}}}
        origin = {"Id": "Open", "DomainName": host, **signer}
        way = {**SITE, "TargetOriginId": "Open"}
        (fault,) = faults(way, origins=[origin], access_control=access_control, resources=resources)
        assert fault.startswith("origin Open leads to ")
        assert "the construct cannot see that this is no function behind the gateway" in fault
        assert "refer to a function URL of this app, or put the origin into another distribution" in fault

    @MODES
    @pytest.mark.parametrize(
        "origin",
        [
            {"DomainName": "abcdefghij.lambda-url.us-east-1.on.aws"},
            {"DomainName": {"Fn::ImportValue": "somebody-elses"}, "OriginAccessControlId": ""},
            {"DomainName": {"Fn::ImportValue": "their-bucket"}, **signed_by("Bucket")},
            {"DomainName": "theirs.s3.us-east-1.amazonaws.com", "OriginAccessControlId": "E1EXAMPLE"},
            {"DomainName": {"Fn::GetAtt": ["OtherUrl", "FunctionUrl"]}, **signed_by("Theirs")},
        ],
    )
    def test_an_origin_that_is_unsigned_or_known_passes(self, origin, access_control):
        """An unsigned request gets nowhere; a bucket is no function; another function's URL is not behind the gateway."""
        way = {**SITE, "TargetOriginId": "Open"}
        resources = {"OtherUrl": URL}
        found = faults(way, origins=[{"Id": "Open", **origin}], access_control=access_control, resources=resources)
        assert found == []


class TestCloudFrontFunctions:
    """In mode oac, one that chooses the origin could have CloudFront sign for a function behind the gateway."""

    @staticmethod
    def found(code, *, access_control, **more):
        function = {"Type": "AWS::CloudFront::Function", "Properties": {"FunctionCode": code}}
        associated = [{"EventType": "viewer-request", "FunctionARN": {"Fn::GetAtt": ["Choose", "FunctionARN"]}}]
        way = {**SITE, "FunctionAssociations": associated, **more}
        return faults(way, access_control=access_control, resources={"Choose": function})

    @pytest.mark.parametrize(
        "code",
        [
            "import cf from 'cloudfront'; function handler(e) { cf.selectRequestOriginById('Function'); }",
            "import cf from 'cloudfront'; function handler(e) { cf.updateRequestOrigin({domainName: 'a'}); }",
            {"Fn::Sub": "cf.createRequestOriginGroup({originIds: ['${Name}', 'Site']})"},
        ],
    )
    def test_with_oac_one_that_chooses_the_origin_is_refused_without_the_edge_function(self, code):
        """With sigv4 CloudFront signs nothing, and beside the edge function every origin is checked."""
        (fault,) = self.found(code, access_control="Control")
        assert "behavior /0/* does not run the edge function, and its CloudFront function calls " in fault
        assert "remove the call, or give signing='sigv4'" in fault
        assert self.found(code, access_control=None) == []
        assert self.found(code, access_control="Control", **behavior()) == []

    @MODES
    def test_one_that_rewrites_paths_is_its_owners_business(self, access_control):
        """Most functions do not call them."""
        code = "function handler(event) { event.request.uri += 'index.html'; return event.request; }"
        assert self.found(code, access_control=access_control) == []
