"""Pinhole cameras around people.

Camera axes: x to the right, y down, z away from the camera; metres. Pixel (x, y) is the sample at index [y, x], as in
edge.images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_FIELD = math.radians(20.0), math.radians(70.0)  # of view, of the picture's shorter side
_FILL = 0.6, 1.25  # of the shorter side, that a person who stands upright takes
_ELEVATION = math.radians(8.0), math.radians(16.0)  # mean and spread
_STEEPEST = math.radians(-35.0), math.radians(75.0)
_ROLL = math.radians(5.0)
_AIM = 0.05  # spread of where the person's middle lies, of the side
_AROUND_M = 0.12  # what a body has beyond its keypoints
_NEAREST_M = 0.35  # of any keypoint


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """One camera: `rotation` (3, 3) and `translation` (3,) from world to camera, focal length and centre in pixels."""

    rotation: Array
    translation: Array
    focal_px: float
    centre_px: tuple[float, float]  # x, y
    size_hw: tuple[int, int]

    def to_camera(self, points: Array) -> Array:
        """Return points (…, 3) of the world in camera axes."""
        return np.asarray(points @ self.rotation.T.astype(points.dtype) + self.translation.astype(points.dtype))

    def project(self, points: Array) -> tuple[Array, Array]:
        """Return the pixels (…, 2) and depths (…,) of the world's points (…, 3); behind the camera, pixels are NaN."""
        seen = self.to_camera(points)
        depth = seen[..., 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            pixels = self.focal_px * seen[..., :2] / depth[..., None] + np.array(self.centre_px)
        return np.where(depth[..., None] > 0, pixels, np.nan), depth

    def rays(self, pixels: Array) -> Array:
        """Return the directions (…, 3) in camera axes, of depth 1, that pixels (…, 2) show."""
        flat = (pixels - np.array(self.centre_px)) / self.focal_px
        return np.concatenate([flat, np.ones_like(flat[..., :1])], axis=-1)


@dataclass(frozen=True, slots=True, eq=False)
class Cameras:
    """Many cameras of one picture size: rotation (N, 3, 3), translation (N, 3), focal_px (N,), centre_px (N, 2)."""

    rotation: Array
    translation: Array
    focal_px: Array
    centre_px: Array
    size_hw: tuple[int, int]

    def __getitem__(self, number: int) -> Camera:
        """Return one of them."""
        x, y = self.centre_px[number]
        return Camera(
            self.rotation[number], self.translation[number], float(self.focal_px[number]), (float(x), float(y)),
            self.size_hw,
        )  # fmt: skip

    def to_camera(self, points: Array) -> Array:
        """Return each one's points (N, P, 3) of the world in camera axes."""
        return np.asarray(points @ np.swapaxes(self.rotation, 1, 2) + self.translation[:, None])

    def project(self, points: Array) -> Array:
        """Return each one's pixels (N, P, 2) of points (N, P, 3) of the world that lie before it."""
        seen = self.to_camera(points)
        return np.asarray(self.focal_px[:, None, None] * seen[..., :2] / seen[..., 2:] + self.centre_px[:, None])


def sample_cameras(generator: np.random.Generator, points: Array, size_hw: tuple[int, int]) -> Cameras:
    """Return a random camera for each person's keypoints (N, P, 3): from any side, mostly at about eye height."""
    count = len(points)
    side = float(min(size_hw))
    low, high = points.min(axis=1), points.max(axis=1)
    middle = (low + high) / 2.0
    radius = np.linalg.norm(points - middle[:, None], axis=2).max(axis=1) + _AROUND_M
    azimuth = generator.uniform(-math.pi, math.pi, count)
    elevation = np.clip(generator.normal(*_ELEVATION, count), *_STEEPEST)
    focal = side / 2.0 / np.tan(generator.uniform(*_FIELD, count) / 2.0)
    distance = np.maximum(focal * radius / (generator.uniform(*_FILL, count) * side / 2.0), radius + _NEAREST_M)
    rotation = look(azimuth, elevation, generator.normal(0.0, _ROLL, count))
    translation = -np.einsum("nij,nj->ni", rotation, middle)
    translation[:, 2] += distance
    centre = (np.array([size_hw[1], size_hw[0]]) - 1.0) / 2.0 + generator.normal(0.0, _AIM * side, (count, 2))
    return Cameras(rotation, translation, focal, centre, size_hw)


def look(azimuth: Array, elevation: Array, roll: Array) -> Array:
    """Return rotations (N, 3, 3) from world to camera axes; azimuth 0 sees a person's front, π/2 the left side."""
    cos, sin = np.cos(elevation), np.sin(elevation)
    forward = np.stack([-np.sin(azimuth) * cos, np.cos(azimuth) * cos, -sin], axis=1)
    right = np.stack([np.cos(azimuth), np.sin(azimuth), np.zeros_like(azimuth)], axis=1)
    down = np.cross(forward, right)
    c, s = np.cos(roll)[:, None], np.sin(roll)[:, None]
    return np.stack([c * right + s * down, c * down - s * right, forward], axis=1)
