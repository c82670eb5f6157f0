"""What an app settles once for its calls, and the client's own rules of time. docs/client.md, "Execution"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge.errors import UsageError
from edge.serve.call import METERED_CAP_BYTES, Decision, Mode

Consent = Literal["granted", "denied", "unset"]
DataClass = Literal["local_only", "may_upload"]
Upload = Literal["jpeg", "webp", "png", "tensors"]
LONGEST_CONNECT_MS = 3_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings of a runner's calls; the defaults send nothing.

    `upload` is how pictures travel: `jpeg` and `webp` are small and lossy, `png` is exact, `tensors` are the
    preprocessed input. What is no picture travels as tensors.
    """

    mode: Mode = "only-on-device"
    data_class: DataClass = "local_only"
    metered_cap_bytes: int = METERED_CAP_BYTES
    deadline_ms: float | None = None
    upload: Upload = "jpeg"
    quality: int = 90  # of jpeg and webp, 1 to 95

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 95:
            raise UsageError(f"quality is {self.quality}; give 1 to 95")


def server_limit_ms(decision: Decision, deadline_ms: float | None) -> float | None:
    """Return how long the server may take, from the call's beginning, before the device takes over or the call fails.

    Nobody knows when a device of unknown speed has to begin; without a hedge it gets the second half of the time.
    """
    unknown = decision.device_ms is None and decision.hedge_after_ms is None
    if deadline_ms is not None and decision.run_on == "server" and decision.fallback == "device" and unknown:
        return deadline_ms / 2
    return decision.timeout_ms


def connect_limit_ms(left_ms: float, *, spare: bool) -> float:
    """Return how long connecting may take: where the other side is open, at most half of the time that is left."""
    return min(LONGEST_CONNECT_MS, left_ms / 2 if spare else left_ms)
