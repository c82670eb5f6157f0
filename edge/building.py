"""Builds of one prepared program: from the cache or compiled side by side, then timed one after another."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import msgspec

from convert.build import Build, check_build, run_build, status_of
from convert.header import read_header
from convert.keys import artifact_key
from convert.results import cached_result, keep_result
from convert.targets import TARGETS
from edge.artifact import encode_json, write_atomic
from edge.errors import EdgeError
from edge.jobs import allow_jobs, stop_all
from edge.output import publish_file, publish_folder
from edge.profile.latency import Latency, measure_host
from edge.report.records import TargetReport
from edge.store import cached_folder, content_key, keep_folder, staging

LATENCY = "latency.json"
PREVIEW = "preview.png"
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A program with the eager model's answers, and the key of all that shaped them."""

    folder: Path
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """Say what builds are made of, where they go, and how often each is launched to time it."""

    prepared: Prepared
    out: Path
    staging: Path
    launches: int
    progress: Progress

    @property
    def task(self) -> str:
        """Return the program's task."""
        return read_header(self.prepared.folder).contract.task

    def key(self, build: Build) -> str:
        """Return the cache key of a finished build."""
        return artifact_key(self.prepared.key, TARGETS[build.target], build.precision, build.recipe)

    def log(self, build: Build) -> Path:
        """Return where the build's children write."""
        return self.out / "logs" / f"{build.folder_name}.log"


def build_all(shop: Shop, builds: Mapping[Build, Path]) -> dict[Build, TargetReport]:
    """Make builds, each in its own staging folder: what the cache lacks in parallel, then timed on a quiet machine."""
    rows: dict[Build, TargetReport] = {}
    todo: dict[Build, Path] = {}
    for build, folder in builds.items():
        if row := cached_result(shop.key(build), folder):
            rows[build] = row
            shop.progress(f"cached   {build}")
            continue
        try:
            check_build(build, shop.task)
            todo[build] = folder
        except EdgeError as error:
            rows[build] = failed_row(build, error)
            shop.progress(f"{rows[build].status:8} {build}: {error}")
    rows |= _compile_all(shop, todo)
    return {
        build: _timed(shop, build, rows[build], folder) if rows[build].status == "ok" else rows[build]
        for build, folder in builds.items()
    }


def failed_row(build: Build, error: EdgeError) -> TargetReport:
    """Return the row of a build that came to nothing."""
    return TargetReport(id=build.target, precision=build.precision, status=status_of(error), reason=str(error))


def _compile_all(shop: Shop, todo: Mapping[Build, Path]) -> dict[Build, TargetReport]:
    rows: dict[Build, TargetReport] = {}
    with stoppable_pool() as pool:
        futures = {}
        for build, folder in todo.items():
            shop.progress(f"build    {build}")
            future = pool.submit(
                run_build, build, shop.prepared.folder, folder / "artifact", folder / PREVIEW, shop.log(build)
            )
            futures[future] = build
        for future in as_completed(futures):
            build = futures[future]
            rows[build] = row = future.result()
            if row.status == "ok":  # at once, so that an interrupted run goes on where it ended
                keep_result(shop.key(build), row, todo[build])
            verdict = (
                "" if row.parity is None else "parity passed" if row.parity.passed else f"parity: {row.parity.mode}"
            )
            shop.progress(f"{row.status:8} {build}: {row.reason or verdict} ({row.seconds:.0f} s)")
    return rows


@contextlib.contextmanager
def stoppable_pool() -> Iterator[ThreadPoolExecutor]:
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


def _timed(shop: Shop, build: Build, row: TargetReport, folder: Path) -> TargetReport:
    """Return a row with the latency of so many launches on this machine: an earlier run's, or measured now."""
    if shop.launches < 1:
        return msgspec.structs.replace(row, latency_reason="not asked for")
    if row.parity is None or row.parity.mode != "native":
        return msgspec.structs.replace(row, latency_reason="the runtime does not exist on this machine")
    key = content_key("latency", shop.key(build), str(shop.launches))
    if found := cached_folder("artifacts", key):
        latency = msgspec.json.decode((found / LATENCY).read_bytes(), type=Latency)
        return msgspec.structs.replace(row, latency=latency)
    shop.progress(f"time     {build}: {shop.launches} launches")
    try:
        latency = measure_host(folder / "artifact", launches=shop.launches)
    except EdgeError as error:
        return msgspec.structs.replace(row, latency_reason=str(error))
    with staging(shop.staging) as place:
        write_atomic(place / LATENCY, encode_json(latency))
        keep_folder("artifacts", key, place)
    return msgspec.structs.replace(row, latency=latency)


def publish(shop: Shop, name: str, row: TargetReport, staged: Path) -> TargetReport:
    """Move a finished artifact to OUT/`name`; an older one there is replaced in one step."""
    if row.status != "ok":
        return row
    publish_folder(staged / "artifact", shop.out / name, shop.staging / f"{name}.old")
    preview = ""
    if (staged / PREVIEW).is_file():
        preview = f"previews/{name}.png"
        publish_file(staged / PREVIEW, shop.out / preview)
    return msgspec.structs.replace(row, folder=name, preview=preview)


def staging_places(shop: Shop, builds: Sequence[Build]) -> dict[Build, Path]:
    """Return a staging folder for every build, by its name."""
    return {build: shop.staging / build.folder_name for build in builds}
