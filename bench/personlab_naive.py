"""PersonLab's decoder as one would write it down first, in loops over cells, candidates and edges: to compare with."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge.tasks._personlab import Fields, Instances, Rule
from edge.tasks._personlab_tree import EDGES, KEYPOINTS

Point = tuple[float, float]  # x, y in pixels


def decode_naively(fields: Fields, rule: Rule) -> Instances:
    """Return what `edge.tasks._personlab.decode` returns."""
    grid = {(k, y, x): votes for k in range(KEYPOINTS) for (y, x), votes in _votes(fields, rule, k).items()}
    candidates = []
    for (kind, y, x), (mass, row, column) in sorted(grid.items()):
        around = [grid.get((kind, y + j, x + i), (0.0, 0.0, 0.0))[0] for j in (-1, 0, 1) for i in (-1, 0, 1)]
        if mass < max(around) or mass < 0.01 * math.pi * (32.0 / rule.stride) ** 2:
            continue
        place = (column / mass * rule.stride, row / mass * rule.stride)
        score = _probability(fields, rule, place, kind)
        if score >= rule.score_threshold:
            candidates.append((score, kind, place))
    people: list[list[Point]] = []
    for _, kind, place in sorted(candidates, key=lambda candidate: -candidate[0]):
        if all(math.dist(person[kind], place) > rule.nms_radius for person in people):
            people.append(_grow(fields, rule, kind, place))
    return _scored(fields, rule, people)


def _votes(fields: Fields, rule: Rule, kind: int) -> dict[tuple[int, int], tuple[float, float, float]]:
    """Return per cell, one cell beyond the grid included, the votes' mass and their places weighted by it."""
    height, width = fields.shape
    found: dict[tuple[int, int], tuple[float, float, float]] = {}
    for cell in range(height * width):
        weight = float(fields.probability[cell, kind])
        if weight < 0.05:
            continue
        row = cell // width + float(fields.offset[cell, 0, kind]) / rule.stride
        column = cell % width + float(fields.offset[cell, 1, kind]) / rule.stride
        if not (-1 < row < height and -1 < column < width):
            continue
        top, left = math.floor(row), math.floor(column)
        for y in (top, top + 1):
            for x in (left, left + 1):
                share = (1 - abs(row - y)) * (1 - abs(column - x)) * weight
                mass, rows, columns = found.get((y, x), (0.0, 0.0, 0.0))
                found[y, x] = (mass + share, rows + share * row, columns + share * column)
    return {place: votes for place, votes in found.items() if votes[0] > 0}


def _probability(fields: Fields, rule: Rule, point: Point, kind: int) -> float:
    height, width = fields.shape
    column, row = point[0] / rule.stride, point[1] / rule.stride
    if not (-1 < row < height and -1 < column < width):
        return 0.0
    total = 0.0
    for y in (math.floor(row), math.floor(row) + 1):
        for x in (math.floor(column), math.floor(column) + 1):
            if 0 <= y < height and 0 <= x < width:
                share = (1 - abs(row - y)) * (1 - abs(column - x))
                total += share * float(fields.probability[y * width + x, kind])
    return total


def _nearest(fields: Fields, rule: Rule, point: Point) -> tuple[int, Point]:
    height, width = fields.shape
    column = min(max(round(point[0] / rule.stride), 0), width - 1)
    row = min(max(round(point[1] / rule.stride), 0), height - 1)
    return row * width + column, (column * rule.stride, row * rule.stride)


def _grow(fields: Fields, rule: Rule, root: int, seed: Point) -> list[Point]:
    points: dict[int, Point] = {root: seed}
    waiting = [root]
    while waiting:
        source = waiting.pop(0)
        directed = [(a, b, i) for i, (a, b) in enumerate(EDGES)]
        directed += [(b, a, len(EDGES) + i) for i, (a, b) in enumerate(EDGES)]
        for start, target, edge in directed:
            if start != source or target in points:
                continue
            cell, place = _nearest(fields, rule, points[source])
            moved = _added(place, fields.displacement[cell, :, edge])
            for _ in range(rule.refinements):
                cell, place = _nearest(fields, rule, moved)
                moved = _added(place, fields.offset[cell, :, target])
            points[target] = moved
            waiting.append(target)
    return [points[kind] for kind in range(KEYPOINTS)]


def _added(place: Point, vector: NDArray[np.float64]) -> Point:
    return place[0] + float(vector[1]), place[1] + float(vector[0])


def _scored(fields: Fields, rule: Rule, people: list[list[Point]]) -> Instances:
    scored = []
    for i, person in enumerate(people):
        scores = [_probability(fields, rule, point, kind) for kind, point in enumerate(person)]
        free = [
            all(math.dist(other[kind], point) > rule.nms_radius for other in people[:i])
            for kind, point in enumerate(person)
        ]
        total = sum(score for score, own in zip(scores, free, strict=True) if own) / KEYPOINTS
        if total >= rule.instance_threshold:
            scored.append((total, person, scores))
    scored.sort(key=lambda entry: -entry[0])
    return Instances(
        np.array([entry[1] for entry in scored]).reshape(-1, KEYPOINTS, 2),
        np.array([entry[2] for entry in scored]).reshape(-1, KEYPOINTS),
        np.array([entry[0] for entry in scored]),
    )
