"""What a server says about itself and its models, as the protocol's documents."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from edge.contract import Contract, TensorSpec, takes_image
from edge.serve.datatypes import Datatype

EXTENSIONS = ("binary_tensor_data",)
PICTURES = "pictures"  # parameter of an input that also takes encoded pictures, a BYTES tensor of shape [n]
Parameter = bool | int | float | str
_DATATYPES: dict[str, Datatype] = {
    "float32": "FP32",
    "float16": "FP16",
    "int64": "INT64",
    "int32": "INT32",
    "int16": "INT16",
    "int8": "INT8",
    "uint8": "UINT8",
    "bool": "BOOL",
}


class TensorMetadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Declare one tensor; −1 is an axis of any size, on the first axis of any number of rows."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    parameters: Mapping[str, Parameter] = {}

    @property
    def takes_pictures(self) -> bool:
        """Whether encoded pictures are taken in place of this tensor."""
        return self.parameters.get(PICTURES) is True


class ModelMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """Declare a model: its versions, what runs it, what goes in and what comes out."""

    name: str
    versions: tuple[str, ...] = ("1",)
    platform: str = ""
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


class ServerMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """Name the server, its version and the protocol's extensions that it speaks."""

    name: str = "edge-deployment-kit"
    version: str
    extensions: tuple[str, ...] = EXTENSIONS


class Live(msgspec.Struct, frozen=True):
    """Say whether the server's process answers."""

    live: bool


class Ready(msgspec.Struct, frozen=True):
    """Say whether every model is ready."""

    ready: bool


class ModelReady(msgspec.Struct, frozen=True):
    """Say whether one model is ready."""

    name: str
    ready: bool


Document = ModelMetadata | ServerMetadata | Live | Ready | ModelReady


def encode_document(document: Document) -> bytes:
    """Return a document as JSON."""
    return msgspec.json.encode(document)


def declare(
    contract: Contract, name: str, *, version: str = "1", platform: str = "", rows: bool = False
) -> ModelMetadata:
    """Return a contract as a model's metadata.

    `rows` leaves the first axis open, for a server that puts several requests into one batch. An input that is one
    colour picture says in its parameters that it takes encoded pictures too.
    """
    pictures: dict[str, Parameter] = {PICTURES: True} if takes_image(contract) else {}
    return ModelMetadata(
        name=name,
        versions=(version,),
        platform=platform,
        inputs=tuple(_tensor(spec, rows, pictures) for spec in contract.inputs),
        outputs=tuple(_tensor(spec, rows, {}) for spec in contract.outputs),
    )


def _tensor(spec: TensorSpec, rows: bool, parameters: dict[str, Parameter]) -> TensorMetadata:
    shape = (-1, *spec.shape[1:]) if rows and spec.shape and spec.shape[0] == 1 else spec.shape
    return TensorMetadata(name=spec.name, datatype=_DATATYPES[spec.dtype], shape=shape, parameters=parameters)


def fits(shape: tuple[int, ...], declared: tuple[int, ...], most_rows: int) -> bool:
    """Say whether a shape is one that is declared; an open first axis takes 1 to `most_rows` rows."""
    if len(shape) != len(declared) or math.prod(shape) < 1:
        return False
    if any(size != wanted for size, wanted in zip(shape, declared, strict=True) if wanted != -1):
        return False
    return not declared or declared[0] != -1 or shape[0] <= most_rows
