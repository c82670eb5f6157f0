"""Poses seen from several sides, as keypoints without pictures: what view-invariant embeddings are learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from edge.train.data.body import open_body
from edge.train.data.cameras import sample_cameras
from edge.train.data.collisions import penetration
from edge.train.data.keypoints import BODY13
from edge.train.data.phenotypes import sample_phenotypes
from edge.train.data.postures import sample_poses

Array = NDArray[Any]
_UNIT = (1, 1)  # pixels of a picture that is one unit wide and high
_SPARE = 1.6  # poses that are made for each that is kept


@dataclass(frozen=True, slots=True, eq=False)
class PoseViews:
    """N poses, each seen by V cameras.

    `image` (N, V, 13, 2): places in pictures of side 1, centred at 0, y down. `camera` (N, V, 13, 3): metres in each
    camera's axes. `world` (N, 13, 3): metres, z up. Keypoints are BODY13_NAMES. Other rows hold other poses.
    """

    image: Array
    camera: Array
    world: Array


class ViewedPoses:
    """Blocks of random poses of random people, seen by random cameras; a block is the same whoever asks for it."""

    def __init__(self, seed: int, *, block: int = 256, views: int = 2) -> None:
        """Prepare blocks of so many poses, each seen by so many cameras; raises UsageError for numbers below 1."""
        if block < 1 or views < 1:
            raise UsageError(f"{block} poses seen by {views} cameras: both must be at least 1")
        self.seed, self.block, self.views = seed, block, views
        open_body()

    def __getitem__(self, index: int) -> PoseViews:
        """Return a block, counted from 0."""
        if index < 0:
            raise IndexError(f"blocks of poses are numbered from 0; there is none with {index}")
        generator = np.random.default_rng((self.seed, index))
        points = _poses(generator, self.block)
        repeated = np.repeat(points, self.views, axis=0)
        cameras = sample_cameras(generator, repeated, _UNIT)
        chosen = repeated[:, BODY13]
        shape = (self.block, self.views, len(BODY13))
        return PoseViews(
            image=cameras.project(chosen).reshape(*shape, 2).astype(np.float32),
            camera=cameras.to_camera(chosen).reshape(*shape, 3).astype(np.float32),
            world=points[:, BODY13].astype(np.float32),
        )


def _poses(generator: np.random.Generator, count: int) -> Array:
    """Return keypoints (count, 33, 3) of random people; those whose limbs pass least through their bodies."""
    body = open_body()
    tried = max(count + 1, round(_SPARE * count))
    heads, anchors = body.joints(sample_phenotypes(generator, tried))
    points = body.keypoints(anchors, body.skeleton.place(sample_poses(generator, tried), heads))
    best = np.argsort(np.maximum(penetration(points), 0.0), kind="stable")[:count]
    return points[np.sort(best)]


def collate_views(blocks: list[PoseViews]) -> dict[str, Array]:
    """Join blocks into one dictionary of `image`, `camera` and `world`."""
    return {name: np.concatenate([getattr(block, name) for block in blocks]) for name in ("image", "camera", "world")}
