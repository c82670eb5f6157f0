"""`edge sensitivity`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from convert.targets import TARGETS
from edge.artifact import write_atomic
from edge.building import Shop
from edge.cli import json_option, print_json, progress
from edge.cli.options import calibration_option, model_options, model_request
from edge.cli.table import print_sensitivity
from edge.output import exclusive, staging_folder
from edge.pictures import own_pictures, with_calibration
from edge.pipeline import planner_for, prepare_request
from edge.planned import sensitivity_of
from edge.report.html import write_sensitivity
from edge.report.sensitivity import SENSITIVITY


@click.command("sensitivity")
@click.argument("model")
@model_options
@calibration_option
@click.option("--target", default="executorch-xnnpack", show_default=True, help="Whose graph passes shape the program.")
@click.option("--leave-one-out", is_flag=True, help="Round everything but one layer instead of one layer alone.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder for sensitivity.json and report.html."
)
@json_option
def sensitivity_command(model: str, target: str, leave_one_out: bool, out: Path, as_json: bool, **options: Any) -> None:
    """Rank the layers of MODEL by what rounding them to 8 bits costs its outputs and its task.

    Simulated in eager PyTorch on the calibration pictures: each layer's weights, its result, and both are rounded
    alone, and the rest runs in float32.
    """
    family = TARGETS[target].family
    request = model_request(model, **options)
    own = own_pictures(request)
    request = with_calibration(request, progress)
    with exclusive(out), staging_folder(out) as staging:
        prepared = prepare_request(request, staging / "prepared", out / "logs" / "prepare.log", progress)
        shop = Shop(prepared=prepared, out=out, staging=staging, launches=0, progress=progress)
        planner = planner_for(shop, own)
        _, path, found = sensitivity_of(planner, family, "leave-one-out" if leave_one_out else "one")
        write_atomic(out / SENSITIVITY, path.read_bytes())
        for name in planner.published:  # the same under a deploy's name
            (out / name).unlink(missing_ok=True)
    page = write_sensitivity(found, out)
    if as_json:
        print_json(found)
        return
    print_sensitivity(found)
    click.echo(f"{out / SENSITIVITY}\n{page}")
