"""The photographs that parity is measured on when the user brings none: pinned files of scikit-image's wheel."""

from __future__ import annotations

from pathlib import Path

from edge.store import PackageFile, WeightsFile, fetch_file


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
