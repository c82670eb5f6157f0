"""Reports as a terminal table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from edge.report.html import damage, evaluation, latency, number, phone, precision, size, summary, units, verdict, worst
from edge.report.records import Report, TargetReport
from edge.report.sensitivity import Sensitivity

LAYERS_SHOWN = 20
_COLOURS = {"passed": "green", "differs": "red", "failed": "red"}


def print_reports(reports: Sequence[Report]) -> None:
    """Print one table for all reports, then the reason of every row that did not pass."""
    table = Table(title_justify="left", header_style="bold")
    for column in (
        "model",
        "target",
        "precision",
        "parity",
        "how",
        "worst error",
        "task",
        "evaluation [95 %]",
        "size",
        "host latency [95 %]",
        "operators",
    ):
        table.add_column(column, justify="right" if column in ("worst error", "size") else "left", no_wrap=True)
    for report in reports:
        for index, row in enumerate(report.targets):
            table.add_row(report.model if index == 0 else "", *_cells(row))
        table.add_section()
    console = Console()
    if not console.is_terminal:
        console = Console(width=240)
    console.print(table)
    for report in reports:
        for choice in report.phones:
            console.print(phone(choice), markup=False, highlight=False)
        for row in report.targets:
            for text in row.explanation:
                console.print(f"{report.model} {row.id}@{row.precision}: {text}", markup=False, highlight=False)
            if row.reason:
                console.print(f"{report.model} {row.id}@{row.precision}: {row.reason}", markup=False, highlight=False)
            for text in row.unmet:
                console.print(f"{report.model} {row.id}@{row.precision}: {text}", markup=False, highlight=False)


def print_sensitivity(found: Sensitivity) -> None:
    """Print the most sensitive layers and what rounding everything costs."""
    table = Table(title_justify="left", header_style="bold")
    for column in ("rank", "depth", "layer", "operator", "both", "weights", "result"):
        table.add_column(column, justify="right" if column in ("rank", "depth") else "left", no_wrap=True)
    for row in found.layers[:LAYERS_SHOWN]:
        parts = (damage(row.both), damage(row.weights), damage(row.activation))
        table.add_row(str(row.rank), str(row.depth), row.name, row.op, *parts)
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)
    console.print(summary(found), markup=False, highlight=False)


def _cells(row: TargetReport) -> tuple[str, ...]:
    word = verdict(row)
    coloured = f"[{_COLOURS.get(word, 'yellow')}]{word}[/]"
    if row.status != "ok" or row.parity is None:
        return (row.id, row.precision, coloured, "", "", "", "", "", "", "")
    task = f"{row.parity.task.metric} {row.parity.task.value:.4f}" if row.parity.task else "–"
    error = number(worst(row)) if row.parity.outputs else "–"
    return (
        row.id,
        precision(row),
        coloured,
        row.parity.mode,
        error,
        task,
        evaluation(row.evaluation),
        size(row.bytes),
        latency(row.latency),
        units(row),
    )
