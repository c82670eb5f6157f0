"""How many people a second are rendered, and how many poses made: `python -m bench.people`.

Pictures of 256 × 256 with all labels, as batches of tensors from worker processes; poses seen by two cameras, without
pictures, in one process. Medians of several rounds, after one to warm up; nothing else should run. OpenCV, BLAS and
torch are given one thread in each process.
"""

from __future__ import annotations

import argparse
import datetime
import os
import resource
import statistics
import time
from collections.abc import Callable

from edge.profile.machine import host_name
from edge.train.data.augment import Augmentation, Augmented
from edge.train.data.mix import mix
from edge.train.data.people import People
from edge.train.data.sample import SyntheticSamples, collate
from edge.train.data.stream import stream, use_one_core
from edge.train.data.views import ViewedPoses

_BATCH, _BLOCK, _WARM_BATCHES = 16, 256, 2


def images_per_second(workers: int, count: int, *, augmented: bool) -> float:
    """Return the rate of pictures that come out of a stream, once it flows."""
    source = SyntheticSamples(People(0))
    chosen = mix([Augmented(source, Augmentation(), 0) if augmented else source], [1], 0)
    batches = stream(
        chosen, batch=_BATCH, collate=collate, count=(count // _BATCH + _WARM_BATCHES) * _BATCH, workers=workers
    )
    for _ in range(_WARM_BATCHES):
        next(batches)
    start = time.perf_counter()
    done = sum(len(batch["image"]) for batch in batches)
    return done / (time.perf_counter() - start)


def images_per_cpu_second(count: int) -> float:
    """Return the rate of pictures per second of one core's time, which other programs' work does not change much."""
    people = People(0)
    people[0]
    start = time.process_time()
    for index in range(1, count + 1):
        people[index]
    return count / (time.process_time() - start)


def streamed_per_cpu_second(workers: int, count: int) -> float:
    """Return the rate of streamed pictures per second of one core's time, transfers included, workers' start not."""
    longer, shorter = (_cpu_seconds(workers, times * count) for times in (2, 1))
    return count / (longer - shorter)


def _cpu_seconds(workers: int, count: int) -> float:
    def used() -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    start = used()
    for _ in stream(SyntheticSamples(People(0)), batch=_BATCH, collate=collate, count=count, workers=workers):
        pass
    return used() - start


def poses_per_second(blocks: int) -> float:
    """Return the rate of poses, each seen by two cameras."""
    poses = ViewedPoses(0, block=_BLOCK)
    start = time.perf_counter()
    for index in range(blocks):
        poses[index]
    return blocks * _BLOCK / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=320, help="pictures a round")
    given = parser.parse_args()
    cores = os.cpu_count() or 1
    use_one_core(0)
    print(f"{host_name()}, {datetime.datetime.now(datetime.UTC):%Y-%m-%d}")
    cases: dict[str, Callable[[], float]] = {
        "poses/s, 1 process": lambda: poses_per_second(8),
        "images per second of a core's time, 256²": lambda: images_per_cpu_second(given.count),
        f"… streamed from {cores} workers": lambda: streamed_per_cpu_second(cores, given.count),
        "images/s, 256², 1 process": lambda: images_per_second(0, given.count, augmented=False),
        f"images/s, 256², {cores} workers": lambda: images_per_second(cores, given.count, augmented=False),
        f"images/s, 256², augmented, {cores} workers": lambda: images_per_second(cores, given.count, augmented=True),
    }
    for name, measure in cases.items():
        measure()
        rates = [measure() for _ in range(given.rounds)]
        print(f"{name:45} {statistics.median(rates):8.1f}   ({min(rates):.1f} to {max(rates):.1f})", flush=True)


if __name__ == "__main__":
    main()
