"""Decode stored tensors to numpy arrays: dense, sparse, half precision and quantised."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.importers.tflite.reader import Malformed
from convert.importers.tflite.records import Quantization, SparseLevel, Sparsity, TensorRecord

Array = NDArray[Any]

DTYPES: dict[str, type[np.generic]] = {
    "FLOAT32": np.float32,
    "FLOAT16": np.float16,
    "FLOAT64": np.float64,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT16": np.int16,
    "UINT16": np.uint16,
    "INT32": np.int32,
    "UINT32": np.uint32,
    "INT64": np.int64,
    "BOOL": np.bool_,
}


def decode(tensor: TensorRecord) -> Array:
    """Return a stored tensor's values: reals as float32, quantised integers dequantised to float32.

    Raises Malformed if its bytes, shape, sparsity or scales contradict each other.
    """
    if tensor.data is None:
        raise Malformed(f"tensor {tensor.name!r} holds no data")
    flat = _unpack(tensor)
    if tensor.sparsity is not None:
        array = expand(flat, tensor.shape, tensor.sparsity)
    elif flat.size != math.prod(tensor.shape):
        raise Malformed(f"tensor {tensor.name!r} holds {flat.size} values for shape {list(tensor.shape)}")
    else:
        array = flat.reshape(tensor.shape)
    if tensor.quantization is not None and array.dtype.kind in "iu":
        return dequantize(array, tensor.quantization)
    return array.astype(np.float32) if array.dtype.kind == "f" else array.copy()


def _unpack(tensor: TensorRecord) -> Array:
    data = tensor.data
    if data is None:
        raise Malformed(f"tensor {tensor.name!r} holds no data")
    if tensor.type in ("INT4", "UINT4"):  # two values a byte, the lower half first
        halves = np.stack([data & 15, data >> 4], axis=-1).reshape(-1).astype(np.int8)
        wanted = halves if tensor.sparsity is not None else halves[: math.prod(tensor.shape)]
        return np.where(wanted > 7, wanted - 16, wanted).astype(np.int8) if tensor.type == "INT4" else wanted
    if tensor.type not in DTYPES:
        raise Malformed(f"tensor {tensor.name!r} has type {tensor.type}")
    dtype = np.dtype(DTYPES[tensor.type])
    if data.size % dtype.itemsize:
        raise Malformed(f"tensor {tensor.name!r} holds {data.size} bytes of {dtype}")
    return np.frombuffer(data.tobytes(), dtype.newbyteorder("<"))


def dequantize(array: Array, quantization: Quantization) -> NDArray[np.float32]:
    """Return (stored − zero_point) · scale in float32, per tensor or per slice of the quantised axis."""
    scale, zero = quantization.scale, quantization.zero_point
    if scale.size > 1:
        axis = quantization.axis
        if not 0 <= axis < array.ndim or array.shape[axis] != scale.size:
            raise Malformed(f"{scale.size} scales along axis {axis} of shape {list(array.shape)}")
        aligned = [1] * array.ndim
        aligned[axis] = scale.size
        scale, zero = scale.reshape(aligned), zero.reshape(aligned)
    real: NDArray[np.float32] = (array.astype(np.int64) - zero).astype(np.float32) * scale
    return real


def expand(values: Array, shape: tuple[int, ...], sparsity: Sparsity) -> Array:
    """Return the dense array of a sparse tensor.

    The axes, then the axes of the blocks, are walked in traversal order; each level is dense or compressed
    (CSR). Axis d of the result is at outer[d] · block[d] + inner[d]. Format: schema.fbs, SparsityParameters.
    """
    rank, order = len(shape), sparsity.traversal
    if sorted(order) != list(range(len(sparsity.levels))) or len(order) != rank + len(sparsity.block_map):
        raise Malformed(f"sparse traversal {list(order)} of {rank} axes and {len(sparsity.block_map)} blocks")
    block = [1] * rank
    for place, axis in enumerate(order):
        if axis >= rank:
            target = sparsity.block_map[axis - rank]
            if not 0 <= target < rank:
                raise Malformed(f"sparse block of axis {target} of {rank}")
            block[target] *= sparsity.levels[place].size
    coordinates = _walk(sparsity, limit=max(2 * math.prod(shape), 1))
    count = coordinates[0].size if coordinates else 1
    if count != values.size:
        raise Malformed(f"{values.size} sparse values at {count} places")
    position = [np.zeros(count, np.int64) for _ in shape]
    for axis, coordinate in coordinates.items():
        target, step = (axis, block[axis]) if axis < rank else (sparsity.block_map[axis - rank], 1)
        position[target] = position[target] + coordinate * step
    if any(
        found.size and not 0 <= found.min() <= found.max() < size for found, size in zip(position, shape, strict=True)
    ):
        raise Malformed(f"sparse indices outside shape {list(shape)}")
    dense = np.zeros(shape, values.dtype)
    dense[tuple(position)] = values
    return dense


def _walk(sparsity: Sparsity, limit: int) -> dict[int, NDArray[np.int64]]:
    """Return, per traversed axis, the coordinate of every stored value."""
    found: dict[int, NDArray[np.int64]] = {}
    count = 1
    for axis, level in zip(sparsity.traversal, sparsity.levels, strict=True):
        parents, coordinate = _step(level, count, limit)
        found = {known: values[parents] for known, values in found.items()}
        found[axis] = coordinate
        count = coordinate.size
    return found


def _step(level: SparseLevel, count: int, limit: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if level.segments is None or level.indices is None:
        if level.size < 0 or count * level.size > limit:
            raise Malformed(f"sparse axis of {level.size} entries")
        return np.repeat(np.arange(count), level.size), np.tile(np.arange(level.size), count)
    lengths = np.diff(level.segments)
    if (
        lengths.size != count
        or (lengths < 0).any()
        or level.segments[0] != 0
        or level.segments[-1] != level.indices.size
    ):
        raise Malformed(f"sparse axis with {lengths.size} rows for {count}")
    return np.repeat(np.arange(count), lengths), level.indices
