"""Resizing images and moving pixels between space and channels.

TensorFlow has three grids for resizing: half-pixel centres (PyTorch's align_corners=False), aligned corners
(align_corners=True) and the old one, source = target · in / out, which PyTorch does not have.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx
from torch.nn import functional as F

from convert.importers.tflite.builder import Unsupported
from convert.importers.tflite.operators import Call, operator
from convert.importers.tflite.values import Value

MAX_TABLE = 1 << 22  # entries of one interpolation table


def _sizes(call: Call) -> tuple[tuple[int, int], tuple[int, int]]:
    height, width = call.integers(1)
    if (height, width) != call.shape[1:3]:
        raise Unsupported(f"size {height} × {width} for an output of {call.shape[1]} × {call.shape[2]}")
    return (call.value(0).shape[1], call.value(0).shape[2]), (height, width)


@operator("RESIZE_BILINEAR")
def resize_bilinear(call: Call) -> Value:
    """Emit F.interpolate where PyTorch has the file's grid, else two products with interpolation tables."""
    before, after = _sizes(call)
    node = call.build.node(call.value(0), "image")
    aligned, half = bool(call.option("alignCorners")), bool(call.option("halfPixelCenters"))
    if before == after:
        return call.result(node, "image")
    if aligned != half:
        node = call.build.call(F.interpolate, node, after, mode="bilinear", align_corners=aligned)
        return call.result(node, "image")
    if aligned:
        raise Unsupported("aligned corners together with half-pixel centres")
    rows, columns = (_table(source, target) for source, target in zip(before, after, strict=True))
    name = call.build.current
    node = call.build.call(torch.matmul, call.build.stored(f"{name}_rows", rows, trainable=False), node)
    node = call.build.call(torch.matmul, node, call.build.stored(f"{name}_columns", columns.T, trainable=False))
    return call.result(node, "image")


def _table(source: int, target: int) -> NDArray[np.float32]:
    """Return (target, source) weights of linear interpolation at target · source / out."""
    if source * target > MAX_TABLE:
        raise Unsupported(f"resizing {source} to {target} on the old grid")
    place = np.arange(target, dtype=np.float32) * np.float32(source / target)
    low = np.minimum(np.floor(place).astype(np.int64), source - 1)
    share = place - low
    table = np.zeros((target, source), np.float32)
    np.add.at(table, (np.arange(target), low), 1 - share)
    np.add.at(table, (np.arange(target), np.minimum(low + 1, source - 1)), share)
    return table


@operator("RESIZE_NEAREST_NEIGHBOR")
def resize_nearest_neighbor(call: Call) -> Value:
    """Emit F.interpolate where PyTorch has the file's grid, else a reading of rows and columns."""
    before, after = _sizes(call)
    node = call.build.node(call.value(0), "image")
    aligned, half = bool(call.option("alignCorners")), bool(call.option("halfPixelCenters"))
    if not aligned:
        node = call.build.call(F.interpolate, node, after, mode="nearest-exact" if half else "nearest")
        return call.result(node, "image")
    for axis, (source, target) in enumerate(zip(before, after, strict=True)):
        if target > MAX_TABLE:
            raise Unsupported(f"resizing to {target}")
        scale = np.float32((source - 1) / (target - 1)) if target > 1 else np.float32(source / target)
        place = (np.arange(target, dtype=np.float32) + (0.5 if half else 0)) * scale
        index = np.clip(np.floor(place + 0.5).astype(np.int64), 0, source - 1)
        stored = call.build.stored(f"{call.build.current}_index", index, trainable=False)
        node = call.build.call(torch.index_select, node, axis + 2, stored)
    return call.result(node, "image")


@operator("DEPTH_TO_SPACE")
def depth_to_space(call: Call) -> Value:
    """Emit F.pixel_shuffle; the file keeps the block's place above the channel, PyTorch below, so they swap first."""
    block, (batch, height, width, depth) = call.option("blockSize"), call.value(0).shape
    channels = depth // (block * block)
    node = _swap(call, call.build.node(call.value(0), "image"), (batch, block * block, channels, height, width))
    return call.result(call.build.call(F.pixel_shuffle, node, block), "image")


@operator("SPACE_TO_DEPTH")
def space_to_depth(call: Call) -> Value:
    """Emit F.pixel_unshuffle, then put the block's place above the channel."""
    block, (batch, height, width, channels) = call.option("blockSize"), call.value(0).shape
    node = call.build.call(F.pixel_unshuffle, call.build.node(call.value(0), "image"), block)
    node = _swap(call, node, (batch, channels, block * block, height // block, width // block))
    return call.result(node, "image")


def _swap(call: Call, node: fx.Node, split: tuple[int, int, int, int, int]) -> fx.Node:
    batch, first, second, height, width = split
    if first == 1 or second == 1:
        return node
    node = call.build.call(torch.reshape, node, split)
    node = call.build.call(torch.transpose, node, 1, 2)
    return call.build.call(torch.reshape, node, (batch, first * second, height, width))
