"""The public site in the template: only its own paths are open, and only CloudFront reads the bucket."""

import json

import aws_cdk as cdk
import pytest
from cognito_edge_cdk.gateway import EdgeGateway
from cognito_edge_cdk.refusals import Refused
from cognito_edge_cdk.site import Site, content_security_policy

from infra.example.stack import build
from tests.infra.rig import Template
from tests.infra.variants import app_in, function

CACHING_OPTIMIZED = "658327ea-f89d-4fab-a63d-7e88639e58f6"


@pytest.fixture(scope="module")
def config(template):
    return template.properties("AWS::CloudFront::Distribution")["DistributionConfig"]


@pytest.fixture(scope="module")
def policy(template):
    """The bucket policy's statements."""
    return template.properties("AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"]


class TestTemplate:
    def test_the_default_behavior_is_the_site(self, config, template):
        """Reading only, no edge function, cached, compressed, and redirected to TLS: no token travels here."""
        default = config["DefaultCacheBehavior"]
        headers, _ = template.one("AWS::CloudFront::ResponseHeadersPolicy")
        assert default == {
            "AllowedMethods": ["GET", "HEAD"],
            "CachePolicyId": CACHING_OPTIMIZED,
            "Compress": True,
            "ResponseHeadersPolicyId": {"Ref": headers},
            "TargetOriginId": default["TargetOriginId"],
            "ViewerProtocolPolicy": "redirect-to-https",
        }
        assert config["DefaultRootObject"] == "index.html"
        # Custom error responses apply to the whole distribution, and would replace the API's own 403 and 404.
        assert "CustomErrorResponses" not in config

    def test_cloudfront_signs_for_the_bucket(self, config, template):
        """By an access control of its own kind, which always signs."""
        (origin,) = [one for one in config["Origins"] if "S3OriginConfig" in one]
        bucket, _ = template.one("AWS::S3::Bucket")
        control = origin["OriginAccessControlId"]["Fn::GetAtt"][0]
        assert origin["DomainName"] == {"Fn::GetAtt": [bucket, "RegionalDomainName"]}
        assert origin["Id"] == config["DefaultCacheBehavior"]["TargetOriginId"]
        settings = template.resources[control]["Properties"]["OriginAccessControlConfig"]
        assert (settings["OriginAccessControlOriginType"], settings["SigningBehavior"]) == ("s3", "always")

    def test_only_this_distribution_reads(self, policy, template):
        """One Allow: objects, for CloudFront, on behalf of this distribution. No listing."""
        distribution, _ = template.one("AWS::CloudFront::Distribution")
        (allow,) = [statement for statement in policy if statement["Effect"] == "Allow"]
        assert allow["Principal"] == {"Service": "cloudfront.amazonaws.com"}
        assert allow["Action"] == "s3:GetObject"
        source = allow["Condition"]["StringEquals"]["AWS:SourceArn"]["Fn::Join"][1]
        assert source[-2:] == [":distribution/", {"Ref": distribution}]

    def test_nobody_reads_in_the_clear(self, policy):
        """A Deny for requests without TLS."""
        (deny,) = [statement for statement in policy if statement["Effect"] == "Deny"]
        assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert (deny["Action"], deny["Principal"]) == ("s3:*", {"AWS": "*"})

    def test_the_bucket_is_public_to_nobody(self, template):
        """Public access is blocked, ACLs are off, files are encrypted; the bucket goes with the stack, since its content can be built again."""
        _, bucket = template.one("AWS::S3::Bucket")
        properties = bucket["Properties"]
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert len(properties["PublicAccessBlockConfiguration"]) == 4
        assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
        assert bucket["DeletionPolicy"] == "Delete"
        assert "WebsiteConfiguration" not in properties

    def test_pages_get_the_security_headers(self, template):
        """All of them override an object's metadata."""
        settings = template.properties("AWS::CloudFront::ResponseHeadersPolicy")["ResponseHeadersPolicyConfig"]
        security = settings["SecurityHeadersConfig"]
        assert set(security) == {
            *("ContentSecurityPolicy", "ContentTypeOptions", "FrameOptions", "ReferrerPolicy"),
            "StrictTransportSecurity",
        }
        assert all(one["Override"] for one in security.values())
        text = json.dumps(security["ContentSecurityPolicy"])
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in text
        assert "unsafe" not in text
        assert "CorsConfig" not in settings


def test_the_pages_policy_opens_what_is_named_and_nothing_else():
    """Origins go into connect-src; without any, pages talk to their own origin alone."""
    assert "connect-src 'self';" in content_security_policy([])
    opened = content_security_policy(["https://login.example.com"])
    assert "connect-src 'self' https://login.example.com;" in opened
    assert opened.count("example.com") == 1


class TestOption:
    @pytest.fixture
    def stack(self, tmp_path):
        return cdk.Stack(app_in(tmp_path), "Theirs", env=cdk.Environment(region="us-east-1"))

    @pytest.mark.parametrize("pattern", ["/*", "*"])
    def test_a_function_that_takes_every_path_leaves_none_for_a_site(self, stack, pattern):
        """CloudFront has one default behavior, so one of the two would get no request."""
        with pytest.raises(Refused, match="both take the paths that nothing else matches"):
            EdgeGateway(
                stack, "Gateway", functions={pattern: function(stack, "F")}, site=Site(stack, "Site"), bytecode="none"
            )

    @pytest.mark.parametrize("signing", ["sigv4", "oac"])
    def test_a_way_to_a_function_past_the_edge_function_is_refused_beside_a_site_as_well(self, stack, signing):
        """The site may be reached without a token; an added behavior to a function may not."""
        url = function(stack, "F")
        gateway = EdgeGateway(
            stack, "Gateway", functions={"/api/*": url}, site=Site(stack, "Site"), signing=signing, bytecode="none"
        )
        config = Template(cdk.assertions.Template.from_stack(stack).to_json()).properties(
            "AWS::CloudFront::Distribution"
        )["DistributionConfig"]
        assert len(config["Origins"]) == 2
        resource = gateway.distribution.node.default_child
        (behavior,) = config["CacheBehaviors"]
        open_way = {**behavior, "PathPattern": "/open/*", "LambdaFunctionAssociations": []}
        resource.add_property_override("DistributionConfig.CacheBehaviors.1", open_way)
        with pytest.raises(RuntimeError, match="without running the edge function"):
            cdk.Stage.of(stack).synth(force=True)

    def test_without_a_site_the_default_behavior_is_the_gateways(self, stack):
        """Without a site, no path is open."""
        EdgeGateway(stack, "Gateway", functions={"/api/*": function(stack, "F")}, bytecode="none")
        found = Template(cdk.assertions.Template.from_stack(stack).to_json())
        config = found.properties("AWS::CloudFront::Distribution")["DistributionConfig"]
        assert config["DefaultCacheBehavior"]["LambdaFunctionAssociations"][0]["EventType"] == "origin-request"
        assert "DefaultRootObject" not in config
        assert not found.all("AWS::S3::Bucket")


class TestTable:
    def test_the_books_outlive_the_stack_and_can_be_taken_back_in_time(self, template):
        """On demand, by the two keys that the code uses, with point-in-time recovery; kept when the stack goes."""
        _, table = template.one("AWS::DynamoDB::Table")
        properties = table["Properties"]
        assert properties["BillingMode"] == "PAY_PER_REQUEST"
        assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert properties["KeySchema"] == [
            {"AttributeName": "shelf", "KeyType": "HASH"},
            {"AttributeName": "id", "KeyType": "RANGE"},
        ]
        assert "GlobalSecondaryIndexes" not in properties
        assert (table["DeletionPolicy"], table["UpdateReplacePolicy"]) == ("Retain", "Retain")

    def test_the_function_knows_its_table_and_whom_to_believe(self, template):
        """Three variables, no secret."""
        table, _ = template.one("AWS::DynamoDB::Table")
        books = template.properties("AWS::Lambda::Function", below="BooksApiFunction")
        role, _ = template.one("AWS::IAM::Role", below="GatewayEdgeRole")
        assert books["Handler"] == "backend.books.handler.handler"
        assert books["Environment"]["Variables"] == {
            "BOOKS_TABLE": {"Ref": table},
            "EDGE_ACCOUNT_ID": {"Ref": "AWS::AccountId"},
            "EDGE_ROLE_NAME": {"Ref": role},
        }
        assert 0 < books["Timeout"] <= 30

    @pytest.mark.parametrize(("choice", "policy"), [("destroy", "Delete"), ("retain", "Retain")])
    def test_context_decides_what_becomes_of_the_books(self, tmp_path, choice, policy):
        """A trial deployment can be removed as a whole."""
        stack = build(app_in(tmp_path, books_removal=choice))
        (table,) = stack.node.find_child("Books").node.find_child("Table").node.children[:1]
        assert table.cfn_options.deletion_policy.name.lower() == policy.lower()

    def test_a_choice_that_is_none_is_refused(self, tmp_path):
        """A typing error must not delete the books."""
        with pytest.raises(ValueError, match="books_removal=delete: expected retain"):
            build(app_in(tmp_path, books_removal="delete"))
