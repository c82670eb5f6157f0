"""Properties of boxes, regions and the maps between a picture and a tensor."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.tasks import Region
from edge.tasks._detection import (
    Detection,
    Detections,
    anchor_centres,
    decode_boxes,
    detection_region,
    match,
    weighted_suppression,
)
from edge.tasks._geometry import (
    box_iou,
    corner_matrix,
    invert,
    letterbox_matrix,
    region_matrix,
    stretch_matrix,
    transform,
)

FEW = settings(max_examples=40, deadline=None)  # a loaded machine is no failure
SIZES = st.tuples(st.integers(1, 5000), st.integers(1, 5000))
TENSORS = st.tuples(st.integers(8, 600), st.integers(8, 600))
PIXELS = st.floats(-5000, 5000)
REGIONS = st.builds(Region, PIXELS, PIXELS, st.floats(1, 5000), st.floats(-math.pi, math.pi))
BOXES = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 0.6), st.floats(0.01, 0.6), st.floats(0.5, 1)),
    max_size=12,
)


def _people(rows: list[tuple[float, float, float, float, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values = np.array(rows, np.float64).reshape(-1, 5)
    boxes = np.concatenate([values[:, :2], values[:, :2] + values[:, 2:4]], axis=1)
    keypoints = np.repeat(values[:, None, :2], 4, axis=1) + np.arange(4)[None, :, None] * 0.05
    return boxes, keypoints, values[:, 4]


@FEW
@given(image=SIZES, tensor=TENSORS)
def test_letterbox_holds_the_whole_picture_and_inverts(image: tuple[int, int], tensor: tuple[int, int]) -> None:
    matrix = letterbox_matrix(image, tensor)
    corners = transform(invert(matrix), np.array([[0, 0], [image[1], image[0]]], np.float64))
    assert (corners >= -1e-6).all()
    assert (corners <= np.array([tensor[1], tensor[0]]) + 1e-6).all()
    assert matrix[0, 0] == matrix[1, 1]
    assert np.allclose(corners.sum(axis=0), [tensor[1], tensor[0]], atol=1e-5)  # centred


@FEW
@given(image=SIZES, tensor=TENSORS)
def test_a_picture_in_the_corner_fills_one_axis(image: tuple[int, int], tensor: tuple[int, int]) -> None:
    matrix = corner_matrix(image, tensor)
    corners = transform(invert(matrix), np.array([[0, 0], [image[1], image[0]]], np.float64))
    assert np.array_equal(corners[0], [0, 0])
    assert matrix[0, 0] == matrix[1, 1]
    assert (corners[1] / [tensor[1], tensor[0]]).max() == pytest.approx(1)


@FEW
@given(image=SIZES, tensor=TENSORS)
def test_stretch_maps_corners_to_corners(image: tuple[int, int], tensor: tuple[int, int]) -> None:
    corners = np.array([[0, 0], [tensor[1], tensor[0]]], np.float64)
    assert np.allclose(transform(stretch_matrix(image, tensor), corners), [[0, 0], [image[1], image[0]]])


@FEW
@given(region=REGIONS, tensor=TENSORS)
def test_region_round_trip(region: Region, tensor: tuple[int, int]) -> None:
    height, width = tensor
    matrix = region_matrix(region, tensor)
    points = np.array([[0, 0], [width, 0], [width / 2, height / 2], [width, height]], np.float64)
    there = transform(matrix, points)
    assert np.allclose(there[2], [region.centre_x, region.centre_y], atol=1e-6)
    assert math.isclose(math.dist(there[0], there[1]), region.side, rel_tol=1e-9)
    assert math.isclose(math.dist(there[0], there[3]), region.side * math.sqrt(2), rel_tol=1e-9)
    assert np.allclose(transform(invert(matrix), there), points, atol=1e-4)


@FEW
@given(x=PIXELS, y=PIXELS, reach=st.floats(1, 2000), angle=st.floats(-3.1, 3.1))
def test_region_stands_the_person_up(x: float, y: float, reach: float, angle: float) -> None:
    head = (x + reach * math.sin(angle), y - reach * math.cos(angle))  # `angle` clockwise from straight up
    keypoints = np.array([(x, y), head, (x, y), (x, y)])
    region = detection_region(Detection(0.9, np.array([x, y, x + 1, y + 1]), keypoints))
    assert math.isclose(region.rotation, angle, abs_tol=1e-6)
    assert math.isclose(region.side, 2.5 * reach, rel_tol=1e-9)
    seen = transform(invert(region_matrix(region, (256, 256))), keypoints[:2])
    assert np.allclose(seen, [[128, 128], [128, 128 - 256 / 2.5]], atol=1e-3)


@FEW
@given(rows=BOXES, threshold=st.floats(0.05, 0.9))
def test_suppression_uses_every_box_once(
    rows: list[tuple[float, float, float, float, float]], threshold: float
) -> None:
    boxes, keypoints, scores = _people(rows)
    found = weighted_suppression(boxes, keypoints, scores, threshold)
    assert len(found) <= len(rows)
    assert bool(found) == bool(rows)
    values = [item.score for item in found]
    assert values == sorted(values, reverse=True)
    if rows:
        assert values[0] == scores.max()
    for item in found:  # a mean lies within what it averages
        assert (item.box >= boxes.min(axis=0) - 1e-9).all()
        assert (item.box <= boxes.max(axis=0) + 1e-9).all()


@FEW
@given(rows=BOXES)
def test_suppression_keeps_what_does_not_overlap(rows: list[tuple[float, float, float, float, float]]) -> None:
    boxes, keypoints, scores = _people(rows)
    apart = boxes + 10.0 * np.arange(len(boxes))[:, None]
    found = weighted_suppression(apart, keypoints, scores, 0.3)
    order = np.argsort(-scores, kind="stable")
    assert np.allclose([item.box for item in found] or np.zeros((0, 4)), apart[order])


def test_suppression_averages_by_score() -> None:
    boxes = np.array([[0, 0, 1, 1], [0.1, 0, 1.1, 1]])
    keypoints = np.array([[[0.0, 0.0]], [[1.0, 2.0]]])
    (merged,) = weighted_suppression(boxes, keypoints, np.array([0.9, 0.6]), 0.3)
    assert np.allclose(merged.box, [0.04, 0, 1.04, 1])
    assert np.allclose(merged.keypoints, [[0.4, 0.8]])
    assert merged.score == 0.9


@FEW
@given(rows=BOXES.filter(lambda rows: len(rows) >= 2))
def test_iou_bounds_and_symmetry(rows: list[tuple[float, float, float, float, float]]) -> None:
    boxes, _, _ = _people(rows)
    table = np.array([box_iou(box, boxes) for box in boxes])
    assert ((table >= 0) & (table <= 1 + 1e-9)).all()
    assert np.allclose(table, table.T)
    assert np.allclose(np.diag(table), 1)


def test_iou_of_empty_boxes_is_zero() -> None:
    assert box_iou(np.zeros(4), np.zeros((1, 4))) == 0


@FEW
@given(rows=BOXES, shift=st.floats(0, 0.5))
def test_detections_match_bounds(rows: list[tuple[float, float, float, float, float]], shift: float) -> None:
    boxes, keypoints, scores = _people(rows)
    people = Detections(tuple(map(Detection, scores.tolist(), boxes, keypoints)))
    moved = Detections(tuple(map(Detection, scores.tolist(), boxes + shift, keypoints + shift)))
    assert math.isclose(match(people, people), 1.0, abs_tol=1e-9)
    assert -1e-9 <= match(moved, people) <= 1 + 1e-9
    assert match(people, Detections(())) == (0.0 if rows else 1.0)


def test_anchors_of_the_published_detector() -> None:
    anchors = anchor_centres((224, 224), (8, 16, 32), (2, 2, 6))
    assert anchors.shape == (2254, 2)
    assert np.allclose(anchors[:4], [[0.5 / 28, 0.5 / 28]] * 2 + [[1.5 / 28, 0.5 / 28]] * 2)
    assert np.allclose(anchors[-1], [6.5 / 7, 6.5 / 7])


@FEW
@given(cx=st.floats(-50, 50), cy=st.floats(-50, 50), width=st.floats(1, 300), height=st.floats(1, 300))
def test_box_decoding(cx: float, cy: float, width: float, height: float) -> None:
    raw = np.array([[cx, cy, width, height, cx, cy, 0, 0, 1, 1, 2, 2]])
    boxes, keypoints = decode_boxes(raw, np.array([[0.5, 0.25]]), 224.0)
    centre = np.array([cx / 224 + 0.5, cy / 224 + 0.25])
    assert np.allclose((boxes[0, :2] + boxes[0, 2:]) / 2, centre)
    assert np.allclose(boxes[0, 2:] - boxes[0, :2], [width / 224, height / 224])
    assert np.allclose(keypoints[0, 0], centre)
    assert keypoints.shape == (1, 4, 2)


def test_rotation_stays_within_half_a_turn() -> None:
    down = Detection(1.0, np.zeros(4), np.array([(0.0, 0.0), (0.0, 5.0), (0, 0), (0, 0)]))
    assert abs(detection_region(down).rotation) == pytest.approx(math.pi)
