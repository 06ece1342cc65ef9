"""The gateway's own signature at ministack's IAM-enforced function URL: a server that nobody here wrote."""

import contextlib
import http.client
import io
import json
import os
import socket
import subprocess
import time
import zipfile

import boto3
import pytest
from cognito_edge.sigv4 import Credentials
from cognito_edge_local.launcher.places import CHECKOUT

from tests.support.events import headers_of, is_forwarded, make_event
from tests.support.gateways import make_offline_system, make_settings

REGION = "us-east-1"
ROOT = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}


@contextlib.contextmanager
def running_ministack(folder):
    """Start ministack as it is, without the launcher's guard around it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "AUTH": "true",
        "IOT_MTLS_ENABLED": "0",
    }
    command = [str(CHECKOUT / ".venv-emulator" / "bin" / "python"), "-m", "ministack"]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT) as process,
    ):
        try:
            deadline = time.monotonic() + 30
            while True:
                assert process.poll() is None
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield port
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """(port, URL's host, credentials of a role that may call it)."""
    with running_ministack(tmp_path_factory.mktemp("ministack")) as port:
        clients = {
            name: boto3.client(name, endpoint_url=f"http://127.0.0.1:{port}", **ROOT)
            for name in ("iam", "lambda", "sts")
        }
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ],
        }
        role = clients["iam"].create_role(RoleName="edge", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("f.py", "def handler(event, context):\n    return {'rawPath': event['rawPath']}\n")
        function = clients["lambda"].create_function(
            FunctionName="f", Runtime="python3.13", Role=role, Handler="f.handler", Code={"ZipFile": code.getvalue()}
        )["FunctionArn"]
        url = clients["lambda"].create_function_url_config(FunctionName="f", AuthType="AWS_IAM")["FunctionUrl"]
        statement = {
            "Effect": "Allow",
            "Action": ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"],
            "Resource": function,
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        clients["iam"].put_role_policy(RoleName="edge", PolicyName="invoke", PolicyDocument=document)
        given = clients["sts"].assume_role(RoleArn=role, RoleSessionName="edge")["Credentials"]
        credentials = Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
        yield port, url.removeprefix("https://").strip("/"), credentials


def signed(server, *, body=b'{"a": 1}', uri="/api/caf\u00e9/x%20y", querystring="b=2&a=1+1&x[]=z"):
    """Have the gateway sign a request; return what goes on the wire."""
    _, host, credentials = server
    system = make_offline_system({"version": 1, "routes": [{"path": "/*", "allow": "anyone"}]}, credentials=credentials)
    event = make_event(method="POST", uri=uri, querystring=querystring, body=body, origin=host)
    result = system(event, now=time.time())
    assert is_forwarded(result), result
    headers = headers_of(result)
    wanted = ("host", "authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256")
    return result["uri"], result["querystring"], {name: headers[name] for name in wanted}, body


def send(server, path, query, headers, body):
    """Send it to ministack, exactly so."""
    connection = http.client.HTTPConnection("127.0.0.1", server[0], timeout=20)
    try:
        connection.putrequest("POST", f"{path}?{query}", skip_host=True, skip_accept_encoding=True)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_the_gateways_signature_is_accepted(server):
    """Path with escapes, a query that signers disagree on, a body."""
    assert make_settings().signing == "sigv4"
    status, body = send(server, *signed(server))
    assert status == 200, body
    assert b"rawPath" in body


def changed(text: str, at: int = -1) -> str:
    """Flip the lowest bit of one character."""
    at %= len(text)
    return text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]


@pytest.mark.parametrize("part", ["path", "query", "payload hash", "date", "session token", "signature"])
def test_one_changed_bit_is_refused(server, part):
    """Whatever of the signed request is touched.

    The body's own bytes are the one thing that ministack 1.5.33 does not compare with the signed hash; the local door
    does (test_function_url.py), as Lambda does.
    """
    path, query, headers, body = signed(server)
    match part:
        case "path":
            path = changed(path)
        case "query":
            query = changed(query)
        case "payload hash":
            headers["x-amz-content-sha256"] = changed(headers["x-amz-content-sha256"])
        case "date":
            headers["x-amz-date"] = changed(headers["x-amz-date"], -2)
        case "session token":
            headers["x-amz-security-token"] = changed(headers["x-amz-security-token"], 5)
        case "signature":
            headers["authorization"] = changed(headers["authorization"])
    status, answer = send(server, path, query, headers, body)
    assert status == 403, answer
