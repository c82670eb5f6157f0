"""The steps of a recipe's training: draw a batch, compare, follow the gradient, average; through Lightning Fabric."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from edge.errors import EdgeError
from edge.train.ahead import batches_ahead
from edge.train.averaging import AveragedWeights
from edge.train.logs import Curves
from edge.train.plan import Curve, Plan, planned_rate
from edge.train.rounds import Bar
from edge.train.snapshots import Snapshot
from edge.train.study import Batch, Learner, Metrics, Stream

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_LOG_EVERY = 10


@dataclass(frozen=True, slots=True)
class Trainee:
    """Hold what a step changes: the learner, as Fabric runs it, its optimizer and the averaged network."""

    learner: Learner[Any]
    model: Any
    optimizer: Any
    averaged: AveragedWeights

    def snapshot(self, step: int, curve: tuple[Curve, ...], seconds: float) -> Snapshot:
        """Return the state after `step` steps."""
        return Snapshot(
            step, self.learner.state_dict(), self.averaged.state_dict(), self.optimizer.state_dict(), curve, seconds
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a state."""
        self.learner.load_state_dict(dict(snapshot.learner))
        self.averaged.load_state_dict(snapshot.averaged)
        self.optimizer.load_state_dict(dict(snapshot.optimizer))


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """Say what is written down on the way, and how often; the first process alone does so."""

    evaluate: Callable[[], Metrics] | None
    keep: Callable[[Snapshot], None] | None
    keep_every: int
    curves: Curves | None
    bar: Bar | None
    say: Callable[[str], None]


def take_steps(
    fabric: Fabric, trainee: Trainee, stream: Stream, plan: Plan, start: Snapshot, journal: Journal, workers: int = 0
) -> Snapshot:
    """Train in place from `start` to the plan's last step and return the state; the curve has what was measured.

    Raises EdgeError if the loss is not finite any more.
    """
    began, curve = time.monotonic() - start.seconds, list(start.curve)
    mine = range(fabric.global_rank, plan.batch, fabric.world_size)
    places = [[step * plan.batch + i for i in mine] for step in range(start.step, plan.steps)]
    if journal.bar is not None:
        journal.bar.begin(plan.steps, start.step)
    with batches_ahead(stream, places, workers) as batches:
        for step, batch in enumerate(batches, start.step):
            done = step + 1
            losses = _step(fabric, trainee, fabric.to_device(dict(batch)), plan, step)
            _log(journal, plan, done, losses)
            last = done == plan.steps
            if last or done % plan.evaluate_every == 0:
                curve += _evaluate(trainee, journal, done)
            if journal.keep is not None and (last or done % journal.keep_every == 0):
                if journal.curves is not None:
                    journal.curves.flush()
                journal.keep(trainee.snapshot(done, tuple(curve), time.monotonic() - began))
            if last or done % plan.evaluate_every == 0:
                fabric.barrier()
    return trainee.snapshot(plan.steps, tuple(curve), time.monotonic() - began)


def step_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of all random numbers that a learner draws in a step."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0] >> 1)


def _step(fabric: Fabric, trainee: Trainee, batch: Batch, plan: Plan, step: int) -> dict[str, float]:
    """Take one step and return its losses by name and their sum, means over the processes."""
    torch.manual_seed(step_seed(plan.seed, step, fabric.global_rank))
    optimizer = trainee.optimizer
    for group in optimizer.param_groups:
        group["lr"] = planned_rate(plan, step) * group["scale"]
    losses: dict[str, Tensor] = trainee.model(batch)
    total = torch.stack([value.float() for value in losses.values()]).sum()
    fabric.backward(total)
    everywhere = fabric.all_reduce(torch.stack([total, *losses.values()]).detach().float(), reduce_op="mean")
    values = dict(zip(("loss", *losses), (float(value) for value in everywhere), strict=True))
    if not math.isfinite(values["loss"]):
        raise EdgeError(f"the loss of step {step + 1} is {values['loss']}; start anew with a smaller --lr")
    fabric.clip_gradients(trainee.model, optimizer, max_norm=plan.clip, error_if_nonfinite=False)
    optimizer.step()
    optimizer.zero_grad()
    trainee.averaged.update(trainee.learner.network, step)
    return values


def _log(journal: Journal, plan: Plan, done: int, losses: dict[str, float]) -> None:
    if journal.bar is not None:
        journal.bar.step(done, losses["loss"])
    if journal.curves is not None and (done % _LOG_EVERY == 0 or done == plan.steps or done == 1):
        named = {name if name == "loss" else f"loss/{name}": value for name, value in losses.items()}
        journal.curves.log(done, {**named, "lr": planned_rate(plan, done - 1)})


def _evaluate(trainee: Trainee, journal: Journal, done: int) -> list[Curve]:
    if journal.evaluate is None:
        return []
    trainee.averaged.network.eval()
    metrics = journal.evaluate()
    if journal.curves is not None:
        journal.curves.log(done, {f"held-out/{name}": value for name, value in metrics.items()})
    journal.say(f"step     {done}: " + ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
    return [Curve(step=done, metrics=metrics)]
