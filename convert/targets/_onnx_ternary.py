"""Write the ternary weights of a float ONNX model as 2-bit codes with their own scales: nothing is rounded.

A matrix product becomes MatMulNBits, which multiplies the codes as they are. Convolutions keep their operator behind a
DequantizeLinear: ONNX Runtime computes them in float32, so that they get smaller and not faster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convert.ternary import ternary_layers
from edge.artifact import Step
from edge.errors import Refused
from quant.ternary import NotTernary, TernaryTensor, ternary_of

if TYPE_CHECKING:
    from convert.program import Program

# ONNX Runtime multiplies 2-bit codes in blocks of these sizes as integers; any other size is accepted and restored to
# float32 for every product, which took 130 times as long.
BLOCKS = (32, 64, 128)
# The level at which the integer kernels work: a block of activations gets 8-bit codes of its own at run time. Level 0
# keeps them in float32 and took 100 times as long.
ACCURACY_LEVEL = 4
_ZERO = 2  # the code of 0 without a zero point of its own
_OPSET, _IR = 25, 13  # the first with 2-bit integers. Since opset 20 only GroupNormalization changed its meaning,
_DOMAIN = "com.microsoft"  # which the exporter does not write.
_PRODUCTS = ("Gemm", "MatMul")
_WEIGHTED = ("Conv", "ConvTranspose", *_PRODUCTS)


def to_ternary(program: Program) -> tuple[Any, Step]:
    """Return the ONNX model of a program with its ternary weights in 2 bits, and the step that records the forms.

    Raises Refused for a program without ternary weights.
    """
    from convert.targets._kept import kept_operators
    from convert.targets._onnx_qnn_float import to_float_model

    kept_operators(program, "ternary")
    layers = ternary_layers(program)
    source = to_float_model(program, "ternary")
    operators = {layer.operator for layer in layers}
    model = source.model
    forms = encode(model, {name for name, operator in source.origins.items() if operator in operators})
    if forms["DequantizeLinear_int2"]:
        _raise_opset(model)
    options: dict[str, str | int | float | bool] = {**sorted_counts(forms), "ternary_layers": len(layers)}
    if forms["MatMulNBits_int2"]:
        options |= {"accuracy_level": ACCURACY_LEVEL, "activations": "int8 a block at run time in MatMulNBits"}
    return model, Step(
        tool="edge-deployment-kit", version=metadata.version("onnx"), options={"kind": "ternary", **options}
    )


def sorted_counts(forms: Mapping[str, int]) -> dict[str, int]:
    """Return the forms that occur, in the order of their names."""
    return {name: count for name, count in sorted(forms.items()) if count}


def encode(model: Any, names: Collection[str]) -> Counter[str]:
    """Replace the ternary weights of the named nodes in place; return how many operators have which form."""
    constants = {entry.name: entry for entry in model.graph.initializer}
    coded: dict[str, _Coded | None] = {}
    forms: Counter[str] = Counter()
    nodes = []
    readers = _readers(model)
    for node in model.graph.node:
        name = node.input[1] if node.op_type in _WEIGHTED else ""
        if name not in constants:
            nodes.append(node)
            continue
        if name not in coded:
            coded[name] = _coded(constants[name], readers[name], names)
            if made := coded[name]:
                _replace(model, constants[name], made)
                nodes += made.before
        form = coded[name]
        forms[form.name if form else "float"] += 1
        nodes.append(form.node(node) if form else node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    _declare(model, _DOMAIN, 1) if forms["MatMulNBits_int2"] else None
    return forms


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
    return _four_a_byte(codes).reshape(rows, count, block // 4), np.repeat(tensor.scale[:, None], count, axis=1)


@dataclass(frozen=True, slots=True)
class _Coded:
    """Constants and nodes that stand for a weight, and the operator that reads it."""

    name: str
    constants: tuple[Any, ...]
    before: tuple[Any, ...] = ()
    shape: tuple[int, int] = (0, 0)  # (N, K) of a product in blocks
    block: int = 0

    def node(self, node: Any) -> Any:
        """Return the operator that computes with this form."""
        from onnx import helper

        if not self.block:
            return node
        bias = ["", "", *node.input[2:3]] if len(node.input) > 2 and node.input[2] else []
        rows, columns = self.shape
        return helper.make_node(
            "MatMulNBits",
            [node.input[0], *(entry.name for entry in self.constants), *bias],
            list(node.output),
            name=node.name,
            domain=_DOMAIN,
            N=rows,
            K=columns,
            bits=2,
            block_size=self.block,
            accuracy_level=ACCURACY_LEVEL,
        )


def _coded(constant: Any, readers: list[tuple[Any, int]], names: Collection[str]) -> _Coded | None:
    """Return a weight's form, or None if it stays: not all its readers are named, or it is not smaller."""
    from onnx import numpy_helper

    own = [position == 1 and node.name in names for node, position in readers]
    axes = {_channel_axis(node, len(constant.dims)) for node, _ in readers} if all(own) else {-1}
    if constant.data_type != 1 or len(axes) > 1 or -1 in axes:  # 1: float32
        return None
    axis = axes.pop()
    weight = numpy_helper.to_array(constant)
    try:
        tensor = ternary_of(weight, axis=axis)
    except NotTernary:
        return None
    products = all(_is_plain_product(node) for node, _ in readers)
    made = _product(constant.name, tensor) if products else _restored(constant.name, tensor, axis)
    return made if sum(len(entry.raw_data) for entry in made.constants) < weight.nbytes else None


def _product(name: str, tensor: TernaryTensor) -> _Coded:
    from onnx import numpy_helper

    block = block_of(tensor.columns)
    codes, scales = blocked(tensor, block)
    constants = (numpy_helper.from_array(codes, f"{name}_codes"), numpy_helper.from_array(scales, f"{name}_scales"))
    return _Coded("MatMulNBits_int2", constants, shape=(len(tensor.trits), tensor.columns), block=block)


def _restored(name: str, tensor: TernaryTensor, axis: int) -> _Coded:
    import onnx
    from onnx import helper, numpy_helper

    trits = np.ascontiguousarray(np.moveaxis(tensor.trits, 0, axis))
    packed = _four_a_byte(trits.reshape(-1).view(np.uint8) & np.uint8(3)).tobytes()
    codes = helper.make_tensor(f"{name}_codes", onnx.TensorProto.INT2, trits.shape, packed, raw=True)
    scales = numpy_helper.from_array(tensor.scale, f"{name}_scales")
    node = helper.make_node("DequantizeLinear", [codes.name, scales.name], [name], name=f"{name}_restored", axis=axis)
    return _Coded("DequantizeLinear_int2", (codes, scales), (node,))


def _four_a_byte(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return 2-bit codes in the last axis as bytes, the first code in the lowest bits."""
    padding = [(0, 0)] * (codes.ndim - 1) + [(0, -codes.shape[-1] % 4)]
    four = np.pad(codes, padding).reshape(*codes.shape[:-1], -1, 4)
    return np.asarray(np.bitwise_or.reduce(four << np.array([0, 2, 4, 6], np.uint8), axis=-1), np.uint8)


def _replace(model: Any, constant: Any, made: _Coded) -> None:
    model.graph.initializer.remove(constant)
    model.graph.initializer.extend(made.constants)


def _readers(model: Any) -> dict[str, list[tuple[Any, int]]]:
    """Return the nodes that read each value, with the position of the input."""
    readers: dict[str, list[tuple[Any, int]]] = {}
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            readers.setdefault(name, []).append((node, position))
    return readers


def _channel_axis(node: Any, dimensions: int) -> int:
    """Return the axis of output channels in an operator's weight, or -1 for an operator without one."""
    if node.op_type == "Gemm":
        return 0 if _attribute(node, "transB", 0) else 1
    return {"Conv": 0, "ConvTranspose": 1, "MatMul": dimensions - 1}.get(node.op_type, -1)


def _is_plain_product(node: Any) -> bool:
    if node.op_type == "Gemm":
        return (
            not _attribute(node, "transA", 0) and _attribute(node, "alpha", 1.0) == _attribute(node, "beta", 1.0) == 1
        )
    return bool(node.op_type == "MatMul")


def _attribute(node: Any, name: str, default: float) -> float:
    from onnx import helper

    return next((helper.get_attribute_value(entry) for entry in node.attribute if entry.name == name), default)


def _raise_opset(model: Any) -> None:
    _declare(model, "", _OPSET)
    model.ir_version = max(model.ir_version, _IR)


def _declare(model: Any, domain: str, version: int) -> None:
    """Let a model use a version of a domain's operators."""
    from onnx import helper

    for entry in model.opset_import:
        if entry.domain == domain:
            entry.version = max(entry.version, version)
            return
    model.opset_import.append(helper.make_opsetid(domain, version))
