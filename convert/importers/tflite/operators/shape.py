"""Reshaping, joining, cutting and padding; an image leaves PyTorch's order only where memory order matters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch.nn import functional as F

from convert.importers.tflite.builder import Builder, Unsupported
from convert.importers.tflite.operators import Call, operator
from convert.importers.tflite.values import (
    TO_FILE,
    TO_IMAGE,
    Order,
    Padded,
    Value,
    axis_in,
    image_shape,
    permuted,
    same_memory,
)


def reshaped(build: Builder, value: Value, shape: tuple[int, ...]) -> Value:
    """Return the value with another shape, both in the file's memory order; no permute where that is the same."""
    if value.constant is not None:
        return Value(shape, value.constant.reshape(shape))
    if math.prod(value.shape) != math.prod(shape):
        raise Unsupported(f"reshape of {list(value.shape)} to {list(shape)}")
    if value.shape == shape:
        return value
    straight = len(value.shape) == 4 and value.order == "image" and same_memory(value.shape)
    source = build.node(value, "image" if straight else "file")
    if straight and len(shape) == 4 and same_memory(shape):
        return Value(shape, nodes={"image": build.call(torch.reshape, source, image_shape(shape))})
    return Value(shape, nodes={"file": build.call(torch.reshape, source, shape)})


@operator("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
def reshape(call: Call) -> Value:
    """Emit a reshape to the shape that the file states for the output."""
    return reshaped(call.build, call.value(0), call.shape)


@operator("TRANSPOSE")
def transpose(call: Call) -> Value:
    """Emit a permute, unless the value is at hand in the very order asked for."""
    value, axes = call.value(0), call.integers(1)
    axes = [axis % len(axes) for axis in axes] if axes else []
    if sorted(axes) != list(range(len(value.shape))):
        raise Unsupported(f"axes {axes} of {len(value.shape)}")
    if value.order == "image":
        axes = [TO_IMAGE.index(axis) for axis in axes]  # the image's axes that make up the output
        if axes == list(range(4)):
            return call.result(value.nodes["image"], "file")
        if [axes[axis] for axis in TO_IMAGE] == list(range(4)):
            return call.result(value.nodes["image"], "image")
        return call.result(call.build.call(torch.permute, value.nodes["image"], tuple(axes)), "file")
    node = call.build.node(value, "file")
    if tuple(axes) == TO_FILE:  # the file turns a channels-first tensor into an image
        return call.result(node, "image")
    return call.result(call.build.call(torch.permute, node, tuple(axes)), "file")


@operator("CONCATENATION")
def concatenation(call: Call) -> Value:
    """Emit torch.cat."""
    order, rank = call.order(), len(call.shape)
    nodes = [call.build.node(call.value(i), order) for i in range(len(call.inputs))]
    node = call.build.call(torch.cat, nodes, axis_in(order, call.option("axis"), rank))
    return call.result(call.build.activate(node, call.option("fusedActivationFunction")), order)


def _split(call: Call, value: Value, axis: int, sizes: Sequence[int]) -> tuple[Value, ...]:
    order = value.order if len(value.shape) == 4 else "file"
    parts = call.build.call(
        torch.split, call.build.node(value, order), list(sizes), axis_in(order, axis, len(value.shape))
    )
    results = []
    for number, shape in enumerate(call.output_shapes):
        results.append(call.result(call.build.call(_item, parts, number), order, shape))
    return tuple(results)


def _item(parts: Sequence[Tensor], index: int) -> Tensor:
    return parts[index]


@operator("SPLIT")
def split(call: Call) -> tuple[Value, ...]:
    """Emit torch.split into equal parts; inputs are axis and value."""
    value, (axis,) = call.value(1), call.integers(0)
    return _split(call, value, axis, [shape[axis] for shape in call.output_shapes])


@operator("SPLIT_V")
def split_v(call: Call) -> tuple[Value, ...]:
    """Emit torch.split into stated parts; inputs are value, sizes and axis."""
    (axis,) = call.integers(2)
    return _split(call, call.value(0), axis, [shape[axis] for shape in call.output_shapes])


def _cut(call: Call, begin: Sequence[int], end: Sequence[int], step: Sequence[int]) -> Value:
    """Emit slices of the axes that are really cut."""
    value = call.value(0)
    order: Order = value.order if len(value.shape) == 4 else "file"
    node = call.build.node(value, order)
    for axis, (start, stop, stride) in enumerate(zip(begin, end, step, strict=True)):
        if (start, stop, stride) == (0, value.shape[axis], 1):
            continue
        if stride < 0:
            index = np.arange(start, stop, stride, dtype=np.int64)
            node = _select(call, node, axis_in(order, axis, len(value.shape)), index)
        else:
            node = call.build.call(
                torch.ops.aten.slice.Tensor, node, axis_in(order, axis, len(value.shape)), start, stop, stride
            )
    shape = tuple(len(range(*bounds)) for bounds in zip(begin, end, step, strict=True))
    return Value(shape, nodes={order: node})


def _select(call: Call, node: fx.Node, axis: int, index: Any) -> fx.Node:
    stored = call.build.stored(f"{call.build.current}_index", np.asarray(index, np.int64), trainable=False)
    return call.build.call(torch.index_select, node, axis, stored)


@operator("SLICE")
def slice_(call: Call) -> Value:
    """Emit slices; a size of −1 reaches to the end."""
    begin, sizes, shape = call.integers(1), call.integers(2), call.value(0).shape
    end = [full if size < 0 else start + size for start, size, full in zip(begin, sizes, shape, strict=True)]
    return _cut(call, begin, end, [1] * len(begin))


@operator("STRIDED_SLICE")
def strided_slice(call: Call) -> Value:
    """Emit slices as numpy would; masks say which bounds are open and which axes vanish."""
    if call.option("ellipsisMask") or call.option("newAxisMask"):
        raise Unsupported("an ellipsis or a new axis")
    shape, bounds = call.value(0).shape, []
    for axis, (begin, end, step) in enumerate(zip(*(call.integers(i) for i in (1, 2, 3)), strict=True)):
        start = None if call.option("beginMask") >> axis & 1 else begin
        stop = None if call.option("endMask") >> axis & 1 else end
        if call.option("shrinkAxisMask") >> axis & 1:
            start, step = begin % shape[axis], 1
            stop = start + 1
        bounds.append(slice(start, stop, step).indices(shape[axis]))
    bounds += [(0, size, 1) for size in shape[len(bounds) :]]
    cut = _cut(call, *zip(*bounds, strict=True))
    return reshaped(call.build, cut, call.shape)


def _amounts(call: Call) -> list[tuple[int, int]]:
    amounts = call.constant(1)
    if amounts.shape != (len(call.value(0).shape), 2):
        raise Unsupported(f"paddings of shape {list(amounts.shape)}")
    return [(int(before), int(after)) for before, after in amounts]


def _pad(call: Call, number: float) -> Value:
    value, amounts, order = call.value(0), _amounts(call), call.order()
    flat = [amount for pair in reversed(permuted(amounts, order)) for amount in pair]
    while len(flat) > 2 and flat[-2:] == [0, 0]:
        flat = flat[:-2]
    result = call.result(call.build.call(F.pad, call.build.node(value, order), flat, "constant", number), order)
    spatial = len(amounts) == 4 and amounts[0] == amounts[3] == (0, 0)
    if number == 0 and spatial and order == "image" and min(min(pair) for pair in amounts) >= 0:
        result.padded = Padded(value, amounts[1], amounts[2])
    return result


@operator("PAD")
def pad(call: Call) -> Value:
    """Emit F.pad with zeros; a convolution that follows takes the padding over."""
    return _pad(call, 0.0)


@operator("PADV2")
def pad_v2(call: Call) -> Value:
    """Emit F.pad with the file's value."""
    return _pad(call, float(call.constant(2).reshape(-1)[0]))


@operator("MIRROR_PAD")
def mirror_pad(call: Call) -> Value:
    """Emit a reading of mirrored rows per padded axis; mode 0 leaves the border out, mode 1 repeats it."""
    value, order = call.value(0), call.order()
    node, mode = call.build.node(value, order), "symmetric" if call.option("mode") else "reflect"
    for axis, ((before, after), size) in enumerate(zip(_amounts(call), value.shape, strict=True)):
        if not 0 <= before + after == call.shape[axis] - size or max(before, after) > size:
            raise Unsupported(f"mirror padding {before}, {after} of {size}")
        if before or after:
            index = np.pad(np.arange(size), (before, after), mode=mode)  # type: ignore[call-overload]
            node = _select(call, node, axis_in(order, axis, len(value.shape)), index)
    return call.result(node, order)


@operator("GATHER")
def gather(call: Call) -> Value:
    """Emit a reading of constant indices along one axis."""
    if call.option("batchDims"):
        raise Unsupported("batch axes")
    value, index = call.value(0), call.constant(1)
    order: Order = value.order if len(value.shape) == 4 and index.ndim == 1 else "file"
    axis = call.option("axis") % len(value.shape)
    node = _select(call, call.build.node(value, order), axis_in(order, axis, len(value.shape)), index.reshape(-1))
    taken = Value((*value.shape[:axis], index.size, *value.shape[axis + 1 :]), nodes={order: node})
    return reshaped(call.build, taken, call.shape)


@operator("PACK")
def pack(call: Call) -> Value:
    """Emit torch.stack."""
    nodes = [call.build.node(call.value(i), "file") for i in range(len(call.inputs))]
    return call.result(call.build.call(torch.stack, nodes, call.option("axis")), "file")


@operator("UNPACK")
def unpack(call: Call) -> tuple[Value, ...]:
    """Emit one selection per slice of the axis."""
    node, axis = call.build.node(call.value(0), "file"), call.option("axis")
    return tuple(
        call.result(call.build.call(torch.select, node, axis, i), "file", shape)
        for i, shape in enumerate(call.output_shapes)
    )


@operator("TILE")
def tile(call: Call) -> Value:
    """Emit torch.tile."""
    order = call.order()
    repeats = permuted(call.integers(1), order)
    return call.result(call.build.call(torch.tile, call.build.node(call.value(0), order), repeats), order)


@operator("BROADCAST_TO")
def broadcast_to(call: Call) -> Value:
    """Emit torch.broadcast_to."""
    return call.result(call.build.call(torch.broadcast_to, call.build.node(call.value(0), "file"), call.shape), "file")


@operator("SHAPE")
def shape_of(call: Call) -> Value:
    """Return the shape as a constant: every shape is fixed."""
    shape = call.value(0).shape
    return Value((len(shape),), np.array(shape, np.int32))
