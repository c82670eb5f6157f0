"""Run with and without a profiler by turns in one process, so that a busy spell of the machine falls on both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

MOST_RUNS = 20  # of each kind
FEWEST_RUNS = 3
SECONDS = 1.0  # that the runs of both kinds should take, unless they are the fewest
WARM_SECONDS = 0.2
WARM_RUNS = 5
BLOCK = 5  # runs of one kind in a row
SLOW_US = 20_000.0  # from here on, what a run leaves to the next is nothing beside it, and a block is one run
Run = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Turns:
    """The microseconds of the runs that count, and which of all the profiled runs those were."""

    profiled_us: tuple[float, ...]
    plain_us: tuple[float, ...]
    kept: tuple[int, ...]


def interleave(profiled: Run, plain: Run) -> Turns:
    """Run both kinds by turns, in blocks.

    The first run of a block of fast runs is made and not kept: the other kind's threads may still be spinning, and the
    caches are its own.
    """
    made = 0
    begin = time.perf_counter()
    while made < WARM_RUNS and (made == 0 or time.perf_counter() - begin < WARM_SECONDS):
        warm_us = max(_timed(profiled), _timed(plain))
        made += 1
    drop, block = (0, 1) if warm_us > SLOW_US else (1, BLOCK)
    seen: list[float] = []
    unseen: list[float] = []
    kept: list[int] = []
    begin = time.perf_counter()
    while len(seen) < MOST_RUNS and (len(seen) < FEWEST_RUNS or time.perf_counter() - begin < SECONDS):
        for number in range(drop + block):
            taken_us = _timed(profiled)
            if number >= drop:
                seen.append(taken_us)
                kept.append(made)
            made += 1
        unseen += [_timed(plain) for _ in range(drop + block)][drop:]
    return Turns(tuple(seen), tuple(unseen), tuple(kept))


def _timed(run: Run) -> float:
    start_ns = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - start_ns) / 1e3
