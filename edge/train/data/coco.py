"""COCO's keypoint annotations: people with pictures, masks and keypoints, and the metric of their keypoints.

Format and metric: Lin et al., "Microsoft COCO", 2014 (arXiv:1405.0312), and cocodataset.org; masks and the metric are
computed by pycocotools.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError, MissingError
from edge.images import read_image
from edge.train.data.keypoints import COCO, COCO_NAMES, coco_to_landmarks
from edge.train.data.sample import Sample, unknown_world

Array = NDArray[Any]
_VALUES = 3 * len(COCO_NAMES)


class Picture(msgspec.Struct, frozen=True):
    """One picture's line."""

    id: int
    file_name: str
    height: int
    width: int


class Annotation(msgspec.Struct, frozen=True):
    """One person's line, or a crowd's: `segmentation` is polygons or run lengths, `bbox` x, y, width, height."""

    id: int
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    segmentation: Any = None
    area: float | None = None
    iscrowd: int = 0
    keypoints: list[float] = []
    num_keypoints: int | None = None

    @property
    def labelled(self) -> int:
        """Return how many keypoints are labelled, visible or not."""
        return sum(state > 0 for state in self.keypoints[2::3])


class _Category(msgspec.Struct, frozen=True):
    id: int
    name: str = ""


class _File(msgspec.Struct, frozen=True):
    images: list[Picture]
    annotations: list[Annotation] = []
    categories: list[_Category] = []


@dataclass(frozen=True, slots=True, eq=False)
class CocoPeople:
    """People of a COCO file with keypoints to learn from: no crowds, none without any keypoint that is labelled."""

    folder: Path
    pictures: dict[int, Picture]
    people: tuple[Annotation, ...]
    crowds: dict[int, tuple[Annotation, ...]]  # by picture

    def __len__(self) -> int:
        """Return how many people there are."""
        return len(self.people)

    def __getitem__(self, index: int) -> Sample:
        """Return one person's sample; raises InputError for a picture that cannot be read or is of another size."""
        person = self.people[index]
        picture = self.pictures[person.image_id]
        image = read_image(self.folder / picture.file_name)
        if image.shape[:2] != (picture.height, picture.width):
            raise InputError(
                f"{self.folder / picture.file_name} has {image.shape[1]} × {image.shape[0]} pixels, its annotations "
                f"are for {picture.width} × {picture.height}; take the pictures that the annotations were made for"
            )
        points, states = coco_to_landmarks(np.array(person.keypoints, np.float64).reshape(-1, 3))
        return Sample(
            image=image,
            keypoints=points,
            states=states,
            confidence=(states > 0).astype(np.float32),
            world=unknown_world(),
            mask=self.mask(person),
            source="coco",
        )

    def mask(self, annotation: Annotation) -> Array | None:
        """Return an annotation's mask (H, W) in 0…1, None if it has none."""
        picture = self.pictures[annotation.image_id]
        return decode_mask(annotation.segmentation, (picture.height, picture.width), f"annotation {annotation.id}")

    def crowd_mask(self, image_id: int) -> Array:
        """Return where a picture's crowds are, (H, W) bool: people there are not annotated one by one."""
        picture = self.pictures[image_id]
        found = np.zeros((picture.height, picture.width), np.bool_)
        for crowd in self.crowds.get(image_id, ()):
            plane = self.mask(crowd)
            found |= plane > 0.5 if plane is not None else False
        return found


def read_coco_people(annotations: Path, folder: Path) -> CocoPeople:
    """Read a COCO keypoint file whose pictures lie in a folder.

    Raises InputError for a file that is missing, broken, not of this format, or that contradicts itself.
    """
    pictures, persons = _read_persons(annotations)
    people: list[Annotation] = []
    crowds: dict[int, list[Annotation]] = {}
    for item in persons:
        if item.iscrowd:
            crowds.setdefault(item.image_id, []).append(item)
        elif item.labelled:
            people.append(item)
    return CocoPeople(folder, pictures, tuple(people), {key: tuple(found) for key, found in crowds.items()})


def _read_persons(path: Path) -> tuple[dict[int, Picture], tuple[Annotation, ...]]:
    """Return the pictures by number and all annotations of persons, crowds too; raises InputError."""
    read = _decode(path)
    pictures = {picture.id: picture for picture in read.images}
    categories = {category.id for category in read.categories if category.name == "person"} or {1}
    persons = tuple(item for item in read.annotations if item.category_id in categories)
    for item in persons:
        if item.image_id not in pictures:
            raise InputError(f"{path}: annotation {item.id} is of picture {item.image_id}, which is not listed")
        if item.keypoints and len(item.keypoints) != _VALUES:
            raise InputError(
                f"{path}: annotation {item.id} has {len(item.keypoints)} values of keypoints, not {_VALUES}"
            )
    return pictures, persons


def _decode(path: Path) -> _File:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise InputError(f"cannot read the annotations {path}: {error.strerror}") from error
    except msgspec.ValidationError as error:
        raise InputError(f"{path} is not a COCO annotation file: {error}") from None
    except msgspec.DecodeError as error:
        raise InputError(f"{path} is broken JSON: {error}; download it again") from None


def decode_mask(segmentation: Any, size_hw: tuple[int, int], what: str) -> Array | None:
    """Return the mask (H, W) in 0…1 of polygons or run lengths, None for none; raises InputError otherwise.

    A polygon of fewer than three points has no area: it is none.
    """
    if not segmentation:
        return None
    masks = _pycocotools().mask
    height, width = size_hw
    try:
        if isinstance(segmentation, dict):
            counts = segmentation["counts"]
            runs = masks.frPyObjects(segmentation, height, width) if isinstance(counts, list) else segmentation
        else:
            polygons = [polygon for polygon in segmentation if len(polygon) >= 6]
            if not polygons:
                return None
            runs = masks.merge(masks.frPyObjects(polygons, height, width))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # numpy 2's, about how pycocotools makes an array
            decoded = masks.decode(runs)
    except Exception as error:  # the C code raises many types
        raise InputError(f"{what} has a segmentation that cannot be decoded: {error!r}") from None
    if decoded.shape != size_hw:
        raise InputError(f"{what} has a mask of {decoded.shape}, its picture has {size_hw}")
    return np.asarray(decoded, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class FoundPerson:
    """What a model found in a picture: 33 keypoints in pixels, and a score."""

    image_id: int
    keypoints: Array  # (33, 2)
    score: float


_METRICS = ("AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large")


def keypoint_precision(annotations: Path, found: Sequence[FoundPerson]) -> dict[str, float]:
    """Return COCO's ten metrics of keypoints by name, AP first; −1 where no annotated person is of that size.

    Crowds and people without a labelled keypoint are neither found nor missed. Where the file has no `num_keypoints`
    they are counted, where it has no `area` it is the mask's, else the box's.
    Raises InputError if the annotations cannot be read, or if somebody is found in a picture that they do not list.
    """
    pictures, persons = _read_persons(annotations)
    if unknown := sorted({item.image_id for item in found} - pictures.keys()):
        raise InputError(
            f"somebody is found in picture {unknown[0]}, but {annotations} does not list it; "
            "measure in the pictures of that file"
        )
    tools = _pycocotools()
    results = [
        {"image_id": item.image_id, "category_id": 1, "score": item.score, "keypoints": _triplets(item.keypoints)}
        for item in found
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = tools.coco.COCO()
        truth.dataset = _dataset(pictures, persons)
        truth.createIndex()
        if not results:
            return {name: 0.0 for name in _METRICS}
        evaluation = tools.cocoeval.COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.params.imgIds = sorted(truth.getImgIds())
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(_METRICS, (float(value) for value in evaluation.stats), strict=True))


def _dataset(pictures: dict[int, Picture], persons: Sequence[Annotation]) -> dict[str, Any]:
    """Return the annotations as pycocotools needs them: every key there, one class, numbers from 1 (0 is no match)."""
    annotations = [
        {
            "id": number,
            "image_id": item.image_id,
            "category_id": 1,
            "bbox": list(item.bbox),
            "area": _area(item, pictures[item.image_id]),
            "iscrowd": item.iscrowd,
            "keypoints": item.keypoints,
            "num_keypoints": item.labelled if item.num_keypoints is None else item.num_keypoints,
        }
        for number, item in enumerate(persons, start=1)
    ]
    images = [msgspec.to_builtins(picture) for picture in pictures.values()]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}


def _area(item: Annotation, picture: Picture) -> float:
    if item.area is not None:
        return item.area
    mask = decode_mask(item.segmentation, (picture.height, picture.width), f"annotation {item.id}")
    return item.bbox[2] * item.bbox[3] if mask is None else float(mask.sum())


def _triplets(points: Array) -> list[float]:
    chosen = np.asarray(points, np.float64)[COCO, :2] + 0.5  # COCO's pixel centres are at halves
    return [float(value) for value in np.column_stack([chosen, np.ones(len(chosen))]).ravel()]


def _pycocotools() -> Any:
    try:
        import pycocotools.coco
        import pycocotools.cocoeval
        import pycocotools.mask
    except ImportError as error:
        raise MissingError(
            f"COCO's masks and metrics need pycocotools ({error}): pip install 'edge-deployment-kit[train]'"
        ) from None
    return pycocotools
