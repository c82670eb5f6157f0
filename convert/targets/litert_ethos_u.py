"""LiteRT on Arm's Ethos-U NPUs: an int8 `.tflite` whose body is a command stream made by Vela."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from convert.targets import Compiled, target_family

if TYPE_CHECKING:
    from convert.program import Program

CONFIGS = (
    "u65-512", "u65-256", "u55-32", "u55-64", "u55-128", "u55-256",
    "u85-128", "u85-256", "u85-512", "u85-1024", "u85-2048",
)  # fmt: skip
FILE = "model.tflite"
TWIN = "reference.tflite"  # what `edge verify` executes: the same int8 graph before Vela


@target_family(
    "litert-ethos-u",
    chips=CONFIGS,
    runtime="litert",
    summary="LiteRT .tflite for Arm Ethos-U NPUs, through Vela; microcontrollers, Linux boards",
    precisions=("int8",),
    packages=("litert-torch", "ai-edge-litert", "ai-edge-quantizer"),
    extra="litert",
    execution="reference",
    sdks=("ethos-u",),
)
def litert_ethos_u(program: Program, precision: str, folder: Path, config: str) -> Compiled:
    """Write model.tflite for the NPU, and reference.tflite, the int8 graph it was made of.

    Raises Refused without pictures to calibrate on, and TargetError if Vela fails or takes no operator.
    """
    from convert.delegation import Placement, place
    from convert.targets._litert import border_specs
    from convert.targets._litert_origin import place_operators, read_operators, unnamed
    from convert.targets._litert_precision import to_quantized
    from convert.targets._vela import run_vela
    from edge.artifact import Needs, Step, write_atomic

    content, steps = to_quantized(program, precision)
    operators = read_operators(content, program)
    made = run_vela(content, f"ethos-{config}", operators)
    write_atomic(folder / FILE, made.content)
    write_atomic(folder / TWIN, content)
    left = {index: Placement("cpu", "LiteRT", reason) for index, reason in made.left.items()}
    vela = Step(
        tool="ethos-u-vela",
        version=made.version,
        options={"accelerator": f"ethos-{config}", "system": made.system, "memory": made.memory},
    )
    return Compiled(
        inputs=border_specs(program.contract.inputs, "NHWC"),
        outputs=border_specs(program.contract.outputs, "NHWC"),
        steps=(*steps, vela),
        needs=Needs(
            min_runtime=f"TensorFlow Lite Micro with Ethos-U, LiteRT {metadata.version('ai-edge-litert')}",
            ram_bytes=int(made.estimates.get("sram_bytes", 0) + made.estimates.get("dram_bytes", 0)),
        ),
        operators=place(program, place_operators(program, operators, Placement("npu", "Ethos-U"), left)),
        rejected=unnamed(operators, made.left),
        estimates=made.estimates,
    )
