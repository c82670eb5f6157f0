"""Packed tensors by the C++ encoder and decoder: the same bytes as `quant.ternary.pack` and `unpack`, faster."""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from quant.kernels.library import Info, call, library
from quant.ternary import Layout, NotTernary, TernaryTensor

Packed = bytes | bytearray | memoryview
_CODES = {"t2": 2, "t5": 5}


def encode(tensor: TernaryTensor, layout: Layout) -> bytes:
    """Return the packed bytes of a tensor; raises NotTernary for a shape that cannot be packed."""
    rows = np.ascontiguousarray(np.moveaxis(tensor.trits, 1, -1))
    shape = (ctypes.c_int64 * tensor.trits.ndim)(*tensor.shape)
    size = int(library().ternary_encoded_bytes(_CODES[layout], tensor.trits.ndim, shape))
    if size == 0:
        raise NotTernary(
            f"a tensor of shape {tensor.shape} cannot be packed for the kernels; expected up to 6 dimensions and less "
            "than 2^24 weights in an output channel"
        )
    packed = np.empty(size, np.uint8)
    scale = tensor.scale
    arguments = (rows.ctypes.data, scale.ctypes.data, packed.ctypes.data, size)
    call("ternary_encode", _CODES[layout], tensor.trits.ndim, shape, *arguments)
    return packed.tobytes()


def decode(packed: Packed) -> TernaryTensor:
    """Return the tensor that bytes hold; raises PackedError for anything that is no packed tensor."""
    data, info = bytes_of(packed), Info()
    call("ternary_decode", data.ctypes.data, data.size, ctypes.byref(info), None, None)
    channels, inputs, *inner = info.sizes
    rows = np.empty((channels, *inner, inputs), np.int8)
    scale = np.empty(channels, np.float32)
    call("ternary_decode", data.ctypes.data, data.size, None, rows.ctypes.data, scale.ctypes.data)
    return TernaryTensor(np.moveaxis(rows, -1, 1), scale)


def bytes_of(packed: Packed | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return packed bytes as an array."""
    return np.frombuffer(packed, np.uint8) if len(packed) else np.empty(0, np.uint8)
