"""What a `.tflite` file says, as plain records: tensors, operators and the graph that joins them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Quantization:
    """Map stored integers to reals: real = (stored − zero_point) · scale, per slice of `axis` if there are many."""

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int


@dataclass(frozen=True, slots=True)
class SparseLevel:
    """Describe one traversed axis: dense with `size` entries, or compressed rows with segments and indices."""

    size: int
    segments: NDArray[np.int64] | None = None
    indices: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Sparsity:
    """Say in which order the axes (then the blocks' axes) of a sparse tensor are stored."""

    traversal: tuple[int, ...]
    block_map: tuple[int, ...]
    levels: tuple[SparseLevel, ...]


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """Describe one tensor as stored; `data` is None for what is computed at run time."""

    name: str
    shape: tuple[int, ...]
    type: str  # the schema's name: "FLOAT32", "INT8", …
    data: NDArray[np.uint8] | None
    quantization: Quantization | None
    sparsity: Sparsity | None


@dataclass(frozen=True, slots=True)
class OperatorRecord:
    """Describe one operator; an index of −1 in `inputs` is an optional input left out."""

    kind: str  # "CONV_2D", or "CUSTOM:" and the custom operator's name
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any  # the schema's options object, None where the operator has none
    custom: bytes


@dataclass(frozen=True, slots=True)
class GraphRecord:
    """Hold the main graph of a file: operators in an order in which they can run."""

    tensors: tuple[TensorRecord, ...]
    operators: tuple[OperatorRecord, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
