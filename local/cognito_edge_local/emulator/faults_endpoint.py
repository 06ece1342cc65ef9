"""The control endpoint: turns the knobs of ``emulator/faults.py``, for programs that can read ``control.json``.

GET /faults     how the knobs stand
POST /faults    {"jwks": "down"}: turn some of them
"""

import json

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cognito_edge_local.web import PrivateServer, json_answer, read_body

from .faults import FaultError, Faults

_MAX_BODY_BYTES = 4096


class ControlEndpoint(PrivateServer):
    """The control endpoint's app."""

    def __init__(self, *, port: int, faults: Faults) -> None:
        """Make a new secret.

        Args:
            port: The loopback port that it is served on.
            faults: The knobs.
        """
        super().__init__(
            [Route("/faults", self._turn, methods=["GET", "POST"])],
            port=port,
            file_name="control.json",
            is_foreign_page=_is_web_page,
        )
        self._faults = faults

    async def _turn(self, request: Request) -> Response:
        if request.method != "POST":
            return json_answer(self._faults.report())
        try:
            changes = json.loads(await read_body(request, _MAX_BODY_BYTES))
            if not isinstance(changes, dict):
                raise FaultError('Expected a JSON object such as {"jwks": "down"}.')
            return json_answer(await self._faults.apply(changes))
        except (ValueError, RecursionError) as error:  # FaultError, BodyError, and what is not JSON
            raise HTTPException(400, str(error)) from error


def _is_web_page(request: Request) -> bool:
    return any(name == "origin" or name.startswith("sec-fetch-") for name in request.headers)
