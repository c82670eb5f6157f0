"""What `python -m bench.ternary` measured, and the figures that are taken from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench.ternary_peers import Case

_RESAMPLES = 2000
_LEVEL = 95.0


@dataclass(frozen=True, slots=True)
class Spread:
    """Hold a median over rounds with its 95 % bootstrap interval."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median of values with its interval; the same values give the same interval."""
    found = np.asarray(values, np.float64)
    if found.size == 0:
        raise ValueError("no values; expected at least one")
    chosen = np.random.default_rng(0).integers(0, found.size, (_RESAMPLES, found.size))
    medians = np.median(found[chosen], axis=1)
    edge = (100 - _LEVEL) / 2
    low, high = np.percentile(medians, [edge, 100 - edge])
    return Spread(float(np.median(found)), float(low), float(high))


@dataclass(frozen=True)
class Timing:
    """Hold what a variant did in one case: medians of its rounds in ms, or why there are none."""

    name: str
    ours: bool
    stored_bits: float = 0.0
    read_bytes: float = 0.0
    error: float = 0.0  # against the float64 reference, root mean squares
    rounds_ms: tuple[float, ...] = ()
    least_ms: float = 0.0
    reason: str = ""  # "missing: …" or "wrong: …"

    @cached_property
    def time(self) -> Spread:
        """Return the time of a product in ms."""
        return spread(self.rounds_ms)


@dataclass(frozen=True)
class Measured:
    """Hold all timings of one case, and of reading memory in the same rounds where that was done."""

    rows: int
    columns: int
    outputs: int
    timings: tuple[Timing, ...]
    reads: tuple[Timing, ...] = ()

    @property
    def case(self) -> Case:
        """Return what was computed."""
        return Case(self.rows, self.columns, self.outputs)

    def timed(self) -> tuple[Timing, ...]:
        """Return the variants that were timed."""
        return tuple(timing for timing in self.timings if timing.rounds_ms)

    def best(self, *, ours: bool) -> Timing | None:
        """Return the fastest of the kit's variants, or of the others."""
        return min(
            (timing for timing in self.timed() if timing.ours is ours),
            key=lambda timing: timing.time.median,
            default=None,
        )

    def read(self, threads: int) -> Timing | None:
        """Return the plain read of memory by one thread, or by all for more, if it was timed."""
        found = self.reads[min(threads, 2) - 1 : min(threads, 2)]
        return found[0] if found and found[0].rounds_ms else None

    def named(self, name: str) -> Timing | None:
        """Return a variant that was timed."""
        return next((timing for timing in self.timed() if timing.name == name), None)


@dataclass(frozen=True)
class Record:
    """Hold one run: where, when, with what, and its cases."""

    machine: str
    date: str
    threads: int
    clock: str  # "wall", or "cpu" of the calling thread
    rounds: int
    cache_bytes: int
    versions: tuple[str, ...]
    cases: tuple[Measured, ...]

    def of_rows(self, rows: int) -> tuple[Measured, ...]:
        """Return the cases of so many activation rows, in the order of their weights."""
        return tuple(sorted((case for case in self.cases if case.rows == rows), key=lambda found: found.case.weights))

    def is_beyond(self, measured: Measured) -> bool:
        """Tell whether a case's weights are larger than the last-level cache in the densest form, 1.6 bits."""
        return measured.case.weights * 1.6 / 8 > self.cache_bytes


def ratio(slower: Timing, faster: Timing) -> Spread:
    """Return how many times as long the first takes, from the rounds in which both were timed."""
    pairs = zip(slower.rounds_ms, faster.rounds_ms, strict=True)
    return spread([first / second for first, second in pairs])


def bandwidth(read: Timing) -> float:
    """Return the bytes a second of a read, by the median of its rounds."""
    return read.read_bytes / read.time.median * 1e3


def roofline_ms(timing: Timing, weights: int, read: Timing, rate: float) -> float:
    """Return the least time of a product: that of reading its weights, or that of its sums if it is longer.

    `rate` is what the kernel reaches in the cache, weights a ms.
    """
    return max(timing.read_bytes / bandwidth(read) * 1e3, weights / rate)


def cache_rate(cases: Iterable[Measured], name: str) -> float:
    """Return the most weights a ms that a variant multiplied in cases that lie in the cache, or 0 without any."""
    rates = [case.case.weights / found.time.median for case in cases if (found := case.named(name)) is not None]
    return max(rates, default=0.0)


def relative_error(found: NDArray[np.float32], expected: NDArray[np.float64]) -> float:
    """Return the root mean square of the error over that of what is expected."""
    difference = found.astype(np.float64) - expected
    return float(np.sqrt(np.mean(difference**2)) / np.sqrt(np.mean(expected**2)))
