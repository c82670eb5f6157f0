"""What a program computes on calibration inputs, and bias correction: what rounding adds to a mean is taken off again.

Rounded weights and activations shift the mean of every output channel, and the shifts add up over the layers. The
means are measured by executing the packages, and each layer is corrected with those before it corrected already (Nagel
et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019, section 4.2, with measured in
place of derived means). Means are taken inside limits: what a saturating function or a range cuts off anyway, the
large logits of a mask that is certain, would else pull at the values that count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edge.runtimes._mil import Interpreter
from edge.runtimes._mil.program import Operation
from quant.observers import Range, Seen

Inputs = Sequence[Mapping[str, Tensor]]
Limits = Mapping[str, Range]
_CORRECTED = 12  # calibration inputs that means are taken of: they settle soon
_LEAST_INSIDE = 0.05  # of a channel: where fewer elements count, their correction is held back


@dataclass(frozen=True, slots=True)
class Channels:
    """Hold a result's mean per channel inside its limits, and the share of its elements that lie there, both (C,)."""

    mean: Tensor
    inside: Tensor

    def shift(self, mean: Tensor) -> Tensor:
        """Return what added to a result of the given clipped mean restores the mean; what is outside does not move."""
        return (self.mean - mean) * (self.inside > 0) / self.inside.clamp(min=_LEAST_INSIDE)


def observe(interpreter: Interpreter, values: Iterable[str], inputs: Inputs) -> dict[str, Seen]:
    """Return what the named values held when the program was executed on all the inputs."""
    seen = {name: Seen() for name in values}

    def visit(operation: Operation, found: list[tuple[Tensor, ...]]) -> None:
        for index, output in enumerate(operation.outputs):
            if output.name in seen:
                for results in found:
                    seen[output.name].add(results[index].float().numpy())

    for entry in inputs:
        for name in entry.keys() & seen.keys():
            seen[name].add(entry[name].numpy())
    interpreter.walk(inputs, visit)
    return seen


def measure_channels(interpreter: Interpreter, limits: Limits, inputs: Inputs) -> dict[str, Channels]:
    """Return the channels of the layers that have limits."""
    channels: dict[str, Channels] = {}

    def visit(operation: Operation, found: list[tuple[Tensor, ...]]) -> None:
        if operation.name in limits:
            low, high = limits[operation.name]
            values = _by_channel(operation, found)
            inside = ((values > low) & (values < high)).float().mean((0, 2))
            channels[operation.name] = Channels(values.clamp(low, high).mean((0, 2)), inside)

    interpreter.walk(inputs[:_CORRECTED], visit)
    return channels


def measure_shifts(
    interpreter: Interpreter, wanted: Mapping[str, Channels], limits: Limits, inputs: Inputs
) -> dict[str, Tensor]:
    """Return what to add to each layer's bias so that its channels, shape (C,), are the wanted ones again."""
    shifts: dict[str, Tensor] = {}

    def visit(operation: Operation, found: list[tuple[Tensor, ...]]) -> None:
        if operation.name in wanted:
            mean = _by_channel(operation, found).clamp(*limits[operation.name]).mean((0, 2))
            shifts[operation.name] = shift = wanted[operation.name].shift(mean)
            for results in found:
                results[0].movedim(_axis(operation), -1).add_(shift.to(results[0].dtype))

    interpreter.walk(inputs[:_CORRECTED], visit)
    return shifts


def _axis(operation: Operation) -> int:
    """Return the axis of the output channels in the result."""
    return -1 if operation.type == "linear" else 1


def _by_channel(operation: Operation, found: Sequence[tuple[Tensor, ...]]) -> Tensor:
    """Return the results of all inputs as (inputs, channels, elements)."""
    return torch.stack([results[0].float().movedim(_axis(operation), 0).flatten(1) for results in found])
