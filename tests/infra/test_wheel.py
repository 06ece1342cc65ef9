"""The wheel: what is in it, and what a stranger does with it in an empty folder, an empty environment and no network."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile

import pytest
from cognito_edge_cdk.bundling.bytecode import lambda_interpreter
from cognito_edge_cdk.bundling.locks import in_wheel, installed, lacking

from infra.deploy.npm import node
from infra.deploy.toolkit import install as cdk_program
from tests.infra.rig import PROJECT, made_once

PACKAGES = ("edge/cognito_edge", "infra/cognito_edge_cdk", "scripts/cognito_edge_cli", "local/cognito_edge_local")
# These tests run without a CPython 3.13 too; .github/workflows/ci.yml builds the release with one.
BYTECODE = "auto" if lambda_interpreter() else "none"
# Port 9 (discard) of this machine: every attempt to reach a network fails at once.
NOWHERE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
NO_INDEX = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
CAN_CUT_OFF = shutil.which("unshare") and not subprocess.run(["unshare", "-n", "true"], check=False).returncode


def run(*command, folder, cut_off=True, umask=-1, **variables):
    """Run a command with none of this project's variables, and no network where this machine can take that away."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_", "PYTHON", "PIP_"))
    }
    environment |= {**NOWHERE, **NO_INDEX, "JSII_NODE": str(node()), "COGNITO_EDGE_BYTECODE": BYTECODE, **variables}
    return subprocess.run(
        [*(("unshare", "-n") if CAN_CUT_OFF and cut_off else ()), *map(str, command)],
        cwd=folder,
        env=environment,
        umask=umask,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def build(source, folder, kind="wheel", **options):
    return run(sys.executable, "-m", "hatchling", "build", "--target", kind, "-d", folder, folder=source, **options)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel, built as ``make dist`` does."""

    def make(folder):
        done = build(PROJECT, folder)
        assert done.returncode == 0, done.stderr

    return next(made_once(tmp_path_factory, "wheel", make).glob("*.whl"))


@pytest.fixture(scope="session")
def source_archive(tmp_path_factory):
    """The source distribution."""

    def make(folder):
        done = build(PROJECT, folder, "sdist")
        assert done.returncode == 0, done.stderr

    return next(made_once(tmp_path_factory, "sdist", make).glob("*.tar.gz"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory, wheel):
    """A folder with an environment in which the wheel is installed, and a project with a package of the name ``infra``.

    What the wheel requires comes from ``.venv``; what ``.venv`` has of this project does not.
    """

    def make(folder):
        venv.create(folder / "venv", symlinks=True)
        python = folder / "venv" / "bin" / "python"
        done = run(
            *(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-compile", wheel),
            folder=folder,
        )
        assert done.returncode == 0, done.stderr
        packages = next((folder / "venv").glob("lib/python3.*/site-packages"))
        # Python does not read the .pth files of a folder that a .pth file names.
        (packages / "requirements.pth").write_text(f"{next(PROJECT.glob('.venv/lib/python3.*/site-packages'))}\n")
        project = folder / "orders"
        (project / "infra").mkdir(parents=True)
        (project / "infra" / "__init__.py").write_text("NAME = 'Orders'\n")
        (project / "app.py").write_text("import infra\n\nassert infra.NAME == 'Orders'\n" + documented_app())
        (project / "policy.json").write_text('{"version": 1, "routes": [{"path": "/*"}]}\n')

    return made_once(tmp_path_factory, "stranger", make)


def documented_app():
    """Return the README's app."""
    return re.search(r"```python\n(import aws_cdk as cdk\n.*?)```", (PROJECT / "README.md").read_text(), re.DOTALL)[1]


def files(folder):
    """Return the content's hash of every file below a folder, by name."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def names(archive):
    with zipfile.ZipFile(archive) as opened:
        return set(opened.namelist())


def test_it_has_the_four_packages_and_little_else(wheel):
    """Every file of each package and what the build adds, but neither the example nor its deployment nor the tests."""
    everything = {f"{folder.partition('/')[2]}/{name}" for folder in PACKAGES for name in files(PROJECT / folder)}
    sources = {name for name in everything if "__pycache__" not in name}
    assert {f"{folder.partition('/')[2]}/py.typed" for folder in PACKAGES} <= sources
    about = {name for name in names(wheel) if ".dist-info/" in name}
    assert names(wheel) - about == sources | {
        "cognito_edge_cdk/edge.zip",
        "cognito_edge_cli/doctor/refusals.md",
        "cognito_edge_local/locks/emulator.txt",
        "cognito_edge_local/locks/runtime.txt",
    }
    assert wheel.stat().st_size < 10_000_000


def test_the_files_that_it_adds_are_the_projects(wheel):
    """The hashed locks, and the page that ``doctor --code`` prints."""
    with zipfile.ZipFile(wheel) as opened:
        for name, source in {
            "cognito_edge_cli/doctor/refusals.md": "docs/refusals.md",
            "cognito_edge_local/locks/emulator.txt": "requirements/emulator.txt",
            "cognito_edge_local/locks/runtime.txt": "requirements/runtime.txt",
        }.items():
            assert opened.read(name) == (PROJECT / source).read_bytes()


def test_the_licences_are_inside(wheel, tmp_path):
    """The wheel has ours and that of every library that the edge function ships."""
    assert [name for name in names(wheel) if name.endswith(".dist-info/licenses/LICENSE")]
    with zipfile.ZipFile(wheel) as opened:
        inside = names(opened.extract("cognito_edge_cdk/edge.zip", tmp_path))
    assert "LICENSE" in inside
    for project in ("cryptography", "httptools", "pybase64", "cffi"):
        assert [name for name in inside if re.match(rf"{project}-[^/]*\.dist-info/licenses/LICENSE", name)], project


def test_what_it_requires_is_in_the_lock(wheel):
    """An installation may get the versions that the tests judge, extras included."""
    ours = in_wheel(wheel)
    there = [
        found for found in installed(next(PROJECT.glob(".venv/lib/python3.*/site-packages"))) if found.name != ours.name
    ]
    everything = type(ours)("everything", "0", (f"{ours.name}[cdk,local]",))
    assert lacking([*there, ours, everything], markers={}) == []


def test_the_source_archive_gives_the_same_wheel(wheel, source_archive, tmp_path):
    """Byte for byte, in another folder, under another umask and later. What the lock names comes from the index."""
    subprocess.run(["tar", "--extract", "--file", source_archive, "--directory", tmp_path], check=True)
    source = next(tmp_path.iterdir())
    assert {"edge", "infra", "scripts", "local", "backend", "tests", "docs", "requirements", "web"} <= {
        path.name for path in source.iterdir()
    }
    done = build(source, tmp_path / "wheel")
    assert done.returncode
    assert "which requirements/edge.txt names" in done.stderr
    assert "Building the wheel needs what requirements/edge.txt names, from the package index" in done.stderr
    links = str(PROJECT / ".venv-wheels" / "lambda")
    done = build(source, tmp_path / "wheel", umask=0o077, PIP_FIND_LINKS=links)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "wheel" / wheel.name).read_bytes() == wheel.read_bytes()


def test_without_a_python_3_13_no_wheel_is_built_unless_that_is_meant(tmp_path):
    """Otherwise an adopter's cold starts are slow for no visible reason."""
    variables = {"PATH": "/usr/sbin:/nowhere", "PYENV_ROOT": "/nowhere", "cut_off": False}
    if sys.version_info[:2] != (3, 13):
        done = build(PROJECT, tmp_path, COGNITO_EDGE_BYTECODE="auto", **variables)
        assert done.returncode
        assert "building the wheel needs a CPython 3.13" in done.stderr
        assert "COGNITO_EDGE_BYTECODE=none" in done.stderr
        assert not list(tmp_path.iterdir())
    assert build(PROJECT, tmp_path, COGNITO_EDGE_BYTECODE="none", **variables).returncode == 0
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as opened:
        inside = names(opened.extract("cognito_edge_cdk/edge.zip", tmp_path))
    assert [name for name in inside if name.endswith(".pyc")] == []


def synthesise(python, project, output):
    done = run(python, "app.py", folder=project, CDK_OUTDIR=str(output))
    assert done.returncode == 0, done.stderr
    return output


def edge_code(assembly):
    """Return the folder of the edge function's code."""
    template = json.loads((assembly / "Orders.template.json").read_text())
    function = next(
        resource["Properties"]
        for resource in template["Resources"].values()
        if resource["Properties"].get("Handler") == "cognito_edge.handler.handler"
    )
    return assembly / f"asset.{function['Code']['S3Key'].removesuffix('.zip')}"


def test_an_app_of_a_strangers_gives_what_a_checkout_gives(stranger, tmp_path):
    """Templates and the edge function's code, byte for byte; without this project's locks, a download or a network."""
    project = stranger / "orders"
    theirs = synthesise(stranger / "venv" / "bin" / "python", project, tmp_path / "theirs")
    ours = synthesise(sys.executable, project, tmp_path / "ours")
    assert files(theirs) == files(ours)
    assert any(edge_code(theirs).rglob("*.pyc")) == (BYTECODE == "auto")


def test_cdk_synth_works_there(stranger, tmp_path):
    """CDK's command line runs the app; the edge function's settings are the app's."""
    python = stranger / "venv" / "bin" / "python"
    command = (node(), cdk_program(), "synth", "--quiet", "--no-notices", "--app", f"{python} app.py")
    done = run(*command, "--output", tmp_path, folder=stranger / "orders", CDK_DISABLE_CLI_TELEMETRY="true")
    assert done.returncode == 0, done.stderr
    settings = json.loads((edge_code(tmp_path) / "settings.json").read_text())
    assert (settings["parameter_prefix"], settings["parameter_region"]) == ("/cognito-edge-gateway", "us-east-1")


def test_the_bytecode_can_be_left_out_or_compiled_anew(stranger, tmp_path):
    """The construct's argument ``bytecode`` means there what it means in a checkout."""
    program = """
import shutil, sys
from cognito_edge_cdk.bundling.edge_folder import edge_folder
settings = {"parameter_prefix": "/gateway", "parameter_region": "eu-west-1"}
shutil.copytree(edge_folder(settings, bytecode=sys.argv[1]), sys.argv[2])
"""
    found = lambda_interpreter()
    for choice, name in (("none", "without"), *([(found.executable, "anew")] if found else [])):
        for python, whose in ((stranger / "venv" / "bin" / "python", "theirs"), (sys.executable, "ours")):
            done = run(python, "-c", program, choice, tmp_path / whose / name, folder=stranger)
            assert done.returncode == 0, done.stderr
    assert files(tmp_path / "theirs") == files(tmp_path / "ours")
    assert not any((tmp_path / "theirs" / "without").rglob("*.pyc"))
    assert not found or any((tmp_path / "theirs" / "anew").rglob("*.pyc"))


def test_a_wrong_setting_is_refused_there(stranger):
    """The check is the same as in a checkout."""
    program = "from cognito_edge_cdk.bundling.edge_folder import edge_folder as f; f({'polcy_required': True})"
    done = run(stranger / "venv" / "bin" / "python", "-c", program, folder=stranger)
    assert done.returncode
    assert "polcy_required: unknown setting" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--help",), "policy"),
        (("token", "--help"), "--stack"),
        (("policy", "check", "policy.json"), ""),
        (("doctor", "--code", "revoked"), "revoked"),
    ],
)
def test_the_command_works_there(arguments, expected, stranger):
    """It needs neither a checkout nor, for these, a network."""
    done = run(stranger / "venv" / "bin" / "cognito-edge", *arguments, folder=stranger / "orders")
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


def test_the_command_knows_its_version(stranger, wheel):
    """``pyproject.toml`` is the only place that says it."""
    done = run(stranger / "venv" / "bin" / "cognito-edge", "--version", folder=stranger)
    assert done.stdout.strip() == in_wheel(wheel).version


def test_an_editable_installation_gets_none_of_it(tmp_path):
    """A checkout builds the edge function from its sources, however old its last installation is."""
    done = build(PROJECT, tmp_path, "wheel:editable")
    assert done.returncode == 0, done.stderr
    links = {name for name in names(next(tmp_path.glob("*.whl"))) if ".dist-info/" not in name}
    assert links == {"_cognito_edge_gateway.pth"}
