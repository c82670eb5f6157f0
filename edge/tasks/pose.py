"""Pose: people's boxes, their 33 landmarks, and both together on a whole picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract import Contract
from edge.errors import ContractError
from edge.images import warp_plane
from edge.tasks import Frame, Image, MeanOverPictures, Region, Tensors, task, worst
from edge.tasks._detection import (
    Detection,
    Detections,
    aligned_region,
    anchor_centres,
    decode_boxes,
    detection_region,
    match,
    weighted_suppression,
)
from edge.tasks._geometry import invert, output, picture_hw, planes, prepare, sigmoid, transform
from edge.tasks._landmarks import LANDMARK_NAMES, Pose, nobody, pixel_error, pose_oks, refine_on_heatmap
from edge.tasks._settings import number
from edge.tasks._skeleton import draw_detections, draw_pose
from edge.tasks._tracking import RegionTracker

__all__ = [
    "Detection", "Detections", "Pose", "PosePipeline", "RegionTracker", "detection_region", "nobody", "pixel_error",
    "pose_oks",
]  # fmt: skip

_VALUES = 5  # a landmark is x, y, z in tensor pixels, and logits of visibility and presence


@task("pose-detection")
class PoseDetection(MeanOverPictures):
    """Find people; outputs `boxes` (1, N, 12) and `scores` (1, N, 1) of logits."""

    metric = "detection similarity"  # IoU times keypoint similarity of the matched people
    limit = 0.9
    needs_region = False
    result = Detections

    def prepare(
        self, image: Image, contract: Contract, region: Region | None = None
    ) -> tuple[dict[str, NDArray[Any]], Frame]:
        """Letterbox the picture into the contract's input."""
        return prepare(image, contract, region)

    def decode(self, outputs: Tensors, contract: Contract, frame: Frame) -> Detections:
        """Turn boxes and scores into people in picture pixels, overlapping ones merged."""
        anchors = anchor_centres(
            frame.tensor_hw,
            [int(value) for value in _numbers(contract, "strides", (8, 16, 32))],
            [int(value) for value in _numbers(contract, "anchors_per_cell", (2, 2, 6))],
        )
        boxes, _ = output(outputs, contract, "boxes")
        scores = sigmoid(output(outputs, contract, "scores")[0].reshape(-1))
        if boxes.shape[1] != len(anchors) or scores.size != len(anchors):
            raise ContractError(
                f"boxes {list(boxes.shape)} and {scores.size} scores do not fit the {len(anchors)} anchors of the "
                f"strides and anchors_per_cell in postprocess.settings"
            )
        likely = scores >= number(contract, "score_threshold", 0.5)
        likely &= np.isfinite(boxes[0]).all(axis=1)  # a box that holds no numbers is nobody
        scale = number(contract, "scale", float(frame.tensor_hw[1]))
        found, keypoints = decode_boxes(boxes[0][likely], anchors[likely], scale)
        merged = weighted_suppression(found, keypoints, scores[likely], number(contract, "iou_threshold", 0.3))
        return Detections(tuple(_into_picture(item, frame) for item in merged))

    def region(self, detection: Detection) -> Region:
        """Return the turned square that a landmark model wants to see."""
        return detection_region(detection)

    def compare(self, result: Detections, reference: Detections) -> float:
        """Return the mean over matched people of IoU times keypoint similarity; 1 if neither has any."""
        return match(result, reference)

    def compare_all(self, pairs: Sequence[tuple[Any, Any]]) -> float:
        """Return the lowest metric of any picture."""
        return worst(self, pairs)

    def draw(self, image: Image, result: Detections) -> Image:
        """Return the picture with boxes and keypoints."""
        return draw_detections(image, result)


@task("pose-landmarks")
class PoseLandmarks(MeanOverPictures):
    """Place 33 landmarks on one person.

    Outputs `landmarks` (1, 5·N), N ≥ 33, `presence` (1, 1) probability, `world` (1, 3·N) metres, and if the model has
    them `heatmap` (N planes of logits) and `mask` (1 plane of logits). Landmarks 33 and 34, where there are any, are
    the person's centre and a point on the circle around: they say where to look in the next picture.
    """

    metric = "OKS"
    limit = 0.98
    needs_region = True
    result = Pose

    def prepare(
        self, image: Image, contract: Contract, region: Region | None = None
    ) -> tuple[dict[str, NDArray[Any]], Frame]:
        """Cut the turned square out of the picture; without a region, the square around the whole picture."""
        height, width = picture_hw(image)
        return prepare(image, contract, region or Region(width / 2, height / 2, float(max(height, width))))

    def decode(self, outputs: Tensors, contract: Contract, frame: Frame) -> Pose:
        """Turn outputs into landmarks in picture pixels and metres, both upright in the picture."""
        names = {spec.name for spec in contract.outputs}
        count = len(LANDMARK_NAMES)
        raw = output(outputs, contract, "landmarks")[0].astype(np.float64).reshape(-1, _VALUES)
        size = np.array([frame.tensor_hw[1], frame.tensor_hw[0]], np.float64)
        flat = raw[:, :2] / size
        if "heatmap" in names:
            heatmap = planes(outputs, contract, "heatmap")
            known = min(len(flat), heatmap.shape[2])
            flat[:known] = refine_on_heatmap(flat[:known], heatmap[..., :known])
        places, raw = transform(frame.matrix, flat * size), raw[:count]
        scale = float(np.hypot(frame.matrix[0, 0], frame.matrix[1, 0]))  # picture pixels in a tensor pixel
        points = np.column_stack([places[:count], raw[:, 2] * scale])
        world = output(outputs, contract, "world")[0].astype(np.float64).reshape(-1, 3)[:count].copy()
        world[:, :2] = world[:, :2] @ (frame.matrix[:, :2] / scale).T
        return Pose(
            score=float(output(outputs, contract, "presence")[0].reshape(-1)[0]),
            points=points,
            visibility=sigmoid(raw[:, 3]),
            presence=sigmoid(raw[:, 4]),
            world=world,
            region=frame.region,
            mask=_mask(planes(outputs, contract, "mask"), frame) if "mask" in names else None,
            next_region=_next_region(places[count:]),
        )

    def compare(self, result: Pose, reference: Pose) -> float:
        """Return OKS over the visible points; 1 if neither found a person, 0 if only one did."""
        return pose_oks(result, reference)

    def compare_all(self, pairs: Sequence[tuple[Any, Any]]) -> float:
        """Return the lowest metric of any picture."""
        return worst(self, pairs)

    def draw(self, image: Image, result: Pose) -> Image:
        """Return the picture with the person's outline and skeleton."""
        return draw_pose(image, result)


Run = Callable[[dict[str, NDArray[Any]]], Tensors]


def find_person(image: Image, run_detector: Run, detector: Contract) -> Region | None:
    """Run a detector on a picture and return the region of the person with the highest score, or None."""
    finder = PoseDetection()
    inputs, frame = finder.prepare(image, detector)
    found = finder.decode(run_detector(inputs), detector, frame)
    return detection_region(found.items[0]) if found.items else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PosePipeline:
    """Find the person with the highest score and place the landmarks: both models on one picture.

    `run_detector` and `run_landmarks` take named inputs and return named outputs, as their contracts describe them.
    """

    run_detector: Run
    run_landmarks: Run
    detector: Contract
    landmarks: Contract

    def __call__(self, image: Image) -> Pose:
        """Return the pose in the picture's coordinates; a pose of score 0 where nobody is."""
        region = self.find(image)
        return nobody() if region is None else self.place(image, region)

    def find(self, image: Image) -> Region | None:
        """Return the best person's region."""
        return find_person(image, self.run_detector, self.detector)

    def place(self, image: Image, region: Region) -> Pose:
        """Return the landmarks of the person in a region."""
        placer = PoseLandmarks()
        inputs, frame = placer.prepare(image, self.landmarks, region)
        return placer.decode(self.run_landmarks(inputs), self.landmarks, frame)


def _into_picture(item: Detection, frame: Frame) -> Detection:
    size = np.array([frame.tensor_hw[1], frame.tensor_hw[0]], np.float64)
    box = transform(frame.matrix, item.box.reshape(2, 2) * size).reshape(4)
    return Detection(item.score, box, transform(frame.matrix, item.keypoints * size))


def _next_region(beyond: NDArray[np.float64]) -> Region | None:
    """Return the square that the two points beyond the body's span, as a detector's keypoints do; None without."""
    if len(beyond) < 2:
        return None
    region = aligned_region(beyond[:2]) if np.isfinite(beyond[:2]).all() else None
    return region if region is not None and 0 < region.side < np.inf else None


def _mask(logits: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """Return the mask's probability over the whole picture, zero outside the region."""
    probability = sigmoid(logits[..., 0])
    framed = np.pad(probability, 1)  # what repeats outside the region is then zero
    to_mask = invert(frame.matrix)
    to_mask[:, 2] += 1
    return warp_plane(framed, to_mask, frame.image_hw)


def _settings(contract: Contract) -> dict[str, float | int | str | list[float]]:
    return contract.postprocess.settings if contract.postprocess else {}


def _numbers(contract: Contract, name: str, default: Sequence[float]) -> Sequence[float]:
    value = _settings(contract).get(name, list(default))
    if isinstance(value, list):
        return value
    raise ContractError(f"postprocess.settings.{name} is {value!r}; it must be a list of numbers")
