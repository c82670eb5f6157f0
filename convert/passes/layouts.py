"""Remove turns of the layout (NCHW → NHWC → NCHW) around what computes the same either way, and double reshapes."""

from __future__ import annotations

from typing import Any

from torch.fx import GraphModule, Node

from convert.passes._rewrite import Conv, aten, calls, constant, insert, replace_node, shape, write_conv
from convert.passes.permutes import axes_of

_PERMUTES = (aten.permute.default, aten.transpose.int)
_RESHAPES = frozenset({aten.reshape.default, aten.view.default, aten.flatten.using_ints})
# Work on every element by itself; what else they take are numbers.
_ELEMENTWISE = frozenset(
    {
        aten.relu.default, aten.relu6.default, aten.gelu.default, aten.silu.default, aten.sigmoid.default,
        aten.tanh.default, aten.hardswish.default, aten.hardsigmoid.default, aten.hardtanh.default,
        aten.leaky_relu.default, aten.elu.default, aten.clamp.default, aten.neg.default, aten.abs.default,
        aten.exp.default, aten.sqrt.default, aten.dropout.default, aten.clone.default,
    }
)  # fmt: skip


def linear_by_convolution(module: GraphModule) -> int:
    """Compute products over channels that were turned last as 1×1 convolutions, without the turns.

    Both ways of turning are known: (N, C, H, W) → (N, H, W, C), and → (N, H·W, C) by a reshape and a transpose.
    """
    count = 0
    for node in calls(module, *_PERMUTES):
        chain = _chain(module, node)
        if chain is None:
            continue
        first, end = chain[0], chain[-1]
        value: Any = _origin(first)
        for member in chain[1:-1]:
            value = _turned(module, member, value, end)
        if shape(value) != shape(end):
            with module.graph.inserting_before(end):
                value = insert(module, aten.reshape.default, (value, list(shape(end))))
        replace_node(end, value)
        count += 1
    return count


def merge_reshapes(module: GraphModule) -> int:
    """Replace reshape(reshape(x)) by one reshape, or by x where the second undoes the first."""
    count = 0
    for node in calls(module, *_RESHAPES):
        source = node.args[0]
        if not isinstance(source, Node) or source.target not in _RESHAPES:
            continue
        origin: Any = source.args[0]
        if shape(origin) == shape(node) and origin.op == "call_function":
            replace_node(node, origin)
        else:
            with module.graph.inserting_before(node):
                replace_node(node, insert(module, aten.reshape.default, (origin, list(shape(node)))))
        count += 1
    return count


def _origin(first: Any) -> Any:
    """Return the (N, C, H, W) tensor that a turn starts from."""
    source = first.args[0]
    return source if len(shape(first)) == 4 else source.args[0]


def _chain(module: GraphModule, node: Any) -> list[Any] | None:
    """Return the operators from a turn to channels-last to the turn back, or None if others read between."""
    if not _to_last(node):
        return None
    chain = [node]
    while len(chain[-1].users) == 1:
        [reader] = chain[-1].users
        if reader.op != "call_function" or reader.args[0] is not chain[-1]:
            return None
        chain.append(reader)
        if reader.target in _PERMUTES:
            return chain if _to_first(reader) else None
        if reader.target is not aten.linear.default and reader.target not in _ELEMENTWISE:
            return None
        if reader.target is aten.linear.default and not _has_constants(module, reader):
            return None
    return None


def _to_last(node: Any) -> bool:
    source = node.args[0]
    if not isinstance(source, Node) or "val" not in source.meta:
        return False
    if len(shape(node)) == 4:
        return axes_of(node) == [0, 2, 3, 1]
    if len(shape(node)) != 3 or axes_of(node) != [0, 2, 1] or source.target not in _RESHAPES:
        return False
    before: Any = source.args[0]
    flat = len(shape(before)) == 4 and shape(source) == (*shape(before)[:2], shape(before)[2] * shape(before)[3])
    return flat and len(source.users) == 1


def _to_first(node: Any) -> bool:
    return axes_of(node) == ([0, 3, 1, 2] if len(shape(node)) == 4 else [0, 2, 1])


def _has_constants(module: GraphModule, node: Any) -> bool:
    return all(constant(module, value) is not None for value in node.args[1:] if value is not None)


def _turned(module: GraphModule, member: Any, value: Any, before: Any) -> Any:
    """Insert what a member of a chain computes, on (N, C, H, W)."""
    if member.target is aten.linear.default:
        weight, bias = (constant(module, source) for source in (*member.args[1:], None)[:2])
        if weight is None:
            raise ValueError(f"{member.name}: only products with constants are turned")
        result = write_conv(module, value, Conv(weight[:, :, None, None], bias), before)
        size = (*shape(value)[:1], len(weight), *shape(value)[2:])
    else:
        with module.graph.inserting_before(before):
            result = insert(module, member.target, (value, *member.args[1:]))
        result.kwargs = member.kwargs
        size = shape(value)
    result.meta["val"] = value.meta["val"].new_empty(size)
    return result
