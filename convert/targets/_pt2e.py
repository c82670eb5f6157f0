"""Post-training quantization of an exported program with a backend's own quantizer."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edge.errors import EdgeError, TargetError

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import GraphModule

    from convert.program import Program


def leave(module: GraphModule) -> None:
    """Stand for a graph that the quantizer knows as it is."""


def quantize(
    program: Program,
    quantizer: Any,
    *,
    rewrite: Callable[[GraphModule], None] = leave,
    fold_weights: bool = True,
) -> ExportedProgram:
    """Return the program with fake-quantization around the operators that `quantizer` annotates.

    `rewrite` changes the graph in place before that, and the biases of convolutions are corrected for their rounded
    weights. Weights become integers, or with `fold_weights` off stay float before a quantize operator, as some
    backends' converters want them. Ranges are measured on the program's calibration inputs. Raises Refused without
    any, TargetError if the graph cannot be annotated.
    """
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    from convert.targets._pt2e_bias import correct_biases

    calibration = program.calibration_tensors()
    try:
        # Without check_guards the module would hold a submodule of input checks, which backends' passes cannot read.
        module = program.exported.module(check_guards=False)
        rewrite(module)
        correct_biases(module, calibration)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torchao's own notes about torch
            prepared = prepare_pt2e(module, quantizer)
            for inputs in calibration:
                prepared(*inputs)
            return torch.export.export(convert_pt2e(prepared, fold_quantize=fold_weights), calibration[0])
    except EdgeError:
        raise
    except Exception as error:  # whatever the quantizer and torch raise
        first = str(error).strip().split("\n", 1)[0]
        raise TargetError(f"{program.name} cannot be quantized: {type(error).__name__}: {first}") from error
