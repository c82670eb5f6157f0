"""Recognise functions that converters spell out: hard sigmoid and hard swish."""

from __future__ import annotations

import math
import operator

from torch import fx
from torch.nn import functional as F


def fold_patterns(graph: fx.Graph) -> None:
    """Replace relu6(x + 3) / 6 by F.hardsigmoid, and x · relu6(x + 3) / 6 in any grouping by F.hardswish."""
    for node in list(graph.nodes):
        source = _hard_swish(node)
        if source is not None:
            _replace(graph, node, F.hardswish, source)
            continue
        source = _sixth_of_gate(node)
        if source is not None:
            _replace(graph, node, F.hardsigmoid, source)
    graph.eliminate_dead_code()


def _replace(graph: fx.Graph, node: fx.Node, function: object, source: fx.Node) -> None:
    with graph.inserting_after(node):
        made = graph.create_node("call_function", function, (source,), {}, name=node.name)  # type: ignore[arg-type]
    node.replace_all_uses_with(made)
    graph.erase_node(node)


def _is_call(node: object, *functions: object) -> bool:
    return isinstance(node, fx.Node) and node.op == "call_function" and node.target in functions


def _factors(node: fx.Node) -> tuple[object, float] | None:
    """Return (rest, number) of a product or quotient with a number."""
    if _is_call(node, operator.truediv) and isinstance(node.args[1], (int, float)) and node.args[1]:
        return node.args[0], 1.0 / node.args[1]
    if _is_call(node, operator.mul):
        for rest, number in (node.args, node.args[::-1]):
            if isinstance(number, (int, float)):
                return rest, float(number)
    return None


def _gate(node: object) -> fx.Node | None:
    """Return x of relu6(x + 3)."""
    if not isinstance(node, fx.Node) or not _is_call(node, F.relu6) or not _is_call(node.args[0], operator.add):
        return None
    inner = node.args[0]
    if isinstance(inner, fx.Node):
        for source, number in (inner.args, inner.args[::-1]):
            if number == 3 and isinstance(number, (int, float)) and isinstance(source, fx.Node):
                return source
    return None


def _sixth_of_gate(node: fx.Node) -> fx.Node | None:
    """Return x of relu6(x + 3) / 6."""
    if _is_call(node, F.hardsigmoid):
        return node.args[0] if isinstance(node.args[0], fx.Node) else None
    split = _factors(node)
    return _gate(split[0]) if split and math.isclose(split[1], 1 / 6, rel_tol=1e-6) else None


def _hard_swish(node: fx.Node) -> fx.Node | None:
    """Return x of x · (relu6(x + 3) / 6), (x · relu6(x + 3)) / 6 or (x / 6) · relu6(x + 3)."""
    split = _factors(node)
    if split and math.isclose(split[1], 1 / 6, rel_tol=1e-6) and _is_call(split[0], operator.mul):
        product = split[0]
        if isinstance(product, fx.Node):
            for source, gate in (product.args, product.args[::-1]):
                if _gate(gate) is source and isinstance(source, fx.Node):
                    return source
    if not _is_call(node, operator.mul):
        return None
    for left, right in (node.args, node.args[::-1]):
        if not isinstance(left, fx.Node) or not isinstance(right, fx.Node):
            continue
        if _sixth_of_gate(right) is left:
            return left
        scaled = _factors(left)
        if scaled and math.isclose(scaled[1], 1 / 6, rel_tol=1e-6) and scaled[0] is _gate(right):
            return _gate(right)
    return None
