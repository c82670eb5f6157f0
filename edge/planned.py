"""What is worked out for each model and target: `mixed`'s kept layers, and `auto`'s walk down the ladder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from convert.build import Build, check_build
from convert.evaluate import evaluate_in_child
from convert.plan import Keeping, plan_in_child
from convert.sensitivity import Scope, measure_in_child
from convert.targets import TARGETS
from edge.artifact import encode_json, file_digest, write_atomic
from edge.building import Shop, build_all, failed_row, publish
from edge.candidates import candidate_of, candidate_report
from edge.errors import EdgeError
from edge.evaluation import Evaluation
from edge.report.records import TargetReport
from edge.report.sensitivity import SENSITIVITY, Mode, Sensitivity, read_sensitivity
from edge.store import cached_folder, content_key, keep_folder
from quant.budget import Budget, Candidate
from quant.planner import Chosen, Make, next_step
from quant.recipe import Recipe

SLOW_S = 40.0  # that emulators and interpreters get for one evaluation
EVALUATION = "evaluation.json"


@dataclass(frozen=True, slots=True)
class Pictures:
    """Name a set of pictures."""

    name: str
    paths: tuple[Path, ...]

    @property
    def digest(self) -> str:
        """Return a key of the pictures."""
        return content_key(self.name, *(file_digest(path) for path in self.paths))


NO_PICTURES = Pictures("", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Work out planned precisions: what may be lost, the pictures to judge on, and those to simulate on."""

    shop: Shop
    budget: Budget
    evaluation: Pictures
    tuning: Pictures
    places: list[Path] = field(default_factory=list)  # staging folders given out
    published: dict[str, None] = field(default_factory=dict)  # files of sensitivities, below the output folder


def evaluate_row(planner: Planner, build: Build, row: TargetReport, artifact: Path) -> tuple[Evaluation | None, str]:
    """Return a finished build's evaluation and an empty string, or None and why there is none."""
    shop, pictures = planner.shop, planner.evaluation
    if row.parity is None or row.parity.mode == "unverified":
        return None, row.parity.reason if row.parity else row.reason
    if not pictures.paths:
        return None, "there are no pictures to evaluate it on"
    budget_s = None if row.parity.mode == "native" else SLOW_S
    key = content_key("evaluation", shop.key(build), pictures.digest, str(budget_s))
    if found := cached_folder("artifacts", key):
        return msgspec.json.decode((found / EVALUATION).read_bytes(), type=Evaluation), ""
    shop.progress(f"evaluate {build}: up to {len(pictures.paths)} pictures")
    try:
        evaluation = evaluate_in_child(
            artifact, shop.prepared.folder, pictures.paths, pictures.name, shop.log(build), budget_s=budget_s
        )
    except EdgeError as error:
        return None, str(error)
    place = _place(planner, "evaluation")
    write_atomic(place / EVALUATION, encode_json(evaluation))
    keep_folder("artifacts", key, place)
    return evaluation, ""


def sensitivity_of(planner: Planner, family: str, mode: Mode = "one") -> tuple[Scope, Path, Sensitivity]:
    """Return what rounding each layer costs, measured or taken from the cache, and where it lies.

    Raises Refused if ranges cannot be measured, ContractError for activations that are not finite.
    """
    shop, tuning = planner.shop, planner.tuning
    scope = Scope(prepared=shop.prepared.folder, family=family, pictures=tuning.paths, data=tuning.name)
    key = content_key("sensitivity", shop.prepared.key, family, scope.observer, mode, tuning.digest)
    found = cached_folder("artifacts", key)
    if found is None:
        shop.progress(f"simulate {family}: what rounding each layer costs")
        place = _place(planner, "sensitivity")
        measure_in_child(scope, mode, place / SENSITIVITY, shop.out / "logs" / "sensitivity.log")
        found = keep_folder("artifacts", key, place)
    name = f"sensitivity-{family}.json"
    write_atomic(shop.out / name, (found / SENSITIVITY).read_bytes())
    planner.published[name] = None
    return scope, found / SENSITIVITY, read_sensitivity(found)


def keepings(planner: Planner, family: str) -> tuple[Keeping, ...]:
    """Return what `mixed` keeps from 8 bits: the fewest layers for the budget in simulation, then twice as many."""
    scope, path, _ = sensitivity_of(planner, family)
    key = content_key("keepings", planner.shop.prepared.key, family, planner.tuning.digest, str(planner.budget.floor))
    if found := cached_folder("artifacts", key):
        return msgspec.json.decode((found / "keepings.json").read_bytes(), type=tuple[Keeping, ...])
    planner.shop.progress(f"simulate {family}: which layers to keep from 8 bits")
    choices = plan_in_child(scope, path, planner.budget.floor, planner.shop.out / "logs" / "plan.log")
    place = _place(planner, "keepings")
    write_atomic(place / "keepings.json", encode_json(choices))
    keep_folder("artifacts", key, place)
    return choices


def mixed_row(planner: Planner, build: Build) -> tuple[Build, TargetReport]:
    """Make one mixed build and publish it: the fewest layers are kept that meet the budget in simulation.

    Returns the build with what it keeps, and its row.
    """
    shop = planner.shop
    try:
        check_build(build, shop.task)
        keeping = keepings(planner, TARGETS[build.target].family)[0]
    except EdgeError as error:
        shop.progress(f"{build}: {error}")
        return build, failed_row(build, error)
    _say(planner, keeping)
    made = Build(target=build.target, precision="mixed", recipe=Recipe(kept=keeping.operators))
    folder = shop.staging / build.folder_name
    row = build_all(shop, {made: folder})[made]
    row = publish(shop, build.folder_name, row, folder)
    text = (
        f"{keeping.layers} of {keeping.of} layers are kept from 8 bits: the fewest with which the simulated "
        f"{keeping.metric} is {planner.budget.floor:g}, or as near as half of the layers bring it; "
        f"it is {keeping.value:.4f}."
    )
    return made, msgspec.structs.replace(row, explanation=(text,))


def _say(planner: Planner, keeping: Keeping) -> None:
    planner.shop.progress(
        f"keep     {keeping.layers} of {keeping.of} layers: simulated {keeping.metric} {keeping.value:.4f}"
    )


def auto_row(planner: Planner, build: Build, model: str) -> TargetReport:
    """Walk down the ladder for one target and publish the artifact that the planner takes as `<target>@auto`."""
    target = TARGETS[build.target]
    try:
        check_build(Build(target=target.id, precision=target.precisions[0]), planner.shop.task)
    except EdgeError as error:
        planner.shop.progress(f"{build}: {error}")
        return failed_row(build, error)
    walk = _Walk(planner, build.target)
    step = next_step((), target.precisions, planner.budget, model=model)
    while isinstance(step, Make):
        planner.shop.progress(f"plan     {build}: {', '.join(step.precisions)}: {step.why}")
        walk.make(step)
        step = next_step(walk.candidates, target.precisions, planner.budget, model=model)
    for line in step.explanation:
        planner.shop.progress(f"plan     {build}: {line}")
    return walk.row(build, step)


@dataclass(frozen=True, slots=True)
class _Made:
    """A candidate with its row and where its artifact lies."""

    candidate: Candidate
    row: TargetReport
    folder: Path


class _Walk:
    """Make one target's candidates, one step of the ladder after another."""

    def __init__(self, planner: Planner, target: str) -> None:
        self._planner, self._target = planner, target
        self._made: list[_Made] = []

    @property
    def candidates(self) -> list[Candidate]:
        """Return what was measured so far."""
        return [made.candidate for made in self._made]

    def make(self, step: Make) -> None:
        """Build, time and evaluate what the planner asks for."""
        if step.precisions == ("mixed",):
            self._make_mixed(step.doublings)
            return
        builds = {Build(target=self._target, precision=name): _place(self._planner, name) for name in step.precisions}
        for made, row in build_all(self._planner.shop, builds).items():
            self._add(made, row, builds[made], None)

    def _make_mixed(self, doublings: int) -> None:
        plain = Build(target=self._target, precision="mixed")
        folder = _place(self._planner, "mixed")
        try:
            choices = keepings(self._planner, TARGETS[self._target].family)
        except EdgeError as error:
            self._add(plain, failed_row(plain, error), folder, None)
            return
        if doublings >= len(choices):
            reason = f"no more than {choices[-1].layers} of the {choices[-1].of} layers can be kept"
            row = TargetReport(id=self._target, precision="mixed", status="refused", reason=reason)
            self._add(plain, row, folder, None)
            return
        keeping = choices[doublings]
        _say(self._planner, keeping)
        made = Build(target=self._target, precision="mixed", recipe=Recipe(kept=keeping.operators))
        self._add(made, build_all(self._planner.shop, {made: folder})[made], folder, keeping)

    def _add(self, build: Build, row: TargetReport, folder: Path, keeping: Keeping | None) -> None:
        if row.status == "ok":
            evaluation, reason = evaluate_row(self._planner, build, row, folder / "artifact")
            row = msgspec.structs.replace(row, evaluation=evaluation)
            if reason:
                self._planner.shop.progress(f"{build}: {reason}")
        self._made.append(_Made(candidate_of(row, keeping), row, folder))

    def row(self, build: Build, chosen: Chosen) -> TargetReport:
        """Return the report's row for `auto`, with the chosen artifact published."""
        planner = self._planner
        reports = tuple(candidate_report(made.row, made.candidate, planner.budget) for made in self._made)
        common = {"candidates": reports, "explanation": chosen.explanation, "budget_met": chosen.met}
        if chosen.index is None:
            first = self._made[0].row if self._made else None
            reason = first.reason if first else f"{build.target} has none of the ladder's precisions"
            status = first.status if first else "refused"
            return TargetReport(id=build.target, precision=build.precision, status=status, reason=reason, **common)  # type: ignore[arg-type]
        made = self._made[chosen.index]
        row = publish(planner.shop, build.folder_name, made.row, made.folder)
        return msgspec.structs.replace(row, precision=build.precision, chosen=made.row.precision, **common)


def _place(planner: Planner, word: str) -> Path:
    """Return a new staging folder's path; candidates of one target may share a name."""
    place = planner.shop.staging / "planned" / f"{len(planner.places)}-{word}"
    planner.places.append(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    if word in ("evaluation", "sensitivity", "keepings"):
        place.mkdir()
    return place


def evaluated(planner: Planner, build: Build, row: TargetReport) -> TargetReport:
    """Add an evaluation to the published row of an executable build, and say why where there is none."""
    if row.status != "ok":
        return row
    evaluation, reason = evaluate_row(planner, build, row, planner.shop.out / row.folder)
    if reason:
        planner.shop.progress(f"{build}: not evaluated: {reason}")
    return msgspec.structs.replace(row, evaluation=evaluation)
