"""What every pass shares: read constants, read and write convolutions, keep shapes up to date.

A pass is a function over the unlifted graph of a program: weights are `get_attr` nodes, and no operator changes a
tensor in place. It changes the graph it is given (always a copy), and returns how many places it changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

Rewrite = Callable[[GraphModule], int]
aten = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Conv:
    """A 2-D convolution with constant weights; `weight` is (O, I / groups, kH, kW)."""

    weight: Tensor
    bias: Tensor | None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def kernel(self) -> tuple[int, int]:
        """Return (kH, kW)."""
        return self.weight.shape[2], self.weight.shape[3]

    def scaled(self, scale: Tensor, shift: Tensor) -> Conv:
        """Return the convolution followed by y · scale + shift, per output channel."""
        bias = torch.zeros_like(shift) if self.bias is None else self.bias
        return replace(self, weight=self.weight * scale.reshape(-1, 1, 1, 1), bias=bias * scale + shift)


def apply_rewrite(exported: ExportedProgram, rewrite: Rewrite) -> ExportedProgram:
    """Return a new program with one pass applied; the given one stays as it is."""
    return apply_rewrites(exported, (rewrite,))[0]


def apply_rewrites(exported: ExportedProgram, rewrites: Sequence[Rewrite]) -> tuple[ExportedProgram, tuple[int, ...]]:
    """Return a new program and how many places each pass changed; without changes, the program itself.

    A program that keeps state between runs, or writes to its inputs, stays as it is.
    """
    from convert.passes.functional import functional_module

    module = functional_module(exported)
    if module is None:
        return exported, (0,) * len(rewrites)
    counts = tuple(run_rewrite(module, rewrite) for rewrite in rewrites)
    if not any(counts):
        return exported, counts
    _drop_unread_state(module)
    with torch.no_grad():
        return torch.export.export(module, tuple(_inputs(module))), counts


def run_rewrite(module: GraphModule, rewrite: Rewrite) -> int:
    """Apply one pass to a graph in place, clean up after it and return how many places it changed."""
    with torch.no_grad():
        count = rewrite(module)
    if count:
        module.graph.eliminate_dead_code()
        module.graph.lint()
        module.recompile()
        module.delete_all_unused_submodules()
        refresh_shapes(module)
    return count


def _drop_unread_state(module: GraphModule) -> None:
    """Forget weights that no operator reads any more: exported again, they would be written into some files."""
    read = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    state = (module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False))
    for name in [name for names in state for name, _ in names]:
        owner, _, attribute = name.rpartition(".")
        if not any(name == used or name.startswith(f"{used}.") for used in read):
            delattr(module.get_submodule(owner), attribute)


def _inputs(module: GraphModule) -> list[Tensor]:
    values = [node.meta["val"] for node in module.graph.nodes if node.op == "placeholder"]
    return [torch.zeros(value.shape, dtype=value.dtype) for value in values]


def refresh_shapes(module: GraphModule) -> None:
    """Write every node's `val` again, as passes read shapes from it."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.passes.fake_tensor_prop import FakeTensorProp

    with torch.no_grad():
        FakeTensorProp(module, FakeTensorMode(allow_non_fake_inputs=True)).propagate(*_inputs(module))


def shape(node: Any) -> tuple[int, ...]:
    """Return the shape of a node's tensor."""
    return tuple(node.meta["val"].shape)


def argument(node: Any, index: int, name: str, default: Any = None) -> Any:
    """Return an operator's argument, given by position or by name."""
    return node.args[index] if len(node.args) > index else node.kwargs.get(name, default)


def constant(module: GraphModule, node: Any) -> Tensor | None:
    """Return the tensor of a `get_attr` node, or None."""
    if not isinstance(node, Node) or node.op != "get_attr":
        return None
    value: Any = module
    for part in str(node.target).split("."):
        value = getattr(value, part)
    return value.detach() if isinstance(value, Tensor) else None


def add_constant(module: GraphModule, value: Tensor) -> Node:
    """Register a tensor and return its node, placed at the insertion point."""
    used = {name for name, _ in module.named_buffers(recurse=False)}
    name = next(name for i in range(len(used) + 1) if (name := f"rewritten_{i}") not in used)
    module.register_buffer(name, value.detach().clone().contiguous())
    node = module.graph.get_attr(name)
    node.meta["val"] = value
    return node


def calls(module: GraphModule, *targets: Any) -> list[Any]:
    """Return the call_function nodes of the given operators in order."""
    return [node for node in module.graph.nodes if node.op == "call_function" and node.target in targets]


def only_user(node: Any, target: Any) -> bool:
    """Tell whether `node` calls `target` and one other node reads it."""
    return isinstance(node, Node) and node.target is target and len(node.users) == 1


def read_conv(module: GraphModule, node: Any) -> Conv | None:
    """Return a conv2d node's convolution if its weights are constant."""
    if not isinstance(node, Node) or node.target is not aten.conv2d.default:
        return None
    weight, bias_node = constant(module, node.args[1]), argument(node, 2, "bias")
    bias = constant(module, bias_node)
    if weight is None or (bias_node is not None and bias is None):
        return None
    stride, padding, dilation = (_pair(argument(node, i, name, default)) for i, name, default in _GEOMETRY)
    return Conv(weight, bias, stride, padding, dilation, argument(node, 6, "groups", 1))


_GEOMETRY = ((3, "stride", 1), (4, "padding", 0), (5, "dilation", 1))


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    first, second = value if len(value) == 2 else (value[0], value[0])
    return first, second


def write_conv(module: GraphModule, source: Any, conv: Conv, before: Any) -> Node:
    """Insert a convolution of `source` before a node."""
    with module.graph.inserting_before(before):
        weight = add_constant(module, conv.weight)
        bias = None if conv.bias is None else add_constant(module, conv.bias)
        args = (source, weight, bias, list(conv.stride), list(conv.padding), list(conv.dilation), conv.groups)
        return insert(module, aten.conv2d.default, args)


def insert(module: GraphModule, target: Any, args: tuple[Any, ...]) -> Node:
    """Call an operator at the insertion point."""
    return module.graph.call_function(target, args)


def replace_node(old: Any, new: Any) -> None:
    """Let every reader of `old` read `new`, and remove `old`."""
    if "val" in old.meta:
        new.meta.setdefault("val", old.meta["val"])
    old.replace_all_uses_with(new)
    old.graph.erase_node(old)
