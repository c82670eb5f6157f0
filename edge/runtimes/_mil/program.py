"""From the protobuf of an ML program to small frozen records, constants decoded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from edge.errors import InputError, Unexecutable
from edge.runtimes._mil.blob import Blob
from edge.runtimes._mil.values import BITS, DTYPES, STORAGE, TensorType, Value, from_bytes, from_numbers

_AGAIN = "deploy it again with `edge deploy`"


class BlobSource(Protocol):
    """Where constants that are too large for the program are stored."""

    def read(self, file_name: str, offset: int) -> Blob:
        """Return the blob whose record starts at `offset`."""
        ...


@dataclass(frozen=True, slots=True)
class Reference:
    """An argument that names the result of an earlier operation or an input."""

    name: str


@dataclass(frozen=True, slots=True)
class Named:
    """A declared result or input."""

    name: str
    type: TensorType


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; `arguments` holds, per parameter, one or (for lists of tensors) several arguments."""

    type: str
    name: str
    arguments: Mapping[str, tuple[Reference | Value, ...]]
    attributes: Mapping[str, Value]
    outputs: tuple[Named, ...]
    has_blocks: bool


@dataclass(frozen=True, slots=True)
class Function:
    """A function's inputs, operations in order, and the names of its results."""

    inputs: tuple[Named, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[str, ...]


class UnknownType(Exception):
    """A type that the interpreter has no representation for."""


def read_function(program: Any, blobs: BlobSource, name: str) -> Function:
    """Decode the main function; raises InputError for a damaged program, Unexecutable for unknown types."""
    function = _main(program, name)
    block = function.block_specializations.get(function.opset)
    if block is None:
        raise InputError(f"{name}: the program has no block for its operator set {function.opset!r}; {_AGAIN}")
    reasons: dict[str, None] = {}
    inputs: list[Named] = []
    operations: list[Operation] = []
    for item in function.inputs:
        try:
            inputs.append(_named(item))
        except UnknownType as error:
            reasons[f"input {item.name}: {error}"] = None
    for item in block.operations:
        try:
            operations.append(_operation(item, blobs))
        except UnknownType as error:
            reasons[f"{item.type}: {error}"] = None
    if reasons:
        raise Unexecutable(name, reasons)
    return Function(tuple(inputs), tuple(operations), tuple(block.outputs))


def _main(program: Any, name: str) -> Any:
    functions = dict(program.functions)
    if "main" in functions:
        return functions["main"]
    if len(functions) == 1:
        return next(iter(functions.values()))
    raise InputError(f"{name}: the program has no function main among {sorted(functions)}; {_AGAIN}")


def _operation(item: Any, blobs: BlobSource) -> Operation:
    return Operation(
        type=item.type,
        name=item.outputs[0].name if item.outputs else item.type,
        arguments={
            key: tuple(_argument(binding, blobs) for binding in argument.arguments)
            for key, argument in sorted(item.inputs.items())
        },
        # "name" only repeats what the operation is called.
        attributes={key: _value(value, blobs) for key, value in sorted(item.attributes.items()) if key != "name"},
        outputs=tuple(_named(output) for output in item.outputs),
        has_blocks=len(item.blocks) > 0,
    )


def _argument(binding: Any, blobs: BlobSource) -> Reference | Value:
    if binding.WhichOneof("binding") == "name":
        return Reference(binding.name)
    return _value(binding.value, blobs)


def _named(item: Any) -> Named:
    return Named(item.name, _type(item.type))


def _type(value_type: Any) -> TensorType:
    kind = value_type.WhichOneof("type")
    if kind != "tensorType":
        raise UnknownType(f"values of kind {kind}")
    tensor = value_type.tensorType
    dtype = DTYPES.get(tensor.dataType, f"number {tensor.dataType}")
    if dtype != "string" and dtype not in STORAGE:
        raise UnknownType(f"element type {dtype}")
    sizes = tuple(
        size.constant.size if size.WhichOneof("dimension") == "constant" else None for size in tensor.dimensions
    )
    if math.prod(size or 1 for size in sizes) >= 1 << 40:
        raise InputError(f"a value's shape {list(sizes)} is larger than any memory; {_AGAIN}")
    return TensorType(dtype, sizes)


def _value(value: Any, blobs: BlobSource) -> Value:
    kind = _type(value.type)
    where = value.WhichOneof("value")
    if where == "blobFileValue":
        blob = blobs.read(value.blobFileValue.fileName, value.blobFileValue.offset)
        if blob.dtype != kind.dtype:
            raise InputError(f"a constant of type {kind} is stored as {blob.dtype}; {_AGAIN}")
        return from_bytes(blob.data, kind)
    if where != "immediateValue" or value.immediateValue.WhichOneof("value") != "tensor":
        raise UnknownType(f"constants of kind {where}")
    return _immediate(value.immediateValue.tensor, kind)


def _immediate(tensor: Any, kind: TensorType) -> Value:
    field = tensor.WhichOneof("value")
    if field is None:
        raise InputError(f"a constant of type {kind} has no value; {_AGAIN}")
    values = getattr(tensor, field).values
    if field == "bytes":
        if kind.dtype == "string":
            raise InputError(f"a constant of type {kind} is stored as bytes; {_AGAIN}")
        return from_bytes(values, kind)
    if field == "strings" or kind.dtype == "string":
        if field != "strings" or kind.dtype != "string" or len(values) != 1:
            raise InputError(f"a constant of type {kind} holds {len(values)} {field}; {_AGAIN}")
        return str(values[0])
    if kind.dtype in BITS:
        raise InputError(f"a constant of type {kind} holds {field}; {_AGAIN}")
    return from_numbers(np.array(values), kind)
