"""Quantize a program for Ethos-U with the Arm backend's quantizer."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING, Any

from convert.targets._pt2e import quantize
from convert.targets._qnn_equalize import equalize_channels
from convert.targets._qnn_ranges import cut_saturated_ranges
from edge.artifact import Step

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import GraphModule

    from convert.program import Program


def quantize_for_arm(program: Program, spec: Any, precision: str) -> tuple[ExportedProgram, Step]:
    """Return the program with 8-bit weights (per output channel) and 8- or 16-bit activations, and what was done.

    Raises Refused without calibration pictures, TargetError if the graph cannot be quantized.
    """
    exported = _wide(program, spec) if precision == "w8a16" else _narrow(program, spec)
    options: dict[str, str | int | float | bool] = {
        "weights": "int8 per channel",
        "activations": "int16" if precision == "w8a16" else "int8",
        "observer": "min-max" if precision == "w8a16" else "histogram",
        "pictures": len(program.calibration),
        "bias_correction": True,
    }
    return exported, Step(tool="EthosUQuantizer", version=metadata.version("executorch"), options=options)


def _narrow(program: Program, spec: Any) -> ExportedProgram:
    """Quantize activations to 8 bits: histograms give up the rarest values for finer steps."""
    from executorch.backends.arm.quantizer import EthosUQuantizer, get_symmetric_quantization_config

    quantizer = EthosUQuantizer(spec)
    quantizer.set_global(get_symmetric_quantization_config())
    return quantize(program, quantizer, rewrite=spell_relu6)


def _wide(program: Program, spec: Any) -> ExportedProgram:
    """Quantize activations to 16 bits: steps are fine enough for the extremes, and what saturates is cut off."""
    from executorch.backends.arm.quantizer import EthosUQuantizer, get_symmetric_a16w8_quantization_config
    from torchao.quantization.pt2e import MinMaxObserver

    def rewrite(module: GraphModule) -> None:
        spell_relu6(module)
        equalize_channels(module, program.calibration_tensors())

    config = get_symmetric_a16w8_quantization_config()
    observer = MinMaxObserver.with_args(eps=2**-16)
    activation = replace(config.input_activation, observer_or_fake_quant_ctr=observer)
    quantizer = EthosUQuantizer(spec)
    quantizer.set_global(replace(config, input_activation=activation, output_activation=activation))
    return quantize(program, quantizer, rewrite=rewrite, narrow=cut_saturated_ranges)


def spell_relu6(module: GraphModule) -> None:
    """Write relu6 as hardtanh in place: the same values, and the only spelling that the quantizer knows."""
    import torch

    for node in module.graph.nodes:
        if node.op == "call_function" and node.target is torch.ops.aten.relu6.default:
            node.target = torch.ops.aten.hardtanh.default
            node.args = (node.args[0], 0.0, 6.0)
    module.recompile()
