"""Build one artifact: compile and verify it, each in a child process, and say what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from convert.targets import TARGETS
from edge.artifact import Manifest, Parity, read_manifest
from edge.errors import EdgeError, MissingError, Refused
from edge.jobs import Job, Usage, measure_job, run_job
from edge.report.records import Status, TargetReport, now
from quant.recipe import PLAIN, Recipe

COMPILE_TIMEOUT_S = 1800.0
VERIFY_TIMEOUT_S = 1800.0
# Builds run side by side, one a core: threads of each would only wait for another's, and sums would depend on them.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Name one artifact to make."""

    target: str
    precision: str
    recipe: Recipe = PLAIN

    @property
    def folder_name(self) -> str:
        """Return the artifact's folder below the output folder."""
        return f"{self.target.replace(':', '-')}@{self.precision}"

    def __str__(self) -> str:
        return f"{self.target}@{self.precision}"


def run_build(build: Build, prepared: Path, folder: Path, preview: Path, log: Path) -> TargetReport:
    """Compile and verify one artifact into `folder`; failures become the report's status and reason."""
    start = time.monotonic()
    log.unlink(missing_ok=True)  # of an earlier build
    try:
        usage = compile_in_child(build, prepared, folder, log)
        parity = verify_in_child(folder, prepared, log, preview=preview)
    except EdgeError as error:
        return TargetReport(id=build.target, precision=build.precision, status=status_of(error), reason=str(error))
    manifest = read_manifest(folder).manifest
    return TargetReport(
        id=build.target,
        precision=build.precision,
        status="ok",
        reason=parity.reason,
        files=manifest.files,
        bytes=sum(entry.bytes for entry in manifest.files),
        steps=manifest.steps,
        parity=parity,
        delegation=manifest.delegation,
        estimates=manifest.estimates,
        seconds=round(time.monotonic() - start, 2),
        compile_seconds=round(usage.seconds, 2),
        compile_peak_bytes=usage.peak_bytes,
        made_at=now(),
    )


def compile_in_child(build: Build, prepared: Path, folder: Path, log: Path) -> Usage:
    """Compile a prepared program for a target and return what it took; raises EdgeError with the log's last lines."""
    payload = {
        "prepared": str(prepared),
        "target": build.target,
        "precision": build.precision,
        "recipe": msgspec.to_builtins(build.recipe),
        "folder": str(folder),
    }
    job = Job(
        function="convert.compile:compile_job",
        payload=payload,
        log=log,
        timeout_s=COMPILE_TIMEOUT_S,
        environment={**ONE_THREAD, **TARGETS[build.target].environment()},
    )
    return measure_job(job)


def verify_in_child(folder: Path, prepared: Path, log: Path, *, preview: Path | None = None) -> Parity:
    """Execute an artifact against a prepared reference, write the parity into its manifest and return it."""
    payload = {"artifact": str(folder), "prepared": str(prepared), "preview": str(preview) if preview else ""}
    job = Job(
        function="convert.verify:verify_job",
        payload=payload,
        log=log,
        timeout_s=VERIFY_TIMEOUT_S,
        environment=execution_environment(read_manifest(folder).manifest),
    )
    run_job(job)
    parity = read_manifest(folder).manifest.parity
    if parity is None:
        raise EdgeError(f"{folder}: verification left no parity in the manifest")
    return parity


def execution_environment(manifest: Manifest) -> dict[str, str]:
    """Return the variables that a child needs to execute an artifact; raises MissingError if its SDK is absent."""
    return TARGETS[manifest.target].environment() if manifest.target in TARGETS else {}


def status_of(error: EdgeError) -> Status:
    """Return the report status that an error stands for."""
    if isinstance(error, Refused):
        return "refused"
    return "needs-sdk" if isinstance(error, MissingError) else "failed"


def check_build(build: Build, task: str) -> None:
    """Raise UnknownName, Refused or MissingError if this build cannot be made here."""
    TARGETS[build.target].check(build.precision, task)
