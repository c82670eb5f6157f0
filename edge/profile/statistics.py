"""Statistics of latencies: launches are the unit of repetition, runs within one repeat each other.

The interval of a median of medians resamples launches, then runs within each (hierarchical bootstrap: Davison and
Hinkley, Bootstrap Methods and their Application, 1997, section 3.8); percentile intervals, seeded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.profile.records import Interval, Verdict

BOOTSTRAPS = 2000
FEWEST = 5  # launches that an interval needs
BAND = 0.02  # a ratio this near to 1 makes no difference in practice
GAP = 0.10  # between the medians of launches of different modes
THROTTLED = 1.10  # times the burst
Times = NDArray[np.float64]


def interval(
    launches: Sequence[Times], quantile: float = 0.5, *, seed: int = 0, bootstraps: int = BOOTSTRAPS
) -> Interval | None:
    """Return the 95 % interval of the median over launches of a quantile within each; None for too few launches."""
    if len(launches) < FEWEST:
        return None
    return _percentiles(_centres(launches, quantile, np.random.default_rng(seed), bootstraps))


def ratio_interval(
    launches: Sequence[Times], reference: Sequence[Times], *, seed: int = 0, bootstraps: int = BOOTSTRAPS
) -> Interval | None:
    """Return the 95 % interval of the ratio of two medians of medians; None for too few launches.

    The n-th launches of both ran beside each other: they are drawn together, as a busy spell of the machine falls on
    both.
    """
    rounds = min(len(launches), len(reference))
    if rounds < FEWEST:
        return None
    generator = np.random.default_rng(seed)
    above = _resampled(launches[:rounds], 0.5, generator, bootstraps)
    below = _resampled(reference[:rounds], 0.5, generator, bootstraps)
    picked = generator.integers(0, rounds, size=(bootstraps, rounds))
    rows = np.arange(bootstraps)[:, None]
    return _percentiles(np.median(above[rows, picked], axis=1) / np.median(below[rows, picked], axis=1))


def unpaired_ratio_interval(
    launches: Sequence[Times], reference: Sequence[Times], *, seed: int = 0, bootstraps: int = BOOTSTRAPS
) -> Interval | None:
    """Return the 95 % interval of the ratio of two medians of medians measured at different times.

    Both sides are resampled on their own: nothing that happened to the machine is common to their n-th launches.
    None for too few launches on either side.
    """
    if min(len(launches), len(reference)) < FEWEST:
        return None
    generator = np.random.default_rng(seed)
    above, below = (_centres(side, 0.5, generator, bootstraps) for side in (launches, reference))
    return _percentiles(above / below)


def _centres(
    launches: Sequence[Times], quantile: float, generator: np.random.Generator, bootstraps: int
) -> NDArray[np.float64]:
    """Return medians over launches of a quantile within each, resampled so many times: (bootstraps,)."""
    drawn = _resampled(launches, quantile, generator, bootstraps)
    picked = generator.integers(0, len(launches), size=(bootstraps, len(launches)))
    return np.asarray(np.median(drawn[np.arange(bootstraps)[:, None], picked], axis=1))


def bootstrap_interval(values: Sequence[float], *, seed: int = 0) -> Interval:
    """Return the 95 % percentile-bootstrap interval of the median (Efron 1979), seeded."""
    generator = np.random.default_rng(seed)
    draws = generator.choice(np.asarray(values), size=(BOOTSTRAPS, len(values)))
    return _percentiles(np.median(draws, axis=1))


def _resampled(
    launches: Sequence[Times], quantile: float, generator: np.random.Generator, bootstraps: int
) -> NDArray[np.float64]:
    """Return a quantile of every launch's runs, resampled so many times: (bootstraps, launches).

    The k-th smallest of n draws from n values is the value at ⌊n·U⌋ with U from Beta(k, n − k + 1), the k-th smallest
    of n uniform numbers (David and Nagaraja, Order Statistics, 2003, section 2.1): no run has to be drawn.
    """
    columns = []
    for runs in launches:
        n = len(runs)
        k = 1 + quantile * (n - 1)
        place = (n * generator.beta(k, n - k + 1, size=bootstraps)).astype(int)
        columns.append(np.sort(runs)[np.minimum(place, n - 1)])
    return np.stack(columns, axis=1)


def verdict(found: Interval | None) -> Verdict:
    """Say what an interval of a ratio shows: faster or slower by more than the band, or neither."""
    if found is None:
        return "unknown"
    low, high = found
    if high < 1 - BAND:
        return "faster"
    return "slower" if low > 1 + BAND else "indistinguishable"


def groups(medians: Sequence[float]) -> tuple[tuple[int, ...], ...]:
    """Return the modes of launches (by index), fastest first: a gap of 10 % parts two, and one launch alone is none.

    All launches are one mode where fewer than two groups have two launches.
    """
    order = sorted(range(len(medians)), key=lambda index: medians[index])
    found: list[list[int]] = []
    for index in order:
        if found and medians[index] <= (1 + GAP) * medians[found[-1][-1]]:
            found[-1].append(index)
        else:
            found.append([index])
    several = [tuple(group) for group in found if len(group) > 1]
    return tuple(several) if len(several) > 1 else (tuple(order),) if order else ()


@dataclass(frozen=True, slots=True)
class Course:
    """How latency went on under a load that did not end; times in the unit of the durations."""

    starts_s: tuple[float, ...]  # of the windows
    counts: tuple[int, ...]
    medians: tuple[float, ...]
    burst: float
    steady: float
    ratio_ci95: Interval | None
    throttled_at_s: float | None


def course(starts_s: Times, durations: Times, window_s: float, *, seed: int = 0) -> Course:
    """Cut runs into windows and compare the last third with the first window; needs at least one run.

    The ratio's interval resamples blocks of consecutive runs (moving blocks: Künsch, Annals of Statistics 17, 1989),
    because runs under one temperature are alike.
    """
    index = (starts_s // window_s).astype(int)
    numbers = np.unique(index)
    parts = [durations[index == number] for number in numbers]
    medians = tuple(float(np.median(part)) for part in parts)
    late = durations[starts_s >= 2 / 3 * float(starts_s[-1])]
    burst, steady = medians[0], float(np.median(late))
    hot = [median > THROTTLED * burst for median in medians]
    first = next((i for i in range(len(hot) - 1) if hot[i] and hot[i + 1]), None)
    return Course(
        starts_s=tuple(float(number * window_s) for number in numbers),
        counts=tuple(len(part) for part in parts),
        medians=medians,
        burst=burst,
        steady=steady,
        ratio_ci95=_block_ratio(late, parts[0], seed) if len(parts) > 1 else None,
        throttled_at_s=None if first is None else float(numbers[first] * window_s),
    )


def _block_ratio(above: Times, below: Times, seed: int) -> Interval | None:
    if min(len(above), len(below)) < 2 * FEWEST:
        return None
    generator = np.random.default_rng(seed)
    ratios = [
        float(np.median(_blocks(above, generator)) / np.median(_blocks(below, generator)))
        for _ in range(BOOTSTRAPS // 4)
    ]
    return _percentiles(np.asarray(ratios))


def _blocks(values: Times, generator: np.random.Generator) -> Times:
    """Return as many values, in blocks of a tenth of them that begin anywhere."""
    length = max(1, len(values) // 10)
    starts = generator.integers(0, len(values) - length + 1, size=-(-len(values) // length))
    return np.asarray(values[(starts[:, None] + np.arange(length)).ravel()[: len(values)]])


def _percentiles(values: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
