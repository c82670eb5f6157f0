"""Does a server's model fit the contract that its answers are read by, and how do its tensors lie?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.contract import Contract, TensorSpec
from edge.errors import ContractError
from edge.serve.errors import AnswerError, printable
from edge.serve.metadata import ModelMetadata, TensorMetadata, declare, fits
from edge.serve.wire import Tensor

_TO_NHWC, _TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
_Axes = tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Served:
    """A server's model that fits a contract; `pictures` says whether it takes encoded ones."""

    metadata: ModelMetadata
    pictures: bool
    to_server: Mapping[str, _Axes]  # by input: the permutation into the server's layout
    from_server: Mapping[str, _Axes]

    @property
    def outputs(self) -> tuple[TensorMetadata, ...]:
        """Return the outputs that are read, as the server declares them."""
        return tuple(spec for spec in self.metadata.outputs if spec.name in self.from_server)

    def tensors(self, inputs: Mapping[str, NDArray[Any]]) -> list[Tensor]:
        """Return inputs as the server takes them."""
        return [Tensor.of(name, _permuted(inputs[name], axes)) for name, axes in self.to_server.items()]

    def arrays(self, outputs: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
        """Return outputs as the contract has them."""
        return {name: _permuted(outputs[name].array, axes) for name, axes in self.from_server.items()}


def read_metadata(body: bytes | bytearray) -> ModelMetadata:
    """Return what a server says of a model; raises AnswerError."""
    try:
        return msgspec.json.decode(body, type=ModelMetadata)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise AnswerError(f"the server's metadata cannot be read: {printable(str(error))}") from None


def check_contract(metadata: ModelMetadata, contract: Contract) -> Served:
    """Match names, types and shapes; images may lie channels first or last. Raises ContractError with the difference.

    The server may have more outputs, but no more inputs.
    """
    own = declare(contract, metadata.name)
    inputs = _match(own.inputs, contract.inputs, metadata.inputs, "input")
    outputs = _match(own.outputs, contract.outputs, metadata.outputs, "output")
    if extra := [spec.name for spec in metadata.inputs if spec.name not in inputs]:
        raise ContractError(f"the server's {printable(metadata.name, 80)} also wants input {printable(extra[0], 80)}")
    pictures = len(metadata.inputs) == 1 and metadata.inputs[0].takes_pictures
    backwards = {name: None if axes is None else tuple(np.argsort(axes).tolist()) for name, axes in outputs.items()}
    return Served(metadata, pictures, inputs, backwards)


def _match(
    own: Sequence[TensorMetadata], specs: Sequence[TensorSpec], theirs: Sequence[TensorMetadata], word: str
) -> dict[str, _Axes]:
    """Return, by name, how this side's axes are permuted into the server's."""
    known = {spec.name: spec for spec in theirs}
    return {mine.name: _axes(mine, spec, known.get(mine.name), word) for mine, spec in zip(own, specs, strict=True)}


def _axes(mine: TensorMetadata, spec: TensorSpec, theirs: TensorMetadata | None, word: str) -> _Axes:
    wanted = f"{mine.datatype} {list(mine.shape)}"
    if theirs is None:
        raise ContractError(f"the server's model has no {word} {mine.name} ({wanted}); is it another model?")
    choices: list[_Axes] = [None]
    if spec.layout:
        choices.append(_TO_NHWC if spec.layout == "NCHW" else _TO_NCHW)
    for axes in choices:
        shape = mine.shape if axes is None else tuple(mine.shape[axis] for axis in axes)
        if theirs.datatype == mine.datatype and fits(shape, theirs.shape, shape[0] if shape else 1):
            return axes
    raise ContractError(
        f"{word} {mine.name} is {wanted} here and {theirs.datatype} {list(theirs.shape)} on the server; "
        "is it another model?"
    )


def _permuted(array: NDArray[Any], axes: _Axes) -> NDArray[Any]:
    return array if axes is None else np.ascontiguousarray(array.transpose(axes))
