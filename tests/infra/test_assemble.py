"""Bundles of hand-made wheels: what goes in, what stays out, and what is refused."""

import importlib.util
import os
import shutil
import stat
import sys

import pytest
from cognito_edge_cdk.bundling import bytecode
from cognito_edge_cdk.bundling.assemble import Recipe, assemble
from cognito_edge_cdk.bundling.bytecode import Interpreter, interpreter_for, lambda_interpreter
from cognito_edge_cdk.bundling.folder import BundleError
from cognito_edge_cdk.bundling.wheelhouse import target

from tests.infra.rig import make_lock, make_wheel, snapshot

LIBRARY = {
    "library/__init__.py": "VALUE = 1\n",
    "library/__pycache__/__init__.cpython-27.pyc": "stale",
    "library/tests/test_it.py": "raise SystemExit\n",
    "library/test_more.py": "raise SystemExit\n",
    "library/testing.py": "# no test, though it sounds like one\n",
    "library-1.0.data/purelib/extra.py": "EXTRA = 1\n",
    "library-1.0.data/scripts/library": "#!python\n",
    "library-1.0.data/headers/library.h": "",
    "library-1.0.dist-info/METADATA": "Name: library\n",
    "library-1.0.dist-info/licenses/LICENSE": "free\n",
    "library-1.0.dist-info/RECORD": "",
    "library-1.0.dist-info/INSTALLER": "pip\n",
    "library-1.0.dist-info/REQUESTED": "",
    "library-1.0.dist-info/direct_url.json": "{}",
}


@pytest.fixture
def make_recipe(tmp_path):
    """Return a function that makes recipes for a small package and the wheels that the test gives."""

    def make(*wheels, **changes):
        package = tmp_path / "source" / "package"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text("")
        (package / "roots.pem").write_text("CERTIFICATE")
        (package / "notes.txt").write_text("neither a module nor a certificate")
        (package / "py.typed").touch()
        arguments = {
            "package": package,
            "lock": make_lock(tmp_path / "lock.txt", *wheels),
            "target": target("lambda"),
            "wheelhouse": tmp_path,
            "files": {"settings.json": b"{}"},
            "bytecode": None,
        }
        return Recipe(**{**arguments, **changes})

    return make


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_wheels_modules_and_licences_go_in_and_the_rest_stays_out(make_recipe, tmp_path):
    """Scripts, headers, tests, foreign bytecode and installers' notes have no place in a function."""
    assemble(make_recipe(make_wheel(tmp_path, "library", LIBRARY)), tmp_path / "b")
    assert names(tmp_path / "b") == {
        *("package/__init__.py", "package/roots.pem", "library/__init__.py", "library/testing.py", "extra.py"),
        *("library-1.0.dist-info/METADATA", "library-1.0.dist-info/licenses/LICENSE", "settings.json", "bundle.json"),
    }


def test_an_unused_project_leaves_only_its_extension_modules(make_recipe, tmp_path):
    """A project without any leaves nothing."""
    native = make_wheel(
        tmp_path,
        "native",
        {"native/__init__.py": "", "_native.abi3.so": "ELF", "native-1.0.dist-info/LICENSE": "free"},
        tag="cp313-abi3-manylinux2014_x86_64",
    )
    plain = make_wheel(tmp_path, "library", LIBRARY)
    assemble(make_recipe(native, plain, unused=frozenset({"native", "library"})), tmp_path / "b")
    assert names(tmp_path / "b") == {
        *("package/__init__.py", "package/roots.pem", "_native.abi3.so", "native-1.0.dist-info/LICENSE"),
        *("settings.json", "bundle.json"),
    }


def test_the_umask_does_not_matter(make_recipe, tmp_path):
    """Two builds under different umasks are equal in every byte, mode and time."""
    recipe = make_recipe(make_wheel(tmp_path, "library", LIBRARY))
    assemble(recipe, tmp_path / "open")
    before = os.umask(0o077)
    try:
        assemble(recipe, tmp_path / "closed")
    finally:
        os.umask(before)
    assert snapshot(tmp_path / "closed") == snapshot(tmp_path / "open")
    assert stat.S_IMODE((tmp_path / "closed").stat().st_mode) == 0o755


def test_it_is_built_again_when_an_input_or_the_folder_changed(make_recipe, tmp_path):
    """A changed setting, an edited file, a removed file, an added one; and not otherwise."""
    recipe = make_recipe(make_wheel(tmp_path, "library", LIBRARY))
    output = tmp_path / "b"
    assert assemble(recipe, output)
    assert not assemble(recipe, output)
    clean = snapshot(output)
    for spoil in (
        lambda: (output / "extra.py").write_text("EXTRA = 2\n"),
        (output / "extra.py").unlink,
        lambda: (output / "sitecustomize.py").write_text(""),
        lambda: (output / "bundle.json").write_text("[]"),
        lambda: (output / "bundle.json").write_text("{}"),
    ):
        spoil()
        assert assemble(recipe, output)
        assert snapshot(output) == clean
    other = make_recipe(make_wheel(tmp_path, "library", LIBRARY), files={"settings.json": b"[]"})
    assert assemble(other, output)
    assert (output / "settings.json").read_bytes() == b"[]"


def test_nothing_is_left_beside_it(make_recipe, tmp_path):
    """Neither the earlier folder nor the one that it was built in."""
    output = tmp_path / "out" / "b"
    for content in (b"{}", b"[]"):
        assemble(make_recipe(files={"settings.json": content}), output)
    assert [path.name for path in output.parent.iterdir()] == ["b"]


def test_a_folder_with_something_else_in_it_is_left_alone(make_recipe, tmp_path):
    """A slip in ``--output`` must not cost people their files; an empty folder is fine."""
    (tmp_path / "mine").mkdir()
    assert assemble(make_recipe(), tmp_path / "mine")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.txt").write_text("all of it")
    with pytest.raises(BundleError, match="holds no bundle"):
        assemble(make_recipe(), tmp_path / "theirs")
    assert (tmp_path / "theirs" / "thesis.txt").exists()


def test_two_inputs_for_one_file_are_refused(make_recipe, tmp_path):
    """Chance would decide which of them wins."""
    wheel = make_wheel(tmp_path, "library", {"package/__init__.py": "theirs"})
    with pytest.raises(BundleError, match=r"two inputs claim the file package/__init__\.py"):
        assemble(make_recipe(wheel), tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("name", ["../outside.py", "library/../../outside.py", "/outside.py"])
def test_a_wheel_cannot_write_outside_the_bundle(name, make_recipe, tmp_path):
    """Zip slip."""
    with pytest.raises(BundleError, match="outside the bundle"):
        assemble(make_recipe(make_wheel(tmp_path, "library", {name: ""})), tmp_path / "b")
    assert not list(tmp_path.rglob("outside.py"))


def test_bytecode_does_not_depend_on_the_folder(make_recipe, tmp_path):
    """The ``.pyc`` files hold no path of the build."""
    recipe = make_recipe(
        make_wheel(tmp_path, "library", LIBRARY),
        target=target("host"),
        bytecode=interpreter_for("host", "auto"),
    )
    assemble(recipe, tmp_path / "one")
    assemble(recipe, tmp_path / "a" / "deeper folder" / "two")
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "a" / "deeper folder" / "two")
    assert list((tmp_path / "one").rglob("*.pyc"))


def test_a_module_that_does_not_compile_stops_the_build(make_recipe, tmp_path):
    """Otherwise it fails in the function, at its first import there."""
    wheel = make_wheel(tmp_path, "library", {"library.py": "def broken(:\n"})
    recipe = make_recipe(wheel, bytecode=interpreter_for("host", "auto"))
    with pytest.raises(BundleError, match=r"(?s)could not compile.*library\.py") as caught:
        assemble(recipe, tmp_path / "b")
    assert "SyntaxError" in str(caught.value)


class TestInterpreter:
    @pytest.fixture
    def on_path(self, monkeypatch, tmp_path):
        """Put a ``python3.13`` on an otherwise empty PATH; the interpreter that runs the tests does not count."""

        def put(script):
            program = tmp_path / "bin" / "python3.13"
            program.parent.mkdir(exist_ok=True)
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
            monkeypatch.setenv("PATH", str(program.parent))
            return str(program)

        monkeypatch.setattr(bytecode.sys, "executable", str(tmp_path / "none"))
        monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
        return put

    @staticmethod
    def answer(implementation="CPython", version="3.13.5", magic="f30d0d0a"):
        return f"""echo '["{implementation}", "{version}", "{magic}", "/real/python3.13"]'"""

    def test_a_real_one_is_found_by_what_it_answers(self, on_path):
        """From then on it is called by its own name: a shim would fail in the compiler's empty environment."""
        on_path(self.answer())
        assert lambda_interpreter() == Interpreter("/real/python3.13", "CPython 3.13.5", "f30d0d0a")

    def test_one_that_pyenv_installed_is_found_behind_its_shim(self, on_path, tmp_path):
        """The shim on the PATH works only where the version was chosen."""
        program = tmp_path / "pyenv" / "versions" / "3.13.5" / "bin" / "python3.13"
        program.parent.mkdir(parents=True)
        shutil.copy(on_path(self.answer()), program)
        on_path("echo 'pyenv: python3.13: command not found' >&2; exit 127")
        assert lambda_interpreter() == Interpreter("/real/python3.13", "CPython 3.13.5", "f30d0d0a")

    @pytest.mark.parametrize(
        "script",
        [
            "echo 'pyenv: python3.13: command not found' >&2; exit 127",
            "echo Python 3.13",
            "echo '[1, 2]'",
            answer(version="3.12.1", magic="cb0d0d0a"),
            answer(implementation="PyPy"),
        ],
    )
    def test_what_only_has_the_name_is_not_taken(self, on_path, script):
        """A shim that fails, noise, another version, another implementation: no bytecode then."""
        on_path(script)
        assert lambda_interpreter() is None
        assert interpreter_for("lambda", "auto") is None

    def test_none_means_none(self):
        """For either platform."""
        assert interpreter_for("host", "none") is None

    def test_a_named_one_of_the_wrong_version_is_refused(self, on_path):
        """The runtime would ignore its files, and cold starts would be slow for no visible reason."""
        program = on_path(self.answer(version="3.12.1", magic="cb0d0d0a"))
        with pytest.raises(BundleError, match=r"needs CPython 3\.13; .* it is CPython 3\.12\.1"):
            interpreter_for("lambda", program)
        with pytest.raises(BundleError, match="it does not run"):
            interpreter_for("lambda", "/no/such/python")

    def test_the_host_uses_the_interpreter_that_runs_this(self):
        """Its own import system asks for its magic number."""
        found = interpreter_for("host", "auto")
        assert found.magic == importlib.util.MAGIC_NUMBER.hex()
        assert found.executable == sys.executable
