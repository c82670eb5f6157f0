"""PersonLab's decoder: heatmaps and offsets → several people, all candidates at once.

Source: Papandreou et al., "PersonLab", 2018 (arXiv:1803.08225), section 3.1: Hough voting, recurrent refinement, fast
greedy decoding, scores without what better people claim. A grid cell i lies at pixel i · stride of the input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.tasks._personlab_tree import EDGES, KEYPOINTS, LEVELS, WALKS

Floats = NDArray[np.float64]
_RADIUS = 32.0  # pixels: of the disk around a keypoint that votes for it, in training as here
_LEAST_VOTE = 0.05  # of a cell's probability; what is below moves no maximum
_LEAST_PEAK = 0.01  # of the normalised Hough score


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Settings of the decoder; lengths in pixels of the network's input."""

    stride: float = 16.0
    score_threshold: float = 0.5  # least probability at a seed
    nms_radius: float = 20.0  # a seed or a keypoint so near to that of a better person is that person's
    instance_threshold: float = 0.2  # least score of a person
    refinements: int = 2  # times that a keypoint is moved by the short-range offset where it lies


@dataclass(frozen=True, slots=True, eq=False)
class Fields:
    """What the network says per cell (H · W cells, rows first).

    `probability` (cells, 17), `offset` (cells, 2, 17) from the cell to its keypoint, `displacement` (cells, 2, 32) from
    the cell near one keypoint to the next one along the tree, first the 16 edges forward, then backward; y before x.
    """

    shape: tuple[int, int]
    probability: Floats
    offset: Floats
    displacement: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Instances:
    """People in input pixels, best first: `points` (N, 17, 2) x then y, their `scores` (N, 17), `totals` (N,)."""

    points: Floats
    scores: Floats
    totals: Floats


def fields_of(probability: NDArray[Any], offset: NDArray[Any], *displacements: NDArray[Any]) -> Fields:
    """Lay planes (H, W, 17), (H, W, 34) and twice (H, W, 32) out per cell; what is no number becomes 0."""
    height, width, count = probability.shape
    vectors = [finite(plane).reshape(height * width, 2, -1) for plane in (offset, *displacements)]
    return Fields(
        (height, width),
        finite(probability).reshape(height * width, count),
        vectors[0],
        np.concatenate(vectors[1:], axis=2),
    )


def finite(values: NDArray[Any]) -> Floats:
    """Return the values with 0 for what is no number."""
    return np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def decode(fields: Fields, rule: Rule) -> Instances:
    """Return everybody: seeds where the votes agree, from each of them the whole tree, then the greedy choice."""
    seeds, kinds, _ = hough_seeds(fields, rule)
    points = _walk(fields, rule, seeds, kinds)
    chosen = _choose(points, seeds, kinds, rule.nms_radius)
    return _score(fields, rule, points[chosen])


def hough_seeds(fields: Fields, rule: Rule) -> tuple[Floats, NDArray[np.intp], Floats]:
    """Return the places (N, 2), x then y, at which keypoints of some kind (N,) are likely, best probability (N,) first.

    h_k(x) = 1 / (π R²) · Σ_i p_k(x_i) · B(x_i + S_k(x_i) − x), with B bilinear on the grid; a seed is a local maximum
    of h_k, at the mean of the votes that reached it.
    """
    height, width = fields.shape
    cell, kind = np.nonzero(fields.probability >= _LEAST_VOTE)
    weight = fields.probability[cell, kind]
    row = cell // width + fields.offset[cell, 0, kind] / rule.stride
    column = cell % width + fields.offset[cell, 1, kind] / rule.stride
    inside = (row > -1) & (row < height) & (column > -1) & (column < width)
    cell, kind, weight, row, column = (array[inside] for array in (cell, kind, weight, row, column))
    place, share = _corners(row, column, kind, height + 2, width + 2)
    size = KEYPOINTS * (height + 2) * (width + 2)
    mass, rows, columns = (
        np.asarray(np.bincount(place, (share * value).ravel(), size), np.float64)
        for value in (weight, weight * row, weight * column)
    )
    grid = mass.reshape(KEYPOINTS, height + 2, width + 2)
    least = _LEAST_PEAK * math.pi * (_RADIUS / rule.stride) ** 2
    peaks = np.flatnonzero((grid == _neighbourhood_maximum(grid)) & (grid >= least))
    seeds = np.stack([columns[peaks], rows[peaks]], axis=1) / mass[peaks, None]
    kinds = peaks // ((height + 2) * (width + 2))
    scores = _sample(fields, seeds * rule.stride, kinds, rule.stride)
    kept = np.flatnonzero(scores >= rule.score_threshold)
    order = kept[np.argsort(-scores[kept], kind="stable")]
    return seeds[order] * rule.stride, kinds[order], scores[order]


def _corners(
    row: Floats, column: Floats, kind: NDArray[np.intp], height: int, width: int
) -> tuple[NDArray[np.intp], Floats]:
    """Return the four cells around each vote in grids with a border of one cell, flat, and the bilinear shares (4, N).

    Votes up to one cell outside the picture reach the border.
    """
    top, left = np.floor(row).astype(np.intp), np.floor(column).astype(np.intp)
    down, right = row - top, column - left
    first = (kind * height + top + 1) * width + left + 1
    place = np.concatenate([first, first + 1, first + width, first + width + 1])
    share = np.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right])
    return place, share


def _neighbourhood_maximum(grid: Floats) -> Floats:
    """Return the maximum over 3 × 3 cells of (K, H, W)."""
    padded = np.pad(grid, ((0, 0), (1, 1), (1, 1)))
    rows = np.maximum(np.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    return np.asarray(np.maximum(np.maximum(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:]))


def nearest_cells(points: Floats, shape: tuple[int, int], stride: float) -> tuple[NDArray[np.intp], Floats]:
    """Return the nearest cell of each point (N, 2), flat, and where it lies in pixels (N, 2)."""
    column = np.clip(np.rint(points[:, 0] / stride), 0, shape[1] - 1)
    row = np.clip(np.rint(points[:, 1] / stride), 0, shape[0] - 1)
    return (row * shape[1] + column).astype(np.intp), np.stack([column, row], axis=1) * stride


def refine(fields: Fields, rule: Rule, points: Floats, kinds: NDArray[np.intp], *, times: int) -> Floats:
    """Move points (N, 2) of their kinds (N,) so often to where the short-range offset of the nearest cell points."""
    for _ in range(times):
        cell, place = nearest_cells(points, fields.shape, rule.stride)
        points = place + fields.offset[cell, :, kinds][:, ::-1]
    return points


def _walk(fields: Fields, rule: Rule, seeds: Floats, kinds: NDArray[np.intp]) -> Floats:
    """Return all keypoints (N, 17, 2) of the people that the seeds would be: level by level along the tree."""
    points = np.zeros((len(seeds), KEYPOINTS, 2))
    points[np.arange(len(seeds)), kinds] = seeds
    levels = WALKS.level[kinds]
    for level in range(1, LEVELS + 1):
        person, step = np.nonzero(levels == level)
        root = kinds[person]
        cell, place = nearest_cells(points[person, WALKS.source[root, step]], fields.shape, rule.stride)
        target = WALKS.target[root, step]
        moved = place + fields.displacement[cell, :, WALKS.edge[root, step]][:, ::-1]
        points[person, target] = refine(fields, rule, moved, target, times=rule.refinements)
    return points


def _choose(points: Floats, seeds: Floats, kinds: NDArray[np.intp], radius: float) -> NDArray[np.intp]:
    """Return which seeds, best first, are people: those not within `radius` of the same keypoint of one chosen."""
    left = np.arange(len(seeds))
    chosen = []
    while left.size:
        best = left[0]
        chosen.append(best)
        distance2 = ((points[best][kinds[left]] - seeds[left]) ** 2).sum(axis=1)
        left = left[1:][distance2[1:] > radius**2]
    return np.array(chosen, np.intp)


def _score(fields: Fields, rule: Rule, points: Floats) -> Instances:
    """Score keypoints by the probability where they lie, people by the mean over those that no better one claims."""
    count = len(points)
    kinds = np.tile(np.arange(KEYPOINTS), count)
    scores = _sample(fields, points.reshape(-1, 2), kinds, rule.stride).reshape(count, KEYPOINTS)
    claimed = np.zeros((count, KEYPOINTS), np.bool_)
    for i in range(1, count):
        distance2 = ((points[:i] - points[i]) ** 2).sum(axis=-1)
        claimed[i] = (distance2 <= rule.nms_radius**2).any(axis=0)
    totals = np.where(claimed, 0.0, scores).mean(axis=1) if count else np.zeros(0)
    kept = np.flatnonzero(totals >= rule.instance_threshold)
    order = kept[np.argsort(-totals[kept], kind="stable")]
    return Instances(points[order], scores[order], totals[order])


def _sample(fields: Fields, points: Floats, kinds: NDArray[np.intp], stride: float) -> Floats:
    """Return the probability of its kind at each point (N, 2), bilinear between cells, 0 outside the grid."""
    height, width = fields.shape
    column, row = points[:, 0] / stride, points[:, 1] / stride
    inside = (row > -1) & (row < height) & (column > -1) & (column < width)
    row, column = np.where(inside, row, 0.0), np.where(inside, column, 0.0)
    top, left = np.floor(row).astype(np.intp), np.floor(column).astype(np.intp)
    total = np.zeros(len(points))
    for down in (0, 1):
        for right in (0, 1):
            y, x = top + down, left + right
            share = np.abs(1 - down - (row - top)) * np.abs(1 - right - (column - left))
            there = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            cell = np.clip(y, 0, height - 1) * width + np.clip(x, 0, width - 1)
            total += share * there * fields.probability[cell, kinds]
    return total * inside


def edge_count() -> int:
    """Return the number of the tree's edges: displacement planes come in twice as many."""
    return len(EDGES)
