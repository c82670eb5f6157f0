"""A service with an engine of arithmetic, on no server at all or on uvicorn on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import io
import struct
import threading
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import uvicorn
from numpy.typing import NDArray
from PIL import Image

from edge.contract import Contract, TensorSpec
from edge.serve.errors import ServeError
from edge.serve.limits import Limits
from edge.serve.metadata import declare
from edge.server.batch import Answer, Job, run_batch
from edge.server.config import ModelConfig
from edge.server.engine import Engine
from edge.server.service import ModelService, Served
from edge.server.web import Event, model_app

Arrays = Mapping[str, NDArray[Any]]
TENSORS = Contract(inputs=(TensorSpec(name="x", shape=(1, 4)),), outputs=(TensorSpec(name="y", shape=(1, 4)),))
PICTURES = Contract(
    inputs=(TensorSpec(name="image", shape=(1, 3, 8, 8), layout="NCHW"),), outputs=(TensorSpec(name="y", shape=(1, 3)),)
)


def engine_of(contract: Contract, run: Callable[[Arrays], dict[str, NDArray[Any]]], rows: bool = True) -> Engine:
    metadata = declare(contract, "m", platform="arithmetic", rows=rows)
    return Engine(contract, metadata, "0" * 64, True, run)


def doubled(inputs: Arrays) -> dict[str, NDArray[Any]]:
    return {"y": inputs["x"] * 2 + 1}


def means(inputs: Arrays) -> dict[str, NDArray[Any]]:
    return {"y": inputs["image"].mean((2, 3))}


class Site:
    """One model's application; `ran` holds the rows of every batch, `events` what was logged."""

    def __init__(
        self,
        contract: Contract = TENSORS,
        run: Callable[[Arrays], dict[str, NDArray[Any]]] = doubled,
        infer: Callable[[Job], Awaitable[Answer]] | None = None,
        limits: Limits | None = None,
        gate: Callable[[str | None, str], str] = lambda authorization, model: "",
        **model: Any,
    ) -> None:
        self.events: list[Event] = []
        self.ran: list[int] = []
        self._thread = ThreadPoolExecutor(1)

        def counted(inputs: Arrays) -> dict[str, NDArray[Any]]:
            self.ran.append(len(next(iter(inputs.values()))))
            return run(inputs)

        self.engine = engine_of(contract, counted)
        config = ModelConfig(source="m", **model)
        served = Served(contract, self.engine.metadata, self.engine.weights, config)
        self.service = ModelService(served, infer or self._alone, gate, limits or Limits())
        self.app = model_app(self.service, self.events.append)

    async def _alone(self, job: Job) -> Answer:
        (outcome,) = await run_batch(self.engine, [job], self._thread)
        if isinstance(outcome, ServeError):
            raise outcome
        return outcome

    def ask(self, *asked: Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]) -> list[httpx.Response]:
        """Return the answers to requests that are made at once, without a network."""

        async def run() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.app, root_path="/v2/models/m")
            async with httpx.AsyncClient(transport=transport, base_url="http://m/v2/models/m") as client:
                return await asyncio.gather(*(one(client) for one in asked))

        return asyncio.run(run())

    def post(self, body: bytes, path: str = "/infer", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        return self.ask(lambda client: client.post(path, content=body, headers=named))[0]

    def get(self, path: str) -> httpx.Response:
        return self.ask(lambda client: client.get(path))[0]


@contextlib.contextmanager
def on_loopback(app: Any, root_path: str = "") -> Iterator[int]:
    """Serve an ASGI application with uvicorn on a free port of loopback, and yield the port."""
    server = uvicorn.Server(
        uvicorn.Config(app, "127.0.0.1", 0, log_level="error", root_path=root_path, lifespan="off", ws="none")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            threading.Event().wait(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join()


def row(value: float = 1.0, rows: int = 1) -> NDArray[np.float32]:
    return np.full((rows, 4), value, np.float32)


def saved(kind: str, **options: Any) -> bytes:
    """Return a picture (48, 64), brighter to the lower right, as a file."""
    y, x = np.mgrid[0:48, 0:64]
    stream = io.BytesIO()
    Image.fromarray(np.stack([x * 3, y * 5, (x + y) * 2], axis=2).astype(np.uint8)).save(stream, kind, **options)
    return stream.getvalue()


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of some hundred bytes that says to be large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(99_999))) + chunk(b"IEND", b"")
