"""`edge verify`."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from convert.build import verify_in_child
from convert.header import read_header
from convert.keys import ModelRequest
from convert.tail_step import restore_tails
from edge.artifact import Artifact, Parity, check_files, read_manifest
from edge.cli import json_option, print_json, progress
from edge.cli.agree import ServerOptions, agree_all
from edge.cli.options import is_own, model_options, model_request
from edge.cli.parity import parity_lines
from edge.errors import EdgeError, MissingError, TargetError, UsageError
from edge.pipeline import prepare_request
from edge.store import command_log
from edge.zoo import MODELS


@click.command("verify")
@click.argument("artifacts", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--model",
    help="The model it was made from, if that was not a zoo model: file.py:function or a .pt2. With --server, the "
    "model's name there, if it is another than the artifact's.",
)
@click.option("--server", metavar="URL", help="Compare with the answers of this server instead of the eager model.")
@click.option("--token-file", type=click.Path(path_type=Path), help="With --server: a file that holds its token.")
@click.option("--ca-file", type=click.Path(path_type=Path), help="With --server: certificates to trust, and no others.")
@click.option(
    "--as-pictures", is_flag=True, help="With --server: send PNG and not tensors, to compare its preprocessing too."
)
@model_options
@json_option
def verify_command(
    artifacts: tuple[Path, ...],
    model: str | None,
    server: str | None,
    token_file: Path | None,
    ca_file: Path | None,
    as_pictures: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Execute each ARTIFACT again and compare it with the eager fp32 model, or with a server, on real inputs."""
    found = [read_manifest(folder) for folder in artifacts]
    for artifact in found:
        check_files(artifact)
    if server is not None:
        asked = ServerOptions(server, model, token_file, ca_file, as_pictures)
        return agree_all(found, asked, options, as_json=as_json)
    if token_file or ca_file or as_pictures:
        raise UsageError("--token-file, --ca-file and --as-pictures go with --server URL")
    requests = [request_for(artifact, model, options) for artifact in found]
    log = command_log("verify")
    rows: list[tuple[Artifact, Parity]] = []
    failures: list[EdgeError] = []
    for artifact, request in zip(found, requests, strict=True):
        try:
            rows.append((artifact, _verify(artifact, request, log)))
        except (MissingError, TargetError) as error:  # the others are still verified
            progress(f"{artifact.root}: {error}")
            failures.append(error)
    if as_json:
        print_json([{"artifact": str(artifact.root), "parity": parity} for artifact, parity in rows])
    else:
        for artifact, parity in rows:
            click.echo(describe(artifact, parity))
    if failures:
        return failures[0].exit_code
    return 0 if all(parity.passed or parity.mode == "unverified" for _, parity in rows) else 4


def request_for(artifact: Artifact, model: str | None, options: Mapping[str, Any]) -> ModelRequest:
    """Describe the model that an artifact was made from; inputs that are not given are those it keeps."""
    name = artifact.manifest.model
    if model is None and name not in MODELS:
        raise UsageError(
            f"{artifact.root} was made from your own model {name}; pass --model file.py:function "
            "with the --checkpoint that it was deployed with"
        )
    request = model_request(model or name, **options)
    if request.contract is None and is_own(request.model):
        contract = restore_tails(artifact.manifest.contract, artifact.manifest.steps)
        # A channels-last artifact may be of a channels-first model: the model's own contract or --input must say.
        if all(spec.layout != "NHWC" for spec in (*contract.inputs, *contract.outputs)):
            return dataclasses.replace(request, contract=contract)
    return request


def _verify(artifact: Artifact, request: ModelRequest, log: Path) -> Parity:
    with tempfile.TemporaryDirectory(prefix="edge-verify-") as folder:
        prepared = prepare_request(request, Path(folder) / "prepared", log, progress)
        header = read_header(prepared.folder)
        if header.source.sha256 != artifact.manifest.source.sha256:
            raise UsageError(
                f"{artifact.root} was made from weights {artifact.manifest.source.sha256[:16]}…, these are "
                f"{header.source.sha256[:16]}…; pass the same --checkpoint that it was deployed with"
            )
        return verify_in_child(artifact.root, prepared.folder, log)


def describe(artifact: Artifact, parity: Parity) -> str:
    """Return a result as a few lines of text."""
    word = "passed" if parity.passed else "unverified" if parity.mode == "unverified" else "DIFFERS"
    lines = [f"{artifact.root}: {word} ({parity.mode}, {parity.inputs} inputs)"]
    return "\n".join([*lines, *parity_lines(parity.outputs, parity.task, parity.reason)])
