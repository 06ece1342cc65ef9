"""SSM and Cognito's key endpoint on one loopback port, with faults on purpose."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from .http_fake import Answer, Asked, HttpFake, json_answer
from .keys_and_tokens import Pool

PREFIX = "/gateway"


@dataclass
class Service:
    """One faked service: how it behaves, and what it was asked.

    Attributes:
        mode: ok · down (connection closed) · error (500) · garbled · throttled · hang · drip (a byte now and then) ·
            huge (an endless body) · redirect.
        requests: Path, headers by lower-case name and body of each.
    """

    mode: str = "ok"
    calls: int = 0
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


class FakeAws(HttpFake):
    """The two services.

    Attributes:
        ssm: GetParameters.
        cognito: The key sets.
        pools: By id.
        parameters: By name.
        jwks: Key sets to serve in place of a pool's own, by its id; bytes as they are.
    """

    def __init__(self, *pools: Pool) -> None:
        self.ssm = Service()
        self.cognito = Service()
        self.pools = {pool.pool_id: pool for pool in pools or (Pool(),)}
        first = next(iter(self.pools.values()))
        self.parameters = {f"{PREFIX}/user-pool-id": first.pool_id, f"{PREFIX}/client-id": first.client_id}
        self.jwks: dict[str, object] = {}
        super().__init__(self._answer)

    @property
    def policy(self) -> object:
        return self.parameters.get(f"{PREFIX}/policy")

    @policy.setter
    def policy(self, document: object) -> None:
        if document is None:
            self.parameters.pop(f"{PREFIX}/policy", None)
        else:
            text = document if isinstance(document, str) else json.dumps(document)
            self.parameters[f"{PREFIX}/policy"] = text

    def _answer(self, asked: Asked) -> Answer | None:
        service, answer = (
            (self.cognito, self._key_set(asked)) if asked.method == "GET" else (self.ssm, self._values(asked))
        )
        service.calls += 1
        service.requests.append((asked.target, {k.lower(): v for k, v in asked.headers.items()}, asked.body))
        match service.mode:
            case "down":
                return None
            case "error":
                return Answer(500, b"{}")
            case "garbled":
                return Answer(answer.status, answer.body[: len(answer.body) // 2])
            case "throttled":
                return json_answer({"__type": "ThrottlingException", "message": "Rate exceeded"}, 400)
            case "redirect":
                return Answer(302, headers={"Location": asked.target})
            case "hang":
                self.ended.wait(20)
                return None
            case "drip":
                return Answer(200, self._drops(), {"Content-Length": "100000"})
            case "huge":
                return Answer(answer.status, b" " * 2_000_000)
        return answer

    def _key_set(self, asked: Asked) -> Answer:
        pool_id = asked.path.split("/")[1]
        pool = self.pools.get(pool_id)
        document = self.jwks.get(pool_id, pool.jwks() if pool else None)
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return Answer(200 if document else 404, body)

    def _values(self, asked: Asked) -> Answer:
        names = json.loads(asked.body)["Names"]
        found = [{"Name": n, "Value": self.parameters[n]} for n in names if n in self.parameters]
        missing = [n for n in names if n not in self.parameters]
        return json_answer({"Parameters": found, "InvalidParameters": missing})

    def _drops(self) -> Iterator[bytes]:
        while not self.ended.wait(0.05):
            yield b" "
