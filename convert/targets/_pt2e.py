"""Post-training quantization of an exported program with a backend's own quantizer."""

from __future__ import annotations

import contextlib
import copy
import sys
import warnings
from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING, Any

from edge.artifact import Step
from edge.errors import EdgeError, TargetError

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import GraphModule

    from convert.program import Program


ACTIVATION_BITS = {"int8": 8, "w8a16": 16}


def in_precision(
    program: Program, precision: str, quantizing: Callable[[], tuple[ExportedProgram, Step]]
) -> tuple[ExportedProgram, tuple[Step, ...]]:
    """Return the program for a compiler that turns float32 into float16 by itself, or quantized by `quantizing`.

    Raises Refused for fp16 if a weight exceeds float16, and what `quantizing` raises.
    """
    if precision == "fp16":
        from convert.targets._half import check_half_range

        check_half_range(program)
        return program.exported, ()
    exported, step = quantizing()
    return exported, (step,)


def quantizer_step(name: str, program: Program, precision: str, **options: str | int | float | bool) -> Step:
    """Return the step that records a quantizer of ExecuTorch: 8-bit weights per output channel, and what was done."""
    common: dict[str, str | int | float | bool] = {
        "activation_bits": ACTIVATION_BITS[precision],
        "pictures": len(program.calibration),
        "bias_correction": True,
    }
    return Step(tool=name, version=metadata.version("executorch"), options={**common, **options})


def leave(module: GraphModule) -> None:
    """Stand for a graph that the quantizer knows as it is."""


def quantize(
    program: Program,
    quantizer: Any,
    *,
    rewrite: Callable[[GraphModule], None] = leave,
    narrow: Callable[[GraphModule], object] = leave,
    fold_weights: bool = True,
) -> ExportedProgram:
    """Return the program with fake-quantization around the operators that `quantizer` annotates.

    `rewrite` changes the graph in place before that and `narrow` the calibrated observers; afterwards the biases of
    convolutions are corrected for what quantization does to their means. Weights become integers, or with
    `fold_weights` off stay float before a quantize operator, as some backends' converters want them. Ranges are
    measured on the program's calibration inputs. Raises Refused without any, TargetError if the graph cannot be
    annotated.
    """
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    from convert.targets._pt2e_bias import correct_biases

    calibration = program.calibration_tensors()
    try:
        # Without check_guards the module would hold a submodule of input checks, which backends' passes cannot read.
        module = program.exported.module(check_guards=False)
        rewrite(module)
        original = copy.deepcopy(module)  # preparing changes the graph in place
        # Quantizers print a line for every operator that stays in float; stdout is for results.
        with warnings.catch_warnings(), torch.no_grad(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")  # torchao's own notes about torch
            prepared = prepare_pt2e(module, quantizer)
            for inputs in calibration:
                prepared(*inputs)
            narrow(prepared)
            converted = convert_pt2e(prepared, fold_quantize=fold_weights)
            correct_biases(original, converted, calibration)
            return torch.export.export(converted, calibration[0])
    except EdgeError:
        raise
    except Exception as error:  # whatever the quantizer and torch raise
        first = str(error).strip().split("\n", 1)[0]
        raise TargetError(f"{program.name} cannot be quantized: {type(error).__name__}: {first}") from error
