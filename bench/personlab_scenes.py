"""Synthetic people, and the planes that a perfect PersonLab network would give for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.tasks._personlab import Fields, fields_of
from edge.tasks._personlab_tree import EDGES, KEYPOINTS

Floats = NDArray[np.float64]
RADIUS = 32.0  # pixels
ACROSS, DOWN = 110.0, 150.0  # pixels between people who do not touch


@dataclass(frozen=True)
class Scene:
    """People's keypoints (N, 17, 2), x then y in pixels, on a grid of (rows, columns) cells of `stride` pixels."""

    points: Floats
    grid: tuple[int, int]
    stride: float = 16.0

    @property
    def cells(self) -> Floats:
        """Return the cells' places (rows · columns, 2), x then y."""
        rows, columns = np.mgrid[: self.grid[0], : self.grid[1]]
        return np.stack([columns.ravel(), rows.ravel()], axis=1) * self.stride


def standing(centre: Floats, height: float, rng: np.random.Generator) -> Floats:
    """Return the keypoints (17, 2) of somebody who stands about `centre`, `height` pixels from nose to ankle."""
    side = np.array([0.0, -0.03, 0.03, -0.07, 0.07, -0.12, 0.12, -0.16, 0.16, -0.17, 0.17, -0.08, 0.08, -0.09, 0.09,
                     -0.1, 0.1])  # fmt: skip
    down = np.array(
        [0.0, -0.03, -0.03, -0.02, -0.02, 0.15, 0.15, 0.33, 0.33, 0.48, 0.48, 0.5, 0.5, 0.75, 0.75, 1.0, 1.0]
    )
    template = np.stack([side, down - 0.5], axis=1) * height
    return centre + template + rng.uniform(-0.06, 0.06, template.shape) * height


def crowd(count: int, grid: tuple[int, int], rng: np.random.Generator) -> Scene:
    """Return so many people in rows, whose keypoints of one kind are apart; raises ValueError if they find no room."""
    width, height = (grid[1] - 1) * 16.0, (grid[0] - 1) * 16.0
    columns = int((width + 30) // ACROSS)
    rows = -(-count // columns)
    if rows * DOWN > height + 30:
        raise ValueError(f"{count} people find no room on {grid}")
    places = [(ACROSS * (i % columns) + 45, DOWN * (i // columns) + 75) for i in range(count)]
    people = [standing(np.array(place), 120.0, rng) for place in places]
    points = np.clip(np.stack(people), 0, (width, height)) if people else np.zeros((0, KEYPOINTS, 2))
    return Scene(points, grid)


def logits(probability: NDArray[Any]) -> NDArray[np.float32]:
    """Return the logits of probabilities, within ±8."""
    held = np.clip(probability.astype(np.float64), 1e-9, 1 - 1e-9)
    return np.clip(np.log(held / (1 - held)), -8, 8).astype(np.float32)


def planes(scene: Scene) -> dict[str, NDArray[np.float32]]:
    """Return heatmap, offset, displacement_fwd and displacement_bwd (1, C, rows, columns) of a perfect network.

    A cell belongs to the nearest keypoint of each kind if that is within 32 pixels.
    """
    near, distance = _nearest(scene)
    inside = distance <= RADIUS

    def towards(source: int, target: int) -> Floats:
        if not len(scene.points):
            return np.zeros((len(scene.cells), 2))
        return (scene.points[near[:, source], target] - scene.cells) * inside[:, source, None]

    return {
        "heatmap": logits(_planes(scene, inside)),
        "offset": _pairs(scene, [towards(k, k) for k in range(KEYPOINTS)]),
        "displacement_fwd": _pairs(scene, [towards(a, b) for a, b in EDGES]),
        "displacement_bwd": _pairs(scene, [towards(b, a) for a, b in EDGES]),
    }


def owners(scene: Scene, reach: float = 40.0) -> NDArray[np.intp]:
    """Return whose each cell is (rows, columns): 1 for the first person; 0 beyond `reach` pixels of all keypoints."""
    near, distance = _nearest(scene)
    best = distance.argmin(axis=1)
    cells = np.arange(len(near))
    owner = np.where(distance[cells, best] <= reach, near[cells, best] + 1, 0)
    return np.asarray(owner.reshape(scene.grid))


def outlines(scene: Scene, owner: NDArray[np.intp]) -> dict[str, NDArray[np.float32]]:
    """Return long_offset and mask (1, C, rows, columns) of a perfect network for cells that are their owners'."""
    whose = owner.ravel()
    people = np.concatenate([np.zeros((1, KEYPOINTS, 2)), scene.points])
    vectors = (people[whose] - scene.cells[:, None]) * (whose > 0)[:, None, None]
    mask = logits(_planes(scene, whose[:, None] > 0))
    return {"long_offset": _pairs(scene, list(vectors.transpose(1, 0, 2))), "mask": mask}


def _nearest(scene: Scene) -> tuple[NDArray[np.intp], Floats]:
    """Return per cell and kind of keypoint the person whose one is nearest, and how far it is: (cells, 17) each."""
    x, y = scene.cells.T
    count = len(x)
    near, distance = np.zeros((count, KEYPOINTS), np.intp), np.full((count, KEYPOINTS), np.inf)
    for i, person in enumerate(scene.points):
        found = np.hypot(x[:, None] - person[:, 0], y[:, None] - person[:, 1])
        closer = found < distance
        near[closer], distance[closer] = i, found[closer]
    return near, distance


def _planes(scene: Scene, values: NDArray[Any]) -> NDArray[np.float32]:
    """Return values (cells, C) as (1, C, rows, columns)."""
    return values.T.reshape(1, -1, *scene.grid).astype(np.float32)


def _pairs(scene: Scene, fields: list[Floats]) -> NDArray[np.float32]:
    """Return vectors (cells, 2), x then y, as planes: all y before all x."""
    stacked = np.stack(fields, axis=1)
    return _planes(scene, np.concatenate([stacked[..., 1], stacked[..., 0]], axis=1))


def fields(scene: Scene) -> Fields:
    """Return the planes as the decoder takes them."""
    found = planes(scene)
    last = {name: np.moveaxis(array[0], 0, 2) for name, array in found.items()}
    probability = 1 / (1 + np.exp(-last["heatmap"].astype(np.float64)))
    return fields_of(probability, last["offset"], last["displacement_fwd"], last["displacement_bwd"])
