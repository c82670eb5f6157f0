"""Pose tasks: decoding with made-up outputs, OKS, drawing, and what a wrong contract says."""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.errors import ContractError
from edge.tasks import TASKS, Frame, Region
from edge.tasks._landmarks import LANDMARK_NAMES, SIGMAS, refine_on_heatmap
from edge.tasks.pose import Detections, Pose, PosePipeline, nobody, pixel_error, pose_oks

FEW = settings(max_examples=40, deadline=None)  # a loaded machine is no failure
Layout = Literal["NCHW", "NHWC"]
PHOTO = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)


def _image(name: str, channels: int, size: int, layout: Layout) -> TensorSpec:
    shape = (1, channels, size, size) if layout == "NCHW" else (1, size, size, channels)
    return TensorSpec(name=name, shape=shape, layout=layout)


def detector_contract(layout: Layout = "NCHW") -> Contract:
    return Contract(
        inputs=(_image("image", 3, 224, layout),),
        outputs=(TensorSpec(name="boxes", shape=(1, 2254, 12)), TensorSpec(name="scores", shape=(1, 2254, 1))),
        task="pose-detection",
        preprocess=Preprocess(size=(224, 224), resize="letterbox", range=(-1.0, 1.0)),
        postprocess=Postprocess(
            decoder="ssd",
            settings={
                "strides": [8, 16, 32],
                "anchors_per_cell": [2, 2, 6],
                "score_threshold": 0.5,
                "iou_threshold": 0.3,
                "scale": 224.0,
            },
        ),
    )


def landmark_contract(layout: Layout = "NCHW") -> Contract:
    return Contract(
        inputs=(_image("image", 3, 256, layout),),
        outputs=(
            TensorSpec(name="landmarks", shape=(1, 195)),
            TensorSpec(name="presence", shape=(1, 1)),
            _image("mask", 1, 256, layout),
            _image("heatmap", 39, 64, layout),
            TensorSpec(name="world", shape=(1, 117)),
        ),
        task="pose-landmarks",
        preprocess=Preprocess(size=(256, 256)),
    )


def _landmark_outputs(layout: Layout) -> dict[str, Any]:
    random = np.random.default_rng(1)
    landmarks = np.zeros((39, 5), np.float32)
    landmarks[:, :2] = random.uniform(40, 216, (39, 2))
    landmarks[:, 2] = random.normal(0, 30, 39)
    landmarks[:, 3:] = 3.0
    mask = np.full((1, 1, 256, 256), -8, np.float32)
    mask[..., 64:192, 64:192] = 8
    heatmap = np.full((1, 39, 64, 64), -10, np.float32)
    turn = (0, 2, 3, 1) if layout == "NHWC" else (0, 1, 2, 3)
    return {
        "landmarks": landmarks.reshape(1, 195),
        "presence": np.array([[0.9]], np.float32),
        "mask": mask.transpose(turn),
        "heatmap": heatmap.transpose(turn),
        "world": random.normal(0, 0.4, (1, 117)).astype(np.float32),
    }


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_detector_finds_what_the_outputs_say(layout: Layout) -> None:
    task, contract = TASKS["pose-detection"], detector_contract(layout)
    inputs, frame = task.prepare(PHOTO, contract)
    assert inputs["image"].shape == contract.inputs[0].shape
    assert inputs["image"].min() == -1.0  # the letterbox's black bars
    boxes, scores = np.zeros((1, 2254, 12), np.float32), np.full((1, 2254, 1), -20, np.float32)
    cell = 2 * (14 * 28 + 14)  # its anchor is at (14.5 / 28, 14.5 / 28) of the tensor
    boxes[0, cell] = [0, 0, 56, 112, 0, 0, 0, -56, 0, 0, 0, 0]
    scores[0, cell] = 3.0
    found = task.decode({"boxes": boxes, "scores": scores}, contract, frame)
    (person,) = found.items
    centre = np.array([14.5 / 28 * 128, 14.5 / 28 * 128 - 16])
    assert np.allclose(person.box, np.ravel([np.subtract(centre, (16, 32)), np.add(centre, (16, 32))]), atol=1e-4)
    assert np.allclose(person.keypoints[1], centre - (0, 32), atol=1e-4)
    assert person.score == pytest.approx(1 / (1 + np.exp(-3)))
    assert json.loads(json.dumps(found.to_json()))["detections"][0]["score"] == 0.9526
    drawn = task.draw(PHOTO, found)
    assert drawn.shape == PHOTO.shape
    assert not np.array_equal(drawn, PHOTO)


def test_detector_refuses_outputs_that_do_not_fit_its_anchors() -> None:
    contract = detector_contract()
    frame = TASKS["pose-detection"].prepare(PHOTO, contract)[1]
    outputs = {"boxes": np.zeros((1, 9, 12), np.float32), "scores": np.zeros((1, 9, 1), np.float32)}
    with pytest.raises(ContractError, match="2254 anchors"):
        TASKS["pose-detection"].decode(outputs, contract, frame)
    with pytest.raises(ContractError, match="'boxes'"):
        TASKS["pose-detection"].decode({}, msgspec.structs.replace(contract, outputs=()), frame)
    bad = msgspec.structs.replace(contract, postprocess=Postprocess(decoder="ssd", settings={"strides": "8"}))
    with pytest.raises(ContractError, match=r"strides is '8'"):
        TASKS["pose-detection"].decode(outputs, bad, frame)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_landmarks_come_back_to_the_picture(layout: Layout) -> None:
    task, contract = TASKS["pose-landmarks"], landmark_contract(layout)
    region = Region(60.0, 50.0, 64.0, np.pi / 2)
    inputs, frame = task.prepare(PHOTO, contract, region)
    assert inputs["image"].shape == contract.inputs[0].shape
    outputs = _landmark_outputs(layout)
    pose = task.decode(outputs, contract, frame)
    flat = outputs["landmarks"].reshape(39, 5)[:33].astype(np.float64)
    expected = np.stack([60 - (flat[:, 1] - 128) / 4, 50 + (flat[:, 0] - 128) / 4], axis=1)  # a quarter turn
    assert np.allclose(pose.points[:, :2], expected, atol=1e-4)
    assert np.allclose(pose.points[:, 2], flat[:, 2] / 4, atol=1e-4)
    world = outputs["world"].reshape(39, 3)[:33]
    assert np.allclose(pose.world, np.stack([-world[:, 1], world[:, 0], world[:, 2]], axis=1), atol=1e-6)
    assert pose.mask is not None
    assert pose.mask.shape == (96, 128)
    assert pose.mask[50, 60] > 0.99
    assert pose.mask[5, 120] == 0  # outside the region
    assert pose.found
    assert len(json.loads(json.dumps(pose.to_json()))["landmarks"]) == 33
    drawn = task.draw(PHOTO, pose)
    assert drawn.shape == PHOTO.shape
    assert not np.array_equal(drawn, PHOTO)


def test_without_a_region_the_whole_picture_is_seen() -> None:
    frame = TASKS["pose-landmarks"].prepare(PHOTO, landmark_contract())[1]
    assert frame.region == Region(64.0, 48.0, 128.0)


def test_nobody_is_drawn_as_nothing() -> None:
    task = TASKS["pose-landmarks"]
    assert np.array_equal(task.draw(PHOTO, nobody()), PHOTO)
    assert nobody().to_json() == {"score": 0.0, "found": False, "landmarks": []}
    assert task.compare(nobody(), nobody()) == 1.0


def test_pipeline_joins_both_models_and_knows_an_empty_picture() -> None:
    boxes, scores = np.zeros((1, 2254, 12), np.float32), np.full((1, 2254, 1), -20, np.float32)
    pipeline = PosePipeline(
        run_detector=lambda inputs: {"boxes": boxes, "scores": scores},
        run_landmarks=lambda inputs: _landmark_outputs("NCHW"),
        detector=detector_contract(),
        landmarks=landmark_contract(),
    )
    assert not pipeline(PHOTO).found
    scores[0, 812], boxes[0, 812] = 5.0, [0, 0, 56, 112, 0, 0, 0, -56, 0, 0, 0, 0]
    pose = pipeline(PHOTO)
    assert pose.found
    assert pose.region is not None
    assert pose.region.side == pytest.approx(2.5 * 32)
    assert pose.region.rotation == pytest.approx(0)


@pytest.mark.parametrize(("logit", "moves"), [(-1.0, False), (6.0, True)])
def test_heatmap_refines_only_when_sure(logit: float, moves: bool) -> None:
    heatmap = np.full((64, 64, 1), -30, np.float32)
    heatmap[20, 30] = logit
    point = np.array([[31.5 / 64, 21.5 / 64]])
    refined = refine_on_heatmap(point, heatmap)
    assert np.allclose(refined, [[30 / 64, 20 / 64]] if moves else point, atol=1e-6)
    outside = np.array([[1.2, -0.1]])
    assert np.array_equal(refine_on_heatmap(outside, heatmap), outside)


@FEW
@given(x=st.floats(-0.5, 1.5), y=st.floats(-0.5, 1.5), seed=st.integers(0, 99))
def test_refined_point_stays_near(x: float, y: float, seed: int) -> None:
    heatmap = np.random.default_rng(seed).normal(0, 4, (16, 16, 1))
    refined = refine_on_heatmap(np.array([[x, y]]), heatmap)
    assert np.abs(refined - (x, y)).max() <= 4 / 16 + 1e-9


def _pose(points: np.ndarray, *, score: float = 1.0, visibility: float = 1.0) -> Pose:
    full = np.concatenate([points, np.zeros((33, 1))], axis=1)
    return Pose(score, full, np.full(33, visibility), np.full(33, visibility), np.zeros((33, 3)))


POINTS = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).uniform(0, 400, (33, 2)))


@FEW
@given(points=POINTS, noise=st.floats(0, 500), scale=st.floats(0.1, 10), seed=st.integers(0, 99))
def test_oks_bounds_symmetry_and_scale(points: np.ndarray, noise: float, scale: float, seed: int) -> None:
    other = points + np.random.default_rng(seed).normal(0, 1, (33, 2)) * noise
    reference, result = _pose(points), _pose(other)
    value = pose_oks(result, reference)
    assert 0 <= value <= 1
    assert pose_oks(reference, reference) == 1
    assert pose_oks(_pose(other * scale), _pose(points * scale)) == pytest.approx(value, abs=1e-9)
    mirrored = pose_oks(_pose(2 * points - other), reference)  # an error counts alike in both directions
    assert mirrored == pytest.approx(value, abs=1e-9)
    assert pose_oks(_pose(points + 3), reference) <= pose_oks(_pose(points + 1), reference)


def test_oks_counts_what_is_seen_and_pixel_error_everything() -> None:
    points = np.random.default_rng(0).uniform(0, 100, (33, 2))
    reference = _pose(points)
    reference.visibility[5:] = 0.1
    moved = points.copy()
    moved[5:] += 40
    assert pose_oks(_pose(moved), reference) == 1
    assert pixel_error(_pose(moved), reference) == pytest.approx(28 / 33 * 40 * np.sqrt(2))
    assert pose_oks(_pose(points, score=0.2), reference) == 0
    assert pose_oks(_pose(points), _pose(points, visibility=0.0)) == 1


def test_sigmas_are_cocos() -> None:
    assert dict(zip(LANDMARK_NAMES, SIGMAS, strict=True))["left_hip"] == 0.107
    assert len(SIGMAS) == 33
    one_sigma = 2 * SIGMAS  # at d = 2σ·√area one keypoint scores e^−½
    points = np.zeros((33, 2))
    points[0], points[1] = (100, 0), (0, 100)  # a box of 100 × 100
    moved = points + np.stack([one_sigma * 100, np.zeros(33)], axis=1)
    assert pose_oks(_pose(moved), _pose(points)) == pytest.approx(np.exp(-0.5))


def test_frame_and_detections_are_records() -> None:
    frame = Frame((1, 1), (1, 1), np.eye(2, 3))
    assert frame.region is None
    assert Detections(()).to_json() == {"detections": []}
    assert Detections(()).empty
    assert nobody().empty
