"""Quantize a program for Ethos-U with the Arm backend's quantizer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from convert.targets._pt2e import ACTIVATION_BITS, quantize, quantizer_step
from convert.targets._pt2e_equalize import equalize_channels
from convert.targets._pt2e_ranges import cut_saturated_ranges
from edge.artifact import Step

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import GraphModule

    from convert.program import Program

_SMALLEST_SCALE = 2**-16


def quantize_for_arm(program: Program, spec: Any, precision: str) -> tuple[ExportedProgram, Step]:
    """Return the program with 8-bit weights (per output channel) and 8- or 16-bit activations, and what was done.

    Raises Refused without calibration pictures, TargetError if the graph cannot be quantized.
    """
    from executorch.backends.arm.quantizer import (
        EthosUQuantizer,
        get_symmetric_a16w8_quantization_config,
        get_symmetric_quantization_config,
    )

    def rewrite(module: GraphModule) -> None:
        spell_relu6(module)
        equalize_channels(module, program.calibration_tensors())

    def narrow(prepared: GraphModule) -> None:
        cut_saturated_ranges(prepared, ACTIVATION_BITS[precision])

    wide = precision == "w8a16"
    config = get_symmetric_a16w8_quantization_config() if wide else get_symmetric_quantization_config()
    quantizer = EthosUQuantizer(spec)
    quantizer.set_global(_over_extremes(config))
    exported = quantize(program, quantizer, rewrite=rewrite, narrow=narrow)
    return exported, quantizer_step("EthosUQuantizer", program, precision, observer="min-max")


def _over_extremes(config: Any) -> Any:
    """Return the configuration with min-max observers: the ranges of its histograms cannot be narrowed afterwards."""
    from torchao.quantization.pt2e import MinMaxObserver

    observer = MinMaxObserver.with_args(eps=_SMALLEST_SCALE)
    activation = replace(config.input_activation, observer_or_fake_quant_ctr=observer)
    return replace(config, input_activation=activation, output_activation=activation)


def spell_relu6(module: GraphModule) -> None:
    """Write relu6 as hardtanh in place: the same values, and the only spelling that the quantizer knows."""
    import torch

    for node in module.graph.nodes:
        if node.op == "call_function" and node.target is torch.ops.aten.relu6.default:
            node.target = torch.ops.aten.hardtanh.default
            node.args = (node.args[0], 0.0, 6.0)
    module.recompile()
