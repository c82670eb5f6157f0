"""`edge deploy`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from convert.build import Build
from edge.cli import json_option, print_json, progress
from edge.cli.options import model_options, model_request
from edge.cli.table import print_reports
from edge.delegation import parse_requirement
from edge.pipeline import deploy_model
from edge.profile.protocol import LAUNCHES
from edge.report.html import HTML
from edge.report.records import Report


@click.command("deploy")
@click.argument("model")
@model_options
@click.option(
    "--target", "targets", multiple=True, metavar="TARGET", help="Where to; repeatable (`edge targets` lists them)."
)
@click.option(
    "--precision", "precisions", multiple=True, default=("fp32",), show_default=True, help="Number format; repeatable."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Output folder.")
@click.option(
    "--launches",
    default=LAUNCHES,
    show_default=True,
    type=click.IntRange(0, 100),
    help="Process launches per latency; 0 skips it.",
)
@click.option(
    "--require-unit",
    "required",
    multiple=True,
    metavar="UNIT=PERCENT",
    help="Least share of the multiply-accumulates on npu or gpu, for targets made for it; 100 means every operator.",
)
@json_option
def deploy_command(
    model: str,
    targets: tuple[str, ...],
    precisions: tuple[str, ...],
    out: Path,
    launches: int,
    required: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> int:
    """Take MODEL to verified artifacts and a report.

    MODEL is a name that `edge models` lists, path/to/file.py:function returning an nn.Module, or a .pt2 file.
    """
    requirements = [parse_requirement(text) for text in required]
    request = model_request(model, **options)
    builds = [Build(target=target, precision=precision) for target in targets for precision in precisions]
    report = deploy_model(request, builds, out, launches=launches, requirements=requirements, progress=progress)
    if as_json:
        print_json(report)
    else:
        print_reports([report])
        click.echo(f"{out / HTML}")
    return exit_code(report)


def exit_code(report: Report) -> int:
    """Return 1 if one failed, 4 if one differs or misses a share, 3 if one lacks something, 2 if refused, or 0."""
    statuses = {row.status for row in report.targets}
    differs = any(row.parity and not row.parity.passed and row.parity.mode != "unverified" for row in report.targets)
    for code, present in (
        (1, "failed" in statuses),
        (4, differs or any(row.unmet for row in report.targets)),
        (3, "needs-sdk" in statuses),
        (2, "refused" in statuses),
    ):
        if present:
            return code
    return 0
