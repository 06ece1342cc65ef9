"""Stages of a few templates, and every way in which a value in one of them leads to a function URL or to its function."""

import copy
from dataclasses import dataclass, field

from cognito_edge_cdk.references import Place, Template

FUNCTION = {"Type": "AWS::Lambda::Function", "Properties": {"FunctionName": "orders"}}
URL = {
    "Type": "AWS::Lambda::Url",
    "Properties": {"AuthType": "AWS_IAM", "TargetFunctionArn": {"Fn::GetAtt": ["Function", "Arn"]}},
}
ADDRESS = {"Fn::GetAtt": ["Url", "FunctionUrl"]}
HOST = {"Fn::Select": [2, {"Fn::Split": ["/", ADDRESS]}]}
PARAMETER = {"Type": "AWS::SSM::Parameter", "Properties": {"Name": "/home/url", "Value": ADDRESS}}


@dataclass(frozen=True, kw_only=True)
class Route:
    """A value that leads to ``Url`` in stack Home, and the parts of templates that it needs.

    ``Main`` is another stack, ``Nested`` one within it; the value stands in *here*.
    """

    value: object
    here: str = "Home"
    home: dict = field(default_factory=dict)
    main: dict = field(default_factory=dict)
    nested: dict = field(default_factory=dict)
    home_region: str = "us-east-1"

    def stage(self, **resources):
        """Return the templates by stack, with *resources* added beside the value."""
        documents = {name: copy.deepcopy(getattr(self, name.lower())) for name in ("Home", "Main", "Nested")}
        home = documents["Home"].setdefault("Resources", {})
        home |= {"Function": FUNCTION, "Url": URL}
        documents["Main"].setdefault("Resources", {}).setdefault("Inner", {"Type": "AWS::CloudFormation::Stack"})
        documents[self.here].setdefault("Resources", {}).update(resources)
        made = {
            name: Template(file=f"{name}.json", document=documents[name], stack=name, region=region)
            for name, region in (("Home", self.home_region), ("Main", "us-east-1"))
        }
        inner = Place(made["Main"], "Inner")
        made["Nested"] = Template(file="Nested.json", document=documents["Nested"], region="us-east-1", parent=inner)
        return made


def output(value, **more):
    return {"Outputs": {"Address": {"Value": value, **more}}}


def inner(**passed):
    return {"Inner": {"Type": "AWS::CloudFormation::Stack", "Properties": {"Parameters": passed}}}


CROSS_REGION = "/cdk/exports/Main/Home"
READER = {
    "Type": "Custom::CrossRegionExportReader",
    "Properties": {
        "ReaderProps": {"imports": {CROSS_REGION: f"{{{{resolve:ssm:{CROSS_REGION}}}}}", "/other": "example.com"}}
    },
}
WRITER = {
    "Type": "Custom::CrossRegionExportWriter",
    "Properties": {"WriterProps": {"region": "us-east-1", "exports": {CROSS_REGION: ADDRESS}}},
}
TO_THE_URL = {
    "an attribute": Route(value=ADDRESS),
    "an attribute with a dot": Route(value={"Fn::GetAtt": "Url.FunctionUrl"}),
    "a host cut out": Route(value=HOST),
    "Join": Route(value={"Fn::Join": ["", ["", HOST]]}),
    "Sub": Route(value={"Fn::Sub": "${Url.FunctionUrl}"}),
    "a variable of Sub": Route(value={"Fn::Sub": ["${host}", {"host": HOST}]}),
    "one side of If": Route(value={"Fn::If": ["Beta", "example.com", HOST]}),
    "an item of Select": Route(value={"Fn::Select": [1, ["example.com", HOST]]}),
    "a custom resource": Route(
        value={"Fn::GetAtt": ["Trim", "Host"]},
        home={"Resources": {"Trim": {"Type": "Custom::Trim", "Properties": {"ServiceToken": "t", "Of": ADDRESS}}}},
    ),
    "an SSM parameter": Route(value={"Fn::GetAtt": ["Stored", "Value"]}, home={"Resources": {"Stored": PARAMETER}}),
    "an SSM parameter's name": Route(
        value={"Fn::Join": ["", ["{{resolve:ssm:", {"Ref": "Stored"}, "}}"]]},
        home={"Resources": {"Stored": {**PARAMETER, "Properties": {"Value": ADDRESS}}}},
    ),
    "a dynamic reference": Route(
        value="{{resolve:ssm:/home/url}}", here="Main", home={"Resources": {"Stored": PARAMETER}}
    ),
    "a dynamic reference by ARN, with a version": Route(
        value={"Fn::Sub": "{{resolve:ssm:arn:aws:ssm:${AWS::Region}:${AWS::AccountId}:parameter/home/url:3}}"},
        here="Main",
        home={"Resources": {"Stored": PARAMETER}},
    ),
    "a template's parameter from SSM": Route(
        value={"Ref": "Given"},
        here="Main",
        home={"Resources": {"Stored": PARAMETER}},
        main={"Parameters": {"Given": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/home/url"}}},
    ),
    "an import": Route(
        value={"Fn::ImportValue": "home-url"}, here="Main", home=output(ADDRESS, Export={"Name": "home-url"})
    ),
    "an import by a name put together": Route(
        value={"Fn::ImportValue": {"Fn::Sub": "${Stack}-url"}},
        here="Main",
        home=output(ADDRESS, Export={"Name": {"Fn::Sub": "${AWS::StackName}-url"}}),
        main={"Parameters": {"Stack": {"Type": "String", "Default": "Home"}}},
    ),
    "an import of what SSM holds": Route(
        value={"Fn::ImportValue": "home-url"},
        here="Main",
        home={
            "Resources": {"Stored": PARAMETER},
            **output({"Fn::GetAtt": ["Stored", "Value"]}, Export={"Name": "home-url"}),
        },
    ),
    "another stack's output": Route(
        value={"Fn::GetStackOutput": {"StackName": "Home", "OutputName": "Address"}}, here="Main", home=output(HOST)
    ),
    "an output in another region": Route(
        value={"Fn::GetStackOutput": {"StackName": "Home", "OutputName": "Address", "Region": "eu-west-1"}},
        here="Main",
        home=output(HOST),
        home_region="eu-west-1",
    ),
    "CDK's cross-region reference": Route(
        value={"Fn::GetAtt": ["Reader", CROSS_REGION]},
        here="Main",
        home={"Resources": {"Writer": WRITER}},
        main={"Resources": {"Reader": READER}},
        home_region="eu-west-1",
    ),
    "a nested stack's output": Route(
        value={"Fn::GetAtt": ["Inner", "Outputs.Address"]},
        here="Main",
        home=output(ADDRESS, Export={"Name": "home-url"}),
        nested=output({"Fn::ImportValue": "home-url"}),
    ),
    "a nested stack's parameter": Route(
        value={"Ref": "Passed"},
        here="Nested",
        home=output(ADDRESS, Export={"Name": "home-url"}),
        main={"Resources": inner(Passed={"Fn::ImportValue": "home-url"})},
        nested={"Parameters": {"Passed": {"Type": "String", "Default": "example.com"}}},
    ),
}

ALIAS = {
    "Type": "AWS::Lambda::Alias",
    "Properties": {
        "FunctionName": {"Ref": "Function"},
        "FunctionVersion": {"Fn::GetAtt": ["Version", "Version"]},
        "Name": "live",
    },
}
VERSION = {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": {"Ref": "Function"}}}
QUALIFIED = {"Resources": {"Alias": ALIAS, "Version": VERSION}}
TO_THE_FUNCTION = {
    "Ref": Route(value={"Ref": "Function"}),
    "its ARN": Route(value={"Fn::GetAtt": ["Function", "Arn"]}),
    "its URL's attribute": Route(value={"Fn::GetAtt": ["Url", "FunctionArn"]}),
    "its URL's Ref": Route(value={"Ref": "Url"}),
    "an alias": Route(value={"Ref": "Alias"}, home=QUALIFIED),
    "a version": Route(value={"Ref": "Version"}, home=QUALIFIED),
    "an ARN with a qualifier added": Route(value={"Fn::Join": ["", [{"Fn::GetAtt": ["Function", "Arn"]}, ":live"]]}),
    "Sub": Route(value={"Fn::Sub": "${Function}:live"}),
    "one side of If": Route(value={"Fn::If": ["Beta", "other", {"Ref": "Function"}]}),
    "its name": Route(value="orders"),
    "its name and an alias": Route(value="orders:live"),
    "its ARN in letters": Route(value="arn:aws:lambda:us-east-1:123456789012:function:orders"),
    "its ARN in letters and an alias": Route(value="arn:aws:lambda:us-east-1:123456789012:function:orders:live"),
    "its partial ARN": Route(value="123456789012:function:orders"),
    "its ARN put together": Route(
        value={"Fn::Sub": "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:orders"}
    ),
    "its ARN from another region's stack": Route(
        value={"Fn::Sub": "arn:aws:lambda:eu-west-1:${AWS::AccountId}:function:orders"},
        here="Main",
        home_region="eu-west-1",
    ),
    "a template's parameter": Route(
        value={"Ref": "Name"},
        here="Main",
        main={"Parameters": {"Name": {"Type": "String", "Default": "orders"}}},
    ),
    "a mapping": Route(
        value={"Fn::FindInMap": ["Names", {"Ref": "AWS::Region"}, "api"]},
        home={"Mappings": {"Names": {"us-east-1": {"api": "orders"}}}},
    ),
    "an import": Route(
        value={"Fn::ImportValue": "orders-arn"},
        here="Main",
        home=output({"Fn::GetAtt": ["Function", "Arn"]}, Export={"Name": "orders-arn"}),
    ),
}
