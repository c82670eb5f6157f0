"""Bias correction: what rounding a convolution's weights adds to its outputs on average is taken off its bias.

Rounded weights shift the mean of every output channel, and the shifts add up over the layers. The means are measured
on calibration inputs, and each layer is corrected with those before it corrected already (Nagel et al., Data-Free
Quantization Through Weight Equalization and Bias Correction, 2019, section 4.2, with measured in place of derived
means).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

aten = torch.ops.aten

_LEVELS = 127  # of symmetric 8-bit weights
_INPUTS = 12  # of the calibration inputs: means settle soon
_Values = dict[Node, list[Any]]
_Visit = Callable[[Node, _Values], None]


def correct_biases(module: GraphModule, calibration: Sequence[tuple[Tensor, ...]]) -> int:
    """Correct the biases of 2D convolutions in place for 8-bit weights per output channel; returns how many.

    The weights stay as they are. Only attributes are replaced, never written to: they are shared with the program that
    the module was made of.
    """
    inputs = calibration[:_INPUTS]
    layers = {node for node in module.graph.nodes if _is_correctable(module, node)}
    means: dict[Node, Tensor] = {}
    shifts: dict[Node, Tensor] = {}

    def measure(node: Node, values: _Values) -> None:
        if node in layers:
            means[node] = _channel_means(values[node])

    def correct(node: Node, values: _Values) -> None:
        if node in layers:
            shifts[node] = means[node] - _channel_means(values[node])
            values[node] = [value + shifts[node].reshape(1, -1, 1, 1) for value in values[node]]

    with torch.no_grad():
        _walk(module, inputs, measure)
        weights = {node: _read(module, node.args[1]) for node in layers}
        for node, weight in weights.items():
            _write(module, node.args[1], _rounded(weight))
        _walk(module, inputs, correct)
        for node, weight in weights.items():
            _write(module, node.args[1], weight)
            _write(module, node.args[2], _read(module, node.args[2]) + shifts[node])
    return len(layers)


def _walk(module: GraphModule, inputs: Sequence[tuple[Tensor, ...]], visit: _Visit) -> None:
    """Compute a graph node by node for all inputs at once, show `visit` every result, and free what is used up."""
    values: _Values = {}
    waiting = {node: len(node.users) for node in module.graph.nodes}
    placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
    for index, node in enumerate(placeholders):
        values[node] = [tensors[index] for tensors in inputs]
    for node in module.graph.nodes:
        if node.op == "get_attr":
            values[node] = [_read(module, node)] * len(inputs)
        elif node.op == "call_function":
            values[node] = [_call(node, values, index) for index in range(len(inputs))]
            visit(node, values)
            for source in node.all_input_nodes:
                waiting[source] -= 1
                if not waiting[source]:
                    del values[source]


def _call(node: Node, values: _Values, index: int) -> Any:
    args = map_arg(node.args, lambda source: values[source][index])
    kwargs = map_arg(node.kwargs, lambda source: values[source][index])
    return node.target(*args, **kwargs)  # type: ignore[operator]  # a call_function's target is callable


def _is_correctable(module: GraphModule, node: Node) -> bool:
    if node.op != "call_function" or node.target is not aten.conv2d.default:
        return False
    weight, bias = (*node.args, None)[1:3]
    return all(isinstance(value, Node) and value.op == "get_attr" and len(value.users) == 1 for value in (weight, bias))


def _channel_means(values: list[Any]) -> Tensor:
    return torch.stack([value.mean(dim=(0, 2, 3)) for value in values]).mean(dim=0)


def _rounded(weight: Tensor) -> Tensor:
    scale = weight.abs().amax(dim=tuple(range(1, weight.dim())), keepdim=True) / _LEVELS
    scale = scale.clamp_min(torch.finfo(weight.dtype).tiny)
    return (weight / scale).round() * scale


def _read(module: GraphModule, node: Any) -> Any:
    owner, _, name = str(node.target).rpartition(".")
    found = getattr(module.get_submodule(owner), name)
    return found.detach() if isinstance(found, Tensor) else found


def _write(module: GraphModule, node: Any, value: Tensor) -> None:
    owner, _, name = str(node.target).rpartition(".")
    holder = module.get_submodule(owner)
    is_parameter = isinstance(getattr(holder, name), nn.Parameter)
    setattr(holder, name, nn.Parameter(value, requires_grad=False) if is_parameter else value)
