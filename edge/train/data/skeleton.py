"""Angles of joints → turns and places of all bones: forward kinematics, for many bodies at a time.

Every bone has a neutral place: upright, arms and legs hanging straight down, palms to the thighs. Angles turn bones
away from it. World axes: x to the person's left, y backwards, z up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.train.data.postures import COLUMN, Angles

Array = NDArray[Any]
_DOWN = np.array([0.0, 0.0, -1.0])
_TRUNK = tuple(f"spine{i:02d}" for i in (5, 4, 3, 2, 1))
_NECK = ("neck01", "neck02", "neck03", "head")
_FINGER_BEND = {"1": 1.0, "2": 1.2, "3": 0.8}  # of a finger's three joints, times the angle
_THUMB_BEND = 0.3
_SHRUG_FROM, _SHRUG = 50.0, 0.22  # a raised arm takes the collarbone with it: from which angle, how much of the rest


@dataclass(frozen=True, slots=True, eq=False)
class Transforms:
    """How bones carry points: point ↦ turn · point + shift; turn (N, B, 3, 3), shift (N, B, 3)."""

    turn: Array
    shift: Array


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Bones by name, parents before children."""

    bones: tuple[str, ...]
    parents: tuple[int, ...]

    def place(self, angles: Angles, heads: Array) -> Transforms:
        """Return the bones' transforms for angles (N, D) in degrees and heads at rest (N, B, 3), or (1, B, 3)."""
        count, bones = len(angles), len(self.bones)
        neutral = self._neutral(heads)
        local = self._local(np.radians(angles).astype(heads.dtype))
        identity = np.broadcast_to(np.eye(3, dtype=heads.dtype), (count, 3, 3))
        turns, places = [identity] * bones, np.zeros((count, bones, 3), heads.dtype)
        carried = np.empty((count, bones, 3, 3), heads.dtype)
        for bone, (name, parent) in enumerate(zip(self.bones, self.parents, strict=True)):
            above = turns[self._oriented_by(name, parent)] if parent >= 0 else identity
            turns[bone] = above @ local[name] if name in local else above
            carried[:, bone] = turns[bone] @ neutral[name] if name in neutral else turns[bone]
            if parent >= 0:
                offset = _apply(carried[:, parent], heads[:, bone] - heads[:, parent])
                places[:, bone] = places[:, parent] + offset
        return Transforms(carried, places - _apply(carried, heads))

    def _oriented_by(self, name: str, parent: int) -> int:
        """Return the bone that a bone's turn is counted from: the chest for arms, though the collarbone holds them."""
        return self.bones.index("spine01") if name.startswith("upperarm01") else parent

    def _local(self, angles: Array) -> dict[str, Array]:
        """Return each bone's turn (N, 3, 3) from the one it is oriented by; bones that are left out do not turn."""

        def angle(name: str) -> Array:
            return angles[:, COLUMN[name]]

        turns = {"root": _about(*(angle(f"root_{way}") for way in ("turn", "lean", "bend")))}
        for group, share in ((_TRUNK, 1 / len(_TRUNK)), (_NECK, 1 / len(_NECK))):
            part = "trunk" if group is _TRUNK else "neck"
            turn = _about(*(share * angle(f"{part}_{way}") for way in ("turn", "lean", "bend")))
            turns |= dict.fromkeys(group, turn)
        for side, sign in (("L", 1.0), ("R", -1.0)):
            limb = {name: angle(f"{side.lower()}_{name}") for name in _LIMB}
            turns |= {f"{name}.{side}": turn for name, turn in _limb(limb, sign).items()}
        return turns

    def _neutral(self, heads: Array) -> dict[str, Array]:
        """Return the turns (N, 3, 3) from rest to neutral of the bones that do not rest there."""
        found: dict[str, Array] = {}
        for side in "LR":
            at = {name: heads[:, self.bones.index(f"{name}.{side}")] for name in _LANDMARKS}
            upper, fore = _arm(at)
            hand = _hand(at, fore)
            half = _halfway(fore, hand)
            thigh = _towards(at["lowerleg01"] - at["upperleg01"], _DOWN)
            shin = _towards(at["foot"] - at["lowerleg01"], _DOWN)
            turns = {"upperarm01": upper, "upperarm02": upper, "lowerarm01": fore, "lowerarm02": half,
                     "upperleg01": thigh, "upperleg02": thigh, "lowerleg01": shin, "lowerleg02": shin}  # fmt: skip
            found |= {f"{name}.{side}": turn for name, turn in turns.items()}
            found |= {name: hand for name in self.bones if name.startswith(_HAND) and name.endswith(side)}
        return found


_LIMB = ("shoulder_raise", "shoulder_plane", "shoulder_twist", "elbow_bend", "forearm_turn", "wrist_bend", "wrist_lean",
         "fingers_bend", "hip_raise", "hip_plane", "hip_twist", "knee_bend", "ankle_bend", "ankle_lean")  # fmt: skip
_LANDMARKS = ("upperarm01", "lowerarm01", "wrist", "finger2-1", "finger3-1", "finger5-1", "upperleg01", "lowerleg01",
              "foot")  # fmt: skip
_HAND = ("wrist", "metacarpal", "finger")


def _limb(angle: dict[str, Array], sign: float) -> dict[str, Array]:
    """Return the turns of one side's bones; `sign` is 1 for the left side, −1 for the right one."""
    zero = np.zeros_like(angle["elbow_bend"])
    turns: dict[str, Array] = {}
    for joint, bone in (("shoulder", "upperarm"), ("hip", "upperleg")):
        half = _about(-sign * angle[f"{joint}_twist"] / 2)
        swing = _swing(angle[f"{joint}_raise"], sign * angle[f"{joint}_plane"])
        turns |= {f"{bone}01": swing @ half, f"{bone}02": half}
    lift = np.maximum(angle["shoulder_raise"] - np.radians(_SHRUG_FROM), 0.0) * _SHRUG
    turns["clavicle"] = _about(zero, -sign * lift)
    turns["lowerarm01"] = _about(zero, zero, -angle["elbow_bend"])
    half = _about(-sign * angle["forearm_turn"] / 2)
    turns["lowerarm02"] = half
    turns["wrist"] = half @ _about(zero, sign * angle["wrist_bend"], -angle["wrist_lean"])
    for joint, share in _FINGER_BEND.items():
        bent = _about(zero, sign * share * angle["fingers_bend"])
        turns |= {f"finger{finger}-{joint}": bent for finger in "2345"}
    turns["finger1-3"] = _about(zero, sign * _THUMB_BEND * angle["fingers_bend"])
    turns["lowerleg01"] = _about(zero, zero, angle["knee_bend"])
    turns["foot"] = _about(zero, sign * angle["ankle_lean"], -angle["ankle_bend"])
    return turns


def _swing(angle: Array, plane: Array) -> Array:
    """Turn a hanging limb by an angle towards a plane, 0 forwards, without a twist of its own."""
    return _about(plane, np.zeros_like(plane), -angle) @ _about(-plane)


def _about(z: Array, y: Array | None = None, x: Array | None = None) -> Array:
    """Return rotations (N, 3, 3) about x, then y, then z, in radians."""
    turn = _axis(z, 0, 1)
    if y is not None:
        turn = turn @ _axis(y, 2, 0)
    return turn @ _axis(x, 1, 2) if x is not None else turn


def _axis(angle: Array, first: int, second: int) -> Array:
    """Return rotations that take one axis towards a second one."""
    turn = np.zeros((*angle.shape, 3, 3), angle.dtype)
    turn[..., (0, 1, 2), (0, 1, 2)] = 1.0
    cos, sin = np.cos(angle), np.sin(angle)
    turn[..., first, first] = turn[..., second, second] = cos
    turn[..., first, second], turn[..., second, first] = -sin, sin
    return turn


def _apply(turns: Array, points: Array) -> Array:
    """Turn points (…, 3) by turns (…, 3, 3)."""
    return np.asarray((turns @ points[..., None])[..., 0])


def _towards(source: Array, target: Array) -> Array:
    """Return the smallest rotations (N, 3, 3) that take directions (N, 3) to a direction; Rodrigues' formula."""
    unit = source / np.linalg.norm(source, axis=-1, keepdims=True)
    axis, cos = np.cross(unit, target), unit @ target
    cross = np.zeros((*unit.shape, 3), unit.dtype)
    for row, column, part, sign in (
        (0, 1, 2, -1),
        (0, 2, 1, 1),
        (1, 0, 2, 1),
        (1, 2, 0, -1),
        (2, 0, 1, -1),
        (2, 1, 0, 1),
    ):
        cross[..., row, column] = sign * axis[..., part]
    square = cross @ cross / (1.0 + cos)[..., None, None]
    return np.asarray(np.eye(3, dtype=unit.dtype) + cross + square, unit.dtype)


def _arm(at: dict[str, Array]) -> tuple[Array, Array]:
    """Return the upper arm's and the forearm's turns to neutral, the elbow's hinge bending forwards."""
    upper = _towards(at["lowerarm01"] - at["upperarm01"], _DOWN)
    fore = _apply(upper, at["wrist"] - at["lowerarm01"])
    upper = _about(-np.arctan2(fore[:, 0], -fore[:, 1])) @ upper
    fore = _apply(upper, at["wrist"] - at["lowerarm01"])
    return upper, _towards(fore, _DOWN) @ upper


def _hand(at: dict[str, Array], fore: Array) -> Array:
    """Return the hand's turn to neutral: fingers down, the first finger in front of the last one."""
    straight = _towards(_apply(fore, at["finger3-1"] - at["wrist"]), _DOWN) @ fore
    knuckles = _apply(straight, at["finger5-1"] - at["finger2-1"])
    return np.asarray(_about(-np.arctan2(-knuckles[:, 0], knuckles[:, 1])) @ straight)


def _halfway(first: Array, second: Array) -> Array:
    """Return rotations halfway between, for those less than half a turn apart."""
    middle = first + second
    u, _, v = np.linalg.svd(middle)
    return np.asarray(u @ v, first.dtype)


def joint_rows(bones: Sequence[str], names: Sequence[str]) -> NDArray[np.intp]:
    """Return the places of bones by name."""
    return np.array([bones.index(name) for name in names])
