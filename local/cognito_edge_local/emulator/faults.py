"""Faults on purpose: what the edge sees of AWS (SSM, the pool's keys), its clock and its credentials; off by default.

The edge asks AWS two questions, and both go through ``AwsProxy``. Without a fault it passes them on to the emulator byte for
byte, ``Host`` included: the edge has signed it. ``Faults`` holds the knobs; ``emulator/faults_endpoint.py`` lets people and tests
turn them.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from botocore.exceptions import ClientError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from cognito_edge_local.web import BodyError, read_body

from . import process as emulator
from .calls import call

MODES: dict[str, tuple[str, ...]] = {
    "jwks": ("ok", "down", "slow", "hang", "garbled", "empty", "partial"),
    "ssm": ("ok", "throttled", "slow", "hang", "error", "garbled", "denied"),
    "policy": ("ok", "broken"),
    "credentials": ("ok", "missing"),
}
"""What stays as it is set, and its values. ``partial``: the key that signs ID tokens is not published any more."""

ACTIONS: dict[str, str] = {"keys": "rotate", "edge": "restart"}
"""What is done once, and the one value that asks for it."""

MAX_CLOCK_SHIFT_S = 86_400

_SLOW_S = 0.8  # the edge gives an attempt 2 s: slow, and yet in time
_HANG_S = 30.0  # far beyond any limit of the edge's; it hangs up sooner
_MAX_BODY_BYTES = 64 * 1024
_JWKS_PATH = re.compile(r"/[\w-]+/\.well-known/jwks\.json", re.ASCII)
_GET_PARAMETERS = "AmazonSSM.GetParameters"
_BROKEN_POLICY = '{"routes": [{"path": "/api/*", "grups": ["admins"]}'
_JSON = "application/json"
_AWS_JSON = "application/x-amz-json-1.1"
# RFC 9110 §7.6.1: these speak of one connection, not of the message.
_HOP_HEADERS = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"content-length"})
_GARBAGE = b'{"keys": [{"kty": "RSA", "n": \xff\xfe\x00 <html>'


class FaultError(ValueError):
    """What was asked for does not exist; the message says what does."""


class Edge(Protocol):
    """The part of ``EdgeRuntime`` that the knobs turn."""

    async def restart(self, *, clock_shift_s: float) -> None:
        """Replace every process, with a clock that is wrong by so much."""


_JWKS_ANSWERS = {
    "down": PlainTextResponse("Service Unavailable\n", 503),
    "garbled": Response(_GARBAGE, media_type=_JSON),
    "empty": Response(b'{"keys":[]}', media_type=_JSON),
}
# The errors are those of https://docs.aws.amazon.com/systems-manager/latest/APIReference/CommonErrors.html
_SSM_ANSWERS = {
    "throttled": Response(b'{"__type":"ThrottlingException","message":"Rate exceeded"}', 400, media_type=_AWS_JSON),
    "denied": Response(
        b'{"__type":"AccessDeniedException","Message":"not authorized to perform: ssm:GetParameters"}',
        400,
        media_type=_AWS_JSON,
    ),
    "error": Response(b'{"__type":"InternalServerError"}', 500, media_type=_AWS_JSON),
    "garbled": Response(_GARBAGE, media_type=_AWS_JSON),
}


class Faults:
    """The knobs of one system, and the policy as it was before it was broken."""

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
        """Return the credentials that a process of the edge gets, *given* those that it should get."""
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
            assert isinstance(clock, int | float)  # noqa: S101 - ``_check`` has seen it
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
        target = f"{emulator.ROTATE_KEYS_PATH}{self._user_pool_id}".encode()
        answer = await call(self._emulator_url, "POST", target, [(b"authorization", self._key.authorization)])
        if answer.status_code != HTTPStatus.NO_CONTENT:
            raise FaultError(f"The emulator did not rotate the keys: it answered {answer.status_code}.")


def _check(name: str, value: object) -> None:
    if name == "clock":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        # "not abs(…)": NaN is outside of every range.
        if not number or not abs(value) <= MAX_CLOCK_SHIFT_S:  # type: ignore[arg-type]
            raise FaultError(
                f"clock: expected seconds from -{MAX_CLOCK_SHIFT_S} to {MAX_CLOCK_SHIFT_S}, not {value!r}."
            )
        return
    allowed = MODES.get(name) or ((ACTIONS[name],) if name in ACTIONS else None)
    if allowed is None:
        raise FaultError(f"There is no knob {name!r}; the knobs are {', '.join([*MODES, 'clock', *ACTIONS])}.")
    if value not in allowed:
        raise FaultError(f"{name}: expected {' or '.join(allowed)}, not {value!r}.")


@dataclass(kw_only=True)
class AwsProxy:
    """The app between the edge and the emulator.

    Attributes:
        emulator_url: The emulator's endpoint.
        faults: The knobs.
    """

    emulator_url: str
    faults: Faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call of the edge's."""
        answer = await self._answer(Request(scope, receive))
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        service = _service(request)
        if service is None:
            return PlainTextResponse("Only what the edge asks AWS passes here.\n", 404)
        try:
            body = await read_body(request, _MAX_BODY_BYTES)
        except BodyError as error:
            return PlainTextResponse(f"{error}\n", 413)
        self.faults.calls[service] += 1
        mode = self.faults.modes[service]
        canned = (_JWKS_ANSWERS if service == "jwks" else _SSM_ANSWERS).get(mode)
        if canned is not None:
            return canned
        if mode in {"slow", "hang"} and await _gone_within(request, _SLOW_S if mode == "slow" else _HANG_S):
            return Response()  # to a caller that has hung up
        target, query = request.scope["raw_path"], request.scope["query_string"]
        answer = await call(
            self.emulator_url,
            request.method,
            target + (b"?" + query if query else b""),
            [(name, value) for name, value in request.headers.raw if name not in _HOP_HEADERS],
            body,
        )
        whole = mode != "partial" or answer.status_code != HTTPStatus.OK
        return answer if whole else _without_id_key(bytes(answer.body))


def _service(request: Request) -> str | None:
    """Say which of the edge's two questions a request is."""
    if request.method == "GET" and _JWKS_PATH.fullmatch(request.scope["path"]):
        return "jwks"
    targets = request.headers.getlist("x-amz-target")
    if request.method == "POST" and request.scope["path"] == "/" and targets == [_GET_PARAMETERS]:
        return "ssm"
    return None


def _without_id_key(jwks: bytes) -> Response:
    """Take the last key away: the emulator lists that of access tokens first, that of ID tokens last."""
    return Response(json.dumps({"keys": json.loads(jwks)["keys"][:-1]}), media_type=_JSON)


async def _gone_within(request: Request, seconds: float) -> bool:
    """Wait; True as soon as the caller has hung up."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass
            return True
    return False
