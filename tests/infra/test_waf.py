"""``infra/example/waf.py``: the firewall's rules by name and order, its values, and that no request gets around it."""

import json

import aws_cdk as cdk
import botocore.session
import pytest

from infra.example import waf
from infra.example.stack import build
from tests.infra.rig import Template
from tests.infra.variants import app_in

EVERYTHING = {"waf": "on", "waf_countries": "DE,FR", "waf_rate": "1000", "waf_managed": "common,known-bad-inputs"}


@pytest.fixture(scope="module")
def on(tmp_path_factory):
    """The example with everything that the firewall can do. cfn-lint and cdk-nag see it in test_monitoring.py."""
    stack = build(app_in(tmp_path_factory.mktemp("waf"), **EVERYTHING))
    return Template(cdk.assertions.Template.from_stack(stack).to_json())


def rules(firewall):
    """The rules of a web ACL in a stack of its own."""
    stack = cdk.Stack(cdk.App(), "S", env=cdk.Environment(region="us-east-1"))
    waf.WebAcl(stack, "Firewall", firewall)
    (acl,) = cdk.assertions.Template.from_stack(stack).find_resources("AWS::WAFv2::WebACL").values()
    return acl["Properties"]["Rules"]


class TestRules:
    def test_all_of_them_stand_in_order(self, on):
        """Countries, then the rate, then AWS's groups: a request that one refuses costs nothing at the next."""
        found = on.properties("AWS::WAFv2::WebACL")["Rules"]
        assert [(rule["Name"], rule["Priority"]) for rule in found] == [
            ("Countries", 0),
            ("RatePerAddress", 1),
            ("AWSManagedRulesCommonRuleSet", 2),
            ("AWSManagedRulesKnownBadInputsRuleSet", 3),
        ]
        assert found[0]["Statement"] == {
            "NotStatement": {"Statement": {"GeoMatchStatement": {"CountryCodes": ["DE", "FR"]}}}
        }
        assert found[1]["Statement"] == {
            "RateBasedStatement": {"AggregateKeyType": "IP", "EvaluationWindowSec": 300, "Limit": 1000}
        }
        for rule in found[2:]:
            assert rule["Statement"]["ManagedRuleGroupStatement"]["VendorName"] == "AWS"
            assert rule["OverrideAction"] == {"None": {}}

    @pytest.mark.parametrize(
        ("context", "names"),
        [
            ({}, ["RatePerAddress", "AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet"]),
            ({"waf_managed": "none"}, ["RatePerAddress"]),
            ({"waf_managed": "known-bad-inputs", "waf_rate": "off"}, ["AWSManagedRulesKnownBadInputsRuleSet"]),
            ({"waf_managed": "none", "waf_rate": "off", "waf_countries": "CH"}, ["Countries"]),
        ],
        ids=["default", "rate-alone", "one-group", "countries-alone"],
    )
    def test_each_can_be_had_alone_with_the_priority_that_it_has_among_all(self, context, names):
        """Switching one on or off renumbers no other."""
        order = ["Countries", "RatePerAddress", *(group.name for group in waf.MANAGED.values())]
        found = rules(waf.from_context({"waf": "on", **context}))
        assert [rule["Name"] for rule in found] == names
        assert [rule["Priority"] for rule in found] == [order.index(name) for name in names]

    def test_every_refusal_names_the_firewall(self, on):
        """403 with a problem document, whichever rule refuses; its code differs from the edge's codes."""
        acl = on.properties("AWS::WAFv2::WebACL")
        blocks = [rule["Action"]["Block"] for rule in acl["Rules"][:2]]
        for rule in acl["Rules"][2:]:
            overrides = rule["Statement"]["ManagedRuleGroupStatement"]["RuleActionOverrides"]
            blocks += [one["ActionToUse"]["Block"] for one in overrides if "Block" in one["ActionToUse"]]
        assert len(blocks) == 2 + 17 + 11
        for block in blocks:
            answer = block["CustomResponse"]
            body = acl["CustomResponseBodies"][answer["CustomResponseBodyKey"]]
            problem = json.loads(body["Content"])
            assert (answer["ResponseCode"], problem["status"], problem["code"]) == (403, 403, "blocked_by_firewall")
            assert problem["type"] == "urn:cognito-edge-gateway:problem:blocked_by_firewall"
            assert set(problem) == {"type", "title", "status", "detail", "code"}
            assert body["ContentType"] == "APPLICATION_JSON"
            assert answer["ResponseHeaders"] == [{"Name": "cache-control", "Value": "no-store"}]

    def test_what_an_api_legitimately_sends_is_only_counted(self, on):
        """Bodies over 8 KB, long queries, programs without a user agent; everything else of the group refuses."""
        (common,) = [rule for rule in on.properties("AWS::WAFv2::WebACL")["Rules"] if "Common" in rule["Name"]]
        overrides = common["Statement"]["ManagedRuleGroupStatement"]["RuleActionOverrides"]
        assert {one["Name"] for one in overrides if one["ActionToUse"] == {"Count": {}}} == {
            "SizeRestrictions_BODY",
            "SizeRestrictions_QUERYSTRING",
            "SizeRestrictions_URIPATH",
            "SizeRestrictions_Cookie_HEADER",
            "NoUserAgent_HEADER",
        }

    def test_samples_hold_no_token_cookie_or_query(self, on):
        """WAF keeps samples of requests; they must hold no more than our own log."""
        protections = on.properties("AWS::WAFv2::WebACL")["DataProtectionConfig"]["DataProtections"]
        assert protections == [
            {
                "Action": "SUBSTITUTION",
                "Field": {"FieldKeys": ["authorization", "cookie"], "FieldType": "SINGLE_HEADER"},
            },
            {"Action": "SUBSTITUTION", "Field": {"FieldType": "QUERY_STRING"}},
        ]

    def test_metrics_are_on_for_the_whole_and_for_each_rule(self, on):
        """Under the rule's name, so that a graph says which one refused."""
        acl = on.properties("AWS::WAFv2::WebACL")
        assert acl["VisibilityConfig"]["MetricName"] == "CognitoEdgeGateway"
        for rule in acl["Rules"]:
            assert rule["VisibilityConfig"]["CloudWatchMetricsEnabled"] is True
            assert rule["VisibilityConfig"]["MetricName"] == rule["Name"]


class TestNoRequestGetsAroundIt:
    def test_the_distribution_has_the_web_acl(self, on):
        """Of scope CLOUDFRONT."""
        acl, body = on.one("AWS::WAFv2::WebACL")
        assert body["Properties"]["Scope"] == "CLOUDFRONT"
        config = on.properties("AWS::CloudFront::Distribution")["DistributionConfig"]
        assert config["WebACLId"] == {"Fn::GetAtt": [acl, "Arn"]}

    def test_every_function_url_wants_a_signature(self, on):
        """Anyone could call a URL of type NONE."""
        urls = on.all("AWS::Lambda::Url")
        assert urls
        assert {body["Properties"]["AuthType"] for body in urls.values()} == {"AWS_IAM"}

    def test_only_the_edge_role_may_call_them(self, on):
        """No permission admits another caller, and no other role of the stack may invoke a function URL."""
        assert not on.all("AWS::Lambda::Permission")
        (role,) = [name for name in on.all("AWS::IAM::Role") if name.startswith("GatewayEdgeRole")]
        for body in on.all("AWS::IAM::Policy").values():
            statements = body["Properties"]["PolicyDocument"]["Statement"]
            if "lambda:Invoke" in json.dumps(statements):
                assert body["Properties"]["Roles"] == [{"Ref": role}]

    def test_with_oac_only_this_distribution_may(self, tmp_path):
        """CloudFront, on behalf of this one distribution; the web ACL is on that same one."""
        stack = build(app_in(tmp_path, waf="on", signing="oac"))
        oac = Template(cdk.assertions.Template.from_stack(stack).to_json())
        distribution, body = oac.one("AWS::CloudFront::Distribution")
        assert "WebACLId" in body["Properties"]["DistributionConfig"]
        permissions = [one["Properties"] for one in oac.all("AWS::Lambda::Permission").values()]
        assert permissions
        for permission in permissions:
            assert permission["Principal"] == "cloudfront.amazonaws.com"
            assert permission["SourceArn"]["Fn::Join"][1][-1] == {"Ref": distribution}
        assert "lambda:Invoke" not in json.dumps(list(oac.all("AWS::IAM::Policy").values()))


class TestValues:
    @pytest.mark.parametrize("context", [{}, {"waf": "off"}, {"waf": ""}], ids=["unsaid", "off", "empty"])
    def test_it_is_off_by_default(self, context):
        """By default nothing is made."""
        assert waf.from_context(context) is None

    def test_off_leaves_no_trace_in_the_template(self, tmp_path):
        """Neither a web ACL nor a reference to one."""
        template = Template(cdk.assertions.Template.from_stack(build(app_in(tmp_path))).to_json())
        assert not template.all("AWS::WAFv2::WebACL")
        assert "WebACLId" not in template.properties("AWS::CloudFront::Distribution")["DistributionConfig"]

    @pytest.mark.parametrize(
        ("context", "says"),
        [
            ({"waf": "yes"}, "waf=yes: expected on or off"),
            ({"waf_rate": "1000"}, "waf_rate=1000 without waf=on would do nothing"),
            ({"waf": "off", "waf_countries": "DE"}, "waf_countries=DE without waf=on would do nothing"),
            ({"waf": "on", "waf_countries": "UK,DE"}, "'UK': expected ISO 3166-1 alpha-2.*United Kingdom is GB"),
            ({"waf": "on", "waf_countries": "de"}, "'de': expected ISO 3166-1 alpha-2 codes in upper case"),
            ({"waf": "on", "waf_countries": "DE,,FR"}, "waf_countries=DE,,FR: expected names joined by single commas"),
            ({"waf": "on", "waf_countries": "DE,DE"}, "waf_countries=DE,DE: expected .* each once"),
            ({"waf": "on", "waf_rate": "9"}, "waf_rate: 9: expected 10 to 2000000000"),
            ({"waf": "on", "waf_rate": "2000000001"}, "waf_rate: 2000000001: expected 10 to 2000000000"),
            ({"waf": "on", "waf_rate": "1e3"}, "waf_rate=1e3: expected a whole number"),
            ({"waf": "on", "waf_managed": "sql"}, "'sql': expected common or known-bad-inputs"),
            ({"waf": "on", "waf_managed": "none", "waf_rate": "off"}, "leave no rule; use waf=off"),
        ],
        ids=lambda value: None if isinstance(value, str) else "-".join(value.values()) or "none",
    )
    def test_a_wrong_value_is_refused_with_what_is_expected(self, context, says):
        """A wrong value is refused before anything is made."""
        with pytest.raises(ValueError, match=says):
            waf.from_context(context)

    @pytest.mark.parametrize("rate", [10, 2_000_000_000])
    def test_the_least_and_the_greatest_rate_are_taken(self, rate):
        """WAF takes the same bounds."""
        assert waf.from_context({"waf": "on", "waf_rate": str(rate)}).rate == rate

    def test_the_stack_hands_its_context_on(self, tmp_path):
        """A wrong value stops the synthesis."""
        with pytest.raises(ValueError, match="expected on or off"):
            build(app_in(tmp_path, waf="true"))

    def test_countries_and_limits_are_those_of_the_api(self):
        """Compared with the model that AWS publishes for WAFv2."""
        shapes = botocore.session.get_session().get_service_model("wafv2")
        assert frozenset(shapes.shape_for("CountryCode").enum) == waf.COUNTRIES
        limits = shapes.shape_for("RateLimit").metadata
        assert (limits["min"], limits["max"]) == (waf._MIN_RATE, waf._MAX_RATE)

    def test_it_is_made_in_us_east_1_only(self):
        """Web ACLs for CloudFront have to be there."""
        stack = cdk.Stack(cdk.App(), "S", env=cdk.Environment(region="eu-west-1"))
        with pytest.raises(ValueError, match="made in us-east-1, not in eu-west-1"):
            waf.WebAcl(stack, "Firewall", waf.Firewall())
