"""Raw tensors that artifacts are fed while they are measured: written and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.artifact import Artifact
from edge.errors import InputError


def write_random(artifact: Artifact, folder: Path, *, seed: int = 0) -> tuple[Path, ...]:
    """Write seeded random tensors, floats from 0 to 1, in the manifest's order, and return their paths."""
    generator = np.random.default_rng(seed)
    found: dict[str, NDArray[Any]] = {}
    for spec in artifact.manifest.inputs:
        values = (
            generator.random(spec.shape) if spec.dtype.startswith("float") else generator.integers(0, 2, spec.shape)
        )
        found[spec.name] = values.astype(spec.dtype)
    return write_tensors(artifact, found, folder)


def write_tensors(artifact: Artifact, tensors: Mapping[str, NDArray[Any]], folder: Path) -> tuple[Path, ...]:
    """Write named tensors as raw little-endian files in the manifest's order and return their paths."""
    paths = []
    for index, spec in enumerate(artifact.manifest.inputs):
        path = folder / f"input{index}.bin"
        np.ascontiguousarray(tensors[spec.name], dtype=np.dtype(spec.dtype).newbyteorder("<")).tofile(path)
        paths.append(path)
    return tuple(paths)


def read_inputs(artifact: Artifact, paths: Sequence[Path | str]) -> dict[str, NDArray[Any]]:
    """Return raw little-endian files as tensors by name; raises InputError for another number, size or no file."""
    specs = artifact.manifest.inputs
    if len(paths) != len(specs):
        raise InputError(f"{artifact.root} takes {len(specs)} inputs, {len(paths)} files were given")
    found = {}
    for spec, path in zip(specs, paths, strict=True):
        dtype = np.dtype(spec.dtype).newbyteorder("<")
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
        expected = dtype.itemsize * int(np.prod(spec.shape))
        if len(data) != expected:
            raise InputError(f"{path} has {len(data)} bytes; {spec.name} {list(spec.shape)} takes {expected}")
        found[spec.name] = np.frombuffer(data, dtype).reshape(spec.shape).astype(spec.dtype)
    return found
