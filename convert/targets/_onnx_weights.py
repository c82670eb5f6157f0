"""Round the weights of a float ONNX model to 8 or 4 bits; convolutions and matrix products stay in float.

A DequantizeLinear before each of them restores the weights. With 4 bits, blocks of input channels have a scale of their
own, chosen for the least squared error; depthwise convolutions, whose filters are few and fragile, keep 8 bits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
OPSET_4_BITS = 21  # the first with 4-bit integers and with blocks
_BLOCKS = (32, 16)  # input channels that share a scale, where the count can be divided
_DOMAIN = "com.microsoft"  # of 16-bit integers before opset 21
_SHRINK = np.linspace(1.0, 0.6, 9, dtype=np.float32)
_INPUTS: Mapping[str, int] = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}


@dataclass(frozen=True, slots=True)
class _Rounded:
    codes: NDArray[Any]
    scales: Floats
    axis: int
    bits: int
    block: int = 0


def round_weights(model: Any, bits: int) -> int:
    """Replace weights in place; return how many tensors were rounded."""
    from onnx import numpy_helper

    constants = {entry.name: entry for entry in model.graph.initializer}
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    nodes, done = [], set()
    for node in model.graph.node:
        name = node.input[_INPUTS[node.op_type]] if node.op_type in _INPUTS else ""
        if name in constants and name not in done and len(readers[name]) == 1 and constants[name].data_type == 1:
            weight = numpy_helper.to_array(constants[name])
            nodes.append(_replace(model, constants[name], _round(node, weight, bits)))
            done.add(name)
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    if bits == 4:
        for entry in model.opset_import:
            entry.version = OPSET_4_BITS if entry.domain == "" else entry.version
    return len(done)


def widen_weights(model: Any, names: Collection[str]) -> None:
    """Give the named nodes of a QDQ model 16-bit weights in place, which ONNX Runtime computes in float.

    Left in float between 8-bit activations, ONNX Runtime itself would round them to 8 bits as it loads the model.
    """
    from onnx import helper, numpy_helper

    constants = {entry.name: entry for entry in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        name = node.input[_INPUTS[node.op_type]] if node.op_type in _INPUTS and node.name in names else ""
        if name in constants and constants[name].data_type == 1:
            weight = numpy_helper.to_array(constants.pop(name))
            axis = _channel_axis(node, weight)
            shared = tuple(i for i in range(weight.ndim) if i != axis)
            nodes.append(_replace(model, _named(model, name), _rounded(weight, axis, 16, shared)))
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    if _DOMAIN not in {entry.domain for entry in model.opset_import}:
        model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))


def _named(model: Any, name: str) -> Any:
    return next(entry for entry in model.graph.initializer if entry.name == name)


def _round(node: Any, weight: Floats, bits: int) -> _Rounded:
    axis = _channel_axis(node, weight)
    depthwise = node.op_type == "Conv" and weight.shape[1] == 1
    if bits == 8 or depthwise:
        return _rounded(weight, axis, 8, tuple(i for i in range(weight.ndim) if i != axis))
    block = next((size for size in _BLOCKS if weight.shape[1] % size == 0), 0)
    if node.op_type != "Conv" or not block:
        return _rounded(weight, axis, 4, tuple(i for i in range(weight.ndim) if i != axis))
    outputs, inputs, *kernel = weight.shape
    grouped = _rounded(weight.reshape(outputs, inputs // block, block, *kernel), 1, 4, (2,))
    return _Rounded(grouped.codes.reshape(weight.shape), grouped.scales.squeeze(2), 1, 4, block)


def _rounded(weight: Floats, axis: int, bits: int, shared: tuple[int, ...]) -> _Rounded:
    """Round with one scale along the `shared` axes; scales keep the axes if they are of blocks."""
    largest = (1 << (bits - 1)) - 1
    full = np.maximum(np.abs(weight).max(axis=shared, keepdims=True) / largest, np.float32(1e-12))
    best, least = full, np.full_like(full, np.inf)
    for share in _SHRINK if bits == 4 else _SHRINK[:1]:
        scale = full * share
        error = ((_codes(weight, scale, largest) * scale - weight) ** 2).sum(axis=shared, keepdims=True)
        best, least = np.where(error < least, scale, best), np.minimum(error, least)
    codes = _codes(weight, best, largest).astype(np.int16 if bits == 16 else np.int8)
    return _Rounded(codes, best if len(shared) == 1 and weight.ndim > 2 else best.reshape(-1), axis, bits)


def _codes(weight: Floats, scale: Floats, largest: int) -> Floats:
    return np.asarray(np.clip(np.rint(weight / scale), -largest, largest), np.float32)


def _channel_axis(node: Any, weight: Floats) -> int:
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gemm":
        return 0 if any(entry.name == "transB" and entry.i for entry in node.attribute) else 1
    return 1 if node.op_type == "ConvTranspose" else weight.ndim - 1


def _replace(model: Any, entry: Any, rounded: _Rounded) -> Any:
    """Replace a constant by its codes and scales, and return the node that restores it under its old name."""
    import onnx
    from onnx import helper, numpy_helper

    name = entry.name
    if rounded.bits == 4:
        flat = rounded.codes.reshape(-1)
        padded = np.append(flat, np.zeros(flat.size % 2, np.int8)).astype(np.uint8) & 15
        packed = (padded[0::2] | (padded[1::2] << 4)).astype(np.uint8).tobytes()
        codes = helper.make_tensor(f"{name}_codes", onnx.TensorProto.INT4, rounded.codes.shape, packed, raw=True)
    else:
        codes = numpy_helper.from_array(rounded.codes, f"{name}_codes")
    model.graph.initializer.remove(entry)
    scales = numpy_helper.from_array(rounded.scales.astype(np.float32), f"{name}_scales")
    model.graph.initializer.extend([codes, scales])
    inputs = [codes.name, scales.name]
    if rounded.bits != 4:  # ONNX Runtime's precise mode on x86 makes a wrong one where there is none
        zeros = numpy_helper.from_array(np.zeros(rounded.scales.shape, rounded.codes.dtype), f"{name}_zeros")
        model.graph.initializer.append(zeros)
        inputs.append(zeros.name)
    sizes = {"block_size": rounded.block} if rounded.block else {}
    return helper.make_node(
        "DequantizeLinear",
        inputs,
        [name],
        name=f"{name}_restored",
        axis=rounded.axis,
        domain=_DOMAIN if rounded.bits == 16 else "",
        **sizes,
    )
