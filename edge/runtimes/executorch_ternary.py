"""ExecuTorch with the kit's ternary operators, which are loaded into its runtime."""

from __future__ import annotations

import ctypes
import functools

from edge.artifact import Artifact
from edge.errors import MissingError
from edge.runtimes import Session, runtime
from edge.runtimes.executorch import bindings, open_executorch


@runtime("executorch-ternary", package="executorch", modules=("torch", "executorch.extension.pybindings._C"))
def open_executorch_ternary(artifact: Artifact) -> Session:
    """Load the artifact's `.pte`; raises MissingError without the executorch package or a C++ compiler."""
    _register()
    return open_executorch(artifact)


@functools.cache
def _register() -> None:
    """Register the operators, once for the process."""
    from quant.kernels.wrappers import executorch_library

    bindings()  # its libraries are those that the operators are linked to
    library = executorch_library()
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        raise MissingError(
            f"{library} cannot be loaded ({error}); delete it, and it is compiled for the executorch that is installed"
        ) from None
