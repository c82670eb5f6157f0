"""Host latency: several process launches, each warmed up, and the median of their medians.

Within one process a model repeats to a fraction of a percent; between launches it can differ twofold, so the launch
is the unit of repetition.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge.artifact import read_manifest
from edge.errors import EdgeError
from edge.jobs import Job, run_job
from edge.runtimes import open_session
from edge.threads import thread_count

LAUNCHES = 5
WARM_UP_S = 0.2
MIN_RUNS = 20
MIN_MEASURE_S = 0.4
LAUNCH_TIMEOUT_S = 300.0
_BOOTSTRAPS = 2000


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


def measure_host(artifact: Path, log: Path, *, launches: int = LAUNCHES) -> Latency:
    """Measure an artifact on this machine; raises what the launches raise."""
    jobs = [
        Job(
            function="edge.profile.protocol:launch_job",
            payload={"artifact": str(artifact)},
            log=log,
            timeout_s=LAUNCH_TIMEOUT_S,
        )
        for _ in range(launches)
    ]
    medians_ms = [float(run_job(job)["median_ns"]) / 1e6 for job in jobs]
    return Latency(
        device=host_name(),
        median_ms=float(np.median(medians_ms)),
        ci95_ms=bootstrap_interval(medians_ms),
        launches=launches,
        emulated=False,
        threads=thread_count(),
        launch_medians_ms=tuple(medians_ms),
    )


def bootstrap_interval(values: Sequence[float], *, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile-bootstrap interval of the median (Efron 1979), seeded."""
    generator = np.random.default_rng(seed)
    draws = generator.choice(np.asarray(values), size=(_BOOTSTRAPS, len(values)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return float(low), float(high)


def host_name() -> str:
    """Return this machine's CPU model and core count."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return f"{model} ({platform.machine()}, {os.cpu_count()} cores)"


def launch_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Load an artifact, warm it up and time single runs; one process launch of the protocol."""
    artifact = read_manifest(Path(payload["artifact"]))
    session = open_session(artifact)
    if session.mode != "native":
        raise EdgeError(f"{artifact.root} runs in mode {session.mode} here; only native runs are timed")
    generator = np.random.default_rng(0)
    inputs = {
        spec.name: generator.random(spec.shape).astype(spec.dtype)
        if spec.dtype.startswith("float")
        else generator.integers(0, 2, spec.shape).astype(spec.dtype)
        for spec in artifact.manifest.inputs
    }
    warm_until = time.perf_counter() + WARM_UP_S
    session.run(inputs)
    while time.perf_counter() < warm_until:
        session.run(inputs)
    times_ns: list[int] = []
    stop_at = time.perf_counter() + MIN_MEASURE_S
    while len(times_ns) < MIN_RUNS or time.perf_counter() < stop_at:
        start_ns = time.perf_counter_ns()
        session.run(inputs)
        times_ns.append(time.perf_counter_ns() - start_ns)
    return {"median_ns": float(np.median(times_ns)), "runs": len(times_ns)}
