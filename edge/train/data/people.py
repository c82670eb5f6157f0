"""Rendered people with exact ground truth: for every index a random body, pose, outfit, light, place and cameras."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from edge.train.data.appearance import Light, Outfit, sample_light, sample_outfit
from edge.train.data.backgrounds import photographs_without_people, sample_background
from edge.train.data.body import Body, open_body
from edge.train.data.cameras import Camera, sample_cameras
from edge.train.data.collisions import penetration
from edge.train.data.makehuman import GROUPS
from edge.train.data.phenotypes import sample_phenotypes
from edge.train.data.postures import sample_poses
from edge.train.data.raster import Raster, rasterise, vertex_normals
from edge.train.data.skeleton import Transforms

Array = NDArray[Any]

_TRIES = 6  # poses of which the one is taken whose limbs pass least through the body
_BODY, _VIEW, _LOOK = 0, 1, 2  # streams of random numbers of one index
_NOISE = 0.02
_HAIR_M = 0.015  # how far long hair stands off what it lies on
_OPEN = [GROUPS.index("helper-hair"), GROUPS.index("helper-skirt")]  # surfaces that are seen from both sides
HIDDEN, SEEN = 1, 2  # COCO's states of keypoints; 0 is not in the picture


@dataclass(frozen=True, slots=True, eq=False)
class Rendering:
    """One picture of one person, and the truth about it.

    `image` (H, W, 3) uint8; `keypoints` (33, 2) in pixels, also those outside the picture; NaN behind the camera;
    `states` (33,): 0 outside the picture, 1 hidden, 2 seen; `points` (33, 3) in metres in camera axes; `mask` (H, W)
    bool; `parts` (H, W) uint8, places in PARTS; `normals` (H, W, 3) unit vectors in camera axes, 0 where nobody is;
    `depth` (H, W) in metres along the camera's axis, inf where nobody is; `camera` from the world.
    """

    image: Array
    keypoints: Array
    states: Array
    points: Array
    mask: Array
    parts: Array
    normals: Array
    depth: Array
    camera: Camera


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """One posed body in the world: the vertices (V, 3) that are drawn, their normals, and keypoints (33, 3)."""

    vertices: Array
    normals: Array
    keypoints: Array
    outfit: Outfit
    light: Light


class People:
    """An endless sequence of rendered people; each index is the same whoever asks, whenever."""

    def __init__(
        self, seed: int, *, size_hw: tuple[int, int] = (256, 256), views: int = 1, backgrounds: Path | None = None
    ) -> None:
        """Prepare pictures of a size, `views` of every pose; backgrounds come from a folder, or the kit's own.

        Raises UsageError for sizes or numbers of views below 1, MissingError if what people are made of cannot be had.
        """
        if min(size_hw) < 1 or views < 1:
            raise UsageError(f"people of {size_hw[0]} × {size_hw[1]} pixels in {views} views: all must be at least 1")
        self.seed, self.size_hw, self.views = seed, size_hw, views
        self._backgrounds = backgrounds
        open_body()  # so that the first process derives it, not all workers

    def __getitem__(self, index: int) -> tuple[Rendering, ...]:
        """Return all views of the person of an index ≥ 0."""
        if index < 0:
            raise IndexError(f"people are numbered from 0; there is none with {index}")
        body = open_body()
        photographs = photographs_without_people(self._backgrounds)
        person = make_person(body, np.random.default_rng((self.seed, _BODY, index)), photographs)
        views = np.random.default_rng((self.seed, _VIEW, index))
        cameras = sample_cameras(views, np.repeat(person.keypoints[None], self.views, axis=0), self.size_hw)
        look = np.random.default_rng((self.seed, _LOOK, index))
        return tuple(
            render(body, person, cameras[view], sample_background(look, photographs, self.size_hw), look)
            for view in range(self.views)
        )


def sample_pose(body: Body, generator: np.random.Generator, heads: Array, anchors: Array) -> tuple[Transforms, Array]:
    """Return the transforms and keypoints (33, 3) of a random pose of a body whose limbs do not pass through it.

    It is the best of a few, so that a rare pose may still touch itself a little.
    """
    transforms = body.skeleton.place(sample_poses(generator, _TRIES), heads[None])
    tried = body.keypoints(anchors[None], transforms)
    depths = penetration(tried)
    best = int(np.argmax(depths <= 0)) if (depths <= 0).any() else int(np.argmin(depths))
    return Transforms(transforms.turn[best : best + 1], transforms.shift[best : best + 1]), tried[best]


def make_person(body: Body, generator: np.random.Generator, textures: tuple[Array, ...]) -> Person:
    """Return a random person in a random pose; `textures` are pictures for printed cloths."""
    shaped = body.shape(sample_phenotypes(generator, 1)[0])
    transforms, keypoints = sample_pose(body, generator, shaped.heads, shaped.anchors)
    outfit = sample_outfit(generator, textures)
    vertices = body.skin(shaped.vertices, transforms)
    normals = vertex_normals(vertices, body.arrays.faces)
    away = outfit.looseness(body.arrays.along)
    away[body.hair] = outfit.looseness_m + _HAIR_M
    vertices = vertices + normals * away[:, None]
    return Person(vertices, normals, keypoints, outfit, sample_light(generator))


def render(body: Body, person: Person, camera: Camera, background: Array, generator: np.random.Generator) -> Rendering:
    """Return the picture that a camera takes of a person before a background (H, W, 3) in 0…1."""
    arrays = body.arrays
    shown = _shown_faces(body, person.outfit)
    faces = arrays.faces[shown]
    raster = rasterise(camera.to_camera(person.vertices), faces, camera)
    normals, colours = _surface(body, person, camera, raster, shown)
    height, width = camera.size_hw
    parts = np.zeros((height, width), np.uint8)
    parts[raster.rows, raster.columns] = arrays.face_parts[shown[raster.triangles]]
    plane = np.zeros((height, width, 3), np.float32)
    plane[raster.rows, raster.columns] = normals @ camera.rotation.T.astype(np.float32)
    mask = parts > 0
    pixels, _ = camera.project(person.keypoints)
    return Rendering(
        image=_compose(background, mask, raster, colours, generator),
        keypoints=pixels.astype(np.float32),
        states=keypoint_states(pixels, camera.to_camera(person.keypoints)[:, 2], raster.depth, arrays.radius),
        points=camera.to_camera(person.keypoints).astype(np.float32),
        mask=mask,
        parts=parts,
        normals=plane,
        depth=raster.depth,
        camera=camera,
    )


def _shown_faces(body: Body, outfit: Outfit) -> Array:
    groups = body.arrays.face_groups
    shown = np.ones(len(groups), np.bool_)
    if not outfit.long_hair:
        shown &= groups != GROUPS.index("helper-hair")
    if not outfit.skirt:
        shown &= groups != GROUPS.index("helper-skirt")
    return np.flatnonzero(shown)


def _surface(body: Body, person: Person, camera: Camera, raster: Raster, shown: Array) -> tuple[Array, Array]:
    """Return the normals (P, 3) in the world's axes and the lit colours (P, 3) of the pixels that show the person."""
    arrays = body.arrays
    attributes = np.concatenate(
        [person.normals, arrays.template[: body.size], arrays.along, arrays.face_marks], axis=1
    )  # (V, 12)
    found = raster.interpolate(attributes, arrays.faces[shown])
    normals, places, along, marks = (found[:, start : start + 3] for start in range(0, 12, 3))
    rays = camera.rays(np.stack([raster.columns, raster.rows], axis=1)) @ camera.rotation
    views = (-rays / np.linalg.norm(rays, axis=1, keepdims=True)).astype(np.float32)
    numbers = shown[raster.triangles]
    normals = _towards(normals, views, np.isin(arrays.face_groups[numbers], _OPEN))
    materials = person.outfit.materials(arrays.face_parts[numbers], arrays.face_groups[numbers], along, marks)
    return normals, person.light.shade(person.outfit.colours(materials, places), normals, views)


def _towards(normals: Array, views: Array, both_sides: Array) -> Array:
    """Return unit normals (P, 3) that do not point away from the eye.

    Those of surfaces with two sides are turned round; at the outline of others, interpolation went a little too far.
    """
    along = np.einsum("pi,pi->p", normals, views)[:, None]
    turned = np.where(both_sides[:, None] & (along < 0), -normals, normals)
    bent = turned - np.minimum(np.einsum("pi,pi->p", turned, views)[:, None], 0.0) * views
    return np.asarray(bent / np.maximum(np.linalg.norm(bent, axis=1, keepdims=True), 1e-6))


def _compose(background: Array, mask: Array, raster: Raster, colours: Array, generator: np.random.Generator) -> Array:
    """Put the person before the background, soften the outline, add a camera's noise."""
    import cv2

    image = background.copy()
    image[raster.rows, raster.columns] = colours
    inside = mask.view(np.uint8)
    kernel = np.ones((3, 3), np.uint8)
    outline = cv2.dilate(inside, kernel) != cv2.erode(inside, kernel)
    image[outline] = cv2.GaussianBlur(image, (3, 3), 0.8)[outline]
    image += generator.normal(0.0, generator.uniform(0.0, _NOISE), image.shape[:2]).astype(np.float32)[..., None]
    return np.clip(np.rint(image * 255.0), 0, 255).astype(np.uint8)


def keypoint_states(pixels: Array, depths: Array, surface: Array, radius: Array) -> Array:
    """Return 0 (outside the picture or behind the camera), 1 (hidden) or 2 (seen) for keypoints (K,).

    A keypoint is seen if the surface (H, W) at its pixel is not farther before it than it lies under the skin.
    """
    height, width = surface.shape
    known = (depths > 0) & np.isfinite(pixels).all(axis=1)
    columns, rows = np.rint(np.where(known[:, None], pixels, -1.0).clip(-2, 1 << 20)).astype(np.intp).T
    inside = known & (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    shown = surface[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]
    return np.where(inside, np.where(depths - shown <= radius, SEEN, HIDDEN), 0).astype(np.int8)
