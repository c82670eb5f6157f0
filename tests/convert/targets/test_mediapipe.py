"""mediapipe-task: files that the installed mediapipe runs, and that compute what the model computes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convert.export import export
from convert.program import Model, Program
from convert.targets import TARGETS, Compiled
from convert.targets import mediapipe as target
from convert.targets._mediapipe_metadata import Normalization, Segmenter, add_metadata, bundle
from convert.targets._mediapipe_normalize import fold_channels, pixel_normalization
from edge.artifact import Artifact, Manifest, Needs, Source, list_files, read_manifest, write_manifest
from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.errors import Refused, TargetError
from edge.runtimes import open_session
from edge.runtimes.mediapipe import _aligned, run_task
from edge.tasks import TASKS, Image
from edge.tasks.pose import Pose, PosePipeline, pixel_error, pose_oks
from edge.tasks.segmentation import Segmentation, mean_iou

Weights = Callable[[str], Path]
SOURCE = Source(sha256="0" * 64)
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
conversion = pytest.mark.filterwarnings(
    "ignore:.*isinstance.treespec, LeafSpec.:FutureWarning",  # litert-torch against torch 2.13
    "ignore::DeprecationWarning",
)


def _astronaut() -> Image:
    from skimage import data

    return np.asarray(data.astronaut())


def _camera() -> Image:
    from skimage import data

    return np.repeat(data.camera()[..., None], 3, axis=2)


def _image(name: str, channels: int, height: int, width: int, layout: Literal["NCHW", "NHWC"] = "NCHW") -> TensorSpec:
    shape = (1, channels, height, width) if layout == "NCHW" else (1, height, width, channels)
    return TensorSpec(name=name, shape=shape, layout=layout)


def _detector_contract(layout: Literal["NCHW", "NHWC"] = "NCHW") -> Contract:
    settings: dict[str, Any] = {
        "strides": [8, 16, 32], "anchors_per_cell": [2, 2, 6], "score_threshold": 0.5, "iou_threshold": 0.3,
        "scale": 224.0,
    }  # fmt: skip
    return Contract(
        inputs=(_image("image", 3, 224, 224, layout),),
        outputs=(TensorSpec(name="boxes", shape=(1, 2254, 12)), TensorSpec(name="scores", shape=(1, 2254, 1))),
        task="pose-detection",
        preprocess=Preprocess(size=(224, 224), resize="letterbox", range=(-1.0, 1.0)),
        postprocess=Postprocess(decoder="ssd", settings=settings),
    )


def _landmark_contract(layout: Literal["NCHW", "NHWC"] = "NCHW") -> Contract:
    return Contract(
        inputs=(_image("image", 3, 256, 256, layout),),
        outputs=(
            TensorSpec(name="landmarks", shape=(1, 195)),
            TensorSpec(name="presence", shape=(1, 1)),
            _image("mask", 1, 256, 256, layout),
            _image("heatmap", 39, 64, 64, layout),
            TensorSpec(name="world", shape=(1, 117)),
        ),
        task="pose-landmarks",
        preprocess=Preprocess(size=(256, 256)),
        postprocess=Postprocess(decoder="landmarks"),
    )


def _segmentation_contract(channels: int, layout: Literal["NCHW", "NHWC"] = "NCHW", **rule: Any) -> Contract:
    return Contract(
        inputs=(_image("image", 3, 64, 96, layout),),
        outputs=(_image("mask", channels, 32, 48, layout),),
        task="segmentation",
        preprocess=Preprocess(size=(64, 96), **rule),
        postprocess=Postprocess(decoder="probability" if channels == 1 else "logits"),
        labels=("background", "person") if channels == 1 else tuple(f"class {i}" for i in range(channels)),
    )


class TinySegmenter(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.Conv2d(8, channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        scores: Tensor = self.last(torch.relu(self.first(image)))
        return torch.sigmoid(8 * scores) if scores.shape[1] == 1 else 4 * scores


class TinyDetector(nn.Module):
    """Sees one person, somewhat to the side of a fixed cell by how bright the picture is."""

    def __init__(self) -> None:
        super().__init__()
        box = torch.tensor([0, 0, 60.0, 60, 0, 20, 12, -40, 0, 0, 0, 0])
        self.register_buffer("boxes", torch.zeros(1, 2254, 12).index_fill(1, torch.tensor([800]), 1) * box)
        self.register_buffer("scores", torch.full((1, 2254, 1), -9.0).index_fill(1, torch.tensor([800]), 4))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        light = image.mean()
        return self.boxes + light, self.scores + 0 * light


class TinyLandmarks(nn.Module):
    """Puts landmarks on a spiral, and looks for the mask in the picture's red."""

    def __init__(self) -> None:
        super().__init__()
        turn = torch.arange(39) / 4
        spiral = torch.stack([128 + 9 * turn * turn.cos(), 128 + 9 * turn * turn.sin(), 5 * turn], dim=1)
        self.register_buffer("landmarks", torch.cat([spiral, torch.full((39, 2), 4.0)], dim=1).reshape(1, 195))
        torch.manual_seed(0)
        self.heat = nn.Conv2d(3, 39, 4, stride=4)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        light = image.mean()
        landmarks = self.landmarks + light
        presence = (0.9 + 0 * light).reshape(1, 1)
        return landmarks, presence, 8 * image[:, :1] - 4, self.heat(image) - 9, landmarks[:, :117] / 100


def _model(module: nn.Module, contract: Contract, name: str = "tiny") -> Model:
    return Model(name, module.eval(), contract, SOURCE)


def _artifact(folder: Path, contract: Contract, precision: str, compiled: Compiled | None = None) -> Artifact:
    manifest = Manifest(
        model="tiny",
        task=contract.task,
        target="mediapipe-task",
        precision=precision,
        files=list_files(folder),
        inputs=compiled.inputs if compiled else contract.inputs,
        outputs=compiled.outputs if compiled else contract.outputs,
        steps=compiled.steps if compiled else (),
        source=SOURCE,
        needs=compiled.needs if compiled else Needs(min_runtime=""),
        preprocess=contract.preprocess,
        postprocess=contract.postprocess,
        labels=contract.labels,
    )
    write_manifest(folder, manifest)
    return read_manifest(folder)


def _compile(program: Program, precision: str, folder: Path) -> Artifact:
    folder.mkdir()
    return _artifact(folder, program.contract, precision, TARGETS["mediapipe-task"].compile(program, precision, folder))


def _eager(model: Model) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def run(inputs: dict[str, Any]) -> dict[str, Any]:
        with torch.no_grad():
            outputs = model.module(*(torch.from_numpy(value) for value in inputs.values()))
        items = outputs if isinstance(outputs, tuple) else (outputs,)
        return {spec.name: item.numpy() for spec, item in zip(model.contract.outputs, items, strict=True)}

    return run


def _check_tensors(artifact: Artifact, model: Model, inputs: dict[str, Any], limit: float) -> None:
    """Run the file's own network channels-last and compare with eager: max abs ≤ limit · largest magnitude."""
    expected = _eager(model)(inputs)
    found = open_session(artifact).run({name: value.transpose(0, 2, 3, 1) for name, value in inputs.items()})
    assert list(found) == [spec.name for spec in model.contract.outputs]
    for spec in artifact.manifest.outputs:
        assert found[spec.name].shape == spec.shape
        value = found[spec.name].transpose(0, 3, 1, 2) if spec.layout else found[spec.name]
        assert np.abs(value - expected[spec.name]).max() <= limit * np.abs(expected[spec.name]).max()


@conversion
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(("channels", "rule"), [(1, {}), (21, IMAGENET)])
def test_segmenter(channels: int, rule: dict[str, Any], precision: str, tmp_path: Path) -> None:
    contract = _segmentation_contract(channels, **rule)
    model = _model(TinySegmenter(channels), contract)
    artifact = _compile(export(model), precision, tmp_path / "out")
    task, photo = TASKS["segmentation"], _astronaut()
    inputs, frame = task.prepare(photo, contract)
    _check_tensors(artifact, model, inputs, 1e-5 if precision == "fp32" else 3e-3)
    result = run_task(artifact, photo)
    reference = task.decode(_eager(model)(inputs), contract, frame)
    assert isinstance(result, Segmentation)
    assert result.labels == contract.labels
    assert task.compare(result, reference) >= 0.99


@conversion
@pytest.mark.slow
def test_pose_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = _model(TinyDetector(), _detector_contract(), "detector")
    landmarks = _model(TinyLandmarks(), _landmark_contract(), "landmarks")
    programs = {"detector": export(detector), "landmarks": export(landmarks)}
    other = {"detector": "landmarks", "landmarks": "detector"}
    monkeypatch.setattr(target, "companion", lambda program: programs[other[program.name]])
    artifact = _compile(programs["landmarks"], "fp16", tmp_path / "out")
    photo = _astronaut()
    pipeline = PosePipeline(
        run_detector=_eager(detector), run_landmarks=_eager(landmarks),
        detector=detector.contract, landmarks=landmarks.contract,
    )  # fmt: skip
    reference = pipeline(photo)
    assert reference.region is not None
    inputs, _ = TASKS["pose-landmarks"].prepare(photo, landmarks.contract, reference.region)
    _check_tensors(artifact, landmarks, inputs, 3e-3)
    result = run_task(artifact, photo)
    assert isinstance(result, Pose)
    assert pose_oks(result, reference) >= 0.999
    assert pixel_error(result, reference) <= 1e-3 * reference.region.side
    assert np.abs(result.world - reference.world).max() <= 1e-3
    assert mean_iou(result.mask > 0.5, reference.mask > 0.5) >= 0.99

    with zipfile.ZipFile(artifact.file(".task")) as archive:
        assert archive.namelist() == ["pose_detector.tflite", "pose_landmarks_detector.tflite"]
    detecting = msgspec.structs.replace(
        artifact.manifest,
        task="pose-detection",
        inputs=(_image("image", 3, 224, 224, "NHWC"),),
        outputs=detector.contract.outputs,
        preprocess=detector.contract.preprocess,
    )
    inputs, _ = TASKS["pose-detection"].prepare(photo, detector.contract)
    _check_tensors(replace_manifest(artifact, detecting), detector, inputs, 1e-5)


def replace_manifest(artifact: Artifact, manifest: Manifest) -> Artifact:
    return msgspec.structs.replace(artifact, manifest=manifest)


def _original_pose(weights: Weights, size: str, folder: Path) -> tuple[Artifact, Artifact]:
    """Bundle the published files as they are; return the bundle seen as its landmark model and as its detector."""
    files = {
        "pose_detector.tflite": ("pose_detection.tflite", Normalization((127.5,) * 3, (127.5,) * 3)),
        "pose_landmarks_detector.tflite": (f"pose_landmark_{size}.tflite", Normalization((0.0,) * 3, (255.0,) * 3)),
    }
    members = {
        member: add_metadata(weights(file).read_bytes(), name=file, description="", normalization=normalization)
        for member, (file, normalization) in files.items()
    }
    (folder / "model.task").write_bytes(bundle(members))
    landmarks = _artifact(folder, _landmark_contract("NHWC"), "fp32")
    return landmarks, _artifact(folder, _detector_contract("NHWC"), "fp32")


@pytest.mark.slow
@pytest.mark.parametrize("size", ["lite", "full", "heavy"])
def test_pipeline_agrees_with_mediapipe_on_the_published_files(size: str, tmp_path: Path, weights: Weights) -> None:
    landmarks, detector = _original_pose(weights, size, tmp_path)
    pipeline = PosePipeline(
        run_detector=open_session(detector).run, run_landmarks=open_session(landmarks).run,
        detector=_detector_contract("NHWC"), landmarks=_landmark_contract("NHWC"),
    )  # fmt: skip
    wide = np.pad(_astronaut(), ((0, 0), (100, 400), (0, 0)))
    for photo in (_astronaut(), _camera(), _astronaut()[:, ::-1], wide):
        ours, theirs = pipeline(photo), run_task(landmarks, photo)
        assert isinstance(theirs, Pose)
        assert ours.found
        assert ours.region is not None
        distance = np.linalg.norm(ours.points[:, :2] - theirs.points[:, :2], axis=1)
        assert np.median(distance) <= 1e-4 * ours.region.side
        # A point whose heatmap is at the edge of being believed may be refined by one and not by the other.
        assert pixel_error(ours, theirs) <= 1e-3 * ours.region.side
        assert pose_oks(ours, theirs) >= 0.999
        assert np.abs(ours.world - theirs.world).max() <= 2e-3  # metres
        assert np.abs(ours.visibility - theirs.visibility).max() <= 5e-3
        assert mean_iou(ours.mask > 0.5, theirs.mask > 0.5) >= 0.998
    empty = np.full((200, 300, 3), 128, np.uint8)
    assert not pipeline(empty).found
    assert not run_task(landmarks, empty).found  # type: ignore[union-attr]


@pytest.mark.slow
def test_segmentation_agrees_with_mediapipe_on_the_published_file(tmp_path: Path, weights: Weights) -> None:
    contract = Contract(
        inputs=(_image("image", 3, 256, 256, "NHWC"),),
        outputs=(_image("mask", 1, 256, 256, "NHWC"),),
        task="segmentation",
        preprocess=Preprocess(size=(256, 256)),
        postprocess=Postprocess(decoder="probability"),
    )
    (tmp_path / "model.tflite").write_bytes(
        add_metadata(
            weights("selfie_segmentation.tflite").read_bytes(),
            name="selfie",
            description="",
            normalization=Normalization((0.0,) * 3, (255.0,) * 3),
            segmenter=Segmenter("none", ("person",)),
        )
    )
    artifact = _artifact(tmp_path, contract, "fp32")
    task, session = TASKS["segmentation"], open_session(artifact)
    for photo in (_astronaut(), _camera(), np.pad(_astronaut(), ((0, 0), (100, 400), (0, 0)))):
        inputs, frame = task.prepare(photo, contract)
        ours = task.decode(session.run(inputs), contract, frame)
        assert task.compare(run_task(artifact, photo), ours) >= 0.99


def test_alignment_undoes_half_pixel_resizing() -> None:
    plane = np.random.default_rng(0).random((12, 16), np.float32)
    y, x = np.mgrid[0:96, 0:128]

    def sample(at_y: np.ndarray, at_x: np.ndarray) -> np.ndarray:
        from edge.images import warp_plane

        matrix = np.array([[at_x[0, 1] - at_x[0, 0], 0, at_x[0, 0]], [0, at_y[1, 0] - at_y[0, 0], at_y[0, 0]]])
        return warp_plane(plane, matrix, (96, 128))

    resized = sample((y + 0.5) / 8 - 0.5, (x + 0.5) / 8 - 0.5)
    inner = np.s_[8:80, 8:112]
    assert np.abs(_aligned(resized, (12, 16)) - sample(y / 8, x / 8))[inner].max() <= 0.1  # linear of linear
    assert np.array_equal(_aligned(plane, (12, 16)), plane)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preprocess": None}, "needs one float32 picture"),
        ({"preprocess": Preprocess(size=(64, 96), colour="BGR")}, "feeds RGB"),
        ({"preprocess": Preprocess(size=(64, 96), resize="letterbox")}, "stretches"),
        ({"outputs": (TensorSpec(name="y", shape=(1, 4)),)}, "one output"),
    ],
)
def test_segmenter_contracts_that_mediapipe_would_not_obey(change: dict[str, Any], message: str) -> None:
    contract = msgspec.structs.replace(_segmentation_contract(1), **change)
    with pytest.raises(Refused, match=message):
        target.check_contract(_program(contract))


def test_pose_contracts_that_mediapipe_would_not_obey() -> None:
    contract = _landmark_contract()
    with pytest.raises(Refused, match="needs the outputs landmarks, presence"):
        target.check_contract(_program(msgspec.structs.replace(contract, outputs=contract.outputs[::-1])))
    rule = Postprocess(decoder="ssd", settings={"strides": [16]})
    with pytest.raises(Refused, match="strides"):
        target.check_contract(_program(msgspec.structs.replace(_detector_contract(), postprocess=rule)))
    with pytest.raises(Refused, match="both for pose-landmarks"):
        target.pose_bundle(_program(contract), _program(contract), "fp32")


def _program(contract: Contract) -> Program:
    exported: Any = None  # the contract is refused before the graph is looked at
    return Program("tiny", exported, contract, SOURCE)


def test_normalization_in_pixels() -> None:
    assert pixel_normalization(Preprocess(size=(1, 1))) == Normalization((0.0,) * 3, (255.0,) * 3)
    signed = pixel_normalization(Preprocess(size=(1, 1), range=(-1.0, 1.0)))
    assert signed == Normalization((127.5,) * 3, (127.5,) * 3)


def test_unequal_channels_are_folded_into_the_network() -> None:
    contract = _segmentation_contract(3, **IMAGENET)
    program = export(_model(TinySegmenter(3), contract))
    folded, normalization = fold_channels(program)
    assert normalization == Normalization((0.0,) * 3, (255.0,) * 3)
    pixels = torch.rand(1, 3, 64, 96)
    shape = (1, 3, 1, 1)
    inputs = (pixels - torch.tensor(IMAGENET["mean"]).reshape(shape)) / torch.tensor(IMAGENET["std"]).reshape(shape)
    expected = program.exported.module(check_guards=False)(inputs)[0]
    assert torch.allclose(folded.exported.module(check_guards=False)(pixels)[0], expected, atol=1e-5)
    same = export(_model(TinySegmenter(3), _segmentation_contract(3)))
    assert fold_channels(same)[0] is same


def test_bundle_is_stored_aligned_and_reproducible() -> None:
    members = {"a.tflite": b"x" * 7, "bb.tflite": b"y" * 9}
    data = bundle(members)
    assert data == bundle(dict(members))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            assert archive.read(info) == members[info.filename]
            assert data.index(members[info.filename]) % 4 == 0


@pytest.mark.slow
def test_metadata_is_replaced_and_reproducible(weights: Weights) -> None:
    model = weights("selfie_segmentation.tflite").read_bytes()

    def write(data: bytes, std: float) -> bytes:
        rule = Normalization((0.0,) * 3, (std,) * 3)
        return add_metadata(data, name="s", description="", normalization=rule, segmenter=Segmenter("none", ("a",)))

    assert write(model, 255.0) == write(model, 255.0)
    from edge.runtimes.mediapipe import _normalization

    again = write(write(model, 1.0), 255.0)
    assert _normalization(again)[1].tolist() == [255.0] * 3


def test_a_broken_file_gives_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"TFL3" * 20)
    artifact = _artifact(tmp_path, _segmentation_contract(1, "NHWC"), "fp32")
    with pytest.raises(TargetError, match="mediapipe failed on") as caught:
        run_task(artifact, np.zeros((8, 8, 3), np.uint8))
    assert "\n" not in str(caught.value)
    with pytest.raises(TargetError, match="LiteRT cannot open"):
        open_session(artifact)
    (tmp_path / "model.task").write_bytes(b"no zip")
    with pytest.raises(TargetError, match="is not a bundle with pose_landmarks_detector"):
        open_session(_artifact(tmp_path, _landmark_contract("NHWC"), "fp32"))
