"""Child processes: what they are told, what they say, and that nothing outlives the launcher."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cognito_edge_local.launcher import processes
from cognito_edge_local.launcher.places import CHECKOUT

from tests.local.loop_thread import LoopThread

ENVIRONMENT = {"PATH": os.environ["PATH"]}
# A child, a grandchild, and a daemon that left session and parent behind; all deaf to SIGTERM.
FAMILY = """
trap '' TERM
sleep 600 &
(setsid sh -c 'sleep 600 & echo $! >> pids; wait' >/dev/null 2>&1 &)
echo $! >> pids
echo $$ >> pids
while [ "$(wc -l < pids)" -lt 3 ]; do sleep 0.01; done
echo ready
wait
"""


@pytest.fixture
def loop():
    """An event loop that outlives single calls."""
    with LoopThread() as thread:
        yield thread


def _wait_for(condition, what: str, limit_s: float = 10.0) -> None:
    give_up = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < give_up, what
        time.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _family(folder: Path) -> list[int]:
    """Wait until the family of ``FAMILY`` is complete; return its process ids."""
    _wait_for(lambda: "ready" in (folder / "log").read_text(), "the family did not start")
    return [int(line) for line in (folder / "pids").read_text().split()]


def _start_family(loop: LoopThread, folder: Path, grace_s: float) -> tuple[processes.Child, list[int]]:
    child = loop.run(
        processes.start(
            "family",
            ["bash", "-c", FAMILY],
            environment=ENVIRONMENT,
            log=folder / "log",
            cwd=folder,
            grace_s=grace_s,
        )
    )
    return child, _family(folder)


def test_exit_status_is_passed_on(loop, tmp_path):
    """The guard ends with the command's own status."""
    child = loop.run(processes.start("x", ["sh", "-c", "exit 7"], environment=ENVIRONMENT, log=tmp_path / "log"))
    assert loop.run(child.wait()) == 7


def test_status_of_a_command_that_a_signal_ended_is_128_plus_its_number(loop, tmp_path):
    """As shells report it."""
    child = loop.run(processes.start("x", ["sh", "-c", "kill -9 $$"], environment=ENVIRONMENT, log=tmp_path / "log"))
    assert loop.run(child.wait()) == 137


def test_missing_program_is_named(loop, tmp_path):
    """A person who lacks the program reads its name and not a traceback."""
    with pytest.raises(processes.CommandFailedError, match=r"cannot run no-such-program: No such file"):
        loop.run(processes.run("x", ["no-such-program"], environment=ENVIRONMENT, log=tmp_path / "log"))


def test_failure_shows_the_end_of_the_output(loop, tmp_path):
    """Name, status and the last lines are in the error."""
    with pytest.raises(processes.CommandFailedError, match=r"(?s)synth failed with status 3.*it broke"):
        loop.run(
            processes.run("synth", ["sh", "-c", "echo it broke; exit 3"], environment=ENVIRONMENT, log=tmp_path / "log")
        )


def test_environment_is_the_given_one_alone(loop, tmp_path, monkeypatch):
    """Nothing of the launcher's environment reaches a child by accident."""
    monkeypatch.setenv("AWS_PROFILE", "production")
    loop.run(processes.run("x", ["env"], environment=ENVIRONMENT, log=tmp_path / "log"))
    assert "AWS_PROFILE" not in (tmp_path / "log").read_text()


def test_log_is_private(loop, tmp_path):
    """Logs may hold what a program prints in its distress."""
    (tmp_path / "log").touch(0o644)
    loop.run(processes.run("x", ["true"], environment=ENVIRONMENT, log=tmp_path / "log"))
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_stop_lets_a_command_clean_up(loop, tmp_path):
    """SIGTERM comes first, and what the command does about it is waited for."""
    script = "trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    child = loop.run(processes.start("x", ["bash", "-c", script], environment=ENVIRONMENT, log=tmp_path / "log"))
    _wait_for(lambda: "ready" in (tmp_path / "log").read_text(), "it did not start")
    loop.run(child.stop(3.0))
    assert "cleaned" in (tmp_path / "log").read_text()


def test_stop_kills_a_family_that_ignores_sigterm(loop, tmp_path):
    """After the grace period nothing of it is left, daemons included."""
    child, family = _start_family(loop, tmp_path, grace_s=0.1)
    assert all(map(_alive, family))
    loop.run(child.stop(0.1))
    assert not any(map(_alive, family))


def test_closed_lifeline_kills_the_family_at_once(loop, tmp_path):
    """``kill`` needs no signal: the guard sees the pipe end."""
    child, family = _start_family(loop, tmp_path, grace_s=600)
    child.kill()
    loop.run(child.wait())
    assert not any(map(_alive, family))


def test_descendants_do_not_outlive_a_command_that_ends_by_itself(loop, tmp_path):
    """What a command leaves behind when it ends is killed as well."""
    script = "(setsid sleep 600 & echo $! > pids); exit 0"
    child = loop.run(
        processes.start("x", ["bash", "-c", script], environment=ENVIRONMENT, log=tmp_path / "log", cwd=tmp_path)
    )
    loop.run(child.wait())
    assert not _alive(int((tmp_path / "pids").read_text()))


@pytest.mark.parametrize("victim", ["launcher", "guard"])
def test_sigkill_leaves_nothing(tmp_path, victim):
    """Neither the launcher's nor the guard's sudden death leaves the command behind."""
    (tmp_path / "family.sh").write_text(
        FAMILY if victim == "launcher" else "echo $$ >> pids; echo ready; exec sleep 600"
    )
    launcher = subprocess.Popen(
        [sys.executable, "-c", _LAUNCHER, str(tmp_path)], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    )
    guard = int(launcher.stdout.readline())
    family = _family(tmp_path)
    try:
        os.kill(launcher.pid if victim == "launcher" else guard, signal.SIGKILL)
        _wait_for(lambda: not any(map(_alive, family)), f"{family} outlived the {victim}")
    finally:
        launcher.kill()
        launcher.communicate()


_LAUNCHER = """
import asyncio, os, pathlib, sys
from cognito_edge_local.launcher import processes
async def main():
    folder = pathlib.Path(sys.argv[1])
    child = await processes.start("family", ["bash", "family.sh"], environment={"PATH": os.environ["PATH"]},
                                  log=folder / "log", cwd=folder, grace_s=600)
    print(child.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
