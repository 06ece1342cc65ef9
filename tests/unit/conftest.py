"""What every unit test gets: no time limits for hypothesis, and connections that a gateway keeps closed at the end."""

import hypothesis
import pytest
from cognito_edge.fetch import Client

from tests.fakes import make_settings, make_system

# A machine that is busy with something else must not make a test fail.
hypothesis.settings.register_profile("unit", deadline=None)
hypothesis.settings.load_profile("unit")


@pytest.fixture
def gateway(aws):
    """A gateway as everybody's, with the patience that a busy machine asks for."""
    return make_system(make_settings(attempt_timeout_s=2))


@pytest.fixture(scope="session", autouse=True)
def connections_closed():
    """Remember every client; at the edge nobody closes one, since its environment simply ends."""
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
