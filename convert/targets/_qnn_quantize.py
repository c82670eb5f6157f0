"""Quantize a program for the Hexagon NPU with ExecuTorch's own annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convert.targets._executorch import origin
from convert.targets._kept import kept_operators
from convert.targets._pt2e import quantize, quantizer_step
from convert.targets._pt2e_observers import activation_observer
from convert.targets._pt2e_ranges import cut_saturated_ranges
from convert.targets._pt2e_weights import fit_weights
from edge.artifact import Step

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import GraphModule

    from convert.program import Program

_SCHEMES = {"int8": "use_8a8w", "w8a16": "use_16a8w", "mixed": "use_8a8w"}
_KEPT = "use_16a8w"


def quantize_for_qnn(program: Program, precision: str, chip: str) -> tuple[ExportedProgram, Step]:
    """Return a tagged program with quantized weights (per output channel) and activations, and what was done.

    Ranges are the extremes over the calibration pictures, or what the recipe's observer takes of them, less what
    saturates anyway. Operators that `mixed` keeps get 16-bit activations. Raises Refused without pictures or for a
    recipe that does not fit the program, TargetError if the graph cannot be quantized.
    """
    counts = {"equalized": 0, "fitted": 0, "narrowed": 0}

    def rewrite(module: GraphModule) -> None:
        counts.update(fit_weights(module, program.calibration_tensors()))

    def narrow(prepared: GraphModule) -> None:
        counts["narrowed"] = cut_saturated_ranges(prepared)

    quantized = quantize(program, _quantizer(program, precision, chip), rewrite=rewrite, narrow=narrow)
    observer = program.recipe.observer or "min-max"
    return quantized.exported, quantizer_step(
        "QnnQuantizer", program, precision, quantized, observer=observer, **counts
    )


def _quantizer(program: Program, precision: str, chip: str) -> Any:
    from executorch.backends.qualcomm.quantizer.quantizer import ModuleQConfig, QnnQuantizer, QuantDtype
    from executorch.backends.qualcomm.serialization.qc_schema import QcomChipset, QnnExecuTorchBackendType

    kept = kept_operators(program, precision)
    options = {
        "is_conv_per_channel": True,
        "is_linear_per_channel": True,
        "act_observer": activation_observer(program.recipe.observer),
    }
    quantizer = QnnQuantizer(QnnExecuTorchBackendType.kHtpBackend, QcomChipset[chip])
    quantizer.set_default_quant_config(QuantDtype[_SCHEMES[precision]], **options)
    if kept:
        wide = ModuleQConfig(QuantDtype[_KEPT], **options)
        quantizer.set_submodule_qconfig_list([(lambda node: origin(node) in kept, wide)])
    return quantizer
