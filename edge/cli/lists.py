"""`edge models` and `edge targets`."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from convert.targets import TARGETS, Target, families
from edge.cli import json_option, print_json
from edge.store import is_fetched
from edge.zoo import MODELS, ZooModel


def _weights(model: ZooModel) -> str:
    """Return whose weights they are, and what brings them."""
    if model.weight_status == "real":
        return "real, in the cache" if all(map(is_fetched, model.files)) else "real: edge fetch"
    return "trained here" if model.weight_status == "trained here" else "yours: --checkpoint"


def _print(table: Table) -> None:
    console = Console()
    (console if console.is_terminal else Console(width=180)).print(table)


@click.command("models")
@json_option
def models_command(as_json: bool) -> None:
    """List the models that the kit knows."""
    rows = [
        {
            "name": model.name,
            "task": model.contract.task,
            "runs": model.runs,
            "input": "x".join(map(str, model.contract.inputs[0].shape)),
            "weights": _weights(model),
            "weight_status": model.weight_status,
            "licence": model.licence,
            "summary": model.summary,
        }
        for model in MODELS.values()
    ]
    if as_json:
        print_json(rows)
        return
    table = Table("model", "task", "meant for", "input", "weights", "licence", "what it is", header_style="bold")
    table.columns[0].no_wrap = table.columns[2].no_wrap = True  # what scripts look for stays whole
    for row in rows:
        table.add_row(*(value for key, value in row.items() if key != "weight_status"))
    _print(table)


@click.command("targets")
@json_option
def targets_command(as_json: bool) -> None:
    """List the targets, their precisions, whether they are ready, and how their artifacts are executed here."""
    if as_json:
        print_json([_row(target) for target in TARGETS.values()])
        return
    table = Table("target", "for", "precisions", "status", "executed here", "what it is", header_style="bold")
    for family, members in families().items():
        first = members[0]
        names = family if not first.chip else f"{family}:CHIP"
        statuses = {target.status() for target in members}
        summary = first.summary if not first.chip else f"{first.summary}. CHIP: {', '.join(t.chip for t in members)}"
        table.add_row(
            names, first.unit, " ".join(first.precisions), "; ".join(sorted(statuses)), first.execution, summary
        )
    _print(table)


def _row(target: Target) -> dict[str, object]:
    return {
        "id": target.id,
        "family": target.family,
        "chip": target.chip,
        "unit": target.unit,
        "precisions": list(target.precisions),
        "status": target.status(),
        "executes": target.execution,
        "summary": target.summary,
    }
