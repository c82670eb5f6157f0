"""Triangles → which one each pixel shows, at what depth; OpenCV draws them, numpy interpolates over them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import MissingError
from edge.train.data.cameras import Camera

Array = NDArray[Any]

NEAR_M, FAR_M = 0.05, 1000.0
_DRAWN_M = 900.0  # depths come back from OpenCV rounded, also those where nothing was drawn
_NUMBERS = 1 << 16  # triangles that a colour between 0 and 1 can tell apart


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """What pixels show: rows and columns (P,) of those that show anything, triangles (P,) and their corners' weights.

    `weights` (P, 3) are perspective-correct; `depth` (H, W) in metres along the camera's z axis, inf where nothing is.
    """

    rows: Array
    columns: Array
    triangles: Array
    weights: Array
    depth: Array

    def interpolate(self, values: Array, faces: Array) -> Array:
        """Return values (V, C) of vertices at the pixels (P, C)."""
        corners = values[faces[self.triangles]]  # (P, 3, C)
        return np.asarray(np.einsum("pk,pkc->pc", self.weights, corners))


def rasterise(vertices: Array, faces: Array, camera: Camera) -> Raster:
    """Draw triangles (T, 3) of vertices (V, 3) in camera axes, both of their sides.

    Triangles that reach nearer than 5 cm to the camera's plane are left out. Raises MissingError without OpenCV 5.
    """
    before = (vertices[:, 2] > NEAR_M)[faces].all(axis=1)
    kept = np.flatnonzero(before)
    numbers, depth = _draw(vertices, faces[kept], camera)
    drawn = depth < _DRAWN_M
    rows, columns = np.nonzero(drawn)
    triangles = kept[numbers[rows, columns]]
    rays = camera.rays(np.stack([columns, rows], axis=1)).astype(np.float32)
    weights = _corner_weights(vertices[faces[triangles]], rays)
    return Raster(rows, columns, triangles, weights, np.where(drawn, depth, np.inf).astype(np.float32))


def _draw(vertices: Array, faces: Array, camera: Camera) -> tuple[Array, Array]:
    """Return numbers (H, W) of triangles and depths (H, W), FAR_M where nothing is.

    OpenCV fills a triangle with its first corner's colour, so that each triangle gets a first corner of its own.
    """
    cv2, settings = _opencv()
    height, width = camera.size_hw
    x, y = camera.centre_px
    shift = (x + 0.5 - width / 2.0) / camera.focal_px, (y + 0.5 - height / 2.0) / camera.focal_px
    seen = np.empty((len(vertices) + len(faces), 3), np.float32)  # OpenGL's axes: y up, z backwards
    seen[: len(vertices), 0] = vertices[:, 0] + shift[0] * vertices[:, 2]
    seen[: len(vertices), 1] = -vertices[:, 1] - shift[1] * vertices[:, 2]
    seen[: len(vertices), 2] = -vertices[:, 2]
    seen[len(vertices) :] = seen[: len(vertices)][faces[:, 0]]
    corners = np.column_stack([np.arange(len(vertices), len(seen)), faces[:, 1:]]).astype(np.int32)
    colours = np.zeros((len(seen), 3), np.float32)
    colours[len(vertices) :, 0] = np.arange(len(faces), dtype=np.float32) / _NUMBERS
    shown, depth = np.zeros((height, width, 3), np.float32), np.full((height, width), FAR_M, np.float32)
    if len(faces):
        field = 2.0 * math.atan(height / 2.0 / camera.focal_px)
        cv2.triangleRasterize(
            seen[None], corners[None], colours[None], shown, depth, _IDENTITY, field, NEAR_M / 2.0, FAR_M, settings
        )
    return np.rint(shown[..., 0] * _NUMBERS).astype(np.int32), depth


_IDENTITY = np.eye(4, dtype=np.float32)


@cache
def _opencv() -> tuple[Any, Any]:
    try:
        import cv2
    except ImportError as error:
        raise MissingError(f"people are drawn with OpenCV ({error}): {_INSTALL}") from None
    if not hasattr(cv2, "triangleRasterize"):
        raise MissingError(f"OpenCV {cv2.__version__} cannot draw triangles, 5.0 can: {_INSTALL}")
    settings = cv2.TriangleRasterizeSettings()
    settings.setShadingType(cv2.RASTERIZE_SHADING_FLAT)
    settings.setCullingMode(cv2.RASTERIZE_CULLING_NONE)
    return cv2, settings


_INSTALL = "pip install 'edge-deployment-kit[train]'"


def _corner_weights(corners: Array, rays: Array) -> Array:
    """Return where rays (P, 3) from the camera meet triangles (P, 3, 3), as weights (P, 3) of their corners."""
    first, second, third = corners[:, 0], corners[:, 1], corners[:, 2]
    volumes = np.stack(
        [
            _dot(rays, np.cross(second, third)),
            _dot(rays, np.cross(third, first)),
            _dot(rays, np.cross(first, second)),
        ],
        axis=1,
    )
    total = volumes.sum(axis=1, keepdims=True)
    flat = np.abs(total) < 1e-12  # seen exactly from the side
    weights = np.where(flat, np.float32(1 / 3), volumes / np.where(flat, 1.0, total))
    weights = np.clip(weights, 0.0, None)  # OpenCV's edges are not exactly those of the rays
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def _dot(first: Array, second: Array) -> Array:
    return np.asarray(np.einsum("pi,pi->p", first, second))


def vertex_normals(vertices: Array, faces: Array) -> Array:
    """Return unit normals (V, 3): of the faces around, by their areas."""
    corners = vertices[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.stack(
        [np.bincount(faces.ravel(), np.repeat(across[:, axis], 3), len(vertices)) for axis in range(3)], axis=1
    )
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(np.divide(total, length, out=np.zeros_like(total), where=length > 0), np.float32)
