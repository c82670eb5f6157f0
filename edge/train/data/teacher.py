"""Labels that a model of the zoo gives to pictures, once: kept in the cache by the contents of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.artifact import file_digest
from edge.errors import InputError, UsageError
from edge.images import read_image
from edge.store import cached_folder, content_key, keep_folder
from edge.tasks import Image
from edge.tasks.pose import Pose, PosePipeline
from edge.train.data.sample import ABSENT, HIDDEN, SEEN, Sample
from edge.zoo import MODELS

Array = NDArray[Any]
TEACHER = "blazepose-heavy"
_VERSION = "1"  # of what is kept
_FILE = "labels.npz"
_LEAST_VISIBLE, _LEAST_PRESENT = 0.5, 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """What a teacher found in a picture: `points` (33, 2) in pixels, how sure it is, `world` (33, 3), `mask` (H, W)."""

    score: float
    points: Array
    visibility: Array
    presence: Array
    world: Array
    mask: Array


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPictures:
    """Pictures in which a teacher found a person, as samples."""

    teacher: str
    paths: tuple[Path, ...]
    labels: tuple[Path, ...]  # where each one's are kept
    empty: tuple[Path, ...]  # in which it found nobody

    def __len__(self) -> int:
        """Return how many pictures show a person."""
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        """Return one picture's sample."""
        image, found = read_image(self.paths[index]), _read(self.labels[index])
        height, width = image.shape[:2]
        inside = (found.points > -0.5).all(axis=1) & (found.points < (width - 0.5, height - 0.5)).all(axis=1)
        states = np.where(found.visibility >= _LEAST_VISIBLE, SEEN, HIDDEN)
        return Sample(
            image=image,
            keypoints=found.points,
            states=np.where(inside & (found.presence >= _LEAST_PRESENT), states, ABSENT).astype(np.int8),
            confidence=found.presence,
            world=found.world,
            mask=found.mask.astype(np.float32) / 255.0,
            source=self.teacher,
        )


def label_pictures(
    paths: Sequence[Path], *, teacher: str = TEACHER, progress: Callable[[str], Any] = lambda _: None
) -> LabelledPictures:
    """Return the pictures in which a landmark model of the zoo finds a person, with what it says of them.

    A picture that was labelled before is not shown to the model again. Raises UsageError if the model places no
    landmarks or has no published weights, InputError for a picture that cannot be read, or if there is none.
    """
    entry = MODELS[teacher]
    if entry.contract.task != "pose-landmarks" or entry.graph is None:
        raise UsageError(f"{teacher} cannot label poses; blazepose-lite, -full and -heavy can")
    if not paths:
        raise InputError("there are no pictures to label")
    detector = MODELS[_detector(teacher)]
    weights = [file.sha256 for model in (entry, detector) for file in model.files]
    pipeline: PosePipeline | None = None
    found: list[tuple[Path, Path]] = []
    empty: list[Path] = []
    for path in paths:
        key = content_key("pose", _VERSION, *weights, file_digest(path))
        folder = cached_folder("labels", key)
        if folder is None:
            pipeline = pipeline or open_teacher(teacher)
            folder = _keep(key, pipeline, read_image(path))
            progress(path.name)
        if _read(folder).score > 0:
            found.append((path, folder))
        else:
            empty.append(path)
    return LabelledPictures(
        teacher, tuple(path for path, _ in found), tuple(folder for _, folder in found), tuple(empty)
    )


def _detector(teacher: str) -> str:
    from convert.prepare import DETECTOR

    return MODELS[teacher].companion or DETECTOR


def open_teacher(teacher: str = TEACHER) -> PosePipeline:
    """Return a landmark model of the zoo behind its detector, both in eager PyTorch."""
    from convert.load import load
    from convert.prepare import run_eager

    finder, placer = load(_detector(teacher)), load(teacher)
    return PosePipeline(
        run_detector=lambda inputs: run_eager(finder, finder.contract, inputs),
        run_landmarks=lambda inputs: run_eager(placer, placer.contract, inputs),
        detector=finder.contract,
        landmarks=placer.contract,
    )


def _keep(key: str, pipeline: PosePipeline, image: Image) -> Path:
    pose = pipeline(image)
    with TemporaryDirectory() as scratch:
        np.savez_compressed(Path(scratch) / _FILE, **_arrays(pose, image.shape[:2]))
        return keep_folder("labels", key, Path(scratch))


def _arrays(pose: Pose, size_hw: tuple[int, ...]) -> dict[str, Any]:
    mask = pose.mask if pose.mask is not None else np.zeros(size_hw, np.float32)
    return {
        "score": np.float32(pose.score if pose.found else 0.0),
        "points": pose.points[:, :2].astype(np.float32),
        "visibility": pose.visibility.astype(np.float32),
        "presence": pose.presence.astype(np.float32),
        "world": pose.world.astype(np.float32),
        "mask": np.rint(mask * 255.0).astype(np.uint8),
    }


def _read(folder: Path) -> Labels:
    with np.load(folder / _FILE, allow_pickle=False) as archive:
        values = {name: archive[name] for name in archive.files}
    return Labels(score=float(values.pop("score")), **values)
