"""`edge compare`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from edge.cli import json_option, print_json
from edge.cli.profile_table import describe_change
from edge.compare import Comparison, Pair, Row, compare
from edge.delegation import UNITS
from edge.profile.budget import parse_budget

MOVES_SHOWN = 12


@click.command("compare")
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option("--budget", "budgets", multiple=True, metavar="FIELD<=LIMIT", help="Of profiles; can be given again.")
@json_option
def compare_command(before: Path, after: Path, budgets: tuple[str, ...], as_json: bool) -> int:
    """Say what changed from BEFORE to AFTER: two folders of `edge deploy`, two artifacts, two delegation.json, or two
    profile.json.

    Per target: status, parity and the task's metric, who runs the operators and which of them moved, size, latency.
    Ends with 4 if anything got worse: a target that was built and is not any more, a parity that no longer passes, or
    a smaller share of the multiply-accumulates on the NPU, or on NPU and GPU together. Ends with 0 otherwise; size and
    latency are shown, not judged.

    Of two profiles of one device: the ratio of every variant's latency with its interval, from all runs. Ends with 4 if
    a variant is slower by more than 2 %, is not measured any more, or misses a budget, such as `--budget 'p90<=25ms'`
    or `--budget 'ratio<=1.05'` (which takes the place of the 2 %); fields: median, p90, p99, min, first, cold_load,
    warm_load (us, ms, s), peak_memory (MB), energy (mJ), ratio. A budget is missed if the whole interval lies above it,
    or without an interval the figure itself. Emulated times, and another device, harness, kind of inputs or number of
    threads are refused.
    """
    found = compare(before, after, [parse_budget(text) for text in budgets])
    if as_json:
        print_json(found)
    else:
        for line in describe(found) if isinstance(found, Comparison) else describe_change(found):
            click.echo(line)
    return 4 if found.worse else 0


def describe(found: Comparison) -> Iterator[str]:
    """Yield the comparison as lines of text."""
    for row in found.rows:
        lines = list(_lines(row))
        name = _arrow(row.build)
        yield name if lines else f"{name}: nothing changed"
        yield from (f"  {line}" for line in lines)
    yield "worse" if found.worse else "nothing got worse"


def _lines(row: Row) -> Iterator[str]:
    if row.status.changed:
        yield f"status    {_arrow(row.status)}"
    if row.parity.changed:
        yield f"parity    {_arrow(row.parity)}"
    if row.value.changed:
        yield f"{row.metric or 'metric':9} {_arrow(row.value, '.4f')}"
    for unit in UNITS:
        share, count = row.share[unit], row.operators[unit]
        if (share.changed or count.changed) and (count.before or count.after):
            yield f"{unit:9} {_arrow(share, '.2f', ' %')} of the multiply-accumulates, {_arrow(count)} operators"
    if row.size_bytes.changed:
        yield f"size      {_arrow(row.size_bytes, ',', ' bytes')}{_percent(row.size_bytes)}"
    if row.latency_ms.changed:
        yield f"latency   {_arrow(row.latency_ms, '.2f', ' ms')}{_percent(row.latency_ms)}"
    for move in row.moved[:MOVES_SHOWN]:
        why = f": {move.reason}" if move.reason else ""
        hint = f" ({move.hint})" if move.hint else ""
        yield f"moved     {move.unit.before} → {move.unit.after}  {move.op} {move.name}, {move.macs:,} MACs{why}{hint}"
    if more := row.moved[MOVES_SHOWN:]:
        yield f"moved     and {len(more)} more; --json lists them"
    if row.only_before or row.only_after:
        yield f"operators {row.only_before} only before, {row.only_after} only after"
    for reason in row.worse:
        yield f"WORSE     {reason}"


def _arrow(pair: Pair[str] | Pair[float] | Pair[int], form: str = "", unit: str = "") -> str:
    """Format `before → after`; a side that has none is a dash, sides that agree are written once."""
    before, after = ("–" if side is None else f"{side:{form}}" for side in (pair.before, pair.after))
    return f"{before}{unit}" if before == after else f"{before} → {after}{unit}"


def _percent(pair: Pair[float] | Pair[int]) -> str:
    if not pair.before or pair.after is None:
        return ""
    return f" ({100 * (pair.after / pair.before - 1):+.1f} %)"
