"""Convolutions, transposed convolutions and fully connected layers: everything that holds weights."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn
from torch.nn import functional as F

from convert.importers.tflite.builder import Unsupported
from convert.importers.tflite.names import layer_name
from convert.importers.tflite.operators import Call, operator
from convert.importers.tflite.values import Value

Pads = tuple[int, int]  # before, after
SAME = 0  # the schema's Padding


def same_pads(size: int, kernel: int, stride: int, dilation: int = 1) -> Pads:
    """Return TensorFlow's SAME padding of one axis; the odd pixel goes after."""
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def window(call: Call, kernel: Pads, stride: Pads, dilation: Pads = (1, 1)) -> tuple[Value, Pads, Pads]:
    """Return the image below any zero padding, and the padding of rows and columns that belongs to the window."""
    value = call.value(0)
    if call.option("padding") == SAME:
        rows, columns = (same_pads(value.shape[i + 1], kernel[i], stride[i], dilation[i]) for i in (0, 1))
    else:
        rows, columns = (0, 0), (0, 0)
    if value.padded is None:
        return value, rows, columns
    below = value.padded
    rows = rows[0] + below.rows[0], rows[1] + below.rows[1]
    columns = columns[0] + below.columns[0], columns[1] + below.columns[1]
    return below.source, rows, columns


def _parameters(layer: nn.Module, weight: NDArray[Any], bias: NDArray[Any] | None) -> None:
    # Straight into place: no random initialisation, no second copy.
    layer.weight = nn.Parameter(torch.from_numpy(np.array(weight, np.float32, order="C")))
    if bias is not None:
        layer.bias = nn.Parameter(torch.from_numpy(np.array(bias, np.float32).reshape(-1)))


def _bias(call: Call, index: int) -> NDArray[Any] | None:
    return None if call.optional(index) is None else call.constant(index)


def _convolve(call: Call, weight: NDArray[Any], groups: int, prefer: str) -> Value:
    """Emit a convolution with weights (out, in / groups, rows, columns)."""
    kernel, stride = (weight.shape[2], weight.shape[3]), (call.option("strideH"), call.option("strideW"))
    dilation = (call.option("dilationHFactor", 1), call.option("dilationWFactor", 1))
    source, rows, columns = window(call, kernel, stride, dilation)
    node = call.build.node(source, "image")
    padding = (rows[0], columns[0])
    if rows[0] != rows[1] or columns[0] != columns[1]:
        node, padding = call.build.call(F.pad, node, (*columns, *rows)), (0, 0)
    bias = _bias(call, 2)
    with torch.device("meta"):
        layer = nn.Conv2d(
            weight.shape[1] * groups, weight.shape[0], kernel, stride, padding, dilation, groups, bias=bias is not None
        )
    _parameters(layer, weight, bias)
    node = call.build.module(layer_name(call.names[1], prefer=prefer), layer, node)
    return call.result(call.build.activate(node, call.option("fusedActivationFunction")), "image")


@operator("CONV_2D")
def conv_2d(call: Call) -> Value:
    """Emit nn.Conv2d; the file's weights are (out, rows, columns, in / groups)."""
    weight = call.constant(1).transpose(0, 3, 1, 2)
    groups = call.value(0).shape[3] // max(weight.shape[1], 1)
    return _convolve(call, weight, groups, "Conv2D")


@operator("DEPTHWISE_CONV_2D")
def depthwise_conv_2d(call: Call) -> Value:
    """Emit a grouped nn.Conv2d; the file's weights are (1, rows, columns, in · multiplier)."""
    weight = call.constant(1).transpose(3, 0, 1, 2)
    return _convolve(call, weight, call.value(0).shape[3], "depthwise")


def _transposed(
    call: Call, image: Value, weights: int, bias: NDArray[Any] | None, stride: Pads, activation: int
) -> Value:
    """Emit a transposed convolution; the file's weights are (out, rows, columns, in)."""
    weight = call.constant(weights).transpose(3, 0, 1, 2)
    kernel = (weight.shape[2], weight.shape[3])
    # Full extent per axis; what exceeds the output is cut, the odd pixel after (as SAME padding is laid).
    extra = [(image.shape[i + 1] - 1) * stride[i] + kernel[i] - call.shape[i + 1] for i in (0, 1)]
    before = (max(extra[0], 0) // 2, max(extra[1], 0) // 2)
    missing = (max(-extra[0], 0), max(-extra[1], 0))
    with torch.device("meta"):
        layer = nn.ConvTranspose2d(
            weight.shape[0], weight.shape[1], kernel, stride, before, missing, bias=bias is not None
        )  # fmt: skip
    _parameters(layer, weight, bias)
    node = call.build.module(
        layer_name(call.names[weights], prefer="transpose"), layer, call.build.node(image, "image")
    )
    for i, e in enumerate(extra):
        if e > 0 and e % 2:
            node = call.build.call(torch.narrow, node, i + 2, 0, call.shape[i + 1])
    return call.result(call.build.activate(node, activation), "image")


@operator("TRANSPOSE_CONV")
def transpose_conv(call: Call) -> Value:
    """Emit nn.ConvTranspose2d; inputs are output shape, weights, image and, from version 3, bias."""
    stride = (call.option("strideH"), call.option("strideW"))
    return _transposed(call, call.value(2), 1, _bias(call, 3), stride, call.option("fusedActivationFunction"))


@operator("CUSTOM:Convolution2DTransposeBias")
def convolution_2d_transpose_bias(call: Call) -> Value:
    """Emit nn.ConvTranspose2d for MediaPipe's custom operator; options are TfLiteTransposeConvParams.

    Source: mediapipe/util/tflite/operations/transpose_conv_bias.cc: int32 padding, stride width, stride height.
    """
    if len(call.custom) < 12:
        raise Unsupported(f"options of {len(call.custom)} bytes")
    _, stride_width, stride_height = struct.unpack_from("<3i", call.custom)
    return _transposed(call, call.value(0), 1, _bias(call, 2), (stride_height, stride_width), 0)


@operator("FULLY_CONNECTED")
def fully_connected(call: Call) -> Value:
    """Emit nn.Linear over the last axis; without keep_num_dims the leading axes are flattened first."""
    weight = call.constant(1)
    node, value = _features(call, weight.shape[-1])
    bias = _bias(call, 2)
    with torch.device("meta"):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    _parameters(layer, weight, bias)
    node = call.build.module(layer_name(call.names[1], prefer="MatMul"), layer, node)
    node = call.build.activate(node, call.option("fusedActivationFunction"))
    if value != call.shape:
        node = call.build.call(torch.reshape, node, call.shape)
    return call.result(node, "file")


def _features(call: Call, width: int) -> tuple[fx.Node, tuple[int, ...]]:
    """Return the input as (…, width) and the shape that the layer's output then has."""
    value = call.value(0)
    if value.shape[-1] == width:
        return call.build.node(value, "file"), (*value.shape[:-1], call.shape[-1])
    from convert.importers.tflite.operators.shape import reshaped

    rows = int(np.prod(value.shape)) // width
    return call.build.node(reshaped(call.build, value, (rows, width)), "file"), (rows, call.shape[-1])


@operator("BATCH_MATMUL")
def batch_matmul(call: Call) -> Value:
    """Emit a batched matrix product of the last two axes."""
    left, right = (call.build.node(call.value(i), "file") for i in (0, 1))
    left = call.build.call(torch.transpose, left, -1, -2) if call.option("adjX") else left
    right = call.build.call(torch.transpose, right, -1, -2) if call.option("adjY") else right
    return call.result(call.build.call(torch.matmul, left, right), "file")
