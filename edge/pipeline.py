"""The whole way: model → program → artifacts for many targets, each executed, compared and timed → report."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from convert.build import Build, check_build, run_build, status_of
from convert.calibration import CALIBRATION, calibrate_with, calibration_notes
from convert.header import read_header
from convert.keys import ModelRequest, artifact_key, existing, kit_digest, prepared_key
from convert.reference import read_reference
from convert.results import cached_result, keep_result
from convert.tail_step import describe_tails
from convert.targets import TARGETS
from convert.verify import draw_reference
from edge.artifact import Source, encode_json, file_digest, write_atomic
from edge.contract import Contract, takes_image
from edge.delegation import Requirement, read_delegation, summarize, unmet
from edge.errors import EdgeError, MissingError, StoreError, UsageError
from edge.jobs import Job, allow_jobs, run_job, stop_all
from edge.output import exclusive, publish_file, publish_folder, staging_folder
from edge.phones import PhoneChoice
from edge.profile.protocol import LAUNCHES, measure_host
from edge.report.html import write_html
from edge.report.records import REPORT, Report, TargetReport, environment
from edge.samples import sample_photos
from edge.store import cached_folder, keep_folder
from quant.precision import PRECISIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

PREPARE_TIMEOUT_S = 1800.0
PREVIEW = "preview.png"
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A program with the eager model's answers, and the key of all that shaped them."""

    folder: Path
    key: str


def deploy_model(
    request: ModelRequest,
    builds: Sequence[Build],
    out: Path,
    *,
    phones: Sequence[PhoneChoice] = (),
    launches: int = LAUNCHES,
    requirements: Sequence[Requirement] = (),
    progress: Progress = print,
) -> Report:
    """Deploy a model for every build into `out`, write report.json and report.html and return the report.

    A build that fails is a row of the report and leaves the others whole; one that does not reach `requirements`, which
    hold for targets that are made for those units, says so in its row. `phones` tells the report why these builds were
    chosen; it adds none. Raises EdgeError if nothing could start.
    """
    builds = tuple(dict.fromkeys(builds))
    _check_names(builds, requirements)
    with exclusive(out), staging_folder(out) as staging:
        prepared = prepare_request(request, staging / "prepared", out / "logs" / "prepare.log", progress)
        return _deploy(prepared, builds, out, staging, launches, progress, requirements, phones)


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
    progress: Progress = print,
) -> Report:
    """Deploy an nn.Module: the Python side of `edge deploy`.

    `calibration` yields sets of preprocessed inputs by name, to measure the range of activations on; without any,
    cuts of `images` serve.
    """
    from convert.prepare import prepare
    from convert.program import Model, program_digest, weights_digest

    out = Path(out)
    pairs = [Build(target=target, precision=precision) for target in targets for precision in precisions]
    builds = tuple(dict.fromkeys(pairs))
    _check_names(builds, requirements)
    pictures = tuple(existing(Path(image)) for image in images)
    if not pictures and takes_image(contract):
        pictures = _photos(progress)
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
        return _deploy(Prepared(folder, key), builds, out, staging, launches, progress, requirements)


def prepare_request(request: ModelRequest, folder: Path, log: Path, progress: Progress) -> Prepared:
    """Load, run and export the requested model in a child process, or take an earlier run's result."""
    if not request.images and (request.contract is None or takes_image(request.contract)):
        request = dataclasses.replace(request, images=_photos(progress))
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


def _photos(progress: Progress) -> tuple[Path, ...]:
    """Return the sample photographs, or none, and say so, if they cannot be had."""
    try:
        return sample_photos()
    except (MissingError, StoreError) as error:
        progress(f"warning  no photographs to compare on, seeded random inputs are used instead: {error}")
        return ()


def _deploy(
    prepared: Prepared,
    builds: Sequence[Build],
    out: Path,
    staging: Path,
    launches: int,
    progress: Progress,
    requirements: Sequence[Requirement],
    phones: Sequence[PhoneChoice] = (),
) -> Report:
    reference = read_reference(prepared.folder)
    header = reference.header
    for line in describe_tails(header.steps):
        progress(f"cut      {line}")
    draw_reference(reference, staging / PREVIEW)
    shown = (staging / PREVIEW).is_file()
    rows = _build_all(prepared, builds, out, staging, launches, progress)
    if shown:
        publish_file(staging / PREVIEW, out / PREVIEW)
    report = Report(
        model=header.name,
        task=header.contract.task,
        source=header.source,
        environment=environment(),
        targets=tuple(_held_to(row, requirements, out) for row in rows),
        inputs=reference.inputs_kind,
        preview=PREVIEW if shown else "",
        phones=tuple(phones),
    )
    write_atomic(out / REPORT, encode_json(report))
    write_html([out], out)
    return report


def _build_all(
    prepared: Prepared, builds: Sequence[Build], out: Path, staging: Path, launches: int, progress: Progress
) -> list[TargetReport]:
    """Build what the cache does not hold in parallel, then time it one after another on a quiet machine."""
    task = read_header(prepared.folder).contract.task
    rows: dict[Build, TargetReport] = {}
    todo: list[Build] = []
    for build in builds:
        key = artifact_key(prepared.key, TARGETS[build.target], build.precision, launches, build.recipe)
        if row := cached_result(key, staging / build.folder_name):
            rows[build] = row
            progress(f"cached   {build}")
            continue
        try:
            check_build(build, task)
            todo.append(build)
        except EdgeError as error:
            rows[build] = TargetReport(
                id=build.target, precision=build.precision, status=status_of(error), reason=str(error)
            )
            progress(f"{rows[build].status:8} {build}: {error}")
    rows |= _compile_all(todo, prepared, out, staging, progress)
    for build in todo:
        if rows[build].status == "ok":
            rows[build] = _time(build, rows[build], out, staging, launches, progress)
            key = artifact_key(prepared.key, TARGETS[build.target], build.precision, launches, build.recipe)
            keep_result(key, rows[build], staging / build.folder_name)
    return [_publish(build, rows[build], staging, out) for build in builds]


def _compile_all(
    todo: Sequence[Build], prepared: Prepared, out: Path, staging: Path, progress: Progress
) -> dict[Build, TargetReport]:
    rows: dict[Build, TargetReport] = {}
    with _stoppable_pool() as pool:
        futures = {}
        for build in todo:
            folder = staging / build.folder_name
            progress(f"build    {build}")
            log = _log(out, build)
            future = pool.submit(run_build, build, prepared.folder, folder / "artifact", folder / PREVIEW, log)
            futures[future] = build
        for future in as_completed(futures):
            build = futures[future]
            rows[build] = row = future.result()
            verdict = (
                "" if row.parity is None else "parity passed" if row.parity.passed else f"parity: {row.parity.mode}"
            )
            progress(f"{row.status:8} {build}: {row.reason or verdict} ({row.seconds:.0f} s)")
    return rows


def _log(out: Path, build: Build) -> Path:
    return out / "logs" / f"{build.folder_name}.log"


@contextlib.contextmanager
def _stoppable_pool() -> Iterator[ThreadPoolExecutor]:
    """A pool of one worker a core; an interrupt ends the children before it waits for the workers."""
    pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1)
    try:
        yield pool
    except BaseException:
        stop_all()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        allow_jobs()


def _time(build: Build, row: TargetReport, out: Path, staging: Path, launches: int, progress: Progress) -> TargetReport:
    if launches < 1:
        return msgspec.structs.replace(row, latency_reason="not asked for")
    if row.parity is None or row.parity.mode != "native":
        return msgspec.structs.replace(row, latency_reason="the runtime does not exist on this machine")
    progress(f"time     {build}: {launches} launches")
    try:
        log = _log(out, build)
        latency = measure_host(staging / build.folder_name / "artifact", log, launches=launches)
    except EdgeError as error:
        return msgspec.structs.replace(row, latency_reason=str(error))
    return msgspec.structs.replace(row, latency=latency)


def _publish(build: Build, row: TargetReport, staging: Path, out: Path) -> TargetReport:
    """Move a finished artifact to its place in `out`; an older one there is replaced in one step."""
    if row.status != "ok":
        return row
    staged = staging / build.folder_name
    publish_folder(staged / "artifact", out / build.folder_name, staging / f"{build.folder_name}.old")
    preview = ""
    if (staged / PREVIEW).is_file():
        preview = f"previews/{build.folder_name}.png"
        publish_file(staged / PREVIEW, out / preview)
    return msgspec.structs.replace(row, folder=build.folder_name, preview=preview)


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
