"""The committed golden vectors of preprocessing, decoding and smoothing are what the scripts write.

Numbers are compared within 1e-6, for numpy's exponential differs in its last bits from one processor to another.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from scripts import write_decode_vectors, write_preprocess_vectors, write_smoothing_vectors
from scripts.golden_vectors import GOLDEN

WRITERS: dict[str, Callable[[], Mapping[str, bytes]]] = {
    "preprocess": write_preprocess_vectors.vectors,
    "decode": write_decode_vectors.vectors,
    "smoothing": write_smoothing_vectors.vectors,
}
MOST_BYTES = 1_500_000
TOLERANCE = 1e-6


def array(place: Mapping[str, Any], data: bytes) -> np.ndarray:
    count = math.prod(place["shape"])
    return np.frombuffer(data, np.dtype(place["dtype"]).newbyteorder("<"), count, place["at"]).reshape(place["shape"])


def check(path: str, kept: Any, written: Any, data: bytes, new_data: bytes) -> None:
    assert type(kept) is type(written), path
    if isinstance(kept, dict) and set(kept) == {"dtype", "shape", "at"}:
        before, after = array(kept, data), array(written, new_data)
        assert before.dtype == after.dtype, path
        assert before.shape == after.shape, path
        scale = max(1.0, float(np.abs(before[np.isfinite(before)]).max(initial=0))) if before.dtype.kind == "f" else 0
        assert np.allclose(before, after, rtol=0, atol=TOLERANCE * scale, equal_nan=before.dtype.kind == "f"), path
    elif isinstance(kept, dict):
        assert kept.keys() == written.keys(), path
        for name in kept:
            check(f"{path}.{name}", kept[name], written[name], data, new_data)
    elif isinstance(kept, list):
        assert len(kept) == len(written), path
        for index, (before, after) in enumerate(zip(kept, written, strict=True)):
            check(f"{path}[{index}]", before, after, data, new_data)
    elif isinstance(kept, float):
        assert kept == pytest.approx(written, rel=TOLERANCE, abs=TOLERANCE), path
    else:
        assert kept == written, path


@pytest.mark.parametrize("name", WRITERS)
def test_the_committed_vectors_are_what_the_script_writes(name: str) -> None:
    written = WRITERS[name]()
    kept = {file: (GOLDEN / name / file).read_bytes() for file in written}
    assert {path.name for path in (GOLDEN / name).iterdir()} == set(written)
    data, new_data = kept[f"{name}.bin"], written[f"{name}.bin"]
    check(name, *(json.loads(files[f"{name}.json"]) for files in (kept, written)), data, new_data)


@pytest.mark.parametrize("name", WRITERS)
def test_writing_twice_gives_the_same_bytes(name: str) -> None:
    assert WRITERS[name]() == WRITERS[name]()


def test_the_vectors_are_small() -> None:
    sizes = [path.stat().st_size for name in WRITERS for path in (GOLDEN / name).iterdir()]
    assert sum(sizes) < MOST_BYTES
