"""Core AI: Apple's successor of Core ML, an `.aimodel` for iOS 27 and macOS 27.

Core AI decides on the device between the Neural Engine, the GPU and the CPU; operators are reported as unit "npu",
backend "CoreAI": what it was given, not a measurement of where it ran.
"""

from __future__ import annotations

import keyword
import re
import traceback
import warnings
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.delegation import Placement, operator_name, operator_nodes, place
from convert.targets import Compiled, target
from edge.artifact import Needs, Step
from edge.errors import ContractError, MissingError, Refused, TargetError
from edge.versions import installed_version

if TYPE_CHECKING:
    from torch.fx import Node

    from convert.program import Program

ASSET = "model.aimodel"
BACKEND = "CoreAI"
_LEAST_WEIGHTS = 64  # of a tensor: scales would take more than is saved in smaller ones
_MIN_RUNTIME = "iOS 27 / macOS 27"
_INDEX_OUTPUTS = frozenset({"aten.argmax", "aten.argmin"})
_INDEX_HINT = "iOS 27.0 gives wrong indices for it (apple/coreai-torch#116); take the argmax in the app"


@target(
    "coreai",
    runtime="coreai",
    summary="Core AI asset (.aimodel) for iOS 27 and macOS 27: Neural Engine, GPU and CPU",
    precisions=("fp32", "fp16", "w8"),
    packages=("coreai-torch", "coreai-core"),
    extra="coreai",
    execution="no",
    unit="npu",
)
def compile_coreai(program: Program, precision: str, folder: Path) -> Compiled:
    """Write model.aimodel; fp16 computes in half precision between float32 inputs and outputs, w8 does so as well.

    iOS 27.0 computes pose heads wrongly in fp16 (apple/coreai-torch#115). Raises Refused for operators that
    coreai-torch does not have and for weights beyond float16, MissingError for w8 without coreai-opt, ContractError for
    names that cannot be carried, TargetError if the conversion fails.
    """
    steps = _compression(program) if precision == "w8" else ()
    before = len(program.steps)
    _check_names(program)
    operators = place(program, {node.name: _placement(node) for node in operator_nodes(program)})
    if precision != "fp32":
        from convert.passes.half import to_half
        from convert.targets._half import check_half_range

        check_half_range(program)
        program = to_half(program)
    converted = _convert(program)
    if precision == "w8":
        converted = _compress(converted, program.name)
    _write(converted, folder / ASSET, program.name)
    step = Step(
        tool="coreai-torch",
        version=metadata.version("coreai-torch"),
        options={
            "coreai-core": metadata.version("coreai-core"),
            "minimum_os": "v27",
            "compute": "fp32" if precision == "fp32" else "fp16",
        },
    )
    return Compiled(
        inputs=program.contract.inputs,
        outputs=program.contract.outputs,
        steps=(*program.steps[before:], step, *steps),
        needs=Needs(min_runtime=_MIN_RUNTIME),
        operators=operators,
    )


def _compression(program: Program) -> tuple[Step, ...]:
    """Return the step of weights in 8 bits; raises MissingError without coreai-opt, Refused for an observer."""
    if program.recipe.observer is not None:
        raise Refused(f"coreai measures no ranges for w8; leave the observer {program.recipe.observer} out")
    version = installed_version("coreai-opt")
    if not version:
        raise MissingError("coreai needs coreai-opt for w8: pip install coreai-opt==0.3.0")
    options: dict[str, str | int | float | bool] = {
        "weights": "int8, symmetric, per channel",
        "least_weights": _LEAST_WEIGHTS,
    }
    return (Step(tool="coreai-opt", version=version, options=options),)


def _compress(converted: Any, name: str) -> Any:
    from coreai_opt.coreai_utils import CompressionGranularity, DType, quantize_weights

    try:
        return quantize_weights(
            converted,
            dtype=DType.INT8,
            granularity=CompressionGranularity.PER_CHANNEL,
            weight_num_threshold=_LEAST_WEIGHTS,
        )
    except Exception as error:  # it walks the compiler's own graph, and raises whatever it trips over
        first = str(error).strip().split("\n", 1)[0]
        raise TargetError(f"coreai-opt cannot compress {name}: {type(error).__name__}: {first}") from error


def _placement(node: Node) -> Placement:
    wrong = operator_name(node) in _INDEX_OUTPUTS
    return Placement("npu", BACKEND, hint=_INDEX_HINT if wrong else "")


def _check_names(program: Program) -> None:
    for spec in (*program.contract.inputs, *program.contract.outputs):
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", spec.name) or keyword.iskeyword(spec.name):
            raise ContractError(
                f"Core AI cannot carry the name {spec.name!r}; use letters, digits and _, as in image_1"
            )


def _convert(program: Program) -> Any:
    contract = program.contract
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import coreai_torch

            exported = program.exported.run_decompositions(coreai_torch.get_decomp_table())
            converter = coreai_torch.TorchConverter(mode=coreai_torch.TorchConverter.Mode.RELEASE)
            converter.add_exported_program(
                exported,
                input_names=[spec.name for spec in contract.inputs],
                output_names=[spec.name for spec in contract.outputs],
            )
            return converter.to_coreai()
    except Exception as error:  # the converter raises whatever it trips over
        traceback.clear_frames(error.__traceback__)  # they hold copies of the weights
        first = str(error).strip().split("\n", 1)[0]
        if found := re.search(r"nsupported ATen ops?: ([\w.:, ]*\w)", first):
            raise Refused(
                f"coreai has no operator {found[1]}, and Core AI has no other unit to run it on; "
                "rewrite it in the model, or use coreml or executorch-coreml"
            ) from error
        raise TargetError(f"coreai-torch cannot convert {program.name}: {type(error).__name__}: {first}") from error


def _write(converted: Any, path: Path, name: str) -> None:
    try:
        converted.save_asset(path)
    except Exception as error:  # it wraps what went wrong
        cause = str(error.__cause__ or error).strip().split("\n", 1)[0]
        raise TargetError(f"coreai-core cannot write {name}: {cause}") from error
    missing = [part for part in ("main.mlirb", "main.hash", "metadata.json") if not (path / part).is_file()]
    if missing:
        raise TargetError(f"coreai-core wrote {path.name} of {name} without {', '.join(missing)}")
