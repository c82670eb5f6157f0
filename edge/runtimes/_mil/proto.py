"""Core ML's protobuf classes, loaded from coremltools' files without importing coremltools (0.1 s, not 8 s)."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

from edge.errors import InputError, MissingError

_PACKAGE = "edge.runtimes._mil._coremltools_proto"


def parse_model(data: bytes, name: str) -> Any:
    """Parse `model.mlmodel`; raises InputError for bytes that are not one, MissingError without coremltools."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    model = model_class()()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise InputError(f"{name} is not a Core ML model: {error}; deploy it again with `edge deploy`") from None
    return model


def model_class() -> Any:
    """Return the generated class of CoreML.Specification.Model."""
    if _PACKAGE not in sys.modules:
        found = importlib.util.find_spec("coremltools")
        if found is None or found.origin is None:
            raise MissingError("reading a Core ML package needs coremltools: pip install 'edge-deployment-kit[coreml]'")
        # The generated files only import each other and protobuf, so a package that has nothing but
        # their folder as its path is all they need; coremltools' own __init__ imports torch and more.
        package = types.ModuleType(_PACKAGE)
        package.__path__ = [str(Path(found.origin).parent / "proto")]
        sys.modules[_PACKAGE] = package
    return importlib.import_module(f"{_PACKAGE}.Model_pb2").Model
