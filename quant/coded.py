"""Weights of 4 and 8 bits that a float weight already is: codes times one scale per output channel, found by value.

Training for few bits leaves some layers on such grids (`edge.train.ladder`). What is exactly codes × scale is stored
as that without rounding anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quant.ternary import NotTernary, TernaryTensor, ternary_of

_LARGEST = {4: 7, 8: 127}  # bits → the code that the largest weight of a channel has
_NEIGHBOURS = 2  # in float16, of a quotient of rounded numbers


@dataclass(frozen=True, slots=True, eq=False)
class CodedTensor:
    """Hold int8 codes (out, …) of 4 or 8 bits and one positive float32 scale per output channel (out,)."""

    codes: NDArray[np.int8]
    scale: NDArray[np.float32]
    bits: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape, output channels first."""
        return self.codes.shape

    @property
    def columns(self) -> int:
        """Return how many weights an output channel has."""
        return math.prod(self.shape[1:])

    def dequantize(self) -> NDArray[np.float32]:
        """Return codes × scale in float32: the weight that they were found in, bit for bit."""
        return self.codes.astype(np.float32) * _aligned(self.scale, self.codes.ndim)


Codes = TernaryTensor | CodedTensor


def codes_of(weight: ArrayLike, *, axis: int = 0) -> Codes | None:
    """Return the codes of 2, 4 or 8 bits that a float weight is, the fewest that hold it, or None if it is none."""
    try:
        return ternary_of(weight, axis=axis)
    except NotTernary:
        return coded_of(weight, axis=axis)


def coded_of(weight: ArrayLike, *, axis: int = 0) -> CodedTensor | None:
    """Return the codes of 4 or 8 bits that a float weight is, its channels moved to the front; None if it is none.

    The largest weight of a channel has the largest code, 7 or 127; a channel of zeros has the scale 1. A weight in
    float16 is one if the products round to it.
    """
    values = np.asarray(weight)
    kind = np.float16 if values.dtype == np.float16 else np.float32
    moved = np.moveaxis(values.astype(kind), axis, 0) if values.ndim >= 2 else values
    if moved.ndim < 2 or moved.size == 0 or not np.isfinite(moved).all():
        return None
    rows = np.ascontiguousarray(moved).reshape(len(moved), -1)
    for bits, largest in _LARGEST.items():
        if (found := _codes(rows, largest)) is not None:
            codes, scale = found
            return CodedTensor(codes.reshape(moved.shape), scale.astype(np.float32), bits)
    return None


def _codes(rows: NDArray[Any], largest: int) -> tuple[NDArray[np.int8], NDArray[Any]] | None:
    """Return the codes and scales of all rows (out, K), or None unless each is exactly codes times its scale."""
    codes, scale = np.zeros(rows.shape, np.int8), np.ones(len(rows), rows.dtype)
    left = rows.any(axis=1)
    for candidate in _scales(np.abs(rows).max(axis=1), largest):
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            found = np.rint(rows.astype(np.float32) / candidate[:, None])
            exact = (found.astype(rows.dtype) * candidate[:, None] == rows) & (np.abs(found) <= largest)
        fits = left & exact.all(axis=1)
        codes[fits], scale[fits] = found[fits].astype(np.int8), candidate[fits]
        left &= ~fits
    return None if left.any() else (codes, scale)


def _scales(peak: NDArray[Any], largest: int) -> Iterator[NDArray[Any]]:
    """Yield the scales that may have made the largest weights: in float16 their products were rounded."""
    first = peak / peak.dtype.type(largest)
    yield first
    if peak.dtype == np.float16:
        for direction in (-np.inf, np.inf):
            near = first
            for _ in range(_NEIGHBOURS):
                near = np.nextafter(near, np.float16(direction))
                yield near


def _aligned(scale: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    return scale.reshape(-1, *[1] * (dimensions - 1))
