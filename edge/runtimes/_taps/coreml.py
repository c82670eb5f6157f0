"""Every value of a `.mlpackage`, computed by the reference interpreter."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from edge.artifact import Artifact
from edge.runtimes._mil import Interpreter, read_package
from edge.runtimes._mil.program import Operation
from edge.runtimes._mil.values import STORAGE
from edge.runtimes._taps import Arrays, Tap, Taps
from edge.runtimes.coreml import check_inputs, match_outputs


def read_coreml(artifact: Artifact, inputs: Arrays) -> Taps:
    """Return every value that the program's operations compute, in their order; raises what the interpreter raises."""
    package = read_package(artifact.file(".mlpackage"))
    interpreter = Interpreter(package.function, package.name)
    types = {value.name: value.type.dtype for value in package.function.inputs}
    checked = check_inputs(artifact.manifest.inputs, inputs)
    taps: list[Tap] = []
    kinds: list[str] = []

    def observe(operation: Operation, results: tuple[Tensor, ...]) -> None:
        for declared, result in zip(operation.outputs, results, strict=True):
            taps.append(Tap(declared.name, len(kinds), operation.type, np.array(result.numpy())))
        kinds.append(operation.type)

    tensors = {name: torch.from_numpy(array).to(STORAGE[types[name]]) for name, array in checked.items()}
    found = interpreter.run(tensors, observe)
    outputs = match_outputs(artifact.manifest.outputs, {name: value.numpy() for name, value in found.items()})
    return Taps("reference", tuple(taps), outputs, tuple(kinds))
