"""Where to look in the next picture, outputs that hold no numbers, and the layers that apps draw."""

import math

import numpy as np
import pytest

from edge.contract import Contract, Postprocess, Preprocess, TensorSpec
from edge.tasks import Frame, Region
from edge.tasks._detection import Detection, detection_region
from edge.tasks._geometry import region_matrix
from edge.tasks._landmarks import refine_on_heatmap
from edge.tasks._overlay import class_layer, mask_layer, palette
from edge.tasks.pose import PoseDetection, PoseLandmarks, RegionTracker, nobody

SIZE = (64, 64)


def placed(landmarks: np.ndarray, region: Region, presence: float = 0.9):
    contract = Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, *SIZE), layout="NCHW"),),
        outputs=(
            TensorSpec(name="landmarks", shape=(1, landmarks.size)),
            TensorSpec(name="presence", shape=(1, 1)),
            TensorSpec(name="world", shape=(1, 99)),
        ),
        task="pose-landmarks",
        preprocess=Preprocess(size=SIZE),
        postprocess=Postprocess(decoder="landmarks"),
    )
    outputs = {"landmarks": landmarks.reshape(1, -1), "presence": np.array([[presence]]), "world": np.zeros((1, 99))}
    return PoseLandmarks().decode(outputs, contract, Frame((100, 100), SIZE, region_matrix(region, SIZE), region))


@pytest.mark.parametrize("rotation", [0.0, 0.7, -2.0, 3.0])
def test_the_region_follows_the_two_points_beyond_the_body(rotation):
    landmarks = np.zeros((39, 5))
    landmarks[33, :2], landmarks[34, :2] = (32, 32), (32, 12)  # the centre, and 20 tensor pixels above it
    region = Region(40.0, 60.0, 48.0, rotation)
    following = placed(landmarks, region).next_region
    assert following is not None
    assert (following.centre_x, following.centre_y) == pytest.approx((40.0, 60.0))
    assert following.side == pytest.approx(2 * 1.25 * 20 * 48 / 64)
    assert following.rotation == pytest.approx(rotation)


def test_a_detection_and_a_pose_ask_for_the_same_region():
    landmarks = np.random.default_rng(1).uniform(0, 64, (35, 5))
    region = Region(50.0, 50.0, 64.0)  # a tensor pixel is a picture's
    following = placed(landmarks, region).next_region
    same = detection_region(Detection(1.0, np.zeros(4), landmarks[33:35, :2] + 18.0))
    assert following is not None
    assert (following.centre_x, following.centre_y, following.side) == pytest.approx(
        (same.centre_x, same.centre_y, same.side)
    )
    assert following.rotation == pytest.approx(same.rotation)


def test_without_a_region_to_say_there_is_none():
    points = np.random.default_rng(2).uniform(0, 64, (39, 5))
    region = Region(50.0, 50.0, 64.0)
    assert placed(points[:33], region).next_region is None
    broken, empty = points.copy(), points.copy()
    broken[34, 0], empty[34] = math.nan, empty[33]
    assert placed(broken, region).next_region is None
    assert placed(empty, region).next_region is None


def test_the_tracker_goes_back_to_the_detector_when_the_person_is_lost():
    points = np.random.default_rng(3).uniform(0, 64, (39, 5))
    tracker = RegionTracker()
    assert tracker.region is None
    tracker.begin(Region(50.0, 50.0, 64.0))
    pose = placed(points, Region(50.0, 50.0, 64.0))
    assert tracker.follow(pose) == pose.next_region == tracker.region
    assert tracker.follow(placed(points, Region(50.0, 50.0, 64.0), presence=0.3)) is None
    assert tracker.region is None
    tracker.begin(Region(50.0, 50.0, 64.0))
    assert tracker.follow(nobody()) is None
    tracker.begin(Region(50.0, 50.0, 64.0))
    tracker.reset()
    assert tracker.region is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_boxes_that_hold_no_numbers_are_nobody(value):
    contract = Contract(
        inputs=(TensorSpec(name="image", shape=(1, 3, 32, 32), layout="NCHW"),),
        outputs=(TensorSpec(name="boxes", shape=(1, 4, 12)), TensorSpec(name="scores", shape=(1, 4, 1))),
        task="pose-detection",
        preprocess=Preprocess(size=(32, 32)),
        postprocess=Postprocess(decoder="ssd", settings={"strides": [16.0], "anchors_per_cell": [1.0]}),
    )
    frame = Frame((32, 32), (32, 32), np.eye(2, 3))
    boxes = np.full((1, 4, 12), 5.0)
    boxes[0, 1, 4] = value
    found = PoseDetection().decode({"boxes": boxes, "scores": np.full((1, 4, 1), 3.0)}, contract, frame)
    assert all(np.isfinite(item.box).all() and np.isfinite(item.keypoints).all() for item in found.items)
    only = {"boxes": boxes, "scores": np.array([-9.0, 9.0, -9.0, -9.0]).reshape(1, 4, 1)}
    assert PoseDetection().decode(only, contract, frame).empty


def test_points_and_heatmaps_that_hold_no_numbers_move_nothing():
    heatmap = np.full((8, 8, 2), 4.0)
    heatmap[2, 2, 1] = math.nan
    points = np.array([[math.nan, 0.5], [0.3, 0.3]])
    assert np.array_equal(refine_on_heatmap(points, heatmap), points, equal_nan=True)


def test_a_masks_layer_is_transparent_to_a_quarter_and_strongest_from_three_quarters():
    probability = np.array([[-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, 2.0, math.nan]])
    layer = mask_layer(probability, np.array([255, 82, 134]))
    assert (layer & 0xFFFFFF == 0xFF5286).all()
    assert (layer >> 24).tolist() == [[0, 0, 0, 49, 97, 97, 97, 0]]


def test_a_class_layer_has_the_palettes_colours():
    layer = class_layer(np.array([[0, 1, 15]], np.uint8))
    assert layer[0, 0] == 0
    assert layer[0, 1] == 0x80800000
    red, green, blue = palette(16)[15].tolist()
    assert layer[0, 2] == 0x80 << 24 | red << 16 | green << 8 | blue
