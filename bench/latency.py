"""`python -m bench.latency`: eager, every runtime's stock exporter and ours, interleaved in one run.

Each launch is a process of its own that imports one runtime; launches of all variants of a model are shuffled, so
that a busy spell of the machine falls on all of them. Figures are medians over launches of the medians within one.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import shutil
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.variants import VARIANTS, Variant, artifact_folder
from convert.targets import TARGETS
from edge.errors import EdgeError
from edge.jobs import Job, run_job
from edge.profile.machine import host_name
from edge.zoo import MODELS, device_models

DEFAULT_MODELS = ("lraspp-mobilenet-v3-large", "deeplabv3-mobilenet-v3-large", "blazepose-full", "selfie-segmentation")
CACHE = Path(".cache/bench")
_REFERENCE = "litert stock"
Medians = dict[str, float]  # variant → ms


def main(arguments: list[str] | None = None) -> int:
    """Print the table; returns 1 if a variant could not be built or run."""
    options = _parse(arguments)
    models = list(device_models()) if options.models == ["all"] else options.models
    failures: list[str] = []
    results = {model: _measure(model, options, failures) for model in models}
    _print(results, options)
    if options.json:
        record = {"machine": host_name(), "date": _today(), "threads": options.threads, "clock": options.clock}
        Path(options.json).write_text(
            json.dumps({**record, "launches": options.launches, "median_ms": results}, indent=2)
        )
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description=__doc__)
    parser.add_argument(
        "--models", nargs="+", default=list(DEFAULT_MODELS), help="zoo models, or 'all' that are meant for a device"
    )
    parser.add_argument("--launches", type=int, default=3, help="process launches per variant")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: for busy machines, one thread")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where artifacts are kept between runs")
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args(arguments)
    if options.clock == "cpu" and options.threads != 1:
        parser.error("--clock cpu times the calling thread alone; add --threads 1")
    if options.launches < 1 or options.threads < 1:
        parser.error("--launches and --threads are numbers from 1")
    return options


def _measure(model: str, options: argparse.Namespace, failures: list[str]) -> Medians:
    """Build what is not cached, then launch all variants in random order."""
    MODELS[model]  # an unknown name fails here, before anything is built
    present = [variant for variant in VARIANTS if not variant.target or variant.target in TARGETS]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        built = list(pool.map(lambda variant: _attempt(_build, model, variant, options, failures), present))
    ready = [variant for variant, folder in zip(present, built, strict=True) if folder is not None]
    folders = dict(zip(present, built, strict=True))
    order = [variant for variant in ready for _ in range(options.launches)]
    random.shuffle(order)
    times: dict[str, list[float]] = {}
    for done, variant in enumerate(order):
        print(f"\r{model}: launch {done + 1} of {len(order)}  ", end="", file=sys.stderr, flush=True)
        result = _attempt(_launch, model, variant, options, failures, folders[variant])
        if result is not None:
            times.setdefault(variant.name, []).append(result["median_ns"] / 1e6)
    print(file=sys.stderr)
    return {variant.name: statistics.median(times[variant.name]) for variant in ready if variant.name in times}


def _attempt(
    function: Any, model: str, variant: Variant, options: argparse.Namespace, failures: list[str], *rest: Any
) -> Any:
    try:
        return function(model, variant, options, *rest)
    except EdgeError as error:
        failures.append(f"{model}, {variant.name}: {error}")
        return None


def _build(model: str, variant: Variant, options: argparse.Namespace) -> Path:
    if not variant.target:
        return Path()
    folder = artifact_folder(options.cache.resolve(), model, variant)
    if folder.is_dir():
        return folder
    options.cache.mkdir(parents=True, exist_ok=True)
    print(f"{model}: building {variant.name}", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=options.cache, prefix="building-") as scratch:
        payload = {
            "model": model,
            "target": variant.target,
            "stock": variant.stock,
            "folder": str(Path(scratch).resolve()),
        }
        log = options.cache / f"{folder.name}.log"
        run_job(
            Job(function="bench.variants:build_job", payload=payload, log=log, environment={"OMP_NUM_THREADS": "1"})
        )
        shutil.copytree(scratch, folder)
    return folder


def _launch(model: str, variant: Variant, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    payload = {
        "model": model, "artifact": str(folder) if variant.target else "",
        "threads": options.threads, "clock": options.clock,
    }  # fmt: skip
    environment = {"EDGE_THREADS": str(options.threads), "OMP_NUM_THREADS": str(options.threads)}
    log = options.cache.resolve() / "launches.log"
    return run_job(Job(function="bench.launch:launch_job", payload=payload, log=log, environment=environment))


def _print(results: dict[str, Medians], options: argparse.Namespace) -> None:
    clock = "wall clock" if options.clock == "wall" else "CPU time"
    print(f"{host_name()}, {options.threads} threads, {_today()}, Python {platform.python_version()};")
    print(f"median {clock} of one inference in ms over {options.launches} launches, fp32.\n")
    print("| model | variant | ms | ÷ LiteRT stock | ÷ same runtime's stock |\n| --- | --- | --: | --: | --: |")
    for model, medians in results.items():
        for name, value in medians.items():
            stock = medians.get(f"{name.split(' ')[0]} stock")
            ratios = f"{_ratio(value, medians.get(_REFERENCE))} | {_ratio(value, stock)}"
            print(f"| {model} | {name} | {value:.2f} | {ratios} |")


def _ratio(value: float, reference: float | None) -> str:
    return f"{value / reference:.2f}" if reference else "–"


def _today() -> str:
    return datetime.date.today().isoformat()


if __name__ == "__main__":
    sys.exit(main())
