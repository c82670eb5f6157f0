"""The steps of a training: draw, ask the teacher, compare, follow the gradient; through Lightning Fabric."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edge.errors import EdgeError
from edge.train.data.album import Inputs, Source
from edge.train.losses import Distillation, mean_parts
from edge.train.qat import Pair, measure_ranges
from edge.train.recipe import TrainingRecipe
from edge.train.rounding import set_phase
from edge.train.state import State
from edge.train.ternary import set_share

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_LEAST_SCALE = 1e-3  # of a tensor's numbers: a bias of zeros must be able to move

Keep = Callable[[State], None]
Report = Callable[[int, float], None]  # after a step: how many there were, and its loss


@dataclass(frozen=True, slots=True)
class Distances:
    """Measure how far a student is from its teacher, per output."""

    pair: Pair
    loss: Distillation
    ranges: Sequence[Inputs]
    validation: Sequence[Inputs]

    def rounded(self) -> dict[str, float]:
        """Return the distances with ranges measured anew, as deploying does."""
        measure_ranges(self.pair.student, self.ranges)
        return self.now()

    def unrounded(self) -> dict[str, float]:
        """Return the distances of the student's weights in float."""
        set_phase(self.pair.student, "float")
        found = self._measure()
        set_phase(self.pair.student, "fixed")
        return found

    def now(self) -> dict[str, float]:
        """Return the distances with the ranges as they are."""
        set_phase(self.pair.student, "fixed")
        return self._measure()

    def _measure(self) -> dict[str, float]:
        with torch.no_grad():
            return mean_parts(
                [self.loss.parts(self.pair.student(*each), self.pair.teacher(*each)) for each in self.validation]
            )


def learning_rate(recipe: TrainingRecipe, step: int) -> float:
    """Return the rate of a step, counted from 0: a linear rise, then half a cosine to a hundredth of the largest.

    Rounds of half as many steps that follow begin with half the rate.
    """
    steps, largest = recipe.steps, recipe.lr
    if step >= steps:
        steps, largest = recipe.later_steps, recipe.lr / 2
        step = (step - recipe.steps) % steps
    rise = max(1, round(recipe.warmup * steps))
    if step < rise:
        return largest * (step + 1) / rise
    done = (step - rise) / max(1, steps - rise)
    return largest * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * done)))


def rounding_share(recipe: TrainingRecipe, step: int) -> float:
    """Return how far ternary rounding has set in at a step, counted from 0: linearly over the recipe's `onset`."""
    rise = recipe.onset * recipe.steps
    return min(1.0, (step + 1) / rise) if rise else 1.0


def train(
    fabric: Fabric,
    pair: Pair,
    loss: Distillation,
    source: Source,
    recipe: TrainingRecipe,
    *,
    start: State,
    end: int,
    keep: Keep,
    keep_every: int,
    report: Report,
) -> State:
    """Train the student in place from `start` to step `end` and return the state; `keep` is given it now and then.

    A step takes `recipe.batch` inputs one after another, shared out among the processes: programs have a fixed batch
    of one. Raises EdgeError if the loss is not finite any more.
    """
    student = pair.student
    model, optimizer = fabric.setup(student, torch.optim.Adam(_groups(student), lr=recipe.lr))
    if start.step:
        optimizer.load_state_dict(dict(start.optimizer))
    set_phase(student, "follow")
    mine = range(fabric.global_rank, recipe.batch, fabric.world_size)
    places = ((step, [step * recipe.batch + i for i in mine]) for step in range(start.step, end))
    with _ahead(source, places) as batches:
        for step, batch in batches:
            set_share(student, rounding_share(recipe, step))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, step) * group["scale"]
            value = _gradients(fabric, model, pair.teacher, loss, batch, fabric.world_size / recipe.batch)
            total = float(fabric.all_reduce(value, reduce_op="mean"))
            if not math.isfinite(total):
                raise EdgeError(f"the loss of step {step + 1} is {total}; start anew with a smaller --lr")
            fabric.clip_gradients(model, optimizer, max_norm=recipe.clip, error_if_nonfinite=False)
            optimizer.step()
            optimizer.zero_grad()
            report(step + 1, total)
            if (step + 1) % keep_every == 0 or step + 1 == end:
                keep(_state(step + 1, student, optimizer, start))
    set_phase(student, "fixed")
    return _state(max(start.step, end), student, optimizer, start)


def _state(step: int, student: nn.Module, optimizer: Any, start: State) -> State:
    return State(step, student.state_dict(), optimizer.state_dict(), start.before, start.climbs)


def _groups(student: nn.Module) -> list[dict[str, Any]]:
    """Return every weight with its root mean square at the start, which its steps are relative to.

    Adam moves every number by about its rate; imported networks hold tensors whose numbers differ a thousandfold.
    """
    weights = [weight for weight in student.parameters() if weight.requires_grad]
    scales = [float(weight.detach().square().mean().sqrt()) for weight in weights]
    return [{"params": [w], "scale": max(s, _LEAST_SCALE)} for w, s in zip(weights, scales, strict=True)]


def _gradients(
    fabric: Fabric, model: Any, teacher: nn.Module, loss: Distillation, batch: Sequence[Inputs], share: float
) -> Tensor:
    """Add up the gradients of some inputs, each counted by `share`, and return their loss."""
    total = torch.zeros((), device=fabric.device)
    for number, tensors in enumerate(batch):
        inputs = fabric.to_device(tensors)
        last = number + 1 == len(batch)
        with nullcontext() if last else fabric.no_backward_sync(model):
            with torch.no_grad():
                answers = teacher(*inputs)
            value = loss(model(*inputs), answers) * share
            fabric.backward(value)
        total += value.detach()
    return total


@contextmanager
def _ahead(source: Source, places: Iterator[tuple[int, list[int]]]) -> Iterator[Iterator[tuple[int, list[Inputs]]]]:
    """Prepare each step's inputs in a thread while the step before is computed."""

    def prepare(chosen: list[int]) -> list[Inputs]:
        return [source.draw(place) for place in chosen]

    def batches() -> Iterator[tuple[int, list[Inputs]]]:
        waiting: tuple[int, Future[list[Inputs]]] | None = None
        for step, chosen in places:
            coming = (step, pool.submit(prepare, chosen))
            if waiting is not None:
                yield waiting[0], waiting[1].result()
            waiting = coming
        if waiting is not None:
            yield waiting[0], waiting[1].result()

    pool = ThreadPoolExecutor(max_workers=1)
    try:
        yield batches()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class LossLines:
    """Append one line of JSON a step to a file."""

    def __init__(self, path: Path, recipe: TrainingRecipe) -> None:
        self._stream = path.open("a", buffering=1)
        self._recipe, self._start = recipe, time.monotonic()

    def write(self, step: int, loss: float) -> None:
        """Write a step, its loss, its learning rate and the seconds since this run began."""
        rate, seconds = learning_rate(self._recipe, step - 1), round(time.monotonic() - self._start, 2)
        self._stream.write(json.dumps({"step": step, "loss": loss, "lr": rate, "seconds": seconds}) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
