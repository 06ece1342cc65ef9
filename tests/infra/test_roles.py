"""Every role exactly: who may assume it, and each action, resource and condition that it gets."""

import json

import pytest

from tests.infra.rig import Template

ACCOUNT = {"Ref": "AWS::AccountId"}
LAMBDA_ALONE = {"Service": "lambda.amazonaws.com"}
EDGE = {"Service": ["edgelambda.amazonaws.com", "lambda.amazonaws.com"]}
PARAMETERS = ("client-id", "policy", "user-pool-id")


def joined(*parts):
    return {"Fn::Join": ["", list(parts)]}


def roles(variants, name):
    """Return every role of a variant by its logical id: who may assume it, and its statements; nothing else counts."""
    found = {}
    for path in sorted((variants / name).glob("*.template.json")):
        template = Template(json.loads(path.read_bytes()))
        for role_id, body in template.all("AWS::IAM::Role").items():
            properties = body["Properties"]
            assert not {"ManagedPolicyArns", "Policies", "PermissionsBoundary"} & set(properties)
            trust = properties["AssumeRolePolicyDocument"]["Statement"]
            statements = [
                {key: value for key, value in statement.items() if key != "Sid"}
                for policy in template.all("AWS::IAM::Policy").values()
                if {"Ref": role_id} in policy["Properties"]["Roles"]
                for statement in policy["Properties"]["PolicyDocument"]["Statement"]
            ]
            found[role_id[:-8]] = (template, trust, statements)
        for kind in ("AWS::IAM::ManagedPolicy", "AWS::IAM::UserPolicy", "AWS::IAM::RolePolicy", "AWS::IAM::User"):
            assert not template.all(kind)
    return found


def allow(action, resource, condition=None):
    return {
        "Action": action,
        "Effect": "Allow",
        "Resource": resource,
        **({"Condition": condition} if condition else {}),
    }


def own_logs(template, name):
    """Write to its own log group: two actions, one group."""
    group, _ = template.one("AWS::Logs::LogGroup", below=name)
    return allow(["logs:CreateLogStream", "logs:PutLogEvents"], {"Fn::GetAtt": [group, "Arn"]})


def read_parameters(region):
    """Read the three parameters, and no other, by one action."""
    return allow(
        "ssm:GetParameters",
        [joined(f"arn:aws:ssm:{region}:", ACCOUNT, f":parameter/cognito-edge-gateway/{name}") for name in PARAMETERS],
    )


def replica_logs(template):
    """Write logs. The wildcards: replicas log in whichever region they run, and streams have made-up names."""
    function, _ = template.one("AWS::Lambda::Function", below="GatewayEdgeFunction")
    group = ["arn:aws:logs:*:", ACCOUNT, ":log-group:/aws/lambda/us-east-1.", {"Ref": function}]
    return allow(
        ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], [joined(*group, ":*"), joined(*group)]
    )


def call(*function_arns):
    """Call these functions through their URLs, signed: both permissions, each with its own condition."""
    arns = list(function_arns)
    return [
        allow("lambda:InvokeFunctionUrl", arns, {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}}),
        allow("lambda:InvokeFunction", arns, {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}),
    ]


def use_items(template):
    """Use a table's items by the books' four operations; not the table itself, no Scan, no batch."""
    table, _ = template.one("AWS::DynamoDB::Table")
    actions = [f"dynamodb:{name}" for name in ("DeleteItem", "GetItem", "PutItem", "Query")]
    return allow(actions, {"Fn::GetAtt": [table, "Arn"]})


@pytest.mark.parametrize(
    ("name", "parameter_region"),
    [
        ("sigv4", "us-east-1"),
        ("oac", "us-east-1"),
        ("oac-pinned", "us-east-1"),
        ("far-sigv4", "us-east-1"),
        ("far-oac", "us-east-1"),
        ("far-pool-sigv4", "eu-west-1"),
        ("far-pool-oac", "eu-west-1"),
    ],
)
def test_every_role_gets_exactly_this(variants, name, parameter_region):
    """There are three roles, with these permissions; a new permission has to be written here as well."""
    found = roles(variants, name)
    assert set(found) == {"ApiRole", "BooksApiRole", "GatewayEdgeRole"}  # logical ids, less their hashes

    template, trust, statements = found["ApiRole"]
    assert trust == [{"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": LAMBDA_ALONE}]
    assert statements == [own_logs(template, "ApiLogs")]

    template, trust, statements = found["BooksApiRole"]
    assert trust == [{"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": LAMBDA_ALONE}]
    assert statements == [own_logs(template, "BooksApiLogs"), use_items(template)]

    template, trust, statements = found["GatewayEdgeRole"]
    assert trust == [{"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": EDGE}]
    if "oac" in name:
        calls = []
    elif name.startswith("far"):
        names = ("cognito-edge-gateway-api", "cognito-edge-gateway-books")
        calls = call(*(joined("arn:aws:lambda:eu-west-1:", ACCOUNT, f":function:{one}") for one in names))
    else:
        calls = call(*({"Fn::GetAtt": [url, "FunctionArn"]} for url in sorted(template.all("AWS::Lambda::Url"))))
    assert statements == [read_parameters(parameter_region), *calls, replica_logs(template)]


@pytest.mark.parametrize("name", ["sigv4", "far-sigv4", "far-pool-sigv4"])
def test_no_function_has_a_policy_of_its_own_where_the_edge_signs(variants, name):
    """The edge role's permissions are the only way in."""
    for path in (variants / name).glob("*.template.json"):
        assert "AWS::Lambda::Permission" not in path.read_text()
