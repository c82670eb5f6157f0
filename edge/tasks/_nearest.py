"""The nearest of some points, for very many positions in a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TILE = 16  # pixels; points that can be nearest to any position in a tile are looked up together
_MOST_DISTANCES = 1 << 22  # that are held in memory at once


@dataclass(frozen=True, slots=True, eq=False)
class _Tiles:
    """Which points can be nearest in a tile: `count` of them from `first` on in `points`; tiles in reading order."""

    count: NDArray[np.intp]
    first: NDArray[np.intp]
    points: NDArray[np.int32]
    across: int  # tiles in a row


def nearest_points(
    y: NDArray[np.float32], x: NDArray[np.float32], rows: NDArray[np.intp], columns: NDArray[np.intp],
    size_hw: tuple[int, int],
) -> NDArray[np.int32]:  # fmt: skip
    """Return for each position (n,) the number of the nearest of one or more points (K,), of equals the first.

    The picture is cut into tiles: most have one point that is nearest all over the tile, so that few distances remain.
    Positions outside the picture are compared with all points.
    """
    points = np.stack([rows, columns]).astype(np.float32)
    tiles = _candidates(points, size_hw)
    outside = np.flatnonzero((np.minimum(y, x) < 0) | (y >= size_hw[0]) | (x >= size_hw[1]))
    if len(outside):
        y, x = y.copy(), x.copy()
        far_y, far_x = y[outside], x[outside]
        y[outside] = x[outside] = 0
    tile = _tile(y) * np.int32(tiles.across) + _tile(x)
    nearest = tiles.points[tiles.first].take(tile)
    left = np.flatnonzero((tiles.count > 1).take(tile))
    nearest[left] = _nearest_candidates(y[left], x[left], tile[left], tiles, points)
    if len(outside):
        nearest[outside] = _nearest_of_all(far_y, far_x, points)
    return nearest


def _tile(places: NDArray[np.float32]) -> NDArray[np.int32]:
    return (places * np.float32(1 / _TILE)).astype(np.int32)


def _candidates(points: NDArray[np.float32], size_hw: tuple[int, int]) -> _Tiles:
    """Return the points whose least distance to a tile is not above the least of all points' greatest distances."""
    near: list[NDArray[np.float32]] = []
    far: list[NDArray[np.float32]] = []
    for places, size in zip(points, size_hw, strict=True):
        middles = (np.arange(-(-size // _TILE), dtype=np.float32) + 0.5) * _TILE
        gaps = np.abs(places - middles[:, None])
        near.append(np.square(np.maximum(gaps - _TILE / 2, 0)))
        far.append(np.square(gaps + _TILE / 2))
    least = (far[0][:, None] + far[1]).min(axis=2)
    possible = near[0][:, None] + near[1] <= least[..., None]
    down, across, _ = possible.shape
    tile, candidates = np.nonzero(possible.reshape(down * across, -1))
    count = np.bincount(tile, minlength=down * across)
    return _Tiles(count, np.cumsum(count) - count, candidates.astype(np.int32), across)


def _nearest_candidates(
    y: NDArray[np.float32], x: NDArray[np.float32], tile: NDArray[np.int32], tiles: _Tiles,
    points: NDArray[np.float32],
) -> NDArray[np.int32]:  # fmt: skip
    """Return the nearest of the points that are possible in each position's tile."""
    first, count = tiles.first.take(tile), tiles.count.take(tile)
    nearest = tiles.points.take(first)
    best = np.square(y - points[0].take(nearest)) + np.square(x - points[1].take(nearest))
    left = np.arange(len(y))
    for turn in range(1, int(count.max(initial=1))):
        if turn > 1:
            left = left[count[left] > turn]
        point = tiles.points.take(first[left] + turn)
        distance = np.square(y[left] - points[0].take(point)) + np.square(x[left] - points[1].take(point))
        nearer = np.flatnonzero(distance < best[left])
        best[left[nearer]] = distance[nearer]
        nearest[left[nearer]] = point[nearer]
    return nearest


def _nearest_of_all(y: NDArray[np.float32], x: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.int32]:
    nearest = np.empty(len(y), np.int32)
    step = max(1, _MOST_DISTANCES // points.shape[1])
    for start in range(0, len(y), step):
        part = slice(start, start + step)
        distances = np.square(y[part, None] - points[0]) + np.square(x[part, None] - points[1])
        nearest[part] = distances.argmin(axis=1)
    return nearest
