"""Installations as ``make`` does them, in a small project with its own index: whole, never newer, and reported if not."""

import compileall
import ensurepip
import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import threading
from pathlib import Path

import pytest

from tests.infra.rig import PROJECT, make_lock, make_wheel
from tests.support.http_fake import Answer, HttpFake

PIPS = PROJECT / ".venv-pips"
NEWEST = max((path.name for path in PIPS.glob("[0-9]*")), key=lambda name: [int(part) for part in name.split(".")])
# Python 3.12 took away what the older ones import; it came with 23.2.1.
BROUGHT = [*(["22.3", "23.0.1"] if sys.version_info < (3, 12) else []), "23.2.1", NEWEST]
# What ``make fuzz`` starts here in place of the fuzzers.
SHOWS_WHAT_IS_THERE = """
import importlib.metadata
print(*sorted({f"{found.name} {found.version}" for found in importlib.metadata.distributions()}), sep="\\n")
"""

# A project of the same form, with a build backend that needs no other package.
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "ours"
version = "1"

[tool]
"""
BACKEND = """
import zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "ours-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.writestr("ours-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: ours\\nVersion: 1\\n")
        wheel.writestr("ours-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("ours-1.dist-info/RECORD", "")
    return name
"""

pytestmark = pytest.mark.skipif(
    sys.platform == "darwin", reason="a framework's Python cannot be copied to another place"
)


def python_that_brings(pip, folder):
    """Return a copy of this interpreter that puts another pip into the environments it makes."""
    base = Path(sys.base_prefix)
    for kind in ("stdlib", "platstdlib"):
        standard = Path(sysconfig.get_path(kind, vars={"installed_base": str(base), "platbase": str(base)}))
        copy = folder / standard.relative_to(base)
        copy.mkdir(parents=True, exist_ok=True)
        for entry in standard.iterdir():
            if entry.name not in ("ensurepip", "site-packages", "dist-packages") and not (copy / entry.name).exists():
                (copy / entry.name).symlink_to(entry)
    for library in base.glob("lib/libpython*"):
        (folder / "lib" / library.name).symlink_to(library)
    brings = folder / Path(sysconfig.get_path("stdlib")).relative_to(sys.base_prefix) / "ensurepip"
    brings.mkdir()
    compileall.compile_dir(PIPS / pip, quiet=2)  # once, rather than in each environment that gets a copy
    (brings / "__init__.py").touch()
    (brings / "__main__.py").write_text(
        "import shutil, sysconfig\n"
        f"shutil.copytree({str(PIPS / pip)!r}, sysconfig.get_path('purelib'), dirs_exist_ok=True)\n"
    )
    (folder / "bin").mkdir()
    return Path(shutil.copy(sys._base_executable, folder / "bin" / "python3"))


@pytest.fixture(scope="module", params=BROUGHT)
def every_python(request, tmp_path_factory):
    return python_that_brings(request.param, tmp_path_factory.mktemp("python"))


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return python_that_brings(NEWEST, tmp_path_factory.mktemp("python"))


class Index(HttpFake):
    """A package index on loopback, whose files may hang, or break off."""

    def __init__(self, folder):
        self.folder = folder
        self.breaks_off = self.hangs = False
        self.asked = threading.Event()
        super().__init__(self._answer)
        self.url += "/simple"

    def _answer(self, asked):
        file = self.folder / asked.path.strip("/")
        if file.suffix == ".whl":
            self.asked.set()
            if self.hangs:
                self.ended.wait()
            if self.breaks_off:
                return Answer(200, b"PK", {"Content-Length": "1000"})
        if file.is_dir():
            file /= "index.html"
        return (
            Answer(
                200, file.read_bytes(), {"Content-Type": "text/html" if file.suffix == ".html" else "application/zip"}
            )
            if file.is_file()
            else Answer(404)
        )

    def publish(self, name, version="1", *, requires=()):
        """Add a wheel, and return it."""
        folder = self.folder / "simple" / name
        folder.mkdir(parents=True, exist_ok=True)
        wheel = make_wheel(folder, name, {f"{name}.py": f"version = {version!r}"}, version=version, requires=requires)
        links = [f'<a href="{path.name}">{path.name}</a>' for path in folder.iterdir() if path.suffix != ".html"]
        (folder / "index.html").write_text("\n".join(links))
        return wheel


@pytest.fixture
def index(tmp_path):
    running = Index(tmp_path / "index")
    yield running
    running.close()


class Project:
    """A folder with this project's Makefile and installer, and with locks of its own."""

    def __init__(self, folder, index):
        self.folder, self.index = folder, index
        for name in (
            "Makefile",
            "infra/install.py",
            "infra/cognito_edge_cdk/__init__.py",
            *(f"infra/cognito_edge_cdk/bundling/{part}.py" for part in ("__init__", "installer", "layout", "locks")),
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
        (folder / "pyproject.toml").write_text(PYPROJECT)
        (folder / "backend.py").write_text(BACKEND)
        (folder / "requirements").mkdir()
        (folder / "tests" / "fuzz").mkdir(parents=True)
        for name in ("policy", "target", "token", "event", "jwks"):
            (folder / "tests" / "fuzz" / f"fuzz_{name}.py").touch()
        (folder / "tests" / "fuzz" / "fuzz_answer.py").write_text(SHOWS_WHAT_IS_THERE)  # the last one

    def lock(self, name, *wheels):
        make_lock(self.folder / "requirements" / f"{name}.txt", *wheels)

    def environment(self, **variables):
        """Return what a person's shell has: no settings of pip but an index."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON", "MAKE"))}
        return {
            **kept,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": self.index.url,
            "PIP_NO_CACHE_DIR": "1",
            **variables,
        }

    def start(self, *command, **variables):
        return subprocess.Popen(
            [*map(str, command)],
            cwd=self.folder,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command, **variables):
        """Run to the end, and return the exit status and what was printed."""
        process = self.start(*command, **variables)
        printed, _ = process.communicate(timeout=60)
        return process.returncode, printed

    def there(self, environment=".venv-fuzz"):
        """Return what is installed besides pip."""
        folders = (self.folder / environment).glob("lib/python3.*/site-packages")
        found = importlib.metadata.distributions(path=[str(folder) for folder in folders])
        return sorted(f"{each.name} {each.version}" for each in found if each.name != "pip")


@pytest.fixture
def project(tmp_path, index):
    return Project(tmp_path / "a project", index)


def fuzz(python):
    return ("make", "fuzz", f"PYTHON={python}")


def test_a_newer_release_never_reaches_an_installation(every_python, project, index):
    """The lock was written while b 1 was the newest. a asks for b[extra]; old pips ask the index for the newest b then."""
    wheels = [
        index.publish("a", requires=["b[extra]>=1"]),
        index.publish("b", requires=["c; extra == 'extra'"]),
        index.publish("c"),
    ]
    project.lock("fuzz", *wheels)
    for name in ("b", "c"):
        index.publish(name, "2")
    status, printed = project.run(*fuzz(every_python))
    assert status == 0, printed
    assert printed.splitlines()[-4:-1] == ["a 1", "b 1", "c 1"]
    assert project.there() == ["a 1", "b 1", "c 1"]
    brought = every_python.parents[1].glob("lib*/python3.*/ensurepip/__main__.py")
    assert printed.splitlines()[-1].removeprefix("pip ") in next(brought).read_text()


def test_a_lock_that_lacks_something_is_named_with_it(python, project, index):
    """Nothing is fetched instead. The same command goes on once the lock is right."""
    wheels = [index.publish("a", requires=["b[extra]>=1"]), index.publish("b", requires=["c>=3; extra == 'extra'"])]
    project.lock("fuzz", *wheels)
    index.publish("c", "3")
    for _ in range(2):
        status, printed = project.run(*fuzz(python))
        assert status
        assert "install: .venv-fuzz: what requirements/fuzz.txt names is not complete" in printed
        assert "b 1 needs c>=3, which is missing" in printed
    project.lock("fuzz", *wheels, index.publish("c", "3"))
    assert project.run(*fuzz(python))[0] == 0


def test_nothing_is_built(python, project, index):
    """A source distribution runs whatever it holds, with whatever is the newest to build it."""
    index.publish("a")
    folder = index.folder / "simple" / "a"
    (folder / "a-1-py3-none-any.whl").unlink()
    source = folder / "a-1"
    source.mkdir()
    (source / "setup.py").write_text(f"open({str(folder / 'was built')!r}, 'w')")
    with tarfile.open(folder / "a-1.tar.gz", "w:gz") as archive:
        archive.add(source, "a-1")
    shutil.rmtree(source)
    (folder / "index.html").write_text('<a href="a-1.tar.gz">a-1.tar.gz</a>')
    project.lock("fuzz", folder / "a-1.tar.gz")
    text = (project.folder / "requirements" / "fuzz.txt").read_text()
    (project.folder / "requirements" / "fuzz.txt").write_text(text.replace("1.tar.gz", "1"))
    status, printed = project.run(*fuzz(python))
    assert status
    assert "pip could not get a==1, which requirements/fuzz.txt names" in printed
    assert "no wheel of it for Python 3." in printed
    assert not (folder / "was built").exists()


def test_without_an_index_it_says_what_to_set(python, project, index):
    """Which file, why, and what to set; and the next attempt goes on by itself."""
    project.lock("fuzz", index.publish("a"))
    # Port 9 discards; nothing listens there.
    status, printed = project.run(*fuzz(python), PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="1")
    assert status
    assert "install: .venv-fuzz: pip could not get a==1, which requirements/fuzz.txt names" in printed
    for name in ("PIP_INDEX_URL", "HTTPS_PROXY", "PIP_CERT", "http://127.0.0.1:9/simple", "Connection refused"):
        assert name in printed
    assert project.run(*fuzz(python))[0] == 0
    assert project.there() == ["a 1"]


@pytest.mark.parametrize("pip", ["oldest", "newest"])
def test_a_download_that_breaks_off_is_told_and_begun_again(pip, python, project, index, tmp_path):
    """Old pips take what came for a file with another hash, the newest tries again by itself."""
    if pip == "oldest":
        python = python_that_brings(BROUGHT[0], tmp_path / "python")
    project.lock("fuzz", index.publish("a"), index.publish("b"))
    index.breaks_off = True
    status, printed = project.run(*fuzz(python), PIP_RESUME_RETRIES="1")
    assert status
    assert "pip could not get a==1, which requirements/fuzz.txt names" in printed
    assert "the download broke off" in printed or "does not answer in full" in printed
    index.breaks_off = False
    assert project.run(*fuzz(python))[0] == 0
    assert project.there() == ["a 1", "b 1"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_installation_goes_on_the_next_time(how, python, project, index):
    """An interrupted installation never counts as complete, however it was interrupted."""
    project.lock("fuzz", index.publish("a"), index.publish("b"))
    index.hangs = True
    process = project.start(*fuzz(python))
    assert index.asked.wait(30)
    os.killpg(process.pid, how)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode
    if how == signal.SIGINT:
        assert "install: interrupted; the same command goes on with it" in printed
    index.hangs = False
    assert project.run(*fuzz(python))[0] == 0
    assert project.there() == ["a 1", "b 1"]


def test_a_second_run_asks_no_index(python, project, index):
    """No index, no pip, no line, until the lock changes; what the old lock had is then removed."""
    a, b = index.publish("a"), index.publish("b")
    project.lock("fuzz", a, b)
    assert project.run(*fuzz(python))[0] == 0
    index.asked.clear()
    status, printed = project.run(*fuzz(python), PIP_NO_INDEX="1")
    assert (status, "install:" in printed, index.asked.is_set()) == (0, False, False)
    project.lock("fuzz", b)
    assert project.run(*fuzz(python))[0] == 0
    assert project.there() == ["b 1"]


def test_two_at_once_make_one_installation(python, project, index):
    """The second waits, and says so."""
    project.lock("fuzz", index.publish("a"))
    index.hangs = True
    first = project.start(*fuzz(python))
    assert index.asked.wait(30)
    second = project.start(*fuzz(python))
    assert "waiting" in second.stdout.readline()
    index.hangs = False
    index.ended.set()
    assert [process.communicate(timeout=30) and process.returncode for process in (first, second)] == [0, 0]
    assert project.there() == ["a 1"]


def test_what_a_shell_or_pips_settings_say_of_other_projects_does_not_count(python, project, index, tmp_path):
    """``PYTHONPATH``, a constraint and the user's own site-packages each made an installation fail, or lack something."""
    project.lock("fuzz", index.publish("a"))
    shutil.unpack_archive(index.folder / "simple" / "a" / "a-1-py3-none-any.whl", tmp_path / "elsewhere", "zip")
    (tmp_path / "constraints.txt").write_text("a<1\n")
    settings = {
        "PYTHONPATH": str(tmp_path / "elsewhere"),
        "PIP_USER": "1",
        "PIP_CONSTRAINT": str(tmp_path / "constraints.txt"),
    }
    status, printed = project.run(*fuzz(python), **settings)
    assert status == 0, printed
    assert project.there() == ["a 1"]


def test_another_python_is_taken_when_it_is_named_or_the_old_one_is_gone(python, project, index, tmp_path):
    """An upgrade of the system removes the Python that an environment was made with."""
    other = python_that_brings(NEWEST, tmp_path / "python")
    project.lock("fuzz", index.publish("a"))
    project.run(*fuzz(python))
    inside = project.folder / ".venv-fuzz" / "bin" / "python"
    assert inside.resolve() == python.resolve()
    assert project.run(*fuzz(other))[0] == 0
    assert inside.resolve() == other.resolve()
    inside.unlink()
    inside.symlink_to("/nowhere/python3")
    assert project.run("make", "fuzz", PATH=f"{python.parent}:{os.environ['PATH']}")[0] == 0
    assert inside.resolve() == python.resolve()


class TestWhatTestsAdd:
    """``make test`` adds to the environment that ``make run`` made."""

    @pytest.fixture
    def ran(self, python, project, index):
        """A project in which ``make run`` has installed."""
        self.wheels = [index.publish("a"), index.publish("b")]
        project.lock("run", self.wheels[0])
        project.lock("dev", *self.wheels)
        assert self.install(python, project, "run")[0] == 0
        assert project.there(".venv") == ["a 1", "ours 1"]
        return project

    @staticmethod
    def install(python, project, *names, **variables):
        return project.run(python, "-m", "infra.install", *names, **variables)

    def test_what_runs_stays_as_it_is(self, ran, python):
        """None of its files changes: it may be running."""
        module = next((ran.folder / ".venv").glob("lib/python3.*/site-packages/a.py"))
        before = module.stat()
        assert self.install(python, ran, "dev")[0] == 0
        assert ran.there(".venv") == ["a 1", "b 1", "ours 1"]
        after = module.stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        assert self.install(python, ran, "run", "dev") == (0, "")

    def test_without_a_network_what_ran_still_runs(self, ran, python):
        """As often as one tries."""
        for _ in range(2):
            assert self.install(python, ran, "dev", PIP_NO_INDEX="1")[0] == 1
            assert self.install(python, ran, "run", PIP_NO_INDEX="1") == (0, "")
        assert self.install(python, ran, "dev")[0] == 0

    def test_what_was_interrupted_while_it_was_added_is_made_anew(self, ran, python, index):
        """``make run`` goes on as it was; ``make test`` trusts nothing that lies there."""
        index.hangs = True
        index.asked.clear()
        process = ran.start(python, "-m", "infra.install", "dev")
        assert index.asked.wait(30)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
        index.hangs = False
        packages = next((ran.folder / ".venv").glob("lib/python3.*/site-packages"))
        shutil.unpack_archive(self.wheels[1], packages, "zip")
        (packages / "b.py").unlink()
        assert self.install(python, ran, "run") == (0, "")
        assert self.install(python, ran, "dev")[0] == 0
        assert (packages / "b.py").is_file()


class TestOurOwnPackages:
    """``.venv`` has links to this project's packages (PEP 660)."""

    @pytest.fixture
    def there(self, python, project, index):
        """A project in which ``make test`` has installed."""
        self.wheels = [index.publish("a"), index.publish("b")]
        project.lock("run", self.wheels[0])
        project.lock("dev", *self.wheels)
        assert self.install(python, project)[0] == 0
        return project

    @staticmethod
    def install(python, project, *names, **variables):
        return project.run(python, "-m", "infra.install", *(names or ("dev",)), **variables)

    def test_another_version_is_linked_and_nothing_else_installed(self, there, python, index):
        """No index is needed: the locks are as they were. A failure is reported, and the next run goes on."""
        module = next((there.folder / ".venv").glob("lib/python3.*/site-packages/a.py"))
        before = module.stat()
        (there.folder / "pyproject.toml").write_text(PYPROJECT.replace('version = "1"', 'version = "2"'))
        (there.folder / "backend.py").write_text("raise SystemExit('no disk')")
        status, printed = self.install(python, there, PIP_NO_INDEX="1")
        assert (status, "install: .venv: pip could not install this project itself" in printed) == (1, True)
        (there.folder / "backend.py").write_text(
            BACKEND.replace("ours-1", "ours-2").replace("nVersion: 1", "nVersion: 2")
        )
        assert self.install(python, there, "run", PIP_NO_INDEX="1")[0] == 0
        assert there.there(".venv") == ["a 1", "b 1", "ours 2"]
        after = module.stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
        assert self.install(python, there, "run", "dev", PIP_NO_INDEX="1") == (0, "")
        # A changed lock empties the environment first, and they come back.
        self.wheels = [index.publish("a", "2"), self.wheels[1]]
        there.lock("run", self.wheels[0])
        there.lock("dev", *self.wheels)
        assert self.install(python, there)[0] == 0
        assert there.there(".venv") == ["a 2", "b 1", "ours 2"]


def test_this_environment_has_the_pip_that_python_brings():
    """An upgraded one would hide what fails for people who have just installed Python."""
    assert importlib.metadata.version("pip") == ensurepip.version()
