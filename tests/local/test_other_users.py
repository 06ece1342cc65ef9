"""The whole system among other users of the machine, and under other names: what they get, and what its own user gets."""

import base64
import io
import json
import os
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
import requests
from cognito_edge_local import peer
from cognito_edge_local.command import main
from cognito_edge_local.emulator import process as emulator
from cognito_edge_local.launcher import ports
from cognito_edge_local.origins.principals import Credential

from tests.local import stranger
from tests.local.door_support import exchange, sign_botocore
from tests.local.emulator_support import BY_PUBLIC_KEY
from tests.support import running_system as system

REFUSED = {(403, peer._REFUSAL_TEXT.decode()), (0, "BrokenPipeError"), (0, "ConnectionResetError")}
"""The sentence; or, where more was sent than the refusing end waits for, a closed connection."""

TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
CODE = "import os\ndef handler(event, context):\n    return {'uid': os.getuid()}\n"
ROLE = {
    "Action": "CreateRole",
    "Version": "2010-05-08",
    "RoleName": "x",
    "AssumeRolePolicyDocument": json.dumps({"Version": "2012-10-17", "Statement": [TRUST]}),
}


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """A system that serves, with one more name."""
    with system.running(tmp_path_factory.mktemp("system"), "--allow-host", "my.test") as found:
        yield found


def port_of(url):
    return urlsplit(url).port


def listening_ports(found):
    """Return every port that any process of the system listens on."""
    pids = [found.process.pid, *found.look()]
    inodes = {inode for pid in pids for inode in ports._socket_inodes(Path("/proc") / str(pid))}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].partition(":")[2], 16) for row in rows if row[3] == "0A" and row[9] in inodes}


def calls():
    """Yield method, path, headers and body of each step to code of one's own in the emulator, with its public key."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.py", CODE)
    form = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": BY_PUBLIC_KEY.format("iam")}
    yield "POST", "/", form, urlencode(ROLE).encode()
    function = {
        "FunctionName": "mine",
        "Runtime": "python3.13",
        "Role": f"arn:aws:iam::{emulator.ACCOUNT_ID}:role/x",
        "Handler": "index.handler",
        "Code": {"ZipFile": base64.b64encode(archive.getvalue()).decode()},
    }
    signed = {"Content-Type": "application/json", "Authorization": BY_PUBLIC_KEY.format("lambda")}
    yield "POST", "/2015-03-31/functions", signed, json.dumps(function).encode()
    yield "POST", "/2015-03-31/functions/mine/invocations", signed, b"{}"


# --- other users ----------------------------------------------------------------------------------------------------------


@stranger.only_root_can_play_one
def test_other_user_runs_no_code(serving):
    """Port and public key are all that it takes, for this user; another one gets no step far."""
    port = port_of(serving.outputs["aws_endpoint_url"])
    for method, path, headers, body in calls():
        assert stranger.ask(port, method, path, headers, body) in REFUSED
    functions = emulator.root_client("lambda", serving.outputs["aws_endpoint_url"])
    assert "mine" not in {found["FunctionName"] for found in functions.list_functions()["Functions"]}


def test_own_user_does(serving):
    """The same steps: whoever uses the emulator with boto3 and ``test`` goes on doing so."""
    url = serving.outputs["aws_endpoint_url"]
    answers = [
        requests.request(method, url + path, headers=headers, data=body, timeout=30)
        for method, path, headers, body in calls()
    ]
    assert [answer.status_code for answer in answers] == [200, 201, 200]
    assert answers[-1].json() == {"uid": os.getuid()}


@stranger.only_root_can_play_one
def test_every_port_is_shut_to_other_users_but_the_gateways_and_the_sign_in_fronts(serving):
    """Emulator, doors of functions and bucket, AWS as the edge sees it, Runtime API, faults, trace: found by looking."""
    requests.get(serving.outputs["gateway_url"] + "/api/whoami", timeout=30)
    open_to_all = {port_of(serving.outputs[name]) for name in ("gateway_url", "login_url")}
    listed = {port_of(serving.outputs["aws_endpoint_url"]), *map(port_of, serving.outputs["function_urls"].values())}
    for name in ("control.json", "trace.json"):
        listed.add(port_of(json.loads((serving.state_dir / name).read_bytes())["url"]))
    found = listening_ports(serving)
    assert found > open_to_all | listed
    assert len(found - open_to_all - listed) >= 3  # a bucket, AWS as the edge sees it, a Runtime API
    answers = {port: stranger.ask(port) for port in found}
    assert {port for port, answer in answers.items() if answer not in REFUSED} == open_to_all
    assert {answers[port][0] for port in open_to_all} == {200}
    for port in found - open_to_all:
        own = requests.get(f"http://127.0.0.1:{port}/", timeout=30)
        assert own.content != peer._REFUSAL_TEXT


@stranger.only_root_can_play_one
@pytest.mark.parametrize(("name", "path"), [("control.json", "/faults"), ("trace.json", "/requests")])
def test_secret_is_of_no_use_to_other_users(serving, name, path):
    """Should one have got about."""
    published = json.loads((serving.state_dir / name).read_bytes())
    headers = {"Authorization": f"Bearer {published['secret']}"}
    assert requests.get(published["url"] + path, headers=headers, timeout=30).status_code == 200
    assert stranger.ask(port_of(published["url"]), "GET", path, headers) in REFUSED


@stranger.only_root_can_play_one
def test_other_user_reads_no_file(serving):
    """The folder is shut, whoever knows what is in it."""
    code = "import sys\ntry:\n    print(open(sys.argv[1]).read())\nexcept PermissionError:\n    print('refused')"
    for name in ("outputs.json", "control.json", "edge.log"):
        assert stranger.run(code, str(serving.state_dir / name)) == "refused\n"


def test_every_file_is_closed_to_others(serving):
    """The emulator's keys and unpacked functions too; no file is executable."""
    functions = emulator.root_client("lambda", serving.outputs["aws_endpoint_url"])
    for function in functions.list_functions()["Functions"]:
        if function["FunctionName"].endswith("ApiFunction"):
            functions.invoke(FunctionName=function["FunctionName"], Payload=b"{}")
    found = {path: stat.S_IMODE(path.lstat().st_mode) for path in (serving.state_dir, *serving.state_dir.rglob("*"))}
    assert {path for path, mode in found.items() if path.is_dir() and mode != 0o700} == set()
    assert {path for path, mode in found.items() if not path.is_dir() and mode != 0o600} == set()
    assert [path for path in found if path.name == "code.zip" or path.suffix == ".pem"]


def test_emulators_public_key_opens_no_door(serving):
    """The doors know the edge role's keys and CloudFront's, which no one else is told."""
    public = Credential("test", "test", None, "arn:aws:iam::000000000000:root", "root", emulator.ACCOUNT_ID)
    for url in serving.outputs["function_urls"].values():
        host = urlsplit(url).netloc
        signed = sign_botocore("GET", "/", host=host, credential=public)
        assert exchange(port_of(url), "GET", "/", list(signed.headers.items())).status == 403


# --- other names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("127.0.0.1:{port}", True),
        ("localhost:{port}", True),
        ("my.test:{port}", True),
        ("my.test", True),
        ("evil.example", False),
        ("evil.example:{port}", False),
        ("127.0.0.1", False),
        ("localhost:1", False),
        ("your.test:{port}", False),
    ],
)
def test_gateway_and_sign_in_front_answer_to_their_names_alone(serving, host, answered):
    """The site, the API and the sign-in page; a page whose name was rebound to 127.0.0.1 cannot read them."""
    for name, path, status in (
        ("gateway_url", "/", 200),
        ("gateway_url", "/api/whoami", 401),
        ("login_url", "/", 200),
        ("login_url", "/.well-known/openid-configuration", 200),
    ):
        url = serving.outputs[name]
        answer = requests.get(url + path, headers={"Host": host.replace("{port}", str(port_of(url)))}, timeout=30)
        assert answer.status_code == (status if answered else 403)
        assert answered or "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "name",
    [
        "http://my.test",
        "my.test:8080",
        "my.test/",
        "my test",
        "",
        ".",
        "my.test.",
        "-my.test",
        "mÿ.test",
        "*",
        "a" * 64,
    ],
)
def test_name_that_is_none_is_refused(capsys, name):
    """The message says what was expected."""
    assert main(["--allow-host=good.test", f"--allow-host={name}"]) == 2
    assert "expected a host name such as my.test, without scheme, port, path or final dot" in capsys.readouterr().err


# --- where the system does not tell whose a connection is ------------------------------------------------------------------

BY_KEY = """
import asyncio, os, sys
from pathlib import Path
from cognito_edge_local.launcher import places
from cognito_edge_local.stack import Options, run
os.umask(0o077)
options = Options(
    port=0, login_port=0, emulator_port=0, function_url_port=0,
    state_dir=Path(sys.argv[1]), cache_dir=places.cache_dir(), quiet=True, by_key=True,
)
sys.exit(asyncio.run(run(options)))
"""


@pytest.fixture(scope="module")
def by_key(tmp_path_factory):
    """A system as it is where only a key keeps others out: its outputs."""
    state = tmp_path_factory.mktemp("by-key") / "state"
    with subprocess.Popen([sys.executable, "-c", BY_KEY, str(state)], cwd=system.PROJECT) as launcher:
        try:
            give_up = time.monotonic() + system.START_LIMIT_S
            while not (state / "outputs.json").exists():
                assert launcher.poll() is None
                assert time.monotonic() < give_up
                time.sleep(0.02)
            yield state
        finally:
            launcher.terminate()


def script(state, *command):
    environment = {**os.environ, "GATEWAY_STATE_DIR": str(state)}
    done = subprocess.run(
        [sys.executable, *command], cwd=system.PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_system_by_key_serves_its_own_user(by_key):
    """Scripts read the key; edge, doors and functions have keys of their own."""
    outputs = json.loads((by_key / "outputs.json").read_bytes())
    key = emulator.RootKey(outputs["aws_access_key_id"], outputs["aws_secret_access_key"])
    assert emulator.root_client("sts", outputs["aws_endpoint_url"], key=key).get_caller_identity()["Account"]
    headers = {"Authorization": f"Bearer {script(by_key, 'scripts/get_token.py', '--local')}"}
    for path in ("/api/whoami", "/api/books"):
        assert requests.get(outputs["gateway_url"] + path, headers=headers, timeout=30).status_code == 200
    assert '"routes"' in script(by_key, "scripts/policy.py", "show", "--local")
    assert "jwks" in script(by_key, "scripts/fault.py", "rotate-keys")


def test_system_by_key_runs_no_code_for_whoever_lacks_it(by_key):
    """The listeners take every user's connections here: the random key alone decides, the public one is refused."""
    url = json.loads((by_key / "outputs.json").read_bytes())["aws_endpoint_url"]
    for method, path, headers, body in calls():
        answer = requests.request(method, url + path, headers=headers, data=body, timeout=30)
        assert answer.status_code == 403
        assert "access key of this start" in answer.text
