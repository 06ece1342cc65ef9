"""The launcher from outside: it starts, says so, and however it ends leaves no process, no port and no outputs."""

import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from cognito_edge_local.command import main
from cognito_edge_local.launcher import ports

from tests.support import running_system as system
from tests.support.running_system import PROJECT, LocalSystem

OUTPUTS = {
    "gateway_url",
    "login_url",
    "user_pool_id",
    "client_id",
    "username",
    "password",
    "function_urls",
    "aws_endpoint_url",
    "region",
    "parameter_prefix",
}
# Each is printed when the part has started: the moments at which a start can be interrupted.
MOMENTS = ["Starting", "  ports ", "  emulator ", "  deploy ", "  edge "]


# What a developer's machine may have in its environment.
OF_THE_DEVELOPERS = {
    "AWS_PROFILE": "production",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "AKIAREAL",
    "HTTP_PROXY": "http://127.0.0.1:1",
}


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """A system that serves, for tests that leave it as it is; it was started on a developer's machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in OF_THE_DEVELOPERS.items():
            patch.setenv(name, value)
        found = LocalSystem(tmp_path_factory.mktemp("system"))
    try:
        yield found.wait_until_ready()
    finally:
        found.end()


@pytest.fixture
def start(tmp_path):
    """Start systems in this test's folder; they are ended with it."""
    systems = []

    def begin(*options, name="one"):
        systems.append(LocalSystem(tmp_path / name, *options))
        return systems[-1]

    yield begin
    for found in systems:
        found.end()


def _wait_for_line(found: LocalSystem, text: str) -> None:
    give_up = time.monotonic() + system.START_LIMIT_S
    while text not in found.printed():
        assert found.process.poll() is None, found.printed()
        assert time.monotonic() < give_up, f"no {text!r} in:\n{found.printed()}"
        found.look()
        time.sleep(0.02)


def _listening(pids) -> list[str]:
    """Return the addresses, in /proc's hexadecimal, that any of the processes listens on."""
    inodes = {inode for pid in pids for inode in ports._socket_inodes(Path("/proc") / str(pid))}
    return [
        columns[1]
        for table in ("tcp", "tcp6")
        for columns in (line.split() for line in (Path("/proc/net") / table).read_text().splitlines()[1:])
        if columns[3] == "0A" and columns[9] in inodes
    ]


# --- serving ------------------------------------------------------------------------------------------------------------


def test_outputs_are_complete_and_private(serving):
    """Contract C2, readable by this user alone: the password is in it."""
    assert serving.outputs.keys() == OUTPUTS
    assert serving.outputs_file.stat().st_mode & 0o777 == 0o600
    assert serving.state_dir.stat().st_mode & 0o777 == 0o700
    others = [path for path in serving.state_dir.iterdir() if path.stat().st_mode & 0o077]
    assert others == []


def test_every_address_in_the_outputs_answers(serving):
    """A reader who finds the file finds a system that serves, every part of it."""
    outputs = serving.outputs
    assert requests.get(outputs["gateway_url"] + "/api/whoami", timeout=30).status_code == 401
    assert requests.get(outputs["login_url"], timeout=30).status_code == 200
    assert requests.get(outputs["aws_endpoint_url"] + "/_ministack/health", timeout=30).status_code == 200
    for url in outputs["function_urls"].values():
        assert requests.get(url, timeout=30).status_code == 403


def test_everything_listens_on_loopback_only(serving):
    """No other machine in the network reaches any of it."""
    addresses = _listening([serving.process.pid, *serving.look()])
    assert len(addresses) >= 5  # gateway, sign-in, door, emulator, the edge's Runtime API
    assert {address.partition(":")[0] for address in addresses} == {"0100007F"}


def test_it_says_what_to_type_next(serving):
    """Lines to paste, with this run's addresses; the password is not among them."""
    printed, outputs = serving.printed(), serving.outputs
    assert f"curl -i {outputs['gateway_url']}/api/whoami" in printed
    assert f"TOKEN=$(GATEWAY_STATE_DIR={serving.state_dir} python" in printed
    assert "scripts/get_token.py --local)" in printed
    assert f'-H "Authorization: Bearer $TOKEN" {outputs["gateway_url"]}/api/whoami' in printed
    assert "--header | curl -i -H @-" in printed
    assert outputs["password"] not in printed


def test_edge_log_is_json_lines(serving):
    """One object per request, in a file of its own."""
    requests.get(serving.outputs["gateway_url"] + "/api/whoami?secret=x", timeout=30)
    lines = [json.loads(line) for line in (serving.state_dir / "edge.log").read_text().splitlines()]
    assert {"GET"} == {line["method"] for line in lines}
    assert "secret" not in json.dumps(lines)


@pytest.mark.usefixtures("curl")
def test_printed_lines_do_what_they_say(serving):
    """Pasted into a shell as they stand: 401 without a token, then twice 200 with the demo user's name."""
    lines = [line.strip() for line in serving.printed().splitlines() if line.startswith("  ")]
    lines = [line for line in lines if line.startswith(("curl", "TOKEN=", "GATEWAY_STATE_DIR="))]
    command = ["bash", "-ec", "\n".join(lines)]
    found = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=100)
    assert found.returncode == 0, found.stderr
    assert re.findall(r"HTTP/1\.1 (\d+)", found.stdout) == ["401", "200", "200"]
    assert found.stdout.count('"username": "demo"') == 2


def test_console_has_a_line_for_each_request(serving):
    """Method, path and status, without the query."""
    requests.get(serving.outputs["gateway_url"] + "/api/some-path?secret=x", timeout=30)
    _wait_for_line(serving, "GET /api/some-path 401")
    assert "secret=x" not in serving.printed()


def test_nothing_of_the_developers_reaches_any_part_of_it(serving):
    """Profiles, keys, endpoints and proxies of the machine change nothing: it serves, and no process has them."""
    launcher = (Path("/proc") / str(serving.process.pid) / "environ").read_text()
    assert {f"{name}={value}" for name, value in OF_THE_DEVELOPERS.items()} <= set(launcher.split("\0"))
    assert requests.get(serving.outputs["gateway_url"] + "/api/whoami", timeout=30).status_code == 401
    for pid in serving.look():
        environment = (Path("/proc") / str(pid) / "environ").read_text()
        assert not {"AWS_PROFILE=production", "AWS_ACCESS_KEY_ID=AKIAREAL"} & set(environment.split("\0"))


def test_closed_output_does_not_stop_it(tmp_path):
    """``make run | head -1``: the reader goes, the system serves on."""
    state = tmp_path / "state"
    command = [sys.executable, "-m", "local", *system.FREE_PORTS, "--state-dir", str(state)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as launcher:
        try:
            launcher.stdout.readline()
            launcher.stdout.close()
            give_up = time.monotonic() + system.START_LIMIT_S
            while not (state / "outputs.json").exists():
                assert launcher.poll() is None
                assert time.monotonic() < give_up
                time.sleep(0.02)
            url = json.loads((state / "outputs.json").read_text())["gateway_url"]
            assert requests.get(url + "/api/whoami", timeout=30).status_code == 401
        finally:
            launcher.terminate()
        assert launcher.wait(system.STOP_LIMIT_S) == 0
    assert not (state / "outputs.json").exists()


# --- stopping -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "numbers",
    [(signal.SIGINT,), (signal.SIGTERM, signal.SIGTERM), (signal.SIGHUP,)],
    ids=["SIGINT", "SIGTERM twice at once", "SIGHUP"],
)
def test_signal_stops_everything_and_removes_the_outputs(start, numbers):
    """Ctrl-C, ``kill`` and a closed terminal: a clean end each.

    ``kill`` to the process group of ``make run`` arrives twice, since make hands it on, and counts once.
    """
    found = start().wait_until_ready()
    requests.get(found.outputs["gateway_url"] + "/api/whoami", timeout=30)
    found.look()
    for number in numbers[:-1]:
        found.process.send_signal(number)
    assert found.stop(numbers[-1]) == 0
    assert found.left_over(0) == []
    assert not found.outputs_file.exists()
    assert found.printed().endswith("Stopping.\nStopped; nothing is left running.\n")


@pytest.mark.parametrize("moment", MOMENTS)
def test_interrupted_start_leaves_nothing(start, moment):
    """A start can be given up at any moment."""
    found = start()
    _wait_for_line(found, moment)
    assert found.stop(signal.SIGTERM) in {128 + signal.SIGTERM, 0}
    assert found.left_over(0) == []
    assert not found.outputs_file.exists()


@pytest.mark.parametrize("moment", MOMENTS)
def test_sigkill_leaves_no_process_and_no_port(start, moment):
    """The launcher cannot tidy up after SIGKILL; what it has started goes by itself, and the ports with it."""
    found = start()
    _wait_for_line(found, moment)
    family = found.look()
    addresses = _listening([found.process.pid, *family])
    found.process.kill()
    found.process.wait()
    assert found.left_over() == []
    for address in addresses:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(address.partition(":")[2], 16))) != 0


def test_sigkill_during_a_first_start_leaves_no_build_behind(start, tmp_path):
    """Synthesis runs node and Python below the launcher; they go as well, and the next start is not hurt."""
    cache = str(tmp_path / "cache")
    found = start("--cache-dir", cache)
    give_up = time.monotonic() + system.START_LIMIT_S
    while not any("infra.app" in line for line in found.look().values()):
        assert time.monotonic() < give_up, found.printed()
        time.sleep(0.005)
    found.process.kill()
    found.process.wait()
    assert found.left_over() == []
    again = start("--cache-dir", cache).wait_until_ready()
    assert again.stop() == 0


def test_system_starts_again_after_a_sigkill_that_leaves_nothing_of_the_first(start):
    """At once and with the same ports, and with outputs of its own instead of the stale ones."""
    gateway = _free_ports_in_a_row(5)
    options = ["--port", "--login-port", "--emulator-port", "--function-url-port"]
    fixed = [word for offset, option in enumerate(options) for word in (option, str(gateway + offset))]
    first = start(*fixed).wait_until_ready()
    stale = first.outputs
    first.look()
    first.process.kill()
    first.process.wait()
    assert first.outputs_file.exists()
    second = start(*fixed).wait_until_ready()
    assert _urls(second.outputs) == _urls(stale)
    assert second.outputs["user_pool_id"] != stale["user_pool_id"]
    assert second.stop() == 0
    assert first.left_over(0) == []


def _free_ports_in_a_row(count: int) -> int:
    """Return the first of some free ports from below those that the kernel gives out itself."""
    while True:
        first = 20_000 + secrets.randbelow(10_000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for number in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", number))
            return first


def _urls(outputs):
    return [
        outputs["gateway_url"],
        outputs["login_url"],
        outputs["aws_endpoint_url"],
        outputs["function_urls"]["api"],
    ]


def test_quiet_says_nothing_but_errors_and_that_the_emulator_died_is_one(start):
    """For scripts that read outputs.json; and half a system is of no help: it says what happened and ends."""
    found = start("--quiet").wait_until_ready()
    requests.get(found.outputs["gateway_url"] + "/api/whoami", timeout=30)
    assert found.printed() == ""
    (emulator,) = [
        pid for pid, line in found.look().items() if "emulator/program.py" in line and "guard.py" not in line
    ]
    os.kill(emulator, signal.SIGKILL)
    assert found.process.wait(system.STOP_LIMIT_S) == 1
    assert found.printed().startswith("local: The emulator has ended by itself, with status 137; ")
    assert found.printed().count("\n") == 1
    assert found.left_over(0) == []
    assert not found.outputs_file.exists()


def test_launcher_goes_with_the_parent_that_it_was_told_of(tmp_path):
    """SIGKILL to make reaches make alone; the launcher notices, and says nothing about it if it is to be quiet."""
    state = tmp_path / "state"
    command = [sys.executable, "-m", "local", *system.FREE_PORTS, "--state-dir", str(state), "--quiet"]
    script = "import os,subprocess,sys; subprocess.run([*sys.argv[1:], '--parent-pid', str(os.getpid())])"
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-c", script, *command], cwd=PROJECT, stdout=log, stderr=subprocess.STDOUT
        ) as make,
    ):
        give_up = time.monotonic() + system.START_LIMIT_S
        while not (state / "outputs.json").exists():
            assert time.monotonic() < give_up
            time.sleep(0.02)
        launcher = json.loads((state / "lock").read_text())["pid"]
        make.kill()
    give_up = time.monotonic() + system.STOP_LIMIT_S
    while _runs(launcher):
        assert time.monotonic() < give_up
        time.sleep(0.02)
    assert not (state / "outputs.json").exists()
    assert (tmp_path / "log").read_bytes() == b""


def _runs(pid: int) -> bool:
    """Say whether another parent's process runs; that parent may take a while to collect it."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# --- what stands in the way ---------------------------------------------------------------------------------------------


def test_second_start_in_the_same_folder_says_so(serving):
    """Status 1, who runs, how to stop it; the first one is not disturbed."""
    command = [sys.executable, "-m", "local", *system.FREE_PORTS, "--state-dir", str(serving.state_dir)]
    second = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60)
    assert second.returncode == 1
    assert f"Already running in {serving.state_dir}: pid {serving.process.pid}, since 2" in second.stderr
    assert f"`kill {serving.process.pid}`" in second.stderr
    assert requests.get(serving.outputs["gateway_url"] + "/api/whoami", timeout=30).status_code == 401


@pytest.mark.parametrize(
    ("option", "purpose"),
    [
        ("--port", "the gateway"),
        ("--login-port", "the sign-in front"),
        ("--emulator-port", "the emulator"),
        ("--function-url-port", "the first function URL"),
    ],
)
def test_taken_port_is_named_before_anything_starts(tmp_path, capsys, option, purpose):
    """Which port, what for, who holds it, which option; no emulator was started for it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        assert main([*system.FREE_PORTS, "--state-dir", str(tmp_path), option, str(number)]) == 1
    said = capsys.readouterr().err
    assert f"Port {number} on 127.0.0.1, wanted for {purpose}, is taken by process {os.getpid()} (" in said
    assert option in said
    assert {path.name for path in tmp_path.iterdir()} == {"lock"}


def test_option_that_is_no_port_is_refused():
    """With the usage line, status 2."""
    command = [sys.executable, "-m", "local", "--port", "65536"]
    found = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 2
    assert "65536 is not in the range 0<=x<=65535" in found.stderr


def test_sigint_to_make_alone_stops_everything(tmp_path):
    """``kill -INT`` of make reaches make alone, since make trusts the terminal to have told its children."""
    makefile = tmp_path / "Makefile"
    options = " ".join([*system.FREE_PORTS, "--state-dir", str(tmp_path / "state")])
    makefile.write_text(f"run:\n\t@exec {sys.executable} -m local --parent-pid $$PPID {options}\n", encoding="utf-8")
    with (tmp_path / "log").open("wb") as log:
        make = subprocess.Popen(
            ["make", "-f", str(makefile), "run"],
            cwd=system.PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=system.default_signals,  # noqa: PLW1509  three calls of signal() and nothing else
        )
    outputs = tmp_path / "state" / "outputs.json"
    try:
        give_up = time.monotonic() + system.START_LIMIT_S
        while not outputs.exists():
            assert make.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < give_up
            time.sleep(0.05)
        make.send_signal(signal.SIGINT)
        make.wait(system.STOP_LIMIT_S)
        assert not outputs.exists()
        assert "nothing is left running" in (tmp_path / "log").read_text()
    finally:
        if make.poll() is None:
            make.kill()
