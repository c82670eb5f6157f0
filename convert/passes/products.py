"""Matrix products in the form that runtimes have."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import GraphModule, Node

from convert.passes._rewrite import aten, calls, insert, replace_node, shape


def products_by_batch(module: GraphModule) -> int:
    """Write products of matrices in four axes, as attention has, as batches of matrices.

    ExecuTorch takes aten.matmul apart into an expansion, which XNNPACK has not, and a batched product, which it has.
    """
    count = 0
    for node in calls(module, aten.matmul.default):
        left, right = node.args[:2]
        if not all(isinstance(source, Node) and len(shape(source)) == 4 for source in (left, right)):
            continue
        if shape(left)[:2] != shape(right)[:2] or node.meta["val"].dtype is not torch.float32:
            continue
        with module.graph.inserting_before(node):
            product = insert(module, aten.bmm.default, (_batch(module, left), _batch(module, right)))
            replace_node(node, insert(module, aten.reshape.default, (product, list(shape(node)))))
        count += 1
    return count


def _batch(module: GraphModule, source: Any) -> Node:
    """Insert a node with the first two axes of (A, B, R, C) as one."""
    first, second, rows, columns = shape(source)
    return insert(module, aten.reshape.default, (source, [first * second, rows, columns]))
