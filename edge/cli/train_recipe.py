"""`edge train RECIPE` and `edge train --list`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from edge.cli import print_json, progress
from edge.cli.training_bar import training_bar
from edge.errors import UnknownName, UsageError
from edge.train.recipes import RECIPES, Recipe
from edge.zoo import MODELS

if TYPE_CHECKING:
    from edge.train.plan import Plan, RecipeReport

_FOR_MODELS = ("max_drop", "epochs", "inputs", "contract_file", "random_weights")  # options that recipes do without


def list_recipes(as_json: bool) -> None:
    """Print the recipes."""
    from rich.console import Console
    from rich.table import Table

    rows = [_row(entry) for entry in RECIPES.values()]
    if as_json:
        print_json(rows)
        return
    table = Table("recipe", "model", "steps", "batch", "data", "losses", "what it is", header_style="bold")
    for row in rows:
        data = "\n".join(f"{source['name']} ({source['licence']})" for source in row["sources"])
        table.add_row(row["name"], row["model"], str(row["plan"]["steps"]), str(row["plan"]["batch"]), data,
                      "\n".join(row["losses"]), row["summary"])  # fmt: skip
    console = Console()
    (console if console.is_terminal else Console(width=180)).print(table)


def _row(entry: Recipe) -> dict[str, Any]:
    return {
        "name": entry.name,
        "model": entry.model,
        "summary": entry.summary,
        "sources": [{"name": s.name, "licence": s.licence, "share": s.share} for s in entry.sources],
        "losses": list(entry.losses),
        "metric": entry.metric,
        "plan": msgspec.to_builtins(entry.plan),
    }


def train_recipe(
    name: str,
    *,
    smoke: bool,
    steps: int | None,
    batch: int | None,
    lr: float | None,
    seed: int,
    accelerator: str,
    devices: str,
    precision_training: str,
    workers: int | None,
    out: Path,
    resume: bool,
    as_json: bool,
    data: Path | None,
    checkpoint: Path | None,
    **others: Any,
) -> None:
    """Train the recipe `name`; raises UsageError and its kinds."""
    if name not in RECIPES:
        if name in MODELS or ".py:" in name:
            raise UsageError(f"say what to train {name} for: --qat for 8 bits, or --ternary; or name a recipe: "
                             f"{', '.join(RECIPES)}")  # fmt: skip
        raise UnknownName("recipe", name, RECIPES, "edge train --list")
    recipe = RECIPES[name]
    for option in _FOR_MODELS:
        if others.get(option):
            word = {"inputs": "input", "contract_file": "contract"}.get(option, option).replace("_", "-")
            raise UsageError(f"--{word} is not for recipes; leave it out, or give --qat or --ternary with a model")
    from edge.train.fit import Request, fit
    from edge.train.machine import Machine
    from edge.train.recipe import CHECKPOINT

    request = Request(
        recipe=recipe, out=out, plan=_plan(recipe, smoke, steps=steps, batch=batch, lr=lr, seed=seed), data=data,
        checkpoint=checkpoint, smoke=smoke, resume=resume,
    )  # fmt: skip
    machine = Machine(accelerator=accelerator, devices=devices, precision=precision_training, workers=workers or 0)
    with training_bar() as bar:
        report = fit(request, machine=machine, progress=progress, bar=bar)
    if report is None:
        return
    if as_json:
        print_json(report)
        return
    _describe(report)
    click.echo(str(out / CHECKPOINT))


def _plan(recipe: Recipe, smoke: bool, **given: Any) -> Plan:
    """Return the recipe's plan with what the command line changes."""
    plan = recipe.smoke_plan() if smoke else recipe.plan
    return msgspec.structs.replace(plan, **{key: value for key, value in given.items() if value is not None})


def _describe(report: RecipeReport) -> None:
    for name, value in report.references.items():
        progress(f"compare  {name} {value:.4f}")
    for name, value in report.metrics.items():
        progress(f"reached  {name} {value:.4f}")
    if report.smoke:
        progress("warning  a smoke run: the weights are good for nothing")
