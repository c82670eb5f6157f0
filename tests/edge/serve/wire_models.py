"""Models and values that the wire's tests speak about."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge.serve.datatypes import DATATYPES, Datatype, array_dtype
from edge.serve.metadata import ModelMetadata, TensorMetadata

PLAIN = tuple(name for name in DATATYPES if name not in ("BYTES", "BF16"))


def echo(datatype: Datatype, shape: tuple[int, ...] = (-1, -1)) -> ModelMetadata:
    """Return a model that gives back what it takes."""
    return ModelMetadata(
        name="echo",
        inputs=(TensorMetadata(name="x", datatype=datatype, shape=shape),),
        outputs=(TensorMetadata(name="y", datatype=datatype, shape=shape),),
    )


def segmenter(rows: int = -1) -> ModelMetadata:
    """Return a model that takes tensors or pictures and returns two outputs."""
    return ModelMetadata(
        name="segmenter",
        inputs=(TensorMetadata(name="image", datatype="FP32", shape=(rows, 3, 4, 4), parameters={"pictures": True}),),
        outputs=(
            TensorMetadata(name="mask", datatype="FP32", shape=(rows, 1, 4, 4)),
            TensorMetadata(name="score", datatype="INT64", shape=(rows,)),
        ),
    )


def values(datatype: Datatype, shape: tuple[int, ...] = (2, 3)) -> np.ndarray[Any, Any]:
    """Return values at and near the limits of a datatype, of at most six elements."""
    if datatype == "BYTES":
        found = np.empty(6, object)
        found[:] = [b"", b"a", "größer".encode(), b"x" * 300, b"\0\0", b"end"]
    elif datatype == "BOOL":
        found = np.array([True, False, True, True, False, False])
    elif datatype == "BF16":
        found = np.array([0.0, 1.0, -2.5, 2.0**100, -(2.0**-100), 0.15625], np.float32)
    elif datatype.startswith("FP"):
        limits = np.finfo(array_dtype(datatype))
        found = np.array([0, 1.5, -0.1, limits.max, limits.min, limits.tiny], array_dtype(datatype))
    else:
        whole = np.iinfo(array_dtype(datatype))
        found = np.array([0, 1, 2, whole.min, whole.max, 100], array_dtype(datatype))
    return found[: int(np.prod(shape))].reshape(shape)


def same(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    """Say whether two arrays have the same type, shape and values, NaN equal to NaN."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype == object:
        return bool(a.tolist() == b.tolist())
    return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()
