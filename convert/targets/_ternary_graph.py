"""A graph whose layers were given ternary codes: exported anew, and the step that records their forms."""

from __future__ import annotations

from collections import Counter
from importlib import metadata
from typing import TYPE_CHECKING

import torch
from torch.fx import GraphModule

from convert.export import example_inputs
from convert.ternary import weighted_operators
from edge.artifact import Step

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from convert.program import Program


def export_coded(
    program: Program, module: GraphModule, forms: Counter[str], *, layers: int, activations: str, **more: str
) -> tuple[ExportedProgram, Step]:
    """Return a changed graph of a tagged program as a program, and the step that says how many layers have which form.

    `layers` counts those with ternary weights, coded or not; `activations` says how forms quantize them.
    """
    weighted = len(weighted_operators(program))
    _drop_unused(module)
    module.recompile()
    with torch.no_grad():
        exported = torch.export.export(module, example_inputs(program.contract))
    options: dict[str, str | int | float | bool] = {
        "kind": "ternary",
        **more,
        **dict(sorted(forms.items())),
        "float": weighted - forms.total(),
        "ternary_layers": layers,
        "activations": activations,
    }
    return exported, Step(tool="edge-deployment-kit", version=metadata.version("executorch"), options=options)


def _drop_unused(module: GraphModule) -> None:
    """Remove weights that no operator reads any more: the next export would carry them as inputs."""
    for node in list(module.graph.nodes):
        if node.op == "get_attr" and not node.users:
            module.graph.erase_node(node)
    read = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    for name, _ in [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]:
        if name not in read:
            owner, _, own = name.rpartition(".")
            delattr(module.get_submodule(owner), own)
