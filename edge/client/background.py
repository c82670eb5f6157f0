"""An event loop on a thread of its own, for calls from any thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")
_LOOKUPS = 2  # threads that resolve names; a lookup cannot be interrupted
_opened: ContextVar[list[asyncio.BaseTransport] | None] = ContextVar("_opened", default=None)


@contextlib.contextmanager
def noting_connections() -> Iterator[list[asyncio.BaseTransport]]:
    """Collect the connections that the block, and the tasks it starts, open on a loop of `Background`'s.

    A request that is cancelled just when its connection is made is not given it by anyio, and then nobody closes it.
    """
    opened: list[asyncio.BaseTransport] = []
    token = _opened.set(opened)
    try:
        yield opened
    finally:
        _opened.reset(token)


class _Loop(asyncio.SelectorEventLoop):
    """A loop that tells who asked for a connection of every one it made."""

    async def create_connection(self, *arguments: Any, **others: Any) -> Any:
        transport, protocol = await super().create_connection(*arguments, **others)
        opened = _opened.get()
        if opened is not None:
            opened.append(transport)
        return transport, protocol


class Background:
    """A loop that runs from here to `close`; its thread is a daemon, so that a forgotten one ends with the process."""

    def __init__(self, name: str) -> None:
        self._loop = _Loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop; cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and return its result; an interrupt of this thread cancels it."""
        future = self.start(work)
        try:
            return future.result()
        finally:
            future.cancel()

    @property
    def here(self) -> bool:
        """Whether this thread is the loop's."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """Cancel what runs, let it end, and end the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        lookups = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix=f"{self._thread.name}-lookup")
        self._loop.set_default_executor(lookups)
        try:
            self._loop.run_forever()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            if left:
                self._loop.run_until_complete(asyncio.wait(left))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(asyncio.sleep(0))  # a transport closes its socket a turn after it is closed
        finally:
            lookups.shutdown(wait=False, cancel_futures=True)
            self._loop.close()
