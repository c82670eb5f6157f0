"""Arithmetic, comparisons and activations: the same in every axis order."""

from __future__ import annotations

import operator as python
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from convert.importers.tflite.operators import OPERATORS, Call, operator
from convert.importers.tflite.values import Value, axis_in

UNARY: dict[str, Callable[..., Any]] = {
    "RELU": F.relu,
    "RELU6": F.relu6,
    "LOGISTIC": torch.sigmoid,
    "TANH": torch.tanh,
    "HARD_SWISH": F.hardswish,
    "ELU": F.elu,
    "EXP": torch.exp,
    "LOG": torch.log,
    "SQRT": torch.sqrt,
    "RSQRT": torch.rsqrt,
    "SQUARE": torch.square,
    "NEG": torch.neg,
    "ABS": torch.abs,
    "SIN": torch.sin,
    "COS": torch.cos,
    "FLOOR": torch.floor,
    "CEIL": torch.ceil,
    "ROUND": torch.round,
    "SIGN": torch.sign,
    "LOGICAL_NOT": torch.logical_not,
}
BINARY: dict[str, Callable[..., Any]] = {
    "ADD": python.add,
    "SUB": python.sub,
    "MUL": python.mul,
    "DIV": python.truediv,
    "POW": python.pow,
    "FLOOR_DIV": python.floordiv,
    "FLOOR_MOD": python.mod,
    "EQUAL": python.eq,
    "NOT_EQUAL": python.ne,
    "LESS": python.lt,
    "LESS_EQUAL": python.le,
    "GREATER": python.gt,
    "GREATER_EQUAL": python.ge,
    "LOGICAL_AND": torch.logical_and,
    "LOGICAL_OR": torch.logical_or,
}


def _unary(call: Call) -> Value:
    order = call.order()
    return call.result(call.build.call(UNARY[call.kind], call.build.node(call.value(0), order)), order)


def _binary(call: Call) -> Value:
    order, rank = call.order(), len(call.shape)
    left, right = (call.build.operand(call.value(i), rank, order) for i in (0, 1))
    node = call.build.call(BINARY[call.kind], left, right)
    return call.result(call.build.activate(node, call.option("fusedActivationFunction")), order)


for _kind in UNARY:
    OPERATORS.add(_kind, _unary)
for _kind in BINARY:
    OPERATORS.add(_kind, _binary)


def _node(call: Call, found: fx.Node | float) -> fx.Node:
    return (
        found
        if isinstance(found, fx.Node)
        else call.build.stored("number", np.array(found, np.float32), trainable=False)
    )


def _extremum(call: Call, function: Callable[..., Tensor]) -> Value:
    order, rank = call.order(), len(call.shape)
    left, right = (call.build.operand(call.value(i), rank, order) for i in (0, 1))
    if not isinstance(left, fx.Node):
        left, right = right, left
    if not isinstance(right, fx.Node):  # a number: one operator, no tensor to store
        limit = {"min": right} if function is torch.maximum else {"max": right}
        return call.result(call.build.call(torch.clamp, left, **limit), order)
    return call.result(call.build.call(function, left, right), order)


@operator("MAXIMUM")
def maximum(call: Call) -> Value:
    """Emit torch.maximum, or a clamp against a number."""
    return _extremum(call, torch.maximum)


@operator("MINIMUM")
def minimum(call: Call) -> Value:
    """Emit torch.minimum, or a clamp against a number."""
    return _extremum(call, torch.minimum)


@operator("SQUARED_DIFFERENCE")
def squared_difference(call: Call) -> Value:
    """Emit (a − b)²."""
    order, rank = call.order(), len(call.shape)
    left, right = (call.build.operand(call.value(i), rank, order) for i in (0, 1))
    return call.result(call.build.call(torch.square, call.build.call(python.sub, left, right)), order)


@operator("ADD_N")
def add_n(call: Call) -> Value:
    """Emit the sum of all inputs."""
    order, rank = call.order(), len(call.shape)
    total = call.build.operand(call.value(0), rank, order)
    for index in range(1, len(call.inputs)):
        total = call.build.call(python.add, total, call.build.operand(call.value(index), rank, order))
    return call.result(_node(call, total), order)


@operator("RELU_N1_TO_1")
def relu_n1_to_1(call: Call) -> Value:
    """Emit a clamp to [−1, 1]."""
    order = call.order()
    return call.result(call.build.call(F.hardtanh, call.build.node(call.value(0), order), -1.0, 1.0), order)


@operator("RELU_0_TO_1")
def relu_0_to_1(call: Call) -> Value:
    """Emit a clamp to [0, 1]."""
    order = call.order()
    return call.result(call.build.call(F.hardtanh, call.build.node(call.value(0), order), 0.0, 1.0), order)


@operator("LEAKY_RELU")
def leaky_relu(call: Call) -> Value:
    """Emit a leaky ReLU with the file's slope."""
    order = call.order()
    return call.result(
        call.build.call(F.leaky_relu, call.build.node(call.value(0), order), call.option("alpha", 0.0)), order
    )


@operator("GELU")
def gelu(call: Call) -> Value:
    """Emit GELU, exact or by tanh as the file says."""
    order = call.order()
    kind = "tanh" if call.option("approximate", False) else "none"
    return call.result(call.build.call(F.gelu, call.build.node(call.value(0), order), approximate=kind), order)


@operator("PRELU")
def prelu(call: Call) -> Value:
    """Emit nn.PReLU where the slopes are one per channel, else max(x, 0) + slope · min(x, 0)."""
    value, order, rank = call.value(0), call.order(), len(call.shape)
    node = call.build.node(value, order)
    slopes = call.value(1).constant
    channels_second = order == "image" or rank == 2
    if slopes is not None and channels_second and slopes.size == slopes.shape[-1] == call.shape[-1]:
        layer = nn.PReLU(slopes.size)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(slopes.reshape(-1)))
        return call.result(call.build.module(call.build.current, layer, node), order)
    slope = call.build.operand(call.value(1), rank, order)
    negative = call.build.call(python.mul, slope, call.build.call(torch.clamp, node, max=0.0))
    return call.result(call.build.call(python.add, call.build.call(F.relu, node), negative), order)


@operator("SOFTMAX")
def softmax(call: Call) -> Value:
    """Emit softmax(beta · x) over the file's last axis."""
    order, beta = call.order(), call.option("beta", 1.0)
    node = call.build.node(call.value(0), order)
    node = node if beta == 1.0 else call.build.call(python.mul, node, beta)
    return call.result(call.build.call(torch.softmax, node, axis_in(order, -1, len(call.shape))), order)


@operator("LOG_SOFTMAX")
def log_softmax(call: Call) -> Value:
    """Emit log softmax over the file's last axis."""
    order = call.order()
    node = call.build.node(call.value(0), order)
    return call.result(call.build.call(torch.log_softmax, node, axis_in(order, -1, len(call.shape))), order)


@operator("L2_NORMALIZATION")
def l2_normalization(call: Call) -> Value:
    """Emit x / ‖x‖ over the file's last axis, the square of the norm at least 1e-6."""
    order = call.order()
    node = call.build.node(call.value(0), order)
    node = call.build.call(F.normalize, node, 2.0, axis_in(order, -1, len(call.shape)), 1e-3)
    return call.result(call.build.activate(node, call.option("fusedActivationFunction")), order)


@operator("SELECT", "SELECT_V2")
def select(call: Call) -> Value:
    """Emit torch.where."""
    order, rank = call.order(), len(call.shape)
    condition = _node(call, call.build.operand(call.value(0), rank, order))
    chosen, other = (call.build.operand(call.value(i), rank, order) for i in (1, 2))
    return call.result(call.build.call(torch.where, condition, chosen, other), order)


DTYPES: dict[int, torch.dtype] = {
    0: torch.float32, 1: torch.float32, 2: torch.int32, 3: torch.uint8, 4: torch.int64, 6: torch.bool,
    7: torch.int16, 9: torch.int8, 10: torch.float64,
}  # fmt: skip  # by the schema's TensorType; half precision is computed in single


@operator("CAST")
def cast(call: Call) -> Value:
    """Emit a conversion of dtype."""
    order = call.order()
    dtype = DTYPES[call.option("outDataType")]
    return call.result(call.build.call(torch.Tensor.to, call.build.node(call.value(0), order), dtype), order)


@operator("QUANTIZE", "DEQUANTIZE", "FAKE_QUANT")
def requantize(call: Call) -> Value:
    """Pass the value on: the import computes in real numbers, rounding belongs to the quantised file."""
    return call.value(0)


@operator("DENSIFY")
def densify(call: Call) -> Value:
    """Pass the constant on: the reader has decoded it."""
    return Value(call.shape, call.constant(0))
