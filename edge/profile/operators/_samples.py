"""What a profiler saw in one process, and how the processes of a pass become one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from edge.delegation import Unit
from edge.errors import TargetError
from edge.profile.records import Interval, OperatorTime
from edge.profile.statistics import Times, interval

LAUNCHES = 5  # the fewest that an interval over launches needs
REMAINDER = "unattributed"
KnownUnit = Unit | Literal["unknown"]


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One operator in one process; `us` holds its time in every run, in microseconds."""

    name: str
    type: str
    unit: KnownUnit
    backend: str
    us: tuple[float, ...]
    source: str = ""
    start_us: float | None = None
    flops: int | None = None
    bytes: int | None = None
    dtype: str = ""  # that the multiplications are done in: float32, float16, int8


class Launch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one process measured, in microseconds: operators and the whole per run, and both kinds of whole runs."""

    rows: tuple[Row, ...]
    whole_us: tuple[float, ...]  # under the profiler, by the runtime's own clock where it tells
    profiled_us: tuple[float, ...] = ()  # by this process's clock
    plain_us: tuple[float, ...] = ()  # without the profiler, in blocks between those
    remarks: tuple[str, ...] = ()


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A pass over all processes; `dtypes` belongs to `operators`, one by one."""

    operators: tuple[OperatorTime, ...]
    dtypes: tuple[str, ...]
    runs: int
    whole_us: float
    overhead: float | None
    coverage: float
    remarks: tuple[str, ...]


def combine(launches: Sequence[Launch]) -> Table:
    """Join the processes of one artifact; raises TargetError if there are none or they saw different operators."""
    launches = [launch for launch in launches if launch.whole_us]
    if not launches:
        raise TargetError("the profiler saw no whole run; measure again")
    launches = aligned(launches)
    first = launches[0].rows
    operators = [_joined([launch.rows[index] for launch in launches]) for index in range(len(first))]
    whole = float(np.median([np.median(launch.whole_us) for launch in launches]))
    coverage = _coverage(launches)
    remainder = _remainder(launches)
    dtypes = [row.dtype for row in first]
    if remainder is not None:
        operators.append(remainder)
        dtypes.append("")
    return Table(
        operators=tuple(operators),
        dtypes=tuple(dtypes),
        runs=sum(len(launch.whole_us) for launch in launches),
        whole_us=whole,
        overhead=_overhead(launches),
        coverage=coverage,
        remarks=tuple(dict.fromkeys(remark for launch in launches for remark in launch.remarks)),
    )


def aligned(launches: Sequence[Launch]) -> list[Launch]:
    """Return processes whose rows stand in the first one's order: a runtime may run independent operators in another.

    Rows of one name and type are told apart by which of them comes first. Raises TargetError for different operators.
    """
    order = _keys(launches[0].rows)
    found = []
    for launch in launches:
        rows = dict(zip(_keys(launch.rows), launch.rows, strict=True))
        if rows.keys() != set(order):
            raise TargetError("the processes of one artifact ran different operators; measure again")
        found.append(msgspec.structs.replace(launch, rows=tuple(rows[key] for key in order)))
    return found


def _keys(rows: Sequence[Row]) -> list[tuple[str, str, int]]:
    counts: Counter[tuple[str, str]] = Counter()
    keys = []
    for row in rows:
        counts[row.name, row.type] += 1
        keys.append((row.name, row.type, counts[row.name, row.type]))
    return keys


def _joined(rows: Sequence[Row]) -> OperatorTime:
    """Return the median over the processes of each one's median, and its interval over processes and runs."""
    row = rows[0]
    times = [np.asarray(found.us, dtype=np.float64) for found in rows]
    starts = [found.start_us for found in rows if found.start_us is not None]
    return OperatorTime(
        name=row.name,
        type=row.type,
        source=row.source,
        unit=row.unit,
        backend=row.backend,
        median_us=float(np.median([np.median(runs) for runs in times])),
        ci95_us=_interval(times),
        start_us=float(np.median(starts)) if starts else None,
        flops=row.flops,
        bytes=row.bytes,
    )


def _interval(times: Sequence[Times]) -> Interval | None:
    return interval(times) if all(len(runs) for runs in times) else None


def sums_us(launch: Launch) -> Times:
    """Return the operators' sum in every run of a process."""
    times = np.asarray([row.us for row in launch.rows], dtype=np.float64).reshape(len(launch.rows), -1)
    return times.sum(axis=0) if len(launch.rows) else np.zeros(len(launch.whole_us))


def _coverage(launches: Sequence[Launch]) -> float:
    """Return the median over runs of the operators' sum over the whole, run by run: a pause falls on both."""
    shares = np.concatenate([sums_us(launch) / np.maximum(launch.whole_us, 1e-9) for launch in launches])
    return float(np.median(shares))


def _remainder(launches: Sequence[Launch]) -> OperatorTime | None:
    """Return what no operator accounts for, as a row of its own; None where there is nothing."""
    rests = [np.maximum(np.asarray(launch.whole_us) - sums_us(launch), 0.0) for launch in launches]
    median = float(np.median([np.median(rest) for rest in rests]))
    if median <= 0:
        return None
    return OperatorTime(
        name=REMAINDER, type=REMAINDER, unit="unknown", backend="", median_us=median, ci95_us=interval(rests)
    )


def _overhead(launches: Sequence[Launch]) -> float | None:
    """Return how much longer a run takes under the profiler: the median over processes of the ratio, minus 1."""
    ratios = [
        float(np.median(launch.profiled_us) / np.median(launch.plain_us))
        for launch in launches
        if launch.profiled_us and launch.plain_us
    ]
    return float(np.median(ratios)) - 1.0 if ratios else None
