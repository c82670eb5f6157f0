"""`edge phones`."""

from __future__ import annotations

import functools
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from convert.choice import phone_targets
from convert.targets import TARGETS
from edge.cli import json_option, print_json
from edge.errors import UnknownName
from edge.phones import Phone, phones, socs


@click.command("phones")
@click.option("--soc", metavar="SOC", help="Only phones with this chip: a model number, or part of a name.")
@json_option
def phones_command(soc: str | None, as_json: bool) -> None:
    """List the phones that `edge deploy --phone` knows, their chips, and the best target for each.

    RAM is that of the smallest model, the system the oldest that any unit runs. The best target stands with its
    status on this machine; --json has all that suit the phone, best first.
    """
    rows = [_row(phone) for phone in phones().values() if soc is None or _matches(phone, soc)]
    if not rows:
        raise UnknownName("chip", soc or "", socs(), "edge phones")
    if as_json:
        print_json(rows)
        return
    table = Table("phone", "name", "year", "chip", "NPU", "RAM", "system", "best target", "status", header_style="bold")
    for row in rows:
        first = row["targets"][0]
        table.add_row(
            row["id"], row["name"], str(row["year"]), f"{row['soc']} {row['soc_name']}", row["npu"],
            f"{row['ram_gb']} GB", row["os_floor"], first["id"], first["status"],
        )  # fmt: skip
    console = Console()
    (console if console.is_terminal else Console(width=240)).print(table)


def _matches(phone: Phone, wanted: str) -> bool:
    """Say whether a chip's model number is the wanted one, or its name holds it."""
    text = wanted.casefold()
    return text in (name.casefold() for name in phone.soc.names) or text in phone.soc.name.casefold()


def _row(phone: Phone) -> dict[str, Any]:
    return {
        "id": phone.id,
        "name": phone.name,
        "year": phone.year,
        "soc": phone.soc.id,
        "soc_name": phone.soc.name,
        "npu": phone.soc.npu,
        "ram_gb": phone.ram_gb,
        "os": phone.system,
        "os_floor": phone.os_floor,
        "targets": [
            {"id": found.target.id, "unit": found.unit, "status": _status(found.target.id)}
            for found in phone_targets(phone)
        ],
    }


@functools.cache
def _status(target: str) -> str:
    return TARGETS[target].status()
