"""ExecuTorch with the Core ML delegate: the reference interpreter runs the package inside the `.pte`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge.artifact import Artifact
from edge.errors import Unexecutable
from edge.runtimes import Session, runtime

if TYPE_CHECKING:
    from torch import Tensor

    from edge.runtimes._pte import Delegate, Payload

BACKEND = "CoreMLBackend"


class CoremlDelegate:
    """A Core ML package taken out of a `.pte`; inputs and outputs are converted as ExecuTorch's runtime does."""

    def __init__(self, payload: Payload, name: str) -> None:
        """Read the payload; raises InputError if it is damaged, Unexecutable if an operator is not known."""
        from edge.runtimes._mil import Interpreter
        from edge.runtimes._mil.flattened import read_flattened

        flattened = read_flattened(payload.data, name)
        function = flattened.package.function
        self.inputs = len(flattened.inputs)
        self._names, self._outputs = flattened.inputs, flattened.outputs
        self._types = {value.name: value.type for value in function.inputs}
        self._interpreter = Interpreter(function, name)

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Run once; a scalar goes in as one element, which is all that Core ML has."""
        from edge.runtimes._mil.values import STORAGE

        named = {}
        for name, tensor in zip(self._names, inputs, strict=True):
            declared = self._types[name]
            shaped = tensor.reshape(1) if tensor.ndim == 0 and declared.shape == (1,) else tensor
            named[name] = shaped.to(STORAGE[declared.dtype]).contiguous()
        results = self._interpreter.run(named)
        return [results[name] for name in self._outputs]


@runtime("executorch-coreml")
def open_coreml_delegate(artifact: Artifact) -> Session:
    """Open a `.pte` whose delegates are Core ML packages.

    Raises InputError for a damaged file, Unexecutable for operators that the interpreter does not know.
    """
    from edge.runtimes._pte import PteSession

    return PteSession(artifact, _load)


def _load(name: str, payload: Payload) -> Delegate:
    if payload.backend != BACKEND:
        raise Unexecutable(name, [f"a delegate of {payload.backend}, expected {BACKEND}"])
    return CoremlDelegate(payload, name)
