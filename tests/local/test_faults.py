"""The knobs: shut to all but this user's programs, transparent while nothing is set, and wrong as asked otherwise."""

import asyncio
import contextlib
import http.client
import json
import socket
import stat
import sys
import time
from types import SimpleNamespace

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError
from cognito_edge_cli import fault, stack
from cognito_edge_cli.main import main
from cognito_edge_local.emulator import deploy, faults
from cognito_edge_local.emulator import process as emulator
from cognito_edge_local.emulator.faults import AwsProxy, FaultError, Faults
from cognito_edge_local.emulator.faults_endpoint import ControlEndpoint
from cognito_edge_local.lambda_runtime.environments import EdgeRuntime
from cognito_edge_local.launcher import places, ports, serving

from tests.local.emulator_support import running_emulator
from tests.local.loop_thread import LoopThread
from tests.local.small_assembly import write_assembly
from tests.support.http_fake import Answer, HttpFake

PREFIX = "/faults-under-test"
POLICY = f"{PREFIX}/policy"


class RecordingEdge:
    """Stands in for the edge's processes and notes each restart's clock."""

    def __init__(self):
        self.restarts = []

    async def restart(self, *, clock_shift_s):
        self.restarts.append(clock_shift_s)


@contextlib.contextmanager
def served(loop, app, name):
    """Serve an app on a free port; gives its URL's port."""
    sock = ports.listen(ports.PortRequest(0, name, ""))
    made = app(sock.getsockname()[1])
    server = serving.Serving(serving.plain_config(made), sock, name)
    loop.run(server.start())
    try:
        yield made, f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        loop.run(server.stop())


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An emulator with a pool, and both endpoints in front of it."""
    with (
        running_emulator(tmp_path_factory.mktemp("state")) as running,
        LoopThread() as loop,
        contextlib.ExitStack() as up,
    ):
        deployment = deploy.deploy(running.client, write_assembly(tmp_path_factory.mktemp("assembly")))
        console = []
        knobs = Faults(
            ssm=running.client("ssm"),
            emulator_url=running.url,
            user_pool_id=deployment.output("UserPoolId"),
            parameter_prefix=PREFIX,
            console=console.append,
        )
        knobs.edge = RecordingEdge()
        _, aws = up.enter_context(served(loop, lambda _: AwsProxy(emulator_url=running.url, faults=knobs), "aws"))
        control, url = up.enter_context(served(loop, lambda port: ControlEndpoint(port=port, faults=knobs), "faults"))
        yield SimpleNamespace(
            emulator=running,
            ssm=running.client("ssm"),
            loop=loop,
            knobs=knobs,
            aws=aws,
            control=control,
            url=url,
            console=console,
            jwks=f"/{deployment.output('UserPoolId')}/.well-known/jwks.json",
        )


@pytest.fixture
def calm(world):
    """The same with every knob at rest, before and after."""
    rest = {**dict.fromkeys(faults.MODES, "ok"), "clock": 0}
    world.loop.run(world.knobs.apply(rest))
    world.knobs.edge.restarts.clear()
    yield world
    world.loop.run(world.knobs.apply(rest))


def turn(world, **changes):
    return world.loop.run(world.knobs.apply(changes))


def call(world, method="GET", path="/faults", **more):
    headers = {"Authorization": f"Bearer {world.control.secret}", **more.pop("headers", {})}
    headers = {name: value for name, value in headers.items() if value is not None}
    return requests.request(method, world.url + path, headers=headers, timeout=5, **more)


def edge_client(world, **wrong):
    """Return an SSM client that goes the edge's way and signs for it, with temporary credentials as the edge's are."""
    keys = world.emulator.client("sts").get_session_token()["Credentials"]
    return boto3.client(
        "ssm",
        endpoint_url=world.aws,
        region_name=emulator.REGION,
        config=Config(retries={"max_attempts": 0}, read_timeout=5, proxies={}),
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=wrong.get("secret", keys["SecretAccessKey"]),
        aws_session_token=keys["SessionToken"],
    )


# --- the control endpoint ------------------------------------------------------------------------------------------------


def test_who_has_the_secret_sees_and_turns_the_knobs(calm):
    """The accept half of everything below."""
    assert call(calm).json()["jwks"] == "ok"
    answer = call(calm, "POST", json={"jwks": "down", "ssm": "throttled"})
    assert answer.status_code == 200
    assert (answer.json()["jwks"], answer.json()["ssm"]) == ("down", "throttled")
    assert call(calm).json() == answer.json()
    assert "fault: jwks down, ssm throttled" in calm.console


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": None}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic dGVzdDp0ZXN0"}, 401),
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1"}, 421),
        ({"Host": "127.0.0.1:1"}, 421),
        ({"Host": "localhost:{port}"}, 421),
        ({"Origin": "http://127.0.0.1:{port}"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Mode": "cors"}, 403),
    ],
    ids=str,
)
def test_nobody_else_turns_anything(calm, headers, status):
    """Programs need the secret; a web page is refused even with it."""
    port = calm.url.rpartition(":")[2]
    headers = {name: value and value.replace("{port}", port) for name, value in headers.items()}
    answer = call(calm, "POST", headers=headers, json={"jwks": "down"})
    assert answer.status_code == status
    assert calm.knobs.modes["jwks"] == "ok"
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    assert calm.control.secret not in answer.text


def test_a_preflight_gets_no_permission(calm):
    """Without a CORS answer a browser does not send what a page asked for."""
    answer = requests.options(calm.url + "/faults", headers={"Origin": "https://evil.example"}, timeout=5)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"jwks": "sideways"}', "garbled"),
        (b'{"dns": "down"}', "credentials"),
        (b'{"clock": "late"}', "seconds"),
        (b'{"clock": true}', "seconds"),
        (b'{"clock": NaN}', "seconds"),
        (b'{"clock": 86401}', "86400"),
        (b'{"jwks": ["down"]}', "down"),
        (b'{"keys": "ok"}', "rotate"),
        (b'["jwks"]', "object"),
        (b"jwks=down", "Expecting"),
        (b"[" * 4000, ""),
        (b" " * 4097, "4096"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_what_does_not_exist_is_400_and_says_what_does(calm, body, named):
    """A person has typed it."""
    answer = call(calm, "POST", data=body)
    assert answer.status_code == 400
    assert named in answer.json()["error"]


def test_one_wrong_change_leaves_all_as_it_was(calm):
    """All or nothing, so that no test runs in a half-set world."""
    with pytest.raises(FaultError):
        turn(calm, jwks="down", clock=10, ssm="sideways")
    report = calm.knobs.report()
    assert (report["jwks"], report["clock"], calm.knobs.edge.restarts) == ("ok", 0, [])


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("DELETE", "/faults", 405)])
def test_nothing_else_is_there(calm, method, path, status):
    """One path, two methods."""
    assert call(calm, method, path).status_code == status


def test_the_secret_is_in_a_private_file_while_it_is_of_use_and_new_each_time(world, tmp_path):
    """0600, and gone afterwards."""
    with world.control.published(tmp_path):
        file = tmp_path / "control.json"
        assert json.loads(file.read_bytes()) == {"url": world.url, "secret": world.control.secret}
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not file.exists()
    assert ControlEndpoint(port=1, faults=world.knobs).secret != world.control.secret
    assert len(world.control.secret) >= 43  # 256 bits


# --- what the edge sees of AWS --------------------------------------------------------------------------------------------


def test_without_a_fault_a_signed_call_passes_as_it_was_signed(calm):
    """The emulator checks the signature over the Host that the edge has called, which is the proxy's."""
    calm.ssm.put_parameter(Name=f"{PREFIX}/x", Value="été", Type="String", Overwrite=True)
    assert edge_client(calm).get_parameters(Names=[f"{PREFIX}/x"])["Parameters"][0]["Value"] == "été"
    with pytest.raises(ClientError, match="Signature"):
        edge_client(calm, secret="wrong").get_parameters(Names=[f"{PREFIX}/x"])


def test_without_a_fault_the_keys_pass_byte_for_byte(calm):
    """The same document as the emulator's own."""
    answer = requests.get(calm.aws + calm.jwks, timeout=5)
    assert answer.content == requests.get(calm.emulator.url + calm.jwks, timeout=5).content
    assert len(answer.json()["keys"]) == 2


def test_each_call_is_counted(calm):
    """So that tests can tell how often the edge has asked."""
    before = dict(calm.knobs.calls)
    requests.get(calm.aws + calm.jwks, timeout=5)
    edge_client(calm).get_parameters(Names=["/x"])
    assert calm.knobs.calls == {name: count + 1 for name, count in before.items()}


def test_only_what_the_edge_asks_passes(calm):
    """It is not a second door to the emulator, and its Host check is the emulator's."""
    assert requests.get(calm.aws + "/_ministack/health", timeout=5).status_code == 404
    with pytest.raises(ClientError) as refused:
        edge_client(calm).get_parameter(Name="/x")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert requests.get(calm.aws + calm.jwks, headers={"Host": "evil.example"}, timeout=5).status_code == 403


@pytest.mark.parametrize(("size", "status"), [(64 * 1024, 400), (64 * 1024 + 1, 413)])
def test_a_body_that_the_edge_never_sends_does_not_pass(calm, size, status):
    """64 KB are passed on at most; the edge sends some hundred bytes."""
    headers = {"X-Amz-Target": "AmazonSSM.GetParameters"}
    answer = requests.post(calm.aws + "/", headers=headers, data=b"x" * size, timeout=10)
    assert answer.status_code == status


@pytest.mark.parametrize("target", ["/%75s-east-1_x/.well-known/jwks.json?a=%7e&b;c", "/x/.well-known/./jwks.json"])
def test_the_target_passes_byte_for_byte_or_not_at_all(world, target):
    """A target that is written anew on its way is another target than the one that was signed."""
    seen = []

    def note(asked):
        seen.append((asked.target, asked.headers["Host"]))
        return Answer()

    knobs = SimpleNamespace(modes={"jwks": "ok"}, calls={"jwks": 0})
    with (
        HttpFake(note) as behind,
        served(world.loop, lambda _: AwsProxy(emulator_url=behind.url, faults=knobs), "aws") as (_, aws),
    ):
        connection = http.client.HTTPConnection(aws.removeprefix("http://"), timeout=10)
        connection.putrequest("GET", target, skip_host=True)
        connection.putheader("Host", "127.0.0.1:07")
        connection.endheaders()
        status = connection.getresponse().status
        connection.close()
    assert (status, seen) == ((200, [(target, "127.0.0.1:07")]) if "?" in target else (404, []))


@pytest.mark.parametrize(
    ("mode", "code"),
    [("throttled", "ThrottlingException"), ("denied", "AccessDeniedException"), ("error", "InternalServerError")],
)
def test_ssm_fails_in_the_words_of_aws(calm, mode, code):
    """An SDK reads the error that AWS would send."""
    turn(calm, ssm=mode)
    with pytest.raises(ClientError) as failed:
        edge_client(calm).get_parameters(Names=["/x"])
    assert failed.value.response["Error"]["Code"] == code


def test_the_keys_fail_as_asked(calm):
    """Down, empty, garbled, partial: each is what its name says."""
    whole = requests.get(calm.aws + calm.jwks, timeout=5).json()["keys"]

    def found(mode):
        turn(calm, jwks=mode)
        return requests.get(calm.aws + calm.jwks, timeout=5)

    assert found("down").status_code == 503
    assert found("empty").json() == {"keys": []}
    with pytest.raises(ValueError, match="utf-8"):
        json.loads(found("garbled").content)
    assert found("partial").json()["keys"] == whole[:1]
    assert found("slow").json()["keys"] == whole


@pytest.mark.parametrize(("service", "path"), [("jwks", None), ("ssm", "/")])
def test_a_service_that_hangs_accepts_and_says_nothing(calm, service, path):
    """The caller's own time limit ends it, and the proxy lets go."""
    turn(calm, **{service: "hang"})
    headers = {"X-Amz-Target": "AmazonSSM.GetParameters"}
    method = "POST" if path else "GET"
    with pytest.raises(requests.ReadTimeout):
        requests.request(method, calm.aws + (path or calm.jwks), headers=headers, timeout=0.3)


# --- keys, policy, credentials, clock ------------------------------------------------------------------------------------


def test_rotation_gives_the_pool_new_keys(calm):
    """The old ones are not published any more."""

    def kids():
        return {key["kid"] for key in requests.get(calm.emulator.url + calm.jwks, timeout=5).json()["keys"]}

    before = kids()
    turn(calm, keys="rotate")
    assert len(kids()) == 2
    assert not before & kids()
    assert kids() == kids()


def test_rotation_is_no_path_for_web_pages(calm):
    """It stands behind the emulator's own check."""
    url = calm.emulator.url + emulator.ROTATE_KEYS_PATH + calm.jwks.split("/")[1]
    before = requests.get(calm.emulator.url + calm.jwks, timeout=5).content
    assert requests.post(url, headers={"Origin": "https://evil.example"}, timeout=5).status_code == 403
    assert requests.get(calm.emulator.url + calm.jwks, timeout=5).content == before


def test_a_broken_policy_is_broken_and_the_one_before_it_comes_back(calm):
    """Broken twice is broken once: the good one is not lost."""
    calm.ssm.put_parameter(Name=POLICY, Value='{"routes": []}', Type="String", Overwrite=True)
    turn(calm, policy="broken")
    turn(calm, policy="broken")
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(calm.ssm.get_parameter(Name=POLICY)["Parameter"]["Value"])
    turn(calm, policy="ok")
    assert calm.ssm.get_parameter(Name=POLICY)["Parameter"]["Value"] == '{"routes": []}'


def test_a_policy_that_was_absent_is_absent_again(calm):
    """Put right means: as it was."""
    with contextlib.suppress(ClientError):
        calm.ssm.delete_parameter(Name=POLICY)
    turn(calm, policy="broken")
    assert calm.ssm.get_parameters(Names=[POLICY])["Parameters"]
    turn(calm, policy="ok")
    assert calm.ssm.get_parameters(Names=[POLICY])["InvalidParameters"] == [POLICY]


def test_clock_and_credentials_replace_the_edges_processes_and_nothing_else_does(calm):
    """A process keeps what it was started with; the others are seen by running ones."""
    given = {"AWS_ACCESS_KEY_ID": "ASIA1"}
    turn(calm, jwks="down", ssm="error")
    assert calm.knobs.edge.restarts == []
    assert calm.knobs.edge_credentials(given) == given
    turn(calm, credentials="missing")
    assert calm.knobs.edge_credentials(given) == {}
    turn(calm, clock=-240)
    turn(calm, clock=-240)
    turn(calm, edge="restart")
    assert calm.knobs.edge.restarts == [0, -240, -240]


CLOCK = """
import time
started = time.monotonic_ns()
def handler(event, context):
    return [time.time(), started]
"""


def test_a_restarted_edge_is_a_fresh_process_with_the_wrong_clock(tmp_path):
    """And a right one again after the next restart."""
    package = tmp_path / "bundle" / "cognito_edge"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "handler.py").write_text(CLOCK)

    async def scenario():
        runtime = EdgeRuntime(
            bundle=package.parent,
            runtime_client=places.RUNTIME_CLIENT,
            python=sys.executable,
            environment={},
            log=lambda _: None,
        )
        try:
            await runtime.start()
            seen = [await runtime.invoke({})]
            for shift_s in (-5000.0, 0.0):
                await runtime.restart(clock_shift_s=shift_s)
                seen.append(await runtime.invoke({}))
            return seen
        finally:
            await runtime.stop()

    (right, first), (wrong, second), (again, third) = asyncio.run(scenario())
    assert len({first, second, third}) == 3
    assert abs(time.time() - right) < 600
    assert abs(time.time() - 5000 - wrong) < 600
    assert abs(time.time() - again) < 600


# --- the script ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(calm, tmp_path, monkeypatch):
    """A state folder whose control.json leads to the running endpoint."""
    monkeypatch.setattr(stack, "LOCAL_FOLDER", tmp_path)
    with calm.control.published(tmp_path):
        yield tmp_path


def test_the_script_knows_the_systems_knobs():
    """Both lists are written by hand, in parts that import nothing of each other."""
    assert fault.KNOBS == faults.MODES


@pytest.mark.parametrize(
    ("argv", "name", "value"),
    [(["jwks", "garbled"], "jwks", "garbled"), (["clock", "+240"], "clock", 240), (["clock", "-240"], "clock", -240)],
    ids=str,
)
def test_the_script_turns_a_knob_and_prints_how_all_stand(calm, folder, capsys, argv, name, value):
    """One line for each knob, for people and for ``grep``."""
    assert folder
    assert main(["fault", *argv]) == 0
    assert calm.knobs.report()[name] == value
    assert f"{name}\t{value}" in capsys.readouterr().out
    assert main(["fault", "reset"]) == 0
    assert calm.knobs.report()[name] in ("ok", 0)


def test_show_changes_nothing(calm, folder, capsys):
    """It only looks."""
    assert folder
    lines = len(calm.console)
    assert main(["fault", "show"]) == 0
    assert "calls\tjwks=" in capsys.readouterr().out
    assert len(calm.console) == lines


def test_without_a_running_system_the_script_says_so(tmp_path, monkeypatch, capsys):
    """No file, a broken file, a dead address: each time what to do, and no traceback."""
    monkeypatch.setattr(stack, "LOCAL_FOLDER", tmp_path)
    assert main(["fault", "show"]) == 1
    assert "make run" in capsys.readouterr().err
    (tmp_path / "control.json").write_text("{}")
    assert main(["fault", "show"]) == 1
    assert "Start the local system again" in capsys.readouterr().err
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}"
        (tmp_path / "control.json").write_text(json.dumps({"url": dead, "secret": "s3cret"}))
        assert main(["fault", "show"]) == 1
    told = capsys.readouterr().err
    assert "make run" in told
    assert "s3cret" not in told


def test_a_refusal_of_the_system_reaches_the_person(calm, folder, capsys):
    """The system has the last word, and its words are shown."""
    assert calm
    assert folder
    assert main(["fault", "clock", "100000"]) == 1
    assert "clock: expected seconds" in capsys.readouterr().err


def test_help_shows_examples_and_needs_no_system(capsys):
    """What ``make run`` prints points here."""
    assert main(["fault", "--help"]) == 0
    assert "cognito-edge fault jwks down" in capsys.readouterr().out
