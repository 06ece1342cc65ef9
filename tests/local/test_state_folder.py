"""The state folder: one run at a time, private, and honest about what the last run left."""

import json
import os
import subprocess
import sys

import pytest
from cognito_edge_local.launcher import state_folder
from cognito_edge_local.launcher.places import CHECKOUT
from cognito_edge_local.launcher.state_folder import AlreadyRunningError, StateFolder, make_private_folder, open_private


def _mode(path):
    return path.stat().st_mode & 0o777


def test_folder_and_files_are_private(tmp_path):
    """Also where folder and file were there before, open to others."""
    path = tmp_path / "state"
    path.mkdir(mode=0o755)
    (path / "edge.log").touch(0o644)
    folder = StateFolder(path)
    with folder.held():
        folder.publish({"password": "x"})
        os.close(open_private(path / "edge.log"))
        assert _mode(path) == 0o700
        assert {name.name: oct(_mode(name)) for name in path.iterdir()} == {
            "lock": "0o600",
            "outputs.json": "0o600",
            "edge.log": "0o600",
        }


def test_everything_that_was_there_is_closed_to_others(tmp_path):
    """Also far below, and nothing that a link leads to elsewhere."""
    path, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    deep = path / "emulator" / "state"
    deep.mkdir(parents=True)
    for file, mode in ((deep / "key.pem", 0o644), (path / "cache", 0o666), (elsewhere, 0o644)):
        file.touch()
        file.chmod(mode)
    (deep / "link").symlink_to(elsewhere)
    for folder in (path, path / "emulator", deep):
        folder.chmod(0o777)
    with StateFolder(path).held():
        found = {
            str(file.relative_to(tmp_path)): _mode(file) for file in (path, *path.rglob("*")) if not file.is_symlink()
        }
    folders = dict.fromkeys(("state", "state/emulator", "state/emulator/state"), 0o700)
    files = dict.fromkeys(("state/emulator/state/key.pem", "state/cache", "state/lock"), 0o600)
    assert found == folders | files
    assert _mode(elsewhere) == 0o644


def test_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    """Its owner could put a lock or a build there that is theirs; what belongs to the project's owner is taken."""
    make_private_folder(tmp_path / "ours")
    monkeypatch.setattr(state_folder, "_trusted_owners", lambda: {os.geteuid() + 1})
    for use in (lambda: make_private_folder(tmp_path / "ours"), StateFolder(tmp_path / "ours").acquire):
        with pytest.raises(PermissionError, match="belongs to another user"):
            use()
    monkeypatch.setattr(state_folder, "_trusted_owners", lambda: {os.geteuid() + 1, os.geteuid()})
    make_private_folder(tmp_path / "ours")


def test_outputs_are_there_only_while_held(tmp_path):
    """A file that is there belongs to a system that serves."""
    folder = StateFolder(tmp_path)
    with folder.held():
        assert not folder.outputs.exists()
        folder.publish({"a": 1})
        assert json.loads(folder.outputs.read_text()) == {"a": 1}
    assert not folder.outputs.exists()


def test_publishing_leaves_no_other_file(tmp_path):
    """The scratch file becomes the file."""
    folder = StateFolder(tmp_path)
    with folder.held():
        folder.publish({"a": 1})
        folder.publish({"a": 2})
        assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "outputs.json"]


def test_second_run_is_told_who_runs_and_how_to_stop_it(tmp_path):
    """The message has the process id, the time and the command."""
    with StateFolder(tmp_path).held(), pytest.raises(AlreadyRunningError) as error:
        StateFolder(tmp_path).acquire()
    text = str(error.value)
    assert f"Already running in {tmp_path}: pid {os.getpid()}, since 2" in text
    assert f"`kill {os.getpid()}`" in text
    assert "--state-dir" in text


def test_second_run_leaves_the_first_ones_outputs_alone(tmp_path):
    """Losing the race must not break the winner."""
    first, second = StateFolder(tmp_path), StateFolder(tmp_path)
    with first.held():
        first.publish({"a": 1})
        with pytest.raises(AlreadyRunningError):
            second.acquire()
        second.withdraw()
        second.release()
        assert first.outputs.exists()


def test_run_caught_before_its_first_write_is_still_a_run(tmp_path):
    """An empty lock that is held says "starting"."""
    first = StateFolder(tmp_path)
    with first.held():
        (tmp_path / "lock").write_bytes(b"")
        with pytest.raises(AlreadyRunningError, match="Already starting"):
            StateFolder(tmp_path).acquire()


def test_killed_run_is_noticed_and_its_outputs_go(tmp_path):
    """SIGKILL leaves lock file and outputs behind; neither stops the next run."""
    code = (
        "import os,pathlib,sys; from cognito_edge_local.launcher.state_folder import StateFolder; f=StateFolder(pathlib.Path(sys.argv[1]));"
        "f.acquire(); f.publish({}); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=CHECKOUT, check=False)
    assert killed.returncode == -9
    assert (tmp_path / "outputs.json").exists()
    folder = StateFolder(tmp_path)
    with folder.held():
        assert folder.after_a_kill is True
        assert not folder.outputs.exists()


def test_clean_run_leaves_no_suspicion(tmp_path):
    """Ports are waited for only after a kill."""
    with StateFolder(tmp_path).held():
        pass
    folder = StateFolder(tmp_path)
    with folder.held():
        assert folder.after_a_kill is False


def test_child_processes_do_not_keep_the_lock(tmp_path):
    """A child that outlived the launcher would lock the next run out."""
    folder = StateFolder(tmp_path)
    folder.acquire()
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        folder.release()
        StateFolder(tmp_path).acquire()
        child.kill()
