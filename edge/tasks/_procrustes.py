"""How far two 3D poses are apart when neither place, size nor direction counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST = 1e-12


def procrustes_mpjpe(target: NDArray[Any], source: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean distance (…) of corresponding points (…, K, 3) after the source is moved onto the target.

    The similarity transform (rotation, scale, shift; no reflection) is the one of least squares: Schönemann,
    "A generalized solution of the orthogonal Procrustes problem" (1966), with Kabsch's sign (1976). The unit is the
    target's. Leading axes broadcast.
    """
    to, fro = (np.asarray(points, np.float64) for points in (target, source))
    to, fro = (points - points.mean(axis=-2, keepdims=True) for points in (to, fro))
    left, values, right = np.linalg.svd(np.swapaxes(fro, -1, -2) @ to)
    signs = np.ones_like(values)
    signs[..., -1] = np.where(np.linalg.det(left @ right) < 0, -1.0, 1.0)
    rotation = (left * signs[..., None, :]) @ right
    spread = np.maximum((fro**2).sum(axis=(-2, -1)), _LEAST)
    scale = (values * signs).sum(axis=-1) / spread
    moved = scale[..., None, None] * (fro @ rotation)
    return np.asarray(np.linalg.norm(moved - to, axis=-1).mean(axis=-1))
