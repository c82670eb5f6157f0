"""What the eager model answered on the chosen pictures: the yardstick of every artifact, kept without torch."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from convert.header import Header, read_header
from edge.artifact import encode_json, write_atomic
from edge.tasks import Frame, Region

Arrays = dict[str, NDArray[Any]]


class SampleRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Say which picture a sample came from and where in it the tensor lies; empty for random inputs."""

    image: str = ""
    image_hw: tuple[int, int] = (0, 0)
    tensor_hw: tuple[int, int] = (0, 0)
    matrix: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None
    region: tuple[float, float, float, float] | None = None  # centre x, centre y, side, rotation


@dataclass(frozen=True, slots=True)
class Sample:
    """One set of inputs, the eager outputs, and the picture they came from."""

    image: Path | None
    frame: Frame | None
    inputs: Arrays
    outputs: Arrays


@dataclass(frozen=True, slots=True)
class Reference:
    """The eager model's answers for some samples."""

    header: Header
    samples: tuple[Sample, ...]

    @property
    def shown(self) -> Sample | None:
        """Return the sample that previews are drawn on: the first with a picture and a result in it."""
        return next((sample for sample in self.samples if sample.image is not None and sample.frame is not None), None)

    def meaningful(self) -> Reference:
        """Return the samples whose picture shows what the model is made for, or all if none does.

        Rounded precisions are judged on these: their error on a picture without a result says nothing to a user, and
        their ranges were not measured on such pictures. fp32 is compared on every sample.
        """
        chosen = tuple(sample for sample in self.samples if sample.image is not None and sample.frame is not None)
        return Reference(self.header, chosen or self.samples)

    @property
    def inputs_kind(self) -> str:
        """Return how the inputs came about, for the manifest: `real: 3` or `random: 2`."""
        real = sum(sample.image is not None for sample in self.samples)
        return f"real: {real}" if real else f"random: {len(self.samples)}"


def _record(sample: Sample) -> SampleRecord:
    frame = sample.frame
    if sample.image is None or frame is None:
        return SampleRecord(image=str(sample.image or ""))
    region = frame.region
    rows = [tuple(float(value) for value in row) for row in frame.matrix]
    return SampleRecord(
        image=str(sample.image),
        image_hw=frame.image_hw,
        tensor_hw=frame.tensor_hw,
        matrix=(rows[0], rows[1]),  # type: ignore[arg-type]  # the matrix is (2, 3)
        region=(region.centre_x, region.centre_y, region.side, region.rotation) if region else None,
    )


def _frame(record: SampleRecord) -> Frame | None:
    if record.matrix is None:
        return None
    region = Region(*record.region) if record.region else None
    return Frame(record.image_hw, record.tensor_hw, np.array(record.matrix, dtype=np.float64), region)


def _keep_picture(folder: Path, index: int, sample: Sample) -> Sample:
    """Copy the picture beside its numbers: the folder is cached and the user's file may move."""
    if sample.image is None:
        return sample
    name = f"picture{index}{sample.image.suffix}"
    shutil.copyfile(sample.image, folder / name)
    return Sample(Path(name), sample.frame, sample.inputs, sample.outputs)


def write_samples(folder: Path, samples: Sequence[Sample]) -> None:
    """Write samples.json, inputs.npz, reference.npz and copies of the pictures."""
    kept = [_keep_picture(folder, i, sample) for i, sample in enumerate(samples)]
    write_atomic(folder / "samples.json", encode_json([_record(sample) for sample in kept]))
    for name, pick in (("inputs", "inputs"), ("reference", "outputs")):
        arrays = {f"{i}/{key}": value for i, s in enumerate(samples) for key, value in getattr(s, pick).items()}
        with (folder / f"{name}.npz").open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)


def read_reference(folder: Path) -> Reference:
    """Read a prepared folder; raises InputError if it holds none."""
    header = read_header(folder)
    records = msgspec.json.decode((folder / "samples.json").read_bytes(), type=list[SampleRecord])
    inputs, outputs = _read_arrays(folder / "inputs.npz"), _read_arrays(folder / "reference.npz")
    samples = tuple(
        Sample(
            image=folder / record.image if record.image else None,
            frame=_frame(record),
            inputs=_of(inputs, i),
            outputs=_of(outputs, i),
        )
        for i, record in enumerate(records)
    )
    return Reference(header, samples)


def _read_arrays(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _of(arrays: Arrays, index: int) -> Arrays:
    prefix = f"{index}/"
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
