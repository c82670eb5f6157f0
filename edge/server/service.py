"""What happens to one request: admitted, read under limits, prepared, run, answered. No HTTP server and no Ray here."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge.contract import Contract
from edge.serve.datatypes import element_bytes
from edge.serve.errors import Busy, DeadlinePassed, UnknownModel
from edge.serve.limits import BodyLimiter, Limits
from edge.serve.metadata import ModelMetadata
from edge.serve.pictures import prepare_pictures
from edge.serve.requests import InferRequest, parse_request
from edge.serve.responses import encode_response
from edge.serve.wire import HEADER, Message, Tensor
from edge.server.admission import Admission
from edge.server.batch import Answer, Clock, Job
from edge.server.config import ModelConfig
from edge.server.engine import Arrays
from edge.server.gate import Admit

DECODERS = 2  # pictures that are decoded at once: one of 25 megapixels takes up to half a gigabyte meanwhile
Infer = Callable[[Job], Awaitable[Answer]]


class ClientGone(Exception):
    """Report that the client closed the connection before there was an answer."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a replica says about its model; `weights` is the hex SHA-256 of their source, or `random`."""

    contract: Contract
    metadata: ModelMetadata
    weights: str
    config: ModelConfig


@dataclass(slots=True)
class Account:
    """What one request cost, for logs and metrics; nothing of its content. Times are in seconds."""

    who: str = ""
    body_bytes: int = 0
    rows: int = 0
    prepare_s: float = 0.0
    total_s: float = 0.0  # from the first byte until the outputs are there
    queue_s: float = 0.0
    infer_s: float = 0.0
    batch_rows: int = 0


class ModelService:
    """Answer inference requests for one version of one model; used from one event loop."""

    def __init__(
        self, served: Served, infer: Infer, admit: Admit, limits: Limits, clock: Clock = time.monotonic
    ) -> None:
        self.served = served
        self.admission = Admission(served.config.max_queued)
        self._infer, self._admit, self._clock = infer, admit, clock
        rows = min(limits.rows, served.config.max_batch)
        own_bytes = _row_bytes(served.metadata)
        if own_bytes > limits.body_bytes - limits.json_bytes >= 0:
            limits = replace(limits, body_bytes=own_bytes + limits.json_bytes)
        self._limits = replace(limits, rows=rows)
        self._arriving_bytes, self._most_arriving_bytes = 0, served.config.max_queued * limits.body_bytes
        self._decoders = ThreadPoolExecutor(DECODERS, thread_name_prefix="decode")

    def admit(self, authorization: str | None, version: str | None) -> str:
        """Return who asks; raises what the gate raises, and UnknownModel for another version."""
        who = self._admit(authorization, self.served.metadata.name)
        if version is not None and version != self.served.config.version:
            raise UnknownModel(f"model {self.served.metadata.name} has no version {version[:20]!r}")
        return who

    async def infer(
        self,
        headers: Mapping[str, str],
        chunks: AsyncIterator[bytes],
        left: Callable[[], Coroutine[Any, Any, None]],
        account: Account,
    ) -> Message:
        """Return the answer to a request whose sender was admitted.

        `left` returns when the client has closed the connection; it is called once the body is read. Raises ServeError,
        and ClientGone, after which nothing more is done for the request.
        """
        begin_s = self._clock()
        longest_s = self.served.config.timeout_ms / 1e3
        self.admission.check()
        try:
            async with asyncio.timeout(longest_s):
                request = await self._read(headers, chunks, account)
                with self.admission.enter():  # only now: a slow sender takes no place of those that can be run
                    return await _unless_gone(self._answer(request, account, begin_s), left())
        except TimeoutError:
            raise DeadlinePassed(f"there was no answer within the {longest_s:g} s that are allowed") from None

    async def _read(self, headers: Mapping[str, str], chunks: AsyncIterator[bytes], account: Account) -> InferRequest:
        limiter = BodyLimiter(
            self._limits.body_bytes,
            content_length=headers.get("content-length"),
            content_encoding=headers.get("content-encoding"),
        )
        arrived = 0
        try:
            async for chunk in chunks:
                limiter.feed(chunk)
                arrived += len(chunk)
                self._arriving_bytes += len(chunk)
                if self._arriving_bytes > self._most_arriving_bytes:
                    raise Busy("too many requests' bodies arrive at once; come back", self.admission.wait_s())
        finally:
            self._arriving_bytes -= arrived
        body = limiter.finish()
        account.body_bytes = len(body)
        return parse_request(body, headers.get(HEADER.lower()), self.served.metadata, self._limits)

    async def _answer(self, request: InferRequest, account: Account, begin_s: float) -> Message:
        timeout_s = self.served.config.timeout_ms / 1e3
        if request.timeout_us is not None:
            timeout_s = min(timeout_s, request.timeout_us / 1e6)
        try:
            async with asyncio.timeout(begin_s + timeout_s - self._clock()):
                inputs = await self._prepare(request)
                now_s = self._clock()
                account.prepare_s = now_s - begin_s
                job = Job(inputs, deadline_s=begin_s + timeout_s, queued_s=now_s)
                account.rows = job.rows
                try:
                    answer = await self._infer(job)
                finally:
                    job.gone = True  # what still waits for its turn is not run in vain
        except TimeoutError:
            raise DeadlinePassed(f"the request's deadline of {timeout_s * 1e3:g} ms passed") from None
        account.total_s = self._clock() - begin_s
        account.queue_s, account.infer_s, account.batch_rows = answer.queue_s, answer.infer_s, answer.batch_rows
        self.admission.note(answer.infer_s * account.rows / max(1, answer.batch_rows))
        return self._encode(request, answer, account)

    async def _prepare(self, request: InferRequest) -> Arrays:
        pictures = [tensor for tensor in request.inputs if self._is_pictures(tensor)]
        if not pictures:
            return {tensor.name: tensor.array for tensor in request.inputs}
        loop = asyncio.get_running_loop()
        made = await loop.run_in_executor(
            self._decoders, prepare_pictures, pictures[0], self.served.contract, self._limits
        )
        return {made.name: made.array}

    def _is_pictures(self, tensor: Tensor) -> bool:
        spec = next(spec for spec in self.served.metadata.inputs if spec.name == tensor.name)
        return tensor.datatype == "BYTES" and spec.datatype != "BYTES"

    def _encode(self, request: InferRequest, answer: Answer, account: Account) -> Message:
        outputs = [Tensor.of(name, np.ascontiguousarray(array)) for name, array in answer.outputs.items()]
        return encode_response(
            request,
            outputs,
            model_name=self.served.metadata.name,
            model_version=self.served.config.version,
            parameters={
                "prepare_ms": round(account.prepare_s * 1e3, 3),
                "queue_ms": round(answer.queue_s * 1e3, 3),
                "inference_ms": round(answer.infer_s * 1e3, 3),
                "total_ms": round(account.total_s * 1e3, 3),
                "weights_sha256": self.served.weights,
            },
        )


def _row_bytes(metadata: ModelMetadata) -> int:
    """Return the bytes of one row of a model's inputs, which fit into a body whatever its limit."""
    sizes = [(element_bytes(spec.datatype) or 0) * abs(math.prod(spec.shape)) for spec in metadata.inputs]
    return sum(sizes)


async def _unless_gone(work: Coroutine[Any, Any, Message], left: Coroutine[Any, Any, None]) -> Message:
    """Return the work's result; where the client leaves first, cancel the work and raise ClientGone."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(left)
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        with contextlib.suppress(BaseException):
            await asyncio.gather(working, leaving, return_exceptions=True)
