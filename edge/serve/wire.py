"""One message of the Open Inference Protocol v2 over HTTP, with the binary tensor extension.

A body is JSON, then the raw bytes of its tensors one after another in the JSON's order; the header
Inference-Header-Content-Length says how many bytes the JSON has. Without it all of the body is JSON.
Source: https://github.com/kserve/open-inference-protocol (required API) and Triton's extension_binary_data.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.serve.datatypes import (
    Buffer,
    Datatype,
    array_dtype,
    datatype_of,
    element_bytes,
    from_json,
    from_raw,
    to_json,
    to_raw,
)
from edge.serve.errors import RequestError, TooLarge, printable
from edge.serve.limits import Limits, parse_length
from edge.serve.metadata import Parameter

HEADER = "Inference-Header-Content-Length"
_ALIGNMENT = 16  # the JSON is filled up with spaces, so that the reader can use the first tensor where it lies
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Size = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
D = TypeVar("D")


class TensorDocument(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One tensor in the JSON: `data`, or `binary_data_size` among its parameters."""

    name: Name
    shape: tuple[Size, ...]
    datatype: Datatype
    parameters: dict[str, Parameter] = {}
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A named tensor; BYTES are objects of `bytes`, BF16 is held as float32. Its values are never shown."""

    name: str
    datatype: Datatype
    array: NDArray[Any] = field(repr=False)
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, array: NDArray[Any]) -> Tensor:
        """Return a tensor whose datatype is the array's own; raises RequestError for a type that has none."""
        return cls(name, datatype_of(array.dtype), array)

    @classmethod
    def of_pictures(cls, name: str, pictures: Sequence[bytes]) -> Tensor:
        """Return encoded pictures as a BYTES tensor of shape [n]."""
        array = np.empty(len(pictures), object)
        array[:] = pictures
        return cls(name, "BYTES", array)


@dataclass(frozen=True, slots=True)
class Message:
    """A body, and how many of its bytes are JSON; None where all are."""

    body: bytes = field(repr=False)
    json_bytes: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Return the HTTP headers that say how to read the body."""
        if self.json_bytes is None:
            return {"Content-Type": "application/json"}
        return {"Content-Type": "application/octet-stream", HEADER: str(self.json_bytes)}


def split(body: Buffer, header_length: str | None, limits: Limits) -> tuple[memoryview, memoryview]:
    """Return the JSON and the binary part of a body.

    Raises TooLarge for a body or JSON above its limit and RequestError for a header length that is no such number.
    """
    view = memoryview(body)
    if view.nbytes > limits.body_bytes:
        raise TooLarge(f"the body has {view.nbytes} bytes; at most {limits.body_bytes} are taken")
    json_bytes = view.nbytes if header_length is None else parse_length(header_length, HEADER)
    if json_bytes > limits.json_bytes:
        raise TooLarge(
            f"the JSON has {json_bytes} bytes; at most {limits.json_bytes} are read: send tensors as binary data"
        )
    if json_bytes > view.nbytes:
        raise RequestError(f"{HEADER} is {json_bytes}, the whole body has {view.nbytes} bytes")
    return view[:json_bytes], view[json_bytes:]


def decode(part: memoryview, decoder: msgspec.json.Decoder[D]) -> D:
    """Return a document of its JSON; raises RequestError naming the place where it is none."""
    try:
        return decoder.decode(part)
    except RecursionError:
        raise RequestError("the JSON is nested too deep") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise RequestError(f"the JSON is not the protocol's: {printable(str(error))}") from None


def lay_out(documents: Sequence[TensorDocument], binary_bytes: int, limits: Limits) -> dict[str, slice]:
    """Return where each tensor lies in the binary part, by name; one in the JSON takes no room there.

    Checks, before any tensor takes memory, that names differ, that shape × datatype is the stated size, and that the
    sizes fill the binary part. Raises RequestError, or TooLarge above a limit.
    """
    if len(documents) > limits.tensors:
        raise TooLarge(f"{len(documents)} tensors; at most {limits.tensors} are taken")
    places: dict[str, slice] = {}
    offset = 0
    for document in documents:
        if document.name in places:
            raise RequestError(f"tensor {shown(document.name)} is given twice")
        size_bytes = _stated_bytes(document)
        _check_size(document, size_bytes, limits)
        places[document.name] = slice(offset, offset + (size_bytes or 0))
        offset = places[document.name].stop
    if offset != binary_bytes:
        raise RequestError(f"the tensors' binary_data_size adds up to {offset} bytes; {binary_bytes} follow the JSON")
    return places


def read(document: TensorDocument, place: slice, binary: memoryview) -> Tensor:
    """Return a tensor of the JSON, or from where `lay_out` placed it.

    Raises RequestError for values that are none of its datatype.
    """
    name, datatype = document.name, document.datatype
    if not isinstance(document.data, msgspec.UnsetType):
        array = from_json(printable(name, 80), datatype, document.shape, document.data)
    else:
        array = from_raw(printable(name, 80), datatype, document.shape, binary[place])
    parameters = {key: value for key, value in document.parameters.items() if key != "binary_data_size"}
    return Tensor(name, datatype, array, parameters)


def write(tensor: Tensor, *, binary: bool) -> tuple[TensorDocument, Buffer]:
    """Return a tensor's part of the JSON and its raw bytes, empty where it is written as JSON.

    Raises RequestError for values that JSON cannot hold.
    """
    array, parameters = tensor.array, dict(tensor.parameters)
    if array.dtype != array_dtype(tensor.datatype) and array.dtype.newbyteorder("<") != array_dtype(tensor.datatype):
        raise RequestError(f"tensor {shown(tensor.name)}: an array of {array.dtype} is not {tensor.datatype}")
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    raw: Buffer = b""
    if binary:
        raw = to_raw(tensor.datatype, array)
        parameters["binary_data_size"] = memoryview(raw).nbytes
    else:
        data = msgspec.Raw(msgspec.json.encode(to_json(printable(tensor.name, 80), tensor.datatype, array)))
    document = TensorDocument(
        name=tensor.name, shape=array.shape, datatype=tensor.datatype, parameters=parameters, data=data
    )
    return document, raw


def join(document: msgspec.Struct, raws: Sequence[Buffer], *, binary: bool) -> Message:
    """Return a message of its JSON and raw tensors; `binary` says whether any of them is sent so."""
    head = msgspec.json.encode(document)
    if not binary:
        return Message(head)
    head += b" " * (-len(head) % _ALIGNMENT)
    return Message(b"".join((head, *raws)), len(head))


def shown(name: str) -> str:
    """Return a name of the other side as it is quoted in messages."""
    return f"'{printable(name, 80)}'"


def _stated_bytes(document: TensorDocument) -> int | None:
    """Return a tensor's size in the binary part, None where its values are in the JSON."""
    name, stated = shown(document.name), document.parameters.get("binary_data_size")
    shared = [key for key in document.parameters if key.startswith("shared_memory")]
    if shared:
        raise RequestError(f"tensor {name}: shared memory is not served; send the tensor as binary data")
    has_data = document.data is not msgspec.UNSET
    if has_data == (stated is not None):
        given = "both data and binary_data_size" if has_data else "neither data nor binary_data_size"
        raise RequestError(f"tensor {name} has {given}; give one of them")
    if stated is None:
        return None
    if not isinstance(stated, int) or isinstance(stated, bool) or stated < 0:
        raise RequestError(f"tensor {name}: binary_data_size {printable(str(stated), 40)} is no number of bytes")
    return stated


def _check_size(document: TensorDocument, size_bytes: int | None, limits: Limits) -> None:
    """Check shape × datatype against the limits and the stated size, in unbounded integers."""
    name, shape, datatype = shown(document.name), document.shape, document.datatype
    if len(shape) > limits.axes:
        raise TooLarge(f"tensor {name} has {len(shape)} axes; at most {limits.axes} are taken")
    count, each = math.prod(shape), element_bytes(datatype)
    if each is None and count > limits.elements:
        raise TooLarge(f"tensor {name} has {count} elements of BYTES; at most {limits.elements} are taken")
    least_bytes = count * (each or 4)  # an element of BYTES is at least its length
    if least_bytes > limits.body_bytes:
        raise TooLarge(f"tensor {name}: {list(shape)} of {datatype} is above the limit of {limits.body_bytes} bytes")
    if size_bytes is not None and (size_bytes < least_bytes if each is None else size_bytes != least_bytes):
        at_least = "at least " if each is None else ""
        raise RequestError(
            f"tensor {name}: {list(shape)} of {datatype} is {at_least}{least_bytes} bytes, binary_data_size is "
            f"{size_bytes}"
        )
