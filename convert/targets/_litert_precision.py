"""Program → `.tflite` at a precision below float, for every target that is built from one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convert.nearness import Answers, nearness
from convert.targets._kept import kept_operators
from convert.targets._litert import Border, litert_steps, to_tflite, turns
from convert.targets._litert_activations import for_npus
from convert.targets._litert_int8 import Near, Rewrite, quantize
from convert.targets._litert_origin import operators_as_names, read_operators, results_of
from convert.targets._litert_recipes import ROUNDED, STATIC, Arrays, round_weights
from convert.targets._pt2e_weights import fitted
from edge.artifact import Step

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convert.program import Program


@dataclass(frozen=True, slots=True)
class Flow:
    """Say how a target's file looks: the layout at its border, and which integer operators its runtime has."""

    border: Border
    rewrite: Rewrite


NPUS = Flow("NHWC", for_npus)


def to_quantized(program: Program, precision: str, flow: Flow = NPUS) -> tuple[bytes, tuple[Step, ...]]:
    """Return a `.tflite` of a program and the steps that made it; float32 unless the precision names integers.

    Its tensors bear the names of the program's operators. Raises Refused without pictures to calibrate on, and for a
    kept operator that the program does not have.
    """
    kept = kept_operators(program, precision)
    if precision in STATIC:
        program = fitted(program, kept)
    with operators_as_names(program):
        content = to_tflite(program, "fp32", layout=flow.border)
    steps = litert_steps("fp32")
    if precision in ROUNDED:
        rounded = round_weights(content, precision)
        return rounded.content, (*steps, rounded.step)
    if precision not in STATIC:
        return content, steps
    quantized = quantize(
        content,
        precision,
        _own_inputs(program, flow.border),
        observer=program.recipe.observer,
        floats=results_of(read_operators(content, program), kept),
        rewrite=flow.rewrite,
        near=_near(program, flow.border),
    )
    return quantized.content, (*steps, quantized.step)


def _near(program: Program, border: Border) -> Near:
    """Return how answers of the file are compared: turned to the contract's layout."""
    contract = program.contract
    turned = {spec.name for spec in contract.outputs if turns(spec, border)}

    def plain(answers: Answers) -> Answers:
        return [{name: _to_nchw(a) if name in turned else a for name, a in answer.items()} for answer in answers]

    return lambda expected, got: nearness(plain(expected), plain(got), contract)


def _to_nchw(array: NDArray[Any]) -> NDArray[Any]:
    return array.transpose(0, 3, 1, 2)


def _own_inputs(program: Program, border: Border) -> list[Arrays]:
    """Return the calibration inputs as the file takes them."""
    specs = program.contract.inputs
    return [
        {
            spec.name: (tensor.permute(0, 2, 3, 1) if turns(spec, border) else tensor).contiguous().numpy()
            for tensor, spec in zip(given, specs, strict=True)
        }
        for given in program.calibration_tensors()
    ]
