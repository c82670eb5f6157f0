"""Let layers with ternary weights read packed bytes: `edge::ternary_linear` and `edge::ternary_conv2d`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
from torch.fx import GraphModule, Node

from convert.targets._kept import kept_operators
from convert.targets._ternary_graph import export_coded
from convert.ternary import TernaryLayer, ternary_layers
from edge.artifact import Step
from edge.errors import Refused
from quant.kernels.torch_operators import packed_tensor
from quant.ternary import Layout

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from convert.program import Program

LAYOUT: Layout = "t5"  # the densest; a processor that cannot multiply it has it as t2 in memory
_aten = torch.ops.aten


def with_operators(program: Program) -> tuple[ExportedProgram, Step]:
    """Return a tagged program whose linear layers and ungrouped 2D convolutions read packed ternary weights.

    Raises Refused for a program without such a weight.
    """
    kept_operators(program, "ternary")
    layers = ternary_layers(program)
    module = program.exported.module(check_guards=False)
    nodes = {node.name: node for node in module.graph.nodes}
    forms: Counter[str] = Counter()
    packed: dict[str, Node] = {}
    for layer in layers:
        if (made := _arguments(nodes[layer.operator], layer)) is not None:
            operator, arguments = made
            _replace(module, nodes[layer.operator], operator, _packed(module, layer, packed), arguments)
            forms[operator] += 1
    if not forms:
        raise Refused(
            f"the ternary operators are linear layers and ungrouped 2D convolutions, and no ternary weight of "
            f"{program.name} belongs to one; the nearest is ternary with --target executorch-xnnpack"
        )
    activations = "int8 at run time in the ternary operators, a scale for each row or image"
    return export_coded(program, module, forms, layers=len(layers), activations=activations, layout=LAYOUT)


def _arguments(node: Node, layer: TernaryLayer) -> tuple[str, tuple[Any, ...]] | None:
    """Return the operator that takes a layer and what follows the bias, or None if there is none."""
    if node.target is _aten.linear.default:
        return "ternary_linear", (layer.tensor.shape[0],)
    if node.target not in (_aten.conv2d.default, _aten.conv2d.padding):
        return None
    stride, padding, dilation, groups = _filled(node)
    if groups != 1 or layer.channel_axis != 0:
        return None
    sides = _sides(padding, layer.tensor.shape[2:], dilation)
    return "ternary_conv2d", (list(layer.tensor.shape), stride, sides, dilation)


def _filled(node: Node) -> tuple[list[int], Any, list[int], int]:
    """Return stride, padding, dilation and groups of a convolution."""
    names = ("stride", "padding", "dilation", "groups")
    given: list[Any] = [*node.args[3:], *[None] * 4]
    found = [node.kwargs.get(name, given[i]) for i, name in enumerate(names)]
    defaults: list[Any] = [1, 0, 1, 1]
    stride, padding, dilation, groups = (
        default if value is None else value for value, default in zip(found, defaults, strict=True)
    )
    return _two(stride), padding, _two(dilation), int(groups)


def _two(value: Any) -> list[int]:
    numbers = [value] if isinstance(value, int) else list(value)
    return numbers * 2 if len(numbers) == 1 else numbers


def _sides(padding: Any, taps: tuple[int, ...], dilation: list[int]) -> list[int]:
    """Return top, left, bottom and right; of an odd `same` padding the larger part is below and to the right."""
    if padding == "valid":
        return [0, 0, 0, 0]
    if padding == "same":
        whole = [step * (tap - 1) for step, tap in zip(dilation, taps, strict=True)]
        before = [size // 2 for size in whole]
        return [*before, *(size - half for size, half in zip(whole, before, strict=True))]
    return _two(padding) * 2


def _packed(module: GraphModule, layer: TernaryLayer, packed: dict[str, Node]) -> Node:
    """Return the node of a weight's packed bytes, which all its readers share."""
    if layer.weight not in packed:
        name = f"edge_ternary_{len(packed)}"
        module.register_buffer(name, packed_tensor(layer.tensor, LAYOUT))
        with module.graph.inserting_before(next(iter(module.graph.nodes))):
            packed[layer.weight] = module.graph.get_attr(name)
    return packed[layer.weight]


def _replace(module: GraphModule, node: Node, operator: str, packed: Node, arguments: tuple[Any, ...]) -> None:
    """Let an operator's users read the ternary operator."""
    given: Any = node.args[2] if len(node.args) > 2 else node.kwargs.get("bias")
    with module.graph.inserting_before(node):
        target = getattr(torch.ops.edge, operator).default
        made = module.graph.call_function(target, (node.args[0], packed, given, *arguments))
    made.meta["custom"] = dict(node.meta.get("custom", {}))  # whose part it is
    node.replace_all_uses_with(made)
    module.graph.erase_node(node)
