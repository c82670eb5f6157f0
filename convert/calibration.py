"""Real inputs to measure the range of activations on: augmented cuts of the pictures of a prepared folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from convert.reference import Arrays, Reference, read_reference
from edge.contract import image_contract, takes_image
from edge.images import read_image
from edge.tasks import TASKS, Image

CALIBRATION = "calibration.npz"
INPUTS = 24
_SMALLEST_CUT = 0.6  # of a picture's height and width
_CONTRAST, _BRIGHTNESS = 0.25, 25.0  # ± share and ± grey levels


def calibration_inputs(folder: Path) -> tuple[Arrays, ...]:
    """Return a prepared folder's calibration inputs, made the first time; empty for models that take no picture."""
    path = folder / CALIBRATION
    with FileLock(folder / f".{CALIBRATION}.lock"):
        if not path.is_file():
            _write(path, _make(read_reference(folder)))
        with np.load(path, allow_pickle=False) as archive:
            stacked = {name: archive[name] for name in archive.files}
    count = min((len(values) for values in stacked.values()), default=0)
    return tuple({name: values[i] for name, values in stacked.items()} for i in range(count))


def _write(path: Path, inputs: list[Arrays]) -> None:
    temporary = path.with_name(f".{path.name}.part.npz")
    stacked = {name: np.stack([entry[name] for entry in inputs]) for name in inputs[0]} if inputs else {}
    np.savez(temporary, allow_pickle=False, **stacked)
    temporary.replace(path)


def _make(reference: Reference) -> list[Arrays]:
    """Cut, mirror and relight the pictures, seeded; those without a result in them serve only if there are no others.

    A landmark model is never shown a picture without a person on a phone: such ranges would coarsen its scales.
    """
    from convert.prepare import find_region, wants_person

    contract = reference.header.contract
    pictures = [sample for sample in reference.samples if sample.image is not None]
    useful = [sample.image for sample in pictures if sample.frame is not None] or [s.image for s in pictures]
    if not useful or not takes_image(contract):
        return []
    contract = image_contract(contract)
    task, person = TASKS[contract.task], wants_person(reference.header.name, contract)
    generator = np.random.default_rng(0)
    images = [read_image(path) for path in useful if path is not None]
    found: list[Arrays] = []
    for attempt in range(4 * INPUTS):
        image = augment(images[attempt % len(images)], generator)
        region = find_region(reference.header.name, image) if person else None
        if person and region is None and attempt < 3 * INPUTS:
            continue  # the cut lost the person
        inputs, _ = task.prepare(image, contract, region if task.needs_region else None)
        found.append(inputs)
        if len(found) == INPUTS:
            break
    return found


def augment(image: Image, generator: np.random.Generator) -> Image:
    """Return a random cut of a picture, mirrored half of the time, with changed contrast and brightness."""
    height, width = image.shape[:2]
    scale_y, scale_x = generator.uniform(_SMALLEST_CUT, 1.0, 2)
    rows, columns = max(1, int(height * scale_y)), max(1, int(width * scale_x))
    top, left = generator.integers(0, height - rows + 1), generator.integers(0, width - columns + 1)
    cut = image[top : top + rows, left : left + columns]
    if generator.random() < 0.5:
        cut = cut[:, ::-1]
    contrast = generator.uniform(1 - _CONTRAST, 1 + _CONTRAST)
    brightness = generator.uniform(-_BRIGHTNESS, _BRIGHTNESS)
    lit: NDArray[np.float32] = (cut.astype(np.float32) - 128.0) * contrast + 128.0 + brightness
    return np.ascontiguousarray(np.clip(np.rint(lit), 0, 255).astype(np.uint8))
