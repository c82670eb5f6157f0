"""Names of keypoints, and where each set of them stands in the 33 of the kit's pose tasks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.tasks._landmarks import LANDMARK_NAMES

NAMES = LANDMARK_NAMES
COUNT = len(NAMES)

# The order of COCO's person keypoints (cocodataset.org, keypoint annotations).
COCO_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
# Those that view-invariant embeddings of poses are learnt from (Sun et al., Pr-VIPE, 2020, arXiv:1912.01001).
BODY13_NAMES = (COCO_NAMES[0], *COCO_NAMES[5:])


def places(names: tuple[str, ...]) -> NDArray[np.intp]:
    """Return where names stand among the 33."""
    return np.array([NAMES.index(name) for name in names])


COCO, BODY13 = places(COCO_NAMES), places(BODY13_NAMES)


def _mirrored(name: str) -> str:
    if "left" in name:
        return name.replace("left", "right")
    return name.replace("right", "left")


MIRROR = places(tuple(_mirrored(name) for name in NAMES))  # where each keypoint's is in a mirrored picture


def coco_to_landmarks(points: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Return COCO's triplets (17, 3) of x, y and 0 (not labelled), 1 (hidden) or 2 (seen) among the 33.

    The results are points (33, 2) and states (33,); what COCO does not label has state 0. COCO's pixel centres are at
    halves, the kit's at whole numbers.
    """
    found, states = np.zeros((COUNT, 2), np.float32), np.zeros(COUNT, np.int8)
    states[COCO] = np.clip(np.nan_to_num(points[:, 2]), 0, 2)
    found[COCO] = np.where(states[COCO, None] > 0, np.nan_to_num(points[:, :2]) - 0.5, 0.0)
    return found, states
