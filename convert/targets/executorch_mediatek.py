"""ExecuTorch with MediaTek's delegate: the NPUs of Dimensity 9300, 9400 and 9500, one `.pte` a chip.

The partitioner, the quantizer and the backend are in the executorch wheel; they call `mtk_converter` and `mtk_neuron`
of MediaTek's NeuroPilot Express SDK.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.delegation import Placement
from convert.targets import Compiled, target_family
from convert.targets._executorch import Backend, executorch_step, finish, lower, tag_origins
from edge.artifact import Step
from edge.errors import MissingError

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from convert.program import Program

SDK = "mediatek-neuropilot-executorch"
TAKEN = Placement("npu", "NeuropilotBackend")
LEFT = Placement("cpu", "portable", "mtk_converter says that it does not support it")

CHIPS = ("mt6991", "mt6989", "mt6993")  # Dimensity 9400, 9300 and 9500: what the backend takes as platform-config
_PRECISIONS = {"int8": "A8W8", "w8a16": "A16W8"}


@target_family(
    "executorch-mediatek",
    chips=CHIPS,
    runtime="executorch",
    summary="ExecuTorch .pte, MediaTek NPU (Android)",
    precisions=("int8", "w8a16", "fp16"),
    packages=("executorch", "torchao"),
    extra="executorch",
    execution="no",
    sdks=(SDK,),
)
def compile_mediatek(program: Program, precision: str, folder: Path, chip: str) -> Compiled:
    """Write model.pte; fp16 leaves the graph as it is, and MediaTek's compiler relaxes float32 to half precision.

    Raises MissingError without MediaTek's packages, Refused for int8 or w8a16 without calibration pictures or for a
    weight beyond float16, TargetError if the graph cannot be quantized, lowered or compiled.
    """
    neuropilot = _neuropilot()
    from executorch.exir import EdgeCompileConfig
    from executorch.exir.backend.compile_spec_schema import CompileSpec

    from convert.targets._pt2e import in_precision

    tag_origins(program)
    exported, steps = in_precision(program, precision, lambda: _quantized(program, precision, neuropilot))
    partitioner = neuropilot.NeuropilotPartitioner([CompileSpec("platform-config", chip.encode())])
    config = EdgeCompileConfig(_check_ir_validity=False)  # the quantized operators are not in the core set
    lowered = lower(program.name, exported, [partitioner], compile_config=config)
    steps = (*steps, executorch_step(partitioner="NeuropilotPartitioner", platform=chip))
    return finish(program, lowered, Backend(TAKEN, LEFT), folder, steps=steps)


def _neuropilot() -> Any:
    try:
        import executorch.backends.mediatek as neuropilot
    except ImportError as error:
        raise MissingError(
            f"MediaTek's mtk_converter and mtk_neuron cannot be imported ({error}): edge sdk install {SDK} --root DIR"
        ) from error
    return neuropilot


def _quantized(program: Program, precision: str, neuropilot: Any) -> tuple[ExportedProgram, Step]:
    from convert.targets._pt2e import own_observer_only, quantize, quantizer_step

    own_observer_only(program, "executorch-mediatek")
    quantizer = neuropilot.NeuropilotQuantizer()
    quantizer.setup_precision(neuropilot.Precision[_PRECISIONS[precision]])
    quantized = quantize(program, quantizer, fold_weights=False)
    return quantized.exported, quantizer_step("NeuropilotQuantizer", program, precision, quantized)
