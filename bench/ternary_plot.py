"""The picture of a run: the time of one product with a vector, a panel for each size of the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.ternary_record import Measured, Record, Timing, bandwidth

_OURS, _OTHERS, _LINE = "#0b6e4f", "#9aa5b1", "#c0392b"
_LEGEND_ROWS = 1.5  # free below the bars
_MOST = 6  # times the kit's own time; longer bars are cut off
_SMALLEST = 1024  # columns; below, calls are what is timed


def plot(record: Record, path: Path) -> None:
    """Write a PNG of medians and their intervals, with the least time that reading 1.6 and 2 bits a weight takes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    cases = [case for case in record.of_rows(1) if case.columns >= _SMALLEST]
    names = [timing.name for timing in cases[-1].timings if any(case.named(timing.name) for case in cases)]
    figure, axes = pyplot.subplots(
        1, len(cases), sharey=True, squeeze=False, figsize=(2.2 + 2.6 * len(cases), 2 + 0.3 * len(names)),
        layout="constrained",
    )  # fmt: skip
    for axis, case in zip(axes[0], cases, strict=True):
        _bars(axis, case, names)
        _title(axis, record, case)
    axes[0][0].set_yticks(range(len(names)), names)
    axes[0][0].set_ylim(len(names) + _LEGEND_ROWS, -1)
    for label, name in zip(axes[0][0].get_yticklabels(), names, strict=True):
        if name.startswith("ours"):
            label.set(color=_OURS, fontweight="bold")
    figure.suptitle(f"One ternary matrix × vector product, {record.threads} thread{'s' * (record.threads > 1)}")
    figure.supxlabel(f"ms, shorter is better · {record.machine} · {record.date}", fontsize=9)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _bars(axis: Any, case: Measured, names: list[str]) -> None:
    found = {timing.name: timing for timing in case.timed()}
    longest = max(timing.time.median for timing in found.values())
    shown = _limit(found, longest)
    for place, name in enumerate(names):
        if (timing := found.get(name)) is None:
            continue
        time = timing.time
        axis.barh(place, min(time.median, shown), color=_OURS if timing.ours else _OTHERS, height=0.72)
        if time.median <= shown:
            axis.hlines(place, time.low, min(time.high, shown), color="black", linewidth=1)
        beyond = "" if time.median <= shown else " →"
        axis.text(min(time.high, shown), place, f" {time.median:.3g}{beyond}", va="center", fontsize=8)
    axis.set_xlim(0, shown * 1.28)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(axis="x", labelsize=8)


def _limit(found: dict[str, Timing], longest: float) -> float:
    """Return where bars are cut off: a few slow variants must not make all others unreadable."""
    ours = [timing.time.median for timing in found.values() if timing.ours]
    return min(longest, _MOST * min(ours)) if ours else longest


def _title(axis: Any, record: Record, case: Measured) -> None:
    size = f"{case.columns} × {case.outputs}"
    if not record.is_beyond(case):
        axis.set_title(f"{size}\nin the cache", fontsize=10)
        return
    axis.set_title(f"{size}\nlarger than the cache", fontsize=10)
    if (read := case.read(record.threads)) is None:
        return
    for bits, style in ((1.6, "--"), (2.0, ":")):
        least = case.case.weights * bits / 8 / bandwidth(read) * 1e3
        axis.axvline(least, color=_LINE, linestyle=style, linewidth=1.2, label=f"reading {bits:g} bits a weight")
    axis.legend(fontsize=7, loc="lower right", title=f"{bandwidth(read) / 1e9:.0f} GB/s", title_fontsize=7)
