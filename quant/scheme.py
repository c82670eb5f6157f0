"""What quantization does to a tensor, as small values that compose; targets map them to their runtimes' own tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Granularity = Literal["tensor", "channel", "block"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Integers:
    """Describe integers of `bits` bits with one scale (and zero point, unless symmetric) a tensor, channel or block."""

    bits: int
    symmetric: bool
    granularity: Granularity

    @property
    def levels(self) -> int:
        """Return how many values there are."""
        return 1 << self.bits

    def __str__(self) -> str:
        return f"int{self.bits}, {'symmetric' if self.symmetric else 'asymmetric'}, per {self.granularity}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """Say which integers weights and activations become; None stays in float.

    Ranges of activations are `measured` on calibration inputs, or taken `at run time` from every input anew.
    """

    weights: Integers | None = None
    activations: Integers | None = None
    ranges: Literal["measured", "at run time"] = "measured"

    @property
    def calibrated(self) -> bool:
        """Say whether it needs inputs to measure the range of activations on."""
        return self.activations is not None and self.ranges == "measured"


CHANNELS_8 = Integers(bits=8, symmetric=True, granularity="channel")
CHANNELS_4 = Integers(bits=4, symmetric=True, granularity="channel")
TENSOR_8 = Integers(bits=8, symmetric=False, granularity="tensor")
TENSOR_16 = Integers(bits=16, symmetric=False, granularity="tensor")
