"""Reports as a terminal table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from edge.report.html import latency, number, phone, size, units, verdict, worst
from edge.report.records import Report, TargetReport

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
        console = Console(width=200)
    console.print(table)
    for report in reports:
        for choice in report.phones:
            console.print(phone(choice), markup=False, highlight=False)
        for row in report.targets:
            if row.reason:
                console.print(f"{report.model} {row.id}@{row.precision}: {row.reason}", markup=False, highlight=False)
            for text in row.unmet:
                console.print(f"{report.model} {row.id}@{row.precision}: {text}", markup=False, highlight=False)


def _cells(row: TargetReport) -> tuple[str, ...]:
    word = verdict(row)
    coloured = f"[{_COLOURS.get(word, 'yellow')}]{word}[/]"
    if row.status != "ok" or row.parity is None:
        return (row.id, row.precision, coloured, "", "", "", "", "", "")
    task = f"{row.parity.task.metric} {row.parity.task.value:.4f}" if row.parity.task else "–"
    error = number(worst(row)) if row.parity.outputs else "–"
    return (
        row.id,
        row.precision,
        coloured,
        row.parity.mode,
        error,
        task,
        size(row.bytes),
        latency(row.latency),
        units(row),
    )
