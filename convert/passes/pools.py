"""Average pooling in the forms that runtimes have."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from convert.passes._rewrite import aten, calls, insert, replace_node, shape
from convert.passes.resize import products


def pool_plainly(module: GraphModule) -> int:
    """Write adaptive average pooling with plain windows, or where these differ in size as products along each axis.

    The heads of PSPNet pool to 2, 3 and 6 rows; no NPU compiler has windows that differ, and QNN's fails on them.
    """
    count = 0
    for node in calls(module, aten.adaptive_avg_pool2d.default):
        source: Any = node.args[0]
        if not isinstance(source, Node) or len(shape(node)) != 4 or shape(node)[2:] == (1, 1):
            continue
        before, after = shape(source)[2:], shape(node)[2:]
        if before == after:
            continue
        if all(size % out == 0 for size, out in zip(before, after, strict=True)):
            window = [size // out for size, out in zip(before, after, strict=True)]
            with module.graph.inserting_before(node):
                new = insert(module, aten.avg_pool2d.default, (source, window, window))
        else:
            rows, columns = (_weights(size, out) for size, out in zip(before, after, strict=True))
            new = products(module, node, rows, columns)
        replace_node(node, new)
        count += 1
    return count


def _weights(size: int, out: int) -> Tensor:
    """Return the weights (out, size) of adaptive averaging along an axis."""
    pooled: Tensor = aten.adaptive_avg_pool2d.default(torch.eye(size)[None, None], [out, size])
    return pooled[0, 0]
