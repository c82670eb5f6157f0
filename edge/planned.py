"""What is worked out for each model and target: `mixed`'s kept layers, and `auto`'s walk down the ladder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from convert.build import Build, check_build
from convert.plan import KEEPINGS, Keeping, plan_in_child
from convert.sensitivity import Scope, measure_in_child
from convert.targets import TARGETS
from edge.artifact import encode_json, write_atomic
from edge.building import Shop, build_all, failed_row, publish
from edge.candidates import candidate_of, candidate_report
from edge.errors import EdgeError
from edge.evaluating import Made, evaluate_all
from edge.pictures import Pictures
from edge.report.records import TargetReport
from edge.report.sensitivity import SENSITIVITY, Mode, Sensitivity, read_sensitivity
from edge.store import cached_folder, content_key, keep_folder
from quant.budget import Budget, Candidate
from quant.planner import Chosen, Make, next_step
from quant.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Work out planned precisions: what may be lost, the pictures to judge on, and those to simulate on."""

    shop: Shop
    budget: Budget
    evaluation: Pictures
    tuning: Pictures
    places: list[Path] = field(default_factory=list)  # staging folders given out
    published: dict[str, None] = field(default_factory=dict)  # files of sensitivities, below the output folder


def sensitivity_of(planner: Planner, family: str, mode: Mode = "one") -> tuple[Scope, Path, Sensitivity]:
    """Return what rounding each layer costs, measured or taken from the cache, and where it lies.

    Raises Refused if ranges cannot be measured, ContractError for activations that are not finite.
    """
    shop, tuning = planner.shop, planner.tuning
    scope = Scope(
        prepared=shop.prepared.folder,
        family=family,
        pictures=tuning.paths,
        data=tuning.name,
        key=content_key(shop.prepared.key, tuning.digest),
    )
    key = content_key("sensitivity", scope.key, family, scope.observer, mode)
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
        return msgspec.json.decode((found / KEEPINGS).read_bytes(), type=tuple[Keeping, ...])
    planner.shop.progress(f"simulate {family}: which layers to keep from 8 bits")
    choices = plan_in_child(scope, path, planner.budget.floor, planner.shop.out / "logs" / "plan.log")
    place = _place(planner, "keepings")
    write_atomic(place / KEEPINGS, encode_json(choices))
    keep_folder("artifacts", key, place)
    return choices


@dataclass(frozen=True, slots=True)
class Planned:
    """A build with all that its recipe says, and why it says so."""

    build: Build
    explanation: tuple[str, ...] = ()


def plan_mixed(planner: Planner, build: Build) -> Planned:
    """Return what a mixed build keeps: the fewest layers that meet the budget in simulation.

    Raises EdgeError if the target has no such build, or nothing can be simulated.
    """
    check_build(build, planner.shop.task)
    keeping = keepings(planner, TARGETS[build.target].family)[0]
    _say(planner, keeping)
    text = (
        f"{keeping.layers} of {keeping.of} layers are kept from 8 bits: the fewest with which the simulated "
        f"{keeping.metric} is {planner.budget.floor:g}, or as near as half of the layers bring it; "
        f"it is {keeping.value:.4f}."
    )
    return Planned(_mixed(build.target, keeping), (text,))


def _mixed(target: str, keeping: Keeping) -> Build:
    return Build(target=target, precision="mixed", recipe=Recipe(kept=keeping.operators))


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
class _Tried:
    """A candidate with its row and where its artifact lies."""

    candidate: Candidate
    row: TargetReport
    folder: Path


class _Walk:
    """Make one target's candidates, one step of the ladder after another."""

    def __init__(self, planner: Planner, target: str) -> None:
        self._planner, self._target = planner, target
        self._tried: list[_Tried] = []

    @property
    def candidates(self) -> list[Candidate]:
        """Return what was measured so far."""
        return [tried.candidate for tried in self._tried]

    def make(self, step: Make) -> None:
        """Build, time and evaluate what the planner asks for."""
        if step.precisions == ("mixed",):
            self._make_mixed(step.doublings)
        else:
            self._make([Build(target=self._target, precision=name) for name in step.precisions], None)

    def _make_mixed(self, doublings: int) -> None:
        plain = Build(target=self._target, precision="mixed")
        try:
            choices = keepings(self._planner, TARGETS[self._target].family)
        except EdgeError as error:
            self._miss(failed_row(plain, error))
            return
        if doublings >= len(choices):
            most = choices[-1]
            reason = f"with more than {most.layers} of the {most.of} layers kept, too little would be left in 8 bits"
            self._miss(TargetReport(id=self._target, precision="mixed", status="refused", reason=reason))
            return
        keeping = choices[doublings]
        _say(self._planner, keeping)
        self._make([_mixed(self._target, keeping)], keeping)

    def _make(self, builds: Sequence[Build], keeping: Keeping | None) -> None:
        folders = {build: _place(self._planner, build.precision) for build in builds}
        rows = build_all(self._planner.shop, folders)
        made = {build: Made(row, folders[build] / "artifact") for build, row in rows.items()}
        for build, row in evaluate_all(self._planner.shop, self._planner.evaluation, made).items():
            self._tried.append(_Tried(candidate_of(row, keeping), row, folders[build]))

    def _miss(self, row: TargetReport) -> None:
        self._tried.append(_Tried(candidate_of(row), row, Path()))

    def row(self, build: Build, chosen: Chosen) -> TargetReport:
        """Return the report's row for `auto`, with the chosen artifact published."""
        planner = self._planner
        reports = tuple(candidate_report(tried.row, tried.candidate, planner.budget) for tried in self._tried)
        common = {"candidates": reports, "explanation": chosen.explanation, "budget_met": chosen.met}
        if chosen.index is None:
            first = self._tried[0].row if self._tried else None
            reason = first.reason if first else f"{build.target} has none of the ladder's precisions"
            status = first.status if first else "refused"
            return TargetReport(id=build.target, precision=build.precision, status=status, reason=reason, **common)  # type: ignore[arg-type]
        tried = self._tried[chosen.index]
        row = publish(planner.shop, build.folder_name, tried.row, tried.folder)
        return msgspec.structs.replace(row, precision=build.precision, chosen=tried.row.precision, **common)


def _place(planner: Planner, word: str) -> Path:
    """Return a new staging folder's path; candidates of one target may share a name."""
    place = planner.shop.staging / "planned" / f"{len(planner.places)}-{word}"
    planner.places.append(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    if word in ("sensitivity", "keepings"):
        place.mkdir()
    return place
