"""What counts as a divergence: an operator's own error, against what rounding explains and what its network shows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Own error (rms of the difference over rms of the result) that a precision's rounding explains in one operator.
FLOORS = {
    "fp32": 1e-3,
    "fp16": 2e-2,
    "w8": 0.05,
    "w8a16": 0.05,
    "int8-dynamic": 0.1,
    "int8": 0.1,
    "mixed": 0.1,
    "w4": 0.4,
    "ternary": 0.8,
    "ternary-sparse": 0.8,
}
CEILING = 0.5  # an operator that is off by this much is wrong, whatever the others do
_TIMES_MEDIAN = 5.0  # and so is one that stands out this much in a network that is coarse throughout
_STEPS = 2.0  # of a quantized tensor, that rounding of result and inputs explains


@dataclass(frozen=True, slots=True)
class OwnError:
    """One stretch's own error: rms of the difference, rms of the right result, step of the tensor (0 if none)."""

    difference: float
    scale: float
    step: float = 0.0

    @property
    def relative(self) -> float:
        """Return the difference as a share of the scale; infinity for what is not a number."""
        if not math.isfinite(self.difference) or not math.isfinite(self.scale):
            return math.inf
        return 0.0 if self.difference == 0 else self.difference / max(self.scale, 1e-30)

    @property
    def excess(self) -> float:
        """Return what is left of the relative error when the tensor's own steps are taken off."""
        if not math.isfinite(self.relative):
            return math.inf
        return max(0.0, self.difference - _STEPS * self.step) / max(self.scale, 1e-30) if self.difference else 0.0


def allowance(errors: Sequence[OwnError], precision: str) -> float:
    """Return the own error above which an operator stands out: the precision's floor, or a multiple of the median.

    The median keeps a network that is coarse throughout (narrow ranges, few bits) from being blamed on its first layer.
    """
    finite = [error.excess for error in errors if math.isfinite(error.excess)]
    usual = _TIMES_MEDIAN * statistics.median(finite) if finite else 0.0
    floor = FLOORS[precision]
    return max(floor, min(usual, max(CEILING, floor)))


def first_divergence(errors: Sequence[OwnError], precision: str) -> int | None:
    """Return the position of the first error, in the program's order, that exceeds the allowance, or None."""
    allowed = allowance(errors, precision)
    return next((index for index, error in enumerate(errors) if error.excess > allowed), None)
