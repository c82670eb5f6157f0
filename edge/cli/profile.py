"""`edge profile`."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from convert.build import execution_environment
from edge.artifact import Artifact, check_files, read_manifest, write_atomic
from edge.cli import json_option, print_json, progress
from edge.cli.profile_table import describe_budgets, print_profile
from edge.cli.reference_table import describe_references
from edge.delegation import Requirement
from edge.errors import UsageError
from edge.jobs import Job, run_job
from edge.profile.budget import Budget, check_alone, judge_profile, parse_budget
from edge.profile.devices import open_device
from edge.profile.inputs import write_random
from edge.profile.placement import parse_unit, unmet
from edge.profile.protocol import LAUNCHES, Settings, Subject
from edge.profile.reading import PROFILE
from edge.profile.records import Profile, Variant
from edge.profile.reference import find_references
from edge.profile.run import Interrupted, Passes, profile
from edge.profile.trace import write_trace
from edge.report.profile_page import write_profile_page
from edge.store import command_log

TRACE = "trace.json"
_PATH = click.Path(path_type=Path)


@click.command("profile")
@click.argument("artifacts", nargs=-1, type=_PATH)
@click.option(
    "--device", "device_name", default="host", show_default=True, metavar="KIND[:NAME]",
    help="host, adb[:SERIAL], ssh:HOST or xcrun[:UDID].",
)  # fmt: skip
@click.option("--launches", type=click.IntRange(1), default=LAUNCHES, show_default=True, help="Processes per artifact.")
@click.option("--threads", type=click.IntRange(1), help="Default: EDGE_THREADS or all cores; on devices up to four.")
@click.option("--harness", type=click.Choice(["python", "native", "benchmark_model"]), help="What times the runs.")
@click.option("--prefix", default="", metavar="WORDS", help="Before every command on the device: 'taskset f0'.")
@click.option("--data", type=_PATH, help="A picture to run on instead of random numbers.")
@click.option("--sustain", metavar="TIME", help="Also run without a pause for so long: 10m, 90s.")
@click.option("--energy", is_flag=True, help="Also measure energy, where the device counts it and is not charging.")
@click.option("--no-operators", is_flag=True, help="Do not time single operators.")
@click.option("--no-memory", is_flag=True, help="Do not measure memory.")
@click.option("--require-unit", metavar="UNIT[=PERCENT]", help="End with 4 unless the unit has this share of the time.")
@click.option("--budget", "budgets", multiple=True, metavar="'p90<=25ms'", help="End with 4 beyond it; repeatable.")
@click.option("--benchmark-model", type=_PATH, help="LiteRT's benchmark_model for the device.")
@click.option("--python", default="python3", show_default=True, help="Python on a board.")
@click.option("--reference", metavar="MODEL", help="Show published measurements of a model like this one, and end.")
@click.option(
    "--out", type=_PATH, default=Path("profile"), show_default=True, help="Folder for profile.json and pages."
)
@json_option
def profile_command(artifacts: tuple[Path, ...], out: Path, as_json: bool, **options: Any) -> int:
    """Measure ARTIFACTS on a device: several launches of each, interleaved in random order.

    Writes profile.json with every raw sample, profile.html and trace.json (for Perfetto). Memory, operators, a
    sustained load and energy are measured in processes of their own. Ends with 4 if a budget or unit is not met.
    """
    if options["reference"]:
        _show_references(options["reference"], as_json)
        return 0
    if not artifacts:
        raise UsageError("no artifact to measure; expected folders that `edge deploy` made")
    budgets = [parse_budget(text) for text in options["budgets"]]
    check_alone(budgets)
    required = parse_unit(options["require_unit"]) if options["require_unit"] else None
    if required is not None and options["no_operators"]:
        raise UsageError("--require-unit is judged by the operators' times; leave --no-operators out")
    passes = Passes(
        operators=not options["no_operators"],
        memory=not options["no_memory"],
        energy=options["energy"],
        sustain_s=parse_seconds(options["sustain"]) if options["sustain"] else 0.0,
    )
    settings = Settings(
        launches=options["launches"],
        threads=options["threads"] or 0,
        harness=options["harness"],
        binary=options["benchmark_model"],
        python=options["python"],
    )
    out.mkdir(parents=True, exist_ok=True)
    with _subjects([read_manifest(path) for path in artifacts], options["data"]) as subjects:
        device = open_device(options["device_name"], tuple(shlex.split(options["prefix"])))
        try:
            found = profile(subjects, device, settings, passes, progress)
        except Interrupted as stopped:
            _write(stopped.profile, out)
            raise
    _write(found, out)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        print_profile(found)
        click.echo(str(out / PROFILE))
    return _judge(found, budgets, required)


def _show_references(model: str, as_json: bool) -> None:
    found = find_references(model)
    if as_json:
        print_json(found)
    else:
        click.echo("\n".join(describe_references(found)))


@contextmanager
def _subjects(artifacts: Sequence[Artifact], picture: Path | None) -> Iterator[list[Subject]]:
    """Yield the artifacts with the tensors that they are fed, which are files of a folder that is removed."""
    with tempfile.TemporaryDirectory(prefix="edge-inputs-") as folder:
        subjects = []
        for index, artifact in enumerate(artifacts):
            check_files(artifact)
            place = Path(folder) / str(index)
            place.mkdir()
            inputs = _picture(artifact, picture, place) if picture else write_random(artifact, place)
            environment = execution_environment(artifact.manifest)
            subjects.append(
                Subject(artifact=artifact, inputs=inputs, kind="real" if picture else "random", environment=environment)
            )
        yield subjects


def _picture(artifact: Artifact, picture: Path, folder: Path) -> tuple[Path, ...]:
    payload = {"artifact": str(artifact.root), "image": str(picture), "folder": str(folder)}
    found = run_job(Job(function="convert.infer:inputs_job", payload=payload, log=command_log("profile")))
    return tuple(Path(name) for name in found["files"])


def _write(found: Profile, out: Path) -> None:
    write_atomic(out / PROFILE, msgspec.json.encode(found))
    passes = {variant.name: variant.operators for variant in found.variants if variant.operators}
    write_trace(out / TRACE, passes)
    write_profile_page(found, out)


def _judge(found: Profile, budgets: Sequence[Budget], required: Requirement | None) -> int:
    """Say what is not met and return the exit code."""
    judged = judge_profile(found, budgets)
    for line in describe_budgets(judged):
        progress(line)
    missing = [text for variant in found.variants if required and (text := _lacking(variant, required))]
    for text in missing:
        progress(f"NOT MET  {text}")
    if found.problem or any(variant.problem for variant in found.variants):
        return 1
    return 4 if missing or not all(item.met for item in judged) else 0


def _lacking(variant: Variant, required: Requirement) -> str:
    if variant.operators is None:
        return f"{variant.name}: nothing told the time of its operators ({variant.operators_reason or variant.problem})"
    text = unmet(variant.operators, required)
    return f"{variant.name}: {text}" if text else ""


def parse_seconds(text: str) -> float:
    """Read `90s`, `10m`, `1h` or a number of seconds; raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if not 0 < seconds <= 86400:
        raise UsageError(f"{text!r} is no time up to a day; expected for example 10m or 90s")
    return seconds
