"""ONNX with the kit's own ternary operators, executed by ONNX Runtime on CPU cores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from convert.delegation import Placement, place_all
from convert.targets import Compiled, target
from convert.targets.onnx import FILE, checked, export_steps
from edge.artifact import Needs, Step, write_atomic
from edge.errors import MissingError

if TYPE_CHECKING:
    from convert.program import Program

_LIBRARY = "libternary_onnxruntime registered (SessionOptions.register_custom_ops_library)"
_FILES, _TWO_BITS = "1.18", "1.31"  # the first that reads the files; the one that 2-bit weights were executed in


def _kernels() -> str:
    from quant.kernels.wrappers import onnxruntime_library

    try:
        onnxruntime_library()
    except MissingError as error:
        return f"the ternary operators: {error}"
    return ""


@target(
    "onnx-ternary",
    runtime="onnx-ternary",
    summary="ONNX Runtime with the kit's ternary operators: 1.6 bits a weight, multiplied as they are",
    precisions=("ternary",),
    packages=("onnx", "onnxscript", "onnxruntime"),
    extra="onnx",
    execution="native",
    probe=_kernels,
)
def onnx_ternary(program: Program, precision: str, folder: Path) -> Compiled:
    """Write model.onnx: products and ungrouped convolutions of ternary weights are operators of the kit.

    Other ternary weights have the forms of onnx-cpu. Raises Refused for a program without ternary weights.
    """
    from convert.targets._onnx_ternary import to_ternary
    from convert.targets._onnx_ternary_kernels import packed_conv, packed_linear

    model, step = to_ternary(program, (packed_linear, packed_conv))
    write_atomic(folder / FILE, checked(model, program, precision))
    return Compiled(
        inputs=program.contract.inputs,
        outputs=program.contract.outputs,
        steps=(*export_steps("fp32"), step),
        needs=Needs(min_runtime=_needs(step)),
        operators=place_all(program, Placement("cpu", "CPUExecutionProvider")),
    )


def _needs(step: Step) -> str:
    version = _TWO_BITS if any(name.endswith("_int2") for name in step.options) else _FILES
    packed = any(name.endswith("_t5") for name in step.options)
    return f"ONNX Runtime {version}" + (f" with {_LIBRARY}" if packed else "")
