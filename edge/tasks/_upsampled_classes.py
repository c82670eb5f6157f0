"""The largest of many planes after bilinear enlargement, without enlarging them all.

Between four pixels a bilinear value is a mean of theirs. Where one plane is the largest at all four it is the largest
in between, so that only the borders of classes are interpolated. The result is exact but for ties.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MOST_VALUES = 1 << 22  # that are interpolated at once


def upsampled_classes(scores: NDArray[np.float32], factor: int) -> NDArray[np.uint8]:
    """Return the number of the largest of the planes (C, h, w), C ≤ 256, at (h · factor, w · factor).

    Pixel centres are aligned by halves and edges repeated, as torch.nn.functional.interpolate does.
    """
    coarse = largest(scores)
    padded = np.pad(coarse, 1, mode="edge")  # corner (i, j) of a cell between four pixels is padded[i, j] …
    corners = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    mixed = (corners[0] != corners[1]) | (corners[0] != corners[2]) | (corners[0] != corners[3])
    rows, columns = corners[0].shape
    cells = np.empty((rows, factor, columns, factor), np.uint8)
    cells[:] = corners[0][:, None, :, None]
    where = np.argwhere(mixed)
    step = max(1, _MOST_VALUES // (len(scores) * factor**2))
    for start in range(0, len(where), step):
        row, column = where[start : start + step].T
        cells[row, :, column] = _interpolated(scores, row, column, factor)
    first = (factor + 1) // 2  # the outermost cells reach half a pixel beyond the planes
    whole = cells.reshape(rows * factor, columns * factor)
    return whole[first : first + coarse.shape[0] * factor, first : first + coarse.shape[1] * factor]


def largest(scores: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the number of the largest of the planes (C, …) at every place, of equals the first."""
    best, numbers = scores[0].copy(), np.zeros(scores.shape[1:], np.uint8)
    for number in range(1, len(scores)):
        np.copyto(numbers, np.uint8(number), where=scores[number] > best)
        np.maximum(best, scores[number], out=best)
    return numbers


def _interpolated(
    scores: NDArray[np.float32], row: NDArray[np.intp], column: NDArray[np.intp], factor: int
) -> NDArray[np.uint8]:
    """Return the largest plane at factor² places of cells (n,) whose lower right corners are (row, column)."""
    height, width = scores.shape[1:]
    rows = np.maximum(row - 1, 0), np.minimum(row, height - 1)
    columns = np.maximum(column - 1, 0), np.minimum(column, width - 1)
    corners = np.stack([scores[:, i, j] for i in rows for j in columns], axis=-1)  # (C, n, 4)
    lower = (np.arange(factor) + 0.5 - (factor + 1) // 2) / factor + 0.5
    ends = np.stack([1 - lower, lower])
    weights = (ends[:, None, :, None] * ends[None, :, None, :]).reshape(4, factor**2).astype(np.float32)
    return largest(corners @ weights).reshape(-1, factor, factor)
