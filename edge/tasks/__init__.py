"""What a model is for: how a picture becomes inputs, outputs become a result, and results are compared.

All in numpy; the same steps are what the apps and the server do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.contract import Contract
from edge.registry import Registry

Image = NDArray[np.uint8]  # (H, W, 3), RGB
Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Region:
    """A rotated square in a picture: centre and side in pixels, rotation in radians, clockwise from upright."""

    centre_x: float
    centre_y: float
    side: float
    rotation: float = 0.0


@dataclass(frozen=True, slots=True)
class Frame:
    """Tie an input tensor's pixels to the picture's.

    `matrix` (2, 3) maps tensor pixel centres (x, y, 1) to picture pixel centres (x, y).
    """

    image_hw: tuple[int, int]
    tensor_hw: tuple[int, int]
    matrix: NDArray[np.float64]
    region: Region | None = None


class Prediction(Protocol):
    """A decoded result in the picture's coordinates."""

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        ...


class Task(Protocol):
    """The steps of one task; a stateless object registered by `@task`."""

    metric: str  # what `compare` returns, for people: "IoU", "OKS"
    limit: float  # least value of the metric at which two results count as the same
    needs_region: bool  # whether `prepare` wants the region that a detector found

    @property
    def result(self) -> type:
        """Return what `decode` returns."""
        ...

    def prepare(
        self, image: Image, contract: Contract, region: Region | None = None
    ) -> tuple[dict[str, NDArray[Any]], Frame]:
        """Turn a picture into the contract's inputs."""
        ...

    def decode(self, outputs: Tensors, contract: Contract, frame: Frame) -> Prediction:
        """Turn the contract's outputs into a result in picture coordinates."""
        ...

    def compare(self, result: Any, reference: Any) -> float:
        """Return the metric of `result` against `reference`; 1 means identical."""
        ...

    def compare_all(self, pairs: Sequence[tuple[Any, Any]]) -> float:
        """Return the metric over the (result, reference) pairs of several pictures."""
        ...

    def measure(self, result: Any, reference: Any) -> NDArray[np.float64]:
        """Return what one picture adds to the metric of a set, a row of numbers."""
        ...

    def total(self, rows: NDArray[np.float64]) -> float:
        """Return the metric of a set of pictures from their rows (pictures, numbers)."""
        ...

    def draw(self, image: Image, result: Any) -> Image:
        """Return a copy of the picture with the result drawn on it."""
        ...


def worst(task: Task, pairs: Sequence[tuple[Any, Any]]) -> float:
    """Return the lowest metric of any picture."""
    return min(task.compare(result, reference) for result, reference in pairs)


class MeanOverPictures:
    """Measure a set of pictures by the mean of their own metrics."""

    compare: Any  # the task's

    def measure(self, result: Any, reference: Any) -> NDArray[np.float64]:
        """Return the picture's metric as a row of one number."""
        return np.array([self.compare(result, reference)])

    def total(self, rows: NDArray[np.float64]) -> float:
        """Return the mean of the rows (pictures, 1)."""
        return float(rows.mean())


TASKS: Registry[Task] = Registry("task", "edge.tasks")


def task(name: str) -> Any:
    """Register a task class under `name`; an instance of it is what the registry holds."""

    def decorate(cls: type[Task]) -> type[Task]:
        TASKS.add(name, cls())
        return cls

    return decorate
