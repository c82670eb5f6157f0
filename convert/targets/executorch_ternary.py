"""ExecuTorch with the kit's ternary operators: packed weights of 1.6 bits on any CPU, the rest with XNNPACK."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from convert.delegation import Placement
from convert.targets import Compiled, target
from convert.targets._executorch import MIN_RUNTIME, Backend, executorch_step, finish, lower, operator, tag_origins

if TYPE_CHECKING:
    from torch.fx import Node

    from convert.program import Program

TAKEN = Placement("cpu", "XnnpackBackend")
OURS = Placement("cpu", "ternary")


def _lacks() -> str:
    from quant.kernels.compile import CompileFailed, host_toolchain

    try:
        host_toolchain()
    except CompileFailed:
        return "a C++ compiler for its operators: apt-get install g++ (Debian), or set CXX"
    return ""


@target(
    "executorch-ternary",
    runtime="executorch-ternary",
    summary="ExecuTorch .pte with the kit's ternary operators (1.6-bit weights) on any CPU, the rest with XNNPACK",
    precisions=("ternary",),
    packages=("executorch",),
    extra="executorch",
    execution="native",
    probe=_lacks,
)
def compile_ternary(program: Program, precision: str, folder: Path) -> Compiled:
    """Write model.pte, whose linear layers and ungrouped 2D convolutions with ternary weights read packed bytes.

    The app links the operators (quant/kernels/executorch) into ExecuTorch's runtime. Raises TargetError if the program
    cannot be lowered, Refused without a ternary weight that the operators take.
    """
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    from convert.targets._ternary_operators import with_operators

    before = len(program.steps)
    tag_origins(program)
    exported, step = with_operators(program)
    lowered = lower(program.name, exported, [XnnpackPartitioner()])
    steps = (*program.steps[before:], step, executorch_step(partitioner="XnnpackPartitioner"))
    needs = f"{MIN_RUNTIME} with libternary_executorch"
    return finish(program, lowered, _Backend(TAKEN, explain=_explain), folder, steps=steps, min_runtime=needs)


class _Backend(Backend):
    """What XNNPACK leaves: ternary operators run in the kit's kernels."""

    def leave(self, node: Node) -> Placement:
        return OURS if "ternary_" in operator(node) else super().leave(node)


def _explain(node: Node) -> tuple[str, str]:
    return "XNNPACK has no such operator", "runs in ExecuTorch's portable kernels"
