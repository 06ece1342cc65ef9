"""Faults on purpose: what the edge sees of AWS (SSM, the pool's keys), its clock and its credentials; off by default.

The edge asks AWS two questions, and both go through `AwsProxy`. Without a fault it passes them on to the emulator byte
for byte, `Host` included, since the edge has signed it. `Faults` holds the knobs; `emulator/faults_endpoint.py` lets people and
tests turn them.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from botocore.exceptions import ClientError

from cognito_edge_local.cloudfront.origin_client import OriginError, OriginExchange
from cognito_edge_local.launcher import ports

from . import process as emulator

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

MODES: dict[str, tuple[str, ...]] = {
    "jwks": ("ok", "down", "slow", "hang", "garbled", "empty", "partial"),
    "ssm": ("ok", "throttled", "slow", "hang", "error", "garbled", "denied"),
    "policy": ("ok", "broken"),
    "credentials": ("ok", "missing"),
}
"""What stays as it is set, and its values. `partial`: the key that signs ID tokens is not published any more."""

ACTIONS: dict[str, str] = {"keys": "rotate", "edge": "restart"}
"""What is done once, and the one value that asks for it."""

MAX_CLOCK_SHIFT_S = 86_400

_SLOW_S = 0.8  # the edge gives an attempt 2 s: slow, and yet in time
_HANG_S = 30.0  # far beyond any limit of the edge's; it hangs up sooner
_MAX_BODY_BYTES = 64 * 1024
_CONNECT_TIMEOUT_S = 2.0
_READ_TIMEOUT_S = 15.0
_JWKS_PATH = re.compile(r"/[\w-]+/\.well-known/jwks\.json", re.ASCII)
_GET_PARAMETERS = b"AmazonSSM.GetParameters"
_BROKEN_POLICY = '{"routes": [{"path": "/api/*", "grups": ["admins"]}'
_JSON = b"application/json"
_AWS_JSON = b"application/x-amz-json-1.1"
# RFC 9110 §7.6.1: these speak of one connection, not of the message.
_HOP_HEADERS = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"content-length"})
_GARBAGE = b'{"keys": [{"kty": "RSA", "n": \xff\xfe\x00 <html>'


class FaultError(ValueError):
    """What was asked for does not exist; the message says what does."""


class Edge(Protocol):
    """The part of `EdgeRuntime` that the knobs turn."""

    async def restart(self, *, clock_shift_s: float) -> None:
        """Replace every process, with a clock that is wrong by so much."""


@dataclass(frozen=True)
class _Call:
    method: str
    target: bytes
    headers: Headers
    body: bytes


@dataclass(frozen=True)
class _Answer:
    status: int
    body: bytes
    content_type: bytes

    @property
    def headers(self) -> Headers:
        return [(b"content-type", self.content_type)]


_JWKS_ANSWERS = {
    "down": _Answer(503, b"Service Unavailable\n", b"text/plain"),
    "garbled": _Answer(200, _GARBAGE, _JSON),
    "empty": _Answer(200, b'{"keys":[]}', _JSON),
}
# The errors are those of https://docs.aws.amazon.com/systems-manager/latest/APIReference/CommonErrors.html
_SSM_ANSWERS = {
    "throttled": _Answer(400, b'{"__type":"ThrottlingException","message":"Rate exceeded"}', _AWS_JSON),
    "denied": _Answer(
        400, b'{"__type":"AccessDeniedException","Message":"not authorized to perform: ssm:GetParameters"}', _AWS_JSON
    ),
    "error": _Answer(500, b'{"__type":"InternalServerError"}', _AWS_JSON),
    "garbled": _Answer(200, _GARBAGE, _AWS_JSON),
}


class Faults:
    """The knobs of one system. A class because they stay as they were set, and the broken policy has a past."""

    def __init__(
        self,
        *,
        ssm: Any,
        emulator_url: str,
        user_pool_id: str,
        parameter_prefix: str,
        console: Callable[[str], None],
        key: emulator.RootKey = emulator.PUBLIC_KEY,
    ) -> None:
        """Set nothing.

        Args:
            ssm: A boto3 SSM client of the emulator; not the edge's way there.
            emulator_url: The emulator's endpoint.
            user_pool_id: The pool whose keys rotate.
            parameter_prefix: Where the policy lies.
            console: Takes one line for each change.
            key: The emulator's root user's.
        """
        self._ssm = ssm
        self._key = key
        self._emulator_url = emulator_url
        self._user_pool_id = user_pool_id
        self._policy_name = f"{parameter_prefix}/policy"
        self._good_policy: str | None = None
        self._console = console
        self._turning = asyncio.Lock()
        self.edge: Edge | None = None
        self.modes = dict.fromkeys(MODES, "ok")
        self.clock_shift_s = 0.0
        self.calls = {"jwks": 0, "ssm": 0}

    def edge_credentials(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the credentials that a process of the edge gets, *given* those it should."""
        return {} if self.modes["credentials"] == "missing" else dict(given)

    def report(self) -> dict[str, Any]:
        """Return how the knobs stand, and how often the edge has asked AWS so far."""
        return {**self.modes, "clock": self.clock_shift_s, "calls": dict(self.calls)}

    async def apply(self, changes: Mapping[str, object]) -> dict[str, Any]:
        """Turn knobs: all of *changes*, or none if one of them is wrong. Return the new report.

        The clock and the credentials belong to processes, as on AWS: a change of theirs replaces the edge's processes.

        Raises:
            FaultError: No such knob, or no such value.
        """
        for name, value in changes.items():
            _check(name, value)
        async with self._turning:
            before = (self.modes["credentials"], self.clock_shift_s)
            if "policy" in changes:
                await asyncio.to_thread(self._turn_policy, broken=changes["policy"] == "broken")
            if "keys" in changes:
                await self._rotate_keys()
            self.modes.update({name: str(value) for name, value in changes.items() if name in MODES})
            clock = changes.get("clock", self.clock_shift_s)
            assert isinstance(clock, int | float)  # noqa: S101 - `_check` has seen it
            self.clock_shift_s = float(clock)
            if self.edge and ("edge" in changes or before != (self.modes["credentials"], self.clock_shift_s)):
                await self.edge.restart(clock_shift_s=self.clock_shift_s)
        self._console("fault: " + (", ".join(f"{name} {value}" for name, value in changes.items()) or "no change"))
        return self.report()

    def _turn_policy(self, *, broken: bool) -> None:
        """Break the policy document, or put back what was there before it was broken."""
        if broken == (self.modes["policy"] == "broken"):
            return
        if broken:
            self._good_policy = None
            with contextlib.suppress(self._ssm.exceptions.ParameterNotFound):
                self._good_policy = self._ssm.get_parameter(Name=self._policy_name)["Parameter"]["Value"]
        text = _BROKEN_POLICY if broken else self._good_policy
        if text is not None:
            self._ssm.put_parameter(Name=self._policy_name, Value=text, Type="String", Overwrite=True)
        else:
            with contextlib.suppress(ClientError):
                self._ssm.delete_parameter(Name=self._policy_name)

    async def _rotate_keys(self) -> None:
        """Let the emulated pool forget its keys; it makes new ones when it next needs them."""
        address = _address(self._emulator_url)
        headers = [(b"host", "{}:{}".format(*address).encode()), (b"authorization", self._key.authorization)]
        target = f"{emulator.ROTATE_KEYS_PATH}{self._user_pool_id}".encode()
        answer = await _ask(address, _Call("POST", target, headers, b""))
        if answer.status != HTTPStatus.NO_CONTENT:
            raise FaultError(f"The emulator did not rotate the keys: it answered {answer.status}.")


def _check(name: str, value: object) -> None:
    if name == "clock":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        # "not …": NaN is outside of every range, too.
        if not number or not abs(value) <= MAX_CLOCK_SHIFT_S:  # type: ignore[arg-type]
            raise FaultError(
                f"clock: expected seconds from -{MAX_CLOCK_SHIFT_S} to {MAX_CLOCK_SHIFT_S}, not {value!r}."
            )
        return
    allowed = MODES.get(name) or ((ACTIONS[name],) if name in ACTIONS else None)
    if allowed is None:
        raise FaultError(f"{name!r} is no knob; the knobs are {', '.join([*MODES, 'clock', *ACTIONS])}.")
    if value not in allowed:
        raise FaultError(f"{name}: expected {' or '.join(allowed)}, not {value!r}.")


class AwsProxy:
    """The ASGI app between the edge and the emulator. A class for what it knows of both."""

    def __init__(self, *, emulator_url: str, faults: Faults) -> None:
        self._emulator = _address(emulator_url)
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call of the edge's."""
        if scope["type"] != "http":
            return
        body = await _read_body(receive)
        service = self._service(scope)
        if service is None:
            await _send(send, _Answer(404, b"Only what the edge asks AWS passes here.\n", b"text/plain"))
            return
        self._faults.calls[service] += 1
        mode = self._faults.modes[service]
        answer = (_JWKS_ANSWERS if service == "jwks" else _SSM_ANSWERS).get(mode)
        if mode in {"slow", "hang"} and await _gone_within(receive, _SLOW_S if mode == "slow" else _HANG_S):
            return
        if answer is None:
            target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
            answer = await _ask(self._emulator, _Call(scope["method"], target, scope["headers"], body))
        await _send(send, _without_id_key(answer) if mode == "partial" and answer.status == HTTPStatus.OK else answer)

    @staticmethod
    def _service(scope: Scope) -> str | None:
        if scope["method"] == "GET" and _JWKS_PATH.fullmatch(scope["path"]):
            return "jwks"
        targets = [value for name, value in scope["headers"] if name == b"x-amz-target"]
        if scope["method"] == "POST" and scope["path"] == "/" and targets == [_GET_PARAMETERS]:
            return "ssm"
        return None


def _without_id_key(answer: _Answer) -> _Answer:
    """Take the last key away: the emulator lists that of access tokens first, that of ID tokens last."""
    return _Answer(
        answer.status, json.dumps({"keys": json.loads(answer.body)["keys"][:-1]}).encode(), answer.content_type
    )


def _address(url: str) -> tuple[str, int]:
    return ports.HOST, int(url.rpartition(":")[2])


async def _ask(address: tuple[str, int], call: _Call) -> _Answer:
    """Ask the emulator; what goes wrong with it shows as 502."""
    try:
        exchange = await OriginExchange.open(
            *address, connect_timeout_s=_CONNECT_TIMEOUT_S, attempts=1, read_timeout_s=_READ_TIMEOUT_S
        )
        async with exchange:
            kept = [(name, value) for name, value in call.headers if name not in _HOP_HEADERS]
            length = [(b"content-length", str(len(call.body)).encode())] if call.method == "POST" else []
            await exchange.send_head(call.method, call.target, [*kept, *length, (b"connection", b"close")])
            await exchange.send_body(_once(call.body))
            found = await exchange.response()
            content = b"".join([chunk async for chunk in exchange.body()])
    except OriginError as error:
        return _Answer(502, f"The emulator did not answer: {error}.\n".encode(), b"text/plain")
    content_type = next((value for name, value in found.headers if name == b"content-type"), _JSON)
    return _Answer(found.status, content, content_type)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _read_body(receive: Receive) -> bytes:
    """Return the request's body, cut where nothing of the edge's can be longer."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)
        body += message.get("body", b"")[: _MAX_BODY_BYTES - len(body)]
        if not message.get("more_body"):
            return bytes(body)


async def _gone_within(receive: Receive, seconds: float) -> bool:
    """Wait; True as soon as the caller has hung up."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
            return True
    return False


async def _send(send: Send, answer: _Answer) -> None:
    headers = [*answer.headers, (b"content-length", str(len(answer.body)).encode())]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
