"""The kernels as operators of other runtimes: where the libraries are that those load."""

from __future__ import annotations

from pathlib import Path

from edge.errors import MissingError
from quant.kernels.compile import HERE, ONNXRUNTIME_LIBRARY
from quant.kernels.library import MENDED_BY


def onnxruntime_library() -> Path:
    """Return the library that `SessionOptions.register_custom_ops_library` takes; raises MissingError without it."""
    return _built(ONNXRUNTIME_LIBRARY)


def _built(name: str) -> Path:
    path = HERE / name
    if not path.is_file():
        raise MissingError(
            f"there is no {name}; install a C++ compiler (Debian: apt-get install g++), then `{MENDED_BY}`"
        )
    return path
