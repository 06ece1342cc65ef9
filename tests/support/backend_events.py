"""Function-URL events, payload format 2.0, as Lambda builds them for an AWS_IAM URL behind the gateway.

``make_event()`` is valid and anonymous; ``make_event(headers=identity_headers())`` is a signed-in user; each test breaks one
thing. Shape after https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads.
"""

import base64
import json
import urllib.parse

ACCOUNT_ID = "123456789012"
ROLE_NAME = "CognitoEdgeGateway-EdgeRole-1A2B3C4D"
EDGE_ARN = f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{ROLE_NAME}/us-east-1.CognitoEdgeGateway-Edge"
SESSION_TOKEN = "IQoJb3JpZ2luX2VjEXAMPLEsessionTOKEN=="
REQUEST_ID = "e1506fd5-9e7b-434f-bd42-4f8fa224b599"
ISSUER = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Example01"

_BARE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~@:/+=")


def encode(value):
    """Encode one value as contract C7 puts it, written from the contract and not from the code under test."""
    return "".join(chr(byte) if byte in _BARE else f"%{byte:02X}" for byte in value.encode())


def encode_claims(claims):
    """Return the unpadded base64url of the claims' JSON."""
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")


def identity_headers(**changes):
    """Return the identity headers of a signed-in user; a change of None leaves the header out."""
    headers = {
        "x-cognito-sub": "a3e4f5a6-1234-5678-9abc-def012345678",
        "x-cognito-username": "ada",
        "x-cognito-email": "ada@example.com",
        "x-cognito-groups": "admins,readers",
        "x-cognito-scopes": "openid tools/call",
        "x-cognito-client-id": "1h57kf5cpq17m0eml12EXAMPLE",
        "x-cognito-token-use": "id",
        "x-cognito-issuer": ISSUER,
        "x-cognito-claims": encode_claims({"sub": "a3e4f5a6-1234-5678-9abc-def012345678", "email_verified": True}),
    }
    headers |= {f"x-cognito-{name.replace('_', '-')}": value for name, value in changes.items()}
    return {name: value for name, value in headers.items() if value is not None}


def make_event(
    *,
    method="GET",
    path="/api/whoami",
    query="",
    headers=None,
    body=None,
    cookies=None,
    user_arn=EDGE_ARN,
    domain="api",
):
    """Return the event for one request; ``path`` and ``query`` as they stand on the wire.

    A body of bytes arrives base64-encoded and one of text as it is: Lambda decides that by content type. ``user_arn`` is
    the caller that Lambda established; None for a URL without AWS_IAM.
    """
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {
            "host": f"{domain}.lambda-url.us-east-1.on.aws",
            "user-agent": "curl/8.9.1",
            "via": "2.0 0123456789abcdef.cloudfront.net (CloudFront)",
            "x-amz-date": "20261121T112300Z",
            "x-amz-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "x-amz-security-token": SESSION_TOKEN,
            "x-forwarded-for": "203.0.113.7",
            **(headers or {}),
        },
        "requestContext": {
            "accountId": ACCOUNT_ID,
            "apiId": domain,
            "authentication": None,
            "domainName": f"{domain}.lambda-url.us-east-1.on.aws",
            "domainPrefix": domain,
            "http": {
                "method": method,
                "path": urllib.parse.unquote(path),
                "protocol": "HTTP/1.1",
                "sourceIp": "130.176.0.1",
                "userAgent": "curl/8.9.1",
            },
            "requestId": REQUEST_ID,
            "routeKey": "$default",
            "stage": "$default",
            "time": "21/Nov/2026:11:23:00 +0000",
            "timeEpoch": 1795260180000,
        },
        "isBase64Encoded": isinstance(body, bytes),
        "pathParameters": None,
        "stageVariables": None,
    }
    if user_arn is not None:
        event["requestContext"]["authorizer"] = {
            "iam": {
                "accessKey": "ASIAEXAMPLEKEY000000",
                "accountId": ACCOUNT_ID,
                "callerId": "AROAEXAMPLE:us-east-1.CognitoEdgeGateway-Edge",
                "cognitoIdentity": None,
                "principalOrgId": "aws:PrincipalOrgID",
                "userArn": user_arn,
                "userId": "AROAEXAMPLE:us-east-1.CognitoEdgeGateway-Edge",
            }
        }
    if query:
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
        event["queryStringParameters"] = {
            name: ",".join(value for other, value in pairs if other == name) for name, _ in pairs
        }
    if cookies:
        event["cookies"] = cookies
        event["headers"]["cookie"] = "; ".join(cookies)
    if body is not None:
        event["body"] = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    return event
