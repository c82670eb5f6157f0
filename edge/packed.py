"""Decoded results as bytes and back, to keep what the eager model found beside the pictures."""

from __future__ import annotations

import zlib
from typing import Any, get_origin

import msgspec
import numpy as np


def pack(result: Any) -> bytes:
    """Return a decoded result, or a structure of them, as MessagePack; arrays keep type, shape and every bit."""
    return msgspec.msgpack.encode(result, enc_hook=_from_array)


def unpack(data: bytes, kind: Any) -> Any:
    """Read what `pack` wrote of a `kind`; raises msgspec.MsgspecError."""
    return msgspec.msgpack.decode(data, type=kind, dec_hook=_to_array)


def _from_array(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        packed = zlib.compress(np.ascontiguousarray(value).tobytes(), 1)
        return {"dtype": value.dtype.str, "shape": value.shape, "data": packed}
    raise NotImplementedError(f"{type(value).__name__} cannot be packed")


def _to_array(kind: Any, value: Any) -> Any:
    if (get_origin(kind) or kind) is np.ndarray:
        data = zlib.decompress(value["data"])
        return np.frombuffer(data, np.dtype(value["dtype"])).reshape(value["shape"]).copy()
    raise NotImplementedError(f"{kind} cannot be unpacked")
