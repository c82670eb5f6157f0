"""Values that flow between operators, in the file's axis order or, for images, in PyTorch's.

The file's images are (N, H, W, C), PyTorch's (N, C, H, W). A value may exist in both orders; each is made
once, when an operator asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import fx

Order = Literal["file", "image"]
TO_IMAGE = (0, 3, 1, 2)  # axis i of (N, C, H, W) is axis TO_IMAGE[i] of (N, H, W, C)
TO_FILE = (0, 2, 3, 1)


@dataclass(slots=True)
class Value:
    """A tensor of the file: a constant, or graph nodes that compute it; `shape` is in the file's order."""

    shape: tuple[int, ...]
    constant: NDArray[Any] | None = None
    nodes: dict[Order, fx.Node] = field(default_factory=dict)
    padded: Padded | None = None  # set where the value is only a zero-padded copy of another

    @property
    def order(self) -> Order:
        """Return the order in which the value is at hand, "image" if in both."""
        return "image" if "image" in self.nodes else "file"


@dataclass(frozen=True, slots=True)
class Padded:
    """Remember the image that was padded with zeros, and by how much: (top, bottom), (left, right) in pixels."""

    source: Value
    rows: tuple[int, int]
    columns: tuple[int, int]


def same_memory(shape: Sequence[int]) -> bool:
    """Tell whether (N, H, W, C) of this shape lies in memory exactly as (N, C, H, W) does."""
    return shape[3] == 1 or shape[1] * shape[2] == 1


def image_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Return an (N, H, W, C) shape as (N, C, H, W)."""
    return tuple(shape[axis] for axis in TO_IMAGE)


def axis_in(order: Order, axis: int, rank: int) -> int:
    """Return where axis `axis` (of the file; negative counts from the end) is in `order`."""
    axis = axis + rank if axis < 0 else axis
    return TO_IMAGE.index(axis) if order == "image" else axis


def permuted(items: Sequence[Any], order: Order) -> list[Any]:
    """Return per-axis items of the file in `order`."""
    return [items[axis] for axis in TO_IMAGE] if order == "image" else list(items)


def align(array: NDArray[Any], rank: int, order: Order) -> NDArray[Any]:
    """Return a constant with leading axes added up to `rank`, in `order`, ready for broadcasting."""
    array = array.reshape((1,) * (rank - array.ndim) + array.shape)
    return np.ascontiguousarray(array.transpose(TO_IMAGE)) if order == "image" else array
