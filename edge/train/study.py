"""What computes in a recipe's training: the network with its losses, the stream of batches, the evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from edge.train.plan import SourceRecord

Batch = Mapping[str, Tensor]
Metrics = dict[str, float]
Network = TypeVar("Network", bound=nn.Module)
Evaluate = Callable[[nn.Module, torch.device], Metrics]


class Stream(Protocol):
    """Give batches of a stream of random examples, always the same for the same places."""

    def batch(self, places: Sequence[int]) -> Batch:
        """Return the examples at some places, counted from 0 over the whole training, stacked."""
        ...


class Examples(Protocol):
    """Give one example of a stream of random ones, always the same for the same place."""

    def draw(self, place: int) -> Batch:
        """Return one example's tensors, without the axis of batches."""
        ...


@dataclass(frozen=True, slots=True)
class Stacked:
    """Stack examples that are drawn one by one into batches."""

    examples: Examples

    def batch(self, places: Sequence[int]) -> Batch:
        """Return the examples at some places, stacked; all of them have the same tensors."""
        drawn = [self.examples.draw(place) for place in places]
        return {name: torch.stack([example[name] for example in drawn]) for name in drawn[0]}


class Learner(nn.Module, Generic[Network]):
    """Turn a batch into its losses by name, each weighted; holds the network and what only training needs.

    Whatever is a parameter of it is trained. Teachers belong into `Study.frozen`.
    """

    network: Network

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses, scalars that are added up."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Hold one training's parts.

    `references` measures baselines and teachers on the data that `evaluate` uses. `rate_of` scales the learning rate of
    a parameter by its name in the learner. Modules in `frozen` are moved to the device and never trained; learners
    reach them by a reference that is not a child.
    """

    learner: Learner[Any]
    stream: Stream
    evaluate: Evaluate
    data: tuple[SourceRecord, ...]
    references: Callable[[torch.device], Metrics] = field(default=lambda _: {})
    rate_of: Callable[[str], float] = field(default=lambda _: 1.0)
    frozen: tuple[nn.Module, ...] = ()


def frozen(module: nn.Module) -> nn.Module:
    """Return a teacher in evaluation mode whose weights take no gradients."""
    return module.eval().requires_grad_(False)
