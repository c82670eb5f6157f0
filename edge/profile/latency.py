"""The latency that a deploy's report tells: a short profile on this machine."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
import numpy as np

from edge.artifact import read_manifest
from edge.errors import TargetError
from edge.profile.devices.host import Host
from edge.profile.estimate import measured, times_ms
from edge.profile.inputs import write_random
from edge.profile.machine import host_name
from edge.profile.protocol import Settings, Subject, measure_latency, opened
from edge.profile.statistics import bootstrap_interval
from edge.threads import thread_count

LAUNCHES = 5
_MIN_RUNS = 20
_MIN_SECONDS = 0.4
_WARMUP_SECONDS = 1.0


class Latency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The latency of one inference, in milliseconds, and how it was measured."""

    device: str
    median_ms: float
    ci95_ms: tuple[float, float]
    launches: int
    emulated: bool
    threads: int
    launch_medians_ms: tuple[float, ...]
    harness: str = "python"
    inputs: str = "random"


def measure_host(artifact: Path, *, launches: int = LAUNCHES) -> Latency:
    """Measure an artifact on this machine; raises the EdgeError that a launch ended with."""
    found = read_manifest(artifact)
    settings = Settings(
        launches=launches,
        min_runs=_MIN_RUNS,
        min_seconds=_MIN_SECONDS,
        warmup_seconds=_WARMUP_SECONDS,
        threads=thread_count(),
        harness="python",
    )
    with tempfile.TemporaryDirectory(prefix="edge-latency-") as folder:
        subject = Subject(artifact=found, inputs=write_random(found, Path(folder)))
        with opened(Host(()), [subject], settings, lambda line: None) as session:
            measure_latency(session)
    variant = session.placed[0].variant
    whole = measured(variant.launches)
    if variant.problem or variant.estimate is None:
        raise TargetError(f"{artifact} was not timed: {variant.problem}")
    if variant.emulated:
        raise TargetError(f"{artifact} runs on an emulator here; only native runs are timed")
    medians_ms = [float(np.median(times_ms(launch))) for launch in whole]
    return Latency(
        device=host_name(),
        median_ms=variant.estimate.median_ms,
        ci95_ms=bootstrap_interval(medians_ms),
        launches=len(whole),
        emulated=False,
        threads=variant.threads,
        launch_medians_ms=tuple(medians_ms),
        harness=variant.harness,
    )
