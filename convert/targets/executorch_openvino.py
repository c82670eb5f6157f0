"""ExecuTorch with the OpenVINO delegate: x86 computers, one `.pte` compiled for their CPU."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from convert.delegation import Placement
from convert.targets import Compiled, target
from convert.targets._executorch import MIN_RUNTIME, Backend, executorch_step, finish, lower, operator, tag_origins

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Node

    from convert.program import Program

BACKEND = "OpenvinoBackend"
DEVICE = "CPU"  # OpenVINO's NPU and GPU plugins compile only where there is such a device
TAKEN = Placement("cpu", BACKEND)


@target(
    "executorch-openvino",
    runtime="executorch-openvino",
    summary="ExecuTorch .pte, OpenVINO on the CPU of x86 computers",
    precisions=("fp32",),  # a CPU without half arithmetic gets float32 files for fp16; the int8 quantizer needs nncf
    packages=("executorch", "openvino"),
    extra="openvino",
    execution="native",
)
def compile_openvino(program: Program, precision: str, folder: Path) -> Compiled:
    """Write model.pte for this kind of CPU; raises TargetError if the program cannot be lowered."""
    tag_origins(program)
    with _rejections() as refused:
        from executorch.exir.backend.backend_details import CompileSpec

        partitioner = _partitioner()([CompileSpec("device", DEVICE.encode())])
        partitioner.ops_to_not_decompose = _kept_whole
        lowered = lower(program.name, program.exported, [partitioner])
    version = metadata.version("openvino")
    steps = (executorch_step(partitioner="OpenvinoPartitioner", device=DEVICE, openvino=version),)
    backend = Backend(TAKEN, explain=_explain(refused))
    return finish(program, lowered, backend, folder, steps=steps, min_runtime=f"{MIN_RUNTIME}, openvino {version}")


def _partitioner() -> Any:
    """Return the partitioner's class; the package around it also imports a quantizer, which would need nncf."""
    name = "executorch.backends.openvino"
    if name not in sys.modules:
        import executorch.backends

        package = ModuleType(name)
        package.__path__ = [str(Path(folder) / "openvino") for folder in executorch.backends.__path__]
        sys.modules[name] = package
    return importlib.import_module(f"{name}.partitioner").OpenvinoPartitioner


def _kept_whole(exported: ExportedProgram) -> tuple[list[Any], None]:
    """Return the operators to hand over whole.

    The partitioner also names pixel_shuffle, which it then does not take, and lowering fails.
    """
    import torch

    aten = torch.ops.aten
    resizes = (aten.upsample_bilinear2d, aten.upsample_nearest2d)
    return [aten.stack.default, *(overload for resize in resizes for overload in (resize.default, resize.vec))], None


def _explain(refused: set[str]) -> Callable[[Node], tuple[str, str]]:
    def explain(node: Node) -> tuple[str, str]:
        name = operator(node)
        reason = f"Op not supported: {name}" if name in refused else "OpenVINO's partitioner left it"
        return reason, "runs in ExecuTorch's portable kernels"

    return explain


@contextmanager
def _rejections() -> Iterator[set[str]]:
    """Collect the operators that the partitioner prints as not supported; stdout is for results."""
    refused: set[str] = set()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        yield refused
    refused.update(re.findall(r"Op not supported: +torch\.ops\.(\S+)", printed.getvalue()))
