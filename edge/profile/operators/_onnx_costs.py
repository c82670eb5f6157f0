"""What a node of ONNX Runtime's profile costs, from the shapes that the profile tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from edge.profile.operators._shapes import convolution_macs, product_macs, tensor_bytes, total_bytes, transposed_macs

_WEIGHT = {"Conv": 1, "FusedConv": 1, "NhwcFusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}
_PRODUCTS = frozenset(
    ("Gemm", "MatMul", "FusedMatMul", "FusedGemm", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul",
     "QLinearMatMul", "QGemm", "MatMulNBits")
)  # fmt: skip
_INTEGER = frozenset(
    ("ConvInteger", "QLinearConv", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul",
     "QGemm")
)  # fmt: skip
_MOVES = frozenset(
    ("Transpose", "Concat", "Slice", "Split", "Pad", "Gather", "GatherND", "DepthToSpace", "SpaceToDepth", "Expand",
     "Tile", "ReorderInput", "ReorderOutput")
)  # fmt: skip  # no arithmetic; Reshape and its like are left out: they copy or do not
_ELEMENTWISE = frozenset(("Add", "Sub", "Mul", "Div", "Relu", "Clip", "Max", "Min", "Neg", "Abs"))
_DTYPES = {"float": "float32", "double": "float64", "uint8": "int8"}


@dataclass(frozen=True, slots=True)
class Cost:
    """Multiply-accumulates (0: none, None: unknown), operations, bytes, and the dtype of the arithmetic."""

    macs: int | None = 0
    flops: int | None = None
    bytes: int | None = None
    dtype: str = ""
    per_weight: int = 0  # multiply-accumulates of one weight, where the profile leaves the weights' shape out

    def told(self, macs: int) -> Cost:
        """Return the cost with the exported program's multiply-accumulates, and the weights that follow from them."""
        if not macs:
            return self
        size = None
        if self.bytes is not None and self.per_weight and macs % self.per_weight == 0:
            size = self.bytes + macs // self.per_weight  # packed 8-bit weights are those that are left out
        return replace(self, macs=macs, flops=2 * macs, bytes=size)


def costs(kind: str, args: Mapping[str, Any]) -> Cost:
    """Return what a node costs; nothing is known of nodes without shapes, or with some that do not fit their kind."""
    inputs, outputs = _tensors(args.get("input_type_shape")), _tensors(args.get("output_type_shape"))
    multiplies = kind in _WEIGHT or kind in _PRODUCTS or kind in ("ConvTranspose", "QLinearConvTranspose")
    if not inputs or not outputs:
        return Cost(macs=None if multiplies else 0)
    size = total_bytes([tensor_bytes(dtype, shape) for dtype, shape in (*inputs, *outputs)])
    dtype = "int8" if kind in _INTEGER else _DTYPES.get(inputs[0][0], inputs[0][0])
    if multiplies:
        macs = _macs(kind, [shape for _, shape in inputs], outputs[0][1])
        if macs is None:
            return Cost(macs=None, bytes=size, dtype=dtype, per_weight=_per_weight(inputs[-1][1], outputs[0][1]))
        return Cost(macs=macs, flops=2 * macs, bytes=size, dtype=dtype)
    if kind in _MOVES:
        return Cost(flops=0, bytes=size, dtype=dtype)
    if kind in _ELEMENTWISE:
        return Cost(flops=prod(outputs[0][1]), bytes=size, dtype=dtype)
    return Cost(bytes=None if kind in ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity") else size, dtype=dtype)


def _macs(kind: str, shapes: Sequence[Sequence[int]], output: Sequence[int]) -> int | None:
    if kind in _PRODUCTS:
        return product_macs(shapes[0], output)
    if kind == "ConvTranspose":
        return transposed_macs(shapes[0], shapes[1][1:]) if len(shapes) > 1 else None
    place = _WEIGHT.get(kind, -1)
    if not 0 <= place < len(shapes) or len(shapes[place]) < 3:
        return None
    return convolution_macs(output, shapes[place][1:])


def _per_weight(bias: Sequence[int], output: Sequence[int]) -> int:
    """Return how often a convolution uses each weight: once per result of its channel; 0 if the bias has not those."""
    return prod(output) // bias[0] if len(bias) == 1 and bias[0] and prod(output) % bias[0] == 0 else 0


def _tensors(told: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Read [{"float": [1, 3, 8, 8]}, …]; an empty list for anything else."""
    if not isinstance(told, list):
        return []
    found = []
    for entry in told:
        if not isinstance(entry, dict) or len(entry) != 1:
            return []
        [(dtype, shape)] = entry.items()
        if not isinstance(shape, list) or not all(isinstance(axis, int) and axis >= 0 for axis in shape):
            return []
        found.append((str(dtype), tuple(shape)))
    return found
