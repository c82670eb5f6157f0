"""Quantize a program for Ethos-U with the Arm backend's quantizer."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

from convert.targets._pt2e import quantize
from edge.artifact import Step

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import GraphModule

    from convert.program import Program


def quantize_for_arm(program: Program, spec: Any, precision: str) -> tuple[ExportedProgram, Step]:
    """Return the program with 8-bit weights (per output channel) and 8- or 16-bit activations, and what was done.

    Raises Refused without calibration pictures, TargetError if the graph cannot be quantized.
    """
    from executorch.backends.arm.quantizer import (
        EthosUQuantizer,
        get_symmetric_a16w8_quantization_config,
        get_symmetric_quantization_config,
    )

    quantizer = EthosUQuantizer(spec)
    wide = precision == "w8a16"
    quantizer.set_global(get_symmetric_a16w8_quantization_config() if wide else get_symmetric_quantization_config())
    exported = quantize(program, quantizer, rewrite=spell_relu6)
    options: dict[str, str | int | float | bool] = {
        "weights": "int8 per channel",
        "activations": "int16" if wide else "int8",
        "pictures": len(program.calibration),
        "bias_correction": True,
    }
    return exported, Step(tool="EthosUQuantizer", version=metadata.version("executorch"), options=options)


def spell_relu6(module: GraphModule) -> None:
    """Write relu6 as hardtanh in place: the same values, and the only spelling that the quantizer knows."""
    import torch

    for node in module.graph.nodes:
        if node.op == "call_function" and node.target is torch.ops.aten.relu6.default:
            node.target = torch.ops.aten.hardtanh.default
            node.args = (node.args[0], 0.0, 6.0)
    module.recompile()
