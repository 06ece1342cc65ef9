"""Run asyncio tasks together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any


@contextlib.asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """Run tasks together; when one fails, cancel the others and raise its own error, not a group around it."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failed:
        error: BaseException = failed
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


async def first_of(*futures: "asyncio.Future[Any]") -> None:
    """Wait until one of them is done; the others run on."""
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


async def cancel(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
