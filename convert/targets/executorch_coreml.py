"""ExecuTorch with the Core ML delegate: one `.pte` for iPhone, iPad and Mac.

Core ML decides on the device, operator by operator, between the Neural Engine, the GPU and the CPU; nothing outside
Apple's systems knows how. Operators of the delegate are therefore reported as unit "npu", backend "CoreMLBackend":
they are what the Neural Engine can be given, not a measurement of what it took.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.delegation import Placement, operator_nodes
from convert.targets import Compiled, target
from convert.targets._executorch import (
    MIN_RUNTIME,
    Backend,
    executorch_step,
    finish,
    lower,
    operator,
    origin,
    tag_origins,
)

if TYPE_CHECKING:
    from torch.fx import Node

    from convert.program import Program

BACKEND = "CoreMLBackend"
TAKEN = Placement("npu", BACKEND)

_MINIMUM = "iOS16"  # the first whose programs may be fp16 from end to end
_MIN_RUNTIME = f"{MIN_RUNTIME}, iOS 16 / macOS 13"
_COMPUTE = {"fp32": "float32", "fp16": "float16"}
_LOGGER = "executorch.backends.apple.coreml"
_HINTS = {
    "argmax": "give it a dim",
    "argmin": "give it a dim",
    "diagonal": "multiply with an identity matrix and sum",
    "asinh": "write log(x + sqrt(x² + 1))",
    "acosh": "write log(x + sqrt(x² - 1))",
}


@target(
    "executorch-coreml",
    runtime="executorch-coreml",
    summary="ExecuTorch .pte, Core ML on iPhone, iPad and Mac: Neural Engine, GPU and CPU",
    precisions=("fp32", "fp16"),  # CoreMLQuantizer: its selfie-segmentation is wrong before Core ML sees it
    packages=("executorch", "coremltools"),
    extra="executorch",
    execution="reference",
    unit="npu",
)
def compile_coreml(program: Program, precision: str, folder: Path) -> Compiled:
    """Write model.pte; fp16 computes in half precision between float32 inputs and outputs.

    Operators that coremltools converts to something else stay out of the delegate, with the reason. Raises TargetError
    if the program cannot be lowered, Refused if a weight exceeds float16.
    """
    from convert.passes._rewrite import apply_rewrite
    from convert.targets._coreml_backend import backend_writes_packages
    from convert.targets._coreml_graph import correct_operators, expand_alpha, overlooked
    from convert.targets._coreml_package import quiet_coremltools
    from convert.targets._half import check_half_range

    if precision == "fp16":
        check_half_range(program)
    with quiet_coremltools(), _rejections() as messages:
        from executorch.backends.apple.coreml.partition import CoreMLPartitioner

        program = replace(program, exported=apply_rewrite(program.exported, expand_alpha))
        tag_origins(program)
        wrong = {node.name: what for node in operator_nodes(program) if (what := overlooked(node))}
        correct_operators()
        partitioner = CoreMLPartitioner(
            compile_specs=_compile_specs(precision),
            skip_ops_for_coreml_delegation=_names(program, wrong),
            take_over_mutable_buffer=False,  # as state it would need iOS 18
        )
        with backend_writes_packages():
            lowered = lower(program.name, program.exported, [partitioner])
        step = executorch_step(
            partitioner="CoreMLPartitioner", minimum_deployment_target=_MINIMUM, compute_precision=_COMPUTE[precision]
        )
        backend = Backend(TAKEN, explain=_explain(messages, wrong))
        return finish(program, lowered, backend, folder, steps=(step,), min_runtime=_MIN_RUNTIME)


def _compile_specs(precision: str) -> list[Any]:
    import coremltools as ct
    from executorch.backends.apple.coreml.compiler import CoreMLBackend

    specs: list[Any] = CoreMLBackend.generate_compile_specs(
        compute_unit=ct.ComputeUnit.ALL,
        minimum_deployment_target=getattr(ct.target, _MINIMUM),
        compute_precision=ct.precision(_COMPUTE[precision]),
        model_type=CoreMLBackend.MODEL_TYPE.MODEL,  # compiled models come from macOS only
    )
    return specs


def _names(program: Program, wrong: dict[str, str]) -> list[str]:
    """Return the operators to skip, in both dialects in which the partitioner asks for them."""
    targets = {operator(node).lower() for node in operator_nodes(program) if node.name in wrong}
    return sorted({*targets, *(f"aten.{name}" for name in targets)})


def _explain(messages: list[str], wrong: dict[str, str]) -> Callable[[Node], tuple[str, str]]:
    def explain(node: Node) -> tuple[str, str]:
        if what := wrong.get(origin(node)):
            return f"coremltools converts it wrongly: it overlooks {what}", ""
        name = operator(node)  # "aten.argmax.default"
        short = name.removeprefix("aten.").split(".", 1)[0]
        said = [text for text in messages if name.lower() in text.lower() or (short in text and "{" in text)]
        return said[0] if said else "Core ML has no such operator", _HINTS.get(short.removesuffix("_copy"), "")

    return explain


@contextmanager
def _rejections() -> Iterator[list[str]]:
    """Collect what the partitioner logs about operators that it skips; the terminal stays quiet."""
    messages: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    logger, handler = logging.getLogger(_LOGGER), Collect()
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
