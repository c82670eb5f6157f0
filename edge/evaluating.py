"""Finished builds + pictures → the task's metric of each: from the cache, or measured side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from convert.build import Build
from convert.evaluate import evaluate_in_child
from edge.artifact import encode_json, write_atomic
from edge.building import Shop, stoppable_pool
from edge.errors import EdgeError
from edge.evaluation import Evaluation
from edge.pictures import Pictures
from edge.report.records import TargetReport
from edge.store import cached_folder, content_key, keep_folder, staging

SLOW_S = 40.0  # that emulators and interpreters get for one evaluation
EVALUATION = "evaluation.json"


@dataclass(frozen=True, slots=True)
class Made:
    """A build's row, and where its artifact lies if there is one."""

    row: TargetReport
    artifact: Path


def evaluate_all(shop: Shop, pictures: Pictures, made: Mapping[Build, Made]) -> dict[Build, TargetReport]:
    """Return the rows with the evaluation of each build that can be executed; of the others say why there is none."""
    ok = {build: item for build, item in made.items() if item.row.status == "ok"}
    with stoppable_pool() as pool:
        running = {build: pool.submit(_evaluate, shop, pictures, build, item) for build, item in ok.items()}
        rows = {build: future.result() for build, future in running.items()}
    return {build: rows.get(build, item.row) for build, item in made.items()}


def _evaluate(shop: Shop, pictures: Pictures, build: Build, made: Made) -> TargetReport:
    try:
        evaluation = _evaluation(shop, pictures, build, made)
    except EdgeError as error:
        shop.progress(f"{build}: not evaluated: {error}")
        return made.row
    return msgspec.structs.replace(made.row, evaluation=evaluation)


def _evaluation(shop: Shop, pictures: Pictures, build: Build, made: Made) -> Evaluation:
    parity = made.row.parity
    if parity is None or parity.mode == "unverified":
        raise EdgeError(parity.reason if parity else made.row.reason)
    if not pictures.paths:
        raise EdgeError("there are no pictures to evaluate it on")
    budget_s = None if parity.mode == "native" else SLOW_S
    key = content_key("evaluation", shop.key(build), pictures.digest, str(budget_s))
    if found := cached_folder("artifacts", key):
        return msgspec.json.decode((found / EVALUATION).read_bytes(), type=Evaluation)
    shop.progress(f"evaluate {build}: up to {len(pictures.paths)} pictures")
    evaluation = evaluate_in_child(
        made.artifact, shop.prepared.folder, pictures.paths, pictures.name, shop.log(build), budget_s=budget_s
    )
    with staging(shop.staging) as place:
        write_atomic(place / EVALUATION, encode_json(evaluation))
        keep_folder("artifacts", key, place)
    return evaluation
