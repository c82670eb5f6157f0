"""Types and values of an ML program, and how they are held: torch tensors, strings and lists of them.

torch has no arithmetic for some unsigned and no storage for sub-byte types; those are held in the next wider type.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.errors import InputError

Value = Tensor | str

# CoreML.Specification.MILSpec.DataType
DTYPES = {
    1: "bool", 2: "string", 10: "fp16", 11: "fp32", 12: "fp64", 13: "bf16", 21: "int8", 22: "int16", 23: "int32",
    24: "int64", 25: "int4", 31: "uint8", 32: "uint16", 33: "uint32", 34: "uint64", 35: "uint4", 36: "uint2",
    37: "uint1", 38: "uint6", 39: "uint3", 40: "fp8e4m3fn", 41: "fp8e5m2",
}  # fmt: skip

STORAGE: dict[str, torch.dtype] = {
    "bool": torch.bool, "fp16": torch.float16, "fp32": torch.float32, "fp64": torch.float64, "int8": torch.int8,
    "int16": torch.int16, "int32": torch.int32, "int64": torch.int64, "int4": torch.int8, "uint8": torch.uint8,
    "uint16": torch.int32, "uint32": torch.int64, "uint4": torch.uint8, "uint2": torch.uint8,
    "uint1": torch.uint8, "uint6": torch.uint8, "uint3": torch.uint8,
}  # fmt: skip

BITS = {"uint1": 1, "uint2": 2, "uint3": 3, "uint4": 4, "int4": 4, "uint6": 6}
_BYTES: dict[str, str] = {
    "bool": "?", "fp16": "<f2", "fp32": "<f4", "fp64": "<f8", "int8": "i1", "int16": "<i2", "int32": "<i4",
    "int64": "<i8", "uint8": "u1", "uint16": "<u2", "uint32": "<u4",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type and shape; None is a size that the program leaves open."""

    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join('?' if size is None else str(size) for size in self.shape)}]"

    def count(self) -> int:
        """Return the number of elements; raises InputError if a size is open."""
        return math.prod(self.sizes())

    def sizes(self) -> tuple[int, ...]:
        """Return the shape; raises InputError if a size is open."""
        if any(size is None for size in self.shape):
            raise InputError(f"a constant of type {self} has an open size; deploy it again with `edge deploy`")
        return tuple(size for size in self.shape if size is not None)


def describe(value: Tensor) -> str:
    """Return a tensor's type as people read it."""
    return f"{str(value.dtype).removeprefix('torch.')}[{', '.join(map(str, value.shape))}]"


def from_bytes(data: bytes | memoryview, kind: TensorType) -> Tensor:
    """Decode little-endian, row-major, densely packed elements; raises InputError if the size is not the type's."""
    bits = BITS.get(kind.dtype) or 8 * np.dtype(_BYTES[kind.dtype]).itemsize
    expected = (kind.count() * bits + 7) // 8
    if len(data) != expected:
        raise InputError(
            f"a constant of type {kind} has {len(data)} bytes, expected {expected}; deploy it again with `edge deploy`"
        )
    if kind.dtype in BITS:
        array = unpack_bits(np.frombuffer(data, np.uint8), bits, kind.count())
        if kind.dtype == "int4":
            array = ((array.astype(np.int16) ^ 8) - 8).astype(np.int8)
    else:
        array = np.frombuffer(data, _BYTES[kind.dtype])
    return from_numbers(array, kind)


def from_numbers(numbers: NDArray[np.generic] | Sequence[float], kind: TensorType) -> Tensor:
    """Shape and type a flat sequence; raises InputError if its length is not the type's."""
    array = np.asarray(numbers)
    if array.size != kind.count():
        raise InputError(f"a constant of type {kind} has {array.size} elements; deploy it again with `edge deploy`")
    if array.dtype in (np.uint16, np.uint32):
        array = array.astype(np.int64)
    return torch.tensor(array).to(STORAGE[kind.dtype]).reshape(kind.sizes())


def unpack_bits(data: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint8]:
    """Unpack `count` unsigned numbers of `bits` bits, least significant bit first, that may straddle bytes."""
    stream = np.unpackbits(data, bitorder="little")[: count * bits].reshape(count, bits)
    return np.packbits(stream, axis=1, bitorder="little").reshape(count)
