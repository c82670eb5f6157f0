"""MediaPipe Tasks: a `.task` bundle for PoseLandmarker, a `.tflite` with metadata for ImageSegmenter."""

from __future__ import annotations

import ctypes.util
import functools
import sys
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from convert.delegation import Placement, place_all
from convert.targets import Compiled, target
from edge.artifact import Needs, Step, write_atomic
from edge.errors import Refused
from edge.store import cached_folder, keep_folder
from edge.tasks.segmentation import CLASS_MAPS

if TYPE_CHECKING:
    from convert.program import Program
    from edge.contract import Contract, Preprocess

SEGMENTER_FILE, POSE_FILE = "model.tflite", "model.task"
# PoseLandmarker takes outputs by position, and its anchors are fixed.
_OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "pose-detection": ("boxes", "scores"),
    "pose-landmarks": ("landmarks", "presence", "mask", "heatmap", "world"),
}
_ANCHORS: Mapping[str, object] = {"strides": [8, 16, 32], "anchors_per_cell": [2, 2, 6]}
_LIBRARIES: Mapping[str, str] = {"GL": "libgl1", "EGL": "libegl1", "GLESv2": "libgles2"}  # and Debian's packages
_OTHER_HALF = {"pose-detection": "blazepose-lite", "pose-landmarks": "blazepose-detector"}


@functools.cache
def graphics_libraries() -> str:
    """Return the system libraries that mediapipe loads, even to run on the CPU, and that are not here."""
    if sys.platform != "linux":
        return ""
    missing = {name: package for name, package in _LIBRARIES.items() if ctypes.util.find_library(name) is None}
    if not missing:
        return ""
    return f"{', '.join(f'lib{name}' for name in missing)}: apt-get install {' '.join(missing.values())}"


def unfit(contract: Contract) -> str:
    """Say what MediaPipe's fixed graph would do otherwise than a contract says, or return an empty string."""
    rule = contract.preprocess
    if rule is None or contract.inputs[0].dtype != "float32" or len(contract.inputs) != 1:
        return "MediaPipe needs one float32 picture with preprocess; litert-cpu takes any input"
    if rule.colour != "RGB":
        return f"MediaPipe feeds RGB, the contract says {rule.colour}; litert-cpu takes it as it is"
    return _not_for_segmenter(contract, rule) if contract.task == "segmentation" else _not_for_landmarker(contract)


def _not_for_segmenter(contract: Contract, rule: Preprocess) -> str:
    if rule.resize != "stretch":
        return f"ImageSegmenter stretches pictures, the contract says {rule.resize}; use litert-cpu"
    if contract.postprocess is not None and contract.postprocess.decoder in CLASS_MAPS:
        return (
            "ImageSegmenter resizes scores before it chooses classes, the decoder "
            f"{contract.postprocess.decoder!r} after; return scores (decoder logits) or use litert-cpu"
        )
    if len(contract.outputs) != 1 or not contract.outputs[0].layout:
        return "ImageSegmenter needs one output with an image layout; litert-cpu takes any"
    return ""


def _not_for_landmarker(contract: Contract) -> str:
    names = tuple(spec.name for spec in contract.outputs)
    if names != _OUTPUTS[contract.task]:
        wanted = ", ".join(_OUTPUTS[contract.task])
        return f"PoseLandmarker needs the outputs {wanted}, the contract has {', '.join(names)}"
    settings = contract.postprocess.settings if contract.postprocess else {}
    for name, value in _ANCHORS.items():
        if contract.task == "pose-detection" and settings.get(name, value) != value:
            return f"PoseLandmarker's {name} are {value}, the contract has {settings[name]}"
    return ""


@target(
    "mediapipe-task",
    runtime="mediapipe",
    summary="MediaPipe Tasks file for PoseLandmarker and ImageSegmenter, Android, iOS, web, desktop",
    precisions=("fp32", "fp16"),
    packages=("mediapipe", "litert-torch", "ai-edge-litert", "ai-edge-quantizer"),
    extra="mediapipe",
    execution="native",
    tasks=("pose-detection", "pose-landmarks", "segmentation"),
    probe=graphics_libraries,
    unfit=unfit,
)
def mediapipe_task(program: Program, precision: str, folder: Path) -> Compiled:
    """Write model.tflite (segmentation) or model.task (pose: this model and the other half of the pipeline).

    Inputs and outputs of the file are channels-last. Raises Refused for a contract that MediaPipe would not obey.
    """
    from convert.targets._litert import border_specs, litert_steps

    check_contract(program)
    options: dict[str, str | int | float | bool] = {}
    if program.contract.task == "segmentation":
        write_atomic(folder / SEGMENTER_FILE, segmenter_file(program, precision))
    else:
        other = companion(program)
        write_atomic(folder / POSE_FILE, pose_bundle(program, other, precision))
        options = {"companion": other.name, "companion_sha256": other.source.sha256}
    return Compiled(
        inputs=border_specs(program.contract.inputs, "NHWC"),
        outputs=border_specs(program.contract.outputs, "NHWC"),
        steps=(
            *litert_steps(precision),
            Step(tool="mediapipe", version=metadata.version("mediapipe"), options=options),
        ),
        needs=Needs(min_runtime="MediaPipe Tasks 0.10.14"),
        operators=place_all(program, Placement("cpu", "LiteRT")),
    )


def check_contract(program: Program) -> None:
    """Raise Refused where MediaPipe's fixed graph would treat a model otherwise than its contract says."""
    if why := unfit(program.contract):
        raise Refused(f"{program.name}: {why}")


def segmenter_file(program: Program, precision: str) -> bytes:
    """Return a `.tflite` file that ImageSegmenter runs."""
    from convert.targets._mediapipe_metadata import Segmenter

    contract = program.contract
    logits = contract.postprocess is not None and contract.postprocess.decoder == "logits"
    labels = contract.labels if logits else contract.labels[-1:]  # a file of one plane has one label: its class 1
    return _with_metadata(program, precision, Segmenter("softmax" if logits else "none", labels))


def pose_bundle(program: Program, other: Program, precision: str) -> bytes:
    """Return a `.task` file that PoseLandmarker runs: a detector and a landmark model, given in either order."""
    from convert.targets._mediapipe_metadata import bundle
    from edge.runtimes.mediapipe import MEMBERS

    check_contract(other)
    programs = {item.contract.task: item for item in (program, other)}
    if set(programs) != set(MEMBERS):
        raise Refused(
            f"{program.name} and {other.name} are both for {program.contract.task}; a bundle needs one of each"
        )
    networks = {
        program.contract.task: _with_metadata(program, precision, None),
        other.contract.task: _kept(other, precision),
    }
    return bundle({member: networks[task] for task, member in MEMBERS.items()})


def _kept(program: Program, precision: str) -> bytes:
    """Return the companion's file from the cache, or make it once: every bundle of a family holds the same one."""
    from convert.keys import kit_digest
    from convert.program import program_digest

    versions = [metadata.version(name) for name in ("torch", "litert-torch", "ai-edge-quantizer", "mediapipe")]
    key = program_digest(program, precision, kit_digest(), *versions)
    if found := cached_folder("artifacts", key):
        return (found / "network.tflite").read_bytes()
    content = _with_metadata(program, precision, None)
    with tempfile.TemporaryDirectory() as folder:
        write_atomic(Path(folder) / "network.tflite", content)
        keep_folder("artifacts", key, Path(folder))
    return content


def companion(program: Program) -> Program:
    """Load and export the model of the zoo that completes the pose pipeline."""
    from convert.export import export
    from convert.load import load
    from convert.passes import optimize
    from edge.zoo import MODELS

    named = MODELS[program.name].companion if program.name in MODELS else ""
    return optimize(export(load(named or _OTHER_HALF[program.contract.task])), "mediapipe")


def _with_metadata(program: Program, precision: str, segmenter: object) -> bytes:
    from convert.targets._litert import to_tflite
    from convert.targets._mediapipe_metadata import Segmenter, add_metadata
    from convert.targets._mediapipe_normalize import fold_channels

    folded, normalization = fold_channels(program)
    return add_metadata(
        to_tflite(folded, precision, layout="NHWC"),
        name=program.name,
        description=f"{program.name} for MediaPipe Tasks",
        normalization=normalization,
        segmenter=segmenter if isinstance(segmenter, Segmenter) else None,
    )
