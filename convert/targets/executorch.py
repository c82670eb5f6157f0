"""ExecuTorch with the XNNPACK delegate: CPU of phones (arm64) and of this machine, one `.pte`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.delegation import Placement
from convert.targets import Compiled, target
from convert.targets._executorch import Backend, executorch_step, finish, lower, tag_origins
from edge.artifact import Step

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Node

    from convert.program import Program

TAKEN = Placement("cpu", "XnnpackBackend")
_QUANTIZED = ("int8", "int8-dynamic", "mixed", "ternary")


@target(
    "executorch-xnnpack",
    runtime="executorch",
    summary="ExecuTorch .pte, XNNPACK on the CPU (Android, iOS, Linux)",
    precisions=("fp32", "fp16", "int8", "int8-dynamic", "mixed", "ternary"),
    packages=("executorch",),
    extra="executorch",
    execution="native",
)
def compile_xnnpack(program: Program, precision: str, folder: Path) -> Compiled:
    """Write model.pte; fp16 computes in half precision between float32 inputs and outputs.

    XNNPACK's files keep weights as float32, so fp16 does not shrink them. int8 and mixed have float32 inputs and
    outputs too. Raises TargetError if the program cannot be quantized or lowered, Refused if a weight exceeds float16,
    for int8 without calibration pictures, for ternary without a ternary weight, and for a recipe that does not fit.
    """
    before = len(program.steps)
    if precision == "fp16":
        from convert.passes.half import NORMS, to_half
        from convert.targets._half import check_half_range

        check_half_range(program)
        program = to_half(program, NORMS)
    tag_origins(program)
    exported, quantized = _in_precision(program, precision)
    with _rejections() as reasons:
        lowered = lower(program.name, exported, [_partitioner(precision)])
    steps = (*program.steps[before:], *quantized, executorch_step(partitioner="XnnpackPartitioner"))
    return finish(program, lowered, Backend(TAKEN, explain=_explain(reasons)), folder, steps=steps)


def _in_precision(program: Program, precision: str) -> tuple[ExportedProgram, tuple[Step, ...]]:
    if precision not in _QUANTIZED:
        return program.exported, ()
    if precision == "ternary":
        from convert.targets._xnnpack_ternary import encode_for_xnnpack

        exported, step = encode_for_xnnpack(program)
        return exported, (step,)
    from convert.targets._xnnpack_quantize import quantize_dynamically, quantize_for_xnnpack

    dynamic = precision == "int8-dynamic"
    exported, step = quantize_dynamically(program) if dynamic else quantize_for_xnnpack(program, precision)
    return exported, (step,)


def _partitioner(precision: str) -> Any:
    if precision in _QUANTIZED:
        from convert.targets._xnnpack_partition import quantized_partitioner

        return quantized_partitioner()
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    return XnnpackPartitioner()


def _explain(reasons: dict[str, str]) -> Callable[[Node], tuple[str, str]]:
    def explain(node: Node) -> tuple[str, str]:
        return reasons.get(node.name) or "XNNPACK has no such operator", "runs in ExecuTorch's portable kernels"

    return explain


@contextmanager
def _rejections() -> Iterator[dict[str, str]]:
    """Collect the partitioner's debug log: node name → why XNNPACK refused it."""
    reasons: dict[str, str] = {}

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            node, reason = getattr(record.msg, "node", None), getattr(record.msg, "reason", "")
            if node is not None and reason:
                reasons.setdefault(node.name, reason)

    handler = Collect()
    loggers = [logging.getLogger(name) for name in _partition_loggers()]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.propagate = False  # debug lines are for the manifest, not for the terminal
        logger.addHandler(handler)
    try:
        yield reasons
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


def _partition_loggers() -> list[str]:
    import executorch.backends.xnnpack.partition.config as config

    return [
        f"{config.__name__}.{name}"
        for name in ("generic_node_configs", "gemm_configs", "node_configs", "xnnpack_config")
    ]
