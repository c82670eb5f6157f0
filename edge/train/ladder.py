"""The ladder of a ternary training: ternary → 4 bits → 8 bits, a layer at a time, until the budget is met.

After each round the student answers the validation pictures. If that is further from the teacher than the budget
allows, every layer is put one rung up by itself and the distance measured; the quarter that gains most stays up, and
another round follows.
"""

from __future__ import annotations

import math

from edge.train.loop import Distances
from edge.train.recipe import TrainingRecipe
from edge.train.rounding import set_phase
from edge.train.ternary import RUNGS, TernaryRounding, roundings

MOST_CLIMBS = 6
_SHARE = 0.25  # of the layers that can climb, at a time
_TOP = max(RUNGS)


def round_end(recipe: TrainingRecipe, climbs: int) -> int:
    """Return the step at which the round after so many climbs ends: later rounds are half as long as the first."""
    return recipe.steps + climbs * recipe.later_steps


def climb(distances: Distances) -> int:
    """Put the layers up a rung that gain most by it, and return how many: 0 if all are at the top."""
    candidates = [part for part in roundings(distances.pair.student) if part.rung < _TOP]
    if not candidates:
        return 0
    before = _distance(distances)
    gains = [before - _if_raised(distances, part) for part in candidates]
    count = max(1, math.ceil(_SHARE * len(candidates)))
    chosen = sorted(range(len(candidates)), key=lambda i: gains[i], reverse=True)[:count]
    for index in chosen:
        _raise(candidates[index])
    return count


def _if_raised(distances: Distances, part: TernaryRounding) -> float:
    rung = part.rung
    _raise(part)
    try:
        return _distance(distances)
    finally:
        part.most.fill_(rung)


def _raise(part: TernaryRounding) -> None:
    part.most.fill_(min(rung for rung in RUNGS if rung > part.rung))


def _distance(distances: Distances) -> float:
    found = distances.now().values()
    set_phase(distances.pair.student, "follow")
    return sum(found) / len(found)
