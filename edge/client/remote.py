"""The server's side: one model of one endpoint, its metadata, its requests and their answers, and what they teach."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TypeVar

from edge.client.agree import Served, check_contract, read_metadata
from edge.client.answers import SideAnswer, Spans
from edge.client.breaker import Breaker, Clock
from edge.client.budget import RetryBudget
from edge.client.endpoint import Endpoint
from edge.client.errors import Blocked
from edge.client.policy import Policy, Upload
from edge.client.smoothing import Exchange, ServerEstimates, Smoothed
from edge.client.transport import Reply, Transport, Wire, now_ms
from edge.client.work import JSON_BYTES, Work, picture_tensor, tensor_bytes
from edge.contract import Contract
from edge.errors import ContractError
from edge.serve.errors import AnswerError, Busy, TooManyRequests, parse_error
from edge.serve.metadata import Parameter
from edge.serve.requests import encode_request
from edge.serve.responses import InferResponse, parse_response
from edge.serve.wire import HEADER, Message

T = TypeVar("T")
_FIRST_BYTES_PER_PIXEL = 0.3  # of an encoded picture, before one was measured
_LOOK_AGAIN_MS = 60_000.0  # at the metadata of a server whose model did not fit


@dataclass(slots=True)
class Trip:
    """What one request took and sent; filled on the way, so that a cancelled one tells how far it came."""

    wire: Wire
    asked: Wire | None = None  # the question about the model
    prepare_ms: float | None = None
    metadata_ms: float | None = None
    decode_ms: float | None = None
    payload_bytes: int = 0
    reported: dict[str, float] = field(default_factory=dict)

    @property
    def sent(self) -> bool:
        """Whether anything was sent, a question about the model included."""
        return any(wire is not None and wire.sending is not None for wire in (self.asked, self.wire))

    @property
    def tried(self) -> bool:
        """Whether a connection was used or tried."""
        wires = [wire for wire in (self.asked, self.wire) if wire is not None]
        return any(wire.connecting is not None or wire.sending is not None for wire in wires)

    def spans(self) -> Spans:
        """Return where the time went."""
        wire = self.wire
        return Spans(
            prepare_ms=self.prepare_ms,
            metadata_ms=self.metadata_ms,
            connect_ms=_between(wire.connecting, wire.connected),
            send_ms=_between(wire.sending, wire.sent),
            wait_ms=_between(wire.sent, wire.head),
            receive_ms=_between(wire.head, wire.ended),
            queue_ms=self.reported.get("queue_ms"),
            inference_ms=self.reported.get("inference_ms"),
            decode_ms=self.decode_ms,
        )


class Remote:
    """A model on a server; for one event loop. `offload` runs what would keep the loop from its deadlines."""

    def __init__(self, endpoint: Endpoint, contract: Contract, policy: Policy, clock: Clock, offload: Executor) -> None:
        self.endpoint, self.contract = endpoint, contract
        self.breaker, self.budget, self.estimates = Breaker(clock), RetryBudget(), ServerEstimates()
        self._policy, self._clock, self._offload = policy, clock, offload
        self._transport = Transport(endpoint)
        self._served: Served | None = None
        self._misfit: tuple[ContractError, float] | None = None
        self._bytes_per_pixel = Smoothed()

    async def payload_bytes(self, work: Work, *, exact: bool) -> int:
        """Return the size of the request, estimated for a picture that is not encoded yet unless it has to be exact."""
        kind = self._kind(work)
        if kind == "tensors" or work.image is None:
            return tensor_bytes(self.contract)
        if exact:
            return len(await self._encoded(work, kind)) + JSON_BYTES
        pixels = work.image.shape[0] * work.image.shape[1]
        return int((self._bytes_per_pixel.value or _FIRST_BYTES_PER_PIXEL) * pixels) + JSON_BYTES

    async def infer(
        self, work: Work, trip: Trip, *, limit_ms: float, connect_ms: float, cap_bytes: int | None
    ) -> SideAnswer:
        """Ask once. `limit_ms` is how long the client will wait, and what the server is told.

        Raises ServeError by the server's status, Unreachable, Cut, AnswerError, ContractError for a model that does not
        fit, Blocked above `cap_bytes`.
        """
        ends = now_ms() + limit_ms
        served = await self._look(trip, connect_ms)
        message = await self._message(work, trip, served, ends)
        if cap_bytes is not None and trip.payload_bytes > cap_bytes:
            raise Blocked(
                "over_metered_cap",
                f"the request has {trip.payload_bytes} bytes; at most {cap_bytes} go over a metered network",
            )
        trip.wire.began = now_ms()
        reply = await self._transport.infer(message.body, message.headers, trip.wire, connect_s=connect_ms / 1e3)
        response = self._read(reply, served)
        trip.reported = _numbers(response)
        self._learn(trip)
        return await self._answer(work, trip, served, response)

    def given_up(self, trip: Trip) -> None:
        """Learn from a request that was cancelled or took too long."""
        if trip.wire.sending is not None and trip.wire.head is None:
            self.estimates.gave_up(now_ms() - trip.wire.began, self._clock())

    def now(self) -> float:
        """Return the clock's reading that estimates are kept by."""
        return self._clock()

    async def disconnect(self) -> None:
        """Close every connection."""
        await self._transport.disconnect()

    def _kind(self, work: Work) -> Upload:
        kind = work.travels(self.contract, self._policy)
        return kind if self._served is None or self._served.pictures else "tensors"

    async def _look(self, trip: Trip, connect_ms: float) -> Served:
        """Return the server's model, asked for once; the connection is kept for the request."""
        if self._served is not None:
            return self._served
        if self._misfit is not None and self._clock() - self._misfit[1] < _LOOK_AGAIN_MS:
            raise self._misfit[0]
        asked = trip.asked = Wire(now_ms())
        reply = await self._transport.get(asked, connect_s=connect_ms / 1e3)
        trip.metadata_ms = now_ms() - asked.began
        if asked.connecting is not None and asked.tcp is not None:
            self.estimates.rtt_ms.add(asked.tcp - asked.connecting, self._clock())
        if reply.status != 200:
            raise _refusal(reply)
        try:
            self._served = check_contract(read_metadata(reply.body), self.contract)
        except ContractError as error:
            self._misfit = (error, self._clock())
            raise
        return self._served

    async def _message(self, work: Work, trip: Trip, served: Served, ends: float) -> Message:
        began = now_ms()
        kind = self._kind(work)
        if kind == "tensors":
            inputs, _ = await self._offloaded(lambda: work.inputs(self.contract))
            tensors = served.tensors(inputs)
        else:
            encoded = await self._encoded(work, kind)
            tensors = [picture_tensor(self.contract.inputs[0].name, encoded, work.region)]
        trip.prepare_ms = now_ms() - began
        left_us = max(int((ends - now_ms()) * 1e3), 1)
        outputs = [] if len(served.outputs) == len(served.metadata.outputs) else [spec.name for spec in served.outputs]
        message = encode_request(tensors, outputs=outputs, timeout_us=left_us)
        trip.payload_bytes = len(message.body)
        return message

    async def _encoded(self, work: Work, kind: Upload) -> bytes:
        def encode() -> bytes:
            return work.encoded(kind, self._policy.quality)

        encoded = await self._offloaded(encode)
        if work.image is not None:
            self._bytes_per_pixel.add(len(encoded) * 3 / work.image.size, self._clock())
        return encoded

    def _read(self, reply: Reply, served: Served) -> InferResponse:
        if reply.status != 200:
            raise _refusal(reply)
        try:
            response = parse_response(reply.body, reply.headers.get(HEADER.lower()), served.outputs)
            for spec in self.contract.outputs:  # a server that batches leaves the rows open; one was asked for
                array, axes = response.outputs[spec.name].array, served.from_server[spec.name]
                if (array if axes is None else array.transpose(axes)).shape != spec.shape:
                    raise AnswerError(f"output {spec.name} is {list(array.shape)}; {list(spec.shape)} was asked for")
        except AnswerError:
            self._served = None  # the model may have been replaced by another
            raise
        return response

    def _learn(self, trip: Trip) -> None:
        wire = trip.wire
        if wire.sending is None or wire.sent is None or wire.head is None:
            return
        exchange = Exchange(
            payload_bytes=trip.payload_bytes,
            send_ms=wire.sent - wire.sending,
            wait_ms=wire.head - wire.sent,
            server_ms=_own_time(trip.reported),
            connect_ms=_between(wire.connecting, wire.tcp),
        )
        self.estimates.observe(exchange, self._clock())

    async def _answer(self, work: Work, trip: Trip, served: Served, response: InferResponse) -> SideAnswer:
        began = now_ms()
        outputs = served.arrays(response.outputs)
        result = await self._offloaded(lambda: work.decode(outputs, self.contract))
        trip.decode_ms = now_ms() - began
        weights = response.parameters.get("weights_sha256", "")
        return SideAnswer(
            side="server", outputs=outputs, result=result, model=response.model_name,
            model_version=response.model_version, model_sha256=weights if isinstance(weights, str) else "",
        )  # fmt: skip

    async def _offloaded(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._offload, function)


def _refusal(reply: Reply) -> Exception:
    error = parse_error(reply.status, reply.body, reply.headers.get("retry-after", ""))
    if isinstance(error, Busy | TooManyRequests) and "retry-after" not in reply.headers:
        error.retry_after_s = 0
    return error


def _numbers(response: InferResponse) -> dict[str, float]:
    """Return the durations that the server reports of itself, as far as they can be true."""
    found = {}
    for name in ("prepare_ms", "queue_ms", "inference_ms", "total_ms"):
        value: Parameter = response.parameters.get(name, -1)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
            found[name] = float(value)
    return found


def _own_time(reported: Mapping[str, float]) -> float | None:
    """Return the server's time from the whole request to the answer: as it says, or as the sum of its parts."""
    parts = [reported.get(name) for name in ("prepare_ms", "queue_ms", "inference_ms")]
    known = [part for part in parts if part is not None]
    return reported.get("total_ms", sum(known) if len(known) == len(parts) else None)


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start
