"""The whole way: model → program → artifacts for many targets, each executed, compared and timed → report."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from convert.build import Build
from convert.calibration import CALIBRATION, calibrate_with, calibration_notes
from convert.keys import ModelRequest, existing, kit_digest, prepared_key
from convert.reference import read_reference
from convert.tail_step import describe_tails
from convert.targets import TARGETS
from convert.verify import draw_reference
from edge.artifact import Source, encode_json, file_digest, write_atomic
from edge.building import PREVIEW, Prepared, Progress, Shop, build_all, failed_row, publish, staging_places
from edge.contract import Contract, takes_image
from edge.delegation import Requirement, read_delegation, summarize, unmet
from edge.errors import EdgeError, MissingError, StoreError, UsageError
from edge.evaluating import Made, evaluate_all
from edge.jobs import Job, run_job
from edge.output import exclusive, publish_file, staging_folder
from edge.phones import PhoneChoice
from edge.pictures import NO_PICTURES, Pictures, compared_photos, own_pictures, with_calibration
from edge.planned import Planned, Planner, auto_row, plan_mixed
from edge.profile.latency import LAUNCHES
from edge.report.html import write_html
from edge.report.records import REPORT, Report, TargetReport, environment
from edge.samples import PhotoSet, photographs
from edge.store import cached_folder, keep_folder
from quant.budget import DEFAULT_BUDGET, Budget, checked_budget
from quant.precision import PRECISIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

PREPARE_TIMEOUT_S = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Say what is wanted of the builds beyond their being right: shares of units, accuracy, latency, evaluations."""

    requirements: tuple[Requirement, ...] = ()
    budget: Budget = DEFAULT_BUDGET  # of planned precisions
    evaluate: bool = False  # every build, on the evaluation pictures
    evaluation: Pictures = NO_PICTURES  # without any, the kit's photographs


NO_WISHES = Wishes()


def deploy_model(
    request: ModelRequest,
    builds: Sequence[Build],
    out: Path,
    *,
    phones: Sequence[PhoneChoice] = (),
    launches: int = LAUNCHES,
    wishes: Wishes = NO_WISHES,
    progress: Progress = print,
) -> Report:
    """Deploy a model for every build into `out`, write report.json and report.html and return the report.

    A build that fails is a row of the report and leaves the others whole; one that does not reach the wishes'
    requirements, which hold for targets that are made for those units, or their budget, says so in its row. `phones`
    tells the report why these builds were chosen; it adds none. Raises EdgeError if nothing could start.
    """
    builds = tuple(dict.fromkeys(builds))
    _check_names(builds, wishes.requirements)
    own = own_pictures(request)
    if any(map(_is_planned, builds)):
        request = with_calibration(request, progress)
    with exclusive(out), staging_folder(out) as staging:
        prepared = prepare_request(request, staging / "prepared", out / "logs" / "prepare.log", progress)
        shop = Shop(prepared=prepared, out=out, staging=staging, launches=launches, progress=progress)
        return _deploy(shop, builds, wishes, own, phones)


def deploy(
    module: nn.Module,
    contract: Contract,
    *,
    out: Path | str,
    targets: Sequence[str] = ("onnx-cpu",),
    precisions: Sequence[str] = ("fp32",),
    images: Sequence[Path | str] = (),
    calibration: Iterable[Mapping[str, NDArray[Any]]] = (),
    name: str = "model",
    launches: int = LAUNCHES,
    requirements: Sequence[Requirement] = (),
    max_drop: float = DEFAULT_BUDGET.max_drop,
    max_latency_ms: float | None = None,
    evaluate: bool = False,
    evaluation: Sequence[Path | str] = (),
    progress: Progress = print,
) -> Report:
    """Deploy an nn.Module: the Python side of `edge deploy`.

    `calibration` yields sets of preprocessed inputs by name, to measure the range of activations on; without any,
    cuts of `images` serve. The precisions `auto` and `mixed` lose at most the share `max_drop` of the task's metric
    over the pictures `evaluation`, by default the kit's photographs, and `auto` takes at most `max_latency_ms` where
    that can be measured; `evaluate` measures the metric of every build.
    """
    from convert.prepare import prepare
    from convert.program import Model, program_digest, weights_digest

    out = Path(out)
    pairs = [Build(target=target, precision=precision) for target in targets for precision in precisions]
    builds = tuple(dict.fromkeys(pairs))
    _check_names(builds, requirements)
    judged = tuple(existing(Path(image)) for image in evaluation)
    wishes = Wishes(
        requirements=tuple(requirements),
        budget=checked_budget(max_drop, max_latency_ms),
        evaluate=evaluate,
        evaluation=Pictures("the evaluation pictures", judged),
    )
    pictures = tuple(existing(Path(image)) for image in images)
    if not pictures and takes_image(contract):
        pictures = compared_photos(progress)
    with exclusive(out), staging_folder(out) as staging:
        folder = staging / "prepared"
        program = prepare(
            Model(name, module, contract, Source(sha256=weights_digest(module), origin="a module in memory")),
            pictures,
            folder,
        )
        given = list(calibration)
        if given:
            calibrate_with(folder, given)
            _warn(folder, progress)
        pinned = [file_digest(path) for path in (*pictures, *([folder / CALIBRATION] if given else []))]
        key = program_digest(program, *pinned, kit_digest())
        shop = Shop(prepared=Prepared(folder, key), out=out, staging=staging, launches=launches, progress=progress)
        return _deploy(shop, builds, wishes, Pictures("the pictures of the parity", pictures) if images else None, ())


def prepare_request(request: ModelRequest, folder: Path, log: Path, progress: Progress) -> Prepared:
    """Load, run and export the requested model in a child process, or take an earlier run's result."""
    if not request.images and (request.contract is None or takes_image(request.contract)):
        request = dataclasses.replace(request, images=compared_photos(progress))
    key = prepared_key(request)
    if found := cached_folder("prepared", key):
        _warn(found, progress)
        return Prepared(found, key)
    progress(f"prepare  {request.model}: load, run eagerly, export")
    payload = {
        "model": request.model,
        "checkpoint": str(request.checkpoint.resolve()) if request.checkpoint else "",
        "contract": msgspec.to_builtins(request.contract) if request.contract else None,
        "images": [str(image.resolve()) for image in request.images],
        "calibration": [str(image.resolve()) for image in request.calibration],
        "own_images": request.own_images,
        "random_weights": request.random_weights,
        "folder": str(folder),
    }
    run_job(Job(function="convert.prepare:prepare_job", payload=payload, log=log, timeout_s=PREPARE_TIMEOUT_S))
    _warn(folder, progress)
    return Prepared(keep_folder("prepared", key, folder), key)


def _warn(prepared: Path, progress: Progress) -> None:
    for note in calibration_notes(prepared):
        progress(f"warning  {note}")


def _deploy(
    shop: Shop, builds: Sequence[Build], wishes: Wishes, own: Pictures | None, phones: Sequence[PhoneChoice]
) -> Report:
    reference = read_reference(shop.prepared.folder)
    header = reference.header
    for line in describe_tails(header.steps):
        shop.progress(f"cut      {line}")
    draw_reference(reference, shop.staging / PREVIEW)
    shown = (shop.staging / PREVIEW).is_file()
    planner = planner_for(shop, own, wishes) if wishes.evaluate or any(map(_is_planned, builds)) else None
    rows = _build(shop, builds, wishes, planner, header.name)
    if shown:
        publish_file(shop.staging / PREVIEW, shop.out / PREVIEW)
    report = Report(
        model=header.name,
        task=header.contract.task,
        source=header.source,
        environment=environment(),
        targets=tuple(_held_to(row, wishes.requirements, shop.out) for row in rows),
        inputs=reference.inputs_kind,
        preview=PREVIEW if shown else "",
        phones=tuple(phones),
        sensitivity=tuple(planner.published) if planner else (),
    )
    write_atomic(shop.out / REPORT, encode_json(report))
    write_html([shop.out], shop.out)
    return report


def _build(
    shop: Shop, builds: Sequence[Build], wishes: Wishes, planner: Planner | None, model: str
) -> list[TargetReport]:
    """Make and publish every build: all with a known recipe side by side, then `auto`'s, which start from those."""
    rows: dict[Build, TargetReport] = {}
    planned: dict[Build, Planned] = {}
    for build in builds:
        if build.precision == "auto":
            continue
        try:
            planned[build] = plan_mixed(planner, build) if planner and _is_planned(build) else Planned(build)
        except EdgeError as error:
            shop.progress(f"{build}: {error}")
            rows[build] = failed_row(build, error)
    rows |= _made(shop, planned)
    if planner is not None and wishes.evaluate:
        made = {plan.build: Made(rows[asked], shop.out / rows[asked].folder) for asked, plan in planned.items()}
        judged = evaluate_all(shop, planner.evaluation, made)
        rows |= {asked: judged[plan.build] for asked, plan in planned.items()}
    for build in builds:
        if planner is not None and build.precision == "auto":
            rows[build] = auto_row(planner, build, model)
    return [rows[build] for build in builds]


def _made(shop: Shop, planned: Mapping[Build, Planned]) -> dict[Build, TargetReport]:
    places = staging_places(shop, [plan.build for plan in planned.values()])
    made = build_all(shop, places)
    rows = {}
    for asked, plan in planned.items():
        row = publish(shop, plan.build.folder_name, made[plan.build], places[plan.build])
        rows[asked] = msgspec.structs.replace(row, explanation=plan.explanation)
    return rows


def _is_planned(build: Build) -> bool:
    return PRECISIONS[build.precision].planned and not build.recipe.kept


def planner_for(shop: Shop, own: Pictures | None, wishes: Wishes = NO_WISHES) -> Planner:
    """Return the planner with the pictures to judge and to simulate on: the user's, or the kit's photographs."""
    kit: PhotoSet | None = None
    if not wishes.evaluation.paths or own is None:
        try:
            kit = photographs()
        except (MissingError, StoreError) as error:
            shop.progress(f"warning  no photographs to evaluate on, those of the parity are used instead: {error}")
    samples = read_reference(shop.prepared.folder).samples
    parity = Pictures("the pictures of the parity", tuple(s.image for s in samples if s.image is not None))
    judged = Pictures(kit.name, kit.evaluation) if kit and parity.paths else parity
    simulated = Pictures(kit.name, kit.calibration) if kit and parity.paths else parity
    return Planner(
        shop=shop,
        budget=wishes.budget,
        evaluation=wishes.evaluation if wishes.evaluation.paths else judged,
        tuning=own or simulated,
    )


def _held_to(row: TargetReport, requirements: Sequence[Requirement], out: Path) -> TargetReport:
    """Add to a finished row what it lacks of the requirements for the unit that its target is made for."""
    asked = [requirement for requirement in requirements if requirement.unit == TARGETS[row.id].unit]
    if row.status != "ok" or row.delegation is None or not asked:
        return row
    placed = read_delegation(out / row.folder)
    nameless = row.delegation.rejected[len(summarize(placed.operators).rejected) :]
    return msgspec.structs.replace(row, unmet=tuple(text for item in asked if (text := unmet(item, placed, nameless))))


def _check_names(builds: Sequence[Build], requirements: Sequence[Requirement]) -> None:
    if not builds:
        raise UsageError(
            "no target given; add --target NAME (`edge targets` lists them) or --phone NAME (`edge phones`)"
        )
    for build in builds:
        TARGETS[build.target]
        PRECISIONS[build.precision]
    for item in requirements:
        if all(TARGETS[build.target].unit != item.unit for build in builds):
            raise UsageError(
                f"{item.unit}={item.percent:g} is required, but no target given is made for the {item.unit}; "
                "`edge targets` says what each is for"
            )
