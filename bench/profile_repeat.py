"""`python -m bench.profile_repeat ARTIFACT…`: does a second profile agree with the first, on a busy machine?

It runs `edge profile --json` again and again while another process loads the machine in spells, and counts how often
the 95 % interval of an artifact's latency overlaps that of the profile before. For comparison it counts the same for
the interval that pooling all runs would give.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import itertools
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from edge.profile.estimate import measured, times_ms
from edge.profile.machine import host_name
from edge.profile.records import Interval, Profile, Variant
from edge.profile.statistics import bootstrap_interval

_LOAD = "bench.profile_repeat"


def main(arguments: list[str] | None = None) -> int:
    """Print how often intervals overlap; returns 1 if an artifact's did in fewer than nine of ten repetitions."""
    options = _parse(arguments)
    if options.load:
        return _spells(options.seed)
    with _busy(options) as how, tempfile.TemporaryDirectory(prefix="edge-repeat-") as folder:
        profiles = [_profile(options, Path(folder), number) for number in range(options.repetitions + 1)]
    print(f"{host_name()}, {datetime.date.today()}, {how}; {options.repetitions} repetitions,")
    print(f"{profiles[0].protocol.launches} launches each, {profiles[0].protocol.threads} threads\n")
    print("| artifact | median ms, smallest … largest | overlapping | if runs were pooled |\n| --- | --: | --: | --: |")
    worst = 1.0
    for rows in zip(*(profile.variants for profile in profiles), strict=True):
        share = _overlaps([row.estimate.ci95_ms for row in rows if row.estimate and row.estimate.ci95_ms])
        pooled = _overlaps([_pooled(row) for row in rows])
        medians = [row.estimate.median_ms for row in rows if row.estimate]
        worst = min(worst, share)
        spread = f"{min(medians):.2f} … {max(medians):.2f}"
        print(f"| {rows[0].name} | {spread} | {_of(share, options)} | {_of(pooled, options)} |")
    if options.json:
        kept = [[row.estimate for row in profile.variants] for profile in profiles]
        Path(options.json).write_text(json.dumps(msgspec.to_builtins(kept), indent=1))
    return 0 if worst >= 0.9 else 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.profile_repeat", description=__doc__)
    parser.add_argument("artifacts", nargs="*", type=Path)
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--launches", type=int, default=10)
    parser.add_argument("--quiet", action="store_true", help="do not load the machine")
    parser.add_argument("--json", help="also write the estimates to this file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--load", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if not options.artifacts and not options.load:
        parser.error("name the artifacts to profile: folders that `edge deploy` made")
    return options


def _profile(options: argparse.Namespace, folder: Path, number: int) -> Profile:
    print(f"\rprofile {number + 1} of {options.repetitions + 1}", end="", file=sys.stderr, flush=True)
    words = ["--no-operators", "--no-memory", "--launches", str(options.launches), "--out", str(folder), "--json"]
    command = [sys.executable, "-m", "edge.cli", "profile", *map(str, options.artifacts), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"edge profile ended with {done.returncode}: {done.stderr}")
    return msgspec.json.decode(done.stdout, type=Profile)


def _pooled(row: Variant) -> Interval:
    runs = np.concatenate([times_ms(launch) for launch in measured(row.launches)])
    return bootstrap_interval(np.random.default_rng(0).permutation(runs)[:2000].tolist())


def _overlaps(intervals: Sequence[Interval]) -> float:
    pairs = list(itertools.pairwise(intervals))
    return sum(a[0] <= b[1] and b[0] <= a[1] for a, b in pairs) / len(pairs) if pairs else 0.0


def _of(share: float, options: argparse.Namespace) -> str:
    return f"{round(share * options.repetitions)} of {options.repetitions}"


@contextmanager
def _busy(options: argparse.Namespace) -> Iterator[str]:
    """Load the machine in spells while profiles run."""
    if options.quiet:
        yield "nothing else running"
        return
    process = subprocess.Popen([sys.executable, "-m", _LOAD, "--load", "--seed", str(options.seed)])
    try:
        yield "another process busy in spells of 0.5 to 8 s, half of the time"
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)


def _spells(seed: int) -> int:
    generator = random.Random(seed)
    while True:
        until = time.monotonic() + generator.uniform(0.5, 8)
        while time.monotonic() < until:
            sum(range(20_000))
        time.sleep(generator.uniform(0.5, 8))


if __name__ == "__main__":
    sys.exit(main())
