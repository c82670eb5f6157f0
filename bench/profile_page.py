"""`python -m bench.profile_page`: how long the page of a large profile takes to open in headless Chromium.

The profile is synthetic: three variants of ten launches, one of them in two modes, a sustained course that throttles,
and a model of 1,000 operators.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from edge.errors import EdgeError, MissingError
from edge.profile.estimate import estimate, ratios
from edge.profile.estimate import sustained as course
from edge.profile.records import (
    Cluster,
    DeviceRecord,
    DeviceState,
    Energy,
    Launch,
    Memory,
    OperatorPass,
    OperatorTime,
    Peaks,
    Profile,
    Protocol,
    Sustained,
    Variant,
)
from edge.report.profile_page import write_profile_page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
VARIANTS = (("executorch-xnnpack", "fp32", 9.1), ("litert-cpu", "fp32", 11.8), ("onnx-cpu", "fp32", 8.9))
_BIMODAL = "litert-cpu"
_CLOCK = """<script>
["DOMContentLoaded", "load"].forEach(function (name) {
  addEventListener(name, function () {
    document.body.offsetHeight;  // lays the page out
    document.documentElement.dataset[name.toLowerCase()] = performance.now().toFixed(1);
  });
});
</script></body>"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, open it several times, and print its size and the medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--operators", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=20_000, help="of each launch")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="write the page here")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        out = options.keep or Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        page = write_profile_page(synthetic(options.operators, options.runs), out)
        found = [opened(page, Path(folder)) for _ in range(options.times)]
        print(f"{options.operators} operators, {options.runs} runs a launch: {page.stat().st_size / 1e6:.2f} MB")
        for name in ("domcontentloaded", "load"):
            values = [times[name] for times in found]
            print(f"{name}: median {statistics.median(values):.0f} ms, longest {max(values):.0f} ms of {len(values)}")
    return 0


def opened(page: Path, folder: Path) -> dict[str, float]:
    """Open a page in a browser and return milliseconds from navigation to its two events, layout included."""
    timed = folder / "timed.html"
    timed.write_text(page.read_text().replace("</body>", _CLOCK))
    done = subprocess.run(
        [browser(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'browser'}",
         "--dump-dom", timed.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return {name: float(value) for name, value in re.findall(r'data-(domcontentloaded|load)="([0-9.]+)"', done.stdout)}


def browser() -> str:
    """Return the path of a Chromium; raises MissingError."""
    import shutil

    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise MissingError("no Chromium to open the page with; get one with `apt-get install chromium`")
    return found


def synthetic(operators: int = 1000, runs: int = 2000, launches: int = 10, seed: int = 0) -> Profile:
    """Return a profile as a phone could give it; every number is drawn from a seeded generator."""
    generator = np.random.default_rng(seed)
    order = iter(generator.permutation(len(VARIANTS) * launches).tolist())
    variants = [
        variant(name, precision, centre, [next(order) for _ in range(launches)], runs, generator)
        for name, precision, centre in VARIANTS
    ]
    energy = Energy(
        source="battery current", runs=3000, seconds=30.0, idle_watts=0.61, busy_watts=3.9, millijoules=29.9
    )
    variants[0] = msgspec.structs.replace(
        variants[0],
        operators=operator_pass(operators, generator),
        sustained=sustained(generator),
        energy=energy,
        operators_reason="",
        energy_reason="",
    )
    return Profile(
        date="2026-01-31T12:00:00Z", kit="0.1.0",
        device=DeviceRecord(
            id="adb:0123456789", name="Synthetic phone", soc="SM8650", system="Android 15", machine="aarch64", cores=8,
            clusters=(Cluster(cores=(0, 1), max_khz=2265600, governor="walt"),
                      Cluster(cores=(2, 3, 4, 5, 6), max_khz=3148800, governor="walt"),
                      Cluster(cores=(7,), max_khz=3398400, governor="walt")),
            ram_bytes=11_500_000_000,
        ),
        thermal_gate="passed",
        protocol=Protocol(launches=launches, min_runs=30, min_seconds=1.0, warmup_runs=50, warmup_seconds=5.0,
                          seed=seed, prefix=("taskset", "f0"), threads=4, sustain_seconds=600.0),
        variants=tuple(variants), ratios=ratios(variants),
    )  # fmt: skip


def variant(
    name: str, precision: str, centre: float, orders: Sequence[int], runs: int, generator: np.random.Generator
) -> Variant:
    """Return a variant whose launches lie around a centre in milliseconds; one of them in two modes."""
    made = []
    for place, order in enumerate(orders):
        level = centre * (1.45 if name == _BIMODAL and place % 3 == 2 else 1.0) * float(generator.normal(1, 0.006))
        made.append(_launch(order, level, runs, generator))
    return Variant(
        name=f"{name}@{precision}", artifact=f"out/{name}@{precision}", sha256="0123456789abcdef" * 4,
        model="blazepose-full", target=name, precision=precision, harness="native", runtime=f"{name.split('-')[0]} 1.0",
        threads=4, inputs="real", emulated=False, launches=tuple(made), operators_reason="asked of one variant only",
        memory=Memory(before_load_bytes=21_000_000, peak_bytes=int(48e6 + centre * 1e6), pss_bytes=39_000_000),
        energy_reason="asked of one variant only",
        estimate=estimate(made),
    )  # fmt: skip


def _launch(order: int, level: float, runs: int, generator: np.random.Generator) -> Launch:
    """Return runs that follow each other (AR(1)), with stalls."""
    noise = generator.normal(0, 0.006, runs)
    for at in range(1, runs):
        noise[at] += 0.6 * noise[at - 1]
    stalls = np.where(generator.random(runs) < 0.01, generator.exponential(0.25, runs), 0.0)
    times = level * (1 + noise + stalls)
    state = DeviceState(
        at_s=order * 12.0, thermal="none", celsius={"battery": 30 + 0.1 * order, "skin": 31 + 0.2 * order},
        battery_percent=81.0 - order / 10, charging=False, khz=(2265600, 3148800, 3398400), load=1.2,
    )  # fmt: skip
    return Launch(
        order=order, cold_load_ns=int(level * 6e6), warm_load_ns=int(level * 2e6), first_ns=int(level * 1.9e6),
        warmup_ns=tuple(int(level * 1.1e6) for _ in range(20)), steady=True,
        runs_ns=tuple(int(value) for value in times * 1e6), state=state,
    )  # fmt: skip


def sustained(generator: np.random.Generator, seconds: float = 600.0) -> Sustained:
    """Return ten minutes in which the device becomes hot and slow."""
    starts, at = [], 0.0
    durations = []
    while at < seconds:
        heat = 1 / (1 + np.exp(-(at - 210) / 25))
        durations.append(9.1 * (1 + 0.42 * heat) * float(generator.normal(1, 0.03)))
        starts.append(at)
        at += durations[-1] / 1e3
    launch = Launch(
        order=30, cold_load_ns=54_000_000, first_ns=17_000_000, warmup_ns=(), steady=True,
        runs_ns=tuple(int(value * 1e6) for value in durations), starts_ns=tuple(int(value * 1e9) for value in starts),
    )  # fmt: skip
    states = {
        float(start): DeviceState(
            at_s=start, thermal="none" if start < 180 else "light" if start < 360 else "moderate",
            celsius={"battery": 30 + start / 60, "skin": 31 + start / 40},
        )
        for start in range(0, int(seconds), 30)
    }  # fmt: skip
    found = course(launch, states)
    if found is None:
        raise EdgeError("a course of no runs")
    return found


def operator_pass(count: int, generator: np.random.Generator) -> OperatorPass:
    """Return operators as a convolutional network has them, with their work and what bounds them."""
    peaks = Peaks(
        flops_per_s={"float32": 96e9, "int8": 310e9}, bytes_per_s=21e9, how="measured: 4 threads, GEMM and copy"
    )
    work = {"conv2d": (13.0, 1.2), "depthwise_conv2d": (11.5, 1), "add": (11, 1), "hardswish": (12, 1), "mean": (11, 1)}
    made, at = [], 0.0
    for index in range(count):
        kind = ("conv2d", "depthwise_conv2d", "add", "conv2d", "hardswish", "mean", "reshape")[index % 7]
        flops = int(generator.lognormal(*work[kind])) if kind != "reshape" else None
        size = int(generator.lognormal(10.4, 0.8)) if kind != "reshape" else 4096
        least = max((flops or 0) / 96e9, size / 21e9) * 1e6
        taken = least / float(generator.uniform(0.2, 0.9)) + float(generator.uniform(0.3, 1.5))
        bound = "unknown" if flops is None else "overhead" if least < 0.3 * taken else (
            "compute" if flops / 96e9 > size / 21e9 else "memory")  # fmt: skip
        made.append(OperatorTime(
            name=f"features/{index // 7}/{kind}_{index}", type=kind, source=f"aten.{kind}.default", backend="XNNPACK",
            unit="cpu", median_us=taken, ci95_us=(taken * 0.97, taken * 1.04), start_us=at, flops=flops, bytes=size,
            bound=bound, roof_share=least / taken))  # fmt: skip
        at += taken + 0.2
    total = sum(item.median_us for item in made)
    return OperatorPass(
        tool="ETDump", operators=tuple(made), runs=60, whole_us=at, overhead=0.031, coverage=total / at,
        unit_share={"cpu": 1.0}, peaks=peaks, remarks=("Times are of the profiler's own runs.",),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
