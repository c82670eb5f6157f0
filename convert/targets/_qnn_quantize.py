"""Quantize a program for the Hexagon NPU with ExecuTorch's own annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convert.targets._pt2e import ACTIVATION_BITS, quantize, quantizer_step
from convert.targets._pt2e_equalize import equalize_channels
from convert.targets._pt2e_ranges import cut_saturated_ranges
from edge.artifact import Step

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import GraphModule

    from convert.program import Program

_SCHEMES = {"int8": "use_8a8w", "w8a16": "use_16a8w"}


def quantize_for_qnn(program: Program, precision: str, chip: str) -> tuple[ExportedProgram, Step]:
    """Return the program with quantized weights (per output channel) and activations, and what was done.

    Ranges are the extremes over the calibration pictures, less what saturates anyway. Raises Refused without pictures,
    TargetError if the graph cannot be quantized.
    """
    counts = {"equalized": 0, "narrowed": 0}

    def rewrite(module: GraphModule) -> None:
        counts["equalized"] = equalize_channels(module, program.calibration_tensors())

    def narrow(prepared: GraphModule) -> None:
        counts["narrowed"] = cut_saturated_ranges(prepared, ACTIVATION_BITS[precision])

    exported = quantize(program, _quantizer(precision, chip), rewrite=rewrite, narrow=narrow)
    return exported, quantizer_step("QnnQuantizer", program, precision, observer="min-max", **counts)


def _quantizer(precision: str, chip: str) -> Any:
    from executorch.backends.qualcomm.quantizer.quantizer import QnnQuantizer, QuantDtype
    from executorch.backends.qualcomm.serialization.qc_schema import QcomChipset, QnnExecuTorchBackendType
    from torchao.quantization.pt2e import MinMaxObserver

    quantizer = QnnQuantizer(QnnExecuTorchBackendType.kHtpBackend, QcomChipset[chip])
    quantizer.set_default_quant_config(
        QuantDtype[_SCHEMES[precision]],
        is_conv_per_channel=True,
        is_linear_per_channel=True,
        act_observer=MinMaxObserver,  # the default is a moving average: it all but forgets all pictures after the first
    )
    return quantizer
