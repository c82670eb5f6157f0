"""Core ML packages: run by Core ML on macOS, by the reference interpreter elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.artifact import Artifact, Mode
from edge.contract import TensorSpec
from edge.errors import ContractError, InputError
from edge.runtimes import Session, runtime

Arrays = Mapping[str, NDArray[Any]]


class ReferenceSession:
    """Execute the package's program and weights with the interpreter in edge.runtimes._mil."""

    mode: Mode = "reference"

    def __init__(self, artifact: Artifact) -> None:
        """Read the package; raises InputError if it is damaged, Unexecutable if an operator is not known."""
        from edge.runtimes._mil import Interpreter, read_package

        self._manifest = artifact.manifest
        package = read_package(artifact.file(".mlpackage"))
        described = {feature.name: feature.shape for feature in (*package.inputs, *package.outputs)}
        for spec in (*self._manifest.inputs, *self._manifest.outputs):
            # The package leaves out the shape of a scalar and of outputs that it infers.
            if spec.name not in described or (described[spec.name] and described[spec.name] != spec.shape):
                raise InputError(
                    f"{artifact.root}: manifest.json has {spec.name} {list(spec.shape)}, the package has {described}; "
                    "deploy it again with `edge deploy`"
                )
        self._interpreter = Interpreter(package.function, package.name)
        self._types = {value.name: value.type.dtype for value in package.function.inputs}

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run once; names, shapes and dtypes are the manifest's."""
        import torch

        from edge.runtimes._mil.values import STORAGE

        checked = check_inputs(self._manifest.inputs, inputs)
        tensors = {name: torch.from_numpy(array).to(STORAGE[self._types[name]]) for name, array in checked.items()}
        outputs = self._interpreter.run(tensors)
        return match_outputs(self._manifest.outputs, {name: value.numpy() for name, value in outputs.items()})


class NativeSession:
    """Execute the package with Core ML itself, on whatever units it chooses."""

    mode: Mode = "native"

    def __init__(self, artifact: Artifact) -> None:
        """Compile and load the package."""
        import coremltools

        self._manifest = artifact.manifest
        self._model = coremltools.models.MLModel(str(artifact.file(".mlpackage")))

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run once; names, shapes and dtypes are the manifest's."""
        return match_outputs(self._manifest.outputs, self._model.predict(check_inputs(self._manifest.inputs, inputs)))


@runtime("coreml")
def open_package(artifact: Artifact) -> Session:
    """Open a `.mlpackage` artifact with Core ML on macOS, with the reference interpreter elsewhere."""
    return NativeSession(artifact) if sys.platform == "darwin" else ReferenceSession(artifact)


def check_inputs(specs: tuple[TensorSpec, ...], inputs: Arrays) -> dict[str, NDArray[Any]]:
    """Return contiguous inputs; raises ContractError if names, shapes or dtypes are not the manifest's."""
    if set(inputs) != {spec.name for spec in specs}:
        raise ContractError(f"inputs are {sorted(inputs)}, the artifact takes {sorted(spec.name for spec in specs)}")
    for spec in specs:
        array = inputs[spec.name]
        if array.shape != spec.shape or array.dtype != spec.dtype:
            raise ContractError(
                f"input {spec.name} is {array.dtype}{list(array.shape)}, "
                f"the artifact takes {spec.dtype}{list(spec.shape)}"
            )
    return {spec.name: np.array(inputs[spec.name], order="C") for spec in specs}


def match_outputs(specs: tuple[TensorSpec, ...], outputs: Arrays) -> dict[str, NDArray[Any]]:
    """Return outputs in the manifest's order and dtypes; raises ContractError if a shape differs."""
    matched = {}
    for spec in specs:
        array = np.asarray(outputs[spec.name])
        # Core ML has no scalars: it hands them out as one element.
        if array.shape != spec.shape and not (array.size == 1 and spec.shape in ((), (1,))):
            raise ContractError(
                f"output {spec.name} has shape {list(array.shape)}, the manifest says {list(spec.shape)}"
            )
        matched[spec.name] = array.reshape(spec.shape).astype(spec.dtype, copy=False)
    return matched
