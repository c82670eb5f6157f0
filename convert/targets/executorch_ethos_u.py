"""ExecuTorch with Arm's delegate: the Ethos-U NPUs of microcontrollers and application processors, one `.pte` each.

The Arm backend lowers a quantized graph to TOSA, and Vela compiles that for the chip. Beside the `.pte` lie the TOSA
graphs, so that the artifact can be executed without the NPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.delegation import Placement
from convert.targets import Compiled, target_family
from convert.targets._executorch import FILE, MIN_RUNTIME, Backend, executorch_step, finish, operator, tag_origins
from edge.artifact import Needs
from edge.errors import MissingError

if TYPE_CHECKING:
    from torch.fx import Node

    from convert.program import Program

SDK = "ethos-u"
TAKEN = Placement("npu", "EthosUBackend")

# Accelerators and their multiply-accumulates per cycle; the list is Vela's.
CHIPS = (
    "u85-256", "u85-128", "u85-512", "u85-1024", "u85-2048",
    "u65-256", "u65-512",
    "u55-32", "u55-64", "u55-128", "u55-256",
)  # fmt: skip

_HINTS = {
    "upsample_bilinear2d": "Ethos-U55 and U65 have no RESIZE: take a transposed convolution or an Ethos-U85",
    "upsample_nearest2d": "Ethos-U55 and U65 have no RESIZE: take a transposed convolution or an Ethos-U85",
}


@target_family(
    "executorch-ethos-u",
    chips=CHIPS,
    runtime="executorch",
    summary="ExecuTorch .pte, Arm Ethos-U NPU through TOSA and Vela",
    precisions=("int8", "w8a16"),
    packages=("executorch", "torchao"),
    extra="executorch",
    execution="reference",
    sdks=(SDK,),
)
def compile_ethos_u(program: Program, precision: str, folder: Path, chip: str) -> Compiled:
    """Write model.pte, quantized to 8 bits and compiled for an Ethos-U, and reference/ for its execution here.

    Inputs and outputs stay float32. Raises Refused without calibration pictures, MissingError without tosa-tools or
    Vela, TargetError if the graph cannot be quantized, lowered or compiled.
    """
    check_packages()
    from convert.targets._arm_lower import lower_to_ethos_u, total_estimates
    from convert.targets._arm_quantize import quantize_for_arm
    from convert.targets._arm_reference import write_reference

    tag_origins(program)
    spec = _compile_spec(chip)
    exported, quantized = quantize_for_arm(program, spec, precision)
    lowering = lower_to_ethos_u(program.name, exported, spec)
    steps = (quantized, executorch_step(partitioner="EthosUPartitioner", flags=" ".join(spec.compiler_flags)))
    write_reference(folder, lowering.manager.exported_program(), lowering.runs)  # writing the .pte changes the graph
    compiled = finish(
        program, lowering.manager, Backend(TAKEN, explain=_explain(lowering.reasons)), folder, steps=steps
    )
    estimates = total_estimates(lowering.runs)
    arena = estimates.get("sram_bytes", 0) + estimates.get("dram_bytes", 0)
    ram_bytes = int((folder / FILE).stat().st_size + arena)
    return replace(compiled, estimates=estimates, needs=Needs(min_runtime=MIN_RUNTIME, ram_bytes=ram_bytes))


def check_packages() -> None:
    """Raise MissingError if tosa-tools or Vela cannot be imported: this process lacks the SDK's variables."""
    try:
        import ethosu.vela  # noqa: F401
        import tosa_serializer  # noqa: F401
    except ImportError as error:
        raise MissingError(
            f"tosa-tools and ethos-u-vela cannot be imported ({error}): edge sdk install {SDK}"
        ) from error


def _compile_spec(chip: str) -> Any:
    from executorch.backends.arm.ethosu import EthosUCompileSpec

    return EthosUCompileSpec(f"ethos-{chip}")


def _explain(reasons: dict[str, str]) -> Callable[[Node], tuple[str, str]]:
    def explain(node: Node) -> tuple[str, str]:
        name = operator(node).removeprefix("aten.").split(".", 1)[0]
        return reasons.get(node.name) or "the Arm backend left it out of its partitions", _HINTS.get(name, "")

    return explain
