"""What every test of the edge gets: a gateway with patience."""

import pytest

from tests.support.fakes import make_settings, make_system


@pytest.fixture
def gateway(aws):
    """A gateway as everybody's, with the patience that a busy machine asks for."""
    return make_system(make_settings(attempt_timeout_s=2))
