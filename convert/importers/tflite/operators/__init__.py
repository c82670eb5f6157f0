"""What each `.tflite` operator becomes in PyTorch: one `@operator` function per operator, files by purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import fx

from convert.importers.tflite.builder import Builder, Unsupported
from convert.importers.tflite.values import Order, Value
from edge.registry import Registry


@dataclass(frozen=True, slots=True)
class Call:
    """One operator of the file, its inputs resolved: what a handler reads and emits with."""

    kind: str
    options: Any
    custom: bytes
    inputs: tuple[Value | None, ...]
    output_shapes: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]  # of the inputs' tensors, in the file
    build: Builder

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the first output's shape, in the file's order."""
        return self.output_shapes[0]

    def option(self, name: str, default: Any = 0) -> Any:
        """Return one of the operator's options; files leave out options that have their default."""
        return getattr(self.options, name, default)

    def value(self, index: int) -> Value:
        """Return an input that the operator cannot do without."""
        found = self.optional(index)
        if found is None:
            raise Unsupported(f"input {index} left out")
        return found

    def optional(self, index: int) -> Value | None:
        """Return an input, or None where the file leaves it out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def constant(self, index: int) -> NDArray[Any]:
        """Return an input that must be known at import; raises Unsupported if it is computed."""
        found = self.value(index).constant
        if found is None:
            raise Unsupported(f"input {index} computed at run time")
        return found

    def integers(self, index: int) -> list[int]:
        """Return a constant input as a flat list of integers."""
        return [int(number) for number in np.asarray(self.constant(index)).reshape(-1)]

    def order(self) -> Order:
        """Return the order to compute in: an image's if the output has 4 axes and any such input is an image."""
        images = (value for value in self.inputs if value is not None and len(value.shape) == 4)
        return "image" if len(self.shape) == 4 and any(value.order == "image" for value in images) else "file"

    def result(self, node: fx.Node, order: Order, shape: tuple[int, ...] | None = None) -> Value:
        """Wrap a node that computes the (first) output in `order`."""
        return Value(self.shape if shape is None else shape, nodes={order: node})


Handler = Callable[[Call], "Value | tuple[Value, ...]"]
OPERATORS: Registry[Handler] = Registry("tflite operator", __name__)


def operator(*kinds: str) -> Callable[[Handler], Handler]:
    """Register a function as the meaning of the operators named in the schema's spelling."""

    def decorate(handler: Handler) -> Handler:
        for kind in kinds:
            OPERATORS.add(kind, handler)
        return handler

    return decorate
