"""`edge export` and `edge compile`: the stages of `edge deploy`, one at a time."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

from convert.build import Build, check_build, compile_in_child
from convert.header import read_header
from edge.artifact import read_manifest
from edge.cli import json_option, print_json, progress
from edge.cli.options import calibration_option, model_options, model_request
from edge.output import new_folder
from edge.pipeline import prepare_request
from edge.store import command_log


@click.command("export")
@click.argument("model")
@model_options
@calibration_option
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="A new folder for program.pt2 and the eager answers."
)
@json_option
def export_command(model: str, out: Path, as_json: bool, **options: Any) -> None:
    """Export MODEL to a program and keep the eager model's answers beside it."""
    request = model_request(model, **options)
    with new_folder(out) as made:
        prepared = prepare_request(request, made.parent / "prepared", command_log("export"), progress)
        shutil.copytree(prepared.folder, made)
    header = read_header(out)
    print_json({"program": str(out), "contract": header.contract}) if as_json else click.echo(str(out))


@click.command("compile")
@click.argument("program", type=click.Path(path_type=Path))
@click.option("--target", required=True, help="Where to (`edge targets` lists them).")
@click.option("--precision", default="fp32", show_default=True, help="Number format.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder for the artifact.")
@json_option
def compile_command(program: Path, target: str, precision: str, out: Path, as_json: bool) -> None:
    """Compile the PROGRAM folder that `edge export` made; `edge verify` compares the result."""
    build = Build(target=target, precision=precision)
    check_build(build, read_header(program).contract.task)
    with new_folder(out) as made:
        compile_in_child(build, program, made, command_log("compile"))
    manifest = read_manifest(out).manifest
    print_json(manifest) if as_json else click.echo(
        f"{out}: {sum(entry.bytes for entry in manifest.files)} bytes, not verified yet"
    )
