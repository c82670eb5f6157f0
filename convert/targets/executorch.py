"""ExecuTorch with the XNNPACK delegate: CPU of phones (arm64) and of this machine, one `.pte`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.targets import Compiled, target
from edge.artifact import Delegation, Needs, Rejected, Step
from edge.errors import TargetError

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from convert.program import Program

MIN_RUNTIME = "executorch 1.5"


@target(
    "executorch-xnnpack",
    runtime="executorch",
    summary="ExecuTorch .pte, XNNPACK on the CPU (Android, iOS, Linux)",
    precisions=("fp32", "fp16"),
    packages=("executorch",),
    extra="executorch",
    execution="native",
)
def compile_xnnpack(program: Program, precision: str, folder: Path) -> Compiled:
    """Write model.pte; fp16 computes in half precision between float32 inputs and outputs.

    XNNPACK's files keep weights as float32, so fp16 does not shrink them. Raises TargetError if the program cannot
    be lowered, Refused if a weight exceeds float16.
    """
    before = len(program.steps)
    if precision == "fp16":
        from convert.passes.half import to_half
        from convert.targets._half import check_half_range

        check_half_range(program)
        program = to_half(program)
    lowered, reasons = _lower(program)
    delegation = count_delegation(lowered.exported_program().graph_module, reasons)  # before memory planning adds ops
    data: bytes = lowered.to_executorch().buffer
    (folder / "model.pte").write_bytes(data)
    step = Step(
        tool="executorch", version=metadata.version("executorch"), options={"partitioner": "XnnpackPartitioner"}
    )
    return Compiled(
        inputs=program.contract.inputs,
        outputs=program.contract.outputs,
        steps=(*program.steps[before:], step),
        needs=Needs(min_runtime=MIN_RUNTIME),
        delegation=delegation,
    )


def _lower(program: Program) -> tuple[Any, dict[str, str]]:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    with _rejections() as reasons:
        try:
            lowered = to_edge_transform_and_lower(program.exported, partitioner=[XnnpackPartitioner()])
        except Exception as error:  # whatever the lowering stack raises
            first = str(error).strip().split("\n", 1)[0]
            raise TargetError(f"ExecuTorch cannot lower {program.name}: {type(error).__name__}: {first}") from error
    return lowered, reasons


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


def count_delegation(module: GraphModule, reasons: dict[str, str]) -> Delegation:
    """Count the operators of a lowered graph by unit, and name those that XNNPACK left to portable kernels."""
    delegated, left = 0, []
    for node in module.graph.nodes:
        if node.op == "get_attr" and node.name.startswith("lowered_module_"):
            inner = getattr(module, node.target).original_module.graph
            delegated += sum(_is_operator(found) for found in inner.nodes)
        elif _is_operator(node):
            left.append(node)
    counts = Counter(_operator(node) for node in left)
    why = {_operator(node): reasons.get(node.name, "") for node in left}
    rejected = tuple(
        Rejected(
            op=op,
            count=count,
            reason=why[op] or "XNNPACK has no such operator",
            hint="runs in ExecuTorch's portable kernels",
        )
        for op, count in sorted(counts.items())
    )
    return Delegation(
        ops=delegated + len(left), by_unit={"xnnpack": delegated, "portable": len(left)}, rejected=rejected
    )


def _is_operator(node: Any) -> bool:
    return node.op == "call_function" and _operator(node) not in ("getitem", "executorch_call_delegate")


def _operator(node: Any) -> str:
    name: str = getattr(node.target, "__name__", str(node.target))
    return name
