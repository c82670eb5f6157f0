"""The plots of a latency profile: every launch's runs, the sustained course, and the roofline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.profile.estimate import times_ms
from edge.profile.records import Launch, OperatorPass, Profile, Sustained, Variant
from edge.profile.statistics import Times
from edge.report.figures import INK, LINE, PALETTE, SOFT, figure_svg, label
from edge.report.profile_text import ms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRAWN = 600  # runs of one launch
DRAWN_SUSTAINED = 4000
_REACH = 8  # middle halves above the middle half: beyond it lie stalls
_FEW = 150  # dots
_ROOMY = 12  # launches beside each other with room for a few words above each
_PANEL = 190.0  # pixels
_HIGHEST = 98.0  # percentile at the upper edge: a few stalls must not press all others onto the axis


def thinned(runs: Times, most: int) -> tuple[Times, Times]:
    """Return where runs lie in their launch (0 to 1) and their times, evenly spaced if there are more than `most`."""
    count = len(runs)
    kept = np.arange(count) if count <= most else np.linspace(0, count - 1, most).astype(int)
    return (kept + 0.5) / max(1, count), runs[kept]


def distributions(profile: Profile) -> str:
    """Draw the runs of every launch of every variant; empty if there are none."""
    shown = [(index, variant) for index, variant in enumerate(profile.variants) if _with_runs(variant)]
    if not shown:
        return ""

    def draw(figure: Figure) -> None:
        ratios = {"width_ratios": (8, 1)}
        panels = figure.subplots(len(shown), 2, squeeze=False, sharey="row", gridspec_kw=ratios)
        for (index, variant), (strip, margin) in zip(shown, panels, strict=True):
            _distribution(strip, margin, variant, PALETTE[index % len(PALETTE)])
        panels[-1][0].set_xlabel("launches of the variant in their order; within each, its runs from first to last")
        panels[-1][1].set_xlabel("all runs")

    return figure_svg("distributions", _PANEL * len(shown) + 30, draw)


def _with_runs(variant: Variant) -> list[Launch]:
    return sorted((launch for launch in variant.launches if launch.runs_ns), key=lambda launch: launch.order)


def _distribution(strip: Axes, margin: Axes, variant: Variant, colour: str) -> None:
    launches = _with_runs(variant)
    runs = [times_ms(launch) for launch in launches]
    everything = np.concatenate(runs)
    low, high = _limits(everything, [float(np.median(part)) for part in runs])
    if variant.estimate and variant.estimate.ci95_ms:
        for axis in (strip, margin):
            axis.axhspan(*variant.estimate.ci95_ms, color=colour, alpha=0.16, linewidth=0)
    for place, (launch, part) in enumerate(zip(launches, runs, strict=True)):
        where, drawn = thinned(part, DRAWN)
        inside = drawn <= high
        x = place + 0.1 + 0.8 * where
        strip.plot(x[inside], drawn[inside], "o", color=colour, **_dots(len(drawn)), rasterized=True)
        strip.hlines(float(np.median(part)), place + 0.08, place + 0.92, color=INK, linewidth=1.6)
        quarter, three = np.percentile(part, [25, 75])
        strip.vlines(place + 0.04, quarter, three, color=colour, linewidth=2.2)
        beyond = int(np.count_nonzero(part > high))
        if beyond:
            text = f"▲ {beyond}" + (f", up to {ms(float(part.max()))}" if len(launches) <= _ROOMY else "")
            strip.text(place + 0.5, high, text, ha="center", va="bottom", fontsize=8.5, color=SOFT)
        if launch.problem:
            strip.text(place + 0.5, low, "ended early", ha="center", va="bottom", fontsize=8.5, color="#d1495b")
    strip.set_xlim(0, len(launches))
    strip.set_ylim(low, high)
    strip.set_xticks([place + 0.5 for place in range(len(launches))], [str(launch.order) for launch in launches])
    strip.tick_params(length=0)
    strip.set_ylabel("ms")
    strip.grid(axis="y")
    strip.set_title(_heading(variant), color=INK, pad=16)
    margin.hist(everything[everything <= high], bins=48, orientation="horizontal", color=colour, alpha=0.75)
    margin.set_xticks([])
    margin.tick_params(length=0, labelleft=False)
    margin.spines["left"].set_visible(False)
    if variant.estimate and len(variant.estimate.modes) > 1:
        for mode in variant.estimate.modes:
            strip.axhline(mode.median_ms, color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)))
            margin.text(1.0, mode.median_ms, ms(mode.median_ms), transform=margin.get_yaxis_transform(),
                        ha="right", va="bottom", fontsize=9, color=INK)  # fmt: skip


def _dots(count: int) -> dict[str, Any]:
    """Return how large and how dense so many dots are drawn: a few must be seen, many must not be a blot."""
    few = count < _FEW
    return {"markersize": 4.0 if few else 2.4, "alpha": 0.8 if few else 0.45, "markeredgewidth": 0}


def _heading(variant: Variant) -> str:
    found = variant.estimate
    groups = len(found.modes) if found else 0
    extra = f"   {groups} modes (dashed)" if groups > 1 else ""
    return label(variant.name, 80) + (f"   median {ms(found.median_ms)} ms{extra}" if found else "")


def _limits(everything: Times, medians: Sequence[float]) -> tuple[float, float]:
    low = float(everything.min())
    quarter, three, most = (float(value) for value in np.percentile(everything, [25, 75, _HIGHEST]))
    high = max(min(most, three + _REACH * (three - quarter)), *medians)
    room = 0.1 * (high - low) or 0.05 * high or 1.0
    return max(0.0, low - room), high + room


def course(name: str, found: Sustained) -> str:
    """Draw what latency became under a load that did not end, with temperatures if the device told them."""
    hot = [window for window in found.windows if window.state and window.state.celsius]

    def draw(figure: Figure) -> None:
        if not hot:
            _course(figure.subplots(), found)
            return
        upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 1)})
        _course(upper, found)
        upper.set_xlabel("")
        sensors = sorted({sensor for window in hot for sensor in (window.state.celsius if window.state else {})})
        for index, sensor in enumerate(sensors[: len(PALETTE)]):
            known = [(w.start_s, w.state.celsius[sensor]) for w in hot if w.state and sensor in w.state.celsius]
            lower.plot(*zip(*known, strict=True), color=PALETTE[-1 - index], linewidth=1.6, label=label(sensor, 24))
        lower.set_ylabel("°C")
        lower.set_xlabel("s")
        lower.grid(axis="y")
        lower.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))

    return figure_svg(name, 380.0 if hot else 270.0, draw)


def _course(axis: Axes, found: Sustained) -> None:
    runs = times_ms(found.launch)
    starts = np.asarray(found.launch.starts_ns, dtype=np.float64) / 1e9
    if len(runs) and len(starts) == len(runs):
        kept = np.linspace(0, len(runs) - 1, min(len(runs), DRAWN_SUSTAINED)).astype(int)
        axis.plot(starts[kept], runs[kept], "o", color=PALETTE[0], **_dots(len(kept)), rasterized=True)
        highest = float(np.percentile(runs, _HIGHEST))
        axis.set_ylim(0, 1.1 * max(highest, *(window.median_ms for window in found.windows)))
    edges = [window.start_s for window in found.windows] + [found.seconds]
    axis.stairs([window.median_ms for window in found.windows], edges, color=INK, linewidth=2, baseline=None)
    axis.axhline(found.burst_ms, color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)))
    burst = f"burst {ms(found.burst_ms)} ms "
    axis.text(edges[-1], found.burst_ms, burst, ha="right", va="top", color=SOFT, fontsize=10)
    third = 2 / 3 * found.seconds
    axis.axvspan(third, found.seconds, color=PALETTE[0], alpha=0.07, linewidth=0)
    axis.text(third, axis.get_ylim()[1], f" last third: {ms(found.steady_ms)} ms", va="top", color=SOFT, fontsize=10)
    if found.throttled_at_s is not None:
        axis.axvline(found.throttled_at_s, color=PALETTE[4], linewidth=1.6)
        text = f" 10 % above burst from {found.throttled_at_s:.0f} s"
        axis.text(found.throttled_at_s, 0.03 * axis.get_ylim()[1], text, color=PALETTE[4], fontsize=10)
    _thermal(axis, found)
    axis.set_xlim(0, found.seconds)
    axis.set_ylabel("ms")
    axis.set_xlabel("s")
    axis.grid(axis="y")


def _thermal(axis: Axes, found: Sustained) -> None:
    """Write the thermal status where it changes."""
    last = ""
    for window in found.windows:
        if window.state and window.state.thermal not in (last, "unknown"):
            last = window.state.thermal
            axis.annotate(f"{last} ▸", (window.start_s, 1.0), xycoords=("data", "axes fraction"), xytext=(2, 3),
                          textcoords="offset points", fontsize=9, color=SOFT)  # fmt: skip


BOUNDS = {"compute": PALETTE[0], "memory": PALETTE[1], "overhead": PALETTE[4], "unknown": "#8a94a0"}
_VECTORS = 150  # operators drawn as shapes, the longest; the others become pixels
_LABELS = 8


def roofline(name: str, found: OperatorPass) -> str:
    """Draw operators below the device's roofs; empty without peaks or without operators whose work is known."""
    peaks = found.peaks
    known = [item for item in found.operators if item.flops and item.bytes and item.median_us > 0]
    if peaks is None or not known or not peaks.flops_per_s or peaks.bytes_per_s <= 0:
        return ""
    known.sort(key=lambda item: -item.median_us)
    total = sum(item.median_us for item in found.operators)
    x = np.array([item.flops / item.bytes for item in known if item.flops and item.bytes])
    y = np.array([item.flops / item.median_us / 1e3 for item in known if item.flops])  # GFLOP/s
    sizes = np.array([14 + 1500 * item.median_us / total for item in known])
    colours = [BOUNDS[item.bound] for item in known]

    def draw(figure: Figure) -> None:
        from matplotlib.ticker import FuncFormatter

        axis = figure.subplots()
        axis.set_xscale("log")
        axis.set_yscale("log")
        for scale in (axis.xaxis, axis.yaxis):
            scale.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        _roofs(axis, peaks.flops_per_s, peaks.bytes_per_s, x, y)
        for part, pixels in ((slice(_VECTORS, None), True), (slice(0, _VECTORS), False)):
            axis.scatter(x[part], y[part], s=sizes[part], c=colours[part], alpha=0.55, linewidths=0, rasterized=pixels)
        for bound in ("compute", "memory", "overhead", "unknown"):
            if any(item.bound == bound for item in known):
                axis.scatter([], [], s=60, c=BOUNDS[bound], alpha=0.7, linewidths=0, label=f"bound by {bound}")
        axis.legend(loc="lower right")
        axis.set_xlabel("arithmetic intensity, FLOP per byte")
        axis.set_ylabel("GFLOP/s")
        axis.grid(which="major")
        _name_largest(figure, axis, x, y, [label(item.name, 34) for item in known[:_LABELS]])

    return figure_svg(name, 480.0, draw)


def _roofs(axis: Axes, flops: dict[str, float], bytes_per_s: float, x: Times, y: Times) -> None:
    left = min(float(x.min()), min(flops.values()) / bytes_per_s) / 4
    right = max(float(x.max()), max(flops.values()) / bytes_per_s) * 4
    axis.set_xlim(left, right)
    axis.set_ylim(float(y.min()) / 2.5, max(flops.values()) / 1e9 * 2.2)
    top = max(flops.values())
    axis.plot([left, top / bytes_per_s], [left * bytes_per_s / 1e9, top / 1e9], color=INK, linewidth=1.4)
    beside = left * (top / bytes_per_s / left) ** 0.25
    axis.annotate(f"memory {bytes_per_s / 1e9:.3g} GB/s", (beside, beside * bytes_per_s / 1e9), xytext=(12, -2),
                  textcoords="offset points", va="top", color=INK, fontsize=10)  # fmt: skip
    for dtype, peak in sorted(flops.items(), key=lambda item: item[1]):
        axis.plot([peak / bytes_per_s, right], [peak / 1e9] * 2, color=INK, linewidth=1.4)
        axis.annotate(f"{label(dtype, 16)} {peak / 1e9:.3g} GFLOP/s", (right, peak / 1e9), xytext=(-4, 4),
                      textcoords="offset points", ha="right", color=INK, fontsize=10)  # fmt: skip


def _name_largest(figure: Figure, axis: Axes, x: Times, y: Times, names: Sequence[str]) -> None:
    """Write names beside the points, moved down until none covers another."""
    figure.draw_without_rendering()
    taken: list[tuple[float, float]] = []
    edge = axis.transData.transform((axis.get_xlim()[1], 1.0))[0]
    per_pixel = 72 / figure.dpi
    for at, name in sorted(zip(zip(x, y, strict=False), names, strict=False), key=lambda item: -item[0][1]):
        px, py = axis.transData.transform(at)
        left = (edge - px) * per_pixel < 240
        height = py * per_pixel
        while any(abs(height - other) < 13 and abs(px - beside) * per_pixel < 260 for beside, other in taken):
            height -= 4
        taken.append((px, height))
        axis.annotate(name, at, xytext=(-14 if left else 14, height - py * per_pixel - 4), textcoords="offset points",
                      ha="right" if left else "left", fontsize=9, color=INK,
                      arrowprops={"arrowstyle": "-", "color": LINE, "shrinkA": 0, "shrinkB": 0})  # fmt: skip
