"""Let a gate's result change its width: what ExecuTorch's Qualcomm passes overlook in a graph of 8 and 16 bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.fx import Node


@contextmanager
def converted_gates() -> Iterator[None]:
    """Have results of a sigmoid converted where their reader has another width.

    The pass spares sigmoids, whose scale is fixed; a 16-bit product with an 8-bit gate is then refused by QNN.
    """
    from executorch.backends.qualcomm._passes.annotate_quant_attrs import AnnotateQuantAttrs

    own = AnnotateQuantAttrs._annotate_requant

    def annotate(self: Any, node: Node) -> None:
        spared = self.skip_requant_allowlist
        if _changes_width(self, node):
            self.skip_requant_allowlist = frozenset()
        try:
            own(self, node)
        finally:
            self.skip_requant_allowlist = spared

    AnnotateQuantAttrs._annotate_requant = annotate
    try:
        yield
    finally:
        AnnotateQuantAttrs._annotate_requant = own


def _changes_width(rules: Any, node: Node) -> bool:
    """Say whether a node rounds a spared operator's result that some reader wants in another type."""
    from executorch.backends.qualcomm.builders.node_visitor import q_ops

    source: Any = node.args[0] if node.target in q_ops else None
    if source is None or source.target not in rules.skip_requant_allowlist:
        return False
    wanted = {reader.args[0].meta["val"].dtype for reader in rules._find_last_dq_nodes(node)}
    return wanted != {node.meta["val"].dtype}
