"""The emulator is shut in: it answers this user's programs on this machine alone, and leaves nothing behind."""

import hmac
import io
import json
import os
import signal
import socket
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest
import requests
from botocore.exceptions import ClientError
from cognito_edge_local import peer
from cognito_edge_local.emulator import process as emulator
from cognito_edge_local.emulator import program
from cognito_edge_local.launcher import ports

from tests.local import stranger
from tests.local.emulator_support import ANY_PORT, BY_PUBLIC_KEY, PYTHON, running_emulator
from tests.local.loop_thread import LoopThread
from tests.support.http_fake import Answer, HttpFake, json_answer

SLEEPER = """
import os, pathlib, time
def handler(event, context):
    pathlib.Path(event["file"]).write_text(str(os.getpid()))
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """An emulator of this module's own."""
    with running_emulator(tmp_path_factory.mktemp("state")) as found:
        yield found


def _health(running, **headers):
    return requests.get(f"{running.url}/_ministack/health", headers=headers, timeout=5)


def test_root_key_is_accepted(running):
    """The client that the launcher uses is the emulator's root user."""
    assert running.client("sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{emulator.ACCOUNT_ID}:root"


def test_unknown_key_is_refused(running):
    """AUTH is on: a made-up key gets nothing."""
    client = emulator.root_client("ssm", running.url, key=emulator.RootKey("AKIAIOSFODNN7EXAMPLE", "x"))
    with pytest.raises(ClientError) as refused:
        client.get_parameters(Names=["/x"])
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] in {400, 403}


def test_clients_ignore_the_developers_aws_settings(running, monkeypatch):
    """Profile, endpoint, region and proxy of the machine have no effect on what is meant for the emulator."""
    for name in ("AWS_ENDPOINT_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    emulator._session.cache_clear()
    client = emulator.root_client("sts", running.url)
    assert client.meta.region_name == emulator.REGION
    assert client.get_caller_identity()["Account"] == emulator.ACCOUNT_ID


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_program_is_answered_under_both_loopback_names(running, host):
    """What a program sends gets through."""
    assert _health(running, Host=f"{host}:{running.port}").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:{port}.evil.example"},
    ],
    ids=str,
)
def test_web_page_is_refused(running, headers):
    """A page cannot use the public root key: neither across origins nor by a name rebound to 127.0.0.1."""
    answer = _health(running, **{name: value.format(port=running.port) for name, value in headers.items()})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_preflight_is_refused(running):
    """Without a CORS answer a browser does not even send a page's signed request."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = requests.options(running.url, headers=headers, timeout=5)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_server_takes_own_user_only():
    """The sockets that the server makes for itself become listeners that refuse other users."""

    class Config:
        def create_sockets(self):
            return SimpleNamespace(insecure_sockets=[socket.create_server(("127.0.0.1", 0))])

    program.own_user_only(Config, peer)
    (made,) = Config().create_sockets().insecure_sockets
    with made:
        assert type(made) is peer.OwnUserListener
        with socket.create_connection(made.getsockname()):
            made.accept()[0].close()


CREATE_ROLE = urlencode({"Action": "CreateRole", "RoleName": "x", "AssumeRolePolicyDocument": "{}"}).encode()


@stranger.only_root_can_play_one
@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        ("GET", "/_ministack/health", {}, b""),
        ("GET", "/_ministack/ready", {}, b""),
        ("POST", "/_ministack/reset", {}, b""),
        ("POST", "/", {"Content-Type": "application/x-www-form-urlencoded"}, CREATE_ROLE),
        ("POST", "/2015-03-31/functions/x/invocations", {}, b"{}"),
        ("GET", "/us-east-1_x/.well-known/jwks.json", {}, b""),
        ("POST", "/_gateway/rotate-keys/us-east-1_x", {}, b""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_users_program_is_refused_whatever_it_asks(running, method, path, headers, body):
    """Also with root's public key."""
    for signed in ({}, {"Authorization": BY_PUBLIC_KEY.format("iam")}):
        status, said = stranger.ask(running.port, method, path, {**headers, **signed}, body)
        assert (status, said) in {
            (403, peer._REFUSAL_TEXT.decode()),
            (0, "BrokenPipeError"),
            (0, "ConnectionResetError"),
        }
    assert running.client("iam").list_roles()["Roles"] == []


@pytest.mark.parametrize("proof", ["", "0" * 64, "{nonce}", "{right}"])
def test_other_program_on_the_port_is_not_taken_for_the_emulator(proof):
    """Whoever takes the port just before the emulator would be told the password and get every event."""

    def answer(asked):
        if asked.target == "/_ministack/ready":
            return json_answer({"status": "completed"})
        nonce = asked.target.rpartition("/")[2]
        right = hmac.new(b"key", nonce.encode(), "sha256").hexdigest()
        return Answer(200, proof.format(nonce=nonce, right=right).encode())

    with HttpFake(answer) as squatter:
        assert emulator._ready(squatter.port, "key") is (proof == "{right}")


def test_only_its_port_on_loopback_is_open(running):
    """It has an MQTT broker on 0.0.0.0 by default; here one loopback port is all."""
    family = _family(running.child.pid)
    inodes = {inode for pid in family for inode in ports._socket_inodes(Path("/proc") / str(pid))}
    listening = [
        columns[1]
        for table in ("tcp", "tcp6")
        for columns in (line.split() for line in (Path("/proc/net") / table).read_text().splitlines()[1:])
        if columns[3] == "0A" and columns[9] in inodes
    ]
    assert listening == [f"0100007F:{running.port:04X}"]


def test_environment_takes_nothing_from_the_launcher(running, monkeypatch):
    """The developer's variables, keys among them, stay out of the process that runs functions."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "real")
    assert not set(emulator.environment(1, Path("/x")).items()) & {("AWS_SESSION_TOKEN", "real")}
    (_, pid) = _family(running.child.pid)
    names = {item.partition("=")[0] for item in (Path("/proc") / str(pid) / "environ").read_text().split("\0")}
    assert names - {""} == set(emulator.environment(1, Path("/x")))


def test_stop_removes_processes_and_files(tmp_path):
    """Keys of user pools and functions' code are gone with it."""
    with running_emulator(tmp_path) as running:
        running.client("s3").create_bucket(Bucket="something")
        family = _family(running.child.pid)
        assert running.folder.exists()
    assert not running.folder.exists()
    assert not [pid for pid in family if (Path("/proc") / str(pid)).exists()]


def test_busy_function_does_not_outlive_a_killed_emulator(tmp_path):
    """A worker in the middle of a request does not notice that its emulator is gone; the guard does."""
    with running_emulator(tmp_path) as running:
        worker = _busy_worker(running, tmp_path / "pid")
        (_, pid) = _family(running.child.pid)[:2]
        os.kill(pid, signal.SIGKILL)
        _wait_for(lambda: not (Path("/proc") / str(worker)).exists(), "the worker is still there")


def test_missing_interpreter_is_an_error_that_names_it(tmp_path):
    """Not a traceback, and not thirty seconds of waiting."""
    with LoopThread() as loop, pytest.raises(emulator.EmulatorError, match=r"cannot run .*no-python"):
        loop.run(emulator.start(tmp_path / "no-python", tmp_path, ports.reserve(ANY_PORT)))


def test_taken_port_is_an_error(tmp_path):
    """Whoever took the port between the check and the start is not mistaken for the emulator."""
    with ports.listen(ANY_PORT) as taken, LoopThread() as loop, pytest.raises(emulator.EmulatorError, match="in use"):
        loop.run(emulator.start(PYTHON, tmp_path, taken.getsockname()[1]))


def _family(guard: int) -> list[int]:
    """Return the guard and its descendants, parents first."""
    found = [guard]
    for pid in found:
        found += map(int, (Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text().split())
    return found


def _busy_worker(running, file: Path) -> int:
    """Deploy a function, invoke it, and return its worker's process id while it is at work."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", SLEEPER)
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = running.client("iam").create_role(RoleName="sleeper", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    client = running.client("lambda")
    client.create_function(
        FunctionName="sleeper",
        Runtime="python3.13",
        Handler="index.handler",
        Role=role,
        Code={"ZipFile": code.getvalue()},
        Timeout=900,
    )
    client.invoke(FunctionName="sleeper", InvocationType="Event", Payload=b'{"file": "%s"}' % str(file).encode())
    _wait_for(lambda: file.exists() and file.read_text(), "the function did not start")
    return int(file.read_text())


def _wait_for(condition, what: str, limit_s: float = 15.0) -> None:
    give_up = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < give_up, what
        time.sleep(0.02)
