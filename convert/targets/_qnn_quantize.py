"""Post-training quantization with ExecuTorch's own annotations for the Hexagon NPU."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from convert.targets._qnn_equalize import equalize_channels
from convert.targets._qnn_ranges import cut_saturated_ranges
from edge.artifact import Step
from edge.errors import TargetError

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from convert.program import Program

_SCHEMES = {"int8": "use_8a8w", "w8a16": "use_16a8w"}


def quantize(program: Program, precision: str, chip: str) -> tuple[ExportedProgram, Step]:
    """Return the program with quantized weights (per output channel) and activations, and what was done.

    Ranges are the extremes over the calibration pictures, less what saturates anyway. Raises Refused without pictures,
    TargetError if the graph cannot be quantized.
    """
    calibration = program.calibration_tensors()
    try:
        module, counts = _quantized(program.exported, calibration, precision, chip)
        exported = torch.export.export(module, calibration[0])
    except Exception as error:  # whatever the quantizer and the exporter raise
        first = str(error).strip().split("\n", 1)[0]
        raise TargetError(
            f"ExecuTorch cannot quantize {program.name} for {chip}: {type(error).__name__}: {first}"
        ) from error
    options: dict[str, str | int | float | bool] = {"scheme": _SCHEMES[precision], "per_channel": True}
    options |= {"observer": "min-max", "pictures": len(calibration), **counts}
    return exported, Step(tool="QnnQuantizer", version=_version(), options=options)


def _quantized(
    exported: ExportedProgram, calibration: Sequence[tuple[Tensor, ...]], precision: str, chip: str
) -> tuple[Any, dict[str, int]]:
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    # Without check_guards the module would carry a submodule of input checks, which the passes cannot read.
    module = exported.module(check_guards=False)
    equalized = equalize_channels(module, calibration)
    with contextlib.redirect_stdout(sys.stderr):  # it prints a line for every operator that stays in float
        prepared = prepare_pt2e(module, _quantizer(precision, chip))
    with torch.no_grad():
        for inputs in calibration:
            prepared(*inputs)
    narrowed = cut_saturated_ranges(prepared)
    return convert_pt2e(prepared), {"equalized": equalized, "narrowed": narrowed}


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


def _version() -> str:
    from importlib import metadata

    return metadata.version("executorch")
