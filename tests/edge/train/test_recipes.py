"""The recipes: what each says of itself, a smoke run of each, and that its checkpoint deploys and trains on."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from training_models import write_pictures

from convert.keys import ModelRequest
from convert.load import load
from edge.cli import cli
from edge.cli.train import TRAINING_PRECISIONS
from edge.errors import UnknownName, UsageError
from edge.train.fit import Request, fit
from edge.train.machine import PRECISIONS, Machine
from edge.train.recipe import CHECKPOINT, RECORD, TrainingRecipe
from edge.train.recipes import RECIPES, SMOKE_BATCH, SMOKE_STEPS
from edge.train.recipes._people import SHARES
from edge.train.run import train_model
from edge.zoo import MODELS

CPU = Machine(accelerator="cpu")
NAMES = list(RECIPES)


def smoke(name, out, **options):
    recipe = RECIPES[name]
    request = Request(recipe=recipe, out=out, plan=recipe.smoke_plan(), smoke=True, **options)
    return fit(request, machine=CPU, progress=lambda _: None)


def run(*words):
    result = CliRunner().invoke(cli, [str(word) for word in words])
    return result


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_is(name):
    recipe = RECIPES[name]
    assert recipe.name == name
    assert recipe.model in MODELS
    assert sum(source.share for source in recipe.sources) == pytest.approx(1.0)
    assert all(source.licence for source in recipe.sources)
    assert recipe.losses
    assert not recipe.summary[0].islower()
    assert recipe.summary[-1] != "."
    assert 0 < recipe.plan.warmup < 1
    assert recipe.plan.evaluate_every <= recipe.plan.steps
    assert (recipe.smoke_plan().steps, recipe.smoke_plan().batch) == (SMOKE_STEPS, SMOKE_BATCH)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_smoke_run_writes_a_checkpoint_that_the_model_takes(tmp_path, name):
    report = smoke(name, tmp_path / "out")
    assert report.smoke
    assert RECIPES[name].metric in report.metrics
    assert report.references
    assert all(np.isfinite(value) for value in (*report.metrics.values(), *report.references.values()))
    assert sum(record.held_out for record in report.data) > 0
    model = load(RECIPES[name].model, tmp_path / "out" / CHECKPOINT)
    assert model.source.sha256 == report.checkpoint_sha256
    assert all(bool(torch.isfinite(value).all()) for value in model.module.state_dict().values())


@pytest.mark.slow
def test_smoke_runs_of_equal_seeds_write_equal_weights(tmp_path):
    """With everything that is random in them: people, cuts, dropped teachers, masks."""
    for name in ("multi-teacher", "pr-vipe-small"):
        found = {smoke(name, tmp_path / f"{name}-{turn}").checkpoint_sha256 for turn in range(2)}
        assert len(found) == 1


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int8", pytest.param("ternary", marks=pytest.mark.full)])
def test_a_trained_model_goes_on_for_few_bits(tmp_path, precision):
    smoke("person-segmentation", tmp_path / "float")
    data = write_pictures(tmp_path / "pictures")
    request = ModelRequest(model="person-segmentation", checkpoint=tmp_path / "float" / CHECKPOINT)
    recipe = TrainingRecipe(precision=precision, steps=1, batch=1)
    report = train_model(request, recipe, tmp_path / "few", data=data, machine=CPU, progress=lambda _: None)
    assert report.source.sha256 == json.loads((tmp_path / "float" / RECORD).read_text())["checkpoint_sha256"]
    assert load("person-segmentation", tmp_path / "few" / CHECKPOINT).source.origin == CHECKPOINT


@pytest.mark.slow
def test_a_recipe_starts_from_a_checkpoint(tmp_path):
    """As a segmenter does from the features that several teachers left."""
    first = smoke("multi-teacher", tmp_path / "first")
    second = smoke("person-segmentation", tmp_path / "second", checkpoint=tmp_path / "first" / CHECKPOINT)
    assert second.initial.sha256 == first.checkpoint_sha256
    both = smoke("titok-tiny", tmp_path / "tokens")
    assert smoke("titok-tiny", tmp_path / "more", checkpoint=tmp_path / "tokens" / CHECKPOINT).initial.sha256 == (
        both.checkpoint_sha256
    )
    assert load("titok-tiny-decoder", tmp_path / "tokens" / CHECKPOINT)


@pytest.mark.slow
def test_a_recipe_trains_on_a_folder(tmp_path, photos):
    """The first picture shows a person; every fifth is held back, so that all are seen of fewer."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / photos[0].name).write_bytes(photos[0].read_bytes())
    report = smoke("person-segmentation", tmp_path / "out", data=folder)
    named = {record.name: record for record in report.data}
    assert named["mine, labelled by blazepose-lite"].licence == "the user's"


def test_the_commands_words(tmp_path):
    assert TRAINING_PRECISIONS == PRECISIONS
    listed = run("train", "--list", "--json")
    assert [row["name"] for row in json.loads(listed.output)] == NAMES
    assert "pr-vipe" in run("train", "--list").output
    out = tmp_path / "out"
    for words, kind, message in (
        (["train"], UsageError, "name a recipe"),
        (["train", "pr-vipe"], UsageError, "--out DIR"),
        (["train", "pr-vip", "--out", out], UnknownName, "pr-vipe"),
        (
            ["train", "selfie-segmentation", "--out", out],
            UsageError,
            "--qat for 8 bits, or --ternary; or name a recipe",
        ),
        (["train", "pr-vipe", "--epochs", 2, "--out", out], UsageError, "--epochs is not for recipes"),
        (["train", "pr-vipe", "--input", "x=1x3x8x8", "--out", out], UsageError, "--input is not for recipes"),
        (["train", "pr-vipe", "--data", tmp_path, "--out", out], UsageError, "makes its data itself"),
        (["train", "selfie-segmentation", "--qat", "--smoke", "--out", out], UsageError, "are for recipes"),
    ):
        failed = run(*words)
        assert isinstance(failed.exception, kind), (words, failed.output, failed.exception)
        assert message in str(failed.exception)
    assert not out.exists()


@pytest.mark.slow
def test_the_command_trains_a_recipe(tmp_path):
    out = tmp_path / "out"
    done = run("train", "pr-vipe-small", "--smoke", "--accelerator", "cpu", "--seed", 3, "--lr", 0.002, "--out", out)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip().splitlines()[-1] == str(out / CHECKPOINT)
    plan = json.loads((out / RECORD).read_text())["plan"]
    assert (plan["seed"], plan["lr"], plan["steps"]) == (3, 0.002, SMOKE_STEPS)
    again = run("train", "pr-vipe-small", "--smoke", "--accelerator", "cpu", "--seed", 4, "--resume", "--out", out)
    assert "with lr 0.002, not 0.001; with seed 3, not 4" in str(again.exception)


def test_shares_make_whole_rounds():
    assert sum(SHARES) == 8
    assert min(SHARES) >= 1
