"""The canonical ternary tensor, and finding out that a float weight is one.

A float32 weight whose output channels hold nothing but -s, 0 and +s *is* a ternary tensor: no exporter, graph pass or
file format between training and the phone can lose that, so it is by their values that layers are recognised. Folding
a batch normalisation multiplies a channel by one number and leaves it ternary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.errors import EdgeError


class NotTernary(EdgeError):
    """A tensor holds something else than -s, 0 and +s in an output channel."""


@dataclass(frozen=True, slots=True, eq=False)
class TernaryTensor:
    """Hold int8 trits (out, …) in {-1, 0, +1} and one positive float32 scale per output channel (out,).

    Raises NotTernary for any other value, a scale that is not positive and finite, and shapes that do not fit.
    """

    trits: NDArray[np.int8]
    scale: NDArray[np.float32]

    def __post_init__(self) -> None:
        trits, scale = np.asarray(self.trits), np.asarray(self.scale)
        _check_trits(trits)
        _check_scale(scale, trits.shape[0])
        object.__setattr__(self, "trits", np.ascontiguousarray(trits, np.int8))
        object.__setattr__(self, "scale", np.ascontiguousarray(scale, np.float32))

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape, output channels first."""
        return self.trits.shape

    @property
    def columns(self) -> int:
        """Return how many weights an output channel has."""
        return math.prod(self.shape[1:])

    @property
    def codes(self) -> NDArray[np.int8]:
        """Return the trits, as codes of 2 bits."""
        return self.trits

    @property
    def bits(self) -> int:
        """Return the bits of a trit as a code."""
        return 2

    def dequantize(self) -> NDArray[np.float32]:
        """Return trits × scale in float32, which is exact: every product is -s, 0 or s."""
        return self.trits.astype(np.float32) * self.scale.reshape(-1, *[1] * (self.trits.ndim - 1))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TernaryTensor):
            return NotImplemented
        return np.array_equal(self.trits, other.trits) and np.array_equal(self.scale, other.scale)

    __hash__ = None  # type: ignore[assignment]  # arrays can be written to


def ternary_of(weight: ArrayLike, *, axis: int = 0) -> TernaryTensor:
    """Return the ternary tensor that a float weight is, with the output channels on `axis` moved to the front.

    A channel of zeros gets the scale 1. Raises NotTernary with the first channel that holds other values.
    """
    values = np.asarray(weight)
    if values.ndim < 2 or values.size == 0:
        raise NotTernary(f"a tensor of shape {values.shape} is no weight; expected (out, …) with at least one value")
    moved = np.moveaxis(values.astype(np.float32), axis, 0)
    rows = moved.reshape(len(moved), -1)
    scale = np.abs(rows).max(axis=1)
    _check_finite(scale)
    scale = np.where(scale > 0, scale, np.float32(1.0)).astype(np.float32)
    wrong = ((rows != 0) & (np.abs(rows) != scale[:, None])).any(axis=1)
    if wrong.any():
        channel = int(wrong.argmax())
        found = np.unique(np.abs(rows[channel]))
        raise NotTernary(
            f"output channel {channel} holds {len(found)} different magnitudes, among them "
            f"{', '.join(f'{value:.6g}' for value in found[:3])}; expected 0 and one other"
        )
    return TernaryTensor(np.sign(moved).astype(np.int8), scale)


def _check_trits(trits: NDArray[np.int8]) -> None:
    if trits.ndim < 2 or trits.size == 0:
        raise NotTernary(f"trits of shape {trits.shape} are no weight; expected (out, …) with at least one value")
    if trits.dtype.kind not in "iu":
        raise NotTernary(f"trits are {trits.dtype}; expected integers")
    if (wrong := trits[(trits < -1) | (trits > 1)]).size:
        raise NotTernary(f"{int(wrong[0])} is no trit; expected -1, 0 or 1")


def _check_scale(scale: NDArray[np.float32], channels: int) -> None:
    if scale.shape != (channels,):
        raise NotTernary(f"scales of shape {scale.shape} do not fit; expected one for each of {channels} channels")
    _check_finite(scale)
    if not (scale.astype(np.float32) > 0).all():
        channel = int(np.argmin(scale > 0))
        raise NotTernary(f"the scale of channel {channel} is {float(scale[channel]):g}; expected a positive number")


def _check_finite(scale: NDArray[np.float32]) -> None:
    if not np.isfinite(scale).all():
        channel = int(np.argmin(np.isfinite(scale)))
        raise NotTernary(f"the scale of channel {channel} is {float(scale[channel])}; expected a finite number")
