"""Post-training quantization of an exported program with a backend's own quantizer."""

from __future__ import annotations

import contextlib
import copy
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from edge.artifact import Step
from edge.errors import EdgeError, Refused, TargetError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram
    from torch.fx import GraphModule

    from convert.nearness import Nearness
    from convert.program import Program


# Of activations; the kept ones of `mixed` have more.
_BITS = {"int8": 8, "int8-dynamic": 8, "w8a16": 16, "mixed": 8, "ternary": 16}
Options = dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Quantized:
    """A program with fake-quantization, and what was chosen on the way, for the step that records it."""

    exported: ExportedProgram
    options: Options
    nearness: Nearness  # to the float graph, on calibration inputs


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


def quantizer_step(
    name: str, program: Program, precision: str, quantized: Quantized, **options: str | int | float | bool
) -> Step:
    """Return the step that records a quantizer of ExecuTorch: 8-bit weights per output channel, and what was done."""
    common: Options = {"activation_bits": _BITS[precision], "pictures": len(program.calibration)}
    if program.recipe.kept:
        common["kept"] = len(program.recipe.kept)
    return Step(tool=name, version=metadata.version("executorch"), options={**common, **quantized.options, **options})


def own_observer_only(program: Program, target: str) -> None:
    """Raise Refused if the recipe asks for an observer: for quantizers that bring theirs."""
    if program.recipe.observer is not None:
        raise Refused(
            f"{target} has no observer {program.recipe.observer!r}: its quantizer measures ranges in its own way; "
            "leave the observer out"
        )


def leave(module: GraphModule) -> None:
    """Stand for a graph that the quantizer knows as it is."""


def quantize(
    program: Program,
    quantizer: Any,
    *,
    rewrite: Callable[[GraphModule], None] = leave,
    narrow: Callable[[GraphModule], object] = leave,
    fold_weights: bool = True,
) -> Quantized:
    """Return the program with fake-quantization around the operators that `quantizer` annotates.

    `rewrite` changes the graph in place before that and `narrow` the calibrated observers; afterwards the biases of
    convolutions are corrected for what quantization does to their means, if that brings the calibration inputs'
    results nearer to those of the float graph. Weights become integers, or with `fold_weights` off stay float before
    a quantize operator, as some backends' converters want them. Ranges are measured on the program's calibration
    inputs. Raises Refused without any, TargetError if the graph cannot be annotated.
    """
    import torch

    from convert.targets._pt2e_bias import with_better_biases
    from convert.targets._pt2e_observers import settle_ranges

    calibration = program.calibration_tensors()
    with _quantizing(program):
        # Without check_guards the module would hold a submodule of input checks, which backends' passes cannot read.
        module = program.exported.module(check_guards=False)
        rewrite(module)
        original = copy.deepcopy(module)  # preparing changes the graph in place
        prepared = _prepared(module, quantizer, calibration)
        settle_ranges(prepared)
        narrow(prepared)
        converted = _converted(prepared, fold_weights=fold_weights)
        found = with_better_biases(original, converted, calibration, program.contract)
        exported = torch.export.export(found.module, calibration[0])
        return Quantized(exported, {"bias_correction": found.corrected}, found.nearness)


def quantize_at_run_time(program: Program, quantizer: Any) -> ExportedProgram:
    """Return the program with 8-bit weights where `quantizer` annotates ranges that are taken from every input anew.

    Raises TargetError if the graph cannot be annotated.
    """
    import torch

    from convert.export import example_inputs

    examples = example_inputs(program.contract)  # what they hold does not matter: they let weights be seen
    with _quantizing(program):
        prepared = _prepared(program.exported.module(check_guards=False), quantizer, [examples])
        return torch.export.export(_converted(prepared, fold_weights=True), examples)


def _prepared(module: GraphModule, quantizer: Any, inputs: Sequence[tuple[Tensor, ...]]) -> GraphModule:
    from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

    prepared: GraphModule = prepare_pt2e(module, quantizer)
    for given in inputs:
        prepared(*given)
    return prepared


def _converted(prepared: GraphModule, *, fold_weights: bool) -> GraphModule:
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

    converted: GraphModule = convert_pt2e(prepared, fold_quantize=fold_weights)
    return converted


@contextlib.contextmanager
def _quantizing(program: Program) -> Iterator[None]:
    """Keep quantizers quiet, and turn what they raise into a TargetError.

    They print a line for every operator that stays in float; stdout is for results.
    """
    import torch

    try:
        with warnings.catch_warnings(), torch.no_grad(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")  # torchao's own notes about torch
            yield
    except EdgeError:
        raise
    except Exception as error:  # whatever the quantizer and torch raise
        first = str(error).strip().split("\n", 1)[0]
        raise TargetError(f"{program.name} cannot be quantized: {type(error).__name__}: {first}") from error
