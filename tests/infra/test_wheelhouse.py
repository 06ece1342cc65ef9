"""Wheels are taken by target and by hash, whatever else lies in the folder."""

import pytest
from cognito_edge_cdk.bundling.installer import InstallError
from cognito_edge_cdk.bundling.locks import read_lock
from cognito_edge_cdk.bundling.wheelhouse import WheelhouseError, download, select, target

from tests.infra.rig import make_lock, make_wheel


def chosen(lock, folder, name="lambda"):
    return [wheel.path.name for wheel in select(lock, target_=target(name), wheelhouse=folder)]


def test_the_best_wheel_for_lambda_is_taken(tmp_path):
    """The newest glibc that Lambda has comes before older ones, and those before wheels without compiled code."""
    tags = ["py3-none-any", "cp313-cp313-manylinux_2_17_x86_64", "cp313-cp313-manylinux_2_34_x86_64"]
    wheels = [make_wheel(tmp_path, "library", {"a.py": tag}, tag=tag) for tag in tags]
    lock = tmp_path / "lock.txt"
    hashes = [make_lock(lock, wheel).read_text().split("--hash=")[1].split()[0] for wheel in wheels]
    lock.write_text("library==1.0 " + " ".join(f"--hash={digest}" for digest in hashes))
    assert chosen(lock, tmp_path) == ["library-1.0-cp313-cp313-manylinux_2_34_x86_64.whl"]


@pytest.mark.parametrize(
    "tag",
    [
        "cp313-cp313-manylinux_2_34_x86_64",
        "cp313-cp313-manylinux2014_x86_64",
        "cp39-abi3-manylinux_2_28_x86_64",
        "py2.py3-none-any",
    ],
)
def test_wheels_that_load_on_lambda_are_taken(tag, tmp_path):
    """CPython 3.13 and the stable ABI, up to glibc 2.34, and pure Python."""
    wheel = make_wheel(tmp_path, "library", {}, tag=tag)
    assert chosen(make_lock(tmp_path / "lock.txt", wheel), tmp_path) == [wheel.name]


@pytest.mark.parametrize(
    "tag",
    [
        "cp312-cp312-manylinux2014_x86_64",
        "cp313-cp313t-manylinux2014_x86_64",
        "cp314-abi3-manylinux2014_x86_64",
        "cp313-cp313-manylinux_2_35_x86_64",
        "cp313-cp313-musllinux_1_2_x86_64",
        "cp313-cp313-manylinux2014_aarch64",
        "cp313-cp313-macosx_11_0_arm64",
        "cp313-cp313-win_amd64",
    ],
)
def test_wheels_that_do_not_load_on_lambda_are_not_taken(tag, tmp_path):
    """Other versions, free-threaded builds, a newer glibc, musl, other machines."""
    lock = make_lock(tmp_path / "lock.txt", make_wheel(tmp_path, "library", {}, tag=tag))
    with pytest.raises(WheelhouseError, match=r"no lambda wheel .*library==1\.0.*--download-wheels"):
        chosen(lock, tmp_path)


def test_a_wheel_with_another_hash_is_not_taken(tmp_path):
    """The lock decides, however the file came into the folder."""
    wheel = make_wheel(tmp_path, "library", {"library.py": "good = True"})
    lock = make_lock(tmp_path / "lock.txt", wheel)
    make_wheel(tmp_path, "library", {"library.py": "good = False"})
    with pytest.raises(WheelhouseError, match=r"library==1\.0"):
        chosen(lock, tmp_path)


def test_everything_missing_is_named_at_once(tmp_path):
    """One run names them all."""
    wheels = [make_wheel(tmp_path, name, {}) for name in ("one", "two")]
    lock = make_lock(tmp_path / "lock.txt", *wheels)
    with pytest.raises(WheelhouseError, match=r"one==1\.0, two==1\.0"):
        chosen(lock, tmp_path / "empty")


@pytest.mark.parametrize(
    ("marker", "applies"),
    [
        ("python_version == '3.13'", True),
        ("python_version < '3.13'", False),
        ("platform_machine == 'x86_64' and sys_platform == 'linux'", True),
        ("sys_platform == 'win32'", False),
        ("platform_python_implementation != 'PyPy'", True),
    ],
)
def test_markers_are_those_of_lambda_and_not_of_this_machine(marker, applies, tmp_path):
    """By default pip uses the values of the interpreter that runs it."""
    lock = make_lock(tmp_path / "lock.txt", make_wheel(tmp_path, "library", {}), marker=marker)
    assert bool(read_lock(lock, markers=target("lambda").markers)) == applies


def test_nothing_is_downloaded_when_everything_is_there(tmp_path, monkeypatch):
    """A second installation needs no network."""
    monkeypatch.setattr("cognito_edge_cdk.bundling.wheelhouse.pip", lambda *_, **__: pytest.fail("pip was started"))
    lock = make_lock(tmp_path / "lock.txt", make_wheel(tmp_path, "library", {}, requires=()))
    assert download(lock, target_=target("lambda"), wheelhouse=tmp_path) is False


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that plays the package index."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


def test_pip_fetches_what_is_missing_and_checks_its_hash(index, tmp_path):
    """A file with another hash is refused by pip."""
    lock = make_lock(tmp_path / "lock.txt", make_wheel(index, "library", {}, requires=()))
    assert download(lock, target_=target("lambda"), wheelhouse=tmp_path / "house") is True
    assert chosen(lock, tmp_path / "house") == ["library-1.0-py3-none-any.whl"]
    make_wheel(index, "library", {"library.py": "evil = True"}, requires=())
    with pytest.raises(InstallError, match=r"lambda: pip could not get library==1\.0, .*lock\.txt.*\n.*another hash"):
        download(lock, target_=target("lambda"), wheelhouse=tmp_path / "other house")


def test_a_lock_that_lacks_what_a_function_needs_is_refused(index, tmp_path):
    """Lambda's markers decide: the function would fail at its first import there, whatever this machine has."""
    need = ["other>=2; python_version == '3.13'", "third; python_version < '3.13'"]
    wheel = make_wheel(index, "library", {}, requires=need)
    with pytest.raises(WheelhouseError, match=r"^lock\.txt .*: library 1\.0 needs other>=2, which is missing$"):
        download(make_lock(tmp_path / "lock.txt", wheel), target_=target("lambda"), wheelhouse=tmp_path / "house")
    other = make_wheel(index, "other", {}, requires=(), version="2.1")
    assert download(
        make_lock(tmp_path / "lock.txt", wheel, other), target_=target("lambda"), wheelhouse=tmp_path / "house"
    )


def test_there_are_two_targets():
    """The message names a misspelt one."""
    with pytest.raises(ValueError, match="'lamda'"):
        target("lamda")
