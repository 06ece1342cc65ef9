"""Protect a Lambda function URL with Cognito and Lambda@Edge, the usual way.

CloudFront calls this function on every origin request. It reads the user pool's ids from Parameter Store, checks the ID
token in ``Authorization: Bearer ...`` with python-jose, and signs the request with botocore, so that the function URL can
stay on ``AWS_IAM``. Whatever can be kept between requests is kept: clients, connections, parameters and keys.

    pip install boto3 requests "python-jose[cryptography]"
"""
# mypy: ignore-errors

import base64
import hashlib
import os
import time

import boto3
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from jose import JWTError, jwt

PREFIX = os.environ.get("PARAMETER_PREFIX", "/cognito-edge-gateway")
REGION = os.environ.get("PARAMETER_REGION", "us-east-1")
CACHE_SECONDS = 300

session = boto3.Session()
ssm = session.client("ssm", region_name=REGION)
credentials = session.get_credentials()
http = requests.Session()
cache = {}


def cached(name, load):
    """Keep what ``load()`` returns for five minutes."""
    value, expires = cache.get(name, (None, 0))
    if time.time() >= expires:
        value = load()
        cache[name] = (value, time.time() + CACHE_SECONDS)
    return value


def load_parameters():
    answer = ssm.get_parameters(Names=[f"{PREFIX}/user-pool-id", f"{PREFIX}/client-id"])
    return {parameter["Name"].rpartition("/")[2]: parameter["Value"] for parameter in answer["Parameters"]}


def load_keys(user_pool_id):
    region = user_pool_id.split("_")[0]
    cognito = os.environ.get(
        "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", f"https://cognito-idp.{region}.amazonaws.com"
    )
    answer = http.get(f"{cognito}/{user_pool_id}/.well-known/jwks.json", timeout=2)
    answer.raise_for_status()
    return {key["kid"]: key for key in answer.json()["keys"]}


def verify(token):
    """Return the claims of a valid ID token, or raise ``JWTError``."""
    parameters = cached("parameters", load_parameters)
    user_pool_id = parameters["user-pool-id"]
    keys = cached("keys", lambda: load_keys(user_pool_id))
    key = keys.get(jwt.get_unverified_header(token)["kid"])
    if key is None:
        raise JWTError("Unknown key")
    claims = jwt.decode(
        token,
        key,
        algorithms=["RS256"],
        audience=parameters["client-id"],
        issuer=f"https://cognito-idp.{user_pool_id.split('_')[0]}.amazonaws.com/{user_pool_id}",
        options={"verify_at_hash": False, "require_aud": True, "require_iss": True, "require_exp": True},
    )
    if claims.get("token_use") != "id":
        raise JWTError("Not an ID token")
    return claims


def sign(request):
    """Add SigV4 headers for the function URL to CloudFront's request."""
    host = request["origin"]["custom"]["domainName"]
    body = base64.b64decode(request["body"]["data"])
    url = f"https://{host}{request['uri']}"
    if request["querystring"]:
        url += "?" + request["querystring"]
    headers = {"Host": host, "X-Amz-Content-SHA256": hashlib.sha256(body).hexdigest()}
    aws_request = AWSRequest(method=request["method"], url=url, data=body, headers=headers)
    SigV4Auth(credentials.get_frozen_credentials(), "lambda", host.split(".")[2]).add_auth(aws_request)
    for name, value in aws_request.headers.items():
        request["headers"][name.lower()] = [{"key": name, "value": value}]


def unauthorized(reason):
    return {
        "status": "401",
        "statusDescription": "Unauthorized",
        "headers": {"www-authenticate": [{"key": "WWW-Authenticate", "value": "Bearer"}]},
        "body": reason,
    }


def handler(event, context):  # noqa: ARG001  Lambda passes both
    request = event["Records"][0]["cf"]["request"]
    try:
        scheme, _, token = request["headers"]["authorization"][0]["value"].partition(" ")
        if scheme.lower() != "bearer":
            return unauthorized("Send a bearer token")
        verify(token)
    except (KeyError, JWTError) as error:
        return unauthorized(str(error))
    sign(request)
    return request
