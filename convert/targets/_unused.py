"""Take out of a graph what no operator reads any more."""

from __future__ import annotations

from torch.fx import GraphModule


def drop_unused(module: GraphModule) -> None:
    """Remove weights that no operator reads any more: the next export would carry them as inputs."""
    for node in list(module.graph.nodes):
        if node.op == "get_attr" and not node.users:
            module.graph.erase_node(node)
    read = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    for name, _ in [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]:
        if name not in read:
            owner, _, own = name.rpartition(".")
            delattr(module.get_submodule(owner), own)
