"""Compute in half precision between inputs and outputs that keep their types."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import replace
from importlib import metadata
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph
from torch.fx.node import map_arg

from convert.export import example_inputs
from convert.program import Program
from edge.artifact import Step

# ExecuTorch's kernel for them takes variances in half precision, which those of small values fall below.
NORMS = (torch.ops.aten.layer_norm.default,)


class _Bordered(nn.Module):
    """Cast float inputs to float16 and float outputs to float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        halves = [tensor.half() if tensor.is_floating_point() else tensor for tensor in inputs]
        outputs = self.network(*halves)
        return tuple(tensor.float() if tensor.is_floating_point() else tensor for tensor in outputs)


def to_half(program: Program, keep: Collection[Any] = ()) -> Program:
    """Return the program in float16 between its float32 inputs and outputs, and record the step.

    Operators of `keep` compute in float32 between casts.
    """
    module: Any = copy.deepcopy(program.exported.module(check_guards=False))  # half() would change shared weights
    for node in module.graph.nodes:
        if node.target is torch.ops.aten._assert_tensor_metadata.default:
            module.graph.erase_node(node)  # it asserts the types of before
            continue
        node.args = _halved(node.args)
        node.kwargs = _halved(node.kwargs)
    for node in [node for node in module.graph.nodes if node.target in keep]:
        _in_single(module.graph, node)
    module.recompile()
    with torch.no_grad():
        exported = torch.export.export(_Bordered(module.half()), example_inputs(program.contract))
    step = Step(tool="convert.passes.half", version=metadata.version("torch"), options={"compute": "float16"})
    return replace(program, exported=exported, steps=(*program.steps, step))


def _in_single(graph: Graph, node: Any) -> None:
    """Cast what an operator reads to float32, and its result back."""

    def cast(source: Any) -> Any:
        return graph.call_function(torch.ops.aten.to.dtype, (source, torch.float32))

    with graph.inserting_before(node):
        node.args, node.kwargs = map_arg(node.args, cast), map_arg(node.kwargs, cast)
    with graph.inserting_after(node):
        back = graph.call_function(torch.ops.aten.to.dtype, (node, torch.float16))
    node.replace_all_uses_with(back, delete_user_cb=lambda user: user is not back)


def _halved(arguments: Any) -> Any:
    if isinstance(arguments, dict):
        return {key: _halved(value) for key, value in arguments.items()}
    if isinstance(arguments, tuple):
        return tuple(_halved(value) for value in arguments)
    return torch.float16 if arguments is torch.float32 else arguments
