"""Batch normalisation as in inference, written with operators that gradients pass through to its own parameters.

The weights that are rounded are then the folded ones, as in every artifact, while those that are trained and saved stay
the model's own: convolution, scale and shift. Means and variances are constants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.fx import GraphModule, Node

from convert.passes._rewrite import argument, aten, calls, constant, insert, replace_node, shape

_OUTPUT_FIRST = frozenset({aten.conv1d.default, aten.conv2d.default, aten.conv2d.padding, aten.conv3d.default})
_Call = Callable[..., Node]


def fold_norms(module: GraphModule) -> int:
    """Fold every batch normalisation into the convolution that it alone reads; returns how many there were.

    What follows no convolution becomes a depthwise one, as the passes of most targets make it, or a product and a sum.
    """
    count = 0
    for node in calls(module, aten.batch_norm.default):
        if argument(node, 5, "training") or any(constant(module, value) is None for value in node.args[3:5]):
            continue
        with module.graph.inserting_before(node):

            def call(target: Any, *args: Any) -> Node:
                return insert(module, target, args)

            factor = _factor(node, call)
            if _follows_convolution(module, node):
                replaced = _fold(node, factor, call)
            elif len(shape(node)) == 4:
                replaced = _depthwise(node, factor, call)
            else:
                aligned = (_aligned(value, node, call) for value in (factor, _shift(node, None, factor, call)))
                replaced = call(aten.mul.Tensor, node.args[0], next(aligned))
                replaced = call(aten.add.Tensor, replaced, next(aligned))
        replace_node(node, replaced)
        count += 1
    return count


def _follows_convolution(module: GraphModule, node: Any) -> bool:
    source = node.args[0]
    if not isinstance(source, Node) or source.target not in _OUTPUT_FIRST or len(source.users) != 1:
        return False
    return constant(module, source.args[1]) is not None


def _factor(node: Any, call: _Call) -> Node:
    """Return scale / √(variance + eps) (Ioffe and Szegedy, 2015)."""
    scale, _, _, variance = node.args[1:5]
    factor = call(aten.rsqrt.default, call(aten.add.Tensor, variance, argument(node, 7, "eps")))
    return factor if scale is None else call(aten.mul.Tensor, factor, scale)


def _shift(node: Any, bias: Any, factor: Node, call: _Call) -> Node:
    """Return (bias − mean) · factor + shift."""
    _, shift, mean, _ = node.args[1:5]
    centred = call(aten.neg.default, mean) if bias is None else call(aten.sub.Tensor, bias, mean)
    moved = call(aten.mul.Tensor, centred, factor)
    return moved if shift is None else call(aten.add.Tensor, moved, shift)


def _fold(node: Any, factor: Node, call: _Call) -> Node:
    """Source of the folding: Jacob et al., Quantization and Training of Neural Networks, 2018, section 3.2."""
    source = node.args[0]
    weight = call(aten.mul.Tensor, source.args[1], call(aten.reshape.default, factor, _along_first(node)))
    args = (source.args[0], weight, _shift(node, argument(source, 2, "bias"), factor, call), *source.args[3:])
    folded = call(source.target, *args)
    folded.kwargs = {name: value for name, value in source.kwargs.items() if name not in ("weight", "bias")}
    return folded


def _along_first(node: Any) -> list[int]:
    return [shape(node)[1], *[1] * (len(shape(node)) - 1)]


def _depthwise(node: Any, factor: Node, call: _Call) -> Node:
    weight, shift = call(aten.reshape.default, factor, _along_first(node)), _shift(node, None, factor, call)
    geometry = ([1, 1], [0, 0], [1, 1], shape(node)[1])  # stride, padding, dilation, groups
    return call(aten.conv2d.default, node.args[0], weight, shift, *geometry)


def _aligned(value: Node, node: Any, call: _Call) -> Node:
    """Return one number a channel, ready for broadcasting against (N, C, …)."""
    return call(aten.reshape.default, value, [1, shape(node)[1], *[1] * (len(shape(node)) - 2)])
