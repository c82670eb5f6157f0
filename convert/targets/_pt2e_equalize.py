"""Channels of very different ranges that share one activation scale are brought to one range before quantization.

convolution → (ReLU, zero padding) → depthwise convolution: a channel may be multiplied by any positive factor if the
depthwise filter that reads it is divided by it. Depthwise weights have a scale of their own per channel, so this costs
nothing there (Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019, section 4.1,
with measured ranges in place of those of the weights).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

aten = torch.ops.aten

_HOMOGENEOUS = (aten.relu.default, aten.relu_.default)
_LARGEST_FACTOR = 64.0  # a channel that is almost dead must not blow up its weights


@dataclass(frozen=True, slots=True)
class _Chain:
    producer: Node
    read: Node  # what the depthwise convolution reads
    consumer: Node


def equalize_channels(module: GraphModule, calibration: Sequence[tuple[Tensor, ...]]) -> int:
    """Equalize the channels before depthwise convolutions in place; the module computes the same. Returns the count.

    Only attributes are replaced, never written to: they are shared with the program that the module was made of.
    """
    chains = [chain for node in module.graph.nodes if (chain := _chain(module, node)) is not None]
    if not chains:
        return 0
    peaks = _Peaks(module, {chain.read for chain in chains})
    with torch.no_grad():
        for inputs in calibration:
            peaks.run(*inputs)
        for chain in chains:
            _scale(module, chain, peaks.found[chain.read])
    return len(chains)


class _Peaks(Interpreter):
    """Run a graph and keep the largest magnitude per channel of some activations."""

    def __init__(self, module: GraphModule, watched: set[Node]) -> None:
        super().__init__(module)
        self._watched = watched
        self.found: dict[Node, Tensor] = {}

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if n in self._watched:
            peak = result.abs().amax(dim=(0, 2, 3))
            self.found[n] = torch.maximum(self.found[n], peak) if n in self.found else peak
        return result


def _chain(module: GraphModule, node: Node) -> _Chain | None:
    if not _is_conv(node) or not _is_depthwise(module, node):
        return None
    source: Any = node.args[0]
    while isinstance(source, Node) and len(source.users) == 1 and _passes_factors(source):
        source = source.args[0]
    if not isinstance(source, Node) or not _is_conv(source) or len(source.users) != 1:
        return None
    read: Any = node.args[0]
    return _Chain(source, read, node) if all(is_owned(value) for value in _weights(node) + _weights(source)) else None


def _passes_factors(node: Node) -> bool:
    if node.target in _HOMOGENEOUS:
        return True
    if node.target is aten.constant_pad_nd.default:
        return bool(len(node.args) < 3 or node.args[2] == 0)
    if node.target is not aten.pad.default or node.args[3:]:
        return False
    return bool(len(node.args) < 3 or node.args[2] == "constant")


def _scale(module: GraphModule, chain: _Chain, peak: Tensor) -> None:
    largest = peak.max()
    if not bool(largest > 0):
        return
    factor = (largest / peak.clamp_min(largest / _LARGEST_FACTOR)).detach()
    for value in _weights(chain.producer):
        tensor = read_constant(module, value)
        write_constant(module, value, tensor * factor.reshape(-1, *[1] * (tensor.dim() - 1)))
    weight: Any = chain.consumer.args[1]
    write_constant(module, weight, read_constant(module, weight) / factor.reshape(-1, 1, 1, 1))


def _is_conv(node: Node) -> bool:
    return node.op == "call_function" and node.target is aten.conv2d.default


def _is_depthwise(module: GraphModule, node: Node) -> bool:
    weight: Any = node.args[1]
    groups = node.args[6] if len(node.args) > 6 else 1
    if not is_owned(weight):
        return False
    outputs, per_group = read_constant(module, weight).shape[:2]
    return bool(groups != 1 and per_group == 1 and outputs == groups)


def _weights(node: Node) -> list[Any]:
    """Return the weight and, if there is one, the bias of a convolution."""
    return [value for value in node.args[1:3] if value is not None]


def is_owned(value: Any) -> bool:
    """Say whether a value is a constant that one operator alone reads."""
    return isinstance(value, Node) and value.op == "get_attr" and len(value.users) == 1


def read_constant(module: GraphModule, node: Node) -> Tensor:
    """Return the tensor of a get_attr node."""
    owner, _, name = str(node.target).rpartition(".")
    found: Tensor = getattr(module.get_submodule(owner), name)
    return found


def write_constant(module: GraphModule, node: Node, value: Tensor) -> None:
    """Replace the tensor of a get_attr node; the old one, which others may share, is left alone."""
    owner, _, name = str(node.target).rpartition(".")
    before = read_constant(module, node)
    new = nn.Parameter(value.detach(), requires_grad=False) if isinstance(before, nn.Parameter) else value.detach()
    setattr(module.get_submodule(owner), name, new)
