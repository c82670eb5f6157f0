"""The recipes that `edge train` knows by name: one file each, with one `@recipe` definition.

A definition says what is trained, on what and for how long, and is read without importing torch. What computes is made
by its `prepare` when a training starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge.registry import Registry
from edge.train.plan import Plan

if TYPE_CHECKING:
    from edge.train.study import Study

SMOKE_STEPS = 3
SMOKE_BATCH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """Name a source of data, what it may be used for, and its share of every batch."""

    name: str
    licence: str
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Say what one run of a recipe was given.

    `smoke` asks for the least that goes through every part: tiny data, no downloads, a few steps.
    """

    plan: Plan
    data: Path | None = None  # a folder of pictures to use beside, or in place of, the kit's own
    smoke: bool = False
    say: Callable[[str], None] = print


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Describe a training from its data to the checkpoint of a zoo model.

    `losses` says in words what is minimised, `metric` names the number of the evaluation that matters most; a larger
    one is better.
    """

    name: str
    summary: str
    model: str  # of the zoo; the checkpoint has its keys
    sources: tuple[DataSource, ...]
    losses: tuple[str, ...]
    metric: str
    plan: Plan
    prepare: Callable[[Setting], Study]
    takes_data: bool = False  # whether --data DIR means something

    def smoke_plan(self) -> Plan:
        """Return the plan of a smoke run."""
        return msgspec.structs.replace(self.plan, steps=SMOKE_STEPS, batch=SMOKE_BATCH, evaluate_every=SMOKE_STEPS)


RECIPES: Registry[Recipe] = Registry("recipe", "edge.train.recipes", command="edge train --list")


def recipe(define: Callable[[], Recipe]) -> Callable[[], Recipe]:
    """Register the recipe that `define` describes under its name."""
    entry = define()
    RECIPES.add(entry.name, entry)
    return define
