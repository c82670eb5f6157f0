"""Panoptic decoding by centres in plain loops: what the vectorised one is tested against and measured against."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Found = list[tuple[float, int, NDArray[Any]]]


def plain_centres(
    heatmap: NDArray[Any], centres: NDArray[Any], pixels: NDArray[Any], weights: NDArray[Any], rule: Any
) -> Found:
    """Look at every place of every class, and at one centre after the other: (score, class, mask) best first."""
    classes, width = len(heatmap), heatmap.shape[2]
    depth = len(centres)
    table, hidden = weights[:classes], weights[classes : classes + depth]
    bias, scale, shift = weights[classes + depth : classes + depth + 3]
    out, offset = weights[-depth - 1 : -1], weights[-1]
    found: list[Any] = []
    for c, y, x in np.ndindex(heatmap.shape):
        around = heatmap[c, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
        score = 1 / (1 + np.exp(-heatmap[c, y, x].astype(np.float64)))
        if heatmap[c, y, x] >= around.max() and score > rule.threshold:
            mixed = hidden @ (centres[:, y, x] * table[c]) + bias
            normed = (mixed - mixed.mean()) / np.sqrt(mixed.var() + 1e-6) * scale + shift
            embedding = out @ np.maximum(normed, 0) + offset
            found.append((score, -c, -(y * width + x), np.einsum("d,dhw->hw", embedding, pixels)))
    found.sort(key=lambda entry: entry[:3], reverse=True)
    return [(score, -c, mask) for score, c, _, mask in found[: rule.centres]]


def plain_merge(found: Found, hw: tuple[int, int], rule: Any) -> tuple[NDArray[Any], list[tuple[int, float]]]:
    """Give pixels away one by one, as the published generator does with whole arrays."""
    ids = np.zeros(hw, int)
    segments: list[tuple[int, float]] = []
    stuff: dict[int, int] = {}
    if not found:
        return ids, segments
    shares = np.stack([1 / (1 + np.exp(-mask)) for *_, mask in found])
    owner = np.zeros(hw, int)
    for y, x in np.ndindex(hw):
        owner[y, x] = max(range(len(found)), key=lambda i: (shares[i, y, x] * found[i][0], -i))
    for i, (score, category, _) in enumerate(found):
        won, inside = int((owner == i).sum()), int((shares[i] > 0.5).sum())
        few = won <= rule.least_area * max(hw) ** 2
        if not inside or won <= rule.overlap * inside or few or category == 0:
            continue
        if category in stuff:
            ids[owner == i] = stuff[category]
            continue
        segments.append((category, score))
        ids[owner == i] = len(segments)
        if category >= rule.things:
            stuff[category] = len(segments)
    return ids, segments
