"""Time per operator: one file per profiler, one `@operators` definition per file.

    found = take(artifact, Site(device=device, record=record, inputs=paths, threads=2), peaks)

A profiler slows what it watches, so this pass runs in processes of its own and says by how much.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from edge.artifact import Artifact
from edge.errors import EdgeError, Refused
from edge.profile.devices import Device
from edge.profile.operators._samples import REMAINDER, Launch, Table, combine
from edge.profile.peaks import measure_peaks
from edge.profile.records import DeviceRecord, OperatorPass, OperatorTime, Peaks
from edge.profile.roofline import labelled, remarks_of
from edge.registry import Registry

LEAST_COVERAGE = 0.9
BUSY = 0.8  # of the whole: below it, the sum of the medians shows that runs were disturbed here and there


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where operators are timed: the open device, what it is, the inputs' files and the threads."""

    device: Device
    record: DeviceRecord
    inputs: tuple[str, ...]  # paths of raw tensors on this machine, in the order of the manifest
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a profiler measured, process by process."""

    tool: str
    launches: tuple[Launch, ...]
    estimated: bool = False
    remarks: tuple[str, ...] = ()


Pass = Callable[[Artifact, Site], Found]


@dataclass(frozen=True, slots=True)
class OperatorProfiler:
    """A way to time operators, and on which kinds of devices it works."""

    devices: tuple[str, ...]
    take: Pass


PROFILERS: Registry[OperatorProfiler] = Registry("operator profiler", "edge.profile.operators")


def operators(name: str, *, devices: tuple[str, ...]) -> Callable[[Pass], Pass]:
    """Register the profiler of a target family, or of all whose ids start with a word."""

    def decorate(function: Pass) -> Pass:
        PROFILERS.add(name, OperatorProfiler(devices, function))
        return function

    return decorate


def profiler_for(artifact: Artifact, kind: str) -> OperatorProfiler:
    """Return the profiler for an artifact on a kind of device; raises Refused if there is none."""
    family = artifact.manifest.target.partition(":")[0]
    for name in (family, family.partition("-")[0]):
        if name in PROFILERS and kind in PROFILERS[name].devices:
            return PROFILERS[name]
    raise Refused(f"no profiler tells the time of {family}'s operators on {kind}")


def take(artifact: Artifact, site: Site, peaks: Peaks | None = None) -> OperatorPass:
    """Time an artifact's operators where the site is and judge them by its peaks.

    Without `peaks`, this machine's are measured, once for each number of threads; another device's come from the native
    runner (edge.profile.peaks.read_peaks), and nothing is judged without. Raises Refused if nothing tells operators'
    times there, MissingError if a package or the device is absent, TargetError if the runtime or its profiler fails.
    """
    found = profiler_for(artifact, site.device.kind).take(artifact, site)
    if peaks is None and not found.estimated and site.device.kind == "host" and not site.record.emulated:
        peaks = _host_peaks(site.threads)
    return finish(found, peaks)


@functools.cache
def _host_peaks(threads: int) -> Peaks | None:
    try:
        return measure_peaks(threads)
    except EdgeError:  # nothing is judged then; the times stand
        return None


def finish(found: Found, peaks: Peaks | None) -> OperatorPass:
    """Return the normal form of what a profiler found: medians, coverage, shares of time by unit, the roofline."""
    table = combine(found.launches)
    judged = peaks if not found.estimated else None  # a compiler's cycles are another machine's
    operators = labelled(table.operators, table.dtypes, judged)
    return OperatorPass(
        tool=found.tool,
        operators=operators,
        runs=0 if found.estimated else table.runs,
        whole_us=table.whole_us,
        overhead=table.overhead,
        coverage=table.coverage,
        unit_share=unit_share(operators),
        estimated=found.estimated,
        peaks=judged,
        remarks=(*found.remarks, *table.remarks, *_remarks(table), *remarks_of(operators, judged)),
    )


def unit_share(operators: tuple[OperatorTime, ...]) -> dict[str, float]:
    """Return every unit's share of the operators' time, the largest first; the whole's remainder is no operator's."""
    timed = [operator for operator in operators if not is_remainder(operator)]
    total = sum(operator.median_us for operator in timed)
    found: dict[str, float] = {}
    for operator in timed:
        found[operator.unit] = found.get(operator.unit, 0.0) + operator.median_us
    shares = {unit: time_us / total if total else 0.0 for unit, time_us in found.items()}
    return dict(sorted(shares.items(), key=lambda share: -share[1]))


def is_remainder(operator: OperatorTime) -> bool:
    """Say whether a row stands for time outside every operator."""
    return operator.type == REMAINDER and operator.unit == "unknown"


def _remarks(table: Table) -> tuple[str, ...]:
    found = []
    if table.coverage < LEAST_COVERAGE:
        found.append(
            f"the operators account for {100 * table.coverage:.1f} % of the time under the profiler; "
            f"the rest is the row {REMAINDER!r}"
        )
    total = sum(operator.median_us for operator in table.operators if not is_remainder(operator))
    if table.coverage >= LEAST_COVERAGE and total < BUSY * table.whole_us:
        found.append(
            f"the operators' medians add up to {100 * total / table.whole_us:.0f} % of a run's median: the machine was "
            "busy, and every run lost time in other operators"
        )
    return tuple(found)
