"""Pooling and reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from convert.importers.tflite.operators import Call, operator
from convert.importers.tflite.operators.convolution import SAME, window
from convert.importers.tflite.operators.shape import reshaped
from convert.importers.tflite.values import TO_IMAGE, Order, Value, axis_in


def _window(call: Call) -> tuple[tuple[int, int], tuple[int, int], Value, tuple[int, int], tuple[int, int]]:
    """Return kernel, stride, and the image with its own SAME padding; zeros that the file pads with are data here."""
    kernel = (call.option("filterHeight"), call.option("filterWidth"))
    stride = (call.option("strideH"), call.option("strideW"))
    value = call.value(0)
    bare = Call(
        call.kind,
        call.options,
        b"",
        (Value(value.shape, value.constant, value.nodes),),
        call.output_shapes,
        (),
        call.build,
    )
    _, rows, columns = window(bare, kernel, stride)
    return kernel, stride, value, rows, columns


@operator("MAX_POOL_2D")
def max_pool_2d(call: Call) -> Value:
    """Emit F.max_pool2d; uneven SAME padding is laid with −∞ first."""
    kernel, stride, value, rows, columns = _window(call)
    node, padding = call.build.node(value, "image"), (rows[0], columns[0])
    if rows[0] != rows[1] or columns[0] != columns[1]:
        node, padding = call.build.call(F.pad, node, (*columns, *rows), "constant", float("-inf")), (0, 0)
    node = call.build.call(torch.max_pool2d, node, kernel, stride, padding)
    return call.result(call.build.activate(node, call.option("fusedActivationFunction")), "image")


@operator("AVERAGE_POOL_2D")
def average_pool_2d(call: Call) -> Value:
    """Emit F.avg_pool2d over real pixels only, or a mean where the window is the whole image."""
    kernel, stride, value, rows, columns = _window(call)
    node = call.build.node(value, "image")
    if kernel == value.shape[1:3] and call.shape[1:3] == (1, 1) and call.option("padding") != SAME:
        node = call.build.call(torch.mean, node, (-1, -2), True)
    elif rows[0] == rows[1] and columns[0] == columns[1]:
        node = call.build.call(F.avg_pool2d, node, kernel, stride, (rows[0], columns[0]), False, False)
    else:
        # Mean with zeros, times the share of the window that lies on the image: both linear, so exact.
        padded = call.build.call(F.pad, node, (*columns, *rows))
        node = call.build.call(F.avg_pool2d, padded, kernel, stride)
        share = F.avg_pool2d(F.pad(torch.ones(1, 1, *value.shape[1:3]), (*columns, *rows)), kernel, stride)
        weight = call.build.stored(f"{call.build.current}_share", share.reciprocal().numpy(), trainable=False)
        node = call.build.call(torch.mul, node, weight)
    return call.result(call.build.activate(node, call.option("fusedActivationFunction")), "image")


def _reduce(call: Call, function: Callable[..., Any]) -> Value:
    value, rank = call.value(0), len(call.value(0).shape)
    axes = sorted({axis % rank for axis in call.integers(1)})
    keep = bool(call.option("keepDims", False))
    order: Order = value.order if rank == 4 else "file"
    if order == "image" and not keep:
        left = [axis for axis in TO_IMAGE if axis not in axes]
        order = "image" if left == sorted(left) else "file"  # the axes that stay must stay in the file's order
    # Counted from the end: the spelling that mobile runtimes recognise as global pooling.
    dims = tuple(sorted((axis_in(order, axis, rank) - rank for axis in axes), reverse=True))
    node = call.build.call(function, call.build.node(value, order), dims, keep)
    return call.result(node, order if keep else "file")


@operator("MEAN")
def mean(call: Call) -> Value:
    """Emit torch.mean over the file's axes."""
    return _reduce(call, torch.mean)


@operator("SUM")
def sum_(call: Call) -> Value:
    """Emit torch.sum over the file's axes."""
    return _reduce(call, torch.sum)


@operator("REDUCE_MAX")
def reduce_max(call: Call) -> Value:
    """Emit torch.amax over the file's axes."""
    return _reduce(call, torch.amax)


@operator("REDUCE_MIN")
def reduce_min(call: Call) -> Value:
    """Emit torch.amin over the file's axes."""
    return _reduce(call, torch.amin)


def _index(call: Call, function: Callable[..., Tensor]) -> Value:
    value, rank = call.value(0), len(call.value(0).shape)
    axis = call.integers(1)[0] % rank
    order: Order = value.order if rank == 4 and axis == 3 else "file"
    node = call.build.call(function, call.build.node(value, order), axis_in(order, axis, rank))
    if call.option("outputType", 2) == 2:
        node = call.build.call(torch.Tensor.to, node, torch.int32)
    shape = tuple(size for i, size in enumerate(value.shape) if i != axis)
    return reshaped(call.build, Value(shape, nodes={"file": node}), call.shape)


@operator("ARG_MAX")
def arg_max(call: Call) -> Value:
    """Emit torch.argmax along one axis."""
    return _index(call, torch.argmax)


@operator("ARG_MIN")
def arg_min(call: Call) -> Value:
    """Emit torch.argmin along one axis."""
    return _index(call, torch.argmin)
