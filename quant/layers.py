"""Which operators of a graph get codes of their own, and which only pass on, or are fused into, another's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, Node

aten = torch.ops.aten

INPUT = "input"
# The dimension of output channels in each operator's weight, its second argument.
_CHANNEL_AXIS: Mapping[str, int] = {
    "conv1d": 0, "conv2d": 0, "conv3d": 0, "linear": 0,
    "conv_transpose1d": 1, "conv_transpose2d": 1, "conv_transpose3d": 1,
}  # fmt: skip
_FUSED = frozenset({"relu", "relu_", "relu6", "relu6_", "hardtanh", "hardtanh_", "clamp", "clamp_"})
_CARRIERS = frozenset({
    "reshape", "view", "_unsafe_view", "flatten", "permute", "transpose", "t", "squeeze", "unsqueeze", "expand",
    "clone", "contiguous", "alias", "dropout", "pad", "constant_pad_nd", "slice", "select", "split",
    "split_with_sizes", "chunk", "unbind", "getitem", "pixel_shuffle", "pixel_unshuffle", "max_pool1d", "max_pool2d",
    "upsample_nearest2d", "repeat",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Name an operator whose result gets codes, with the operators that are fused into it or that move its codes.

    An input of the program is a layer too: it has codes, but no operators that could be kept.
    """

    name: str
    op: str
    members: tuple[str, ...]  # node names of operators
    output: str  # the node whose value is rounded
    weight: str = ""  # the node that holds the weight
    channel_axis: int = 0

    @property
    def keepable(self) -> bool:
        """Say whether it has operators, which can be kept from 8 bits."""
        return bool(self.members)


def find_layers(graph: Graph) -> tuple[Layer, ...]:
    """Return the layers of a graph in execution order; what computes integers or truth values belongs to none."""
    owner: dict[Node, _Draft] = {}
    drafts: list[_Draft] = []
    for node in graph.nodes:
        if node.op not in ("placeholder", "call_function") or not _is_float(node):
            continue
        draft = _joined(node, owner)
        if draft is None:
            draft = _Draft(node, [], node)
            drafts.append(draft)
        if node.op == "call_function":
            draft.members.append(node.name)
        owner[node] = draft
    return tuple(draft.layer() for draft in drafts)


@dataclass(slots=True)
class _Draft:
    first: Node
    members: list[str]
    output: Node

    def layer(self) -> Layer:
        weight, axis = _weight(self.first)
        return Layer(
            name=self.first.name,
            op=INPUT if self.first.op == "placeholder" else str(self.first.target).removesuffix(".default"),
            members=tuple(self.members),
            output=self.output.name,
            weight=weight,
            channel_axis=axis,
        )


def _joined(node: Node, owner: Mapping[Node, _Draft]) -> _Draft | None:
    """Return the layer that a node belongs to if it is no layer of its own."""
    sources = [source for source in node.all_input_nodes if source in owner]
    if node.op != "call_function" or len(sources) != 1:
        return None
    source, draft = sources[0], owner[sources[0]]
    if base_name(node) in _CARRIERS:
        return draft
    # A clipping activation is computed with its producer if nobody else sees what it clips.
    if base_name(node) in _FUSED and draft.output is source and len(source.users) == 1 and _fuses(draft):
        draft.output = node
        return draft
    return None


def _fuses(draft: _Draft) -> bool:
    return base_name(draft.first) in (*_CHANNEL_AXIS, "add") and draft.first is draft.output


def base_name(node: Node) -> str:
    """Return an operator's name without namespace and overload, for example conv2d."""
    if node.op != "call_function":
        return ""
    packet = getattr(node.target, "overloadpacket", node.target)
    return str(getattr(packet, "__name__", packet))


def _weight(node: Node) -> tuple[str, int]:
    axis = _CHANNEL_AXIS.get(base_name(node))
    if axis is None or len(node.args) < 2:
        return "", 0
    weight: Any = node.args[1]
    return (weight.name, axis) if isinstance(weight, Node) and weight.op == "get_attr" else ("", 0)


def _is_float(node: Node) -> bool:
    value = node.meta.get("val")
    if isinstance(value, (tuple, list)):
        return bool(value) and isinstance(value[0], Tensor) and value[0].is_floating_point()
    return isinstance(value, Tensor) and value.is_floating_point()
