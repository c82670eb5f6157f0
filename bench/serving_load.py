"""Requests that are sent again and again over kept connections: a generator cheap enough to sit beside the server."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from edge.serve.responses import parse_response
from edge.serve.wire import HEADER, Message

FRESH_S = 5.0


@dataclass(frozen=True, slots=True)
class Shot:
    """One request's fate: when it was due, how long its answer took from then, its status and the model's own time."""

    due_s: float
    seconds: float
    status: int
    infer_ms: float


@dataclass(slots=True)
class Load:
    """Shots at one address with one message."""

    url: str
    path: str
    message: Message
    shots: list[Shot] = field(default_factory=list)
    request: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        head = [f"POST {self.path} HTTP/1.1", f"Host: {urlsplit(self.url).netloc}"]
        head += [f"{name}: {value}" for name, value in self.message.headers.items()]
        head += [f"Content-Length: {len(self.message.body)}", "", ""]
        self.request = "\r\n".join(head).encode() + self.message.body

    async def closed(self, clients: int, seconds: float) -> None:
        """Let so many clients ask one after the other, each as soon as it has its answer."""
        until_s = time.perf_counter() + seconds
        await asyncio.gather(*(self._client(until_s) for _ in range(clients)))

    async def open(self, per_second: float, seconds: float, each: Callable[[], None] = lambda: None) -> None:
        """Send requests at random times (Poisson), whether or not earlier ones are answered.

        `each` is called once a second.
        """
        generator = random.Random(0)
        begin_s = due_s = time.perf_counter()
        free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        running: set[asyncio.Task[None]] = set()
        ticked = 0
        while due_s < begin_s + seconds:
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            task = asyncio.ensure_future(self._one(free, due_s))
            running.add(task)
            task.add_done_callback(running.discard)
            if due_s - begin_s > ticked:
                ticked += 1
                each()
            due_s += generator.expovariate(per_second)
        await asyncio.gather(*running)

    async def _kept(self, free: asyncio.LifoQueue[Connection]) -> Connection:
        """Return a connection that was used lately, or a new one: the server closes those that idle for 10 s."""
        while not free.empty():
            connection = free.get_nowait()
            if time.perf_counter() - connection.used_s < FRESH_S:
                return connection
            connection.close()
        return await Connection.open(self.url)

    async def _client(self, until_s: float) -> None:
        connection = await Connection.open(self.url)
        while (due_s := time.perf_counter()) < until_s:
            self.shots.append(await connection.ask(self.request, due_s))
        connection.close()

    async def _one(self, free: asyncio.LifoQueue[Connection], due_s: float) -> None:
        connection = await self._kept(free)
        shot = await connection.ask(self.request, due_s)
        self.shots.append(shot)
        if shot.status == 200:
            free.put_nowait(connection)
        else:
            connection.close()


@dataclass(slots=True)
class Connection:
    """A kept HTTP/1.1 connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used_s: float = 0.0  # when it last had an answer

    @classmethod
    async def open(cls, url: str) -> Connection:
        """Connect to a URL's host and port."""
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 22))

    async def ask(self, request: bytes, due_s: float) -> Shot:
        """Send a request and read its answer; status 0 is a connection that broke."""
        try:
            self.writer.write(request)
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        except (OSError, asyncio.IncompleteReadError):
            return Shot(due_s, time.perf_counter() - due_s, 0, 0.0)
        self.used_s = time.perf_counter()
        seconds, status = self.used_s - due_s, int(head[0].split()[1])
        infer_ms = 0.0
        if status == 200:
            infer_ms = float(parse_response(body, headers.get(HEADER.lower())).parameters["inference_ms"])
        return Shot(due_s, seconds, status, infer_ms)

    def close(self) -> None:
        """Close it."""
        self.writer.close()
