"""The trace page's server: each request's whole way, live, for this machine's developer.

The page itself may be fetched without the secret, and says nothing; the requests want it as a bearer token.

* The secret stands in the fragment of the printed address, which browsers never send. Cookies know no ports: every other
  server on 127.0.0.1 would be sent the secret, the gateway first.
* The page runs under a CSP without inline code, and may not be framed (``_PRIVATE_HEADERS`` of ``web.py``).

    GET /                  the page: page/index.html, page.js, page.css, icon.svg
    GET /requests          summaries of all requests that are kept, oldest first
    GET /request?id=ID     one record
    GET /live?after=N      the same summaries as JSON lines, those that changed after version N and then each new one
"""

import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from cognito_edge_local.web import PrivateServer, json_answer

from .book import MAX_REQUESTS, TraceBook

FILE_NAME = "trace.json"
MAX_STREAMS = 16
_PAGE = Path(__file__).with_name("page")
_FILES = {
    "/": ("index.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


class TraceEndpoint(PrivateServer):
    """The trace page's app."""

    def __init__(self, *, port: int, book: TraceBook) -> None:
        """Make a new secret.

        Args:
            port: The loopback port that it is served on.
            book: The requests.
        """
        files = [
            Route(path, Response((_PAGE / name).read_bytes(), media_type=kind), methods=["GET"])
            for path, (name, kind) in _FILES.items()
        ]
        data = [
            Route("/requests", self._summaries),
            Route("/request", self._record),
            Route("/live", self._live),
        ]
        super().__init__([*files, *data], port=port, file_name=FILE_NAME, is_foreign_page=_is_other_page, public=_FILES)
        self._book = book
        self._streams = 0

    @property
    def page(self) -> str:
        """The address to open, with the secret where browsers keep it to themselves."""
        return f"{self.url}/#{self.secret}"

    @property
    def told(self) -> dict[str, str]:
        """What this user's programs are told, the page's address included."""
        return {**super().told, "page": self.page}

    async def close(self) -> None:
        """End every stream: a server that stops would wait for them."""
        self._book.end_changes()

    async def _summaries(self, _request: Request) -> Response:
        return json_answer({"requests": self._book.summaries(), "limit": MAX_REQUESTS})

    async def _record(self, request: Request) -> Response:
        record = self._book.get(request.query_params.get("id", ""))
        if record is None:
            gone = f"No such request among the last {MAX_REQUESTS} of this run."
            return json_answer({"error": gone}, 404)
        return json_answer(record)

    async def _live(self, request: Request) -> Response:
        if self._streams >= MAX_STREAMS:
            raise HTTPException(503, f"At most {MAX_STREAMS} pages at once.")
        after = request.query_params.get("after", "")
        number = int(after) if re.fullmatch("[0-9]{1,15}", after) else 0
        return StreamingResponse(self._lines(number), media_type="application/x-ndjson")

    async def _lines(self, after: int) -> AsyncIterator[str]:
        self._streams += 1
        try:
            yield json.dumps({"limit": MAX_REQUESTS, "version": self._book.version}) + "\n"
            # A client that remembers more than there ever was watched the run before this one.
            changes = self._book.changes(after if after <= self._book.version else 0)
            async with contextlib.aclosing(changes):
                async for summary in changes:
                    yield json.dumps(summary) + "\n"
        finally:
            self._streams -= 1


def _is_other_page(request: Request) -> bool:
    """Say whether another page sent this. A link in one may lead to the page, which says nothing without the secret."""
    headers = request.headers
    if "origin" in headers:  # the page's own GETs have none
        return True
    if set(headers.getlist("sec-fetch-site")) <= {"same-origin", "none"}:
        return False
    followed = headers.getlist("sec-fetch-mode") == ["navigate"] and headers.getlist("sec-fetch-dest") == ["document"]
    return not (followed and request.scope["path"] == "/")
