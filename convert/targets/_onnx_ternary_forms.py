"""The forms that a coded weight can have in an ONNX file: constants, and the operators that read them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import Refused
from quant.coded import CodedTensor
from quant.ternary import TernaryTensor

MICROSOFT = "com.microsoft"
# ONNX Runtime multiplies 2-bit codes in blocks of these sizes as integers; any other size is accepted and restored to
# float32 for every product, which took 130 times as long.
BLOCKS = (32, 64, 128)
# The level at which the integer kernels work: a block of activations gets 8-bit codes of its own at run time. Level 0
# keeps them in float32 and took 100 times as long.
ACCURACY_LEVEL = 4
_ZERO = 2  # the code of 0 without a zero point of its own
_PRODUCTS = ("Gemm", "MatMul")
WEIGHTED = ("Conv", "ConvTranspose", *_PRODUCTS)
# How a form quantizes activations, where it does.
ACTIVATIONS = {
    "MatMulNBits_int2": "int8 a block at run time in MatMulNBits",
    "TernaryConv2d_t5": "int8 an image at run time in TernaryConv2d",
    "TernaryLinear_t5": "int8 a row at run time in TernaryLinear",
}


@dataclass(frozen=True, slots=True)
class Weight:
    """A coded weight of a graph: where it is, and all the operators that read it as their second input."""

    name: str
    axis: int  # of the output channels in the constant; they come first in `tensor`
    tensor: TernaryTensor | CodedTensor
    readers: tuple[Any, ...]
    biases: Collection[str]  # constants of the graph with a value an output channel


@dataclass(frozen=True, slots=True)
class Coded:
    """Constants and nodes that stand for a weight, and what becomes of the operators that read it."""

    name: str
    constants: tuple[Any, ...]
    before: tuple[Any, ...] = ()
    domain: str = ""  # of the operators below
    node: Callable[[Any], Any] = lambda node: node  # operator → the one that computes with this form

    @property
    def bytes(self) -> int:
        """Return what the constants take in the file."""
        return sum(len(entry.raw_data) for entry in self.constants)


Form = Callable[[Weight], Coded | None]  # None where the operators cannot compute with it


def in_blocks(weight: Weight) -> Coded | None:
    """Return 2-bit codes in blocks that MatMulNBits multiplies as they are, for plain products."""
    from onnx import helper, numpy_helper

    tensor = weight.tensor
    if not isinstance(tensor, TernaryTensor) or not plain_products(weight):
        return None
    block = block_of(tensor.columns)
    codes, scales = blocked(tensor, block)
    constants = (
        numpy_helper.from_array(codes, f"{weight.name}_codes"),
        numpy_helper.from_array(scales, f"{weight.name}_scales"),
    )

    def node(old: Any) -> Any:
        bias = ["", "", *old.input[2:3]] if len(old.input) > 2 and old.input[2] else []
        return helper.make_node(
            "MatMulNBits",
            [old.input[0], *(entry.name for entry in constants), *bias],
            list(old.output),
            name=old.name,
            domain=MICROSOFT,
            N=len(tensor.trits),
            K=tensor.columns,
            bits=2,
            block_size=block,
            accuracy_level=ACCURACY_LEVEL,
        )

    return Coded("MatMulNBits_int2", constants, domain=MICROSOFT, node=node)


def restored(weight: Weight) -> Coded | None:
    """Return codes of 2, 4 or 8 bits behind a DequantizeLinear, for operators that have no form of their own."""
    import onnx
    from onnx import helper, numpy_helper

    bits = weight.tensor.bits
    if bits < 8 and plain_products(weight):
        if isinstance(weight.tensor, TernaryTensor):
            return None  # ONNX Runtime would make blocks of 32 of it, which are slower
        bits = 8
    moved = np.ascontiguousarray(np.moveaxis(weight.tensor.codes, 0, weight.axis))
    kind = getattr(onnx.TensorProto, f"INT{bits}")
    packed = _bytes_of(moved.reshape(-1).view(np.uint8), bits).tobytes()
    codes = helper.make_tensor(f"{weight.name}_codes", kind, moved.shape, packed, raw=True)
    scales = numpy_helper.from_array(weight.tensor.scale, f"{weight.name}_scales")
    constants = [codes, scales]
    if bits == 8:  # ONNX Runtime adds a zero point of its own otherwise, and refuses it for its shape
        constants.append(numpy_helper.from_array(np.zeros(len(weight.tensor.scale), np.int8), f"{weight.name}_zeros"))
    before = helper.make_node(
        "DequantizeLinear",
        [entry.name for entry in constants],
        [weight.name],
        name=f"{weight.name}_restored",
        axis=weight.axis,
    )
    return Coded(f"DequantizeLinear_int{bits}", tuple(constants), (before,))


def block_of(columns: int) -> int:
    """Return the least legal block that holds a row of `columns` weights, or the largest there is."""
    return next((block for block in BLOCKS if columns <= block), BLOCKS[-1])


def blocked(tensor: TernaryTensor, block: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return codes (N, blocks, block/4) and scales (N, blocks) as MatMulNBits takes them, of a tensor (N, K).

    Four codes a byte, the first in the lowest bits; the last block is filled up with zeros, which ONNX Runtime does not
    read. Raises Refused for a block size without integer kernels.
    """
    if block not in BLOCKS:
        raise Refused(f"ONNX Runtime has no fast product of 2-bit codes in blocks of {block}; expected 32, 64 or 128")
    rows, columns = tensor.trits.shape
    count = -(-columns // block)
    codes = np.full((rows, count * block), _ZERO, np.uint8)
    codes[:, :columns] = tensor.trits + _ZERO
    return _bytes_of(codes, 2).reshape(rows, count, block // 4), np.repeat(tensor.scale[:, None], count, axis=1)


def _bytes_of(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Return codes of 2, 4 or 8 bits in the last axis as bytes, the first code in the lowest bits."""
    several = 8 // bits
    padding = [(0, 0)] * (codes.ndim - 1) + [(0, -codes.shape[-1] % several)]
    padded = np.pad(codes & np.uint8((1 << bits) - 1), padding).reshape(*codes.shape[:-1], -1, several)
    return np.asarray(np.bitwise_or.reduce(padded << np.arange(0, 8, bits, dtype=np.uint8), axis=-1), np.uint8)


def channel_axis(node: Any, dimensions: int) -> int:
    """Return the axis of output channels in an operator's weight, or -1 for an operator without one."""
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return {"Conv": 0, "ConvTranspose": 1, "MatMul": dimensions - 1}.get(node.op_type, -1)


def plain_products(weight: Weight) -> bool:
    """Tell whether operators multiply by their weight and add a bias, and do nothing else."""
    return all(_is_plain(node, weight.biases) for node in weight.readers)


def _is_plain(node: Any, biases: Collection[str]) -> bool:
    if node.op_type == "Gemm":
        scaled = attribute(node, "transA", 0) or (attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)) != (1, 1)
        return not scaled and all(name in biases for name in node.input[2:3] if name)
    return bool(node.op_type == "MatMul")


def attribute(node: Any, name: str, default: Any) -> Any:
    """Return an operator's attribute, or a default where it has none."""
    from onnx import helper

    return next((helper.get_attribute_value(entry) for entry in node.attribute if entry.name == name), default)
