"""Remove operators that return their input unchanged."""

from __future__ import annotations

from typing import Any

from torch.fx import GraphModule, Node

from convert.passes._rewrite import argument, aten, calls, replace_node, shape

_ALWAYS = frozenset({aten.detach.default, aten.detach_.default, aten.alias.default, aten.lift_fresh_copy.default})
_COPIES = frozenset({aten.clone.default, aten.contiguous.default})
_SHAPES = frozenset(
    {
        aten.reshape.default,
        aten.view.default,
        aten.expand.default,
        aten.slice.Tensor,
        aten.squeeze.dim,
        aten.flatten.using_ints,
    }
)
_CASTS = frozenset({aten.to.dtype, aten.to.dtype_layout, aten._to_copy.default})


def remove_identities(module: GraphModule) -> int:
    """Remove dropout, copies, casts to the same type, and reshapes, slices and permutations that change nothing."""
    count = 0
    for check in calls(
        module, aten._assert_tensor_metadata.default
    ):  # what a cast leaves; every size and type is fixed
        module.graph.erase_node(check)
        count += 1
    nodes: list[Any] = list(module.graph.nodes)
    for node in nodes:
        if node.op != "call_function" or not _is_identity(node):
            continue
        source = node.args[0]
        if source.op != "call_function" and any(user.op == "output" for user in node.users):
            continue  # runtimes refuse outputs that are inputs or weights
        replace_node(node, source)
        count += 1
    return count


def _is_identity(node: Any) -> bool:
    source = node.args[0] if node.args else None
    if not isinstance(source, Node) or "val" not in source.meta or "val" not in node.meta:
        return False
    if node.target in _ALWAYS:
        return True
    if node.target is aten.dropout.default:
        return not argument(node, 2, "train")
    if node.target in (aten.permute.default,):
        axes = [axis % len(shape(node)) for axis in argument(node, 1, "dims")]
        return axes == sorted(axes)
    before, after = source.meta["val"], node.meta["val"]
    if node.target in _COPIES or node.target in _CASTS:
        return before.dtype == after.dtype and bool(before.stride() == after.stride())
    return node.target in _SHAPES and shape(source) == shape(node)
