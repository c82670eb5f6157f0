"""A session over a `.pte` that the reference executor runs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.artifact import Artifact, Mode
from edge.errors import TargetError
from edge.runtimes._pte.execute import Executor, Loader
from edge.runtimes._pte.program import read_plan


class PteSession:
    """A loaded `.pte`; every delegate is run by the interpreter that `load` returns for it."""

    mode: Mode = "reference"

    def __init__(self, artifact: Artifact, load: Loader) -> None:
        """Read the file; raises InputError if it is damaged, Unexecutable if it holds something not known."""
        self._manifest = artifact.manifest
        self._executor = Executor(read_plan(artifact.file(".pte")), load)
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once; names, shapes and dtypes are the manifest's."""
        import torch

        from edge.runtimes.coreml import check_inputs

        checked = check_inputs(self._manifest.inputs, inputs)
        tensors = [torch.from_numpy(checked[spec.name]) for spec in self._manifest.inputs]
        with self._lock:
            results = self._executor.run(tensors)
        outputs = {}
        for spec, result in zip(self._manifest.outputs, results, strict=True):
            array = np.array(result.numpy(), order="C")  # keeps a scalar a scalar
            if array.shape != spec.shape or array.dtype.name != spec.dtype:
                raise TargetError(
                    f"output {spec.name} is {array.dtype}{list(array.shape)}, "
                    f"the manifest says {spec.dtype}{list(spec.shape)}"
                )
            outputs[spec.name] = array
        return outputs
