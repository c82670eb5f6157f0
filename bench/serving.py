"""`python -m bench.serving`: what the server adds to a model, how it batches, scales and lasts.

The model runs bare, in this process, and behind `edge serve`, in turns, with as many threads. Results go to
OUT/serving.json, and with --page into docs/serving.md.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil

from bench.serving_load import Connection, Load, Shot
from edge.profile.machine import host_name
from edge.serve.requests import encode_request
from edge.serve.wire import Message, Tensor
from edge.server.config import ModelConfig
from edge.server.engine import Engine, open_engine
from edge.zoo import MODELS

LONE = "blazepose-detector"  # 1 × 3 × 224 × 224 floats are 602,112 bytes; its graph takes one row
QUICK = "selfie-segmentation"  # its rows are computed together, and so are those of the next
SLOW = "deeplabv3-mobilenet-v3-large"  # more than 20 ms a row, random weights; answers of 5.5 MB
SINGLE = "blazepose-heavy"  # more than 20 ms too, row by row, for its graph takes one; answers of 0.9 MB
THREADS = 1  # of the model, so that the second core is left to the server and to who asks it
BATCH = 8
CLIENTS = 32
PAGE = Path("docs/serving.md")


def main(arguments: list[str] | None = None) -> int:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(prog="python -m bench.serving", description=__doc__)
    parser.add_argument("--turns", type=int, default=200, help="bare and served calls, one after the other")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each throughput")
    parser.add_argument("--minutes", type=float, default=10.0, help="at 80 % of the throughput")
    parser.add_argument("--out", type=Path, default=Path("out/serving"))
    parser.add_argument("--page", action="store_true", help=f"write the table into {PAGE}")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    found = measure(options.turns, options.seconds, options.minutes, options.out)
    (options.out / "serving.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(table(found))
    if options.page:
        write_page(found)
    return 0


def measure(turns: int, seconds: float, minutes: float, out: Path) -> dict[str, Any]:
    """Return all numbers: latency at concurrency 1, throughput at 32 with 1 and 2 replicas, and the long run."""
    found: dict[str, Any] = {"machine": host_name(), "date": str(datetime.date.today())}
    with served(out, LONE, replicas=1) as (url, _):
        subject = Subject.of(LONE, "scores")
        found["lone_bytes"] = len(subject.message.body)
        found |= asyncio.run(latencies(subject, url, turns))
    subject = Subject.of(SLOW)
    found["slow_bytes"] = len(subject.message.body)
    with served(out, SLOW, replicas=1) as (url, _):
        found["slow_bare"], found["slow"] = in_turns(subject, url, seconds)
    with served(out, SLOW, replicas=2) as (url, _):
        found["slow_2"] = asyncio.run(throughput(subject, url, seconds))
    subject = Subject.of(SINGLE)
    with served(out, SINGLE, replicas=1) as (url, _):
        found["single_bare"], found["single"] = in_turns(subject, url, seconds)
    subject = Subject.of(QUICK)
    found["quick_bytes"] = len(subject.message.body)
    with served(out, QUICK, replicas=1) as (url, process):
        found["quick_bare"], found["quick"] = in_turns(subject, url, seconds)
        found["long"] = asyncio.run(long_run(subject, url, 0.8 * found["quick"]["per_second"], minutes, process))
    return found


@dataclass(frozen=True, slots=True)
class Subject:
    """A model in this process, a row for it, and the request with that row."""

    engine: Engine
    row: dict[str, Any]
    message: Message

    @classmethod
    def of(cls, model: str, *outputs: str) -> Subject:
        """Load a model as its replica does."""
        weights: Literal["", "random"] = "" if MODELS[model].graph is not None else "random"
        engine = open_engine(ModelConfig(source=model, cpus=THREADS, max_batch=BATCH, weights=weights))
        spec = engine.contract.inputs[0]
        row = np.random.default_rng(0).random(spec.shape).astype(np.float32)
        return cls(engine, {spec.name: row}, encode_request([Tensor.of(spec.name, row)], outputs=outputs))

    def load(self, url: str) -> Load:
        """Return what asks a server for it."""
        return Load(url, f"/v2/models/{self.engine.metadata.name}/infer", self.message)


@contextlib.contextmanager
def served(out: Path, model: str, replicas: int) -> Iterator[tuple[str, psutil.Process]]:
    """Run `edge serve` on a free port of loopback."""
    config = out / "serve.toml"
    config.write_text(
        f'insecure = true\nport = 0\n[[models]]\nsource = "{model}"\ncpus = {THREADS}\nmax_batch = {BATCH}\n'
        f"min_replicas = {replicas}\nmax_replicas = {replicas}\nmax_queued = 256\n",
        encoding="utf-8",
    )
    words = [sys.executable, "-m", "edge", "serve", "--config", str(config), "--json"]
    with (out / "serve.log").open("wb") as log:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            text = ""
            for line in process.stdout or ():
                text += line
                with contextlib.suppress(ValueError):
                    url = json.loads(text)["url"]
                    break
            else:
                raise SystemExit(f"the server did not start: see {out / 'serve.log'}")
            yield url, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()


async def latencies(subject: Subject, url: str, turns: int) -> dict[str, Any]:
    """Return the medians of bare and served calls that were made in turns, and of the difference, in milliseconds."""
    load = subject.load(url)
    connection = await Connection.open(url)
    bare, shots = [], []
    for turn in range(turns + 20):
        start_s = time.perf_counter()
        subject.engine.run(subject.row)
        bare_s = time.perf_counter() - start_s
        shot = await connection.ask(load.request, time.perf_counter())
        if turn >= 20:
            bare.append(bare_s * 1e3)
            shots.append(shot)
    connection.close()
    served_ms = np.array([shot.seconds * 1e3 for shot in shots])
    added_ms = np.array([shot.seconds * 1e3 - shot.infer_ms for shot in shots])
    return {
        "bare_ms": float(np.median(bare)),
        "served_ms": float(np.median(served_ms)),
        "added_ms": [float(value) for value in np.percentile(added_ms, [50, 90, 99])],
    }


def in_turns(subject: Subject, url: str, seconds: float) -> tuple[float, dict[str, float]]:
    """Return the rows a second of bare batches and of the server, measured in three turns each."""
    batch = {name: np.concatenate([row] * BATCH) for name, row in subject.row.items()}
    bare, served_found = [], []
    for _ in range(3):
        begin_s, rows = time.perf_counter(), 0
        while time.perf_counter() - begin_s < seconds / 3:
            subject.engine.run(batch)
            rows += BATCH
        bare.append(rows / (time.perf_counter() - begin_s))
        served_found.append(asyncio.run(throughput(subject, url, seconds / 3)))
    middle = sorted(served_found, key=lambda found: found["per_second"])[1]
    return float(np.median(bare)), middle


async def throughput(subject: Subject, url: str, seconds: float) -> dict[str, float]:
    """Return answers a second to 32 clients that ask without a pause, and their latency in milliseconds."""
    load = subject.load(url)
    await load.closed(CLIENTS, 2.0)
    load.shots.clear()
    begin_s = time.perf_counter()
    await load.closed(CLIENTS, seconds)
    return {"per_second": len(load.shots) / (time.perf_counter() - begin_s), **_latency(load.shots)}


async def long_run(
    subject: Subject, url: str, per_second: float, minutes: float, process: psutil.Process
) -> dict[str, Any]:
    """Return latency, errors and memory of a long run at a steady rate."""
    load = subject.load(url)
    memory: list[float] = []
    await load.open(per_second, minutes * 60, lambda: memory.append(resident_bytes(process) / 1e6))
    tenth = max(1, len(memory) // 10)
    return {
        "per_second": per_second,
        "minutes": minutes,
        "requests": len(load.shots),
        **_latency(load.shots),
        "memory_mb": [float(np.median(memory[tenth : 2 * tenth])), float(np.median(memory[-tenth:]))],
    }


def resident_bytes(process: psutil.Process) -> int:
    """Return the resident memory of a process and everything it started."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            total += one.memory_info().rss
    return total


def _latency(shots: list[Shot]) -> dict[str, float]:
    good = [shot.seconds * 1e3 for shot in shots if shot.status == 200]
    median, p90, p99 = (float(value) for value in np.percentile(good, [50, 90, 99]))
    return {"median_ms": median, "p90_ms": p90, "p99_ms": p99, "errors": len(shots) - len(good)}


def table(found: dict[str, Any]) -> str:
    """Return the findings as Markdown."""
    slow, slow_2, quick, long = found["slow"], found["slow_2"], found["quick"], found["long"]
    added = found["added_ms"]
    before, after = long["memory_mb"]
    rows = [
        (f"{LONE}, one call, bare", f"{found['bare_ms']:.2f} ms"),
        (f"{LONE}, one call, served", f"{found['served_ms']:.2f} ms"),
        ("what the server adds", f"**{added[0]:.2f} ms** (p90 {added[1]:.2f}, p99 {added[2]:.2f})"),
        (f"{SLOW}, batches of {BATCH}, bare", f"{found['slow_bare']:.2f} a second"),
        (f"{CLIENTS} clients, 1 replica", _of_bare(slow, found["slow_bare"])),
        (f"{CLIENTS} clients, 2 replicas", f"{slow_2['per_second']:.2f} a second, "
         f"{slow_2['per_second'] / slow['per_second']:.2f} × one"),
        (f"{SINGLE}, row by row, bare", f"{found['single_bare']:.2f} a second"),
        (f"{CLIENTS} clients, 1 replica", _of_bare(found["single"], found["single_bare"])),
        (f"{QUICK}, batches of {BATCH}, bare", f"{found['quick_bare']:.2f} a second"),
        (f"{CLIENTS} clients, 1 replica", _of_bare(quick, found["quick_bare"])),
        (f"{long['minutes']:g} minutes at 80 %", f"{long['requests']} requests, {long['errors']:.0f} errors, median "
         f"{long['median_ms']:.0f} ms, p99 {long['p99_ms']:.0f} ms"),
        ("memory of all processes meanwhile", f"{before:.0f} → {after:.0f} MB"),
    ]  # fmt: skip
    lines = [
        f"{found['machine']}, {found['date']}; models with {THREADS} thread; requests of "
        f"{found['lone_bytes'] / 1e3:.0f} KB ({LONE}) and {found['slow_bytes'] / 1e3:.0f} KB (the others).",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in rows),
        "",
        arithmetic(quick["per_second"]),
    ]
    return "\n".join(lines)


def _of_bare(served_found: dict[str, float], bare: float) -> str:
    share = served_found["per_second"] / bare
    return f"{served_found['per_second']:.2f} a second, **{share:.0%}** of bare"


def arithmetic(per_second: float) -> str:
    """Say what a measured rate means for many phones."""
    each = 0.1  # requests a second of a phone: one in ten seconds has to go to the server
    replicas = 1000 * each / (0.8 * per_second)
    return (
        f"Arithmetic, not measured: if a phone sends one request in ten seconds, 1,000 phones send {1000 * each:.0f} a "
        f"second. At 80 % load that is {math.ceil(replicas)} replicas of {QUICK} with one thread, so a node of "
        f"{math.ceil(replicas) + 2} such cores, and {1000 * each * 0.8:.0f} MB a second of its network, or a tenth of "
        f"it as JPEG. A million phones are {math.ceil(1000 * replicas):,} replicas on CPUs: what a GPU, which was not "
        "measured, is for."
    )


def write_page(found: dict[str, Any]) -> None:
    """Put the table between the marks of docs/serving.md."""
    text = PAGE.read_text(encoding="utf-8")
    begin, end = "<!-- bench:begin -->", "<!-- bench:end -->"
    filled = f"{begin}\n{table(found)}\n{end}"
    PAGE.write_text(re.sub(f"{begin}.*{end}", lambda _: filled, text, flags=re.S), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
