"""Fixtures for everybody."""

import pytest

from tests.browser import NO_BROWSER, chromium
from tests.fakes import FakeAws, make_system


def pytest_terminal_summary(terminalreporter):
    """Say loudly what did not run for want of a browser."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if NO_BROWSER in str(report.longrepr)]
    if skipped:
        terminalreporter.section("browser tests did NOT run", red=True, bold=True)
        terminalreporter.line(f"{len(skipped)} tests need a browser, and there is {NO_BROWSER}.")


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; take a new context for each test.

    Not for longer than a module: as long as it runs, its thread can run no other event loop.
    """
    with chromium() as running:
        yield running


@pytest.fixture
def aws(monkeypatch):
    """SSM and Cognito on loopback, found through the SDKs' own environment variables."""
    fake = FakeAws()
    monkeypatch.setenv("AWS_ENDPOINT_URL", fake.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-token/+==")
    yield fake
    fake.close()


@pytest.fixture
def gateway(aws):
    """A gateway that is set up and has read nothing yet."""
    return make_system()
