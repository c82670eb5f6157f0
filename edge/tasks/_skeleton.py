"""Draw poses and boxes: supersampled lines whose width follows the picture's size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw

from edge.tasks import Image
from edge.tasks._detection import Detections
from edge.tasks._landmarks import LANDMARK_NAMES, Pose
from edge.tasks._overlay import supersampling, tint
from edge.tasks._people import BONES, FACE_BONES, FACE_POINTS, KEYPOINT_NAMES, People

LEFT, RIGHT, MIDDLE = (255, 138, 48), (38, 190, 255), (244, 244, 248)  # the person's own left is warm
_RIM = (16, 18, 28, 150)
_MASK = (92, 225, 170)
_LEAST_VISIBLE = 0.5

_BONES = (
    ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"), ("left_shoulder", "left_hip"),
    ("right_shoulder", "right_hip"), ("left_shoulder", "left_elbow"), ("right_shoulder", "right_elbow"),
    ("left_elbow", "left_wrist"), ("right_elbow", "right_wrist"), ("left_wrist", "left_index"),
    ("right_wrist", "right_index"), ("left_wrist", "left_pinky"), ("right_wrist", "right_pinky"),
    ("left_wrist", "left_thumb"), ("right_wrist", "right_thumb"), ("left_pinky", "left_index"),
    ("right_pinky", "right_index"), ("left_hip", "left_knee"), ("right_hip", "right_knee"),
    ("left_knee", "left_ankle"), ("right_knee", "right_ankle"), ("left_ankle", "left_heel"),
    ("right_ankle", "right_heel"), ("left_heel", "left_foot_index"), ("right_heel", "right_foot_index"),
    ("left_ankle", "left_foot_index"), ("right_ankle", "right_foot_index"), ("mouth_left", "mouth_right"),
    ("nose", "left_eye_inner"), ("left_eye_inner", "left_eye"), ("left_eye", "left_eye_outer"),
    ("left_eye_outer", "left_ear"), ("nose", "right_eye_inner"), ("right_eye_inner", "right_eye"),
    ("right_eye", "right_eye_outer"), ("right_eye_outer", "right_ear"),
)  # fmt: skip
_FACE_BONES = 9  # the last ones; drawn finer
_FACE_POINTS = 11  # the first landmarks


def draw_pose(image: Image, pose: Pose) -> Image:
    """Return the picture with the person's mask tinted and the visible skeleton on top."""
    if not pose.found:
        return image.copy()
    tinted = image if pose.mask is None else tint(image, np.array(_MASK), pose.mask)
    layer = _Layer(tinted, _stroke(image, pose.points))
    index = {name: i for i, name in enumerate(LANDMARK_NAMES)}
    seen = pose.visibility >= _LEAST_VISIBLE
    bones = [(index[a], index[b], i >= len(_BONES) - _FACE_BONES) for i, (a, b) in enumerate(_BONES)]
    bones = [bone for bone in bones if seen[bone[0]] and seen[bone[1]]]
    for rim in (True, False):  # all rims below all bones
        for a, b, fine in bones:
            colour = _RIM if rim else (*_side(LANDMARK_NAMES[a], LANDMARK_NAMES[b]), 255)
            layer.line(pose.points[a], pose.points[b], (0.5 if fine else 1.0) + (0.45 if rim else 0.0), colour)
    for i, name in enumerate(LANDMARK_NAMES):
        if seen[i]:
            layer.dot(pose.points[i], 0.55 if i < _FACE_POINTS else 1.0, (*_side(name, name), 255))
    return layer.result()


def draw_detections(image: Image, result: Detections) -> Image:
    """Return the picture with every box and its keypoints."""
    layer = _Layer(image, max(1.5, 0.006 * float(np.hypot(*image.shape[:2])) / 1.4))
    for item in result.items:
        x0, y0, x1, y1 = item.box
        corners = [np.array(corner) for corner in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
        for width, colour in ((1.45, _RIM), (1.0, (*_MASK, 255))):
            for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
                layer.line(a, b, width, colour)
        for point, side in zip(item.keypoints, (LEFT, RIGHT, LEFT, RIGHT), strict=False):
            layer.dot(point, 1.4, (*side, 255))
    return layer.result()


def draw_people(image: Image, people: People) -> Image:
    """Return the picture with the skeleton of everybody's keypoints that count."""
    seen = [person.keypoints[person.seen] for person in people.items if person.seen.any()]
    layer = _Layer(image, min((_stroke(image, points) for points in seen), default=1.0))
    for person in people.items:
        bones = [(bone, i >= len(BONES) - FACE_BONES) for i, bone in enumerate(BONES) if person.seen[list(bone)].all()]
        for rim in (True, False):  # all rims below all bones
            for (a, b), fine in bones:
                colour = _RIM if rim else (*_side(KEYPOINT_NAMES[a], KEYPOINT_NAMES[b]), 255)
                width = (0.5 if fine else 1.0) + (0.45 if rim else 0.0)
                layer.line(person.keypoints[a], person.keypoints[b], width, colour)
        for i in np.flatnonzero(person.seen):
            side = _side(KEYPOINT_NAMES[i], KEYPOINT_NAMES[i])
            layer.dot(person.keypoints[i], 0.55 if i < FACE_POINTS else 1.0, (*side, 255))
    return layer.result()


def _stroke(image: Image, points: NDArray[Any]) -> float:
    """Return the bones' width in pixels: a share of the person's size, within a share of the picture's."""
    person = float(np.ptp(points[:, :2], axis=0).max())
    diagonal = float(np.hypot(*image.shape[:2]))
    return float(np.clip(0.014 * person, 0.003 * diagonal, 0.010 * diagonal))


def _side(a: str, b: str) -> tuple[int, int, int]:
    sides = {"left" if "left" in name else "right" if "right" in name else "" for name in (a, b)}
    if "left" in sides and "right" in sides:
        return MIDDLE
    return LEFT if "left" in sides else RIGHT if "right" in sides else MIDDLE


class _Layer:
    """A transparent layer drawn at a multiple of the picture's size and shrunk onto it."""

    def __init__(self, image: Image, stroke: float) -> None:
        self._base = PillowImage.fromarray(image).convert("RGBA")
        self._factor = supersampling(image)
        self._stroke = stroke * self._factor
        size = (self._base.width * self._factor, self._base.height * self._factor)
        self._layer = PillowImage.new("RGBA", size, (255, 255, 255, 0))
        self._draw = ImageDraw.Draw(self._layer)

    def _at(self, point: NDArray[Any]) -> tuple[float, float]:
        return float(point[0]) * self._factor, float(point[1]) * self._factor

    def line(self, start: NDArray[Any], end: NDArray[Any], width: float, colour: tuple[int, ...]) -> None:
        """Draw a line with round ends, `width` strokes wide."""
        a, b, pen = self._at(start), self._at(end), self._stroke * width
        self._draw.line([a, b], fill=colour, width=max(1, round(pen)))
        for x, y in (a, b):
            self._draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=colour)

    def dot(self, point: NDArray[Any], size: float, colour: tuple[int, ...]) -> None:
        """Draw a white-rimmed disc, `size` strokes in radius."""
        (x, y), outer = self._at(point), self._stroke * size * 1.05
        for radius, fill in ((outer, (*MIDDLE, 255)), (outer * 0.68, colour)):
            self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)

    def result(self) -> Image:
        """Return the picture with the layer on it."""
        layer = self._layer.resize(self._base.size, PillowImage.Resampling.BOX)
        return np.array(PillowImage.alpha_composite(self._base, layer).convert("RGB"), dtype=np.uint8)
