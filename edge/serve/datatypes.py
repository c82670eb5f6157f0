"""The protocol's datatypes: raw little-endian bytes and JSON, to and from numpy.

BYTES is an object array of `bytes`, on the wire 4 bytes of little-endian length before each element, or a JSON string.
BF16, which numpy lacks, is a float32 array: widening is exact, and writing rounds to nearest even. It travels as binary
data only, as with Triton; FP16 may be JSON numbers. JSON has no infinities and no NaN: such values need binary data.
"""

from __future__ import annotations

import functools
import itertools
import math
import struct
from collections.abc import Sequence
from typing import Any, Literal, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.serve.errors import RequestError, printable

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64",
    "BF16", "BYTES",
]  # fmt: skip
DATATYPES: tuple[Datatype, ...] = get_args(Datatype)
_PLAIN: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
}
_NAMES: dict[np.dtype[Any], Datatype] = {_PLAIN[name]: name for name in DATATYPES if name in _PLAIN}
_LENGTH = struct.Struct("<I")  # before each element of BYTES
Buffer = bytes | bytearray | memoryview


def datatype_of(dtype: np.dtype[Any]) -> Datatype:
    """Return the protocol's name of a numpy type; objects are BYTES. Raises RequestError for any other."""
    if dtype == np.dtype(object):
        return "BYTES"
    name = _NAMES.get(dtype.newbyteorder("<"))
    if name is None:
        raise RequestError(f"numpy's {dtype} is no datatype of the protocol; it has {', '.join(DATATYPES)}")
    return name


def array_dtype(datatype: Datatype) -> np.dtype[Any]:
    """Return the numpy type that holds a datatype."""
    return {"BYTES": np.dtype(object), "BF16": np.dtype("<f4")}.get(datatype) or _PLAIN[datatype]


def element_bytes(datatype: Datatype) -> int | None:
    """Return the size of one element on the wire; None for BYTES, whose elements differ."""
    if datatype == "BYTES":
        return None
    return 2 if datatype == "BF16" else _PLAIN[datatype].itemsize


def to_raw(datatype: Datatype, array: NDArray[Any]) -> Buffer:
    """Return an array's bytes on the wire, row-major; without a copy where it already lies so."""
    if datatype == "BYTES":
        return b"".join(_LENGTH.pack(len(element)) + element for element in array.reshape(-1).tolist())
    if datatype == "BF16":
        return _bfloat16(np.asarray(array, "<f4")).tobytes()
    flat = np.ascontiguousarray(array, dtype=_PLAIN[datatype]).reshape(-1)
    return flat.view(np.uint8).data


def from_raw(name: str, datatype: Datatype, shape: tuple[int, ...], raw: memoryview) -> NDArray[Any]:
    """Return a tensor (shape) of its bytes; a view where they lie aligned, else a copy.

    The number of bytes has been checked against shape and datatype, except for BYTES.
    Raises RequestError for elements of BYTES that do not fill `raw`, and for a BOOL other than 0 and 1.
    """
    if datatype == "BYTES":
        return _elements(name, shape, raw)
    if not raw.nbytes:
        return np.empty(shape, array_dtype(datatype))
    if datatype == "BF16":
        return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    if datatype == "BOOL" and int(np.frombuffer(raw, np.uint8).max()) > 1:
        raise RequestError(f"tensor {name!r}: BOOL is a byte of 0 or 1, some are larger")
    array = np.frombuffer(raw, _PLAIN[datatype])
    return (array if array.flags.aligned else array.copy()).reshape(shape)


def to_json(name: str, datatype: Datatype, array: NDArray[Any]) -> list[Any]:
    """Return an array as the flat list of its values; raises RequestError where JSON cannot hold them."""
    if datatype == "BF16":
        raise RequestError(f"tensor {name!r}: BF16 travels as binary data only; ask for binary_data")
    if datatype == "BYTES":
        try:
            return [element.decode() for element in array.reshape(-1).tolist()]
        except UnicodeDecodeError:
            raise RequestError(f"tensor {name!r} holds bytes that are no UTF-8 text; ask for binary_data") from None
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise RequestError(f"tensor {name!r} holds infinities or NaN, which JSON has not; ask for binary_data")
    return list(array.reshape(-1).tolist())


def from_json(name: str, datatype: Datatype, shape: tuple[int, ...], data: msgspec.Raw) -> NDArray[Any]:
    """Return a tensor (shape) of its JSON values, flat or nested as the shape says; raises RequestError."""
    if datatype == "BF16":
        raise RequestError(f"tensor {name!r}: BF16 travels as binary data only; give it a binary_data_size")
    nested = bytes(memoryview(data)[:64]).lstrip()[1:].lstrip().startswith(b"[")
    try:
        values = _list_decoder(datatype, len(shape) if nested else 1).decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RequestError(f"tensor {name!r}: its data are no {datatype} values: {printable(str(error))}") from None
    flat = _flatten(name, values, shape if nested else (math.prod(shape),))
    if datatype == "BYTES":
        return _objects([text.encode() for text in flat], shape)
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, _PLAIN[datatype]).reshape(shape)
    except OverflowError:
        raise RequestError(f"tensor {name!r}: a value is outside {datatype}'s range") from None
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise RequestError(f"tensor {name!r}: a value is outside {datatype}'s range")
    return array


@functools.cache
def _list_decoder(datatype: str, axes: int) -> msgspec.json.Decoder[Any]:
    """Return a decoder of lists nested so deep and no deeper; at most the shape's axes."""
    kind: Any = {"BOOL": bool, "BYTES": str}.get(datatype, float if datatype.startswith("FP") else int)
    for _ in range(max(axes, 1)):
        kind = list[kind]
    return msgspec.json.Decoder(kind)


def _flatten(name: str, values: list[Any], shape: Sequence[int]) -> list[Any]:
    if len(values) != (shape[0] if shape else 1):
        raise RequestError(f"tensor {name!r}: its data do not fill its shape; one list has {len(values)} elements")
    if len(shape) < 2:
        return values
    return list(itertools.chain.from_iterable(_flatten(name, value, shape[1:]) for value in values))


def _elements(name: str, shape: tuple[int, ...], raw: memoryview) -> NDArray[Any]:
    """Split the bytes of BYTES into as many elements as the shape says."""
    found, offset, count = [], 0, math.prod(shape)
    for _ in range(count):
        if offset + _LENGTH.size > raw.nbytes:
            break
        start = offset + _LENGTH.size
        offset = start + _LENGTH.unpack_from(raw, offset)[0]
        if offset > raw.nbytes:
            break
        found.append(bytes(raw[start:offset]))
    if len(found) != count or offset != raw.nbytes:
        raise RequestError(
            f"tensor {name!r}: {raw.nbytes} bytes are not {count} elements of BYTES; each is 4 bytes of little-endian "
            "length and then as many bytes"
        )
    return _objects(found, shape)


def _objects(elements: Sequence[bytes], shape: tuple[int, ...]) -> NDArray[Any]:
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape)


def _bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return the upper halves of float32 values, rounded to nearest even; NaN stays NaN."""
    bits = np.ascontiguousarray(values).view("<u4")
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    return np.where(np.isnan(values), (bits >> 16) | 0x40, rounded).astype("<u2")
