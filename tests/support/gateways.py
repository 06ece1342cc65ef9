"""Gateways as the handler builds them, with their log lines."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from cognito_edge.fetch import Client
from cognito_edge.gateway import Gateway
from cognito_edge.jwks import KeySet, parse_jwks
from cognito_edge.key_source import KeySource
from cognito_edge.parameter_source import ParameterSource
from cognito_edge.parameters import parse_parameters
from cognito_edge.settings import Settings
from cognito_edge.sigv4 import Credentials

from .events import make_event
from .fake_aws import PREFIX, FakeAws, Service
from .keys_and_tokens import CLIENT_ID, NOW, Pool

REGION = "eu-central-1"
CREDENTIALS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session-token/+==")

# The limit of an attempt whose service is slow on purpose. All others keep the two seconds that settings have by default,
# because a fake's answer can take half a second on a busy machine.
IMPATIENT_S = 0.2

# Faults that last until the caller stops waiting.
SLOW = frozenset({"hang", "drip"})


def make_settings(**changes: object) -> Settings:
    """Settings for the fakes of ``fake_aws``."""
    return Settings(**{"parameter_prefix": PREFIX, "parameter_region": REGION, **changes})


@dataclass
class System:
    """A gateway as the handler builds it, with its log lines."""

    gateway: Gateway
    lines: list[str]

    def __call__(self, event: object = None, now: float = NOW, **changes: object) -> dict:
        """Send a request that starts valid; see ``make_event``."""
        return self.gateway.handle(make_event(**changes) if event is None else event, now)

    @property
    def log(self) -> list[dict]:
        return [json.loads(line) for line in self.lines]


def make_client(settings: Settings) -> Client:
    """Build an HTTP client as the handler does."""
    return Client(timeout_s=settings.attempt_timeout_s, max_answer_bytes=settings.max_answer_bytes)


def make_system(
    settings: Settings | None = None,
    *,
    credentials: Callable[[], Credentials] = lambda: CREDENTIALS,
    ssm: Client | None = None,
    cognito: Client | None = None,
    **changes: object,
) -> System:
    """Build a gateway whose endpoints come from the environment, as in the handler; *changes* are settings."""
    settings = settings or make_settings(**changes)
    client = make_client(settings)
    lines: list[str] = []
    gateway = Gateway(
        settings,
        load_configuration=ParameterSource(ssm or client, settings).load,
        load_keys=KeySource(cognito or client).load,
        credentials=credentials,
        log=lines.append,
    )
    return System(gateway, lines)


@dataclass
class Faults:
    """A gateway with a client for each service, so that one can be slow and the other not."""

    aws: FakeAws
    system: System
    clients: dict[str, Client]

    @classmethod
    def make(cls, aws: FakeAws, **changes: object) -> "Faults":
        """Build the gateway; *changes* are settings."""
        settings = make_settings(**changes)
        clients = {"ssm": make_client(settings), "cognito": make_client(settings)}
        return cls(aws, make_system(settings, **clients), clients)

    @contextlib.contextmanager
    def of(self, name: str, mode: str) -> Iterator[Service]:
        """Let one service (``ssm`` or ``cognito``) fail in one way for a while."""
        service: Service = getattr(self.aws, name)
        client = self.clients[name]
        patient_s = client.timeout_s
        service.mode = mode
        if mode in SLOW:
            client.timeout_s = IMPATIENT_S
        try:
            yield service
        finally:
            service.mode = "ok"
            client.timeout_s = patient_s


def make_offline_system(
    policy: object = None,
    *,
    pools: Sequence[Pool] = (Pool(),),
    client_ids: Sequence[str] = (CLIENT_ID,),
    credentials: Credentials = CREDENTIALS,
    **settings: object,
) -> System:
    """Build a gateway whose parameters and keys are at hand: for thousands of requests without a socket.

    Args:
        policy: The policy document as JSON text or as an object; None for none.
        pools: Those whose keys can be read. The first is the gateway's own.
        client_ids: The own pool's.
        credentials: Whose requests it makes.
        settings: Changes to the settings.
    """
    values = {"user-pool-id": pools[0].pool_id, "client-id": ",".join(client_ids)}
    if policy is not None:
        values["policy"] = policy if isinstance(policy, str) else json.dumps(policy)
    configuration = parse_parameters(values, policy_required=False)
    keys = {pool.pool_id: _key_set(json.dumps(pool.jwks())) for pool in pools}
    lines: list[str] = []
    gateway = Gateway(
        make_settings(**settings),
        load_configuration=lambda _now: configuration,
        load_keys=lambda pool, *_: keys[pool.pool_id],
        credentials=lambda: credentials,
        log=lines.append,
    )
    return System(gateway, lines)


@cache
def _key_set(document: str) -> KeySet:
    return parse_jwks(document.encode())
