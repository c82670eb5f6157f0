"""MoveNet's decoder: the four heads of a CenterNet for one person → 17 keypoints, and where to look next.

Source: the graph of the published models (tfhub.dev/google/movenet/singlepose), whose tail of ArgMax and GatherNd this
is, and the cropping rule of TensorFlow's MoveNet tutorial.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.tasks import Region
from edge.tasks._geometry import sigmoid
from edge.tasks._people import KEYPOINT_NAMES, Person

_SOFTENING = 1.8  # cells: added to a distance before a score is divided by it
_TORSO = [KEYPOINT_NAMES.index(f"{side}_{part}") for part in ("shoulder", "hip") for side in ("left", "right")]
_CROP_SCORE = 0.2  # least score of a keypoint that decides on the crop
_TORSO_REACH, _BODY_REACH = 1.9, 1.2  # half the crop's side, in distances of the farthest point from the hips

Planes = NDArray[np.float32]


def decode_person(
    heatmap: Planes, centre: Planes, regression: Planes, offset: Planes
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the keypoints (17, 2), x then y in cells, and their scores (17,).

    `heatmap` (H, W, 17) and `centre` (H, W, 1) are logits, `regression` and `offset` (H, W, 34) are pairs of y, x in
    cells per keypoint. The likeliest centre is sought near the middle, each keypoint near where that centre expects it.
    """
    height, width, count = heatmap.shape
    rows, columns = np.arange(height, dtype=np.float64)[:, None], np.arange(width, dtype=np.float64)
    near_middle = np.hypot(rows - height // 2, columns - width // 2) + _SOFTENING
    row, column = np.unravel_index(int(np.argmax(_known(sigmoid(centre[..., 0])) / near_middle)), (height, width))
    expected = _known(regression[row, column].reshape(count, 2)) + np.array([row, column])
    scores = _known(sigmoid(heatmap))
    distance = np.hypot(rows[..., None] - expected[:, 0], columns[None, :, None] - expected[:, 1]) + _SOFTENING
    best = np.argmax((scores / distance).reshape(-1, count), axis=0)
    y, x = best // width, best % width
    kinds = np.arange(count)
    fine = _known(offset.reshape(height, width, count, 2)[y, x, kinds])
    return np.stack([x + fine[:, 1], y + fine[:, 0]], axis=1), scores[y, x, kinds]


def _known(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def crop_region(person: Person, image_hw: tuple[int, int]) -> Region | None:
    """Return the upright square to look for this person in, in the next picture; None to look at the whole picture.

    Its centre is the middle of the hips; it reaches 1.9 times as far as the farthest point of the torso and 1.2 times
    as far as that of the body. A shoulder and a hip must be seen, and the square be smaller than the picture.
    """
    sure = person.scores > _CROP_SCORE
    shoulders, hips = _TORSO[:2], _TORSO[2:]
    if not (sure[shoulders].any() and sure[hips].any()):
        return None
    centre = person.keypoints[hips].mean(axis=0)
    reach = np.abs(person.keypoints - centre).max(axis=1)
    half = max(_TORSO_REACH * float(reach[_TORSO].max()), _BODY_REACH * float(reach[sure].max()))
    border = max(*centre, image_hw[1] - centre[0], image_hw[0] - centre[1])
    half = min(half, float(border))
    if not 0 < half < max(image_hw) / 2:
        return None
    return Region(float(centre[0]), float(centre[1]), 2 * half)
