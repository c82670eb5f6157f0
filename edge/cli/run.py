"""`edge run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from convert.build import execution_environment
from edge.artifact import read_manifest
from edge.cli import json_option, print_json
from edge.jobs import Job, run_job
from edge.store import command_log

RUN_TIMEOUT_S = 600.0


@click.command("run")
@click.argument("artifact", type=click.Path(path_type=Path))
@click.argument("image", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the picture with the result drawn on it.")
@click.option(
    "--decoder", type=click.Path(path_type=Path), help="An artifact that makes a picture of the tokens of ARTIFACT's."
)
@json_option
def run_command(artifact: Path, image: Path, output: Path | None, decoder: Path | None, as_json: bool) -> None:
    """Run ARTIFACT on IMAGE in its own runtime, print the result and draw it."""
    artifacts = [read_manifest(path) for path in (artifact, decoder) if path]
    environment = {name: value for found in artifacts for name, value in execution_environment(found.manifest).items()}
    payload = {
        "artifact": str(artifacts[0].root),
        "image": str(image),
        "output": str(output) if output else "",
        "decoder": str(artifacts[1].root) if decoder else "",
    }
    job = Job(
        function="convert.infer:run_job",
        payload=payload,
        log=command_log("run"),
        timeout_s=RUN_TIMEOUT_S,
        environment=environment,
    )
    result: dict[str, Any] = run_job(job)
    if as_json:
        print_json(result)
        return
    click.echo(
        f"{result['model']} on {result['target']} ({result['mode']}), "
        f"{result['milliseconds']:.1f} ms for one run, loading excluded"
    )
    click.echo(result["summary"])
    if made := result["reconstruction"]:
        height, width = made["size"]
        ratio = "" if made["psnr_db"] is None else f", PSNR {made['psnr_db']} dB to what the encoder saw"
        click.echo(f"{made['decoder']} made a picture of {width} × {height} of the tokens{ratio}")
    if output:
        click.echo(str(output))
