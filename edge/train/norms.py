"""Batch normalisation as in inference, folded into the convolution before it by operators that gradients pass.

The weights that are rounded are then the folded ones, as in every artifact, while those that are trained and saved stay
the model's own: convolution, scale and shift. Means and variances are constants.
"""

from __future__ import annotations

from typing import Any

from torch.fx import GraphModule, Node

from convert.passes._rewrite import argument, aten, calls, constant, insert, replace_node, shape

_OUTPUT_FIRST = frozenset({aten.conv1d.default, aten.conv2d.default, aten.conv2d.padding, aten.conv3d.default})


def fold_norms(module: GraphModule) -> int:
    """Fold every batch normalisation that alone reads a convolution with weights of its own; returns how many."""
    count = 0
    for node in calls(module, aten.batch_norm.default):
        source = node.args[0]
        if not isinstance(source, Node) or source.target not in _OUTPUT_FIRST or len(source.users) != 1:
            continue
        if constant(module, source.args[1]) is None or argument(node, 5, "training"):
            continue
        _fold(module, node, source)
        count += 1
    return count


def _fold(module: GraphModule, node: Any, source: Any) -> None:
    """Source: w · s and (b − mean) · s + shift with s = scale / √(variance + eps) (Jacob et al., 2018, section 3.2)."""
    weight, bias = source.args[1], argument(source, 2, "bias")
    scale, shift, mean, variance = node.args[1:5]
    outputs, rank = shape(node)[1], len(shape(node))
    with module.graph.inserting_before(node):

        def call(target: Any, *args: Any) -> Node:
            return insert(module, target, args)

        factor = call(aten.rsqrt.default, call(aten.add.Tensor, variance, argument(node, 7, "eps")))
        factor = factor if scale is None else call(aten.mul.Tensor, factor, scale)
        aligned = call(aten.reshape.default, factor, [outputs, *[1] * (rank - 1)])
        centred = call(aten.neg.default, mean) if bias is None else call(aten.sub.Tensor, bias, mean)
        moved = call(aten.mul.Tensor, centred, factor)
        moved = moved if shift is None else call(aten.add.Tensor, moved, shift)
        args = (source.args[0], call(aten.mul.Tensor, weight, aligned), moved, *source.args[3:])
        folded = call(source.target, *args)
        folded.kwargs = {name: value for name, value in source.kwargs.items() if name not in ("weight", "bias")}
    replace_node(node, folded)
