"""Videos: frames and their times out of a file or a folder, and drawn frames into one.

Files are read and written by OpenCV, which brings FFmpeg's decoders; a folder of pictures needs no package.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.disk import disk_errors
from edge.errors import InputError, MissingError
from edge.images import list_images, read_image, write_image

DEFAULT_FPS = 30.0
_CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".avi": "MJPG", ".mkv": "MJPG"}
_NANOSECONDS = 1e9
_MOST_FPS = 1000.0

Image = NDArray[np.uint8]  # (H, W, 3), RGB


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One picture of a video; `time_ns` counts from the first one's and always rises."""

    number: int
    time_ns: int
    image: Image


@dataclass(frozen=True, slots=True)
class Video:
    """A video file or a folder of pictures in name order; `count` is 0 where the file does not say it."""

    path: Path
    fps: float
    count: int

    def frames(self) -> Iterator[VideoFrame]:
        """Yield every frame; raises InputError for a broken picture, or a video without frames."""
        return self._pictures() if self.path.is_dir() else self._decoded()

    def _pictures(self) -> Iterator[VideoFrame]:
        for number, path in enumerate(list_images(self.path)):
            yield VideoFrame(number, round(number * _NANOSECONDS / self.fps), read_image(path))

    def _decoded(self) -> Iterator[VideoFrame]:
        with _opened(self.path) as stream:
            cv2, number, last, first = opencv("to read videos"), 0, -1, 0
            while True:
                good, pixels = stream.read()
                if not good:
                    break
                stated = round(stream.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
                first = first if number else stated
                steady = round(number * _NANOSECONDS / self.fps)
                # Files of varying rate say when each frame is shown; where they say nothing new, the rate does.
                time_ns = stated - first if stated - first > last else max(steady, last + 1)
                yield VideoFrame(number, time_ns, np.ascontiguousarray(pixels[..., ::-1]))
                number, last = number + 1, time_ns
        if not number:
            raise InputError(f"{self.path} holds no frame that OpenCV can decode; convert it to H.264 in .mp4 first")


def open_video(path: Path, fps: float | None = None) -> Video:
    """Open a video file, or a folder of pictures; `fps` is for folders, and for files that do not say theirs.

    Raises InputError for what cannot be read, MissingError without OpenCV.
    """
    if fps is not None and not 0 < fps <= _MOST_FPS:
        raise InputError(f"{fps:g} frames a second; expected more than 0, and {_MOST_FPS:g} at most")
    if path.is_dir():
        return Video(path, fps or DEFAULT_FPS, len(list_images(path)))
    if not path.is_file():
        raise InputError(f"{path}: no such video; give a file, or a folder of pictures")
    cv2 = opencv("to read videos")
    with _opened(path) as stream:
        stated, count = float(stream.get(cv2.CAP_PROP_FPS)), float(stream.get(cv2.CAP_PROP_FRAME_COUNT))
    known = math.isfinite(stated) and 0 < stated <= _MOST_FPS
    return Video(path, stated if known else fps or DEFAULT_FPS, int(count) if 0 < count < 1e9 else 0)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    cv2 = opencv("to read videos")
    stream = cv2.VideoCapture(str(path))
    try:
        if not stream.isOpened():
            raise InputError(f"{path} is not a video that OpenCV can read; convert it to H.264 in .mp4 first")
        yield stream
    finally:
        stream.release()


class FrameWriter(Protocol):
    """Take drawn frames of one size, in order."""

    def __enter__(self) -> FrameWriter: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, image: Image) -> None:
        """Add a frame."""
        ...


def frame_writer(path: Path, fps: float) -> FrameWriter:
    """Return what writes frames into a video file (.mp4, .avi, .mkv), or into a folder as numbered pictures.

    Raises InputError for another suffix.
    """
    if path.suffix.lower() in _CODECS:
        return _FileWriter(path, fps)
    if path.suffix and not path.is_dir():
        raise InputError(f"cannot write {path}: use one of {', '.join(_CODECS)}, or the name of a folder")
    return _FolderWriter(path)


class _FolderWriter:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def __enter__(self) -> _FolderWriter:
        with disk_errors(self._folder, "choose another folder"):
            self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, image: Image) -> None:
        write_image(self._folder / f"frame{self._count:06d}.jpg", image)
        self._count += 1


class _FileWriter:
    """Write to a name of its own first, so that a run that is stopped leaves no half video under the wanted one."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._part = path.with_name(f".{path.stem}.part{path.suffix}")
        self._stream: Any = None
        self._hw = (0, 0)

    def __enter__(self) -> _FileWriter:
        with disk_errors(self._path, "choose another --output"):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._stream is not None:
            self._stream.release()
        if kind is None and self._part.exists():
            self._part.replace(self._path)
        self._part.unlink(missing_ok=True)

    def write(self, image: Image) -> None:
        cv2 = opencv("to write videos")
        height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2  # codecs halve colours: sides are even
        if self._stream is None:
            self._hw = (height, width)
            code = cv2.VideoWriter.fourcc(*_CODECS[self._path.suffix.lower()])
            self._stream = cv2.VideoWriter(str(self._part), code, self._fps, (width, height))
            if not self._stream.isOpened():
                raise InputError(f"OpenCV cannot write {self._path}; try .avi, or the name of a folder")
        if (height, width) != self._hw:
            raise InputError(
                f"a frame of {width} × {height} pixels after ones of {self._hw[1]} × {self._hw[0]}; frames of a video "
                "have one size, pictures in a folder need not"
            )
        self._stream.write(np.ascontiguousarray(image[:height, :width, ::-1]))


def opencv(purpose: str) -> Any:
    """Return the module cv2; raises MissingError saying what it is needed for."""
    try:
        import cv2
    except ImportError as error:
        raise MissingError(
            f"OpenCV is needed {purpose} ({error}): pip install 'edge-deployment-kit[photographs]', or give "
            "pictures of your own"
        ) from None
    return cv2
