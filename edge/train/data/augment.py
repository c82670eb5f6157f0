"""Random cuts, turns, mirrors, light, blur and occlusion of labelled pictures; the labels follow."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.tasks import Region
from edge.tasks._geometry import invert, region_matrix, transform
from edge.train.data.body import PARTS
from edge.train.data.keypoints import MIRROR
from edge.train.data.sample import ABSENT, HIDDEN, Endless, Sample

Array = NDArray[Any]

_PART_MIRROR = np.array(
    [PARTS.index(name.replace("left", "right") if "left" in name else name.replace("right", "left")) for name in PARTS],
    np.uint8,
)
_STREAM = 21  # of random numbers of one seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How much pictures are changed; the defaults suit a model that is shown one person, cut out by a detector."""

    size_hw: tuple[int, int] = (256, 256)
    margin: float = 1.3  # of the cut's side, times the person's longer side
    shift: float = 0.08  # of the cut's side, ±
    scale: float = 1.25  # times or through, at most
    rotation: float = math.radians(30.0)  # ±
    mirrored: float = 0.5  # of pictures
    contrast: float = 0.3  # ±
    brightness: float = 0.12  # ±, of white
    saturation: float = 0.4  # ±
    tint: float = 0.06  # ±, of each channel
    blurred: float = 0.25  # of pictures
    noise: float = 0.03  # at most, of white
    compressed: float = 0.3  # of pictures, as JPEG
    occluded: float = 0.3  # of pictures


PLAIN = Augmentation(
    shift=0.0, scale=1.0, rotation=0.0, mirrored=0.0, contrast=0.0, brightness=0.0, saturation=0.0, tint=0.0,
    blurred=0.0, noise=0.0, compressed=0.0, occluded=0.0,
)  # fmt: skip


def augment_sample(sample: Sample, generator: np.random.Generator, how: Augmentation) -> Sample:
    """Return a random cut around the person, changed in colour, of the size that `how` says."""
    matrix = _cut(sample, generator, how)
    moved = warp_sample(sample, matrix, how.size_hw)
    coloured = _colours(moved.image.astype(np.float32) / 255.0, generator, how)
    changed = replace(moved, image=coloured)
    return _occlude(changed, generator) if generator.random() < how.occluded else changed


@dataclass(frozen=True, slots=True)
class Augmented:
    """A sequence of samples, each changed at random by its index."""

    samples: Endless[Sample]
    how: Augmentation
    seed: int

    def __getitem__(self, index: int) -> Sample:
        """Return the changed sample of an index ≥ 0."""
        return augment_sample(self.samples[index], np.random.default_rng((self.seed, _STREAM, index)), self.how)


def person_region(sample: Sample, margin: float) -> Region:
    """Return the upright square around what is known of a person: keypoints, else the mask, else the whole picture."""
    height, width = sample.image.shape[:2]
    points = sample.keypoints[sample.states > ABSENT]
    if len(points) < 2 and sample.mask is not None and (sample.mask > 0.5).any():
        rows, columns = np.nonzero(sample.mask > 0.5)
        points = np.stack([columns, rows], axis=1)
    if len(points) < 2:
        points = np.array([[0.0, 0.0], [width, height]])
        margin = 1.0
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2.0
    return Region(float(middle[0]), float(middle[1]), max(2.0, margin * float((high - low).max())))


def _cut(sample: Sample, generator: np.random.Generator, how: Augmentation) -> Array:
    """Return the (2, 3) matrix from the cut's pixels to the picture's."""
    region = person_region(sample, how.margin)
    side = region.side * how.scale ** generator.uniform(-1.0, 1.0)
    dx, dy = generator.uniform(-how.shift, how.shift, 2) * side
    turned = Region(region.centre_x + dx, region.centre_y + dy, side, generator.uniform(-how.rotation, how.rotation))
    matrix = region_matrix(turned, how.size_hw)
    if generator.random() < how.mirrored:
        width = how.size_hw[1] - 1.0
        matrix = np.stack([-matrix[:, 0], matrix[:, 1], matrix[:, 2] + width * matrix[:, 0]], axis=1)
    return matrix


def warp_sample(sample: Sample, matrix: Array, size_hw: tuple[int, int]) -> Sample:
    """Return the sample as seen through a (2, 3) matrix from new pixels to its own; mirrors swap left and right."""
    import cv2

    size = size_hw[1], size_hw[0]

    def warped(plane: Array, interpolation: int, border: int) -> Array:
        flags = interpolation | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(plane, matrix, size, flags=flags, borderMode=border, borderValue=0))

    back = invert(matrix)
    points = transform(back, np.nan_to_num(sample.keypoints)).astype(np.float32)
    turn = back[:, :2] / math.sqrt(abs(np.linalg.det(back[:, :2])))
    world = sample.world.copy()
    world[:, :2] = world[:, :2] @ turn.T.astype(np.float32)
    mirrored = np.linalg.det(back[:, :2]) < 0
    order = MIRROR if mirrored else np.arange(len(points))
    inside = (points > -0.5).all(axis=1) & (points < np.array(size) - 0.5).all(axis=1)
    parts = None if sample.parts is None else warped(sample.parts, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)
    return replace(
        sample,
        image=warped(sample.image, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE),
        keypoints=points[order],
        states=np.where(inside, sample.states, ABSENT).astype(np.int8)[order],
        confidence=sample.confidence[order],
        world=world[order],
        mask=None if sample.mask is None else warped(sample.mask, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT),
        parts=_PART_MIRROR[parts] if mirrored and parts is not None else parts,
    )


def _colours(image: Array, generator: np.random.Generator, how: Augmentation) -> Array:
    """Return a picture (H, W, 3) in 0…1 with other light, sharpness and noise, as uint8."""
    import cv2

    def around(amount: float) -> float:
        return float(generator.uniform(-amount, amount))

    grey = image.mean(axis=2, keepdims=True)
    image = grey + (image - grey) * (1.0 + around(how.saturation))
    image = (image - 0.5) * (1.0 + around(how.contrast)) + 0.5 + around(how.brightness)
    image = image * (1.0 + generator.uniform(-how.tint, how.tint, 3))
    if generator.random() < how.blurred:
        image = cv2.GaussianBlur(image, (0, 0), float(generator.uniform(0.3, 1.5)))
    if how.noise:
        image = image + generator.normal(0.0, generator.uniform(0.0, how.noise), image.shape)
    pixels = np.clip(np.rint(image * 255.0), 0, 255).astype(np.uint8)
    if generator.random() < how.compressed:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(generator.integers(25, 90))]
        return np.asarray(cv2.imdecode(cv2.imencode(".jpg", pixels, quality)[1], cv2.IMREAD_COLOR))
    return np.asarray(pixels)


def _occlude(sample: Sample, generator: np.random.Generator) -> Sample:
    """Put a box of one colour or of noise before the picture; what it covers is hidden."""
    height, width = sample.image.shape[:2]
    rows, columns = (int(side * generator.uniform(0.08, 0.4)) for side in (height, width))
    top, left = (
        int(generator.integers(-rows // 2, height - rows // 2)),
        int(generator.integers(-columns // 2, width - columns // 2)),
    )
    box = np.zeros((height, width), np.bool_)
    box[max(top, 0) : max(top + rows, 0), max(left, 0) : max(left + columns, 0)] = True
    colour = generator.integers(0, 256, 3)
    spread = generator.uniform(0.0, 40.0)
    image = sample.image.copy()
    image[box] = np.clip(colour + generator.normal(0.0, spread, (int(box.sum()), 3)), 0, 255).astype(np.uint8)
    places = np.clip(np.rint(sample.keypoints), 0, (width - 1, height - 1)).astype(np.intp)
    covered = box[places[:, 1], places[:, 0]] & (sample.states > ABSENT)
    return replace(
        sample,
        image=image,
        states=np.where(covered, HIDDEN, sample.states).astype(np.int8),
        mask=None if sample.mask is None else np.where(box, 0.0, sample.mask).astype(np.float32),
        parts=None if sample.parts is None else np.where(box, 0, sample.parts).astype(np.uint8),
    )
