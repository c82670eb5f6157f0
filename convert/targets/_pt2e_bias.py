"""Bias correction: what quantization adds to a convolution's outputs on average is taken off its bias.

Rounded weights and activations shift the mean of every output channel, and the shifts add up over the layers. The
means are measured on calibration inputs, and each layer is corrected with those before it corrected already (Nagel et
al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019, section 4.2, with measured in place
of derived means).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from convert.nearness import Answers, Nearness, nearness
from edge.contract import Contract

aten = torch.ops.aten

_INPUTS = 12  # of the calibration inputs: means settle soon
_Values = dict[Node, list[Any]]
_Outputs = list[list[Tensor]]
_Visit = Callable[[Node, _Values], None]


@dataclass(frozen=True, slots=True)
class Biased:
    """A quantized graph, whether its biases were corrected, and how near it is to the float graph."""

    module: GraphModule
    corrected: bool
    nearness: Nearness


def with_better_biases(
    original: GraphModule,
    quantized: GraphModule,
    calibration: Sequence[tuple[Tensor, ...]],
    contract: Contract | None = None,
) -> Biased:
    """Return a quantized graph with corrected biases if its outputs are nearer to the float graph's than without.

    Right means can make wrong outputs: a shift before a ReLU or a sigmoid changes more than a mean. With the graphs'
    contract the task's metric decides first.
    """
    inputs = calibration[:_INPUTS]
    corrected = copy.deepcopy(quantized)
    expected, shifted = correct_biases(original, corrected, inputs)
    with torch.no_grad():
        plain = _walk(quantized, inputs, _pass_by)
    before, after = _near(expected, plain, contract), _near(expected, shifted, contract)
    return Biased(corrected, True, after) if after > before else Biased(quantized, False, before)


def _near(expected: _Outputs, got: _Outputs, contract: Contract | None) -> Nearness:
    names = [spec.name for spec in contract.outputs] if contract else [str(index) for index in range(len(expected))]

    def answers(outputs: _Outputs) -> Answers:
        by_input = zip(*outputs, strict=True)
        return [{name: value.numpy() for name, value in zip(names, found, strict=True)} for found in by_input]

    return nearness(answers(expected), answers(got), contract)


def correct_biases(
    original: GraphModule, quantized: GraphModule, inputs: Sequence[tuple[Tensor, ...]]
) -> tuple[_Outputs, _Outputs]:
    """Correct the biases of a quantized graph's 2D convolutions against the float graph's means.

    Layers are matched by node name. Only attributes are replaced, never written to: they may be shared. Returns the
    outputs of the float graph and those of the corrected one, output by output, one tensor an input.
    """
    means: dict[str, Tensor] = {}

    def measure(node: Node, values: _Values) -> None:
        if node.target is aten.conv2d.default:
            means[node.name] = _channel_means(values[node])

    def correct(node: Node, values: _Values) -> None:
        if node.target is aten.conv2d.default and node.name in means:
            bias = _bias(quantized, node)
            if bias is not None:
                shift = bias.add(means[node.name] - _channel_means(values[node]))
                values[node] = [value + shift.reshape(1, -1, 1, 1) for value in values[node]]

    with torch.no_grad():
        expected = _walk(original, inputs, measure)
        return expected, _walk(quantized, inputs, correct)


@dataclass(frozen=True, slots=True)
class _Bias:
    module: GraphModule
    constant: Node
    scale: Tensor | None  # of integers

    def add(self, shift: Tensor) -> Tensor:
        """Add to the bias what it can represent of `shift`, and return that."""
        value = _read(self.module, self.constant)
        if self.scale is None:
            _write(self.module, self.constant, value + shift)
            return shift
        limits = torch.iinfo(value.dtype)
        steps = (shift.double() / self.scale).round()
        _write(self.module, self.constant, (value.double() + steps).clamp(limits.min, limits.max).to(value.dtype))
        return (steps * self.scale).to(shift.dtype)


def _bias(module: GraphModule, node: Node) -> _Bias | None:
    """Return a convolution's bias if it is a constant of its own: floats, or integers and their scales."""
    found = node.args[2] if len(node.args) > 2 else None
    if not isinstance(found, Node) or len(found.users) != 1:
        return None
    if found.op == "get_attr":
        return _Bias(module, found, None)
    source, scale = (*found.args, None)[:2]
    if "dequantize" not in str(found.target) or not isinstance(source, Node) or source.op != "get_attr":
        return None
    steps = _read(module, scale) if isinstance(scale, Node) else torch.tensor(scale)
    return _Bias(module, source, steps.double()) if len(source.users) == 1 else None


def _pass_by(node: Node, values: _Values) -> None:
    """Stand for a visit without a purpose."""


def _walk(module: GraphModule, inputs: Sequence[tuple[Tensor, ...]], visit: _Visit) -> _Outputs:
    """Compute a graph node by node for all inputs at once, show `visit` every result, and free what is used up.

    Returns its outputs.
    """
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
        elif node.op == "output":
            return [values[source] for source in node.all_input_nodes]
    return []


def _call(node: Node, values: _Values, index: int) -> Any:
    args = map_arg(node.args, lambda source: values[source][index])
    kwargs = map_arg(node.kwargs, lambda source: values[source][index])
    return node.target(*args, **kwargs)  # type: ignore[operator]  # a call_function's target is callable


def _channel_means(values: list[Any]) -> Tensor:
    return torch.stack([value.mean(dim=(0, 2, 3)) for value in values]).mean(dim=0)


def _read(module: GraphModule, node: Any) -> Any:
    owner, _, name = str(node.target).rpartition(".")
    found = getattr(module.get_submodule(owner), name)
    return found.detach() if isinstance(found, Tensor) else found


def _write(module: GraphModule, node: Any, value: Tensor) -> None:
    owner, _, name = str(node.target).rpartition(".")
    holder = module.get_submodule(owner)
    is_parameter = isinstance(getattr(holder, name), nn.Parameter)
    setattr(holder, name, nn.Parameter(value, requires_grad=False) if is_parameter else value)
