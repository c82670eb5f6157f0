"""A TCP proxy on loopback that counts connections and bytes, and breaks them as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_CHUNK = 1 << 14


@dataclass
class Faults:
    """What the proxy does, and what it has counted."""

    delay_s: float = 0.0  # before anything of the server's answer goes back
    bytes_per_s: float = 0.0  # of the client's bytes; 0: no limit
    cut_after: int | None = None  # bytes of the answer, then the connection is reset
    cut_upload_after: int | None = None  # bytes of the request
    hang: bool = False  # take everything, forward nothing
    canned: bytes = b""  # answer this to every request instead of forwarding it
    connections: int = 0
    received: int = 0  # bytes of clients
    open: int = 0


class Proxy:
    """A proxy before a port; `faults` may change while it runs."""

    def __init__(self, target: int) -> None:
        self.faults, self.port, self._target = Faults(), 0, target
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._run, name="fault-proxy")

    @property
    def url(self) -> str:
        """Return the proxy's address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        self._started.wait()

    def drop_all(self) -> None:
        """Reset every connection."""
        self._loop.call_soon_threadsafe(lambda: [writer.transport.abort() for writer in self._writers])

    def go_away(self) -> None:
        """Stop listening and reset every connection."""
        asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result()

    def come_back(self) -> None:
        """Listen on the same port again."""
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def stop(self) -> None:
        """End everything."""
        self.go_away()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_until_complete(self._listen())
        self._started.set()
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        if left:
            self._loop.run_until_complete(asyncio.wait(left))
        self._loop.run_until_complete(asyncio.sleep(0.01))  # aborted transports close their sockets a turn later
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _leave(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.faults.connections += 1
        self.faults.open += 1
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._carry(reader, writer)
        finally:
            self.faults.open -= 1
            self._writers.discard(writer)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", self._target)
        tasks = [
            asyncio.ensure_future(self._up(reader, forth, writer)),
            asyncio.ensure_future(self._down(back, writer)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.exception()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            forth.transport.abort()

    async def _up(
        self, reader: asyncio.StreamReader, forth: asyncio.StreamWriter, writer: asyncio.StreamWriter
    ) -> None:
        carried = 0
        while chunk := await reader.read(_CHUNK):
            self.faults.received += len(chunk)
            carried += len(chunk)
            if self.faults.bytes_per_s:
                await asyncio.sleep(len(chunk) / self.faults.bytes_per_s)
            if self.faults.cut_upload_after is not None and carried > self.faults.cut_upload_after:
                return
            if self.faults.canned:
                writer.write(self.faults.canned)
                await writer.drain()
            elif not self.faults.hang:
                forth.write(chunk)
                await forth.drain()

    async def _down(self, back: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carried = 0
        while chunk := await back.read(_CHUNK):
            await asyncio.sleep(self.faults.delay_s)
            if self.faults.cut_after is not None and carried + len(chunk) > self.faults.cut_after:
                writer.write(chunk[: self.faults.cut_after - carried])
                await writer.drain()
                await asyncio.sleep(0.02)  # so that what was written arrives before the reset
                return
            carried += len(chunk)
            writer.write(chunk)
            await writer.drain()


@contextmanager
def proxying(target: int) -> Iterator[Proxy]:
    """Run a proxy before a port until the block ends."""
    proxy = Proxy(target)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
