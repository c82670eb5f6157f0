"""Quantize a program for Ethos-U with the Arm backend's quantizer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from convert.targets._pt2e import quantize, quantizer_step
from convert.targets._pt2e_observers import activation_observer
from convert.targets._pt2e_ranges import cut_saturated_ranges
from convert.targets._pt2e_spelling import spell_relu6
from convert.targets._pt2e_weights import fit_weights
from edge.artifact import Step

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import GraphModule

    from convert.program import Program
    from quant.observers import Observer

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
        fit_weights(module, program.calibration_tensors())

    def narrow(prepared: GraphModule) -> None:
        cut_saturated_ranges(prepared)

    wide = precision == "w8a16"
    config = get_symmetric_a16w8_quantization_config() if wide else get_symmetric_quantization_config()
    quantizer = EthosUQuantizer(spec)
    quantizer.set_global(_observing(config, program.recipe.observer))
    quantized = quantize(program, quantizer, rewrite=rewrite, narrow=narrow)
    observer = program.recipe.observer or "min-max"
    return quantized.exported, quantizer_step("EthosUQuantizer", program, precision, quantized, observer=observer)


def _observing(config: Any, choice: Observer | None) -> Any:
    """Return the configuration with our observers: the ranges of its histograms cannot be narrowed afterwards."""
    observer = activation_observer(choice).with_args(eps=_SMALLEST_SCALE)
    activation = replace(config.input_activation, observer_or_fake_quant_ctr=observer)
    return replace(config, input_activation=activation, output_activation=activation)
