"""Pictures without labels: a folder's, or the frames of a video, which are kept in the cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edge.artifact import file_digest
from edge.errors import InputError, UsageError
from edge.images import list_images, read_image, write_image
from edge.store import cached_folder, content_key, keep_folder
from edge.train.data.keypoints import COUNT
from edge.train.data.sample import ABSENT, Sample, unknown_world

LONGEST_PX = 640


@dataclass(frozen=True, slots=True)
class FolderSamples:
    """Pictures as samples of which nothing is known."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        """Return how many pictures there are."""
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        """Return one picture's sample; raises InputError if it cannot be read."""
        return Sample(
            image=read_image(self.paths[index]),
            keypoints=np.zeros((COUNT, 2), np.float32),
            states=np.full(COUNT, ABSENT, np.int8),
            confidence=np.zeros(COUNT, np.float32),
            world=unknown_world(),
            source="unlabelled",
        )


def read_folder(folder: Path) -> FolderSamples:
    """Return the pictures of a folder in name order; raises InputError if there is none."""
    return FolderSamples(list_images(folder))


def video_frames(video: Path, every: int = 5) -> tuple[Path, ...]:
    """Return every n-th frame of a video as pictures of at most 640 pixels, decoded once and kept in the cache.

    Raises UsageError for a step below 1, InputError for a file that is missing or that OpenCV cannot read.
    """
    if every < 1:
        raise UsageError(f"every {every}th frame of {video}: take at least every first one")
    if not video.is_file():
        raise InputError(f"cannot read the video {video}: no such file")
    key = content_key("frames", file_digest(video), str(every), str(LONGEST_PX))
    folder = cached_folder("frames", key)
    if folder is None:
        with TemporaryDirectory() as scratch:
            _decode(video, every, Path(scratch))
            folder = keep_folder("frames", key, Path(scratch))
    return list_images(folder)


def _decode(video: Path, every: int, folder: Path) -> None:
    import cv2

    recording: Any = cv2.VideoCapture(str(video))
    number = 0
    try:
        while recording.grab():
            if number % every == 0:
                good, pixels = recording.retrieve()
                if good:
                    write_image(folder / f"{number:06d}.png", _shrunk(np.asarray(pixels)[..., ::-1]))
            number += 1
    finally:
        recording.release()
    if not any(folder.iterdir()):
        raise InputError(f"{video} has no frame that OpenCV can read; use an MP4 or AVI file")


def _shrunk(pixels: Any) -> Any:
    import cv2

    scale = min(1.0, LONGEST_PX / max(pixels.shape[:2]))
    size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    return cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
