"""Ranges of quantized activations: what saturates anyway needs no codes.

A convolution before a ReLU is quantized over the ReLU's range, an argument of a sigmoid over the part where the sigmoid
still moves. The values that are cut off give the same result, and those that matter get finer steps.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch.fx import GraphModule, Node

from convert.targets._pt2e_observers import code_bits

aten = torch.ops.aten

Bounds = tuple[float | None, float | None]
_SATURATING: dict[Any, Bounds] = {
    aten.relu.default: (0.0, None),
    aten.relu_.default: (0.0, None),
    aten.relu6.default: (0.0, 6.0),
    aten.hardswish.default: (-3.0, None),
    aten.hardswish_.default: (-3.0, None),
    aten.hardsigmoid.default: (-3.0, 3.0),
    aten.hardsigmoid_.default: (-3.0, 3.0),
}
# sigmoid(±8) is within 0.09 of a step of 8 bits over [0, 1], but 22 steps of 16 bits off; the others are exact.
_NEARLY_SATURATING: dict[Any, Bounds] = {aten.sigmoid.default: (-8.0, 8.0), aten.sigmoid_.default: (-8.0, 8.0)}
_CLIPS = (aten.hardtanh.default, aten.hardtanh_.default, aten.clamp.default, aten.clamp_.default)
_LEAST_WIDTH = 1e-3  # of a range: an activation that never leaves the saturated part still needs a scale


def cut_saturated_ranges(prepared: GraphModule) -> int:
    """Narrow the observers of activations before saturating operators; returns how many were narrowed.

    An observer that sees other users' values as well stays as it is.
    """
    observers = dict(prepared.named_modules(remove_duplicate=False))
    calls = [node for node in prepared.graph.nodes if _observes(node, observers)]
    seats = Counter(id(observers[str(node.target)]) for node in calls)
    count = 0
    for node in calls:
        observer = observers[str(node.target)]
        users = list(node.users)
        if len(users) != 1 or seats[id(observer)] != 1:
            continue
        bounds = saturation(users[0], code_bits(observer))
        count += bounds is not None and _narrow(observer, bounds)
    return count


def saturation(node: Node, bits: int) -> Bounds | None:
    """Return the range outside of which an operator's argument no longer changes its `bits`-bit result."""
    if node.op != "call_function":
        return None
    if node.target in _CLIPS:
        defaults: Bounds = (-1.0, 1.0) if node.target in _CLIPS[:2] else (None, None)
        return _number(node, 1, defaults[0]), _number(node, 2, defaults[1])
    return _SATURATING.get(node.target) or (_NEARLY_SATURATING.get(node.target) if bits <= 8 else None)


def _number(node: Node, index: int, default: float | None) -> float | None:
    value = node.args[index] if len(node.args) > index else default
    return float(value) if isinstance(value, (int, float)) else None


def _observes(node: Node, observers: dict[str, Any]) -> bool:
    return node.op == "call_module" and hasattr(observers.get(str(node.target)), "min_val")


def _narrow(observer: Any, bounds: Bounds) -> bool:
    low, high = float(observer.min_val), float(observer.max_val)
    least, most = bounds
    new_low = low if least is None else min(max(low, least), most if most is not None else high)
    new_high = high if most is None else max(min(high, most), new_low)
    if new_high - new_low < _LEAST_WIDTH:
        new_high = new_low + _LEAST_WIDTH
    observer.min_val.fill_(new_low)
    observer.max_val.fill_(new_high)
    return (new_low, new_high) != (low, high)
