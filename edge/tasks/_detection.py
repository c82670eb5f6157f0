"""Person detections: anchors, box decoding, weighted suppression, and the region that a landmark model wants.

After Bazarevsky et al., "BlazeFace" (2019, blended suppression) and "BlazePose" (2020, alignment from two points).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.tasks import Region
from edge.tasks._geometry import Points, box_iou, rounded

REGION_SCALE = 1.25  # the region is this much larger than the circle around the person
_KEYPOINT_K = 2 * 0.107  # twice the COCO sigma of a hip: the detector's points are the body's centre and extent


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One person: score in 0…1, box (x0, y0, x1, y1) and 4 keypoints (4, 2) in picture pixels.

    Keypoints: mid-hip, full-body circle, mid-shoulder, upper-body circle (a circle is given by a point on it).
    """

    score: float
    box: NDArray[np.float64]
    keypoints: Points

    def to_json(self) -> dict[str, Any]:
        """Return the detection as plain JSON values, pixels with 2 decimals."""
        return {
            "score": round(self.score, 4),
            "box": rounded(self.box, 2),
            "keypoints": rounded(self.keypoints, 2),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The people of a picture, highest score first."""

    items: tuple[Detection, ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to compare: nobody was found."""
        return not self.items

    def to_json(self) -> dict[str, Any]:
        """Return the detections as plain JSON values."""
        return {"detections": [item.to_json() for item in self.items]}


def anchor_centres(tensor_hw: tuple[int, int], strides: Sequence[int], per_cell: Sequence[int]) -> Points:
    """Return the anchors' centres (N, 2) in 0…1, rows first; every anchor of a cell lies at the cell's centre."""
    grids = []
    for stride, count in zip(strides, per_cell, strict=True):
        rows, columns = math.ceil(tensor_hw[0] / stride), math.ceil(tensor_hw[1] / stride)
        y, x = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), count, axis=0))
    return np.concatenate(grids)


def decode_boxes(raw: NDArray[Any], anchors: Points, scale: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn raw boxes (N, 4 + 2K) of cx, cy, w, h and K keypoints into boxes (N, 4) and keypoints (N, K, 2) in 0…1.

    Centres and keypoints are offsets from the anchor; everything is in units of 1 / scale.
    """
    values = raw.astype(np.float64) / scale
    centre, size = values[:, 0:2] + anchors, values[:, 2:4]
    keypoints = values[:, 4:].reshape(len(values), (values.shape[1] - 4) // 2, 2) + anchors[:, None]
    return np.concatenate([centre - size / 2, centre + size / 2], axis=1), keypoints


def weighted_suppression(
    boxes: NDArray[np.float64], keypoints: NDArray[np.float64], scores: NDArray[np.float64], iou_threshold: float
) -> list[Detection]:
    """Merge boxes that overlap a better one by more than `iou_threshold` into their score-weighted mean.

    A merged detection keeps its best score; each input is used once. Returns them by falling score.
    """
    left = np.argsort(-scores, kind="stable")
    merged = []
    while left.size:
        best = left[0]
        near = box_iou(boxes[best], boxes[left]) > iou_threshold
        near[0] = True  # an empty box overlaps nothing, not even itself
        group = left[near]
        weights = scores[group] / scores[group].sum()
        box = np.tensordot(weights, boxes[group], axes=1)
        merged.append(Detection(float(scores[best]), box, np.tensordot(weights, keypoints[group], axes=1)))
        left = left[~near]
    return merged


def detection_region(detection: Detection) -> Region:
    """Return the square around keypoint 0 that reaches 1.25 times as far as keypoint 1, turned so that 0→1 is up."""
    return aligned_region(detection.keypoints[:2])


def aligned_region(points: NDArray[np.float64]) -> Region:
    """Return the region of two points (2, 2): its centre, and a point on the circle around the person, straight up."""
    (x0, y0), (x1, y1) = points
    side = 2 * math.hypot(x1 - x0, y1 - y0) * REGION_SCALE
    turn = math.pi / 2 - math.atan2(-(y1 - y0), x1 - x0)
    rotation = turn - 2 * math.pi * math.floor((turn + math.pi) / (2 * math.pi))  # into −π…π
    return Region(float(x0), float(y0), side, rotation)


def similarity(result: Detection, reference: Detection) -> float:
    """Return IoU of the boxes times the mean keypoint similarity exp(−d² / (2 · area · k²)), area the reference's."""
    overlap = float(box_iou(reference.box, result.box[None])[0])
    area = float(np.prod(np.clip(reference.box[2:] - reference.box[:2], 1e-9, None)))
    distance2 = ((result.keypoints - reference.keypoints) ** 2).sum(axis=1)
    return overlap * float(np.exp(-distance2 / (2 * area * _KEYPOINT_K**2)).mean())


def match(result: Detections, reference: Detections) -> float:
    """Pair detections best first and return their summed similarity over the larger count; 1 if both are empty."""
    count = max(len(result.items), len(reference.items))
    if count == 0:
        return 1.0
    pairs = sorted(
        ((similarity(a, b), i, j) for i, a in enumerate(result.items) for j, b in enumerate(reference.items)),
        reverse=True,
    )
    total, used_result, used_reference = 0.0, set[int](), set[int]()
    for value, i, j in pairs:
        if i not in used_result and j not in used_reference:
            total += value
            used_result.add(i)
            used_reference.add(j)
    return total / count
