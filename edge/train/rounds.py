"""The rounds of a training: one, or with an accuracy budget several, between which layers go up the ladder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edge.tasks import TASKS
from edge.train.data.album import Album, Answer, Inputs
from edge.train.ladder import MOST_CLIMBS, climb, round_end
from edge.train.loop import Distances, LossLines, train
from edge.train.recipe import LOSSES, LadderRecord
from edge.train.rounding import set_phase
from edge.train.state import Identity, State, write_state
from edge.train.ternary import rung_sizes

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Show how far a training is; both are called by the first process only."""

    begin: Callable[[int, int], Any]  # total steps, steps that are done
    step: Callable[[int, float], Any]  # steps that are done, the last loss


@dataclass(frozen=True, slots=True)
class Training:
    """Hold what a training's rounds share."""

    fabric: Fabric
    distances: Distances
    album: Album
    identity: Identity
    out: Path
    keep_every: int
    bar: Bar | None
    say: Callable[[str], None]

    def run(self, state: State) -> int:
        """Train, and as long as the budget is missed put layers up and go on; return how often they climbed."""
        allowed = self.identity.recipe.max_drop
        while True:
            state = self._round(state)
            if allowed is None or state.climbs == MOST_CLIMBS:
                return state.climbs
            metric, value, _ = self._score()
            if value >= 1.0 - allowed:
                return state.climbs
            raised = climb(self.distances)
            if not raised:
                return state.climbs
            self.say(f"ladder   {metric} {value:.4f} misses the budget: {raised} layers go up a rung")
            student = self.distances.pair.student
            state = replace(state, student=student.state_dict(), climbs=state.climbs + 1)
            if self.fabric.is_global_zero:
                write_state(self.out, self.identity, state)

    def ladder(self, climbs: int) -> LadderRecord:
        """Return the student's metric and rungs as they are now."""
        metric, value, count = self._score()
        allowed = self.identity.recipe.max_drop
        return LadderRecord(
            metric=metric,
            value=value,
            pictures=count,
            met=allowed is None or value >= 1.0 - allowed,
            climbs=climbs,
            weights=rung_sizes(self.distances.pair.student),
        )

    def _score(self) -> tuple[str, float, int]:
        """Return the task's metric of the student as it will be written, and the number of pictures."""
        pair = self.distances.pair
        set_phase(pair.student, "fixed")
        value, count = self.album.score(self._answer(pair.student), self._answer(pair.teacher))
        return TASKS[self.album.contract.task].metric, value, count

    def _answer(self, module: nn.Module) -> Answer:
        def run(inputs: Inputs) -> Sequence[Tensor]:
            with torch.no_grad():
                found: Sequence[Tensor] = module(*self.fabric.to_device(inputs))
            return found

        return run

    def _round(self, start: State) -> State:
        recipe, first = self.identity.recipe, self.fabric.is_global_zero
        end = round_end(recipe, start.climbs)
        lines = LossLines(self.out / LOSSES, recipe) if first else None
        bar = self.bar if first else None
        if bar is not None:
            bar.begin(end, start.step)

        def report(step: int, loss: float) -> None:
            if lines is not None:
                lines.write(step, loss)
            if bar is not None:
                bar.step(step, loss)

        def keep(state: State) -> None:
            if first:
                write_state(self.out, self.identity, state)

        try:
            return train(
                self.fabric, self.distances.pair, self.distances.loss, self.album, recipe, start=start, end=end,
                keep=keep, keep_every=self.keep_every, report=report,
            )  # fmt: skip
        finally:
            if lines is not None:
                lines.close()
