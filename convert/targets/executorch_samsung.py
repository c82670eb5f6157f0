"""ExecuTorch with Samsung's delegate: the NPUs of Exynos 2500 and 2600, one `.pte` a chip.

The partitioner, the quantizer and the backend are in the executorch wheel. They call two extension modules that
ExecuTorch's `backends/samsung/build.sh -b x86_64` builds against Samsung's Exynos AI LiteCore.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from convert.delegation import Placement
from convert.targets import Compiled, target_family
from convert.targets._executorch import Backend, executorch_step, finish, lower, tag_origins
from edge.artifact import Step
from edge.errors import MissingError

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from convert.program import Program

SDK = "samsung-litecore-executorch"
ROOT = "EXYNOS_AI_LITECORE_ROOT"
TAKEN = Placement("npu", "EnnBackend")
LEFT = Placement("cpu", "portable", "the Enn backend has no builder for it")

CHIPS = ("E9955", "E9965")  # Exynos 2500 and 2600: what the backend's compile options know
_ADAPTORS = "executorch.backends.samsung.python"


@target_family(
    "executorch-samsung",
    chips=CHIPS,
    runtime="executorch",
    summary="ExecuTorch .pte, Samsung Exynos NPU (Android)",
    precisions=("int8", "fp16"),
    packages=("executorch", "torchao"),
    extra="executorch",
    execution="no",
    sdks=(SDK,),
)
def compile_samsung(program: Program, precision: str, folder: Path, chip: str) -> Compiled:
    """Write model.pte; fp16 leaves the graph as it is, and Samsung's compiler computes it in half precision.

    Raises MissingError without LiteCore's adaptors, Refused for int8 without calibration pictures or for a weight
    beyond float16, TargetError if the graph cannot be quantized, lowered or compiled.
    """
    load_adaptors()
    from executorch.backends.samsung.partition.enn_partitioner import EnnPartitioner
    from executorch.backends.samsung.serialization.compile_options import gen_samsung_backend_compile_spec
    from executorch.backends.samsung.utils.export_utils import get_edge_compile_config

    from convert.targets._pt2e import in_precision

    tag_origins(program)
    exported, steps = in_precision(program, precision, lambda: _quantized(program, precision))
    partitioner = EnnPartitioner([gen_samsung_backend_compile_spec(chip)])
    lowered = lower(program.name, exported, [partitioner], compile_config=get_edge_compile_config())
    steps = (*steps, executorch_step(partitioner="EnnPartitioner", chipset=chip))
    return finish(program, lowered, Backend(TAKEN, LEFT), folder, steps=steps)


def load_adaptors() -> None:
    """Import the extension modules of the LiteCore folder as the package where the backend looks for them.

    The wheel lacks that package: a build from source puts the modules into it. Raises MissingError without them.
    """
    package = ModuleType(_ADAPTORS)
    package.__path__ = [str(Path(os.environ.get(ROOT, "")) / "python")]
    sys.modules[_ADAPTORS] = package
    try:
        import executorch.backends.samsung.python.PyEnnWrapperAdaptor
        import executorch.backends.samsung.python.PyGraphWrapperAdaptor  # noqa: F401
    except ImportError as error:
        raise MissingError(
            f"Samsung's PyEnnWrapperAdaptor and PyGraphWrapperAdaptor cannot be imported ({error}): "
            f"edge sdk install {SDK} --root DIR"
        ) from error


def _quantized(program: Program, precision: str) -> tuple[ExportedProgram, Step]:
    from executorch.backends.samsung.quantizer import EnnQuantizer

    from convert.targets._pt2e import own_observer_only, quantize, quantizer_step

    own_observer_only(program, "executorch-samsung")
    quantized = quantize(program, EnnQuantizer(), fold_weights=False)
    return quantized.exported, quantizer_step("EnnQuantizer", program, precision, quantized)
