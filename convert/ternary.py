"""Which layers of a program have ternary weights: found by the weights' values, whoever trained and exported it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.errors import Refused
from quant.ternary import NotTernary, TernaryTensor, ternary_of

if TYPE_CHECKING:
    from convert.program import Program


@dataclass(frozen=True, slots=True)
class TernaryLayer:
    """Name an operator of the program with a ternary weight."""

    operator: str  # the node's name
    op: str  # conv2d, linear, …
    weight: str  # the constant that holds the weight, as the exported module names it
    channel_axis: int  # of the output channels in that constant; they come first in `tensor`
    tensor: TernaryTensor


def ternary_layers(program: Program) -> tuple[TernaryLayer, ...]:
    """Return the layers with ternary weights in execution order; raises Refused for a program without any."""
    from quant.layers import base_name, find_layers

    module = program.exported.module(check_guards=False)
    nodes = {node.name: node for node in module.graph.nodes}
    found = []
    for layer in find_layers(module.graph):
        if not layer.weight:
            continue
        target = str(nodes[layer.weight].target)
        owner, _, name = target.rpartition(".")
        weight = getattr(module.get_submodule(owner), name).detach()
        try:
            tensor = ternary_of(weight.float().cpu().numpy(), axis=layer.channel_axis)
        except NotTernary:
            continue
        if tensor.columns == 1:  # any weight is: a normalisation as a depthwise convolution, for one
            continue
        found.append(TernaryLayer(layer.name, base_name(nodes[layer.name]), target, layer.channel_axis, tensor))
    if not found:
        raise Refused(
            f"{program.name} has no ternary weight: of none do all output channels hold only -s, 0 and s; the nearest "
            "is int8, or train it with `edge train --ternary`"
        )
    return tuple(found)


def weighted_operators(program: Program) -> frozenset[str]:
    """Return the names of all operators with a weight, whatever it is."""
    from quant.layers import find_layers

    module = program.exported.module(check_guards=False)
    return frozenset(layer.name for layer in find_layers(module.graph) if layer.weight)
