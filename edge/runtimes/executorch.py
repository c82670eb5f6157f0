"""ExecuTorch: run a `.pte` with the Python bindings of the executorch wheel."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.artifact import Artifact, Mode
from edge.contract import TensorSpec
from edge.errors import MissingError, TargetError
from edge.runtimes import Session, runtime
from edge.runtimes._inputs import checked_input
from edge.threads import thread_count


class ExecutorchSession:
    """A loaded `.pte`; one call at a time, as a method owns its activations."""

    mode: Mode = "native"
    note: str = ""  # what to know of the results on this machine

    def __init__(self, path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
        self._inputs, self._outputs = inputs, outputs
        self._data = path.read_bytes()  # the program points into these bytes: they must live as long as it does
        self._lock = threading.Lock()
        try:
            native = bindings()
            check = native.Verification.InternalConsistency  # a damaged file fails here, not while it runs
            program = native._load_program_from_buffer(
                self._data, enable_etdump=False, debug_buffer_size=0, program_verification=check
            )
            self._method = program.load_method("forward")
        except RuntimeError as error:
            raise TargetError(
                f"{path}: ExecuTorch cannot load it: {error}; deploy it again with `edge deploy`"
            ) from error

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once; raises InputError for a missing input or a wrong shape or dtype, TargetError if execution fails."""
        import torch

        tensors = [torch.from_numpy(np.ascontiguousarray(checked_input(inputs, spec))) for spec in self._inputs]
        with self._lock:
            try:
                outputs = self._method.call(tensors, clone_outputs=False)
            except RuntimeError as error:
                raise TargetError(f"ExecuTorch failed while running: {error}") from error
            # Copied by numpy: torch's clone wakes OpenMP threads, whose busy waiting takes the cores away from
            # ExecuTorch's own pool and doubles the latency of the next call.
            return {spec.name: tensor.numpy().copy() for spec, tensor in zip(self._outputs, outputs, strict=True)}


@runtime("executorch", package="executorch", modules=("torch", "executorch.extension.pybindings._C"))
def open_executorch(artifact: Artifact) -> Session:
    """Load the artifact's `.pte`; raises MissingError without the executorch package."""
    return load(artifact)


def load(artifact: Artifact) -> ExecutorchSession:
    """Load an artifact's `.pte` with `EDGE_THREADS` threads, or one per core."""
    set_threads(thread_count())
    return ExecutorchSession(artifact.file(".pte"), artifact.manifest.inputs, artifact.manifest.outputs)


def bindings() -> ModuleType:
    """Return the native module of the wheel.

    `executorch.runtime` does the same and imports all of `executorch.exir` (4 s) for a decorator; torch alone
    (1.4 s) is what the shared library is linked to.
    """
    try:
        import torch  # noqa: F401  # loads the libraries that the native module is linked to
        from executorch.extension.pybindings import _C
    except ImportError as error:
        raise MissingError(
            f"executorch cannot be imported ({error}): pip install 'edge-deployment-kit[executorch]'"
        ) from error
    return _C  # type: ignore[no-any-return]


def set_threads(count: int) -> None:
    """Give the process-wide thread pool `count` threads; call it while nothing is running.

    ExecuTorch reads no environment variable for this: its pool starts with one thread per core.
    """
    if bindings()._threadpool_get_thread_count() != count:
        bindings()._unsafe_reset_threadpool(count)
