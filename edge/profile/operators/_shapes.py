"""Operations and bytes of an operator from the shapes of its tensors; what shapes do not tell stays unknown."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = Sequence[int]
_BYTES = {
    "float32": 4, "float": 4, "float16": 2, "bfloat16": 2, "double": 8, "float64": 8, "int64": 8, "uint64": 8,
    "int32": 4, "uint32": 4, "int16": 2, "uint16": 2, "int8": 1, "uint8": 1, "bool": 1,
}  # fmt: skip


def tensor_bytes(dtype: str, shape: Shape) -> int | None:
    """Return the size of a tensor; None for a dtype of another size or a shape that is not fixed."""
    size = _BYTES.get(dtype)
    if size is None or any(axis < 0 for axis in shape):
        return None
    return size * prod(shape)


def total_bytes(sizes: Sequence[int | None]) -> int | None:
    """Return the sum; None if one of them is unknown."""
    return None if any(size is None for size in sizes) else sum(size for size in sizes if size is not None)


def convolution_macs(output: Shape, weights_per_output: Shape) -> int:
    """Return a convolution's multiply-accumulates: every output element takes `weights_per_output` of them."""
    return prod(output) * prod(weights_per_output)


def transposed_macs(inputs: Shape, weights_per_input: Shape) -> int:
    """Return a transposed convolution's: every input element is spread over `weights_per_input`."""
    return prod(inputs) * prod(weights_per_input)


def product_macs(first: Shape, output: Shape) -> int | None:
    """Return a matrix product's: the inner size is that of the first matrix over the output's rows.

    None if the rows do not divide it, as where a batch is broadcast.
    """
    rows = prod(output[:-1])
    if not rows or prod(first) % rows:
        return None
    return prod(output) * (prod(first) // rows)


__all__ = ["convolution_macs", "product_macs", "tensor_bytes", "total_bytes", "transposed_macs"]
