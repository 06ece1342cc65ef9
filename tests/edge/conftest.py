"""A gateway for every test of the edge, and the services that it reads."""

import pytest

from tests.support.fake_aws import FakeAws
from tests.support.gateways import make_system


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
