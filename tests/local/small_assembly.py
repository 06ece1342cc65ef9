"""A small cloud assembly in the form that CDK writes, with every kind of part that ``local/cognito_edge_local/emulator/deploy.py`` has to deal with."""

import json
from pathlib import Path
from typing import Any

from cognito_edge_local.emulator.deploy import STACK_NAME

_CODE = """
import base64
import hashlib

def handler(event, context):
    if event.get("fail"):
        raise ValueError("asked to fail")
    return {"echo": event, "function": context.function_name}
"""

_ROLE_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": ["lambda.amazonaws.com", "edgelambda.amazonaws.com"]},
            "Action": "sts:AssumeRole",
        }
    ],
}
_BUCKET = {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"}


def template() -> dict[str, Any]:
    """Return the template: a pool with a client, a parameter, two functions, one with a URL, and the edge role."""
    code = {"S3Bucket": _BUCKET, "S3Key": "function.zip"}
    return {
        "Parameters": {
            "BootstrapVersion": {
                "Type": "AWS::SSM::Parameter::Value<String>",
                "Default": "/cdk-bootstrap/hnb659fds/version",
            }
        },
        "Resources": {
            "Pool": {
                "Type": "AWS::Cognito::UserPool",
                "Properties": {"AdminCreateUserConfig": {"AllowAdminCreateUserOnly": True}},
            },
            "Client": {
                "Type": "AWS::Cognito::UserPoolClient",
                "Properties": {
                    "UserPoolId": {"Ref": "Pool"},
                    "AllowedOAuthFlowsUserPoolClient": True,
                    "AllowedOAuthFlows": ["code"],
                    "AllowedOAuthScopes": ["openid", "email"],
                    "CallbackURLs": ["http://localhost:8976/callback"],
                    "LogoutURLs": ["http://localhost:8976/"],
                    "ExplicitAuthFlows": ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
                    "SupportedIdentityProviders": ["COGNITO"],
                },
            },
            "Branding": {
                "Type": "AWS::Cognito::ManagedLoginBranding",
                "Properties": {"UserPoolId": {"Ref": "Pool"}, "ClientId": {"Ref": "Client"}},
            },
            "PoolId": {
                "Type": "AWS::SSM::Parameter",
                "DependsOn": ["Branding"],
                "Properties": {
                    "Name": "/cognito-edge-gateway/user-pool-id",
                    "Type": "String",
                    "Value": {"Ref": "Pool"},
                },
            },
            "EdgeRole": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "AssumeRolePolicyDocument": _ROLE_TRUST,
                    "Policies": [
                        {
                            "PolicyName": "parameters",
                            "PolicyDocument": {
                                "Version": "2012-10-17",
                                "Statement": [
                                    {
                                        "Effect": "Allow",
                                        "Action": "ssm:GetParameters",
                                        "Resource": {
                                            "Fn::Sub": "arn:aws:ssm:${AWS::Region}:${AWS::AccountId}:parameter/cognito-edge-gateway/*"
                                        },
                                    }
                                ],
                            },
                        }
                    ],
                },
            },
            "BackendRole": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": _ROLE_TRUST}},
            "Backend": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Runtime": "python3.13",
                    "Handler": "index.handler",
                    "Role": {"Fn::GetAtt": ["BackendRole", "Arn"]},
                    "Code": code,
                },
            },
            "BackendUrl": {
                "Type": "AWS::Lambda::Url",
                "Properties": {"TargetFunctionArn": {"Fn::GetAtt": ["Backend", "Arn"]}, "AuthType": "AWS_IAM"},
            },
            "MayInvokeUrl": {
                "Type": "AWS::Lambda::Permission",
                "Properties": {
                    "Action": "lambda:InvokeFunctionUrl",
                    "FunctionName": {"Fn::GetAtt": ["Backend", "Arn"]},
                    "Principal": {"Fn::GetAtt": ["EdgeRole", "Arn"]},
                    "FunctionUrlAuthType": "AWS_IAM",
                },
            },
            "Edge": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Runtime": "python3.13",
                    "Handler": "index.handler",
                    "Role": {"Fn::GetAtt": ["EdgeRole", "Arn"]},
                    "Code": code,
                },
            },
            "EdgeVersion": {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": {"Ref": "Edge"}}},
        },
        "Outputs": {
            "UserPoolId": {"Value": {"Ref": "Pool"}},
            "ClientId": {"Value": {"Ref": "Client"}},
            "ParameterPrefix": {"Value": "/cognito-edge-gateway"},
            "EdgeRoleArn": {"Value": {"Fn::GetAtt": ["EdgeRole", "Arn"]}},
            "EdgeFunctionVersionArn": {"Value": {"Ref": "EdgeVersion"}},
            "FunctionUrlApi": {"Value": {"Fn::GetAtt": ["BackendUrl", "FunctionUrl"]}},
        },
    }


def write_assembly(folder: Path, body: dict[str, Any] | None = None) -> Path:
    """Write the assembly of *body* (by default ``template()``) into *folder*; return the folder."""
    code = folder / "asset.function"
    code.mkdir(parents=True, exist_ok=True)
    (code / "index.py").write_text(_CODE, encoding="utf-8")
    manifest = {
        "version": "44.0.0",
        "files": {
            "function": {
                "displayName": "function",
                "source": {"path": "asset.function", "packaging": "zip"},
                "destinations": {
                    "current": {
                        "bucketName": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}",
                        "objectKey": "function.zip",
                    }
                },
            }
        },
        "dockerImages": {},
    }
    (folder / f"{STACK_NAME}.assets.json").write_text(json.dumps(manifest), encoding="utf-8")
    (folder / f"{STACK_NAME}.template.json").write_text(json.dumps(body or template()), encoding="utf-8")
    return folder
