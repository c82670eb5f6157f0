"""`edge card`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from convert.targets import Target, families
from edge.cli import json_option, print_json, progress
from edge.contract import Contract
from edge.disk import disk_errors
from edge.errors import MissingError, StoreError, UsageError
from edge.jobs import Job, run_job
from edge.report.card import Card, CardTarget, write_card
from edge.report.records import Report, read_report
from edge.samples import sample_photos
from edge.store import command_log
from edge.zoo import MODELS, device_models

if TYPE_CHECKING:
    from edge.zoo import ZooModel

FACTS_TIMEOUT_S = 900.0


@click.command("card")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for NAME.md and NAME.jpg.")
@click.option(
    "--report",
    "reports",
    multiple=True,
    type=click.Path(path_type=Path),
    help="The --out folder of a deploy, whose parity, sizes and latencies the card shows; repeatable.",
)
@click.option("--photo", type=click.Path(path_type=Path), help="Draw the result on this picture.  [default: the kit's]")
@json_option
def card_command(
    models: tuple[str, ...], out: Path, reports: tuple[Path, ...], photo: Path | None, as_json: bool
) -> None:
    """Write a model card for each MODEL, by default for every model that is meant for a device.

    Parameters and multiply-accumulates are counted from the exported program. Nothing measured is made up: it comes
    from the reports of earlier deploys that --report names.
    """
    names = models or device_models()
    entries = [MODELS[name] for name in names]
    found = [read_report(folder) for folder in reports]
    strangers = sorted({report.model for report in found} - set(names))
    if strangers:
        raise UsageError(f"--report: {', '.join(strangers)} is none of the models of these cards; name it too")
    shown = photo or _photo()
    with disk_errors(out, "choose another --out"):
        out.mkdir(parents=True, exist_ok=True)
    targets = ready_targets()
    rows = [
        _write(entry, out, [item for item in found if item.model == entry.name], shown, targets) for entry in entries
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(row["card"])


def _photo() -> Path | None:
    try:
        return sample_photos()[0]
    except (MissingError, StoreError) as error:
        progress(f"warning  cards without pictures: {error}")
        return None


def _write(
    entry: ZooModel, out: Path, reports: Sequence[Report], photo: Path | None, targets: Sequence[Target]
) -> dict[str, Any]:
    progress(f"card     {entry.name}")
    picture = out / f"{entry.name}.jpg"
    payload = {
        "model": entry.name,
        "photo": str(photo.resolve()) if photo else "",
        "picture": str(picture.resolve()) if photo else "",
    }
    job = Job(function="convert.facts:facts_job", payload=payload, log=command_log("card"), timeout_s=FACTS_TIMEOUT_S)
    facts: dict[str, Any] = run_job(job)
    card = Card(
        model=entry,
        parameters=facts["parameters"],
        macs=facts["macs"],
        contract=msgspec.convert(facts["contract"], Contract),
        targets=tuple(_shown(family) for family in targets if family.takes(entry.contract)),
        reports=tuple(reports),
        picture=picture.name if facts["drawn"] else "",
    )
    path = write_card(card, out)
    return {
        "model": entry.name,
        "card": str(path),
        "picture": str(picture) if facts["drawn"] else "",
        "parameters": card.parameters,
        "macs": card.macs,
        "weight_status": entry.weight_status,
    }


def ready_targets() -> list[Target]:
    """Return the targets that are ready on this machine, the first of each family."""
    ready = ([target for target in members if target.status() == "ready"] for members in families().values())
    return [found[0] for found in ready if found]


def _shown(target: Target) -> CardTarget:
    name = f"{target.family}:CHIP" if target.chip else target.family
    return CardTarget(name=name, unit=target.unit, precisions=target.precisions)
