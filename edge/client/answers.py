"""What a call returns: the result, where it ran and why, and what was tried with its times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from numpy.typing import NDArray

from edge.serve.call import Decision, Reason, Side
from edge.tasks import Prediction

Outcome = Literal["answered", "failed", "timed_out", "cancelled", "abandoned", "not_sent"]
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """Where an attempt's time went, in milliseconds; None for what did not happen or is not known.

    `queue_ms` and `inference_ms` of the server are what it reports of itself; they lie within `wait_ms`.
    """

    prepare_ms: float | None = None  # preprocessing, or encoding what is sent
    metadata_ms: float | None = None  # asking the server about the model, once
    connect_ms: float | None = None  # with TLS
    send_ms: float | None = None
    wait_ms: float | None = None
    receive_ms: float | None = None
    queue_ms: float | None = None
    inference_ms: float | None = None
    decode_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of one side; times in milliseconds since the call began.

    `abandoned` is a device run that could not be interrupted and still computes; `sent` says whether any byte of the
    request left.
    """

    side: Side
    outcome: Outcome
    began_ms: float
    ended_ms: float
    spans: Spans = Spans()
    error: str = ""
    sent: bool = False
    payload_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SideAnswer:
    """What one side returned; outputs are named and laid out by the side's contract."""

    side: Side
    outputs: Arrays = field(repr=False)
    result: Prediction | None
    model: str
    model_version: str
    model_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """A call's answer.

    `result` is decoded in the picture's coordinates, None for calls that gave tensors; `outputs` are the model's.
    `decision` is the policy's; `ran_on` differs from its `run_on` after a fallback or a hedge. `model_sha256` is that
    of the weights, empty where the server does not tell.
    """

    result: Prediction | None
    outputs: Arrays = field(repr=False)
    ran_on: Side
    reason: Reason
    decision: Decision
    attempts: tuple[Attempt, ...]
    model: str
    model_version: str
    model_sha256: str
    total_ms: float

    @property
    def fell_back(self) -> bool:
        """Whether another side answered than the one that the call began with."""
        return self.ran_on != self.decision.run_on

    def to_json(self) -> dict[str, Any]:
        """Return everything but the tensors as plain JSON values."""
        return {
            "result": None if self.result is None else self.result.to_json(),
            "ran_on": self.ran_on,
            "reason": self.reason,
            "model": self.model,
            "model_version": self.model_version,
            "model_sha256": self.model_sha256,
            "total_ms": self.total_ms,
            "decision": msgspec.to_builtins(self.decision),
            "attempts": msgspec.to_builtins(self.attempts),
        }
