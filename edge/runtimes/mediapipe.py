"""Run MediaPipe Tasks files: the network inside by itself, or the whole task on a picture.

`open_mediapipe` runs the `.tflite` in the artifact with LiteRT, tensor by tensor, for comparison with the model.
`run_task` hands a picture to the installed mediapipe package, which does everything from resizing to decoding.
"""

from __future__ import annotations

import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.artifact import Artifact, Mode
from edge.contract import TensorSpec
from edge.errors import ContractError, MissingError, TargetError
from edge.images import warp_plane
from edge.runtimes import Session, runtime
from edge.tasks import Image
from edge.tasks.pose import Pose, nobody
from edge.tasks.segmentation import Segmentation, from_probability
from edge.threads import thread_count

# The members of a bundle that PoseLandmarker looks for, by the task of the model they hold.
MEMBERS: Mapping[str, str] = {
    "pose-detection": "pose_detector.tflite",
    "pose-landmarks": "pose_landmarks_detector.tflite",
}
_AGAIN = "deploy it again with `edge deploy`"
_INSTALL = "pip install 'edge-deployment-kit[mediapipe]'"


@dataclass(slots=True)
class TaskSession:
    """The artifact's own network in LiteRT's interpreter, with the contract's names and normalisation."""

    artifact: Artifact
    interpreter: Any
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    scale: NDArray[np.float32]  # (3,): the file's input is the manifest's · scale + offset
    offset: NDArray[np.float32]
    mode: Mode = "native"

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once on channels-last tensors; names, shapes and dtypes are the manifest's."""
        for spec, detail in zip(self.inputs, self.interpreter.get_input_details(), strict=True):
            value = np.asarray(inputs[spec.name] * self.scale + self.offset, np.float32)
            self.interpreter.set_tensor(detail["index"], value)
        self.interpreter.invoke()
        details = self.interpreter.get_output_details()
        return {
            spec.name: self.interpreter.get_tensor(detail["index"])
            for spec, detail in zip(self.outputs, details, strict=True)
        }

    def predict(self, image: Image) -> Pose | Segmentation:
        """Let the installed mediapipe do the whole task on a picture; see `run_task`."""
        return run_task(self.artifact, image)


@runtime("mediapipe", package="ai-edge-litert", modules=("ai_edge_litert.interpreter",))
def open_mediapipe(artifact: Artifact) -> Session:
    """Open the network of the artifact's own model; raises MissingError without LiteRT."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise MissingError(f"ai-edge-litert is not installed: {_INSTALL}") from error
    content = network_bytes(artifact)
    try:
        interpreter = Interpreter(model_content=content, num_threads=thread_count())
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise TargetError(f"LiteRT cannot open the network in {artifact.root}: {error}; {_AGAIN}") from error
    manifest = artifact.manifest
    found = [tuple(int(size) for size in detail["shape"]) for detail in interpreter.get_output_details()]
    expected = [spec.shape for spec in manifest.outputs]
    if found != expected:
        raise ContractError(f"{artifact.root}: the file's outputs are {found}, its manifest says {expected}")
    scale, offset = _adapter(content, artifact)
    return TaskSession(artifact, interpreter, manifest.inputs, manifest.outputs, scale, offset)


def network_bytes(artifact: Artifact) -> bytes:
    """Return the `.tflite` of the artifact's own model: the file itself, or its member of the `.task` bundle."""
    task = artifact.manifest.task
    if task not in MEMBERS:
        return artifact.file(".tflite").read_bytes()
    path = artifact.file(".task")
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(MEMBERS[task])
    except (zipfile.BadZipFile, KeyError) as error:
        raise TargetError(f"{path} is not a bundle with {MEMBERS[task]}: {error}; {_AGAIN}") from error


def _adapter(content: bytes, artifact: Artifact) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return scale and offset from the manifest's normalised values to those that the file takes.

    MediaPipe normalises all channels alike, so a file may hold the rest of its contract's normalisation.
    """
    rule = artifact.manifest.preprocess
    if rule is None:
        return np.ones(3, np.float32), np.zeros(3, np.float32)
    mean, std = _normalization(content)
    low, high = rule.range
    pixel_scale = 255.0 * np.array(rule.std) / (high - low)
    pixel_offset = 255.0 * (np.array(rule.mean) - low) / (high - low)
    return (pixel_scale / std).astype(np.float32), ((pixel_offset - mean) / std).astype(np.float32)


def _normalization(content: bytes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read the mean and std of NormalizationOptions from a `.tflite` file's metadata."""
    try:
        from ai_edge_litert import schema_py_generated as model_schema
        from mediapipe.tasks.metadata import metadata_schema_py_generated as schema
    except ImportError as error:
        raise MissingError(f"mediapipe is not installed: {_INSTALL}") from error
    model = model_schema.Model.GetRootAs(content, 0)
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() == b"TFLITE_METADATA":
            packed = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
            root = schema.ModelMetadataT.InitFromObj(schema.ModelMetadata.GetRootAs(packed, 0))
            options = root.subgraphMetadata[0].inputTensorMetadata[0].processUnits[0].options
            return np.array(options.mean, np.float64), np.array(options.std, np.float64)
    raise ContractError(f"the .tflite file has no MediaPipe metadata; {_AGAIN}")


def run_task(artifact: Artifact, image: Image) -> Pose | Segmentation:
    """Let the installed mediapipe do the whole task on a picture, and return its result as the task's own type.

    Pose artifacts give a Pose from both models of the bundle; segmentation gives a Segmentation.
    Raises MissingError without mediapipe or its graphics libraries, TargetError if it fails.
    """
    with _mediapipe(str(artifact.root)) as (mediapipe, vision, base_options):
        picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        if artifact.manifest.task == "segmentation":
            options = base_options(model_asset_path=str(artifact.file(".tflite")))
            with vision.ImageSegmenter.create_from_options(vision.ImageSegmenterOptions(options)) as segmenter:
                masks = [mask.numpy_view().squeeze().copy() for mask in segmenter.segment(picture).confidence_masks]
            return _segmentation(masks, artifact)
        options = base_options(model_asset_path=str(artifact.file(".task")))
        settings = vision.PoseLandmarkerOptions(options, output_segmentation_masks=True)
        with vision.PoseLandmarker.create_from_options(settings) as landmarker:
            return _pose(landmarker.detect(picture), image.shape[:2])


def _pose(result: Any, image_hw: tuple[int, int]) -> Pose:
    """Convert MediaPipe's result; it does not tell the presence score, only that it passed."""
    if not result.pose_landmarks:
        return nobody()
    height, width = image_hw
    marks, world = result.pose_landmarks[0], result.pose_world_landmarks[0]
    masks = result.segmentation_masks
    return Pose(
        score=1.0,
        points=np.array([(mark.x * width, mark.y * height, mark.z * width) for mark in marks]),
        visibility=np.array([mark.visibility for mark in marks]),
        presence=np.array([mark.presence for mark in marks]),
        world=np.array([(mark.x, mark.y, mark.z) for mark in world]),
        mask=masks[0].numpy_view().squeeze().copy() if masks else None,
    )


def _segmentation(masks: list[NDArray[np.float32]], artifact: Artifact) -> Segmentation:
    manifest = artifact.manifest
    aligned = [_aligned(mask, manifest.outputs[0].size_hw) for mask in masks]
    if len(aligned) > 1:
        return Segmentation(np.argmax(aligned, axis=0).astype(np.uint8), manifest.labels)
    return from_probability(aligned[0], manifest.labels, manifest.postprocess)


def _aligned(mask: NDArray[np.float32], plane_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Undo ImageSegmenter's shift by half a mask pixel.

    It samples the picture at x · W / w, and resizes the mask with half-pixel centres, (x + ½) · w / W − ½: the mask
    lies (W / w − 1) / 2 pixels to the right of, and as far below, what it shows.
    """
    height, width = mask.shape
    shift_x, shift_y = (width / plane_hw[1] - 1) / 2, (height / plane_hw[0] - 1) / 2
    return warp_plane(mask, np.array([[1.0, 0.0, shift_x], [0.0, 1.0, shift_y]]), (height, width))


@contextmanager
def _mediapipe(name: str) -> Iterator[tuple[Any, Any, Any]]:
    """Give the mediapipe modules, with what its native code prints kept back unless it fails."""
    try:
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision
    except ImportError as error:
        raise MissingError(f"mediapipe is not installed: {_INSTALL}") from error
    with tempfile.TemporaryFile() as log:
        try:
            with _stderr_into(log.fileno()):
                yield mediapipe, vision, BaseOptions
        except OSError as error:
            first = str(error).split("\n", 1)[0]
            raise MissingError(
                f"mediapipe cannot be loaded ({first}): apt-get install libgl1 libegl1 libgles2"
            ) from error
        except (RuntimeError, ValueError) as error:
            log.seek(0)
            lines = log.read().decode(errors="replace").strip().splitlines()[-3:]
            raise TargetError(f"mediapipe failed on {name}: {error}; its log ends: {' | '.join(lines)}") from error


@contextmanager
def _stderr_into(descriptor: int) -> Iterator[None]:
    """Send the process's standard error, as native code sees it, into a file."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        os.dup2(descriptor, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
