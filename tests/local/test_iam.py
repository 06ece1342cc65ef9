"""The IAM evaluator as a table, and the reading of policies from the IAM and Lambda APIs."""

import dataclasses
import json
import types

import pytest
from cognito_edge_local.origins.iam import AccessRequest, evaluate
from cognito_edge_local.origins.principals import (
    Credential,
    IamPolicies,
    PolicyReadError,
    StaticCredentials,
    StaticPolicies,
    statements_of,
)

from tests.local.door_support import ACCOUNT, CREDENTIAL, FUNCTION_ARN

URL_ACTION = AccessRequest(
    action="lambda:InvokeFunctionUrl",
    resource=FUNCTION_ARN,
    principal_arn=CREDENTIAL.principal_arn,
    role_arn=f"arn:aws:iam::{ACCOUNT}:role/edge-role",
    account_id=ACCOUNT,
    resource_account_id=ACCOUNT,
    context={
        "lambda:FunctionUrlAuthType": "AWS_IAM",
        "lambda:InvokedViaFunctionUrl": None,
        "aws:SourceIp": "127.0.0.1",
        "aws:SourceArn": None,
        "aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/edge-role",
    },
)


def allow(**elements) -> dict:
    return {"Effect": "Allow", "Action": "lambda:InvokeFunctionUrl", "Resource": "*", **elements}


def deny(**elements) -> dict:
    return allow(Effect="Deny", **elements)


def without(element: str) -> dict:
    return {key: value for key, value in allow().items() if key != element}


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        (allow(), True),
        (allow(Effect="allow"), False),
        (allow(Action="lambda:invokefunctionurl"), True),
        (allow(Action=["s3:*", "lambda:Invoke*"]), True),
        (allow(Action="*"), True),
        (allow(Action="lambda:InvokeFunction"), False),
        (allow(Action="lambda:InvokeFunctionUr?"), True),
        (allow(Action="lambda:[A-Z]*"), False),
        ({**without("Action"), "NotAction": "s3:*"}, True),
        ({**without("Action"), "NotAction": "lambda:*"}, False),
        (without("Action"), False),
        (without("Resource"), False),
        (allow(Resource=FUNCTION_ARN), True),
        (allow(Resource=[f"{FUNCTION_ARN}x", FUNCTION_ARN]), True),
        (allow(Resource=f"{FUNCTION_ARN}:live"), False),
        (allow(Resource="arn:aws:lambda:*:*:function:ap?"), True),
        (allow(Resource="arn:aws:lambda:us-east-1:*:function:API"), False),
        (allow(Resource="arn:aws:lambda:us-east-1:*"), True),
        (allow(Resource="arn:aws:lambda:us-east-1"), True),
        (allow(Resource="arn:aws:lambda"), True),
        (allow(Resource="arn:aws:*:function:api"), False),
        ({**without("Resource"), "NotResource": f"{FUNCTION_ARN}2"}, True),
        ({**without("Resource"), "NotResource": FUNCTION_ARN}, False),
        (allow(Resource="arn:aws:lambda:*:*:function:${aws:username}"), False),
        (allow(Principal="*"), False),
        (allow(Frobnicate=1), False),
    ],
)
def test_identity_statements(statement, allowed):
    """Effect, actions and resources of one identity statement, each kind of match and its near miss."""
    assert evaluate(URL_ACTION, identity=[statement], resource=[]).allowed is allowed


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ({"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}}, True),
        ({"StringEquals": {"LAMBDA:functionurlauthtype": "AWS_IAM"}}, True),
        ({"StringEquals": {"lambda:FunctionUrlAuthType": "aws_iam"}}, False),
        ({"StringEquals": {"lambda:FunctionUrlAuthType": ["NONE", "AWS_IAM"]}}, True),
        ({"StringEquals": {"lambda:FunctionUrlAuthType": []}}, False),
        ({"StringEqualsIgnoreCase": {"lambda:FunctionUrlAuthType": "aws_iam"}}, True),
        ({"StringNotEquals": {"lambda:FunctionUrlAuthType": "NONE"}}, True),
        ({"StringNotEquals": {"lambda:FunctionUrlAuthType": ["NONE", "AWS_IAM"]}}, False),
        ({"StringLike": {"lambda:FunctionUrlAuthType": "AWS_*"}}, True),
        ({"StringNotLike": {"lambda:FunctionUrlAuthType": "AWS_*"}}, False),
        ({"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}, False),
        ({"BoolIfExists": {"lambda:InvokedViaFunctionUrl": True}}, True),
        ({"Null": {"lambda:InvokedViaFunctionUrl": "true"}}, True),
        ({"Null": {"lambda:FunctionUrlAuthType": True}}, False),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/edge-*"}}, True),
        ({"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::*:role/edge-*"}}, True),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:*:role/edge-role"}}, False),
        ({"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/other"}}, True),
        ({"ArnNotEquals": {"aws:SourceArn": "arn:aws:s3:::x"}}, True),
        ({"ArnEquals": {"aws:SourceArn": "arn:aws:s3:::x"}}, False),
        ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, True),
        ({"NotIpAddress": {"aws:SourceIp": "127.0.0.1"}}, False),
        ({"IpAddress": {"aws:SourceIp": "no network"}}, False),
        (
            {
                "StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"},
                "ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/other"},
            },
            False,
        ),
    ],
)
def test_conditions(condition, allowed):
    """Each operator that is known, its negation, absent keys, lists of values and several operators."""
    assert evaluate(URL_ACTION, identity=[allow(Condition=condition)], resource=[]).allowed is allowed


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({"DateGreaterThan": {"aws:SourceIp": "2020-01-01"}}, "operator 'DateGreaterThan'"),
        ({"ForAnyValue:StringEquals": {"aws:SourceIp": "127.0.0.1"}}, "operator 'ForAnyValue:StringEquals'"),
        ({"StringEquals": {"aws:TagKeys": "x"}}, "key 'aws:TagKeys'"),
        ({"StringNotEquals": {"aws:TagKeys": "x"}}, "key 'aws:TagKeys'"),
        ({"StringEquals": {"aws:SourceIp": "${aws:PrincipalTag/ip}"}}, "variables"),
    ],
)
def test_what_is_unknown_fails_closed_and_is_noted(condition, words):
    """An unknown operator, key or variable: an Allow does not allow, a Deny denies, and both say why."""
    allowing = evaluate(URL_ACTION, identity=[allow(Sid="A", Condition=condition)], resource=[])
    assert not allowing.allowed
    assert words in allowing.notes[0]
    assert "'A'" in allowing.notes[0]
    denying = evaluate(URL_ACTION, identity=[allow(), deny(Sid="D", Condition=condition)], resource=[])
    assert not denying.allowed
    assert "denied by statement 'D'" in denying.reason
    assert words in denying.notes[0]


def test_an_unknown_allow_beside_a_known_one_still_allows():
    """Failing closed is for one statement, not for the whole policy; the note stays."""
    decision = evaluate(URL_ACTION, identity=[allow(Condition={"What": {"aws:SourceIp": "1"}}), allow()], resource=[])
    assert decision.allowed
    assert decision.notes


@pytest.mark.parametrize("side", ["identity", "resource"])
def test_an_explicit_deny_wins_on_either_side(side):
    """One Deny is enough, wherever it stands and whatever allows."""
    sides = {"identity": [allow()], "resource": [allow(Principal="*")]}
    sides[side] = [*sides[side], deny(**({"Principal": "*"} if side == "resource" else {}))]
    assert not evaluate(URL_ACTION, **sides).allowed


@pytest.mark.parametrize(
    ("principal", "allowed"),
    [
        ("*", True),
        ({"AWS": "*"}, True),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/edge-role"}, True),
        ({"AWS": [f"arn:aws:iam::{ACCOUNT}:role/x", f"arn:aws:iam::{ACCOUNT}:role/a/path/edge-role"]}, True),
        ({"AWS": CREDENTIAL.principal_arn}, True),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/edge-rol*"}, False),
        ({"AWS": "arn:aws:iam::999999999999:role/edge-role"}, False),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:user/edge-role"}, False),
        # The whole account: the question goes back to the identity policy, which says nothing here.
        ({"AWS": ACCOUNT}, False),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, False),
        ({"Service": "cloudfront.amazonaws.com"}, False),
        (None, False),
    ],
)
def test_principals_of_a_resource_policy(principal, allowed):
    """Who a resource policy names, with no identity policy beside it."""
    statement = allow() if principal is None else allow(Principal=principal)
    assert evaluate(URL_ACTION, identity=[], resource=[statement]).allowed is allowed


def test_a_deny_for_the_whole_account_is_a_deny_for_the_caller():
    """Naming the account delegates an Allow, but denies directly."""
    assert not evaluate(URL_ACTION, identity=[allow()], resource=[deny(Principal={"AWS": ACCOUNT})]).allowed


def test_not_principal_fails_closed():
    """NotPrincipal is not evaluated: it never allows, and as a Deny it denies."""
    statement = allow(NotPrincipal={"AWS": "arn:aws:iam::999999999999:root"})
    assert not evaluate(URL_ACTION, identity=[], resource=[statement]).allowed
    assert not evaluate(URL_ACTION, identity=[allow()], resource=[{**statement, "Effect": "Deny"}]).allowed


@pytest.mark.parametrize(
    ("identity", "resource", "allowed"),
    [
        ([allow()], [allow(Principal={"AWS": ACCOUNT})], True),
        ([allow()], [], False),
        ([], [allow(Principal="*")], False),
        ([], [], False),
    ],
)
def test_across_accounts_both_sides_must_allow(identity, resource, allowed):
    """Cross account: the identity policy and the resource policy, both."""
    foreign = dataclasses.replace(URL_ACTION, resource_account_id="444455556666")
    assert evaluate(foreign, identity=identity, resource=resource).allowed is allowed


# --- sources ----------------------------------------------------------------------------------------------------------


class _NotFoundError(Exception):
    pass


class FakeIam:
    """IAM's API, for one role with one inline and one attached policy; counts what it is asked."""

    def __init__(self, *, boundary: bool = False) -> None:
        self.calls = 0
        self.boundary = boundary
        self.down = False

    def get_role(self, *, RoleName):  # noqa: N803 - boto3's spelling
        self.calls += 1
        if self.down:
            raise ConnectionError("connection refused")
        assert RoleName == "edge-role"
        return {"Role": {"RoleName": RoleName, **({"PermissionsBoundary": {"x": "y"}} if self.boundary else {})}}

    def get_paginator(self, operation):
        pages = {
            "list_role_policies": [{"PolicyNames": ["inline"]}],
            "list_attached_role_policies": [{"AttachedPolicies": [{"PolicyArn": "arn:aws:iam::aws:policy/logs"}]}],
        }[operation]
        return types.SimpleNamespace(paginate=lambda **_: iter(pages))

    def get_role_policy(self, **_):
        return {"PolicyDocument": {"Statement": allow(Sid="inline")}}

    def get_policy(self, **_):
        return {"Policy": {"DefaultVersionId": "v7"}}

    def get_policy_version(self, *, PolicyArn, VersionId):  # noqa: N803 - boto3's spelling
        assert (PolicyArn, VersionId) == ("arn:aws:iam::aws:policy/logs", "v7")
        return {"PolicyVersion": {"Document": {"Statement": [allow(Sid="attached")]}}}


class FakeLambda:
    """Lambda's GetPolicy."""

    exceptions = types.SimpleNamespace(ResourceNotFoundException=_NotFoundError)

    def __init__(self, policies) -> None:
        self.policies = policies

    def get_policy(self, *, FunctionName, Qualifier=None):  # noqa: N803 - boto3's spelling
        try:
            return {"Policy": json.dumps({"Statement": self.policies[(FunctionName, Qualifier)]})}
        except KeyError:
            raise _NotFoundError from None


def sids(statements):
    return [statement["Sid"] for statement in statements]


def test_role_policies_are_read_inline_and_attached():
    """Both kinds of a role's policies come back, one statement or a list of them."""
    policies = IamPolicies(FakeIam(), FakeLambda({}))
    assert sids(policies.identity_statements(CREDENTIAL)) == ["inline", "attached"]


def test_function_policies_are_read_for_their_own_qualifier():
    """A URL on an alias has the alias's policy; no policy is an empty one."""
    source = FakeLambda({(FUNCTION_ARN, None): [allow(Sid="plain")], (FUNCTION_ARN, "live"): [allow(Sid="alias")]})
    policies = IamPolicies(FakeIam(), source)
    assert sids(policies.resource_statements(FUNCTION_ARN)) == ["plain"]
    assert sids(policies.resource_statements(f"{FUNCTION_ARN}:live")) == ["alias"]
    assert policies.resource_statements(f"{FUNCTION_ARN}:other") == []


def test_policies_are_kept_for_their_lifetime_and_read_again_after_it():
    """Requests within five seconds share one reading; a changed policy shows afterwards."""
    now = [0.0]
    iam = FakeIam()
    policies = IamPolicies(iam, FakeLambda({}), clock=lambda: now[0])
    policies.identity_statements(CREDENTIAL)
    now[0] = 4.9
    policies.identity_statements(CREDENTIAL)
    assert iam.calls == 1
    now[0] = 5.0
    policies.identity_statements(CREDENTIAL)
    assert iam.calls == 2


def test_an_unreadable_role_is_an_error_and_not_an_empty_policy():
    """An outage of IAM is told from a refusal, and is not kept."""
    iam = FakeIam()
    iam.down = True
    policies = IamPolicies(iam, FakeLambda({}))
    with pytest.raises(PolicyReadError, match="edge-role could not be read: connection refused"):
        policies.identity_statements(CREDENTIAL)
    iam.down = False
    assert policies.identity_statements(CREDENTIAL)


def test_a_permissions_boundary_is_refused_rather_than_ignored():
    """A boundary narrows what the policies allow; ignoring it would allow too much."""
    with pytest.raises(PolicyReadError, match="permissions boundary"):
        IamPolicies(FakeIam(boundary=True), FakeLambda({})).identity_statements(CREDENTIAL)


def test_static_credentials_are_added_replaced_and_removed():
    """The registry knows exactly the keys that were handed out."""
    registry = StaticCredentials()
    assert registry.lookup(CREDENTIAL.access_key_id) is None
    registry.add(CREDENTIAL)
    newer = dataclasses.replace(CREDENTIAL, session_token="newer")
    registry.add(newer)
    assert registry.lookup(CREDENTIAL.access_key_id) is newer
    registry.remove(CREDENTIAL.access_key_id)
    registry.remove("unknown")
    assert registry.lookup(CREDENTIAL.access_key_id) is None


def test_static_policies_answer_by_role_and_function():
    """What was written down for one role or function applies to that one alone."""
    policies = StaticPolicies(by_role={"edge-role": [allow()]}, by_function={FUNCTION_ARN: [allow(Principal="*")]})
    assert policies.identity_statements(CREDENTIAL) == [allow()]
    assert policies.identity_statements(dataclasses.replace(CREDENTIAL, role_name="other")) == []
    assert policies.resource_statements(FUNCTION_ARN) == [allow(Principal="*")]
    assert policies.resource_statements(f"{FUNCTION_ARN}:live") == []


def test_a_role_id_that_nobody_told_is_stable_and_of_iams_form():
    """The ids callerId and userId look like AWS's even where the role's id is unknown."""
    user_id = dataclasses.replace(CREDENTIAL, role_id="").user_id
    assert user_id == dataclasses.replace(CREDENTIAL, role_id="").user_id
    role_id, session = user_id.split(":")
    assert (len(role_id), role_id[:4], session) == (21, "AROA", "us-east-1.edge")


def test_documents_may_hold_one_statement_or_many():
    """IAM accepts both forms; Lambda answers with text."""
    assert statements_of({"Statement": allow()}) == [allow()]
    assert statements_of(json.dumps({"Statement": [allow(), deny()]})) == [allow(), deny()]
    assert statements_of({}) == []


def test_credentials_do_not_print_their_secrets():
    """Neither the secret key nor the session token shows."""
    printed = repr(CREDENTIAL)
    assert isinstance(CREDENTIAL, Credential)
    assert CREDENTIAL.secret_access_key not in printed
    assert CREDENTIAL.session_token not in printed
