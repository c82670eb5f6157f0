"""`edge train` from end to end: model and pictures → fine-tuned weights under the model's own keys, and a record."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from convert.export import export
from convert.keys import ModelRequest
from convert.prepare import load_any
from convert.program import Model, Program, weights_digest
from convert.tails import cut_tails
from edge.artifact import encode_json, file_digest, write_atomic
from edge.contract import image_contract, takes_image
from edge.errors import ContractError, UsageError
from edge.train.data.album import Album, choose_pictures, open_album
from edge.train.features import with_features
from edge.train.loop import Distances
from edge.train.losses import distillation
from edge.train.machine import Machine, check_batch, device_name, start_fabric, training_folder
from edge.train.qat import Pair, copy_weights, make_pair, quantizer_for
from edge.train.recipe import CHECKPOINT, RECORD, LossRecord, TrainingRecipe, TrainReport
from edge.train.rounding import activations
from edge.train.rounds import Bar, Training
from edge.train.state import Identity, State, cut_losses, read_state, write_checkpoint, write_state
from edge.train.ternary import rung_sizes
from edge.versions import installed_version
from quant.precision import PRECISIONS

if TYPE_CHECKING:
    from lightning_fabric import Fabric

RANGE_INPUTS = 24  # as many as deploying measures ranges on
KEEP_EVERY = 25
Progress = Callable[[str], None]


def train_model(
    request: ModelRequest,
    recipe: TrainingRecipe,
    out: Path,
    *,
    data: Path | None = None,
    resume: bool = False,
    machine: Machine | None = None,
    keep_every: int = KEEP_EVERY,
    progress: Progress = print,
    bar: Bar | None = None,
) -> TrainReport | None:
    """Train a model with simulated rounding to answer as it does in float, and write its weights into `out`.

    `out` gets checkpoint.safetensors, train.json, losses.jsonl and, while it trains, the state to resume from. Returns
    the record, or None in processes other than the first. Raises EdgeError.
    """
    fabric = start_fabric(machine or Machine())
    check_batch(recipe.batch, fabric)
    with training_folder(out, resume, first=fabric.is_global_zero):
        return _train(fabric, request, recipe, out, data, resume, keep_every, progress, bar)


def _train(
    fabric: Fabric,
    request: ModelRequest,
    recipe: TrainingRecipe,
    out: Path,
    data: Path | None,
    resume: bool,
    keep_every: int,
    progress: Progress,
    bar: Bar | None,
) -> TrainReport | None:
    began = time.monotonic()
    model, program = _program(request)
    pictures = choose_pictures(data)
    say = progress if fabric.is_global_zero else _silent
    say(f"pictures {pictures.name}: {len(pictures.training)} to train on, {len(pictures.validation)} to measure on")
    if pictures.validation_seen:
        say("warning  too few pictures to hold any back: the losses are measured on those that are trained on")
    album = open_album(model.name, image_contract(program.contract), pictures, recipe.seed)
    identity = Identity(
        model=model.name,
        weights=weights_digest(model.module),
        data=pictures.record().sha256,
        recipe=recipe,
        torch=str(torch.__version__),
    )
    pair, features = _pair(program, recipe)
    pair.teacher.to(fabric.device)
    pair.student.to(fabric.device)
    distances = _distances(fabric, pair, features, program, album)
    start = _start(out, identity, pair, distances, resume=resume)
    if fabric.is_global_zero:
        if not start.step:
            write_state(out, identity, start)  # first of all: a folder without a state holds nothing else
        cut_losses(out, start.step)
    say(f"train    {model.name}: step {start.step} of {recipe.steps}, simulated {recipe.precision} loss "
        f"{_mean(start.before):.5f}")  # fmt: skip
    training = Training(fabric, distances, album, identity, out, keep_every, bar, say)
    climbs = training.run(start)
    if not fabric.is_global_zero:
        return None
    learnt, unrounded, after = distances.now(), distances.unrounded(), distances.rounded()
    trained = copy_weights(pair.student, model.module)
    write_checkpoint(model.module, out)
    report = TrainReport(
        model=model.name,
        source=model.source,
        checkpoint_sha256=file_digest(out / CHECKPOINT),
        recipe=recipe,
        data=pictures.record(),
        trained=trained,
        rounded=len(activations(pair.student)),
        ternary=rung_sizes(pair.student).get("ternary", 0),
        ladder=training.ladder(climbs) if recipe.precision == "ternary" else None,
        loss=LossRecord(
            before=_mean(start.before),
            after=_mean(after),
            learnt_ranges=_mean(learnt),
            unrounded=_mean(unrounded),
            before_outputs=dict(start.before),
            after_outputs=after,
        ),
        device=device_name(fabric.device),
        processes=fabric.world_size,
        threads=torch.get_num_threads(),
        seconds=round(time.monotonic() - began, 1),
        versions={name: installed_version(name) for name in ("torch", "torchao", "lightning-fabric")},
    )
    write_atomic(out / RECORD, encode_json(report))
    return report


def _silent(_: str) -> None:
    """Stand for progress in processes other than the first."""


def _program(request: ModelRequest) -> tuple[Model, Program]:
    if request.model.endswith(".pt2"):
        raise UsageError(
            f"{request.model} holds its weights, so no checkpoint can be deployed with it; name the model as "
            "path/to/model.py:function"
        )
    model = load_any(request.model, request.checkpoint, request.contract, random_weights=request.random_weights)
    if not takes_image(model.contract):
        raise UsageError(f"{model.name} does not take one colour picture, which training needs")
    program, _ = cut_tails(export(model), [])
    return model, program


def _pair(program: Program, recipe: TrainingRecipe) -> tuple[Pair, tuple[str, ...]]:
    """Return teacher and student, and the names of the inner results that they return after their outputs."""
    pair = make_pair(program, quantizer_for(PRECISIONS[recipe.precision]))
    return with_features(pair) if recipe.precision == "ternary" else (pair, ())


def _distances(fabric: Fabric, pair: Pair, features: Sequence[str], program: Program, album: Album) -> Distances:
    ranges = [fabric.to_device(inputs) for inputs in album.to_measure_ranges(RANGE_INPUTS)]
    validation = [fabric.to_device(inputs) for inputs in album.to_validate()]
    with torch.no_grad():
        answers = [pair.teacher(*inputs) for inputs in ranges]
    for spec, outputs in zip(program.contract.outputs, zip(*answers, strict=True), strict=False):
        if not all(bool(torch.isfinite(value).all()) for value in outputs):
            raise ContractError(
                f"{program.name}'s output {spec.name} holds NaN or infinity on the training pictures; nothing can be "
                "learnt from it: check the weights and the preprocessing"
            )
    return Distances(pair, distillation(program.contract, answers, features), ranges, validation)


def _start(out: Path, identity: Identity, pair: Pair, distances: Distances, *, resume: bool) -> State:
    """Return the state to start from: the folder's, or that of the model's own weights with ranges measured."""
    if resume:
        state = read_state(out, identity)
        pair.student.load_state_dict(dict(state.student))
        return state
    before = distances.rounded()
    return State(0, pair.student.state_dict(), {}, before)


def _mean(parts: dict[str, float] | Any) -> float:
    return sum(parts.values()) / len(parts)
