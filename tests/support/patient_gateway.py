"""Gateways with time: on a machine that is busy with something else a fake's answer can take half a second.

Attempts that are meant to succeed get two seconds, the longest that settings allow; ``Faults`` shortens them for as long
as a service is slow on purpose.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from cognito_edge.aws import KeySource, ParameterSource
from cognito_edge.fetch import Client
from cognito_edge.gateway import Gateway

from tests.support.fakes import CREDENTIALS, FakeAws, Service, System, make_settings, make_system

PATIENT_S = 2
IMPATIENT_S = 0.2

# Faults that last until somebody stops waiting.
SLOW = frozenset({"hang", "drip"})


def patient_system(**settings: object) -> System:
    """Build a gateway as the handler does, with long attempts."""
    return make_system(make_settings(**{"attempt_timeout_s": PATIENT_S, **settings}))


@dataclass
class Faults:
    """A gateway with a client for each service, so that one can be slow and the other not."""

    aws: FakeAws
    system: System
    clients: dict[str, Client]

    @classmethod
    def make(cls, aws: FakeAws, **settings: object) -> "Faults":
        """Build the gateway."""
        made = make_settings(attempt_timeout_s=PATIENT_S, **settings)
        clients = {
            name: Client(timeout_s=PATIENT_S, max_answer_bytes=made.max_answer_bytes) for name in ("ssm", "cognito")
        }
        lines: list[str] = []
        gateway = Gateway(
            made,
            load_configuration=ParameterSource(clients["ssm"], made).load,
            load_keys=KeySource(clients["cognito"]).load,
            credentials=lambda: CREDENTIALS,
            log=lines.append,
        )
        return cls(aws, System(gateway, lines), clients)

    @contextlib.contextmanager
    def of(self, name: str, mode: str) -> Iterator[Service]:
        """Let one service (``ssm`` or ``cognito``) fail in one way for a while."""
        service: Service = getattr(self.aws, name)
        service.mode = mode
        self.clients[name].timeout_s = IMPATIENT_S if mode in SLOW else PATIENT_S
        try:
            yield service
        finally:
            service.mode = "ok"
            self.clients[name].timeout_s = PATIENT_S
