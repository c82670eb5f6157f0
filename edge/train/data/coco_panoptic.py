"""COCO's panoptic annotations: for every picture a PNG of segment numbers, and what each segment shows.

Format: cocodataset.org, panoptic segmentation; a pixel's number is R + 256 · G + 65536 · B, 0 for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.images import read_image
from edge.tasks import panoptic as task
from edge.train.data.coco import Picture

Array = NDArray[Any]
_MOST_SEGMENTS = 0xFFFF  # of one picture: `Panoptic` numbers in 16 bits
_MOST_COLOURS = 1 << 24


class Segment(msgspec.Struct, frozen=True):
    """One segment: its number in the PNG, what it shows, and whether it is a crowd, which no metric counts."""

    id: int
    category_id: int
    iscrowd: int = 0
    area: int = 0


class Category(msgspec.Struct, frozen=True):
    """One class: things are counted one by one, stuff is not."""

    id: int
    name: str = ""
    isthing: int = 1


class _Annotation(msgspec.Struct, frozen=True):
    image_id: int
    file_name: str
    segments_info: list[Segment]


class _File(msgspec.Struct, frozen=True):
    images: list[Picture]
    annotations: list[_Annotation]
    categories: list[Category]


@dataclass(frozen=True, slots=True, eq=False)
class PanopticSample:
    """A picture (H, W, 3) uint8, its segments' numbers (H, W) int32 with 0 for none, and the segments."""

    image: Array
    numbers: Array
    segments: tuple[Segment, ...]

    def classes(self, ignored: int = 0) -> Array:
        """Return every pixel's category (H, W); `ignored` where nothing or a crowd is."""
        found = np.full(self.numbers.shape, ignored, np.int32)
        for segment in self.segments:
            if not segment.iscrowd:
                found[self.numbers == segment.id] = segment.category_id
        return found

    def panoptic(self, categories: Mapping[int, Category], labels: Sequence[str]) -> task.Panoptic:
        """Return the annotation as the panoptic task's reference, of the classes that a model calls `labels`.

        Segments are numbered from 1 in their order, classes are the labels of the same name; crowds stay crowds, and
        pixels of no segment are void. Raises InputError for a class that is no label, and above 65535 segments.
        """
        if len(self.segments) > _MOST_SEGMENTS:
            raise InputError(f"a picture has {len(self.segments)} segments; at most {_MOST_SEGMENTS} can be numbered")
        places = {label: place for place, label in enumerate(labels)}
        ids = self._renumbered()
        areas = np.bincount(ids.ravel(), minlength=len(self.segments) + 1)
        found = []
        for number, segment in enumerate(self.segments, start=1):
            category = categories[segment.category_id]
            if category.name not in places:
                raise InputError(
                    f"segment {segment.id} is of class {category.id} {category.name!r}, which is none of the "
                    f"{len(labels)} labels; give the labels of a model that knows the annotation's classes"
                )
            place, is_thing, crowd = places[category.name], bool(category.isthing), bool(segment.iscrowd)
            found.append(task.Segment(number, place, category.name, is_thing, 1.0, int(areas[number]), crowd))
        return task.Panoptic(ids, tuple(found), unlabelled="void")

    def _renumbered(self) -> NDArray[np.uint16]:
        """Return every pixel's place in `segments` from 1, 0 for none."""
        numbers = np.array([0, *(segment.id for segment in self.segments)])
        order = np.argsort(numbers)
        at = np.searchsorted(numbers[order], self.numbers).clip(max=len(order) - 1)
        return np.where(numbers[order][at] == self.numbers, order[at], 0).astype(np.uint16)


@dataclass(frozen=True, slots=True, eq=False)
class CocoPanoptic:
    """The pictures of a panoptic file that have annotations, and its classes by number."""

    folder: Path
    masks: Path
    categories: dict[int, Category]
    entries: tuple[tuple[Picture, _Annotation], ...]

    def __len__(self) -> int:
        """Return how many pictures there are."""
        return len(self.entries)

    def __getitem__(self, index: int) -> PanopticSample:
        """Return one picture; raises InputError if its files cannot be read or contradict each other."""
        picture, annotation = self.entries[index]
        image = read_image(self.folder / picture.file_name)
        path = self.masks / annotation.file_name
        colours = read_image(path).astype(np.int32)
        if image.shape != colours.shape:
            raise InputError(f"{path} has {colours.shape[:2]} pixels, its picture has {image.shape[:2]}")
        numbers = colours[..., 0] + 256 * colours[..., 1] + 65536 * colours[..., 2]
        unknown = np.setdiff1d(np.unique(numbers), [0, *(segment.id for segment in annotation.segments_info)])
        if len(unknown):
            raise InputError(f"{path} shows a segment {unknown[0]} that segments_info does not list")
        return PanopticSample(image, numbers, tuple(annotation.segments_info))


def read_coco_panoptic(annotations: Path, masks: Path, folder: Path) -> CocoPanoptic:
    """Read a COCO panoptic file whose PNGs lie in `masks` and whose pictures lie in `folder`.

    Raises InputError for a file that is missing, broken, not of this format, or that contradicts itself.
    """
    try:
        read = msgspec.json.decode(annotations.read_bytes(), type=_File)
    except OSError as error:
        raise InputError(f"cannot read the annotations {annotations}: {error.strerror}") from error
    except msgspec.ValidationError as error:
        raise InputError(f"{annotations} is not a COCO panoptic file: {error}") from None
    except msgspec.DecodeError as error:
        raise InputError(f"{annotations} is broken JSON: {error}; download it again") from None
    pictures = {picture.id: picture for picture in read.images}
    categories = {category.id: category for category in read.categories}
    for item in read.annotations:
        if item.image_id not in pictures:
            raise InputError(f"{annotations}: {item.file_name} is of picture {item.image_id}, which is not listed")
        numbers: set[int] = set()
        for segment in item.segments_info:
            if not 0 < segment.id < _MOST_COLOURS:
                raise InputError(
                    f"{annotations}: segment {segment.id} of {item.file_name} is no colour above 0 of a PNG"
                )
            if segment.id in numbers:
                raise InputError(f"{annotations}: {item.file_name} has two segments {segment.id}")
            numbers.add(segment.id)
            if segment.category_id not in categories:
                raise InputError(f"{annotations}: segment {segment.id} is of an unknown class {segment.category_id}")
    entries = tuple((pictures[item.image_id], item) for item in read.annotations)
    return CocoPanoptic(folder, masks, categories, entries)
