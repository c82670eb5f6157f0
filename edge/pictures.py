"""Which pictures a deploy compares, measures ranges and simulates on: the user's, or the kit's photographs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from convert.keys import ModelRequest
from edge.artifact import file_digest
from edge.building import Progress
from edge.contract import takes_image
from edge.errors import MissingError, StoreError
from edge.samples import photographs, sample_photos
from edge.store import content_key


@dataclass(frozen=True, slots=True)
class Pictures:
    """Name a set of pictures."""

    name: str
    paths: tuple[Path, ...]

    @property
    def digest(self) -> str:
        """Return a key of the pictures."""
        return content_key(self.name, *(file_digest(path) for path in self.paths))


NO_PICTURES = Pictures("", ())


def compared_photos(progress: Progress) -> tuple[Path, ...]:
    """Return the sample photographs to compare on, or none, and say so, if they cannot be had."""
    try:
        return sample_photos()
    except (MissingError, StoreError) as error:
        progress(f"warning  no photographs to compare on, seeded random inputs are used instead: {error}")
        return ()


def own_pictures(request: ModelRequest) -> Pictures | None:
    """Return the pictures that a user brought to measure ranges or to compare on, which layers are tried on as well."""
    if request.calibration:
        return Pictures("the calibration pictures", request.calibration)
    return Pictures("the pictures of the parity", request.images) if request.own_images else None


def with_calibration(request: ModelRequest, progress: Progress) -> ModelRequest:
    """Return the request with the kit's photographs to measure ranges on, unless the user brought pictures."""
    if own_pictures(request) is not None or (request.contract is not None and not takes_image(request.contract)):
        return request
    try:
        return dataclasses.replace(request, calibration=photographs().calibration)
    except (MissingError, StoreError) as error:
        progress(f"warning  no photographs to measure ranges on, cuts of the sample pictures serve: {error}")
        return request
