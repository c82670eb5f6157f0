"""PersonLab's kinematic tree: which keypoints are joined, and in which order a person is walked from any keypoint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KEYPOINTS = 17
# (parent, child) in COCO's numbering, in the order of the published networks' displacement planes: PoseNet's chain.
EDGES = (
    (0, 1), (1, 3), (0, 2), (2, 4), (0, 5), (5, 7), (7, 9), (5, 11), (11, 13), (13, 15), (0, 6), (6, 8), (8, 10),
    (6, 12), (12, 14), (14, 16),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Walks:
    """For every root (17) the 16 steps that reach all other keypoints: arrays (17, 16).

    `edge` counts the tree's edges from parent to child, and from 16 on backwards; `level` is the step's distance from
    the root.
    """

    source: NDArray[np.intp]
    target: NDArray[np.intp]
    edge: NDArray[np.intp]
    level: NDArray[np.intp]


def _walks() -> Walks:
    count = len(EDGES)
    directed = [(a, b, i) for i, (a, b) in enumerate(EDGES)] + [(b, a, count + i) for i, (a, b) in enumerate(EDGES)]
    steps = np.zeros((4, KEYPOINTS, count), np.intp)
    for root in range(KEYPOINTS):
        found = [(root, 0)]
        reached = {root}
        walk: list[tuple[int, int, int, int]] = []
        for keypoint, level in found:  # grows while it is walked: breadth first
            for source, target, edge in directed:
                if source == keypoint and target not in reached:
                    reached.add(target)
                    found.append((target, level + 1))
                    walk.append((source, target, edge, level + 1))
        steps[:, root] = np.array(walk).T
    return Walks(*steps)


WALKS = _walks()
LEVELS = int(WALKS.level.max())
