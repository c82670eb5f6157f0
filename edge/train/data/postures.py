"""Random poses within the limits of joints: between two keys of a posture, with noise; many at a time.

A pose is a row of angles in degrees, in the order of ANGLES. postures.toml says what the names mean and holds the keys.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import StoreError

Angles = NDArray[np.float64]  # (N, D)

_FILE = Path(__file__).parent / "postures.toml"
_TRUNK = ("root_bend", "root_lean", "root_turn", "trunk_bend", "trunk_lean", "trunk_turn", "neck_bend", "neck_lean",
          "neck_turn")  # fmt: skip
_ARM = ("shoulder_raise", "shoulder_plane", "shoulder_twist", "elbow_bend", "forearm_turn", "wrist_bend", "wrist_lean",
        "fingers_bend")  # fmt: skip
_LEG = ("hip_raise", "hip_plane", "hip_twist", "knee_bend", "ankle_bend", "ankle_lean")
LIMB = _ARM + _LEG
ANGLES = (*_TRUNK, *(f"l_{name}" for name in LIMB), *(f"r_{name}" for name in LIMB))
COLUMN: Mapping[str, int] = {name: i for i, name in enumerate(ANGLES)}
_LEFT, _RIGHT = slice(len(_TRUNK), len(_TRUNK) + len(LIMB)), slice(len(_TRUNK) + len(LIMB), len(ANGLES))
_ARMS = np.array([COLUMN[f"{side}_{name}"] for side in "lr" for name in _ARM])
_MIRRORED = [COLUMN[name] for name in _TRUNK if name.endswith(("lean", "turn"))]

# Least and greatest angle, and the spread of noise. Ranges of healthy adults: American Academy of Orthopaedic Surgeons,
# Joint Motion, 1965; a little less where the skin of the mesh breaks before.
_RANGES: Mapping[str, tuple[float, float, float]] = {
    "root_bend": (-180, 180, 5), "root_lean": (-180, 180, 4), "root_turn": (-180, 180, 0),
    "trunk_bend": (-25, 70, 7), "trunk_lean": (-32, 32, 5), "trunk_turn": (-40, 40, 8),
    "neck_bend": (-45, 45, 10), "neck_lean": (-32, 32, 6), "neck_turn": (-70, 70, 18),
    "shoulder_raise": (0, 172, 13), "shoulder_plane": (-45, 180, 16), "shoulder_twist": (-85, 70, 15),
    "elbow_bend": (0, 145, 15), "forearm_turn": (-75, 75, 30), "wrist_bend": (-60, 65, 14),
    "wrist_lean": (-25, 20, 8), "fingers_bend": (0, 75, 22),
    "hip_raise": (0, 122, 7), "hip_plane": (-60, 180, 9), "hip_twist": (-45, 35, 7),
    "knee_bend": (0, 140, 8), "ankle_bend": (-42, 25, 6), "ankle_lean": (-12, 12, 4),
}  # fmt: skip
_PLANES = np.array([-60.0, -45.0, 0.0, 45.0, 90.0, 130.0, 180.0])
# Of raise, by plane; a hip's sidewards is that of a thigh turned outwards.
_HIGHEST = {
    "shoulder": np.array([95, 105, 172, 172, 172, 125, 55]),
    "hip": np.array([25, 45, 122, 105, 75, 40, 22]),
}
_OTHER_ARMS = 0.35  # of poses take their arms from another posture
_FINGERS = 25.0  # how far they are bent by themselves


def _range(name: str) -> tuple[float, float, float]:
    return _RANGES[name if name in _RANGES else name[2:]]


LOW, HIGH, SPREAD = (np.array(column) for column in zip(*(_range(name) for name in ANGLES), strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Posture:
    """A family of poses: rows of key angles (K, D), with how often it is taken and how much noise it bears."""

    name: str
    weight: float
    noise: float
    keys: Angles
    cycle: bool  # whether the first key follows the last one

    def between(self, place: NDArray[np.float64]) -> Angles:
        """Return the angles at places (N,) in 0…1 along the keys."""
        keys = np.concatenate([self.keys, self.keys[:1]]) if self.cycle else self.keys
        position = place * (len(keys) - 1)
        lower = np.minimum(position.astype(np.intp), max(len(keys) - 2, 0))
        share = (position - lower)[:, None]
        upper = np.minimum(lower + 1, len(keys) - 1)
        return np.asarray(keys[lower] * (1.0 - share) + keys[upper] * share)


@cache
def postures() -> tuple[Posture, ...]:
    """Return the postures of postures.toml; raises StoreError for an angle that is unknown or outside its range."""
    table = tomllib.loads(_FILE.read_text())
    return tuple(
        Posture(
            name, float(entry["weight"]), float(entry["noise"]),
            np.stack([_key(name, key) for key in entry["keys"]]), bool(entry.get("cycle", False)),
        )
        for name, entry in table.items()
    )  # fmt: skip


def _key(posture: str, key: Mapping[str, float]) -> NDArray[np.float64]:
    row = np.zeros(len(ANGLES))
    for name, value in key.items():
        for full in (f"l_{name[2:]}", f"r_{name[2:]}") if name.startswith("b_") else (name,):
            if full not in COLUMN:
                raise StoreError(f"{_FILE.name}: {posture} has an angle {name!r}; known: {', '.join(ANGLES)}")
            row[COLUMN[full]] = value
    if (limited(row[None]) != row).any():
        raise StoreError(f"{_FILE.name}: {posture} has a key outside the joints' limits: {dict(key)}")
    return row


def sample_poses(generator: np.random.Generator, count: int) -> Angles:
    """Return random poses (count, D), every one within the limits."""
    known = postures()
    weights = np.array([posture.weight for posture in known])
    chosen = generator.choice(len(known), (2, count), p=weights / weights.sum())
    places = generator.random((2, count))
    poses, arms = (_at(chosen[i], places[i]) for i in range(2))
    others = generator.random(count) < _OTHER_ARMS
    poses[np.ix_(others, _ARMS)] = arms[np.ix_(others, _ARMS)]
    noise = np.array([posture.noise for posture in known])[chosen[0]]
    poses += generator.normal(size=poses.shape) * SPREAD * noise[:, None]
    poses[:, [COLUMN["l_fingers_bend"], COLUMN["r_fingers_bend"]]] += _FINGERS
    turned = generator.random(count) < 0.5
    poses[turned] = mirrored(poses[turned])
    return limited(poses)


def _at(chosen: NDArray[np.intp], places: NDArray[np.float64]) -> Angles:
    poses = np.empty((len(chosen), len(ANGLES)))
    for number, posture in enumerate(postures()):
        those = chosen == number
        poses[those] = posture.between(places[those])
    return poses


def mirrored(poses: Angles) -> Angles:
    """Return the poses that mirrors show."""
    result = poses.copy()
    result[:, _LEFT], result[:, _RIGHT] = poses[:, _RIGHT], poses[:, _LEFT]
    result[:, _MIRRORED] *= -1.0
    return result


def limited(poses: Angles) -> Angles:
    """Return the nearest angles within the joints' limits; how far a limb can be raised depends on the plane."""
    result = np.clip(poses, LOW, HIGH)
    for side in "lr":
        for joint, highest in _HIGHEST.items():
            planes, raises = result[:, COLUMN[f"{side}_{joint}_plane"]], COLUMN[f"{side}_{joint}_raise"]
            result[:, raises] = np.minimum(result[:, raises], np.interp(planes, _PLANES, highest))
    return result
