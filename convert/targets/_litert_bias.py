"""Take the mean shift that rounded weights cause off the biases of a float `.tflite`.

Rounding a channel's weights shifts its mean by (Wq - W)·E[x] (Nagel et al. 2019, arXiv:1906.04721, section 4.2, with
measured means).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.targets._litert_origin import kind_of, read_model

Floats = NDArray[np.float32]
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def correct_biases(content: bytes, quantized: bytes, means: Mapping[str, Floats]) -> bytes:
    """Return the float file with corrected biases; `means` are its activations' means, a channel.

    Every operator gets a bias of its own: converters let operators share constants that happen to be equal.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model, rounded = read_model(content), read_model(quantized)
    graph = model.subgraphs[0]
    counterparts = {tensor.name: tensor for tensor in rounded.subgraphs[0].tensors}
    for index, operator in enumerate(graph.operators):
        kind = kind_of(model.operatorCodes[operator.opcodeIndex])
        if kind not in _WEIGHTED or len(operator.inputs) < 3 or operator.inputs[2] < 0:
            continue
        source, weight, bias = (graph.tensors[tensor] for tensor in operator.inputs[:3])
        name = source.name.decode()
        if weight.name not in counterparts or name not in means:
            continue
        if model.buffers[weight.buffer].data is None or model.buffers[bias.buffer].data is None:
            continue  # computed, or without data of its own
        change = _weights(rounded, counterparts[weight.name]) - _weights(model, weight)
        values = _weights(model, bias) - mean_shift(kind, change, means[name])
        _give_bias(model, operator, values, f"edge_bias_{index}")
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _give_bias(model: Any, operator: Any, values: Floats, name: str) -> None:
    """Let an operator use a new constant as its bias."""
    graph = model.subgraphs[0]
    bias, buffer = copy.copy(graph.tensors[operator.inputs[2]]), copy.copy(model.buffers[0])
    buffer.data = np.frombuffer(values.astype(np.float32).tobytes(), np.uint8)
    bias.name, bias.buffer = name.encode(), len(model.buffers)
    operator.inputs[2] = len(graph.tensors)
    model.buffers.append(buffer)
    graph.tensors.append(bias)


def mean_shift(kind: str, change: Floats, means: Floats) -> Floats:
    """Return the mean change of each output channel; weights are (out, kh, kw, in), (1, kh, kw, out) or (out, in)."""
    if kind == "DEPTHWISE_CONV_2D":
        return np.asarray(change.sum((0, 1, 2)) * np.repeat(means, change.shape[-1] // len(means)))
    taps = change.sum((1, 2)) if kind == "CONV_2D" else change
    groups = len(means) // taps.shape[-1]
    by_group = means.reshape(groups, taps.shape[-1])
    return np.asarray((taps * np.repeat(by_group, len(taps) // groups, axis=0)).sum(-1))


def _weights(model: Any, tensor: Any) -> Floats:
    """Return a constant as float32, dequantized a tensor or a channel."""
    from ai_edge_litert import schema_py_generated as schema

    data = bytes(model.buffers[tensor.buffer].data)
    shape = tuple(int(size) for size in tensor.shape)
    if tensor.type == schema.TensorType.FLOAT32:
        return np.frombuffer(data, np.float32).reshape(shape)
    codes = np.frombuffer(data, np.int8).reshape(shape).astype(np.float32)
    scales = np.asarray(tensor.quantization.scale, np.float32)
    if len(scales) > 1:
        scales = scales.reshape(
            [-1 if axis == tensor.quantization.quantizedDimension else 1 for axis in range(len(shape))]
        )
    return np.asarray(codes * scales, np.float32)
