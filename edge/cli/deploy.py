"""`edge deploy`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from convert.build import Build
from convert.choice import Choice, choose
from convert.targets import TARGETS
from edge.cli import json_option, print_json, progress
from edge.cli.options import calibration_option, model_options, model_request, pictures, task_of
from edge.cli.table import print_reports
from edge.delegation import parse_requirement
from edge.errors import MissingError
from edge.phones import find_phone
from edge.pictures import NO_PICTURES, Pictures
from edge.pipeline import Wishes, deploy_model
from edge.profile.latency import LAUNCHES
from edge.report.html import HTML
from edge.report.records import Report
from quant.budget import checked_budget, parse_milliseconds, parse_share
from quant.precision import PRECISIONS

MAX_EVALUATION = 1000


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
@click.option(
    "--max-drop",
    default="1%",
    show_default=True,
    metavar="SHARE",
    help="What the precisions auto and mixed may lose of the task's metric: 1% or 0.01.",
)
@click.option("--max-latency", metavar="MS", help="What auto may take, where this machine can time it: 12ms.")
@click.option("--evaluate", is_flag=True, help="Measure the task's metric of every build over the evaluation pictures.")
@click.option(
    "--evaluation",
    type=click.Path(path_type=Path),
    help="A folder of pictures to evaluate on. Default: the kit's photographs of people.",
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
    max_drop: str,
    max_latency: str | None,
    evaluate: bool,
    evaluation: Path | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Take MODEL to verified artifacts and a report.

    MODEL is a name that `edge models` lists, path/to/file.py:function returning an nn.Module, or a .pt2 file.

    For each PHONE the best target that is ready here is built, NPU before GPU before CPU, and a CPU target to fall back
    on: in the same precision if that was asked for and the CPU target has it, in fp32 otherwise.

    With --precision auto the fastest precision is taken that loses at most --max-drop on the evaluation pictures; every
    candidate is built, executed and measured. Exit code 4 if none does; the one that comes nearest is kept.
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
    wishes = Wishes(
        requirements=tuple(requirements),
        budget=checked_budget(parse_share(max_drop), parse_milliseconds(max_latency) if max_latency else None),
        evaluate=evaluate,
        evaluation=Pictures(evaluation.name, pictures(evaluation, MAX_EVALUATION, "evaluate"))
        if evaluation
        else NO_PICTURES,
    )
    report = deploy_model(request, builds, out, phones=records, launches=launches, wishes=wishes, progress=progress)
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
            choice = _choose(name, task, precision)
            for line in choice.explain():
                progress(line)
            yield choice


def _choose(phone: str, task: str, precision: str | None) -> Choice:
    """Choose for a phone; `auto` is worked out later, for the targets that suit it best."""
    if precision != "auto":
        return choose(find_phone(phone), task, precision)
    choice = choose(find_phone(phone), task)
    fallback = dataclasses.replace(choice.fallback, precision="auto") if choice.fallback else None
    return dataclasses.replace(choice, chosen=dataclasses.replace(choice.chosen, precision="auto"), fallback=fallback)


def exit_code(report: Report) -> int:
    """Return 1 if one failed, 4 if one differs or misses a share or budget, 3 if one lacks something, 2 if refused."""
    statuses = {row.status for row in report.targets}
    differs = any(row.parity and not row.parity.passed and row.parity.mode != "unverified" for row in report.targets)
    for code, present in (
        (1, "failed" in statuses),
        (4, differs or any(row.unmet or row.budget_met is False for row in report.targets)),
        (3, "needs-sdk" in statuses),
        (2, "refused" in statuses),
    ):
        if present:
            return code
    return 0
