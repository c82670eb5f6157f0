"""Real inputs to measure the range of activations on.

They are pictures or arrays that the user brings, or else augmented cuts of the pictures that parity is measured on. A
decoder of tokens is shown random ones, among which every code is as likely.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from convert.calibration_checks import checked_arrays, doubts
from convert.header import Header, read_header
from convert.keypoints import shown_keypoints, takes_keypoints
from convert.reference import Arrays, Reference, read_reference
from edge.artifact import encode_json, write_atomic
from edge.contract import image_contract, takes_image
from edge.errors import Refused, UsageError
from edge.images import read_image
from edge.jobs import progressing
from edge.tasks import TASKS, Image

CALIBRATION = "calibration.npz"
NOTES = "calibration-notes.json"
INPUTS = 24
_SMALLEST_CUT = 0.6  # of a picture's height and width
_CONTRAST, _BRIGHTNESS = 0.25, 25.0  # ± share and ± grey levels


def calibration_inputs(folder: Path) -> tuple[Arrays, ...]:
    """Return a prepared folder's calibration inputs, made the first time.

    Empty for models that take neither a picture nor tokens.
    """
    path = folder / CALIBRATION
    with FileLock(folder / f".{CALIBRATION}.lock"):
        if not path.is_file():
            reference = read_reference(folder)
            _write(
                path, _from_pictures(reference.header, _shown(reference), whole=0) or _random_tokens(reference.header)
            )
        with np.load(path, allow_pickle=False) as archive:
            stacked = {name: archive[name] for name in archive.files}
    count = min((len(values) for values in stacked.values()), default=0)
    return tuple({name: values[i] for name, values in stacked.items()} for i in range(count))


def calibrate_on(folder: Path, pictures: Sequence[Path]) -> tuple[str, ...]:
    """Make a prepared folder's calibration inputs from pictures, whole; a few are topped up with augmented cuts.

    Returns what looks wrong with them. Raises UsageError if the model takes no pictures, Refused if a model of people
    sees nobody in any.
    """
    header = read_header(folder)
    if not (takes_image(header.contract) or takes_keypoints(header.contract)):
        raise UsageError(f"{header.name} does not take one colour picture, so --calibration cannot be used")
    found = _from_pictures(header, pictures, whole=len(pictures))
    if not found:
        raise Refused(
            f"{header.name} needs pictures of people, and there is none in the {len(pictures)} to calibrate on"
        )
    return calibrate_with(folder, found, pictures=len(pictures))


def calibrate_with(
    folder: Path, inputs: Iterable[Mapping[str, NDArray[Any]]], *, pictures: int | None = None
) -> tuple[str, ...]:
    """Keep inputs as a prepared folder's calibration inputs and return what looks wrong with them.

    Raises ContractError if their names, shapes or types are not the contract's.
    """
    contract = read_header(folder).contract
    checked = [checked_arrays(contract, entry) for entry in inputs]
    if not checked:
        raise UsageError("the calibration inputs are empty; give at least one, or none at all for the kit's own")
    _write(folder / CALIBRATION, checked)
    notes = doubts(contract, checked, pictures=pictures if pictures is not None else len(checked))
    write_atomic(folder / NOTES, encode_json(notes))
    return notes


def calibration_notes(folder: Path) -> tuple[str, ...]:
    """Return what looked wrong when a prepared folder's calibration inputs were made."""
    path = folder / NOTES
    return msgspec.json.decode(path.read_bytes(), type=tuple[str, ...]) if path.is_file() else ()


def _write(path: Path, inputs: list[Arrays]) -> None:
    temporary = path.with_name(f".{path.name}.part.npz")
    stacked = {name: np.stack([entry[name] for entry in inputs]) for name in inputs[0]} if inputs else {}
    np.savez(temporary, allow_pickle=False, **stacked)
    temporary.replace(path)


def _shown(reference: Reference) -> list[Path]:
    """Return the pictures that show what the model is made for, or all if none does.

    A landmark model is never shown a picture without a person on a phone: such ranges would coarsen its scales.
    """
    pictures = [sample for sample in reference.samples if sample.image is not None]
    useful = [sample for sample in pictures if sample.frame is not None] or pictures
    return [sample.image for sample in useful if sample.image is not None]


def _from_pictures(header: Header, pictures: Sequence[Path], *, whole: int) -> list[Arrays]:
    """Return the first `whole` pictures as inputs, then random cuts, mirrored and relit, seeded, up to INPUTS."""
    from convert.prepare import find_region, wants_person

    keypoints = takes_keypoints(header.contract)
    if not pictures or not (keypoints or takes_image(header.contract)):
        return []
    contract = header.contract if keypoints else image_contract(header.contract)
    task, person = TASKS[contract.task], wants_person(header.name, contract)
    generator = np.random.default_rng(0)
    found: list[Arrays] = []
    for attempt in progressing(range(whole + 4 * INPUTS), f"{header.name}: calibration pictures"):
        if attempt >= whole and len(found) >= INPUTS:
            break
        image = read_image(pictures[attempt % len(pictures)])
        if attempt >= whole:
            image = augment(image, generator)
        if keypoints:
            if (shown := shown_keypoints(image, contract)) is not None:
                found.append(shown[0])
            continue
        region = find_region(header.name, image) if person else None
        if person and region is None and (whole or attempt < 3 * INPUTS):
            continue  # nobody there, or the cut lost the person
        inputs, _ = task.prepare(image, contract, region if task.needs_region else None)
        found.append(inputs)
    return found


def _random_tokens(header: Header) -> list[Arrays]:
    contract = header.contract
    codes = contract.postprocess.settings.get("codes") if contract.postprocess else None
    if contract.task != "detokenization" or not isinstance(codes, int):
        return []
    generator, spec = np.random.default_rng(0), contract.inputs[0]
    return [{spec.name: generator.integers(0, codes, spec.shape).astype(spec.dtype)} for _ in range(INPUTS)]


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
