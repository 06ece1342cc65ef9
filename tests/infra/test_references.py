"""The texts that a value in a template may become, and the resources it leads to, over all templates of a stage."""

import json

import pytest
from cognito_edge_cdk.references import ACCOUNT, Template, leads_to, place_of, read_templates, texts
from cognito_edge_cdk.ways_past import functions_of

from tests.infra.routes import ADDRESS, PARAMETER, READER, TO_THE_FUNCTION, TO_THE_URL, WRITER, Route, output


def led(route, **resources):
    stage = route.stage(**resources)
    return leads_to(route.value, stage[route.here], list(stage.values()))


@pytest.mark.parametrize("name", TO_THE_URL)
def test_every_way_of_writing_it_leads_to_the_url(name):
    """By attribute, output, export, SSM, nested stack or CDK's own helpers."""
    assert "${Home.json#Url}" in led(TO_THE_URL[name])


@pytest.mark.parametrize("name", TO_THE_FUNCTION)
def test_every_way_of_writing_it_names_the_function(name):
    """By reference, by name or ARN, and through aliases, versions and URLs."""
    route = TO_THE_FUNCTION[name]
    stage = route.stage()
    assert "${Home.json#Function}" in functions_of(route.value, stage[route.here], list(stage.values()))


@pytest.mark.parametrize(
    "route",
    [
        Route(value="example.com"),
        Route(value={"Fn::GetAtt": ["Function", "Arn"]}),
        Route(value={"Fn::Sub": "${!Url.FunctionUrl}"}),
        Route(value={"Fn::ImportValue": "somebody-elses"}, here="Main"),
        # The same names in another place.
        Route(value=ADDRESS, here="Main"),
        Route(
            value={"Fn::ImportValue": "home-url"},
            here="Main",
            home=output(ADDRESS, Export={"Name": "home-url"}),
            home_region="eu-west-1",
        ),
        Route(
            value={"Fn::GetStackOutput": {"StackName": "Home", "OutputName": "Address"}},
            here="Main",
            home=output(ADDRESS),
            home_region="eu-west-1",
        ),
        Route(value={"Fn::GetStackOutput": {"StackName": "Home", "OutputName": "Other"}}, home=output(ADDRESS)),
        Route(value={"Fn::GetStackOutput": {"StackName": "Main", "OutputName": "Address"}}, home=output(ADDRESS)),
        Route(value={"Fn::GetAtt": ["Inner", "Outputs.Other"]}, here="Main", nested=output(ADDRESS)),
        Route(value="{{resolve:ssm:/somebody/elses}}"),
        Route(
            value="{{resolve:ssm:/home/url}}",
            here="Main",
            home={"Resources": {"Stored": PARAMETER}},
            home_region="eu-west-1",
        ),
        Route(
            value={"Fn::GetAtt": ["Reader", "/other"]},
            home={"Resources": {"Writer": WRITER, "Reader": READER}},
        ),
        Route(value=True),
        Route(value=None),
        Route(value=3),
    ],
)
def test_other_values_do_not_lead_to_the_url(route):
    """Neither does another resource, nor one that the stage does not hold."""
    assert "${Home.json#Url}" not in led(route)


@pytest.mark.parametrize(
    "name",
    ["order", "orders2", "arn:aws:lambda:eu-west-1:123456789012:function:orders", "live:orders", {"Ref": "Main"}],
)
def test_other_names_are_not_the_functions(name):
    """A prefix, a longer name, another region's function."""
    stage = Route(value=name).stage()
    assert "${Home.json#Function}" not in functions_of(name, stage["Home"], list(stage.values()))


@pytest.mark.parametrize(
    "document",
    [
        {"Parameters": {"Loop": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "{{resolve:ssm:/loop}}"}}},
        {"Resources": {"Loop": {"Type": "AWS::SSM::Parameter", "Properties": {"Value": {"Ref": "Loop"}}}}},
        {
            "Resources": {
                "Loop": {"Type": "AWS::SSM::Parameter", "Properties": {"Name": "/l", "Value": "{{resolve:ssm:/l}}"}}
            }
        },
        {
            "Resources": {"Loop": {"Type": "Custom::Loop", "Properties": {"Of": {"Fn::ImportValue": "loop"}}}},
            "Outputs": {"Out": {"Value": {"Ref": "Loop"}, "Export": {"Name": "loop"}}},
        },
        {
            "Resources": {
                "Loop": {
                    "Type": "Custom::Loop",
                    "Properties": {"Of": {"Fn::GetStackOutput": {"StackName": "Home", "OutputName": "Out"}}},
                }
            },
            "Outputs": {"Out": {"Value": {"Fn::Sub": "${Loop}"}}},
        },
        {"Resources": {"Loop": {"Type": "AWS::Lambda::Alias", "Properties": {"FunctionName": {"Ref": "Loop"}}}}},
    ],
)
def test_circles_end(document):
    """CloudFormation would refuse them; the rules must not hang before it does."""
    home = Template(file="Home.json", document=document, stack="Home")
    assert texts({"Fn::Join": ["", [{"Ref": "Loop"}, "!"]]}, home, [home])
    assert isinstance(functions_of({"Ref": "Loop"}, home, [home]), set)


@pytest.mark.parametrize(
    "value",
    [
        {"Ref": ["Url"]},
        {"Fn::GetAtt": "Url"},
        {"Fn::GetAtt": ["Url"]},
        {"Fn::Join": "x"},
        {"Fn::Join": ["", {"Ref": "List"}]},
        {"Fn::Sub": 1},
        {"Fn::Sub": ["${A}", []]},
        {"Fn::If": []},
        {"Fn::Select": [0]},
        {"Fn::GetStackOutput": "x"},
        {"Fn::FindInMap": ["None", "a", "b"]},
        {"Fn::Transform": {"Name": "AWS::Include", "Parameters": {"Location": ADDRESS}}},
    ],
)
@pytest.mark.parametrize("document", [{}, {"Resources": None}, {"Resources": {"Url": "x", "Fn::ForEach::A": []}}])
def test_odd_templates_break_nothing(value, document):
    """A crash would hide the other faults."""
    home = Template(file="Home.json", document=document)
    assert isinstance(texts(value, home, [home]), set)


def test_a_text_is_put_together_exactly():
    """As CloudFormation would; values that are known only at deploy stay open."""
    here = Template(file="Home.json", document={"Resources": {"D": {"Type": "T"}}}, region="us-east-1")
    value = {
        "Fn::Sub": ["arn:${AWS::Partition}:x::${AWS::AccountId}:${What}/${D}", {"What": {"Fn::If": ["C", "a", "b"]}}]
    }
    expected = {f"arn:aws:x::{ACCOUNT}:{what}/${{Home.json#D}}" for what in "ab"}
    assert texts(value, here, [here]) == expected
    assert texts({"Fn::If": ["C", "a", {"Ref": "AWS::NoValue"}]}, here, [here]) == {"a", ""}


def test_too_many_combinations_are_not_built():
    """Every part is still seen."""
    here = Template(file="Home.json", document={}, region="us-east-1")
    many = [{"Fn::If": ["C", f"{number}a", f"{number}b"]} for number in range(40)]
    assert texts({"Fn::Join": ["", many]}, here, [here]) == {f"{number}{side}" for number in range(40) for side in "ab"}


def test_what_the_stage_does_not_hold_is_no_place():
    """And it says where the reference would have led."""
    here = Template(file="Home.json", document={"Parameters": {"Given": {"Type": "String"}}})
    values = {"Fn::ImportValue": "theirs"}, {"Ref": "Given"}, {"Ref": "Gone"}, "{{resolve:ssm:/theirs}}"
    led = [reference for value in values for reference in leads_to(value, here, [here])]
    assert led == ["${import theirs}", "${Home.json#Given}", "${Home.json#Gone}", "${ssm /theirs}"]
    assert [place_of(reference, [here]) for reference in led] == [None] * 4


class TestReadTemplates:
    """The files of a cloud assembly, as CDK writes them."""

    @pytest.fixture
    def folder(self, tmp_path):
        def stack(environment, **properties):
            return {"type": "aws:cloudformation:stack", "environment": environment, "properties": properties}

        def nested(address):
            return {
                "Resources": {"Inner": {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": address}}}
            }

        def asset(path, key):
            return {"source": {"path": path}, "destinations": {"here": {"objectKey": key}}}

        files = [asset("One.nested.template.json", "abc.json"), asset("Two.nested.template.json", "prefix/def.json")]
        files += [asset("code", "abc.zip"), {"source": {"executable": ["x"]}, "destinations": {}}]
        bucket = {"Fn::Sub": "https://s3.amazonaws.com/assets-${AWS::AccountId}"}
        documents = {
            "manifest.json": {
                "artifacts": {
                    "Tree": {"type": "cdk:tree"},
                    "ProdOuter": stack(
                        "aws://123456789012/us-east-1", templateFile="ProdOuter.template.json", stackName="Prod-Outer"
                    ),
                    "Any": stack("aws://unknown-account/unknown-region", templateFile="Any.template.json"),
                }
            },
            "ProdOuter.template.json": nested({"Fn::Join": ["/", [bucket, "abc.json"]]}),
            "ProdOuter.assets.json": {"files": dict(enumerate(files))},
            "One.nested.template.json": nested({"Fn::Join": ["/", [bucket, "prefix", "def.json"]]}),
            "Two.nested.template.json": {},
            "Any.template.json": nested("https://example.com/abc.json"),
        }
        for name, document in documents.items():
            (tmp_path / name).write_text(json.dumps(document))
        return tmp_path

    def test_they_say_where_each_template_is_deployed(self, folder):
        """By its name in CloudFormation, account and region; nested stacks where their parents are."""
        found = read_templates([str(folder / "ProdOuter.template.json"), str(folder / "Any.template.json")])
        assert [(one.file, one.stack, one.account, one.region) for one in found] == [
            ("ProdOuter.template.json", "Prod-Outer", "123456789012", "us-east-1"),
            ("One.nested.template.json", "", "123456789012", "us-east-1"),
            ("Two.nested.template.json", "", "123456789012", "us-east-1"),
            ("Any.template.json", "Any", None, None),
        ]
        assert [one.parent and (one.parent.template.file, one.parent.name) for one in found] == [
            None,
            ("ProdOuter.template.json", "Inner"),
            ("One.nested.template.json", "Inner"),
            None,
        ]
