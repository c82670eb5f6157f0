"""Reader of the `.mlpackage` folder: manifest, model description, program and weights, all checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from edge.errors import InputError, Unexecutable
from edge.runtimes._mil.blob import Blob, BlobFile
from edge.runtimes._mil.program import Function, read_function
from edge.runtimes._mil.proto import parse_model

_AGAIN = "deploy it again with `edge deploy`"
_WEIGHTS_PREFIX = "@model_path/"
# CoreML.Specification.ArrayFeatureType.ArrayDataType
_ARRAY_TYPES = {65552: "fp16", 65568: "fp32", 65600: "fp64", 131104: "int32", 131080: "int8"}


@dataclass(frozen=True, slots=True)
class Feature:
    """An input or output as apps see it."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Package:
    """A Core ML package: its interface and its program."""

    name: str
    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    function: Function


class Weights:
    """The weight files beside the model, opened when a constant first names them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, BlobFile] = {}

    def read(self, file_name: str, offset: int) -> Blob:
        """Return one blob; raises InputError if the file is missing, damaged or outside the package."""
        if file_name not in self._files:
            if not file_name.startswith(_WEIGHTS_PREFIX):
                raise InputError(
                    f"{self._folder}: weights are in {file_name!r}, expected a name after {_WEIGHTS_PREFIX}; {_AGAIN}"
                )
            path = _inside(self._folder, file_name.removeprefix(_WEIGHTS_PREFIX))
            self._files[file_name] = BlobFile(_read(path), str(path))
        return self._files[file_name].read(offset)


def read_package(path: Path) -> Package:
    """Read a `.mlpackage` that holds an ML program.

    Raises InputError for a package that is damaged, Unexecutable for one that holds another kind of model or types
    that this interpreter does not know.
    """
    model_path = _model_path(path)
    model = parse_model(_read(model_path), str(model_path))
    kind = model.WhichOneof("Type")
    if kind is None:
        raise InputError(f"{model_path} is an empty Core ML model; {_AGAIN}")
    if kind != "mlProgram":
        raise Unexecutable(path.name, [f"its model is of kind {kind}, not mlProgram"])
    function = read_function(model.mlProgram, Weights(model_path.parent), path.name)
    inputs, outputs = (_features(items, path) for items in (model.description.input, model.description.output))
    _check_names(path, "inputs", inputs, [value.name for value in function.inputs])
    _check_names(path, "outputs", outputs, list(function.outputs))
    return Package(path.name, inputs, outputs, function)


def _model_path(path: Path) -> Path:
    manifest = path / "Manifest.json"
    try:
        content = json.loads(_read(manifest))
        entry = content["itemInfoEntries"][content["rootModelIdentifier"]]["path"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{manifest} does not name a model ({type(error).__name__}: {error}); {_AGAIN}") from None
    if not isinstance(entry, str):
        raise InputError(f"{manifest} names {entry!r} as its model, expected a path; {_AGAIN}")
    return _inside(path / "Data", entry)


def _inside(folder: Path, relative: str) -> Path:
    parts = PurePosixPath(relative)
    if parts.is_absolute() or ".." in parts.parts or "\0" in relative:
        raise InputError(f"{folder}: the path {relative!r} leaves the package; {_AGAIN}")
    if not relative.isprintable():
        raise InputError(f"{folder}: the path {relative!r} has characters that no path of a package has; {_AGAIN}")
    return folder / parts


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; {_AGAIN}") from None


def _features(items: Any, path: Path) -> tuple[Feature, ...]:
    found, reasons = [], []
    for item in items:
        kind = item.type.WhichOneof("Type")
        array = item.type.multiArrayType
        if kind != "multiArrayType":
            reasons.append(f"{item.name} is of type {kind}, not multiArrayType")
        elif array.dataType not in _ARRAY_TYPES:
            reasons.append(f"{item.name} has the element type {array.dataType}")
        else:
            found.append(Feature(item.name, _ARRAY_TYPES[array.dataType], tuple(array.shape)))
    if reasons:
        raise Unexecutable(path.name, reasons)
    return tuple(found)


def _check_names(path: Path, what: str, features: tuple[Feature, ...], names: list[str]) -> None:
    described = [feature.name for feature in features]
    if sorted(described) != sorted(names):
        raise InputError(f"{path}: described {what} {described} differ from the program's {names}; {_AGAIN}")
