"""A recipe from end to end: data and a network → trained weights under the zoo model's own keys, and a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from torch import nn

from convert.checkpoint import load_strict, open_checkpoint, used_tensors
from convert.program import weights_digest
from edge.artifact import Source, encode_json, file_digest, write_atomic
from edge.errors import UsageError
from edge.store import content_key
from edge.train.averaging import AveragedWeights
from edge.train.logs import Curves
from edge.train.machine import Machine, check_batch, device_name, start_fabric, training_folder
from edge.train.plan import Plan, RecipeReport
from edge.train.recipe import CHECKPOINT, RECORD
from edge.train.recipes import Recipe, Setting
from edge.train.rounds import Bar
from edge.train.snapshots import Identity, Snapshot, read_snapshot, write_snapshot
from edge.train.state import write_checkpoint
from edge.train.steps import Journal, Trainee, take_steps
from edge.train.study import Learner, Study
from edge.versions import installed_version
from edge.zoo import MODELS

if TYPE_CHECKING:
    from lightning_fabric import Fabric

KEEP_EVERY = 50
Progress = Callable[[str], None]
_VERSIONS = ("torch", "lightning-fabric", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Say what a training of a recipe was asked for."""

    recipe: Recipe
    out: Path
    plan: Plan
    data: Path | None = None
    checkpoint: Path | None = None  # weights to start from
    smoke: bool = False
    resume: bool = False
    keep_every: int = KEEP_EVERY


def fit(
    request: Request, *, machine: Machine | None = None, progress: Progress = print, bar: Bar | None = None
) -> RecipeReport | None:
    """Train a recipe's model and write its weights into `request.out`.

    The folder gets checkpoint.safetensors, train.json, logs/ and, while it trains, the state to resume from. Returns
    the record, or None in processes other than the first. Raises EdgeError.
    """
    if request.data is not None and not request.recipe.takes_data:
        raise UsageError(f"the recipe {request.recipe.name} makes its data itself; leave --data {request.data} out")
    machine = machine or Machine()
    fabric = start_fabric(machine)
    check_batch(request.plan.batch, fabric)
    with training_folder(request.out, request.resume, first=fabric.is_global_zero):
        return _fit(fabric, request, machine, progress if fabric.is_global_zero else _silent, bar)


def _silent(_: str) -> None:
    """Stand for progress in processes other than the first."""


def _fit(fabric: Fabric, request: Request, machine: Machine, say: Progress, bar: Bar | None) -> RecipeReport | None:
    recipe, plan = request.recipe, request.plan
    torch.manual_seed(plan.seed)
    study = recipe.prepare(Setting(plan=plan, data=request.data, smoke=request.smoke, say=say))
    initial = _initial(study.learner, request)
    identity = _identity(request, study, machine.precision, fabric.world_size)
    for module in study.frozen:
        module.to(fabric.device)
    trainee = _trainee(fabric, study, plan)
    start = _start(trainee, identity, request)
    first = fabric.is_global_zero
    if first and not start.step:
        write_snapshot(request.out, identity, start)
    say(f"train    {recipe.name}: step {start.step} of {plan.steps}, {plan.batch} examples each")
    curves = Curves(request.out, start.step) if first else None
    journal = Journal(
        evaluate=(lambda: study.evaluate(trainee.averaged.network, fabric.device)) if first else None,
        keep=(lambda snapshot: write_snapshot(request.out, identity, snapshot)) if first else None,
        keep_every=request.keep_every, curves=curves, bar=bar if first else None, say=say,
    )  # fmt: skip
    try:
        end = take_steps(fabric, trainee, study.stream, plan, start, journal, machine.workers)
    finally:
        if curves is not None:
            curves.close()
    if not first:
        return None
    write_checkpoint(trainee.averaged.network, request.out)
    report = RecipeReport(
        recipe=recipe.name,
        model=recipe.model,
        initial=initial,
        checkpoint_sha256=file_digest(request.out / CHECKPOINT),
        plan=plan,
        smoke=request.smoke,
        data=list(study.data),
        parameters=sum(weight.numel() for weight in trainee.averaged.network.parameters()),
        metrics=end.curve[-1].metrics,
        references=study.references(fabric.device),
        curve=list(end.curve),
        device=device_name(fabric.device),
        precision=machine.precision,
        processes=fabric.world_size,
        threads=torch.get_num_threads(),
        seconds=round(end.seconds, 1),
        versions={name: installed_version(name) for name in _VERSIONS},
    )
    write_atomic(request.out / RECORD, encode_json(report))
    return report


def _initial(learner: Learner[Any], request: Request) -> Source:
    """Load the weights to start from, and say where they come from."""
    if request.checkpoint is None:
        return Source(sha256=weights_digest(learner.network), origin=f"the recipe's own, seed {request.plan.seed}")
    entry = MODELS[request.recipe.model]
    own = learner.network.state_dict()  # which may be more than the zoo's model: both halves of a tokenizer
    unused = tuple(start for start in entry.unused_keys if not any(name.startswith(start) for name in own))
    tensors = used_tensors(open_checkpoint(request.checkpoint).tensors, unused)
    load_strict(learner.network, tensors, path=request.checkpoint, expected=entry.name)
    return Source(sha256=file_digest(request.checkpoint), origin=request.checkpoint.name)


def _identity(request: Request, study: Study, precision: str, processes: int) -> Identity:
    return Identity(
        recipe=request.recipe.name,
        weights=weights_digest(study.learner),
        data=content_key(msgspec.json.encode(study.data).decode()),
        plan=request.plan,
        precision=precision,
        processes=processes,
        torch=str(torch.__version__),
    )


def _trainee(fabric: Fabric, study: Study, plan: Plan) -> Trainee:
    learner = study.learner.train()
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}  # by what their steps have in common
    for name, weight in learner.named_parameters():
        if weight.requires_grad:
            key = (study.rate_of(name), plan.weight_decay if weight.ndim > 1 else 0.0)
            groups.setdefault(key, []).append(weight)
    settings = [
        {"params": weights, "scale": scale, "weight_decay": decay} for (scale, decay), weights in groups.items()
    ]
    averaged = AveragedWeights(learner.network, plan.ema)
    averaged.network.to(fabric.device)
    model, optimizer = fabric.setup(learner, torch.optim.AdamW(settings, lr=plan.lr))
    return Trainee(learner, model, optimizer, averaged)


def _start(trainee: Trainee, identity: Identity, request: Request) -> Snapshot:
    """Return the state to start from: the folder's, or that of the recipe's own weights."""
    if not request.resume:
        return trainee.snapshot(0, (), 0.0)
    snapshot = read_snapshot(request.out, identity)
    trainee.restore(snapshot)
    return snapshot
