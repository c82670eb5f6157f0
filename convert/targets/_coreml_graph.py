"""What coremltools 9 gets wrong, mended: graphs that it cannot name, and operators that it converts to others.

Each was found by executing the package; tests/convert/targets/test_coreml.py has a case for every one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import TensorArgument
from torch.fx import GraphModule, Node

from edge.errors import TargetError

_COPIES = (torch.ops.aten.clone.default, torch.ops.aten.alias.default, torch.ops.aten.detach.default)


_SCALED = (torch.ops.aten.add.Tensor, torch.ops.aten.sub.Tensor)

# What coremltools converts without a word to something else: operator, when, and what to write instead.
_OVERLOOKED: tuple[tuple[Any, Callable[[Node], bool], str], ...] = (
    (
        torch.ops.aten._upsample_bilinear2d_aa.default,
        lambda node: True,
        "interpolate(antialias=True); use antialias=False",
    ),
    (torch.ops.aten._upsample_bilinear2d_aa.vec, lambda node: True, "interpolate(antialias=True); use antialias=False"),
    (
        torch.ops.aten.softplus.default,
        lambda node: len(node.args) > 2 and float(node.args[2]) < 15,  # type: ignore[arg-type]  # a number by its schema
        "softplus(threshold) below 15; use the default",
    ),
)


def decompose(exported: ExportedProgram) -> ExportedProgram:
    """Return the program in the operators that coremltools reads, every output a value of its own.

    Raises TargetError for operators that it would convert wrongly.
    """
    lowered: ExportedProgram = exported.run_decompositions({})
    for node in lowered.graph.nodes:
        if what := overlooked(node):
            raise TargetError(f"coremltools converts {node.name} wrongly: it overlooks {what}")
    expand_alpha(lowered.graph_module)
    _separate_outputs(lowered)
    return lowered


def overlooked(node: Node) -> str:
    """Return what coremltools leaves out when it converts this operator, and what to write instead, or nothing."""
    found = (what for target, applies, what in _OVERLOOKED if node.target == target and applies(node))
    return next(found, "")


def expand_alpha(module: GraphModule) -> int:
    """Write x ± alpha · y as two operators: coremltools overlooks alpha, which torch.export passes by keyword."""
    graph, count = module.graph, 0
    for node in list(graph.nodes):
        alpha = node.kwargs.get("alpha", 1) if node.target in _SCALED else 1
        if alpha == 1:
            continue
        left, right = node.args
        with graph.inserting_before(node):
            scaled = graph.call_function(torch.ops.aten.mul.Tensor, (right, alpha))
        scaled.meta = dict(right.meta if isinstance(right, Node) else node.meta)
        node.args, node.kwargs = (left, scaled), {}
        count += 1
    module.recompile()
    return count


def _separate_outputs(exported: ExportedProgram) -> None:
    """Add 0 to outputs that are an input or another output: coremltools gives every value one name and fails."""
    graph = exported.graph_module.graph
    [output] = graph.find_nodes(op="output")
    results: list[Any] = list(output.args[0])
    seen: set[Node] = set()
    for index, node in enumerate(results):
        if not isinstance(node, Node):
            continue
        origin = node
        while origin.target in _COPIES:
            origin = origin.args[0]  # type: ignore[assignment]  # a copy's first argument is a node
        if origin.op == "placeholder" or origin in seen:
            with graph.inserting_before(output):
                results[index] = graph.call_function(torch.ops.aten.add.Tensor, (origin, 0))
            results[index].meta = dict(node.meta)
            exported.graph_signature.output_specs[index].arg = TensorArgument(results[index].name)
        seen.add(origin)
    output.args = (tuple(results),)
    exported.graph_module.recompile()


def correct_operators() -> None:
    """Replace coremltools' conversions of single operators that compute something else."""
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil import register_torch_op
    from coremltools.converters.mil.frontend.torch.ops import _get_inputs
    from coremltools.converters.mil.mil import types

    @register_torch_op(override=True)
    def reciprocal(context: Any, node: Any) -> None:
        """1 / x; coremltools emits inverse, which computes 1 / (x + 0.0001)."""
        [x] = _get_inputs(context, node, expected=1)
        one = np.array(1, dtype=types.nptype_from_builtin(x.dtype))
        context.add(mb.real_div(x=one, y=x, name=node.name))

    @register_torch_op(override=True)
    def gelu(context: Any, node: Any) -> None:
        """GELU; coremltools overlooks approximate="tanh" because torch.export passes it by keyword."""
        x = _get_inputs(context, node)[0]
        # Read as written: coremltools would look the text up as a value's name, and a graph may have a value "tanh".
        approximate = (node.kwinputs or {}).get("approximate", ["none"])
        mode = "TANH_APPROXIMATION" if "tanh" in approximate else "EXACT"
        context.add(mb.gelu(x=x, mode=mode, name=node.name))
