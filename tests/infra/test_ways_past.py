"""Ways past the gateway, in templates that hold one each: all are refused, and set-ups that only look like one are not."""

import pytest
from cognito_edge_cdk.references import Place
from cognito_edge_cdk.ways_past import (
    Inside,
    functions_of,
    other_distribution_faults,
    other_url_faults,
    permission_faults,
)

from tests.infra.routes import ADDRESS, FUNCTION, TO_THE_FUNCTION, TO_THE_URL, URL, Route, output

OWN_SOURCE = {"Fn::Sub": "arn:aws:cloudfront::${AWS::AccountId}:distribution/${Distribution}"}


def inside(stage, *, urls=("Url",), distribution="Home"):
    home = stage["Home"]
    watched = [Place(home, name) for name in urls]
    everything = list(stage.values())
    return Inside(
        distribution=Place(stage[distribution], "Distribution"),
        path="Home/Gateway/Distribution",
        urls={place.reference: f"Home/{place.name}" for place in watched},
        functions={
            function: f"Home/{place.name}"
            for place in watched
            for function in functions_of(place.properties["TargetFunctionArn"], home, everything)
        },
    )


def faults(rule, route, *, urls=("Url",), account=None, **resources):
    stage = route.stage(**resources)
    if account:
        for template in stage.values():
            object.__setattr__(template, "account", account)
    stage["Home"].document["Resources"].setdefault("Distribution", {"Type": "AWS::CloudFront::Distribution"})
    return list(rule(list(stage.values()), inside(stage, urls=urls)))


class TestDistributions:
    @staticmethod
    def distribution(host, **config):
        return {
            "Type": "AWS::CloudFront::Distribution",
            "Properties": {"DistributionConfig": {"Origins": [{"Id": "o", "DomainName": host}], **config}},
        }

    @pytest.mark.parametrize("name", TO_THE_URL)
    def test_another_distribution_on_a_url_behind_the_gateway_is_refused(self, name):
        """By whatever reference its origin leads there."""
        route = TO_THE_URL[name]
        (fault,) = faults(other_distribution_faults, route, Theirs=self.distribution(route.value))
        assert fault.startswith(
            f"distribution Theirs ({route.here}.json) leads to Home/Url, which is behind the gateway"
        )
        assert "even if it is another EdgeGateway's; remove that origin" in fault
        assert "functions={…}" in fault

    @pytest.mark.parametrize(
        "resource",
        [
            distribution(ADDRESS, Staging=True),
            distribution("example.com", CustomOrigin={"DNSName": ADDRESS}),
            distribution("example.com", Origins={"Fn::If": ["Beta", [{"DomainName": ADDRESS}], []]}),
            distribution("example.com", Origins=[{"DomainName": "example.com"}, {"DomainName": ADDRESS}]),
            {"Type": "AWS::CloudFront::DistributionTenant", "Properties": {"Parameters": [{"Value": ADDRESS}]}},
        ],
    )
    def test_staging_ones_old_forms_conditions_and_tenants_count_as_well(self, resource):
        """Every form in which CloudFormation takes an origin."""
        assert len(faults(other_distribution_faults, Route(value=None), Theirs=resource)) == 1

    @pytest.mark.parametrize(
        "resource",
        [
            distribution("example.com", Comment=ADDRESS),
            distribution({"Fn::GetAtt": ["OtherUrl", "FunctionUrl"]}),
            distribution({"Fn::ImportValue": "somebody-elses"}),
            distribution("abc.lambda-url.us-east-1.on.aws"),
            {"Type": "AWS::CloudFront::Distribution"},
            {"Type": "AWS::Route53::RecordSet", "Properties": {"DomainName": ADDRESS}},
        ],
    )
    def test_a_distribution_on_something_else_is_its_owners_business(self, resource):
        """Another function's URL among them; and a comment is no origin."""
        assert faults(other_distribution_faults, Route(value=None), Theirs=resource, OtherUrl=URL) == []

    def test_the_gateways_own_distribution_is_judged_by_its_own_rule(self):
        """It may lead to the URL."""
        route = Route(value=None)
        assert faults(other_distribution_faults, route, Distribution=self.distribution(ADDRESS)) == []

    def test_one_of_the_same_logical_id_in_a_nested_stack_is_another(self):
        """Ids are unique in a template only. Where CDK left a path, the message has that."""
        route = TO_THE_URL["a nested stack's parameter"]
        theirs = {**self.distribution(route.value), "Metadata": {"aws:cdk:path": "Main/Inner/Theirs/Resource"}}
        (fault,) = faults(other_distribution_faults, route, Distribution=theirs)
        assert "distribution Main/Inner/Theirs leads to Home/Url" in fault


class TestUrls:
    @staticmethod
    def url(target, **properties):
        return {"Type": "AWS::Lambda::Url", "Properties": {"TargetFunctionArn": target, **properties}}

    @pytest.mark.parametrize("auth_type", ["AWS_IAM", "NONE"])
    @pytest.mark.parametrize("name", TO_THE_FUNCTION)
    def test_a_further_url_of_a_function_behind_the_gateway_is_refused(self, name, auth_type):
        """Whatever its auth type, and however the function is named."""
        route = TO_THE_FUNCTION[name]
        (fault,) = faults(other_url_faults, route, Theirs=self.url(route.value, AuthType=auth_type))
        assert (
            f"function URL Theirs ({route.here}.json) (auth type {auth_type}) leads to the same function as Home/Url"
            in fault
        )
        assert "remove it, or give it to EdgeGateway in functions={…} as well" in fault

    def test_an_alias_url_is_refused_with_its_qualifier(self):
        """CDK writes it in this way."""
        theirs = self.url({"Ref": "Function"}, Qualifier="live", AuthType="AWS_IAM")
        assert len(faults(other_url_faults, Route(value=None), Theirs=theirs)) == 1

    @pytest.mark.parametrize(
        "target",
        [
            {"Ref": "Alias"},
            {"Fn::Sub": "arn:aws:lambda:us-east-1:${AWS::AccountId}:function:imported"},
            {"Fn::ImportValue": "imported-arn"},
        ],
    )
    def test_the_function_behind_an_alias_or_an_import_counts(self, target):
        """The gateway's own URL is on an alias, or on a function that the stage does not hold; so is the other one."""
        alias = {"Type": "AWS::Lambda::Alias", "Properties": {"FunctionName": {"Ref": "Function"}, "Name": "live"}}
        more = {"Alias": alias, "Given": self.url(target), "Theirs": self.url(target)}
        (fault,) = faults(other_url_faults, Route(value=None), urls=["Given", "Url"], **more)
        assert "function URL Theirs" in fault
        unalike = {**more, "Theirs": self.url({"Fn::ImportValue": "another-arn"})}
        assert faults(other_url_faults, Route(value=None), urls=["Given", "Url"], **unalike) == []

    def test_two_urls_of_one_function_that_are_both_given_are_fine(self):
        """Both are behind the gateway."""
        more = self.url({"Ref": "Function"}, Qualifier="live")
        assert faults(other_url_faults, Route(value=None), urls=["Url", "More"], More=more) == []

    @pytest.mark.parametrize("target", [{"Ref": "Other"}, "orders2", {"Fn::ImportValue": "theirs"}, None])
    def test_a_public_url_of_another_function_is_its_owners_business(self, target):
        """The gateway protects what it was given."""
        other = {"Type": "AWS::Lambda::Function", "Properties": {"FunctionName": "others"}}
        theirs = self.url(target, AuthType="NONE")
        assert faults(other_url_faults, Route(value=None), Other=other, Theirs=theirs) == []


class TestPermissions:
    @staticmethod
    def permission(principal, *, function=None, action="lambda:InvokeFunctionUrl", **properties):
        return {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": function or {"Ref": "Function"},
                "Action": action,
                "Principal": principal,
                **properties,
            },
        }

    def found(self, *arguments, account=None, more=None, **properties):
        return faults(
            permission_faults,
            Route(value=None),
            account=account,
            Theirs=self.permission(*arguments, **properties),
            **(more or {}),
        )

    @pytest.mark.parametrize("name", TO_THE_FUNCTION)
    def test_a_permission_for_anyone_is_refused_however_the_function_is_named(self, name):
        """By reference, name or ARN, through aliases, versions and the URL."""
        route = TO_THE_FUNCTION[name]
        (fault,) = faults(permission_faults, route, Theirs=self.permission("*", function=route.value))
        assert (
            f"permission Theirs ({route.here}.json) on the function of Home/Url, which is behind the gateway" in fault
        )
        assert "lets in anyone (Principal *), past the token check; remove it" in fault

    @pytest.mark.parametrize("action", ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction", "lambda:*", "*"])
    @pytest.mark.parametrize(
        ("principal", "properties", "message"),
        [
            ("*", {}, "anyone (Principal *)"),
            ({"Fn::If": ["Beta", {"Ref": "AWS::AccountId"}, "*"]}, {}, "anyone (Principal *)"),
            ("*", {"PrincipalOrgID": "o-abcdefghij"}, "everyone in o-abcdefghij (Principal *)"),
            ("*", {"SourceAccount": {"Ref": "AWS::AccountId"}}, "anyone (Principal *)"),
            ("s3.amazonaws.com", {"FunctionUrlAuthType": "NONE"}, "anyone without a signature"),
            ("111122223333", {}, "111122223333: the construct cannot see"),
            (111122223333, {}, "111122223333: the construct cannot see"),
            ("arn:aws:iam::111122223333:root", {}, "arn:aws:iam::111122223333:root: the construct"),
            ("arn:aws:iam::111122223333:role/caller", {}, "another account could call past the token check"),
            ("arn:aws:sts::111122223333:assumed-role/caller/me", {}, "write this account as AWS::AccountId"),
            ({"Fn::Sub": "arn:aws:iam::${Given}:root"}, {}, ": the construct cannot see"),
            ({"Ref": "Given"}, {}, ": the construct cannot see"),
            ({"Fn::GetAtt": ["Function", "Arn"]}, {}, ": the construct cannot see"),
            ("arn:aws:iam", {}, ": the construct cannot see"),
            ("AIDACKCEVSQ6C2EXAMPLE", {}, ": the construct cannot see"),
            (None, {}, "an unknown principal: the construct cannot see"),
        ],
    )
    def test_whoever_may_be_of_another_account_is_refused(self, principal, properties, message, action):
        """In both modes, for every way to call."""
        (fault,) = self.found(principal, action=action, **properties)
        assert message in fault
        assert "remove it" in fault

    @pytest.mark.parametrize(
        "principal",
        [
            {"Ref": "AWS::AccountId"},
            {"Fn::Sub": "arn:aws:iam::${AWS::AccountId}:root"},
            {"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":iam::", {"Ref": "AWS::AccountId"}, ":role/r"]]},
            {"Fn::GetAtt": ["Role", "Arn"]},
        ],
    )
    def test_principals_of_the_same_account_are_trusted(self, principal):
        """No rule judges principals of the same account, nor IAM policies."""
        assert self.found(principal, more={"Role": {"Type": "AWS::IAM::Role"}}) == []

    def test_an_account_in_letters_is_the_own_one_only_if_that_is_known(self):
        """If the stack's environment has no account, a literal account may be another one."""
        for principal in ("123456789012", "arn:aws:iam::123456789012:role/r"):
            assert self.found(principal, account="123456789012") == []
            assert len(self.found(principal, account="210987654321")) == 1
            assert len(self.found(principal)) == 1

    @pytest.mark.parametrize(
        "principal",
        [
            "s3.amazonaws.com",
            "events.amazonaws.com",
            "cognito-idp.amazonaws.com",
            "alexa-appkit.amazon.com",
            {"Fn::Sub": "logs.${AWS::Region}.amazonaws.com"},
        ],
    )
    def test_a_service_may_invoke_the_function_but_not_call_its_url(self, principal):
        """Events of S3 or EventBridge are their owner's; no service but CloudFront calls function URLs."""
        assert self.found(principal, action="lambda:InvokeFunction") == []
        for action in ("lambda:InvokeFunctionUrl", "lambda:invokefunctionurl", "lambda:*", "*", {"Ref": "Given"}):
            (fault,) = self.found(principal, action=action)
            assert "through the function URL, which no service but CloudFront calls" in fault
            assert "action='lambda:InvokeFunction'" in fault

    @pytest.mark.parametrize("action", ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"])
    @pytest.mark.parametrize(
        ("source", "whom"),
        [
            (None, "any distribution in the world"),
            ("arn:aws:cloudfront::123456789012:distribution/*", "distribution/*"),
            ({"Fn::Sub": "arn:aws:cloudfront::${AWS::AccountId}:distribution/*"}, "<AccountId>:distribution/*"),
            (
                {"Fn::Sub": "arn:aws:cloudfront::${AWS::AccountId}:distribution/E2EXAMPLE1234"},
                "distribution/E2EXAMPLE1234",
            ),
            ({"Fn::Sub": "arn:aws:cloudfront::${AWS::AccountId}:distribution/${Other}"}, "#Other}"),
            ({"Fn::Sub": "arn:aws:cloudfront::111122223333:distribution/${Distribution}"}, "111122223333"),
            ({"Fn::Sub": "arn:aws:cloudfront::${AWS::AccountId}:*/${Distribution}"}, ":*/"),
            ({"Fn::If": ["Beta", OWN_SOURCE, {"Ref": "AWS::NoValue"}]}, "any distribution in the world"),
            ({"Fn::If": ["Beta", OWN_SOURCE, "*"]}, "CloudFront on behalf of *,"),
            ({"Fn::ImportValue": "their-distribution"}, "${import their-distribution}"),
        ],
    )
    @pytest.mark.parametrize(
        "principal", ["cloudfront.amazonaws.com", "cloudfront.amazonaws.com.cn", "CloudFront.amazonaws.com"]
    )
    def test_cloudfront_comes_in_for_the_gateways_distribution_alone(self, principal, source, whom, action):
        """In mode oac everything rests on SourceArn."""
        more = {"Other": {"Type": "AWS::CloudFront::Distribution"}}
        properties = {} if source is None else {"SourceArn": source}
        (fault,) = self.found(principal, action=action, more=more, **properties)
        assert "CloudFront on behalf of" in fault
        assert whom in fault
        assert (
            "not of Home/Gateway/Distribution alone; remove it, since EdgeGateway makes the permissions it needs"
            in fault
        )

    @pytest.mark.parametrize(
        "source",
        [
            OWN_SOURCE,
            {
                "Fn::Join": [
                    "",
                    [
                        "arn:",
                        {"Ref": "AWS::Partition"},
                        ":cloudfront::",
                        {"Ref": "AWS::AccountId"},
                        ":distribution/",
                        {"Ref": "Distribution"},
                    ],
                ]
            },
        ],
    )
    def test_for_the_gateways_distribution_it_does(self, source):
        """As the construct writes it, and as CDK does."""
        assert self.found("cloudfront.amazonaws.com", SourceArn=source) == []
        assert len(self.found("cloudfront.amazonaws.com", SourceArn=source, FunctionUrlAuthType="NONE")) == 1

    def test_the_distribution_may_be_known_by_an_output_of_another_region(self):
        """The construct's own permissions in another region refer to it in this way."""
        identifier = {"Fn::GetStackOutput": {"StackName": "Home", "OutputName": "Address", "Region": "eu-west-1"}}
        source = {"Fn::Join": ["", ["arn:aws:cloudfront::", {"Ref": "AWS::AccountId"}, ":distribution/", identifier]]}
        arn = {"Fn::Sub": "arn:aws:lambda:eu-west-1:${AWS::AccountId}:function:orders"}
        for right, home in ((True, output({"Ref": "Distribution"})), (False, output({"Ref": "Other"}))):
            route = Route(value=None, here="Main", home=home, home_region="eu-west-1")
            theirs = self.permission("cloudfront.amazonaws.com", function=arn, SourceArn=source)
            assert bool(faults(permission_faults, route, Theirs=theirs)) is not right

    @pytest.mark.parametrize("function", ["orders2", {"Ref": "Other"}, {"Fn::ImportValue": "somebody-elses"}])
    def test_permissions_on_other_functions_are_their_owners_business(self, function):
        """Other functions may even be public."""
        assert self.found("*", function=function, more={"Other": {**FUNCTION, "Properties": {}}}) == []
