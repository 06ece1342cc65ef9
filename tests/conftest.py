"""Fixtures for all tests, and what makes a whole run short: bytecode, botocore's models read once, long files first."""

import os
import sys
from pathlib import Path

import botocore.session
import hypothesis
import pytest
from cognito_edge.fetch import Client

from tests.support import programs, running_system

# A machine that is busy with something else must not make a test fail.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

# Container images often set it. A run starts some hundred interpreters, and each would compile all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A run is as long as its longest worker, so that no worker may meet a long file at the very end: these take ten seconds and
# more, and all other files come after them. Those that mostly wait come early, so that they wait while others compute.
LONG_FILES = (
    "e2e/test_faults.py",  # waits
    "infra/test_install.py",
    "local/test_stack.py",
    "e2e/test_policy_live.py",  # waits
    "infra/test_cdk_cli.py",
    "infra/test_wheel.py",
    "cli/test_get_token.py",  # waits
    "e2e/test_doctor.py",  # waits
    "infra/test_variants.py",
    "web/test_page.py",
    "edge/test_gateway_faults.py",  # waits
    "edge/test_signature_properties.py",
    "infra/test_refusals.py",
    "e2e/test_browser_fetch.py",
    "web/test_looks.py",
    "edge/test_target.py",
    "local/test_other_users.py",
    "local/test_get_token_with_emulator.py",
    "cli/test_policy_script.py",
    "edge/test_policy_table.py",
    "infra/test_monitoring.py",
    "e2e/test_trace_page.py",
    "infra/test_bundle.py",
    "e2e/test_books.py",
    "edge/test_policy.py",
    "local/test_runtime.py",
    "infra/test_app.py",
    "e2e/test_mcp_client.py",
    "e2e/test_web.py",
)


def pytest_configure(config):
    """Let xdist hand files out in the order of ``pytest_collection_modifyitems``, not by their numbers of tests."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    """Put long files first where several workers share the run; alone, the order of folders is easier to follow."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = Path(__file__).parent
        ranks = {folder / name: rank for rank, name in enumerate(LONG_FILES)}
        items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@pytest.fixture(scope="session", autouse=True)
def _models_read_once():
    """Read each of botocore's models once in a process: a client reads megabytes of JSON that never change."""
    cached: dict[str | None, dict] = {}
    create = botocore.session.create_loader

    def create_loader(search_path_string=None):
        loader = create(search_path_string)
        loader._cache = cached.setdefault(search_path_string, loader._cache)
        return loader

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", create_loader)
        yield


@pytest.fixture(scope="session", autouse=True)
def _connections_closed():
    """Close the connections of every client. At the edge they end with the environment."""
    clients = []
    made = Client.__init__

    def remember(self, **arguments):
        made(self, **arguments)
        clients.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "__init__", remember)
        yield
    for client in clients:
        for connection, _ in client._kept.values():
            connection.close()


@pytest.fixture(scope="session", autouse=True)
def _systems_ended():
    """Leave no system behind. Tests go on while theirs stops."""
    yield
    running_system.wait_for_the_ended()


def pytest_terminal_summary(terminalreporter):
    """Say loudly what did not run for want of a program."""
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    for reason in (programs.NO_CURL, programs.NO_BROWSER):
        if count := sum(reason in text for text in skipped):
            terminalreporter.section(f"{count} tests did NOT run", red=True, bold=True)
            terminalreporter.line(f"There is {reason}.")


@pytest.fixture(scope="session")
def curl():
    """The path of curl."""
    return programs.curl()


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; take a new context for each test.

    It lasts for a module only, because its thread can run no other event loop meanwhile.
    """
    with programs.chromium() as running:
        yield running
