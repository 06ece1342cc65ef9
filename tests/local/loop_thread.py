"""An event loop in a thread, so that plain tests can use the launcher's asynchronous parts."""

import asyncio
import threading
from typing import Self


class LoopThread:
    """Runs coroutines on a loop of its own; a context manager."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        return self

    def run(self, coroutine, timeout_s=60):
        """Run a coroutine to its end and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout_s)

    def __exit__(self, *_exception) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
