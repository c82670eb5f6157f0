"""PersonLab's instance segmentation: a pixel belongs to the person whose keypoints lie where it expects its own.

Source: Papandreou et al., "PersonLab", 2018 (arXiv:1803.08225), section 3.2: long-range offsets, their recurrent
refinement, and the distance between a pixel's embedding and a person's keypoints.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.tasks._people import SEEN
from edge.tasks._personlab import Fields, Floats, Instances, Rule, nearest_cells, refine
from edge.tasks._personlab_tree import KEYPOINTS

_FAR = 1.0  # distances are cut here: four times what is still one's own


def embedding(fields: Fields, long_offset: Floats, rule: Rule, cells: NDArray[np.intp]) -> Floats:
    """Return where each of the cells (M,) expects the keypoints of its person, x then y in pixels: (M, 17, 2).

    `long_offset` (all cells, 2, 17), y before x, from a cell to the keypoints of the person there. The place is moved
    `rule.refinements` times: by the long-range offset where it lies, then by the short-range one.
    """
    columns = fields.shape[1]
    place = np.stack([cells % columns, cells // columns], axis=1) * rule.stride
    kinds = np.tile(np.arange(KEYPOINTS), len(cells))
    points = (place[:, None] + long_offset[cells].transpose(0, 2, 1)[..., ::-1]).reshape(-1, 2)
    for _ in range(rule.refinements):
        cell, there = nearest_cells(points, fields.shape, rule.stride)
        points = there + long_offset[cell, :, kinds][:, ::-1]
        points = refine(fields, rule, points, kinds, times=1)
    return points.reshape(-1, KEYPOINTS, 2)


def distances(expected: Floats, people: Instances) -> Floats:
    """Return how far embeddings (M, 17, 2) are from people's keypoints, in the people's sizes: (N, M).

    D_j(x) = Σ_k p_jk · ‖G_k(x) − y_jk‖ / (λ_j · Σ_k p_jk), with p the keypoint's score and λ the square root of the
    area of the box around the person's keypoints.
    """
    x, y = expected[..., 0], expected[..., 1]
    found = np.zeros((len(people.points), len(expected)))
    weights = people.scores + 1e-9
    weights /= (weights.sum(axis=1) * _sizes(people))[:, None]
    for i, points in enumerate(people.points):  # one by one: all at once would be N · M · 17 values several times
        found[i] = np.hypot(x - points[:, 0], y - points[:, 1]) @ weights[i]
    return found


def _sizes(people: Instances) -> Floats:
    """Return the square root of the area in pixels² of the box around each person's keypoints that count."""
    counted = people.scores >= SEEN
    counted[counted.sum(axis=1) < 2] = True
    low = np.where(counted[..., None], people.points, np.inf).min(axis=1)
    high = np.where(counted[..., None], people.points, -np.inf).max(axis=1)
    return np.asarray(np.sqrt(np.prod(np.maximum(high - low, 1.0), axis=1)))


def distance_maps(
    fields: Fields, long_offset: Floats, inside: NDArray[np.bool_], people: Instances, rule: Rule
) -> Floats:
    """Return per person and cell how far that cell is from being the person's, 1 at most: (N, H, W).

    Cells that are not `inside` (H, W) any person expect nothing that means anything; they take the nearest one's value,
    so that the mask alone decides on outlines.
    """
    from scipy.ndimage import distance_transform_edt

    maps = np.full((len(people.points), *fields.shape), _FAR)
    if not inside.any():
        return maps
    cells = np.flatnonzero(inside)
    found = np.minimum(distances(embedding(fields, long_offset, rule, cells), people), _FAR)
    maps.reshape(len(maps), inside.size)[:, cells] = found
    rows, columns = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return np.asarray(maps[:, rows, columns])
