"""ExecuTorch with the Vulkan delegate: the GPU of Android phones, one `.pte`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.delegation import Placement
from convert.targets import Compiled, target
from convert.targets._executorch import MIN_RUNTIME, Backend, executorch_step, finish, lower, tag_origins

if TYPE_CHECKING:
    from torch.fx import Node

    from convert.program import Program

BACKEND = "VulkanBackend"
TAKEN = Placement("gpu", BACKEND)
_HINTS = {
    "dtype not supported": "compute in float32 or int32",
    "op does not support high dim tensors": "keep tensors to 4 dimensions",
    "permute node of non compatible linear node": "write the matrix product as a 1×1 convolution",
}


@target(
    "executorch-vulkan",
    runtime="executorch-vulkan",
    summary="ExecuTorch .pte, Vulkan on the GPU (Android)",
    precisions=("fp32", "fp16"),  # ExecuTorch 1.5's VulkanQuantizer knows linear layers only
    packages=("executorch",),
    extra="executorch",
    execution="no",
    unit="gpu",
)
def compile_vulkan(program: Program, precision: str, folder: Path) -> Compiled:
    """Write model.pte; fp16 computes and stores in half precision between float32 inputs and outputs.

    Raises TargetError if the program cannot be lowered, Refused if a weight exceeds float16.
    """
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

    half = precision == "fp16"
    if half:
        from convert.targets._half import check_half_range

        check_half_range(program)
    tag_origins(program)
    with _rejections() as reasons:
        lowered = lower(program.name, program.exported, [VulkanPartitioner({"force_fp16": half})])
    steps = (executorch_step(partitioner="VulkanPartitioner", force_fp16=half),)
    backend = Backend(TAKEN, explain=_explain(reasons))
    return finish(program, lowered, backend, folder, steps=steps, min_runtime=f"{MIN_RUNTIME}, Vulkan 1.1")


def _explain(reasons: dict[str, str]) -> Callable[[Node], tuple[str, str]]:
    def explain(node: Node) -> tuple[str, str]:
        reason = reasons.get(node.name) or "no operator implementation"
        return f"Vulkan: {reason}", _HINTS.get(reason, "runs in ExecuTorch's portable kernels")

    return explain


@contextmanager
def _rejections() -> Iterator[dict[str, str]]:
    """Collect why the partitioner skips a node, by its name; what it logs names no node."""
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanSupportedOperators

    reasons: dict[str, str] = {}

    def note(rules: Any, node: Node, reason: str) -> None:
        reasons.setdefault(node.name, reason)

    own = VulkanSupportedOperators.log_skip
    VulkanSupportedOperators.log_skip = note
    try:
        yield reasons
    finally:
        VulkanSupportedOperators.log_skip = own
