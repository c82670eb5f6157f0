"""People by COCO's 17 keypoints: their names, the skeleton, and how two sets of people are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.tasks import Region
from edge.tasks._geometry import rounded
from edge.tasks._landmarks import LANDMARK_NAMES
from edge.tasks._landmarks import SIGMAS as LANDMARK_SIGMAS

KEYPOINT_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
SIGMAS = np.array([LANDMARK_SIGMAS[LANDMARK_NAMES.index(name)] for name in KEYPOINT_NAMES])
SEEN = 0.3  # least score at which a keypoint counts and is drawn

BONES = (
    (5, 6), (11, 12), (5, 11), (6, 12), (5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16),
    (0, 1), (1, 3), (0, 2), (2, 4),
)  # fmt: skip
FACE_BONES = 4  # the last ones; drawn finer
FACE_POINTS = 5  # the first keypoints


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """One person: score in 0…1, `keypoints` (17, 2) in picture pixels, and each one's score (17,) in 0…1."""

    score: float
    keypoints: NDArray[np.float64]
    scores: NDArray[np.float64]

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Return which keypoints (17,) count."""
        return np.asarray(self.scores >= SEEN)

    def to_json(self) -> dict[str, Any]:
        """Return the person as plain JSON values, pixels with 2 decimals."""
        return {
            "score": round(self.score, 4),
            "keypoints": [
                {"name": name, "point": rounded(self.keypoints[i], 2), "score": round(float(self.scores[i]), 4)}
                for i, name in enumerate(KEYPOINT_NAMES)
            ],
        }


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """The people of a picture, highest score first; `next_region` is where to look for the first in the next one."""

    items: tuple[Person, ...]
    next_region: Region | None = None

    @property
    def found(self) -> bool:
        """Whether there is anybody."""
        return bool(self.items)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to compare: nobody was found."""
        return not self.items

    def to_json(self) -> dict[str, Any]:
        """Return the people as plain JSON values."""
        return {"people": [item.to_json() for item in self.items]}


def person_area(person: Person) -> float:
    """Return the area in pixels² of the box around the keypoints that count; around all if fewer than two do."""
    points = person.keypoints[person.seen] if person.seen.sum() >= 2 else person.keypoints
    return float(np.prod(np.maximum(np.ptp(points, axis=0), 1.0)))


def pairwise_oks(result: People, reference: People) -> NDArray[np.float64]:
    """Return COCO's object keypoint similarity of every person with every reference person: (people, references).

    The mean over the keypoints that the reference sees of exp(−d² / (2 · area · (2σ)²)); all count if it sees none.
    Source: cocodataset.org, keypoint evaluation; for want of masks, the area is that of the box around the keypoints.
    """
    if not result.items or not reference.items:
        return np.zeros((len(result.items), len(reference.items)))
    points = np.stack([person.keypoints for person in result.items])[:, None]  # (people, 1, 17, 2)
    wanted = np.stack([person.keypoints for person in reference.items])[None]
    areas = np.array([person_area(person) for person in reference.items])[None, :, None]
    counted = np.stack([person.seen if person.seen.any() else ~person.seen for person in reference.items])
    distance2 = ((points - wanted) ** 2).sum(axis=-1)
    similar = np.exp(-distance2 / (2 * areas * (2 * SIGMAS) ** 2))
    return np.asarray((similar * counted).sum(axis=-1) / counted.sum(axis=-1))


def match_people(result: People, reference: People) -> float:
    """Return the mean OKS of the best pairing of two sets of people, each pair weighted by its score.

    Somebody whom only one side has counts 0 with half his score. 1 if neither side has anybody.
    """
    from scipy.optimize import linear_sum_assignment

    if not result.items and not reference.items:
        return 1.0
    similar = pairwise_oks(result, reference)
    mine = np.array([person.score for person in result.items])
    theirs = np.array([person.score for person in reference.items])
    rows, columns = linear_sum_assignment(similar, maximize=True)
    paired = (mine[rows] + theirs[columns]) * similar[rows, columns]
    total = float(mine.sum() + theirs.sum())
    return float(paired.sum()) / total if total > 0 else 0.0
