"""The synthesised app and the built bundles, made once for all tests of this folder."""

import json
import shutil

import pytest

from infra.deploy.node import use_bundled_node
from tests.infra.rig import PROJECT, Template, made_once, project_copy, run_module

use_bundled_node()  # before any test module imports aws_cdk


@pytest.fixture(scope="session")
def assembly(tmp_path_factory):
    """The cloud assembly, synthesised with every check, without credentials and without a network."""

    def synthesise(folder):
        finished = run_module("infra.app", "--output", folder)
        assert finished.returncode == 0, finished.stderr

    return made_once(tmp_path_factory, "assembly", synthesise)


@pytest.fixture(scope="session")
def template(assembly):
    """The example stack's template."""
    return Template(json.loads((assembly / "CognitoEdgeGateway.template.json").read_bytes()))


@pytest.fixture(scope="session")
def variants(tmp_path_factory):
    """Every way to deploy, synthesised; a folder for each."""
    from tests.infra.variants import synthesise_all  # it imports aws_cdk

    return made_once(tmp_path_factory, "variants", synthesise_all)


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory):
    """A copy of the project in another folder."""
    folder = tmp_path_factory.mktemp("elsewhere") / "a folder with another name"
    project_copy(folder)
    yield folder
    shutil.rmtree(folder)


def _bundle(folder, platform, *more):
    finished = run_module(
        "infra.bundle",
        *("--output", folder, "--parameter-prefix", "/gateway", "--parameter-region", "eu-west-1"),
        *("--platform", platform, *more),
    )
    assert finished.returncode == 0, finished.stderr
    return folder


@pytest.fixture(scope="session")
def host_bundle(tmp_path_factory):
    """The edge function's bundle for this interpreter."""
    return _bundle(tmp_path_factory.mktemp("bundles") / "host", "host")


@pytest.fixture(scope="session")
def lambda_bundle(tmp_path_factory):
    """The edge function's bundle for Lambda, with the bytecode that this machine can make."""
    return _bundle(tmp_path_factory.mktemp("bundles") / "lambda", "lambda")


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch):
    """Relative paths mean the project's, wherever pytest was started."""
    monkeypatch.chdir(PROJECT)
