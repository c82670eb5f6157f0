"""One process launch: load one runtime, warm up, time single runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

WARM_UP_S = 0.2
MIN_RUNS = 30
MIN_MEASURE_S = 0.5


def launch_job(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the median time of a run in ns, on the wall clock or on the calling thread's CPU clock."""
    clock = time.thread_time_ns if payload["clock"] == "cpu" else time.perf_counter_ns
    run = (
        _eager(payload["model"], payload["threads"])
        if not payload["artifact"]
        else _artifact(Path(payload["artifact"]))
    )
    warm_until = time.perf_counter() + WARM_UP_S
    run()
    while time.perf_counter() < warm_until:
        run()
    times_ns: list[int] = []
    started, started_cpu = time.perf_counter(), time.process_time()
    while len(times_ns) < MIN_RUNS or time.perf_counter() < started + MIN_MEASURE_S:
        start_ns = clock()
        run()
        times_ns.append(clock() - start_ns)
    busy = (time.process_time() - started_cpu) / (time.perf_counter() - started)
    return {"median_ns": float(np.median(times_ns)), "runs": len(times_ns), "cores_busy": busy}


def _artifact(root: Path) -> Callable[[], Any]:
    from edge.artifact import read_manifest
    from edge.runtimes import open_session

    artifact = read_manifest(root)
    session = open_session(artifact)
    generator = np.random.default_rng(0)
    inputs = {spec.name: generator.random(spec.shape, dtype=np.float32) for spec in artifact.manifest.inputs}
    return lambda: session.run(inputs)


def _eager(name: str, threads: int) -> Callable[[], Any]:
    import torch

    from bench.variants import load_model
    from convert.export import example_inputs

    torch.set_num_threads(threads)
    model = load_model(name)
    inputs = example_inputs(model.contract)

    def run() -> Any:
        with torch.inference_mode():
            return model.module(*inputs)

    return run
