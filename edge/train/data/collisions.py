"""Which poses let limbs pass through the body: capsules around bones that come too near to each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.train.data.keypoints import NAMES

Array = NDArray[Any]

# Capsules: two keypoints (or the middle of two), and the radius as a share of the distance between the shoulders, or of
# the hips' middle to the shoulders' if that is longer. Less than flesh, which gives way.
_NECK, _PELVIS = ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")
_TORSO, _HEAD = (_NECK, _PELVIS, 0.22), (("left_ear", "right_ear"), ("nose", "nose"), 0.19)


def _limb(side: str) -> dict[str, tuple[tuple[str, str], tuple[str, str], float]]:
    def at(name: str) -> tuple[str, str]:
        return f"{side}_{name}", f"{side}_{name}"

    return {
        f"{side}_upper_arm": (at("shoulder"), at("elbow"), 0.08),
        f"{side}_forearm": (at("elbow"), at("wrist"), 0.07),
        f"{side}_hand": (at("wrist"), at("index"), 0.07),
        f"{side}_thigh": (at("hip"), at("knee"), 0.13),
        f"{side}_shin": (at("knee"), at("ankle"), 0.09),
        f"{side}_foot": (at("heel"), at("foot_index"), 0.07),
    }


_CAPSULES = {"torso": _TORSO, "head": _HEAD, **_limb("left"), **_limb("right")}
_NAMES = tuple(_CAPSULES)
_SIDES, _ARM, _LEG = ("left", "right"), ("upper_arm", "forearm", "hand"), ("thigh", "shin", "foot")
_PAIRS = np.array(
    [
        (_NAMES.index(a), _NAMES.index(b))
        for a, b in (
            *((f"{side}_{arm}", trunk) for side in _SIDES for arm in _ARM[1:] for trunk in ("torso", "head")),
            *((f"{side}_upper_arm", "head") for side in _SIDES),
            *((f"{side}_{limb}", "torso") for side in _SIDES for limb in ("shin", "foot")),
            *((f"left_{a}", f"right_{b}") for limb in (_ARM, _LEG) for a in limb for b in limb),
            *((f"{side}_{arm}", f"{other}_{leg}") for side in _SIDES for other in _SIDES
              for arm in _ARM[1:] for leg in _LEG[:2]),
        )
        if (a, b) != ("left_thigh", "right_thigh")
    ]
)  # fmt: skip
_ENDS = np.array([[[NAMES.index(name) for name in end] for end in capsule[:2]] for capsule in _CAPSULES.values()])
_RADII = np.array([capsule[2] for capsule in _CAPSULES.values()])


def penetration(points: Array) -> Array:
    """Return how deep (N,) capsules of poses (N, 33, 3) reach into each other, as a share of the body; ≤ 0 for none."""
    ends = points[:, _ENDS].mean(axis=3)  # (N, C, 2, 3)
    scale = np.maximum(
        _length(points, "left_shoulder", "right_shoulder"), 0.6 * np.linalg.norm(ends[:, 0, 0] - ends[:, 0, 1], axis=1)
    )
    first, second = ends[:, _PAIRS[:, 0]], ends[:, _PAIRS[:, 1]]
    apart = segment_distance(first[..., 0, :], first[..., 1, :], second[..., 0, :], second[..., 1, :])
    return np.asarray((_RADII[_PAIRS].sum(axis=1) - apart / scale[:, None]).max(axis=1))


def _length(points: Array, first: str, second: str) -> Array:
    return np.asarray(np.linalg.norm(points[:, NAMES.index(first)] - points[:, NAMES.index(second)], axis=1))


def segment_distance(a: Array, b: Array, c: Array, d: Array) -> Array:
    """Return the least distance between segments from a to b and from c to d, each (…, 3).

    Ericson, Real-Time Collision Detection, 2005, section 5.1.9.
    """
    u, v, w = b - a, d - c, a - c
    uu, vv, uv = _dot(u, u) + 1e-12, _dot(v, v) + 1e-12, _dot(u, v)
    uw, vw = _dot(u, w), _dot(v, w)
    free = uu * vv - uv * uv
    s = np.clip(np.divide(uv * vw - uw * vv, free, out=np.zeros_like(free), where=free > 1e-9 * uu * vv), 0.0, 1.0)
    t = (uv * s + vw) / vv
    s = np.where(t < 0.0, np.clip(-uw / uu, 0.0, 1.0), np.where(t > 1.0, np.clip((uv - uw) / uu, 0.0, 1.0), s))
    t = np.clip(t, 0.0, 1.0)
    return np.asarray(np.linalg.norm(w + s[..., None] * u - t[..., None] * v, axis=-1))


def _dot(first: Array, second: Array) -> Array:
    return np.asarray(np.einsum("...i,...i->...", first, second))
