"""One labelled picture of one person, whatever it came from, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge.train.data.keypoints import COUNT, NAMES
from edge.train.data.people import People, Rendering

Array = NDArray[Any]
Item = TypeVar("Item", covariant=True)

ABSENT, HIDDEN, SEEN = 0, 1, 2  # states of keypoints: not labelled or outside the picture; hidden; seen
_HIPS = [NAMES.index("left_hip"), NAMES.index("right_hip")]


class Endless(Protocol[Item]):
    """Give an item for every index ≥ 0, always the same for the same index, in any process."""

    def __getitem__(self, index: int, /) -> Item:
        """Return the item of an index."""
        ...


class Finite(Endless[Item], Protocol[Item]):
    """Give an item for every index below its length."""

    def __len__(self) -> int:
        """Return how many items there are."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A picture and what is known of the person in it.

    `image` (H, W, 3) uint8; `keypoints` (33, 2) in pixels with `states` (33,) and `confidence` (33,) in 0…1, how sure
    the label is; `world` (33, 3) metres from the hips' middle in the camera's axes (x right, y down, z away), NaN where
    unknown; `mask` (H, W) in 0…1 and `parts` (H, W) of edge.train.data.body.PARTS, None where unknown.
    """

    image: Array
    keypoints: Array
    states: Array
    confidence: Array
    world: Array
    mask: Array | None = None
    parts: Array | None = None
    source: str = ""


def unknown_world() -> Array:
    """Return the world's points (33, 3) of a sample that has none: NaN."""
    return np.full((COUNT, 3), np.nan, np.float32)


def from_hips(points: Array) -> Array:
    """Return points (33, 3) counted from the middle of the hips."""
    return np.asarray(points - points[_HIPS].mean(axis=0), np.float32)


def rendered_sample(rendering: Rendering) -> Sample:
    """Return a rendering as a sample, sure of everything."""
    return Sample(
        image=rendering.image,
        keypoints=np.nan_to_num(rendering.keypoints),
        states=rendering.states,
        confidence=np.ones(COUNT, np.float32),
        world=from_hips(rendering.points),
        mask=rendering.mask.astype(np.float32),
        parts=rendering.parts,
        source="synthetic",
    )


@dataclass(frozen=True, slots=True)
class SyntheticSamples:
    """Rendered people, one view of each, as samples."""

    people: People

    def __getitem__(self, index: int) -> Sample:
        """Return the sample of an index ≥ 0."""
        return rendered_sample(self.people[index][0])


def collate(samples: Sequence[Sample]) -> dict[str, Array]:
    """Stack samples of one size into arrays; what a sample does not know is 0, and `*_known` (N,) says so.

    Keys: image (N, 3, H, W) uint8, keypoints (N, 33, 2), states (N, 33), confidence (N, 33), world (N, 33, 3),
    world_known (N,), mask (N, H, W), mask_known (N,), parts (N, H, W) uint8, parts_known (N,).
    """
    height, width = samples[0].image.shape[:2]
    blank = np.zeros((height, width), np.float32)
    planes = {
        name: [value if value is not None else blank for value in found]
        for name, found in (("mask", [s.mask for s in samples]), ("parts", [s.parts for s in samples]))
    }
    return {
        "image": np.ascontiguousarray(np.stack([sample.image for sample in samples]).transpose(0, 3, 1, 2)),
        "keypoints": np.stack([sample.keypoints for sample in samples]).astype(np.float32),
        "states": np.stack([sample.states for sample in samples]).astype(np.int8),
        "confidence": np.stack([sample.confidence for sample in samples]).astype(np.float32),
        "world": np.nan_to_num(np.stack([sample.world for sample in samples])).astype(np.float32),
        "world_known": np.array([bool(np.isfinite(sample.world).all()) for sample in samples]),
        "mask": np.stack(planes["mask"]).astype(np.float32),
        "mask_known": np.array([sample.mask is not None for sample in samples]),
        "parts": np.stack(planes["parts"]).astype(np.uint8),
        "parts_known": np.array([sample.parts is not None for sample in samples]),
    }
