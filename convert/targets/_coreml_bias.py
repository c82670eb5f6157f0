"""What a program computes on calibration inputs, and bias correction: what rounding adds to a mean is taken off again.

Rounded weights and activations shift the mean of every output channel, and the shifts add up over the layers. The
means are measured by executing the packages, and each layer is corrected with those before it corrected already (Nagel
et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019, section 4.2, with measured in
place of derived means).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set

import torch
from torch import Tensor

from edge.runtimes._mil import Interpreter
from edge.runtimes._mil.program import Operation
from quant.observers import Seen

Inputs = Sequence[Mapping[str, Tensor]]
_CORRECTED = 12  # calibration inputs that means are taken of: they settle soon


class Measured:
    """What a float program computes on calibration inputs: values of activations, and means of channels."""

    def __init__(self, values: Iterable[str], layers: Set[str]) -> None:
        """Observe these values, and the channels of these operations' results."""
        self.seen = {name: Seen() for name in values}
        self.means: dict[str, Tensor] = {}
        self._layers = layers

    def measure(self, interpreter: Interpreter, inputs: Inputs) -> None:
        """Execute the program on all inputs."""
        for entry in inputs:
            for name, value in entry.items():
                if name in self.seen:
                    self.seen[name].add(value.numpy())
        interpreter.walk(inputs, self._visit)

    def _visit(self, operation: Operation, found: list[tuple[Tensor, ...]]) -> None:
        for index, output in enumerate(operation.outputs):
            if output.name in self.seen:
                for results in found:
                    self.seen[output.name].add(results[index].float().numpy())
        if operation.name in self._layers:
            self.means[operation.name] = _means(operation, found[:_CORRECTED])


def measure_shifts(
    interpreter: Interpreter, layers: Set[str], means: Mapping[str, Tensor], inputs: Inputs
) -> dict[str, Tensor]:
    """Return what to add to each layer's bias so that its channels, shape (C,), keep the float program's means."""
    shifts: dict[str, Tensor] = {}

    def visit(operation: Operation, found: list[tuple[Tensor, ...]]) -> None:
        if operation.name in layers:
            shift = means[operation.name] - _means(operation, found)
            shifts[operation.name] = shift
            for results in found:
                results[0].movedim(_axis(operation), -1).add_(shift.to(results[0].dtype))

    interpreter.walk(inputs[:_CORRECTED], visit)
    return shifts


def _axis(operation: Operation) -> int:
    """Return the axis of the output channels in the result."""
    return -1 if operation.type == "linear" else 1


def _means(operation: Operation, found: Sequence[tuple[Tensor, ...]]) -> Tensor:
    """Return the mean over everything but the channels, and over the inputs."""
    axis = _axis(operation)
    return torch.stack([results[0].float().movedim(axis, 0).flatten(1).mean(1) for results in found]).mean(0)
