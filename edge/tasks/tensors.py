"""Plain tensors: a model without a task of its own; its outputs are the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.contract import Contract
from edge.tasks import Frame, Image, MeanOverPictures, Region, Tensors, task, worst
from edge.tasks._geometry import prepare


@dataclass(frozen=True, slots=True, eq=False)
class TensorResult:
    """The named outputs as they are."""

    tensors: Mapping[str, NDArray[Any]]

    def to_json(self) -> dict[str, Any]:
        """Return each output's shape and range."""
        return {
            name: {"shape": list(array.shape), "min": float(array.min()), "max": float(array.max())}
            for name, array in self.tensors.items()
        }


@task("tensors")
class TensorTask(MeanOverPictures):
    """Hand the outputs over undecoded."""

    metric = "least cosine"
    limit = 0.99
    needs_region = False
    result = TensorResult

    def prepare(
        self, image: Image, contract: Contract, region: Region | None = None
    ) -> tuple[dict[str, NDArray[Any]], Frame]:
        """Resize the picture into the contract's input; raises ContractError without preprocessing."""
        return prepare(image, contract, region)

    def decode(self, outputs: Tensors, contract: Contract, frame: Frame) -> TensorResult:
        """Return the outputs in contract order."""
        return TensorResult({spec.name: np.asarray(outputs[spec.name]) for spec in contract.outputs})

    def compare(self, result: TensorResult, reference: TensorResult) -> float:
        """Return the smallest cosine between equally named outputs; two zero outputs count as equal."""
        return min(_cosine(result.tensors[name], array) for name, array in reference.tensors.items())

    def compare_all(self, pairs: Sequence[tuple[Any, Any]]) -> float:
        """Return the lowest metric of any picture."""
        return worst(self, pairs)

    def draw(self, image: Image, result: TensorResult) -> Image:
        """Return a copy of the picture: there is nothing to draw."""
        return image.copy()


def _cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    first, second = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
    if lengths == 0.0:
        return float(np.array_equal(first, second))
    return float(first @ second / lengths)
