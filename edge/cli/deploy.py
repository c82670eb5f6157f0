"""`edge deploy`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from convert.build import Build
from convert.choice import Choice, choose
from convert.targets import TARGETS
from edge.cli import json_option, print_json, progress
from edge.cli.options import calibration_option, model_options, model_request, task_of
from edge.cli.table import print_reports
from edge.delegation import parse_requirement
from edge.errors import MissingError
from edge.phones import find_phone
from edge.pipeline import deploy_model
from edge.profile.protocol import LAUNCHES
from edge.report.html import HTML
from edge.report.records import Report
from quant.precision import PRECISIONS


@click.command("deploy")
@click.argument("model")
@model_options
@calibration_option
@click.option(
    "--target", "targets", multiple=True, metavar="TARGET", help="Where to; repeatable (`edge targets` lists them)."
)
@click.option(
    "--phone", "phones", multiple=True, metavar="PHONE", help="For whom; repeatable (`edge phones` lists them)."
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    help="Number format; repeatable. Default: fp32 for a target, what suits its NPU for a phone.",
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
    phones: tuple[str, ...],
    precisions: tuple[str, ...],
    out: Path,
    launches: int,
    required: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> int:
    """Take MODEL to verified artifacts and a report.

    MODEL is a name that `edge models` lists, path/to/file.py:function returning an nn.Module, or a .pt2 file.

    For each PHONE the best target that is ready here is built, NPU before GPU before CPU, and a CPU target to fall back
    on: in the same precision if that was asked for and the CPU target has it, in fp32 otherwise.
    """
    requirements = [parse_requirement(text) for text in required]
    request = model_request(model, **options)
    for precision in precisions:
        PRECISIONS[precision]
    builds = [Build(target=target, precision=precision) for target in targets for precision in precisions or ("fp32",)]
    choices = list(_choices(phones, task_of(request), precisions or (None,)))
    builds += [build for choice in choices for build in choice.builds]
    records = [choice.record() for choice in choices]
    for choice in choices:
        for item in requirements:
            if item.unit == "npu" and TARGETS[choice.chosen.target].unit != "npu":
                raise MissingError(
                    f"{choice.phone.id}: npu={item.percent:g} is required, but {choice.chosen} is the best that is "
                    "ready here; `edge doctor` says what is missing"
                )
    report = deploy_model(
        request, builds, out, phones=records, launches=launches, requirements=requirements, progress=progress
    )
    if as_json:
        print_json(report)
    else:
        print_reports([report])
        click.echo(f"{out / HTML}")
    return exit_code(report)


def _choices(phones: Sequence[str], task: str, precisions: Sequence[str | None]) -> Iterator[Choice]:
    """Choose for every phone and precision, and say why on standard error."""
    for name in dict.fromkeys(phones):
        for precision in precisions:
            choice = choose(find_phone(name), task, precision)
            for line in choice.explain():
                progress(line)
            yield choice


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
