"""Pictures → inputs to train on: chosen by seed and place alone, so that any step can be made again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from convert.calibration import augment
from convert.prepare import DETECTOR, run_eager
from edge.artifact import file_digest
from edge.contract import Contract
from edge.errors import InputError
from edge.images import list_images, read_image
from edge.store import content_key
from edge.tasks import TASKS, Image, Region
from edge.tasks.pose import find_person
from edge.train.recipe import DataRecord
from edge.zoo import MODELS

Inputs = tuple[torch.Tensor, ...]
FindRegion = Callable[[Image], Region | None]
Answer = Callable[[Inputs], Sequence[torch.Tensor]]

_HELD_BACK = 5  # every fifth picture of a folder is for validation
_MOST_VALIDATION = 32
_KEPT_BYTES = 1 << 30  # of decoded pictures; others are read again when their turn comes
_ORDER, _RANGES, _DRAWS = 1, 2, 3  # streams of random numbers of one seed
_SHIFT, _GROW, _TURN = 0.1, 1.25, math.radians(30)  # of a person's region: of its side, times, ±


@dataclass(frozen=True, slots=True)
class Pictures:
    """Name a set of pictures: those to train on, and those to measure on."""

    name: str
    training: tuple[Path, ...]
    validation: tuple[Path, ...]

    @property
    def validation_seen(self) -> bool:
        """Say whether the pictures to measure on are trained on too, for want of others."""
        return bool(set(self.training) & set(self.validation))

    def record(self) -> DataRecord:
        """Return what train.json says of them."""
        return DataRecord(
            name=self.name,
            training=len(self.training),
            validation=len(self.validation),
            validation_seen=self.validation_seen,
            sha256=content_key(*(file_digest(path) for path in (*self.training, *self.validation))),
        )


def choose_pictures(folder: Path | None) -> Pictures:
    """Return a folder's pictures, every fifth held back, or the kit's photographs, taken by other cameras each.

    Raises InputError for a folder without pictures, MissingError if the photographs cannot be had.
    """
    if folder is None:
        from edge.samples import photographs

        photos = photographs()
        return Pictures(photos.name, photos.calibration, _spread(photos.evaluation))
    found = list_images(folder)
    held_back = found[_HELD_BACK - 1 :: _HELD_BACK]
    if not held_back:
        return Pictures(folder.name, found, found)
    return Pictures(folder.name, tuple(path for path in found if path not in set(held_back)), _spread(held_back))


def _spread(paths: Sequence[Path]) -> tuple[Path, ...]:
    count = min(len(paths), _MOST_VALIDATION)
    return tuple(paths[i * len(paths) // count] for i in range(count))


class Source(Protocol):
    """Give one input of a stream of random ones, always the same for the same place."""

    def draw(self, place: int) -> Inputs:
        """Return the input at a place, counted from 0 over the whole training."""
        ...


@dataclass(frozen=True, slots=True)
class _Picture:
    path: Path
    region: Region | None
    pixels: Image | None  # None: too many to keep

    def read(self) -> Image:
        return read_image(self.path) if self.pixels is None else self.pixels


@dataclass(frozen=True, slots=True)
class Album:
    """Pictures that were read once, and how a model takes them."""

    contract: Contract
    training: tuple[_Picture, ...] = field(repr=False)
    validation: tuple[_Picture, ...] = field(repr=False)
    seed: int = 0

    def draw(self, place: int) -> Inputs:
        """Return an altered picture; every picture has its turn once before any has a second one."""
        turn, number = divmod(place, len(self.training))
        order = np.random.default_rng((self.seed, _ORDER, turn)).permutation(len(self.training))
        picture = self.training[order[number]]
        return self._altered(picture, np.random.default_rng((self.seed, _DRAWS, place)))

    def to_measure_ranges(self, count: int) -> list[Inputs]:
        """Return altered training pictures, as deploying measures ranges on."""
        pictures = [self.training[i % len(self.training)] for i in range(count)]
        generators = (np.random.default_rng((self.seed, _RANGES, i)) for i in range(count))
        return [self._altered(picture, generator) for picture, generator in zip(pictures, generators, strict=True)]

    def to_validate(self) -> list[Inputs]:
        """Return the pictures to measure losses on, as they are."""
        return [self._prepared(picture.read(), picture.region) for picture in self.validation]

    def score(self, student: Answer, teacher: Answer) -> tuple[float, int]:
        """Return the task's metric of one's answers against the other's, and the pictures that it counts.

        These are the validation pictures in which the teacher finds something; 0 pictures have the metric 0.
        """
        task, rows = TASKS[self.contract.task], []
        for picture in self.validation:
            inputs, frame = task.prepare(picture.read(), self.contract, picture.region)
            given = tuple(torch.from_numpy(inputs[spec.name]) for spec in self.contract.inputs)
            found, expected = (
                task.decode(self._named(answer(given)), self.contract, frame) for answer in (student, teacher)
            )
            if not getattr(expected, "empty", False):
                rows.append(task.measure(found, expected))
        return (float(task.total(np.stack(rows))), len(rows)) if rows else (0.0, 0)

    def _named(self, outputs: Sequence[torch.Tensor]) -> dict[str, Any]:
        return {spec.name: value.cpu().numpy() for spec, value in zip(self.contract.outputs, outputs, strict=False)}

    def _altered(self, picture: _Picture, generator: np.random.Generator) -> Inputs:
        pixels = picture.read()
        if picture.region is None:
            return self._prepared(augment(pixels, generator), None)
        lit, region = _jitter(pixels, picture.region, generator)
        return self._prepared(lit, region)

    def _prepared(self, image: Image, region: Region | None) -> Inputs:
        inputs, _ = TASKS[self.contract.task].prepare(image, self.contract, region)
        return tuple(torch.from_numpy(inputs[spec.name]) for spec in self.contract.inputs)


def open_album(
    name: str, contract: Contract, pictures: Pictures, seed: int, progress: Callable[[str], Any] = lambda _: None
) -> Album:
    """Read every picture, and find the person in it if the model is shown one at a time.

    Raises InputError for a picture that cannot be read, or if a landmark model's pictures show nobody.
    """
    find = _finder(name) if TASKS[contract.task].needs_region else None
    read: dict[Path, _Picture] = {}
    kept = 0
    for path in dict.fromkeys((*pictures.training, *pictures.validation)):
        pixels = read_image(path)
        kept += pixels.nbytes
        read[path] = _Picture(path, find(pixels) if find else None, pixels if kept <= _KEPT_BYTES else None)
        progress(path.name)
    useful = [
        tuple(read[path] for path in paths if find is None or read[path].region is not None)
        for paths in (pictures.training, pictures.validation)
    ]
    for found, paths, what in zip(useful, (pictures.training, pictures.validation), ("train", "measure"), strict=True):
        if not found:
            raise InputError(f"none of {len(paths)} pictures to {what} on shows a person, which {name} needs")
    return Album(contract, useful[0], useful[1], seed)


def _finder(name: str) -> FindRegion:
    """Return the eager detector that completes a landmark model, loaded once."""
    from convert.load import load

    companion = MODELS[name].companion if name in MODELS else ""
    detector = load(companion or DETECTOR)

    def find(image: Image) -> Region | None:
        return find_person(image, lambda inputs: run_eager(detector, detector.contract, inputs), detector.contract)

    return find


def _jitter(image: Image, region: Region, generator: np.random.Generator) -> tuple[Image, Region]:
    """Move, resize and turn a region, mirror it with its picture half of the time, and change the light.

    The light is that of `augment`, which also cuts; here the region is the cut.
    """
    dx, dy = generator.uniform(-_SHIFT, _SHIFT, 2) * region.side
    side = region.side * _GROW ** generator.uniform(-1.0, 1.0)
    moved = Region(region.centre_x + dx, region.centre_y + dy, side, region.rotation + generator.uniform(-_TURN, _TURN))
    if generator.random() < 0.5:
        image = image[:, ::-1]
        moved = replace(moved, centre_x=image.shape[1] - moved.centre_x, rotation=-moved.rotation)
    contrast, brightness = generator.uniform(0.75, 1.25), generator.uniform(-25.0, 25.0)
    lit = (image.astype(np.float32) - 128.0) * contrast + 128.0 + brightness
    return np.ascontiguousarray(np.clip(np.rint(lit), 0, 255).astype(np.uint8)), moved
