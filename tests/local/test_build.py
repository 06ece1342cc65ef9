"""Build results: made once for each state of their inputs, whole or not at all."""

import asyncio
import json
import os
import time

import pytest
from cognito_edge_local.launcher import build
from cognito_edge_local.launcher.build import BuildError
from cognito_edge_local.launcher.processes import CommandFailedError


@pytest.fixture
def project(tmp_path):
    """A project with one file of each kind of input."""
    for name in ("backend/a.py", "edge/a.py", "infra/sub/a.py", "requirements/edge.txt", "cdk.json", "README.md"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("1")
    return tmp_path


@pytest.mark.parametrize("name", ["backend/a.py", "edge/a.py", "infra/sub/a.py", "requirements/edge.txt", "cdk.json"])
def test_digest_changes_with_an_input(project, name):
    """An edited file is built again."""
    before = build.inputs_digest(project)
    (project / name).write_text("2")
    assert build.inputs_digest(project) != before


def test_digest_changes_with_a_new_a_renamed_and_a_removed_file(project):
    """Names count as well as contents."""
    digests = {build.inputs_digest(project)}
    (project / "edge" / "b.py").write_text("1")
    digests.add(build.inputs_digest(project))
    (project / "edge" / "b.py").rename(project / "edge" / "c.py")
    digests.add(build.inputs_digest(project))
    (project / "edge" / "a.py").unlink()
    digests.add(build.inputs_digest(project))
    assert len(digests) == 4


def test_digest_ignores_what_does_not_count(project):
    """Documentation, bytecode and time stamps do not cost a synthesis."""
    before = build.inputs_digest(project)
    (project / "README.md").write_text("2")
    (project / "edge" / "__pycache__").mkdir()
    (project / "edge" / "__pycache__" / "a.pyc").write_text("1")
    os.utime(project / "edge" / "a.py", (1, 1))
    assert build.inputs_digest(project) == before


def _maker(calls, *, fail=False):
    async def make(folder):
        calls.append(folder)
        folder.mkdir()
        (folder / "part").write_text("1")
        if fail:
            raise CommandFailedError("it broke")

    return make


def test_result_is_made_once(tmp_path):
    """The second time it is found."""
    calls = []
    first = asyncio.run(build._cached(tmp_path, "x", "k", _maker(calls)))
    second = asyncio.run(build._cached(tmp_path, "x", "k", _maker(calls)))
    assert (len(calls), first.cached, second.cached, first.folder == second.folder) == (1, False, True, True)
    assert (second.folder / "part").read_text() == "1"


def test_result_is_closed_to_other_users(tmp_path):
    """The bundle builder gives files the modes that Lambda wants; here no other user may read, let alone write them."""

    async def make(folder):
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "part").write_text("1")
        for path, mode in ((folder, 0o755), (folder / "sub", 0o777), (folder / "sub" / "part", 0o666)):
            path.chmod(mode)

    made = asyncio.run(build._cached(tmp_path / "cache", "x", "1", make)).folder
    modes = [path.stat().st_mode & 0o777 for path in (tmp_path / "cache", made, made / "sub", made / "sub" / "part")]
    assert modes == [0o700, 0o700, 0o700, 0o600]


def test_failed_result_is_not_kept(tmp_path):
    """Half a folder is never taken for a whole one."""
    with pytest.raises(BuildError, match="it broke"):
        asyncio.run(build._cached(tmp_path, "x", "k", _maker([], fail=True)))
    assert list(tmp_path.iterdir()) == []
    assert asyncio.run(build._cached(tmp_path, "x", "k", _maker([]))).cached is False


def test_command_that_writes_nothing_is_an_error(tmp_path):
    """Ending well is not enough."""

    async def make(_folder):
        pass

    with pytest.raises(BuildError, match="did not write"):
        asyncio.run(build._cached(tmp_path, "x", "k", make))


def test_two_launchers_may_build_the_same_at_once(tmp_path):
    """The second one takes the first one's result."""

    async def both():
        calls = []
        return await asyncio.gather(*(build._cached(tmp_path, "x", "k", _slow(calls)) for _ in range(2)))

    def _slow(calls):
        async def make(folder):
            await asyncio.sleep(0)
            await _maker(calls)(folder)

        return make

    first, second = asyncio.run(both())
    assert first.folder == second.folder
    assert [path.name for path in tmp_path.iterdir()] == ["x-k"]


def test_old_results_go(tmp_path):
    """The newest few stay, used ones count as new; what was unused for an hour goes, as do killed runs' folders."""
    for index in range(6):
        folder = asyncio.run(build._cached(tmp_path, "x", str(index), _maker([]))).folder
        os.utime(folder, (time.time() - 4000 + index, time.time() - 4000 + index))
    abandoned = tmp_path / ".x-abandoned"
    abandoned.mkdir()
    os.utime(abandoned, (1, 1))
    asyncio.run(build._cached(tmp_path, "x", "2", _maker([])))
    asyncio.run(build._cached(tmp_path, "x", "new", _maker([])))
    assert {path.name for path in tmp_path.iterdir()} == {"x-2", "x-4", "x-5", "x-new"}


def test_results_of_the_last_hour_stay_however_many(tmp_path):
    """Another launcher may be running from one of them."""
    for index in range(8):
        asyncio.run(build._cached(tmp_path, "x", str(index), _dated_maker()))
    assert len(list(tmp_path.iterdir())) == 8


def _dated_maker():
    async def make(folder):
        await _maker([])(folder)
        os.utime(folder, (315_532_800, 315_532_800))  # reproducible builds are of 1980

    return make


def _assembly(folder, *assets):
    files = {}
    for name, settings in assets:
        (folder / name).mkdir()
        if settings is not None:
            (folder / name / "settings.json").write_text(settings)
        files[name] = {"source": {"path": name, "packaging": "zip"}}
    (folder / "S.assets.json").write_text(json.dumps({"files": files}))
    return folder


def test_settings_are_those_of_the_synthesised_function(tmp_path):
    """The local bundle must not have settings of its own."""
    assembly = _assembly(tmp_path, ("backend", None), ("edge", '{"a": 1}'))
    assert build.synthesised_settings(assembly, "S") == b'{"a": 1}'


@pytest.mark.parametrize("assets", [[("a", None)], [("a", "{}"), ("b", "{}")]], ids=["none", "two"])
def test_settings_have_to_be_unambiguous(tmp_path, assets):
    """With none or two of them it is not known what was deployed."""
    with pytest.raises(BuildError, match=r"expected one asset with a settings\.json"):
        build.synthesised_settings(_assembly(tmp_path, *assets), "S")


def test_commands_do_not_see_aws_or_python_settings(monkeypatch):
    """Synthesis is a function of the checkout; proxies and pip's own settings still reach pip."""
    for name in ("AWS_PROFILE", "CDK_DEFAULT_ACCOUNT", "PYTHONPATH", "PIP_INDEX_URL", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "x")
    seen = build._environment()
    assert {"PIP_INDEX_URL", "HTTPS_PROXY", "PATH"} <= seen.keys()
    assert not {"AWS_PROFILE", "CDK_DEFAULT_ACCOUNT", "PYTHONPATH"} & seen.keys()


def test_settings_of_a_file_are_added_and_win(tmp_path):
    """``--settings``: tests want a policy to take effect within a second or two."""
    file = tmp_path / "settings.json"
    file.write_text('{"settings_lifetime_s": 1, "b": 2}')
    merged = build.with_settings(b'{"a": 1, "settings_lifetime_s": 60}', file)
    assert json.loads(merged) == {"a": 1, "b": 2, "settings_lifetime_s": 1}


@pytest.mark.parametrize("content", [None, "[]", "{"])
def test_settings_file_that_is_none_is_refused_by_name(tmp_path, content):
    """The message names the file and what it should hold."""
    file = tmp_path / "settings.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BuildError, match=r"settings\.json: expected a JSON object of settings"):
        build.with_settings(b"{}", file)
