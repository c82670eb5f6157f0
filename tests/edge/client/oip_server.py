"""A small real server: uvicorn on loopback speaks the protocol through edge.serve and behaves as the test says."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvicorn
from client_models import CONTRACT, run
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from edge.contract import Contract
from edge.serve.errors import Busy, ServeError, encode_error
from edge.serve.limits import BodyLimiter, Limits
from edge.serve.metadata import declare, encode_document
from edge.serve.pictures import prepare_pictures
from edge.serve.requests import InferRequest, parse_request
from edge.serve.responses import encode_response
from edge.serve.wire import HEADER, Message, Tensor

Run = Callable[[dict[str, np.ndarray[Any, Any]]], dict[str, np.ndarray[Any, Any]]]


@dataclass
class Conduct:
    """How the server behaves, and what it has seen."""

    delay_s: float = 0.0
    error: ServeError | None = None
    token: str = ""
    redirect: str = ""
    garbage: bytes = b""
    endless: bool = False
    parameters: dict[str, Any] = field(default_factory=lambda: {"weights_sha256": "cd" * 32})
    requests: list[InferRequest] = field(default_factory=list)
    questions: int = 0
    finished: int = 0  # inferences that ran to their end


def application(conduct: Conduct, model: Run, contract: Contract, name: str) -> Starlette:
    """Return the app of one model."""
    metadata = declare(contract, name, version="3", rows=True)

    async def describe(request: Request) -> Response:
        conduct.questions += 1
        return Response(encode_document(metadata), media_type="application/json")

    async def infer(request: Request) -> Response:
        if conduct.token and request.headers.get("authorization") != f"Bearer {conduct.token}":
            return Response(b'{"error":"who are you?"}', 401)
        body = await read(request)
        given = parse_request(body, request.headers.get(HEADER), metadata)
        conduct.requests.append(given)
        await asyncio.sleep(conduct.delay_s)
        if conduct.redirect:
            return RedirectResponse(conduct.redirect, 307)
        if conduct.error is not None:
            headers = {"Retry-After": str(conduct.error.retry_after_s)} if isinstance(conduct.error, Busy) else {}
            return Response(encode_error(conduct.error), conduct.error.status, headers)
        if conduct.garbage:
            return Response(conduct.garbage, media_type="application/octet-stream")
        if conduct.endless:
            return StreamingResponse(forever(), media_type="application/octet-stream")
        message = answer(given)
        conduct.finished += 1
        return Response(message.body, headers=message.headers)

    def answer(given: InferRequest) -> Message:
        tensor = given.inputs[0]
        if tensor.datatype == "BYTES":
            tensor = prepare_pictures(tensor, contract)
        outputs = model({tensor.name: tensor.array})
        tensors = [Tensor.of(key, value) for key, value in outputs.items()]
        return encode_response(given, tensors, model_name=name, model_version="3", parameters=conduct.parameters)

    return Starlette(
        routes=[
            Route(f"/v2/models/{name}", describe),
            Route(f"/v2/models/{name}/infer", infer, methods=["POST"]),
        ]
    )


async def read(request: Request) -> bytearray:
    """Read a body within the limits."""
    limiter = BodyLimiter(Limits().body_bytes, content_length=request.headers.get("content-length"))
    async for chunk in request.stream():
        limiter.feed(chunk)
    return limiter.finish()


async def forever() -> AsyncIterator[bytes]:
    """Send 64 MiB without saying so: far above what a client takes."""
    for _ in range(1024):
        yield bytes(1 << 16)
        await asyncio.sleep(0)  # uvicorn does not wait for a client that has gone


@dataclass
class Served:
    """A running server."""

    port: int
    conduct: Conduct

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving(model: Run = run, contract: Contract = CONTRACT, name: str = "bright", **ssl: Any) -> Iterator[Served]:
    """Run a server on a free port until the block ends."""
    conduct = Conduct()
    listener = socket.create_server(("127.0.0.1", 0))
    app = application(conduct, model, contract, name)
    config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1, **ssl)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="oip-server")
    thread.start()
    try:
        yield Served(listener.getsockname()[1], conduct)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
