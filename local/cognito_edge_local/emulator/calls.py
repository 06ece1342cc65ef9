"""One HTTP call to the emulator, with a target and headers that nothing changes on the way."""

from collections.abc import Sequence

import httpcore
from starlette.responses import PlainTextResponse, Response

from cognito_edge_local.launcher import ports

Header = tuple[bytes, bytes]

_TIMEOUT_S = 15.0
_KEPT_IN_ANSWERS = frozenset(
    {b"cache-control", b"content-type", b"location", b"pragma", b"set-cookie", b"www-authenticate"}
)


async def call(url: str, method: str, target: bytes, headers: Sequence[Header], body: bytes = b"") -> Response:
    """Return the emulator's answer, or 502 if there is no answer.

    Args:
        url: The emulator's endpoint.
        method: ``GET`` or ``POST``; only a POST has a body.
        target: Path and query as they are to stand in the request line.
        headers: Sent as they are; ``Host`` is the emulator's own unless it is among them.
        body: Its length is added to the headers.
    """
    address = httpcore.URL(scheme="http", host=ports.HOST, port=int(url.rpartition(":")[2]), target=target)
    limits = dict.fromkeys(("connect", "read", "write", "pool"), _TIMEOUT_S)
    content = body if method == "POST" else None
    try:
        async with httpcore.AsyncConnectionPool() as connections:
            found = await connections.request(
                method, address, headers=list(headers), content=content, extensions={"timeout": limits}
            )
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
        return PlainTextResponse(f"The emulator did not answer: {type(error).__name__}.\n", 502)
    answer = Response(found.content, found.status)
    answer.raw_headers += [(name.lower(), value) for name, value in found.headers if name.lower() in _KEPT_IN_ANSWERS]
    return answer
