"""Static quantization with a backend's own quantizer: torch's PT2E flow over a program, calibrated on real inputs."""

from __future__ import annotations

import warnings
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING, Any

import torch

from convert.export import example_inputs
from edge.artifact import Step
from edge.errors import EdgeError, TargetError

if TYPE_CHECKING:
    from convert.program import Program


def quantize_with(quantizer: Any, program: Program) -> Program:
    """Return the program with the quantizer's observers replaced by quantize and dequantize operators.

    A tagged program keeps its tags. Raises Refused without calibration inputs, TargetError if the quantizer fails.
    """
    inputs = program.calibration_tensors()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torchao's own notes about torch
            exported = _quantize(quantizer, program, inputs)
    except EdgeError:
        raise
    except Exception as error:  # whatever quantizers trip over
        first = str(error).strip().split("\n", 1)[0]
        name = type(quantizer).__name__
        raise TargetError(f"{name} cannot quantize {program.name}: {type(error).__name__}: {first}") from error
    step = Step(
        tool="torchao.pt2e",
        version=metadata.version("torchao"),
        options={"quantizer": type(quantizer).__name__, "calibration_inputs": len(inputs)},
    )
    return replace(program, exported=exported, steps=(*program.steps, step))


def _quantize(quantizer: Any, program: Program, inputs: list[tuple[torch.Tensor, ...]]) -> Any:
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    module = program.exported.module(check_guards=False)  # a guard is a call_module, which quantizers cannot read
    prepared = prepare_pt2e(module, quantizer)
    for values in inputs:
        prepared(*values)
    return torch.export.export(convert_pt2e(prepared), example_inputs(program.contract))
