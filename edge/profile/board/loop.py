"""Time an inference in one process and print every run as a line of JSON; needs nothing but the standard library.

    {"k": "start", "schema": 1, "runtime": "onnxruntime", "version": "1.31.1", "threads": 2}
    {"k": "load", "ns": 1181000, "cold": true}
    {"k": "first", "ns": 913000}
    {"k": "warm", "t": 0, "ns": 402000}        t: when it began, since the first line of this kind
    {"k": "steady", "value": true}
    {"k": "run", "t": 20391000, "ns": 345000}
    {"k": "load", "ns": 604000, "cold": false}
    {"k": "memory", "before": 31457280, "peak": 52428800, "pss": 44040192}
    {"k": "end"}

A line {"k": "error", "type": …, "message": …} ends a launch that fails. What a killed process printed stays valid.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

SCHEMA = 1
STEADY = 0.02  # how far the medians of two tens of runs in a row may lie apart
TEN = 10
FLUSH_NS = 100_000_000
Run = Callable[[], Any]


class Limits:
    """How long to warm up and to measure; `seconds` replaces the measurement's end by a fixed time."""

    __slots__ = ("min_runs", "min_seconds", "seconds", "warmup_runs", "warmup_seconds")

    def __init__(
        self,
        min_runs: int = 30,
        min_seconds: float = 1.0,
        warmup_runs: int = 50,
        warmup_seconds: float = 5.0,
        seconds: float = 0.0,
    ) -> None:
        self.min_runs, self.min_seconds = min_runs, min_seconds
        self.warmup_runs, self.warmup_seconds = warmup_runs, warmup_seconds
        self.seconds = seconds


def add_flags(parser: argparse.ArgumentParser, threads: int) -> None:
    """Add the words that every runner takes; `threads` is what a launch without that word has."""
    parser.add_argument("--threads", type=int, default=threads)
    parser.add_argument("--warmup-runs", type=int, default=50)
    parser.add_argument("--warmup-seconds", type=float, default=5.0)
    parser.add_argument("--min-runs", type=int, default=30)
    parser.add_argument("--min-seconds", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--input", action="append", default=[])


def limits_of(options: argparse.Namespace) -> Limits:
    """Return the limits that a command line asks for."""
    return Limits(options.min_runs, options.min_seconds, options.warmup_runs, options.warmup_seconds, options.seconds)


def own_stdout() -> TextIO:
    """Keep standard output for events: what a runtime prints there goes to standard error."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return stream


class Events:
    """Print events; lines wait in the stream's buffer and are flushed ten times a second, between runs."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._flushed_ns = 0

    def say(self, line: str) -> None:
        """Print an event and flush it."""
        self._stream.write(line + "\n")
        self._stream.flush()

    def run(self, kind: str, start_ns: int, duration_ns: int) -> None:
        """Print a run."""
        self._stream.write(f'{{"k":"{kind}","t":{start_ns},"ns":{duration_ns}}}\n')
        now_ns = time.perf_counter_ns()
        if now_ns - self._flushed_ns > FLUSH_NS:
            self._stream.flush()
            self._flushed_ns = now_ns


def timed(function: Run) -> tuple[Any, int]:
    """Return a function's result and how many nanoseconds it took."""
    start_ns = time.perf_counter_ns()
    result = function()
    return result, time.perf_counter_ns() - start_ns


def measure(
    load: Callable[[], Run], limits: Limits, events: Events, after_runs: Callable[[], None] = lambda: None
) -> None:
    """Load, run once, warm up until steady, run, and load again; every duration is printed.

    `after_runs` is called while the one model is all that is loaded.
    """
    run, load_ns = timed(load)
    events.say(f'{{"k":"load","ns":{load_ns},"cold":true}}')
    _, first_ns = timed(run)
    events.say(f'{{"k":"first","ns":{first_ns}}}')
    steady = warm_up(run, limits, events)
    events.say(f'{{"k":"steady","value":{"true" if steady else "false"}}}')
    repeat(run, limits, events)
    after_runs()
    del run  # so that memory never holds the model twice
    if not limits.seconds:
        _, load_ns = timed(load)
        events.say(f'{{"k":"load","ns":{load_ns},"cold":false}}')


def warm_up(run: Run, limits: Limits, events: Events) -> bool:
    """Run until the medians of the last two tens of runs agree; return false if that took too long."""
    clock = time.perf_counter_ns
    begin_ns = clock()
    taken: list[int] = []
    while len(taken) < limits.warmup_runs and clock() - begin_ns < limits.warmup_seconds * 1e9:
        start_ns = clock()
        run()
        taken.append(clock() - start_ns)
        events.run("warm", start_ns - begin_ns, taken[-1])
        if len(taken) >= 2 * TEN and agree(taken[-2 * TEN : -TEN], taken[-TEN:]):
            return True
    return False


def repeat(run: Run, limits: Limits, events: Events) -> None:
    """Run and print each run, at least so often and so long."""
    clock = time.perf_counter_ns
    least, begin_ns = limits.min_runs, clock()
    until_ns = begin_ns + int((limits.seconds or limits.min_seconds) * 1e9)
    if limits.seconds:
        least = 1
    count, start_ns = 0, begin_ns
    while count < least or start_ns < until_ns:
        start_ns = clock()
        run()
        end_ns = clock()
        events.run("run", start_ns - begin_ns, end_ns - start_ns)
        count += 1


def agree(before: list[int], after: list[int]) -> bool:
    """Say whether the medians of two tens of runs lie within 2 %."""
    first, second = sorted(before), sorted(after)
    a, b = first[4] + first[5], second[4] + second[5]  # twice the medians of ten
    return abs(a - b) <= STEADY * min(a, b)


def memory_line(before: int) -> str:
    """Return the event of this process's memory (Linux: proc(5), VmHWM and Pss, in KiB)."""
    peak = status_bytes("/proc/self/status", "VmHWM:")
    pss = status_bytes("/proc/self/smaps_rollup", "Pss:")
    return f'{{"k":"memory","before":{before},"peak":{peak},"pss":{pss if pss else "null"}}}'


def status_bytes(path: str, field: str) -> int:
    """Return a field of a file of /proc in bytes; 0 where there is none."""
    try:
        with open(path, encoding="ascii") as stream:
            return next((int(line.split()[1]) * 1024 for line in stream if line.startswith(field)), 0)
    except OSError:
        return 0
