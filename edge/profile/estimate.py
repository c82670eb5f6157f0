"""From launches to an estimate, to ratios and to a course over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edge.profile.records import DeviceState, Estimate, Launch, Mode, Ratio, Summary, Sustained, Variant, Window
from edge.profile.statistics import Times, course, groups, interval, ratio_interval, verdict

WINDOW_S = 30.0


def times_ms(launch: Launch) -> Times:
    """Return a launch's runs in milliseconds."""
    return np.asarray(launch.runs_ns, dtype=np.float64) / 1e6


def measured(launches: Sequence[Launch]) -> list[Launch]:
    """Return the launches that ended as they should."""
    return [launch for launch in launches if launch.runs_ns and not launch.problem]


def estimate(launches: Sequence[Launch]) -> Estimate | None:
    """Return the latency that whole launches show; None without any."""
    whole = measured(launches)
    if not whole:
        return _summarized([launch.summary for launch in launches if launch.summary and not launch.problem])
    runs = [times_ms(launch) for launch in whole]
    medians = [float(np.median(part)) for part in runs]
    return Estimate(
        launches=len(whole),
        runs=sum(len(part) for part in runs),
        median_ms=float(np.median(medians)),
        ci95_ms=interval(runs),
        p90_ms=_across(runs, 0.9),
        p90_ci95_ms=interval(runs, 0.9),
        p99_ms=_across(runs, 0.99),
        min_ms=float(min(part.min() for part in runs)),
        first_ms=_median(whole, lambda launch: launch.first_ns) or 0.0,
        cold_load_ms=_median(whole, lambda launch: launch.cold_load_ns) or 0.0,
        warm_load_ms=_median(whole, lambda launch: launch.warm_load_ns),
        modes=tuple(_mode(whole, medians, group) for group in groups(medians)),
    )


def _summarized(found: Sequence[Summary]) -> Estimate | None:
    """Return what summaries show: the median over launches of their medians, or of their means where there are none."""
    if not found:
        return None
    known = [summary.median_ns for summary in found if summary.median_ns is not None]
    centres = np.asarray(known if len(known) == len(found) else [summary.mean_ns for summary in found]) / 1e6
    return Estimate(
        launches=len(found),
        runs=sum(summary.runs for summary in found),
        median_ms=float(np.median(centres)),
        ci95_ms=interval([np.asarray([centre]) for centre in centres]),
        min_ms=min(summary.min_ns for summary in found) / 1e6,
        first_ms=_middle([summary.first_ns for summary in found]) or 0.0,
        cold_load_ms=_middle([summary.load_ns for summary in found]) or 0.0,
        modes=tuple(_plain_mode(centres[list(group)]) for group in groups(centres.tolist())),
    )


def _plain_mode(medians: Times) -> Mode:
    return Mode(median_ms=float(np.median(medians)), launches=len(medians))


def _across(runs: Sequence[Times], quantile: float) -> float:
    """Return the median over launches of a quantile within each."""
    return float(np.median([np.quantile(part, quantile) for part in runs]))


def _median(launches: Sequence[Launch], read: Callable[[Launch], int | None]) -> float | None:
    return _middle([read(launch) for launch in launches])


def _middle(values: Sequence[int | None]) -> float | None:
    """Return the median of the nanoseconds that are known, in milliseconds."""
    found = [value for value in values if value is not None]
    return float(np.median(found)) / 1e6 if found else None


def _mode(launches: Sequence[Launch], medians: Sequence[float], group: Sequence[int]) -> Mode:
    states = [launches[index].state for index in group]
    speeds = [max(state.khz) for state in states if state is not None and state.khz]
    return Mode(
        median_ms=float(np.median([medians[index] for index in group])),
        launches=len(group),
        khz=int(np.median(speeds)) if speeds else None,
    )


def ratios(variants: Sequence[Variant]) -> tuple[Ratio, ...]:
    """Compare every variant with the first one."""
    return tuple(ratio(variant, variants[0]) for variant in variants[1:])


def ratio(variant: Variant, reference: Variant) -> Ratio:
    """Compare two variants whose launches were interleaved; unknown where they must not be compared."""
    why = _incomparable(variant, reference)
    above, below = measured(variant.launches), measured(reference.launches)
    if why or variant.estimate is None or reference.estimate is None:
        why = why or "one of them was not measured"
        return Ratio(name=variant.name, reference=reference.name, ratio=None, verdict="unknown", reason=why)
    found = ratio_interval([times_ms(item) for item in above], [times_ms(item) for item in below])
    return Ratio(
        name=variant.name,
        reference=reference.name,
        ratio=variant.estimate.median_ms / reference.estimate.median_ms,
        ci95=found,
        verdict=verdict(found),
        reason="" if found else "fewer than five launches show no interval",
    )


def _incomparable(variant: Variant, reference: Variant) -> str:
    if variant.emulated or reference.emulated:
        return "emulated times say nothing about a device"
    if variant.harness != reference.harness:
        return f"harnesses differ ({variant.harness}, {reference.harness})"
    if variant.threads != reference.threads:
        return f"threads differ ({variant.threads}, {reference.threads})"
    return ""


def sustained(launch: Launch, states: Mapping[float, DeviceState], window_s: float = WINDOW_S) -> Sustained | None:
    """Return what one long launch shows; `states` are readings by the second of the launch. None without runs."""
    if not launch.runs_ns:
        return None
    starts = np.asarray(launch.starts_ns, dtype=np.float64) / 1e9
    found = course(starts, times_ms(launch), window_s)
    readings = {int(at // window_s): state for at, state in states.items()}
    windows = [
        Window(start_s=start, runs=count, median_ms=median, state=readings.get(int(start // window_s)))
        for start, count, median in zip(found.starts_s, found.counts, found.medians, strict=True)
    ]
    return Sustained(
        seconds=float(starts[-1]) + launch.runs_ns[-1] / 1e9,
        windows=tuple(windows),
        burst_ms=found.burst,
        steady_ms=found.steady,
        ratio=found.steady / found.burst,
        ratio_ci95=found.ratio_ci95,
        throttled_at_s=found.throttled_at_s,
        launch=launch,
        problem=launch.problem,
    )
