"""Serve ASGI apps with uvicorn on sockets that are already bound, inside the launcher's own event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Iterable, Iterator
from typing import Any

import uvicorn

_STOP_GRACE_S = 2


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the launcher decides when and in what order things stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Serving:
    """One app being served; it owns a task and a socket until ``stop``."""

    def __init__(self, config: uvicorn.Config, sock: socket.socket, name: str) -> None:
        """Prepare; ``start`` begins.

        Args:
            config: The app and how to serve it; host and port in it have no effect.
            sock: A listening socket; ``stop`` closes it.
            name: For messages.
        """
        self.name = name
        self._socket = sock
        config.timeout_graceful_shutdown = _STOP_GRACE_S
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to accept connections, those that wait in the socket's backlog first."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]), name=f"serve {self.name}")
        while not self._server.started:
            if self._task.done():
                await self._task  # raises what went wrong
                raise RuntimeError(f"the server of {self.name} ended while it started")
            await asyncio.sleep(0.002)

    async def stop(self) -> None:
        """Stop accepting, give requests under way two seconds, close."""
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        self._socket.close()


async def stop_all(servers: Iterable[Serving]) -> None:
    """Stop several at once: each takes a fifth of a second to notice and to let go."""
    await asyncio.gather(*(server.stop() for server in servers))


def plain_config(app: Any) -> uvicorn.Config:
    """Return the uvicorn settings of an app that has no needs of its own."""
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )
