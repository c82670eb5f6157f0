"""Graphs without in-place operators: the form that every pass may rely on."""

from __future__ import annotations

import operator
import warnings
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule

from convert.passes._rewrite import aten, calls, insert, replace_node

_HARMLESS = frozenset({aten.detach_.default})  # marked in-place, but changes no value


def functional_module(exported: ExportedProgram) -> GraphModule | None:
    """Return a copy of the program's unlifted graph in which no operator writes to a tensor that another reads.

    torch.export keeps a model's in-place operators (`relu_`, `y[:, 1:] += x`); with them, a clone is no identity and a
    tensor made from constants is no constant. Returns None if the program writes to its buffers or inputs.
    """
    if not _mutates(exported):
        return _unlifted(exported)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated", FutureWarning)  # torch copies its own trees
        functional = exported.run_decompositions({})
    signature = functional.graph_signature
    if signature.buffers_to_mutate or signature.user_inputs_to_mutate or signature.parameters_to_mutate:
        return None
    module = _unlifted(functional)
    _restore_batch_norm(module)
    return module


def _unlifted(exported: ExportedProgram) -> GraphModule:
    module = exported.module(check_guards=False)
    assert isinstance(module, GraphModule)  # what ExportedProgram.module returns
    return module


def _mutates(exported: ExportedProgram) -> bool:
    """Tell whether an operator of the graph, or of a branch in it, changes a tensor in place."""
    return any(
        isinstance(node.target, torch._ops.OpOverload)
        and node.target._schema.is_mutable
        and node.target not in _HARMLESS
        for module in exported.graph_module.modules()
        if isinstance(module, GraphModule)
        for node in module.graph.nodes
    )


def _restore_batch_norm(module: GraphModule) -> None:
    """Write batch normalisation as torch.export does, which the passes and the targets read."""
    for node in calls(module, aten._native_batch_norm_legit_no_training.default):
        readers: list[Any] = list(node.users)
        if any(reader.target is not operator.getitem or reader.args[1] != 0 for reader in readers):
            continue  # its saved statistics are read too
        source, weight, bias, mean, variance, momentum, eps = node.args
        with module.graph.inserting_before(node):
            args = (source, weight, bias, mean, variance, False, momentum, eps, False)
            normalised = insert(module, aten.batch_norm.default, args)
        for reader in readers:
            replace_node(reader, normalised)
        module.graph.erase_node(node)
    module.recompile()
