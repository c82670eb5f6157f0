"""ExecuTorch with Qualcomm's delegate: the Hexagon NPU of phones, headsets, watches and cars, one `.pte` a chip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from convert.delegation import Placement
from convert.hints import qualcomm_hint
from convert.targets import Compiled, target_family
from convert.targets._executorch import Backend, executorch_step, finish, operator, tag_origins
from edge.artifact import Step
from edge.errors import Refused
from edge.runtimes.executorch_qnn import SDK, check_environment, load_quantized_kernels

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Node

    from convert.program import Program

TAKEN = Placement("npu", "QnnBackend")

# Every chip that executorch 1.5.1 knows, with its Hexagon version.
CHIPS = {
    "SM8650": 75,  # Snapdragon 8 Gen 3
    "SM8350": 68,  # Snapdragon 888
    "SM8450": 69,  # Snapdragon 8 Gen 1
    "SM8475": 69,  # Snapdragon 8+ Gen 1
    "SM8550": 73,  # Snapdragon 8 Gen 2
    "SM8750": 79,  # Snapdragon 8 Elite
    "SM8845": 81,  # Snapdragon 8 Gen 5
    "SM8850": 81,  # Snapdragon 8 Elite Gen 5
    "SC8380XP": 73,  # Snapdragon X Elite
    "QCM6490": 68,
    "QCS9100": 73,
    "SXR1230P": 73,
    "SXR2230P": 69,
    "SXR2330P": 79,
    "SSG2115P": 73,
    "SSG2125P": 73,
    "SAR2230P": 81,
    "SW6100": 81,
    "SA8255": 73,
    "SA8295": 68,
    "SA8797": 81,
}
# QNN 2.49 says "The SocModel doesn't support FP16" of all but the first, whose graphs it builds but not in float16.
WITHOUT_HALF = frozenset({"SM8350", "QCM6490", "SAR2230P", "SSG2115P", "SSG2125P", "SW6100", "SXR1230P"})


@target_family(
    "executorch-qnn",
    chips=tuple(CHIPS),
    runtime="executorch",
    summary="ExecuTorch .pte for Qualcomm's Hexagon NPU (Android, XR, automotive Linux)",
    precisions=("int8", "w8a16", "mixed", "fp16", "ternary"),
    calibrated=("ternary",),
    packages=("executorch", "torchao"),
    extra="executorch",
    execution="emulated",
    sdks=(SDK,),
)
def compile_qnn(program: Program, precision: str, folder: Path, chip: str) -> Compiled:
    """Write model.pte with one compiled graph for each part that the NPU takes; inputs and outputs stay float32.

    Runs in a process that was started with the SDK's variables: the backend switches PyTorch's oneDNN off on AMD
    machines. Raises MissingError without the SDK, TargetError for another version of it or if compiling fails, Refused
    for a precision that the chip does not have or that lacks pictures.

    `ternary` has activations in 16 bits and weights that are not ternary in 8.
    """
    _check_precision(program, precision, chip)
    check_environment()
    from convert.targets._pt2e import in_precision
    from convert.targets._qnn_lower import lower_to_qnn
    from convert.targets._qnn_quantize import quantize_for_qnn
    from convert.targets._qnn_ternary import check_weights, quantize_ternary

    load_quantized_kernels()
    tag_origins(program)
    ternary = precision == "ternary"

    def quantizing() -> tuple[ExportedProgram, Step]:
        return quantize_ternary(program, chip, CHIPS[chip]) if ternary else quantize_for_qnn(program, precision, chip)

    exported, steps = in_precision(program, precision, quantizing)
    lowered, reasons = lower_to_qnn(program.name, exported, chip, half=precision == "fp16")
    checked = check_weights(program, lowered) if ternary else {}
    steps = (*steps, executorch_step(partitioner="QnnPartitioner", chip=chip, sdk=SDK, **checked))
    return finish(program, lowered, Backend(TAKEN, explain=_explain(reasons)), folder, steps=steps)


def _check_precision(program: Program, precision: str, chip: str) -> None:
    from convert.ternary import ternary_layers

    if precision == "fp16" and chip in WITHOUT_HALF:
        raise Refused(f"{chip} (Hexagon v{CHIPS[chip]}) does not compute in float16; the nearest that it has is w8a16")
    if precision == "ternary":
        ternary_layers(program)  # raises if there are none
        program.calibration_tensors()  # the same


def _explain(reasons: dict[str, str]) -> Callable[[Node], tuple[str, str]]:
    def explain(node: Node) -> tuple[str, str]:
        return reasons.get(node.name, ""), qualcomm_hint(operator(node))

    return explain
