"""Body landmarks: their names, their refinement on heatmaps, and how two poses are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.tasks import Region
from edge.tasks._geometry import Points, rounded, sigmoid

LANDMARK_NAMES = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
    "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip

# COCO's per-keypoint sigmas (cocodataset.org, keypoint evaluation). Points that COCO lacks take their neighbour's:
# eye corners the eye's, mouth corners the nose's, fingers the wrist's, heel and toes the ankle's.
_COCO_SIGMAS = {
    "nose": 0.026, "eye": 0.025, "ear": 0.035, "mouth": 0.026, "shoulder": 0.079, "elbow": 0.072, "wrist": 0.062,
    "pinky": 0.062, "index": 0.062, "thumb": 0.062, "hip": 0.107, "knee": 0.087, "ankle": 0.089, "heel": 0.089,
    "foot": 0.089,
}  # fmt: skip


def _sigma(name: str) -> float:
    if "foot" in name:
        return _COCO_SIGMAS["foot"]
    return next(value for part, value in _COCO_SIGMAS.items() if part in name)


SIGMAS = np.array([_sigma(name) for name in LANDMARK_NAMES])
FOUND = 0.5  # least presence score at which a person counts as found


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """One person's landmarks.

    `points` (33, 3) in picture pixels, z towards the camera negative, on about the scale of x, from the mid-hip;
    `visibility` and `presence` (33,) in 0…1; `world` (33, 3) in metres from the mid-hip;
    `mask` (H, W) in 0…1 over the whole picture, if the model has one; `next_region` is where to look for the same
    person in the next picture, if the model says it.
    """

    score: float
    points: NDArray[np.float64]
    visibility: NDArray[np.float64]
    presence: NDArray[np.float64]
    world: NDArray[np.float64]
    region: Region | None = None
    mask: NDArray[np.float32] | None = None
    next_region: Region | None = None

    @property
    def found(self) -> bool:
        """Whether there is a person."""
        return self.score >= FOUND

    @property
    def empty(self) -> bool:
        """Whether there is nothing to compare: no person."""
        return not self.found

    def to_json(self) -> dict[str, Any]:
        """Return the pose as plain JSON values; the mask is left out, it is drawn."""
        return {
            "score": round(self.score, 4),
            "found": self.found,
            "landmarks": [
                {
                    "name": name,
                    "point": rounded(self.points[i], 2),
                    "world": rounded(self.world[i], 4),
                    "visibility": round(float(self.visibility[i]), 4),
                    "presence": round(float(self.presence[i]), 4),
                }
                for i, name in enumerate(LANDMARK_NAMES)
                if self.found
            ],
        }


def nobody() -> Pose:
    """Return the pose of a picture without a person: score 0."""
    count = len(LANDMARK_NAMES)
    none = np.zeros(count)
    return Pose(0.0, np.zeros((count, 3)), none, none, np.zeros((count, 3)))


def refine_on_heatmap(points: Points, heatmap: NDArray[Any], *, kernel: int = 7, least: float = 0.5) -> Points:
    """Move points (N, 2) in 0…1 to the centroid of their heatmap's probability within kernel × kernel cells.

    `heatmap` is (H, W, N) of logits. A point outside it, or where no cell reaches `least` or one is not a number,
    stays. Cell i lies at i / W, as MediaPipe's RefineLandmarksFromHeatmapCalculator has it.
    """
    height, width = heatmap.shape[:2]
    reach = (kernel - 1) // 2
    refined = points.copy()
    for index, (x, y) in enumerate(points):
        if not (0 <= np.floor(x * width) < width and 0 <= np.floor(y * height) < height):  # nor is it a number
            continue
        column, row = int(x * width), int(y * height)
        top, left = max(0, row - reach), max(0, column - reach)
        window = sigmoid(heatmap[top : row + reach + 1, left : column + reach + 1, index])
        if not window.max() >= least:
            continue
        rows, columns = np.arange(window.shape[0]) + top, np.arange(window.shape[1]) + left
        total = window.sum()
        refined[index] = (window.sum(axis=0) @ columns / total / width, window.sum(axis=1) @ rows / total / height)
    return refined


def oks(
    points: Points, reference: Points, area: float, *, sigmas: NDArray[np.float64], counted: NDArray[np.bool_]
) -> float:
    """Return COCO's object keypoint similarity, mean over counted points of exp(−d² / (2 · area · (2σ)²)).

    Points are (N, 2) in pixels, `area` in pixels². All points count if `counted` has none. COCO keypoint evaluation.
    """
    chosen = counted if counted.any() else np.ones_like(counted)
    distance2 = ((points - reference) ** 2).sum(axis=1)[chosen]
    return float(np.exp(-distance2 / (2 * max(area, 1e-9) * (2 * sigmas[chosen]) ** 2)).mean())


def pose_oks(result: Pose, reference: Pose) -> float:
    """Return OKS over the points that the reference sees, with the area of the box around all its points.

    1 if neither found a person, 0 if only one did.
    """
    if result.found != reference.found:
        return 0.0
    if not reference.found:
        return 1.0
    target = reference.points[:, :2]
    area = float(np.prod(np.ptp(target, axis=0)))
    return oks(result.points[:, :2], target, area, sigmas=SIGMAS, counted=reference.visibility >= 0.5)


def pixel_error(result: Pose, reference: Pose) -> float:
    """Return the mean distance of the 33 points in picture pixels."""
    return float(np.linalg.norm(result.points[:, :2] - reference.points[:, :2], axis=1).mean())
