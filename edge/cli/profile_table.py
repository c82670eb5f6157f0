"""Latency profiles, and what changed between two, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edge.profile.budget import Judged
from edge.profile.records import OperatorPass, Profile, Variant
from edge.profile.regression import Change, ProfileComparison
from edge.report.figures import label
from edge.report.profile_text import NONE, cautions, modes, ms, protocol, share, spread, verdict_line

if TYPE_CHECKING:
    from rich.console import Console

PIPED = 120  # columns where there is no terminal
OPERATORS_SHOWN = 5
_BLOCKS = "▁▂▃▄▅▆▇█"
_BINS = 10
_MOST = 12  # blocks of launches; more launches share a block
_REACH = 8  # middle halves above the middle half: beyond it lie stalls, which the last block counts
_HIGHEST = 99.0  # percentile at the right end of the runs' histogram
KEY = (
    "first, load cold/warm: ms; MB: peak resident memory; launches: their medians in order, tall is slow; "
    "runs: how many are how fast, fastest at the left"
)


def print_profile(profile: Profile, console: Console | None = None) -> None:
    """Print a row for every variant, then its modes, verdicts, the longest operators and what went wrong."""
    from rich.console import Console
    from rich.table import Table

    found = console or Console()
    if console is None and not found.is_terminal:
        found = Console(width=PIPED)
    for text in cautions(profile):
        found.print(label(text, 2000), style="bold red", markup=False, highlight=False)
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("variant", overflow="fold", min_width=16)
    memory = any(variant.memory for variant in profile.variants)
    columns = ["median ms \\[95 %]", "p90", "p99", "first", "load c/w", *(["MB"] if memory else ())]
    for column in columns:
        table.add_column(column, justify="left" if column.startswith("median") else "right", no_wrap=True)
    table.add_column("launches", no_wrap=True)
    table.add_column("runs", no_wrap=True)
    for variant in profile.variants:
        table.add_row(*_cells(variant, memory))
    found.print(table)
    for line in lines(profile):
        found.print(line, markup=False, highlight=False, soft_wrap=not found.is_terminal)


def _cells(variant: Variant, memory: bool) -> Iterator[str]:
    from rich.markup import escape

    yield escape(label(variant.name, 80)) + (" [red]emulated[/]" if variant.emulated else "")
    found = variant.estimate
    if found is None:
        yield "[yellow]not measured[/]"
        yield from [""] * (4 + memory + 2)
        return
    yield f"[bold]{ms(found.median_ms)}[/] {escape(spread(found.ci95_ms))}"
    yield ms(found.p90_ms)
    yield ms(found.p99_ms)
    yield ms(found.first_ms)
    yield f"{_short(found.cold_load_ms)}/{_short(found.warm_load_ms)}"
    if memory:
        yield f"{variant.memory.peak_bytes / 1e6:.1f}" if variant.memory else NONE
    yield launch_sparkline(variant)
    yield run_histogram(variant)


def _short(value: float | None) -> str:
    """Format milliseconds with three significant digits."""
    return NONE if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def launch_sparkline(variant: Variant) -> str:
    """Draw the medians of the launches in their order: their lowest is the shortest block, 10 % above it the longest.

    Where they lie farther apart, the highest is the longest: noise looks small, modes look tall.
    """
    import numpy as np

    launches = sorted(variant.launches, key=lambda launch: launch.order)
    medians = [float(np.median(launch.runs_ns)) for launch in launches if launch.runs_ns]
    if not medians:
        return ""
    parts = np.array_split(np.asarray(medians), min(len(medians), _MOST))
    medians = [float(np.median(part)) for part in parts]
    low = min(medians)
    reach = max(max(medians), 1.1 * low) - low
    return "".join(_block((median - low) / reach if reach else 0.0) for median in medians)


def run_histogram(variant: Variant) -> str:
    """Draw how many runs lie where, from the fastest to the 99th percentile or the last that is no stall."""
    import numpy as np

    runs = [np.asarray(launch.runs_ns, dtype=np.float64) for launch in variant.launches if launch.runs_ns]
    if not runs:
        return ""
    everything = np.concatenate(runs)
    quarter, three, most = (float(value) for value in np.percentile(everything, [25, 75, _HIGHEST]))
    low, high = float(everything.min()), min(most, three + _REACH * (three - quarter))
    if not low < high:
        return _BLOCKS[-1]
    counts, _ = np.histogram(everything, bins=_BINS, range=(low, high))
    counts[-1] += np.count_nonzero(everything > high)
    return "".join(" " if count == 0 else _block(count / counts.max()) for count in counts.tolist())


def _block(part: float) -> str:
    return _BLOCKS[min(len(_BLOCKS) - 1, max(0, int(part * len(_BLOCKS))))]


def lines(profile: Profile) -> Iterator[str]:
    """Yield what the table has no room for: modes, verdicts, sustained load, operators, problems."""
    yield KEY
    yield f"on {label(profile.device.name, 80)} ({label(profile.device.id)}): {'; '.join(protocol(profile))}"
    for variant in profile.variants:
        if text := modes(variant):
            yield f"{label(variant.name)}: {text}; one number describes none of them"
    for ratio in profile.ratios:
        yield label(verdict_line(ratio), 400)
    for variant in profile.variants:
        name = label(variant.name)
        if variant.sustained:
            found = variant.sustained
            at = found.throttled_at_s
            when = "no throttling" if at is None else f"10 % above burst from {at:.0f} s"
            yield f"{name} under load: {ms(found.burst_ms)} → {ms(found.steady_ms)} ms ({found.ratio:.2f}×), {when}"
        if variant.energy:
            yield f"{name}: {variant.energy.millijoules:.3g} mJ an inference ({label(variant.energy.source)})"
        elif variant.energy_reason:
            yield f"{name}: no energy: {label(variant.energy_reason, 400)}"
        if variant.operators:
            yield from _operators(name, variant.operators)
        elif variant.operators_reason:
            yield f"{name}: no operators: {label(variant.operators_reason, 400)}"


def _operators(name: str, found: OperatorPass) -> Iterator[str]:
    total = sum(item.median_us for item in found.operators) or 1.0
    units = ", ".join(f"{unit} {share(part)}" for unit, part in sorted(found.unit_share.items(), key=lambda x: -x[1]))
    how = "estimated by a compiler, nothing executed" if found.estimated else found.tool
    yield f"{name}: {len(found.operators)} operators ({label(how)}), time by unit: {units}"
    for item in sorted(found.operators, key=lambda item: -item.median_us)[:OPERATORS_SHOWN]:
        bound = f", bound by {item.bound}" if item.bound != "unknown" else ""
        where = f"{item.unit} {label(item.backend, 16)}"
        yield f"  {share(item.median_us / total):>6}  {item.median_us:>9.1f} µs  {where}  {label(item.name)}{bound}"


def describe_change(found: ProfileComparison) -> Iterator[str]:
    """Yield the comparison of two profiles as lines of text."""
    for row in found.rows:
        yield label(row.name, 120)
        yield from (f"  {line}" for line in _change(row))
    for remark in found.remarks:
        yield f"note: {label(remark, 400)}"
    yield from describe_budgets(found.budgets)
    yield "worse" if found.worse else "nothing got worse"


def _change(row: Change) -> Iterator[str]:
    before = f"{ms(row.before_ms)} {spread(row.before_ci95_ms)}"
    yield f"median    {before} → {ms(row.after_ms)} {spread(row.after_ci95_ms)} ms"
    if row.ratio is not None:
        around = f" [{row.ci95[0]:.3f}, {row.ci95[1]:.3f}]" if row.ci95 else ""
        yield f"ratio     {row.ratio:.3f}×{around}: {row.verdict}"
    if row.reason:
        yield f"unknown   {label(row.reason, 400)}"
    for remark in row.remarks:
        yield f"note      {label(remark, 400)}"
    for reason in row.worse:
        yield f"WORSE     {label(reason, 400)}"


def describe_budgets(judged: Sequence[Judged]) -> Iterator[str]:
    """Yield a line for every budget: what was met, and what was missed by how much."""
    for item in judged:
        yield f"{'met   ' if item.met else 'MISSED'} {item.budget}  {label(item.name)}: {label(item.reason, 400)}"
