"""What each TensorFlow operator is in `.tflite`'s vocabulary, for which the importer has modules.

Weights change their axis order here: TensorFlow keeps (rows, columns, in, out), `.tflite` (out, rows, columns, in).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from convert.importers.tfjs.reader import Array, Malformed, Node

_ACTIVATIONS = {"": 0, "Relu": 1, "Relu6": 3}  # the schema's ActivationFunctionType
_PADDINGS = {"SAME": 0, "VALID": 1}  # the schema's Padding


class Refused(Exception):
    """Carry why one node, though of a known kind, has no translation."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One node with the shapes of its inputs, and their values where they are stored."""

    node: Node
    shapes: tuple[tuple[int, ...], ...]
    constants: tuple[Array | None, ...]

    def constant(self, index: int) -> Array:
        """Return an input that must be stored in the file."""
        found = self.constants[index] if index < len(self.constants) else None
        if found is None:
            raise Refused(f"input {index} computed at run time")
        return found


@dataclass(frozen=True, slots=True)
class Made:
    """The translation: an operator's kind, its inputs (a node's own by position, or new constants), shape, options."""

    kind: str
    inputs: tuple[int | Array, ...]
    shape: tuple[int, ...]
    options: SimpleNamespace


def _convolution(draft: Draft, weights: Array, channels: int, kind: str) -> Made:
    node = draft.node
    fused = node.texts("fused_ops")
    biased = "BiasAdd" in fused
    activation = next((name for name in fused if name != "BiasAdd"), "")
    if activation not in _ACTIVATIONS:
        raise Refused(f"fused {activation}")
    if node.text("padding") not in _PADDINGS or node.text("data_format", "NHWC") != "NHWC":
        raise Refused(f"padding {node.text('padding')}, layout {node.text('data_format', 'NHWC')}")
    strides, dilations = node.integers("strides", (1, 1, 1, 1)), node.integers("dilations", (1, 1, 1, 1))
    if len(draft.shapes[0]) != 4 or len(strides) != 4 or len(dilations) != 4:
        raise Malformed(f"node {node.name} convolves {list(draft.shapes[0])} by strides {list(strides)}")
    batch, *size, _ = draft.shapes[0]
    kernel = weights.shape[1:3]
    out = [_out(size[i], (kernel[i] - 1) * dilations[i + 1] + 1, strides[i + 1], node.text("padding")) for i in (0, 1)]
    options = SimpleNamespace(
        padding=_PADDINGS[node.text("padding")],
        strideH=strides[1],
        strideW=strides[2],
        dilationHFactor=dilations[1],
        dilationWFactor=dilations[2],
        fusedActivationFunction=_ACTIVATIONS[activation],
    )
    inputs: tuple[int | Array, ...] = (0, weights, draft.constant(2)) if biased else (0, weights)
    return Made(kind, inputs, (batch, *out, channels), options)


def _out(size: int, reach: int, stride: int, padding: str) -> int:
    return -(-size // stride) if padding == "SAME" else -(-(size - reach + 1) // stride)


def conv_2d(draft: Draft) -> Made:
    """Translate a convolution with what is fused to it."""
    weights = draft.constant(1).transpose(3, 0, 1, 2)
    return _convolution(draft, weights, weights.shape[0], "CONV_2D")


def depthwise(draft: Draft) -> Made:
    """Translate a depthwise convolution; weights (rows, columns, in, multiplier) lose their last axis."""
    stored = draft.constant(1)
    channels = stored.shape[2] * stored.shape[3]
    weights = stored.reshape(1, *stored.shape[:2], channels)
    return _convolution(draft, weights, channels, "DEPTHWISE_CONV_2D")


def resize_bilinear(draft: Draft) -> Made:
    """Translate a resize to a stored size (height, width)."""
    size = tuple(int(value) for value in draft.constant(1).reshape(-1))
    options = SimpleNamespace(
        alignCorners=draft.node.flag("align_corners"), halfPixelCenters=draft.node.flag("half_pixel_centers")
    )
    batch, _, _, channels = draft.shapes[0]
    return Made("RESIZE_BILINEAR", (0, np.array(size, np.int32)), (batch, *size, channels), options)


def reshape(draft: Draft) -> Made:
    """Translate a reshape to a stored shape, one size of which may be −1."""
    wanted = [int(value) for value in draft.constant(1).reshape(-1)]
    known = math.prod(size for size in wanted if size >= 0)
    shape = tuple(math.prod(draft.shapes[0]) // max(known, 1) if size < 0 else size for size in wanted)
    return Made("RESHAPE", (0, np.array(shape, np.int32)), shape, SimpleNamespace())


def _binary(kind: str) -> Callable[[Draft], Made]:
    def translate(draft: Draft) -> Made:
        shape = np.broadcast_shapes(*draft.shapes)
        return Made(kind, (0, 1), shape, SimpleNamespace(fusedActivationFunction=0))

    return translate


def _unary(kind: str) -> Callable[[Draft], Made]:
    return lambda draft: Made(kind, (0,), draft.shapes[0], SimpleNamespace())


OPERATORS: dict[str, Callable[[Draft], Made]] = {
    "Conv2D": conv_2d,
    "_FusedConv2D": conv_2d,
    "DepthwiseConv2dNative": depthwise,
    "FusedDepthwiseConv2dNative": depthwise,
    "ResizeBilinear": resize_bilinear,
    "Reshape": reshape,
    **{name: _binary("ADD") for name in ("Add", "AddV2", "BiasAdd")},
    "Sub": _binary("SUB"),
    "Mul": _binary("MUL"),
    "RealDiv": _binary("DIV"),
    "Maximum": _binary("MAXIMUM"),
    "Minimum": _binary("MINIMUM"),
    "Relu": _unary("RELU"),
    "Relu6": _unary("RELU6"),
    "Sigmoid": _unary("LOGISTIC"),
    "Tanh": _unary("TANH"),
    "Identity": _unary("DEQUANTIZE"),  # which passes its input on
}
