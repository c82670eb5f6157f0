"""`edge train`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from edge.cli import json_option, print_json, progress
from edge.cli.options import model_options, model_request
from edge.cli.training_bar import training_bar
from edge.errors import UsageError

if TYPE_CHECKING:
    from edge.train.recipe import TrainReport

# As edge.train.machine has them, which imports torch.
TRAINING_PRECISIONS = ("32-true", "bf16-mixed")
_BATCH = 4


@click.command("train")
@click.argument("model", metavar="MODEL|RECIPE", required=False)
@model_options
@click.option("--qat", is_flag=True, help="Train for 8 bits: with simulated rounding, after the float model's answers.")
@click.option("--ternary", is_flag=True, help="Train for weights in {-1, 0, +1}, a scale per output channel.")
@click.option(
    "--max-drop",
    help="With --ternary: layers that cost more of the task's metric go to 4 and then 8 bits, as 5%.",
)
@click.option("--steps", type=click.IntRange(1), help="Optimizer steps.  [default: 400, or the recipe's]")
@click.option("--epochs", type=click.IntRange(1), help="Times through the pictures, instead of --steps.")
@click.option("--batch", type=click.IntRange(1), help="Examples a step.  [default: 4, or the recipe's]")
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    help="Largest learning rate; with --qat and --ternary relative to the weights.  [default: 2e-5, 2e-3, recipe's]",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Chooses and alters the data.")
@click.option("--accelerator", default="auto", show_default=True, help="cpu, cuda, mps or auto.")
@click.option("--devices", default="1", show_default=True, help="How many of them, or auto for all.")
@click.option(
    "--precision-training",
    "precision_training",
    type=click.Choice(TRAINING_PRECISIONS),
    default=TRAINING_PRECISIONS[0],
    show_default=True,
    help="Of a recipe's arithmetic.",
)
@click.option("--workers", type=click.IntRange(0), help="Processes that prepare a recipe's data.  [default: a thread]")
@click.option("--smoke", is_flag=True, help="A recipe's every part in a few steps, to see that it works.")
@click.option("--out", type=click.Path(path_type=Path), help="A new folder for the trained weights.")
@click.option("--list", "list_them", is_flag=True, help="List the recipes.")
@click.option("--resume", is_flag=True, help="Go on with the training in the output folder.")
@json_option
def train_command(
    model: str | None, qat: bool, ternary: bool, list_them: bool, smoke: bool, as_json: bool, **options: Any
) -> None:
    """Train the model of RECIPE, or fine-tune MODEL's weights until few bits cost less.

    `edge train RECIPE --out DIR` trains a network from the recipe's data; `edge train --list` shows the recipes.

    With --qat or --ternary, MODEL is a name that `edge models` lists or path/to/file.py:function. That needs no labels:
    the model learns to answer with rounded weights (with --qat activations too) as it does in float, on altered
    pictures of the folder --data or on the kit's photographs.

    Both write a checkpoint that `edge deploy` takes.
    """
    from edge.cli.train_recipe import list_recipes, train_recipe

    if list_them:
        list_recipes(as_json)
        return
    if model is None:
        raise UsageError("name a recipe (`edge train --list`), or a model with --qat or --ternary")
    if options["out"] is None:
        raise UsageError("say where the trained weights go: --out DIR, a new folder")
    _quieten()
    if qat or ternary:
        if smoke or options["precision_training"] != TRAINING_PRECISIONS[0]:
            raise UsageError(
                "--smoke and --precision-training are for recipes; leave them out with --qat and --ternary"
            )
        _train_rounded(model, qat, ternary, as_json=as_json, **options)
    else:
        train_recipe(model, smoke=smoke, as_json=as_json, **options)


def _train_rounded(
    model: str,
    qat: bool,
    ternary: bool,
    *,
    max_drop: str | None,
    steps: int | None,
    epochs: int | None,
    batch: int | None,
    lr: float | None,
    seed: int,
    accelerator: str,
    devices: str,
    out: Path,
    resume: bool,
    as_json: bool,
    data: Path | None,
    precision_training: str,
    workers: int | None,
    **options: Any,
) -> None:
    if qat == ternary:
        raise UsageError("say what to train for: --qat for 8 bits, or --ternary")
    if max_drop is not None and not ternary:
        raise UsageError("--max-drop moves layers away from ternary weights; give it with --ternary")
    if steps and epochs:
        raise UsageError("--steps and --epochs say the same thing twice; give one of them")
    request = model_request(model, data=None, **options)
    from edge.train.data.album import choose_pictures
    from edge.train.machine import Machine
    from edge.train.recipe import CHECKPOINT, LEARNING_RATE, TrainingRecipe
    from edge.train.run import train_model
    from quant.budget import parse_share

    batch = batch or _BATCH
    if epochs:
        steps = -(-epochs * len(choose_pictures(data).training) // batch)
    precision = "ternary" if ternary else "int8"
    allowed = parse_share(max_drop) if max_drop is not None else None
    recipe = TrainingRecipe(
        precision=precision, batch=batch, lr=lr or LEARNING_RATE[precision], seed=seed, max_drop=allowed
    )
    if steps:
        recipe = msgspec.structs.replace(recipe, steps=steps)
    with training_bar() as bar:
        report = train_model(
            request, recipe, out, data=data, resume=resume,
            machine=Machine(accelerator=accelerator, devices=devices), progress=progress, bar=bar,
        )  # fmt: skip
    if report is None:
        return
    if as_json:
        print_json(report)
    else:
        _describe(report)
        click.echo(str(out / CHECKPOINT))


def _quieten() -> None:
    """Keep what torch and torchao log about parts of theirs that are not used off standard error."""
    for name in ("torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _describe(report: TrainReport) -> None:
    loss = report.loss
    progress(f"loss     simulated {report.recipe.precision}: {loss.before:.5f} before, {loss.after:.5f} after")
    if loss.after >= loss.before:
        progress("warning  the loss did not fall: rounded, the trained weights are no better than the given ones")
    if (ladder := report.ladder) is not None:
        weights = ", ".join(f"{count:,} {name}" for name, count in ladder.weights.items())
        progress(f"weights  {weights}; {report.trained - sum(ladder.weights.values()):,} numbers stay in float")
        progress(f"answers  {ladder.metric} {ladder.value:.4f} against the float model on {ladder.pictures} pictures")
        if not ladder.met:
            progress(f"warning  that misses --max-drop {100 * (report.recipe.max_drop or 0):g}%; more --steps may help")
