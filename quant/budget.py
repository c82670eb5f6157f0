"""What may be lost, what was measured, and how the two compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edge.errors import UsageError

Timing = Literal["native", "emulated", "unknown"]
FLOATS = ("fp16", "fp32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Bound what may be lost: a share of the metric (0.01 is one percent), and the latency if that matters."""

    max_drop: float
    max_latency_ms: float | None = None

    @property
    def floor(self) -> float:
        """Return the least metric; 1 is that of the eager model against itself."""
        return 1.0 - self.max_drop


DEFAULT_BUDGET = Budget(max_drop=0.01)


def checked_budget(max_drop: float, max_latency_ms: float | None = None) -> Budget:
    """Return the budget; raises UsageError for a share outside of 0 to 1 or a latency that is not positive."""
    if not 0.0 <= max_drop < 1.0:
        raise UsageError(f"a drop of {max_drop:g} is no share of the metric; expected 0 to 1, for example 0.01 or 1%")
    if max_latency_ms is not None and not 0.0 < max_latency_ms < float("inf"):
        raise UsageError(f"a latency of {max_latency_ms:g} ms cannot be met; expected more than 0, for example 12ms")
    return Budget(max_drop=max_drop, max_latency_ms=max_latency_ms)


def parse_share(text: str) -> float:
    """Read a share of the metric such as 1% or 0.01; raises UsageError."""
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise UsageError(f"{text!r} is no share of the metric; expected for example 1% or 0.01") from None


def parse_milliseconds(text: str) -> float:
    """Read a latency such as 12ms or 12, in milliseconds; raises UsageError."""
    try:
        return float(text.removesuffix("ms"))
    except ValueError:
        raise UsageError(f"{text!r} is no latency in milliseconds; expected for example 12ms") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Hold what was measured of one artifact, or why there is none."""

    precision: str
    status: str = "ok"  # or why it was not made: refused, needs-sdk, failed, skipped
    reason: str = ""
    fault: str = ""  # why it must not be taken although it was measured: its outputs differ from the model's
    metric: str = ""
    value: float | None = None  # of the metric; None: it could not be executed or compared
    ci95: tuple[float, float] | None = None
    count: int = 0  # pictures that the value rests on
    latency_ms: float | None = None
    latency_ci95_ms: tuple[float, float] | None = None
    timing: Timing = "unknown"  # only a native latency is compared
    size_bytes: int = 0
    kept: int = 0  # layers that mixed keeps from 8 bits
    layers: int = 0  # of which it could keep so many

    @property
    def measured(self) -> bool:
        """Say whether it exists and its metric is known."""
        return self.status == "ok" and self.value is not None

    @property
    def drop(self) -> float:
        """Return what it lost of the metric; 1 if nothing is known."""
        return 1.0 if self.value is None else max(0.0, 1.0 - self.value)

    def timed(self) -> float | None:
        """Return the latency if it is this machine's own."""
        return self.latency_ms if self.timing == "native" else None


def accurate(candidate: Candidate, budget: Budget) -> bool:
    """Say whether a candidate loses no more than allowed, and may be taken."""
    return (
        candidate.value is not None
        and candidate.status == "ok"
        and not candidate.fault
        and candidate.value >= budget.floor
    )


def fast(candidate: Candidate, budget: Budget) -> bool:
    """Say whether a candidate is in time; where latency cannot be measured here it is not judged."""
    latency = candidate.timed()
    return budget.max_latency_ms is None or latency is None or latency <= budget.max_latency_ms


def meets(candidate: Candidate, budget: Budget) -> bool:
    """Say whether a candidate is within the budget."""
    return accurate(candidate, budget) and fast(candidate, budget)


def pointless(tried: Sequence[Candidate], budget: Budget) -> bool:
    """Say whether int8 is slower than a float precision in budget by more than both intervals: mixed lies between."""
    rounded = next((c for c in tried if c.precision == "int8" and c.measured and c.timed()), None)
    floats = [c for c in tried if c.precision in FLOATS and meets(c, budget) and c.timed()]
    return rounded is not None and any(surely_slower(rounded, other) for other in floats)


def surely_slower(candidate: Candidate, other: Candidate) -> bool:
    """Say whether a candidate's whole latency interval lies above another's."""
    mine, theirs = candidate.latency_ci95_ms, other.latency_ci95_ms
    return mine is not None and theirs is not None and mine[0] > theirs[1]
