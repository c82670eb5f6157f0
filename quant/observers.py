"""Which range of an activation gets codes: the extremes that were seen, or less where that rounds the rest finer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Observer = Literal["min-max", "percentile", "mse", "entropy"]
Range = tuple[float, float]

_KEPT = 8192  # values of one tensor and input that ranges are chosen on
_PERCENTILE = 99.99
_SHRINK = tuple(float(share) for share in np.linspace(1.0, 0.3, 29))
_BINS = 2048


@dataclass(slots=True)
class Seen:
    """Collect what one activation held over the calibration inputs: its extremes, and an even sample of its values."""

    low: float = np.inf
    high: float = -np.inf
    values: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, values: NDArray[Any]) -> None:
        """Take in the values of one input."""
        flat = np.asarray(values, np.float32).reshape(-1)
        if not flat.size:
            return
        self.low, self.high = min(self.low, float(flat.min())), max(self.high, float(flat.max()))
        self.values.append(flat[:: max(1, flat.size // _KEPT)].copy())

    @property
    def extremes(self) -> Range:
        """Return the least and the largest value."""
        return self.low, self.high

    def sample(self) -> NDArray[np.float32]:
        """Return the sampled values of all inputs."""
        return np.concatenate(self.values)


def choose_range(seen: Seen, observer: Observer, *, bits: int = 8) -> Range:
    """Return the range (low, high) that gets the 2^bits codes; it holds 0, which padding needs exactly.

    Raises ValueError if nothing was seen or values are not finite.
    """
    if not seen.values:
        raise ValueError("no values were seen")
    if not np.isfinite(seen.extremes).all():
        raise ValueError("values are not finite")
    low, high = _OBSERVERS[observer](seen, bits)
    if low == high:  # all but stray values are equal, as behind a ReLU that hardly ever fires
        low, high = seen.extremes
    return min(low, 0.0), max(high, 0.0)


def _extremes(seen: Seen, bits: int) -> Range:
    return seen.extremes


def _percentile(seen: Seen, bits: int) -> Range:
    low, high = np.percentile(seen.sample(), [100.0 - _PERCENTILE, _PERCENTILE])
    return float(low), float(high)


def _least_squares(seen: Seen, bits: int) -> Range:
    """Shrink both ends until rounding and clipping together cost the least squared error, on a histogram.

    With more than 8 bits the bins are wider than the steps, and nothing is gained by clipping.
    """
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    if bits > 8 or low == high:
        return seen.extremes
    counts, edges = np.histogram(seen.sample(), bins=2 * _BINS, range=(low, high))
    centres = ((edges[1:] + edges[:-1]) / 2).astype(np.float32)

    def cost(ends: Range) -> float:
        return float(np.dot(counts, (centres - fake_quantize(centres, ends, bits)) ** 2))

    low = min(((share * low, high) for share in _SHRINK), key=cost)[0]
    return min(((low, share * high) for share in _SHRINK), key=cost)


def fake_quantize(values: NDArray[np.float32], ends: Range, bits: int) -> NDArray[np.float32]:
    """Return what values are after they were rounded to 2^bits codes over a range that holds 0."""
    low, high = ends
    scale = (high - low) / ((1 << bits) - 1) or 1.0
    zero = np.round(-low / scale)
    # In float64: the scale of the least numbers that float32 has is none of its own.
    codes = np.clip(np.round(values.astype(np.float64) / scale) + zero, 0, (1 << bits) - 1)
    return np.asarray((codes - zero) * scale, np.float32)


def _least_divergence(seen: Seen, bits: int) -> Range:
    """Clip where the quantized histogram of magnitudes diverges least from the clipped one.

    Source: Migacz, 8-bit Inference with TensorRT (GTC 2017). With more than 8 bits nothing is gained by clipping.
    """
    if bits > 8:
        return seen.extremes
    values = seen.sample()
    largest = float(np.abs(values).max()) or 1.0
    counts, edges = np.histogram(np.abs(values), bins=_BINS, range=(0.0, largest))
    levels = 1 << (bits - 1) if seen.low < 0 < seen.high else 1 << bits
    stops = range(levels, _BINS + 1, 16)
    best = min(stops, key=lambda stop: _divergence(counts.astype(np.float64), stop, levels))
    bound = float(edges[best])
    return max(seen.low, -bound), min(seen.high, bound)


def _divergence(counts: NDArray[np.float64], stop: int, levels: int) -> float:
    clipped = counts[:stop].copy()
    clipped[-1] += counts[stop:].sum()
    group = np.arange(stop) * levels // stop
    used = counts[:stop] > 0
    totals, members = np.bincount(group, counts[:stop], levels), np.bincount(group, used, levels)
    expanded = np.where(used, (totals / np.maximum(members, 1))[group], 0.0)
    p, q = clipped / clipped.sum(), expanded / max(expanded.sum(), 1e-30)
    shared = (p > 0) & (q > 0)
    lost = float(p[(p > 0) & (q == 0)].sum())
    return float((p[shared] * np.log(p[shared] / q[shared])).sum()) + lost * 30.0


_OBSERVERS: Mapping[Observer, Callable[[Seen, int], Range]] = {
    "min-max": _extremes,
    "percentile": _percentile,
    "mse": _least_squares,
    "entropy": _least_divergence,
}
